"""What holds whatever happened: each event once, each state a replay of its events, no half student, no version twice."""

from __future__ import annotations

import contextlib
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import adaptrace as at
from simulated import school
from simulated.history import State
from simulated.worlds import aside


@contextlib.contextmanager
def opened_copy(path: Path) -> Iterator[at.Tutor]:
    """A tutor of a snapshot; what is done with it is not simulated."""
    with aside(), contextlib.closing(at.Tutor.open(path, model=school.MODEL, catalog=school.CATALOG)) as tutor:
        assert not store_problems(tutor.store), store_problems(tutor.store)
        yield tutor


def contents(store: Any) -> dict[str, State]:
    """What is stored of each student: events, and decisions."""
    found: dict[str, State] = {}
    for field, things in (("active", store.events()), ("retracted", store.retracted()), ("decisions", store.decisions())):
        for each in things:
            state = found.setdefault(each.student, State())
            key = each.decision_id if field == "decisions" else each.event_id
            found[each.student] = state._replace(**{field: getattr(state, field) | {key}})
    for row in store.corrections() if hasattr(store, "corrections") else ():
        name, field = school.student_of(row.original), "waiting" if row.content else "corrected"
        state = found.setdefault(name, State())
        found[name] = state._replace(**{field: getattr(state, field) | {(row.original, row.event_id)}})
    return found


def store_problems(store: Any) -> list[str]:
    """What is wrong with a store."""
    active, retracted = list(store.events()), list(store.retracted())
    found = [
        f"event {event_id} is there {n} times" for event_id, n in Counter(e.event_id for e in active + retracted).items() if n > 1
    ]
    there, named = {event.student for event in active + retracted}, set(store.students())
    found += [f"events of {name} without a student" for name in sorted(there - named)]
    found += [f"{name} without an event" for name in sorted(named - there)]
    for event in active + retracted:
        item, correct = school.content_of(event.event_id)[1:3]
        if (event.item, event.correct) != (item, correct):
            found.append(f"event {event.event_id} is not as it was sent")
    total, counts = store.exposures()
    if total != sum(counts.values()):
        found.append(f"{total} recommendations counted, {sum(counts.values())} by item")
    return found + [problem for name in sorted(there & named) if (problem := _state_problem(store, name, active))]


def _state_problem(store: Any, name: str, active: list[Any]) -> str:
    """Whether the stored state is the replay of the events."""
    if not store.keeps_states:
        return ""
    kept = store.load(name)
    if (kept.model, kept.state) == ("", ""):  # a copy of a store that keeps none
        return ""
    clean = school.as_stored(school.clean_state(name, (event for event in active if event.student == name)))
    stored = json.loads(kept.state)
    differing = [key for key, value in clean.items() if stored.get(key) != value]
    return f"the stored state of {name} is not the replay of its events: {', '.join(differing)}" if differing else ""


def memory_problems(tutor: at.Tutor) -> list[str]:
    """Students whose state in the memory of a process is not the replay of the stored events."""
    if not hasattr(tutor, "mastery_table"):
        return []  # an early version, whose mastery is this table
    found = []
    for name in tutor.store.students():
        clean = school.clean_state(name, tutor.store.events(name))
        differing = [skill for skill in school.SKILLS if tutor.mastery(name, skill) != clean.mastery(skill)]
        found += [f"{name} in memory differs from the stored events in {', '.join(differing)}"] if differing else []
    return found


class Versions:
    """The versions that were seen of each student, and what they stood for."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, int], State] = {}
        self.problems: list[str] = []

    def look(self, store: Any, name: str) -> None:
        """Note the version of a student: it never stands for other events."""
        version = store.version(name)
        if version:
            ids = [event.event_id for event in store.events(name)]
            if store.version(name) != version:
                return  # changed meanwhile, by a session that waited for another
            state = State(active=frozenset(ids))
            before = self._seen.setdefault((name, version), state)
            if before != state:
                was, now = sorted(before.active), sorted(state.active)
                self.problems.append(f"version {version} of {name} stands for {now}, and stood for {was} before")
