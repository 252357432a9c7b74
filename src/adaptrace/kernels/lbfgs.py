"""L-BFGS (Liu & Nocedal, 1989), the same bits for any number of threads.

SciPy's own takes its inner products from BLAS, whose last digits change with the number of its threads, and whose threads
wait for one another on a busy machine. Everything here is added up in one order.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]
Objective = Callable[[FloatArray], tuple[float, FloatArray]]  # the value and its gradient

REMEMBERED = 20  # steps from which the curvature is found
DECREASE, FLATTER = 1e-4, 0.9  # Wolfe's conditions on a step
TRIES = 25  # of its length
FLAT = 1e-6  # the largest entry of the gradient at a minimum


class Minimum(NamedTuple):
    """Where a descent ended."""

    point: FloatArray
    value: float
    steps: int


class _At(NamedTuple):
    point: FloatArray
    value: float
    gradient: FloatArray


def minimise(
    objective: Objective, start: FloatArray, *, steps: int, close: float, report: Callable[[int], None] | None = None
) -> Minimum:
    """Descend to a minimum of a smooth function.

    Parameters
    ----------
    objective
        Gives the value and the gradient at a point (n,).
    start
        (n,), well scaled: the gradient is about as large in every direction. Not changed.
    steps
        At most so many.
    close
        Ends when a step lowers the value by less than this share of it.
    report
        Called with the number of each step.
    """
    number, gain = 0, np.inf
    now, past = _At(start, *objective(start)), deque[tuple[FloatArray, FloatArray, float]](maxlen=REMEMBERED)
    for number in range(1, steps + 1):
        if not len(start) or np.abs(now.gradient).max() <= FLAT:
            return Minimum(now.point, now.value, number - 1)
        new = _step(objective, now, _direction(now.gradient, past))
        if new is None:
            return Minimum(now.point, now.value, number - 1)
        moved, change = new.point - now.point, new.gradient - now.gradient
        curvature = dot(moved, change)
        if curvature > 1e-12 * dot(change, change):
            past.append((moved, change, curvature))
        gain, now = now.value - new.value, new
        if report is not None:
            report(number)
        if gain <= close * max(abs(now.value), 1.0):
            break
    return Minimum(now.point, now.value, number)


def dot(a: FloatArray, b: FloatArray) -> float:
    """Inner product, added up in one order."""
    return float(np.add.reduce(a * b))


def _direction(gradient: FloatArray, past: deque[tuple[FloatArray, FloatArray, float]]) -> FloatArray:
    """Minus the inverse curvature, as found from the past steps, times the gradient: the two-loop recursion."""
    out, shares = -gradient, []
    for moved, change, curvature in reversed(past):
        share = dot(moved, out) / curvature
        out -= share * change
        shares.append(share)
    if past:
        _, change, curvature = past[-1]
        out *= curvature / dot(change, change)
    for (moved, change, curvature), share in zip(past, reversed(shares), strict=True):
        out += (share - dot(change, out) / curvature) * moved
    return out


def _step(objective: Objective, now: _At, direction: FloatArray) -> _At | None:
    """A point along a direction that is lower and flatter by Wolfe's conditions; None if no step lowers the value."""
    descent, low, high, best = dot(now.gradient, direction), 0.0, np.inf, None
    if not descent < 0.0:
        direction, descent = -now.gradient, -dot(now.gradient, now.gradient)
    length = 1.0
    for _ in range(TRIES):
        point = now.point + length * direction
        new = _At(point, *objective(point))
        if not new.value <= now.value + DECREASE * length * descent:
            high = length
            fall = 2.0 * (new.value - now.value - length * descent)
            guess = -descent * length * length / fall if np.isfinite(fall) and fall > 0.0 else 0.0
            length = min(max(guess, low + 0.1 * (high - low)), low + 0.9 * (high - low))
            continue
        best = new
        if dot(new.gradient, direction) >= FLATTER * descent:
            return new
        low = length
        length = 2.0 * length if high == np.inf else 0.5 * (low + high)
    return best
