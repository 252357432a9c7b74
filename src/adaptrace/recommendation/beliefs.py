"""What a model believes about students, as arrays with a row per student: mastery, P(correct), gain, information.

The formulas are those of :mod:`adaptrace.kernels.bkt`. Nothing here is compiled, so a first call waits for no compiler.
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
from adaptrace.models import BKT
from adaptrace.models.base import Model
from adaptrace.models.bkt.effects import Effects
from adaptrace.models.bkt.fitted import RULES
from adaptrace.models.bkt.state import BKTState
from adaptrace.models.blend import Blend, BlendState
from adaptrace.models.student import Student
from adaptrace.recommendation.catalog_index import CatalogIndex

FloatArray = NDArray[np.float64]

# the steps of the kernels, which take arrays as well as numbers
joint: Callable[..., Any] = plain(kernels.joint)
chance: Callable[..., Any] = plain(kernels.chance)
evidence: Callable[..., Any] = plain(kernels.evidence)
credit = np.vectorize(plain(kernels.credit), otypes=[float, float])


def bkt_of(model: Model) -> BKT | None:
    """The BKT that a model's mastery comes from: the model itself or the one inside; None if there is none."""
    inside = model.bkt if isinstance(model, Blend) else model
    return inside if isinstance(inside, BKT) else None


def distinguishes_items(model: Model) -> bool:
    """Whether the model may predict differently for two items of the same skills and kind."""
    return not isinstance(model, BKT) or "item" in _factors(model)


def _factors(model: BKT) -> set[str]:
    return set() if model.effects is None else {effect.factor for effect in model.effects.factors}


