"""Checks of one column: each takes any array and returns the canonical one, or the problems that keep it from being one."""

from __future__ import annotations

import datetime
from dataclasses import dataclass, replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adaptrace.errors import Problem

TIME = pa.timestamp("us", tz="UTC")  # the type of every time
SECONDS = (-62_135_596_800, 253_402_300_799)  # the first and the last time of a Python date, in seconds since 1970
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # in a second
LIST_SEPARATOR = ";"  # between the skills of one cell where a file has no lists (CSV)


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


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is one of the string types."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def check_keys(array: pa.Array) -> Checked:
    """Integers, strings, or a dictionary of either; whole floats (a data frame's nullable integers) become integers."""
    names = array.dictionary if pa.types.is_dictionary(array.type) else array
    if pa.types.is_floating(names.type) and pc.all(pc.equal(pc.floor(names), names)).as_py() in (True, None):
        whole = as_int64(array, "keys that int64 holds", "cast the column to strings")
        if whole.array is None:
            return whole
        array = whole.array
    elif pa.types.is_null(names.type):
        array = array.cast(pa.string())
    elif not (pa.types.is_integer(names.type) or is_text(names.type)):
        return wrong_type(array, "keys: integers or strings", "cast the column to one of these")
    return no_null(array, "a key in every row", "drop these rows or name the missing keys")


def check_skills(array: pa.Array) -> Checked:
    """One key a row, or a list of keys a row; strings are split at ``;``."""
    array = _lists(array)
    if not pa.types.is_list(array.type):
        return check_keys(array)
    empty = pc.fill_null(pc.equal(pc.list_value_length(array), 0), True)
    rows = first_bad(array, empty, "at least one skill in every row", "drop these rows or give them a skill")
    return rows if rows.array is None else _checked_entries(array)


def check_prerequisites(array: pa.Array) -> Checked:
    """A list of keys a row, also empty or null; strings are split at ``;``."""
    array = _lists(array.cast(pa.string()) if pa.types.is_null(array.type) else array)
    if not pa.types.is_list(array.type):
        return wrong_type(array, "a list of skills in every row", "join them by ; or leave the cell empty")
    return _checked_entries(pc.if_else(pc.is_null(array), pa.scalar([], array.type), array))


def _lists(array: pa.Array) -> pa.Array:
    """Text cells as lists of their trimmed, non-empty parts; lists as they are, from offset 0."""
    if pa.types.is_dictionary(array.type) and is_text(array.type.value_type):
        array = array.dictionary_decode()
    if is_text(array.type):
        split = pc.split_pattern(array.cast(pa.string()), LIST_SEPARATOR)
        parts = pc.utf8_trim_whitespace(split.flatten())
        real = pc.not_equal(parts, "")
        row = pc.list_parent_indices(split).filter(real).to_numpy()
        offsets = np.searchsorted(row, np.arange(len(array) + 1)).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), parts.filter(real))
    if not pa.types.is_list(array.type):
        return array
    offsets = array.offsets if len(array.offsets) else pa.array([0], pa.int32())
    return pa.ListArray.from_arrays(pc.subtract(offsets, offsets[0]), array.flatten(), mask=pc.is_null(array))


def _checked_entries(lists: pa.ListArray) -> Checked:
    """Lists whose entries are all good keys, or the rows of those that are not."""
    keys = check_keys(lists.flatten())
    if keys.array is None:
        row = pc.list_parent_indices(lists)
        located = (replace(each, row=None if each.row is None else row[each.row - 1].as_py() + 1) for each in keys.problems)
        return Checked(problems=tuple(located))
    return Checked(pa.ListArray.from_arrays(lists.offsets, keys.array))


def check_correct(array: pa.Array) -> Checked:
    """0/1 as uint8, or fractions in [0, 1] as float64."""
    expected = "0, 1, true, false or a fraction between 0 and 1"
    remedy = "map other grades to this range first, e.g. points / most points"
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    if pa.types.is_null(array.type):
        array = array.cast(pa.float64())
    if is_text(array.type):
        bad = pc.invert(pc.match_substring_regex(array, r"^\s*(0|1|[01]?\.\d+|[01]\.\d*)([eE][-+]?\d+)?\s*$"))
        checked = first_bad(array, pc.fill_null(bad, True), expected, remedy)
        if checked.array is None:
            return checked
        array = pc.utf8_trim_whitespace(array).cast(pa.float64())
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or pa.types.is_decimal(array.type)):
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


