"""Copies of a store as an SQLite file, whole or not at all."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

from adaptrace.errors import OutputError
from adaptrace.io.atomic import replacing
from adaptrace.tutor.store import sqlite_statements as sql
from adaptrace.tutor.store.base import Checkpoint, Correction, Decision, Event, StoredState
from adaptrace.tutor.store.sqlite_file import connect, prepare
from adaptrace.tutor.store.sqlite_rows import row_of_event
from adaptrace.tutor.store.urls import file_of


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
    """Write all that a store holds as an SQLite store, whole or not at all; as consistent as what it reads.

    Raises
    ------
    OutputError
        If there is a file already, or it cannot be written.
    StoreError
        If the contents cannot be read.
    """
    with new_file(path) as temporary, contextlib.closing(connect(str(temporary))) as connection:
        prepare(connection, str(temporary))
        connection.execute("PRAGMA synchronous = OFF")  # the whole file is synced at its end
        connection.execute("BEGIN")
        rows = ((name, *stored) for name, stored in contents.load_many())
        connection.executemany(sql.ADD_STUDENT, rows)
        connection.executemany(sql.ADD_EVENT, map(row_of_event, contents.events()))
        connection.executemany(sql.ADD_EVENT, map(row_of_event, contents.retracted()))
        connection.executemany(sql.ADD_DECISION, contents.decisions())
        connection.executemany(sql.ADD_CORRECTION, contents.corrections())
        connection.executemany(sql.ADD_CHECKPOINT, contents.checkpoints())
        total, counts = contents.exposures()
        connection.executemany(sql.EXPOSE, counts.items())
        connection.execute("UPDATE exposed SET total = ?", (total,))
        connection.execute("COMMIT")


def copy_file(source: str, path: str | os.PathLike[str]) -> None:
    """Write a consistent copy of an SQLite file, whole or not at all, while others go on reading and writing.

    Raises
    ------
    OutputError
        If there is a file already, or it cannot be written.
    """
    with new_file(path) as temporary, contextlib.closing(connect(source)) as connection:
        connection.execute("VACUUM INTO ?", (str(temporary),))


@contextlib.contextmanager
def new_file(path: str | os.PathLike[str]) -> Iterator[Path]:
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
