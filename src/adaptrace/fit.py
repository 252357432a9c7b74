"""The fit: skills share nothing, so each is fitted alone and any number of workers gives the same bits."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Executor
from itertools import product

import numpy as np
from numpy.typing import NDArray

from adaptrace import parallel
from adaptrace.kernels import bkt_fit
from adaptrace.kernels.rows import Trie
from adaptrace.stats import Stats

Progress = Callable[[float], None]  # called with the share that is done, 0 to 1

FloatArray = NDArray[np.float64]

PIECES = 64  # of a fit: enough to share out and to show progress

# a coarse grid over the box of the search: prior, learn, slip, and guess as a share of 1 - slip
STARTS = np.array(
    [
        [prior, learn, 0.0, share, slip]
        for prior, learn, slip, share in product((0.03, 0.35, 0.65, 0.95), (0.002, 0.1, 0.4), (0.03, 0.2, 0.5), (0.05, 0.4, 0.8))
    ]
)


def maximise(
    stats: Stats,
    low: FloatArray,
    high: FloatArray,
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> tuple[FloatArray, FloatArray]:
    """Maximum-likelihood parameters of every skill.

    Parameters
    ----------
    stats
        The counts to fit.
    low, high
        Bounds (5,) of prior, learn, forget, guess, slip; equal bounds fix a parameter.
    executor
        Where the pieces run; by default one thread per core.
    progress
        Told the share that is done.

    Returns
    -------
    theta, value
        (n_skills, 5) parameters and (n_skills,) log-likelihoods.
    """
    starts = np.clip(STARTS, low, high)
    starts[:, bkt_fit.GUESS] = STARTS[:, bkt_fit.GUESS] if low[bkt_fit.GUESS] < high[bkt_fit.GUESS] else 0.0
    starts[:, bkt_fit.FORGET] = 0.5 * (low + high)[bkt_fit.FORGET]
    problem = bkt_fit.Problem(low, high, stats.levels, np.unique(starts, axis=0))
    theta, value = np.empty((len(stats.skills), bkt_fit.SIZE)), np.empty(len(stats.skills))
    pieces = parallel.spans(stats.trie.start, PIECES)
    done = [0]

    def fit_piece(first: int, last: int) -> None:
        bkt_fit.fit_skills(problem, _slice(stats.trie, first, last), theta[first:last], value[first:last])
        done[0] += 1
        if progress is not None:
            progress(done[0] / len(pieces))

    parallel.run(fit_piece, pieces, executor)
    return theta, value


def _slice(trie: Trie, first: int, last: int) -> Trie:
    begin, end = trie.start[first], trie.start[last]
    return Trie(trie.start[first : last + 1] - begin, trie.parent[begin:end], trie.level[begin:end], trie.students[begin:end])
