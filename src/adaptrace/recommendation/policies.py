"""Policies that rank items by what the model believes; :mod:`adaptrace.recommendation.drawing_policies` has those that draw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaptrace.recommendation.context import Context
from adaptrace.recommendation.drawing_policies import LearningProgress, Random, Thompson
from adaptrace.recommendation.policy import Policy
from adaptrace.recommendation.reasons import Reason, percent

FloatArray = NDArray[np.float64]

__all__ = [
    "InOrder",
    "Information",
    "Interleaved",
    "LearningGain",
    "LearningProgress",
    "LowestMastery",
    "Mix",
    "NearestMastery",
    "Policy",
    "Random",
    "ReviewDue",
    "TargetSuccess",
    "Thompson",
]


@dataclass(frozen=True, kw_only=True)
class Interleaved:
    """Take turns: what was practised longest ago, and sooner if a wrong answer is likely. The default.

    The utility is the responses since the item's skill was last practised times P(wrong), so a skill comes back in proportion
    to its errors. For several skills it is the latest practice and the mean P(wrong): an item is not preferred for being hard.
    Practice is spaced and interleaved (Rohrer & Taylor, 2007), and a skill on which a student makes no progress cannot hold up
    the others. When all is mastered, review goes on in the same way; it does not depend on small differences between mastered
    skills. ``docs/explanation/policies.md`` compares it with the other policies.
    """

    def utility(self, context: Context) -> FloatArray:
        """Responses since the latest on any of the item's skills, times the mean P(wrong) of its skills."""
        return context.catalog_index.weakest(context.responses_since) * context.wrong

    def why(self, reason: Reason) -> str:
        """The beginning of the sentence."""
        return "Next"


@dataclass(frozen=True, kw_only=True)
class LowestMastery:
    """Practise the weakest skill of the zone.

    When all skills are mastered, or all are about equal, it may recommend one skill again and again.
    """

    def utility(self, context: Context) -> FloatArray:
        """1 - mastery of the item's weakest skill."""
        return 1.0 - context.weakest

    def why(self, reason: Reason) -> str:
        """The beginning of the sentence."""
        return "Weakest skill first"


@dataclass(frozen=True, kw_only=True)
class NearestMastery:
    """Finish what is nearly mastered: the strongest skill that is not mastered yet."""

    def utility(self, context: Context) -> FloatArray:
        """Mastery of the item's weakest skill."""
        return context.weakest

    def why(self, reason: Reason) -> str:
        """The beginning of the sentence."""
        return "Closest to mastery"


@dataclass(frozen=True, kw_only=True)
class TargetSuccess:
    """Practise where P(correct) is nearest a target, per expected minute.

    Parameters
    ----------
    target
        The wanted P(correct). No value is proven best for classrooms, so choose it for your students; the best one depends
        on what an answer costs (Eglington & Pavlik, 2020).

    Raises
    ------
    ValueError
        If it is not between 0 and 1.
    """

    target: float = 0.75

    def __post_init__(self) -> None:
        if not 0.0 <= self.target <= 1.0:
            raise ValueError(f"target: got {self.target}; expected a P(correct), 0 to 1")

    def utility(self, context: Context) -> FloatArray:
        """1 - the distance to the target, per expected minute."""
        return (1.0 - np.abs(context.chance - self.target)) / context.catalog_index.minutes

    def why(self, reason: Reason) -> str:
        """The beginning of the sentence."""
        return f"Nearest to {percent(self.target)} right answers"


@dataclass(frozen=True, kw_only=True)
class LearningGain:
    """Practise where the expected gain in mastery per minute is largest.

    Under BKT one response is expected to raise mastery by (1 - mastery) P(learn) - mastery P(forget), summed over the item's
    skills. So items with equal mastery differ by P(learn) only.
    """

    def utility(self, context: Context) -> FloatArray:
        """Expected gain in mastery per expected minute."""
        return context.gain / context.catalog_index.minutes

    def why(self, reason: Reason) -> str:
        """The beginning of the sentence."""
        return "Most to learn"


