"""A store of each kind, empty, and closed after the test."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from adaptrace.tutor.store import Change, Event, Store, open_store

KINDS = ("memory", "sqlite", "postgres")


@pytest.fixture(params=KINDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """What ``open_store`` takes."""
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return "memory:" if request.param == "memory" else str(tmp_path / "tutor.db")


@pytest.fixture
def store(place: str) -> Iterator[Store]:
    with contextlib.closing(open_store(place)) as store:
        yield store


@pytest.fixture
def event() -> Callable[..., Event]:
    """Make Ada's right answer to q1, its fields replaced by the given ones."""

    def make(event_id: str, student: str = "Ada", moment: int = 0, **fields: object) -> Event:
        plain = Event(event_id, student, "q1", ("halves",), "practice", 1.0, moment)
        return plain._replace(**fields)  # type: ignore[arg-type]

    return make


@pytest.fixture
def change() -> Callable[..., Change]:
    """Make a change of a student at a version by these events."""

    def make(student: str, version: int, *events: Event, retracted: tuple[str, ...] = ()) -> Change:
        return Change(student, version, "model", f"state {version + 1}", events, retracted)

    return make
