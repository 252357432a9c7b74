"""When a skill counts as mastered, and when to stop practising it though it is not."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from adaptrace.models.base import Response
from adaptrace.models.student import Student

WHEEL_SPINNING = 10  # opportunities without mastery (Beck & Gong, 2013)


@dataclass(frozen=True)
class Criterion:
    """When a skill counts as mastered: two tiers, a threshold per skill, and a minimum of evidence.

    Parameters
    ----------
    at
        The mastery from which a skill counts as mastered.
    proficient
        The mastery from which it counts as proficient, the tier below.
    skills
        Skill -> a threshold of its own instead of ``at``.
    evidence
        Opportunities below which no skill counts as mastered or proficient, however it looks.

    Raises
    ------
    ValueError
        Listing all that is wrong: a threshold not between 0 and 1, ``proficient`` above one of them, ``evidence`` negative.

    Examples
    --------
    >>> import adaptrace as at
    >>> at.Criterion(at=0.9, skills={"safety": 0.98}, evidence=3).verdict("safety", mastery=0.95, opportunities=5)
    'proficient'
    """

    at: float = 0.95
    proficient: float = 0.8
    skills: Mapping[str, float] = field(default_factory=dict)
    evidence: int = 0

    def __post_init__(self) -> None:
        if problems := list(self._problems()):
            raise ValueError("; ".join(problems))

    def _problems(self) -> Iterator[str]:
        for name, value in {"at": self.at, **{f"skills['{skill}']": own for skill, own in self.skills.items()}}.items():
            if not 0.0 < value < 1.0:
                yield f"{name}: got {value}; expected a mastery between 0 and 1"
        lowest = min([self.at, *self.skills.values()])
        if not 0.0 < self.proficient <= lowest:
            yield f"proficient: got {self.proficient}; expected above 0 and at most the threshold of mastery, {lowest}"
        if not self.evidence >= 0:
            yield f"evidence: got {self.evidence}; expected 0 or more opportunities"

    def threshold(self, skill: str) -> float:
        """The mastery from which this skill counts as mastered."""
        return self.skills.get(skill, self.at)

    def thresholds(self, skills: Iterable[str]) -> NDArray[np.float64]:
        """The threshold of every skill."""
        return np.array([self.threshold(skill) for skill in skills], np.float64)

    def mastered(self, skill: str, mastery: float, opportunities: int) -> bool:
        """Whether the skill counts as mastered."""
        return opportunities >= self.evidence and mastery >= self.threshold(skill)

    def verdict(self, skill: str, mastery: float, opportunities: int) -> str:
        """``"mastered"``, ``"proficient"``, ``"learning"``, or ``"too little evidence"`` to say."""
        if opportunities < self.evidence:
            return "too little evidence"
        if mastery >= self.threshold(skill):
            return "mastered"
        return "proficient" if mastery >= self.proficient else "learning"


@dataclass(frozen=True)
class Stop:
    """Whether to go on practising a skill.

    Attributes
    ----------
    stop
        Whether more practice of it now is of no use.
    because
        ``"mastered"``, ``"wheel-spinning"``, ``"no change in sight"``, or ``"more to learn"``.
    sentence
        The same for people.
    """

    stop: bool
    because: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def when_to_stop(
    student: Student, response: Response, criterion: Criterion, *, epsilon: float = 0.01, delta: float = 0.05, ever: bool = False
) -> Stop:
    """Whether a student should go on practising the first skill of a response to come.

    Stop when the skill is mastered; flag wheel-spinning when it never was within 10 opportunities (Beck & Gong, 2013, with
    this model's own mastery); stop when the next answer can hardly move the prediction: P(|change| < epsilon) >= 1 - delta,
    over right and wrong (predictive similarity; Rollinson & Brunskill, 2015), which works for any model.

    Parameters
    ----------
    student
        Not changed.
    response
        What would be practised next.
    criterion
        When the skill counts as mastered.
    epsilon, delta
        Of predictive similarity.
    ever
        Whether the skill was mastered before: then the student is not spinning wheels, however many opportunities it took.
    """
    skill = response.skills[0]
    mastery, n = student.mastery_at(skill, response.moment), student.opportunities.get(skill, 0)
    so_far = f"{skill} is at {mastery:.0%} after {n} response{'s' * (n != 1)}"
    if criterion.mastered(skill, mastery, n):
        return Stop(True, "mastered", f"{so_far}: mastered")
    if n >= WHEEL_SPINNING and not ever:
        return Stop(True, "wheel-spinning", f"{so_far}: more of the same will hardly help; ask a person")
    if chance_of_change(student, response, epsilon) <= delta:
        return Stop(True, "no change in sight", f"{so_far}: the next answer can hardly move that")
    return Stop(False, "more to learn", f"{so_far}: go on")


def chance_of_change(student: Student, response: Response, epsilon: float) -> float:
    """P(the next answer moves the prediction of the same item by ``epsilon`` or more)."""
    now = student.state.predict(response)
    total = 0.0
    for correct, chance in ((1.0, now), (0.0, 1.0 - now)):
        after = student.model.resume(student.state.to_dict(), student.name, student.group)
        after.observe(response._replace(correct=correct))
        total += chance * (abs(after.predict(response) - now) >= epsilon)
    return total
