"""What a fit of half-life regression found: how what was learnt fades, per skill."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa

from adaptrace.kernels import half_life as kernels
from adaptrace.kernels.compile import plain
from adaptrace.kernels.half_life import ForgettingCurve
from adaptrace.models import content as read

practice, level, half_life = plain(kernels.practice), plain(kernels.level), plain(kernels.half_life)


@dataclass(frozen=True, eq=False)
class Fading:
    """What a fit of :class:`HalfLife` found.

    Attributes
    ----------
    skills
        Names as text, sorted; ``curve`` has a last entry for skills that were never seen.
    curve
        How what was learnt fades (:class:`~adaptrace.kernels.half_life.ForgettingCurve`).
    responses
        How many the fit saw.
    objective
        Minus the log-likelihood of these, with the penalty.
    """

    skills: pa.StringArray
    curve: ForgettingCurve
    responses: int
    objective: float

    @cached_property
    def places(self) -> dict[str, int]:
        """Where each skill stands."""
        return {name: place for place, name in enumerate(self.skills.to_pylist())}

    def half_life(self, skill: str, wins: float, fails: float) -> float:
        """Days in which half of a skill is forgotten after so many right and wrong answers; an unknown one is as the mean."""
        curve, place = self.curve, self.places.get(skill, -1)
        return half_life(float(level(curve, place, practice(wins), practice(fails))), curve.shortest, curve.longest)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        curve = {name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in self.curve._asdict().items()}
        return {"skills": self.skills.to_pylist(), "curve": curve, "responses": self.responses, "objective": self.objective}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Fading:
        """What :meth:`to_dict` described."""
        skills, found = read.texts(content, "skills"), content["curve"]
        curve = ForgettingCurve(
            weight=read.numbers(found, "weight", 3),
            skill=read.numbers(found, "skill", len(skills) + 1),
            first=read.numbers(found, "first", len(skills) + 1, low=0.0, high=1.0),
            **{name: read.number(found, name, 0.0, 1.0) for name in ("guess", "slip")},
            shortest=read.number(found, "shortest", np.finfo(float).tiny),
            longest=read.number(found, "longest", found["shortest"]),
        )
        return cls(skills, curve, read.count(content, "responses"), read.number(content, "objective", -np.inf, np.inf))
