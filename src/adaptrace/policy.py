"""Policies: which item comes next, and why.

A policy gives every item of the *zone* a utility. An item is in the zone when it practises a skill
that is not mastered and the prerequisites of all its skills are mastered; a prerequisite that no
item practises does not block. When nothing is left to master, the whole catalog is the zone: review.
"""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from adaptrace.catalog import Catalog, Item
from adaptrace.student import Student


@dataclass(frozen=True)
class Reason:
    """Why an item was recommended, as data; ``str(reason)`` is the sentence."""

    policy: str
    skill: str  # the item's weakest skill
    mastery: float  # P(known) of that skill
    chance: float  # P(correct) on the item
    prerequisites: tuple[str, ...]  # of the item's skills, all mastered
    sentence: str

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True)
class Recommendation:
    """One of the k items to choose from, best first."""

    item: Item
    utility: float
    reason: Reason


class Policy(Protocol):
    """Ranks items for a student; pure: it changes nothing and reads no clock."""

    @property
    def at(self) -> float:
        """The mastery from which a skill counts as mastered."""

    def utility(self, mastery: float, chance: float) -> float:
        """How much an item is wanted, given its weakest skill's mastery and P(correct)."""

    def why(self, skill: str, mastery: float, chance: float) -> str:
        """The sentence for that item."""


@dataclass(frozen=True)
class LowestMastery:
    """Practise the weakest skill that may be practised.

    Parameters
    ----------
    at
        The mastery from which a skill, and a prerequisite, counts as mastered.
    """

    at: float = 0.95

    def utility(self, mastery: float, chance: float) -> float:
        """1 - mastery."""
        return 1.0 - mastery

    def why(self, skill: str, mastery: float, chance: float) -> str:
        """The sentence for an item."""
        return f"weakest first: {skill} is at {mastery:.0%}, {chance:.0%} chance of a right answer"


@dataclass(frozen=True)
class TargetSuccess:
    """Practise where the chance of a right answer is nearest a target.

    Parameters
    ----------
    target
        The wanted P(correct). No value is proven best for classrooms, so choose it for your students.
    at
        The mastery from which a skill, and a prerequisite, counts as mastered.
    """

    target: float = 0.75
    at: float = 0.95

    def utility(self, mastery: float, chance: float) -> float:
        """Minus the distance to the target."""
        return -abs(chance - self.target)

    def why(self, skill: str, mastery: float, chance: float) -> str:
        """The sentence for an item."""
        return f"{chance:.0%} chance of a right answer, near the target of {self.target:.0%}; {skill} is at {mastery:.0%}"


def recommend(
    student: Student, catalog: Catalog, k: int = 3, *, policy: Policy | None = None, time: datetime.datetime | None = None
) -> list[Recommendation]:
    """The k best items for a student, each with its reason.

    Best first by the policy's utility; among equals the item answered least often, then the earlier in
    the catalog. The k items practise different skills as long as there are any: a choice, not a pile.

    Parameters
    ----------
    student
        Not changed.
    catalog
        The items to choose from. A skill that the model does not know has the values for unknown skills.
    k
        How many; fewer come back if the catalog has no more.
    policy
        By default :class:`LowestMastery`.

    Examples
    --------
    >>> import adaptrace as at
    >>> model = at.BKT.from_parameters(["halves", "quarters"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
    >>> catalog = at.Catalog.from_arrow({"item": ["h1", "q1"], "skill": ["halves", "quarters"]},
    ...                                 [{"skill": "quarters", "prerequisites": ["halves"]}])
    >>> best = at.recommend(at.Student(model), catalog, k=1)[0]
    >>> best.item.item, str(best.reason)
    ('h1', 'weakest first: halves is at 30%, 34% chance of a right answer')
    """
    if k < 1:
        raise ValueError(f"k: got {k}; expected at least 1")
    policy = policy or LowestMastery()
    view = _View(student, catalog, policy.at, time)
    wanted = [(policy.utility(*view.weakest(item)[1:]), item) for item in view.zone]
    wanted.sort(key=lambda pair: (-pair[0], student.answered.get(pair[1].item, 0)))
    return [Recommendation(item, utility, view.reason(item, policy)) for utility, item in _diverse(wanted, k)]


class _View:
    """What a policy may see of a student and a catalog."""

    def __init__(self, student: Student, catalog: Catalog, at: float, time: datetime.datetime | None) -> None:
        self.at, self.time = at, time
        self.prerequisites = catalog.prerequisites
        self.mastery = {skill: student.mastery(skill, time=time) for skill in catalog.skills}
        self.student = student
        self.missing = {
            skill: {need for need in self.prerequisites.get(skill, ()) if need in catalog.practised and self.mastery[need] < at}
            for skill in catalog.skills
        }
        self.zone: Sequence[Item] = [item for item in catalog.items if self.is_open(item)]
        self.is_review = not self.zone
        self.zone = self.zone or catalog.items

    def is_open(self, item: Item) -> bool:
        """Whether an item has something to master and nothing to master first."""
        blocked = any(self.missing[skill] and not self.missing[skill] <= set(item.skills) for skill in item.skills)
        return not blocked and any(self.mastery[skill] < self.at for skill in item.skills)

    def weakest(self, item: Item) -> tuple[str, float, float]:
        """The item's weakest skill, its mastery, and P(correct) on the item."""
        skill = min(item.skills, key=self.mastery.__getitem__)
        return skill, self.mastery[skill], self.student.predict(item.item, kind=item.kind, time=self.time, skills=item.skills)

    def reason(self, item: Item, policy: Policy) -> Reason:
        """Why this item."""
        skill, mastery, chance = self.weakest(item)
        needs = dict.fromkeys(need for each in item.skills for need in self.prerequisites.get(each, ()))
        opened = tuple(need for need in needs if need not in item.skills and self.mastery[need] >= self.at)
        sentence = policy.why(skill, mastery, chance)
        if self.is_review:
            sentence += "; everything is mastered, this is review"
        elif opened:
            sentence += f"; opened by {_listing(opened)}"
        return Reason(type(policy).__name__, skill, mastery, chance, opened, sentence)


def _listing(names: tuple[str, ...]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)


def _diverse(wanted: list[tuple[float, Item]], k: int) -> list[tuple[float, Item]]:
    """The first k of different skills, filled up with the best of the rest."""
    firsts: dict[frozenset[str], int] = {}
    for place, (_, item) in enumerate(wanted):
        firsts.setdefault(frozenset(item.skills), place)
    chosen = list(firsts.values())[:k]
    rest = (place for place in range(len(wanted)) if place not in chosen)
    return [wanted[place] for place in [*chosen, *islice(rest, k - len(chosen))]]
