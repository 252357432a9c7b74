"""How well a model predicts responses that it was not fitted to: in folds, and through the calendar.

Every prediction is of a response that the fit did not see, from what the student answered before it.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.errors import counted
from adaptrace.evaluate import metrics, text
from adaptrace.evaluate.fold_runs import FoldProgress, run_folds
from adaptrace.evaluate.folds import FoldPlan, calendar, plan_of, refused
from adaptrace.evaluate.named_models import checked_model
from adaptrace.evaluate.ties import IN_ORDER, TOGETHER, begins, check_ties
from adaptrace.models.base import Model, Progress, check_needs

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

MOVED = 0.002  # from here on a difference in a figure is said


# ---- the result -------------------------------------------------------------


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
        The name of each fold: its number, its value in the column of folds, or when it begins (ISO 8601).
    fit_seconds, predict_seconds
        float64 (n_folds,): wall time of each fold's fit and predictions.
    in_order
        float64 (n_rows,): as ``predicted``, but where each response has learned from all of its student's rows before it, also
        from those of its own time.
    """

    log: Log
    predicted: FloatArray
    fold: IntArray
    folds: tuple[str, ...]
    fit_seconds: FloatArray
    predict_seconds: FloatArray
    in_order: FloatArray

    @property
    def tested(self) -> BoolArray:
        """Whether a fold tested the row, (n_rows,)."""
        return self.fold >= 0

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What the reader of the figures should know: whether responses of one time, learned in order, would move one by .002."""
        rows = np.flatnonzero(self.tested)
        one, other = self.predicted[rows], self.in_order[rows]
        if np.array_equal(one, other):
            return ()
        correct = self.log.correct[rows]
        values = {name: (metric(correct, one), metric(correct, other)) for name, metric in metrics.METRICS.items()}
        moved = [f"{text.HEADINGS[name]} {a:.4f}, not {b:.4f}" for name, (a, b) in values.items() if abs(a - b) > MOVED]
        if not moved:
            return ()
        tied = int((~begins(self.log))[rows].sum())
        what = (
            f"{counted(tied, 'response')} predicted before others of the same student and time were learned: {'; '.join(moved)}"
        )
        return (f"{what} as when each is learned before the next is predicted (ties='{IN_ORDER}')",)

    def report(self, by: Any = None, *, draws: int = 200, seed: int = 0) -> pa.Table:
        """Every metric of the tested rows with its 95 % interval: :func:`adaptrace.evaluate.metrics.report`.

        Parameters
        ----------
        by
            None, or the slices: ``"skill"``, ``"opportunity"``, ``"kind"``, ``"group"``, any column of the log, or
            values (n_rows,). An event of several skills is one line of each of its skills (opportunities).
        draws, seed
            As in :func:`adaptrace.evaluate.metrics.bootstrap`.

        Raises
        ------
        DataError
            If the log has no such column.
        """
        rows, values = _sliced_rows(self.log, by)
        tested = self.tested[rows]
        rows, values = rows[tested], None if values is None else values.filter(pa.array(tested))
        student = self._students(rows)
        return metrics.report(self.log.correct[rows], self.predicted[rows], student=student, by=values, draws=draws, seed=seed)

    def calibration(self) -> pa.Table:
        """The reliability of the predictions: :func:`adaptrace.evaluate.metrics.calibration`, intervals by student."""
        tested = np.flatnonzero(self.tested)
        return metrics.calibration(self.log.correct[tested], self.predicted[tested], student=self._students(tested))

    def learning_curve(self) -> pa.Table:
        """Right answers and predictions at each opportunity: :func:`adaptrace.evaluate.metrics.learning_curve`."""
        rows = self.log.rows
        entry = np.repeat(np.arange(len(self.log)), np.diff(rows.skill_start))
        opportunity, entry = rows.opportunity[self.tested[entry]], entry[self.tested[entry]]
        correct, student = self.log.correct[entry], self._students(entry)
        return metrics.learning_curve(correct, self.predicted[entry], opportunity=opportunity, student=student)

    def periods(self, *, draws: int = 200, seed: int = 0) -> pa.Table:
        """One row for each period of a replay: its ``start``, the metrics, and the seconds of its fit and predictions.

        Raises
        ------
        ValueError
            If the folds are no periods: neither of :func:`replay` nor of ``by="time"``.
        """
        starts = _starts(self.folds)
        by = pa.array([starts[fold] if fold >= 0 else None for fold in self.fold.tolist()], schema.TIME)
        table = self.report(by, draws=draws, seed=seed)
        table = table.rename_columns(["start", *table.column_names[1:]])
        for name in ("fit_seconds", "predict_seconds"):
            table = table.append_column(name, pa.array(getattr(self, name)))
        return table

    def pictured(self, picture: str) -> pa.Table:
        """The table that a picture of :mod:`adaptrace.plots` is drawn of: ``calibration``, ``learning_curve``, ``periods``."""
        tables = {"calibration": self.calibration, "learning_curve": self.learning_curve, "periods": self.periods}
        check_picture(picture, tuple(tables), "Validation")
        return tables[picture]()

    def _students(self, rows: IntArray) -> pa.Array:
        return schema.combined(self.log.table["student"]).take(pa.array(rows))

    def __repr__(self) -> str:
        folds = f"{len(self.folds)} fold{'s' * (len(self.folds) != 1)}"
        return f"Validation({folds}, {self.tested.sum():,} of {len(self.log):,} responses tested)"


# ---- the functions ----------------------------------------------------------


def cross_validate(
    model: Model,
    log: Log,
    *,
    folds: int = 5,
    by: str = "student",
    seed: int = 0,
    ties: str = TOGETHER,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Validation:
    """Predict every fold of a log by the model fitted to the other folds.

    A response is always predicted from everything that its student answered before it, in whichever fold that is. Only
    the fit does not see the fold.

    Parameters
    ----------
    model
        Not changed; a fitted one is fitted anew.
    log
        Not changed.
    folds
        How many, at least 2. It has no effect if ``by`` is a column of the log.
    by
        ``"student"``: students are assigned to folds, whose sizes differ by at most one student. ``"item"``: items are
        assigned to folds, so every tested item is new to the model. ``"time"``: the calendar is cut into ``folds + 1``
        blocks of about equally many responses, never between equal times; each block but the first is predicted by the
        model fitted to all blocks before it, and the first is only fitted to (fold -1). Or a column of the log (also
        ``"group"``, ``"kind"``, or one that was read with ``keep=``), each value of which is a fold; if its values are
        train and test, the model is fitted once, to train (fold -1).
    seed
        Makes the folds: the same students (items) get the same folds, whatever the order of the log.
    ties
        ``"together"``: responses of one student with one ``time`` (and ``order``) are all predicted before any of them is
        learned, as nobody knows which came first. ``"in-order"``: each is learned before the next is predicted.
    executor
        Where the pieces of a fit run; it changes no bit of the result.
    progress
        Called with the share that is done, which only grows.

    Returns
    -------
    Validation
        The predictions, in the order of ``log.table``, and the fold of every row.

    Raises
    ------
    DataError
        If the log is empty, lacks a column, or has not enough students, items or times for the folds.
    ValueError
        If ``folds``, ``by`` or ``ties`` is not one of these.
    ModelError
        If a fit or prediction fails. The error names the fold, and its cause is the failure.

    Examples
    --------
    >>> import adaptrace as at
    >>> log = at.Log.from_arrow({"student": ["Ada", "Ada", "Bo", "Cy"], "item": ["q1", "q2", "q1", "q1"],
    ...                          "skill": ["halves"] * 4, "correct": [0, 1, 1, 1]})
    >>> validation = at.cross_validate(at.Constant(), log, folds=3)
    >>> validation, validation.predicted.round(2).tolist()  # of Ada from Bo and Cy (2 of 2, so 2.5 of 3), ...
    (Validation(3 folds, 4 of 4 responses tested), [0.83, 0.83, 0.67, 0.67])
    """
    models = {repr(model): checked_model(repr(model), model)}
    plan = replace(plan_of(log, by, folds, seed), together=check_ties(ties))
    check_needs(models, log)
    return validated(models, log, plan, executor, FoldProgress(progress, len(plan.names)))[repr(model)]


def replay(
    model: Model,
    log: Log,
    *,
    marks: Sequence[datetime.datetime] | None = None,
    every: datetime.timedelta | None = None,
    ties: str = TOGETHER,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Validation:
    """Refit the model at each mark to all responses so far, then predict the responses up to the next mark.

    Parameters
    ----------
    model, log
        Not changed. The log needs ``time``.
    marks
        When the model is refitted, in increasing order (UTC if without a zone). A response at a mark is predicted by the new
        fit. Responses before the first mark are only fitted to (fold -1).
    every
        Instead of ``marks``: refit again after each such time, from the first response on.
    ties, executor, progress
        As in :func:`cross_validate`.

    Returns
    -------
    Validation
        A fold is the responses between two marks. Where there are none, there is no fit and no fold.

    Raises
    ------
    DataError
        If the log is empty or has no ``time``, or a mark is outside of its times.
    ValueError
        If both or neither of ``marks`` and ``every`` are given, or they do not increase.
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
    models = {repr(model): checked_model(repr(model), model)}
    plan = replace(calendar(log, marks, every), together=check_ties(ties))
    check_needs(models, log)
    return validated(models, log, plan, executor, FoldProgress(progress, len(plan.names)))[repr(model)]


