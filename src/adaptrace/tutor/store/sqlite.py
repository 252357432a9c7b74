"""A store in one SQLite file: many threads and processes of one machine, durable, no server.

The file is in WAL mode. One connection writes, another reads, so that no reader waits for a disk. Threads that write at the
same time share one transaction and one wait for the disk (:mod:`adaptrace.tutor.store.group_commit`). Removed rows are
overwritten with zeros.
"""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal, Protocol

from adaptrace.errors import OutputError, StoreError
from adaptrace.io.atomic import replacing
from adaptrace.tutor.store.base import Change, Decision, Event, Kept, event_of, skills_of
from adaptrace.tutor.store.group_commit import Commits, Job
from adaptrace.tutor.store.urls import file_of

APPLICATION = 0x41545243  # "ATRC", in the header of every store
MIGRATIONS = (
    """
    CREATE TABLE students (student TEXT NOT NULL, version INTEGER NOT NULL, model TEXT NOT NULL, state TEXT NOT NULL);
    CREATE UNIQUE INDEX students_student ON students (student);
    CREATE TABLE events (
        student TEXT NOT NULL, moment INTEGER NOT NULL, event_id TEXT NOT NULL, item TEXT NOT NULL, skills TEXT NOT NULL,
        kind TEXT NOT NULL, correct REAL NOT NULL, "group" TEXT NOT NULL, decision TEXT NOT NULL, retracted INTEGER NOT NULL,
        PRIMARY KEY (student, moment, event_id)
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX events_event_id ON events (event_id);
    CREATE INDEX events_retracted ON events (student, moment, event_id) WHERE retracted = 1;
    CREATE TABLE decisions (
        student TEXT NOT NULL, moment INTEGER NOT NULL, decision_id TEXT NOT NULL, content TEXT NOT NULL
    );
    CREATE UNIQUE INDEX decisions_decision_id ON decisions (decision_id);
    CREATE UNIQUE INDEX decisions_order ON decisions (student, moment, decision_id);
    CREATE TABLE exposures (item TEXT NOT NULL PRIMARY KEY, count INTEGER NOT NULL) WITHOUT ROWID;
    CREATE TABLE exposed (total INTEGER NOT NULL);
    INSERT INTO exposed VALUES (0);
    CREATE TABLE first_version (version INTEGER NOT NULL);  -- of the next new student: none that a forgotten one had
    INSERT INTO first_version VALUES (1);
    """,
)
"""The n-th brings a store of schema n to n + 1; none that was released is ever changed."""

BUSY_SECONDS = 10.0  # that another process may hold the file
PAGE = 2000  # events fetched at once
STATES = 200  # states fetched at once, up to 20 kB each
NAMES = 500  # names asked for at once
PATIENCE = 0.005  # seconds, at most, that a transaction waits for more threads to share a wait for the disk
CHECKPOINT = 4000  # pages of the WAL, 16 MB

