"""Comparison: several models on the same rows, with paired intervals, as tables and as text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.evaluate import metrics, text
from adaptrace.evaluate.fold_runs import FoldProgress
from adaptrace.evaluate.folds import plan_of, whole
from adaptrace.evaluate.named_models import named_models
from adaptrace.evaluate.ties import TOGETHER, check_ties
from adaptrace.evaluate.validation import Validation, check_picture, validated
from adaptrace.models.base import Model, Progress, check_needs

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

LOWER_IS_BETTER = ("log_loss", "rmse")
LEGEND = "* best; ~ no clear difference from the best: the 95 % interval of the paired difference holds 0"


@dataclass(frozen=True, eq=False, repr=False)
class Comparison:
    """Several models on the same folds of one log; ``str`` makes a table to read.

    Attributes
    ----------
    log
        The log whose responses were predicted.
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
        """One row for each model.

        ``model``, ``n``, ``students``; ``auc``, ``auc_low``, ``auc_high`` (95 %, by drawing students), and the same for
        ``log_loss`` (nats per response), ``rmse`` and ``accuracy``; ``ece``; ``fit_seconds``, ``predict_seconds``, summed over
        the folds.
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

        The difference is ``model`` minus ``other``, which comes before it in :attr:`table`. The 95 % interval is made from the
        differences within each draw of students, so errors that all models share cancel.
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
        """One row for each tested response, in the order of the log.

        ``student``, ``item``, ``skill`` (or ``skills``), ``fold``, ``correct``, and P(correct) in a column named as each model.
        """
        fold = next(iter(self.validations.values())).fold[self._rows]
        rows = self.log.table.select(["student", "item", self.log.skill_column, "correct"]).take(pa.array(self._rows))
        table = rows.add_column(3, "fold", pa.array(fold))
        for name, each in self.validations.items():
            table = table.append_column(name, pa.array(each.predicted[self._rows]))
        return table

    @cached_property
    def notes(self) -> tuple[str, ...]:
        """What the reader of the figures should know: the notes of every model's :class:`Validation`."""
        return tuple(f"{name}: {note}" for name, each in self.validations.items() for note in each.notes)

    def slices(self, by: Any, *, draws: int = 200, seed: int = 0) -> pa.Table:
        """Every metric of every model by skill, opportunity, kind, group or any column of the log.

        The parameters are those of :meth:`Validation.report`, and so are the columns, after the first: ``model``.
        """
        return self._stacked({name: each.report(by, draws=draws, seed=seed) for name, each in self.validations.items()})

    def _stacked(self, tables: Mapping[str, pa.Table]) -> pa.Table:
        """The tables of the models, one below the other, with a first column ``model``."""
        names = {name: pa.array([name] * len(table), pa.string()) for name, table in tables.items()}
        return pa.concat_tables([table.add_column(0, "model", names[name]) for name, table in tables.items()])

    def to_latex(self) -> str:
        r"""The table for a paper: a ``tabular`` that needs the package booktabs.

        The best value of each metric is bold; a value that is not clearly different from it has a tilde.

        Examples
        --------
        >>> import adaptrace as at
        >>> compared = at.compare([at.PFA()], at.sample_log(), folds=2, draws=20)
        >>> compared.to_latex().splitlines()[1]
        '\\begin{tabular}{lrrrrrr}'
        """
        marks = {metric: _marks(self, metric) for metric in text.HEADINGS}
        return text.metrics_latex(self.table, marks)

    def pictured(self, picture: str) -> pa.Table:
        """The table that a picture of :mod:`adaptrace.plots` is drawn of: ``comparison``, ``calibration``, ``learning_curve``."""
        check_picture(picture, ("comparison", "calibration", "learning_curve"), "Comparison")
        if picture == "comparison":
            return self.table
        return self._stacked({name: each.pictured(picture) for name, each in self.validations.items()})

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


def compare(
    models: Iterable[Model] | Mapping[str, Model],
    log: Log,
    *,
    folds: int = 5,
    by: str = "student",
    seed: int = 0,
    ties: str = TOGETHER,
    draws: int = 200,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Cross-validate several models on the same folds, with intervals of their differences.

    Parameters
    ----------
    models
        Models, named by their ``repr``, or name -> model. Unless there is one, a
        :class:`~adaptrace.models.constant.Constant` is put before them: no model should be worse.
    log, folds, by, ties, executor, progress
        As in :func:`cross_validate`.
    seed
        Makes the folds and the draws.
    draws
        How many samples of students the intervals are made from.

    Returns
    -------
    Comparison
        Tables of metrics, of paired differences and of predictions.

    Raises
    ------
    DataError, ValueError, ModelError
        As in :func:`cross_validate`. What any model lacks is listed before the first fit, where possible.

    Notes
    -----
    The metrics are of the predictions of all folds together. A fold with many right answers leaves few for the other folds, so
    the AUC of a constant is somewhat below 0.5.

    Examples
    --------
    >>> import adaptrace as at
    >>> from adaptrace.evaluate import comparison
    >>> log = at.Log.from_arrow({"student": ["Ada", "Bo", "Cy"] * 3, "item": ["q1"] * 3 + ["q2"] * 3 + ["q3"] * 3,
    ...                          "skill": ["halves"] * 9, "correct": [0, 1, 0, 0, 1, 1, 1, 1, 1]})
    >>> comparison = comparison.compare([at.BKT(forget=False)], log, folds=3)
    >>> comparison.table["model"].to_pylist()
    ['Constant()', 'BKT(forget=False)']
    >>> comparison.differences.column_names
    ['model', 'other', 'metric', 'difference', 'low', 'high']
    """
    named = named_models(models)
    whole("draws", draws, 1)
    plan = replace(plan_of(log, by, folds, seed), together=check_ties(ties))
    check_needs(named, log)
    steps = FoldProgress(progress, len(named) * len(plan.names) + 1)
    validations = validated(named, log, plan, executor, steps)
    rows = np.flatnonzero(plan.fold >= 0)
    student = schema.combined(log.table["student"]).take(pa.array(rows))
    predicted = {name: each.predicted[rows] for name, each in validations.items()}
    drawn = metrics.bootstrap(log.correct[rows], predicted, student=student, draws=draws, seed=seed)
    steps.finish()
    return Comparison(log, validations, drawn)


def _as_text(comparison: Comparison) -> str:
    """The table of a comparison, the best of each metric marked."""
    table, n_folds = comparison.table, len(next(iter(comparison.validations.values())).folds)
    marks = {metric: _marks(comparison, metric) for metric in text.HEADINGS}
    n, students = table["n"][0].as_py(), table["students"][0].as_py()
    head = f"{n_folds} fold{'s' * (n_folds != 1)}, {n:,} responses of {students:,} student{'s' * (students != 1)}"
    notes = [f"note: {note}" for note in comparison.notes]
    return "\n".join([head, "", text.metrics_text(table, ("model", *text.LAST), marks), "", LEGEND, *notes])


def _marks(comparison: Comparison, metric: str) -> list[str]:
    """For every model ``*`` if it is the best, ``~`` if its difference from the best is not clear, else a blank."""
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
