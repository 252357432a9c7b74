"""The fit of parameters that vary: all skills, items, kinds, groups and students together.

The objective is the log-likelihood of the evidence less the cost of every offset under its normal
distribution. Its gradient is exact; L-BFGS-B (Byrd, Lu, Nocedal & Zhu, 1995) maximises it. The
standard deviations of the offsets are estimated in a few rounds (MacKay, 1992, eq. 21) and then held.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels import bkt_effects as kernels
from adaptrace.kernels import bkt_fit
from adaptrace.kernels.bkt_effects import FORGET, GUESS, LEARN, PRIOR, SLIP
from adaptrace.kernels.bkt_fit import SIZE
from adaptrace.kernels.lbfgs import minimise
from adaptrace.models.base import Progress
from adaptrace.models.bkt.effects import Effects
from adaptrace.models.bkt.evidence import Evidence, sums
from adaptrace.models.bkt.fit_skills import VAGUE_STD
from adaptrace.models.bkt.limits import Limits
from adaptrace.models.bkt.variation import FactorBlock, HalfLifeBlock, LevelBlock, LikelihoodGradient, UnknownBlock, Variation

FloatArray = NDArray[np.float64]

LARGEST_LOGIT = 12.0  # of a skill's parameter
START_LOGIT = 3.0  # the same where a fit starts: further out the gradient vanishes, and a search hardly moves
STD_ROUNDS, ROUGH_STEPS = 5, 12
SEARCH_STEPS, MOST_SEARCHES = 20, 30
TOLERANCE, SMALL_GAIN = 1e-7, 1e-6  # relative gains of the objective: a smaller one ends a search, and all searches
DIFFERENCE = 1e-4  # on the logit scale, of finite differences


# ---- the objective ----------------------------------------------------------


class ObjectivePoint(NamedTuple):
    """The model at one vector of unknowns."""

    base: FloatArray  # (n_skills, 5) parameters of the skills
    guess_scale: FloatArray  # (n_skills,) factor by which plausibility narrows the range of guess
    scale_gradient: FloatArray  # (n_skills, 5) its derivatives in the skill's other parameters
    theta: FloatArray  # (n_cells, 5) parameters of the cells
    gradient: LikelihoodGradient


class Objective:
    """The smoothed log-likelihood less the cost of the offsets, as a function of one vector of unknowns.

    The vector holds the logits of the skills' parameters, then the values of every block.
    """

    def __init__(self, evidence: Evidence, limits: Limits, variation: Variation) -> None:
        self.evidence, self.limits, self.n_skills = evidence, limits, evidence.n_skills
        self.problem = limits.problem(np.empty((0, 3)))
        self.low, self.high = self.problem.low, self.problem.high
        cells = evidence.cells
        self.skill = cells.skill
        self.factors = [FactorBlock(name, of, cells.factors[name]) for name, of in variation.factors.items()]
        kinds = zip(variation.levels.items(), evidence.leveled, strict=True)
        self.levels = [LevelBlock(kind, number, n, seen) for number, ((kind, n), seen) in enumerate(kinds)]
        self.fading = [HalfLifeBlock(self.n_skills)] if variation.elapsed else []
        self.blocks: list[UnknownBlock] = [*self.factors, *self.levels, *self.fading]
        self._last: tuple[FloatArray, ObjectivePoint] | None = None

    def pack(self, effects: Effects) -> FloatArray:
        """The vector at which a fit starts."""
        logits = np.clip(effects.logits[:-1], -START_LOGIT, START_LOGIT)
        return np.concatenate([logits.ravel(), *(block.start(effects) for block in self.blocks)])

    def unpack(self, vector: FloatArray) -> tuple[FloatArray, list[FloatArray]]:
        """The logits of the skills' parameters (n_skills, 5), and the values of every block."""
        sizes = [self.n_skills * SIZE, *(block.size for block in self.blocks)]
        base_logits, *values = np.split(vector, np.cumsum(sizes)[:-1])
        return base_logits.reshape(self.n_skills, SIZE), values

    def point_at(self, vector: FloatArray) -> ObjectivePoint:
        """The model at a vector of unknowns, and the log-likelihood there; the last one is kept."""
        if self._last is not None and np.array_equal(self._last[0], vector):
            return self._last[1]
        base_logits, values = self.unpack(vector)
        guess_scale, scale_gradient = self._guess_scale(base_logits)
        logits, n = base_logits[self.skill], len(self.factors)
        for factor, each in zip(self.factors, values, strict=False):
            factor.add_offsets(each, logits)
        base, theta = self._theta(base_logits, guess_scale), np.empty_like(logits)
        kernels.from_logits(logits, guess_scale[self.skill], self.low, self.high, theta)
        rows = [kind.chances(each) for kind, each in zip(self.levels, values[n:], strict=False)]
        half_life = self.fading[0].days(values[-1])[:-1] if self.fading else np.full(self.n_skills, np.inf)
        point = ObjectivePoint(base, guess_scale, scale_gradient, theta, self.evidence.expect(theta, rows, half_life))
        self._last = (vector.copy(), point)
        return point

    def base_at(self, vector: FloatArray) -> FloatArray:
        """The parameters (n_skills, 5) of the skills at a vector of unknowns."""
        base_logits, _ = self.unpack(vector)
        return self._theta(base_logits, self._guess_scale(base_logits)[0])

    def _theta(self, logits: FloatArray, guess_scale: FloatArray) -> FloatArray:
        theta = np.empty_like(logits)
        kernels.from_logits(logits, guess_scale, self.low, self.high, theta)
        return theta

    def value(self, vector: FloatArray) -> tuple[float, FloatArray]:
        """The objective, and its gradient."""
        _, values = self.unpack(vector)
        point = self.point_at(vector)
        of_logits, of_scales = self._to_logits(point.theta, point.gradient.theta, point.guess_scale[self.skill])
        smoothed, of_base = self._smoothing(point.base)
        of_x, of_scale = self._to_logits(point.base, of_base, point.guess_scale)
        of_x += sums(self.skill, of_logits, self.n_skills)
        of_scale += np.bincount(self.skill, of_scales, self.n_skills)
        for a in (PRIOR, LEARN, FORGET, SLIP):
            of_x[:, a] += of_scale * point.scale_gradient[:, a] * self._derivative(point.base[:, a], a)
        total, gradients = point.gradient.value + smoothed, [of_x.ravel()]
        for block, each in zip(self.blocks, values, strict=True):
            cost, gradient = block.cost_and_gradient(each, of_logits, point.gradient)
            total -= cost
            gradients.append(gradient)
        return total, np.concatenate(gradients)

    def _guess_scale(self, base_logits: FloatArray) -> tuple[FloatArray, FloatArray]:
        """The factor by which plausibility narrows each skill's range of guess, and its derivatives in the other parameters."""
        scale_gradient = np.zeros_like(base_logits)
        if not self.limits.plausible or self.low[GUESS] == self.high[GUESS]:
            return np.ones(len(base_logits)), scale_gradient
        theta = self._theta(base_logits, np.ones(len(base_logits)))
        narrowed = np.empty(len(base_logits))
        bkt_fit.guess_ranges(theta, self.problem, scale_gradient, narrowed)
        full = np.maximum(np.minimum(self.high[GUESS], 1.0 - theta[:, SLIP]) - self.low[GUESS], 1e-12)
        guess_scale = np.clip(narrowed / full, 1e-9, 1.0)
        scale_gradient[:, SLIP] += np.where(1.0 - theta[:, SLIP] < self.high[GUESS], guess_scale, 0.0)
        return guess_scale, scale_gradient / full[:, None]

    def _to_logits(self, theta: FloatArray, of_theta: FloatArray, guess_scale: FloatArray) -> tuple[FloatArray, FloatArray]:
        """A gradient in parameters (n, 5) as one in logits (n, 5) and one in the guess scale (n,)."""
        guess_range = np.maximum(np.minimum(self.high[GUESS], 1.0 - theta[:, SLIP]) - self.low[GUESS], 1e-300)
        share = (theta[:, GUESS] - self.low[GUESS]) / (guess_range * guess_scale)
        of_guess = of_theta[:, GUESS]
        out = np.stack([of_theta[:, a] * self._derivative(theta[:, a], a) for a in range(SIZE)], axis=1)
        below_slip = 1.0 - theta[:, SLIP] < self.high[GUESS]
        out[:, SLIP] -= np.where(below_slip, of_guess * share * guess_scale, 0.0) * self._derivative(theta[:, SLIP], SLIP)
        out[:, GUESS] = of_guess * guess_range * guess_scale * share * (1.0 - share)
        return out, of_guess * guess_range * share

    def _derivative(self, theta: FloatArray, a: int) -> FloatArray:
        """D theta / d logit, of a parameter between fixed bounds."""
        low, high = self.low[a], self.high[a]
        return np.asarray((theta - low) * (high - theta) / (high - low) if high > low else np.zeros(len(theta)))

    def _smoothing(self, base: FloatArray) -> tuple[float, FloatArray]:
        """What the pseudo-counts add, and its gradient in the skills' parameters."""
        with_it, without = self.limits.smoothing.T
        theta = np.clip(base, 1e-300, 1.0 - 1e-16)
        return float((with_it * np.log(theta) + without * np.log1p(-theta)).sum()), with_it / theta - without / (1.0 - theta)

    # ---- the search ----

    def rough_search(self, vector: FloatArray) -> FloatArray:
        """The vector to which a short search leads, with every unknown by its own curvature."""
        return self.maximise(vector, self.rough_scale(vector), ROUGH_STEPS)

    def maximise(self, vector: FloatArray, scale: Scale, most_steps: int) -> FloatArray:
        """The vector at which the objective is highest, searched from ``vector`` with unknowns of this scale."""

        def loss(steps: FloatArray) -> tuple[float, FloatArray]:
            value, gradient = self.value(vector + scale.unscaled(steps))
            return -value, -scale.of_steps(gradient)

        found = minimise(loss, np.zeros(len(vector)), steps=most_steps, close=TOLERANCE)
        return np.asarray(vector + scale.unscaled(found.point))

    def rough_scale(self, vector: FloatArray) -> Scale:
        """Every unknown by its own curvature, as if the hidden states were observed."""
        information, gradient = self._information(vector)
        curvature = sums(self.skill, information, self.n_skills) + self._pull_information()
        return Scale((1.0 / np.sqrt(curvature))[:, :, None] * np.eye(SIZE), self._rest_scale(information, gradient))

    def rest_scale(self, vector: FloatArray) -> FloatArray:
        """The scale of all unknowns but the skills' parameters, each by its own curvature."""
        return self._rest_scale(*self._information(vector))

    def _rest_scale(self, information: FloatArray, gradient: LikelihoodGradient) -> FloatArray:
        curvature = [block.curvature(information, gradient).ravel() for block in self.blocks]
        return np.asarray(1.0 / np.sqrt(np.concatenate([np.empty(0), *curvature])))

    def observed_information(self, vector: FloatArray) -> FloatArray:
        """The observed information (n_skills, 5, 5) on the logits of the skills' parameters.

        All skills are moved at once, so one gradient per parameter gives every skill's: the dependence between skills of one
        event is left out.
        """
        n, columns = self.n_skills * SIZE, []
        here = self.value(vector)[1][:n].reshape(-1, SIZE)
        for a in range(SIZE):
            moved = vector.copy()
            moved[a:n:SIZE] += DIFFERENCE
            columns.append((here - self.value(moved)[1][:n].reshape(-1, SIZE)) / DIFFERENCE)
        information = np.stack(columns, axis=2)
        return np.asarray(0.5 * (information + np.swapaxes(information, 1, 2)))

    def _pull_information(self) -> FloatArray:
        """Roughly the information of the pseudo-counts on each logit, and a little where there are none."""
        return np.asarray(0.1 * self.limits.smoothing.sum(axis=1) + VAGUE_STD**-2)

    def _information(self, vector: FloatArray) -> tuple[FloatArray, LikelihoodGradient]:
        """The information on each cell's logits, (n_cells, 5), if the hidden states were observed; and the gradient."""
        point = self.point_at(vector)
        unknown, known = point.gradient.seen.T
        seen = np.stack([self.evidence.cells.starts, unknown, known, unknown, known], axis=1)
        curvature, _ = self._to_logits(point.theta, np.ones_like(point.theta), point.guess_scale[self.skill])
        return np.asarray(seen * curvature**2 / np.maximum(point.theta * (1.0 - point.theta), 1e-300)), point.gradient

    def covariance(self, vector: FloatArray, information: FloatArray) -> FloatArray:
        """Covariance (n_skills, 5, 5) of the logits of the skills' parameters: the inverse of the observed information."""
        values, vectors = np.linalg.eigh(information)
        inverse = (vectors / np.maximum(values, VAGUE_STD**-2)[:, None, :]) @ np.swapaxes(vectors, 1, 2)
        jacobian = np.zeros_like(information)  # from the logits between bounds to those between 0 and 1
        for a in range(SIZE):
            ends = []
            for side in (DIFFERENCE, -DIFFERENCE):
                moved = vector.copy()
                moved[a : self.n_skills * SIZE : SIZE] += side
                theta = np.clip(self.base_at(moved), 1e-12, 1.0 - 1e-12)
                ends.append(np.log(theta) - np.log1p(-theta))
            jacobian[:, :, a] = (ends[0] - ends[1]) / (2.0 * DIFFERENCE)
        return np.asarray(jacobian @ inverse @ np.swapaxes(jacobian, 1, 2))

    def set_stds(self, vector: FloatArray) -> None:
        """Estimate the standard deviations of the offsets from the offsets found so far."""
        _, values = self.unpack(vector)
        information, _ = self._information(vector)
        for factor, each in zip(self.factors, values, strict=False):
            factor.set_std(each, information)

    def effects(self, vector: FloatArray, unknown: FloatArray) -> Effects:
        """The unknowns, as a model holds them; ``unknown`` (5,) is the theta of unknown skills."""
        base_logits, values = self.unpack(vector)
        guess_scale, _ = self._guess_scale(base_logits)
        n = len(self.factors)
        return Effects(
            low=self.low,
            high=self.high,
            logits=np.vstack([base_logits, to_logits(unknown[None], np.ones(1), self.low, self.high)]),
            guess_scale=np.append(guess_scale, 1.0),
            factors=tuple(factor.effect(each) for factor, each in zip(self.factors, values, strict=False)),
            levels=tuple(kind.rows(each) for kind, each in zip(self.levels, values[n:], strict=False)),
            half_life=self.fading[0].days(values[-1]) if self.fading else np.empty(0),
        )


