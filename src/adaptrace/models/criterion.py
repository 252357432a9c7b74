"""When a skill counts as mastered, and when to stop practising it though it is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

WHEEL_SPINNING = 10  # opportunities without mastery (Beck & Gong, 2013)


@dataclass(frozen=True, kw_only=True)
class Criterion:
    """When a skill counts as mastered: two tiers, a threshold per skill, and a minimum of evidence.

    Parameters
    ----------
    threshold
        The mastery from which a skill counts as mastered.
    proficient
        The mastery from which it counts as proficient, the tier below.
    skills
        Skill -> a threshold of its own instead of ``threshold``.
    evidence
        Opportunities below which no skill counts as mastered or proficient, whatever its mastery.

    Raises
    ------
    ValueError
        Listing all that is wrong: a threshold not between 0 and 1, ``proficient`` above one of them, ``evidence`` negative.

    Examples
    --------
    >>> import adaptrace as at
    >>> at.Criterion(threshold=0.9, skills={"safety": 0.98}, evidence=3).verdict("safety", mastery=0.95, opportunities=5)
    'proficient'
    """

    threshold: float = 0.95
    proficient: float = 0.8
    skills: Mapping[str, float] = field(default_factory=dict)
    evidence: int = 0

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))

    def _problems(self) -> Iterator[str]:
        own = {f"skills['{skill}']": threshold for skill, threshold in self.skills.items()}
        for name, value in {"threshold": self.threshold, **own}.items():
            if not 0.0 < value < 1.0:
                yield f"{name}: got {value}; expected a mastery between 0 and 1"
        lowest = min([self.threshold, *self.skills.values()])
        if not 0.0 < self.proficient <= lowest:
            yield f"proficient: got {self.proficient}; expected above 0 and at most the threshold of mastery, {lowest}"
        if not self.evidence >= 0:
            yield f"evidence: got {self.evidence}; expected 0 or more opportunities"

    def threshold_of(self, skill: str) -> float:
        """The mastery from which this skill counts as mastered."""
        return self.skills.get(skill, self.threshold)

    def thresholds(self, skills: Iterable[str]) -> NDArray[np.float64]:
        """The threshold of every skill."""
        return np.array([self.threshold_of(skill) for skill in skills], np.float64)

    def mastered(self, skill: str, *, mastery: float, opportunities: int) -> bool:
        """Whether the skill counts as mastered."""
        return opportunities >= self.evidence and mastery >= self.threshold_of(skill)

    def verdict(self, skill: str, *, mastery: float, opportunities: int) -> str:
        """``"mastered"``, ``"proficient"``, ``"learning"``, or ``"too little evidence"`` to say."""
        if opportunities < self.evidence:
            return "too little evidence"
        if mastery >= self.threshold_of(skill):
            return "mastered"
        return "proficient" if mastery >= self.proficient else "learning"
