"""Joining: the columns of files that are written differently, each checked by itself, as the columns of one log."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from adaptrace.data import schema
from adaptrace.data.reading import Reading
from adaptrace.errors import DataError, Problem
from adaptrace.io.files import Source

OPTIONAL = (schema.KIND.name, schema.GROUP.name, schema.RESPONSE_MS.name)  # a file without them has nulls


def check_parts(parts: Sequence[Source], reading: Reading, *, with_skills: bool) -> dict[str, pa.Array]:
    """The canonical columns of all parts, found, checked and cast part by part.

    Raises
    ------
    DataError
        Listing every problem of every file, and the files that lack a column that others have.
    """
    checked, problems = list[dict[str, pa.Array]](), list[Problem]()
    for part in parts:
        try:
            with part.located():
                checked.append(reading.check(part.table, with_skills=with_skills))
        except DataError as error:
            problems += error.problems
    problems = problems or _lacking(parts, checked)
    if problems:
        raise DataError(reading.source, problems)
    names = dict.fromkeys(name for columns in checked for name in columns)
    lengths = [len(part.table) for part in parts]
    return {name: _column([columns.get(name) for columns in checked], lengths) for name in names}


def kept_columns(parts: Sequence[Source], keep: Sequence[str]) -> list[pa.Table]:
    """Of each part the further columns to keep, as far as it has them."""
    tables = [part.table for part in parts]
    wanted = [[place for place, name in enumerate(table.column_names) if name in keep] for table in tables]
    return [table.select(places) for table, places in zip(tables, wanted, strict=True)]


def lacks(name: str) -> Problem:
    """The problem of a file without a column that other files of a log have."""
    return Problem(f"no column '{name}'", "one as in the other files", "export the file like the others", name)


def _lacking(parts: Sequence[Source], checked: Sequence[dict[str, pa.Array]]) -> list[Problem]:
    needed = [name for name in dict.fromkeys(name for columns in checked for name in columns) if name not in OPTIONAL]
    problems = list[Problem]()
    for part, columns in zip(parts, checked, strict=True):
        try:
            with part.located():
                raise DataError(part.name, [lacks(name) for name in needed if name not in columns])
        except DataError as error:
            problems += error.problems
    return problems


def _column(arrays: Sequence[pa.Array | None], lengths: Sequence[int]) -> pa.Array:
    kind = next(array.type for array in arrays if array is not None)
    return as_one([pa.nulls(n, kind) if array is None else array for array, n in zip(arrays, lengths, strict=True)])


def as_one(arrays: Sequence[pa.Array]) -> pa.Array:
    """Canonical arrays of one column as one; names are the same if their texts are."""
    kinds = {array.type for array in arrays}
    if len(kinds) > 1:
        arrays = [array.cast(_shared(kinds)) for array in arrays]
    return schema.combined(pa.chunked_array(arrays).unify_dictionaries())


def _shared(kinds: set[pa.DataType]) -> pa.DataType:
    if all(pa.types.is_list(kind) for kind in kinds):
        return pa.list_(pa.string())
    if all(pa.types.is_signed_integer(kind) for kind in kinds):
        return pa.int64()
    numbers = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds)
    return pa.float64() if numbers and any(map(pa.types.is_floating, kinds)) else pa.string()
