"""The fit of skills: no skill depends on another, so each is fitted alone and any number of workers gives the same bits."""

from __future__ import annotations

from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels import bkt_fit, parallel
from adaptrace.kernels import trie as tries
from adaptrace.kernels.bkt_fit import FORGET, LARGE, SIZE
from adaptrace.kernels.trie import Trie
from adaptrace.models.base import Progress
from adaptrace.models.bkt.limits import Limits, Pull
from adaptrace.stats.stats import Stats
from adaptrace.stats.tries import cut_out

FloatArray = NDArray[np.float64]

DEFAULT_SKILL = np.array([0.4, 0.1, 0.0, 0.2, 0.1])  # the mean skill when nothing was fitted
EXTREME = 0.01  # a probability nearer to 0 or 1 is taken as this when skills are compared
EXTREME_VARIANCE = 1.0  # and has this error variance, on the logit scale
PRIOR_SKILLS, PRIOR_VARIANCE = 4, 1.0  # added to the skills when the variance between them is estimated
VARIANCE_RANGE = (0.04, 4.0)  # the smallest and the largest estimate of it, on the logit scale
BASE_VARIANCE = 0.09  # of a skill's parameters about those in a base, before the data: of `PRIOR_SKILLS` added skills
BASE_ROUNDS = 4  # of a fit near a base: each takes the variance that the last one found
PULL_MARGIN = 1e-9  # how close to 0 and 1 a pull's centre may be
PIECES = 64  # of a fit: enough for every core and to show progress
VAGUE_STD = 5.0  # standard deviation, on the logit scale, of a parameter without data
BOUNDED_STD = 1.0  # the same under a low upper bound: that of a uniform distribution


class BaseSkills(NamedTuple):
    """Skills of a fit to more data, in the order of a log's skills; the mean skill where it does not know one."""

    theta: FloatArray  # (n_skills, 5)
    error: FloatArray  # (n_skills, 5) variances of their logits
    known: NDArray[np.bool_]  # (n_skills,)
    pull: Pull  # to its mean skill

    def pull_to(self, variance: FloatArray, limits: Limits) -> Pull:
        """The pull to every skill's values here, if skills differ from them by a variance (5,) on the logit scale.

        An uncertain value pulls less.
        """
        centre, inside = (
            np.clip(np.clip(self.theta, *limits.bounds()), PULL_MARGIN, 1.0 - PULL_MARGIN),
            _off_bounds(self.theta, limits),
        )
        weight = 1.0 / ((variance + self.error) * inside * (1.0 - inside))
        weight = np.where(self.known[:, None], weight, self.pull.weight)
        return Pull(centre, weight if limits.pooling is None else np.full_like(weight, limits.pooling))

    def variance_from_base(self, theta: FloatArray, covariance: FloatArray, variance: FloatArray, limits: Limits) -> FloatArray:
        """The variance (5,) by which skills differ from the base, from a fit that assumed ``variance`` (MacKay, 1992, eq. 21)."""
        moved = _logits(theta, limits) - _logits(self.theta, limits)
        remaining = np.einsum("kaa->ka", covariance)
        own = np.maximum(1.0 - remaining / (variance + self.error), 0.0)  # the share of certainty from the skill's own responses
        used = self.known[:, None] & (remaining > 0.0)
        squares = np.where(used, np.maximum(moved**2 - self.error * own, 0.0), 0.0).sum(axis=0) + PRIOR_SKILLS * BASE_VARIANCE
        return np.asarray(np.clip(squares / (np.where(used, own, 0.0).sum(axis=0) + PRIOR_SKILLS), *VARIANCE_RANGE))


class SkillFit(NamedTuple):
    """What a fit found."""

    theta: FloatArray  # (n_skills, 5)
    covariance: FloatArray  # (n_skills, 5, 5) of the logits of theta
    pulled: FloatArray  # (n_skills, 5) share of a parameter's certainty that comes from the other skills
    pull: Pull  # what the skills were pulled to


def fit_all(stats: Stats, limits: Limits, *, executor: Executor | None = None, progress: Progress | None = None) -> SkillFit:
    """Most likely parameters of every skill: each alone, then each pulled towards the mean of all.

    Parameters
    ----------
    stats
        The counts to fit.
    limits
        Bounds, smoothing and pooling.
    executor
        Where the pieces run; by default one thread per core.
    progress
        Called with the share that is done.
    """
    pooled = limits.pooling != 0.0 and len(stats.skills) > 0
    half = 0.5 if pooled else 1.0
    theta, information = fit_apart(stats, limits, executor, progress and (lambda share: progress(half * share)))
    pull = pull_of(theta, information, limits)
    if pooled:
        limits = limits.pooled(pull)
        _fit(stats, limits, LARGE, theta, information, executor, progress and (lambda share: progress(0.5 + 0.5 * share)))
    return SkillFit(theta, *uncertainty(theta, information, limits), pull)


