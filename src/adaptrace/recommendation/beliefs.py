"""What a model says of students on a shelf of items, as arrays with a row per student: mastery, chances, gain, information.

The formulas are those of :mod:`adaptrace.kernels.bkt`; nothing here is compiled, so that a first call costs nothing.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Sequence
from functools import lru_cache, reduce
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from adaptrace.data.log import DAY
from adaptrace.data.schema import PRACTICE
from adaptrace.kernels import bkt as kernels
from adaptrace.kernels.compile import plain
from adaptrace.models import BKT, Blend
from adaptrace.models.base import Model
from adaptrace.models.bkt.effects import Effects
from adaptrace.models.bkt.fitted import RULES
from adaptrace.models.bkt.state import BKTState
from adaptrace.models.blend import BlendState
from adaptrace.models.student import Student
from adaptrace.recommendation.catalog_index import Shelf

FloatArray = NDArray[np.float64]

# the steps of the kernels, on arrays instead of numbers
joint: Callable[..., Any] = plain(kernels.joint)
chance: Callable[..., Any] = plain(kernels.chance)
evidence: Callable[..., Any] = plain(kernels.evidence)
credit = np.vectorize(plain(kernels.credit), otypes=[float, float])


def tracing_of(model: Model) -> BKT | None:
    """The knowledge tracing that a model's mastery comes from, if it is one that has parameters per skill."""
    inside = model.bkt if isinstance(model, Blend) else model
    return inside if isinstance(inside, BKT) else None


def tells_items_apart(model: Model) -> bool:
    """Whether two items of the same skills and kind may differ to the model."""
    return not isinstance(model, BKT) or "item" in _factors(model)


def _factors(model: BKT) -> set[str]:
    return set() if model.effects is None else {effect.factor for effect in model.effects.factors}


