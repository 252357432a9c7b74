"""The fit of logistic models: one convex climb over a sparse design, the same bits for any number of threads."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace import parallel
from adaptrace.climb import minimise
from adaptrace.fit import Progress
from adaptrace.kernels import logistic as kernels
from adaptrace.kernels.logistic import Block, Design

FloatArray = NDArray[np.float64]

PIECES = 16  # of the rows: as many for any number of threads, so that sums have one order
STEPS, CLOSE = 500, 3e-9  # of the climb at most; relative gain of the objective at which it ends
SAMPLED = 20_000  # rows that tell the scale of the shared weights
FLOOR = 1e-6  # curvature of a weight that nothing else holds
LIKELY = 30.0  # steps: nobody knows how many it takes, and progress never goes back


class Climbed(NamedTuple):
    """What :func:`fit_weights` found."""

    weights: FloatArray  # (n_weights,)
    objective: float  # minus the log-likelihood, with the penalty
    steps: int


@dataclass(frozen=True)
class Scale:
    """A change of variables in which the objective is about as steep in every direction.

    The weights that a response meets together are correlated, so each block is turned by the root of its curvature.
    """

    blocks: Sequence[Block]
    turns: Sequence[FloatArray]  # of each block, (n_names, features, features): inverse roots of the curvature

    @classmethod
    def of(cls, design: Design, blocks: Sequence[Block], chance: float, penalty: FloatArray) -> Scale:
        """The curvature where every P(correct) is ``chance``."""
        n_rows, spread = len(design.start) - 1, chance * (1.0 - chance)
        turns = []
        for block in blocks:
            curve = np.zeros((block.names, block.features, block.features))
            kernels.moments(design, block, 1 + n_rows // SAMPLED if block.names == 1 else 1, curve)
            own = penalty[block.first : block.first + block.features * block.names].reshape(block.features, -1).T
            curve *= spread
            diagonal = np.arange(block.features)
            curve[:, diagonal, diagonal] += own + FLOOR * (1.0 + curve[:, diagonal, diagonal])
            turns.append(np.linalg.inv(np.linalg.cholesky(curve)))
        return cls(blocks, turns)

    def weights(self, point: FloatArray) -> FloatArray:
        """The weights at a point."""
        return self._turned("nba,bn->an", point)

    def gradient(self, slope: FloatArray) -> FloatArray:
        """The gradient in the point, of that in the weights."""
        return self._turned("nab,bn->an", slope)

    def _turned(self, how: str, vector: FloatArray) -> FloatArray:
        out = np.empty_like(vector)
        for block, turn in zip(self.blocks, self.turns, strict=True):
            part = slice(block.first, block.first + block.features * block.names)
            out[part] = np.einsum(how, turn, vector[part].reshape(block.features, block.names)).ravel()
        return out


def fit_weights(
    design: Design,
    correct: FloatArray,
    penalty: FloatArray,
    blocks: Sequence[Block],
    *,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> Climbed:
    """Weights of the highest penalised likelihood, by L-BFGS (Liu & Nocedal, 1989).

    Parameters
    ----------
    design
        Values before each response; the first weight is the intercept.
    correct
        (n_rows,) outcomes in [0, 1].
    penalty
        (n_weights,) the objective has ``penalty / 2 * weight**2``, as scikit-learn's with C = 1 / penalty.
    blocks
        All weights, by who has them.
    executor, progress
        As for every fit.
    """
    rate = (correct.sum() + 0.5) / (len(correct) + 1.0)
    scale = Scale.of(design, blocks, rate, penalty)
    pieces = [(first, last) for first, last in zip(*_edges(len(correct)), strict=True) if first < last]
    slopes = np.zeros((len(pieces), len(penalty)))

    def objective(point: FloatArray) -> tuple[float, FloatArray]:
        weights = scale.weights(point)
        work = [(design, correct, weights, *piece, out) for piece, out in zip(pieces, slopes, strict=True)]
        loss = sum(parallel.run(kernels.slope, work, executor))
        return loss + 0.5 * float((penalty * weights**2).sum()), scale.gradient(slopes.sum(axis=0) + penalty * weights)

    def told(step: int) -> None:
        if progress is not None:
            progress(step / (step + LIKELY))

    best = minimise(objective, np.zeros(len(penalty)), steps=STEPS, close=CLOSE, told=told)
    return Climbed(scale.weights(best.point), best.value, best.steps)


def _edges(n: int) -> tuple[list[int], list[int]]:
    edges = [n * piece // PIECES for piece in range(PIECES + 1)]
    return edges[:-1], edges[1:]
