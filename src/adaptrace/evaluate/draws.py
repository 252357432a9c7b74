"""Students drawn with replacement, and metrics of the rows of those drawn."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaptrace.evaluate.checks import at_least_one, encoded
from adaptrace.kernels import metrics as kernels
from adaptrace.kernels import parallel
from adaptrace.kernels.metrics import Cells, Ranked

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

Statistic = Callable[[IntArray], FloatArray]  # of the students' weights (n_students,); its last axis is the slices


@dataclass(frozen=True, eq=False)
class Slices:
    """Which slice and which student each row belongs to; a cell holds the rows of one student in one slice."""

    code: IntArray  # (n_rows,) slice of each row
    student: IntArray  # (n_rows,)
    cell: IntArray  # (n_rows,)
    cell_student: IntArray  # (n_cells,) cells of a slice are contiguous
    start: IntArray  # (n_slices + 1,) first cell of each slice
    n_students: int

    @classmethod
    def of(cls, code: IntArray, student: Any) -> Slices:
        """Slices from the code of each row (every one of 0 ... n_slices - 1 occurs) and the column of students."""
        who, names = encoded(student)
        found, cell = np.unique(code * len(names) + who, return_inverse=True)
        start = np.searchsorted(found // len(names), np.arange(code.max() + 2))
        return cls(code, who, cell, found % len(names), start, len(names))

    @property
    def n(self) -> IntArray:
        """Rows of each slice, (n_slices,)."""
        return np.bincount(self.code)

    @property
    def students(self) -> IntArray:
        """Students of each slice, (n_slices,)."""
        return np.diff(self.start)

    def cells(self, *columns: FloatArray) -> Cells:
        """Sums of columns, each (n_rows,), by cell."""
        sums = np.stack([np.bincount(self.cell, column) for column in columns], axis=1, dtype=np.float64)
        return Cells(self.start, self.cell_student.astype(np.int32), np.bincount(self.cell), sums)

    def ranked(self, y: FloatArray, p: FloatArray) -> Ranked:
        """Rows by slice, then prediction."""
        order = np.lexsort((p, self.code))
        tied = np.diff(p[order], prepend=-1.0) == 0.0
        start = np.concatenate([[0], np.cumsum(self.n)])
        return Ranked(start, self.student[order].astype(np.int32), y[order] > 0.5, tied)

    def drawn(self, statistic: Statistic, draws: int, seed: int) -> FloatArray:
        """Draws of a statistic (..., n_slices), shape (..., n_slices, draws); NaN in slices of one student."""
        at_least_one(draws=draws)

        def draw(number: int) -> FloatArray:
            chosen = np.random.default_rng([seed, number]).integers(self.n_students, size=self.n_students)
            return statistic(np.bincount(chosen, minlength=self.n_students))

        values = np.stack(parallel.run(draw, [(number,) for number in range(draws)]), axis=-1)
        values[..., self.students < 2, :] = np.nan
        return values


def all_metrics(rows: Slices, y: FloatArray, p: FloatArray) -> Statistic:
    """AUC, log loss, RMSE and accuracy, shape (4, n_slices), as a function of the students' weights."""
    ranked, cells = rows.ranked(y, p), rows.cells(negative_log_likelihood(y, p), (y - p) ** 2, right_verdicts(y, p))

    def statistic(weight: IntArray) -> FloatArray:
        loss, square, right = kernels.mean(cells, weight)
        return np.stack([kernels.auc(ranked, weight), loss, np.sqrt(square), right])

    return statistic


def negative_log_likelihood(y: FloatArray, p: FloatArray) -> FloatArray:
    """Of every response, in nats, (n_rows,)."""
    p = np.clip(p, 1e-15, 1.0 - 1e-15)
    return -(y * np.log(p) + (1.0 - y) * np.log1p(-p))


def right_verdicts(y: FloatArray, p: FloatArray) -> FloatArray:
    """How far each verdict "will be right" (from 0.5 on) or "will be wrong" came true, (n_rows,)."""
    return np.where(p >= 0.5, y, 1.0 - y)
