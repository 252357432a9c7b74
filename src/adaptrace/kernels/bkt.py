"""Bayesian knowledge tracing (Corbett & Anderson, 1995, eq. 1-4): the formula, and passes over a log.

A skill is *known* or *unknown*. The state of one student on one skill is one
number, the odds of mastery ``odds = P(known) / P(unknown)``.

    P(correct)  = P(known) (1 - slip) + P(unknown) guess             :func:`chance`
    odds'       = odds * P(outcome | known) / P(outcome | unknown)   :func:`evidence`, Bayes
    P(known)    = P(known') (1 - forget) + P(unknown') learn         :func:`update`
    P(known)    = P(known') 2^(-days / half_life)                    :func:`fade`, between responses

Odds keep their precision however close P(known) comes to 1. Above
:data:`MAX_ODDS`, which takes about a thousand right answers without
forgetting, the number grows as the logarithm of the odds:
:func:`from_log_odds`. A gap lowers it to :data:`MIN_ODDS` at most: P(learn) is
at least 1e-9, so smaller odds would change no later digit.

``correct`` may be a fraction c: the outcome is then right with probability c
(virtual evidence; Pearl, 1988, sec. 2.2.2), see :func:`blend`. An event with
several skills is one event with one prediction, by a named rule:
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
LOG_ZERO = -math.inf  # the logarithm of probability 0
LEAST_JOINT = 1e-200  # P(correct) of an event of very many skills, whose product would become 0; added to others it is lost
MAX_MASTERY = 1.0 - 2.0**-53  # the largest float below one
CONJUNCTIVE, MEAN, MIN, WEAKEST_FIRST = range(4)  # how the skills of one event combine
EMPTY = np.empty(0)


class Parameters(NamedTuple):
    """One value per cell: probabilities strictly inside (0, 1); forget may be 0.

    All responses of a *cell* have the same parameters: a cell is a skill, or a skill with one item, kind, group and student.
    """

    prior: FloatArray
    learn: FloatArray
    forget: FloatArray
    guess: FloatArray
    slip: FloatArray


class CellIndex(NamedTuple):
    """The cell of every pair and entry. An array is empty where the log or the model does not need it.

    An *entry* is one skill of one response.
    """

    pair: CodeArray  # (n_pairs,) the cell of a pair's prior; of all its parameters where `entry` is empty
    entry: CodeArray  # (n_entries,) or empty: the cell of each entry
    level: CodeArray  # (n_entries,) or empty: the cell with the chances of the level that was reached; -1: no level
    gap: FloatArray  # (n_entries,) or empty: days since the pair's last response
    half_life: FloatArray  # (n_skills,) or empty: days in which P(known) halves


class Credit(NamedTuple):
    """How much an outcome says about one skill: P(right | skill) = weight P(right on this skill) + rest."""

    weight: FloatArray  # (n_entries,); empty where every event has one skill
    rest: FloatArray  # (n_entries,)


class ForwardPass(NamedTuple):
    """What :func:`trace` writes."""

    predicted: FloatArray  # (n_rows,) P(correct) before each response
    odds: FloatArray  # (n_pairs,) of mastery: before the pair's first response, then after its last
    credit: Credit  # of each skill of each response
    mastery: FloatArray = EMPTY  # (n_entries,) P(known) after each response; empty: not recorded
    wrong: FloatArray = EMPTY  # (n_rows,) 1 - predicted, to full precision; empty: not recorded


class PairStates(NamedTuple):
    """The state of each pair, and its gradient in the parameters."""

    odds: FloatArray  # (n_pairs,) of mastery
    gradient: NDArray[np.float32]  # (n_pairs, 5) of the log-odds, in the logits of the parameters: good to seven digits
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
    """P(wrong) on one skill: 1 - :func:`chance`, to full precision."""
    return (odds * slip + (1.0 - guess)) / (odds + 1.0)


@kernel
def blend(correct: float, right: float) -> float:
    """P(outcome) where P(right) = right and the outcome is right with probability ``correct``."""
    return correct * right + (1.0 - correct) * (1.0 - right)


@kernel
def evidence(correct: float, weight: float, rest: float, guess: float, slip: float) -> float:
    """P(outcome | known) / P(outcome | unknown), given the weight and the rest of the skill's :class:`Credit`."""
    else_wrong = 1.0 - weight - rest
    known = correct * (weight * (1.0 - slip) + rest) + (1.0 - correct) * (weight * slip + else_wrong)
    return known / (correct * (weight * guess + rest) + (1.0 - correct) * (weight * (1.0 - guess) + else_wrong))


