"""Ordering: the rows of a log grouped by student, and in time order within each."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.errors import DataError, Problem
from adaptrace.kernels import parallel
from adaptrace.kernels import rows as kernels
from adaptrace.kernels.arrays import space

PARTS = 256  # parts of the students when a log is ordered, each small enough for the cache


class Ordering(NamedTuple):
    """How rows are moved: first to the part of their student, then to their place in it."""

    place: NDArray[np.int32]  # (n_rows,) new place of each row after the first move
    origin: NDArray[np.int32]  # (n_rows,) where each final row is after the first move
    scratch: NDArray[np.int64]  # (n_rows,) working space, reused because new memory is slower than the moves

    def apply(self, values: NDArray[Any]) -> NDArray[Any]:
        """Values (n_rows,) in the final order."""
        parted, out = self.scratch.view(values.dtype)[: len(values)], space(len(values), values.dtype)
        pieces = parallel.ranges(len(values))
        parallel.run(kernels.move, [(values, self.place, parted, *piece) for piece in pieces])
        parallel.run(kernels.fetch, [(parted, self.origin, out, *piece) for piece in pieces])
        return out

    def apply_all(self, arrays: list[pa.Array]) -> list[pa.Array]:
        """Arrays of one table in the final order."""
        order = None if all(map(_is_plain, arrays)) else pa.array(self.apply(np.arange(len(self.place))))
        return [self._apply_array(array, order) for array in arrays]

    def _apply_array(self, array: pa.Array, order: pa.Array | None) -> pa.Array:
        if not _is_plain(array):
            return array.take(order)
        if pa.types.is_dictionary(array.type):
            return pa.DictionaryArray.from_arrays(self.apply(array.indices.to_numpy()), array.dictionary)
        unsigned = np.frombuffer(array.buffers()[1], f"u{array.type.byte_width}")
        moved = self.apply(unsigned[array.offset : array.offset + len(array)])
        return pa.Array.from_buffers(array.type, len(array), [None, pa.py_buffer(moved)])


def _is_plain(array: pa.Array) -> bool:
    """Whether an array holds only numbers or codes, and no nulls."""
    kind = array.type
    fixed = pa.types.is_dictionary(kind) or (pa.types.is_primitive(kind) and not pa.types.is_boolean(kind))
    return bool(fixed and not array.null_count)


def ordering_of(table: pa.Table, promised: bool, rows: NDArray[Any], source: str) -> Ordering | None:
    """How to group rows by student and order them by time; None if they already are in that order."""
    student = schema.combined(table["student"])
    codes, n_students = student.indices.to_numpy(), len(student.dictionary)
    time = _time_numbers(table)
    if time is None:
        time = np.zeros(len(table), np.int64)
    row = kernels.first_disorder(codes, time)
    if row < 0:
        return None
    if promised:
        problem = _disorder(table, codes, int(row))
        raise DataError(source, [replace(problem, row=1 + int(rows[row]))])
    start = kernels.segment_starts(codes, n_students)
    width = n_students // PARTS + 1
    place, origin, scratch = space(len(codes), np.int32), space(len(codes), np.int32), space(len(codes), np.int64)
    kernels.part(codes, start, width, place)
    parted = space(len(codes), codes.dtype)
    for values, out in ((codes, parted), (time, scratch)):
        parallel.run(kernels.move, [(values, place, out, *piece) for piece in parallel.ranges(len(codes))])
    edges = [*range(0, n_students, width), n_students]
    parallel.run(kernels.order_parts, [(parted, scratch, start, *piece, origin) for piece in pairwise(edges)])
    return Ordering(place, origin, scratch)


def _time_numbers(table: pa.Table) -> NDArray[np.int64] | None:
    for name in ("time", "order"):
        if name in table.column_names:
            return np.asarray(schema.combined(table[name]).cast(pa.int64()))
    return None


def _disorder(table: pa.Table, codes: NDArray[np.int32], row: int) -> Problem:
    remedy = "sort the file by student and time, or drop the promise (ordered=True, --ordered): unordered logs are fine"
    if codes[row] < codes[row - 1]:
        return Problem("a student again, after rows of another", "all rows of a student together", remedy, "student", row + 1)
    name = "time" if "time" in table.column_names else "order"
    got, before = str(table[name][row].as_py()), table[name][row - 1].as_py()
    return Problem(got, f"at least {before}, as in the row before", remedy, name, row + 1)
