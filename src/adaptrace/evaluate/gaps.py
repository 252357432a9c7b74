"""Gaps between a group and all other students, and which of them are more than chance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray
from scipy.special import stdtr

from adaptrace.evaluate import metrics
from adaptrace.evaluate.metrics import LEVEL
from adaptrace.evaluate.student_groups import Measured, StudentGroups

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FEWEST_STUDENTS = 10  # on either side of a gap that may be flagged


def gap_table(groups: StudentGroups, names: Sequence[str], measured: Measured) -> pa.Table:
    """Every group against all other students, in every measure: flagged first, then by p."""
    difference, drawn = measured.value[0] - measured.value[1], measured.drawn[0] - measured.drawn[1]
    low, high = metrics.interval(drawn)
    p = _chance(difference, drawn, groups.members)
    p = np.broadcast_to(_holm(p[:, :1] if len(groups.names) == 2 else p), p.shape)
    flagged = (p <= 1.0 - LEVEL) & ((low > 0.0) | (high < 0.0))
    place = np.lexsort((p.ravel(), ~flagged.ravel()))
    measure, group = (each.ravel()[place] for each in np.indices(p.shape))
    keys = {"measure": pa.array(names).take(pa.array(measure)), "group": groups.names.take(pa.array(group))}
    values = {"difference": difference, "low": low, "high": high, "p": p, "flagged": flagged}
    return pa.table({**keys, **{name: each.ravel()[place] for name, each in values.items()}})


def _chance(difference: FloatArray, drawn: FloatArray, members: IntArray) -> FloatArray:
    """Two-sided p of no difference, by t with the standard deviation of the draws; NaN where a side has too few students."""
    smaller = np.minimum(members, members.sum() - members)
    with np.errstate(divide="ignore", invalid="ignore"):
        n = (~np.isnan(drawn)).sum(axis=-1)
        away = drawn - (np.nansum(drawn, axis=-1) / n)[..., None]
        t = np.abs(difference) / np.sqrt(np.nansum(away**2, axis=-1) / (n - 1))
    p = np.where(difference == 0.0, 1.0, 2.0 * stdtr(np.maximum(smaller - 1, 1), -t))
    return np.where(smaller >= FEWEST_STUDENTS, p, np.nan)


def _holm(p: FloatArray) -> FloatArray:
    """The p values as one family, for any dependence between them (Holm, 1979); NaN is left out."""
    flat = p.ravel()
    order = np.argsort(flat)[: np.count_nonzero(~np.isnan(flat))]
    adjusted = np.full(len(flat), np.nan)
    adjusted[order] = np.minimum(np.maximum.accumulate(flat[order] * np.arange(len(order), 0, -1)), 1.0)
    return adjusted.reshape(p.shape)
