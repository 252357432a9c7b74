"""FSRS: the scheduler of Anki as a model of the next answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.data.times import time_of
from adaptrace.errors import ModelError, counted
from adaptrace.kernels import fsrs as kernels
from adaptrace.kernels import parallel
from adaptrace.kernels.fsrs import DAY, Rates, Scheduler
from adaptrace.models import content as read
from adaptrace.models.base import Progress
from adaptrace.models.fsrs.scheduler import DEFAULTS, check_parameters, scheduler_of
from adaptrace.models.fsrs.state import Card, FSRSState, ReviewRates
from adaptrace.models.half_life.fit import first_rates
from adaptrace.models.saved import SavedModel, summary_of

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, repr=False, kw_only=True)
class FSRS(SavedModel):
    """FSRS, the free spaced repetition scheduler of Anki (Ye, Su & Cao, 2022; version 6), equal to the package ``fsrs``.

    A card per student and item, rated *good* where at least half is correct, else *again*. P(correct) is the scheduler's
    retrievability. The scheduler counts whole days: it predicts nothing for first responses on an item, nor (it would predict 1)
    for those within a day of the last; these have the rates of the log that the model was fitted to. Skills play no part.

    Parameters
    ----------
    parameters
        The scheduler's 21 parameters; None: its defaults.
    optimise
        Whether :meth:`fit` finds them, by the optimiser of the package ``fsrs``, which needs torch
        (``pip install "adaptrace[fsrs]"``). By default it finds the rates only.

    Attributes
    ----------
    rates
        What the fit counted (:class:`ReviewRates`); None before it.

    Raises
    ------
    ModelError
        If the parameters are not 21, or not where the package allows them.

    Examples
    --------
    >>> import adaptrace as at, datetime
    >>> from adaptrace.models.fsrs import FSRS
    >>> days = [datetime.datetime(2025, 1, day) for day in (1, 2, 9, 30)]
    >>> log = at.Log.from_arrow({"student": ["Ada"] * 4, "item": ["hola"] * 4, "skill": ["Spanish"] * 4,
    ...                          "correct": [0, 1, 1, 1], "time": days})
    >>> FSRS().fit(log).predict(log).round(2)
    array([0.21, 0.77, 0.79, 0.85])
    """

    parameters: Sequence[float] | None = None
    optimise: bool = False
    rates: ReviewRates | None = None

    family: ClassVar[str] = "fsrs"
    needs: ClassVar[tuple[str, ...]] = ("time",)

    def __post_init__(self) -> None:
        if self.parameters is not None:
            object.__setattr__(self, "parameters", tuple(map(float, self.parameters)))
            check_parameters(self.parameters)

    def __repr__(self) -> str:
        fitted = [] if self.rates is None else [counted(len(self.rates.items), "item")]
        return f"FSRS({', '.join(fitted + (['optimise=True'] if self.optimise else []))})"

    def fit(self, data: Log, *, executor: Executor | None = None, progress: Progress | None = None) -> FSRS:
        """Count the rates of first responses and of those within a day; with ``optimise``, also find the parameters.

        Parameters
        ----------
        data
            Needs ``time``. Not changed.
        executor, progress
            As in :meth:`adaptrace.models.base.Model.fit`; an executor has nothing to do here.

        Raises
        ------
        DataError
            If the log has no ``time``.
        ModelError
            If ``optimise`` is asked for and the package or its optimiser is missing.
        """
        names, code = schema.in_order(data.items)
        cards, correct = _Cards.of(data), data.correct
        item = code[data.table["item"].chunk(0).indices.to_numpy()]
        first = first_rates(item[cards.new], correct[cards.new], len(names))
        same_day = float(first_rates(np.empty(0, np.int64), correct[cards.same_day], 0)[0])
        parameters = self._optimised(data, cards.card) if self.optimise else self.parameters or DEFAULTS
        if progress is not None:
            progress(1.0)
        return replace(self, parameters=parameters, rates=ReviewRates(names, first, same_day, len(data)))

    def _optimised(self, data: Log, card: IntArray) -> tuple[float, ...]:
        """What the package's optimiser makes of the log."""
        package = _package()
        ratings = [package.Rating.Good if correct >= 0.5 else package.Rating.Again for correct in data.correct.tolist()]
        reviews = [
            package.ReviewLog(number, rating, time_of(moment), None)
            for number, rating, moment in zip(card.tolist(), ratings, data.moments.tolist(), strict=True)
        ]
        try:
            return tuple(map(float, package.Optimizer(reviews).compute_optimal_parameters()))
        except ImportError as error:
            raise ModelError('optimise=True needs the optimiser of fsrs, with torch; pip install "adaptrace[fsrs]"') from error

    def predict(self, log: Log) -> FloatArray:
        """P(correct) before each response, given the student's responses before it: float64 (n_rows,) inside (0, 1).

        Raises
        ------
        DataError
            If the log has no ``time``.
        """
        rates, rows, out = self._fitted, log.rows, np.empty(len(log))
        place = schema.find(log.items, rates.items) % len(rates.first)  # -1, unknown, is the last
        moment, item = log.moments, log.table["item"].chunk(0).indices.to_numpy()
        given = (rows.student_start, item, place, moment, rows.correct, self._scheduler, Rates(rates.first, rates.same_day))
        parallel.run(kernels.chances, [(*given, *piece, out) for piece in parallel.spans(rows.student_start, parallel.cores())])
        return out

    def summary(self) -> pa.Table:
        """The scheduler's parameters, then the rates that were counted: ``parameter``, ``name`` and ``value``.

        ``same_day``: P(correct) within a day of the last response on an item; ``first``: of first responses, per item.
        """
        rates = self._fitted
        parameters = [(f"w{number}", [""], [value]) for number, value in enumerate(self.parameters or ())]
        return summary_of([*parameters, ("same_day", [""], [rates.same_day]), ("first", rates.items, rates.first[:-1])])

    @cached_property
    def _scheduler(self) -> Scheduler:
        return scheduler_of(self.parameters or DEFAULTS)

    @property
    def _fitted(self) -> ReviewRates:
        if self.rates is None:
            raise ModelError("this FSRS model is not fitted; use the one that fit(log) returns")
        return self.rates

    # ---- one student ----

    def start(self, name: str = "", group: str = "") -> FSRSState:
        """The state of a student who has answered nothing; who it is makes no difference."""
        return FSRSState(self._fitted, self._scheduler)

    def resume(self, content: Mapping[str, Any], name: str = "", group: str = "") -> FSRSState:
        """The state that :meth:`FSRSState.to_dict` described."""
        return replace(self.start(), cards={item: Card.from_content(each) for item, each in content["cards"].items()})

    # ---- plain data ----

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data, exact to the last bit."""
        options = {"parameters": list(self.parameters or ()), "optimise": bool(self.optimise)}
        return {"family": self.family, **options, "rates": self._fitted.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> FSRS:
        """The model that :meth:`to_dict` described."""
        parameters = content["parameters"] and read.numbers(content, "parameters", len(content["parameters"])).tolist()
        rates = ReviewRates.from_dict(content["rates"])
        return cls(parameters=parameters or None, optimise=read.flag(content, "optimise"), rates=rates)


class _Cards(NamedTuple):
    """Which card each response is on, and which have no whole day behind them, (n_rows,) each."""

    card: IntArray
    new: NDArray[np.bool_]
    same_day: NDArray[np.bool_]

    @classmethod
    def of(cls, log: Log) -> _Cards:
        """Student and item of every response make its card."""
        student, item = (log.table[name].chunk(0).indices.to_numpy().astype(np.int64) for name in ("student", "item"))
        card, moment = student * max(len(log.items), 1) + item, log.moments
        order = np.argsort(card, kind="stable")  # responses on a card keep the order of time
        again = np.zeros(len(card), bool)
        again[order[1:]] = np.diff(card[order]) == 0
        since = np.zeros(len(card))
        since[order[1:]] = np.diff(moment[order])
        return cls(card, ~again, again & (since < DAY))


def _package() -> Any:
    """The package ``fsrs``, imported where used."""
    try:
        import fsrs
    except ImportError as error:
        raise ModelError('optimise=True needs the package fsrs, with torch; pip install "adaptrace[fsrs]"') from error
    return fsrs
