"""Context: what policies and constraints see of students, as arrays with a row per student."""

from __future__ import annotations

import datetime
import zlib
from collections.abc import Callable, Sequence
from typing import Any, Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

from adaptrace.data.times import time_of
from adaptrace.errors import ModelError
from adaptrace.kernels.bkt import MAX_MASTERY
from adaptrace.models import BKT
from adaptrace.models.student import Student
from adaptrace.recommendation.beliefs import BKTBeliefs
from adaptrace.recommendation.recommender_index import RecommenderIndex
from adaptrace.recommendation.student_cache import CachedStudent

FloatArray = NDArray[np.float64]
Flags = NDArray[np.bool_]
LONG = 100.0  # responses
CACHED = ("mastery", "not_mastered", "_unlocked", "review", "zone")
T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801 - used as a decorator
    """``functools.cached_property`` without its lock, which costs a microsecond at each use before Python 3.12."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute, self.name, self.__doc__ = compute, compute.__name__, compute.__doc__

    def __get__(self, owner: Any, kind: type | None = None) -> T:
        value = self.compute(owner)
        owner.__dict__[self.name] = value
        return value


class Context:
    """Students at a moment, with a catalog and a model.

    Each array is computed when it is first used. Its shape is (students, skills) or (students, profiles): see
    :class:`~adaptrace.recommendation.catalog_index.CatalogIndex`.

    Parameters
    ----------
    index
        The model and the catalog.
    students
        Not changed.
    moment
        Microseconds since 1970 (UTC); None: for each student right after the last response.
    seed
        Of the random numbers that a policy draws.
    cached
        Of a single student: what is kept from the call before.
    """

    def __init__(
        self,
        index: RecommenderIndex,
        students: Sequence[Student],
        *,
        moment: int | None = None,
        seed: int = 0,
        cached: CachedStudent | None = None,
    ) -> None:
        self.index, self.catalog_index, self.students, self.seed = index, index.catalog_index, students, seed
        self.moment = moment if index.timed else None
        self.now, self._cached = moment, cached
        if cached is not None and not index.timed:
            self.__dict__.update(cached.results)

    def fill_cache(self) -> None:
        """Keep the arrays that hold until the student's next response."""
        found = self.__dict__
        if self._cached is not None and not self.index.timed and "not_mastered" in found:
            self._cached.results.update({name: found[name] for name in CACHED if name in found})

    # ---- mastery ----

    @lazy
    def odds_after(self) -> FloatArray:
        """Odds of mastery right after the last response, (students, skills)."""
        return self.bkt.odds(self.students) if self._cached is None else self._cached.odds

    @lazy
    def odds(self) -> FloatArray:
        """Odds of mastery at the moment, (students, skills)."""
        return self.bkt.odds_at(self.odds_after, self.students, self.moment)

    @lazy
    def mastery(self) -> FloatArray:
        """P(known) at the moment, (students, skills)."""
        if self.index.bkt_beliefs is None:
            return self.index.state_beliefs.mastery(self.students, self.moment)
        return np.minimum(self.odds / (1.0 + self.odds), MAX_MASTERY)

    @lazy
    def not_mastered(self) -> Flags:
        """Whether a skill is not mastered, (students, skills)."""
        below = self.mastery < self.index.thresholds
        if self.index.criterion.evidence:
            below |= self.opportunities < self.index.criterion.evidence
        return below

    @lazy
    def weakest(self) -> FloatArray:
        """The mastery of each profile's weakest skill, (students, profiles)."""
        return self.catalog_index.weakest(self.mastery)

    def weakest_skill(self, row: int, position: int) -> int:
        """The code of the weakest skill of one item for one student."""
        codes = self.catalog_index.codes[position]
        return codes[0] if len(codes) == 1 else min(codes, key=lambda code: float(self.mastery[row, code]))

    def weakest_skills(self, rows: Sequence[int], positions: NDArray[np.int64]) -> NDArray[np.int64]:
        """The code of each item's weakest skill; each row (a student) goes with one position (an item)."""
        if self.catalog_index.profile_skill is not None:
            return self.catalog_index.profile_skill[self.catalog_index.profile_of[positions]]
        return np.array([self.weakest_skill(*each) for each in zip(rows, positions.tolist(), strict=True)], np.int64)

    def due(self, row: int, skill: str) -> datetime.datetime | None:
        """When a student's mastery of a skill falls or fell below its threshold; None if it was not above it or never fades."""
        if not self.index.fades:
            return None
        moment = self.bkt.due(self.students[row], skill, self.index.criterion.threshold_of(skill))
        return None if moment is None else time_of(moment)

    # ---- the zone ----

    @lazy
    def review(self) -> Flags:
        """Students without an item for an unmastered skill whose prerequisites are mastered: (students, 1)."""
        return np.asarray(~self._unlocked.any(axis=1, keepdims=True))

    @lazy
    def zone(self) -> Flags:
        """Items for unmastered skills whose prerequisites are mastered; in review all items, (students, profiles)."""
        return np.asarray(self._unlocked | self.review)

    @lazy
    def _unlocked(self) -> Flags:
        catalog = self.catalog_index
        return catalog.any_of(self.not_mastered) & ~catalog.any_prerequisite(catalog.hard, self.not_mastered)

    @lazy
    def early(self) -> Flags:
        """Items with a soft prerequisite that is not mastered yet, (students, profiles)."""
        return self.catalog_index.any_prerequisite(self.catalog_index.soft, self.not_mastered)

    # ---- answers ----

    @lazy
    def chance(self) -> FloatArray:
        """P(correct), (students, profiles)."""
        if isinstance(self.index.model, BKT):
            return self.bkt.chance(self.odds)
        return self.index.state_beliefs.chance(self.students, self.moment)

    @lazy
    def wrong(self) -> FloatArray:
        """P(wrong) on a skill, the mean of each item's skills, (students, profiles); of a model without skills, on the item."""
        return self.bkt.wrong(self.odds) if self.index.bkt_beliefs is not None else 1.0 - self.chance

    def chance_of(self, row: int, position: int) -> float:
        """P(correct) on one item for one student."""
        if isinstance(self.index.model, BKT):
            return self.bkt.chance_of(self.odds[row], position)
        return self.students[row].state.predict(self.catalog_index.responses[position]._replace(moment=self.moment))

    def chances_of(self, rows: Sequence[int], positions: NDArray[np.int64]) -> FloatArray:
        """P(correct), each row (a student) with one position (an item): the same bits as :meth:`chance_of`."""
        if isinstance(self.index.model, BKT) and self.catalog_index.profile_skill is not None:
            return np.asarray(self.chance[rows, self.catalog_index.profile_of[positions]])
        return np.array([self.chance_of(*each) for each in zip(rows, positions.tolist(), strict=True)], np.float64)

    @lazy
    def gain(self) -> FloatArray:
        """Expected gain in mastery by one response, summed over skills, (students, profiles)."""
        return self.bkt.gain(self.odds, self.students)

    @lazy
    def information(self) -> FloatArray:
        """Expected information of an answer about mastery, in bits, (students, profiles)."""
        return self.bkt.information(self.odds)

    @lazy
    def answered(self) -> NDArray[np.int64]:
        """How often each item was answered, (students, items)."""
        counts, position = np.zeros((len(self.students), len(self.catalog_index)), np.int64), self.catalog_index.position
        for row, student in zip(counts, self.students, strict=True):
            for item, n in student.answered.items():
                if item in position:
                    row[position[item]] = n
        return counts

    @lazy
    def opportunities(self) -> FloatArray:
        """Responses per skill, (students, skills)."""
        return self.catalog_index.table([student.opportunities for student in self.students])

    @lazy
    def responses_since(self) -> FloatArray:
        """Responses since each skill was last practised, (students, skills): 1 if the last response practised it.

        For a skill that was never practised: all responses, or 100 if there were fewer.
        """
        if self._cached is not None:
            total = float(self._cached.responses)
            return np.where(self._cached.turns, total + 1.0 - self._cached.turns, max(total, LONG))
        totals = np.array([[float(student.responses)] for student in self.students])
        turns = self.catalog_index.table([student.turns for student in self.students])
        return np.where(turns, totals + 1.0 - turns, np.maximum(totals, LONG))

    # ---- random numbers ----

    def draws(self, stream: int, size: int) -> FloatArray:
        """Uniform numbers in [0, 1), (students, size). They depend on the seed, the student and the number of responses only."""
        out = np.empty((len(self.students), size))
        for row, student in zip(out, self.students, strict=True):
            key = [self.seed, stream, zlib.crc32(student.name.encode()), student.responses]
            row[:] = np.random.default_rng(key).random(size)
        return out

    @property
    def bkt(self) -> BKTBeliefs:
        """What the model's BKT believes.

        Raises
        ------
        ModelError
            If the model has no BKT.
        """
        if self.index.bkt_beliefs is None:
            raise ModelError(
                f"the policy needs the parameters of a BKT, which {self.index.model!r} lacks; "
                "take another policy, or a BKT or a Blend"
            )
        return self.index.bkt_beliefs
