"""Metrics of a weighted sample, many slices of rows in one pass: what a bootstrap repeats for every draw.

Weights are whole numbers, one a student: how often the student was drawn.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels.compile import kernel

IntArray = NDArray[np.int64]
CodeArray = NDArray[np.int32]
FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]


class Ranked(NamedTuple):
    """Rows of each slice in the order of their predictions: sorted once, for any weights."""

    start: IntArray  # (n_slices + 1,) first row of each slice
    student: CodeArray  # (n_rows,)
    right: BoolArray  # (n_rows,)
    tied: BoolArray  # (n_rows,) predicted as the row before; the first row of a slice may say anything


class Cells(NamedTuple):
    """Sums over the rows of one student in one slice."""

    start: IntArray  # (n_slices + 1,) first cell of each slice
    student: CodeArray  # (n_cells,)
    n: IntArray  # (n_cells,) rows
    sums: FloatArray  # (n_cells, n_columns)


@kernel
def auc(ranked: Ranked, weight: IntArray) -> FloatArray:
    """Area under the ROC curve of every slice, (n_slices,); NaN where no right or no wrong row has weight.

    Twice the number of pairs in the right order, ties counted half, is a whole number: no rounding before the division.
    """
    n_slices = len(ranked.start) - 1
    out = np.empty(n_slices, np.float64)
    for number in range(n_slices):
        twice, all_right, wrong_below = 0, 0, 0
        right, wrong = 0, 0  # among equal predictions
        for row in range(ranked.start[number], ranked.start[number + 1]):
            if not ranked.tied[row]:
                twice += right * (2 * wrong_below + wrong)
                all_right += right
                wrong_below += wrong
                right, wrong = 0, 0
            times = weight[ranked.student[row]]
            times_right = times * ranked.right[row]
            right += times_right
            wrong += times - times_right
        twice += right * (2 * wrong_below + wrong)
        pairs = float(all_right + right) * float(wrong_below + wrong)
        out[number] = twice / (2.0 * pairs) if pairs > 0.0 else np.nan
    return out


@kernel
def mean(cells: Cells, weight: IntArray) -> FloatArray:
    """Weighted mean over the rows of every slice, (n_columns, n_slices); NaN where no row has weight."""
    n_slices, n_columns = len(cells.start) - 1, cells.sums.shape[1]
    out = np.zeros((n_columns, n_slices), np.float64)
    for number in range(n_slices):
        n = 0
        for cell in range(cells.start[number], cells.start[number + 1]):
            times = weight[cells.student[cell]]
            n += times * cells.n[cell]
            for column in range(n_columns):
                out[column, number] += times * cells.sums[cell, column]
        for column in range(n_columns):
            out[column, number] = out[column, number] / n if n > 0 else np.nan
    return out
