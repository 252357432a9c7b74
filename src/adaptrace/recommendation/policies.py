"""Policies: how much each item is wanted, and why.

A policy gives every item a utility, for many students at once: pure, from what a :class:`~adaptrace.recommendation.context.View`
shows. Its array has a column per slot (items that are alike to it; see :class:`~adaptrace.recommendation.catalog_index.Shelf`),
or per item where it tells all apart. Which items may be given at all is not its business: see
:mod:`adaptrace.recommendation.constraints`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from adaptrace.models.student import RECENT
from adaptrace.recommendation.context import View

FloatArray = NDArray[np.float64]
CALM = 1e-300  # added before a logarithm


class Facts(Protocol):
    """What is known of one item that was chosen, for a sentence."""

    @property
    def skill(self) -> str:
        """The item's weakest skill."""

    @property
    def mastery(self) -> float:
        """P(known) of that skill."""

    @property
    def chance(self) -> float:
        """P(correct) on the item."""


@runtime_checkable
class Policy(Protocol):
    """Ranks items for students; pure: it changes nothing and reads no clock."""

    def utility(self, view: View) -> FloatArray:
        """How much each item is wanted, (students, slots) or (students, items)."""

    def why(self, facts: Facts) -> str:
        """The sentence for an item that was chosen."""


@dataclass(frozen=True)
class LowestMastery:
    """Practise the weakest skill that may be practised.

    Where all is mastered, and for skills about which the model is as sure, it comes down to hairs: it may ask one skill for ever.
    """

    def utility(self, view: View) -> FloatArray:
        """1 - mastery of the item's weakest skill."""
        return 1.0 - view.weakest

    def why(self, facts: Facts) -> str:
        """The sentence for an item."""
        return f"weakest first: {facts.skill} is at {facts.mastery:.0%}, {facts.chance:.0%} chance of a right answer"


@dataclass(frozen=True)
class Interleaved:
    """Take turns: what was practised longest ago, the sooner the likelier a wrong answer is. The default.

    The utility is the responses since the item's skill was last practised times P(wrong), so a skill comes back as often as
    it is got wrong. Of several skills the latest wait and the mean P(wrong) count: an item is not wanted for being hard.
    Practice is spaced and interleaved (Rohrer & Taylor, 2007), a skill on which a student does not move cannot hold up the
    others, and when all is mastered review goes on in the same way: the model is not asked which of the mastered skills is
    a hair less certain, which it cannot know. How it fares beside the others is in ``docs/explanation/policies.md``.
    """

    def utility(self, view: View) -> FloatArray:
        """Responses since the latest on any of the item's skills, times the mean P(wrong) of its skills."""
        return view.shelf.weakest(view.waited) * view.wrong

    def why(self, facts: Facts) -> str:
        """The sentence for an item."""
        return f"its turn: {facts.skill} is at {facts.mastery:.0%}, {facts.chance:.0%} chance of a right answer"


@dataclass(frozen=True)
class NearestMastery:
    """Finish what is nearly mastered: the strongest skill that is not mastered yet."""

    def utility(self, view: View) -> FloatArray:
        """Mastery of the item's weakest skill."""
        return view.weakest

    def why(self, facts: Facts) -> str:
        """The sentence for an item."""
        return f"nearly there: {facts.skill} is at {facts.mastery:.0%}, {facts.chance:.0%} chance of a right answer"


