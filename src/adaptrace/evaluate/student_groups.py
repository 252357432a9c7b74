"""Groups of students, and measures of every group and of all other students."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data.log import Log
from adaptrace.errors import DataError, Problem
from adaptrace.evaluate import metrics
from adaptrace.evaluate.checks import encoded

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

MOST_GROUPS = 100


@dataclass(frozen=True, eq=False)
class StudentGroups:
    """Which group each student belongs to."""

    names: pa.Array  # (n_groups,) ascending, null last
    student: IntArray  # (n_students,) group of each student, in the order of the log
    rank: IntArray  # (n_students,) place of each student in the order of names; these numbers are drawn
    row: IntArray  # (n_rows,) group of each response
    row_student: IntArray  # (n_rows,) rank of its student

    @classmethod
    def of(cls, log: Log, by: str) -> StudentGroups:
        """The groups of a log's column; every student must be in one of them, and there must be two or more."""
        code, names = encoded(_column(log, by))
        start, nowhere = log.rows.student_start[:-1], len(names)
        if not len(code):
            raise DataError("log", [Problem("no rows", "at least one", "read a log with responses", by)])
        given = np.array([name.is_valid for name in names])[code]
        least = np.minimum.reduceat(np.where(given, code, nowhere), start)
        most = np.maximum.reduceat(np.where(given, code, -1), start)
        clash = np.flatnonzero((most >= 0) & (least < most))
        if len(clash):
            first, second = (int(each[clash[0]]) for each in (least, most))
            row = start[clash[0]] + np.argmax(code[start[clash[0]] :] == second)
            raise DataError("log", [_two_groups(by, int(log.source_row[row]), names.take([first, second]), len(clash) - 1)])
        student = np.where(most >= 0, most, nowhere - 1)  # null, if there, is last
        present, student = np.unique(student, return_inverse=True)
        if not 2 <= len(present) <= MOST_GROUPS:
            raise DataError("log", [_no_groups(by, names.take(pa.array(present)))])
        rank, lengths = encoded(log.students)[0], np.diff(log.rows.student_start)
        row, row_student = (np.repeat(each, lengths) for each in (student, rank))
        return cls(names.take(pa.array(present)), student, rank, row, row_student)

    @property
    def members(self) -> IntArray:
        """Students of each group, (n_groups,)."""
        return np.bincount(self.student)


def _column(log: Log, by: str) -> pa.ChunkedArray:
    held = log.table.column_names
    if by not in held:
        got, remedy = f"the columns {', '.join(held)}", f"read the log with keep=['{by}'] (or columns={{'group': '{by}'}})"
        raise DataError("log", [Problem(got, f"column '{by}'", remedy, by)])
    if pa.types.is_nested(log.table[by].type):
        raise DataError("log", [Problem(f"{log.table[by].type}", "one name a student", "choose another column", by)])
    return log.table[by]


def _two_groups(by: str, row: int, groups: pa.Array, more: int) -> Problem:
    first, second = groups.to_pylist()
    also = f" (and {more:,} more {'student' if more == 1 else 'students'} in several)" if more else ""
    remedy = f"keep one for each student, e.g. the latest, or compare rows with metrics.report(..., by=log.table['{by}'])"
    return Problem(f"{second!r} of a student who is in {first!r} too{also}", "one group a student", remedy, by, row + 1)


def _no_groups(by: str, names: pa.Array) -> Problem:
    if len(names) == 1:
        got = "no value at all" if names.null_count else f"{names[0].as_py()!r} for every student"
        return Problem(got, "at least two groups", "choose a column with several values", by)
    return Problem(f"{len(names):,} groups", f"at most {MOST_GROUPS}", "combine them into fewer, e.g. by ranges", by)


class DrawPlan(NamedTuple):
    """How students are drawn."""

    draws: int
    seed: int


class Measured(NamedTuple):
    """Measures of every group, and of all other students."""

    value: FloatArray  # (2, n_measures, n_groups): in the group, outside it
    drawn: FloatArray  # (2, n_measures, n_groups, draws)


def measure_columns(names: Sequence[str], measured: Measured) -> dict[str, FloatArray]:
    """Every measure of the groups with its interval."""
    low, high = metrics.interval(measured.drawn[0])
    columns: dict[str, FloatArray] = {}
    for name, *values in zip(names, measured.value[0], low, high, strict=True):
        columns |= dict(zip((name, f"{name}_low", f"{name}_high"), values, strict=True))
    return columns
