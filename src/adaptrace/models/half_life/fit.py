"""The fit of half-life regression: the weights of the highest penalised likelihood."""

from __future__ import annotations

import math
from concurrent.futures import Executor
from typing import NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.kernels import half_life as kernels
from adaptrace.kernels import parallel
from adaptrace.kernels.arrays import space
from adaptrace.kernels.half_life import ForgettingCurve, HalfLifeGradient, Past
from adaptrace.kernels.lbfgs import minimise
from adaptrace.kernels.rows import Rows
from adaptrace.models.base import Progress
from adaptrace.models.half_life.fading import Fading

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]

SMOOTHING = 5.0  # pseudo-counts by which the rate of a skill's or an item's first responses is shrunk to that of all
GUESS, LOSS = 0.2, 0.1  # where the descent starts: P(G), and P(S) of those who do not guess
LOOSE = 0.01  # penalty that draws weights which all skills share to where the descent starts
CURVED = 0.05  # of the log-likelihood of a response in a weight, about
PIECES = 8  # of the students in a fit: as many for any number of threads
STEPS, CLOSE = 200, 1e-11


class FadingOptions(NamedTuple):
    """What is fitted, and within what."""

    guess_and_slip: bool
    range_days: tuple[float, float]
    l2: float


def fit_fading(log: Log, options: FadingOptions, *, executor: Executor | None = None, progress: Progress | None = None) -> Fading:
    """The weights of the highest penalised likelihood of a log with ``time``."""
    skills, rows = rows_by_text(log)
    past, new, correct = past_of(log), log.rows.opportunity == 1, np.repeat(log.correct, np.diff(rows.skill_start))
    first = first_rates(rows.pair_skill[rows.pair[new]], correct[new], len(skills))
    report = None if progress is None else lambda step: progress(step / STEPS)
    with parallel.workers(executor, len(log)) as pool:
        objective = FadingLikelihood(rows, past, first, options, pool)
        best = minimise(objective, np.zeros(len(objective.scale)), steps=STEPS, close=CLOSE, report=report)
    if progress is not None:
        progress(1.0)
    return Fading(skills, objective.curve(best.point), len(log), best.value)


def first_rates(code: IntArray, correct: FloatArray, n: int) -> FloatArray:
    """Rate of first responses by skill or item, (n + 1,): shrunk to that of all, the last, by :data:`SMOOTHING` pseudo-counts.

    ``code``, ``correct`` (n_firsts,). The rate of all is never 0 or 1: half a right and half a wrong answer are added.
    """
    overall = (correct.sum() + 0.5) / (len(correct) + 1)
    right, total = np.bincount(code, correct, n), np.bincount(code, minlength=n)
    return np.append((right + SMOOTHING * overall) / (total + SMOOTHING), overall)


class FadingLikelihood:
    """The likelihood of a log as a function of the weights, each measured from where the descent starts.

    A point is: the three weights that all skills share; with guess and slip, the logits of P(G) and of the share of those who
    do not guess but slip; every skill's weight.
    """

    def __init__(self, rows: Rows, past: Past, first: FloatArray, options: FadingOptions, executor: Executor) -> None:
        self.rows, self.past, self.first, self.options, self.executor = rows, past, first, options, executor
        start = start_of(past.days[rows.opportunity != 1], options.range_days)
        shared = [start, 0.0, 0.0, *([_logit(GUESS), _logit(LOSS)] if options.guess_and_slip else [])]
        n_skills, n = len(first) - 1, len(past.days)
        seen = np.bincount(rows.pair_skill[rows.pair], minlength=n_skills)
        counts = [n, float((past.wins**2).sum()), float((past.fails**2).sum()), n, n][: len(shared)]
        self.origin = np.concatenate([shared, np.zeros(n_skills)])
        self.precision = np.concatenate([np.full(len(shared), LOOSE), np.full(n_skills, options.l2)])
        self.scale = 1.0 / np.sqrt(CURVED * np.concatenate([counts, seen]) + np.maximum(self.precision, LOOSE))
        self.pieces = parallel.spans(rows.student_start, PIECES) or [(0, 0)]
        self.gradients = [HalfLifeGradient(np.empty(1), np.empty(3), np.empty(2), np.empty(n_skills)) for _ in self.pieces]

    def curve(self, point: FloatArray) -> ForgettingCurve:
        """The parameters at a point, with a last skill for the unknown."""
        values = self.origin + self.scale * point
        n_skills, guess, slip = len(self.first) - 1, 0.0, 0.0
        if self.options.guess_and_slip:
            guess, loss = _expit(values[3]), _expit(values[4])
            slip = (1.0 - guess) * loss
        skill = np.append(values[len(values) - n_skills :], 0.0)
        return ForgettingCurve(values[:3].copy(), skill, self.first, guess, slip, *map(float, self.options.range_days))

    def __call__(self, point: FloatArray) -> tuple[float, FloatArray]:
        """Minus the penalised log-likelihood, and its gradient."""
        curve, moved = self.curve(point), self.scale * point
        for arrays in self.gradients:
            for each in arrays:
                each[:] = 0.0
        work = [(self.rows, self.past, curve, *piece, out) for piece, out in zip(self.pieces, self.gradients, strict=True)]
        parallel.run(kernels.log_likelihood_and_gradient, work, self.executor)
        likelihood, weight, noise, skill = (sum(parts) for parts in zip(*self.gradients, strict=True))
        gradient = np.concatenate([weight, self._logits(curve, noise), skill])
        value = 0.5 * float(np.add.reduce(self.precision * moved**2)) - float(likelihood[0])
        return value, self.scale * (self.precision * moved - gradient)

    def _logits(self, curve: ForgettingCurve, noise: FloatArray) -> list[float]:
        """The gradient in the logits of guess and slip, of that in guess and slip."""
        if not self.options.guess_and_slip:
            return []
        rest = 1.0 - curve.guess
        loss = curve.slip / rest
        return [curve.guess * rest * float(noise[0] - loss * noise[1]), curve.slip * (1.0 - loss) * float(noise[1])]


def start_of(days: FloatArray, bounds: tuple[float, float]) -> float:
    """log2 of the half-life to start from, off its bounds: the median time since the last response, or a day."""
    days = days[days > 0.0]
    low, high = map(math.log2, bounds)
    middle = math.log2(float(np.median(days))) if len(days) else 0.0
    return min(max(middle, 0.9 * low + 0.1 * high), 0.1 * low + 0.9 * high)


def past_of(log: Log) -> Past:
    """What stands before each response."""
    past = Past(log.gap_days, *(space(len(log.rows.pair), np.float64) for _ in range(2)))
    pieces = parallel.spans(log.rows.student_start, 4 * parallel.cores())
    parallel.run(kernels.remember, [(log.rows, *piece, past) for piece in pieces])
    return past


def rows_by_text(log: Log) -> tuple[pa.StringArray, Rows]:
    """The skills as text, sorted, and the log with skills so numbered."""
    names, code = schema.in_order(log.skills)
    return names, log.rows._replace(pair_skill=code[log.rows.pair_skill].astype(np.int32))


def _logit(p: float) -> float:
    return math.log(p / (1.0 - p))


def _expit(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-min(max(x, -36.0), 36.0)))
