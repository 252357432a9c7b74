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
    odds: FloatArray  # (n_pairs,) of mastery: before the pair's first response, then after its last
    credit: Credit  # of each skill of each response
    mastery: FloatArray = NOTHING  # (n_entries,), or empty: do not keep it; P(known) after each response


class Carried(NamedTuple):
    """What is carried of each pair from response to response."""

    odds: FloatArray  # (n_pairs,) of mastery
    slope: NDArray[np.float32]  # (n_pairs, 5) of their logarithm, in the logits of the parameters: good to seven digits
    responses: CodeArray  # (n_pairs,) so far
    row: NDArray[np.int64]  # (n_pairs,) of the last one


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
    """Forward pass over students [first, last): predict each event, then update its skills.

    ``out.odds`` holds the odds that they come with.
    """
    _, learn, forget, guess, slip = parameters
    odds = out.odds
    by_entry, by_level, timed = len(cells.entry) > 0, len(cells.level) > 0, len(cells.gap) > 0
    plain = not (by_entry or by_level or timed or len(out.mastery) > 0)
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
def begin(cells: Cells, prior: FloatArray, odds: FloatArray) -> None:
    """Odds of every pair before its first response."""
    for pair in range(len(odds)):
        odds[pair] = initial(prior[cells.pair[pair]])


@kernel
def turns(told: float, weight: float, rest: float, g: float, s: float) -> tuple[float, float]:
    """By how much the log-odds fall, at an outcome, with the logits of guess and slip."""
    turn = (2.0 * told - 1.0) * weight
    by_guess = turn * g * (1.0 - g) / blend(told, weight * g + rest)
    return by_guess, turn * s * (1.0 - s) / blend(told, weight * (1.0 - s) + rest)


@kernel
def lean(slope: NDArray[np.float32], known: float, by_guess: float, by_slip: float, t: float, f: float) -> None:
    """Carry the slopes (5,) of the log-odds, in the logits of the parameters, over one :func:`update`."""
    top, bottom = known * (1.0 - f) + t, known * f + (1.0 - t)
    share = 1.0 / (top * bottom)
    keep = known * ((1.0 - f) * bottom - f * top) * share
    both = (top + bottom) * share  # 1 / top + 1 / bottom
    slope[0] *= keep
    slope[1] = slope[1] * keep + both * t * (1.0 - t)
    slope[2] = slope[2] * keep - both * known * f * (1.0 - f)
    slope[3] = (slope[3] - by_guess) * keep
    slope[4] = (slope[4] - by_slip) * keep


@kernel
def carry(rows: Rows, cells: Cells, parameters: Parameters, told: Credit, first: int, last: int, out: Carried) -> None:
    """Carry students [first, last) over their responses: the odds of mastery, and how they lean on the parameters.

    ``out`` holds what was carried so far: the odds that :func:`begin` gives and a slope of 1 in the prior, or where an earlier
    log ended. The uncertainty of the credit ``told``, which a :func:`trace` from the same odds gave, is left out.
    """
    _, learn, forget, guess, slip = parameters
    by_entry, by_level, timed = len(cells.entry) > 0, len(cells.level) > 0, len(cells.gap) > 0
    odds, slope = out.odds, out.slope
    for row in range(rows.student_start[first], rows.student_start[last]):
        for at in range(rows.skill_start[row], rows.skill_start[row + 1]):
            pair = rows.pair[at]
            cell = cells.entry[at] if by_entry else cells.pair[pair]
            if timed:
                faded = fade(odds[pair], cells.gap[at], cells.half_life[rows.pair_skill[pair]])
                for a in range(5):  # d log odds' / d log odds = P(unknown) before / P(unknown) after
                    slope[pair, a] *= (1.0 + faded) / (1.0 + odds[pair])
                odds[pair] = faded
            correct, weight, rest, g, s = rows.correct[row], 1.0, 0.0, guess[cell], slip[cell]
            if len(told.weight):
                weight, rest = told.weight[at], told.rest[at]
            if by_level and cells.level[at] >= 0:
                correct, g, s = 1.0, guess[cells.level[at]], slip[cells.level[at]]
            ratio, (by_guess, by_slip) = evidence(correct, weight, rest, g, s), turns(correct, weight, rest, g, s)
            lean(slope[pair], odds[pair] * ratio, by_guess, by_slip, learn[cell], forget[cell])
            odds[pair] = update(odds[pair], ratio, learn[cell], forget[cell])
            out.responses[pair] += 1
            out.row[pair] = row


@kernel
def carry_plain(rows: Rows, cells: Cells, parameters: Parameters, first: int, last: int, out: Carried) -> None:
    """What :func:`carry` comes to where events have one skill, are right or wrong, and parameters vary by skill alone.

    What an outcome says is then the same every time: it is worked out once.
    """
    _, learn, forget, guess, slip = parameters
    says = np.empty((len(learn), 2, 3))
    for cell in range(len(learn)):
        for right in range(2):
            says[cell, right, 0] = evidence(float(right), 1.0, 0.0, guess[cell], slip[cell])
            says[cell, right, 1], says[cell, right, 2] = turns(float(right), 1.0, 0.0, guess[cell], slip[cell])
    for row in range(rows.student_start[first], rows.student_start[last]):
        pair, right = rows.pair[row], int(rows.correct[row])
        cell = cells.pair[pair]
        ratio = says[cell, right, 0]
        lean(out.slope[pair], out.odds[pair] * ratio, says[cell, right, 1], says[cell, right, 2], learn[cell], forget[cell])
        out.odds[pair] = update(out.odds[pair], ratio, learn[cell], forget[cell])
        out.responses[pair] += 1
        out.row[pair] = row


@kernel
def quadratic(matrix: FloatArray, vector: NDArray[np.float32]) -> float:
    """The quadratic form of a covariance, never negative."""
    total = 0.0
    for a in range(len(vector)):
        for b in range(len(vector)):
            total += vector[a] * matrix[a, b] * vector[b]
    return max(total, 0.0)


@kernel
def spread(covariance: FloatArray, skill: CodeArray, slope: NDArray[np.float32], out: FloatArray) -> None:
    """Standard deviation of each pair's log-odds of mastery, by the delta method.

    ``covariance`` (n_skills, 5, 5) is of the logits of the skills' parameters, ``slope`` as :func:`carry` left it.
    """
    for pair in range(len(skill)):
        out[pair] = math.sqrt(quadratic(covariance[skill[pair]], slope[pair]))


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
