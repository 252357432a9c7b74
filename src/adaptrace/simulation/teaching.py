"""Simulated students: drawn from a model, taught by a policy that may see them through another one."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, cast

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data.catalog import Catalog, Item
from adaptrace.data.log import Log
from adaptrace.data.schema import DECISION
from adaptrace.errors import ModelError
from adaptrace.models.base import FollowsStudents, Model, VariesByKind, levels_of
from adaptrace.models.student import Student
from adaptrace.recommendation.constraints import Constraints
from adaptrace.recommendation.policies import Policy
from adaptrace.recommendation.recommender import BLOCK, Recommender, propensities
from adaptrace.simulation.students import Local, Truth, pupil_of

START = datetime.datetime(2025, 9, 1, 8, 0, tzinfo=datetime.UTC)
A_DAY = 20  # responses
NIGHT = datetime.timedelta(hours=23)


def simulate(
    truth: Model | Truth,
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
) -> Log:
    """Let a policy teach students who follow a model.

    Students of a :class:`~adaptrace.BKT` have hidden knowledge, drawn skill by skill. Of any other family the model's own
    state of the student is the truth: each outcome is drawn from ``state.predict``, then observed. A product of such
    predictions is the model's joint distribution of the outcomes, so this draws from exactly that. A truth of your own need not
    be a model at all: with a method ``pupil(catalog, name, random)`` that gives a :class:`Pupil`, and the columns that it
    ``needs``, it can be any sort of student.

    Parameters
    ----------
    truth
        The model that the students follow, of any family, or a :class:`Truth`.
    catalog
        What they can be given.
    students, responses
        How many students, and how many responses each.
    seed
        Same seed, same bits.
    belief
        The model that the policy sees the students through; by default the truth. Take another one to learn how a
        policy fares when its model is wrong. It must know mastery.
    policy
        By default :data:`adaptrace.recommendation.policies.DEFAULT`.
    constraints
        What may be given; by default the policy's zone.
    choices
        Of so many best items one is drawn, as a student chooses.
    explore
        The probability with which the item is drawn from all that are open to the student (the policy's zone) instead.
        Makes a log from which other policies can be valued (:func:`adaptrace.evaluate.off_policy.off_policy`).
    record
        Whether to log each decision; always where ``explore`` is above 0.

    Returns
    -------
    Log
        With ``time`` (one response a minute or so, a session a day) and ``response_ms``; with decisions also
        ``propensity`` (the chance that the item had), ``candidates`` and ``propensities`` (all items of the zone, best
        first, and their chances).

    Raises
    ------
    ModelError
        If the belief (without one, the truth) knows no mastery.
    ValueError
        If an option is wrong.

    Examples
    --------
    >>> import adaptrace as at
    >>> truth = at.BKT.from_parameters(["halves", "quarters"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
    >>> catalog = at.Catalog.from_arrow({"item": ["h1", "q1"], "skill": ["halves", "quarters"]})
    >>> log = at.simulate(truth, catalog, students=2, responses=10, seed=0, explore=0.5)
    >>> log.table.slice(0, 1).select(["item", "propensity", "candidates", "propensities"]).to_pylist()
    [{'item': 'h1', 'propensity': 0.5, 'candidates': ['h1', 'q1'], 'propensities': [0.5, 0.5]}]
    """
    recommender = Recommender(_seen(truth, belief), catalog, policy=policy, constraints=constraints)
    plan = _Plan(truth, recommender, responses, choices, explore, record or explore > 0.0)
    return _teach(plan, students, seed).log


@dataclass(frozen=True, eq=False)
class Taught:
    """What a policy brought students to.

    Attributes
    ----------
    log
        Their responses, as :func:`simulate` gives them.
    post_test
        (students,) mean over all items of the catalog of the student's true P(correct), right after the last response.
        Of a BKT's student that is given the hidden knowledge; of another truth what the model itself predicts.
    reached_after
        (students,) after how many responses that mean first reached the target: 0 if before any, infinite if never.
        None without a target.
    """

    log: Log
    post_test: NDArray[np.float64]
    reached_after: NDArray[np.float64] | None


def teach(
    truth: Model | Truth,
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
) -> Taught:
    """:func:`simulate`, with what the students ended with, which no log can say.

    Parameters
    ----------
    truth, catalog, students, responses, seed, belief, policy, constraints, choices, explore, record
        As in :func:`simulate`.
    target
        The mean true P(correct) to be reached, for ``reached_after``; asking costs predictions after every response, of every
        item unless the truth is a :class:`~adaptrace.BKT` without elapsed time, where only those of its skills change.
    stop
        Whether a student who reached the target is done.

    Examples
    --------
    >>> import adaptrace as at
    >>> truth = at.BKT.from_parameters(["halves", "quarters"], prior=0.01, learn=0.4, guess=0.1, slip=0.1)
    >>> catalog = at.Catalog.from_arrow({"item": ["h1", "q1"], "skill": ["halves", "quarters"]})
    >>> taught = teach(truth, catalog, students=3, responses=20, seed=0, target=0.8)
    >>> taught.post_test.round(2).tolist(), taught.reached_after.tolist()
    ([0.9, 0.9, 0.9], [5.0, 3.0, 5.0])
    """
    recommender = Recommender(_seen(truth, belief), catalog, policy=policy, constraints=constraints)
    plan = _Plan(truth, recommender, responses, choices, explore, record or explore > 0.0, target, stop)
    return _teach(plan, students, seed)


@dataclass(frozen=True)
class _Plan:
    """What holds for every student."""

    truth: Model | Truth
    recommender: Recommender
    responses: int
    choices: int
    explore: float
    record: bool
    target: float | None = None
    stop: bool = False

    def __post_init__(self) -> None:
        if self.choices < 1:
            raise ValueError(f"choices: got {self.choices}; expected at least 1")
        if not 0.0 <= self.explore <= 1.0:
            raise ValueError(f"explore: got {self.explore}; expected a probability, 0 to 1")
        if self.target is not None and not 0.0 < self.target < 1.0:
            raise ValueError(f"target: got {self.target}; expected a P(correct) between 0 and 1")
        if self.stop and self.target is None:
            raise ValueError("stop: got True without a target; expected target= as well, at which to stop")
        try:
            Student(self.belief).mastery("")
        except ModelError as error:
            raise ModelError(f"{error}; a policy asks for mastery: pass belief= a model that knows it, e.g. a BKT") from error

    @property
    def belief(self) -> Model:
        """What the policy sees students through."""
        return self.recommender.model

    @property
    def catalog(self) -> Catalog:
        """What students can be given."""
        return self.recommender.catalog

    @property
    def timed(self) -> bool:
        """Whether it matters when an answer is given."""
        return "time" in (*self.truth.needs, *self.belief.needs)

    @cached_property
    def touched(self) -> dict[Item, list[int]]:
        """Item -> the places of the items that share a skill with it."""
        of_skill: dict[str, list[int]] = {}
        for place, item in enumerate(self.catalog.items):
            for skill in item.skills:
                of_skill.setdefault(skill, []).append(place)
        return {item: sorted({place for skill in item.skills for place in of_skill[skill]}) for item in self.catalog.items}

    @property
    def tells_kind(self) -> bool:
        """Whether the truth tells sorts of evidence apart, so that the log must."""
        return bool(isinstance(self.truth, VariesByKind) and self.truth.kinds) or bool(levels_of(self.truth))


def _seen(truth: Model | Truth, belief: Model | None) -> Model:
    """What policies see students through: by default the truth, if it is a model."""
    if belief is None and not isinstance(truth, FollowsStudents):
        raise ModelError(
            f"{truth!r} is a truth of its own, no model; pass belief= the model that policies see its students through"
        )
    return cast(Model, truth) if belief is None else belief


def _teach(plan: _Plan, students: int, seed: int) -> Taught:
    width = len(str(students))
    courses = [
        _Course(plan, f"student-{number + 1:0{width}}", np.random.default_rng([seed, number]), seed) for number in range(students)
    ]
    for course in courses:
        course.look(0)
    for number in range(plan.responses):
        going = [course for course in courses if not (plan.stop and course.reached <= number)]
        for course, ranked in zip(going, _ranked(plan, going, number, seed), strict=True):
            course.respond(number, ranked)
            course.look(number + 1)
    log = Log.from_arrow(_table(courses), keep=DECISION if plan.record else ())
    post_test = np.array([course.test() for course in courses], np.float64)
    return Taught(log, post_test, None if plan.target is None else np.array([course.reached for course in courses]))


def _table(courses: Sequence[_Course]) -> pa.Table:
    """All responses, student after student."""
    return pa.Table.from_pylist([row for course in courses for row in course.rows])


def _ranked(plan: _Plan, courses: Sequence[_Course], number: int, seed: int) -> Iterator[list[Item]]:
    """The best items for every student, best first; the first of a longer list are those of a shorter one.

    Students are looked at together, but where time matters each at their own.
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
            yield [items[place] for place in chosen.places(row)]


class _Course:
    """One student, from the first response to the last."""

    def __init__(self, plan: _Plan, name: str, random: np.random.Generator, seed: int) -> None:
        self.plan, self.name, self.random, self.seed = plan, name, random, seed
        self.pupil = pupil_of(plan.truth, plan.catalog, name, random)
        self.local = isinstance(self.pupil, Local) and self.pupil.local
        self.student = Student(plan.belief, plan.catalog, name=name)
        self.time = START + datetime.timedelta(minutes=int(random.integers(0, 120)))
        self.seconds = 0.0  # of the latest response
        self.reached = math.inf
        self.rows: list[dict[str, Any]] = []
        self._chances: list[float] = []  # of the items, when last asked
        self._last: Item | None = None

    def test(self) -> float:
        """The mean true P(correct) over all items, now."""
        items = self.plan.catalog.items
        return sum(self.pupil.chance(item, self.time) for item in items) / len(items)

    def look(self, number: int) -> None:
        """Note whether the target is reached."""
        if self.plan.target is not None and self.reached > number and self._quick_test() >= self.plan.target:
            self.reached = float(number)

    def _quick_test(self) -> float:
        """:meth:`test`, asking again only what can have changed since it was last called."""
        items = self.plan.catalog.items
        if self._last is None or not self.local:
            self._chances = [self.pupil.chance(item, self.time) for item in items]
        else:
            for place in self.plan.touched[self._last]:
                self._chances[place] = self.pupil.chance(items[place], self.time)
        return sum(self._chances) / len(items)

    def respond(self, number: int, ranked: list[Item]) -> None:
        """One response to one of these. Where time matters the clock has moved already; elsewhere it moves last."""
        item, decision = self._choose(ranked)
        correct = self.pupil.respond(item, self.time, self.random)
        if not self.plan.timed:
            self.wait(number)
        self.student.observe(item.item, correct, time=self.time)
        row = {"student": self.name, "item": item.item, "skills": list(item.skills), "correct": correct, "time": self.time}
        kind = {"kind": item.kind} if self.plan.tells_kind else {}
        self.rows.append({**row, **kind, "response_ms": round(self.seconds * 1000), **decision})
        self._last = item

    def wait(self, number: int) -> None:
        """Until the next response."""
        self.seconds = self.random.lognormal(3.2, 0.6)
        self.time += datetime.timedelta(seconds=self.seconds + 5.0)
        if number % A_DAY == A_DAY - 1:
            self.time += NIGHT

    def _choose(self, ranked: list[Item]) -> tuple[Item, dict[str, Any]]:
        """The next item, and how it was decided."""
        plan, best = self.plan, ranked[: self.plan.choices]
        pool = ranked if plan.explore > 0.0 and self.random.random() < plan.explore else best
        place = int(self.random.integers(len(pool)))
        if not plan.record:
            return pool[place], {}
        chances = propensities(len(ranked), plan.choices, plan.explore)
        names = [item.item for item in ranked]
        return pool[place], dict(zip(DECISION, (chances[place], names, chances), strict=True))
