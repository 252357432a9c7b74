"""How good predictions are, and how sure that is.

Responses of one student resemble each other, so a row is not a sample of one: every interval here draws
whole students with replacement (the cluster bootstrap: Field & Welsh, 2007; percentile intervals: Efron &
Tibshirani, 1993, ch. 13). Draw number d of a seed takes the same students for every model and every slice of
the rows, so that differences between models, or between slices, are paired.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from statistics import NormalDist
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from adaptrace.data import schema
from adaptrace.errors import DataError, Problem
from adaptrace.kernels import metrics as kernels
from adaptrace.kernels import parallel
from adaptrace.kernels.metrics import Cells, Ranked

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Statistic = Callable[[IntArray], FloatArray]  # of the students' weights (n_students,); its last axis is the slices

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
    return float(_surprise(y, p).mean())


def rmse(correct: ArrayLike, predicted: ArrayLike) -> float:
    """Root of the mean squared error."""
    y, (p,) = checked(correct, {"predicted": predicted})
    return float(np.sqrt(np.mean((y - p) ** 2)))


def accuracy(correct: ArrayLike, predicted: ArrayLike) -> float:
    """Share of right verdicts, where "will be right" is said from 0.5 on; partial credit counts by its share.

    Examples
    --------
    >>> from adaptrace.evaluate import metrics
    >>> metrics.accuracy([1, 0, 0, 0.5], [0.9, 0.2, 0.5, 0.1])
    0.625
    """
    y, (p,) = checked(correct, {"predicted": predicted})
    return float(_verdict(y, p).mean())


METRICS: dict[str, Callable[[ArrayLike, ArrayLike], float]] = {
    "auc": auc,
    "log_loss": log_loss,
    "rmse": rmse,
    "accuracy": accuracy,
}


def _surprise(y: FloatArray, p: FloatArray) -> FloatArray:
    p = np.clip(p, 1e-15, 1.0 - 1e-15)
    return -(y * np.log(p) + (1.0 - y) * np.log1p(-p))


def _verdict(y: FloatArray, p: FloatArray) -> FloatArray:
    return np.where(p >= 0.5, y, 1.0 - y)


# ---- intervals --------------------------------------------------------------


def bootstrap(
    correct: ArrayLike, predictions: Mapping[str, ArrayLike], student: Any, *, draws: int = 200, seed: int = 0
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
        Model -> (len(METRICS), draws) in the order of :data:`METRICS`. The AUC of a draw with outcomes of one
        class is NaN, and so are all metrics if there is but one student: nothing to draw from.

    Examples
    --------
    >>> from adaptrace.evaluate import metrics
    >>> correct, student = [1, 0, 1, 1, 0, 1], ["Ada", "Ada", "Bo", "Bo", "Cy", "Cy"]
    >>> models = {"good": [0.8, 0.3, 0.8, 0.9, 0.4, 0.7], "poor": [0.5, 0.6, 0.4, 0.5, 0.6, 0.6]}
    >>> drawn = metrics.bootstrap(correct, models, student)
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
    """Percentile interval of the last axis (Efron & Tibshirani, 1993, ch. 13), NaN left out.

    Somewhat too narrow for fewer than about 30 students.

    Parameters
    ----------
    values
        (..., draws), e.g. the draws of one model less those of another.
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
    correct: ArrayLike, predicted: ArrayLike, student: Any, *, draws: int = 200, seed: int = 0, level: float = LEVEL
) -> dict[str, tuple[float, float]]:
    """Interval of every metric, by drawing students: metric -> (low, high).

    The parameters are those of :func:`bootstrap`, for one model, and :func:`interval`.
    """
    _, (p,) = checked(correct, {"predicted": predicted})
    values = bootstrap(correct, {"predicted": p}, student, draws=draws, seed=seed)["predicted"]
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
        (n_rows,) who answered. If given, the 95 % interval of ``observed`` is by drawing students (NaN in a bin of
        one student); otherwise it is Wilson's (1927), which takes rows for independent and so is too narrow.
    draws, seed
        As in :func:`bootstrap`.

    Returns
    -------
    pyarrow.Table
        One row a bin that is not empty: ``low``, ``high`` (its edges), ``n``, ``predicted`` and ``observed`` (means),
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


def ece(correct: ArrayLike, predicted: ArrayLike, bins: int = 10) -> float:
    """Expected calibration error: mean distance of a bin's outcome from its prediction, weighted by its rows.

    Bins of equal width (Naeini, Cooper & Hauskrecht, 2015; Guo et al., 2017, eq. 3). A constant prediction of the base
    rate has 0: see :func:`rmse_bins`.
    """
    y, (p,) = checked(correct, {"predicted": predicted})
    binned = _Binned.of(y, p, bins)
    return float(np.average(np.abs(binned.observed - binned.predicted), weights=binned.n))


