"""What a tutor stores, and the protocol that every store follows.

The events are the truth; a student's state is a cache of them, written in the same transaction. Stores know nothing of
models: a state is text to them, with the fingerprint of the model that made it. A student's events are in the order of
(``moment``, ``event_id``), so that order does not depend on which arrived first.

Writers are optimistic: a :class:`Change` says from which version of the student it was made, and does not apply if
the student was changed since, in this process or another.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol
from zlib import crc32

from adaptrace.data.times import FIRST, LAST, time_of
from adaptrace.errors import UnreadableEventError
from adaptrace.io.tables import is_whole_text


class Event(NamedTuple):
    """Something that a student did: a response, or evidence of another kind."""

    event_id: str
    student: str
    item: str
    skills: tuple[str, ...]  # sorted, distinct, at least one
    kind: str
    correct: float  # in [0, 1]
    moment: int  # microseconds since 1970, UTC
    group: str = ""  # the student's class or school then
    decision: str = ""  # the id of the decision that it answers, if any
    retracted: bool = False  # it stays, so that a second delivery is recognised


def event_of(row: Sequence[Any], skills: tuple[str, ...], place: str) -> Event:
    """The event of a durable store's row, in the order of its index: student, moment, event_id, item, skills, kind, ...

    Raises
    ------
    UnreadableEventError
        If something else stands where a text, a number or names should be, or the row is not of its checksum.
    """
    student, moment, event_id, item, _, kind, correct, group, decision, retracted, checksum = row
    are_texts = type(student) is type(event_id) is type(item) is type(kind) is type(group) is type(decision) is str
    if not (
        are_texts
        and skills
        and type(moment) is int
        and FIRST <= moment <= LAST
        and type(correct) is float
        and 0.0 <= correct <= 1.0
    ):
        raise UnreadableEventError(place, str(event_id))
    event = Event(event_id, student, item, skills, kind, correct, moment, group, decision, bool(retracted))
    if checksum is not None and checksum != checksum_of(event):
        raise UnreadableEventError(place, event_id)
    return event


def checksum_of(event: Event) -> int:
    """CRC-32 of all that never changes of an event: everything but whether it is retracted."""
    event_id, student, item, skills, kind, correct, moment, group, decision, _ = event
    outcome, practised = repr(correct or 0.0), "\x1f".join(skills)  # SQLite and JSON know no -0.0
    text = f"{event_id}\0{student}\0{item}\0{practised}\0{kind}\0{outcome}\0{moment}\0{group}\0{decision}"
    return crc32(text.encode(errors="surrogatepass"))


def describe(event: Event) -> str:
    """What an event says, for a message; without the student's name, which does not belong into a log."""
    time = time_of(event.moment)
    return f"{event.item}, {event.kind} {event.correct:g} on {' and '.join(event.skills)} at {time.isoformat()}"


def skills_of(found: object) -> tuple[str, ...]:
    """The names of an event's skills, as a durable store read them; an empty tuple if they are anything else."""
    names = found if isinstance(found, list) else []
    return tuple(names) if all(isinstance(name, str) and is_whole_text(name) for name in names) else ()


class StoredState(NamedTuple):
    """A student's state as it is stored."""

    version: int  # one more with every write; after a student was forgotten, one that was never used before
    model: str  # fingerprint of the model that made the state
    state: str


class Correction(NamedTuple):
    """A correction of an event, or a retraction that waits for its event."""

    original: str  # the event that is corrected or retracted
    student: str  # "" of a retraction: nobody knows yet whose event it is
    event_id: str  # of the event that replaces it; "" of a retraction, and where an older version did not note it
    content: str = ""  # what waits for the original; "" once it is applied


class Checkpoint(NamedTuple):
    """A student as of an event, kept so that what comes late needs no replay of all before: a cache, like the state."""

    student: str
    moment: int  # of the last event in it
    event_id: str
    model: str  # fingerprint of the model that made it
    content: str


class Change(NamedTuple):
    """What happened to one student, and the state it led to: applied whole or not at all."""

    student: str
    version: int  # of the state it was made from; 0 for a student who is not in the store
    model: str
    state: str
    events: tuple[Event, ...] = ()  # new ones
    retracted: tuple[str, ...] = ()  # ids of stored events of this student
    corrections: tuple[Correction, ...] = ()  # applied with it; one with a content must wait until then
    checkpoints: tuple[Checkpoint, ...] | None = None  # all that the student is to have; None: leave them as they are


class Decision(NamedTuple):
    """A recommendation that was recorded."""

    decision_id: str
    student: str
    moment: int  # microseconds since 1970, UTC
    content: str  # JSON


