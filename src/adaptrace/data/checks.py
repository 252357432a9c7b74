"""Checks of one column: each takes any array and returns the canonical one, or the problems that keep it from being one."""

from __future__ import annotations

from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from adaptrace.data.values import decoded, is_number, is_text
from adaptrace.errors import Problem

TRUTHS = {"true": 1.0, "t": 1.0, "false": 0.0, "f": 0.0}  # in any capitals: as data frames, R and PostgreSQL write them
NUMBER = r"^\s*(0|1|[01]?\.\d+|[01]\.\d*)([eE][-+]?\d+)?\s*$"


@dataclass(frozen=True)
class Checked:
    """A canonical array, or the problems that keep the column from being one."""

    array: pa.Array | None = None
    problems: tuple[Problem, ...] = ()


def first_bad(array: pa.Array, bad: pa.Array, expected: str, remedy: str) -> Checked:
    """The column as it is, or the problem of the first row where ``bad`` is true."""
    count = pc.sum(bad).as_py() or 0
    if not count:
        return Checked(array)
    row = pc.index(bad, True).as_py()
    got = array[row].as_py()
    text = "null" if got is None else repr(got)
    return Checked(problems=(Problem(text, expected, remedy, row=row + 1, more=count - 1),))


def no_null(array: pa.Array, expected: str, remedy: str) -> Checked:
    """The column as it is, or the problem of its first null."""
    values = array
    if pa.types.is_dictionary(array.type) and array.dictionary.null_count:
        values = array.dictionary_decode()
    return first_bad(array, pc.is_null(values), expected, remedy) if values.null_count else Checked(array)


def as_int64(array: pa.Array, expected: str, remedy: str) -> Checked:
    """Numbers as int64, nulls unchanged, or the problem of the first that int64 cannot hold: a fraction, or too large."""
    try:
        return Checked(array.cast(pa.int64()))
    except pa.ArrowInvalid:
        number = array.cast(pa.float64(), safe=False)
        whole = pc.and_(pc.equal(pc.floor(number), number), pc.less(pc.abs(number), 2.0**63))
        checked = first_bad(array, pc.invert(pc.fill_null(whole, True)), expected, remedy)
        return checked if checked.problems else wrong_type(array, expected, remedy)


def wrong_type(array: pa.Array, expected: str, remedy: str) -> Checked:
    """The problem of a column that is not of a type that could be cast."""
    return Checked(problems=(Problem(f"type {array.type}", expected, remedy),))


def check_correct(array: pa.Array) -> Checked:
    """0/1 as uint8, or fractions in [0, 1] as float64."""
    expected = "0, 1, true, false or a fraction between 0 and 1"
    remedy = "map other grades to this range first, e.g. points / most points"
    array = decoded(array)
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    if pa.types.is_null(array.type) or pa.types.is_decimal(array.type):
        array = array.cast(pa.float64())
    if is_text(array.type):
        checked = _outcomes_of_text(array.cast(pa.string()), expected, remedy)
        if checked.array is None:
            return checked
        array = checked.array
    if not is_number(array.type):
        return wrong_type(array, expected, remedy)
    integers = pa.types.is_integer(array.type)
    lowest, highest = pc.min_max(array).as_py().values() if integers else (0, 2)
    if array.null_count or (len(array) and not 0 <= lowest <= highest <= 1):
        inside = pc.and_(pc.greater_equal(array, 0), pc.less_equal(array, 1))
        checked = first_bad(array, pc.invert(pc.fill_null(inside, False)), expected, remedy)
        if checked.array is None:
            return checked
    whole = integers or pc.all(pc.equal(pc.floor(array), array)).as_py() in (True, None)
    return Checked(array.cast(pa.uint8() if whole else pa.float64()))


def _outcomes_of_text(array: pa.StringArray, expected: str, remedy: str) -> Checked:
    """The numbers that texts are, or true and false, in any capitals; the problem of the first that is neither."""
    place = pc.index_in(pc.utf8_lower(pc.utf8_trim_whitespace(array)), pa.array(list(TRUTHS)), skip_nulls=True)
    truth = pa.array(TRUTHS.values()).take(place)
    good = pc.or_(pc.is_valid(truth), pc.match_substring_regex(array, NUMBER))
    checked = first_bad(array, pc.invert(pc.fill_null(good, False)), expected, remedy)
    if checked.array is None:
        return checked
    numbers = pc.if_else(pc.is_valid(truth), None, pc.utf8_trim_whitespace(array))
    return Checked(pc.coalesce(truth, numbers.cast(pa.float64())))


def check_order(array: pa.Array) -> Checked:
    """Whole numbers that grow with time; their unit does not matter."""
    remedy = "number the rows of each student in the order of answering; a column of timestamps is 'time'"
    expected = "a whole number in every row"
    array = decoded(array)
    if not is_number(array.type):
        return wrong_type(array, "whole numbers", remedy)
    whole = as_int64(array, expected, remedy)
    return whole if whole.array is None else no_null(whole.array, expected, remedy)


def check_amount(array: pa.Array) -> Checked:
    """A quantity that is not negative; null where unknown."""
    array = decoded(array)
    if not is_number(array.type):
        return wrong_type(array, "numbers", "cast the column to a number, or leave it out")
    array = array.cast(pa.float64(), safe=False)  # a count beyond 2^53 loses its last digits
    good = pc.and_(pc.greater_equal(array, 0), pc.is_finite(array))
    return first_bad(array, pc.invert(pc.fill_null(good, True)), "a number that is not negative, or null", "clear these cells")


def check_level(array: pa.Array) -> Checked:
    """Whole numbers from 0; null where ``correct`` gives the outcome."""
    remedy = "number the levels of a kind 0, 1, 2, ...; leave the cell empty where correct says it all"
    array = decoded(array)
    if not is_number(array.type):
        return wrong_type(array, "whole numbers", remedy)
    expected = "a whole number from 0, or null"
    whole = as_int64(array, expected, remedy)
    return (
        whole if whole.array is None else first_bad(whole.array, pc.fill_null(pc.less(whole.array, 0), False), expected, remedy)
    )


def check_label(array: pa.Array) -> Checked:
    """Text; null where unknown."""
    array = decoded(array)
    if not (is_text(array.type) or pa.types.is_null(array.type) or pa.types.is_integer(array.type)):
        return wrong_type(array, "text", "cast the column to strings")
    return Checked(array.cast(pa.string()))
