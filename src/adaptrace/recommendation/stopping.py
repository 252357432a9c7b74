"""When a student should stop practising a skill."""

from __future__ import annotations

from dataclasses import dataclass

from adaptrace.models.base import Response
from adaptrace.models.criterion import WHEEL_SPINNING, Criterion
from adaptrace.models.student import Student


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
    if criterion.mastered(skill, mastery=mastery, opportunities=n):
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