class Tracing:
    """A fitted BKT's parameters for every slot of a shelf. An *entry* is a skill of a slot; arrays are (students, ...)."""

    def __init__(self, model: BKT, shelf: Shelf) -> None:
        self.model, self.shelf, self.rule = model, shelf, RULES[model.combine]
        self.half_life = np.array([model.half_life(skill) for skill in shelf.skills])
        factors = _factors(model)
        self._by_group, self._by_student = "group" in factors, "student" in factors
        names = [shelf.sets[number] for number in shelf.slot_set]
        self.size = np.array([len(each) for each in names])
        self.start = np.cumsum([0, *self.size])[:-1]
        rows = [
            (shelf.code[name], *model.row(name, alone=len(own) == 1, item=item.item, kind=item.kind or PRACTICE))
            for item, own in zip(shelf.slots, names, strict=True)
            for name in own
        ]
        skill, _, self.learn, self.forget, self.guess, self.slip = (np.array(column) for column in zip(*rows, strict=True))
        self.skill = skill.astype(int)
        self.rows = [rows[begin : begin + size] for begin, size in zip(self.start, self.size, strict=True)]  # per slot
        self.priors, self.learning = (lru_cache(maxsize=1024)(each) for each in (self._priors, self._learning))
        self._learn_varies = any(
            effect.factor in ("group", "student") and "learn" in effect.parameters
            for effect in (model.effects.factors if model.effects is not None else ())
        )

    def _who(self, student: Student) -> tuple[str, str]:
        """The group and the name, as far as parameters vary by them."""
        return student.group if self._by_group else "", student.name if self._by_student else ""

    def _priors(self, group: str, student: str) -> FloatArray:
        """Odds of mastery before any response, (skills,)."""
        rows = (self.model.row(skill, group=group, student=student) for skill in self.shelf.skills)
        return np.array([prior / (1.0 - prior) for prior, *_ in rows])

    def _learning(self, group: str, student: str) -> FloatArray:
        """P(learn) of every entry for a student of a group, (entries,): moved on the logit scale between its bounds."""
        effects = cast(Effects, self.model.effects)
        moves = [effect.move({"group": group, "student": student}.get(effect.factor, "")) for effect in effects.factors]
        shift = sum(move[1] for move in moves if move is not None)
        low, high = effects.low[1], effects.high[1]
        above = (self.learn - low) * np.exp(shift)
        return np.asarray(low + (high - low) * above / (above + high - self.learn))

    def odds(self, students: Sequence[Student]) -> FloatArray:
        """Odds of mastery right after each student's last response, (students, skills)."""
        odds = np.empty((len(students), len(self.shelf.skills)))
        for row, student in zip(odds, students, strict=True):
            row[:] = self.priors(*self._who(student))
            self.shelf.spread(state_of(student).odds, row)
        return odds

    def faded(self, odds: FloatArray, students: Sequence[Student], moment: int | None) -> FloatArray:
        """The odds at a moment."""
        if moment is None or not self.model.elapsed:
            return odds
        keep = np.exp(-np.log(2.0) * self.days(students, moment) / self.half_life)
        return np.asarray(np.maximum(odds * keep / (1.0 + odds * (1.0 - keep)), kernels.MIN_ODDS))

    def days(self, students: Sequence[Student], moment: int) -> FloatArray:
        """Days since each skill was last practised, (students, skills); 0 where it never was."""
        last = np.full((len(students), len(self.shelf.skills)), float(moment))
        for row, student in zip(last, students, strict=True):
            self.shelf.spread(state_of(student).last_time, row)
        return np.asarray(np.maximum(moment - last, 0.0) / DAY)

    def due(self, student: Student, skill: str, threshold: float) -> int | None:
        """Microseconds since 1970 when mastery falls, or fell, below a threshold; None if it was not above, or never fades."""
        state, half_life = state_of(student), self.model.half_life(skill)
        last, odds = state.last_time.get(skill), state.odds.get(skill, 0.0)
        if last is None or odds < threshold / (1.0 - threshold) or math.isinf(half_life):
            return None
        return last + int(half_life * math.log2(odds / (1.0 + odds) / threshold) * DAY)

    def chance(self, odds: FloatArray) -> FloatArray:
        """P(correct), (students, slots)."""
        return self._joint(self._own(odds))

    def wrong(self, odds: FloatArray) -> FloatArray:
        """P(wrong) on a skill, the mean of the item's skills, (students, slots)."""
        return np.asarray(self._summed(1.0 - self._own(odds)) / self.size)

    def _own(self, odds: FloatArray) -> FloatArray:
        """P(correct) on each skill of each slot, (students, entries)."""
        return cast(FloatArray, chance(odds.take(self.skill, axis=1), self.guess, self.slip))

    def _joint(self, own: FloatArray) -> FloatArray:
        """P(correct) per slot, of the chances per entry."""
        if len(self.size) == len(self.skill):
            return own
        product, total, least = (each.reduceat(own, self.start, axis=1) for each in (np.multiply, np.add, np.minimum))
        together = np.where(self.size > 1, joint(self.rule, product, total, least, self.size), own[:, self.start])
        return cast(FloatArray, together)

    def chance_of(self, odds: FloatArray, place: int) -> float:
        """P(correct) on one item, of one student's odds (skills,)."""
        own = [chance(float(odds[skill]), guess, slip) for skill, _, _, _, guess, slip in self.rows[self.shelf.slots_of[place]]]
        total = reduce(operator.add, own)  # not sum(): its last bit is another one from Python 3.12 on
        return own[0] if len(own) == 1 else float(joint(self.rule, math.prod(own), total, min(own), len(own)))

    def gain(self, odds: FloatArray, students: Sequence[Student] = ()) -> FloatArray:
        """Expected gain in mastery by one response, summed over the item's skills, (students, slots).

        What the answer says moves mastery by nothing on average; what is left is (1 - P(known)) learn - P(known) forget. Not
        so for several skills under ``weakest-first``, whose credit is a rule of thumb and no posterior: what that adds is left
        out. ``students``: whose odds they are, where P(learn) varies by them.
        """
        known = (odds / (1.0 + odds))[:, self.skill]
        learn: FloatArray = self.learn
        if self._learn_varies and students:
            learn = np.array([self.learning(*self._who(each)) for each in students])
        return self._summed((1.0 - known) * learn - known * self.forget)

    def information(self, odds: FloatArray) -> FloatArray:
        """Expected fall of the entropy of what is known, in bits, summed over the item's skills, (students, slots).

        H(p) - q H(p | right) - (1 - q) H(p | wrong), q = P(right): what knowledge and answer share (Lindley, 1956). Of a kind
        with levels: what its expected share of the highest level would say as a chance of a right answer.
        """
        here = odds[:, self.skill]
        known, own = here / (1.0 + here), self._own(odds)
        right = np.repeat(self._joint(own), self.size, axis=1)
        size = np.repeat(self.size, self.size)
        several, left = size > 1, np.zeros_like(known)
        weakest = self._weakest(own) if several.any() else several
        for correct, weight in ((1.0, right), (0.0, 1.0 - right)):
            share, rest = np.where(several, 0.0, 1.0) + np.zeros_like(known), np.zeros_like(known)
            if several.any():
                parts = (own[:, several], right[:, several], size[several], weakest[:, several])
                share[:, several], rest[:, several] = credit(self.rule, correct, *parts)
            ratio = evidence(correct, share, rest, self.guess, self.slip)
            left += weight * _entropy(here * ratio / (1.0 + here * ratio))
        return self._summed(np.maximum(_entropy(known) - left, 0.0))

    def _weakest(self, own: FloatArray) -> NDArray[np.bool_]:
        """Which entry has the least chance of its slot; the first of equals, as in a student's state."""
        least = own == np.repeat(np.minimum.reduceat(own, self.start, axis=1), self.size, axis=1)
        met = np.cumsum(least, axis=1)
        before = np.repeat(met[:, self.start] - least[:, self.start], self.size, axis=1)
        return np.asarray(least & (met - before == 1))

    def _summed(self, entries: FloatArray) -> FloatArray:
        return entries if len(self.size) == len(self.skill) else np.add.reduceat(entries, self.start, axis=1)


def _entropy(p: FloatArray) -> FloatArray:
    """Of a coin, in bits."""
    p = np.clip(p, kernels.MIN_ODDS, kernels.MAX_MASTERY)
    return -(p * np.log2(p) + (1.0 - p) * np.log2(1.0 - p))


def state_of(student: Student) -> BKTState:
    """What the knowledge tracing of a student's model keeps."""
    return student.state.bkt if isinstance(student.state, BlendState) else cast(BKTState, student.state)


class ByAsking:
    """Mastery and chances of a model of any family that knows mastery: it is asked skill by skill and item by item."""

    def __init__(self, shelf: Shelf) -> None:
        self.shelf = shelf

    def mastery(self, students: Sequence[Student], moment: int | None) -> FloatArray:
        """P(known), (students, skills)."""
        return np.array([[student.mastery_at(skill, moment) for skill in self.shelf.skills] for student in students])

    def chance(self, students: Sequence[Student], moment: int | None) -> FloatArray:
        """P(correct), (students, items)."""
        asked = [response._replace(moment=moment) for response in self.shelf.responses]
        return np.array([[student.state.predict(response) for response in asked] for student in students])
