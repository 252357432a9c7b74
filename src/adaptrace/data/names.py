"""Names: what a name of a student, an item, a skill or an event is, in a column or in a call; the same if their texts are.

A name is text that is not blank, a whole number of any type (7, 7.0 and Decimal(7) are ``"7"``) or a UUID. None, NaN, infinity,
fractions, true and false, bytes, times and lists are no names.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adaptrace.data.checks import Checked, as_int64, first_bad, no_null, wrong_type
from adaptrace.data.values import decoded, is_text
from adaptrace.errors import DataError, Problem
from adaptrace.io.tables import is_whole_text, text_of
from adaptrace.kernels import rows as kernels

LIST_SEPARATORS = (";", "~~")  # between the skills of one cell where a file has no lists: CSV, and exports of DataShop
LIST_LIKE = (*LIST_SEPARATORS, "|")  # what may stand between skills where a list was read as one name
A_NAME = "a name: text in UTF-8 that is not blank, a whole number or a UUID"
NOT_BLANK = "a name that is not blank"
MANY = 100_000  # names
GIVE_NAMES = "drop these rows or name the missing keys"


# ---- in a call --------------------------------------------------------------


def name_of(value: object, what: str) -> str:
    """A name as text.

    Parameters
    ----------
    value
        What a caller gave.
    what
        What is named, for the error: ``student``, ``item``, ...

    Raises
    ------
    DataError
        If it is no name; it is a ValueError too.

    Examples
    --------
    >>> name_of(7.0, "student")
    '7'
    """
    if type(value) is str and value.isascii() and value and not value.isspace():
        return value
    text = text_of(value)
    if text is None or not is_name(text):
        raise DataError(what, [Problem(_shown(value), A_NAME, f"give the {what} a name")])
    return text


def is_name(text: str) -> bool:
    """Whether a text is a name: not blank, and without half a character (a lone surrogate), which no file can hold."""
    return text != "" and not text.isspace() and (text.isascii() or is_whole_text(text))


def names_of(values: Iterable[object], what: str) -> list[str]:
    """Names as text, in their order; see :func:`name_of`."""
    return [name_of(value, what) for value in values]


def _shown(value: object) -> str:
    """A value in an error: itself where it is short, else its type."""
    text = ascii(value) if value is None or isinstance(value, str | float | bool) else ""
    return text if 0 < len(text) <= 40 else f"a value of type {type(value).__name__}"


def as_text(names: pa.Array) -> pa.StringArray:
    """Names as strings: 7 in a Parquet file is ``7`` in a CSV."""
    return names.cast(pa.string())


# ---- in a column ------------------------------------------------------------


def check_keys(array: pa.Array) -> Checked:
    """Integers, strings, or a dictionary of either; whole floats (a data frame's nullable integers) become integers."""
    names = array.dictionary if pa.types.is_dictionary(array.type) else array
    if pa.types.is_floating(names.type) or pa.types.is_decimal(names.type):
        whole = _whole(decoded(array))
        if whole.array is None:
            return whole
        array = whole.array
    elif pa.types.is_null(names.type):
        array = array.cast(pa.string())
    elif not (pa.types.is_integer(names.type) or is_text(names.type)):
        return wrong_type(array, "keys: integers or strings", "cast the column to one of these")
    checked = no_null(array, "a key in every row", GIVE_NAMES)
    return checked if checked.array is None else _not_blank(checked.array)


def _whole(array: pa.Array) -> Checked:
    """Whole numbers as int64; decimals that it cannot hold as their digits."""
    if pa.types.is_floating(array.type):
        finite = first_bad(array, pc.fill_null(pc.invert(pc.is_finite(array)), False), "a key in every row", GIVE_NAMES)
        if finite.array is None:
            return finite
    if pc.all(pc.equal(pc.floor(array), array)).as_py() is False:
        return wrong_type(array, "keys: integers or strings", "cast the column to one of these")
    try:
        return Checked(array.cast(pa.int64()))
    except pa.ArrowInvalid:
        if pa.types.is_decimal(array.type):
            return Checked(pa.array([None if each is None else f"{each:.0f}" for each in array.to_pylist()], pa.string()))
    return as_int64(array, "keys that int64 holds", "cast the column to strings")


def _not_blank(array: pa.Array) -> Checked:
    """The column as it is, or the problem of its first name that is empty or nothing but space."""
    coded = pa.types.is_dictionary(array.type)
    names = array.dictionary if coded else array
    if not is_text(names.type) or not _may_be_blank(names):
        return Checked(array)
    blank = pc.or_(pc.equal(pc.binary_length(names), 0), pc.utf8_is_space(names))
    return first_bad(array, blank.take(array.indices) if coded else blank, NOT_BLANK, GIVE_NAMES)


def _may_be_blank(names: pa.Array) -> bool:
    """Whether any name may be blank, by a look at its first byte; compiled for many names alone: the tutor compiles nothing."""
    _, offsets, letters = names.buffers()
    if not len(names):
        return False
    start: NDArray[np.int64] = np.frombuffer(offsets, np.int64 if pa.types.is_large_string(names.type) else np.int32)
    start = start[names.offset : names.offset + len(names) + 1]
    if letters is None:
        return True
    bytes_of = np.frombuffer(letters, np.uint8)
    if len(names) >= MANY:
        return kernels.may_be_blank(start, bytes_of)
    if (np.diff(start) == 0).any():
        return True
    begins = bytes_of[start[:-1]]
    return bool(begins.min() <= ord(" ") or begins.max() >= 128)


def check_skills(array: pa.Array) -> Checked:
    """One key a row, or a list of keys a row; strings are split at ``;`` and ``~~``."""
    array = _lists(array)
    if not pa.types.is_list(array.type):  # one number a row
        keys = check_keys(array)
        each = pa.array(np.arange(len(array) + 1, dtype=np.int32))
        return keys if keys.array is None else Checked(pa.ListArray.from_arrays(each, keys.array))
    empty = pc.fill_null(pc.equal(pc.list_value_length(array), 0), True)
    rows = first_bad(array, empty, "at least one skill in every row", "drop these rows or give them a skill")
    return rows if rows.array is None else _checked_entries(array)


def list_notes(skills: pa.Array) -> tuple[str, ...]:
    """Questions about names of skills that may be lists: a note for each separator that stands in any of them."""
    names, notes = as_text(skills), []
    for separator in LIST_LIKE:
        if pc.any(pc.match_substring(names, separator)).as_py():
            write = "" if separator in LIST_SEPARATORS else f"write '{LIST_SEPARATORS[0]}' for '{separator}' and "
            how = f"{write}map the column as skills: columns={{'skills': 'its name here'}}, --column skills=NAME"
            notes.append(f"names of skills hold '{separator}': are these lists? If so, {how}")
    return tuple(notes)


def check_prerequisites(array: pa.Array) -> Checked:
    """A list of keys a row, also empty or null; strings are split at ``;`` and ``~~``."""
    array = _lists(array.cast(pa.string()) if pa.types.is_null(array.type) else array)
    if not pa.types.is_list(array.type):
        return wrong_type(array, "a list of skills in every row", "join them by ; or leave the cell empty")
    return _checked_entries(pc.if_else(pc.is_null(array), pa.scalar([], array.type), array))


def _lists(array: pa.Array) -> pa.Array:
    """Text cells as lists of their trimmed, non-empty parts; lists as they are, from offset 0."""
    if pa.types.is_dictionary(array.type) and is_text(array.type.value_type):
        array = array.dictionary_decode()
    if is_text(array.type):
        split = pc.split_pattern_regex(array.cast(pa.string()), "|".join(LIST_SEPARATORS))
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
