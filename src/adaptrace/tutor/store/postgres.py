"""A store in PostgreSQL: many processes, on many machines, share one event log.

A write is one call of a function that is kept in the database: one round trip, so that no lock waits for a client. It locks
students by name, then adds events by id, so that writers wait for each other but never in a circle. Forgetting a student is
one call too: it locks the student's row, or makes one to lock, so that a writer of a first event waits as well.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from adaptrace.errors import StoreError
from adaptrace.kernels.parallel import batches
from adaptrace.tutor.store.base import (
    Change,
    Checkpoint,
    Correction,
    Decision,
    Event,
    Fault,
    StoredState,
    checksum_of,
    event_of,
    skills_of,
)
from adaptrace.tutor.store.postgres_connection import INSTALLED, WAIT_S, understood
from adaptrace.tutor.store.postgres_schema import faults_of, migrate
from adaptrace.tutor.store.snapshot import copy

if INSTALLED:
    import psycopg
    from psycopg_pool import ConnectionPool, PoolClosed, PoolTimeout

    from adaptrace.tutor.store.postgres_connection import QuietConnection

if TYPE_CHECKING:
    Connection = psycopg.Connection[tuple[Any, ...]]

T = TypeVar("T")

CONNECTIONS = 10  # of one store, at most
ATTEMPTS = 5  # at a transaction that the server ends in favour of another
PAGE = 500  # rows held at a time
NEVER = -1  # no student's version

_ADD_DECISIONS = """
    INSERT INTO adaptrace_decisions SELECT * FROM jsonb_populate_recordset(NULL::adaptrace_decisions, %s::jsonb)
    ON CONFLICT DO NOTHING"""
_EVENTS = """
    SELECT student, moment, event_id, item, skills, kind, correct, "group", decision, retracted, checksum
    FROM adaptrace_events WHERE """

_CORRECTIONS = "SELECT original, student, event_id, content FROM adaptrace_corrections WHERE "


class PostgresStore:
    """A store in a PostgreSQL database, safe to use from many threads, processes and machines.

    Parameters
    ----------
    url
        ``postgresql://user@host:port/database``, as libpq reads it, or ``host=... dbname=...``; a driver that is named as in
        ``postgresql+psycopg://`` is ignored. The tables are made where its ``search_path`` says, so that
        ``?options=-csearch_path%3Dname`` gives a schema of its own.

    Raises
    ------
    StoreError
        If psycopg is missing, the server cannot be reached, or its tables are of a newer schema. No message shows the
        password. If the server is lost during a write, read to see whether the write took place; the store
        connects again by itself.
    """

    keeps_states = True

    def __init__(self, url: str) -> None:
        if not INSTALLED:
            raise StoreError('PostgreSQL needs psycopg: pip install "adaptrace[postgres]"')
        (self._place, conninfo), self._process = understood(url), os.getpid()
        self._prepare(conninfo)
        self._pool = ConnectionPool(
            conninfo,
            connection_class=QuietConnection,
            kwargs={"autocommit": True},
            min_size=1,
            max_size=CONNECTIONS,
            open=True,
            timeout=WAIT_S,
            reconnect_timeout=WAIT_S,
        )

    def version(self, student: str) -> int:
        """The version of the student's stored state; 0 if there is none."""
        rows = self._rows("SELECT version FROM adaptrace_students WHERE student = %s", student)
        return rows[0][0] if rows else 0

    def load(self, student: str) -> StoredState | None:
        """The student's stored state; None if there is none."""
        rows = self._rows("SELECT version, model, state FROM adaptrace_students WHERE student = %s", student)
        return StoredState(*rows[0]) if rows else None

    def load_many(self, students: Sequence[str] | None = None) -> Iterator[tuple[str, StoredState]]:
        """The stored states of these students, or of all; ordered by name, in bounded memory."""
        select = "SELECT student, version, model, state FROM adaptrace_students WHERE "
        if students is None:
            rows = self._pages(select + "true", "student")
        else:
            names = batches(sorted(set(students)), PAGE)
            rows = (row for some in names for row in self._rows(select + "student = ANY(%s) ORDER BY student", some))
        for student, *state in rows:
            yield student, StoredState(*state)

    def students(self) -> list[str]:
        """Names of all students, sorted."""
        return [name for (name,) in self._rows("SELECT student FROM adaptrace_students ORDER BY student")]

    def find(self, event_ids: Sequence[str]) -> dict[str, Event]:
        """The stored events of these ids, retracted ones too."""
        events = (
            self._event(row) for some in batches(event_ids, PAGE) for row in self._rows(_EVENTS + "event_id = ANY(%s)", some)
        )
        return {event.event_id: event for event in events}

    def events(self, student: str | None = None, *, after: tuple[int, str] | None = None) -> Iterator[Event]:
        """Events that are not retracted, of one student or of all: by student, moment and event_id; in bounded memory."""
        return map(self._event, self._pages(_EVENTS + "NOT retracted", "student, moment, event_id", student, after))

    def events_on(self, student: str, skills: Collection[tuple[str, ...]], *, after: tuple[int, str] | None) -> Iterator[Event]:
        """Events of a student that are not retracted and have exactly one of these sets of skills: by moment and event_id."""
        sets = "ARRAY(SELECT jsonb_array_elements(%s::jsonb))"
        place, chosen = after or (-(2**63), ""), [json.dumps(list(skills)), student]
        rows = f"{_EVENTS}NOT retracted AND skills = ANY({sets}) AND student = %s AND (moment, event_id) > (%s, %s) ORDER BY 2, 3"
        while found := self._rows(f"{rows} LIMIT {PAGE}", *chosen, *place):
            yield from map(self._event, found)
            place = found[-1][1:3]

    def retracted(self) -> Iterator[Event]:
        """Retracted events of all students: by student, moment and event_id; in bounded memory."""
        return map(self._event, self._pages(_EVENTS + "retracted", "student, moment, event_id"))

    def corrections(self, event_ids: Sequence[str] | None = None) -> list[Correction]:
        """Corrections, and retractions that wait, of these events or of all; by original and student."""
        if event_ids is None:
            found = self._rows(_CORRECTIONS + "true")
        else:
            of = _CORRECTIONS + "original = ANY(%s) OR (content <> '' AND event_id <> '' AND event_id = ANY(%s))"
            found = [row for some in batches(event_ids, PAGE) for row in self._rows(of, some, some)]
        return sorted({Correction(*row) for row in found})

    def checkpoints(self, student: str | None = None) -> Iterator[Checkpoint]:
        """Checkpoints of one student or of all: by student, moment and event_id."""
        select = "SELECT student, moment, event_id, model, content FROM adaptrace_checkpoints WHERE true"
        return (Checkpoint(*row) for row in self._pages(select, "student, moment, event_id", student))

    def write(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """Apply all changes in one transaction, or none; the students whose change does not apply any more."""
        call = [json.dumps(part) for part in (*_gathered(changes), *_gathered_aside(changes))]
        query = b"SELECT adaptrace_write(%s::jsonb, %s::jsonb, %s::jsonb, %s::jsonb, %s::jsonb)"
        stale = {name for (name,) in self._again(lambda connection: connection.execute(query, call).fetchall())}
        return tuple(dict.fromkeys(change.student for change in changes if change.student in stale))

    def wait(self, correction: Correction) -> bool:
        """Keep a correction or retraction until its original comes; False if that came, or another one waits in its place."""
        query, call = b"SELECT adaptrace_wait(%s::jsonb)", [json.dumps(correction._asdict())]
        ((is_kept,),) = self._again(lambda connection: connection.execute(query, call).fetchall())
        return bool(is_kept)

    def forget(self, student: str) -> int:
        """Remove a student's events, state, decisions and all that waits; how many events there were, retracted ones too.

        The server's files, and its backups, hold their bytes until it has vacuumed the tables and written over the log.
        """
        query = b"SELECT adaptrace_forget(%s)"
        ((removed,),) = self._again(lambda connection: connection.execute(query, [student]).fetchall())
        return int(removed)

    def decide(self, decisions: Iterable[Decision]) -> None:
        """Store decisions; of two with one id, the first."""
        with self._connected() as connection, connection.transaction():
            for some in batches(decisions, PAGE):
                connection.execute(_ADD_DECISIONS, [json.dumps([decision._asdict() for decision in sorted(some)])])

    def decided(self, decision_id: str) -> Decision | None:
        """The decision of that id; None if there is none."""
        rows = self._rows("SELECT student, moment, content FROM adaptrace_decisions WHERE decision_id = %s", decision_id)
        return Decision(decision_id, *rows[0]) if rows else None

    def decisions(self, student: str | None = None) -> Iterator[Decision]:
        """Decisions of one student or of all: by student, moment and id."""
        select = "SELECT student, moment, decision_id, content FROM adaptrace_decisions WHERE true"
        for name, moment, decision_id, content in self._pages(select, "student, moment, decision_id", student):
            yield Decision(decision_id, name, moment, content)

    def exposures(self) -> tuple[int, dict[str, int]]:
        """How many recommendations were counted, and how many of each item."""
        rows = self._rows("SELECT total, item, shown FROM adaptrace_exposed LEFT JOIN adaptrace_exposures ON true ORDER BY item")
        return rows[0][0], {item: shown for _, item, shown in rows if item is not None}

    def expose(self, items: Sequence[str], rate: float) -> tuple[str, ...]:
        """Count one recommendation of each item, unless an item is shown too often; the items that are."""
        call = (list(dict.fromkeys(items)), rate)
        query = b"SELECT adaptrace_expose(%s::text[], %s)"
        return tuple(item for (item,) in self._again(lambda connection: connection.execute(query, call).fetchall()))

    def snapshot(self, path: str | os.PathLike[str]) -> None:
        """Write a consistent copy as an SQLite store, whole or not at all, while others go on reading and writing.

        Raises
        ------
        OutputError
            If there is a file already, or it cannot be written.
        """
        with self._connected() as connection, connection.transaction():
            connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            copy(_Frozen(connection, self._place), path)

    def faults(self) -> Iterator[Fault]:
        """What is wrong with the tables, and events of nobody; nothing is changed."""
        self._rows("SELECT 1")  # a server that is gone is an error, no finding
        return faults_of(self._rows)

    def close(self) -> None:
        """Close the connections; a second call does nothing."""
        if self._process == os.getpid():
            self._pool.close()

    def _prepare(self, conninfo: str) -> None:
        try:
            with QuietConnection.connect(conninfo, autocommit=True) as connection:
                migrate(connection, self._place)
        except psycopg.Error as error:
            raise self._failure(error) from error

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        """A connection of the pool; whatever the server refuses is a StoreError."""
        if self._process != os.getpid():
            raise StoreError(f"{self._place}: opened in process {self._process}, this is its fork; open it again here")
        try:
            with self._pool.connection() as connection:
                yield connection
        except (psycopg.Error, UnicodeEncodeError) as error:
            if isinstance(error, psycopg.OperationalError) and not isinstance(error, PoolClosed | PoolTimeout):
                self._pool.check()  # a server that went away took the other connections too
            raise self._failure(error) from error

    def _failure(self, error: Exception) -> StoreError:
        brief = str(error).splitlines()[0].strip().rstrip(".")
        text = f"{brief}; check the server and the rights of its user"
        if isinstance(error, PoolClosed):
            text = "the store is closed; open it again"
        elif isinstance(error, PoolTimeout):
            text = f"no connection within {WAIT_S} s; check that the server runs and has enough connections"
        elif isinstance(error, psycopg.DataError | UnicodeEncodeError):
            text = f"PostgreSQL cannot store a value: {brief}; remove NUL characters and half surrogate pairs"
        return StoreError(f"{self._place}: {text}")

    def _again(self, work: Callable[[Connection], T]) -> T:
        """Do the work; do it again if the server ended it in favour of another transaction."""
        errors = psycopg.errors
        with self._connected() as connection:
            for _ in range(ATTEMPTS - 1):
                with contextlib.suppress(errors.UniqueViolation, errors.DeadlockDetected, errors.SerializationFailure):
                    return work(connection)
            return work(connection)

    def _rows(self, query: str, *values: object) -> list[tuple[Any, ...]]:
        with self._connected() as connection:
            return connection.execute(query.encode(), values).fetchall()

    def _event(self, row: tuple[Any, ...]) -> Event:
        return event_of(row, skills_of(row[4]), self._place)

    def _pages(
        self, select: str, order: str, student: str | None = None, after: tuple[int, str] | None = None
    ) -> Iterator[tuple[Any, ...]]:
        """All rows, in the order of their first columns; no connection is held between two pages."""
        keys = order.count(",") + 1
        chosen: tuple[object, ...] = ()
        if student is not None:
            select, chosen = select + " AND student = %s", (student,)
        query, values = f"{select} ORDER BY {order} LIMIT {PAGE}", chosen
        further = f"{select} AND ({order}) > ({', '.join(['%s'] * keys)}) ORDER BY {order} LIMIT {PAGE}"
        if after is not None:
            query, values = further, (*chosen, student, *after)
        while rows := self._rows(query, *values):
            yield from rows
            query, values = further, chosen + rows[-1][:keys]


class _Frozen(PostgresStore):
    """The store as one transaction sees it."""

    def __init__(self, connection: Connection, place: str) -> None:
        self._connection, self._place = connection, place

    @contextlib.contextmanager
    def _connected(self) -> Iterator[Connection]:
        yield self._connection


def _gathered(changes: Sequence[Change]) -> tuple[list[dict[str, Any]], list[dict[str, Any]], list[dict[str, Any]]]:
    """The parameters of a write: students, events, retractions. A change that contradicts an earlier one is since ``NEVER``."""
    moves: dict[str, dict[str, Any]] = {}
    events: dict[str, dict[str, Any]] = {}
    retractions: dict[str, str] = {}
    for student, version, model, state, new, gone, *_ in changes:
        move = moves.setdefault(student, {"student": student, "since": version, "version": version})
        fits = move["version"] == version
        for event in new:
            fits &= event.event_id not in events
            events[event.event_id] = {**event._asdict(), "checksum": checksum_of(event)}
        for event_id in gone:
            own = events.get(event_id, {"student": student, "retracted": event_id in retractions})
            fits &= own["student"] == student and not own["retracted"]
            own["retracted"] = True
            if event_id not in events:
                retractions[event_id] = student
        move.update(since=move["since"] if fits else NEVER, version=version + 1, model=model, state=state)
    return list(moves.values()), list(events.values()), [{"event_id": key, "student": name} for key, name in retractions.items()]


def _gathered_aside(changes: Sequence[Change]) -> tuple[list[dict[str, str]], dict[str, list[dict[str, Any]]]]:
    """The other parameters of a write: corrections, and per student the checkpoints to have."""
    corrections = [{**each._asdict(), "writer": change.student} for change in changes for each in change.corrections]
    kept = {change.student: change.checkpoints for change in changes if change.checkpoints is not None}
    return corrections, {student: [each._asdict() for each in checkpoints] for student, checkpoints in kept.items()}
