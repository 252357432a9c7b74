"""A small school for the tutor: a model, a catalog, a clock that stands still."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import adaptrace as at
from tutor.store.postgres_server import MISSING, URL, fresh_schema

if TYPE_CHECKING:
    from tutor.places import Place

NOW = datetime.datetime(2026, 3, 2, 9, 0, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)


@pytest.fixture
def school_model() -> at.BKT:
    return at.BKT.from_parameters(["a", "b", "c"], prior=[0.3, 0.2, 0.1], learn=[0.2, 0.15, 0.3], guess=0.2, slip=0.1)


@pytest.fixture
def school() -> at.Catalog:
    """Three skills, the last two after the first; an item of two skills."""
    items = {"item": ["a1", "a2", "b1", "b2", "c1", "ac"], "skills": [["a"], ["a"], ["b"], ["b"], ["c"], ["a", "c"]]}
    return at.Catalog.from_arrow(items, [{"skill": "b", "prerequisites": ["a"]}, {"skill": "c", "prerequisites": ["a"]}])


@pytest.fixture
def open_tutor(school_model: at.BKT, school: at.Catalog) -> Callable[..., at.Tutor]:
    """Open a tutor on a store; the clock stands at 2026-03-02 09:00 UTC."""
    tutors = []

    def make(url: object = "memory:", **options: object) -> at.Tutor:
        given = {"model": school_model, "catalog": school, "clock": lambda: NOW, **options}
        tutors.append(at.Tutor.open(url, **given))
        return tutors[-1]

    yield make
    for tutor in tutors:
        tutor.close()


@pytest.fixture
def sqlite_place(tmp_path: Path) -> Iterator[Place]:
    """Three students in a file."""
    from tutor import places

    with places.in_sqlite(tmp_path) as place:
        yield place


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    """Three students in a file, and in a database."""
    from tutor import places

    if request.param == "postgres" and MISSING:
        pytest.skip(MISSING)
    with places.in_sqlite(tmp_path) if request.param == "sqlite" else places.in_postgres() as place:
        yield place


@pytest.fixture
def postgres_url() -> Iterator[str]:
    """A schema of the test's own on the server that ADAPTRACE_POSTGRES names."""
    if MISSING:
        pytest.skip(MISSING)
    with fresh_schema(URL) as url:
        yield url


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A store of each kind, without anything in it."""
    if request.param == "postgres":
        url: str = request.getfixturevalue("postgres_url")
        return url
    return "memory:" if request.param == "memory" else str(tmp_path / "tutor.db")
