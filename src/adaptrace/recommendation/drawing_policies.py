"""Policies that draw random numbers. Same seed, same student, same responses so far: same items."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from adaptrace.models.student import RECENT
from adaptrace.recommendation.context import Context
from adaptrace.recommendation.reasons import Reason

FloatArray = NDArray[np.float64]
TINY = 1e-300  # added before a logarithm
PROGRESS, KNOWN, ITEM = 1, 2, 3  # streams of random numbers


@dataclass(frozen=True, kw_only=True)
class LearningProgress:
    """A bandit on learning progress: skills with rising success are drawn more often (ZPDES; Clement et al., 2015).

    The progress of a skill is its success in the latest ``window`` responses minus that in the ``window`` before. It is 1 for a
    skill with fewer responses. Skills are drawn in proportion, without replacement (Gumbel).

    Parameters
    ----------
    window
        Responses in each of the two halves.
    explore
        The weight that every skill has without progress.

    Raises
    ------
    ValueError
        If ``window`` is below 1, or ``explore`` not above 0: then a skill without progress could never come again.
    """

    window: int = 3
    explore: float = 0.1

    def __post_init__(self) -> None:
        if not (self.window >= 1 and 2 * self.window <= RECENT and self.explore > 0.0):
            got = f"window={self.window}, explore={self.explore}"
            raise ValueError(f"LearningProgress: got {got}; expected 1 to {RECENT // 2} responses, and a weight above 0")

    def utility(self, context: Context) -> FloatArray:
        """The logarithm of the weight plus Gumbel noise: its ranking is a draw without replacement."""
        catalog = context.catalog_index
        weights = catalog.weakest(np.maximum(self._progress(context), 0.0) + self.explore)
        draws = context.draws(PROGRESS, len(catalog.skill_sets))  # one for all items of the same skills
        noise = -np.log(-np.log(draws + TINY) + TINY)
        return np.asarray(np.log(weights) + noise[:, catalog.profile_skill_set])

    def _progress(self, context: Context) -> FloatArray:
        """Learning progress, (students, skills)."""
        progress, code = np.ones(context.mastery.shape), context.catalog_index.code
        for row, student in zip(progress, context.students, strict=True):
            answers_of: dict[str, list[float]] = {}
            for response in student.recent:
                for skill in context.catalog_index.values("skill", response.item):
                    answers_of.setdefault(skill, []).append(response.correct)
            for skill, answers in answers_of.items():
                if len(answers) >= 2 * self.window:
                    late, early = answers[-self.window :], answers[-2 * self.window : -self.window]
                    row[code[skill]] = (sum(late) - sum(early)) / self.window
        return progress

    def why(self, reason: Reason) -> str:
        """The beginning of the sentence."""
        return "Chosen by recent progress"


@dataclass(frozen=True, kw_only=True)
class Thompson:
    """Thompson sampling: draw which skills are known from the model's belief, then practise where the gain would be largest.

    A skill comes as often as it is likely to be the one with the largest gain (Thompson, 1933), so uncertainty leads to variety.
    """

    def utility(self, context: Context) -> FloatArray:
        """The gain per minute if the draw were true; ties are broken by the draw."""
        catalog = context.catalog_index
        drawn = context.draws(KNOWN, len(catalog.skills))
        odds = np.where(drawn < context.mastery, 1e9, 1e-9)
        tie = 1e-6 * catalog.weakest(drawn)
        return (context.bkt.gain(odds, context.students) + tie) / catalog.minutes

    def why(self, reason: Reason) -> str:
        """The beginning of the sentence."""
        return "Chosen by chance, for what can be learned"


@dataclass(frozen=True, kw_only=True)
class Random:
    """Any item, all equally likely: a baseline for other policies."""

    def utility(self, context: Context) -> FloatArray:
        """A uniform number."""
        return context.draws(ITEM, len(context.catalog_index))

    def why(self, reason: Reason) -> str:
        """The beginning of the sentence."""
        return "Chosen at random"
