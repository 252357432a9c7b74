"""Patches: one more event of long ago, where a model keeps skills apart.

Only the skills of the event, and those that met them in events of several skills, are followed again; of all others a student and
the checkpoints keep what they have. So it does not matter how many events came since, but how many on these skills.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass
from heapq import merge

from adaptrace.models.base import KeepsSkillsApart
from adaptrace.tutor.checkpoints import Checkpoints, Refolded
from adaptrace.tutor.replay import Followed, key_of
from adaptrace.tutor.store.base import Event, Store

LEAST = 3  # checkpoints after the event below which all is followed again: that is as fast


def joined(skills: Iterable[str], together: set[tuple[str, ...]]) -> set[str]:
    """These skills, those that met them, those that met those, ...

    Examples
    --------
    >>> sorted(joined(["a"], {("a", "b"), ("b", "c"), ("d",), ("d", "e")}))
    ['a', 'b', 'c']
    """
    found, size = set(skills), 0
    while size < len(found):
        size = len(found)
        found.update(*(each for each in together if not found.isdisjoint(each)))
    return found


@dataclass(frozen=True)
class Patches:
    """Patches students and their checkpoints.

    Parameters
    ----------
    store, checkpoints
        Where events and checkpoints are.
    """

    store: Store
    checkpoints: Checkpoints

    def patched(self, now: Followed, event: Event) -> Refolded | None:
        """A student, who is changed, after one more event; None, and no change, if all is to be followed again."""
        name, key = now.student.name, key_of(event)
        rows = self.checkpoints.own(name)
        later = [row for row in rows if (row.moment, row.event_id) > key]
        skills = joined(event.skills, now.history.together)
        sets = {each for each in (*now.history.together, event.skills) if not skills.isdisjoint(each)}
        if len(later) < LEAST or not _is_patchable(now, event) or 2 * len(sets) > len(now.history.together):
            return None
        read = [followed for followed in map(self.checkpoints.read, later) if followed is not None]
        if len(read) < len(later):
            return None
        part, kept = self.checkpoints.latest(name, rows[: len(rows) - len(later)])
        events = list(merge(self.store.events_on(name, sets, after=part.last), [event], key=key_of))
        begin = 0
        for followed in (*read, now):
            end = bisect_right(events, followed.last or key, begin, key=key_of)
            part, begin = self.checkpoints.replay.follow(part, events[begin:end]), end
            if _is_patchable(followed, event):
                _patch(followed, part, event, skills)
                kept += [] if followed is now else [self.checkpoints.of(followed)]
        return Refolded(now, tuple(kept))


def _is_patchable(followed: Followed, event: Event) -> bool:
    """Whether the event is before the latest responses that a student remembers, and not the last one on its skills."""
    student, history, _ = followed
    oldest = student.recent[0].moment if student.recent else None
    is_old = oldest is not None and event.moment < oldest
    return is_old and all(history.last.get(skill, (event.moment, "")) > key_of(event) for skill in event.skills)


def _patch(followed: Followed, part: Followed, event: Event, skills: set[str]) -> None:
    """Take of some skills what was followed again, and count the event."""
    (student, history, _), again = followed, part.history
    student.responses += 1
    student.answered[event.item] = student.answered.get(event.item, 0) + 1
    met = [skill for skill in skills if skill in part.student.opportunities]
    student.opportunities.update({skill: part.student.opportunities[skill] for skill in met})
    key = key_of(event)
    student.turns = {skill: turn + (history.last[skill] > key) for skill, turn in student.turns.items()}
    if isinstance(student.state, KeepsSkillsApart):
        student.state.take_skills(part.student.state, met)
    for skill in met:
        history.moved[skill], history.last[skill] = dict(again.moved[skill]), again.last[skill]
        history.reached.pop(skill, None)
        if skill in again.reached:
            history.reached[skill] = again.reached[skill]
    history.together.add(event.skills)
