"""What can vary in a model, and the unknowns of a fit that follow from it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.kernels.bkt import Parameters
from adaptrace.models.bkt.effects import Effect, Effects, Levels, level_rows
from adaptrace.stats.observations import GAP

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

FIRST_SPREAD, LEAST_SPREAD = 0.5, 0.02  # of offsets, before the data speak; below it a factor hardly matters
LEVEL_SPREAD = 1.0  # of a skill's emission rows about the kind's
MEAN_SPREAD = np.array([1.5, 0.7])  # of the kind's own: log of how much rarer, and of how much more telling, the next level is
FIRST_HALF_LIFE, HALF_LIFE_SPREAD = 100.0, 1.0  # days; standard deviation of its logarithm between skills
SHORTEST, LONGEST = 1e-3, 1e5  # days, that a half-life may be


@dataclass(frozen=True)
class Variation:
    """What varies, as a model's options say it."""

    factors: Mapping[str, tuple[str, ...]]  # factor -> the parameters that vary by it
    levels: Mapping[str, int]  # kind -> number of its levels
    elapsed: bool  # whether mastery fades with time

    def __bool__(self) -> bool:
        return bool(self.factors or self.levels or self.elapsed)

    @property
    def told_apart(self) -> tuple[str, ...]:
        """What the stats must tell apart."""
        names = [name for name in ("item", "kind", "group", "student") if name in self.factors]
        if self.levels and "kind" not in names:
            names.append("kind")
        return (*names, *([GAP] if self.elapsed else []))


class Gradient(NamedTuple):
    """The log-likelihood and its gradient in everything it depends on."""

    value: float
    theta: FloatArray  # (n_cells, 5) in the parameters of the cells
    log_half_life: FloatArray  # (n_skills,)
    levels: list[tuple[FloatArray, FloatArray]]  # per kind, (n_skills, L): expected outcomes while unknown, while known
    seen: FloatArray  # (n_cells, 2) responses given while unknown, while known


class Part:
    """Some of the unknowns of a fit: those of one factor, of one kind with levels, or the half-lives."""

    size: int  # how many values

    def start(self, effects: Effects) -> FloatArray:
        """The values as known so far."""
        raise NotImplementedError

    def slope(self, values: FloatArray, places: FloatArray, gradient: Gradient) -> tuple[float, FloatArray]:
        """What the values cost, and the gradient of the log-likelihood less the cost.

        ``places`` (n_cells, 5) is the gradient in the cells' places on the logit scale.
        """
        raise NotImplementedError

    def curvature(self, information: FloatArray, gradient: Gradient) -> FloatArray:
        """Roughly how sharply the objective bends in each value; ``information`` (n_cells, 5) in the cells' places."""
        raise NotImplementedError


class Factor(Part):
    """The offsets of items, kinds, groups or students."""

    def __init__(self, name: str, parameters: Sequence[str], of_cell: pa.Array) -> None:
        names = of_cell.unique()
        names = names.filter(pc.not_equal(names, ""))  # "" is no group: its students stay at the skill
        self.name, self.parameters, self.names = name, tuple(parameters), names.take(pc.sort_indices(names))
        self.columns = [Parameters._fields.index(each) for each in parameters]
        self.of_cell = schema.find(of_cell, self.names)
        self.there = self.of_cell >= 0
        self.size = len(self.names) * len(self.columns)
        self.spread = np.full(len(self.columns), FIRST_SPREAD)

    def start(self, effects: Effects) -> FloatArray:
        """The offsets as known so far."""
        for effect in effects.factors:
            if effect.factor == self.name:
                self.spread = effect.spread
                return np.asarray(effect.moves[schema.find(self.names, effect.names)][:, self.columns].ravel())
        return np.zeros(self.size)

    def move(self, values: FloatArray, place: FloatArray) -> None:
        """Move the places (n_cells, 5) of the cells of each item (kind, ...) on the logit scale."""
        offsets = values.reshape(-1, len(self.columns))
        place[np.ix_(self.there, self.columns)] += offsets[self.of_cell[self.there]]

    def slope(self, values: FloatArray, places: FloatArray, gradient: Gradient) -> tuple[float, FloatArray]:
        """The cost of the offsets under their normal distribution, and the gradient."""
        offsets = values.reshape(-1, len(self.columns))
        cost = offsets / self.spread**2
        return 0.5 * float((offsets * cost).sum()), (self.collect(places) - cost).ravel()

    def collect(self, of_cells: FloatArray) -> FloatArray:
        """Sums over the cells of each item (kind, ...), (n, n_parameters)."""
        at, n = self.of_cell[self.there], len(self.names)
        return np.stack([np.bincount(at, of_cells[self.there, column], n) for column in self.columns], axis=1)

    def curvature(self, information: FloatArray, gradient: Gradient) -> FloatArray:
        """What the responses say of each offset, and its normal distribution."""
        return np.asarray((self.collect(information) + self.spread**-2).ravel())

    def set_spread(self, values: FloatArray, information: FloatArray) -> None:
        """The spread at which the offsets are as large as the evidence for them says."""
        told = self.collect(information)
        certain = (told / (told + self.spread**-2)).sum(axis=0)
        squares = (values.reshape(-1, len(self.columns)) ** 2).sum(axis=0)
        self.spread = np.sqrt(np.maximum(squares / np.maximum(certain, 1e-9), LEAST_SPREAD**2))

    def effect(self, values: FloatArray) -> Effect:
        """The offsets, as a model keeps them."""
        return Effect(self.name, self.parameters, self.names, values.reshape(-1, len(self.columns)), self.spread)


