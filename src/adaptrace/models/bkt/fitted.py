"""What a fitted BKT is made of."""

from __future__ import annotations

from typing import NamedTuple

from adaptrace.kernels import bkt as kernels
from adaptrace.kernels.bkt import CellIndex, Parameters

RULES = {
    "conjunctive": kernels.CONJUNCTIVE,
    "mean": kernels.MEAN,
    "min": kernels.MIN,
    "weakest-first": kernels.WEAKEST_FIRST,
}


class Layout(NamedTuple):
    """A log laid out for the kernels."""

    cells: CellIndex
    parameters: Parameters  # of the cells