_ROW = 'student, moment, event_id, item, skills, kind, correct, "group", decision, retracted'
_FIRST = ("", -(2**63), "")  # before every (student, moment, id)
_EVENTS = f"SELECT {_ROW} FROM events WHERE (student, moment, event_id) > (?, ?, ?) AND retracted = 0 ORDER BY 1, 2, 3 LIMIT ?"
_RETRACTED = _EVENTS.replace("retracted = 0", "retracted = 1")
_EVENTS_OF = (
    f"SELECT {_ROW} FROM events WHERE student = ? AND (moment, event_id) > (?, ?) AND retracted = 0 ORDER BY 2, 3 LIMIT ?"
)
_EVENTS_BY_ID = f"SELECT {_ROW} FROM events WHERE event_id IN"
_DECIDED = "SELECT student, moment, decision_id, content FROM decisions WHERE"
_DECISIONS = f"{_DECIDED} (student, moment, decision_id) > (?, ?, ?) ORDER BY 1, 2, 3 LIMIT ?"
_DECISIONS_OF = f"{_DECIDED} student = ? AND (moment, decision_id) > (?, ?) ORDER BY 2, 3 LIMIT ?"
_STATES = "SELECT student, version, model, state FROM students WHERE student >= ? ORDER BY 1 LIMIT ?"
_STATES_OF = "SELECT student, version, model, state FROM students WHERE student IN"
_ADD_EVENT = f"INSERT INTO events ({_ROW}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"
_RETRACT = "UPDATE events SET retracted = 1 WHERE event_id = ? AND student = ? AND retracted = 0"
_MOVE = "UPDATE students SET version = version + 1, model = ?, state = ? WHERE student = ? AND version = ?"
_ADD_STUDENT = "INSERT INTO students (student, version, model, state) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_NEW_STUDENT = "INSERT INTO students SELECT ?, version, ?, ? FROM first_version WHERE true ON CONFLICT DO NOTHING"
_LEAVE_VERSIONS = (
    """UPDATE first_version SET version = max(version, 1 + v) FROM (SELECT version AS v FROM students WHERE student = ?)"""
)
_ADD_DECISION = "INSERT INTO decisions (decision_id, student, moment, content) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING"
_EXPOSE = "INSERT INTO exposures VALUES (?, ?) ON CONFLICT DO UPDATE SET count = count + excluded.count"

Values = Sequence[Any]
_NAME = "a student's name"


# ---- rows -------------------------------------------------------------------


_as_text = lru_cache(4096)(json.dumps)


@lru_cache(4096)
def _as_skills(text: str) -> tuple[str, ...]:
    try:
        return skills_of(json.loads(text))
    except (ValueError, RecursionError):
        return ()


def _row_of(event: Event) -> Values:
    event_id, student, item, skills, kind, correct, moment, group, decision, retracted = event
    return student, moment, event_id, item, _as_text(skills), kind, correct, group, decision, int(retracted)


def _text_or_bytes(found: bytes) -> str | bytes:
    """A text; bytes that are no text as they are."""
    try:
        return found.decode()
    except UnicodeDecodeError:
        return found


def _rows(connection: sqlite3.Connection, sql: str, values: Values) -> list[Any]:
    try:
        return connection.execute(sql, values).fetchall()
    except sqlite3.OperationalError as error:
        if hasattr(error, "sqlite_errorcode"):
            raise
    connection.text_factory = _text_or_bytes  # the error was of Python's module: a text is not UTF-8
    try:
        return connection.execute(sql, values).fetchall()
    finally:
        connection.text_factory = str


def _kept_of(row: Values) -> Kept:
    """A stored state; what is no text is no state."""
    version, model, state = row
    return Kept(version, model if isinstance(model, str) else "", state if isinstance(state, str) else "")


def _marks(values: Sequence[str]) -> str:
    return ", ".join("?" * len(values))


# ---- files ------------------------------------------------------------------


def _connect(path: str) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    number: int = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
    return number


def _make(path: str) -> None:
    """Prepare the file, with a connection that ends: one that saw another process switch to WAL may keep a lock for good."""
    with contextlib.closing(_connect(path)) as connection:
        _prepare(connection, path)
        _use_wal(connection)


def _prepare(connection: sqlite3.Connection, path: str) -> None:
    """Bring a store, or a new file, to the schema of this version; refuse any other file."""
    connection.execute("BEGIN")  # another process may be making it: see all of that or nothing
    schema = _schema_of(connection, path)
    connection.execute("COMMIT")
    if schema == len(MIGRATIONS):
        return  # without a write, so that a read-only file can be read
    connection.execute("BEGIN IMMEDIATE")
    for number in range(_schema_of(connection, path), len(MIGRATIONS)):
        _run_script(connection, MIGRATIONS[number])
        connection.execute(f"PRAGMA application_id = {APPLICATION}")
        connection.execute(f"PRAGMA user_version = {number + 1}")
    connection.execute("COMMIT")