@kernel
def update(odds: float, ratio: float, learn: float, forget: float) -> float:
    """The step: Bayes' rule on the outcome, then learning and forgetting once."""
    known = odds * ratio
    moved = (known * (1.0 - forget) + learn) / (known * forget + (1.0 - learn))
    if max(odds, moved) <= MAX_ODDS:
        return moved
    return from_log_odds(to_log_odds(odds) + math.log(ratio) - math.log1p(-learn))


@kernel
def fade(odds: float, days: float, half_life: float) -> float:
    """Odds after some days without practice: P(known) halves in every half-life (Ebbinghaus, 1885; Settles & Meeder, 2016)."""
    keep = math.exp(-math.log(2.0) * days / half_life)
    return max(odds * keep / (1.0 + odds * (1.0 - keep)), MIN_ODDS)


@kernel
def from_log_odds(log_odds: float) -> float:
    """The number that stands for odds: the odds up to :data:`MAX_ODDS`; above, a linear function of their logarithm.

    It rises with the odds, so :func:`chance` and :func:`mastery` take it as it is.
    """
    if log_odds > LOG_MAX:
        return MAX_ODDS * (1.0 + (log_odds - LOG_MAX))
    return max(math.exp(log_odds), MIN_ODDS)


@kernel
def to_log_odds(odds: float) -> float:
    """Log-odds, from the number that :func:`from_log_odds` gives."""
    return LOG_MAX + (odds / MAX_ODDS - 1.0) if odds > MAX_ODDS else math.log(odds)


@kernel
def log_or_none(probability: float) -> float:
    """The logarithm, also of 0."""
    return math.log(probability) if probability > 0.0 else LOG_ZERO


@kernel
def log_sum(a: float, b: float) -> float:
    """Logarithm of exp(a) + exp(b)."""
    high = max(a, b)
    return high if high == LOG_ZERO else high + math.log1p(math.exp(min(a, b) - high))


@kernel
def fade_all(odds: FloatArray, days: FloatArray, half_life: FloatArray, skill: CodeArray, out: FloatArray) -> None:
    """Fade the odds of every pair."""
    for pair in range(len(odds)):
        out[pair] = fade(odds[pair], days[pair], half_life[skill[pair]])


# ---- several skills in one event --------------------------------------------


@kernel
def joint(rule: int, product: float, total: float, least: float, n_skills: int) -> float:
    """P(correct) of an event from the product, the sum and the least of its skills' chances.

    ``conjunctive``, ``weakest-first``: every skill must be answered right (NIDA; Junker & Sijtsma, 2001, eq. 5).
    ``mean``: one of the skills decides, all equally likely. ``min``: the weakest decides (Gong, Beck & Heffernan, 2010).
    """
    if rule == MEAN:
        return total / n_skills
    if rule == MIN:
        return least
    return product + LEAST_JOINT