@dataclass(frozen=True, kw_only=True)
class Information:
    """Ask what is most informative about mastery: for placement, not for learning.

    The expected fall in the entropy of mastery (Lindley, 1956), as in the maximum-information rule of adaptive tests.
    """

    def utility(self, context: Context) -> FloatArray:
        """Expected information of an answer, in bits."""
        return context.information

    def why(self, reason: Reason) -> str:
        """The beginning of the sentence."""
        return "To find out what is known"


@dataclass(frozen=True, kw_only=True)
class ReviewDue:
    """Review skills whose mastery has faded, most faded first. Needs a model whose mastery fades (``BKT(elapsed=True)``).

    Spaced, personalised review has the best evidence from classrooms (Lindsey et al., 2014). Only a skill that was mastered can
    be due; when none is due, the weakest skill comes first.
    """

    def utility(self, context: Context) -> FloatArray:
        """How much mastery has faded, for skills that were mastered and are no longer; for others minus the mastery."""
        before = context.odds_after / (1.0 + context.odds_after)
        due = (before >= context.index.thresholds) & (context.mastery < context.index.thresholds)
        lost = context.catalog_index.largest(np.where(due, before - context.mastery, 0.0))
        return np.asarray(np.where(lost > 0.0, lost, -context.weakest))

    def why(self, reason: Reason) -> str:
        """The beginning of the sentence."""
        return "Weakest skill first" if reason.due is None else "Time to review"


@dataclass(frozen=True, kw_only=True)
class InOrder:
    """The catalog's order, each item once before any comes again: a fixed curriculum."""

    def utility(self, context: Context) -> FloatArray:
        """Minus how often the item was answered; among equals the earlier in the catalog comes first."""
        return -context.answered.astype(np.float64)

    def why(self, reason: Reason) -> str:
        """The beginning of the sentence."""
        return "Next in the course"


@dataclass(frozen=True, kw_only=True)
class Mix:
    """A weighted sum of policies, each scaled from 0 to 1 over the items of the zone.

    Parameters
    ----------
    parts
        Policies and their weights, e.g. ``((LowestMastery(), 0.7), (Random(), 0.3))``. The first with the largest weight
        gives the reasons.

    Raises
    ------
    ValueError
        If there is no part, or a weight is not above 0.
    """

    parts: Sequence[tuple[Policy, float]]

    def __post_init__(self) -> None:
        if not self.parts or any(not weight > 0.0 for _, weight in self.parts):
            raise ValueError(f"parts: got {self.parts!r}; expected pairs of a policy and a weight above 0")

    def utility(self, context: Context) -> FloatArray:
        """The weighted sum."""
        per_item = context.catalog_index.per_item
        parts = [weight * _scaled(per_item(policy.utility(context)), context) for policy, weight in self.parts]
        return np.asarray(np.sum(parts, axis=0))

    def why(self, reason: Reason) -> str:
        """The words of the part with the largest weight."""
        return max(self.parts, key=lambda part: part[1])[0].why(reason)


def _scaled(utility: FloatArray, context: Context) -> FloatArray:
    """Utilities scaled over the zone: 0 for the least, 1 for the largest."""
    zone = context.catalog_index.per_item(context.zone)
    low = np.where(zone, utility, np.inf).min(axis=1, keepdims=True)
    high = np.where(zone, utility, -np.inf).max(axis=1, keepdims=True)
    return np.asarray(np.clip((utility - low) / np.where(high > low, high - low, 1.0), 0.0, 1.0))


DEFAULT: Policy = Interleaved()  # where no policy is given

NAMED: dict[str, Any] = {
    "interleaved": Interleaved,
    "lowest-mastery": LowestMastery,
    "nearest-mastery": NearestMastery,
    "target-success": TargetSuccess,
    "learning-gain": LearningGain,
    "information": Information,
    "review-due": ReviewDue,
    "learning-progress": LearningProgress,
    "thompson": Thompson,
    "random": Random,
    "in-order": InOrder,
}
