"""A store in the memory of one process: for tests, simulations and trials; what it holds ends with the process."""

from __future__ import annotations

import os
import threading
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple, TypeVar

from adaptrace.errors import StoreError
from adaptrace.tutor.store.base import Change, Decision, Event, StoredState
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
        self._kept: dict[str, StoredState] = {}
        self._events: dict[str, Event] = {}
        self._counting: Order = defaultdict(list)
        self._retracted: Order = defaultdict(list)
        self._decisions: dict[str, Decision] = {}
        self._decided: Order = defaultdict(list)
        self._exposures: dict[str, int] = {}
        self._exposed = 0
        self._first_version = 1
        self._closed = False

    # ---- reading ------------------------------------------------------------

    def version(self, student: str) -> int:
        """Of the student's stored state; 0 if there is none."""
        kept = self.load(student)
        return kept.version if kept else 0

    def load(self, student: str) -> StoredState | None:
        """The student's state, if the store knows the student."""
        self._check_open()
        return self._kept.get(student)

    def load_many(self, students: Sequence[str] | None = None) -> Iterator[tuple[str, StoredState]]:
        """The states of these students, as far as they are known, or of all; ordered by name."""
        for student in self.students() if students is None else sorted(set(students)):
            kept = self.load(student)
            if kept:
                yield student, kept

    def students(self) -> list[str]:
        """Names of all students, sorted."""
        with self._lock:
            self._check_open()
            return sorted(self._kept)

    def find(self, event_ids: Sequence[str]) -> dict[str, Event]:
        """Those of the events that are stored, retracted ones too."""
        with self._lock:
            self._check_open()
            return {event_id: self._events[event_id] for event_id in event_ids if event_id in self._events}

    def events(self, student: str | None = None) -> Iterator[Event]:
        """Events that count, of one student or of all: by student, moment and event_id."""
        return self._ordered(self._events, self._counting, student)

    def retracted(self) -> Iterator[Event]:
        """Events that count no more: by student, moment and event_id."""
        return self._ordered(self._events, self._retracted, None)

    def decided(self, decision_id: str) -> Decision | None:
        """The decision of that id, if it is kept."""
        with self._lock:
            self._check_open()
            return self._decisions.get(decision_id)

    def decisions(self, student: str | None = None) -> Iterator[Decision]:
        """Kept decisions, of one student or of all: by student, moment and id."""
        return self._ordered(self._decisions, self._decided, student)

    def _ordered(self, things: dict[str, Thing], order: Order, student: str | None) -> Iterator[Thing]:
        """Student by student, so that nobody waits for the caller."""
        for name in self._names(order) if student is None else (student,):
            with self._lock:
                self._check_open()
                found = [things[key] for _, key in order.get(name, ())]
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
        """Apply all changes in one transaction, or none.

        Returns
        -------
        tuple of str
            The students whose change does not apply any more: then nothing was written.
        """
        with self._lock:
            self._check_open()
            call = _Call({}, {}, set())
            stale = tuple(dict.fromkeys([change.student for change in changes if not self._applies(change, call)]))
            if not stale:
                for change in changes:
                    self._apply(change)
            return stale

    def _applies(self, change: Change, call: _Call) -> bool:
        kept = self._kept.get(change.student)
        if call.versions.get(change.student, kept.version if kept else 0) != change.version:
            return False
        call.versions[change.student] = change.version + 1
        fine = True
        for event in change.events:
            fine &= event.event_id not in self._events and event.event_id not in call.students
            call.students.setdefault(event.event_id, event.student)
            if event.retracted:
                call.retracted.add(event.event_id)
        for event_id in change.retracted:
            fine &= self._counts(event_id, change.student, call)
            call.retracted.add(event_id)
        return fine

    def _counts(self, event_id: str, student: str, call: _Call) -> bool:
        """Whether it is an event of the student that is not retracted."""
        event = self._events.get(event_id)
        owner = event.student if event and not event.retracted else call.students.get(event_id)
        return owner == student and event_id not in call.retracted

    def _apply(self, change: Change) -> None:
        version = change.version + 1 if change.version else self._first_version
        self._kept[change.student] = StoredState(version, change.model, change.state)
        for event in change.events:
            self._events[event.event_id] = event
            order = self._retracted if event.retracted else self._counting
            insort(order[event.student], (event.moment, event.event_id))
        for event_id in change.retracted:
            event = self._events[event_id] = self._events[event_id]._replace(retracted=True)
            place = (event.moment, event_id)
            del self._counting[event.student][bisect_left(self._counting[event.student], place)]
            insort(self._retracted[event.student], place)

    def forget(self, student: str) -> int:
        """Remove a student's events, state and decisions; how many events there were, retracted ones too."""
        with self._lock:
            self._check_open()
            gone = self._counting.pop(student, []) + self._retracted.pop(student, [])
            for _, event_id in gone:
                del self._events[event_id]
            for _, decision_id in self._decided.pop(student, []):
                del self._decisions[decision_id]
            left = self._kept.pop(student, None)
            self._first_version = max(self._first_version, 1 + left.version if left else 1)
            return len(gone)

    def decide(self, decisions: Iterable[Decision]) -> None:
        """Keep decisions; of two with one id, the first."""
        with self._lock:
            self._check_open()
            for decision in decisions:
                if decision.decision_id not in self._decisions:
                    self._decisions[decision.decision_id] = decision
                    insort(self._decided[decision.student], (decision.moment, decision.decision_id))

    def expose(self, items: Sequence[str], rate: float) -> tuple[str, ...]:
        """Count one recommendation of each item, unless one is shown too often.

        Returns
        -------
        tuple of str
            The items whose count is not below 1 + ``rate`` times all that were counted: then nothing was counted.
        """
        with self._lock:
            self._check_open()
            shown, most = tuple(dict.fromkeys(items)), 1 + rate * self._exposed
            over = tuple(item for item in shown if self._exposures.get(item, 0) >= most)
            if not over:
                self._exposures.update({item: self._exposures.get(item, 0) + 1 for item in shown})
                self._exposed += len(shown)
            return over

    # ---- copying, closing ---------------------------------------------------

    def snapshot(self, path: str | os.PathLike[str]) -> None:
        """Write a consistent copy as an SQLite store, whole or not at all, while others go on reading and writing.

        Raises
        ------
        OutputError
            If there is a file already, or it cannot be written.
        """
        copy(self._twin(), path)

    def _twin(self) -> MemoryStore:
        """A store that holds what this one holds now."""
        twin = MemoryStore()
        with self._lock:
            self._check_open()
            twin._kept, twin._events, twin._decisions = dict(self._kept), dict(self._events), dict(self._decisions)
            for name in ("_counting", "_retracted", "_decided"):
                setattr(twin, name, defaultdict(list, {key: list(row) for key, row in getattr(self, name).items()}))
            twin._exposures, twin._exposed = dict(self._exposures), self._exposed
        return twin

    def close(self) -> None:
        """Forget everything; a second call does nothing."""
        with self._lock:
            self._closed = True
            for things in (self._kept, self._events, self._counting, self._retracted, self._decisions, self._decided):
                things.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise StoreError("memory: the store is closed; open it again")
