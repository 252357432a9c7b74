"""How good predictions are, with 95 % intervals.

The responses of one student are alike, so rows are not independent: every interval here draws whole students with
replacement (the cluster bootstrap: Field & Welsh, 2007; percentile intervals: Efron & Tibshirani, 1993, ch. 13). Draw
number d of a seed takes the same students for every model and every slice of the rows, so differences between models, or
between slices, are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import ArrayLike, NDArray

from adaptrace.evaluate.checks import at_least_one, checked, encoded
from adaptrace.evaluate.draws import Slices, all_metrics, negative_log_likelihood, right_verdicts
from adaptrace.kernels import metrics as kernels

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LEVEL = 0.95  # of the intervals in tables


# ---- single numbers ---------------------------------------------------------


def auc(correct: ArrayLike, predicted: ArrayLike) -> float:
    """Area under the ROC curve: P(a right answer was predicted higher than a wrong one), ties count half.

    Exact (Mann & Whitney, 1947). ``correct`` is 0/1, partial credit above 0.5 is right; NaN if all outcomes are
    equal or a prediction is NaN.
    """
    right, score = np.asarray(correct, float) > 0.5, np.asarray(predicted, float)
    _, inverse, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2.0
    n_right = int(right.sum())
    n_wrong = len(right) - n_right
    if not n_right or not n_wrong or np.isnan(score).any():
        return float("nan")
    return float((rank[inverse][right].sum() - n_right * (n_right + 1) / 2.0) / (n_right * n_wrong))


def log_loss(correct: ArrayLike, predicted: ArrayLike) -> float:
    """Mean negative log-likelihood (nats per response); partial credit counts by its share.

    Raises
    ------
    DataError
        As everywhere below: lengths differ, no rows, or a value is not in [0, 1].
    """
    y, (p,) = checked(correct, {"predicted": predicted})
    return float(negative_log_likelihood(y, p).mean())


def rmse(correct: ArrayLike, predicted: ArrayLike) -> float:
    """Root of the mean squared error."""
    y, (p,) = checked(correct, {"predicted": predicted})
    return float(np.sqrt(np.mean((y - p) ** 2)))


def accuracy(correct: ArrayLike, predicted: ArrayLike) -> float:
    """Share of right verdicts; the verdict is "will be right" from 0.5 on. Partial credit counts by its share.

    Examples
    --------
    >>> from adaptrace.evaluate import metrics
    >>> metrics.accuracy([1, 0, 0, 0.5], [0.9, 0.2, 0.5, 0.1])
    0.625
    """
    y, (p,) = checked(correct, {"predicted": predicted})
    return float(right_verdicts(y, p).mean())


METRICS: dict[str, Callable[[ArrayLike, ArrayLike], float]] = {
    "auc": auc,
    "log_loss": log_loss,
    "rmse": rmse,
    "accuracy": accuracy,
}


# ---- intervals --------------------------------------------------------------


def bootstrap(
    correct: ArrayLike, predictions: Mapping[str, ArrayLike], *, student: Any, draws: int = 200, seed: int = 0
) -> dict[str, FloatArray]:
    """Draw students with replacement and measure every model on the same draws (Field & Welsh, 2007).

    Parameters
    ----------
    correct
        (n_rows,) outcomes in [0, 1].
    predictions
        Model -> (n_rows,) probabilities of a right answer.
    student
        (n_rows,) who answered: an array or Arrow column of names or numbers.
    draws, seed
        How many samples of students; draw d is made by ``numpy.random.default_rng([seed, d])``.

    Returns
    -------
    dict
        Model -> (len(METRICS), draws) in the order of :data:`METRICS`. The AUC of a draw whose outcomes are all
        equal is NaN; with one student all metrics are NaN, as there is nothing to draw from.

    Examples
    --------
    >>> from adaptrace.evaluate import metrics
    >>> correct, student = [1, 0, 1, 1, 0, 1], ["Ada", "Ada", "Bo", "Bo", "Cy", "Cy"]
    >>> models = {"good": [0.8, 0.3, 0.8, 0.9, 0.4, 0.7], "poor": [0.5, 0.6, 0.4, 0.5, 0.6, 0.6]}
    >>> drawn = metrics.bootstrap(correct, models, student=student)
    >>> low, high = metrics.interval(drawn["good"] - drawn["poor"])  # per metric
    >>> bool(high[1] < 0.0)  # the log loss of good is lower
    True
    """
    y, arrays = checked(correct, {f"predictions[{name!r}]": each for name, each in predictions.items()}, student=student)
    rows = Slices.of(np.zeros(len(y), np.int64), student)
    statistics = [all_metrics(rows, y, p) for p in arrays]
    values = rows.drawn(lambda weight: np.stack([statistic(weight) for statistic in statistics]), draws, seed)
    return dict(zip(predictions, values[:, :, 0], strict=True))


def interval(values: ArrayLike, level: float = LEVEL) -> FloatArray:
    """Percentile interval of the last axis (Efron & Tibshirani, 1993, ch. 13); NaN is left out.

    It is somewhat too narrow for fewer than about 30 students.

    Parameters
    ----------
    values
        (..., draws), e.g. the draws of one model minus those of another.
    level
        Share of the draws within, in (0, 1).

    Returns
    -------
    array
        (2, ...): low and high; NaN where all values are.

    Examples
    --------
    >>> from adaptrace.evaluate import metrics
    >>> metrics.interval(range(101), level=0.5).tolist()
    [25.0, 75.0]
    """
    if not 0.0 < level < 1.0:
        raise ValueError(f"level: got {level}; expected a number between 0 and 1")
    ordered = np.sort(np.asarray(values, float), axis=-1)  # NaN last
    last = np.maximum((~np.isnan(ordered)).sum(axis=-1) - 1, 0)
    place = np.stack([last * (1.0 - level) / 2.0, last * (1.0 + level) / 2.0], axis=-1)
    below = np.floor(place).astype(np.int64)
    above = np.minimum(below + 1, last[..., None])
    at_below, at_above = np.take_along_axis(ordered, below, -1), np.take_along_axis(ordered, above, -1)
    return np.moveaxis(at_below + (place - below) * (at_above - at_below), -1, 0)


def intervals(
    correct: ArrayLike, predicted: ArrayLike, *, student: Any, draws: int = 200, seed: int = 0, level: float = LEVEL
) -> dict[str, tuple[float, float]]:
    """Interval of every metric, by drawing students: metric -> (low, high).

    The parameters are those of :func:`bootstrap`, for one model, and :func:`interval`.
    """
    _, (p,) = checked(correct, {"predicted": predicted})
    values = bootstrap(correct, {"predicted": p}, student=student, draws=draws, seed=seed)["predicted"]
    return {name: (float(low), float(high)) for name, low, high in zip(METRICS, *interval(values, level), strict=True)}


# ---- calibration ------------------------------------------------------------


def calibration(
    correct: ArrayLike, predicted: ArrayLike, *, bins: int = 10, student: Any = None, draws: int = 200, seed: int = 0
) -> pa.Table:
    """Reliability table, which shows whether answers predicted at 0.7 come out right 7 times in 10.

    Parameters
    ----------
    correct, predicted
        (n_rows,) outcomes and probabilities, both in [0, 1].
    bins
        Number of bins of equal width over [0, 1]; a prediction on an edge belongs to the bin above.
    student
        (n_rows,) who answered. If given, the 95 % interval of ``observed`` is made by drawing students (NaN in a bin of
        one student); otherwise it is Wilson's (1927), which assumes independent rows and so is too narrow.
    draws, seed
        As in :func:`bootstrap`.

    Returns
    -------
    pyarrow.Table
        One row for each bin that is not empty: ``low``, ``high`` (its edges), ``n``, ``predicted`` and ``observed`` (means),
        ``observed_low``, ``observed_high``.

    Examples
    --------
    >>> from adaptrace.evaluate import metrics
    >>> metrics.calibration([0, 1, 1, 1], [0.25, 0.75, 0.75, 0.75], bins=2).select(["n", "predicted", "observed"]).to_pydict()
    {'n': [1, 3], 'predicted': [0.25, 0.75], 'observed': [0.0, 1.0]}
    """
    y, (p,) = checked(correct, {"predicted": predicted}, **({} if student is None else {"student": student}))
    binned = _Binned.of(y, p, bins)
    if student is None:
        low, high = _wilson(binned.observed, binned.n)
    else:
        low, high = _mean_interval(Slices.of(binned.code, student), y, draws, seed)
    edges = {"low": binned.number / bins, "high": (binned.number + 1) / bins}
    means = {"n": binned.n, "predicted": binned.predicted, "observed": binned.observed}
    return pa.table({**edges, **means, "observed_low": low, "observed_high": high})


def ece(correct: ArrayLike, predicted: ArrayLike, *, bins: int = 10) -> float:
    """Expected calibration error: mean distance of a bin's outcome from its prediction, weighted by its rows.

    Bins of equal width (Naeini, Cooper & Hauskrecht, 2015; Guo et al., 2017, eq. 3). A constant prediction of the base
    rate has 0: see :func:`rmse_bins`.
    """
    y, (p,) = checked(correct, {"predicted": predicted})
    binned = _Binned.of(y, p, bins)
    return float(np.average(np.abs(binned.observed - binned.predicted), weights=binned.n))


def rmse_bins(correct: ArrayLike, predicted: ArrayLike, *, bins: int = 20) -> float:
    """Root mean square distance of a bin's outcome from its prediction, weighted by its rows.

    As in the first form of the srs-benchmark's RMSE (bins), whose bins are of the prediction. Never read it alone: it
    only measures whether predictions are right *on average*. A model that always predicts the base rate has about 0, which
    is less than a good model has (srs-benchmark, issue 69); so has any model that moves the mean of each bin towards its
    outcomes. The log loss cannot be lowered in this way.

    Examples
    --------
    >>> from adaptrace.evaluate import metrics
    >>> knows, blind = [0.9, 0.9, 0.1, 0.1], [0.5, 0.5, 0.5, 0.5]
    >>> [round(metrics.rmse_bins([1, 1, 0, 0], each), 3) for each in (knows, blind)]
    [0.1, 0.0]
    >>> [round(metrics.log_loss([1, 1, 0, 0], each), 3) for each in (knows, blind)]
    [0.105, 0.693]
    """
    y, (p,) = checked(correct, {"predicted": predicted})
    binned = _Binned.of(y, p, bins)
    return float(np.sqrt(np.average((binned.observed - binned.predicted) ** 2, weights=binned.n)))


@dataclass(frozen=True, eq=False)
class _Binned:
    """Means over bins of the prediction, those without rows left out."""

    number: IntArray  # (n_bins,) which of the bins
    code: IntArray  # (n_rows,) place of each row's bin in `number`
    n: IntArray  # (n_bins,)
    predicted: FloatArray  # (n_bins,)
    observed: FloatArray  # (n_bins,)

    @classmethod
    def of(cls, y: FloatArray, p: FloatArray, bins: int) -> _Binned:
        at_least_one(bins=bins)
        edges = np.arange(1, bins) / bins
        number, code, n = np.unique(np.searchsorted(edges, p, side="right"), return_inverse=True, return_counts=True)
        return cls(number, code, n, np.bincount(code, p) / n, np.bincount(code, y) / n)


def _wilson(share: FloatArray, n: IntArray) -> tuple[FloatArray, FloatArray]:
    """Score interval of a share of n independent rows (Wilson, 1927). It is wide enough for partial credit, which varies less."""
    z = NormalDist().inv_cdf((1.0 + LEVEL) / 2.0)
    middle = share + z * z / (2.0 * n)
    half = z * np.sqrt(share * (1.0 - share) / n + (z / (2.0 * n)) ** 2)
    scale = 1.0 + z * z / n
    return np.maximum((middle - half) / scale, 0.0), np.minimum((middle + half) / scale, 1.0)


# ---- tables -----------------------------------------------------------------


def report(
    correct: ArrayLike, predicted: ArrayLike, *, student: Any, by: Any = None, draws: int = 200, seed: int = 0
) -> pa.Table:
    """Every metric with its 95 % interval, for all rows or for each slice of them.

    Parameters
    ----------
    correct, predicted, student
        (n_rows,) outcomes, probabilities, and who answered.
    by
        (n_rows,) the slice of each row: an array or Arrow column of skills, groups, opportunities ...; one slice if None.
    draws, seed
        As in :func:`bootstrap`. Students are drawn from all rows, not slice by slice, so slices can be compared draw by
        draw.

    Returns
    -------
    pyarrow.Table
        ``by`` (if given, ascending, null last), ``n``, ``students``, then for each metric ``auc``, ``auc_low``,
        ``auc_high`` and so on. NaN: the AUC of a slice whose outcomes are all equal, and the intervals of a slice of
        one student.

    Examples
    --------
    >>> from adaptrace.evaluate import metrics
    >>> table = metrics.report([1, 0, 1, 1], [0.9, 0.2, 0.6, 0.7], student=["Ada", "Ada", "Bo", "Cy"], by=[1, 1, 2, 2])
    >>> table.select(["by", "n", "students", "auc", "accuracy"]).to_pylist()[0]
    {'by': 1, 'n': 2, 'students': 1, 'auc': 1.0, 'accuracy': 1.0}
    """
    columns = {"student": student} if by is None else {"student": student, "by": by}
    y, (p,) = checked(correct, {"predicted": predicted}, **columns)
    code, values = (np.zeros(len(y), np.int64), None) if by is None else encoded(by)
    rows = Slices.of(code, student)
    statistic = all_metrics(rows, y, p)
    value, (low, high) = statistic(np.ones(rows.n_students, np.int64)), interval(rows.drawn(statistic, draws, seed))
    table = {"n": rows.n, "students": rows.students}
    for number, name in enumerate(METRICS):
        table |= {name: value[number], f"{name}_low": low[number], f"{name}_high": high[number]}
    return pa.table(table if values is None else {"by": values, **table})


def learning_curve(
    correct: ArrayLike,
    predicted: ArrayLike,
    *,
    opportunity: Any,
    student: Any,
    most: int = 20,
    draws: int = 200,
    seed: int = 0,
) -> pa.Table:
    """The share of right answers, and the mean prediction, at each opportunity.

    Fewer students reach a later opportunity, often the weaker ones: a flat curve with falling ``n`` may still be learning.

    Parameters
    ----------
    correct, predicted, student
        (n_rows,) outcomes, probabilities, and who answered.
    opportunity
        (n_rows,) 1-based count of the student's responses on the skill.
    most
        The last opportunity of the table.
    draws, seed
        As in :func:`bootstrap`.

    Returns
    -------
    pyarrow.Table
        One row for each opportunity that occurs: ``opportunity``, ``n``, ``observed`` (mean outcome), ``observed_low``,
        ``observed_high`` (95 %, by drawing students; NaN if only one reached it), ``predicted`` (mean).

    Examples
    --------
    >>> from adaptrace.evaluate import metrics
    >>> table = metrics.learning_curve([0, 1, 1, 1], [0.4, 0.6, 0.5, 0.7], opportunity=[1, 2, 1, 2], student=[1, 1, 2, 2])
    >>> table.select(["opportunity", "n", "observed"]).to_pydict()
    {'opportunity': [1, 2], 'n': [2, 2], 'observed': [0.5, 1.0]}
    """
    at_least_one(most=most)
    y, (p,) = checked(correct, {"predicted": predicted}, opportunity=opportunity, student=student)
    number, code = np.unique(np.asarray(opportunity, float).astype(np.int64), return_inverse=True)
    keep = number <= most
    rows = Slices.of(code, student)
    low, high = _mean_interval(rows, y, draws, seed)
    observed, expected = np.bincount(code, y) / rows.n, np.bincount(code, p) / rows.n
    means = {"observed": observed, "observed_low": low, "observed_high": high, "predicted": expected}
    return pa.table({name: each[keep] for name, each in {"opportunity": number, "n": rows.n, **means}.items()})


def _mean_interval(rows: Slices, y: FloatArray, draws: int, seed: int) -> FloatArray:
    """Interval of the mean of every slice, by drawing students, (2, n_slices)."""
    return interval(rows.drawn(partial(kernels.mean, rows.cells(y)), draws, seed)[0])
