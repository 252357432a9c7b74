"""Simulated students: hidden knowledge, or the model's own state, that answers."""

from __future__ import annotations

import datetime
import itertools
import math
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import numpy as np

from adaptrace.data.catalog import Catalog, Item
from adaptrace.data.schema import PRACTICE
from adaptrace.data.times import microseconds
from adaptrace.kernels.bkt import joint
from adaptrace.kernels.compile import plain
from adaptrace.models import BKT
from adaptrace.models.base import Model, Response
from adaptrace.models.bkt.fitted import RULES
from adaptrace.models.bkt.skill_table import Row

together = plain(joint)


class Pupil(Protocol):
    """One simulated student.

    If it has a true attribute ``local``, a response changes P(correct) only on items that share a skill with the answered one,
    and time changes nothing. Then only those items are asked again when looking for a target.
    """

    def chance(self, item: Item, time: datetime.datetime) -> float:
        """The true P(correct) on an item at a time, given the hidden state. Changes nothing."""

    def respond(self, item: Item, time: datetime.datetime, random: np.random.Generator) -> float:
        """Draw an outcome, and learn from the response."""


@runtime_checkable
class Local(Protocol):
    """A pupil who says whether a response changes P(correct) only on items that share a skill with the answered one."""

    local: bool


@runtime_checkable
class MakesPupils(Protocol):
    """A student model that makes its own pupils."""

    def pupil(self, catalog: Catalog, name: str, random: np.random.Generator) -> Pupil:
        """A new student, without responses."""


class StudentModel(Protocol):
    """What simulated students follow, if it is no fitted model."""

    @property
    def needs(self) -> Sequence[str]:
        """``("time",)`` if policies should see students at the time of their answers."""

    def pupil(self, catalog: Catalog, name: str, random: np.random.Generator) -> Pupil:
        """A new student, without responses."""


def pupil_of(student_model: Model | StudentModel, catalog: Catalog, name: str, random: np.random.Generator) -> Pupil:
    """A new student: of its own ``pupil`` method, else with hidden knowledge for a BKT, else with the model's state."""
    if isinstance(student_model, MakesPupils):
        return student_model.pupil(catalog, name, random)
    if isinstance(student_model, BKT):
        return HiddenKnowledge(student_model, catalog, name, random)
    return OwnState(student_model, name)


class OwnState:
    """A student who answers as the model's own state predicts; for any family."""

    def __init__(self, model: Model, name: str) -> None:
        self.state, self.timed = model.start(name), "time" in model.needs

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
        moment = microseconds(time) if self.timed else None
        return Response(item.item, tuple(sorted(item.skills)), item.kind or PRACTICE, math.nan, moment)


class HiddenKnowledge:
    """A student who knows each skill or does not, as BKT assumes."""

    def __init__(self, model: BKT, catalog: Catalog, name: str, random: np.random.Generator) -> None:
        self.model, self.name, self.local = model, name, not model.elapsed
        self.known = {skill: random.random() < model.row(skill, student=name)[0] for skill in catalog.skills}
        self.last: dict[str, datetime.datetime] = {}  # of the last response, per skill answered

    def chance(self, item: Item, time: datetime.datetime) -> float:
        """P(correct) given what is known, summed over what may have been forgotten since."""
        rows, kept = self._rows(item), [self._still_known(skill, time) for skill in item.skills]
        total = 0.0
        for states in itertools.product((True, False), repeat=len(rows)):
            weight = math.prod(keep if known else 1.0 - keep for known, keep in zip(states, kept, strict=True))
            total += weight * self._right(_chances(rows, states)) if weight else 0.0
        return total

    def respond(self, item: Item, time: datetime.datetime, random: np.random.Generator) -> float:
        """Forget what the time since the last response takes, answer, then learn and forget once."""
        for skill in item.skills if self.model.elapsed else ():
            self.known[skill] = self.known[skill] and bool(random.random() < self._still_known(skill, time))
        correct = self._outcome(item, random)
        for skill, (_, learn, forget, _, _) in zip(item.skills, self._rows(item), strict=True):
            self.known[skill] = bool(random.random() < ((1.0 - forget) if self.known[skill] else learn))
        self.last |= dict.fromkeys(item.skills, time)
        return correct

    def _still_known(self, skill: str, time: datetime.datetime) -> float:
        """P(known) at a time."""
        if not self.known[skill] or not self.model.elapsed:
            return float(self.known[skill])
        days = (time - self.last.get(skill, time)).total_seconds() / 86_400.0
        return float(2.0 ** (-days / self.model.half_life(skill)))

    def _rows(self, item: Item) -> list[Row]:
        alone, kind = len(item.skills) == 1, item.kind or PRACTICE
        return [self.model.row(skill, alone=alone, item=item.item, kind=kind, student=self.name) for skill in item.skills]

    def _right(self, chances: list[float]) -> float:
        return together(RULES[self.model.combine], math.prod(chances), sum(chances), min(chances), len(chances))

    def _outcome(self, item: Item, random: np.random.Generator) -> float:
        """Draw an answer: right, wrong, or a level of a kind with levels."""
        n_levels, levels = self._levels(item)
        if levels:
            return float(random.choice(n_levels, p=levels) / (n_levels - 1))
        chances = _chances(self._rows(item), [self.known[skill] for skill in item.skills])
        if self.model.combine in ("mean", "min"):
            return float(random.random() < self._right(chances))
        return float(all(random.random() < chance for chance in chances))

    def _levels(self, item: Item) -> tuple[int, list[float]]:
        """The number of levels of the item's kind, and P(level) of each; none if the kind has no levels."""
        skill, kind = item.skills[0], item.kind or PRACTICE
        n_levels = self.model.levels.get(kind, 0) if len(item.skills) == 1 else 0
        chances = [self.model.fitted.level_chances(skill, kind=kind, correct=level / (n_levels - 1)) for level in range(n_levels)]
        return n_levels, [1.0 - each[1] if self.known[skill] else each[0] for each in chances if each is not None]


def _chances(rows: list[Row], known: tuple[bool, ...] | list[bool]) -> list[float]:
    """P(right) on each skill."""
    return [1.0 - slip if knows else guess for (_, _, _, guess, slip), knows in zip(rows, known, strict=True)]
