"""How well models predict responses they were not fitted to: folds, the calendar, and several models side by side.

Every prediction is of a response that the fit did not see, from what the student answered before it. All models get the
same folds and, for their intervals, the same draws of students, so that differences between models are paired.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.errors import AdaptraceError, ModelError
from adaptrace.evaluate import metrics
from adaptrace.evaluate.folds import Plan, calendar, plan_of, refused
from adaptrace.models.base import Model, Predicts, Progress, check_needs
from adaptrace.models.constant import Constant

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

BASELINE = repr(Constant())


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
        """Every metric of the tested rows with its 95 % interval: :func:`adaptrace.evaluate.metrics.report`.

        Parameters
        ----------
        by
            None, or what the slices are: ``"skill"``, ``"opportunity"``, ``"kind"``, ``"group"``, any column of the log, or
            values (n_rows,). An event of several skills is one line of each of its skills (opportunities).
        draws, seed
            As in :func:`adaptrace.evaluate.metrics.bootstrap`.

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


# ---- the three ways ---------------------------------------------------------


def cross_validate(
    model: Model,
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
    >>> log = at.Log.from_arrow({"student": ["Ada", "Ada", "Bo", "Cy"], "item": ["q1", "q2", "q1", "q1"],
    ...                          "skill": ["halves"] * 4, "correct": [0, 1, 1, 1]})
    >>> validation = at.cross_validate(at.Constant(), log, folds=3)
    >>> validation, validation.predicted.round(2).tolist()  # of Ada from Bo and Cy (2 of 2, so 2.5 of 3), ...
    (Validation(3 folds, 4 of 4 responses tested), [0.83, 0.83, 0.67, 0.67])
    """
    models = {repr(model): _usable(repr(model), model)}
    plan = plan_of(log, by, folds, seed)
    check_needs(models, log)
    return validated(models, log, plan, executor, Steps(progress, len(plan.names)))[repr(model)]


def replay(
    model: Model,
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
    >>> log = at.Log.from_arrow({"student": ["Ada", "Bo", "Ada"], "item": ["q1", "q1", "q2"], "skill": ["halves"] * 3,
    ...                          "correct": [0, 1, 1], "time": [0, 3600, 7200]}, time_unit="s")
    >>> at.replay(at.Constant(), log, every=datetime.timedelta(hours=1)).predicted.tolist()  # Ada, Ada, Bo
    [nan, 0.5, 0.25]
    """
    models = {repr(model): _usable(repr(model), model)}
    plan = calendar(log, marks, every)
    check_needs(models, log)
    return validated(models, log, plan, executor, Steps(progress, len(plan.names)))[repr(model)]


# ---- fitting and predicting -------------------------------------------------


@dataclass
class Steps:
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
    def of(cls, log: Log, plan: Plan, number: int) -> _Fold:
        history = plan.history(log, number)
        name = f"fold {number}" + f" ({plan.names[number]})" * (plan.names[number] != str(number))
        train, known = log.select(plan.train(number)), log if history.all() else log.select(history)
        for each in (train, known):
            each.rows  # noqa: B018  # made here, for no model's time
        return cls(name, train, known, plan.fold[history] == number)

    def predicted(
        self, name: str, model: Model, executor: Executor | None, progress: Progress
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


def validated(
    models: Mapping[str, Model], log: Log, plan: Plan, executor: Executor | None, steps: Steps
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


# ---- the door ---------------------------------------------------------------


def _usable(name: str, model: Any) -> Model:
    if isinstance(model, type):
        raise ModelError(f"{name}: got a class; expected a model, e.g. {model.__name__}()")
    if not isinstance(model, Predicts):
        raise ModelError(f"{name}: got {model!r}; expected a model, with fit and predict")
    return cast(Model, model)


def named_models(models: Iterable[Model] | Mapping[str, Model]) -> dict[str, Model]:
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


def _by_repr(models: list[Model]) -> dict[str, Model]:
    """Models named by how they look, those that look alike numbered."""
    named: dict[str, Model] = {}
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
        return rows, None if by is None else schema.as_array(by)
    if by in ("skill", "skills", "opportunity"):
        numbers = log.rows
        entries = pa.DictionaryArray.from_arrays(numbers.pair_skill[numbers.pair], log.skills)
        values = pa.array(numbers.opportunity) if by == "opportunity" else entries
        return np.repeat(rows, np.diff(numbers.skill_start)), values
    if by in ("kind", "group"):
        return rows, log.names(by)
    if by not in log.table.column_names:
        got, remedy = f"the columns {', '.join(log.table.column_names)}", "read the log with keep=, or correct the name"
        raise refused(got, f"skill, opportunity, kind or a column '{by}'", remedy, by)
    return rows, schema.combined(log.table[by])


def numbers(column: pa.ChunkedArray, digits: int = 4) -> list[str]:
    """A column as text."""
    return [f"{value:.{digits}f}" for value in column.to_pylist()]