# ---- many models, slices and pictures ---------------------------------------


def check_picture(picture: str, has: Sequence[str], owner: str) -> None:
    """Refuse a picture for which a Validation or Comparison has no table."""
    if picture not in has:
        raise ValueError(f"table: got a {owner}; expected one of these pictures for it: {', '.join(has)}")


def validated(
    models: Mapping[str, Model], log: Log, plan: FoldPlan, executor: Executor | None, steps: FoldProgress
) -> dict[str, Validation]:
    """Every model on every fold."""
    found = run_folds(models, log, plan, executor, steps)
    return {name: Validation(log, run.predicted, plan.fold, plan.names, *run[2:], run.in_order) for name, run in found.items()}


def _starts(folds: Sequence[str]) -> list[datetime.datetime]:
    """When each fold of a replay begins."""
    try:
        return [datetime.datetime.fromisoformat(name) for name in folds]
    except ValueError:
        got = f"the folds {', '.join(folds[:5])}{', ...' * (len(folds) > 5)}"
        raise ValueError(f"periods: got {got}; expected what replay gives, whose folds begin at times") from None


def _sliced_rows(log: Log, by: Any) -> tuple[IntArray, pa.Array | None]:
    """Rows of the log and the slice of each; a row of several slices occurs several times."""
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