def rmse_bins(correct: ArrayLike, predicted: ArrayLike, bins: int = 20) -> float:
    """Root mean square distance of a bin's outcome from its prediction, weighted by its rows.

    As in the first form of the srs-benchmark's RMSE (bins), whose bins are of the prediction. Never read it alone: it
    sees only whether predictions are right *on average*, so a model that knows nothing and always predicts the base
    rate has about 0, less than an honest model (srs-benchmark, issue 69); so has any model that steers each bin's mean
    towards its outcomes. The log loss cannot be had so cheaply.

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
        _at_least_one(bins=bins)
        edges = np.arange(1, bins) / bins
        number, code, n = np.unique(np.searchsorted(edges, p, side="right"), return_inverse=True, return_counts=True)
        return cls(number, code, n, np.bincount(code, p) / n, np.bincount(code, y) / n)


def _wilson(share: FloatArray, n: IntArray) -> tuple[FloatArray, FloatArray]:
    """Score interval of a share of n independent rows (Wilson, 1927); partial credit varies less, so it is wide enough."""
    z = NormalDist().inv_cdf((1.0 + LEVEL) / 2.0)
    middle = share + z * z / (2.0 * n)
    half = z * np.sqrt(share * (1.0 - share) / n + (z / (2.0 * n)) ** 2)
    scale = 1.0 + z * z / n
    return np.maximum((middle - half) / scale, 0.0), np.minimum((middle + half) / scale, 1.0)


# ---- tables -----------------------------------------------------------------


def report(
    correct: ArrayLike, predicted: ArrayLike, student: Any, *, by: Any = None, draws: int = 200, seed: int = 0
) -> pa.Table:
    """Every metric with its 95 % interval, for all rows or for each slice of them.

    Parameters
    ----------
    correct, predicted, student
        (n_rows,) outcomes, probabilities, and who answered.
    by
        (n_rows,) what the slices are: an array or Arrow column of skills, groups, opportunities ...; one slice if None.
    draws, seed
        As in :func:`bootstrap`. Students are drawn from all, not slice by slice: slices may be compared draw by draw.

    Returns
    -------
    pyarrow.Table
        ``by`` (if given, ascending, null last), ``n``, ``students``, then for each metric ``auc``, ``auc_low``,
        ``auc_high`` and so on. NaN: the AUC of a slice whose outcomes are all of one class, and the intervals of a
        slice of one student.

    Examples
    --------
    >>> from adaptrace.evaluate import metrics
    >>> table = metrics.report([1, 0, 1, 1], [0.9, 0.2, 0.6, 0.7], ["Ada", "Ada", "Bo", "Cy"], by=[1, 1, 2, 2])
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
    opportunity: Any,
    student: Any,
    *,
    most: int = 20,
    draws: int = 200,
    seed: int = 0,
) -> pa.Table:
    """How right answers, and the predictions of them, go with the opportunity.

    Fewer students reach a later opportunity, often the weaker ones: read ``n`` before calling a flat curve no learning.

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
        One row an opportunity that occurs: ``opportunity``, ``n``, ``observed`` (mean outcome), ``observed_low``,
        ``observed_high`` (95 %, by drawing students; NaN if but one reached it), ``predicted`` (mean).

    Examples
    --------
    >>> from adaptrace.evaluate import metrics
    >>> table = metrics.learning_curve([0, 1, 1, 1], [0.4, 0.6, 0.5, 0.7], [1, 2, 1, 2], ["Ada", "Ada", "Bo", "Bo"])
    >>> table.select(["opportunity", "n", "observed"]).to_pydict()
    {'opportunity': [1, 2], 'n': [2, 2], 'observed': [0.5, 1.0]}
    """
    _at_least_one(most=most)
    y, (p,) = checked(correct, {"predicted": predicted}, opportunity=opportunity, student=student)
    number, code = np.unique(np.asarray(opportunity, float).astype(np.int64), return_inverse=True)
    keep = number <= most
    rows = Slices.of(code, student)
    low, high = _mean_interval(rows, y, draws, seed)
    observed, expected = np.bincount(code, y) / rows.n, np.bincount(code, p) / rows.n
    means = {"observed": observed, "observed_low": low, "observed_high": high, "predicted": expected}
    return pa.table({name: each[keep] for name, each in {"opportunity": number, "n": rows.n, **means}.items()})


