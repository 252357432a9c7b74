"""A tutor's students: read from the store, kept in memory, written with the events that changed them.

Writers are optimistic: a change says from which version of the student it was made. If another process wrote first, the store
refuses the change, and it is made again from what that process wrote.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

from adaptrace.errors import StoreError, UnreadableEventError
from adaptrace.models.base import KeepsSkillsApart, Progress, levels_of
from adaptrace.models.student import Student
from adaptrace.tutor.arrivals import Arrivals, Delivery, check_same
from adaptrace.tutor.checkpoints import Checkpoints, Edit, Refolded
from adaptrace.tutor.patches import Patches
from adaptrace.tutor.replay import Followed, Key, MasteryHistory, Replay, key_of, state_text, take
from adaptrace.tutor.store.base import Change, Checkpoint, Correction, Event, Store, StoredState

LOCKS = 256  # students share so many locks, by their names
TRIES = 100  # at a write that other processes get ahead of
LISTED = 20  # events that an error lists
AS_BEFORE = "\0"  # in place of an event's group, until the student is read: the group of the event before


@dataclass
class LoadedStudent:
    """A student in memory."""

    version: int  # of the stored state that it equals
    student: Student
    last: Key | None  # of the latest event
    history: MasteryHistory | None = None  # what each event did to mastery, once somebody has asked; None: look it up


class Students:
    """The students of a store; safe to use from many threads.

    A student that :meth:`get` gives is changed by the next write: hold the student's :meth:`lock` as long as you read it.

    Parameters
    ----------
    store
        Where events and states are.
    replay
        What makes students of them.
    size
        Students kept in memory.
    """

    def __init__(self, store: Store, replay: Replay, *, size: int) -> None:
        self._store, self._replay, self._size = store, replay, size
        self._checkpoints = Checkpoints(store, replay)
        self._patches = Patches(store, self._checkpoints)
        self._arrivals = Arrivals(store, levels_of(replay.model))
        self._cache: OrderedDict[str, LoadedStudent] = OrderedDict()
        self._cache_lock = threading.Lock()
        self._locks = [threading.RLock() for _ in range(LOCKS)]

    # ---- reading ------------------------------------------------------------

    def lock(self, name: str) -> threading.RLock:
        """The lock of a student, which other students may share."""
        return self._locks[hash(name) % LOCKS]

    def get(self, name: str) -> Student:
        """A student as the store has it now, also if another process wrote; one who is not stored has not answered yet."""
        return self._entry(name).student

    def get_many(self, names: Iterable[str] | None) -> Iterator[Student]:
        """These students, or all of the store, in the order of their names."""
        if names is None:
            for name, stored in self._store.load_many():
                yield self._read(name, stored).student
            return
        ordered = sorted(set(names))
        found = self._store.load_many(ordered)
        following = next(found, None)
        for name in ordered:
            if following is None or following[0] != name:
                yield self._replay.new_student(name)
            else:
                yield self._read(*following).student
                following = next(found, None)

    def with_history(self, name: str) -> tuple[Student, MasteryHistory]:
        """A student, and what each event did to mastery; read them under the student's :meth:`lock`."""
        entry = self._entry(name)
        if entry.history is not None:
            return entry.student, entry.history
        student, history, last = self._checkpoints.replayed(name)
        if last == entry.last and entry.version == self._store.version(name):
            entry.history = history  # else somebody wrote meanwhile
            return entry.student, history
        return student, history

    def _entry(self, name: str) -> LoadedStudent:
        with self._cache_lock:
            entry = self._cache.get(name)
            if entry is not None:
                self._cache.move_to_end(name)
        if entry is None or entry.version != self._store.version(name):
            entry = self._read(name, self._store.load(name))
            self._keep(name, entry)
        return entry

    def _read(self, name: str, stored: StoredState | None) -> LoadedStudent:
        if stored is None:
            return LoadedStudent(0, self._replay.new_student(name), None)
        is_ours = stored.model == self._replay.model.fingerprint
        found = self._replay.read_state(stored.state, name) if is_ours else None
        if found is None:  # the state is of another model or version, or damaged: replay the events
            student, history, last = self._checkpoints.replayed(name)
            return LoadedStudent(stored.version, student, last, history)
        return LoadedStudent(stored.version, *found)

    def _unread(self, name: str) -> LoadedStudent:
        """A student of the stored version, without what is stored."""
        return LoadedStudent(self._store.version(name), self._replay.new_student(name), None)

    def _keep(self, name: str, entry: LoadedStudent) -> None:
        with self._cache_lock:
            self._cache[name] = entry
            if len(self._cache) > self._size:
                self._cache.popitem(last=False)

    def _pop(self, name: str) -> LoadedStudent | None:
        """The student, who is in memory no longer."""
        with self._cache_lock:
            return self._cache.pop(name, None)

    # ---- writing ------------------------------------------------------------

    def deliver(self, delivery: Delivery) -> int:
        """Store what is delivered of a student, and all that waited for it, with the state they lead to; how much was new.

        Raises
        ------
        ConflictError
            If an event's id stands for something else, or the event to replace has another correction.
        StoreError
            If nothing was stored.
        """
        if delivery.is_empty:
            return 0  # a write would bring back the name of a student who is forgotten meanwhile
        with self.lock(delivery.student):
            return self._write(delivery)

    def wait(self, correction: Correction) -> bool | None:
        """Let a correction or retraction wait: whether it is new; None if its original has come. See :class:`Arrivals`."""
        return self._arrivals.wait(correction)

    def write_many(self, block: Sequence[tuple[str, Sequence[Event]]]) -> int:
        """Store the events of several students in one transaction or, if one change does not apply, student by student."""
        locks = {id(lock): lock for lock in (self.lock(name) for name, _ in block)}
        with ExitStack() as held:
            for _, lock in sorted(locks.items()):  # always in the same order: two blocks cannot wait for each other
                held.enter_context(lock)
            new = {name: self._not_stored(events) for name, events in block}
            made = [self._change(Delivery(name, events)) for name, events in new.items() if events]
            if not made or self._is_written([change for change, _ in made], [entry for _, entry in made]):
                return sum(map(len, new.values()))
            return sum(self._write(Delivery(name, events)) for name, events in block)

    def _not_stored(self, events: Sequence[Event]) -> list[Event]:
        stored = self._store.find([event.event_id for event in events])
        for event in events:
            if event.event_id in stored:
                check_same(stored[event.event_id], event)
        return [event for event in events if event.event_id not in stored]

    def forget(self, name: str) -> int:
        """Remove all that is stored of a student; how many events that were."""
        with self.lock(name):
            self._pop(name)
            return self._store.forget(name)

    def rebuild(self, progress: Progress | None) -> int:
        """Make every student's state again from the events; how many. See :meth:`adaptrace.Tutor.rebuild`."""
        names, unreadable, failed = self._store.students(), list[str](), 0
        for number, name in enumerate(names):
            try:
                with self.lock(name):
                    self._pop(name)
                    self._write(Delivery(name), again=True)
            except UnreadableEventError as error:
                failed, unreadable = failed + 1, [*unreadable, *(_unreadable(self._store.events(name)) or [error.event_id])]
            if progress is not None:
                progress((number + 1) / len(names))
        if unreadable:
            raise StoreError(
                f"{_listed(unreadable)}: cannot be read: {failed:,} of {len(names):,} students were not rebuilt, "
                "all others were; restore a snapshot"
            )
        return len(names)

    def _write(self, delivery: Delivery, *, again: bool = False) -> int:
        whole = delivery  # nearly always: what waits is looked up if the store says so
        for _ in range(TRIES):
            change, entry = self._change(whole, again=again)
            if again and not change.version:  # forgotten meanwhile: the name must not come back
                return 0
            if self._is_written([change], [entry]):
                return delivery.counted
            delivery = self._arrivals.new(delivery)
            if delivery.is_empty and not again:
                return 0
            whole = self._arrivals.with_waiting(delivery)
        ids = [*(event.event_id for event in delivery.events), *delivery.retracted]
        who = f"{_listed(ids)}: the student" if ids else "a student"
        raise StoreError(f"{who} was changed by others {TRIES} times in a row; nothing was stored: try again")

    def _change(self, delivery: Delivery, *, again: bool = False) -> tuple[Change, LoadedStudent]:
        """The change to store, and the student after it, who is in memory again once it is stored."""
        name = delivery.student
        # out of memory until it is stored; what is made again need not be read
        entry = self._unread(name) if again else self._pop(name) or self._read(name, self._store.load(name))
        before = entry.student.group
        events = [Event(*event[:7], before, *event[8:]) if event.group == AS_BEFORE else event for event in delivery.events]
        counting = sorted([event for event in events if not event.retracted], key=key_of)
        checkpoints = self._take(name, entry, Edit(counting, self._stored(delivery.retracted)), again=again)
        made = ("", "")
        if self._store.keeps_states:
            made = (self._replay.model.fingerprint, state_text(entry.student, entry.last))
        return Change(
            name, entry.version, *made, tuple(events), tuple(delivery.retracted), tuple(delivery.corrections), checkpoints
        ), entry

    def _stored(self, event_ids: Sequence[str]) -> list[Event]:
        """The stored events of these ids that count."""
        return [event for event in self._store.find(event_ids).values() if not event.retracted] if event_ids else []

    def _take(self, name: str, entry: LoadedStudent, edit: Edit, *, again: bool) -> tuple[Checkpoint, ...] | None:
        """Bring a student up to date; the checkpoints to have, None if they stay as they are."""
        before = entry.student.responses
        count = before + len(edit.events) - len(edit.retracted)
        is_late = entry.last is not None and len(edit.events) > 0 and key_of(edit.events[0]) < entry.last
        if not again and not is_late and not edit.retracted and not self._checkpoints.is_due(before, count):
            self._append(entry, edit.events)
            return None
        own = [] if again or is_late or edit.retracted else self._checkpoints.own(name)
        if again:
            made = self._checkpoints.anew(name)
        elif own or not before:
            followed = Followed(*self._followed(name, entry), entry.last)
            made = self._checkpoints.extended(followed, edit.events, own, count)
        else:
            made = self._patched(name, entry, edit) or self._checkpoints.refolded(name, edit, count)
        (entry.student, entry.history, entry.last), checkpoints = made
        return checkpoints

    def _patched(self, name: str, entry: LoadedStudent, edit: Edit) -> Refolded | None:
        """A student with one more event of long ago, where only its skills differ; None if more may."""
        if edit.retracted or len(edit.events) != 1 or not isinstance(entry.student.state, KeepsSkillsApart):
            return None
        return self._patches.patched(Followed(*self._followed(name, entry), entry.last), edit.events[0])

    def _append(self, entry: LoadedStudent, events: Sequence[Event]) -> None:
        """Take in events that are later than all others."""
        if entry.history is not None:
            _, _, entry.last = self._replay.follow(Followed(entry.student, entry.history, entry.last), events)
            return
        for event in events:
            take(entry.student, event)
            entry.last = key_of(event)

    def _followed(self, name: str, entry: LoadedStudent) -> tuple[Student, MasteryHistory]:
        """A student who is out of memory, and what each event did to mastery."""
        if entry.history is None and entry.last is None:
            entry.history = MasteryHistory()
        elif entry.history is None:
            entry.student, entry.history, entry.last = self._checkpoints.replayed(name)
        return entry.student, entry.history

    def _is_written(self, changes: Sequence[Change], entries: Sequence[LoadedStudent]) -> bool:
        """Whether the store took the changes; only then are these students in memory again."""
        if self._store.write(changes):
            return False
        for change, entry in zip(changes, entries, strict=True):
            entry.version = change.version + 1
            self._keep(change.student, entry)
        return True


def _listed(event_ids: Sequence[str]) -> str:
    """Some ids for a message."""
    more = f" and {len(event_ids) - LISTED:,} more" if len(event_ids) > LISTED else ""
    return f"event_id {', '.join(map(repr, event_ids[:LISTED]))}{more}"


def _unreadable(events: Iterator[Event]) -> list[str]:
    """The ids of the events that cannot be read."""
    found: list[str] = []
    while True:
        try:
            if next(events, None) is None:
                return found
        except UnreadableEventError as error:
            found.append(error.event_id)
