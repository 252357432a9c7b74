"""What an item response model keeps of one student: a belief about their ability, and about how they differ by skill.

The steps are those of the batch kernel, run as plain Python: the same bits without a compiler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from adaptrace.kernels import irt as kernels
from adaptrace.kernels.compile import plain
from adaptrace.kernels.irt import Dynamics
from adaptrace.models import content as read
from adaptrace.models.base import Response
from adaptrace.models.irt.bank import ItemBank

expected, update_terms, moved = plain(kernels.expected), plain(kernels.update_terms), plain(kernels.moved)


@dataclass(frozen=True, slots=True)
class ItemLookup:
    """What the state of every student looks up of a fitted model, as plain Python."""

    items: dict[str, tuple[float, float]]  # item -> difficulty and discrimination
    mean: float  # difficulty of an item that nothing is known of
    skills: dict[str, float]  # skill -> what it adds to the difficulty of its items
    dynamics: Dynamics  # how abilities differ and move

    @classmethod
    def of(cls, bank: ItemBank) -> ItemLookup:
        """The items of a bank."""
        numbers = zip(bank.difficulty.tolist(), bank.discrimination.tolist(), strict=True)
        items = dict(zip(bank.items.to_pylist(), numbers, strict=True))
        return cls(items, bank.mean, dict(zip(bank.skills.to_pylist(), bank.skill.tolist(), strict=True)), bank.dynamics)

    def item(self, response: Response) -> tuple[float, float]:
        """Difficulty and discrimination of an item; an unknown one is as hard as its skills are."""
        known = self.items.get(response.item)
        if known is not None:
            return known
        added = 0.0
        for skill in response.skills:  # not sum(): its last bit is another one from Python 3.12 on
            added += self.skills.get(skill, 0.0)
        return self.mean + added / len(response.skills), 1.0


class IRTState:
    """One student as a :class:`~adaptrace.models.irt.model.IRT` model knows them.

    Attributes
    ----------
    ability
        Mean and variance of the student's ability (logit scale).
    skills
        Mean and variance of how they differ from it, per skill met.
    """

    def __init__(self, lookup: ItemLookup, content: Mapping[str, Any] | None = None) -> None:
        self.lookup, self.dynamics = lookup, lookup.dynamics
        self.ability: tuple[float, float] = (0.0, self.dynamics.spread)
        self.skills: dict[str, tuple[float, float]] = {}
        if content is not None:
            self.ability = _belief(content["ability"])
            self.skills = {skill: _belief(belief) for skill, belief in content["skills"].items()}

    def predict(self, response: Response) -> float:
        """P(correct)."""
        mean, variance = self.belief(response.skills)
        difficulty, discrimination = self.lookup.item(response)
        return expected(mean, variance, discrimination, difficulty)

    def observe(self, response: Response) -> None:
        """Take in one response; the ability and all its skills move."""
        mean, variance = self.belief(response.skills)
        difficulty, discrimination = self.lookup.item(response)
        pull, shrink = update_terms(mean, variance, discrimination, difficulty, response.correct)
        share = 1.0 / len(response.skills)
        self.ability = moved(*self.ability, 1.0, pull, shrink, 0.0, self.dynamics.drift)
        for skill in response.skills:
            self.skills[skill] = moved(*self._of(skill), share, pull, shrink, self.dynamics.growth, self.dynamics.skill_drift)

    def belief(self, skills: tuple[str, ...]) -> tuple[float, float]:
        """Mean and variance of the ability on these skills."""
        (mean, variance), share = self.ability, 1.0 / len(skills)
        for skill in skills:
            own, uncertain = self._of(skill)
            mean, variance = mean + share * own, variance + share * share * uncertain
        return mean, variance

    def _of(self, skill: str) -> tuple[float, float]:
        return self.skills.get(skill, (0.0, self.dynamics.skill_spread))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        return {"ability": list(self.ability), "skills": {skill: list(belief) for skill, belief in self.skills.items()}}


def _belief(pair: Sequence[float]) -> tuple[float, float]:
    """A mean and a variance."""
    mean, variance = pair
    if not (type(mean) is type(variance) is float and abs(mean) <= read.MOST and 0.0 <= variance <= read.MOST):
        raise ValueError(f"expected a mean and a variance, each up to {read.MOST:g}")
    return mean, variance