class Scale(NamedTuple):
    """How far unknowns move in a step of one: a linear map from steps to a change of the vector."""

    skills: FloatArray  # (n_skills, 5, 5) of the logits of a skill's parameters
    rest: FloatArray  # (n,) of all other values

    @classmethod
    def observed(cls, information: FloatArray, rest: FloatArray) -> Scale:
        """By the observed information (n_skills, 5, 5) of each skill, which knows how its parameters depend on one another."""
        values, vectors = np.linalg.eigh(information)
        return cls(vectors / np.sqrt(np.maximum(np.abs(values), VAGUE_STD**-2))[:, None, :], rest)

    def unscaled(self, steps: FloatArray) -> FloatArray:
        """The change of the vector."""
        n = self.skills.shape[0] * SIZE
        moved = np.einsum("kab,kb->ka", self.skills, steps[:n].reshape(-1, SIZE))
        return np.concatenate([moved.ravel(), self.rest * steps[n:]])

    def of_steps(self, gradient: FloatArray) -> FloatArray:
        """A gradient in the vector as one in the steps."""
        n = self.skills.shape[0] * SIZE
        moved = np.einsum("kab,ka->kb", self.skills, gradient[:n].reshape(-1, SIZE))
        return np.concatenate([moved.ravel(), self.rest * gradient[n:]])


