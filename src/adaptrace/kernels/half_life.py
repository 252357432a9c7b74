"""Half-life regression (Settles & Meeder, 2016): what was learnt fades, the slower the more often it was answered.

    recall     = 2^(-days / h)                                            (eq. 1)   :func:`recall`
    h          = 2^(w0 + w_skill + w1 sqrt(1 + wins) + w2 sqrt(1 + fails))    (eq. 2)   :func:`half_life`
    P(correct) = guess + (1 - guess - slip) recall                                  :func:`chance`

``days`` since the student's last response on the skill, ``wins`` and ``fails`` of those so far, in sums of credit. The first
response on a skill has nothing to fade: its chance is the skill's rate of first responses.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels.compile import kernel
from adaptrace.kernels.rows import Rows

FloatArray = NDArray[np.float64]

LN2 = math.log(2.0)
LEVELS = 1000.0  # the logarithm of a half-life goes no further: no overflow
SMALLEST = 1e-4  # P(correct) is no nearer to 0 and 1 (as in the paper's own code)


class ForgettingCurve(NamedTuple):
    """How what was learnt fades."""

    weight: FloatArray  # (3,) of log2 days: the level, and of sqrt(1 + wins) and sqrt(1 + fails)
    skill: FloatArray  # (n_skills,) what each skill adds
    first: FloatArray  # (n_skills,) P(correct) of first responses
    guess: float
    slip: float
    shortest: float  # days: bounds of half-lives
    longest: float


class Past(NamedTuple):
    """What a student did on a skill before each response, (n_entries,) each."""

    days: FloatArray  # since the last
    wins: FloatArray  # sqrt(1 + wins)
    fails: FloatArray  # sqrt(1 + fails)


class HalfLifeGradient(NamedTuple):
    """The log-likelihood and its gradient."""

    likelihood: FloatArray  # (1,) itself
    weight: FloatArray  # (3,)
    noise: FloatArray  # (2,) in guess and slip
    skill: FloatArray  # (n_skills,)


# ---- steps ------------------------------------------------------------------


@kernel
def practice(count: float) -> float:
    """What a count of responses adds to the half-life's logarithm, before its weight (the paper's sec. 4.1)."""
    return math.sqrt(1.0 + count)


@kernel
def half_life(level: float, shortest: float, longest: float) -> float:
    """Days in which half is forgotten, from their logarithm to base 2."""
    return min(max(math.exp(LN2 * min(max(level, -LEVELS), LEVELS)), shortest), longest)


@kernel
def recall(days: float, life: float) -> float:
    """The share that is still there."""
    return math.exp(-LN2 * days / life)


@kernel
def chance(recalled: float, guess: float, slip: float) -> float:
    """P(correct) from the share that is still there."""
    return min(max(guess + (1.0 - guess - slip) * recalled, SMALLEST), 1.0 - SMALLEST)


# ---- loops ------------------------------------------------------------------


@kernel
def remember(rows: Rows, first: int, last: int, out: Past) -> None:
    """Write ``wins`` and ``fails`` before every entry of students [first, last)."""
    begin = rows.pair_start[first]
    size = rows.pair_start[last] - begin
    wins, fails = np.zeros(size), np.zeros(size)
    for row in range(rows.student_start[first], rows.student_start[last]):
        for at in range(rows.skill_start[row], rows.skill_start[row + 1]):
            pair = rows.pair[at] - begin
            out.wins[at], out.fails[at] = practice(wins[pair]), practice(fails[pair])
            wins[pair] += rows.correct[row]
            fails[pair] += 1.0 - rows.correct[row]


@kernel
def level(curve: ForgettingCurve, skill: int, wins: float, fails: float) -> float:
    """log2 of a half-life in days, from what :func:`practice` made of the counts."""
    out: float = curve.weight[0] + curve.skill[skill] + curve.weight[1] * wins + curve.weight[2] * fails
    return out


@kernel
def chance_at(rows: Rows, past: Past, curve: ForgettingCurve, at: int) -> float:
    """P(correct) by one skill of an event."""
    skill = rows.pair_skill[rows.pair[at]]
    if rows.opportunity[at] == 1:
        return chance(curve.first[skill], 0.0, 0.0)
    life = half_life(level(curve, skill, past.wins[at], past.fails[at]), curve.shortest, curve.longest)
    return chance(recall(past.days[at], life), curve.guess, curve.slip)


@kernel
def event_chance(rows: Rows, past: Past, curve: ForgettingCurve, row: int) -> float:
    """P(correct): the mean over the event's skills."""
    total, here, until = 0.0, int(rows.skill_start[row]), int(rows.skill_start[row + 1])
    for at in range(here, until):
        total += chance_at(rows, past, curve, at)
    return total / (until - here)


@kernel
def chances(rows: Rows, past: Past, curve: ForgettingCurve, first: int, last: int, out: FloatArray) -> None:
    """P(correct) of every response of students [first, last)."""
    for row in range(rows.student_start[first], rows.student_start[last]):
        out[row] = event_chance(rows, past, curve, row)


@kernel
def log_likelihood_and_gradient(
    rows: Rows, past: Past, curve: ForgettingCurve, first: int, last: int, out: HalfLifeGradient
) -> None:
    """Add the log-likelihood of the responses of students [first, last), and its gradient.

    Bounds are flat: a half-life or a chance that is held there adds nothing to the gradient.
    """
    span = 1.0 - curve.guess - curve.slip
    for row in range(rows.student_start[first], rows.student_start[last]):
        p, y = event_chance(rows, past, curve, row), rows.correct[row]
        out.likelihood[0] += y * math.log(p) + (1.0 - y) * math.log(1.0 - p)
        here, until = rows.skill_start[row], rows.skill_start[row + 1]
        residual = (y - p) / (p * (1.0 - p)) / (until - here)
        for at in range(here, until):
            if rows.opportunity[at] == 1:
                continue
            skill = rows.pair_skill[rows.pair[at]]
            life = half_life(level(curve, skill, past.wins[at], past.fails[at]), curve.shortest, curve.longest)
            recalled = recall(past.days[at], life)
            if not SMALLEST < curve.guess + span * recalled < 1.0 - SMALLEST:
                continue
            out.noise[0] += residual * (1.0 - recalled)
            out.noise[1] -= residual * recalled
            if curve.shortest < life < curve.longest:
                in_level = residual * span * recalled * LN2 * LN2 * past.days[at] / life
                out.weight[0] += in_level
                out.weight[1] += in_level * past.wins[at]
                out.weight[2] += in_level * past.fails[at]
                out.skill[skill] += in_level
