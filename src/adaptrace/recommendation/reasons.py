"""Reasons: why an item was recommended, as numbers and as a sentence."""

from __future__ import annotations

import datetime
from typing import NamedTuple

WORDS = {"pinned": "Pinned", "explored": "Chosen at random, to learn what works"}  # instead of the policy's
ADDED = {"review": "Already mastered: this is a review.", "early": "Some skills before it are not mastered yet."}


class Reason(NamedTuple):
    """Why an item was recommended. ``str(reason)`` is the sentence."""

    policy: str
    skill: str  # the item's weakest skill
    mastery: float  # P(known) of that skill
    chance: float  # P(correct) on the item
    prerequisites: tuple[str, ...] = ()  # mastered prerequisites of the item's skills
    unlocks: tuple[str, ...] = ()  # skills that have this skill as a prerequisite
    due: datetime.datetime | None = None  # when mastery of the skill falls or fell below its threshold
    constraint: str = ""  # what chose the item instead of, or beside, the policy: "pinned", "explored", "review", "early"
    words: str = "Next"  # the policy's: the beginning of the sentence

    @property
    def sentence(self) -> str:
        """Why, for students and teachers, e.g. "Next: quarters (36 % likely known). Unlocked by halves."."""
        words = WORDS.get(self.constraint, self.words)
        first = f"{words}: {self.skill} ({percent(self.mastery)} likely known)."
        if self.constraint in ADDED:
            return f"{first} {ADDED[self.constraint]}"
        if self.prerequisites and not self.constraint:
            return f"{first} Unlocked by {_listing(self.prerequisites)}."
        return first

    def __str__(self) -> str:
        return self.sentence


def percent(p: float) -> str:
    """A probability for people."""
    return f"{100.0 * p:.0f} %"


def _listing(names: tuple[str, ...]) -> str:
    return " and ".join(part for part in (", ".join(names[:-1]), names[-1]) if part)
