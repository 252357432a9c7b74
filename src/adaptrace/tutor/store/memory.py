"""A store in the memory of one process, for tests and simulations; its content is lost when the process ends."""

from __future__ import annotations

import os
import threading
from bisect import bisect_left, bisect_right, insort
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from adaptrace.errors import StoreError
from adaptrace.tutor.store.base import Change, Checkpoint, Correction, Decision, Event, Fault, StoredState
from adaptrace.tutor.store.snapshot import copy

Thing = TypeVar("Thing", Event, Decision)
Order = defaultdict[str, list[tuple[int, str]]]  # of each student: (moment, id), sorted


class _Call(NamedTuple):
    """What the earlier changes of the same call would do."""

    versions: dict[str, int]
    students: dict[str, str]  # of new events, by event_id
    retracted: set[str]


class MemoryStore:
    """A :class:`~adaptrace.tutor.store.base.Store` of dictionaries under one lock.

    Examples
    --------
    >>> store = MemoryStore()
    >>> store.write([Change("Ada", 0, "model", "state", (Event("e1", "Ada", "q1", ("halves",), "practice", 1.0, 0),))])
    ()
    >>> store.load("Ada")
    StoredState(version=1, model='model', state='state')
    >>> [event.item for event in store.events("Ada")]
    ['q1']
    """

    keeps_states = False

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._states: dict[str, StoredState] = {}
        self._events: dict[str, Event] = {}
        self._counting: Order = defaultdict(list)
        self._retracted: Order = defaultdict(list)
        self._decisions: dict[str, Decision] = {}
        self._decided: Order = defaultdict(list)
        self._corrections: dict[tuple[str, str], Correction] = {}  # by original and student
        self._checkpoints: dict[str, tuple[Checkpoint, ...]] = {}
        self._exposures: dict[str, int] = {}
        self._exposed = 0
        self._first_version = 1
        self._closed = False

    # ---- reading ------------------------------------------------------------

    def version(self, student: str) -> int:
        """The version of the student's stored state; 0 if there is none."""
        state = self.load(student)
        return state.version if state else 0

    def load(self, student: str) -> StoredState | None:
        """The student's stored state; None if there is none."""
        self._check_open()
        return self._states.get(student)

    def load_many(self, students: Sequence[str] | None = None) -> Iterator[tuple[str, StoredState]]:
        """The stored states of these students, or of all; ordered by name."""
        for student in self.students() if students is None else sorted(set(students)):
            state = self.load(student)
            if state:
                yield student, state

    def students(self) -> list[str]:
        """Names of all students, sorted."""
        with self._lock:
            self._check_open()
            return sorted(self._states)

    def find(self, event_ids: Sequence[str]) -> dict[str, Event]:
        """The stored events of these ids, retracted ones too."""
        with self._lock:
            self._check_open()
            return {event_id: self._events[event_id] for event_id in event_ids if event_id in self._events}

    def events(self, student: str | None = None, *, after: tuple[int, str] | None = None) -> Iterator[Event]:
        """Events that are not retracted, of one student or of all: by student, moment and event_id."""
        return self._ordered(self._events, self._counting, student, after)

    def events_on(self, student: str, skills: Collection[tuple[str, ...]], *, after: tuple[int, str] | None) -> Iterator[Event]:
        """Events of a student that are not retracted and have exactly one of these sets of skills: by moment and event_id."""
        return (event for event in self._ordered(self._events, self._counting, student, after) if event.skills in skills)

    def retracted(self) -> Iterator[Event]:
        """Retracted events: by student, moment and event_id."""
        return self._ordered(self._events, self._retracted, None)

    def decided(self, decision_id: str) -> Decision | None:
        """The decision of that id; None if there is none."""
        with self._lock:
            self._check_open()
            return self._decisions.get(decision_id)

    def decisions(self, student: str | None = None) -> Iterator[Decision]:
        """Decisions of one student or of all: by student, moment and id."""
        return self._ordered(self._decisions, self._decided, student)

    def corrections(self, event_ids: Sequence[str] | None = None) -> list[Correction]:
        """Corrections, and retractions that wait, of these events or of all; by original and student."""
        with self._lock:
            self._check_open()
            wanted = None if event_ids is None else {*event_ids} - {""}
            return [row for _, row in sorted(self._corrections.items()) if wanted is None or wanted & _names_of(row)]

    def checkpoints(self, student: str | None = None) -> Iterator[Checkpoint]:
        """Checkpoints of one student or of all: by student, moment and event_id."""
        with self._lock:
            self._check_open()
            names = sorted(self._checkpoints) if student is None else [student]
            found = [each for name in names for each in sorted(self._checkpoints.get(name, ()))]
        yield from found

    def _ordered(
        self, things: dict[str, Thing], order: Order, student: str | None, after: tuple[int, str] | None = None
    ) -> Iterator[Thing]:
        """Student by student: no lock is held while the caller works."""
        for name in self._names(order) if student is None else (student,):
            with self._lock:
                self._check_open()
                places = order.get(name, [])
                found = [things[key] for _, key in places[0 if after is None else bisect_right(places, after) :]]
            yield from found

    def _names(self, order: Order) -> list[str]:
        with self._lock:
            self._check_open()
            return sorted(order)

    def exposures(self) -> tuple[int, dict[str, int]]:
        """How many recommendations were counted, and how many of each item."""
        with self._lock:
            self._check_open()
            return self._exposed, dict(self._exposures)

    # ---- writing ------------------------------------------------------------

    def write(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """Apply all changes in one transaction, or none; the students whose change does not apply any more."""
        with self._lock:
            self._check_open()
            call = _Call({}, {}, set())
            stale = tuple(dict.fromkeys([change.student for change in changes if not self._applies(change, call)]))
            if not stale:
                for change in changes:
                    self._apply(change)
            return stale

    def _applies(self, change: Change, call: _Call) -> bool:
        state = self._states.get(change.student)
        if call.versions.get(change.student, state.version if state else 0) != change.version:
            return False
        call.versions[change.student] = change.version + 1
        applies = True
        for event in change.events:
            applies &= event.event_id not in self._events and event.event_id not in call.students
            call.students.setdefault(event.event_id, event.student)
            if event.retracted:
                call.retracted.add(event.event_id)
        for event_id in change.retracted:
            counts = self._counts(event_id, change.student, call)
            applies &= counts
            if counts:
                call.retracted.add(event_id)
        return applies and self._corrects(change)

    def _corrects(self, change: Change) -> bool:
        """Whether its corrections are the only ones of their originals, and nothing else waits for its events."""
        if not change.corrections and not self._corrections:  # nearly always
            return True
        applied = {each[:2] for each in change.corrections}
        ids = {event.event_id for event in change.events}
        fits = all(
            self._waits(each) or (each.student and not each.content and each[:2] not in self._corrections)
            for each in change.corrections
        )
        gone = ids.union(change.retracted)
        fits &= all(each.original in gone or self._is_retracted(each.original) for each in change.corrections)
        others = [row for key, row in self._corrections.items() if row.content and key not in applied]
        return fits and not any(
            row.event_id in ids or (row.original in ids and row.student in ("", change.student)) for row in others
        )

    def _is_retracted(self, event_id: str) -> bool:
        return event_id in self._events and self._events[event_id].retracted

    def _waits(self, correction: Correction) -> bool:
        row = self._corrections.get(correction[:2])
        return row is not None and row.content != "" and row.event_id == correction.event_id

    def _counts(self, event_id: str, student: str, call: _Call) -> bool:
        """Whether it is an event of the student that is not retracted."""
        event = self._events.get(event_id)
        owner = event.student if event and not event.retracted else call.students.get(event_id)
        return owner == student and event_id not in call.retracted

    def _apply(self, change: Change) -> None:
        version = change.version + 1 if change.version else self._first_version
        self._states[change.student] = StoredState(version, change.model, change.state)
        for event in change.events:
            self._events[event.event_id] = event
            order = self._retracted if event.retracted else self._counting
            insort(order[event.student], (event.moment, event.event_id))
        for event_id in change.retracted:
            event = self._events[event_id] = self._events[event_id]._replace(retracted=True)
            place = (event.moment, event_id)
            del self._counting[event.student][bisect_left(self._counting[event.student], place)]
            insort(self._retracted[event.student], place)
        for each in change.corrections:
            self._corrections[each[:2]] = each._replace(content="")
            self._corrections.pop((each.original, ""), None)  # nothing is left to note of a retraction
        if change.checkpoints is not None:
            self._checkpoints[change.student] = change.checkpoints

    def wait(self, correction: Correction) -> bool:
        """Keep a correction or retraction until its original comes; False if that came, or another one waits in its place."""
        with self._lock:
            self._check_open()
            others = {row.event_id for row in self._corrections.values() if row.content and row.event_id}
            if correction.original in self._events or correction[:2] in self._corrections or correction.event_id in others:
                return False
            self._corrections[correction[:2]] = correction
            return True

    def forget(self, student: str) -> int:
        """Remove a student's events, state, decisions and all that waits; how many events there were, retracted ones too."""
        with self._lock:
            self._check_open()
            gone = self._counting.pop(student, []) + self._retracted.pop(student, [])
            for _, event_id in gone:
                del self._events[event_id]
            for _, decision_id in self._decided.pop(student, []):
                del self._decisions[decision_id]
            own = [row for row in self._corrections.values() if row.student == student]
            for row in own:
                del self._corrections[row[:2]]
                for event_id in row.original, row.event_id:
                    self._corrections.pop((event_id, ""), None)
            self._checkpoints.pop(student, None)
            left = self._states.pop(student, None)
            self._first_version = max(self._first_version, 1 + left.version if left else 1)
            return len(gone)

    def decide(self, decisions: Iterable[Decision]) -> None:
        """Store decisions; of two with one id, the first."""
        with self._lock:
            self._check_open()
            for decision in decisions:
                if decision.decision_id not in self._decisions:
                    self._decisions[decision.decision_id] = decision
                    insort(self._decided[decision.student], (decision.moment, decision.decision_id))

    def expose(self, items: Sequence[str], rate: float) -> tuple[str, ...]:
        """Count one recommendation of each item, unless an item is shown too often; the items that are."""
        with self._lock:
            self._check_open()
            shown, most = tuple(dict.fromkeys(items)), 1 + rate * self._exposed
            over = tuple(item for item in shown if self._exposures.get(item, 0) >= most)
            if not over:
                self._exposures.update({item: self._exposures.get(item, 0) + 1 for item in shown})
                self._exposed += len(shown)
            return over

    # ---- checking, copying, closing -----------------------------------------

    def faults(self) -> Iterator[Fault]:
        """None: there are no bytes that could be damaged."""
        self._check_open()
        return iter(())

    def snapshot(self, path: str | os.PathLike[str]) -> None:
        """Write a consistent copy as an SQLite store, whole or not at all, while others go on reading and writing.

        Raises
        ------
        OutputError
            If there is a file already, or it cannot be written.
        """
        copy(self._copied(), path)

    def _copied(self) -> MemoryStore:
        """A store that holds what this one holds now."""
        copied = MemoryStore()
        with self._lock:
            self._check_open()
            copied._states, copied._events, copied._decisions = dict(self._states), dict(self._events), dict(self._decisions)
            for name in ("_counting", "_retracted", "_decided"):
                setattr(copied, name, defaultdict(list, {key: list(row) for key, row in getattr(self, name).items()}))
            copied._corrections, copied._checkpoints = dict(self._corrections), dict(self._checkpoints)
            copied._exposures, copied._exposed = dict(self._exposures), self._exposed
        return copied

    def close(self) -> None:
        """Forget everything; a second call does nothing."""
        with self._lock:
            self._closed = True
            for things in (self._states, self._events, self._counting, self._retracted, self._decisions, self._decided):
                things.clear()
            self._corrections.clear()
            self._checkpoints.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("memory: the store is closed; open it again")


def _names_of(row: Correction) -> set[str]:
    """The events that it is found by."""
    return {row.original, row.event_id} if row.content else {row.original}
