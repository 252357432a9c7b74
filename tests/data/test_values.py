"""Values: every Arrow type of a column is read right, or is one error that names the column; no error of Arrow comes through."""

from __future__ import annotations

import uuid
from decimal import Decimal
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.data.values import plain
from adaptrace.report.roster import Groups

IDS = [uuid.UUID(int=number) for number in (5, 2**127 + 9)]
CODES = pa.array(["a", "b"]).dictionary_encode()
BASE = {"student": ["x", "y"], "item": ["q", "r"], "skill": ["s", "t"], "correct": [0, 1]}
READ = {  # of two rows, and what they are
    "string view": (pa.array(["a", "b"], pa.string_view()), ["a", "b"]),
    "large string": (pa.array(["a", "b"], pa.large_string()), ["a", "b"]),
    "dictionary": (CODES, ["a", "b"]),
    "dictionary of a dictionary": (pa.DictionaryArray.from_arrays([0, 1], CODES), ["a", "b"]),
    "dictionary of views": (pa.DictionaryArray.from_arrays([0, 1], pa.array(["a", "b"], pa.string_view())), ["a", "b"]),
    "runs": (pa.RunEndEncodedArray.from_arrays([1, 2], pa.array(["a", "b"])), ["a", "b"]),
    "a slice of runs": (pa.RunEndEncodedArray.from_arrays([2, 5], pa.array(["a", "b"])).slice(1, 2), ["a", "b"]),
    "runs of a dictionary": (pa.RunEndEncodedArray.from_arrays([1, 2], CODES), ["a", "b"]),
    "UUID": (pa.ExtensionArray.from_storage(pa.uuid(), pa.array([each.bytes for each in IDS], pa.binary(16))), [*map(str, IDS)]),
    **({"JSON": (pa.ExtensionArray.from_storage(pa.json_(), pa.array(["a", "b"])), ["a", "b"])} if hasattr(pa, "json_") else {}),
    "uint64": (pa.array([2**64 - 1, 7], pa.uint64()), [str(2**64 - 1), "7"]),
    "half floats": (pa.array(np.array([3, 4], np.float16)), ["3", "4"]),
    "small decimals": (pa.array([Decimal(3), Decimal(4)], pa.decimal128(5, 2)), ["3", "4"]),
    "decimals past int64": (pa.array([Decimal(10**30), Decimal(4)], pa.decimal128(38, 0)), [str(10**30), "4"]),
}
REFUSED = {
    "decimals of hundreds": pa.array([Decimal(700), Decimal(400)], pa.decimal128(5, -2)),
    "binary": pa.array([b"a", b"b"]),
    "binary view": pa.array([b"a", b"b"], pa.binary_view()),
    "fixed binary": pa.array([b"a", b"b"], pa.binary(1)),
    "null": pa.nulls(2),
    "true and false": pa.array([True, False]),
    "duration": pa.array([1, 2], pa.duration("s")),
    "date": pa.array([1, 2], pa.date32()),
    "date in ms": pa.array([86_400_000, 0], pa.date64()),
    "time of day": pa.array([1, 2], pa.time64("us")),
    "timestamp": pa.array([1, 2], pa.timestamp("s", "Asia/Tokyo")),
    "interval": pa.array([(1, 2, 3), (1, 2, 3)], pa.month_day_nano_interval()),
    "struct": pa.array([{"a": 1}, {"a": 2}]),
    "map": pa.array([[("a", 1)], []], pa.map_(pa.string(), pa.int64())),
    "fractions": pa.array([Decimal("7.5"), Decimal(1)]),
    "infinite": pa.array([float("inf"), 1.0]),
    "none": pa.array([float("nan"), 1.0]),
    "union": pa.UnionArray.from_sparse(pa.array([0, 0], pa.int8()), [pa.array([1, 2])]),
    "list of lists": pa.array([[["a"]], [["b"]]]),
    "opaque": pa.ExtensionArray.from_storage(pa.opaque(pa.string(), "kind", "vendor"), pa.array(["a", "b"])),
}
EVERY = {**{name: array for name, (array, _) in READ.items()}, **REFUSED}


def told(door: Any, *arguments: object, **options: object) -> str:
    """What a door says of its arguments: the columns of a log, the text of a DataError; any other error comes through."""
    try:
        made = door(*arguments, **options)
    except at.DataError as error:
        return str(error)
    return str([*made.table.column_names, *made.notes, "level"]) if isinstance(made, at.Log) else str(made)


@pytest.mark.parametrize("column", ["student", "item", "skill"])
@pytest.mark.parametrize("name", READ)
def test_names_of_any_type_are_read(name: str, column: str) -> None:
    array, names = READ[name]
    log = at.Log.from_arrow(pa.table({**BASE, column: array}))
    assert sorted(map(str, log.table[column].to_pylist())) == sorted(names)


