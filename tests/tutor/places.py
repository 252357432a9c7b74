"""Stores of three students whose rows can be written past adaptrace."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from tutor import storm
from tutor.conftest import MINUTE, NOW
from tutor.store.postgres_server import URL, fresh_schema

NAMES = ("ana", "ben", "cy")


def clean(url: object) -> None:
    """Three students, each of whom answered a few times; Ben is in a class."""
    with storm.opened(url) as tutor:
        for number, (name, item, correct) in enumerate(
            [("ana", "a1", 1), ("ben", "b1", 0), ("cy", "c1", 1), ("ana", "b1", 0), ("ben", "ab", 1), ("ana", "b1", 0.5)]
        ):
            group = "7b" if name == "ben" else None
            tutor.observe(name, item, correct, event_id=f"e{number}", time=NOW + number * MINUTE, group=group)


class Place:
    """A store whose rows can be written past adaptrace."""

    def __init__(self, url: str, run: Callable[..., list[Any]], mark: str) -> None:
        self.mark = mark
        self.url, self.run, self.students, self.events = url, run, f"{mark}students", f"{mark}events"

    def state(self, name: str) -> Any:
        return self.run(f"SELECT state FROM {self.students} WHERE student = '{name}'")[0][0]

    def states(self) -> list[Any]:
        return [self.state(name) for name in NAMES]

    def set(self, column: str, value: str) -> None:
        """Replace a column of Ana's row by an expression of SQL."""
        self.run(f"UPDATE {self.students} SET {column} = {value} WHERE student = 'ana'")

    def set_state(self, text: str) -> None:
        self.set("state", "'" + text.replace("'", "''") + "'")


@contextlib.contextmanager
def in_sqlite(folder: Path) -> Iterator[Place]:
    path = folder / "tutor.db"

    def run(statement: str) -> list[Any]:
        with contextlib.closing(sqlite3.connect(path)) as connection, connection:
            return connection.execute(statement).fetchall()

    clean(path)
    yield Place(str(path), run, "")


@contextlib.contextmanager
def in_postgres() -> Iterator[Place]:
    import psycopg

    def run(statement: str) -> list[Any]:
        cursor = connection.execute(statement.encode())
        return cursor.fetchall() if cursor.description else []

    with fresh_schema(URL) as url, psycopg.connect(url, autocommit=True) as connection:
        clean(url)
        yield Place(url, run, "adaptrace_")