@kernel
def credit(rule: int, correct: float, own: float, predicted: float, n_skills: int, weakest: bool) -> tuple[float, float]:
    """Weight and rest of one skill of an event, from its own chance and the event's prediction.

    ``conjunctive`` and ``mean`` are exact: the posterior of the skill given the others' chances, so a wrong answer lowers
    each skill in proportion to the probability that it was the one missing (Koedinger et al., 2011). ``min`` updates the
    weakest skill alone; ``weakest-first`` gives all skills credit for a right answer, and the weakest the blame for a wrong one.
    """
    if rule == CONJUNCTIVE:
        return predicted / own, 0.0
    if rule == MEAN:
        return 1.0 / n_skills, max(predicted - own / n_skills, 0.0)
    if weakest:
        return 1.0, 0.0
    if rule == MIN:
        return 0.0, 0.5
    return correct, 0.5 * (1.0 - correct)


# ---- passes over a log ------------------------------------------------------


@kernel
def record_mastery(path: FloatArray, at: int, odds: float) -> None:
    """Write P(known) into ``path``, unless it is empty."""
    if len(path) > 0:
        path[at] = mastery(odds)


@kernel
def record_wrong(wrong: FloatArray, row: int, chance: float) -> None:
    """Write P(wrong) into ``wrong``, unless it is empty."""
    if len(wrong) > 0:
        wrong[row] = chance


@kernel
def trace(rows: Rows, cells: CellIndex, parameters: Parameters, rule: int, first: int, last: int, out: ForwardPass) -> None:
    """Forward pass over students [first, last): predict each event, then update its skills.

    ``out.odds`` holds the odds before the first response.
    """
    _, learn, forget, guess, slip = parameters
    odds = out.odds
    by_entry, by_level, timed = len(cells.entry) > 0, len(cells.level) > 0, len(cells.gap) > 0
    plain = not (by_entry or by_level or timed or len(out.mastery) > 0 or len(out.wrong) > 0)
    for row in range(rows.student_start[first], rows.student_start[last]):
        begin, end = rows.skill_start[row], rows.skill_start[row + 1]
        if plain and end - begin == 1:  # the same as the general case below, three times as fast
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
        record_wrong(out.wrong, row, wrong if end - begin == 1 else 1.0 - predicted)
        for at in range(begin, end):
            pair = rows.pair[at]
            cell = cells.entry[at] if by_entry else cells.pair[pair]
            correct, outcome_cell, weight, rest = rows.correct[row], cell, 1.0, 0.0
            if end - begin > 1:
                own = chance(odds[pair], guess[cell], slip[cell])
                weight, rest = credit(rule, correct, own, predicted, end - begin, at == weakest)
                out.credit.weight[at], out.credit.rest[at] = weight, rest
            if by_level and cells.level[at] >= 0:
                correct, outcome_cell = 1.0, cells.level[at]
            ratio = evidence(correct, weight, rest, guess[outcome_cell], slip[outcome_cell])
            odds[pair] = update(odds[pair], ratio, learn[cell], forget[cell])
            record_mastery(out.mastery, at, odds[pair])


@kernel
def start_odds(cells: CellIndex, prior: FloatArray, odds: FloatArray) -> None:
    """Odds of every pair before its first response."""
    for pair in range(len(odds)):
        odds[pair] = initial(prior[cells.pair[pair]])


@kernel
def evidence_gradient(correct: float, weight: float, rest: float, guess: float, slip: float) -> tuple[float, float]:
    """Minus the derivatives of the log of :func:`evidence` in the logits of guess and slip."""
    signed_weight = (2.0 * correct - 1.0) * weight
    by_guess = signed_weight * guess * (1.0 - guess) / blend(correct, weight * guess + rest)
    return by_guess, signed_weight * slip * (1.0 - slip) / blend(correct, weight * (1.0 - slip) + rest)


@kernel
def carry_gradient(
    gradient: NDArray[np.float32], known: float, by_guess: float, by_slip: float, learn: float, forget: float
) -> None:
    """Carry the gradient (5,) of the log-odds, in the logits of the parameters, through one :func:`update`."""
    known_after, unknown_after = known * (1.0 - forget) + learn, known * forget + (1.0 - learn)
    scale = 1.0 / (known_after * unknown_after)
    retained = known * ((1.0 - forget) * unknown_after - forget * known_after) * scale
    moved = (known_after + unknown_after) * scale  # 1 / known_after + 1 / unknown_after
    gradient[0] *= retained
    gradient[1] = gradient[1] * retained + moved * learn * (1.0 - learn)
    gradient[2] = gradient[2] * retained - moved * known * forget * (1.0 - forget)
    gradient[3] = (gradient[3] - by_guess) * retained
    gradient[4] = (gradient[4] - by_slip) * retained


