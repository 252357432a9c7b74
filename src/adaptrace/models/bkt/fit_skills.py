"""The fit: skills share nothing, so each is fitted alone and any number of workers gives the same bits."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels import bkt_fit, parallel
from adaptrace.kernels import trie as tries
from adaptrace.kernels.bkt_fit import FORGET, GUESS, LARGE, PRIOR, SIZE, SLIP
from adaptrace.kernels.trie import Trie
from adaptrace.models.base import Progress
from adaptrace.stats.stats import Stats
from adaptrace.stats.tries import cut_out

FloatArray = NDArray[np.float64]

NOTHING_KNOWN = np.array([0.4, 0.1, 0.0, 0.2, 0.1])  # a skill when nothing was fitted
EXTREME = 0.01  # a probability nearer to 0 or 1 is taken as this when skills are compared
AT_THE_EDGE = 1.0  # error variance of what was so taken, on the logit scale
FEW_SKILLS, WIDE = 4, 1.0  # as many skills of such a variance are taken for granted
BETWEEN = (0.04, 4.0)  # variance between skills, on the logit scale, that is believed at least and at most
AWAY = 0.09  # variance of a skill's parameters about those in a base: as many such skills are taken for granted
ROUNDS = 4  # of a fit near a base, each with the distance that the last one found
CLOSEST = 1e-9  # that a pull may lead to 0 and 1
KEPT, MOST_SLIP = 1.01, 0.99  # how far a plausible skill stays from where right answers lower mastery or never come
PIECES = 64  # of a fit: enough to share out and to show progress
WIDEST = 5.0  # standard deviation on the logit scale of a parameter that the data say nothing of
BOUNDED = 1.0  # the same where it has a low upper bound, as of a uniform one

# a coarse grid over the box of the search: prior, learn, slip, and guess as a share of 1 - slip
STARTS = np.array(
    [
        [prior, learn, 0.0, share, slip]
        for prior, learn, slip, share in product((0.03, 0.35, 0.65, 0.95), (0.002, 0.1, 0.4), (0.03, 0.2, 0.5), (0.05, 0.4, 0.8))
    ]
)


@dataclass(frozen=True)
class Limits:
    """What a fit may do, in the order prior, learn, forget, guess, slip.

    Attributes
    ----------
    low, high
        (5,) bounds; equal ones fix a parameter.
    smoothing
        (5, 2) pseudo-counts of the event and of its absence; or (n_skills, 5, 2), of each skill's own.
    pooling
        Pseudo-observations by which every parameter is pulled towards the mean skill; None: as many as the skills themselves
        say, by how much they differ.
    plausible
        Whether every skill must pass the tests of Baker, Corbett & Aleven (2008).
    """

    low: FloatArray
    high: FloatArray
    smoothing: FloatArray
    pooling: float | None = 0.0
    plausible: bool = False

    def problem(self, outcomes: FloatArray) -> bkt_fit.Problem:
        """The search within these limits, for symbols with these outcomes (n_symbols, 3)."""
        low, high = self.box()
        starts = np.clip(STARTS, low, high)
        starts[:, GUESS] = STARTS[:, GUESS] if low[GUESS] < high[GUESS] else 0.0
        starts[:, FORGET] = 0.5 * (low + high)[FORGET]
        correct, weight, rest = outcomes.T
        symbols = np.stack([(2.0 * correct - 1.0) * weight, correct * rest + (1.0 - correct) * (1.0 - rest)], axis=1)
        return bkt_fit.Problem(low, high, symbols, self.smoothing, np.unique(starts, axis=0), self.plausible)

    def box(self) -> tuple[FloatArray, FloatArray]:
        """The lowest and the highest theta (5,)."""
        high = self.high.copy()
        if self.plausible:  # else no guess is low enough: more is known than is kept, or nobody who knows is ever right
            high[PRIOR] = max(self.low[PRIOR], min(high[PRIOR], 1.0 - KEPT * high[FORGET]))
            high[SLIP] = max(self.low[SLIP], min(high[SLIP], MOST_SLIP))
        return self.low, high

    def pooled(self, pull: Pull) -> Limits:
        """These limits, with every parameter pulled."""
        counts = pull.weight[..., None] * np.stack([pull.centre, 1.0 - pull.centre], axis=-1)
        free = (self.low < self.high)[:, None]
        return replace(self, smoothing=self.smoothing + np.where(free, counts, 0.0), pooling=0.0)


class Pull(NamedTuple):
    """What skills are pulled to, and how much."""

    centre: FloatArray  # (5,) the mean skill; or (n_skills, 5), for each skill its own
    weight: FloatArray  # of the same shape: pseudo-observations


class Base(NamedTuple):
    """A fit to more data, whose skills others are pulled to: their values there, of the mean skill where it does not know one."""

    theta: FloatArray  # (n_skills, 5)
    error: FloatArray  # (n_skills, 5) variances of their logits
    known: NDArray[np.bool_]  # (n_skills,)
    pull: Pull  # to its mean skill

    def pull_to(self, away: FloatArray, limits: Limits) -> Pull:
        """To every skill's own values, where skills are away from them by a variance (5,) on the logit scale.

        What the base is not sure of pulls less.
        """
        centre, moderate = np.clip(np.clip(self.theta, *limits.box()), CLOSEST, 1.0 - CLOSEST), _moderate(self.theta, limits)
        weight = 1.0 / ((away + self.error) * moderate * (1.0 - moderate))
        weight = np.where(self.known[:, None], weight, self.pull.weight)
        return Pull(centre, weight if limits.pooling is None else np.full_like(weight, limits.pooling))

    def distance(self, theta: FloatArray, covariance: FloatArray, away: FloatArray, limits: Limits) -> FloatArray:
        """By what variance (5,) the skills are away, from a fit that took ``away`` for it (MacKay, 1992, eq. 21)."""
        moved = _logits(theta, limits) - _logits(self.theta, limits)
        left = np.einsum("kaa->ka", covariance)
        own = np.maximum(1.0 - left / (away + self.error), 0.0)  # the share that the skill's own responses say
        used = self.known[:, None] & (left > 0.0)
        spread = np.where(used, np.maximum(moved**2 - self.error * own, 0.0), 0.0).sum(axis=0) + FEW_SKILLS * AWAY
        return np.asarray(np.clip(spread / (np.where(used, own, 0.0).sum(axis=0) + FEW_SKILLS), *BETWEEN))


class Fitted(NamedTuple):
    """What a fit found."""

    theta: FloatArray  # (n_skills, 5)
    covariance: FloatArray  # (n_skills, 5, 5) of the logits of theta
    pulled: FloatArray  # (n_skills, 5) the share of a parameter's certainty that is not from the skill's own responses
    pull: Pull  # what the skills were pulled to


def maximise(stats: Stats, limits: Limits, *, executor: Executor | None = None, progress: Progress | None = None) -> Fitted:
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
        Told the share that is done.
    """
    theta, curve = np.empty((len(stats.skills), SIZE)), np.empty((len(stats.skills), SIZE, SIZE))
    pooled = limits.pooling != 0.0 and len(theta) > 0
    half = 0.5 if pooled else 1.0
    _fit(stats, limits, len(stats.trie.parent), theta, curve, executor, progress and (lambda share: progress(half * share)))
    pull = pull_of(theta, curve, limits)
    if pooled:
        limits = limits.pooled(pull)
        _fit(stats, limits, LARGE, theta, curve, executor, progress and (lambda share: progress(0.5 + 0.5 * share)))
    return Fitted(theta, *certainty(theta, curve, limits), pull)


