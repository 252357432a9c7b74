"""Bayesian knowledge tracing (Corbett & Anderson, 1995, eq. 1-4).

A skill is *known* or *unknown*. The state of one student on one skill is a
single number, the odds of mastery ``odds = P(known) / P(unknown)``: odds keep
their precision however close to certainty a student comes.

    P(correct)  = P(known) (1 - slip) + P(unknown) guess             :func:`chance`
    odds'       = odds * P(outcome | known) / P(outcome | unknown)   :func:`evidence`, Bayes
    P(known)    = P(known') (1 - forget) + P(unknown') learn         :func:`update`
    P(known)    = P(known') 2^(-days / half_life)                    :func:`fade`, between responses

``correct`` may be a fraction c: the outcome is then right with probability c
(virtual evidence; Pearl, 1988, sec. 2.2.2), see :func:`blend`. An event with
several skills is one event with one prediction, by a named rule: see
:func:`joint` and :func:`credit`.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels.compile import kernel
from adaptrace.kernels.rows import Rows

FloatArray = NDArray[np.float64]
CodeArray = NDArray[np.int32]

MIN_ODDS, MAX_ODDS = 1e-200, 1e200  # far from overflow after any one multiplication
MAX_MASTERY = 1.0 - 2.0**-53  # the largest float below one
CONJUNCTIVE, MEAN, MIN, WEAKEST_FIRST = range(4)  # how the skills of one event combine
NOTHING = np.empty(0)


class Parameters(NamedTuple):
    """One value per cell: probabilities strictly inside (0, 1); forget may be 0.

    A *cell* is what shares parameters: a skill, or a skill with one item, kind, group or student.
    """

    prior: FloatArray
    learn: FloatArray
    forget: FloatArray
    guess: FloatArray
    slip: FloatArray


class Cells(NamedTuple):
    """Which cell holds for what. Empty arrays save the work where it is the same everywhere."""

    pair: CodeArray  # (n_pairs,) the cell of a pair's prior, and of everything where `entry` is empty
    entry: CodeArray  # (n_entries,) or empty: the cell of each skill of each response
    level: CodeArray  # (n_entries,) or empty: the cell that says how likely the level was; -1: `correct` tells all
    gap: FloatArray  # (n_entries,) or empty: days since the pair's last response
    half_life: FloatArray  # (n_skills,) or empty: days in which P(known) halves


class Credit(NamedTuple):
    """How far an outcome speaks of one skill: P(right | skill) = weight P(right on this skill) + rest."""

    weight: FloatArray  # (n_entries,); empty where every event has one skill
    rest: FloatArray  # (n_entries,)


class Traced(NamedTuple):
    """What :func:`trace` writes."""

    predicted: FloatArray  # (n_rows,) P(correct) before each response
    odds: FloatArray  # (n_pairs,) of mastery, after the pair's last response
    credit: Credit  # of each skill of each response
    mastery: FloatArray = NOTHING  # (n_entries,), or empty: do not keep it; P(known) after each response


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
def evidence(correct: float, weight: float, rest: float, guess: float, slip: float) -> float:
    """P(outcome | known) / P(outcome | unknown), given the skill's credit."""
    return blend(correct, weight * (1.0 - slip) + rest) / blend(correct, weight * guess + rest)


@kernel
def update(odds: float, ratio: float, learn: float, forget: float) -> float:
    """The step: weigh the evidence, then learn and forget once."""
    known = odds * ratio
    moved = (known * (1.0 - forget) + learn) / (known * forget + (1.0 - learn))
    return min(max(moved, MIN_ODDS), MAX_ODDS)


@kernel
def fade(odds: float, days: float, half_life: float) -> float:
    """Odds after some days without practice: P(known) halves in every half-life (Ebbinghaus, 1885; Settles & Meeder, 2016)."""
    keep = math.exp(-math.log(2.0) * days / half_life)
    return max(odds * keep / (1.0 + odds * (1.0 - keep)), MIN_ODDS)


@kernel
def fade_all(odds: FloatArray, days: FloatArray, half_life: FloatArray, skill: CodeArray, out: FloatArray) -> None:
    """Fade the odds of every pair."""
    for pair in range(len(odds)):
        out[pair] = fade(odds[pair], days[pair], half_life[skill[pair]])


# ---- several skills in one event --------------------------------------------


@kernel
def joint(rule: int, product: float, total: float, least: float, several: int) -> float:
    """P(correct) of an event from the product, the sum and the least of its skills' chances.

    ``conjunctive``, ``weakest-first``: every skill must be answered right (NIDA; Junker & Sijtsma, 2001, eq. 5).
    ``mean``: one of the skills decides, all equally likely. ``min``: the weakest decides (Gong, Beck & Heffernan, 2010).
    """
    if rule == MEAN:
        return total / several
    if rule == MIN:
        return least
    return product


