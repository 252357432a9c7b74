"""What is wrong with the file of an SQLite store; nothing is changed."""

from __future__ import annotations

import contextlib
import os
import sqlite3
from collections.abc import Iterator

from adaptrace.errors import StoreError
from adaptrace.io.atomic import left_over
from adaptrace.tutor.store.base import RESTORE, STRAY, Fault, unchecked
from adaptrace.tutor.store.sqlite_connections import ReadingConnection
from adaptrace.tutor.store.sqlite_file import prepare

_SCHEMA = "SELECT name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%'"
_STRAYS = "SELECT event_id FROM events WHERE student NOT IN (SELECT student FROM students) ORDER BY 1"
_UNCHECKED = "SELECT count(*) FROM events WHERE checksum IS NULL"


def faults_of(path: str, reader: ReadingConnection) -> Iterator[Fault]:
    """Pages, indexes and tables that are not as they should be, events of nobody, and what killed snapshots left."""
    try:
        found = [text for (text,) in reader.rows("PRAGMA integrity_check") if text != "ok"]
        yield from (Fault("file", None, text, RESTORE) for text in found)
        yield from _of_schema(dict(reader.rows(_SCHEMA)))
        yield from (STRAY._replace(id=str(event_id)) for (event_id,) in reader.rows(_STRAYS))
        yield from unchecked(reader.rows(_UNCHECKED)[0][0])
    except StoreError as error:
        yield Fault("file", None, str(error).removeprefix(f"{path}: "), RESTORE)
    remedy = "it goes when a store of this folder is opened, or a snapshot made"
    for folder in left_over(os.path.dirname(path)):
        yield Fault("temporary files", None, f"{folder.name}: left by a process that was killed", remedy, is_wrong=False)


def _of_schema(found: dict[str, str]) -> Iterator[Fault]:
    """Tables and indexes that are missing, or are others."""
    with contextlib.closing(sqlite3.connect(":memory:", isolation_level=None)) as fresh:
        prepare(fresh, "a new store")
        wanted = dict(fresh.execute(_SCHEMA).fetchall())
    for name in sorted(wanted.keys() | found.keys()):
        if found.get(name) != wanted.get(name):
            got = "is missing" if name not in found else "is not of this version" if name in wanted else "is not ours"
            yield Fault("file", None, f"table or index {name} {got}", RESTORE)
