"""A store in an SQLite file: the simulation cuts in at every statement of every connection."""

from __future__ import annotations

import contextlib
import shutil
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from simulated import cut, threads
from simulated.worlds import Process, open_store

MEMORY = Path("/dev/shm")  # a disk that costs no time, where there is one
OBSERVER = -1  # the number of who looks, among processes
SPARE = ("ROLLBACK", "RELEASE", "PRAGMA")  # what takes back does not fail


class SteppedConnection(sqlite3.Connection):
    """A connection whose statements wait for the turn of their client."""

    def execute(self, statement: str, values: Any = ()) -> sqlite3.Cursor:
        """One statement. Where SQLite would wait for another process, the others have the turn."""
        if cut.client() is None:
            return super().execute(statement, values)
        real = super().execute
        spare = statement.startswith(SPARE)
        return cut.statement(
            lambda: _patient(lambda: real(statement, values), statement), text=statement, fails=self._failed, spare=spare
        )

    def executemany(self, statement: str, rows: Any) -> sqlite3.Cursor:  # type: ignore[override]
        """One statement for each row."""
        if cut.client() is None:
            return super().executemany(statement, rows)
        cursor = self.cursor()
        for row in rows:
            cursor = self.execute(statement, row)
        return cursor

    def _failed(self, done: bool) -> sqlite3.Error:
        """A full disk, after which SQLite may have undone the transaction, or one that cannot be read."""
        chance = cut.chance()
        if self.in_transaction and chance < 0.5:
            super().execute("ROLLBACK")
        full = chance < 0.25 and not done
        error = sqlite3.OperationalError("database or disk is full" if full else "disk I/O error")
        error.sqlite_errorcode = sqlite3.SQLITE_FULL if full else sqlite3.SQLITE_IOERR
        return error


class _Rows:
    """Rows that were fetched."""

    def __init__(self, rows: list[Any]) -> None:
        self._rows = rows

    def fetchone(self) -> Any:
        """The first."""
        return self._rows[0]


def _patient(run: Callable[[], sqlite3.Cursor], statement: str) -> Any:
    """Do it when no other process holds the file; give up after a time."""
    refused: list[sqlite3.OperationalError] = []
    rows: list[Any] = []

    def tried() -> Any:
        try:
            cursor = run()
        except sqlite3.OperationalError as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF != sqlite3.SQLITE_BUSY:
                raise
            refused[:] = [error]
            return None
        if "wal_checkpoint" not in statement:
            return cursor
        rows[:] = cursor.fetchall()
        return None if rows[0][0] else _Rows(rows)  # the first says whether others are in the way

    cursor = cut.wait_while(tried, statement)
    if cursor is None and refused:
        raise refused[0]
    return cursor or _Rows(rows)


class SQLiteWorld:
    """Processes share a file; a killed one leaves what it committed."""

    most_processes, is_killed, at_locks = 3, True, False

    def __init__(self) -> None:
        threads.install("tutor", "store")
        self._folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.is_dir() else None))
        self._connections: dict[int, list[sqlite3.Connection]] = {}
        self._path, self._opening = self._folder / "tutor.db", 0
        open_store(str(self._folder / "empty.db")).close()
        self._real, sqlite3.connect = sqlite3.connect, self._connect  # type: ignore[assignment]

    def begin(self) -> None:
        """An empty file."""
        self._connections = {}
        for left in self._folder.glob("tutor.db*"):
            left.unlink()
        shutil.copy(self._folder / "empty.db", self._path)
        self._observed: Any = None

    def opened(self, process: Process) -> Any:
        """The store of a process that begins."""
        self._connections[process.number], self._opening = [], process.number
        return open_store(str(self._path), durability="full" if process.number % 2 else "normal")

    def observed(self) -> Any:
        """A store of its own on the file."""
        if self._observed is None:
            self._opening = OBSERVER
            self._observed = open_store(str(self._path))
        return self._observed

    def died(self, process: Process) -> None:
        """The system closes its connections, and what was not committed is gone."""
        for connection in self._connections[process.number]:
            connection.close()

    def end(self, *, failed: bool) -> None:
        """Close all connections."""
        for connections in self._connections.values():
            for connection in connections:
                with contextlib.suppress(sqlite3.Error):
                    connection.close()

    def close(self) -> None:
        """Remove the file."""
        sqlite3.connect = self._real  # type: ignore[assignment]
        shutil.rmtree(self._folder)

    def _connect(self, path: Any, **options: Any) -> sqlite3.Connection:
        if path == ":memory:":
            return self._real(path, **options)
        connection = self._real(path, **{**options, "timeout": 0.0, "factory": SteppedConnection})
        me = cut.client()
        number = me.process.number if me is not None else self._opening
        self._connections.setdefault(number, []).append(connection)
        return connection
