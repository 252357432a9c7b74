"""FSRS: the scheduler of Anki, by its own package, as a model of the next answer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import DAY, Log
from adaptrace.data.times import time_of
from adaptrace.errors import ModelError, counted
from adaptrace.models import content as read
from adaptrace.models.base import Progress, Response
from adaptrace.models.half_life.fit import first_rates
from adaptrace.models.half_life.state import chance
from adaptrace.models.saved import SavedModel, summary_of

if TYPE_CHECKING:
    from fsrs import Card

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class ReviewRates:
    """Rates of right answers where FSRS makes no prediction.

    Attributes
    ----------
    items
        Names as text, sorted.
    first
        float64 (n_items + 1,): P(correct) of a first response on an item; the last for items that were never seen.
    same_day
        P(correct) of a response within a day of the last one on the item.
    responses
        How many the fit saw.
    """

    items: pa.StringArray
    first: FloatArray
    same_day: float
    responses: int

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each item stands."""
        return {name: place for place, name in enumerate(self.items.to_pylist())}

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        numbers = {"first": self.first.tolist(), "same_day": self.same_day, "responses": self.responses}
        return {"items": self.items.to_pylist(), **numbers}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ReviewRates:
        """What :meth:`to_dict` described."""
        items = read.texts(content, "items")
        first = read.numbers(content, "first", len(items) + 1, low=read.ABOVE_0, high=read.BELOW_1)
        return cls(items, first, read.number(content, "same_day", read.ABOVE_0, read.BELOW_1), read.count(content, "responses"))


@dataclass(frozen=True, repr=False, kw_only=True)
class FSRS(SavedModel):
    """FSRS, the free spaced repetition scheduler, as the package ``fsrs`` has it (Ye, Su & Cao, 2022; version 6).

    A card per student and item, rated *good* where at least half is correct, else *again*. P(correct) is the scheduler's
    retrievability. The scheduler counts whole days: it predicts nothing for first responses on an item, nor (it would predict 1)
    for those within a day of the last; these have the rates of the log that the model was fitted to. Skills play no part.

    It is pure Python, 10 to 20 microseconds a response, where a :class:`HalfLife` takes some 30 nanoseconds.

    Parameters
    ----------
    parameters
        The scheduler's 21 parameters; None: its defaults.
    optimise
        Whether :meth:`fit` finds them, by the package's own optimiser, which needs torch. By default it finds the rates only.

    Attributes
    ----------
    rates
        What the fit counted (:class:`ReviewRates`); None before it.

    Raises
    ------
    ModelError
        When used: if the package is missing (``pip install "adaptrace[fsrs]"``) or refuses the parameters.

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
            If the package, or with ``optimise`` its optimiser, is missing.
        """
        names, code = schema.in_order(data.items)
        cards, correct = _Cards.of(data), data.correct
        item = code[data.table["item"].chunk(0).indices.to_numpy()]
        first = first_rates(item[cards.new], correct[cards.new], len(names))
        same_day = float(first_rates(np.empty(0, np.int64), correct[cards.same_day], 0)[0])
        parameters = self._optimised(data, cards.card) if self.optimise else self._scheduler.parameters
        if progress is not None:
            progress(1.0)
        return replace(self, parameters=parameters, rates=ReviewRates(names, first, same_day, len(data)))

    def _optimised(self, data: Log, card: IntArray) -> tuple[float, ...]:
        """What the package's optimiser makes of the log."""
        package = _package()
        ratings = [_rating(package, correct) for correct in data.correct.tolist()]
        reviews = [
            package.ReviewLog(number, rating, time_of(moment), None)
            for number, rating, moment in zip(card.tolist(), ratings, _moments(data), strict=True)
        ]
        try:
            return tuple(map(float, package.Optimizer(reviews).compute_optimal_parameters()))
        except ImportError as error:
            raise ModelError('optimise=True needs the optimiser of fsrs, with torch; pip install "fsrs[optimizer]"') from error

    def predict(self, log: Log) -> FloatArray:
        """P(correct) before each response, given the student's responses before it: float64 (n_rows,) inside (0, 1).

        Raises
        ------
        DataError
            If the log has no ``time``.
        """
        out, moments, correct = np.empty(len(log)), _moments(log), log.correct.tolist()
        items = schema.as_text(log.items).to_pylist()
        item = log.table["item"].chunk(0).indices.to_pylist()
        edges = log.rows.student_start.tolist()
        for begin, end in pairwise(edges):
            state = self.start()
            for row in range(begin, end):
                out[row] = state.chance(items[item[row]], moments[row])
                state.review(items[item[row]], correct[row], moments[row])
        return out

    def summary(self) -> pa.Table:
        """The scheduler's parameters, then the rates that were counted: ``parameter``, ``name`` and ``value``.

        ``same_day``: P(correct) within a day of the last response on an item; ``first``: of first responses, per item.
        """
        rates = self._fitted
        parameters = [(f"w{number}", [""], [value]) for number, value in enumerate(self.parameters or ())]
        return summary_of([*parameters, ("same_day", [""], [rates.same_day]), ("first", rates.items, rates.first[:-1])])

    @cached_property
    def _scheduler(self) -> Any:
        package = _package()
        try:
            return package.Scheduler(**({} if self.parameters is None else {"parameters": self.parameters}), enable_fuzzing=False)
        except ValueError as error:
            raise ModelError(f"fsrs refuses the parameters: {error}") from error

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
        return replace(self.start(), cards={item: _card(each) for item, each in content["cards"].items()})

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


