"""When a student should stop practising a skill."""

from __future__ import annotations

from dataclasses import dataclass

from adaptrace.models.base import Response
from adaptrace.models.criterion import WHEEL_SPINNING, Criterion
from adaptrace.models.student import Student
from adaptrace.recommendation.reasons import percent


@dataclass(frozen=True, kw_only=True)
class Stop:
    """Whether to go on practising a skill.

    Attributes
    ----------
    stop
        Whether to stop.
    because
        ``"mastered"``, ``"wheel-spinning"``, ``"no change in sight"``, or ``"more to learn"``.
    sentence
        The same for students and teachers.
    """

    stop: bool
    because: str
    sentence: str

    def __str__(self) -> str:
        return self.sentence


def when_to_stop(
    student: Student, response: Response, *, criterion: Criterion, epsilon: float = 0.01, delta: float = 0.05, ever: bool = False
) -> Stop:
    """Whether a student should go on practising the first skill of a response to come.

    Stop when the skill is mastered. Stop for wheel-spinning when it was not mastered within 10 opportunities (Beck & Gong, 2013,
    with this model's own mastery). Stop when the next answer would hardly change the prediction: P(|change| < epsilon) >=
    1 - delta, over right and wrong (predictive similarity; Rollinson & Brunskill, 2015), which works for any model.

    Parameters
    ----------
    student
        Not changed.
    response
        The response that would come next.
    criterion
        When the skill counts as mastered.
    epsilon, delta
        The smallest change that counts, and the largest probability of it at which to stop.
    ever
        Whether the skill was mastered before: then it is no wheel-spinning, however many opportunities it took.
    """
    skill = response.skills[0]
    mastery, n = student.mastery_at(skill, response.moment), student.opportunities.get(skill, 0)
    known = f"({percent(mastery)} likely known after {n} response{'s' * (n != 1)})"
    if criterion.mastered(skill, mastery=mastery, opportunities=n):
        return Stop(stop=True, because="mastered", sentence=f"Stop: {skill} is mastered {known}.")
    if n >= WHEEL_SPINNING and not ever:
        sentence = f"Stop: more of the same practice is unlikely to help with {skill} {known}; ask a person."
        return Stop(stop=True, because="wheel-spinning", sentence=sentence)
    if chance_of_change(student, response, epsilon=epsilon) <= delta:
        sentence = f"Stop: one more answer would hardly change what is known of {skill} {known}."
        return Stop(stop=True, because="no change in sight", sentence=sentence)
    return Stop(stop=False, because="more to learn", sentence=f"Go on with {skill} {known}.")


def chance_of_change(student: Student, response: Response, *, epsilon: float) -> float:
    """P(the next answer changes the prediction of the same item by ``epsilon`` or more)."""
    now = student.state.predict(response)
    total = 0.0
    for correct, chance in ((1.0, now), (0.0, 1.0 - now)):
        after = student.model.resume(student.state.to_dict(), student.name, student.group)
        after.observe(response._replace(correct=correct))
        total += chance * (abs(after.predict(response) - now) >= epsilon)
    return total