def to_logits(theta: FloatArray, guess_scale: FloatArray, low: FloatArray, high: FloatArray) -> FloatArray:
    """The logits (n, 5) of parameters (n, 5) between their bounds: the inverse of the kernel ``from_logits``."""
    highest = np.tile(high, (len(theta), 1))
    highest[:, GUESS] = low[GUESS] + np.maximum(np.minimum(high[GUESS], 1.0 - theta[:, SLIP]) - low[GUESS], 0.0) * guess_scale
    share = np.clip((theta - low) / np.maximum(highest - low, 1e-300), 1e-300, 1.0 - 1e-16)
    return np.asarray(np.clip(np.log(share) - np.log1p(-share), -LARGEST_LOGIT, LARGEST_LOGIT))


def likeliest(objectives: Mapping[str, Objective], start: Effects) -> tuple[str, FloatArray]:
    """Which of several objectives a short search brings highest, and the vector where it ended."""
    found = {name: objective.rough_search(objective.pack(start)) for name, objective in objectives.items()}
    best = max(found, key=lambda name: objectives[name].value(found[name])[0])
    return best, found[best]


def fit_effects(
    objective: Objective, vector: FloatArray, unknown: FloatArray, progress: Progress | None = None
) -> tuple[FloatArray, FloatArray, Effects]:
    """Most likely skills and offsets.

    Parameters
    ----------
    objective
        What is maximised.
    vector
        Where a rough search ended.
    unknown
        (5,) parameters of unknown skills.
    progress
        Called with the share that is done.

    Returns
    -------
    theta, covariance, effects
        (n_skills, 5) parameters of the skills, covariance (n_skills, 5, 5) of their logits given the offsets, and the effects.
    """
    rounds = STD_ROUNDS if objective.factors else 0
    for number in range(rounds):
        objective.set_stds(vector)
        vector = objective.rough_search(vector)
        if progress is not None:
            progress((number + 1) / (rounds + 1))
    for _ in range(MOST_SEARCHES):
        before, rest = objective.value(vector)[0], objective.rest_scale(vector)
        information = objective.observed_information(vector)
        vector = objective.maximise(vector, Scale.observed(information, rest), SEARCH_STEPS)
        if objective.value(vector)[0] - before < SMALL_GAIN * abs(before):
            break
    if progress is not None:
        progress(1.0)
    return objective.base_at(vector), objective.covariance(vector, information), objective.effects(vector, unknown)
