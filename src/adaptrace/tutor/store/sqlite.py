"""A store in one SQLite file: many threads and processes of one machine, durable, no server.

The file is in WAL mode. Threads that write at the same time share one transaction and one wait for the disk
(:mod:`adaptrace.tutor.store.group_commit`). Removed rows are overwritten with zeros.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Literal

from adaptrace.errors import StoreError
from adaptrace.io.atomic import sweep
from adaptrace.tutor.store import sqlite_statements as sql
from adaptrace.tutor.store.base import Change, Checkpoint, Correction, Decision, Event, Fault, StoredState
from adaptrace.tutor.store.snapshot import copy_file
from adaptrace.tutor.store.sqlite_connections import ERRORS, ReadingConnection, WritingConnection
from adaptrace.tutor.store.sqlite_faults import faults_of
from adaptrace.tutor.store.sqlite_file import SQLiteFile, connect, make
from adaptrace.tutor.store.sqlite_rows import (
    Values,
    decision_of_row,
    event_of_row,
    row_of_event,
    state_of_row,
    text_of,
    text_of_skills,
    version_of,
)
from adaptrace.tutor.store.urls import file_of

PAGE = 2000  # events fetched at once
STATES = 200  # states fetched at once, up to 20 kB each
NAMES = 500  # names asked for at once


class SQLiteStore:
    """A :class:`~adaptrace.tutor.store.base.Store` in one file, which is made if there is none.

    Parameters
    ----------
    path
        The file; SQLite keeps two more beside it while it is open, ``-wal`` and ``-shm``. Not on a network disk.
    durability
        ``"normal"``: what was written survives the end of the process, however it ends; ``"full"``: also a power cut, at the
        price of a wait for the disk with every transaction.

    Raises
    ------
    StoreError
        If the file cannot be opened, is not a store, or is of a newer schema.

    Examples
    --------
    >>> import tempfile
    >>> folder = tempfile.TemporaryDirectory()
    >>> store = SQLiteStore(f"{folder.name}/tutor.db")
    >>> store.write([Change("Ada", 0, "model", "state", (Event("e1", "Ada", "q1", ("halves",), "practice", 1.0, 0),))])
    ()
    >>> store.load("Ada")
    StoredState(version=1, model='model', state='state')
    >>> store.close()
    >>> folder.cleanup()
    """

    keeps_states = True

    def __init__(self, path: str | os.PathLike[str], *, durability: Literal["normal", "full"] = "normal") -> None:
        if durability not in ("normal", "full"):
            raise ValueError(f"durability: got {durability!r}; expected 'normal' or 'full'")
        self.path = os.path.abspath(file_of(path))
        self._file = SQLiteFile(self.path)
        sweep(os.path.dirname(self.path))  # snapshots that were killed
        with contextlib.ExitStack() as opened:
            try:
                make(self.path)
                self._writer = WritingConnection(
                    self._file, opened.enter_context(contextlib.closing(connect(self.path))), durability
                )
                self._reader = ReadingConnection(self._file, opened.enter_context(contextlib.closing(connect(self.path))))
            except ERRORS as error:
                raise self._file.error("opened", error) from error
            opened.pop_all()

    # ---- reading ------------------------------------------------------------

    def version(self, student: str) -> int:
        """The version of the student's stored state; 0 if there is none."""
        rows = self._reader.rows("SELECT version FROM students WHERE student = ?", (student,))
        return version_of(rows[0][0]) if rows else 0

    def load(self, student: str) -> StoredState | None:
        """The student's stored state; None if there is none."""
        rows = self._reader.rows("SELECT version, model, state FROM students WHERE student = ?", (student,))
        return state_of_row(rows[0]) if rows else None

    def load_many(self, students: Sequence[str] | None = None) -> Iterator[tuple[str, StoredState]]:
        """The stored states of these students, or of all; ordered by name, in bounded memory."""
        rows = self._states() if students is None else self._named(sql.STATES_OF, sorted(set(students)), STATES)
        return map(self._state, rows)  # one that cannot be read does not end it

    def _states(self) -> Iterator[Values]:
        name = ""
        while rows := self._reader.rows(sql.STATES, (name, STATES)):
            yield from rows
            name = rows[-1][0] + "\0"  # the first that may follow

    def students(self) -> list[str]:
        """Names of all students, sorted."""
        return [self._name(name) for (name,) in self._reader.rows("SELECT student FROM students ORDER BY 1")]

    def find(self, event_ids: Sequence[str]) -> dict[str, Event]:
        """The stored events of these ids, retracted ones too."""
        return {row[2]: self._event(row) for row in self._named(sql.EVENTS_BY_ID, event_ids, NAMES)}

    def events(self, student: str | None = None, *, after: tuple[int, str] | None = None) -> Iterator[Event]:
        """Events that are not retracted, of one student or of all: by student, moment and event_id; in bounded memory."""
        return map(self._event, self._pages(sql.EVENTS if student is None else sql.EVENTS_OF, student, after))

    def events_on(self, student: str, skills: Collection[tuple[str, ...]], *, after: tuple[int, str] | None) -> Iterator[Event]:
        """Events of a student that are not retracted and have exactly one of these sets of skills: by moment and event_id."""
        texts = json.dumps([text_of_skills(each) for each in skills])
        return map(self._event, self._pages(sql.EVENTS_ON, student, after, (texts,)))

    def retracted(self) -> Iterator[Event]:
        """Retracted events of all students: by student, moment and event_id; in bounded memory."""
        return map(self._event, self._pages(sql.RETRACTED))

    def decided(self, decision_id: str) -> Decision | None:
        """The decision of that id; None if there is none."""
        return next(map(self._decision, self._reader.rows(f"{sql.DECIDED} decision_id = ?", (decision_id,))), None)

    def decisions(self, student: str | None = None) -> Iterator[Decision]:
        """Decisions of one student or of all: by student, moment and id; in bounded memory."""
        return map(self._decision, self._pages(sql.DECISIONS if student is None else sql.DECISIONS_OF, student))

    def corrections(self, event_ids: Sequence[str] | None = None) -> list[Correction]:
        """Corrections, and retractions that wait, of these events or of all; by original and student."""
        if event_ids is None:
            found = self._reader.rows(sql.CORRECTIONS)
        else:
            found = [*self._named(sql.CORRECTIONS_OF, event_ids, NAMES), *self._named(sql.CORRECTIONS_BY, event_ids, NAMES)]
        return sorted({Correction(*map(self._text, row)) for row in found})

    def checkpoints(self, student: str | None = None) -> Iterator[Checkpoint]:
        """Checkpoints of one student or of all: by student, moment and event_id."""
        names = self.students() if student is None else [student]
        for name in names:
            for row in self._reader.rows(f"{sql.CHECKPOINTS} WHERE student = ? ORDER BY 2, 3", (name,)):
                yield Checkpoint(*row)

    def exposures(self) -> tuple[int, dict[str, int]]:
        """How many recommendations were counted, and how many of each item."""
        rows = self._reader.rows("SELECT NULL, total FROM exposed UNION ALL SELECT item, count FROM exposures")
        counts = dict(rows)
        return counts.pop(None), counts

    def _pages(
        self, statement: str, student: str | None = None, after: tuple[int, str] | None = None, more: Values = ()
    ) -> Iterator[Values]:
        """Rows that begin with student, moment and id, in that order."""
        start: Values = (sql.FIRST[0] if student is None else student, *(after or sql.FIRST[1:]))
        while rows := self._reader.rows(statement, (*start, *more, PAGE)):
            yield from rows
            if len(rows) < PAGE:
                return  # what fits into a page is read at one moment
            start = rows[-1][:3]

    def _named(self, statement: str, names: Sequence[str], size: int) -> Iterator[Values]:
        for start in range(0, len(names), size):
            some = names[start : start + size]
            yield from self._reader.rows(f"{statement} ({sql.marks(some)}) ORDER BY student", some)

    def _event(self, row: Values) -> Event:
        return event_of_row(row, self.path)

    def _decision(self, row: Values) -> Decision:
        return decision_of_row(row, self.path)

    def _state(self, row: Values) -> tuple[str, StoredState]:
        return self._name(row[0]), state_of_row(row[1:])

    def _name(self, found: object) -> str:
        return text_of(found, f"{self.path}: a student's name")

    def _text(self, found: object) -> str:
        return text_of(found, f"{self.path}: a correction")

    # ---- writing ------------------------------------------------------------

    def write(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """Apply all changes in one transaction, or none; the students whose change does not apply any more."""

        def apply(connection: sqlite3.Connection) -> tuple[str, ...]:
            return tuple(dict.fromkeys([change.student for change in changes if not _applies(connection, change)]))

        return self._writer.commit(apply)

    def wait(self, correction: Correction) -> bool:
        """Keep a correction or retraction until its original comes; False if that came, or another one waits in its place."""

        def add(connection: sqlite3.Connection) -> tuple[str, ...]:
            return () if connection.execute(sql.WAIT, correction).rowcount else (correction.student,)

        return not self._writer.commit(add)

    def decide(self, decisions: Iterable[Decision]) -> None:
        """Store decisions; of two with one id, the first."""
        rows = list(decisions)

        def add(connection: sqlite3.Connection) -> tuple[str, ...]:
            connection.executemany(sql.ADD_DECISION, rows)
            return ()

        self._writer.commit(add)

    def expose(self, items: Sequence[str], rate: float) -> tuple[str, ...]:
        """Count one recommendation of each item, unless an item is shown too often; the items that are."""
        shown = list(dict.fromkeys(items))

        def count(connection: sqlite3.Connection) -> tuple[str, ...]:
            total = connection.execute("SELECT total FROM exposed").fetchone()[0]
            counts = dict(connection.execute(f"SELECT * FROM exposures WHERE item IN ({sql.marks(shown)})", shown).fetchall())
            connection.executemany(sql.EXPOSE, [(item, 1) for item in shown])
            connection.execute("UPDATE exposed SET total = total + ?", (len(shown),))
            return tuple(item for item in shown if counts.get(item, 0) >= 1 + rate * total)

        return self._writer.commit(count)

    def forget(self, student: str) -> int:
        """Remove a student's events, state, decisions and all that waits, so that no byte of the name is left.

        Nor is one left beside the file, where killed snapshots may have left some; whole snapshots stay as they are.

        This rewrites the file. Others read meanwhile, but writers wait: about a second for 300 MB.

        Returns
        -------
        int
            How many events there were, retracted ones too.

        Raises
        ------
        StoreError
            Also if the student is removed, but another process still reads, so that bytes may be left.
        """
        removed = []

        def remove(connection: sqlite3.Connection) -> tuple[str, ...]:
            connection.execute(sql.LEAVE_VERSIONS, (student,))
            connection.execute(sql.LEAVE_NO_RETRACTIONS, {"student": student})
            for table in ("students", "decisions", "checkpoints", "corrections", "events"):
                removed.append(connection.execute(f"DELETE FROM {table} WHERE student = ?", (student,)).rowcount)
            return ()

        self._writer.commit(remove)
        sweep(os.path.dirname(self.path))
        with self._writer.alone() as connection:
            self._overwrite(connection)
        return removed[-1]

    def _overwrite(self, connection: sqlite3.Connection) -> None:
        """Rewrite all pages: rows that SQLite moved to another page once have left copies, in spite of ``secure_delete``."""
        try:
            connection.execute("VACUUM")
            is_in_use = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.Error as error:
            raise self._file.error("rewritten; the student is removed, but bytes may be left", error) from error
        if is_in_use:
            raise StoreError(
                f"{self.path}: the student is removed, but another process reads an older state, so that bytes may be left in "
                f"{self.path}-wal; forget the student again when it has ended"
            )

    # ---- checking, copying, closing -----------------------------------------

    def faults(self) -> Iterator[Fault]:
        """What is wrong with the file or the tables, and events of nobody; nothing is changed."""
        with self._reader.lock:
            self._file.check_open()
        return faults_of(self.path, self._reader)

    def snapshot(self, path: str | os.PathLike[str]) -> None:
        """Write a consistent copy as another store, whole or not at all, while others go on reading and writing.

        Raises
        ------
        OutputError
            If there is a file already, or it cannot be written.
        """
        with self._reader.lock:
            self._file.check_open()
        copy_file(self.path, path)

    def close(self) -> None:
        """Close the file; the last to do so brings the WAL into it. A second call does nothing."""
        with self._writer.lock, self._reader.lock:
            if self._file.is_closed or not self._file.is_ours:
                return
            self._file.is_closed = True
            self._reader.connection.close()
            self._writer.connection.close()


def _applies(connection: sqlite3.Connection, change: Change) -> bool:
    """Write a change; False if that is to be undone."""
    student, version, model, state, events, retracted, corrections, checkpoints = change
    execute = connection.execute
    if version:
        moved = execute(sql.MOVE, (model, state, student, version)).rowcount
    else:
        moved = execute(sql.NEW_STUDENT, (student, model, state)).rowcount
    if not moved:
        return False
    if checkpoints is not None:
        execute("DELETE FROM checkpoints WHERE student = ?", (student,))
        connection.executemany(sql.ADD_CHECKPOINT, checkpoints)
    waited = [each for each in corrections if each.content or not each.student]
    done = [execute(sql.APPLY_WAITING if each.student else sql.APPLY_RETRACTION, each[:3]) for each in waited]
    done += [execute(sql.NEW_EVENT, row_of_event(event)) for event in events]  # none if anything still waits for one of them
    done += [execute(sql.RETRACT, (event_id, student)) for event_id in retracted]
    done += [execute(sql.APPLY_CORRECTION, each[:3]) for each in corrections if each not in waited]
    return all(each.rowcount for each in done)
