"""Simulated students who follow a model, taught by a policy that may see them through another model."""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data.catalog import Catalog, Item
from adaptrace.data.log import Log
from adaptrace.data.schema import DECISION
from adaptrace.errors import ModelError
from adaptrace.models.base import FollowsStudents, Model
from adaptrace.recommendation.constraints import Constraints
from adaptrace.recommendation.policy import Policy
from adaptrace.recommendation.recommender import BLOCK, Recommender
from adaptrace.simulation.course import Course, SimulationPlan
from adaptrace.simulation.students import Pupil, StudentModel


@dataclass(frozen=True, repr=False, eq=False)
class SimulatedLog(Log):
    """A log of simulated students, with what only a simulation knows of them.

    Attributes
    ----------
    catalog
        The items.
    pupils, ended
        The students as they are after their last response, in the order of the log, and the time of that response.
    reached_after
        (students,) after how many responses the mean true P(correct) first reached the target: 0 if before any, infinite if
        never. None without a target.
    """

    catalog: Catalog = field(kw_only=True)
    pupils: Sequence[Pupil] = field(kw_only=True)
    ended: Sequence[datetime.datetime] = field(kw_only=True)
    reached_after: NDArray[np.float64] | None = field(kw_only=True)

    @cached_property
    def post_test(self) -> NDArray[np.float64]:
        """(students,) mean over all items of the catalog of the student's true P(correct), right after the last response.

        For a student of a BKT it depends on the hidden knowledge; for other models it is what the model itself predicts.
        """
        items, students = self.catalog.items, zip(self.pupils, self.ended, strict=True)
        return np.array([sum(pupil.chance(item, time) for item in items) / len(items) for pupil, time in students], np.float64)


def simulate(
    student_model: Model | StudentModel,
    catalog: Catalog,
    *,
    students: int,
    responses: int,
    seed: int,
    belief: Model | None = None,
    policy: Policy | None = None,
    constraints: Constraints | None = None,
    choices: int = 3,
    explore: float = 0.0,
    record: bool = False,
    target: float | None = None,
    stop: bool = False,
) -> SimulatedLog:
    """Simulate students who follow a model and are taught by a policy.

    Students of a :class:`~adaptrace.BKT` have hidden knowledge, drawn skill by skill. For any other model each outcome is drawn
    from ``state.predict`` and then observed by the state; the product of these predictions is the model's joint distribution of
    the outcomes. A student model of your own need not be a model at all: it has a method ``pupil(catalog, name, random)`` that
    returns a :class:`~adaptrace.simulation.students.Pupil`, and the columns that it ``needs``.

    Parameters
    ----------
    student_model
        What the students follow: a model of any family, or a :class:`~adaptrace.simulation.students.StudentModel`.
    catalog
        The items.
    students, responses
        How many students, and how many responses each.
    seed
        Same seed, same bits.
    belief
        The model that the policy sees the students through; by default the student model. Take another one to learn how a
        policy performs when its model is wrong. It must know mastery.
    policy
        By default :class:`~adaptrace.Interleaved`.
    constraints
        Which items are allowed; by default those of the zone.
    choices
        The student takes one of this many best items, all equally likely.
    explore
        The probability with which the item is drawn from all allowed items instead. Other policies can be evaluated from such
        a log (:func:`adaptrace.off_policy`).
    record
        Whether to log each decision; always where ``explore`` is above 0.
    target
        A mean true P(correct) over the catalog, for ``reached_after``. It is computed after every response, for every item
        unless the student model is a :class:`~adaptrace.BKT` without elapsed time.
    stop
        Whether a student who reached the target stops.

    Returns
    -------
    SimulatedLog
        A :class:`~adaptrace.Log` with ``time`` (about one response a minute, one session a day) and ``response_ms``; with
        decisions also ``propensity`` (the probability of the item), ``candidates`` and ``propensities`` (all allowed items,
        best first, and their probabilities). It also has ``post_test`` and ``reached_after``.

    Raises
    ------
    ModelError
        If the belief (without one, the student model) knows no mastery.
    ValueError
        If an option is wrong.

    Examples
    --------
    >>> import adaptrace as at
    >>> model = at.BKT.from_parameters(["halves", "quarters"], prior=0.01, learn=0.4, guess=0.1, slip=0.1)
    >>> catalog = at.Catalog.from_arrow({"item": ["h1", "q1"], "skill": ["halves", "quarters"]})
    >>> log = at.simulate(model, catalog, students=3, responses=20, seed=0, target=0.8)
    >>> log, log.post_test.round(2).tolist(), log.reached_after.tolist()
    (Log(60 responses, 3 students, 2 items, 2 skills), [0.9, 0.9, 0.9], [5.0, 3.0, 5.0])
    >>> log = at.simulate(model, catalog, students=2, responses=10, seed=0, explore=0.5)
    >>> log.table.slice(0, 1).select(["item", "propensity", "candidates", "propensities"]).to_pylist()
    [{'item': 'h1', 'propensity': 0.5, 'candidates': ['h1', 'q1'], 'propensities': [0.5, 0.5]}]
    """
    recommender = Recommender(_belief(student_model, belief), catalog, policy=policy, constraints=constraints)
    plan = SimulationPlan(
        student_model=student_model,
        recommender=recommender,
        responses=responses,
        choices=choices,
        explore=explore,
        record=record or explore > 0.0,
        target=target,
        stop=stop,
    )
    courses = _courses(plan, students, seed)
    rows = pa.Table.from_pylist([row for course in courses for row in course.rows])
    log = Log.from_arrow(rows, keep=DECISION if plan.record else ())
    return SimulatedLog(
        log.table,
        log.source_row,
        log.notes,
        catalog=catalog,
        pupils=[course.pupil for course in courses],
        ended=[course.time for course in courses],
        reached_after=None if target is None else np.array([course.reached for course in courses]),
    )


def _belief(student_model: Model | StudentModel, belief: Model | None) -> Model:
    """What policies see students through: by default the student model, if it is a model."""
    if belief is None and not isinstance(student_model, FollowsStudents):
        raise ModelError(f"{student_model!r} is no fitted model; pass belief= the model that policies see its students through")
    return cast(Model, student_model) if belief is None else belief


def _courses(plan: SimulationPlan, students: int, seed: int) -> list[Course]:
    """The students, after all their responses."""
    width = len(str(students))
    courses = [
        Course(plan, f"student-{number + 1:0{width}}", np.random.default_rng([seed, number])) for number in range(students)
    ]
    for course in courses:
        course.check_target(0)
    for number in range(plan.responses):
        going = [course for course in courses if not (plan.stop and course.reached <= number)]
        for course, ranked in zip(going, _ranked(plan, going, number, seed), strict=True):
            course.respond(number, ranked)
            course.check_target(number + 1)
    return courses


def _ranked(plan: SimulationPlan, courses: Sequence[Course], number: int, seed: int) -> Iterator[list[Item]]:
    """The best items for every student, best first; a shorter list is the beginning of a longer one.

    Students are ranked together in blocks, but where time matters each at their own time.
    """
    k = max(len(plan.catalog), plan.choices) if plan.record else plan.choices
    if plan.timed:
        for course in courses:
            course.wait(number)
            yield plan.recommender.ranked(course.student, k, time=course.time, seed=seed)
        return
    items = plan.catalog.items
    for first in range(0, len(courses), BLOCK):
        block = courses[first : first + BLOCK]
        chosen = plan.recommender.choose([course.student for course in block], k, seed=seed)
        for row in range(len(block)):
            yield [items[position] for position in chosen.positions_of(row)]