@pytest.mark.parametrize("column", ["student", "item", "skill", "event_id"])
@pytest.mark.parametrize("name", REFUSED)
def test_what_holds_no_names_is_one_error_that_names_the_column(name: str, column: str) -> None:
    with pytest.raises(at.DataError) as raised:
        at.Log.from_arrow(pa.table({**BASE, column: REFUSED[name]}))
    assert [problem.column for problem in raised.value.problems] == [column]


@pytest.mark.parametrize("name", EVERY)
def test_no_type_in_any_column_raises_an_error_of_arrow(name: str) -> None:
    for column in ("skills", "correct", "time", "order", "kind", "group", "level", "response_ms"):
        table = pa.table({**BASE, column: EVERY[name]})
        table = table.drop_columns("skill") if column == "skills" else table
        for options in ({}, {"time_unit": "s"}, {"levels": {"practice": 3}}, {"keep": [column]}):
            assert column.removesuffix("s") in told(at.Log.from_arrow, table, **options)


@pytest.mark.parametrize("name", EVERY)
def test_a_column_that_nobody_asked_for_may_be_of_any_type_and_is_kept_or_told(name: str) -> None:
    table = pa.table({**BASE, "other": EVERY[name]})
    assert len(at.Log.from_arrow(table)) == 2
    assert "other" in told(at.Log.from_arrow, table, keep=["other"])


@pytest.mark.parametrize("name", EVERY)
def test_catalogs_and_rosters_raise_no_error_of_arrow(name: str) -> None:
    array = EVERY[name]
    items = pa.table({"item": ["q", "r"], "skill": ["s", "t"]})
    doors: list[Any] = [
        *(
            lambda column=column: at.Catalog.from_arrow(items.append_column(column, array))
            for column in ("title", "minutes", "kind")
        ),
        lambda: at.Catalog.from_arrow(pa.table({"item": array, "skill": ["s", "t"]})),
        lambda: at.Catalog.from_arrow(pa.table({"item": ["q", "r"], "skills": array})),
        lambda: at.Catalog.from_arrow(items, pa.table({"skill": ["s", "t"], "prerequisites": array})),
        lambda: Groups.read(pa.table({"student": array, "class": ["a", "b"]}), ["class"]),
        lambda: Groups.read(pa.table({"student": ["x", "y"], "class": array}), ["class"]),
    ]
    for door in doors:
        assert told(door)


LISTS = [["s", "t"], ["t"]]
KINDS = {
    "list": pa.array(LISTS),
    "large list": pa.array(LISTS, pa.large_list(pa.large_string())),
    "list view": pa.array([["z"], *LISTS], pa.list_view(pa.string())).slice(1),
    "large list view": pa.array([["z"], *LISTS], pa.large_list_view(pa.string_view())).slice(1),
    "views out of order": pa.ListViewArray.from_arrays([1, 0], [2, 1], pa.array(["t", "s", "t"])),
    "list of codes": pa.ListArray.from_arrays([0, 2, 3], pa.array(["s", "t", "t"]).dictionary_encode()),
    "list of codes of views": pa.ListArray.from_arrays(
        [0, 2, 3], pa.DictionaryArray.from_arrays([0, 1, 1], pa.array(["s", "t"], pa.string_view()))
    ),
    "text": pa.array(["s;t", "t"]),
}


@pytest.mark.parametrize("name", KINDS)
def test_lists_of_any_kind_are_the_same_skills(name: str) -> None:
    table = pa.table({"student": ["x", "y"], "item": ["q", "r"], "skills": KINDS[name], "correct": [0, 1]})
    assert at.Log.from_arrow(table).table["skills"].to_pylist() == LISTS
    twice = pa.concat_tables([table, table.set_column(0, "student", pa.array(["v", "w"]))])
    assert at.Log.from_arrow(twice).table["skills"].to_pylist() == LISTS * 2


def test_a_list_of_fixed_size_keeps_its_nulls() -> None:
    array = pa.array([["a", "b"], None, ["c", "d"]], pa.list_(pa.string_view(), 2))
    assert plain(array).to_pylist() == [["a", "b"], None, ["c", "d"]]


def test_uuids_keep_their_nulls_and_slices() -> None:
    storage = pa.array([None, IDS[1].bytes, IDS[0].bytes, None], pa.binary(16))
    array = pa.ExtensionArray.from_storage(pa.uuid(), storage).slice(1)
    assert plain(array).to_pylist() == [str(IDS[1]), str(IDS[0]), None]


@pytest.mark.parametrize("skill", [7, 7.0, Decimal(7)], ids=repr)
def test_a_number_in_the_column_of_lists_is_one_skill(skill: object) -> None:
    log = at.Log.from_arrow({"student": ["x"], "item": ["q"], "skills": [skill], "correct": [1]})
    assert log.skills.to_pylist() == [7]
