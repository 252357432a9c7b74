"""What a fit of an item response model found: the items on the scale of abilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.kernels.irt import Dynamics
from adaptrace.models import content as read

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class ItemBank:
    """Items on the scale of abilities.

    Attributes
    ----------
    items, skills
        Names as text, sorted.
    difficulty, discrimination
        float64 (n_items,).
    mean
        Difficulty of an item that nothing is known of.
    skill
        float64 (n_skills,): what a skill adds to the difficulty of its items.
    dynamics
        How abilities differ and move (:class:`~adaptrace.kernels.irt.Dynamics`).
    responses
        How many the fit saw.
    """

    items: pa.StringArray
    skills: pa.StringArray
    difficulty: FloatArray
    discrimination: FloatArray
    mean: float
    skill: FloatArray
    dynamics: Dynamics
    responses: int

    def place(self, log: Log) -> tuple[FloatArray, FloatArray]:
        """Difficulty and discrimination of each response's item, (n_rows,) each; an unknown item is as hard as its skills are."""
        item = schema.find(log.items, self.items)[log.table["item"].chunk(0).indices.to_numpy()]
        known = item >= 0
        difficulty = np.append(self.difficulty, 0.0)[item]
        if not known.all():
            code = schema.find(log.skills, self.skills)
            own = np.where(code >= 0, np.append(self.skill, 0.0)[code], 0.0)[log.rows.pair_skill[log.rows.pair]]
            skills = np.add.reduceat(own, log.rows.skill_start[:-1]) / np.diff(log.rows.skill_start)
            difficulty = np.where(known, difficulty, self.mean + skills)
        return difficulty, np.append(self.discrimination, 1.0)[item]

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        names = {name: getattr(self, name).to_pylist() for name in ("items", "skills")}
        numbers = {"difficulty": self.difficulty.tolist(), "slope": self.discrimination.tolist(), "skill": self.skill.tolist()}
        return {**names, **numbers, "mean": self.mean, "dynamics": self.dynamics._asdict(), "responses": self.responses}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> ItemBank:
        """What :meth:`to_dict` described."""
        items, skills = (read.texts(content, name) for name in ("items", "skills"))
        difficulty, skill = read.numbers(content, "difficulty", len(items)), read.numbers(content, "skill", len(skills))
        discrimination, mean = read.numbers(content, "slope", len(items), low=0.0), read.number(content, "mean")
        found = content["dynamics"]
        variances = {name: read.number(found, name, low=0.0) for name in Dynamics._fields if name != "growth"}
        dynamics = Dynamics(**variances, growth=read.number(found, "growth"))
        return cls(items, skills, difficulty, discrimination, mean, skill, dynamics, read.count(content, "responses"))