def fit_apart(
    stats: Stats, limits: Limits, executor: Executor | None, progress: Progress | None
) -> tuple[FloatArray, FloatArray]:
    """Parameters (n_skills, 5) and information (n_skills, 5, 5) of every skill, as if there were no other."""
    theta, information = np.empty((len(stats.skills), SIZE)), np.empty((len(stats.skills), SIZE, SIZE))
    _fit(stats, limits, len(stats.trie.parent), theta, information, executor, progress)
    return theta, information


def fit_near(
    base: BaseSkills, stats: Stats, limits: Limits, *, executor: Executor | None = None, progress: Progress | None = None
) -> SkillFit:
    """As :func:`fit_all`, with every skill pulled to its values in a base; the closer the skills are to them, the stronger."""
    theta, information = np.clip(base.theta, *limits.bounds()), np.empty((len(stats.skills), SIZE, SIZE))
    variance, rounds = np.full(SIZE, BASE_VARIANCE), BASE_ROUNDS if limits.pooling is None else 1
    for number in range(rounds):
        pulled = limits.pooled(base.pull_to(variance, limits))
        _fit(stats, pulled, LARGE if number == 0 else -1, theta, information, executor, None)
        covariance, share = uncertainty(theta, information, pulled)
        variance = base.variance_from_base(theta, covariance, variance, limits)
        if progress is not None:
            progress((number + 1) / rounds)
    return SkillFit(theta, covariance, share, base.pull)


