"""Every model fitted to and tested on every fold."""

from __future__ import annotations

import time
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adaptrace.data.log import Log
from adaptrace.errors import AdaptraceError, ModelError
from adaptrace.evaluate.folds import FoldPlan
from adaptrace.models.base import Model, Progress

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]


@dataclass
class FoldProgress:
    """Reports the share done of all steps together, each of which reports its own; the share never falls."""

    progress: Progress | None
    total: int
    done: int = 0
    reported: float = 0.0

    def within(self, share: float) -> None:
        """A share of the present step is done."""
        self._report(self.done + min(max(share, 0.0), 1.0))

    def finish(self) -> None:
        """The present step is done."""
        self.done += 1
        self._report(self.done)

    def _report(self, amount: float) -> None:
        share = amount / self.total
        if self.progress is not None and share > self.reported:
            self.reported = share
            self.progress(share)


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold: what a model is fitted to, and what it predicts from."""

    name: str
    train: Log
    history: Log
    wanted: BoolArray  # (n_rows of history,) which are tested

    @classmethod
    def of(cls, log: Log, plan: FoldPlan, number: int) -> Fold:
        """The fold of this number."""
        history = plan.history(log, number)
        name = f"fold {number}" + f" ({plan.names[number]})" * (plan.names[number] != str(number))
        train, known = log.select(plan.train(number)), log if history.all() else log.select(history)
        for each in (train, known):
            each.rows  # noqa: B018  # computed here, so that it counts in no model's time
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
            own = isinstance(error, AdaptraceError)
            first, *more = str(error).split("\n") if own else [f"{type(error).__name__}: {error}"]
            raise ModelError(f"{name}, {self.name}: {first}", *more) from error
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


def run_folds(
    models: Mapping[str, Model], log: Log, plan: FoldPlan, executor: Executor | None, steps: FoldProgress
) -> dict[str, tuple[FloatArray, FloatArray]]:
    """Model -> P(correct) of every row (NaN where not tested), and the seconds of its fits and predictions (2, n_folds)."""
    predicted = {name: np.full(len(log), np.nan) for name in models}
    seconds = {name: np.zeros((2, len(plan.names))) for name in models}
    for number in range(len(plan.names)):
        fold, tested = Fold.of(log, plan, number), plan.fold == number
        for name, model in models.items():
            predicted[name][tested], seconds[name][:, number] = fold.predicted(name, model, executor, steps.within)
            steps.finish()
    return {name: (predicted[name], seconds[name]) for name in models}
