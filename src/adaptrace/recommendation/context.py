"""View: what a policy and a constraint may see of some students, as arrays with a row per student."""

from __future__ import annotations

import datetime
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.catalog import Catalog
from adaptrace.errors import ModelError
from adaptrace.kernels.bkt import MAX_MASTERY
from adaptrace.models import BKT
from adaptrace.models.base import Model
from adaptrace.models.criterion import Criterion
from adaptrace.models.student import Student
from adaptrace.recommendation.beliefs import ByAsking, Tracing, state_of, tells_items_apart, tracing_of
from adaptrace.recommendation.catalog_index import Shelf

FloatArray = NDArray[np.float64]
Flags = NDArray[np.bool_]
LONG = 100.0  # responses
KEPT = ("mastery", "below", "_open", "review", "zone")
T = TypeVar("T")


class lazy(Generic[T]):  # noqa: N801 - used as a decorator
    """``functools.cached_property`` without its lock, which costs a microsecond a time before Python 3.12."""

    def __init__(self, compute: Callable[[Any], T]) -> None:
        self.compute, self.name, self.__doc__ = compute, compute.__name__, compute.__doc__

    def __get__(self, owner: Any, kind: type | None = None) -> T:
        value = self.compute(owner)
        owner.__dict__[self.name] = value
        return value


class Scene:
    """A model and a catalog made ready to look at students: made once, used for many."""

    def __init__(self, model: Model, catalog: Catalog, criterion: Criterion) -> None:
        self.model, self.criterion = model, criterion
        self.shelf, tracing = Shelf(catalog, apart=tells_items_apart(model)), tracing_of(model)
        self.tracing = None if tracing is None else Tracing(tracing, self.shelf)
        self.asking = ByAsking(self.shelf)
        self.thresholds = criterion.thresholds(self.shelf.skills)
        self.timed = "time" in model.needs
        self.fades = tracing is not None and tracing.elapsed

    def watched(self, student: Student) -> Watcher:
        """What is kept of a student from one look to the next."""
        watcher = student.watcher
        if not isinstance(watcher, Watcher) or watcher.scene is not self:
            odds = cast(Tracing, self.tracing).odds([student])
            student.watcher = watcher = Watcher(self, student, odds, self.shelf.table([student.turns]), {})
        return watcher


@dataclass
class Watcher:
    """Keeps what views of one student work out, from one look to the next: each response moves a few skills only.

    Attributes
    ----------
    odds, turns
        Odds of mastery right after the last response, and the number of the response that last practised the skill (0: none
        did), (1, skills).
    kept
        What a view of a model without a clock found, by name.
    """

    scene: Scene
    student: Student
    odds: FloatArray
    turns: FloatArray
    kept: dict[str, Any]

    def __call__(self, skills: tuple[str, ...]) -> None:
        """Some skills moved."""
        code, odds, mastery = self.scene.shelf.code, state_of(self.student).odds, self.kept.get("mastery")
        flips = self.scene.criterion.evidence > 0
        for skill in skills:
            place = code.get(skill)
            if place is None:
                continue
            self.odds[0, place], self.turns[0, place] = odds[skill], self.student.responses
            if mastery is not None:
                mastery[0, place] = known = min(odds[skill] / (1.0 + odds[skill]), MAX_MASTERY)
                flips = flips or (known < self.scene.thresholds[place]) != self.kept["below"][0, place]
        if flips:  # something was mastered, or is not any more
            self.kept.clear()


