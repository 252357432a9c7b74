"""Doors of a tutor's store: its file, its rows, and the states in it."""

from __future__ import annotations

import contextlib
import datetime
import json
import sqlite3
from functools import cache
from pathlib import Path
from typing import Any
from zlib import crc32

import adaptrace as at
from fuzz import checks
from fuzz.checks import NotMade, plain
from fuzz.seeds import GOLDEN, seed

NOW = datetime.datetime(2025, 10, 17, 8, tzinfo=datetime.UTC)


@cache
def _parts() -> dict[str, Any]:
    """The model and the catalog of the golden store."""
    model, catalog = at.load(GOLDEN / "models" / "bkt-store.json"), at.Catalog.read(GOLDEN / "catalog.json")
    return {"model": model, "catalog": catalog, "clock": lambda: NOW}


def use(path: Path, folder: Path) -> None:
    """Everything that a platform asks a tutor."""
    with at.Tutor.open(path, **_parts()) as tutor:
        checks.every(
            *(lambda name=name: _one(tutor, name) for name in ("Ada", "Bo", "nobody yet")),  # type: ignore[misc]
            lambda: tutor.observe("Ada", "halves 1", 1, event_id="new", time=NOW),
            lambda: tutor.observe("Bo", "halves 1", 1, event_id="early", time=NOW - datetime.timedelta(days=40)),
            lambda: tutor.observe("Bo", "halves 2", 1, event_id="later", replaces="early"),
            lambda: tutor.recommend("Ada", explore=0.5, decision_id="a decision", seed=3),
            lambda: tutor.recommend_all(time=NOW),
            lambda: tutor.retract("e003"),
            lambda: tutor.log(),
            lambda: tutor.log(decided=True),
            lambda: tutor.rebuild(),
            lambda: _one(tutor, "Ada"),
            lambda: tutor.snapshot(folder / "snapshot.db"),
            lambda: tutor.forget_student("Bo"),
        )


def _one(tutor: at.Tutor, name: str) -> None:
    checks.every(
        lambda: tutor.recommend(name, time=NOW),
        lambda: checks.mastery(tutor.mastery_table(name, time=NOW)),
        lambda: checks.probabilities(tutor.mastery(name, "halves", time=NOW), "mastery", ends=True),
        lambda: tutor.history(name),
    )


def store_file(path: Path, folder: Path) -> None:
    """The file of a store."""
    copy = folder / "store.db"
    copy.write_bytes(path.read_bytes())
    use(copy, folder)


def _rows(path: Path, folder: Path, tables: tuple[str, ...], *, sound: bool) -> None:
    """A store in which some tables hold the mutant's rows; ``sound``: under the right checksum."""
    document, copy = plain(path), folder / "store.db"
    copy.write_bytes(seed("store.db"))
    try:
        with contextlib.closing(sqlite3.connect(copy)) as connection, connection:
            for name in tables:
                connection.execute(f"DELETE FROM {name}")
                for row in document[name]:
                    values = [_stored(each, sound and name == "students") for each in row]
                    connection.execute(f"INSERT INTO {name} VALUES ({', '.join('?' * len(values))})", values)
    except (sqlite3.Error, LookupError, TypeError, OverflowError, ValueError) as error:
        raise NotMade from error
    use(copy, folder)


def _stored(value: Any, signed: bool) -> Any:
    """A value of a column: lists and mappings as text, states with their checksum."""
    if not isinstance(value, dict | list):
        return value
    if signed and isinstance(value, dict):
        value = {key: each for key, each in value.items() if key != "sum"}
        text = json.dumps(value, separators=(",", ":"))[:-1]
        return f'{text},"sum":{crc32(text.encode())}}}'
    return json.dumps(value)


def store_rows(path: Path, folder: Path) -> None:
    """Events, decisions and counts of shown items that are wrong."""
    _rows(path, folder, ("events", "decisions", "exposures", "exposed"), sound=False)


def stored_state(path: Path, folder: Path) -> None:
    """Stored states that are wrong, under a checksum that is right."""
    _rows(path, folder, ("students",), sound=True)