class BKTBeliefs:
    """What a fitted BKT believes.

    Arrays have a row per student, and a column per skill, per profile (see
    :class:`~adaptrace.recommendation.catalog_index.CatalogIndex`) or per *entry*: one skill of one profile.
    """

    def __init__(self, model: BKT, catalog_index: CatalogIndex) -> None:
        self.model, self.catalog_index, self.rule = model, catalog_index, RULES[model.combine]
        self.half_life = np.array([model.half_life(skill) for skill in catalog_index.skills])
        factors = _factors(model)
        self._by_group, self._by_student = "group" in factors, "student" in factors
        names = [catalog_index.skill_sets[number] for number in catalog_index.profile_skill_set]
        self.size = np.array([len(each) for each in names])
        self.start = np.cumsum([0, *self.size])[:-1]
        rows = [
            (catalog_index.code[name], *model.row(name, alone=len(own) == 1, item=item.item, kind=item.kind or PRACTICE))
            for item, own in zip(catalog_index.profiles, names, strict=True)
            for name in own
        ]
        skill, _, self.learn, self.forget, self.guess, self.slip = (np.array(column) for column in zip(*rows, strict=True))
        self.skill = skill.astype(int)
        self.rows = [rows[begin : begin + size] for begin, size in zip(self.start, self.size, strict=True)]  # per profile
        self.priors, self.learning = (lru_cache(maxsize=1024)(each) for each in (self._priors, self._learning))
        self._learn_varies = any(
            effect.factor in ("group", "student") and "learn" in effect.parameters
            for effect in (model.effects.factors if model.effects is not None else ())
        )

    def _factors_of(self, student: Student) -> tuple[str, str]:
        """The student's group and name, each empty unless parameters vary by it."""
        return student.group if self._by_group else "", student.name if self._by_student else ""

    def _priors(self, group: str, student: str) -> FloatArray:
        """Odds of mastery before any response, (skills,)."""
        rows = (self.model.row(skill, group=group, student=student) for skill in self.catalog_index.skills)
        return np.array([prior / (1.0 - prior) for prior, *_ in rows])

    def _learning(self, group: str, student: str) -> FloatArray:
        """P(learn) of every entry for a student of a group, (entries,): shifted on the logit scale between its bounds."""
        effects = cast(Effects, self.model.effects)
        moves = [effect.move({"group": group, "student": student}.get(effect.factor, "")) for effect in effects.factors]
        shift = sum(move[1] for move in moves if move is not None)
        low, high = effects.low[1], effects.high[1]
        above = (self.learn - low) * np.exp(shift)
        return np.asarray(low + (high - low) * above / (above + high - self.learn))

    def odds(self, students: Sequence[Student]) -> FloatArray:
        """Odds of mastery right after each student's last response, (students, skills)."""
        odds = np.empty((len(students), len(self.catalog_index.skills)))
        for row, student in zip(odds, students, strict=True):
            row[:] = self.priors(*self._factors_of(student))
            self.catalog_index.write_row(bkt_state(student).odds, row)
        return odds

    def odds_at(self, odds: FloatArray, students: Sequence[Student], moment: int | None) -> FloatArray:
        """The odds at a moment, given those right after each last response."""
        if moment is None or not self.model.elapsed:
            return odds
        keep = np.exp(-np.log(2.0) * self.days(students, moment) / self.half_life)
        return np.asarray(np.maximum(odds * keep / (1.0 + odds * (1.0 - keep)), kernels.MIN_ODDS))

    def days(self, students: Sequence[Student], moment: int) -> FloatArray:
        """Days since each skill was last practised, (students, skills); 0 where it never was."""
        last = np.full((len(students), len(self.catalog_index.skills)), float(moment))
        for row, student in zip(last, students, strict=True):
            self.catalog_index.write_row(bkt_state(student).last_time, row)
        return np.asarray(np.maximum(moment - last, 0.0) / DAY)

    def due(self, student: Student, skill: str, threshold: float) -> int | None:
        """Microseconds since 1970 when mastery falls, or fell, below a threshold; None if it was not above, or never fades."""
        state, half_life = bkt_state(student), self.model.half_life(skill)
        last, odds = state.last_time.get(skill), state.odds.get(skill, 0.0)
        if last is None or odds < threshold / (1.0 - threshold) or math.isinf(half_life):
            return None
        return last + int(half_life * math.log2(odds / (1.0 + odds) / threshold) * DAY)

    def chance(self, odds: FloatArray) -> FloatArray:
        """P(correct), (students, profiles)."""
        return self._joint(self._own(odds))

    def wrong(self, odds: FloatArray) -> FloatArray:
        """P(wrong) on a skill, the mean of the item's skills, (students, profiles)."""
        return np.asarray(self._summed(1.0 - self._own(odds)) / self.size)

    def _own(self, odds: FloatArray) -> FloatArray:
        """P(correct) on each skill of each profile, (students, entries)."""
        return cast(FloatArray, chance(odds.take(self.skill, axis=1), self.guess, self.slip))

    def _joint(self, own: FloatArray) -> FloatArray:
        """P(correct) per profile, from P(correct) per entry."""
        if len(self.size) == len(self.skill):
            return own
        product, total, least = (each.reduceat(own, self.start, axis=1) for each in (np.multiply, np.add, np.minimum))
        together = np.where(self.size > 1, joint(self.rule, product, total, least, self.size), own[:, self.start])
        return cast(FloatArray, together)

    def chance_of(self, odds: FloatArray, position: int) -> float:
        """P(correct) on one item, of one student's odds (skills,)."""
        rows = self.rows[self.catalog_index.profile_numbers[position]]
        own = [chance(float(odds[skill]), guess, slip) for skill, _, _, _, guess, slip in rows]
        total = reduce(operator.add, own)  # not sum(), whose last bit changed in Python 3.12
        return own[0] if len(own) == 1 else float(joint(self.rule, math.prod(own), total, min(own), len(own)))

    def gain(self, odds: FloatArray, students: Sequence[Student] = ()) -> FloatArray:
        """Expected gain in mastery by one response, summed over the item's skills, (students, profiles).

        On average the answer itself does not change mastery, so the gain is (1 - P(known)) learn - P(known) forget. Under
        ``weakest-first`` the answer to an item of several skills does change it, because the credit is no posterior; that part
        is left out. ``students`` are those of the odds; they matter where P(learn) varies by student or group.
        """
        known = (odds / (1.0 + odds))[:, self.skill]
        learn: FloatArray = self.learn
        if self._learn_varies and students:
            learn = np.array([self.learning(*self._factors_of(each)) for each in students])
        return self._summed((1.0 - known) * learn - known * self.forget)

    def information(self, odds: FloatArray) -> FloatArray:
        """Expected fall of the entropy of what is known, in bits, summed over the item's skills, (students, profiles).

        H(p) - q H(p | right) - (1 - q) H(p | wrong), q = P(right): the mutual information of knowledge and answer (Lindley,
        1956). For a kind with levels, q is the expected share of the highest level.
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
        """Which entry has the least P(correct) of its profile; the first of equals, as in a student's state."""
        least = own == np.repeat(np.minimum.reduceat(own, self.start, axis=1), self.size, axis=1)
        total = np.cumsum(least, axis=1)
        before = np.repeat(total[:, self.start] - least[:, self.start], self.size, axis=1)
        return np.asarray(least & (total - before == 1))

    def _summed(self, entries: FloatArray) -> FloatArray:
        return entries if len(self.size) == len(self.skill) else np.add.reduceat(entries, self.start, axis=1)


def _entropy(p: FloatArray) -> FloatArray:
    """Entropy of an event with probability p, in bits."""
    p = np.clip(p, kernels.MIN_ODDS, kernels.MAX_MASTERY)
    return -(p * np.log2(p) + (1.0 - p) * np.log2(1.0 - p))


def bkt_state(student: Student) -> BKTState:
    """The state of the BKT that the student's mastery comes from."""
    return student.state.bkt if isinstance(student.state, BlendState) else cast(BKTState, student.state)


class StateBeliefs:
    """What a model of any family that knows mastery believes; it is asked skill by skill and item by item."""

    def __init__(self, catalog_index: CatalogIndex) -> None:
        self.catalog_index = catalog_index

    def mastery(self, students: Sequence[Student], moment: int | None) -> FloatArray:
        """P(known), (students, skills)."""
        return np.array([[student.mastery_at(skill, moment) for skill in self.catalog_index.skills] for student in students])

    def chance(self, students: Sequence[Student], moment: int | None) -> FloatArray:
        """P(correct), (students, items)."""
        asked = [response._replace(moment=moment) for response in self.catalog_index.responses]
        return np.array([[student.state.predict(response) for response in asked] for student in students])