def check_time(array: pa.Array) -> Checked:
    """Timestamps as microseconds in UTC (a time without a zone is UTC); text is read as ISO 8601."""
    remedy = "give ISO 8601 times, or pass columns={'order': ...} for a mere order"
    if is_text(array.type):
        bad = pa.array([not _is_iso(text) for text in array.to_pylist()], pa.bool_())
        checked = first_bad(array, bad, "an ISO 8601 time in every row", remedy)
        if checked.array is None:
            return checked
        array = pa.array([_from_iso(text) for text in array.to_pylist()], TIME)
    if pa.types.is_null(array.type):
        array = array.cast(TIME)
    if not (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
        return wrong_type(array, "timestamps", remedy)
    years = _check_years(array)
    if years.array is None:
        return years
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("us"))
    array = array.cast(pa.timestamp("us", tz=array.type.tz), safe=False)
    array = array.cast(TIME) if array.type.tz else array.view(TIME)
    return no_null(array, "a time in every row", remedy)


def _from_iso(text: str) -> datetime.datetime:
    time = datetime.datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)


def _is_iso(text: str | None) -> bool:
    try:
        return text is not None and _from_iso(text) is not None
    except ValueError:
        return False


def _check_years(array: pa.Array) -> Checked:
    """Dates and timestamps of years that Python has; others would be read as another time, or not at all."""
    kind = array.type
    a_second = 1 / 86_400 if pa.types.is_date32(kind) else UNITS["ms" if pa.types.is_date(kind) else kind.unit]
    number = array.cast(pa.int32() if pa.types.is_date32(kind) else pa.int64())
    low, high = (int(min(max(second * a_second, -(2**63)), 2**63 - 1)) for second in SECONDS)
    least, most = (pc.min_max(number)[end].as_py() for end in ("min", "max"))
    if least is None or (least >= low and most <= high):
        return Checked(array)
    bad = pc.fill_null(pc.or_(pc.less(number, low), pc.greater(number, high)), False)
    return first_bad(number, bad, f"a time of the years 1 to 9999, {low} to {high} as {kind}", "correct or drop these rows")


def check_order(array: pa.Array) -> Checked:
    """Whole numbers that grow with time; their unit does not matter."""
    remedy = "number the rows of each student in the order of answering; a column of timestamps is 'time'"
    expected = "a whole number in every row"
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or pa.types.is_null(array.type)):
        return wrong_type(array, "whole numbers", remedy)
    whole = as_int64(array, expected, remedy)
    return whole if whole.array is None else no_null(whole.array, expected, remedy)


def check_amount(array: pa.Array) -> Checked:
    """A quantity that is not negative; null where unknown."""
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or pa.types.is_null(array.type)):
        return wrong_type(array, "numbers", "cast the column to a number, or leave it out")
    array = array.cast(pa.float64(), safe=False)  # a count beyond 2^53 loses its last digits
    bad = pc.invert(pc.fill_null(pc.greater_equal(array, 0), True))
    return first_bad(array, bad, "a number that is not negative, or null", "clear these cells")


def check_level(array: pa.Array) -> Checked:
    """Whole numbers from 0; null where ``correct`` gives the outcome."""
    remedy = "number the levels of a kind 0, 1, 2, ...; leave the cell empty where correct says it all"
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or pa.types.is_null(array.type)):
        return wrong_type(array, "whole numbers", remedy)
    expected = "a whole number from 0, or null"
    whole = as_int64(array, expected, remedy)
    return (
        whole if whole.array is None else first_bad(whole.array, pc.fill_null(pc.less(whole.array, 0), False), expected, remedy)
    )


def check_label(array: pa.Array) -> Checked:
    """Text; null where unknown."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not (is_text(array.type) or pa.types.is_null(array.type) or pa.types.is_integer(array.type)):
        return wrong_type(array, "text", "cast the column to strings")
    return Checked(array.cast(pa.string()))
