"""Tables in memory: what is a table, what is none, and what becomes of columns that mix kinds of values."""

from __future__ import annotations

import datetime
import uuid
from decimal import Decimal
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.io.tables import as_table

ROWS: dict[str, list[Any]] = {
    "student": ["ana", "ana", "bo"],
    "item": ["q1", "q2", "q1"],
    "skill": ["s"] * 3,
    "correct": [0, 1, 1],
}
FRAMES = {
    "dict of lists": ROWS,
    "dict of arrays": {name: np.array(values) for name, values in ROWS.items()},
    "list of dicts": [dict(zip(ROWS, row, strict=True)) for row in zip(*ROWS.values(), strict=True)],
    "pandas": pd.DataFrame(ROWS),
    "pandas, student as index": pd.DataFrame(ROWS).set_index("student"),
    "pandas, categories": pd.DataFrame(ROWS).astype("category"),
    "polars": pl.DataFrame(ROWS),
    "table": pa.table(ROWS),
    "batch": pa.table(ROWS).to_batches()[0],
    "reader": pa.table(ROWS).to_reader,
    "DuckDB": lambda: duckdb.from_arrow(pa.table(ROWS)),
}


@pytest.mark.parametrize("name", FRAMES)
def test_every_table_is_the_same_log(name: str) -> None:
    frame = FRAMES[name]
    log = at.Log.from_arrow(frame() if callable(frame) else frame)
    assert (log.students.to_pylist(), log.correct.tolist()) == (["ana", "bo"], [0.0, 1.0, 1.0])


NO_TABLES = {
    "nothing": (None, "got a NoneType; expected a table"),
    "a number": (5, "got a int; expected a table"),
    "a path": ("log.csv", "files are read by read()"),
    "a generator": ((row for row in ()), "got a generator"),
    "tuples": ([(1, 2)], "row 1: got a tuple; expected a dict in every row"),
    "a structured array": (np.zeros(2, [("student", int)]), "got a ndarray"),
    "a lazy frame": (pl.DataFrame(ROWS).lazy(), "call its collect() first"),
    "an array": (pa.array([1]), "table: got Cannot import schema"),
    "single values": ({"student": "ana", "item": 5}, "column 'student': got a str; expected a list"),
    "columns of several lengths": ({**ROWS, "correct": [1]}, "column 'correct': got 1 values; expected 3 as in column 'student'"),
    "a type of polars alone": (pl.DataFrame({"student": [2**70]}, schema={"student": pl.Int128}), "cast columns"),
}


@pytest.mark.parametrize("name", NO_TABLES)
def test_what_is_no_table_is_one_error_that_says_what_it_is(name: str) -> None:
    data, told = NO_TABLES[name]
    for door in (at.Log.from_arrow, at.Catalog.from_arrow):
        with pytest.raises(at.DataError) as raised:
            door(data)
        assert told in str(raised.value) or door == at.Catalog.from_arrow


MIXED = [
    ([7, "a2", 9.0], ["7", "a2", "9"]),
    (["a", 1.5, None], ["a", "1.5", None]),
    ([float("nan"), "a", pd.NaT], [None, "a", None]),
    ([pd.NA, "a", 1], [None, "a", "1"]),
    ([2**70, 1, 2], [str(2**70), "1", "2"]),
    ([True, "0", 1], ["true", "0", "1"]),
    ([uuid.UUID(int=1), "a", Decimal("7.50")], [str(uuid.UUID(int=1)), "a", "7.50"]),
    (
        [datetime.date(2024, 1, 2), "a", datetime.datetime(2024, 1, 2, tzinfo=datetime.UTC)],
        ["2024-01-02", "a", "2024-01-02T00:00:00+00:00"],
    ),
    ([["a", 1], [2.0], None], [["a", "1"], ["2"], None]),
]


@pytest.mark.parametrize(("values", "texts"), MIXED, ids=str)
@pytest.mark.parametrize("as_frame", [dict, pd.DataFrame], ids=["dict", "pandas"])
def test_a_column_of_several_kinds_becomes_text(values: list[Any], texts: list[Any], as_frame: Any) -> None:
    table = as_table(as_frame({"x": pd.Series(values, dtype=object) if as_frame is pd.DataFrame else values}), "table")
    assert table["x"].to_pylist() == texts


@pytest.mark.parametrize(
    "value", [{1}, object(), 1j, "\ud800", {"a": 1}], ids=["set", "object", "complex", "half a character", "dict"]
)
def test_a_value_that_is_no_text_is_told_with_its_row_unless_nobody_asked_for_the_column(value: object) -> None:
    columns = {**ROWS, "student": ["ana", 7, value]}
    with pytest.raises(at.DataError) as raised:
        at.Log.from_arrow(columns)
    (problem,) = raised.value.problems
    assert (problem.column, problem.row) == ("student", 3)
    assert len(at.Log.from_arrow({**ROWS, "other": ["ana", 7, value]})) == 3
    assert len(at.Log.from_arrow({**ROWS, "\ud800": [1, 2, 3]})) == 3


def test_lists_beside_other_values_are_told() -> None:
    with pytest.raises(at.DataError, match="column 'skill': got values of several sorts"):
        at.Log.from_arrow({**ROWS, "skill": [["a"], "b", "c"]})


def test_two_columns_of_one_name_matter_only_where_they_are_read() -> None:
    frame = pd.DataFrame(list(zip(*ROWS.values(), strict=True)), columns=list(ROWS))
    twice = pd.concat([frame, pd.DataFrame({"other": [1, 2, 3]}), pd.DataFrame({"other": [1, 2, 3]})], axis=1)
    assert len(at.Log.from_arrow(twice)) == 3
    with pytest.raises(at.DataError, match="column 'student': got 2 columns of this name"):
        at.Log.from_arrow(pd.concat([frame, frame[["student"]]], axis=1))


def test_a_key_that_some_rows_do_not_have_is_null_in_them() -> None:
    assert as_table([{"a": 1}, {"a": 2, "b": "x"}], "table").to_pydict() == {"a": [1, 2], "b": [None, "x"]}
