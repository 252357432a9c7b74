"""One simulated student's course: which item comes next, the response, and when the target is reached."""

from __future__ import annotations

import datetime
import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from adaptrace.data.catalog import Catalog, Item
from adaptrace.data.schema import DECISION
from adaptrace.errors import ModelError
from adaptrace.models.base import Model, VariesByKind, levels_of
from adaptrace.models.student import Student
from adaptrace.recommendation.choosing import propensities
from adaptrace.recommendation.recommender import Recommender
from adaptrace.simulation.students import Local, StudentModel, pupil_of

START = datetime.datetime(2025, 9, 1, 8, 0, tzinfo=datetime.UTC)
RESPONSES_A_DAY = 20
OVERNIGHT = datetime.timedelta(hours=23)  # between the responses of two days


@dataclass(frozen=True, kw_only=True)
class SimulationPlan:
    """What holds for every student of a simulation; the options of :func:`~adaptrace.simulate`."""

    student_model: Model | StudentModel
    recommender: Recommender
    responses: int
    choices: int
    explore: float
    record: bool
    target: float | None
    stop: bool

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
            Student(self.belief).mastery("any skill")
        except ModelError as error:
            raise ModelError(f"{error}; a policy asks for mastery: pass belief= a model that knows it, e.g. a BKT") from error

    @property
    def belief(self) -> Model:
        """The model that the policy sees students through."""
        return self.recommender.model

    @property
    def catalog(self) -> Catalog:
        """The items."""
        return self.recommender.catalog

    @property
    def timed(self) -> bool:
        """Whether the time of a response matters to the students or to the policy."""
        return "time" in (*self.student_model.needs, *self.belief.needs)

    @cached_property
    def related(self) -> dict[Item, list[int]]:
        """Item -> the positions of the items that share a skill with it."""
        of_skill: dict[str, list[int]] = {}
        for position, item in enumerate(self.catalog.items):
            for skill in item.skills:
                of_skill.setdefault(skill, []).append(position)
        return {item: sorted({each for skill in item.skills for each in of_skill[skill]}) for item in self.catalog.items}

    @property
    def logs_kind(self) -> bool:
        """Whether the log must have kinds, because the student model uses them."""
        model = self.student_model
        return bool(isinstance(model, VariesByKind) and model.kinds) or bool(levels_of(model))


class Course:
    """One simulated student, from the first response to the last.

    Attributes
    ----------
    pupil
        The simulated student.
    student
        What the belief knows of the student: what the policy sees.
    time
        Of the latest response, or of the next one where time matters.
    reached
        Responses until the target was reached; infinite before.
    rows
        The responses, as rows of a log.
    """

    def __init__(self, plan: SimulationPlan, name: str, random: np.random.Generator) -> None:
        self.plan, self.name, self.random = plan, name, random
        self.pupil = pupil_of(plan.student_model, plan.catalog, name, random)
        self._local = isinstance(self.pupil, Local) and self.pupil.local
        self.student = Student(plan.belief, plan.catalog, name=name)
        self.time = START + datetime.timedelta(minutes=int(random.integers(0, 120)))
        self.seconds = 0.0  # that the latest response took
        self.reached = math.inf
        self.rows: list[dict[str, Any]] = []
        self._chances: list[float] = []  # P(correct) on every item, when last computed
        self._last: Item | None = None

    def check_target(self, number: int) -> None:
        """Note after ``number`` responses whether the target is reached."""
        if self.plan.target is not None and self.reached > number and self._mean_chance() >= self.plan.target:
            self.reached = float(number)

    def _mean_chance(self) -> float:
        """Mean true P(correct) over all items; only what the latest response can have changed is computed again."""
        items = self.plan.catalog.items
        if self._last is None or not self._local:
            self._chances = [self.pupil.chance(item, self.time) for item in items]
        else:
            for position in self.plan.related[self._last]:
                self._chances[position] = self.pupil.chance(items[position], self.time)
        return sum(self._chances) / len(items)

    def respond(self, number: int, ranked: list[Item]) -> None:
        """Respond to one of these items. Where time matters, :meth:`wait` was called before; elsewhere it is called here."""
        item, decision = self._choose(ranked)
        correct = self.pupil.respond(item, self.time, self.random)
        if not self.plan.timed:
            self.wait(number)
        self.student.observe(item.item, correct, time=self.time)
        row = {"student": self.name, "item": item.item, "skills": list(item.skills), "correct": correct, "time": self.time}
        kind = {"kind": item.kind} if self.plan.logs_kind else {}
        self.rows.append({**row, **kind, "response_ms": round(self.seconds * 1000), **decision})
        self._last = item

    def wait(self, number: int) -> None:
        """Move the clock to the next response."""
        self.seconds = self.random.lognormal(3.2, 0.6)
        self.time += datetime.timedelta(seconds=self.seconds + 5.0)
        if number % RESPONSES_A_DAY == RESPONSES_A_DAY - 1:
            self.time += OVERNIGHT

    def _choose(self, ranked: list[Item]) -> tuple[Item, dict[str, Any]]:
        """The next item, and the columns of the decision."""
        plan, best = self.plan, ranked[: self.plan.choices]
        pool = ranked if plan.explore > 0.0 and self.random.random() < plan.explore else best
        position = int(self.random.integers(len(pool)))
        if not plan.record:
            return pool[position], {}
        chances = propensities(len(ranked), plan.choices, plan.explore)
        names = [item.item for item in ranked]
        return pool[position], dict(zip(DECISION, (chances[position], names, chances), strict=True))