# ---- slices and draws -------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Slices:
    """Which slice and which student each row belongs to; a cell is one student in one slice."""

    code: IntArray  # (n_rows,) slice of each row
    student: IntArray  # (n_rows,)
    cell: IntArray  # (n_rows,)
    cell_student: IntArray  # (n_cells,) cells of a slice are contiguous
    start: IntArray  # (n_slices + 1,) first cell of each slice
    n_students: int

    @classmethod
    def of(cls, code: IntArray, student: Any) -> Slices:
        """Slices from their codes, all of 0 ... n_slices - 1 present, and the column of students."""
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
        _at_least_one(draws=draws)

        def draw(number: int) -> FloatArray:
            chosen = np.random.default_rng([seed, number]).integers(self.n_students, size=self.n_students)
            return statistic(np.bincount(chosen, minlength=self.n_students))

        values = np.stack(parallel.run(draw, [(number,) for number in range(draws)]), axis=-1)
        values[..., self.students < 2, :] = np.nan
        return values


def all_metrics(rows: Slices, y: FloatArray, p: FloatArray) -> Statistic:
    """All of :data:`METRICS`, shape (len(METRICS), n_slices), as a function of the students' weights."""
    ranked, cells = rows.ranked(y, p), rows.cells(_surprise(y, p), (y - p) ** 2, _verdict(y, p))

    def statistic(weight: IntArray) -> FloatArray:
        surprise, square, verdict = kernels.mean(cells, weight)
        return np.stack([kernels.auc(ranked, weight), surprise, np.sqrt(square), verdict])

    return statistic


def _mean_interval(rows: Slices, y: FloatArray, draws: int, seed: int) -> FloatArray:
    """Interval of the mean of every slice, by drawing students, (2, n_slices)."""
    return interval(rows.drawn(partial(kernels.mean, rows.cells(y)), draws, seed)[0])


# ---- the door ---------------------------------------------------------------


def checked(correct: ArrayLike, predictions: Mapping[str, ArrayLike], **columns: Any) -> tuple[FloatArray, list[FloatArray]]:
    """Outcomes and predictions as numbers, once nothing is wrong with them and the columns beside them."""
    y, arrays = np.asarray(correct, float), {name: np.asarray(each, float) for name, each in predictions.items()}
    problems = [*_shapes(y, {**arrays, **columns}), *_not_shares({"correct": y, **arrays})]
    if not problems:
        problems = [problem for name, column in columns.items() for problem in _unusable(name, column)]
    if problems:
        raise DataError("metrics", problems)
    return y, list(arrays.values())


def _shapes(y: FloatArray, others: Mapping[str, Any]) -> list[Problem]:
    if y.ndim != 1 or not len(y):
        return [Problem(f"shape {y.shape}", "(n_rows,) and at least one row", "pass one outcome a response", "correct")]
    shapes = {name: each.shape if isinstance(each, np.ndarray) else (len(each),) for name, each in others.items()}
    remedy = "pass one value a response"
    return [
        Problem(f"shape {shape}", f"{y.shape} as of correct", remedy, name) for name, shape in shapes.items() if shape != y.shape
    ]


def _not_shares(arrays: Mapping[str, FloatArray]) -> list[Problem]:
    problems = []
    for name, values in arrays.items():
        bad = np.flatnonzero(~((values >= 0.0) & (values <= 1.0)))
        if len(bad):
            got, remedy = f"{values.flat[bad[0]]}", "leave out rows without one"
            problems.append(Problem(got, "a number in [0, 1]", remedy, name, int(bad[0]) + 1, len(bad) - 1))
    return problems


def _unusable(name: str, column: Any) -> list[Problem]:
    """What is wrong with the values of a student, by or opportunity column."""
    if name == "opportunity":
        return _not_counts(name, np.asarray(column, float))
    values = _column(column)
    if pa.types.is_nested(values.type):
        return [Problem(f"{values.type}", "one name or number a row", "repeat the row for each of its values", name)]
    if name == "student" and values.null_count:
        row = int(np.flatnonzero(values.is_null())[0]) + 1
        return [Problem("null", "a name or number", "leave out rows without a student", name, row, values.null_count - 1)]
    return []


def _not_counts(name: str, numbers: FloatArray) -> list[Problem]:
    bad = np.flatnonzero(~((numbers >= 1.0) & (numbers == np.floor(numbers))))
    if not len(bad):
        return []
    remedy = "count the student's responses on the skill from 1"
    return [Problem(f"{numbers[bad[0]]}", "a whole number from 1 on", remedy, name, int(bad[0]) + 1, len(bad) - 1)]


def _at_least_one(**numbers: int) -> None:
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name}: got {number}; expected at least 1")


def _column(values: Any) -> pa.Array:
    """Any array-like as an Arrow array, dictionaries decoded."""
    array = schema.plain(schema.as_array(values))
    return array.cast(array.type.value_type) if pa.types.is_dictionary(array.type) else array


def encoded(values: Any) -> tuple[IntArray, pa.Array]:
    """Codes (n_rows,) and what they stand for, ascending and without repeats, null last."""
    encoded = _column(values).dictionary_encode(null_encoding="encode")
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[encoded.indices.to_numpy()], encoded.dictionary.take(pa.array(order))
