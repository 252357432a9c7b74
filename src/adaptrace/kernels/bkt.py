"""Bayesian knowledge tracing (Corbett & Anderson, 1995, eq. 1-4).

A skill is *known* or *unknown*. The state of one student on one skill is a
single number, the odds of mastery ``odds = P(known) / P(unknown)``: odds keep
their precision however close to certainty a student comes. Above
:data:`MAX_ODDS`, where a thousand right answers lead if nothing is forgotten,
the number goes on as their logarithm, see :func:`from_log`. A gap takes it to
:data:`MIN_ODDS` at the lowest: P(learn) is at least 1e-9, so nothing is lost.

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

MIN_ODDS, MAX_ODDS = 1e-200, 1e200
LOG_MAX = math.log(MAX_ODDS)
NONE = -math.inf  # the logarithm of no probability at all
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
    wrong: FloatArray = NOTHING  # (n_rows,), or empty: do not keep it; 1 - predicted, with all its digits


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
def chance_wrong(odds: float, guess: float, slip: float) -> float:
    """P(wrong) on one skill: 1 - :func:`chance`, with all its digits."""
    return (odds * slip + (1.0 - guess)) / (odds + 1.0)


@kernel
def blend(correct: float, right: float) -> float:
    """P(outcome) where P(right) = right and the outcome is right with probability ``correct``."""
    return correct * right + (1.0 - correct) * (1.0 - right)


@kernel
def evidence(correct: float, weight: float, rest: float, guess: float, slip: float) -> float:
    """P(outcome | known) / P(outcome | unknown), given the skill's credit."""
    else_wrong = 1.0 - weight - rest
    known = correct * (weight * (1.0 - slip) + rest) + (1.0 - correct) * (weight * slip + else_wrong)
    return known / (correct * (weight * guess + rest) + (1.0 - correct) * (weight * (1.0 - guess) + else_wrong))


@kernel
def update(odds: float, ratio: float, learn: float, forget: float) -> float:
    """The step: weigh the evidence, then learn and forget once."""
    known = odds * ratio
    moved = (known * (1.0 - forget) + learn) / (known * forget + (1.0 - learn))
    if max(odds, moved) <= MAX_ODDS:
        return moved
    return from_log(to_log(odds) + math.log(ratio) - math.log1p(-learn))


@kernel
def fade(odds: float, days: float, half_life: float) -> float:
    """Odds after some days without practice: P(known) halves in every half-life (Ebbinghaus, 1885; Settles & Meeder, 2016)."""
    keep = math.exp(-math.log(2.0) * days / half_life)
    return max(odds * keep / (1.0 + odds * (1.0 - keep)), MIN_ODDS)


@kernel
def from_log(log_odds: float) -> float:
    """The number that stands for odds: up to :data:`MAX_ODDS` the odds; above, it grows as their logarithm does.

    It rises with the odds, so :func:`chance` and :func:`mastery` need not know.
    """
    if log_odds > LOG_MAX:
        return MAX_ODDS * (1.0 + (log_odds - LOG_MAX))
    return max(math.exp(log_odds), MIN_ODDS)


@kernel
def to_log(odds: float) -> float:
    """Log-odds, from the number that :func:`from_log` gives."""
    return LOG_MAX + (odds / MAX_ODDS - 1.0) if odds > MAX_ODDS else math.log(odds)


@kernel
def log_or_none(probability: float) -> float:
    """The logarithm, also of 0."""
    return math.log(probability) if probability > 0.0 else NONE


@kernel
def log_sum(a: float, b: float) -> float:
    """Logarithm of exp(a) + exp(b)."""
    high = max(a, b)
    return high if high == NONE else high + math.log1p(math.exp(min(a, b) - high))


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
def note_wrong(wrong: FloatArray, row: int, chance: float) -> None:
    """Keep P(wrong), if that is wanted."""
    if len(wrong) > 0:
        wrong[row] = chance


@kernel
def trace(rows: Rows, cells: Cells, parameters: Parameters, rule: int, first: int, last: int, out: Traced) -> None:
    """Forward pass over students [first, last): predict each event, then update its skills.

    ``out.odds`` holds the odds that they come with.
    """
    _, learn, forget, guess, slip = parameters
    odds = out.odds
    by_entry, by_level, timed = len(cells.entry) > 0, len(cells.level) > 0, len(cells.gap) > 0
    plain = not (by_entry or by_level or timed or len(out.mastery) > 0 or len(out.wrong) > 0)
    for row in range(rows.student_start[first], rows.student_start[last]):
        begin, end = rows.skill_start[row], rows.skill_start[row + 1]
        if plain and end - begin == 1:  # what the general case below comes to, three times as fast
            pair, correct = rows.pair[begin], rows.correct[row]
            cell = cells.pair[pair]
            out.predicted[row] = chance(odds[pair], guess[cell], slip[cell])
            odds[pair] = update(odds[pair], evidence(correct, 1.0, 0.0, guess[cell], slip[cell]), learn[cell], forget[cell])
            continue
        product, total, least, weakest, wrong = 1.0, 0.0, 2.0, begin, 0.0
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
            wrong = chance_wrong(odds[pair], guess[cell], slip[cell])
        predicted = joint(rule, product, total, least, end - begin)
        out.predicted[row] = predicted
        note_wrong(out.wrong, row, wrong if end - begin == 1 else 1.0 - predicted)
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

    The backward pass is one number too: log P(outcomes from here on | known) - log P(the same | unknown).
    """
    prior, learn, forget, guess, slip = parameters
    by_entry, by_level, timed = len(cells.entry) > 0, len(cells.level) > 0, len(cells.gap) > 0
    begin = rows.skill_start[rows.student_start[first]]
    end = rows.skill_start[rows.student_start[last]]
    begin_pair, n_pairs = rows.pair_start[first], rows.pair_start[last] - rows.pair_start[first]
    odds, ahead = np.empty(n_pairs), np.zeros(n_pairs)
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
            before[at - begin] = to_log(odds[place])
            ratio[at - begin] = evidence(correct, weight, rest, guess[seen], slip[seen])
            odds[place] = update(odds[place], ratio[at - begin], learn[cell], forget[cell])
    for at in range(end - 1, begin - 1, -1):
        place, pair = rows.pair[at] - begin_pair, rows.pair[at]
        cell = cells.entry[at] if by_entry else cells.pair[pair]
        if_known = log_sum(math.log1p(-forget[cell]) + ahead[place], log_or_none(forget[cell]))
        if_unknown = log_sum(log_or_none(learn[cell]) + ahead[place], math.log1p(-learn[cell]))
        said = math.log(ratio[at - begin]) + if_known
        known = before[at - begin] + said
        out.known[at] = mastery(from_log(known - if_unknown))
        out.learned[at] = math.exp(log_or_none(learn[cell]) + ahead[place] - log_sum(known, if_unknown))
        ahead[place] = said - if_unknown
        if timed:  # known before the gap is known after it, or was forgotten in it
            gap, half_life = cells.gap[at], cells.half_life[rows.pair_skill[pair]]
            log_keep = -math.log(2.0) * gap / half_life
            ahead[place] = log_sum(ahead[place] + log_keep, log_or_none(1.0 - math.exp(log_keep)))
