"""The fit: skills share nothing, so each is fitted alone and any number of workers gives the same bits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from adaptrace import parallel
from adaptrace.kernels import bkt_fit
from adaptrace.kernels.bkt_fit import FORGET, GUESS, SIZE
from adaptrace.kernels.rows import Trie
from adaptrace.stats import Stats

Progress = Callable[[float], None]  # called with the share that is done, 0 to 1

FloatArray = NDArray[np.float64]

PIECES = 64  # of a fit: enough to share out and to show progress
WIDEST = 5.0  # standard deviation on the logit scale of a parameter that the data say nothing of

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

    Equal bounds fix a parameter; ``smoothing`` (5, 2) holds pseudo-counts of the event and of its absence.
    """

    low: FloatArray
    high: FloatArray
    smoothing: FloatArray

    def problem(self, levels: FloatArray) -> bkt_fit.Problem:
        """The search within these limits."""
        starts = np.clip(STARTS, self.low, self.high)
        starts[:, GUESS] = STARTS[:, GUESS] if self.low[GUESS] < self.high[GUESS] else 0.0
        starts[:, FORGET] = 0.5 * (self.low + self.high)[FORGET]
        return bkt_fit.Problem(self.low, self.high, levels, self.smoothing, np.unique(starts, axis=0))


def maximise(
    stats: Stats, limits: Limits, *, executor: Executor | None = None, progress: Progress | None = None
) -> tuple[FloatArray, FloatArray]:
    """Most likely parameters of every skill.

    Parameters
    ----------
    stats
        The counts to fit.
    limits
        Bounds and smoothing.
    executor
        Where the pieces run; by default one thread per core.
    progress
        Told the share that is done.

    Returns
    -------
    theta, covariance
        (n_skills, 5) parameters, and (n_skills, 5, 5) covariances of their logits.
    """
    problem = limits.problem(stats.levels)
    theta, curve = np.empty((len(stats.skills), SIZE)), np.empty((len(stats.skills), SIZE, SIZE))
    pieces = parallel.spans(stats.trie.start, PIECES)
    done: list[int] = []

    def fit_piece(first: int, last: int) -> None:
        bkt_fit.fit_skills(problem, _slice(stats.trie, first, last), theta[first:last], curve[first:last])
        done.append(last - first)
        if progress is not None:
            progress(sum(done) / len(theta))

    parallel.run(fit_piece, pieces, executor)
    return theta, covariance(theta, curve, limits)


def covariance(theta: FloatArray, curve: FloatArray, limits: Limits) -> FloatArray:
    """Covariances (n_skills, 5, 5) of the logits of theta, from its information; zero for what is fixed or at a bound.

    The inverse information (Fisher, 1925), with :data:`WIDEST` as the spread where there is none.
    """
    margin = 1e-4 * (limits.high - limits.low)
    free = (theta > limits.low + margin) & (theta < limits.high - margin)
    scale = np.where(free, theta * (1.0 - theta), 0.0)
    information = curve * scale[:, :, None] * scale[:, None, :]
    diagonal = np.where(free, WIDEST**-2, 1.0)
    information[:, range(SIZE), range(SIZE)] += diagonal
    inverse = np.linalg.inv(information) if len(theta) else information
    return np.asarray(inverse * free[:, :, None] * free[:, None, :])


def _slice(trie: Trie, first: int, last: int) -> Trie:
    begin, end = trie.start[first], trie.start[last]
    return Trie(trie.start[first : last + 1] - begin, trie.parent[begin:end], trie.level[begin:end], trie.students[begin:end])