@dataclass(slots=True)
class FSRSState:
    """One student as :class:`FSRS` knows them: a card per item met.

    Attributes
    ----------
    rates, scheduler
        Of the model.
    cards
        The package's cards, by item.
    """

    rates: ReviewRates = field(repr=False, compare=False)
    scheduler: Any = field(repr=False, compare=False)
    cards: dict[str, Card] = field(default_factory=dict)

    def predict(self, response: Response) -> float:
        """P(correct)."""
        return self.chance(response.item, response.moment)

    def observe(self, response: Response) -> None:
        """Take in one response.

        Raises
        ------
        ValueError
            If its moment is missing; nothing has changed then.
        """
        if response.moment is None:
            raise ValueError("moment: got None; expected microseconds since 1970: a card needs the time of its review")
        self.review(response.item, response.correct, response.moment)

    def chance(self, item: str, moment: int | None) -> float:
        """P(correct) on an item at a moment, microseconds since 1970; None: at its last response."""
        card = self.cards.get(item)
        if card is None or card.last_review is None:
            return float(self.rates.first[self.rates.places.get(item, -1)])
        now = card.last_review if moment is None else time_of(moment)
        if (now - card.last_review).days < 1:
            return self.rates.same_day
        return chance(float(self.scheduler.get_card_retrievability(card, now)), 0.0, 0.0)

    def review(self, item: str, correct: float, moment: int) -> None:
        """Take in the outcome on an item at a moment, microseconds since 1970."""
        package, now = _package(), time_of(moment)
        card = self.cards.get(item) or package.Card(card_id=0, due=now)  # without an id it would read the clock and sleep
        self.cards[item], _ = self.scheduler.review_card(card, _rating(package, correct), now)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        return {"cards": {item: dict(card.to_dict()) for item, card in self.cards.items()}}


class _Cards(NamedTuple):
    """Which card each response is on, and which have no whole day behind them, (n_rows,) each."""

    card: IntArray
    new: NDArray[np.bool_]
    same_day: NDArray[np.bool_]

    @classmethod
    def of(cls, log: Log) -> _Cards:
        """Student and item of every response make its card."""
        student, item = (log.table[name].chunk(0).indices.to_numpy().astype(np.int64) for name in ("student", "item"))
        card, moment = student * max(len(log.items), 1) + item, np.array(_moments(log), np.int64)
        order = np.argsort(card, kind="stable")  # responses on a card keep the order of time
        again = np.zeros(len(card), bool)
        again[order[1:]] = np.diff(card[order]) == 0
        since = np.zeros(len(card))
        since[order[1:]] = np.diff(moment[order])
        return cls(card, ~again, again & (since < DAY))


def _moments(log: Log) -> list[int]:
    """Microseconds since 1970 of every response."""
    moments: list[int] = log.moments.tolist()
    return moments


def _rating(package: Any, correct: float) -> Any:
    return package.Rating.Good if correct >= 0.5 else package.Rating.Again


def _card(content: Mapping[str, Any]) -> Any:
    """A card from plain data; a ValueError where its numbers or times are none that a review gives."""
    card = _package().Card.from_dict(content)
    steps = [each for each in (card.step,) if each is not None]
    read.check_all(steps, "step", 0, read.MOST, whole=True)
    for name, low in (("stability", 1e-6), ("difficulty", 0.0)):
        read.check_all([each for each in (getattr(card, name),) if each is not None], name, low, read.MOST)
    if any(each is not None and each.utcoffset() is None for each in (card.due, card.last_review)):
        raise ValueError("a time without its zone")
    return card


def _package() -> Any:
    """The package ``fsrs``, imported where used."""
    try:
        import fsrs
    except ImportError as error:
        raise ModelError('FSRS needs the package fsrs, which is not installed; pip install "adaptrace[fsrs]"') from error
    return fsrs