@kernel
def credit(rule: int, correct: float, own: float, predicted: float, several: int, weakest: bool) -> tuple[float, float]:
    """Weight and rest of one skill of an event, from its own chance and the event's prediction.

    ``conjunctive`` and ``mean`` are exact: the posterior of the skill given the others' chances, so blame falls on each
    skill in proportion to the probability that it was the one missing (Koedinger et al., 2011). ``min`` speaks of the
    weakest skill alone; ``weakest-first`` praises all skills and blames the weakest.
    """
    if rule == CONJUNCTIVE:
        return predicted / own, 0.0
    if rule == MEAN:
        return 1.0 / several, max(predicted - own / several, 0.0)
    if weakest:
        return 1.0, 0.0
    if rule == MIN:
        return 0.0, 0.5
    return correct, 0.5 * (1.0 - correct)


# ---- passes over a log ------------------------------------------------------


@kernel
def note(path: FloatArray, at: int, odds: float) -> None:
    """Keep P(known) on the path of mastery, if that is wanted."""
    if len(path) > 0:
        path[at] = mastery(odds)


@kernel
def trace(rows: Rows, cells: Cells, parameters: Parameters, rule: int, first: int, last: int, out: Traced) -> None:
    """Forward pass over students [first, last): predict each event, then update its skills."""
    prior, learn, forget, guess, slip = parameters
    odds = out.odds
    by_entry, by_level, timed = len(cells.entry) > 0, len(cells.level) > 0, len(cells.gap) > 0
    plain = not (by_entry or by_level or timed or len(out.mastery) > 0)
    for pair in range(rows.pair_start[first], rows.pair_start[last]):
        odds[pair] = initial(prior[cells.pair[pair]])
    for row in range(rows.student_start[first], rows.student_start[last]):
        begin, end = rows.skill_start[row], rows.skill_start[row + 1]
        if plain and end - begin == 1:  # what the general case below comes to, three times as fast
            pair, correct = rows.pair[begin], rows.correct[row]
            cell = cells.pair[pair]
            out.predicted[row] = chance(odds[pair], guess[cell], slip[cell])
            odds[pair] = update(odds[pair], evidence(correct, 1.0, 0.0, guess[cell], slip[cell]), learn[cell], forget[cell])
            continue
        product, total, least, weakest = 1.0, 0.0, 2.0, begin
        for at in range(begin, end):
            pair = rows.pair[at]
            cell = cells.entry[at] if by_entry else cells.pair[pair]
            if timed:
                odds[pair] = fade(odds[pair], cells.gap[at], cells.half_life[rows.pair_skill[pair]])
            own = chance(odds[pair], guess[cell], slip[cell])
            product *= own
            total += own
            if own < least:
                least, weakest = own, at
        predicted = joint(rule, product, total, least, end - begin)
        out.predicted[row] = predicted
        for at in range(begin, end):
            pair = rows.pair[at]
            cell = cells.entry[at] if by_entry else cells.pair[pair]
            correct, told, weight, rest = rows.correct[row], cell, 1.0, 0.0
            if end - begin > 1:
                own = chance(odds[pair], guess[cell], slip[cell])
                weight, rest = credit(rule, correct, own, predicted, end - begin, at == weakest)
                out.credit.weight[at], out.credit.rest[at] = weight, rest
            if by_level and cells.level[at] >= 0:
                correct, told = 1.0, cells.level[at]
            ratio = evidence(correct, weight, rest, guess[told], slip[told])
            odds[pair] = update(odds[pair], ratio, learn[cell], forget[cell])
            note(out.mastery, at, odds[pair])


@kernel
def lean(slope: FloatArray, odds: float, told: float, weight: float, rest: float, t: float, f: float, g: float, s: float) -> None:
    """Carry the slopes (5,) of the log-odds, in the logits of the parameters, over one :func:`update`."""
    known = odds * evidence(told, weight, rest, g, s)
    turn = (2.0 * told - 1.0) * weight
    top, bottom = known * (1.0 - f) + t, known * f + (1.0 - t)
    keep = known * (1.0 - f) / top - known * f / bottom
    for a in range(5):
        slope[a] *= keep
    slope[1] += (1.0 / top + 1.0 / bottom) * t * (1.0 - t)
    slope[2] -= (known / top + known / bottom) * f * (1.0 - f)
    slope[3] -= keep * turn * g * (1.0 - g) / blend(told, weight * g + rest)
    slope[4] -= keep * turn * s * (1.0 - s) / blend(told, weight * (1.0 - s) + rest)


@kernel
def quadratic(matrix: FloatArray, vector: FloatArray) -> float:
    """The quadratic form of a covariance, never negative."""
    total = 0.0
    for a in range(len(vector)):
        for b in range(len(vector)):
            total += vector[a] * matrix[a, b] * vector[b]
    return max(total, 0.0)