class Fault(NamedTuple):
    """Something in a store that is not as it should be, or that people should know."""

    check: str  # what was looked at: file, events, states, ...
    id: str | None  # of the event or decision
    got: str
    remedy: str
    student: str | None = None
    is_wrong: bool = True  # False: a note


RESTORE = "restore a snapshot"
STRAY = Fault("events", None, "an event of a student who is not in the store", RESTORE)


def unchecked(number: int) -> Iterator[Fault]:
    """The note of so many events without a checksum."""
    if number:
        got = f"{number:,} without a checksum, since an older version wrote them: only their form was checked"
        yield Fault("events", None, got, "nothing to do", is_wrong=False)


class Store(Protocol):
    """A durable event log with states; safe to use from many threads.

    Every method raises :class:`~adaptrace.errors.StoreError` if the store cannot be read or written (disk full, read-only,
    closed, server gone); the store is then as it was before the call.

    Attributes
    ----------
    keeps_states
        Whether states are stored: a store that is lost with the process makes them from its events again.
    """

    keeps_states: bool

    def version(self, student: str) -> int:
        """The version of the student's stored state; 0 if there is none."""

    def load(self, student: str) -> StoredState | None:
        """The student's stored state; None if there is none."""

    def load_many(self, students: Sequence[str] | None = None) -> Iterator[tuple[str, StoredState]]:
        """The stored states of these students, or of all; ordered by name, in bounded memory."""

    def students(self) -> list[str]:
        """Names of all students, sorted."""

    def find(self, event_ids: Sequence[str]) -> dict[str, Event]:
        """The stored events of these ids, retracted ones too."""

    def events(self, student: str | None = None, *, after: tuple[int, str] | None = None) -> Iterator[Event]:
        """Events that are not retracted, of one student or of all: by student, moment and event_id; in bounded memory.

        Of one student: those ``after`` a moment and event_id.
        """

    def events_on(self, student: str, skills: Collection[tuple[str, ...]], *, after: tuple[int, str] | None) -> Iterator[Event]:
        """Events of a student that are not retracted and have exactly one of these sets of skills: by moment and event_id."""

    def retracted(self) -> Iterator[Event]:
        """Retracted events of all students: by student, moment and event_id; in bounded memory."""

    def corrections(self, event_ids: Sequence[str] | None = None) -> list[Correction]:
        """All corrections and retractions that wait, or are kept as a note, of all events; by original and student.

        Of these ids: those of them as the original, and those that wait and that they would be the correction of.
        """

    def checkpoints(self, student: str | None = None) -> Iterator[Checkpoint]:
        """Checkpoints of one student or of all: by student, moment and event_id."""

    def write(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """Apply all changes, of different students, in one transaction, or none.

        Returns
        -------
        tuple of str
            The students whose change does not apply any more, since their version moved on, an ``event_id`` is stored or waits
            already, something that the change does not apply waits for one of its events, or one of its originals has another
            correction: then nothing was written. Empty: everything is durable.
        """

    def wait(self, correction: Correction) -> bool:
        """Keep a correction or retraction until its original comes; False if that came, or another one waits in its place."""

    def forget(self, student: str) -> int:
        """Remove a student's events, state, decisions and all that waits; how many events there were."""

    def decide(self, decisions: Iterable[Decision]) -> None:
        """Store decisions; of two with one id, the first."""

    def decided(self, decision_id: str) -> Decision | None:
        """The decision of that id; None if there is none."""

    def decisions(self, student: str | None = None) -> Iterator[Decision]:
        """Decisions of one student or of all: by student, moment and id."""

    def exposures(self) -> tuple[int, dict[str, int]]:
        """How many recommendations were counted, and how many of each item."""

    def expose(self, items: Sequence[str], rate: float) -> tuple[str, ...]:
        """Count one recommendation of each item, unless an item is shown too often: the exposure cap of adaptive tests.

        An item is counted while its count is below 1 + ``rate`` times the count of all items before this call, whatever other
        threads and processes do.

        Returns
        -------
        tuple of str
            The items that are shown too often: then nothing was counted. Empty: all were counted.
        """

    def snapshot(self, path: str | os.PathLike[str]) -> None:
        """Write a consistent copy as an SQLite store while others go on; it is there once it was read again and found equal."""

    def faults(self) -> Iterator[Fault]:
        """What is wrong with the file or the tables, events of nobody, and how many have no checksum; nothing is changed."""

    def close(self) -> None:
        """Close files and connections; a second call does nothing."""