class LeveledKind(Part):
    """The emission rows of one kind with levels: each skill its own, about their mean."""

    def __init__(self, kind: str, number: int, n_levels: int, seen: NDArray[np.bool_]) -> None:
        self.kind, self.number, self.n_skills = kind, number, len(seen)
        self.skills = np.flatnonzero(seen)
        self.shape = (len(self.skills), n_levels - 1, 2)
        self.size = int(np.prod(self.shape))

    def start(self, effects: Effects) -> FloatArray:
        """The steps as known so far."""
        for levels in effects.levels:
            if levels.kind == self.kind and levels.easy.shape[1] == self.shape[1]:
                return np.stack([levels.easy[self.skills], levels.steep[self.skills]], axis=-1).ravel()
        return np.zeros(self.size)

    def slope(self, values: FloatArray, places: FloatArray, gradient: Gradient) -> tuple[float, FloatArray]:
        """The cost of being away from the mean row, and the gradient."""
        easy, steep = self.steps(values)
        pulls = []
        for chance, counts in zip(level_rows(easy, steep), gradient.levels[self.number], strict=True):
            seen, reached = (np.cumsum(each[:, ::-1], axis=1)[:, ::-1] for each in (counts[self.skills], chance))
            pulls.append((seen - seen[:, :1] * reached)[:, 1:])
        rows = np.stack([easy, steep], axis=-1)
        mean = rows.sum(axis=0) / max(len(rows), 1)
        away, far = (rows - mean) / LEVEL_SPREAD**2, mean / MEAN_SPREAD**2
        slope = np.stack([pulls[0] + pulls[1], pulls[1] * np.exp(steep)], axis=-1) - away - far / max(len(rows), 1)
        return 0.5 * float((away**2).sum() * LEVEL_SPREAD**2 + (mean * far).sum()), slope.ravel()

    def curvature(self, information: FloatArray, gradient: Gradient) -> FloatArray:
        """A tenth of the responses for each step, and its normal distribution."""
        each = sum(counts[self.skills].sum(axis=1) for counts in gradient.levels[self.number])
        return np.repeat(0.1 * np.asarray(each) + LEVEL_SPREAD**-2, 2 * self.shape[1])

    def steps(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """``easy`` and ``steep`` of the skills the kind was seen on."""
        easy, steep = np.moveaxis(values.reshape(self.shape), -1, 0)
        return easy, steep

    def chances(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """P(level | unknown) and P(level | known) of every skill, (n_skills, L) each."""
        unknown, known = self.rows(values).rows
        return unknown[:-1], known[:-1]

    def rows(self, values: FloatArray) -> Levels:
        """The emission rows, as a model keeps them."""
        each = values.reshape(self.shape)
        mean = each.mean(axis=0) if len(each) else np.zeros(self.shape[1:])
        every, seen = np.tile(mean, (self.n_skills + 1, 1, 1)), np.zeros(self.n_skills + 1, bool)
        every[self.skills], seen[self.skills], seen[-1] = each, True, len(each) > 0
        return Levels(self.kind, every[..., 0].copy(), every[..., 1].copy(), seen)


class HalfLives(Part):
    """How long each skill is kept, about their mean: log of days."""

    def __init__(self, n_skills: int) -> None:
        self.n_skills = self.size = n_skills

    def start(self, effects: Effects) -> FloatArray:
        """The half-lives as known so far."""
        return np.log(effects.half_life[:-1]) if len(effects.half_life) else np.full(self.n_skills, np.log(FIRST_HALF_LIFE))

    def slope(self, values: FloatArray, places: FloatArray, gradient: Gradient) -> tuple[float, FloatArray]:
        """The cost of being away from the mean, and the gradient."""
        away = (values - values.sum() / max(len(values), 1)) / HALF_LIFE_SPREAD**2
        return 0.5 * float((away**2).sum()) * HALF_LIFE_SPREAD**2, gradient.log_half_life - away

    def curvature(self, information: FloatArray, gradient: Gradient) -> FloatArray:
        """That of the distribution between skills, and of what pulls each half-life now."""
        return HALF_LIFE_SPREAD**-2 + np.abs(gradient.log_half_life)

    def days(self, values: FloatArray) -> FloatArray:
        """The half-lives; the last is the mean."""
        mean = values.mean() if len(values) else np.log(FIRST_HALF_LIFE)
        return np.asarray(np.exp(np.clip(np.append(values, mean), np.log(SHORTEST), np.log(LONGEST))))
