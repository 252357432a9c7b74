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

FIRST_STD, LEAST_STD = 0.5, 0.02  # of offsets: where a fit starts, and the smallest
LEVEL_STD = 1.0  # of a skill's emission rows about the mean row of the kind
MEAN_LEVEL_STD = np.array([1.5, 0.7])  # of the mean row: its `easy` and its `steep`
FIRST_HALF_LIFE, HALF_LIFE_STD = 100.0, 1.0  # days; standard deviation of its logarithm between skills
SHORTEST, LONGEST = 1e-3, 1e5  # days: the bounds of a half-life


@dataclass(frozen=True, kw_only=True)
class Variation:
    """What parameters vary by, beyond the skill: a model's options."""

    factors: Mapping[str, tuple[str, ...]]  # factor -> the parameters that vary by it
    levels: Mapping[str, int]  # kind -> number of its levels
    elapsed: bool  # whether mastery fades with time

    def __bool__(self) -> bool:
        return bool(self.factors or self.levels or self.elapsed)

    @property
    def stats_factors(self) -> tuple[str, ...]:
        """The factors that the stats must keep apart."""
        names = [name for name in ("item", "kind", "group", "student") if name in self.factors]
        if self.levels and "kind" not in names:
            names.append("kind")
        return (*names, *([GAP] if self.elapsed else []))


class LikelihoodGradient(NamedTuple):
    """The log-likelihood, and its gradient in all parameters."""

    value: float
    theta: FloatArray  # (n_cells, 5) in the parameters of the cells
    log_half_life: FloatArray  # (n_skills,)
    levels: list[tuple[FloatArray, FloatArray]]  # per kind, (n_skills, L): expected outcomes while unknown, while known
    seen: FloatArray  # (n_cells, 2) responses given while unknown, while known


class UnknownBlock:
    """A block of the unknowns of a fit: those of one factor, of one kind with levels, or the half-lives."""

    size: int  # how many values

    def start(self, effects: Effects) -> FloatArray:
        """The values from which a fit starts."""
        raise NotImplementedError

    def cost_and_gradient(
        self, values: FloatArray, of_logits: FloatArray, gradient: LikelihoodGradient
    ) -> tuple[float, FloatArray]:
        """The cost of the values under their prior, and the gradient of the log-likelihood less the cost.

        ``of_logits`` (n_cells, 5) is the gradient in the logits of the cells' parameters.
        """
        raise NotImplementedError

    def curvature(self, information: FloatArray, gradient: LikelihoodGradient) -> FloatArray:
        """Roughly the curvature of the objective in each value; ``information`` (n_cells, 5) is of the cells' logits."""
        raise NotImplementedError


class FactorBlock(UnknownBlock):
    """The offsets of items, kinds, groups or students."""

    def __init__(self, name: str, parameters: Sequence[str], of_cell: pa.Array) -> None:
        names = of_cell.unique()
        names = names.filter(pc.not_equal(names, ""))  # "" means no group: no offset
        self.name, self.parameters, self.names = name, tuple(parameters), names.take(pc.sort_indices(names))
        self.columns = [Parameters._fields.index(each) for each in parameters]
        self.of_cell = schema.find(of_cell, self.names)
        self.named = self.of_cell >= 0
        self.size = len(self.names) * len(self.columns)
        self.std = np.full(len(self.columns), FIRST_STD)

    def start(self, effects: Effects) -> FloatArray:
        """The offsets from which a fit starts."""
        for effect in effects.factors:
            if effect.factor == self.name:
                self.std = effect.std
                return np.asarray(effect.moves[schema.find(self.names, effect.names)][:, self.columns].ravel())
        return np.zeros(self.size)

    def add_offsets(self, values: FloatArray, logits: FloatArray) -> None:
        """Add the offset of each item (kind, ...) to the logits (n_cells, 5) of its cells, in place."""
        offsets = values.reshape(-1, len(self.columns))
        logits[np.ix_(self.named, self.columns)] += offsets[self.of_cell[self.named]]

    def cost_and_gradient(
        self, values: FloatArray, of_logits: FloatArray, gradient: LikelihoodGradient
    ) -> tuple[float, FloatArray]:
        """The cost of the offsets under their normal distribution, and the gradient."""
        offsets = values.reshape(-1, len(self.columns))
        cost = offsets / self.std**2
        return 0.5 * float((offsets * cost).sum()), (self.sum_by_name(of_logits) - cost).ravel()

    def sum_by_name(self, of_cells: FloatArray) -> FloatArray:
        """Sums over the cells of each item (kind, ...), (n, n_parameters)."""
        at, n = self.of_cell[self.named], len(self.names)
        return np.stack([np.bincount(at, of_cells[self.named, column], n) for column in self.columns], axis=1)

    def curvature(self, information: FloatArray, gradient: LikelihoodGradient) -> FloatArray:
        """The information of the responses on each offset, and of its normal distribution."""
        return np.asarray((self.sum_by_name(information) + self.std**-2).ravel())

    def set_std(self, values: FloatArray, information: FloatArray) -> None:
        """Set the standard deviation that agrees with the offsets and the information on them (MacKay, 1992, eq. 21)."""
        own = self.sum_by_name(information)
        certain = (own / (own + self.std**-2)).sum(axis=0)
        squares = (values.reshape(-1, len(self.columns)) ** 2).sum(axis=0)
        self.std = np.sqrt(np.maximum(squares / np.maximum(certain, 1e-9), LEAST_STD**2))

    def effect(self, values: FloatArray) -> Effect:
        """The offsets, as a model holds them."""
        offsets = values.reshape(-1, len(self.columns))
        return Effect(factor=self.name, parameters=self.parameters, names=self.names, offsets=offsets, std=self.std)


