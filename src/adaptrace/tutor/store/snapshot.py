"""Copies of a store as an SQLite file: whole or not at all, and read again before they are there."""

from __future__ import annotations

import contextlib
import itertools
import os
import sqlite3
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Protocol
from zlib import crc32

from adaptrace.errors import OutputError
from adaptrace.io.atomic import replacing, sweep
from adaptrace.tutor.store import sqlite_statements as sql
from adaptrace.tutor.store.base import Checkpoint, Correction, Decision, Event, StoredState
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

    def corrections(self) -> list[Correction]:
        """All corrections, and retractions that wait."""

    def checkpoints(self) -> Iterator[Checkpoint]:
        """All checkpoints."""

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
            _fill(connection, contents)
            wanted = tally(connection)
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


def _fill(connection: sqlite3.Connection, contents: StoreContents) -> None:
    """Insert all that a store holds."""
    _add(connection, sql.ADD_STUDENT, ((name, *stored) for name, stored in contents.load_many()))
    _add(connection, sql.ADD_EVENT, map(row_of_event, contents.events()))
    _add(connection, sql.ADD_EVENT, map(row_of_event, contents.retracted()))
    _add(connection, sql.ADD_DECISION, contents.decisions())
    _add(connection, sql.ADD_CORRECTION, contents.corrections())
    _add(connection, sql.ADD_CHECKPOINT, contents.checkpoints())
    total, counts = contents.exposures()
    _add(connection, sql.EXPOSE, counts.items())
    connection.execute("UPDATE exposed SET total = ?", (total,))


def _add(connection: sqlite3.Connection, statement: str, rows: Iterable[Values]) -> None:
    numbers, before = itertools.count(), connection.total_changes
    connection.executemany(statement, (row for row, _ in zip(rows, numbers, strict=False)))
    if connection.total_changes - before != next(numbers):
        raise sqlite3.IntegrityError("two rows have the same key")


# ---- what was written --------------------------------------------------------


def tally(connection: sqlite3.Connection) -> Tally:
    """The tally of every table of a store, as the connection sees it."""
    connection.create_function("crc32", 1, crc32, deterministic=True)
    tables = connection.execute("SELECT name FROM main.sqlite_master WHERE type = 'table' ORDER BY 1").fetchall()
    return {table: _tally_of(connection, table) for (table,) in tables}


def _tally_of(connection: sqlite3.Connection, table: str) -> tuple[int, int]:
    columns = connection.execute(f"PRAGMA main.table_info({table})").fetchall()
    texts = [f"quote({name})" if kind == "REAL" else f"coalesce(\"{name}\", '')" for _, name, kind, *_ in columns]
    digest = f"crc32(CAST({' || '.join(texts)} AS BLOB))"  # bytes: a damaged text is no text
    rows, digests = connection.execute(f"SELECT count(*), coalesce(sum({digest}), 0) FROM main.{table}").fetchone()
    return rows, digests


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
