"""The fit of parameters that vary: all skills, items, kinds, groups and students in one climb.

The objective is the log-likelihood of the stats less the cost of every offset under the normal
distribution it is drawn from. Its gradient is exact; L-BFGS-B (Byrd, Lu, Nocedal & Zhu, 1995)
climbs it. The spreads of the offsets are set where the offsets and the evidence for them agree
(MacKay, 1992, eq. 21), then held while the climb ends.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import Executor
from typing import NamedTuple, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adaptrace.data.log import Log
from adaptrace.kernels import bkt_effects as kernels
from adaptrace.kernels import bkt_fit, parallel
from adaptrace.kernels.bkt_effects import FORGET, GUESS, LEARN, PRIOR, SLIP, Asked, Events, Expected, Told
from adaptrace.kernels.bkt_fit import SIZE
from adaptrace.kernels.lbfgs import minimise
from adaptrace.models.base import Progress
from adaptrace.models.bkt.effects import Effects, level_of
from adaptrace.models.bkt.fit_skills import PIECES, WIDEST, Limits
from adaptrace.models.bkt.variation import Factor, Gradient, HalfLives, LeveledKind, Part, Variation
from adaptrace.stats.observations import GAP
from adaptrace.stats.stats import Stats

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Rows = list[tuple[FloatArray, FloatArray]]  # per kind with levels, their chances (n_skills, L) while unknown, while known

FARTHEST = 12.0  # from 0 on the logit scale, that a fit starts from a skill's parameter
SPREAD_ROUNDS, ROUND_STEPS, MOST_STEPS = 5, 12, 150
TOLERANCE = 1e-8  # of the objective
MOST_CLIMBS, ENOUGH = 4, 1e-5  # and the gain of a climb below which no other follows
EVENT_PIECES = 8  # of a log: their gradients are added in order, whoever works them out


# ---- where the evidence comes from ------------------------------------------


class Cells(NamedTuple):
    """A skill with one item, kind, group and student each, as far as parameters vary by them; sorted by skill."""

    skill: IntArray  # (n_cells,)
    factors: Mapping[str, pa.Array]  # (n_cells,) names, of every factor
    starts: FloatArray  # (n_cells,) how many students met the skill here first
    first: IntArray  # (n_skills,) a cell of each skill

    @classmethod
    def of(cls, skill: IntArray, factors: Mapping[str, pa.Array], met: FloatArray) -> tuple[Cells, IntArray]:
        """The distinct cells of many responses, and the one of each; ``met`` (n,) counts first meetings."""
        code = skill
        for names in factors.values():
            coded = names.dictionary_encode()
            code = np.unique(code * max(len(coded.dictionary), 1) + coded.indices.to_numpy(), return_inverse=True)[1]
            code = code + (code.max(initial=-1) + 1) * skill  # skills stay in order
        _, first, cell = np.unique(code, return_index=True, return_inverse=True)
        own = skill[first]
        taken = {name: names.take(pa.array(first)) for name, names in factors.items()}
        starts = np.asarray(np.bincount(cell, met, len(first)), np.float64)
        of_skill = np.minimum(np.searchsorted(own, np.arange(skill.max(initial=-1) + 1)), len(first) - 1)
        return cls(own, taken, starts, of_skill), cell


class Evidence(Protocol):
    """What was seen, as cells."""

    cells: Cells
    n_skills: int
    leveled: list[NDArray[np.bool_]]  # per kind with levels, which skills it was seen on

    def expect(self, theta: FloatArray, rows: Rows, half_life: FloatArray) -> Gradient:
        """Log-likelihood and gradient at parameters (n_cells, 5), level chances and half-lives (n_skills,)."""


class Sequences:
    """The counts of sequences, as cells: every event has one skill, or its credit is settled."""

    def __init__(self, stats: Stats, variation: Variation, executor: Executor | None) -> None:
        trie, self.executor, self.n_skills = stats.trie, executor, len(stats.skills)
        self.trie = trie._replace(students=trie.students.astype(np.float64))
        skill_of_node = np.repeat(np.arange(self.n_skills), np.diff(trie.start))
        told, symbol = np.unique(skill_of_node * len(stats.observations) + trie.symbol, return_inverse=True)
        self.of_node, self.skill, row = symbol.astype(np.int32), told // len(stats.observations), told % len(stats.observations)
        self.correct, self.weight, self.rest = stats.outcomes[row].T.copy()
        self.turn = (2.0 * self.correct - 1.0) * self.weight  # how P(outcome) moves with P(right on the skill)
        self.gap = stats.observations[GAP].to_numpy()[row] if variation.elapsed else np.zeros(len(told))
        apart = {name: stats.observations[name].combine_chunks().take(pa.array(row)) for name in variation.factors}
        first = trie.parent < 0
        met = np.asarray(np.bincount(self.of_node[first], trie.students[first], len(told)), np.float64)
        self.cells, self.cell = Cells.of(self.skill, apart, met)
        self.levels = []
        for kind, n_levels in variation.levels.items():
            of_kind = pc.equal(stats.observations["kind"].combine_chunks(), kind).to_numpy(zero_copy_only=False)[row]
            own = np.flatnonzero(of_kind & (self.weight == 1.0) & (self.rest == 0.0))
            self.levels.append((own, self.skill[own], level_of(self.correct[own], n_levels, kind), n_levels))
            self.turn[own] = 0.0
        self.leveled = [np.isin(np.arange(self.n_skills), skill) for _, skill, _, _ in self.levels]
        self.pieces = parallel.spans(trie.start, PIECES)

    def expect(self, theta: FloatArray, rows: Rows, half_life: FloatArray) -> Gradient:
        """Log-likelihood and gradient."""
        point = theta[self.cell]
        known = _blend(self.correct, self.weight * (1.0 - point[:, SLIP]) + self.rest)
        unknown = _blend(self.correct, self.weight * point[:, GUESS] + self.rest)
        for (own, skill, level, _), (if_unknown, if_known) in zip(self.levels, rows, strict=True):
            unknown[own], known[own] = if_unknown[skill, level], if_known[skill, level]
        worn = np.log(2.0) * self.gap / half_life[self.skill]
        told = Told(point[:, PRIOR].copy(), point[:, LEARN].copy(), known, unknown, np.exp(-worn))
        out = self._expected(told, theta[self.cells.first, FORGET])
        slopes = np.zeros_like(point)
        slopes[:, PRIOR], slopes[:, LEARN] = out.prior, out.learn
        slopes[:, SLIP], slopes[:, GUESS] = -self.turn * out.known / known, self.turn * out.unknown / unknown
        of_theta = _sums(self.cell, slopes, len(theta))
        of_theta[self.cells.first, FORGET] = out.forget
        fading = _sums(self.skill, (out.keep * worn)[:, None], self.n_skills)[:, 0]
        counts = [self._level_counts(at, out) for at in range(len(self.levels))]
        return Gradient(
            float(out.value.sum()), of_theta, fading, counts, _sums(self.cell, np.stack([out.unknown, out.known], 1), len(theta))
        )

    def _expected(self, told: Told, forget: FloatArray) -> Expected:
        skills, each = self.n_skills, len(self.skill)
        out = Expected(*(np.zeros(size) for size in (skills, each, each, each, each, each, skills)))
        pieces = [(self.trie, self.of_node, told, forget, *piece, out) for piece in self.pieces]
        parallel.run(kernels.expected, pieces, self.executor)
        return out

    def _level_counts(self, number: int, out: Expected) -> tuple[FloatArray, FloatArray]:
        own, skill, level, n_levels = self.levels[number]
        place, shape = skill * n_levels + level, (self.n_skills, n_levels)
        counts = _sums(place, np.stack([out.unknown[own], out.known[own]], axis=1), shape[0] * shape[1])
        return counts[:, 0].reshape(shape), counts[:, 1].reshape(shape)


class Responses:
    """A log, as cells: where events have several skills, what one says of each depends on the others."""

    def __init__(self, log: Log, rule: int, variation: Variation, executor: Executor | None) -> None:
        rows = log.rows
        self.rows, self.rule, self.executor, self.n_skills = rows, rule, executor, len(log.skills)
        entries, row = np.diff(rows.skill_start), np.repeat(np.arange(len(log)), np.diff(rows.skill_start))
        self.skill = rows.pair_skill[rows.pair].astype(np.int64)
        apart = {name: log.names(name).take(pa.array(row)) for name in variation.factors}
        self.cells, cell = Cells.of(self.skill, apart, (rows.opportunity == 1).astype(float))
        self.gap = log.gap_days if variation.elapsed else np.zeros(len(self.skill))
        level, self.offsets, self.leveled = np.full(len(self.skill), -1, np.int32), [0], []
        kinds = log.names("kind") if variation.levels else None
        for kind, n_levels in variation.levels.items():
            own = pc.equal(kinds, kind).to_numpy(zero_copy_only=False)[row] & (entries == 1)[row]
            level[own] = self.offsets[-1] + self.skill[own] * n_levels + level_of(rows.correct[row][own], n_levels, kind)
            self.leveled.append(np.isin(np.arange(self.n_skills), self.skill[own]))
            self.offsets.append(self.offsets[-1] + self.n_skills * n_levels)
        space = np.empty((2, len(self.skill)))
        self.asked = Asked(cell.astype(np.int32), level, self.gap, *space)
        self.pieces = parallel.spans(rows.student_start, EVENT_PIECES)

    def expect(self, theta: FloatArray, rows: Rows, half_life: FloatArray) -> Gradient:
        """Log-likelihood and gradient."""
        asked = self.asked._replace(worn=np.log(2.0) * self.gap / half_life[self.skill])
        chances = np.empty((self.offsets[-1], 2))
        for at, both in enumerate(rows):
            chances[self.offsets[at] : self.offsets[at + 1]] = np.stack([each.ravel() for each in both], axis=1)
        sizes = [1, theta.shape, self.n_skills, chances.shape, (len(theta), 2)]
        outs = [Events(*(np.zeros(size) for size in sizes)) for _ in self.pieces]
        pieces = [
            (self.rows, asked, self.rule, theta, chances, *piece, out) for piece, out in zip(self.pieces, outs, strict=True)
        ]
        parallel.run(kernels.expected_events, pieces, self.executor)
        value, of_theta, fading, levels, seen = (sum(each[1:], start=each[0]) for each in zip(*outs, strict=True))
        counts = [levels[self.offsets[at] : self.offsets[at + 1]].reshape(self.n_skills, -1, 2) for at in range(len(rows))]
        return Gradient(float(value[0]), of_theta, fading, [(each[..., 0], each[..., 1]) for each in counts], seen)


# ---- the objective ----------------------------------------------------------


class Point(NamedTuple):
    """The model at one vector of unknowns."""

    base: FloatArray  # (n_skills, 5) parameters of the skills
    squeeze: FloatArray  # (n_skills,) how far plausibility lowers their highest guess
    tilt: FloatArray  # (n_skills, 5) and how that changes with their other parameters
    theta: FloatArray  # (n_cells, 5) parameters of the cells
    gradient: Gradient


class Objective:
    """The smoothed log-likelihood less the cost of the offsets, over one vector of unknowns."""

    def __init__(self, evidence: Evidence, limits: Limits, variation: Variation) -> None:
        self.evidence, self.limits, self.n_skills = evidence, limits, evidence.n_skills
        self.box = limits.problem(np.empty((0, 3)))
        self.low, self.high = self.box.low, self.box.high
        cells = evidence.cells
        self.skill = cells.skill
        self.factors = [Factor(name, of, cells.factors[name]) for name, of in variation.factors.items()]
        kinds = zip(variation.levels.items(), evidence.leveled, strict=True)
        self.levels = [LeveledKind(kind, number, n, seen) for number, ((kind, n), seen) in enumerate(kinds)]
        self.fading = [HalfLives(self.n_skills)] if variation.elapsed else []
        self.parts: list[Part] = [*self.factors, *self.levels, *self.fading]

    def pack(self, effects: Effects) -> FloatArray:
        """The vector at which a fit starts."""
        return np.concatenate([effects.x[:-1].ravel(), *(part.start(effects) for part in self.parts)])

    def unpack(self, vector: FloatArray) -> tuple[FloatArray, list[FloatArray]]:
        """The skills' places (n_skills, 5), and the values of every part."""
        sizes = [self.n_skills * SIZE, *(part.size for part in self.parts)]
        x, *values = np.split(vector, np.cumsum(sizes)[:-1])
        return x.reshape(self.n_skills, SIZE), values

    def at(self, vector: FloatArray) -> Point:
        """The model at a vector of unknowns, and the log-likelihood there."""
        x, values = self.unpack(vector)
        squeeze, tilt = self._squeeze(x)
        place, n = x[self.skill], len(self.factors)
        for factor, each in zip(self.factors, values, strict=False):
            factor.move(each, place)
        base, theta = np.empty_like(x), np.empty_like(place)
        kernels.settle(x, squeeze, self.low, self.high, base)
        kernels.settle(place, squeeze[self.skill], self.low, self.high, theta)
        rows = [kind.chances(each) for kind, each in zip(self.levels, values[n:], strict=False)]
        half_life = self.fading[0].days(values[-1])[:-1] if self.fading else np.full(self.n_skills, np.inf)
        return Point(base, squeeze, tilt, theta, self.evidence.expect(theta, rows, half_life))

    def value(self, vector: FloatArray) -> tuple[float, FloatArray]:
        """The objective, and its gradient."""
        _, values = self.unpack(vector)
        point = self.at(vector)
        places, squeezes = self._back(point.theta, point.gradient.theta, point.squeeze[self.skill])
        smoothed, of_base = self._smoothing(point.base)
        of_x, push = self._back(point.base, of_base, point.squeeze)
        of_x += _sums(self.skill, places, self.n_skills)
        push += np.bincount(self.skill, squeezes, self.n_skills)
        for a in (PRIOR, LEARN, FORGET, SLIP):
            of_x[:, a] += push * point.tilt[:, a] * self._bend(point.base[:, a], a)
        total, slopes = point.gradient.value + smoothed, [of_x.ravel()]
        for part, each in zip(self.parts, values, strict=True):
            cost, slope = part.slope(each, places, point.gradient)
            total -= cost
            slopes.append(slope)
        return total, np.concatenate(slopes)

    def _squeeze(self, x: FloatArray) -> tuple[FloatArray, FloatArray]:
        """How far plausibility lowers each skill's highest guess, and how that changes with its other parameters."""
        tilt = np.zeros_like(x)
        if not self.limits.plausible or self.low[GUESS] == self.high[GUESS]:
            return np.ones(len(x)), tilt
        theta = np.empty_like(x)
        kernels.settle(x, np.ones(len(x)), self.low, self.high, theta)
        wide = np.array([bkt_fit.room(theta[skill], self.box, tilt[skill]) for skill in range(len(x))])
        plain = np.maximum(np.minimum(self.high[GUESS], 1.0 - theta[:, SLIP]) - self.low[GUESS], 1e-12)
        squeeze = np.clip(wide / plain, 1e-9, 1.0)
        tilt[:, SLIP] += np.where(1.0 - theta[:, SLIP] < self.high[GUESS], squeeze, 0.0)
        return squeeze, tilt / plain[:, None]

    def _back(self, theta: FloatArray, of_theta: FloatArray, squeeze: FloatArray) -> tuple[FloatArray, FloatArray]:
        """A gradient in parameters (n, 5) as one in places (n, 5) and one in squeeze (n,)."""
        room = np.maximum(np.minimum(self.high[GUESS], 1.0 - theta[:, SLIP]) - self.low[GUESS], 1e-300)
        share = (theta[:, GUESS] - self.low[GUESS]) / (room * squeeze)
        of_guess = of_theta[:, GUESS]
        out = np.stack([of_theta[:, a] * self._bend(theta[:, a], a) for a in range(SIZE)], axis=1)
        limited = 1.0 - theta[:, SLIP] < self.high[GUESS]
        out[:, SLIP] -= np.where(limited, of_guess * share * squeeze, 0.0) * self._bend(theta[:, SLIP], SLIP)
        out[:, GUESS] = of_guess * room * squeeze * share * (1.0 - share)
        return out, of_guess * room * share

    def _bend(self, theta: FloatArray, a: int) -> FloatArray:
        """D theta / d place, of a parameter between fixed bounds."""
        low, high = self.low[a], self.high[a]
        return np.asarray((theta - low) * (high - theta) / (high - low) if high > low else np.zeros(len(theta)))

    def _smoothing(self, base: FloatArray) -> tuple[float, FloatArray]:
        """What the pseudo-counts add, and its gradient in the skills' parameters."""
        with_it, without = self.limits.smoothing.T
        theta = np.clip(base, 1e-300, 1.0 - 1e-16)
        return float((with_it * np.log(theta) + without * np.log1p(-theta)).sum()), with_it / theta - without / (1.0 - theta)

    # ---- the climb ----

    def climb(self, vector: FloatArray, most_steps: int) -> FloatArray:
        """Raise the objective; the vector reached. Each unknown is measured in its own uncertainty."""
        information, gradient = self._information(vector)
        bend = [_sums(self.skill, information, self.n_skills) + self._pull()]
        bend += [part.curvature(information, gradient) for part in self.parts]
        scale = 1.0 / np.sqrt(np.concatenate([each.ravel() for each in bend]))

        def loss(at: FloatArray) -> tuple[float, FloatArray]:
            value, slope = self.value(at * scale)
            return -value, -slope * scale

        return np.asarray(minimise(loss, vector / scale, steps=most_steps, close=TOLERANCE).point * scale)

    def _pull(self) -> FloatArray:
        """Roughly what the pseudo-counts say of each parameter's place, and a little where nothing is said."""
        return np.asarray(0.1 * self.limits.smoothing.sum(axis=1) + WIDEST**-2)

    def _information(self, vector: FloatArray) -> tuple[FloatArray, Gradient]:
        """What the responses would say of each cell's places, (n_cells, 5), if the hidden states were seen; and the gradient."""
        point = self.at(vector)
        unknown, known = point.gradient.seen.T
        seen = np.stack([self.evidence.cells.starts, unknown, known, unknown, known], axis=1)
        bend, _ = self._back(point.theta, np.ones_like(point.theta), point.squeeze[self.skill])
        return np.asarray(seen * bend**2 / np.maximum(point.theta * (1.0 - point.theta), 1e-300)), point.gradient

    def set_spreads(self, vector: FloatArray) -> None:
        """Let the offsets found so far say how far offsets spread."""
        _, values = self.unpack(vector)
        information, _ = self._information(vector)
        for factor, each in zip(self.factors, values, strict=False):
            factor.set_spread(each, information)

    def effects(self, vector: FloatArray, unknown: FloatArray) -> Effects:
        """The unknowns, as a model keeps them; ``unknown`` (5,) is the theta of unknown skills."""
        x, values = self.unpack(vector)
        squeeze, _ = self._squeeze(x)
        n = len(self.factors)
        return Effects(
            self.low,
            self.high,
            np.vstack([x, places(unknown[None], np.ones(1), self.low, self.high)]),
            np.append(squeeze, 1.0),
            tuple(factor.effect(each) for factor, each in zip(self.factors, values, strict=False)),
            tuple(kind.rows(each) for kind, each in zip(self.levels, values[n:], strict=False)),
            self.fading[0].days(values[-1]) if self.fading else np.empty(0),
        )


