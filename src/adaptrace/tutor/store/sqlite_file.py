"""The file of an SQLite store: opened, brought to the schema of this version, and what its errors mean."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import time
from pathlib import Path

from adaptrace.errors import StoreError
from adaptrace.io import modes

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
    """
    ALTER TABLE events ADD COLUMN checksum INTEGER;  -- of what never changes; NULL: of an older schema
    CREATE TABLE corrections (  -- corrections, and retractions that wait for their event
        original TEXT NOT NULL,
        student TEXT NOT NULL,  -- '' of a retraction: nobody knows yet whose event it is
        event_id TEXT NOT NULL,  -- of the event that replaces it; '' of a retraction
        content TEXT NOT NULL,  -- what waits; '' once it is applied
        PRIMARY KEY (original, student)
    ) WITHOUT ROWID;
    CREATE UNIQUE INDEX corrections_waiting ON corrections (event_id) WHERE content <> '' AND event_id <> '';
    CREATE INDEX corrections_student ON corrections (student);
    INSERT INTO corrections SELECT event_id, student, '', '' FROM events WHERE retracted = 1;  -- nobody knows what replaced them
    CREATE TABLE checkpoints (
        student TEXT NOT NULL, moment INTEGER NOT NULL, event_id TEXT NOT NULL, model TEXT NOT NULL, content TEXT NOT NULL
    );
    CREATE UNIQUE INDEX checkpoints_order ON checkpoints (student, moment, event_id);
    """,
)
"""The n-th brings a store of schema n to n + 1; none that was released is ever changed."""

BUSY_SECONDS = 10.0  # that another process may hold the file

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


class SQLiteFile:
    """A store's file, as long as the process that opened it uses it."""

    def __init__(self, path: str) -> None:
        self.path, self.is_closed, self._process = path, False, os.getpid()

    @property
    def is_ours(self) -> bool:
        """Whether this process opened it."""
        return self._process == os.getpid()

    def check_open(self) -> None:
        """Refuse to use a file that is closed, or that another process opened."""
        if self.is_closed:
            raise StoreError(f"{self.path}: the store is closed; open it again")
        if not self.is_ours:
            raise StoreError(f"{self.path}: opened in process {self._process}, this is its fork; open it again here")

    def error(self, done: str, error: Exception) -> StoreError:
        """The error of a file that cannot be read, written, ..., with a remedy."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        return StoreError(f"{self.path}: cannot be {done}: {error}; {_REMEDIES.get(code, _FALLBACK)}")


# ---- the schema -------------------------------------------------------------


def connect(path: str) -> sqlite3.Connection:
    """A connection for any thread, without transactions of its own."""
    return sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    number: int = connection.execute(f"PRAGMA {pragma}").fetchone()[0]
    return number


def make(path: str) -> None:
    """Prepare the file, with a connection that ends: one that saw another process switch to WAL may keep a lock for good.

    A new file is for its owner alone, or as the user says; SQLite gives the two beside it the same mode, owner and group.
    """
    real = Path(os.path.realpath(path))
    modes.file_mode()  # refused if it is none
    with contextlib.suppress(OSError):  # it is there; or it cannot be made, which SQLite will say
        modes.create(real)
        modes.settle(real)
    with contextlib.closing(connect(path)) as connection:
        prepare(connection, path)
        _use_wal(connection)


def prepare(connection: sqlite3.Connection, path: str) -> None:
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