class LevelBlock(UnknownBlock):
    """The emission rows of one kind with levels: each skill its own, about their mean."""

    def __init__(self, kind: str, number: int, n_levels: int, seen: NDArray[np.bool_]) -> None:
        self.kind, self.number, self.n_skills = kind, number, len(seen)
        self.skills = np.flatnonzero(seen)
        self.shape = (len(self.skills), n_levels - 1, 2)
        self.size = int(np.prod(self.shape))

    def start(self, effects: Effects) -> FloatArray:
        """The steps from which a fit starts."""
        for levels in effects.levels:
            if levels.kind == self.kind and levels.easy.shape[1] == self.shape[1]:
                return np.stack([levels.easy[self.skills], levels.steep[self.skills]], axis=-1).ravel()
        return np.zeros(self.size)

    def cost_and_gradient(
        self, values: FloatArray, of_logits: FloatArray, gradient: LikelihoodGradient
    ) -> tuple[float, FloatArray]:
        """The cost of the distance from the mean row, and the gradient."""
        easy, steep = self.steps(values)
        pulls = []
        for chance, counts in zip(level_rows(easy, steep), gradient.levels[self.number], strict=True):
            seen, reached = (np.cumsum(each[:, ::-1], axis=1)[:, ::-1] for each in (counts[self.skills], chance))
            pulls.append((seen - seen[:, :1] * reached)[:, 1:])
        rows = np.stack([easy, steep], axis=-1)
        mean = rows.sum(axis=0) / max(len(rows), 1)
        distance, mean_distance = (rows - mean) / LEVEL_STD**2, mean / MEAN_LEVEL_STD**2
        of_values = (
            np.stack([pulls[0] + pulls[1], pulls[1] * np.exp(steep)], axis=-1) - distance - mean_distance / max(len(rows), 1)
        )
        return 0.5 * float((distance**2).sum() * LEVEL_STD**2 + (mean * mean_distance).sum()), of_values.ravel()

    def curvature(self, information: FloatArray, gradient: LikelihoodGradient) -> FloatArray:
        """A tenth of the responses for each step, and the information of its normal distribution."""
        each = sum(counts[self.skills].sum(axis=1) for counts in gradient.levels[self.number])
        return np.repeat(0.1 * np.asarray(each) + LEVEL_STD**-2, 2 * self.shape[1])

    def steps(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """``easy`` and ``steep`` of the skills that the kind was seen on."""
        easy, steep = np.moveaxis(values.reshape(self.shape), -1, 0)
        return easy, steep

    def chances(self, values: FloatArray) -> tuple[FloatArray, FloatArray]:
        """P(level | unknown) and P(level | known) of every skill, (n_skills, L) each."""
        unknown, known = self.rows(values).rows
        return unknown[:-1], known[:-1]

    def rows(self, values: FloatArray) -> Levels:
        """The emission rows, as a model holds them."""
        each = values.reshape(self.shape)
        mean = each.mean(axis=0) if len(each) else np.zeros(self.shape[1:])
        every, seen = np.tile(mean, (self.n_skills + 1, 1, 1)), np.zeros(self.n_skills + 1, bool)
        every[self.skills], seen[self.skills], seen[-1] = each, True, len(each) > 0
        return Levels(kind=self.kind, easy=every[..., 0].copy(), steep=every[..., 1].copy(), seen=seen)


class HalfLifeBlock(UnknownBlock):
    """The half-life of each skill, about their mean: log of days."""

    def __init__(self, n_skills: int) -> None:
        self.n_skills = self.size = n_skills

    def start(self, effects: Effects) -> FloatArray:
        """The half-lives from which a fit starts."""
        return np.log(effects.half_life[:-1]) if len(effects.half_life) else np.full(self.n_skills, np.log(FIRST_HALF_LIFE))

    def cost_and_gradient(
        self, values: FloatArray, of_logits: FloatArray, gradient: LikelihoodGradient
    ) -> tuple[float, FloatArray]:
        """The cost of the distance from the mean, and the gradient."""
        distance = (values - values.sum() / max(len(values), 1)) / HALF_LIFE_STD**2
        return 0.5 * float((distance**2).sum()) * HALF_LIFE_STD**2, gradient.log_half_life - distance

    def curvature(self, information: FloatArray, gradient: LikelihoodGradient) -> FloatArray:
        """The information of the distribution between skills, and the size of each half-life's gradient."""
        return HALF_LIFE_STD**-2 + np.abs(gradient.log_half_life)

    def days(self, values: FloatArray) -> FloatArray:
        """The half-lives; the last is the mean."""
        mean = values.mean() if len(values) else np.log(FIRST_HALF_LIFE)
        return np.asarray(np.exp(np.clip(np.append(values, mean), np.log(SHORTEST), np.log(LONGEST))))
