"""Replay: from events, one after the other, to a student's state; and how a state is stored."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zlib import crc32

from adaptrace.data.catalog import Catalog
from adaptrace.errors import ModelError
from adaptrace.models.base import Model, Response
from adaptrace.models.criterion import Criterion
from adaptrace.models.student import Student
from adaptrace.tutor.store.base import Event

Key = tuple[int, str]  # of an event: its place in the order of a student's events
_SUM = ',"sum":'  # of all before it; the last entry of a stored state


def key_of(event: Event) -> Key:
    """Its place in the order of a student's events."""
    return event.moment, event.event_id


def take(student: Student, event: Event) -> None:
    """Take in the next event."""
    student.group = event.group
    student.take(Response(event.item, event.skills, event.kind, event.correct, event.moment))


@dataclass
class MasteryHistory:
    """What the events of one student did to each skill.

    Attributes
    ----------
    moved
        Per skill and kind: how many events there were, and their change in the log-odds of mastery.
    reached
        Opportunities until the skill was first mastered.
    last
        The key of the last event.
    together
        The skills of every event: which of them met.
    """

    moved: dict[str, dict[str, tuple[int, float]]] = field(default_factory=dict)
    reached: dict[str, int] = field(default_factory=dict)
    last: dict[str, Key] = field(default_factory=dict)
    together: set[tuple[str, ...]] = field(default_factory=set)

    def add(self, event: Event, skill: str, before: float, after: float) -> None:
        """Note the mastery of one skill before and after an event."""
        kinds = self.moved.setdefault(skill, {})
        n, moved = kinds.get(event.kind, (0, 0.0))
        kinds[event.kind] = (n + 1, moved + _logit(after) - _logit(before))
        self.last[skill] = key_of(event)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        return {"moved": self.moved, "reached": self.reached, "last": self.last, "together": sorted(self.together)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> MasteryHistory:
        """The history that :meth:`to_dict` described."""
        moved = {
            skill: {kind: (int(n), float(change)) for kind, (n, change) in kinds.items()}
            for skill, kinds in content["moved"].items()
        }
        last = {skill: (moment, event_id) for skill, (moment, event_id) in content["last"].items()}
        return cls(moved, dict(content["reached"]), last, set(map(tuple, content["together"])))


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))


class Followed(NamedTuple):
    """A student after some events, what each event did to mastery, and the key of the last one."""

    student: Student
    history: MasteryHistory
    last: Key | None


@dataclass(frozen=True)
class Replay:
    """Makes students from events, and from stored states, with one model, catalog and criterion."""

    model: Model
    catalog: Catalog
    criterion: Criterion = field(default_factory=Criterion)  # when a skill counts as mastered, for the history

    def new_student(self, name: str) -> Student:
        """A student who has not answered yet."""
        return Student(self.model, self.catalog, name=name)

    def fold(self, name: str, events: Iterable[Event]) -> tuple[Student, Key | None]:
        """A student after these events, in their order, and the key of the last one."""
        student, last = self.new_student(name), None
        for event in events:
            take(student, event)
            last = key_of(event)
        return student, last

    def new_followed(self, name: str) -> Followed:
        """A student who has not answered yet, to be followed."""
        return Followed(self.new_student(name), MasteryHistory(), None)

    def follow(self, followed: Followed, events: Iterable[Event]) -> Followed:
        """The same student after more events, in their order; the given one is used up."""
        student, history, last = followed
        is_timed, mastered = "time" in self.model.needs, self.criterion.mastered
        for event in events:
            moment, last = event.moment if is_timed else None, key_of(event)
            student.group = event.group  # its first mastery may depend on it
            history.together.add(event.skills)
            before = [student.mastery_at(skill, moment) for skill in event.skills]
            take(student, event)
            for skill, mastery in zip(event.skills, before, strict=True):
                after, n = student.mastery_at(skill, moment), student.opportunities[skill]
                history.add(event, skill, mastery, after)
                if skill not in history.reached and mastered(skill, mastery=after, opportunities=n):
                    history.reached[skill] = n
        return Followed(student, history, last)

    def read_state(self, text: str, name: str) -> tuple[Student, Key | None] | None:
        """What :func:`state_text` wrote of the student of that name; None if it cannot be read, for whatever reason."""
        content, _, checksum = text.rpartition(_SUM)
        if checksum != f"{crc32(content.encode(errors='replace'))}}}":
            return None
        try:
            parts = json.loads(content + "}")
            student, last = Student.from_dict(parts, self.model, catalog=self.catalog), parts["last"]
        except (ModelError, AttributeError, LookupError, TypeError, ValueError):  # another version wrote it
            return None
        return (student, last and (last[0], last[1])) if student.name == name else None


def state_text(student: Student, last: Key | None) -> str:
    """A student's state as it is stored, with the key of the last event and a checksum that shows any damage."""
    text = json.dumps({**student.to_dict(), "last": last}, separators=(",", ":"), sort_keys=True)[:-1]
    return f"{text}{_SUM}{crc32(text.encode())}}}"
