"""What a recommender keeps of students between two calls, so that it computes only what their new responses changed."""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels.bkt import MAX_MASTERY
from adaptrace.models.base import State
from adaptrace.models.student import Student
from adaptrace.recommendation.beliefs import BKTBeliefs, bkt_state
from adaptrace.recommendation.recommender_index import RecommenderIndex

FloatArray = NDArray[np.float64]


class CachedStudent(NamedTuple):
    """What is kept of one student after so many responses. The next response makes a new one; no array is changed in place.

    Attributes
    ----------
    student, state, responses
        Whose it is, in which state, after how many responses.
    odds, turns
        Odds of mastery right after the last response, and the number of the response that last practised the skill (0: none
        did), (1, skills).
    results
        Arrays of a :class:`~adaptrace.recommendation.context.Context` that hold until the next response, by name.
    """

    student: weakref.ref[Student]
    state: State
    responses: int
    odds: FloatArray
    turns: FloatArray
    results: dict[str, Any]


class StudentCache:
    """The students that a recommender has seen, each until nobody else holds the student."""

    def __init__(self, index: RecommenderIndex, beliefs: BKTBeliefs) -> None:
        self._index, self._beliefs = index, beliefs
        self._thresholds: list[float] = index.thresholds.tolist()  # one number of a list is compared faster than one of an array
        self._entries: dict[int, CachedStudent] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, student: Student) -> CachedStudent:
        """What is kept of a student, brought up to date."""
        key = id(student)
        entry = self._entries.get(key)
        if entry is None or entry.student() is not student or entry.state is not student.state:
            entry = self._entries[key] = self._new(student, key)
        elif entry.responses != student.responses:
            entry = self._entries[key] = self._updated(entry, student)
        return entry

    def _new(self, student: Student, key: int) -> CachedStudent:
        entries = self._entries
        reference = weakref.ref(student, lambda _: entries.pop(key, None))
        odds, turns = self._beliefs.odds([student]), self._index.catalog_index.table([student.turns])
        return CachedStudent(reference, student.state, student.responses, odds, turns, {})

    def _updated(self, entry: CachedStudent, student: Student) -> CachedStudent:
        """The entry after new responses: the skills that they practised are read again."""
        code, odds_of, seen = self._index.catalog_index.code, bkt_state(student).odds, entry.responses
        odds, turns = entry.odds.copy(), entry.turns.copy()
        moved: dict[int, float] = {}
        for skill, turn in student.turns.items():
            if turn > seen and skill in code:
                position = code[skill]
                odds[0, position] = moved[position] = odds_of[skill]
                turns[0, position] = turn
        results = self._still_true(entry.results, moved)
        return CachedStudent(entry.student, entry.state, student.responses, odds, turns, results)

    def _still_true(self, results: dict[str, Any], moved: dict[int, float]) -> dict[str, Any]:
        """The results with the new mastery; none if a skill became mastered, or is no longer. ``moved``: code -> odds."""
        if not results:
            return {}
        mastery, below = results["mastery"].copy(), results["not_mastered"]
        for code, odds in moved.items():
            mastery[0, code] = known = min(odds / (1.0 + odds), MAX_MASTERY)
            if (known < self._thresholds[code]) != below.item(0, code):
                return {}
        return {**results, "mastery": mastery}
