"""Every model fitted to and tested on every fold."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.data.log import Log
from adaptrace.errors import AdaptraceError, ModelError
from adaptrace.evaluate.folds import FoldPlan
from adaptrace.evaluate.ties import held_back
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


class FoldRun(NamedTuple):
    """What a model predicted, of one fold or of all."""

    predicted: FloatArray  # (n_rows,) P(correct), NaN where not tested
    in_order: FloatArray  # (n_rows,) the same, where each response has learned from all rows before it, also those of its time
    fit_seconds: FloatArray  # (n_folds,)
    predict_seconds: FloatArray


@dataclass(frozen=True, eq=False)
class Fold:
    """One fold: what a model is fitted to, and what it predicts from."""

    name: str
    train: Log
    history: Log
    wanted: BoolArray  # (n_rows of history,) which are tested
    together: bool  # whether responses of one student and time are predicted before any of them is learned

    @classmethod
    def of(cls, log: Log, plan: FoldPlan, number: int) -> Fold:
        """The fold of this number."""
        history = plan.history(log, number)
        name = f"fold {number}" + f" ({plan.names[number]})" * (plan.names[number] != str(number))
        train, known = log.select(plan.train(number)), log if history.all() else log.select(history)
        for each in (train, known):
            each.rows  # noqa: B018  # computed here, so that it counts in no model's time
        return cls(name, train, known, plan.fold[history] == number, plan.together)

    def predicted(self, name: str, model: Model, executor: Executor | None, progress: Progress) -> FoldRun:
        """What a model predicts of the tested rows."""
        began = time.perf_counter()
        with self._naming_failures(name):
            fitted = model.fit(self.train, executor=executor, progress=progress)
            between = time.perf_counter()
            values = np.asarray(fitted.predict(self.history), np.float64)
        ended = time.perf_counter()
        held = self._check(name, values)
        if self.together:
            with self._naming_failures(name):
                held = held_back(fitted, self.history, self.wanted, values)
            self._check(name, held)
        return FoldRun(held[self.wanted], values[self.wanted], np.array([between - began]), np.array([ended - between]))

    @contextlib.contextmanager
    def _naming_failures(self, name: str) -> Iterator[None]:
        """Make any failure a ModelError that names the model and the fold."""
        try:
            yield
        except Exception as error:
            own = isinstance(error, AdaptraceError)
            first, *more = str(error).split("\n") if own else [f"{type(error).__name__}: {error}"]
            raise ModelError(f"{name}, {self.name}: {first}", *more) from error

    def _check(self, name: str, values: FloatArray) -> FloatArray:
        """The predictions, if there is one in [0, 1] for each row."""
        if values.shape != (len(self.history),):
            got, expected = f"predictions of shape {values.shape}", f"({len(self.history)},), one a response"
            raise ModelError(f"{name}, {self.name}: got {got}; expected {expected}")
        bad = np.flatnonzero(self.wanted & ~((values >= 0.0) & (values <= 1.0)))
        if len(bad):
            row = int(self.history.source_row[bad[0]]) + 1
            raise ModelError(f"{name}, {self.name}: got a prediction of {values[bad[0]]} for row {row}; expected one in [0, 1]")
        return values


def run_folds(
    models: Mapping[str, Model], log: Log, plan: FoldPlan, executor: Executor | None, steps: FoldProgress
) -> dict[str, FoldRun]:
    """Model -> what it predicted of every row, and the seconds of its fits and predictions."""
    sizes = (len(log), len(log), len(plan.names), len(plan.names))
    found = {name: FoldRun(*(np.full(size, np.nan) for size in sizes)) for name in models}
    for number in range(len(plan.names)):
        fold, tested = Fold.of(log, plan, number), plan.fold == number
        for name, model in models.items():
            run = fold.predicted(name, model, executor, steps.within)
            for whole, part, place in zip(found[name], run, (tested, tested, [number], [number]), strict=True):
                whole[place] = part
            steps.finish()
    return found
