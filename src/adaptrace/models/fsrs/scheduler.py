"""The 21 parameters of FSRS: their defaults, where each may be, and what they come to."""

from __future__ import annotations

import math
from collections.abc import Sequence

from adaptrace.errors import ModelError
from adaptrace.kernels import fsrs as kernels
from adaptrace.kernels.fsrs import Scheduler

# of version 6, and where each may be: those of the package fsrs
DEFAULTS = (
    *(0.212, 1.2931, 2.3065, 8.2956, 6.4133, 0.8334, 3.0194, 0.001, 1.8722, 0.1666, 0.796),
    *(1.4835, 0.0614, 0.2629, 1.6483, 0.6014, 1.8729, 0.5425, 0.0912, 0.0658, 0.1542),
)
LOWEST = (*(0.001,) * 4, 1.0, *(0.001,) * 3, 0.0, 0.0, *(0.001,) * 4, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 0.1)
HIGHEST = (*(100.0,) * 4, 10.0, 4.0, 4.0, 0.75, 4.5, 0.8, 3.5, 5.0, 0.25, 0.9, 4.0, 1.0, 6.0, 2.0, 2.0, 0.8, 0.8)


def check_parameters(parameters: Sequence[float]) -> None:
    """Refuse parameters that the package would refuse, all at once."""
    if len(parameters) != len(DEFAULTS):
        raise ModelError(f"parameters: got {len(parameters)}; expected {len(DEFAULTS)}")
    ranges = zip(parameters, LOWEST, HIGHEST, strict=True)
    problems = [
        f"parameter {number}: got {value:g}; expected {low:g} to {high:g}"
        for number, (value, low, high) in enumerate(ranges)
        if not low <= value <= high
    ]
    if problems:
        raise ModelError("; ".join(problems))


def scheduler_of(parameters: Sequence[float]) -> Scheduler:
    """What the 21 parameters come to, each number computed as the package ``fsrs`` does."""
    w = tuple(map(float, parameters))
    easy, lenient = (w[4] - (math.e ** (w[5] * grade)) + 1.0 for grade in (3, 2))
    hardest = w[4] - (math.e**0.0) + 1.0
    return Scheduler(
        decay=-w[20],
        factor=0.9 ** (1 / -w[20]) - 1,
        first_stability=(max(w[0], kernels.SHORTEST), max(w[2], kernels.SHORTEST)),
        first_difficulty=(_clamped(hardest), _clamped(lenient)),
        short=(math.e ** (w[17] * (-2 + w[18])), math.e ** (w[17] * (0 + w[18]))),
        short_power=-w[19],
        harder=(-(w[6] * -2), -(w[6] * 0)),
        easy=easy,
        to_easy=w[7],
        recall_scale=math.e ** w[8],
        recall_power=-w[9],
        recall_rate=w[10],
        lapse_scale=w[11],
        lapse_difficulty=-w[12],
        lapse_power=w[13],
        lapse_rate=w[14],
        lapse_most=math.e ** (w[17] * w[18]),
    )


def _clamped(difficulty: float) -> float:
    return min(max(difficulty, kernels.EASIEST), kernels.HARDEST)