@kernel
def carry_states(
    rows: Rows, cells: CellIndex, parameters: Parameters, event_credit: Credit, first: int, last: int, out: PairStates
) -> None:
    """Update the states of students [first, last) by their responses: the odds of mastery, and their gradient.

    ``out`` holds the states before the first response: the odds of :func:`start_odds` with the gradient (1, 0, 0, 0, 0), or
    the states after an earlier log. ``event_credit`` come from a :func:`trace` from the same odds; their gradient is left out.
    """
    _, learn, forget, guess, slip = parameters
    by_entry, by_level, timed = len(cells.entry) > 0, len(cells.level) > 0, len(cells.gap) > 0
    odds, gradient = out.odds, out.gradient
    for row in range(rows.student_start[first], rows.student_start[last]):
        for at in range(rows.skill_start[row], rows.skill_start[row + 1]):
            pair = rows.pair[at]
            cell = cells.entry[at] if by_entry else cells.pair[pair]
            if timed:
                faded = fade(odds[pair], cells.gap[at], cells.half_life[rows.pair_skill[pair]])
                for a in range(5):  # d log odds' / d log odds = P(unknown) before / P(unknown) after
                    gradient[pair, a] *= (1.0 + faded) / (1.0 + odds[pair])
                odds[pair] = faded
            correct, weight, rest, g, s = rows.correct[row], 1.0, 0.0, guess[cell], slip[cell]
            if len(event_credit.weight):
                weight, rest = event_credit.weight[at], event_credit.rest[at]
            if by_level and cells.level[at] >= 0:
                correct, g, s = 1.0, guess[cells.level[at]], slip[cells.level[at]]
            ratio, (by_guess, by_slip) = evidence(correct, weight, rest, g, s), evidence_gradient(correct, weight, rest, g, s)
            carry_gradient(gradient[pair], odds[pair] * ratio, by_guess, by_slip, learn[cell], forget[cell])
            odds[pair] = update(odds[pair], ratio, learn[cell], forget[cell])
            out.responses[pair] += 1
            out.row[pair] = row


@kernel
def carry_plain_states(rows: Rows, cells: CellIndex, parameters: Parameters, first: int, last: int, out: PairStates) -> None:
    """:func:`carry_states` where every event has one skill and is right or wrong, and parameters vary by skill alone.

    The evidence of an outcome is then the same every time: it is computed once for each cell.
    """
    _, learn, forget, guess, slip = parameters
    outcome_terms = np.empty((len(learn), 2, 3))
    for cell in range(len(learn)):
        for right in range(2):
            outcome_terms[cell, right, 0] = evidence(float(right), 1.0, 0.0, guess[cell], slip[cell])
            outcome_terms[cell, right, 1], outcome_terms[cell, right, 2] = evidence_gradient(
                float(right), 1.0, 0.0, guess[cell], slip[cell]
            )
    for row in range(rows.student_start[first], rows.student_start[last]):
        pair, right = rows.pair[row], int(rows.correct[row])
        cell = cells.pair[pair]
        ratio = outcome_terms[cell, right, 0]
        carry_gradient(
            out.gradient[pair],
            out.odds[pair] * ratio,
            outcome_terms[cell, right, 1],
            outcome_terms[cell, right, 2],
            learn[cell],
            forget[cell],
        )
        out.odds[pair] = update(out.odds[pair], ratio, learn[cell], forget[cell])
        out.responses[pair] += 1
        out.row[pair] = row