def fit_from(
    stats: Stats,
    limits: Limits,
    theta: FloatArray,
    pull: Pull,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> SkillFit:
    """As :func:`fit_all`, from parameters (n_skills, 5) that are near the optimum, with a pull that is known."""
    theta, information = np.clip(theta, *limits.bounds()), np.empty((len(stats.skills), SIZE, SIZE))
    limits = limits.pooled(pull) if limits.pooling != 0.0 else limits
    _fit(stats, limits, -1, theta, information, executor, progress)
    return SkillFit(theta, *uncertainty(theta, information, limits), pull)


def bootstrap_draws(
    stats: Stats, limits: Limits, theta: FloatArray, draws: int, seed: int, *, executor: Executor | None = None
) -> FloatArray:
    """Parameters (draws, n_skills, 5) fitted to randomly weighted sequences, each from ``theta``.

    The Bayesian bootstrap (Rubin, 1981): every student's sequence has an exponential weight.
    """
    trie = stats.trie
    skill = np.repeat(np.arange(len(theta)), np.diff(trie.start))
    ends = trie.students.copy()
    tries.take_apart(trie._replace(students=ends), 0, len(theta))
    total = np.bincount(skill, ends, len(theta))
    problem, drawn = limits.problem(stats.outcomes), np.tile(theta, (draws, 1, 1))

    def draw(number: int) -> None:
        weights = np.random.default_rng([seed, number]).standard_gamma(ends)
        weights *= (total / np.bincount(skill, weights, len(theta)))[skill]
        weighted = trie._replace(students=weights)
        tries.sum_up(weighted, 0, len(theta))
        bkt_fit.fit_skills(problem, weighted, -1, drawn[number], np.empty((len(theta), SIZE, SIZE)))

    parallel.run(draw, [(number,) for number in range(draws)], executor)
    return drawn


def pull_of(theta: FloatArray, information: FloatArray, limits: Limits) -> Pull:
    """The mean skill, and its weight: the smaller, the more skills differ.

    On the logit scale skills differ by a variance beyond what their standard errors explain (Paule & Mandel, 1982); a Beta
    prior of that variance about the mean has ``weight`` observations.
    """
    if not len(theta):
        return Pull(DEFAULT_SKILL.copy(), np.zeros(SIZE))
    covariance, _ = uncertainty(theta, information, limits)
    inside, values = _off_bounds(theta, limits), _logits(theta, limits)
    error = np.einsum("kaa->ka", covariance)
    error = np.where((error > 0.0) & (inside == theta), error, EXTREME_VARIANCE)
    weight, centre = np.empty(SIZE), np.empty(SIZE)
    for a in range(SIZE):
        mean, variance = mean_and_variance(values[:, a], error[:, a])
        centre[a] = 1.0 / (1.0 + np.exp(-mean))
        # with few skills the variance is uncertain
        variance = (len(theta) * variance + PRIOR_SKILLS * PRIOR_VARIANCE) / (len(theta) + PRIOR_SKILLS)
        weight[a] = 1.0 / (np.clip(variance, *VARIANCE_RANGE) * centre[a] * (1.0 - centre[a]))
    if len(theta) == 1:
        weight[:] = 0.0
    if limits.high[FORGET] < 0.5:  # too uncertain to compare skills: the mean logit of a uniform distribution
        centre[FORGET] = limits.low[FORGET] + (limits.high - limits.low)[FORGET] / np.e
        weight[FORGET] = BOUNDED_STD**-2 / max(centre[FORGET] * (1.0 - centre[FORGET]), 1e-9)
    return Pull(centre, weight if limits.pooling is None else np.full(SIZE, float(limits.pooling)))


def _off_bounds(theta: FloatArray, limits: Limits) -> FloatArray:
    """Theta (n, 5) kept off 0 and 1: at a bound a logit would be infinite."""
    inside = np.clip(theta, EXTREME, 1.0 - EXTREME)
    inside[:, FORGET] = np.clip(theta[:, FORGET], max(EXTREME * limits.high[FORGET], 1e-9), 1.0 - EXTREME)
    return inside


def _logits(theta: FloatArray, limits: Limits) -> FloatArray:
    inside = _off_bounds(theta, limits)
    return np.asarray(np.log(inside) - np.log1p(-inside))


def mean_and_variance(values: FloatArray, error: FloatArray) -> tuple[float, float]:
    """Mean of values with these error variances, and the variance between them, where both agree (Paule & Mandel, 1982)."""
    low, high = 0.0, 100.0
    for _ in range(60):
        variance = 0.5 * (low + high)
        share = 1.0 / (error + variance)
        mean = float(np.average(values, weights=share))
        if float((share * (values - mean) ** 2).sum()) > len(values) - 1:
            low = variance
        else:
            high = variance
    return mean, variance


def _fit(
    stats: Stats,
    limits: Limits,
    small: int,
    theta: FloatArray,
    information: FloatArray,
    executor: Executor | None,
    progress: Progress | None,
) -> None:
    """Fit each skill alone, into theta and information; one with more than ``small`` prefixes from the theta it has."""
    problem, alone = limits.problem(stats.outcomes), limits.smoothing.ndim == 3
    pieces = parallel.spans(np.arange(len(theta) + 1) if alone else stats.trie.start, len(theta) if alone else PIECES)
    done: list[int] = []

    def fit_piece(first: int, last: int) -> None:
        own = problem._replace(smoothing=limits.smoothing[first]) if alone else problem
        bkt_fit.fit_skills(own, _slice(stats.trie, first, last), small, theta[first:last], information[first:last])
        done.append(last - first)
        if progress is not None:
            progress(sum(done) / len(theta))

    parallel.run(fit_piece, pieces, executor)


def uncertainty(theta: FloatArray, information: FloatArray, limits: Limits) -> tuple[FloatArray, FloatArray]:
    """Covariances (n_skills, 5, 5) of the logits of theta, and the share (n_skills, 5) of certainty from the pseudo-counts.

    The inverse information (Fisher, 1925), with a standard deviation of :data:`VAGUE_STD` or :data:`BOUNDED_STD` before the
    data; zero for what is fixed or at a bound.
    """
    margin = 1e-4 * (limits.high - limits.low)
    free = (theta > limits.low + margin) & (theta < limits.high - margin)
    free[:, FORGET] = limits.low[FORGET] < limits.high[FORGET]  # a bound on it is a choice, not knowledge
    variance = theta * (1.0 - theta)
    scale = np.where(free, variance, 0.0)
    both = free[:, :, None] & free[:, None, :]  # the information may be infinite where a parameter is at a bound
    information = np.where(both, information, 0.0) * scale[:, :, None] * scale[:, None, :]
    vague = np.where(limits.high < 0.5, BOUNDED_STD, VAGUE_STD) ** -2
    diagonal = np.where(free, vague, 1.0)
    information[:, range(SIZE), range(SIZE)] += diagonal
    inverse = np.linalg.inv(information) if len(theta) else information
    share = np.einsum("kaa->ka", inverse) * (pseudo_information(theta, limits) + vague)
    return np.asarray(inverse * both), np.where(free, np.minimum(share, 1.0), 0.0)


def pseudo_information(theta: FloatArray, limits: Limits) -> FloatArray:
    """The information (n_skills, 5) of the pseudo-counts on the logits of theta."""
    return np.asarray(limits.smoothing[..., 0] * (1.0 - theta) ** 2 + limits.smoothing[..., 1] * theta**2)


def _slice(trie: Trie, first: int, last: int) -> Trie:
    part = cut_out(trie, first, last)
    return part._replace(students=part.students.astype(np.float64))
