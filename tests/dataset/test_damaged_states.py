"""A state whose manifest or files say what no run wrote is refused in one error, and stays as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.io import envelope
from fuzz.seeds import GOLDEN

Content = dict[str, Any]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The golden state of two nights."""
    shutil.copytree(GOLDEN / "states" / "bkt", tmp_path / "state")
    return tmp_path / "state"


def score(state: Path) -> Any:
    return at.score_dataset(
        GOLDEN / "nights", state.with_name("out"), model=at.load(GOLDEN / "models" / "bkt.json"), state=state, workers=1
    )


MANIFESTS: dict[str, Callable[[Content], object]] = {
    "no parts": lambda content: content.pop("parts"),
    "no list of parts": lambda content: content.update(parts=7),
    "a part of one": lambda content: content.update(parts=[["a.parquet"]]),
    "a file that is no text": lambda content: content["parts"][0].__setitem__(0, 7),
    "a count that is none": lambda content: content["parts"][0].__setitem__(2, -1),
    "a night that is no number": lambda content: content.update(night=[2]),
    "a part twice": lambda content: content["parts"].append(content["parts"][0]),
    "a night before that of a file": lambda content: content.update(night=1),
    "a column that no state has": lambda content: content.update(texts=["student", "odds"]),
    "a model that is no text": lambda content: content.update(model=7),
}


@pytest.mark.parametrize("change", MANIFESTS.values(), ids=list(MANIFESTS))
def test_a_manifest_that_no_run_wrote(change: Callable[[Content], object], state: Path, tmp_path: Path) -> None:
    content = json.loads((state / "_manifest.json").read_text())["content"]
    change(content)
    envelope.write(state / "_manifest.json", "state", content)
    before = (state / "_manifest.json").read_bytes()
    shutil.copytree(GOLDEN / "nights", tmp_path / "nights")
    for use in (lambda: score(state), lambda: at.forget_student("Ada", [tmp_path / "nights"], state=state)):
        with pytest.raises((at.ModelError, at.DataError)):
            use()
    assert (state / "_manifest.json").read_bytes() == before


PARTS: dict[str, tuple[Callable[[pa.Table], pa.Table], str]] = {
    "odds below 0": (lambda table: with_first(table, "odds", -0.5), "column 'odds', row 1: got -0.5"),
    "odds that are nan": (lambda table: with_first(table, "odds", float("nan")), "column 'odds', row 1: got nan"),
    "no odds": (lambda table: with_first(table, "odds", None), "column 'odds'"),
    "a gradient that is infinite": (lambda table: with_first(table, "by_slip", float("inf")), "column 'by_slip', row 1: got inf"),
    "times as text": (lambda table: cast(table, "last_time", pa.string()), "column 'last_time': got text"),
    "students as numbers": (lambda table: replaced(table, "student", pa.array(range(len(table)))), "column 'student'"),
    "another column": (lambda table: table.append_column("more", table["odds"]), "more"),
    "no row": (lambda table: table.drop_columns(["row"]), "row"),
}


def replaced(table: pa.Table, name: str, values: pa.Array) -> pa.Table:
    return table.set_column(table.column_names.index(name), name, values)


def with_first(table: pa.Table, name: str, value: float | None) -> pa.Table:
    return replaced(table, name, pa.array([value, *table[name].to_pylist()[1:]], table[name].type))


def cast(table: pa.Table, name: str, kind: pa.DataType) -> pa.Table:
    return replaced(table, name, table[name].cast(kind))


@pytest.mark.parametrize(("change", "said"), PARTS.values(), ids=list(PARTS))
def test_a_file_that_no_run_wrote(change: Callable[[pa.Table], pa.Table], said: str, state: Path) -> None:
    path = state / "0002-piece-0000.parquet"
    pq.write_table(change(pq.read_table(path)), path, store_schema=False)
    with pytest.raises(at.DataError, match=said):
        score(state)


def test_the_golden_state_is_carried_on(state: Path) -> None:
    assert score(state).responses > 0
