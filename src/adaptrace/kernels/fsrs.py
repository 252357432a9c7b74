"""FSRS, the free spaced repetition scheduler (Ye, Su & Cao, 2022; version 6): how well a card is remembered, and for how long.

    R(t)  = (1 + F t / S)^-w20,    F = 0.9^(-1 / w20) - 1       after t whole days             :func:`recall`
    S'    = S (1 + e^w8 (11 - D) S^-w9 (e^(w10 (1 - R)) - 1))   a right answer, a day or more later
    S'    = w11 D^-w12 ((S + 1)^w13 - 1) e^(w14 (1 - R))        a wrong one; at most S e^(-w17 w18)
    S'    = S e^(w17 (G - 3 + w18)) S^-w19                      within a day
    D'    = w7 D0(4) + (1 - w7) (D - w6 (G - 3) (10 - D) / 9)   any answer

*Stability* S is the number of days after which recall is 0.9, *difficulty* D a number from 1 to 10. A right answer is rated
*good* (G = 3), a wrong one *again* (G = 1). The operations stand in the order of the package ``fsrs``: the same bits.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels.compile import kernel

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
CodeArray = NDArray[np.int32]

DAY = 86_400_000_000  # microseconds
SHORTEST, EASIEST, HARDEST = 0.001, 1.0, 10.0  # stability in days; difficulties
SMALLEST = 1e-4  # P(correct) is no nearer to 0 and 1
NOBODY = -1


class Scheduler(NamedTuple):
    """What the 21 parameters come to; of pairs, the first is for a wrong answer."""

    decay: float
    factor: float
    first_stability: tuple[float, float]
    first_difficulty: tuple[float, float]
    short: tuple[float, float]  # what an answer within a day multiplies stability by
    short_power: float
    harder: tuple[float, float]  # what an answer adds to difficulty, before it is damped
    easy: float  # the difficulty to which all return, and how fast
    to_easy: float
    recall_scale: float
    recall_power: float
    recall_rate: float
    lapse_scale: float
    lapse_difficulty: float
    lapse_power: float
    lapse_rate: float
    lapse_most: float  # stability is at least divided by this


class Rates(NamedTuple):
    """P(correct) where the scheduler predicts nothing."""

    first: FloatArray  # (n_items + 1,) of first responses; the last for unknown items
    same_day: float


# ---- steps ------------------------------------------------------------------


@kernel
def recall(scheduler: Any, stability: float, days: int) -> float:
    """The chance that a card is recalled so many whole days after its last review."""
    return (1.0 + scheduler.factor * days / stability) ** scheduler.decay  # type: ignore[no-any-return]


@kernel
def chance(recalled: float) -> float:
    """P(correct) from recall, never 0 and never 1."""
    return min(max(recalled, SMALLEST), 1.0 - SMALLEST)


@kernel
def lapsed(scheduler: Any, stability: float, difficulty: float, recalled: float) -> float:
    """The stability after a wrong answer, a day or more after the last review."""
    long = (
        scheduler.lapse_scale
        * (difficulty**scheduler.lapse_difficulty)
        * (((stability + 1.0) ** scheduler.lapse_power) - 1.0)
        * (math.e ** ((1.0 - recalled) * scheduler.lapse_rate))
    )
    return min(long, stability / scheduler.lapse_most)  # type: ignore[no-any-return]


@kernel
def recalled_again(scheduler: Any, stability: float, difficulty: float, recalled: float) -> float:
    """The stability after a right answer, a day or more after the last review."""
    return stability * (  # type: ignore[no-any-return]
        1.0
        + scheduler.recall_scale
        * (11.0 - difficulty)
        * (stability**scheduler.recall_power)
        * ((math.e ** ((1.0 - recalled) * scheduler.recall_rate)) - 1.0)
    )


@kernel
def next_stability(scheduler: Any, stability: float, difficulty: float, days: int, right: int) -> float:
    """The stability after an answer so many whole days after the last review; ``right`` is 0 or 1."""
    if days < 1:
        growth = scheduler.short[right] * (stability**scheduler.short_power)
        return max(stability * (max(growth, 1.0) if right == 1 else growth), SHORTEST)  # type: ignore[no-any-return]
    recalled = recall(scheduler, stability, days)
    if right == 1:
        return max(recalled_again(scheduler, stability, difficulty, recalled), SHORTEST)
    return max(lapsed(scheduler, stability, difficulty, recalled), SHORTEST)


@kernel
def next_difficulty(scheduler: Any, difficulty: float, right: int) -> float:
    """The difficulty after an answer."""
    moved = difficulty + (10.0 - difficulty) * scheduler.harder[right] / 9.0
    return min(max(scheduler.to_easy * scheduler.easy + (1.0 - scheduler.to_easy) * moved, EASIEST), HARDEST)  # type: ignore[no-any-return]


# ---- a log ------------------------------------------------------------------


@kernel
def chances(
    student_start: IntArray,
    item: CodeArray,
    place: IntArray,
    moment: IntArray,
    correct: FloatArray,
    scheduler: Scheduler,
    rates: Rates,
    first: int,
    last: int,
    out: FloatArray,
) -> None:
    """P(correct) before each response of students [first, last), into ``out`` (n_rows,).

    ``item`` (n_rows,) among the log's, ``place`` (n_items,) of each in the rates; ``moment`` (n_rows,) in microseconds.
    """
    owner, reviewed = np.full(len(place), NOBODY), np.empty(len(place), np.int64)
    stability, difficulty = np.empty(len(place)), np.empty(len(place))
    for student in range(first, last):
        for row in range(student_start[student], student_start[student + 1]):
            card, right = item[row], 1 if correct[row] >= 0.5 else 0
            if owner[card] != student:
                owner[card] = student
                out[row] = rates.first[place[card]]
                stability[card], difficulty[card] = scheduler.first_stability[right], scheduler.first_difficulty[right]
            else:
                days = (moment[row] - reviewed[card]) // DAY
                out[row] = rates.same_day if days < 1 else chance(recall(scheduler, stability[card], days))
                stability[card] = next_stability(scheduler, stability[card], difficulty[card], days, right)
                difficulty[card] = next_difficulty(scheduler, difficulty[card], right)
            reviewed[card] = moment[row]
