"""How well models predict responses they were not fitted to: folds, the calendar, and several models side by side.

Every prediction is of a response that the fit did not see, from what the student answered before it. All models get the
same folds and, for their intervals, the same draws of students, so that differences between models are paired.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations, pairwise
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from adaptrace import metrics, schema
from adaptrace.errors import AdaptraceError, DataError, ModelError, Problem
from adaptrace.fit import Progress
from adaptrace.log import Log
from adaptrace.models.constant import Constant

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)
NO_FOLDS = ("correct", "time", "order", "skills", "response_ms", "event_id")  # columns that hold no folds
TRAIN, TEST = "train", "test"
LOWER_IS_BETTER = ("log_loss", "rmse")
BASELINE = repr(Constant())

HEADINGS = {"auc": "AUC", "log_loss": "log loss", "rmse": "RMSE", "accuracy": "accuracy"}  # of the metrics in a text
WITH_INTERVAL = ("auc", "log_loss")  # there
LEGEND = "* best; ~ not told apart from the best: the 95 % interval of the paired difference holds 0"


class Trainable(Protocol):
    """What is compared: a model, fitted or not; it is fitted anew and stays as it is."""

    def fit(self, log: Log, /, *, executor: Executor | None = None, progress: Progress | None = None) -> Trainable:
        """A fitted model."""

    def predict(self, log: Log) -> FloatArray:
        """P(correct) before each response, float64 (n_rows,)."""


# ---- what comes out ---------------------------------------------------------


@dataclass(frozen=True, eq=False, repr=False)
class Validation:
    """What one model predicted for the responses it was not fitted to.

    Attributes
    ----------
    log
        What was predicted.
    predicted
        float64 (n_rows,): P(correct) before each response, in the order of ``log.table``; NaN where not tested.
    fold
        integers (n_rows,): the fold that tested the row; -1 where no fold did.
    folds
        What each fold is: its number, its value in the column of folds, or when it begins (ISO 8601).
    fit_seconds, predict_seconds
        float64 (n_folds,): wall time of each fold's fit and predictions.
    """

    log: Log
    predicted: FloatArray
    fold: IntArray
    folds: tuple[str, ...]
    fit_seconds: FloatArray
    predict_seconds: FloatArray

    @property
    def tested(self) -> BoolArray:
        """Whether a fold tested the row, (n_rows,)."""
        return self.fold >= 0

    def report(self, by: Any = None, *, draws: int = 200, seed: int = 0) -> pa.Table:
        """Every metric of the tested rows with its 95 % interval: :func:`adaptrace.metrics.report`.

        Parameters
        ----------
        by
            None, or what the slices are: ``"skill"``, ``"opportunity"``, ``"kind"``, ``"group"``, any column of the log, or
            values (n_rows,). An event of several skills is one line of each of its skills (opportunities).
        draws, seed
            As in :func:`adaptrace.metrics.bootstrap`.

        Raises
        ------
        DataError
            If the log has no such column.
        """
        rows, values = _lines(self.log, by)
        tested = self.tested[rows]
        rows, values = rows[tested], None if values is None else values.filter(pa.array(tested))
        student = schema.combined(self.log.table["student"]).take(pa.array(rows))
        return metrics.report(self.log.correct[rows], self.predicted[rows], student, by=values, draws=draws, seed=seed)

    def __repr__(self) -> str:
        folds = f"{len(self.folds)} fold{'s' * (len(self.folds) != 1)}"
        return f"Validation({folds}, {self.tested.sum():,} of {len(self.log):,} responses tested)"


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Several models on the same folds of one log; ``str`` makes a table to read.

    Attributes
    ----------
    log
        What was predicted.
    validations
        Model -> its :class:`Validation`.
    drawn
        Model -> (4, draws): AUC, log loss, RMSE and accuracy of every draw of students, the same for all models.
    """

    log: Log
    validations: Mapping[str, Validation]
    drawn: Mapping[str, FloatArray]

    @cached_property
    def table(self) -> pa.Table:
        """One row a model.

        ``model``, ``n``, ``students``; ``auc``, ``auc_low``, ``auc_high`` (95 %, by drawing students) and so for ``log_loss``
        (nats per response), ``rmse`` and ``accuracy``; ``ece``; ``fit_seconds``, ``predict_seconds``, summed over the folds.
        """
        size, students = len(self.validations), len(self._student.unique())
        columns: dict[str, Any] = {"model": list(self.validations), "n": [len(self._rows)] * size, "students": [students] * size}
        for number, metric in enumerate(metrics.METRICS):
            low, high = metrics.interval([each[number] for each in self.drawn.values()])
            columns |= {metric: self._values[:, number], f"{metric}_low": low, f"{metric}_high": high}
        columns["ece"] = [metrics.ece(self._correct, each.predicted[self._rows]) for each in self.validations.values()]
        for part in ("fit_seconds", "predict_seconds"):
            columns[part] = [float(getattr(each, part).sum()) for each in self.validations.values()]
        return pa.table(columns)

    @cached_property
    def differences(self) -> pa.Table:
        """One row for every two models and metric: ``model``, ``other``, ``metric``, ``difference``, ``low``, ``high``.

        The difference is ``model`` less ``other``, which stands above it in :attr:`table`; the 95 % interval is of the
        differences within each draw of students, so what makes all models err together cancels.
        """
        rows = []
        for (i, other), (j, model) in combinations(enumerate(self.validations), 2):
            low, high = metrics.interval(self.drawn[model] - self.drawn[other])
            for number, metric in enumerate(metrics.METRICS):
                difference = self._values[j, number] - self._values[i, number]
                rows.append((model, other, metric, difference, low[number], high[number]))
        names = ("model", "other", "metric", "difference", "low", "high")
        types = (pa.string(),) * 3 + (pa.float64(),) * 3
        columns = list(zip(*rows, strict=True)) or [()] * len(names)
        return pa.table([pa.array(list(values), kind) for values, kind in zip(columns, types, strict=True)], names=names)

    @cached_property
    def predictions(self) -> pa.Table:
        """One line a tested response, in the order of the log.

        ``student``, ``item``, ``skill`` (or ``skills``), ``fold``, ``correct``, and P(correct) in a column named as each model.
        """
        fold = next(iter(self.validations.values())).fold[self._rows]
        rows = self.log.table.select(["student", "item", self.log.skill_column, "correct"]).take(pa.array(self._rows))
        table = rows.add_column(3, "fold", pa.array(fold))
        for name, each in self.validations.items():
            table = table.append_column(name, pa.array(each.predicted[self._rows]))
        return table

    def slices(self, by: Any, *, draws: int = 200, seed: int = 0) -> pa.Table:
        """Every metric of every model by skill, opportunity, kind, group or any column of the log.

        The parameters are those of :meth:`Validation.report`, and so are the columns, after the first: ``model``.
        """
        tables = []
        for name, each in self.validations.items():
            table = each.report(by, draws=draws, seed=seed)
            tables.append(table.add_column(0, "model", pa.array([name] * len(table), pa.string())))
        return pa.concat_tables(tables)

    def __str__(self) -> str:
        return _as_text(self)

    def __repr__(self) -> str:
        return f"Comparison({', '.join(self.validations)}; {len(self._rows):,} responses tested)"

    @cached_property
    def _rows(self) -> IntArray:
        """The tested rows."""
        return np.flatnonzero(next(iter(self.validations.values())).tested)

    @property
    def _correct(self) -> FloatArray:
        return self.log.correct[self._rows]

    @property
    def _student(self) -> pa.Array:
        return schema.combined(self.log.table["student"]).take(pa.array(self._rows))

    @cached_property
    def _values(self) -> FloatArray:
        """(n_models, n_metrics)."""
        correct = self._correct
        predicted = [each.predicted[self._rows] for each in self.validations.values()]
        return np.array([[metric(correct, p) for metric in metrics.METRICS.values()] for p in predicted])


