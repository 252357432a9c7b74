"""What an item response model keeps of one student: a belief about their ability, and about how they differ by skill.

The steps are those of the batch kernel, run as plain Python: the same bits without a compiler.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from adaptrace.kernels import irt as kernels
from adaptrace.kernels.compile import plain
from adaptrace.kernels.irt import Dynamics
from adaptrace.models.base import Response

if TYPE_CHECKING:
    from adaptrace.models.irt import IRT


class Online(NamedTuple):
    """A bank as plain Python."""

    items: dict[str, tuple[float, float]]  # difficulty and slope
    mean: float
    skills: dict[str, float]
    dynamics: Dynamics

    def item(self, response: Response) -> tuple[float, float]:
        """Difficulty and slope of an item; an unknown one is as hard as its skills are."""
        known = self.items.get(response.item)
        if known is not None:
            return known
        added = 0.0
        for skill in response.skills:  # not sum(): its last bit is another one from Python 3.12 on
            added += self.skills.get(skill, 0.0)
        return self.mean + added / len(response.skills), 1.0


expected, pull, moved = plain(kernels.expected), plain(kernels.pull), plain(kernels.moved)


class IRTState:
    """One student as a :class:`~adaptrace.models.irt.model.IRT` model knows them.

    Attributes
    ----------
    ability
        Mean and variance of the student's ability (logit scale).
    skills
        Mean and variance of how they differ from it, per skill met.
    """

    def __init__(self, model: IRT, content: Mapping[str, Any] | None = None) -> None:
        self.model, self.dynamics = model, model.online.dynamics
        self.ability: tuple[float, float] = (0.0, self.dynamics.spread)
        self.skills: dict[str, tuple[float, float]] = {}
        if content is not None:
            self.ability = tuple(content["ability"])
            self.skills = {skill: tuple(belief) for skill, belief in content["skills"].items()}

    def predict(self, response: Response) -> float:
        """P(correct)."""
        mean, variance = self.belief(response.skills)
        difficulty, slope = self.model.online.item(response)
        return expected(mean, variance, slope, difficulty)

    def observe(self, response: Response) -> None:
        """Take in one response; the ability and all its skills move."""
        mean, variance = self.belief(response.skills)
        difficulty, slope = self.model.online.item(response)
        lean, told = pull(mean, variance, slope, difficulty, response.correct)
        share = 1.0 / len(response.skills)
        self.ability = moved(*self.ability, 1.0, lean, told, 0.0, self.dynamics.drift)
        for skill in response.skills:
            self.skills[skill] = moved(*self._of(skill), share, lean, told, self.dynamics.growth, self.dynamics.skill_drift)

    def belief(self, skills: tuple[str, ...]) -> tuple[float, float]:
        """Mean and variance of the ability on these skills."""
        (mean, variance), share = self.ability, 1.0 / len(skills)
        for skill in skills:
            own, doubt = self._of(skill)
            mean, variance = mean + share * own, variance + share * share * doubt
        return mean, variance

    def _of(self, skill: str) -> tuple[float, float]:
        return self.skills.get(skill, (0.0, self.dynamics.skill_spread))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        return {"ability": list(self.ability), "skills": {skill: list(belief) for skill, belief in self.skills.items()}}
