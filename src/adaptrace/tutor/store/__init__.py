"""Stores of events and students' states; all follow :class:`~adaptrace.tutor.store.base.Store`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from adaptrace.errors import StoreError
from adaptrace.tutor.store.base import Change, Checkpoint, Correction, Decision, Event, Store, StoredState
from adaptrace.tutor.store.memory import MemoryStore
from adaptrace.tutor.store.sqlite import SQLiteStore
from adaptrace.tutor.store.urls import file_of, is_server

__all__ = [
    "Change",
    "Checkpoint",
    "Correction",
    "Decision",
    "Event",
    "MemoryStore",
    "SQLiteStore",
    "Store",
    "StoredState",
    "check_exists",
    "open_store",
]


def open_store(url: str | os.PathLike[str], *, durability: Literal["normal", "full"] = "normal") -> Store:
    """Open a store, or make one.

    Parameters
    ----------
    url
        A file: a path or ``sqlite:///path``. The memory of this process: ``memory:``. A server's database:
        ``postgresql://...``, or as SQLAlchemy (``postgresql+psycopg://...``) or libpq (``host=... dbname=...``) write it.
    durability
        Of a file: what was written survives the end of the process (``"normal"``), or a power cut too (``"full"``).

    Raises
    ------
    StoreError
        If the URL is none of these, or the store cannot be opened. No message shows a password.

    Examples
    --------
    >>> store = open_store("memory:")
    >>> store.students()
    []
    >>> store.close()
    """
    place = os.fspath(url)
    if place in ("memory:", ":memory:"):
        return MemoryStore()
    if is_server(place):
        from adaptrace.tutor.store.postgres import PostgresStore

        store: Store = PostgresStore(place)
        return store
    return SQLiteStore(place, durability=durability)


def check_exists(url: str | os.PathLike[str]) -> None:
    """Refuse a file that is not there, which :func:`open_store` would make.

    Raises
    ------
    StoreError
        If there is none; of a server nothing is asked.
    """
    place = os.fspath(url)
    if not is_server(place) and not Path(file_of(place)).is_file():
        raise StoreError(f"{file_of(place)}: no such file; expected the store of a tutor: check the path")
