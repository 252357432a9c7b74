"""Copies of a store as an SQLite file: whole or not at all, and read again before they are there."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol
from zlib import crc32

from adaptrace.errors import OutputError
from adaptrace.io.atomic import replacing, sweep
from adaptrace.tutor.store import sqlite_statements as sql
from adaptrace.tutor.store.base import Decision, Event, StoredState
from adaptrace.tutor.store.sqlite_file import connect, prepare
from adaptrace.tutor.store.sqlite_rows import Values, row_of_event
from adaptrace.tutor.store.urls import file_of

Tally = dict[str, tuple[int, int]]  # table -> how many rows it has, and the sum of their digests


class StoreContents(Protocol):
    """What a copy holds; every store has it."""

    def load_many(self) -> Iterator[tuple[str, StoredState]]:
        """All states."""

    def events(self) -> Iterator[Event]:
        """All events that are not retracted."""

    def retracted(self) -> Iterator[Event]:
        """All events that are retracted."""

    def decisions(self) -> Iterator[Decision]:
        """All decisions."""

    def exposures(self) -> tuple[int, dict[str, int]]:
        """All that was counted."""


def copy(contents: StoreContents, path: str | os.PathLike[str]) -> None:
    """Write all that a store holds as an SQLite store; as consistent as what it reads.

    Raises
    ------
    OutputError
        If there is a file already, or it cannot be written, or does not hold what was written.
    StoreError
        If the contents cannot be read.
    """
    with new_file(path) as temporary:
        with contextlib.closing(_new_store(temporary)) as connection:
            connection.execute("BEGIN")
            wanted = _fill(connection, contents)
            connection.execute("COMMIT")
        _check(temporary, wanted, path)


def copy_file(source: str, path: str | os.PathLike[str]) -> None:
    """Write a consistent copy of an SQLite file, while others go on reading and writing.

    Raises
    ------
    OutputError
        If there is a file already, or it cannot be written, or is not equal to its source.
    """
    with new_file(path) as temporary:
        _new_store(temporary).close()
        with contextlib.closing(connect(source)) as connection:
            connection.execute("ATTACH ? AS copied", (str(temporary),))
            connection.execute("PRAGMA copied.journal_mode = OFF").fetchall()
            connection.execute("PRAGMA copied.synchronous = OFF")
            connection.execute("BEGIN")
            wanted = tally(connection)
            for table in wanted:
                connection.execute(f"DELETE FROM copied.{table}")
                connection.execute(f"INSERT INTO copied.{table} SELECT * FROM main.{table}")
            connection.execute("COMMIT")
        _check(temporary, wanted, path)


@contextlib.contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A temporary file for SQLite to write, which is at the path when the block has ended well."""
    path = file_of(path, OutputError)
    if Path(path).exists():
        raise OutputError(f"{path}: there is a file already; a snapshot overwrites nothing: choose another path")
    sweep(Path(path).parent)
    with replacing(path) as temporary:
        try:
            yield temporary
        except sqlite3.Error as error:
            raise OutputError(f"{path}: cannot be written: {error}; nothing was changed") from error
        with temporary.open("rb") as file:
            os.fsync(file.fileno())


def _new_store(path: Path) -> sqlite3.Connection:
    """A connection to an empty store, which needs no journal: it is thrown away if it is not whole."""
    connection = connect(str(path))
    connection.execute("PRAGMA journal_mode = OFF").fetchall()
    connection.execute("PRAGMA synchronous = OFF")  # the whole file is synced at its end
    prepare(connection, str(path))
    return connection


def _fill(connection: sqlite3.Connection, contents: StoreContents) -> Tally:
    """Insert all that a store holds; the tally of it."""
    wanted: Tally = {}

    def add(table: str, statement: str, rows: Iterable[Values]) -> None:
        connection.executemany(statement, _tallied(rows, wanted, table))

    add("students", sql.ADD_STUDENT, ((name, *stored) for name, stored in contents.load_many()))
    add("events", sql.ADD_EVENT, map(row_of_event, contents.events()))
    add("events", sql.ADD_EVENT, map(row_of_event, contents.retracted()))
    add("decisions", sql.ADD_DECISION, contents.decisions())
    total, counts = contents.exposures()
    add("exposures", sql.EXPOSE, counts.items())
    connection.execute("UPDATE exposed SET total = ?", (total,))
    return wanted


# ---- what was written --------------------------------------------------------


def tally(connection: sqlite3.Connection) -> Tally:
    """The tally of every table of a store."""
    connection.create_function("digest", -1, _digest, deterministic=True)
    tables = connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table' ORDER BY 1").fetchall()
    return {table: _tally_of(connection, table) for (table,) in tables}


def _tally_of(connection: sqlite3.Connection, table: str) -> tuple[int, int]:
    columns = [row[1] for row in connection.execute(f"PRAGMA main.table_info({table})")]
    values = [f"CASE typeof(\"{name}\") WHEN 'text' THEN CAST(\"{name}\" AS BLOB) ELSE \"{name}\" END" for name in columns]
    rows, digests = connection.execute(f"SELECT count(*), sum(digest({', '.join(values)})) FROM main.{table}").fetchone()
    return rows, digests or 0


def _tallied(rows: Iterable[Values], into: Tally, table: str) -> Iterator[Values]:
    number, digests = into.get(table, (0, 0))
    for row in rows:
        number, digests = number + 1, digests + _digest(*row)
        yield row
    into[table] = number, digests


def _digest(*values: object) -> int:
    """A number that any change of a value changes, whatever the order of the columns."""
    return sum(crc32(_as_bytes(value)) for value in values)


def _as_bytes(value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.encode() if isinstance(value, str) else repr(value + 0.0 if isinstance(value, float) else value).encode()


def _check(copied: Path, wanted: Tally, path: str | os.PathLike[str]) -> None:
    """Refuse a copy that is damaged, or does not hold what it was made of."""
    with contextlib.closing(connect(str(copied))) as connection:
        ((first,), *_) = connection.execute("PRAGMA integrity_check(1)").fetchall()
        found = tally(connection)
    wrong = [table for table, counted in wanted.items() if found.get(table) != counted]
    if first != "ok" or wrong:
        got = f"{', '.join(wrong)} unlike the store's" if wrong else first
        raise OutputError(
            f"{path}: cannot be written: read again, it holds {got}; nothing is left of it: check the disk, and try again"
        )
