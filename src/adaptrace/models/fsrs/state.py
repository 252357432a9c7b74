"""What FSRS counts in a log, and what it keeps of one student: a card per item."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data.times import FIRST, LAST, microseconds
from adaptrace.kernels import fsrs as kernels
from adaptrace.kernels.compile import plain
from adaptrace.kernels.fsrs import DAY, Scheduler
from adaptrace.models import content as read
from adaptrace.models.base import Response

FloatArray = NDArray[np.float64]

recall, chance = plain(kernels.recall), plain(kernels.chance)
next_stability, next_difficulty = plain(kernels.next_stability), plain(kernels.next_difficulty)


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


class Card(NamedTuple):
    """What is remembered of one student's reviews of an item."""

    stability: float  # days
    difficulty: float  # 1 to 10
    last: int  # microseconds since 1970

    @classmethod
    def from_content(cls, content: Any) -> Card:
        """A card from plain data, also as release 0.1 wrote it; a ValueError where its numbers are none that a review leaves."""
        if isinstance(content, Mapping):
            last = datetime.datetime.fromisoformat(content["last_review"])
            if last.utcoffset() is None:
                raise ValueError("last_review: got a time without its zone")
            content = (content["stability"], content["difficulty"], microseconds(last))
        stability, difficulty, moment = content
        read.check_all([stability], "stability", 1e-6, read.MOST)
        read.check_all([difficulty], "difficulty", 0.0, read.MOST)
        read.check_all([moment], "last", FIRST, LAST, whole=True)
        return cls(stability, difficulty, moment)


@dataclass(slots=True)
class FSRSState:
    """One student as :class:`FSRS` knows them: a card per item met.

    Attributes
    ----------
    rates, scheduler
        Of the model.
    cards
        By item.
    """

    rates: ReviewRates = field(repr=False, compare=False)
    scheduler: Scheduler = field(repr=False, compare=False)
    cards: dict[str, Card] = field(default_factory=dict)

    def predict(self, response: Response) -> float:
        """P(correct)."""
        card = self.cards.get(response.item)
        if card is None:
            return float(self.rates.first[self.rates.places.get(response.item, -1)])
        days = 0 if response.moment is None else (response.moment - card.last) // DAY
        return self.rates.same_day if days < 1 else chance(recall(self.scheduler, card.stability, days))

    def observe(self, response: Response) -> None:
        """Take in one response.

        Raises
        ------
        ValueError
            If its moment is missing; nothing has changed then.
        """
        if response.moment is None:
            raise ValueError("moment: got None; expected microseconds since 1970: a card needs the time of its review")
        right, card = int(response.correct >= 0.5), self.cards.get(response.item)
        if card is None:
            stability, difficulty = self.scheduler.first_stability[right], self.scheduler.first_difficulty[right]
        else:
            days = (response.moment - card.last) // DAY
            stability = next_stability(self.scheduler, card.stability, card.difficulty, days, right)
            difficulty = next_difficulty(self.scheduler, card.difficulty, right)
        self.cards[response.item] = Card(stability, difficulty, response.moment)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        return {"cards": {item: list(card) for item, card in self.cards.items()}}