@dataclass(frozen=True)
class TargetSuccess:
    """Practise where the chance of a right answer is nearest a target, for the time it takes.

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

    def utility(self, view: View) -> FloatArray:
        """1 - the distance to the target, per expected minute."""
        return (1.0 - np.abs(view.chance - self.target)) / view.shelf.minutes

    def why(self, facts: Facts) -> str:
        """The sentence for an item."""
        return (
            f"{facts.chance:.0%} chance of a right answer, near the target of {self.target:.0%}; "
            f"{facts.skill} is at {facts.mastery:.0%}"
        )


@dataclass(frozen=True)
class LearningGain:
    """Practise where most is expected to be learned per minute.

    Under knowledge tracing one response is expected to raise mastery by (1 - mastery) P(learn) - mastery P(forget), summed over
    the item's skills: items differ as far as P(learn) does.
    """

    def utility(self, view: View) -> FloatArray:
        """Expected gain in mastery per expected minute."""
        return view.gain / view.shelf.minutes

    def why(self, facts: Facts) -> str:
        """The sentence for an item."""
        return f"most to learn: {facts.skill} is at {facts.mastery:.0%}, {facts.chance:.0%} chance of a right answer"


@dataclass(frozen=True)
class Information:
    """Ask what says most about what is known: for placement, not for learning.

    The expected fall in the entropy of what is known (Lindley, 1956), the knowledge-tracing sister of the maximum-information
    rule of adaptive tests.
    """

    def utility(self, view: View) -> FloatArray:
        """Bits that an answer is expected to tell."""
        return view.information

    def why(self, facts: Facts) -> str:
        """The sentence for an item."""
        return f"says most about {facts.skill}, now at {facts.mastery:.0%}: {facts.chance:.0%} chance of a right answer"


@dataclass(frozen=True)
class ReviewDue:
    """Bring back what has faded, most faded first; needs a model whose mastery fades (``BKT(elapsed=True)``).

    Spaced, personalised review is the best-proven classroom policy (Lindsey et al., 2014). A skill that was never practised
    cannot be due; where nothing is due, the weakest skill comes.
    """

    def utility(self, view: View) -> FloatArray:
        """What mastery lost since the last response, of skills that were mastered and are not any more; of others below 0."""
        before = view.after / (1.0 + view.after)
        due = (before >= view.scene.thresholds) & (view.mastery < view.scene.thresholds)
        lost = view.shelf.largest(np.where(due, before - view.mastery, 0.0))
        return np.asarray(np.where(lost > 0.0, lost, -view.weakest))

    def why(self, facts: Facts) -> str:
        """The sentence for an item."""
        return f"what faded first: {facts.skill} is at {facts.mastery:.0%}, {facts.chance:.0%} chance of a right answer"


@dataclass(frozen=True)
class LearningProgress:
    """A bandit on learning progress: skills where success is rising are drawn more often (ZPDES; Clement et al., 2015).

    The progress of a skill is its success in the latest ``window`` responses less that in the ``window`` before; a skill with
    fewer responses counts as promising. What to practise is drawn with probability in proportion, without replacement (Gumbel).

    Parameters
    ----------
    window
        Responses per half.
    explore
        The weight that every skill has whatever its progress.

    Raises
    ------
    ValueError
        If ``window`` is below 1, or ``explore`` not above 0: a skill without progress could never come again.
    """

    window: int = 3
    explore: float = 0.1

    def __post_init__(self) -> None:
        if not (self.window >= 1 and 2 * self.window <= RECENT and self.explore > 0.0):
            got = f"window={self.window}, explore={self.explore}"
            raise ValueError(f"LearningProgress: got {got}; expected 1 to {RECENT // 2} responses, and a weight above 0")

    def utility(self, view: View) -> FloatArray:
        """The logarithm of the weight, with Gumbel noise: its ranking is a draw without replacement."""
        weight = np.maximum(self._progress(view), 0.0) + self.explore
        weights = view.shelf.weakest(weight)
        noise = -np.log(-np.log(view.draws(1, len(view.shelf.sets)) + CALM) + CALM)  # one draw for all items of the same skills
        return np.asarray(np.log(weights) + noise[:, view.shelf.slot_set])

    def _progress(self, view: View) -> FloatArray:
        progress, code = np.ones(view.mastery.shape), view.shelf.code
        for row, student in zip(progress, view.students, strict=True):
            told: dict[str, list[float]] = {}
            for response in student.recent:
                for skill in view.shelf.values("skill", response.item):
                    told.setdefault(skill, []).append(response.correct)
            for skill, answers in told.items():
                if len(answers) >= 2 * self.window:
                    late, early = answers[-self.window :], answers[-2 * self.window : -self.window]
                    row[code[skill]] = (sum(late) - sum(early)) / self.window
        return progress

    def why(self, facts: Facts) -> str:
        """The sentence for an item."""
        return f"drawn by learning progress: {facts.skill} is at {facts.mastery:.0%}, {facts.chance:.0%} chance of a right answer"


@dataclass(frozen=True)
class Thompson:
    """Thompson sampling: draw what the student knows from the model's belief, then practise where most is to be learned.

    A skill is given as often as it is likely to be the one that gains most (Thompson, 1933), so doubt leads to variety.
    """

    def utility(self, view: View) -> FloatArray:
        """The gain per minute if the draw were true; ties are broken by the draw."""
        drawn = view.draws(2, len(view.shelf.skills))
        known = drawn < view.mastery
        odds = np.where(known, 1e9, 1e-9)
        tie = 1e-6 * view.shelf.weakest(drawn)
        return (view.tracing.gain(odds, view.students) + tie) / view.shelf.minutes

    def why(self, facts: Facts) -> str:
        """The sentence for an item."""
        return f"drawn by Thompson sampling: {facts.skill} is at {facts.mastery:.0%}, {facts.chance:.0%} chance of a right answer"


@dataclass(frozen=True)
class Random:
    """Any item, all equally likely: what other policies are compared with."""

    def utility(self, view: View) -> FloatArray:
        """A uniform number."""
        return view.draws(3, len(view.shelf))

    def why(self, facts: Facts) -> str:
        """The sentence for an item."""
        return f"drawn at random; {facts.skill} is at {facts.mastery:.0%}, {facts.chance:.0%} chance of a right answer"


@dataclass(frozen=True)
class InOrder:
    """The catalog's order, each item once before any comes again: a fixed curriculum."""

    def utility(self, view: View) -> FloatArray:
        """Minus how often the item was answered; among equals the earlier in the catalog comes first."""
        return -view.answered.astype(np.float64)

    def why(self, facts: Facts) -> str:
        """The sentence for an item."""
        return f"next in order; {facts.skill} is at {facts.mastery:.0%}, {facts.chance:.0%} chance of a right answer"


@dataclass(frozen=True)
class Mix:
    """A weighted sum of policies, each brought to the scale 0 to 1 over the items of the zone.

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

    def utility(self, view: View) -> FloatArray:
        """The weighted sum."""
        parts = [weight * _scaled(view.shelf.per_item(policy.utility(view)), view) for policy, weight in self.parts]
        return np.asarray(np.sum(parts, axis=0))

    def why(self, facts: Facts) -> str:
        """The sentence of the part with the largest weight."""
        return max(self.parts, key=lambda part: part[1])[0].why(facts)


def _scaled(utility: FloatArray, view: View) -> FloatArray:
    """From 0, the least over the zone, to 1, the largest."""
    zone = view.shelf.per_item(view.zone)
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
