"""The best parameters of one skill, searched for by a general optimiser from random starts.

Independent of the package in every part: scaled forward-backward over whole sequences (Rabiner, 1989), plausibility
by bisection, bounds by a logistic map, and sequential quadratic programming (scipy; Kraft, 1988).
"""

from __future__ import annotations

from collections import Counter, defaultdict
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

import adaptrace as at

Floats = NDArray[np.float64]
STEP = 1e-6  # of the differences by which the room of guess is differentiated


class Problem(NamedTuple):
    """The sequences of one skill, and what the parameters (prior, learn, forget, guess, slip) are held to."""

    outcome: NDArray[np.int64]  # the distinct sequences, one after another
    start: NDArray[np.int64]  # where each begins
    count: Floats  # students that gave it
    low: Floats  # (5,)
    high: Floats  # (5,)
    smoothing: Floats  # (5, 2) pseudo-counts of the event and of its absence
    plausible: bool


def sequences_of(log: at.Log) -> dict[str, Counter[tuple[int, ...]]]:
    """Of each skill, how many students gave each sequence."""
    pairs: dict[tuple[object, object], list[int]] = defaultdict(list)
    columns = (log.table[name].to_pylist() for name in ("student", "skill", "correct"))
    for student, skill, correct in zip(*columns, strict=True):
        pairs[skill, student].append(int(correct))
    counted: dict[str, Counter[tuple[int, ...]]] = defaultdict(Counter)
    for (skill, _), sequence in pairs.items():
        counted[str(skill)][tuple(sequence)] += 1
    return counted


def problem_of(sequences: Counter[tuple[int, ...]], low: Floats, high: Floats, smoothing: Floats, plausible: bool) -> Problem:
    """The sequences as arrays."""
    start = np.cumsum([0, *map(len, sequences)])
    outcome = np.array([each for sequence in sequences for each in sequence], np.int64)
    return Problem(outcome, start, np.array(list(sequences.values()), float), low, high, smoothing, plausible)


@numba.njit(error_model="numpy")
def log_likelihood(theta: Floats, problem: Problem, slope: Floats) -> float:
    """Log-likelihood with pseudo-counts; its gradient into ``slope``."""
    prior, learn, forget, guess, slip = theta
    slope[:] = 0.0
    longest = 0
    for n in range(len(problem.count)):
        longest = max(longest, problem.start[n + 1] - problem.start[n])
    unknown, known, scale = np.empty(longest), np.empty(longest), np.empty(longest)
    total = 0.0
    for n in range(len(problem.count)):
        begin, length, weight = problem.start[n], problem.start[n + 1] - problem.start[n], problem.count[n]
        for t in range(length):
            right = problem.outcome[begin + t]
            u = 1.0 - prior if t == 0 else unknown[t - 1] * (1.0 - learn) + known[t - 1] * forget
            k = prior if t == 0 else unknown[t - 1] * learn + known[t - 1] * (1.0 - forget)
            u *= guess if right else 1.0 - guess
            k *= 1.0 - slip if right else slip
            scale[t] = u + k
            unknown[t], known[t] = u / scale[t], k / scale[t]
            total += weight * np.log(scale[t])
        after_unknown, after_known = 1.0, 1.0  # P(what follows | state), scaled
        for t in range(length - 1, -1, -1):
            right = problem.outcome[begin + t]
            says_unknown = guess if right else 1.0 - guess
            says_known = 1.0 - slip if right else slip
            turn = weight if right else -weight
            slope[3] += turn * unknown[t] * after_unknown / says_unknown
            slope[4] -= turn * known[t] * after_known / says_known
            from_unknown, from_known = says_unknown * after_unknown / scale[t], says_known * after_known / scale[t]
            if t == 0:
                slope[0] += weight * (from_known - from_unknown)
            else:
                slope[1] += weight * unknown[t - 1] * (from_known - from_unknown)
                slope[2] += weight * known[t - 1] * (from_unknown - from_known)
                after_unknown = (1.0 - learn) * from_unknown + learn * from_known
                after_known = forget * from_unknown + (1.0 - forget) * from_known
    for a in range(5):
        with_it, without = problem.smoothing[a]
        if with_it + without > 0.0:
            total += with_it * np.log(theta[a]) + without * np.log(1.0 - theta[a])
            slope[a] += with_it / theta[a] - without / (1.0 - theta[a])
    return total


