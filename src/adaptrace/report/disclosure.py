"""Disclosure: what a table about groups may reveal of the students in them (statistical disclosure control)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def check_min_students(min_students: int) -> list[str]:
    """What is wrong with a minimum of students, if anything."""
    if isinstance(min_students, int | np.integer) and not isinstance(min_students, bool) and min_students >= 1:
        return []
    return [f"min_students: got {min_students!r}; expected 1 or more students (1 withholds nothing)"]


def bounded_share(count: NDArray[Any], of: NDArray[Any], min_students: int) -> FloatArray:
    """``count / of``, where there are any; with a minimum, 0 is given as 1/n and 1 as 1 - 1/n."""
    return bounded_mean(count, of, 1.0, min_students)


def bounded_mean(
    total: NDArray[Any], of: NDArray[Any], step: float, min_students: int, *, top: float | None = None
) -> FloatArray:
    """``total / of``; with a minimum, kept within [step / of, 1 - top / of], so that one student may be unlike all others."""
    n = np.where(np.asarray(of) > 0, of, np.nan)
    mean = np.asarray(total, float) / n
    return mean if min_students == 1 else np.asarray(np.clip(mean, step / n, 1.0 - (step if top is None else top) / n))


def cells_to_withhold(names: Sequence[pa.ChunkedArray], students: IntArray, min_students: int) -> NDArray[np.bool_]:
    """Which cells of a table to withhold, (n,).

    First those of 1 to ``min_students`` - 1 students. Then, in each line of cells that differ in one name only, the next
    smallest, to protect the others: until the withheld cells of the line are at least two and of ``min_students`` students
    together, or the whole line is withheld. So no total less the cells that are shown is a figure of fewer students than that.

    Parameters
    ----------
    names
        What the cells are of, column by column.
    students
        (n,)
    min_students
        The fewest students that a figure may be of.
    """
    hide = (students > 0) & (students < min_students)
    lines = _lines(names, len(students))
    while any(_hide_more(hide, line, students, min_students) for line in lines):
        pass
    return hide


def _lines(names: Sequence[pa.ChunkedArray], n: int) -> list[IntArray]:
    """For every name the line of each cell: cells that differ in this name only."""
    codes = [pc.fill_null(pc.rank(name.cast(pa.string()), tiebreaker="dense"), 0).to_numpy().astype(np.int64) for name in names]
    lines = []
    for left_out in range(len(codes)):
        line = np.zeros(n, np.int64)
        for place, code in enumerate(codes):
            if place != left_out:
                line = line * (code.max(initial=0) + 1) + code
        lines.append(np.unique(line, return_inverse=True)[1])
    return lines


def _hide_more(hide: NDArray[np.bool_], line: IntArray, students: IntArray, min_students: int) -> bool:
    """Withhold the smallest shown cell of every line that gives its withheld ones away; whether there was any."""
    withheld = np.bincount(line, hide)
    together = np.bincount(line, hide * students)
    open_ = (withheld > 0) & ((withheld < 2) | (together < min_students))
    shown = np.flatnonzero(~hide & (students > 0) & open_[line])
    order = shown[np.lexsort((shown, students[shown], line[shown]))]
    _, first = np.unique(line[order], return_index=True)
    hide[order[first]] = True
    return bool(len(first))


def withhold(cells: pa.Table, by: Sequence[str], figures: Mapping[str, NDArray[Any]], min_students: int) -> pa.Table:
    """The cells' names, ``students``, figures, and whether they are ``withheld``: then all but the names is null.

    A figure that is not a number is null too.
    """
    students = cells["students"].to_numpy()
    hide = cells_to_withhold([cells[name] for name in by], students, min_students)
    columns = {name: cells[name] for name in by}
    for name, values in {"students": students, **figures}.items():
        columns[name] = pa.array(values, mask=hide | np.isnan(values))
    return pa.table({**columns, "withheld": hide})