def maximise_near(
    base: Base, stats: Stats, limits: Limits, *, executor: Executor | None = None, progress: Progress | None = None
) -> Fitted:
    """As :func:`maximise`, with every skill pulled to its values in a base, the more the nearer the skills are to them."""
    theta, curve = np.clip(base.theta, *limits.box()), np.empty((len(stats.skills), SIZE, SIZE))
    away, rounds = np.full(SIZE, AWAY), ROUNDS if limits.pooling is None else 1
    for number in range(rounds):
        pulled = limits.pooled(base.pull_to(away, limits))
        _fit(stats, pulled, LARGE if number == 0 else -1, theta, curve, executor, None)
        covariance, share = certainty(theta, curve, pulled)
        away = base.distance(theta, covariance, away, limits)
        if progress is not None:
            progress((number + 1) / rounds)
    return Fitted(theta, covariance, share, base.pull)


def climb_from(
    stats: Stats,
    limits: Limits,
    theta: FloatArray,
    pull: Pull,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Fitted:
    """As :func:`maximise`, from parameters (n_skills, 5) that are already near, towards a mean skill that is known."""
    theta, curve = np.clip(theta, *limits.box()), np.empty((len(stats.skills), SIZE, SIZE))
    limits = limits.pooled(pull) if limits.pooling != 0.0 else limits
    _fit(stats, limits, -1, theta, curve, executor, progress)
    return Fitted(theta, *certainty(theta, curve, limits), pull)


def refit(
    stats: Stats, limits: Limits, theta: FloatArray, draws: int, seed: int, *, executor: Executor | None = None
) -> FloatArray:
    """Parameters (draws, n_skills, 5) at random weights of the sequences, each climbed to from ``theta``.

    The Bayesian bootstrap (Rubin, 1981): every sequence that a student gave weighs as an exponential draw.
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


def pull_of(theta: FloatArray, curve: FloatArray, limits: Limits) -> Pull:
    """The mean skill, and the weight that the differences between skills give it.

    On the logit scale skills differ by a variance beyond what their standard errors explain (Paule & Mandel, 1982); a Beta
    prior of that variance about the mean has ``weight`` observations.
    """
    if not len(theta):
        return Pull(NOTHING_KNOWN.copy(), np.zeros(SIZE))
    covariance, _ = certainty(theta, curve, limits)
    moderate, values = _moderate(theta, limits), _logits(theta, limits)
    error = np.einsum("kaa->ka", covariance)
    error = np.where((error > 0.0) & (moderate == theta), error, AT_THE_EDGE)
    weight, centre = np.empty(SIZE), np.empty(SIZE)
    for a in range(SIZE):
        mean, variance = between(values[:, a], error[:, a])
        centre[a] = 1.0 / (1.0 + np.exp(-mean))
        variance = (len(theta) * variance + FEW_SKILLS * WIDE) / (len(theta) + FEW_SKILLS)  # few skills say little of it
        weight[a] = 1.0 / (np.clip(variance, *BETWEEN) * centre[a] * (1.0 - centre[a]))
    if len(theta) == 1:
        weight[:] = 0.0
    if limits.high[FORGET] < 0.5:  # too little is known of it to compare skills: the middle of what it may be
        centre[FORGET] = limits.low[FORGET] + (limits.high - limits.low)[FORGET] / np.e  # the mean logit of a uniform one
        weight[FORGET] = BOUNDED**-2 / max(centre[FORGET] * (1.0 - centre[FORGET]), 1e-9)
    return Pull(centre, weight if limits.pooling is None else np.full(SIZE, float(limits.pooling)))


def _moderate(theta: FloatArray, limits: Limits) -> FloatArray:
    """Theta (n, 5) off 0 and 1: a parameter at a bound says "extreme", not how extreme."""
    moderate = np.clip(theta, EXTREME, 1.0 - EXTREME)
    moderate[:, FORGET] = np.clip(theta[:, FORGET], max(EXTREME * limits.high[FORGET], 1e-9), 1.0 - EXTREME)
    return moderate


def _logits(theta: FloatArray, limits: Limits) -> FloatArray:
    moderate = _moderate(theta, limits)
    return np.asarray(np.log(moderate) - np.log1p(-moderate))


def between(values: FloatArray, error: FloatArray) -> tuple[float, float]:
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
    curve: FloatArray,
    executor: Executor | None,
    progress: Progress | None,
) -> None:
    """Fit each skill alone, into theta and curve; those with more than ``small`` prefixes from the theta they have."""
    problem, alone = limits.problem(stats.outcomes), limits.smoothing.ndim == 3
    pieces = parallel.spans(np.arange(len(theta) + 1) if alone else stats.trie.start, len(theta) if alone else PIECES)
    done: list[int] = []

    def fit_piece(first: int, last: int) -> None:
        own = problem._replace(smoothing=limits.smoothing[first]) if alone else problem
        bkt_fit.fit_skills(own, _slice(stats.trie, first, last), small, theta[first:last], curve[first:last])
        done.append(last - first)
        if progress is not None:
            progress(sum(done) / len(theta))

    parallel.run(fit_piece, pieces, executor)


def certainty(theta: FloatArray, curve: FloatArray, limits: Limits) -> tuple[FloatArray, FloatArray]:
    """Covariances (n_skills, 5, 5) of the logits of theta, and the share (n_skills, 5) of the pseudo-counts in them.

    The inverse information (Fisher, 1925), with :data:`WIDEST` or :data:`BOUNDED` as the spread where there is none; zero
    for what is fixed or at a bound.
    """
    margin = 1e-4 * (limits.high - limits.low)
    free = (theta > limits.low + margin) & (theta < limits.high - margin)
    free[:, FORGET] = limits.low[FORGET] < limits.high[FORGET]  # a bound on it is a choice, not knowledge
    variance = theta * (1.0 - theta)
    scale = np.where(free, variance, 0.0)
    both = free[:, :, None] & free[:, None, :]  # the information may be infinite where a parameter is at a bound
    information = np.where(both, curve, 0.0) * scale[:, :, None] * scale[:, None, :]
    vague = np.where(limits.high < 0.5, BOUNDED, WIDEST) ** -2
    diagonal = np.where(free, vague, 1.0)
    information[:, range(SIZE), range(SIZE)] += diagonal
    inverse = np.linalg.inv(information) if len(theta) else information
    covariance = inverse * both
    told = limits.smoothing[..., 0] * (1.0 - theta) ** 2 + limits.smoothing[..., 1] * theta**2  # information of the pseudo-counts
    share = np.einsum("kaa->ka", inverse) * (told + vague)
    return covariance, np.where(free, np.minimum(share, 1.0), 0.0)


def _slice(trie: Trie, first: int, last: int) -> Trie:
    part = cut_out(trie, first, last)
    return part._replace(students=part.students.astype(np.float64))