# ---- the three ways ---------------------------------------------------------


def cross_validate(
    model: Trainable,
    log: Log,
    *,
    folds: int = 5,
    by: str = "student",
    seed: int = 0,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Validation:
    """Predict every fold of a log by the model fitted to the other folds.

    A response is always predicted from all that its student answered before it, whichever fold that lies in; the fit is
    what does not see the fold.

    Parameters
    ----------
    model
        Not changed; a fitted one is fitted anew.
    log
        Not changed.
    folds
        How many, at least 2; without effect if ``by`` is a column of the log.
    by
        ``"student"``: students are dealt to folds, whose sizes differ by at most one student. ``"item"``: items are, so that
        every tested item is new to the model. ``"time"``: the calendar is cut into ``folds + 1`` blocks of about equally
        many responses, never between equal times; each block but the first is predicted by the model fitted to all blocks
        before it, and the first is only trained on (fold -1). Or a column of the log (also ``"group"``, ``"kind"``, or one
        carried along by ``keep=``) whose every value is a fold; if its values are train and test, there is one fit to train,
        whose rows are fold -1.
    seed
        Of the dealing: the same students (items) are dealt alike, whatever the order of the log.
    executor
        Where the pieces of a fit run; it changes no bit of the result.
    progress
        Called with the share that is done, ever more.

    Returns
    -------
    Validation
        The predictions, in the order of ``log.table``, and the fold of every row.

    Raises
    ------
    DataError
        If the log is empty, lacks a column, or has not enough students, items or times for the folds.
    ValueError
        If ``folds`` or ``by`` is none of these.
    ModelError
        If a fit or prediction fails; it names the fold, and its cause is the failure.

    Examples
    --------
    >>> import adaptrace as at
    >>> from adaptrace import evaluate
    >>> log = at.Log.from_arrow({"student": ["Ada", "Ada", "Bo", "Cy"], "item": ["q1", "q2", "q1", "q1"],
    ...                          "skill": ["halves"] * 4, "correct": [0, 1, 1, 1]})
    >>> validation = evaluate.cross_validate(evaluate.Constant(), log, folds=3)
    >>> validation, validation.predicted.round(2).tolist()  # of Ada from Bo and Cy (2 of 2, so 2.5 of 3), ...
    (Validation(3 folds, 4 of 4 responses tested), [0.83, 0.83, 0.67, 0.67])
    """
    models = {repr(model): _usable(repr(model), model)}
    plan = _plan(log, by, folds, seed)
    _check_needs(models, log)
    return _validated(models, log, plan, executor, _Steps(progress, len(plan.names)))[repr(model)]


def replay(
    model: Trainable,
    log: Log,
    *,
    marks: Sequence[datetime.datetime] | None = None,
    every: datetime.timedelta | None = None,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Validation:
    """Go through the calendar as a platform would: at each mark refit to all responses so far, then predict up to the next.

    Parameters
    ----------
    model, log
        Not changed. The log needs ``time``.
    marks
        When the model is refitted, increasing (UTC if without a zone). A response at a mark is predicted by the new fit; those
        before the first mark are only trained on (fold -1).
    every
        Instead of ``marks``: refit at such distances from the first response on.
    executor, progress
        As in :func:`cross_validate`.

    Returns
    -------
    Validation
        A fold is what lies between two marks; where that is nothing there is no fit and no fold.

    Raises
    ------
    DataError
        If the log is empty or has no ``time``, or a mark is outside of its times.
    ValueError
        If both or neither of ``marks`` and ``every`` are given, or they do not go forward.
    ModelError
        As in :func:`cross_validate`.

    Examples
    --------
    >>> import adaptrace as at, datetime
    >>> from adaptrace import evaluate
    >>> log = at.Log.from_arrow({"student": ["Ada", "Bo", "Ada"], "item": ["q1", "q1", "q2"], "skill": ["halves"] * 3,
    ...                          "correct": [0, 1, 1], "time": [0, 3600, 7200]}, time_unit="s")
    >>> evaluate.replay(evaluate.Constant(), log, every=datetime.timedelta(hours=1)).predicted.tolist()  # Ada, Ada, Bo
    [nan, 0.5, 0.25]
    """
    models = {repr(model): _usable(repr(model), model)}
    plan = _calendar(log, marks, every)
    _check_needs(models, log)
    return _validated(models, log, plan, executor, _Steps(progress, len(plan.names)))[repr(model)]


def compare(
    models: Iterable[Trainable] | Mapping[str, Trainable],
    log: Log,
    *,
    folds: int = 5,
    by: str = "student",
    seed: int = 0,
    draws: int = 200,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Cross-validate several models on the same folds, and say how sure their differences are.

    Parameters
    ----------
    models
        Models, named by their ``repr``, or name -> model. Unless there is one, a
        :class:`~adaptrace.models.constant.Constant` is put before them: what no model should fall below.
    log, folds, by, executor, progress
        As in :func:`cross_validate`.
    seed
        Of the folds and of the draws.
    draws
        How many samples of students the intervals are made of.

    Returns
    -------
    Comparison
        Tables of metrics, of paired differences and of predictions.

    Raises
    ------
    DataError, ValueError, ModelError
        As in :func:`cross_validate`, before any fit if possible: then with all that any model lacks.

    Notes
    -----
    The metrics are of the predictions of all folds together. A fold with many right answers leaves few to the others, so a
    constant is a little worse than its name: its AUC is somewhat below 0.5.

    Examples
    --------
    >>> import adaptrace as at
    >>> from adaptrace import evaluate
    >>> log = at.Log.from_arrow({"student": ["Ada", "Bo", "Cy"] * 3, "item": ["q1"] * 3 + ["q2"] * 3 + ["q3"] * 3,
    ...                          "skill": ["halves"] * 9, "correct": [0, 1, 0, 0, 1, 1, 1, 1, 1]})
    >>> comparison = evaluate.compare([at.BKT(forget=False)], log, folds=3)
    >>> comparison.table["model"].to_pylist()
    ['Constant()', 'BKT(forget=False)']
    >>> comparison.differences.column_names
    ['model', 'other', 'metric', 'difference', 'low', 'high']
    """
    named = _named(models)
    _whole("draws", draws, 1)
    plan = _plan(log, by, folds, seed)
    _check_needs(named, log)
    steps = _Steps(progress, len(named) * len(plan.names) + 1)
    validations = _validated(named, log, plan, executor, steps)
    rows = np.flatnonzero(plan.fold >= 0)
    student = schema.combined(log.table["student"]).take(pa.array(rows))
    predicted = {name: each.predicted[rows] for name, each in validations.items()}
    drawn = metrics.bootstrap(log.correct[rows], predicted, student, draws=draws, seed=seed)
    steps.finish()
    return Comparison(log, validations, drawn)


# ---- fitting and predicting -------------------------------------------------


@dataclass(frozen=True, eq=False)
class _Plan:
    """Which fold tests which row."""

    fold: IntArray  # (n_rows,), -1: none does
    names: tuple[str, ...]  # of the folds
    forward: bool = False  # whether a fold knows the folds before it, not all others

    def train(self, number: int) -> BoolArray:
        """The rows that the fold's model is fitted to."""
        return self.fold < number if self.forward else self.fold != number

    def history(self, log: Log, number: int) -> BoolArray:
        """The rows that the fold's own are predicted from, and these: all of their students', as far as they may be known."""
        student = log.table["student"].chunk(0).indices.to_numpy()
        met = np.zeros(len(log.students), bool)
        met[student[self.fold == number]] = True
        known = self.fold <= number if self.forward else True
        return np.asarray(met[student] & known)


@dataclass
class _Steps:
    """Tells the share done, of so many steps of which each tells its own; never less than before."""

    progress: Progress | None
    total: int
    done: int = 0
    told: float = 0.0

    def within(self, share: float) -> None:
        """A share of the present step is done."""
        self._tell(self.done + min(max(share, 0.0), 1.0))

    def finish(self) -> None:
        """The present step is done."""
        self.done += 1
        self._tell(self.done)

    def _tell(self, amount: float) -> None:
        share = amount / self.total
        if self.progress is not None and share > self.told:
            self.told = share
            self.progress(share)


@dataclass(frozen=True, eq=False)
class _Fold:
    """One fold, ready for any model."""

    name: str
    train: Log
    history: Log
    wanted: BoolArray  # (n_rows of history,) which are tested

    @classmethod
    def of(cls, log: Log, plan: _Plan, number: int) -> _Fold:
        history = plan.history(log, number)
        name = f"fold {number}" + f" ({plan.names[number]})" * (plan.names[number] != str(number))
        train, known = log.select(plan.train(number)), log if history.all() else log.select(history)
        for each in (train, known):
            each.rows  # noqa: B018  # made here, for no model's time
        return cls(name, train, known, plan.fold[history] == number)

    def predicted(
        self, name: str, model: Trainable, executor: Executor | None, progress: Progress
    ) -> tuple[FloatArray, tuple[float, float]]:
        """P(correct) of the tested rows, and the seconds of the fit and the prediction."""
        began = time.perf_counter()
        try:
            fitted = model.fit(self.train, executor=executor, progress=progress)
            between = time.perf_counter()
            values = np.asarray(fitted.predict(self.history), np.float64)
        except Exception as error:
            told = str(error) if isinstance(error, AdaptraceError) else f"{type(error).__name__}: {error}"
            raise ModelError(f"{name}, {self.name}: {told}") from error
        ended = time.perf_counter()
        self._check(name, values)
        return values[self.wanted], (between - began, ended - between)

    def _check(self, name: str, values: FloatArray) -> None:
        if values.shape != (len(self.history),):
            got, expected = f"predictions of shape {values.shape}", f"({len(self.history)},), one a response"
            raise ModelError(f"{name}, {self.name}: got {got}; expected {expected}")
        bad = np.flatnonzero(~((values >= 0.0) & (values <= 1.0)))
        if len(bad):
            row = int(self.history.source_row[bad[0]]) + 1
            raise ModelError(f"{name}, {self.name}: got a prediction of {values[bad[0]]} for row {row}; expected one in [0, 1]")


def _validated(
    models: Mapping[str, Trainable], log: Log, plan: _Plan, executor: Executor | None, steps: _Steps
) -> dict[str, Validation]:
    """Every model on every fold."""
    predicted = {name: np.full(len(log), np.nan) for name in models}
    seconds = {name: np.zeros((2, len(plan.names))) for name in models}
    for number in range(len(plan.names)):
        fold, tested = _Fold.of(log, plan, number), plan.fold == number
        for name, model in models.items():
            predicted[name][tested], seconds[name][:, number] = fold.predicted(name, model, executor, steps.within)
            steps.finish()
    return {name: Validation(log, predicted[name], plan.fold, plan.names, *seconds[name]) for name in models}


# ---- folds ------------------------------------------------------------------


def _plan(log: Log, by: str, folds: int, seed: int) -> _Plan:
    if by not in ("student", "item", "time") and by not in _columns(log):
        raise ValueError(f"by: got {by!r}; expected student, item, time or a column of the log: {', '.join(_columns(log))}")
    _not_empty(log)
    if by in _columns(log):
        return _given(log, by)
    _whole("folds", folds, 2)
    return _blocks(log, folds) if by == "time" else _dealt(log, by, folds, seed)


def _columns(log: Log) -> list[str]:
    """The columns that may hold folds."""
    names = [name for name in log.table.column_names if name not in (*NO_FOLDS, "student", "item")]
    return [*names, *(name for name in ("kind", "group") if name not in names)]


def _dealt(log: Log, by: str, folds: int, seed: int) -> _Plan:
    """Students or items dealt to folds."""
    column = log.table[by].chunk(0)
    n = len(column.dictionary)
    if n < folds:
        remedy = f"pass folds={n} or fewer" if n > 1 else "choose another by=, or replay the calendar"
        raise _refused(f"{n} {by}{'s' * (n != 1)}", f"at least {folds}, one a fold", remedy, by)
    order = pc.sort_indices(schema.as_text(column.dictionary)).to_numpy()
    dealt = np.empty(n, np.int64)
    dealt[order[np.random.default_rng(seed).permutation(n)]] = np.arange(n) % folds
    return _Plan(dealt[column.indices.to_numpy()], tuple(map(str, range(folds))))


def _given(log: Log, by: str) -> _Plan:
    """Folds as a column has them."""
    column = log.names(by) if by in ("kind", "group") else schema.plain(schema.combined(log.table[by]))
    column = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column
    if pa.types.is_nested(column.type):
        raise _refused(str(column.type), "one value a row", "name each row's fold", by)
    if column.null_count:
        row = int(log.source_row[np.flatnonzero(column.is_null())].min()) + 1
        raise _refused("null", "a fold in every row", "fill it in, or leave out these rows", by, row, column.null_count - 1)
    values = column.unique()
    values = values.take(pc.sort_indices(values))
    names = tuple(str(value) for value in values.to_pylist())
    fold = pc.index_in(column, values).to_numpy().astype(np.int64)
    if {TRAIN, TEST} & set(names):
        return _split(fold, names, by)
    if len(names) < 2:
        raise _refused(f"'{names[0]}' in every row", "at least 2 values, each a fold", "choose another column", by)
    return _Plan(fold, names)


def _split(code: IntArray, names: tuple[str, ...], by: str) -> _Plan:
    """One fold, the rows of test, for a model fitted to those of train."""
    if set(names) != {TRAIN, TEST}:
        got = " and ".join(map(repr, names)) + " alone" * (len(names) == 1)
        raise _refused(got, "'train' and 'test', or folds of other names", "rename the values, or select() these rows", by)
    return _Plan(np.where(code == names.index(TEST), 0, -1), (TEST,))


def _blocks(log: Log, folds: int) -> _Plan:
    """Blocks of the calendar with about equally many rows."""
    times = _times(log)
    moments, count = np.unique(times, return_counts=True)
    if len(moments) <= folds:
        got = f"{len(moments)} different time{'s' * (len(moments) != 1)}"
        remedy = f"pass folds={len(moments) - 1} or fewer" if len(moments) > 2 else "choose another by="
        raise _refused(got, f"at least {folds + 1}, one a block", remedy, "time")
    starts = moments[_cuts(np.concatenate([[0], np.cumsum(count)[:-1]]), len(times), folds)]
    return _Plan(np.searchsorted(starts, times, side="right") - 1, tuple(map(_iso, starts.tolist())), forward=True)


def _cuts(before: IntArray, n_rows: int, cuts: int) -> list[int]:
    """Which moments begin a new block, given the rows before each: those nearest to equal parts, no block empty."""
    chosen = [0]
    for number in range(1, cuts + 1):
        first, last = chosen[-1] + 1, len(before) - 1 - (cuts - number)
        distance = np.abs(before[first : last + 1] * (cuts + 1) - n_rows * number)
        chosen.append(first + int(np.argmin(distance)))
    return chosen[1:]


def _calendar(log: Log, marks: Sequence[datetime.datetime] | None, every: datetime.timedelta | None) -> _Plan:
    """What lies between marks, where anything does."""
    if (marks is None) == (every is None):
        raise ValueError(f"got {'neither' if marks is None else 'both'} of marks and every; expected one of them")
    starts = _steps_of(every) if marks is None else _moments(marks)
    _not_empty(log)
    times = _times(log)
    if marks is None:
        starts = times.min() + starts * np.unique((times - times.min()) // starts)[1:]
    _check_marks(starts, times)
    met, fold = np.unique(np.searchsorted(starts, times, side="right") - 1, return_inverse=True)
    return _Plan(fold - 1, tuple(_iso(starts[number]) for number in met[1:].tolist()), forward=True)


def _steps_of(every: datetime.timedelta | None) -> IntArray:
    """Microseconds between two marks, (1,)."""
    if not isinstance(every, datetime.timedelta) or every <= datetime.timedelta(0):
        raise ValueError(f"every: got {every!r}; expected a datetime.timedelta of more than 0")
    return np.array([every // MICROSECOND])


def _moments(marks: Sequence[datetime.datetime]) -> IntArray:
    """Marks in microseconds since 1970, (n_marks,)."""
    wrong = [mark for mark in marks if not isinstance(mark, datetime.datetime)]
    if wrong or not len(marks):
        raise ValueError(f"marks: got {wrong[0]!r}; expected datetimes" if wrong else "marks: got none; expected at least one")
    zoned = [mark if mark.tzinfo else mark.replace(tzinfo=datetime.UTC) for mark in marks]
    for before, after in pairwise(zoned):
        if after <= before:
            raise ValueError(f"marks: got {after} after {before}; expected every mark to be later than the one before")
    return np.array([(mark - EPOCH) // MICROSECOND for mark in zoned])


def _check_marks(starts: IntArray, times: IntArray) -> None:
    """Something lies before the first mark, and at or after the last one."""
    low, high = int(times.min()), int(times.max())
    expected = f"marks after the first response, at {_iso(low)}, and not after the last, at {_iso(high)}"
    if not len(starts):
        raise _refused(f"no mark between {_iso(low)} and {_iso(high)}", expected, "pass a smaller every=", "time")
    outside = [_iso(mark) for mark in starts.tolist() if not low < mark <= high]
    if outside:
        more = f" and {len(outside) - 1} more" * (len(outside) > 1)
        remedy = "leave out these marks: there is nothing to fit, or to predict"
        raise _refused(f"the mark {outside[0]}{more}", expected, remedy, "time")


def _times(log: Log) -> IntArray:
    """Microseconds since 1970, (n_rows,)."""
    if "time" not in log.table.column_names:
        got, remedy = f"the columns {', '.join(log.table.column_names)}", "map it, and say time_unit= if it counts in integers"
        raise _refused(got, "a clock in column 'time'", remedy, "time")
    return np.asarray(schema.combined(log.table["time"]).cast(pa.int64()))


def _iso(moment: int) -> str:
    return (EPOCH + int(moment) * MICROSECOND).isoformat()


# ---- the door ---------------------------------------------------------------


def _refused(got: str, expected: str, remedy: str, column: str | None = None, row: int | None = None, more: int = 0) -> DataError:
    return DataError("log", [Problem(got, expected, remedy, column, row, more)])


def _not_empty(log: Log) -> None:
    if not len(log):
        raise _refused("no rows", "responses to fit and to predict", "read another log")


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ValueError(f"{name}: got {value!r}; expected a whole number of at least {least}")


def _check_needs(models: Mapping[str, Trainable], log: Log) -> None:
    """The log has the columns that all models need, or one error says which it lacks for whom."""
    problems = [
        replace(problem, expected=f"{problem.expected}, which {name} needs")
        for name, model in models.items()
        for problem in schema.missing(log.table.column_names, schema.RESPONSES, {}, getattr(model, "needs", ()))
    ]
    if problems:
        raise DataError("log", problems)


def _usable(name: str, model: Any) -> Trainable:
    if isinstance(model, type):
        raise ModelError(f"{name}: got a class; expected a model, e.g. {model.__name__}()")
    if not callable(getattr(model, "fit", None)) or not callable(getattr(model, "predict", None)):
        raise ModelError(f"{name}: got {model!r}; expected a model, with fit and predict")
    return model  # type: ignore[no-any-return]


def _named(models: Iterable[Trainable] | Mapping[str, Trainable]) -> dict[str, Trainable]:
    """Models by their names, a baseline among them."""
    if not isinstance(models, Iterable):
        raise ValueError(f"models: got {models!r}; expected several, e.g. [BKT(), BKT(forget=False)]")
    named = dict(models) if isinstance(models, Mapping) else _by_repr(list(models))
    if not named:
        raise ValueError("models: got none; expected at least one")
    for name, model in named.items():
        _usable(str(name), model)
    if not any(isinstance(model, Constant) for model in named.values()):
        if BASELINE in named:
            raise ValueError(f"models: got {named[BASELINE]!r} as '{BASELINE}'; expected another name: it is the baseline's")
        named = {BASELINE: Constant(), **named}
    taken = ("student", "item", "skill", "skills", "fold", "correct")
    wrong = [name for name in named if not isinstance(name, str) or not name.strip() or name in taken]
    if wrong:
        raise ValueError(f"models: got the name {wrong[0]!r}; expected a text other than {', '.join(taken)}")
    return named


def _by_repr(models: list[Trainable]) -> dict[str, Trainable]:
    """Models named by how they look, those that look alike numbered."""
    named: dict[str, Trainable] = {}
    for model in models:
        name, number = repr(model), 1
        while name in named:
            number += 1
            name = f"{model!r} #{number}"
        named[name] = model
    return named


# ---- slices and text --------------------------------------------------------


def _lines(log: Log, by: Any) -> tuple[IntArray, pa.Array | None]:
    """Rows of the log, some more than once if they belong to several slices, and the slice of each."""
    rows = np.arange(len(log))
    if by is None or not isinstance(by, str):
        return rows, None if by is None else _array(by)
    if by in ("skill", "skills", "opportunity"):
        numbers = log.rows
        entries = pa.DictionaryArray.from_arrays(numbers.pair_skill[numbers.pair], log.skills)
        values = pa.array(numbers.opportunity) if by == "opportunity" else entries
        return np.repeat(rows, np.diff(numbers.skill_start)), values
    if by in ("kind", "group"):
        return rows, log.names(by)
    if by not in log.table.column_names:
        got, remedy = f"the columns {', '.join(log.table.column_names)}", "read the log with keep=, or correct the name"
        raise _refused(got, f"skill, opportunity, kind or a column '{by}'", remedy, by)
    return rows, schema.combined(log.table[by])


def _array(values: ArrayLike) -> pa.Array:
    return schema.combined(pa.chunked_array(values)) if hasattr(values, "__arrow_c_stream__") else pa.array(values)


def _as_text(comparison: Comparison) -> str:
    """The table of a comparison, aligned, the best of each metric marked."""
    table, n_folds = comparison.table, len(next(iter(comparison.validations.values())).folds)
    columns = [["model", *table["model"].to_pylist()]]
    for metric, heading in HEADINGS.items():
        columns.append([heading, *map(str.__add__, _numbers(table[metric]), _marks(comparison, metric))])
        if metric in WITH_INTERVAL:
            ends = (_numbers(table[f"{metric}_{end}"]) for end in ("low", "high"))
            columns.append(["95 %", *map("-".join, zip(*ends, strict=True))])
    columns.append(["ECE", *_numbers(table["ece"])])
    columns += [[f"{part} s", *_numbers(table[f"{part}_seconds"], 2)] for part in ("fit", "predict")]
    n, students = table["n"][0].as_py(), table["students"][0].as_py()
    head = f"{n_folds} fold{'s' * (n_folds != 1)}, {n:,} responses of {students:,} student{'s' * (students != 1)}"
    return "\n".join([head, "", *_aligned(columns), "", LEGEND])


def _numbers(column: pa.ChunkedArray, digits: int = 4) -> list[str]:
    return [f"{value:.{digits}f}" for value in column.to_pylist()]


def _marks(comparison: Comparison, metric: str) -> list[str]:
    """Of every model: ``*`` if it is the best, ``~`` if the draws do not tell it from the best, else a blank."""
    number = list(metrics.METRICS).index(metric)
    values, drawn = comparison._values[:, number], list(comparison.drawn.values())
    if np.isnan(values).all():
        return [" "] * len(values)
    best = int(np.nanargmin(values) if metric in LOWER_IS_BETTER else np.nanargmax(values))
    marks = []
    for value, each in zip(values, drawn, strict=True):
        low, high = metrics.interval(each[number] - drawn[best][number])
        marks.append("*" if value == values[best] else "~" if low <= 0.0 <= high else " ")
    return marks


def _aligned(columns: list[list[str]]) -> list[str]:
    """Lines of a table: the first column to the left, the others to the right."""
    widths = [max(map(len, column)) for column in columns]
    first, *others = columns
    lines = zip(first, *others, strict=True)
    return ["  ".join([name.ljust(widths[0]), *map(str.rjust, cells, widths[1:])]).rstrip() for name, *cells in lines]
