"""Arrow data from outside, checked before anything follows its offsets and codes: a wrong one would lead out of its memory."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adaptrace.errors import DataError, Problem
from adaptrace.io.tables import Wanted, as_table, brief
from adaptrace.kernels import parallel

BYTES = {pa.string(): (pa.binary(), np.int32), pa.large_string(): (pa.large_binary(), np.int64)}  # and of what their offsets are
EXPECTED = "offsets and codes inside the data, and text in UTF-8"
REMEDY = "the data are damaged, or what wrote them is at fault: export or copy them again"
BROKEN = (pa.ArrowException, MemoryError, UnicodeDecodeError)  # what Arrow raises where it meets a wrong length, offset or code


def imported(data: Any, source: str, wanted: Wanted | None = None) -> pa.Table:
    """Any table in memory (:func:`~adaptrace.io.tables.as_table`), once its columns, or the ``wanted`` ones, are checked.

    Raises
    ------
    DataError
        Saying what makes no table, or listing every column that makes none or is damaged.
    """
    table = as_table(data, source, wanted)
    try:
        names = None if wanted is None else wanted(table.column_names)
    except UnicodeDecodeError as error:  # a name that is no text
        raise DataError(source, [_problem(error)]) from error
    return checked(table, source, names)


def checked(table: pa.Table, source: str, names: Collection[str] | None = None) -> pa.Table:
    """The table, if what its columns say of their own memory is true; ``names``: look at these columns only.

    Raises
    ------
    DataError
        Listing every column that is damaged.
    """
    try:
        problems = _problems(table, table.column_names, names)
    except BROKEN as error:
        problems = [_problem(error)]
    if problems:
        raise DataError(source, problems)
    return table


def _problems(table: pa.Table, columns: list[str], names: Collection[str] | None) -> list[Problem]:
    table.validate()  # that its columns are of one length
    pieces = [(name, column) for name, column in zip(columns, table.columns, strict=True) if names is None or name in names]
    small = len(table) < parallel.SMALL
    found = [_fault(*piece) for piece in pieces] if small else parallel.run(_fault, pieces)
    return [problem for problem in found if problem is not None]


def _fault(name: str, column: pa.ChunkedArray) -> Problem | None:
    """What is wrong with the memory of a column."""
    try:
        _check_column(column)
    except BROKEN as error:
        return replace(_problem(error), column=name)
    return None


def _problem(error: BaseException) -> Problem:
    return Problem(brief(error), EXPECTED, REMEDY)


def _check_column(column: pa.ChunkedArray) -> None:
    """Raise what :meth:`pyarrow.ChunkedArray.validate` of everything would raise, at a part of its time."""
    _ = getattr(column.type, "tz", None)  # a time zone that is no text
    names = {}
    for chunk in column.chunks:
        chunk.validate()  # that its buffers are as long as it says
        if pa.types.is_dictionary(chunk.type):
            _check_codes(chunk.indices, len(chunk.dictionary))
            names[_place(chunk.dictionary)] = chunk.dictionary  # chunks often share theirs
        else:
            _check_values(chunk)
    for each in names.values():
        _check_values(each)


def _check_codes(codes: pa.Array, n_names: int) -> None:
    codes.validate(full=True)
    lowest, highest = pc.min_max(codes).as_py().values()
    if lowest is not None and not 0 <= lowest <= highest < n_names:
        raise pa.ArrowInvalid(f"codes from {lowest} to {highest} of {n_names} names")


def _place(array: pa.Array) -> tuple[int, ...]:
    """Where in memory an array is."""
    return (array.offset, len(array), *(buffer.address if buffer else 0 for buffer in array.buffers()))


def _check_values(array: pa.Array) -> None:
    """Text that is all ASCII, as most names are, is not looked at name by name."""
    if array.type not in BYTES or not len(array):
        array.validate(full=True)
        return
    as_bytes, width = BYTES[array.type]
    array.view(as_bytes).validate(full=True)  # the offsets
    if not _is_ascii(array, width):
        array.validate(full=True)


def _is_ascii(array: pa.Array, width: type[Any]) -> bool:
    """Whether text, whose offsets are of a width and known to be right, holds ASCII alone."""
    _, offsets, data = array.buffers()
    if data is None:
        return True
    first, last = np.frombuffer(offsets, width, array.offset + len(array) + 1)[[array.offset, -1]]
    return bool(np.frombuffer(data, np.uint8)[first:last].max(initial=0) < 128)
