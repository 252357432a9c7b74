"""The state of one student under a BKT: the odds of mastery of each skill.

The steps are those of the batch kernel, run as plain Python: the same bits without a compiler.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from adaptrace.data.log import DAY
from adaptrace.kernels import bkt as kernels
from adaptrace.kernels.compile import plain
from adaptrace.models.base import Response
from adaptrace.models.bkt.fitted import FittedBKT
from adaptrace.models.bkt.skill_table import Row

initial, known, chance = plain(kernels.initial), plain(kernels.mastery), plain(kernels.chance)
evidence, update, fade = plain(kernels.evidence), plain(kernels.update), plain(kernels.fade)
joint, credit = plain(kernels.joint), plain(kernels.credit)


@dataclass(slots=True)
class BKTState:
    """One student as a :class:`~adaptrace.BKT` knows them.

    Attributes
    ----------
    fitted
        The parameters, and how the skills of one event combine.
    name, group
        Of the student, where parameters vary by student or group.
    odds
        Of mastery, of every skill with a response.
    last_time
        Of the last response on every skill, in microseconds since 1970, where mastery fades.

    Examples
    --------
    >>> import adaptrace as at
    >>> model = at.BKT.from_parameters(["fractions"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
    >>> state = model.start()
    >>> state.observe(Response("q1", ("fractions",), "practice", 1.0, None))
    >>> round(state.mastery("fractions"), 3)
    0.835
    """

    fitted: FittedBKT = field(repr=False, compare=False)
    name: str = ""
    group: str = ""
    odds: dict[str, float] = field(default_factory=dict)
    last_time: dict[str, int] = field(default_factory=dict)

    def predict(self, response: Response) -> float:
        """P(correct)."""
        if len(response.skills) > 1:
            return self._joint(self._chances(response))
        return self._chance(response.skills[0], response)

    def mastery(self, skill: str, moment: int | None = None) -> float:
        """P(known), right after the last response or at a moment; the prior for a skill not met yet."""
        row = self.fitted.row(skill, group=self.group, student=self.name)
        return known(self._odds_at(skill, row[0], moment))

    def observe(self, response: Response) -> None:
        """Update all skills of one response, each by its evidence."""
        if len(response.skills) > 1:
            self._observe_several(response)
            return
        skill = response.skills[0]
        prior, learn, forget, guess, slip = self._row(skill, response)
        correct, levels = response.correct, self.fitted.level_chances(skill, kind=response.kind, correct=response.correct)
        if levels is not None:
            (guess, slip), correct = levels, 1.0
        odds = self._odds_at(skill, prior, response.moment)
        self._keep(skill, update(odds, evidence(correct, 1.0, 0.0, guess, slip), learn, forget), response.moment)

    def take_skills(self, other: BKTState, skills: Iterable[str]) -> None:
        """Have of these skills what another state of the same student has."""
        for skill in skills:
            if skill in other.odds:
                self._keep(skill, other.odds[skill], other.last_time.get(skill))

    def _observe_several(self, response: Response) -> None:
        chances = self._chances(response)
        predicted, weakest = self._joint(chances), min(chances, key=chances.__getitem__)
        for skill, own in chances.items():
            prior, learn, forget, guess, slip = self._row(skill, response)
            weight, rest = credit(self.fitted.rule, response.correct, own, predicted, len(chances), skill == weakest)
            odds = self._odds_at(skill, prior, response.moment)
            ratio = evidence(response.correct, weight, rest, guess, slip)
            self._keep(skill, update(odds, ratio, learn, forget), response.moment)

    def _keep(self, skill: str, odds: float, moment: int | None) -> None:
        self.odds[skill] = odds
        if moment is not None:
            self.last_time[skill] = moment

    # ---- what the steps need ----

    def _row(self, skill: str, response: Response) -> Row:
        if self.fitted.effects is None:
            return self.fitted.row(skill)
        names = {"item": response.item, "kind": response.kind, "group": self.group, "student": self.name}
        return self.fitted.row(skill, alone=len(response.skills) == 1, **names)

    def _odds_at(self, skill: str, prior: float, moment: int | None) -> float:
        """Odds of mastery, faded since the last response if a moment is given."""
        odds = self.odds.get(skill)
        if odds is None:
            return initial(prior)
        if moment is None or skill not in self.last_time:
            return odds
        return fade(odds, max(moment - self.last_time[skill], 0) / DAY, self.fitted.half_life(skill))

    def _chance(self, skill: str, response: Response) -> float:
        prior, _, _, guess, slip = self._row(skill, response)
        return chance(self._odds_at(skill, prior, response.moment), guess, slip)

    def _chances(self, response: Response) -> dict[str, float]:
        return {skill: self._chance(skill, response) for skill in response.skills}

    def _joint(self, chances: Mapping[str, float]) -> float:
        product, total, least = 1.0, 0.0, 2.0
        for each in chances.values():
            product *= each
            total += each
            least = min(least, each)
        return joint(self.fitted.rule, product, total, least, len(chances))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        return {"odds": dict(self.odds), "last_time": dict(self.last_time)}
