"""Schema: what each column accepts, what it becomes, and what it says of the rest."""

from __future__ import annotations

import datetime
from decimal import Decimal

import pyarrow as pa
import pytest

from adaptrace.data import checks, names, schema, times
from adaptrace.errors import DataError

NAN = float("nan")


def told(checked: checks.Checked) -> tuple[int | None, str, int]:
    """Row, value and further rows of the only problem."""
    assert checked.array is None
    (problem,) = checked.problems
    assert problem.expected
    assert problem.remedy
    return problem.row, problem.got, problem.more


# ---- correct ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (pa.array([0, 1, 1]), [0, 1, 1]),
        (pa.array([True, False]), [1, 0]),
        (pa.array([1.0, 0.0]), [1, 0]),
        (pa.array([Decimal(1), Decimal(0)], pa.decimal128(3, 1)), [1, 0]),
        (pa.array(["1", " 0 ", "1.0"]), [1, 0, 1]),
        (pa.array(["1", "0"]).dictionary_encode(), [1, 0]),
        (pa.array([], pa.null()), []),
    ],
    ids=["integers", "booleans", "floats", "decimals", "text", "dictionary", "empty"],
)
def test_whole_outcomes_become_small_integers(values: pa.Array, expected: list[int]) -> None:
    array = checks.check_correct(values).array
    assert array.to_pylist() == expected
    assert array.type == (pa.uint8() if expected else array.type)


@pytest.mark.parametrize("values", [pa.array([0.25, 1.0]), pa.array(["0.25", "1"]), pa.array([".25", "1e0"])], ids=str)
def test_partial_credit_stays_a_fraction(values: pa.Array) -> None:
    array = checks.check_correct(values).array
    assert array.to_pylist() == [0.25, 1.0]
    assert array.type == pa.float64()


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ([1, 2, 0, 3], (2, "2", 1)),
        ([1, -1], (2, "-1", 0)),
        ([1.0, NAN], (2, "nan", 0)),
        ([1.0, float("inf")], (2, "inf", 0)),
        ([0.5, 1.0000001], (2, "1.0000001", 0)),
        ([True, None], (2, "null", 0)),
        ([None], (1, "null", 0)),
        (["1", "yes", "no"], (2, "'yes'", 1)),
        (["1", "2"], (2, "2.0", 0)),
        (["1", "1\n0"], (2, "'1\\n0'", 0)),
        (["1", None], (2, "null", 0)),
        ([datetime.date(2025, 1, 1)], (None, "type date32[day]", 0)),
    ],
    ids=str,
)
def test_an_outcome_that_is_none_is_told_with_its_row(values: list[object], problem: tuple[int | None, str, int]) -> None:
    row, got, more = told(checks.check_correct(pa.array(values)))
    assert (row, got.replace("'2'", "2.0"), more) == problem


# ---- keys and skills --------------------------------------------------------


def test_whole_floats_become_integer_keys_as_a_data_frame_makes_them_of_integers_with_gaps() -> None:
    assert names.check_keys(pa.array([7.0, 9.0])).array.type == pa.int64()


@pytest.mark.parametrize(
    "values",
    [[7.0, None], ["a", None], pa.array(["a", None]).dictionary_encode(), pa.DictionaryArray.from_arrays([0, 1], ["a", None])],
    ids=["floats", "text", "dictionary", "null among the names"],
)
def test_a_missing_key_is_told_with_its_row(values: object) -> None:
    assert told(names.check_keys(values if isinstance(values, pa.Array) else pa.array(values))) == (2, "null", 0)


@pytest.mark.parametrize("values", [[1.5, 2.0], [True], [b"a"], [datetime.date(2025, 1, 1)]], ids=str)
def test_a_type_that_is_no_key_is_told(values: list[object]) -> None:
    assert told(names.check_keys(pa.array(values)))[1].startswith("type ")


@pytest.mark.parametrize("empty", [[], None])
def test_a_row_without_skills_is_told(empty: list[str] | None) -> None:
    assert told(names.check_skills(pa.array([["a"], empty, ["b"], empty])))[::2] == (2, 1)


def test_a_null_inside_a_list_of_skills_is_told_with_the_row_of_the_list() -> None:
    assert told(names.check_skills(pa.array([["a", "b"], ["c"], ["d", None]]))) == (3, "null", 0)


