"""The two connections of an SQLite store: one reads, one writes, so that no reader waits for a disk."""

from __future__ import annotations

import contextlib
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from adaptrace.tutor.store.group_commit import GroupCommit, PendingWrite
from adaptrace.tutor.store.sqlite_file import SQLiteFile
from adaptrace.tutor.store.sqlite_rows import Values, text_or_bytes

PATIENCE = 0.005  # seconds, at most, that a transaction waits for more threads to share a wait for the disk
CHECKPOINT = 4000  # pages of the WAL, 16 MB
ERRORS = (sqlite3.Error, OverflowError, UnicodeError)


class ReadingConnection:
    """Reads rows; safe to use from many threads."""

    def __init__(self, file: SQLiteFile, connection: sqlite3.Connection) -> None:
        self._file, self.connection, self.lock = file, connection, threading.Lock()
        self.connection.execute("PRAGMA query_only = ON")

    def rows(self, statement: str, values: Values = ()) -> list[Any]:
        """All rows; a damaged text comes as bytes, and hides no other row."""
        with self.lock:
            self._file.check_open()
            try:
                return _rows(self.connection, statement, values)
            except ERRORS as error:
                raise self._file.error("read", error) from error


def _rows(connection: sqlite3.Connection, statement: str, values: Values) -> list[Any]:
    try:
        return connection.execute(statement, values).fetchall()
    except sqlite3.OperationalError as error:
        if hasattr(error, "sqlite_errorcode"):
            raise
    connection.text_factory = text_or_bytes  # the error was of Python's module: a text is not UTF-8
    try:
        return connection.execute(statement, values).fetchall()
    finally:
        connection.text_factory = str


class WritingConnection:
    """Writes in transactions, which threads that write at the same time share."""

    def __init__(self, file: SQLiteFile, connection: sqlite3.Connection, durability: str) -> None:
        self._file, self.connection, self.lock = file, connection, threading.Lock()
        self.commits = GroupCommit(self.run, PATIENCE if durability == "full" else 0.0)
        self.connection.execute(f"PRAGMA synchronous = {durability.upper()}")
        self.connection.execute("PRAGMA secure_delete = ON").fetchall()
        self.connection.execute(f"PRAGMA wal_autocheckpoint = {CHECKPOINT}").fetchall()

    def commit(self, work: Callable[[sqlite3.Connection], tuple[str, ...]]) -> tuple[str, ...]:
        """Do the work in a transaction; what it returns says why it does not apply: then it is undone."""
        return self.commits.do(lambda: work(self.connection))

    @contextlib.contextmanager
    def alone(self) -> Iterator[sqlite3.Connection]:
        """The connection, with no transaction on it."""
        with self.lock:
            self._file.check_open()
            yield self.connection

    def run(self, writes: Sequence[PendingWrite]) -> None:
        """All writes in one transaction; what does not apply is undone alone."""
        with self.lock:
            try:
                self._file.check_open()
                self.connection.execute("BEGIN IMMEDIATE")
                run = self._try_one if len(writes) > 1 else self._try_only
                for write in writes:
                    run(write)
                if self.connection.in_transaction:
                    self.connection.execute("COMMIT")
            except BaseException as error:
                self._undo()
                for write in writes:
                    write.error = self._error_of(error)

    def _try_only(self, write: PendingWrite) -> None:
        write.result = write.work()
        if write.result:
            self.connection.execute("ROLLBACK")

    def _try_one(self, write: PendingWrite) -> None:
        self.connection.execute("SAVEPOINT write")
        try:
            write.result = write.work()
        except Exception as error:
            if not _is_of_one_write(error) or not self.connection.in_transaction:
                raise
            write.error = self._error_of(error)
        if write.result or write.error:
            self.connection.execute("ROLLBACK TO write")
        self.connection.execute("RELEASE write")

    def _undo(self) -> None:
        with contextlib.suppress(sqlite3.Error):
            if self.connection.in_transaction:
                self.connection.execute("ROLLBACK")

    def _error_of(self, error: BaseException) -> BaseException:
        """One for each thread: an exception that several threads raise mixes up their traces."""
        if not isinstance(error, ERRORS):
            return error
        own = self._file.error("written", error)
        own.__cause__ = error
        return own


def _is_of_one_write(error: Exception) -> bool:
    """Whether it comes from the values of one write, so that other writes of the transaction are fine."""
    kinds = (sqlite3.IntegrityError, sqlite3.ProgrammingError, sqlite3.InterfaceError, sqlite3.DataError)
    return isinstance(error, kinds) or not isinstance(error, sqlite3.Error)
