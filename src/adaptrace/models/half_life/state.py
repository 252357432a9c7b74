"""What half-life regression keeps of one student: counts of right and wrong answers per skill, and when it was last practised.

The steps are those of the batch kernels as plain Python: the same bits wherever compiled code takes ``exp`` from the C
library, as Python does; else within a few ulp.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from adaptrace.data.log import DAY
from adaptrace.kernels import half_life as kernels
from adaptrace.kernels.compile import plain
from adaptrace.models.base import Response
from adaptrace.models.half_life.fading import Fading

recall, chance = plain(kernels.recall), plain(kernels.chance)


@dataclass(slots=True)
class HalfLifeState:
    """One student as a :class:`~adaptrace.HalfLife` knows them: sums, and the time of the last response, per skill met."""

    fading: Fading = field(repr=False, compare=False)  # what the model's fit found
    wins: dict[str, float] = field(default_factory=dict)  # sums of credit
    fails: dict[str, float] = field(default_factory=dict)  # sums of what was missing
    last_time: dict[str, int] = field(default_factory=dict)  # microseconds since 1970

    def predict(self, response: Response) -> float:
        """P(correct): the mean over the response's skills."""
        total = 0.0
        for skill in response.skills:
            total += self._chance(skill, response.moment)
        return total / len(response.skills)

    def observe(self, response: Response) -> None:
        """Take in one response."""
        for skill in response.skills:
            self.wins[skill] = self.wins.get(skill, 0.0) + response.correct
            self.fails[skill] = self.fails.get(skill, 0.0) + (1.0 - response.correct)
            if response.moment is not None:
                self.last_time[skill] = response.moment

    def half_life(self, skill: str) -> float:
        """Days in which half of what the student knows of a skill is forgotten."""
        return self.fading.half_life(skill, self.wins.get(skill, 0.0), self.fails.get(skill, 0.0))

    def _chance(self, skill: str, moment: int | None) -> float:
        fading = self.fading
        if skill not in self.wins:
            first = float(fading.curve.first[fading.places.get(skill, -1)])
            return chance(first, 0.0, 0.0)
        last = self.last_time.get(skill, moment)
        days = 0.0 if moment is None or last is None else max(moment - last, 0) / DAY
        return chance(recall(days, self.half_life(skill)), fading.curve.guess, fading.curve.slip)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        return {"wins": dict(self.wins), "fails": dict(self.fails), "last_time": dict(self.last_time)}