def test_a_sliced_list_of_skills_starts_at_its_own_first_row() -> None:
    array = names.check_skills(pa.array([["x", "y"], ["a"], ["b", "c"]]).slice(1)).array
    assert array.to_pylist() == [["a"], ["b", "c"]]
    assert array.offsets[0].as_py() == 0


# ---- time, order, amounts, labels -------------------------------------------


def test_nanoseconds_are_cut_to_microseconds() -> None:
    array = times.check_time(pa.array([1_999], pa.timestamp("ns"))).array
    assert array.cast(pa.int64()).to_pylist() == [1]


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        (["2025-01-01", "yesterday", "soon"], (2, "'yesterday'", 1)),
        (["2025-01-01", None], (2, "null", 0)),
        ([datetime.datetime(2025, 1, 1), None], (2, "null", 0)),
        ([1.5], (None, "type double", 0)),
    ],
    ids=str,
)
def test_what_is_no_time_is_told(values: list[object], problem: tuple[int | None, str, int]) -> None:
    assert told(times.check_time(pa.array(values))) == problem


@pytest.mark.parametrize(
    ("values", "problem"),
    [([1.0, 1.5], (2, "1.5", 0)), ([1, None], (2, "null", 0)), (["1"], (None, "type string", 0))],
    ids=str,
)
def test_what_is_no_order_is_told(values: list[object], problem: tuple[int | None, str, int]) -> None:
    assert told(checks.check_order(pa.array(values))) == problem


def test_an_order_keeps_every_digit() -> None:
    assert checks.check_order(pa.array([2**62 + 1])).array.to_pylist() == [2**62 + 1]


def test_an_amount_may_be_unknown_but_not_negative() -> None:
    assert checks.check_amount(pa.array([3, None])).array.to_pylist() == [3.0, None]
    assert told(checks.check_amount(pa.array([3, None, -5]))) == (3, "-5.0", 0)


def test_a_label_is_text_or_unknown() -> None:
    assert checks.check_label(pa.array(["project", None]).dictionary_encode()).array.to_pylist() == ["project", None]
    assert checks.check_label(pa.array([7, None])).array.to_pylist() == ["7", None]  # the number of a class
    assert told(checks.check_label(pa.array([7.5])))[1] == "type double"


@pytest.mark.parametrize(
    ("check", "kind"),
    [
        (names.check_keys, pa.null()),
        (names.check_skills, pa.null()),
        (checks.check_correct, pa.null()),
        (times.check_time, pa.null()),
        (checks.check_order, pa.null()),
        (checks.check_amount, pa.null()),
        (checks.check_label, pa.null()),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_an_empty_column_of_unknown_type_is_good(check, kind: pa.DataType) -> None:
    """So come the columns of a CSV of a header alone."""
    checked = check(pa.array([], kind))
    assert checked.problems == ()
    assert len(checked.array) == 0


# ---- tables -----------------------------------------------------------------


def test_no_name_or_alias_belongs_to_two_columns_of_a_table() -> None:
    for table in (schema.RESPONSES, schema.CATALOG_ITEMS):
        every = [name for column in table for name in (column.name, *column.aliases)]
        assert len(every) == len(set(every))
        assert all(name == name.strip().lower() for name in every)


def test_every_problem_of_every_column_is_raised_at_once() -> None:
    table = pa.table({"user": ["Ada", None], "item": ["q1", "q2"], "correct": [2, 1], "extra": [1, 2]})
    with pytest.raises(DataError) as raised:
        schema.conform(table, schema.RESPONSES, {"kind": "sort"}, ("student", "item", "skill", "correct"), "here")
    assert raised.value.source == "here"
    assert [(problem.column, problem.row) for problem in raised.value.problems] == [
        ("skill", None),
        ("kind", None),
        ("user", 2),
        ("correct", 1),
    ]


def test_a_column_that_the_caller_gave_to_one_is_not_taken_for_another() -> None:
    assert schema.resolve(["user", "problem"], schema.RESPONSES, {"item": "user"}) == {"item": "user"}


def test_names_are_the_same_if_their_texts_are() -> None:
    assert schema.find(pa.array(["7", "x", "9"]), pa.array([9, 8, 7])).tolist() == [2, -1, 0]
