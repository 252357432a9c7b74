"""``adaptrace verify``: the report to stdout, and whether the store is well as the exit code."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from pathlib import Path
from typing import Any

import pytest

import adaptrace as at
from tutor.conftest import MINUTE, NOW
from tutor.store.postgres_server import MISSING, URL, fresh_schema


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """A model, a catalog, and a store of two students."""
    model = at.BKT.from_parameters(["a", "b"], prior=0.3, learn=0.2, guess=0.2, slip=0.1)
    model.save(tmp_path / "model.json")
    items = [{"item": "a1", "skills": ["a"]}, {"item": "b1", "skills": ["b"]}]
    (tmp_path / "catalog.json").write_text(json.dumps({"items": items}))
    with at.Tutor.open(tmp_path / "tutor.db", model=model, catalog=at.Catalog.read(tmp_path / "catalog.json")) as tutor:
        for number, name in enumerate(["Ada", "Bo", "Ada"]):
            tutor.observe(name, "a1", 1, event_id=f"e{number}", time=NOW + number * MINUTE)
    return {name: tmp_path / name for name in ("model.json", "catalog.json", "tutor.db", "findings.csv")}


def verify(run: Any, files: dict[str, Path], *more: object, store: object = None) -> Any:
    return run("verify", "--store", store or files["tutor.db"], "-m", files["model.json"], "-C", files["catalog.json"], *more)


def damage(path: Path, statement: str) -> None:
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(statement)


def test_a_store_that_is_well(run: Any, files: dict[str, Path]) -> None:
    done = verify(run, files)
    assert (done.code, done.stderr) == (0, "")
    assert [line.split() for line in done.stdout.splitlines()][:4] == [
        ["check", "checked", "wrong", "notes"],
        ["file", "1", "0", "0"],
        ["events", "3", "0", "0"],
        ["states", "2", "0", "0"],
    ]


def test_what_is_wrong_is_shown_without_names_unless_they_are_asked_for(run: Any, files: dict[str, Path]) -> None:
    damage(files["tutor.db"], "UPDATE students SET state = '{}' WHERE student = 'Ada'")
    damage(files["tutor.db"], "UPDATE events SET correct = 0.5 WHERE event_id = 'e1'")
    done = verify(run, files)
    assert (done.code, done.stderr) == (1, "")
    assert re.search(r"^events +True +e1 ", done.stdout, re.MULTILINE)
    assert re.search(r"^states +True +e2 ", done.stdout, re.MULTILINE)
    assert not re.search("Ada|Bo", done.stdout)
    named = verify(run, files, "--names").stdout
    assert re.search(r"^states +True +e2 +Ada ", named, re.MULTILINE)
    done = verify(run, files, "-o", files["findings.csv"])
    assert (done.code, done.stdout) == (1, "")
    assert len(files["findings.csv"].read_text().splitlines()) == 3


def test_a_file_that_is_not_there_is_not_made(run: Any, files: dict[str, Path], tmp_path: Path) -> None:
    for place in (tmp_path / "other.db", f"sqlite:///{tmp_path}/other.db"):
        done = verify(run, files, store=place)
        assert (done.code, done.stdout) == (1, "")
        assert done.stderr == f"error: {tmp_path}/other.db: no such file; expected the store of a tutor: check the path\n"
    assert not (tmp_path / "other.db").exists()


@pytest.mark.skipif(bool(MISSING), reason=MISSING or "never")
def test_a_database(run: Any, files: dict[str, Path]) -> None:
    with fresh_schema(URL) as url:
        assert verify(run, files, store=url).code == 0