def _schema_of(connection: sqlite3.Connection, path: str) -> int:
    application, schema = _number(connection, "application_id"), _number(connection, "user_version")
    is_new = not connection.execute("SELECT count(*) FROM sqlite_master").fetchone()[0] and not application
    if not is_new and application != APPLICATION:
        raise StoreError(
            f"{path}: an SQLite file of another program (application_id {application:#x}); expected a store of adaptrace: "
            "choose another path"
        )
    if schema > len(MIGRATIONS):
        raise StoreError(f"{path}: schema {schema}, this version reads up to {len(MIGRATIONS)}; upgrade adaptrace")
    return schema


def _run_script(connection: sqlite3.Connection, script: str) -> None:
    """Within the transaction, which ``executescript`` would commit."""
    statement = ""
    for piece in script.split(";"):
        statement += f"{piece};"
        if sqlite3.complete_statement(statement):
            connection.execute(statement)
            statement = ""


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch the file to WAL; SQLite does not wait for others here, so this does."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)


_REMEDIES = {
    sqlite3.SQLITE_FULL: "free space on the disk and try again; nothing of this call was written",
    sqlite3.SQLITE_IOERR: "check the disk, its free space and the limit on file sizes; nothing of this call was written",
    sqlite3.SQLITE_READONLY: "make the file and its folder writable; nothing of this call was written",
    sqlite3.SQLITE_CANTOPEN: "check that the folder exists and that file and folder are readable and writable",
    sqlite3.SQLITE_PERM: "make the file and its folder readable and writable",
    sqlite3.SQLITE_BUSY: f"another process held it longer than {BUSY_SECONDS:g} s: end it or try again",
    sqlite3.SQLITE_CORRUPT: "the file is damaged: restore a snapshot",
    sqlite3.SQLITE_NOTADB: "expected a store of adaptrace: choose another path, or restore a snapshot",
}
_FALLBACK = "nothing of this call was written"


