"""Simulated students: hidden knowledge, or the model's own state, that answers."""

from __future__ import annotations

import datetime
import itertools
import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from adaptrace.data.catalog import Catalog, Item
from adaptrace.data.schema import EPOCH, MICROSECOND, PRACTICE
from adaptrace.kernels.bkt import joint
from adaptrace.kernels.compile import plain
from adaptrace.models import BKT
from adaptrace.models.base import Model, Response
from adaptrace.models.bkt.fitted import RULES
from adaptrace.models.bkt.skill_table import Row

together = plain(joint)


class Pupil(Protocol):
    """The truth about one student.

    One with an attribute ``local`` that is true promises that a response changes the chances on items of its skills only, and
    time none: looking for a target then asks only those again.
    """

    def chance(self, item: Item, time: datetime.datetime) -> float:
        """The true P(correct) on an item at a time, given all that is hidden. Changes nothing."""

    def respond(self, item: Item, time: datetime.datetime, random: np.random.Generator) -> float:
        """Draw an outcome, and learn from the response."""


@runtime_checkable
class Local(Protocol):
    """A student who says whether a response changes the chances on items of its skills only."""

    local: bool


@runtime_checkable
class MakesPupils(Protocol):
    """What makes its own students."""

    def pupil(self, catalog: Catalog, name: str, random: np.random.Generator) -> Pupil:
        """A student who has not answered yet."""


class Truth(Protocol):
    """What can be taught that is no model: a sort of student."""

    @property
    def needs(self) -> Sequence[str]:
        """``("time",)`` if policies should see students at the time of their answers."""

    def pupil(self, catalog: Catalog, name: str, random: np.random.Generator) -> Pupil:
        """A student who has not answered yet."""


def pupil_of(truth: Model | Truth, catalog: Catalog, name: str, random: np.random.Generator) -> Pupil:
    """A student of a truth: what it makes itself, else hidden knowledge for a BKT, else the model's own state."""
    if isinstance(truth, MakesPupils):
        return truth.pupil(catalog, name, random)
    if isinstance(truth, BKT):
        return HiddenKnowledge(truth, catalog, name, random)
    return OwnState(truth, name)


class OwnState:
    """A student who is what the model's own state predicts; of any family."""

    def __init__(self, truth: Model, name: str) -> None:
        self.state, self.timed = truth.start(name), "time" in truth.needs

    def chance(self, item: Item, time: datetime.datetime) -> float:
        """P(correct) as the state predicts it."""
        return self.state.predict(self._response(item, time))

    def respond(self, item: Item, time: datetime.datetime, random: np.random.Generator) -> float:
        """Draw right or wrong from the prediction, then observe it."""
        response = self._response(item, time)
        correct = float(random.random() < self.state.predict(response))
        self.state.observe(response._replace(correct=correct))
        return correct

    def _response(self, item: Item, time: datetime.datetime) -> Response:
        moment = (time - EPOCH) // MICROSECOND if self.timed else None
        return Response(item.item, tuple(sorted(item.skills)), item.kind or PRACTICE, math.nan, moment)


class HiddenKnowledge:
    """A student who knows each skill or does not, as a BKT has it."""

    def __init__(self, truth: BKT, catalog: Catalog, name: str, random: np.random.Generator) -> None:
        self.truth, self.name, self.local = truth, name, not truth.elapsed
        self.known = {skill: random.random() < truth.row(skill, student=name)[0] for skill in catalog.skills}
        self.last: dict[str, datetime.datetime] = {}  # response, per skill met

    def chance(self, item: Item, time: datetime.datetime) -> float:
        """P(correct) given what is known; summed over what may be forgotten since."""
        rows, kept = self._rows(item), [self._kept(skill, time) for skill in item.skills]
        total = 0.0
        for states in itertools.product((True, False), repeat=len(rows)):
            weight = math.prod(keep if known else 1.0 - keep for known, keep in zip(states, kept, strict=True))
            total += weight * self._right(_chances(rows, states)) if weight else 0.0
        return total

    def respond(self, item: Item, time: datetime.datetime, random: np.random.Generator) -> float:
        """Forget since the last response, answer, then learn and forget once."""
        for skill in item.skills if self.truth.elapsed else ():
            self.known[skill] = self.known[skill] and bool(random.random() < self._kept(skill, time))
        correct = self._outcome(item, random)
        for skill, (_, learn, forget, _, _) in zip(item.skills, self._rows(item), strict=True):
            self.known[skill] = bool(random.random() < ((1.0 - forget) if self.known[skill] else learn))
        self.last |= dict.fromkeys(item.skills, time)
        return correct

    def _kept(self, skill: str, time: datetime.datetime) -> float:
        """P(known) at a time."""
        if not self.known[skill] or not self.truth.elapsed:
            return float(self.known[skill])
        days = (time - self.last.get(skill, time)).total_seconds() / 86_400.0
        return float(2.0 ** (-days / self.truth.half_life(skill)))

    def _rows(self, item: Item) -> list[Row]:
        alone, kind = len(item.skills) == 1, item.kind or PRACTICE
        return [self.truth.row(skill, alone=alone, item=item.item, kind=kind, student=self.name) for skill in item.skills]

    def _right(self, chances: list[float]) -> float:
        return together(RULES[self.truth.combine], math.prod(chances), sum(chances), min(chances), len(chances))

    def _outcome(self, item: Item, random: np.random.Generator) -> float:
        """An answer: right, wrong, or a level of a kind that has levels."""
        n_levels, levels = self._levels(item)
        if levels:
            return float(random.choice(n_levels, p=levels) / (n_levels - 1))
        chances = _chances(self._rows(item), [self.known[skill] for skill in item.skills])
        if self.truth.combine in ("mean", "min"):
            return float(random.random() < self._right(chances))
        return float(all(random.random() < chance for chance in chances))

    def _levels(self, item: Item) -> tuple[int, list[float]]:
        """How many levels there are, and P(level) of each, if the item's kind has any."""
        skill, kind = item.skills[0], item.kind or PRACTICE
        n_levels = self.truth.levels.get(kind, 0) if len(item.skills) == 1 else 0
        told = [self.truth.fitted.level_chances(skill, kind=kind, correct=level / (n_levels - 1)) for level in range(n_levels)]
        return n_levels, [1.0 - each[1] if self.known[skill] else each[0] for each in told if each is not None]


def _chances(rows: list[Row], known: tuple[bool, ...] | list[bool]) -> list[float]:
    """P(right) on each skill."""
    return [1.0 - slip if knows else guess for (_, _, _, guess, slip), knows in zip(rows, known, strict=True)]
