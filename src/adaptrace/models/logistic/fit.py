"""The fit of logistic models: a convex objective over a sparse design, the same bits for any number of threads."""

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
STEPS, CLOSE = 500, 1e-8  # at most; relative gain of the objective at which the descent ends
SAMPLED = 50_000  # rows from which the curvature of weights that meet most of them is found
DENSE = 1200  # weights whose pairs are all looked at
FLOOR = 1e-6  # curvature of a weight that nothing else holds
LIKELY = 30.0  # steps: nobody knows how many it takes, and progress never goes back


class FittedWeights(NamedTuple):
    """What :func:`fit_weights` found."""

    weights: FloatArray  # (n_weights,)
    objective: float  # minus the log-likelihood, with the penalty


@dataclass(frozen=True)
class Scaling:
    """A change of variables in which the gradient of the objective is about as large in every direction.

    The weights that a response meets together are correlated, so each block is turned by the root of its curvature.
    """

    blocks: Sequence[Block]
    roots: Sequence[FloatArray]  # of each block, (n_names, features, features): upper roots of the curvature

    @classmethod
    def of(cls, design: Design, blocks: Sequence[Block], chance: float, penalty: FloatArray) -> Scaling:
        """The curvature where every P(correct) is ``chance``."""
        variance, step, roots = chance * (1.0 - chance), 1 + (len(design.start) - 1) // SAMPLED, []
        for block in blocks:
            information = np.zeros((block.names, block.features, block.features))
            kernels.moments(design, block, step if block.names == 1 else 1, information)
            information *= variance
            diagonal, own = np.arange(block.features), penalty[_part(block)].reshape(block.features, block.names).T
            information[:, diagonal, diagonal] += own + FLOOR * (1.0 + information[:, diagonal, diagonal])
            kernels.roots(information)
            roots.append(information)
        return cls(blocks, roots)

    def weights(self, point: FloatArray) -> FloatArray:
        """The weights at a point."""
        return self._solved(kernels.solve, point)

    def gradient(self, gradient: FloatArray) -> FloatArray:
        """The gradient in the point, of that in the weights."""
        return self._solved(kernels.solve_turned, gradient)

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
) -> FittedWeights:
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
    scaling = Scaling.of(design, together(blocks), rate, penalty)
    pieces = [(first, last) for first, last in parallel.ranges(len(correct), PIECES) if first < last]
    gradients = np.zeros((len(pieces), len(penalty)))

    def objective(point: FloatArray) -> tuple[float, FloatArray]:
        weights = scaling.weights(point)
        work = [(design, correct, weights, *piece, out) for piece, out in zip(pieces, gradients, strict=True)]
        loss = sum(parallel.run(kernels.loss_and_gradient, work, pool))
        return loss + 0.5 * float((penalty * weights**2).sum()), scaling.gradient(gradients.sum(axis=0) + penalty * weights)

    def report(step: int) -> None:
        if progress is not None:
            progress(step / (step + LIKELY))

    with parallel.workers(executor, len(correct)) as pool:
        best = minimise(objective, np.zeros(len(penalty)), steps=STEPS, close=CLOSE, report=report)
    if progress is not None:
        progress(1.0)
    return FittedWeights(scaling.weights(best.point), best.value)