@kernel
def spread(
    rows: Rows,
    cells: Cells,
    parameters: Parameters,
    covariance: FloatArray,
    told: Credit,
    first: int,
    last: int,
    variance: FloatArray,
) -> None:
    """Variance of the log-odds of mastery after each pair's last response, by the delta method.

    ``covariance`` (n_skills, 5, 5) is of the logits of the skills' parameters; their effect on the log-odds is carried
    along the :func:`trace` that gave the credit ``told``, whose own uncertainty is left out.
    """
    prior, learn, forget, guess, slip = parameters
    by_entry, by_level, timed = len(cells.entry) > 0, len(cells.level) > 0, len(cells.gap) > 0
    begin_pair, end_pair = rows.pair_start[first], rows.pair_start[last]
    odds, slope = np.empty(end_pair - begin_pair), np.zeros((end_pair - begin_pair, 5))
    slope[:, 0] = 1.0
    for pair in range(begin_pair, end_pair):
        odds[pair - begin_pair] = initial(prior[cells.pair[pair]])
    for row in range(rows.student_start[first], rows.student_start[last]):
        for at in range(rows.skill_start[row], rows.skill_start[row + 1]):
            place, pair = rows.pair[at] - begin_pair, rows.pair[at]
            cell = cells.entry[at] if by_entry else cells.pair[pair]
            if timed:
                faded = fade(odds[place], cells.gap[at], cells.half_life[rows.pair_skill[pair]])
                for a in range(5):  # d log odds' / d log odds = P(unknown) before / P(unknown) after
                    slope[place, a] *= (1.0 + faded) / (1.0 + odds[place])
                odds[place] = faded
            correct, weight, rest, g, s = rows.correct[row], 1.0, 0.0, guess[cell], slip[cell]
            if len(told.weight):
                weight, rest = told.weight[at], told.rest[at]
            if by_level and cells.level[at] >= 0:
                correct, g, s = 1.0, guess[cells.level[at]], slip[cells.level[at]]
            lean(slope[place], odds[place], correct, weight, rest, learn[cell], forget[cell], g, s)
            odds[place] = update(odds[place], evidence(correct, weight, rest, g, s), learn[cell], forget[cell])
    for pair in range(begin_pair, end_pair):
        variance[pair] = quadratic(covariance[rows.pair_skill[pair]], slope[pair - begin_pair])


@kernel
def smooth(rows: Rows, cells: Cells, parameters: Parameters, told: Credit, first: int, last: int, out: Smoothed) -> None:
    """Forward-backward over students [first, last) (Rabiner, 1989, sec. III.B), given the credit ``told`` by a trace.

    The backward pass is one number too: P(outcomes from here on | known) / P(the same | unknown).
    """
    prior, learn, forget, guess, slip = parameters
    by_entry, by_level, timed = len(cells.entry) > 0, len(cells.level) > 0, len(cells.gap) > 0
    begin = rows.skill_start[rows.student_start[first]]
    end = rows.skill_start[rows.student_start[last]]
    begin_pair, n_pairs = rows.pair_start[first], rows.pair_start[last] - rows.pair_start[first]
    odds, ahead = np.empty(n_pairs), np.ones(n_pairs)
    before, ratio = np.empty(end - begin), np.empty(end - begin)
    for place in range(n_pairs):
        odds[place] = initial(prior[cells.pair[begin_pair + place]])
    for row in range(rows.student_start[first], rows.student_start[last]):
        for at in range(rows.skill_start[row], rows.skill_start[row + 1]):
            place, pair = rows.pair[at] - begin_pair, rows.pair[at]
            cell = cells.entry[at] if by_entry else cells.pair[pair]
            if timed:
                odds[place] = fade(odds[place], cells.gap[at], cells.half_life[rows.pair_skill[pair]])
            correct, seen, weight, rest = rows.correct[row], cell, 1.0, 0.0
            if len(told.weight):
                weight, rest = told.weight[at], told.rest[at]
            if by_level and cells.level[at] >= 0:
                correct, seen = 1.0, cells.level[at]
            before[at - begin] = odds[place]
            ratio[at - begin] = evidence(correct, weight, rest, guess[seen], slip[seen])
            odds[place] = update(odds[place], ratio[at - begin], learn[cell], forget[cell])
    for at in range(end - 1, begin - 1, -1):
        place, pair = rows.pair[at] - begin_pair, rows.pair[at]
        cell = cells.entry[at] if by_entry else cells.pair[pair]
        if_known = (1.0 - forget[cell]) * ahead[place] + forget[cell]
        if_unknown = learn[cell] * ahead[place] + (1.0 - learn[cell])
        known = before[at - begin] * ratio[at - begin] * if_known
        out.known[at] = mastery(known / if_unknown)
        out.learned[at] = learn[cell] * ahead[place] / (known + if_unknown)
        ahead[place] = min(max(ratio[at - begin] * if_known / if_unknown, MIN_ODDS), MAX_ODDS)
        if timed:  # known before the gap is known after it, or was forgotten in it
            gap, half_life = cells.gap[at], cells.half_life[rows.pair_skill[pair]]
            keep = math.exp(-math.log(2.0) * gap / half_life)
            ahead[place] = ahead[place] * keep + (1.0 - keep)
