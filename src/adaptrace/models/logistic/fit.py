"""The fit of logistic models: one convex climb over a sparse design, the same bits for any number of threads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels import logistic as kernels
from adaptrace.kernels import parallel
from adaptrace.kernels.lbfgs import minimise
from adaptrace.kernels.logistic import Block, Design
from adaptrace.models.base import Progress

FloatArray = NDArray[np.float64]

PIECES = 16  # of the rows: as many for any number of threads, so that sums have one order
STEPS, CLOSE = 500, 1e-8  # of the climb at most; relative gain of the objective at which it ends
SAMPLED = 50_000  # rows that tell the curvature of weights that meet most of them
DENSE = 1200  # weights whose pairs are all looked at
FLOOR = 1e-6  # curvature of a weight that nothing else holds
LIKELY = 30.0  # steps: nobody knows how many it takes, and progress never goes back


class Climbed(NamedTuple):
    """What :func:`fit_weights` found."""

    weights: FloatArray  # (n_weights,)
    objective: float  # minus the log-likelihood, with the penalty


@dataclass(frozen=True)
class Scale:
    """A change of variables in which the objective is about as steep in every direction.

    The weights that a response meets together are correlated, so each block is turned by the root of its curvature.
    """

    blocks: Sequence[Block]
    roots: Sequence[FloatArray]  # of each block, (n_names, features, features): upper roots of the curvature

    @classmethod
    def of(cls, design: Design, blocks: Sequence[Block], chance: float, penalty: FloatArray) -> Scale:
        """The curvature where every P(correct) is ``chance``."""
        spread, step, roots = chance * (1.0 - chance), 1 + (len(design.start) - 1) // SAMPLED, []
        for block in blocks:
            curve = np.zeros((block.names, block.features, block.features))
            kernels.moments(design, block, step if block.names == 1 else 1, curve)
            curve *= spread
            diagonal, own = np.arange(block.features), penalty[_part(block)].reshape(block.features, block.names).T
            curve[:, diagonal, diagonal] += own + FLOOR * (1.0 + curve[:, diagonal, diagonal])
            kernels.roots(curve)
            roots.append(curve)
        return cls(blocks, roots)

    def weights(self, point: FloatArray) -> FloatArray:
        """The weights at a point."""
        return self._solved(kernels.solve, point)

    def gradient(self, slope: FloatArray) -> FloatArray:
        """The gradient in the point, of that in the weights."""
        return self._solved(kernels.solve_turned, slope)

    def _solved(self, how: Callable[[FloatArray, FloatArray], None], vector: FloatArray) -> FloatArray:
        out = vector.copy()
        for block, root in zip(self.blocks, self.roots, strict=True):
            how(root, out[_part(block)].reshape(block.features, block.names))
        return out


def _part(block: Block) -> slice:
    """Where a block's weights stand."""
    return slice(block.first, block.first + block.features * block.names)


def together(blocks: Sequence[Block]) -> list[Block]:
    """The first blocks as one, as far as all pairs of their weights are few enough to look at."""
    sizes = np.cumsum([block.features * block.names for block in blocks])
    joined = int((sizes <= DENSE).sum())
    return [Block(0, int(sizes[joined - 1]), 1), *blocks[joined:]] if joined > 1 else list(blocks)


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
    scale = Scale.of(design, together(blocks), rate, penalty)
    pieces = [(first, last) for first, last in parallel.ranges(len(correct), PIECES) if first < last]
    slopes = np.zeros((len(pieces), len(penalty)))

    def objective(point: FloatArray) -> tuple[float, FloatArray]:
        weights = scale.weights(point)
        work = [(design, correct, weights, *piece, out) for piece, out in zip(pieces, slopes, strict=True)]
        loss = sum(parallel.run(kernels.slope, work, pool))
        return loss + 0.5 * float((penalty * weights**2).sum()), scale.gradient(slopes.sum(axis=0) + penalty * weights)

    def told(step: int) -> None:
        if progress is not None:
            progress(step / (step + LIKELY))

    with parallel.workers(executor, len(correct)) as pool:
        best = minimise(objective, np.zeros(len(penalty)), steps=STEPS, close=CLOSE, told=told)
    if progress is not None:
        progress(1.0)
    return Climbed(scale.weights(best.point), best.value)