@kernel
def quadratic_form(matrix: FloatArray, vector: NDArray[np.float32]) -> float:
    """The quadratic form of a covariance, never negative."""
    total = 0.0
    for a in range(len(vector)):
        for b in range(len(vector)):
            total += vector[a] * matrix[a, b] * vector[b]
    return max(total, 0.0)


@kernel
def log_odds_std(covariance: FloatArray, skill: CodeArray, gradient: NDArray[np.float32], out: FloatArray) -> None:
    """Standard deviation of each pair's log-odds of mastery, by the delta method.

    ``covariance`` (n_skills, 5, 5) is of the logits of the skills' parameters, ``gradient`` is that of :func:`carry_states`.
    """
    for pair in range(len(skill)):
        out[pair] = math.sqrt(quadratic_form(covariance[skill[pair]], gradient[pair]))


@kernel
def smooth(
    rows: Rows, cells: CellIndex, parameters: Parameters, event_credit: Credit, first: int, last: int, out: Smoothed
) -> None:
    """Forward-backward over students [first, last) (Rabiner, 1989, sec. III.B), given the ``event_credit`` of a trace.

    The state of the backward pass is one number as well: log P(outcomes from here on | known) - log P(the same | unknown).
    """
    prior, learn, forget, guess, slip = parameters
    by_entry, by_level, timed = len(cells.entry) > 0, len(cells.level) > 0, len(cells.gap) > 0
    begin = rows.skill_start[rows.student_start[first]]
    end = rows.skill_start[rows.student_start[last]]
    begin_pair, n_pairs = rows.pair_start[first], rows.pair_start[last] - rows.pair_start[first]
    odds, backward = np.empty(n_pairs), np.zeros(n_pairs)
    before, ratio = np.empty(end - begin), np.empty(end - begin)
    for slot in range(n_pairs):
        odds[slot] = initial(prior[cells.pair[begin_pair + slot]])
    for row in range(rows.student_start[first], rows.student_start[last]):
        for at in range(rows.skill_start[row], rows.skill_start[row + 1]):
            slot, pair = rows.pair[at] - begin_pair, rows.pair[at]
            cell = cells.entry[at] if by_entry else cells.pair[pair]
            if timed:
                odds[slot] = fade(odds[slot], cells.gap[at], cells.half_life[rows.pair_skill[pair]])
            correct, outcome_cell, weight, rest = rows.correct[row], cell, 1.0, 0.0
            if len(event_credit.weight):
                weight, rest = event_credit.weight[at], event_credit.rest[at]
            if by_level and cells.level[at] >= 0:
                correct, outcome_cell = 1.0, cells.level[at]
            before[at - begin] = to_log_odds(odds[slot])
            ratio[at - begin] = evidence(correct, weight, rest, guess[outcome_cell], slip[outcome_cell])
            odds[slot] = update(odds[slot], ratio[at - begin], learn[cell], forget[cell])
    for at in range(end - 1, begin - 1, -1):
        slot, pair = rows.pair[at] - begin_pair, rows.pair[at]
        cell = cells.entry[at] if by_entry else cells.pair[pair]
        if_known = log_sum(math.log1p(-forget[cell]) + backward[slot], log_or_none(forget[cell]))
        if_unknown = log_sum(log_or_none(learn[cell]) + backward[slot], math.log1p(-learn[cell]))
        log_ratio = math.log(ratio[at - begin]) + if_known
        known = before[at - begin] + log_ratio
        out.known[at] = mastery(from_log_odds(known - if_unknown))
        out.learned[at] = math.exp(log_or_none(learn[cell]) + backward[slot] - log_sum(known, if_unknown))
        backward[slot] = log_ratio - if_unknown
        if timed:  # known before the gap is known after it, or was forgotten in it
            gap, half_life = cells.gap[at], cells.half_life[rows.pair_skill[pair]]
            log_keep = -math.log(2.0) * gap / half_life
            backward[slot] = log_sum(backward[slot] + log_keep, log_or_none(1.0 - math.exp(log_keep)))