def places(theta: FloatArray, squeeze: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """Where parameters (n, 5) lie on the logit scale between their bounds: the inverse of ``settle``."""
    top = np.tile(high, (len(theta), 1))
    top[:, GUESS] = low[GUESS] + np.maximum(np.minimum(high[GUESS], 1.0 - theta[:, SLIP]) - low[GUESS], 0.0) * squeeze
    share = np.clip((theta - low) / np.maximum(top - low, 1e-300), 1e-300, 1.0 - 1e-16)
    return np.asarray(np.clip(np.log(share) - np.log1p(-share), -FARTHEST, FARTHEST))


def _sums(place: IntArray, values: FloatArray, n: int) -> FloatArray:
    """Sums (n, k) of the values (m, k) at each place."""
    return np.stack([np.bincount(place, values[:, column], n) for column in range(values.shape[1])], axis=1)


def _blend(correct: FloatArray, right: FloatArray) -> FloatArray:
    return correct * right + (1.0 - correct) * (1.0 - right)


def maximise_effects(
    evidence: Evidence,
    limits: Limits,
    variation: Variation,
    start: Effects,
    unknown: FloatArray,
    progress: Progress | None = None,
) -> tuple[FloatArray, FloatArray, Effects]:
    """Most likely skills and offsets, from the skills of a plain fit.

    Parameters
    ----------
    evidence
        What was seen.
    limits
        Bounds and smoothing, pooled already.
    variation
        What varies.
    start
        Where to start.
    unknown
        (5,) parameters of unknown skills.
    progress
        Told the share that is done.

    Returns
    -------
    theta, covariance, effects
        (n_skills, 5) parameters of the skills, covariance (n_skills, 5, 5) of their logits given the offsets, and the effects.
    """
    objective = Objective(evidence, limits, variation)
    vector = objective.pack(start)
    rounds = SPREAD_ROUNDS if objective.factors else 0
    for number in range(rounds):
        vector = objective.climb(vector, ROUND_STEPS)
        objective.set_spreads(vector)
        if progress is not None:
            progress((number + 1) / (rounds + 1))
    for _ in range(MOST_CLIMBS):  # a climb may stop at a kink of a rule; the next one measures anew
        before, vector = objective.value(vector)[0], objective.climb(vector, MOST_STEPS)
        if objective.value(vector)[0] - before < ENOUGH * abs(before):
            break
    if progress is not None:
        progress(1.0)
    return objective.at(vector).base, observed_covariance(objective, vector), objective.effects(vector, unknown)


def observed_covariance(objective: Objective, vector: FloatArray, step: float = 1e-4) -> FloatArray:
    """Covariance (n_skills, 5, 5) of the logits of the skills' parameters: the inverse of the observed information.

    All skills are moved at once, so one pair of gradients per parameter gives every skill's information by central
    differences; what skills of one event say of one another is left out.
    """
    n, n_skills = objective.n_skills * SIZE, objective.n_skills
    information, jacobian = np.zeros((n_skills, SIZE, SIZE)), np.zeros((n_skills, SIZE, SIZE))
    for a in range(SIZE):
        ends = []
        for side in (step, -step):
            moved = vector.copy()
            moved[a:n:SIZE] += side
            theta = np.clip(objective.at(moved).base, 1e-12, 1.0 - 1e-12)
            ends.append((objective.value(moved)[1][:n].reshape(-1, SIZE), np.log(theta) - np.log1p(-theta)))
        information[:, :, a] = -(ends[0][0] - ends[1][0]) / (2.0 * step)
        jacobian[:, :, a] = (ends[0][1] - ends[1][1]) / (2.0 * step)
    information = 0.5 * (information + np.swapaxes(information, 1, 2))
    values, vectors = np.linalg.eigh(information)
    inverse = (vectors / np.maximum(values, WIDEST**-2)[:, None, :]) @ np.swapaxes(vectors, 1, 2)
    return np.asarray(jacobian @ inverse @ np.swapaxes(jacobian, 1, 2))