class View:
    """Some students before a shelf of items at a moment.

    Everything is worked out when it is first asked for, once. Arrays are (students, skills), or (students, slots):
    see :class:`~adaptrace.recommendation.catalog_index.Shelf`.

    Parameters
    ----------
    scene
        The model and the catalog.
    students
        Not changed.
    moment
        Microseconds since 1970 (UTC); None: for each student right after the last response.
    seed
        Of whatever a policy draws.
    """

    def __init__(self, scene: Scene, students: Sequence[Student], moment: int | None = None, seed: int = 0) -> None:
        self.scene, self.shelf, self.students, self.seed = scene, scene.shelf, students, seed
        self.moment = moment if scene.timed else None
        self.now = moment
        self.watcher = scene.watched(students[0]) if len(students) == 1 and scene.tracing is not None else None
        if self.watcher is not None and not scene.timed:
            self.__dict__.update(self.watcher.kept)

    def keep(self) -> None:
        """Keep what the next view of this one student needs not work out again."""
        found = self.__dict__
        if self.watcher is not None and not self.scene.timed and "below" in found:
            self.watcher.kept.update({name: found[name] for name in KEPT if name in found})

    # ---- mastery ----

    @lazy
    def after(self) -> FloatArray:
        """Odds of mastery right after the last response, (students, skills)."""
        return self.tracing.odds(self.students) if self.watcher is None else self.watcher.odds

    @lazy
    def odds(self) -> FloatArray:
        """Odds of mastery at the moment, (students, skills)."""
        return self.tracing.faded(self.after, self.students, self.moment)

    @lazy
    def mastery(self) -> FloatArray:
        """P(known) at the moment, (students, skills)."""
        if self.scene.tracing is None:
            return self.scene.asking.mastery(self.students, self.moment)
        return np.minimum(self.odds / (1.0 + self.odds), MAX_MASTERY)

    @lazy
    def below(self) -> Flags:
        """Whether a skill is not mastered, (students, skills)."""
        below = self.mastery < self.scene.thresholds
        if self.scene.criterion.evidence:
            below |= self.opportunities < self.scene.criterion.evidence
        return below

    @lazy
    def weakest(self) -> FloatArray:
        """The mastery of each slot's weakest skill, (students, slots)."""
        return self.shelf.weakest(self.mastery)

    def weakest_skill(self, row: int, place: int) -> int:
        """The code of the weakest skill of one item for one student."""
        codes = self.shelf.codes[place]
        return codes[0] if len(codes) == 1 else min(codes, key=lambda code: float(self.mastery[row, code]))

    def weakest_skills(self, rows: Sequence[int], places: NDArray[np.int64]) -> NDArray[np.int64]:
        """The codes of the weakest skills of items for students, one of each."""
        if self.shelf.slot_skill is not None:
            return self.shelf.slot_skill[self.shelf.slot_of[places]]
        return np.array([self.weakest_skill(*each) for each in zip(rows, places.tolist(), strict=True)], np.int64)

    def due(self, row: int, skill: str) -> datetime.datetime | None:
        """When a student's mastery of a skill falls, or fell, below its threshold; None if it was not above, or never fades."""
        if not self.scene.fades:
            return None
        moment = self.tracing.due(self.students[row], skill, self.scene.criterion.threshold_of(skill))
        return None if moment is None else schema.EPOCH + moment * schema.MICROSECOND

    # ---- the zone ----

    @lazy
    def review(self) -> Flags:
        """Students who have mastered all that they may practise: (students, 1)."""
        return np.asarray(~self._open.any(axis=1, keepdims=True))

    @lazy
    def zone(self) -> Flags:
        """Items with something to master and nothing to master first; for review all, (students, slots)."""
        return np.asarray(self._open | self.review)

    @lazy
    def _open(self) -> Flags:
        return self.shelf.any_of(self.below) & ~self.shelf.lacking(self.shelf.hard, self.below)

    @lazy
    def early(self) -> Flags:
        """Items that would better wait: a soft prerequisite is not mastered, (students, slots)."""
        return self.shelf.lacking(self.shelf.soft, self.below)

    # ---- answers ----

    @lazy
    def chance(self) -> FloatArray:
        """P(correct), (students, slots)."""
        if isinstance(self.scene.model, BKT):
            return self.tracing.chance(self.odds)
        return self.scene.asking.chance(self.students, self.moment)

    @lazy
    def wrong(self) -> FloatArray:
        """P(wrong) on a skill, the mean of each item's skills, (students, slots); of a model without skills, on the item."""
        return self.tracing.wrong(self.odds) if self.scene.tracing is not None else 1.0 - self.chance

    def chance_of(self, row: int, place: int) -> float:
        """P(correct) on one item for one student."""
        if isinstance(self.scene.model, BKT):
            return self.tracing.chance_of(self.odds[row], place)
        return self.students[row].state.predict(self.shelf.responses[place]._replace(moment=self.moment))

    def chances_of(self, rows: Sequence[int], places: NDArray[np.int64]) -> FloatArray:
        """P(correct) on items for students, one of each: to the bit what :meth:`chance_of` says."""
        if isinstance(self.scene.model, BKT) and self.shelf.slot_skill is not None:
            return np.asarray(self.chance[rows, self.shelf.slot_of[places]])
        return np.array([self.chance_of(*each) for each in zip(rows, places.tolist(), strict=True)], np.float64)

    @lazy
    def gain(self) -> FloatArray:
        """Expected gain in mastery by one response, summed over skills, (students, slots)."""
        return self.tracing.gain(self.odds, self.students)

    @lazy
    def information(self) -> FloatArray:
        """What an answer is expected to say of what is known, in bits, (students, slots)."""
        return self.tracing.information(self.odds)

    @lazy
    def answered(self) -> NDArray[np.int64]:
        """How often each item was answered, (students, items)."""
        counts, place = np.zeros((len(self.students), len(self.shelf)), np.int64), self.shelf.place
        for row, student in zip(counts, self.students, strict=True):
            for item, n in student.answered.items():
                if item in place:
                    row[place[item]] = n
        return counts

    @lazy
    def opportunities(self) -> FloatArray:
        """Responses per skill, (students, skills)."""
        return self.shelf.table([student.opportunities for student in self.students])

    @lazy
    def waited(self) -> FloatArray:
        """Responses since each skill was last practised, (students, skills): 1 for that of the last response.

        One that never was has waited since the first response, or for 100 if there were fewer.
        """
        totals = np.array([[float(student.responses)] for student in self.students])
        kept, students = self.watcher, self.students
        turns = kept.turns if kept is not None else self.shelf.table([student.turns for student in students])
        return np.where(turns, totals + 1.0 - turns, np.maximum(totals, LONG))

    # ---- chance of another sort ----

    def draws(self, stream: int, size: int) -> FloatArray:
        """Uniform numbers in [0, 1), (students, size): of the seed, the student and how much they have answered, nothing else."""
        out = np.empty((len(self.students), size))
        for row, student in zip(out, self.students, strict=True):
            key = [self.seed, stream, zlib.crc32(student.name.encode()), student.responses]
            row[:] = np.random.default_rng(key).random(size)
        return out

    @property
    def tracing(self) -> Tracing:
        """The parameters of the model's knowledge tracing.

        Raises
        ------
        ModelError
            If the model has none.
        """
        if self.scene.tracing is None:
            raise ModelError(
                f"this policy asks how skills are learned, which {self.scene.model!r} does not say; take a BKT or a Blend"
            )
        return self.scene.tracing
