"""Reasons: why an item was recommended, in figures and in words."""

from __future__ import annotations

import datetime
from typing import NamedTuple

from adaptrace.recommendation.policies import DEFAULT, Policy

ALONE = {"pinned": "pinned", "explored": "drawn at random, to learn what works"}
CONSTRAINTS = {"review": "mastered already, this is review", "early": "what comes before it is not mastered yet"}


class Reason(NamedTuple):
    """Why an item was recommended, as data; ``str(reason)`` is the sentence."""

    policy: str
    skill: str  # the item's weakest skill
    mastery: float  # P(known) of that skill
    chance: float  # P(correct) on the item
    prerequisites: tuple[str, ...] = ()  # of the item's skills, all mastered
    unlocks: tuple[str, ...] = ()  # skills that wait for this one
    due: datetime.datetime | None = None  # when the skill's mastery fades, or faded, below its threshold
    constraint: str = ""  # what put it here other than the policy: "pinned", "explored", "review", "early"
    teller: Policy = DEFAULT  # the policy itself

    @property
    def sentence(self) -> str:
        """Why, for people."""
        if self.constraint in ALONE:
            return f"{ALONE[self.constraint]}; {self.skill} is at {self.mastery:.0%}, {self.chance:.0%} chance of a right answer"
        said = self.teller.why(self)
        if self.constraint:
            return f"{said}; {CONSTRAINTS[self.constraint]}"
        return f"{said}; opened by {_listing(self.prerequisites)}" if self.prerequisites else said

    def __str__(self) -> str:
        return self.sentence


def _listing(names: tuple[str, ...]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