@numba.njit(error_model="numpy")
def passes(theta: Floats, guess: float) -> bool:
    """Whether three right answers never lower mastery and ten reach 0.95 (Baker, Corbett & Aleven, 2008)."""
    unknown = 1.0 - theta[0]
    for rights in range(1, 11):
        known = (1.0 - unknown) * (1.0 - theta[4])
        wrong = unknown * guess / (unknown * guess + known)
        unknown = wrong * (1.0 - theta[1]) + (1.0 - wrong) * theta[2]
        if rights == 3 and unknown > 1.0 - theta[0]:
            return False
    return unknown <= 0.05


@numba.njit(error_model="numpy")
def highest_guess(theta: Floats, problem: Problem) -> float:
    """The highest guess at which knowing helps and the tests are passed."""
    high = min(problem.high[3], 1.0 - theta[4])
    if not problem.plausible or passes(theta, high):
        return high
    low = problem.low[3]
    for _ in range(60):
        middle = np.sqrt(low * high)
        if passes(theta, middle):
            low = middle
        else:
            high = middle
    return low


@numba.njit(error_model="numpy")
def settled(y: Floats, problem: Problem, theta: Floats) -> float:
    """Parameters at a point without bounds; return the share that guess takes of its room."""
    for a in range(5):
        theta[a] = problem.low[a] + (problem.high[a] - problem.low[a]) / (1.0 + np.exp(-y[a]))
    share = 1.0 / (1.0 + np.exp(-y[3]))
    theta[3] = problem.low[3] + share * (highest_guess(theta, problem) - problem.low[3])
    return share


@numba.njit(error_model="numpy")
def loss(y: Floats, problem: Problem) -> tuple[float, Floats]:
    """What the optimiser lowers, and its gradient."""
    theta, slope, near, out = np.empty(5), np.empty(5), np.empty(5), np.empty(5)
    share = settled(y, problem, theta)
    value = log_likelihood(theta, problem, slope)
    for a in range(5):
        bend = (theta[a] - problem.low[a]) * (problem.high[a] - theta[a]) / max(problem.high[a] - problem.low[a], 1e-300)
        if a == 3:
            out[a] = -slope[3] * (theta[3] - problem.low[3]) * (1.0 - share)
            continue
        near[:] = theta
        step = STEP * min(theta[a] - problem.low[a], problem.high[a] - theta[a])
        push = 0.0
        if step > 0.0:
            near[a] = theta[a] + step
            push = highest_guess(near, problem)
            near[a] = theta[a] - step
            push = (push - highest_guess(near, problem)) / (2.0 * step)
        out[a] = -(slope[a] + slope[3] * share * push) * bend
    return -value, out


def best(problem: Problem, *, starts: int, seed: int) -> tuple[float, Floats]:
    """The highest value that any start reaches, and the parameters there."""
    random, found, where = np.random.default_rng(seed), -np.inf, np.empty(5)
    for _ in range(starts):
        draw = random.uniform(0.01, 0.99, 5)
        options = {"maxiter": 200, "ftol": 1e-11}
        result = minimize(loss, np.log(draw / (1 - draw)), (problem,), jac=True, method="SLSQP", options=options)
        if -result.fun > found:
            found = -float(result.fun)
            settled(result.x, problem, where)
    return found, where.copy()


def value_of(theta: Floats, problem: Problem) -> float:
    """The objective at given parameters."""
    return float(log_likelihood(np.asarray(theta, float), problem, np.empty(5)))