def _store_error(path: str, done: str, error: Exception) -> StoreError:
    """What to tell the caller of a store."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return StoreError(f"{path}: cannot be {done}: {error}; {_REMEDIES.get(code, _FALLBACK)}")


def _is_of_one_job(error: Exception) -> bool:
    """Whether it comes from the values of one job, so that other jobs of the transaction are fine."""
    kinds = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)
    return isinstance(error, kinds) or not isinstance(error, sqlite3.Error)


# ---- the store --------------------------------------------------------------


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
    Kept(version=1, model='model', state='state')
    >>> store.close()
    >>> folder.cleanup()
    """

    keeps_states = True

    def __init__(self, path: str | os.PathLike[str], durability: Literal["normal", "full"] = "normal") -> None:
        if durability not in ("normal", "full"):
            raise ValueError(f"durability: got {durability!r}; expected 'normal' or 'full'")
        self.path, self._process, self._is_closed = os.path.abspath(file_of(path)), os.getpid(), False
        self._reading, self._writing = threading.Lock(), threading.Lock()
        self._commits = Commits(self._run, PATIENCE if durability == "full" else 0.0)
        with contextlib.ExitStack() as opened:
            try:
                _make(self.path)
                self._writer = opened.enter_context(contextlib.closing(_connect(self.path)))
                self._writer.execute(f"PRAGMA synchronous = {durability.upper()}")
                self._writer.execute("PRAGMA secure_delete = ON").fetchall()
                self._writer.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}").fetchall()
                self._reader = opened.enter_context(contextlib.closing(_connect(self.path)))
                self._reader.execute("PRAGMA query_only = ON")
            except sqlite3.Error as error:
                raise _store_error(self.path, "opened", error) from error
            opened.pop_all()

    # ---- reading ------------------------------------------------------------

    def version(self, student: str) -> int:
        """Of the student's stored state; 0 if there is none."""
        rows = self._fetch("SELECT version FROM students WHERE student = ?", (student,))
        return rows[0][0] if rows else 0

    def load(self, student: str) -> Kept | None:
        """The student's state, if the store knows the student."""
        rows = self._fetch("SELECT version, model, state FROM students WHERE student = ?", (student,))
        return _kept_of(rows[0]) if rows else None

    def load_many(self, students: Sequence[str] | None = None) -> Iterator[tuple[str, Kept]]:
        """The states of these students, as far as they are known, or of all; ordered by name, in bounded memory."""
        rows = self._states() if students is None else self._named(_STATES_OF, sorted(set(students)), STATES)
        return ((self._text(name, _NAME), _kept_of(row)) for name, *row in rows)

    def _states(self) -> Iterator[Values]:
        name = ""
        while rows := self._fetch(_STATES, (name, STATES)):
            yield from rows
            name = rows[-1][0] + "\0"  # the first that may follow

    def students(self) -> list[str]:
        """Names of all students, sorted."""
        return [self._text(name, _NAME) for (name,) in self._fetch("SELECT student FROM students ORDER BY 1")]

    def find(self, event_ids: Sequence[str]) -> dict[str, Event]:
        """Those of the events that are stored, retracted ones too."""
        return {row[2]: self._event(row) for row in self._named(_EVENTS_BY_ID, event_ids, NAMES)}

    def events(self, student: str | None = None) -> Iterator[Event]:
        """Events that count, of one student or of all: by student, moment and event_id; in bounded memory."""
        return map(self._event, self._pages(_EVENTS if student is None else _EVENTS_OF, student))

    def retracted(self) -> Iterator[Event]:
        """Events that count no more, of all students: by student, moment and event_id; in bounded memory."""
        return map(self._event, self._pages(_RETRACTED))

    def decided(self, decision_id: str) -> Decision | None:
        """The decision of that id, if it is kept."""
        return next(map(self._decision, self._fetch(f"{_DECIDED} decision_id = ?", (decision_id,))), None)

    def decisions(self, student: str | None = None) -> Iterator[Decision]:
        """Kept decisions, of one student or of all: by student, moment and id; in bounded memory."""
        return map(self._decision, self._pages(_DECISIONS if student is None else _DECISIONS_OF, student))

    def exposures(self) -> tuple[int, dict[str, int]]:
        """How many recommendations were counted, and how many of each item."""
        rows = self._fetch("SELECT NULL, total FROM exposed UNION ALL SELECT item, count FROM exposures")
        counts = dict(rows)
        return counts.pop(None), counts

    def _pages(self, sql: str, student: str | None = None) -> Iterator[Values]:
        """Rows that begin with student, moment and id, in that order."""
        start: Values = (_FIRST[0] if student is None else student, *_FIRST[1:])
        while rows := self._fetch(sql, (*start, PAGE)):
            yield from rows
            start = rows[-1][:3]

    def _named(self, sql: str, names: Sequence[str], size: int) -> Iterator[Values]:
        for start in range(0, len(names), size):
            some = names[start : start + size]
            yield from self._fetch(f"{sql} ({_marks(some)}) ORDER BY student", some)

    def _event(self, row: Values) -> Event:
        return event_of(row, _as_skills(row[4]), self.path)

    def _decision(self, row: Values) -> Decision:
        student, moment, decision_id, content = row
        return Decision(decision_id, student, moment, self._text(content, f"decision_id '{decision_id}'"))

    def _text(self, found: object, what: str) -> str:
        if not isinstance(found, str):
            raise StoreError(f"{self.path}: {what} cannot be read: it is no text; restore a snapshot")
        return found

    def _fetch(self, sql: str, values: Values = ()) -> list[Any]:
        """Rows; a text that is damaged comes as bytes, and hides no other."""
        with self._reading:
            self._check_open()
            try:
                return _rows(self._reader, sql, values)
            except (sqlite3.Error, OverflowError, UnicodeError) as error:
                raise _store_error(self.path, "read", error) from error

    # ---- writing ------------------------------------------------------------

    def write(self, changes: Sequence[Change]) -> tuple[str, ...]:
        """Apply all changes in one transaction, or none; threads that write at the same time share one.

        Returns
        -------
        tuple of str
            The students whose change does not apply any more: then nothing was written.
        """
        return self._commits.do(lambda: tuple(dict.fromkeys([change.student for change in changes if not self._applies(change)])))

    def _applies(self, change: Change) -> bool:
        """Write it; False if that is to be undone."""
        student, version, model, state, events, retracted = change
        execute = self._writer.execute
        if version:
            moved = execute(_MOVE, (model, state, student, version)).rowcount
        else:
            moved = execute(_NEW_STUDENT, (student, model, state)).rowcount
        if not moved:
            return False
        added = sum([execute(_ADD_EVENT, _row_of(event)).rowcount for event in events])
        undone = sum([execute(_RETRACT, (event_id, student)).rowcount for event_id in retracted])
        return added == len(events) and undone == len(retracted)

    def decide(self, decisions: Iterable[Decision]) -> None:
        """Keep decisions; of two with one id, the first."""
        rows = list(decisions)

        def work() -> tuple[str, ...]:
            self._writer.executemany(_ADD_DECISION, rows)
            return ()

        self._commits.do(work)

    def expose(self, items: Sequence[str], rate: float) -> tuple[str, ...]:
        """Count one recommendation of each item, unless one is shown too often, here or in another process.

        Returns
        -------
        tuple of str
            The items whose count is not below 1 + ``rate`` times all that were counted: then nothing was counted.
        """
        shown = list(dict.fromkeys(items))

        def work() -> tuple[str, ...]:
            total = self._writer.execute("SELECT total FROM exposed").fetchone()[0]
            counts = dict(self._writer.execute(f"SELECT * FROM exposures WHERE item IN ({_marks(shown)})", shown).fetchall())
            self._writer.executemany(_EXPOSE, [(item, 1) for item in shown])
            self._writer.execute("UPDATE exposed SET total = total + ?", (len(shown),))
            return tuple(item for item in shown if counts.get(item, 0) >= 1 + rate * total)

        return self._commits.do(work)

    def forget(self, student: str) -> int:
        """Remove a student's events, state and decisions, so that no byte of the name is left; this rewrites the file.

        Others read meanwhile, but writers wait: about a second for 300 MB.

        Returns
        -------
        int
            How many events there were, retracted ones too.

        Raises
        ------
        StoreError
            Also if the student is removed, but bytes may be left since another process is in the way.
        """
        counts = []

        def work() -> tuple[str, ...]:
            self._writer.execute(_LEAVE_VERSIONS, (student,))
            for table in ("students", "decisions", "events"):
                counts.append(self._writer.execute(f"DELETE FROM {table} WHERE student = ?", (student,)).rowcount)
            return ()

        self._commits.do(work)
        with self._writing:
            self._check_open()
            self._scrub(student)
        return counts[-1]

    def _scrub(self, student: str) -> None:
        """Rewrite all pages: rows that SQLite moved to another page once have left copies, in spite of ``secure_delete``."""
        try:
            self._writer.execute("VACUUM")
            is_in_use = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
        except sqlite3.Error as error:
            raise _store_error(self.path, f"rewritten; '{student}' is removed, but bytes may be left", error) from error
        if is_in_use:
            raise StoreError(
                f"{self.path}: '{student}' is removed, but another process reads an older state, so that bytes may be left in "
                f"{self.path}-wal; forget the student again when it has ended"
            )

    # ---- transactions -------------------------------------------------------

    def _run(self, jobs: Sequence[Job]) -> None:
        """All jobs in one transaction; what does not apply is undone alone."""
        with self._writing:
            try:
                self._check_open()
                self._writer.execute("BEGIN IMMEDIATE")
                run = self._try_one if len(jobs) > 1 else self._try_only
                for job in jobs:
                    run(job)
                if self._writer.in_transaction:
                    self._writer.execute("COMMIT")
            except BaseException as error:
                self._undo()
                for job in jobs:
                    job.error = self._error_of(error)

    def _try_only(self, job: Job) -> None:
        job.result = job.work()
        if job.result:
            self._writer.execute("ROLLBACK")

    def _try_one(self, job: Job) -> None:
        self._writer.execute("SAVEPOINT job")
        try:
            job.result = job.work()
        except Exception as error:
            if not _is_of_one_job(error) or not self._writer.in_transaction:
                raise
            job.error = self._error_of(error)
        if job.result or job.error:
            self._writer.execute("ROLLBACK TO job")
        self._writer.execute("RELEASE job")

    def _undo(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self._writer.in_transaction:
                self._writer.execute("ROLLBACK")

    def _error_of(self, error: BaseException) -> BaseException:
        """One for each thread: an exception that several raise mixes up their traces."""
        if not isinstance(error, (sqlite3.Error, OverflowError, UnicodeError)):
            return error
        told = _store_error(self.path, "written", error)
        told.__cause__ = error
        return told

    def _check_open(self) -> None:
        if self._is_closed:
            raise StoreError(f"{self.path}: the store is closed; open it again")
        if self._process != os.getpid():
            raise StoreError(f"{self.path}: opened in process {self._process}, this is its fork; open it again here")

    # ---- copying, closing ---------------------------------------------------

    def snapshot(self, path: str | os.PathLike[str]) -> None:
        """Write a consistent copy as another store, whole or not at all, while others go on reading and writing.

        Raises
        ------
        OutputError
            If there is a file already, or it cannot be written.
        """
        with self._reading:
            self._check_open()
        with _new_file(path) as temporary, contextlib.closing(_connect(self.path)) as connection:
            connection.execute("VACUUM INTO ?", (str(temporary),))

    def close(self) -> None:
        """Let go of the file; the last to do so brings the WAL into it. A second call does nothing."""
        with self._writing, self._reading:
            if self._is_closed or self._process != os.getpid():
                return
            self._is_closed = True
            self._reader.close()
            self._writer.close()


# ---- copies -----------------------------------------------------------------


class Contents(Protocol):
    """What a copy holds; every store has it."""

    def load_many(self) -> Iterator[tuple[str, Kept]]:
        """All states."""

    def events(self) -> Iterator[Event]:
        """All events that count."""

    def retracted(self) -> Iterator[Event]:
        """All events that count no more."""

    def decisions(self) -> Iterator[Decision]:
        """All decisions."""

    def exposures(self) -> tuple[int, dict[str, int]]:
        """All that was counted."""


def copy(contents: Contents, path: str | os.PathLike[str]) -> None:
    """Write all that a store holds as an SQLite store, whole or not at all; as consistent as what it reads.

    Raises
    ------
    OutputError
        If there is a file already, or it cannot be written.
    StoreError
        If the contents cannot be read.
    """
    with _new_file(path) as temporary, contextlib.closing(_connect(str(temporary))) as connection:
        _prepare(connection, str(temporary))
        connection.execute("PRAGMA synchronous = OFF")  # the whole file is synced at its end
        connection.execute("BEGIN")
        rows = ((name, *kept) for name, kept in contents.load_many())
        connection.executemany(_ADD_STUDENT, rows)
        connection.executemany(_ADD_EVENT, map(_row_of, contents.events()))
        connection.executemany(_ADD_EVENT, map(_row_of, contents.retracted()))
        connection.executemany(_ADD_DECISION, contents.decisions())
        total, counts = contents.exposures()
        connection.executemany(_EXPOSE, counts.items())
        connection.execute("UPDATE exposed SET total = ?", (total,))
        connection.execute("COMMIT")


@contextlib.contextmanager
def _new_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file for SQLite to write, which is at the path when the block has ended well."""
    path = file_of(path, OutputError)
    if Path(path).exists():
        raise OutputError(f"{path}: there is a file already; a snapshot overwrites nothing: choose another path")
    with replacing(path) as temporary:
        try:
            yield temporary
        except sqlite3.Error as error:
            raise OutputError(f"{path}: cannot be written: {error}; nothing was changed") from error
        with temporary.open("rb") as file:
            os.fsync(file.fileno())
