"""Bayesian knowledge tracing (Corbett & Anderson, 1995, eq. 1-4).

A skill is *known* or *unknown*. The state of one student on one skill is a
single number, the odds of mastery ``odds = P(known) / P(unknown)``: odds keep
their precision however close to certainty a student comes.

    P(correct)  = P(known) (1 - slip) + P(unknown) guess             :func:`chance`
    odds'       = odds * P(outcome | known) / P(outcome | unknown)   Bayes
    P(known)    = P(known') (1 - forget) + P(unknown') learn         :func:`update`

``correct`` may be a fraction c: the outcome is then right with probability c
(virtual evidence; Pearl, 1988, sec. 2.2.2), see :func:`blend`. An event with
several skills is right when every one of them is answered right (NIDA; Junker
& Sijtsma, 2001, eq. 5), and each skill is updated by its exact posterior given
the others, so the blame for a wrong answer falls on the skill most likely
missing: see :func:`evidence`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels.compile import kernel
from adaptrace.kernels.rows import Rows

FloatArray = NDArray[np.float64]

MIN_ODDS, MAX_ODDS = 1e-200, 1e200  # far from overflow after any one multiplication
MAX_MASTERY = 1.0 - 2.0**-53  # the largest float below one


class Parameters(NamedTuple):
    """One value per skill, shape (n_skills,): probabilities strictly inside (0, 1); forget may be 0."""

    prior: FloatArray
    learn: FloatArray
    forget: FloatArray
    guess: FloatArray
    slip: FloatArray


class Traced(NamedTuple):
    """What :func:`trace` writes."""

    predicted: FloatArray  # (n_rows,) P(correct) before each response
    odds: FloatArray  # (n_pairs,) of mastery, after the pair's last response
    others: FloatArray  # (n_entries,) P(the event's other skills are right), before it; untouched where there are none


class Smoothed(NamedTuple):
    """What :func:`smooth` writes, both (n_entries,)."""

    known: FloatArray  # P(known at the response | all responses)
    learned: FloatArray  # P(unknown at the response and known after it | all responses)


@kernel
def initial(prior: float) -> float:
    """Odds of mastery before any response."""
    return prior / (1.0 - prior)


@kernel
def mastery(odds: float) -> float:
    """P(known), never 0 and never 1."""
    return min(odds / (1.0 + odds), MAX_MASTERY)


@kernel
def chance(odds: float, guess: float, slip: float) -> float:
    """P(correct) on one skill."""
    return (odds * (1.0 - slip) + guess) / (odds + 1.0)


@kernel
def blend(correct: float, right: float) -> float:
    """P(outcome) where P(right) = right and the outcome is right with probability ``correct``."""
    return correct * right + (1.0 - correct) * (1.0 - right)


@kernel
def evidence(correct: float, others: float, guess: float, slip: float) -> float:
    """P(outcome | known) / P(outcome | unknown); ``others`` = P(the event's other skills are right)."""
    return blend(correct, (1.0 - slip) * others) / blend(correct, guess * others)


@kernel
def update(odds: float, ratio: float, learn: float, forget: float) -> float:
    """The step: weigh the evidence, then learn and forget once."""
    known = odds * ratio
    moved = (known * (1.0 - forget) + learn) / (known * forget + (1.0 - learn))
    return min(max(moved, MIN_ODDS), MAX_ODDS)


@kernel
def trace(rows: Rows, parameters: Parameters, first: int, last: int, out: Traced) -> None:
    """Forward pass over students [first, last): predict each event, then update its skills."""
    prior, learn, forget, guess, slip = parameters
    odds = out.odds
    for pair in range(rows.pair_start[first], rows.pair_start[last]):
        odds[pair] = initial(prior[rows.pair_skill[pair]])
    for row in range(rows.student_start[first], rows.student_start[last]):
        begin, end = rows.skill_start[row], rows.skill_start[row + 1]
        joint = 1.0
        for at in range(begin, end):
            pair = rows.pair[at]
            skill = rows.pair_skill[pair]
            joint *= chance(odds[pair], guess[skill], slip[skill])
        out.predicted[row] = joint
        for at in range(begin, end):
            pair = rows.pair[at]
            skill = rows.pair_skill[pair]
            others = 1.0
            if end - begin > 1:
                others = joint / chance(odds[pair], guess[skill], slip[skill])
                out.others[at] = others
            ratio = evidence(rows.correct[row], others, guess[skill], slip[skill])
            odds[pair] = update(odds[pair], ratio, learn[skill], forget[skill])


@kernel
def spread(
    rows: Rows, parameters: Parameters, covariance: FloatArray, others: FloatArray, first: int, last: int, variance: FloatArray
) -> None:
    """Variance of the log-odds of mastery after each pair's last response, by the delta method.

    ``covariance`` (n_skills, 5, 5) is of the logits of the parameters; their effect on the log-odds is
    carried along the :func:`trace` that gave ``others``, whose own uncertainty is left out.
    """
    prior, learn, forget, guess, slip = parameters
    begin_pair, end_pair = rows.pair_start[first], rows.pair_start[last]
    odds, slope = np.empty(end_pair - begin_pair), np.zeros((end_pair - begin_pair, 5))
    for pair in range(begin_pair, end_pair):
        odds[pair - begin_pair] = initial(prior[rows.pair_skill[pair]])
        slope[pair - begin_pair, 0] = 1.0
    for row in range(rows.student_start[first], rows.student_start[last]):
        correct = rows.correct[row]
        for at in range(rows.skill_start[row], rows.skill_start[row + 1]):
            place, skill = rows.pair[at] - begin_pair, rows.pair_skill[rows.pair[at]]
            t, f, g, s = learn[skill], forget[skill], guess[skill], slip[skill]
            rest = others[at] if len(others) else 1.0
            ratio = evidence(correct, rest, g, s)
            turn = (2.0 * correct - 1.0) * rest
            known = odds[place] * ratio
            top, bottom = known * (1.0 - f) + t, known * f + (1.0 - t)
            keep = known * (1.0 - f) / top - known * f / bottom
            for a in range(5):
                slope[place, a] *= keep
            slope[place, 1] += (1.0 / top + 1.0 / bottom) * t * (1.0 - t)
            slope[place, 2] -= (known / top + known / bottom) * f * (1.0 - f)
            slope[place, 3] -= keep * turn * g * (1.0 - g) / blend(correct, g * rest)
            slope[place, 4] -= keep * turn * s * (1.0 - s) / blend(correct, (1.0 - s) * rest)
            odds[place] = update(odds[place], ratio, t, f)
    for pair in range(begin_pair, end_pair):
        total, place, skill = 0.0, pair - begin_pair, rows.pair_skill[pair]
        for a in range(5):
            for b in range(5):
                total += slope[place, a] * covariance[skill, a, b] * slope[place, b]
        variance[pair] = max(total, 0.0)


@kernel
def smooth(rows: Rows, parameters: Parameters, others: FloatArray, first: int, last: int, out: Smoothed) -> None:
    """Forward-backward over students [first, last) (Rabiner, 1989, sec. III.B), given the ``others`` of a trace.

    The backward pass is one number too: P(outcomes from here on | known) / P(the same | unknown).
    """
    prior, learn, forget, guess, slip = parameters
    begin = rows.skill_start[rows.student_start[first]]
    end = rows.skill_start[rows.student_start[last]]
    begin_pair, n_pairs = rows.pair_start[first], rows.pair_start[last] - rows.pair_start[first]
    odds, ahead = np.empty(n_pairs), np.ones(n_pairs)
    before, ratio = np.empty(end - begin), np.empty(end - begin)
    for place in range(n_pairs):
        odds[place] = initial(prior[rows.pair_skill[begin_pair + place]])
    for row in range(rows.student_start[first], rows.student_start[last]):
        for at in range(rows.skill_start[row], rows.skill_start[row + 1]):
            place, skill = rows.pair[at] - begin_pair, rows.pair_skill[rows.pair[at]]
            rest = others[at] if len(others) else 1.0
            before[at - begin] = odds[place]
            ratio[at - begin] = evidence(rows.correct[row], rest, guess[skill], slip[skill])
            odds[place] = update(odds[place], ratio[at - begin], learn[skill], forget[skill])
    for at in range(end - 1, begin - 1, -1):
        place, skill = rows.pair[at] - begin_pair, rows.pair_skill[rows.pair[at]]
        if_known = (1.0 - forget[skill]) * ahead[place] + forget[skill]
        if_unknown = learn[skill] * ahead[place] + (1.0 - learn[skill])
        known = before[at - begin] * ratio[at - begin] * if_known
        out.known[at] = mastery(known / if_unknown)
        out.learned[at] = learn[skill] * ahead[place] / (known + if_unknown)
        ahead[place] = min(max(ratio[at - begin] * if_known / if_unknown, MIN_ODDS), MAX_ODDS)
