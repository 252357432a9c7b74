"""Knowledge tracing whose parameters vary: by item, kind, group or student, and over time.

A *cell* is a skill with one item, kind, group and student, as far as parameters vary by them; its
parameters are those of the skill, moved on the logit scale: :func:`settle`. One forward pass gives
the log-likelihood, one reverse pass its exact gradient (the adjoint of the scaled forward pass; by
Fisher's identity the expected counts of Baum-Welch, Rabiner, 1989, sec. III.C): :func:`expected`
over the nodes of a prefix trie, :func:`expected_events` over the events of a log, where skills of
one event depend on one another.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels.compile import kernel
from adaptrace.kernels.rows import CodeArray, Rows
from adaptrace.kernels.trie import Trie

FloatArray = NDArray[np.float64]

PRIOR, LEARN, FORGET, GUESS, SLIP = range(5)
MIN_ODDS, MAX_ODDS = 1e-200, 1e200  # as in :mod:`adaptrace.kernels.bkt`
LOG_MAX = math.log(MAX_ODDS)
CONJUNCTIVE, MEAN, MIN, WEAKEST_FIRST = range(4)  # as in :mod:`adaptrace.kernels.bkt`


class Told(NamedTuple):
    """What every symbol of a skill says, (n_told,) each."""

    prior: FloatArray  # P(known) where it is a student's first
    learn: FloatArray
    known: FloatArray  # P(outcome | known)
    unknown: FloatArray  # P(outcome | unknown)
    keep: FloatArray  # P(still known after the gap before it)


class Expected(NamedTuple):
    """What :func:`expected` adds up; gradients are of the log-likelihood."""

    value: FloatArray  # (n_skills,) log-likelihood
    known: FloatArray  # (n_told,) expected number of responses given while known
    unknown: FloatArray  # (n_told,) and while unknown
    prior: FloatArray  # (n_told,) gradient in `prior`
    learn: FloatArray  # (n_told,) in `learn`
    keep: FloatArray  # (n_told,) in the logarithm of `keep`
    forget: FloatArray  # (n_skills,) in P(forget)


class Asked(NamedTuple):
    """A log for :func:`expected_events`."""

    cell: CodeArray  # (n_entries,) the cell of each skill of each event
    level: CodeArray  # (n_entries,) which row of the levels' chances an outcome stands for; -1: `correct` tells all
    worn: FloatArray  # (n_entries,) half-lives since the pair's last response, times log 2
    before: FloatArray  # (n_entries,) working space: odds of mastery before each response
    left: FloatArray  # (n_entries,) working space: after the last response on the skill, before the gap


class Events(NamedTuple):
    """What :func:`expected_events` adds up; gradients are of the log-likelihood."""

    value: FloatArray  # (1,)
    theta: FloatArray  # (n_cells, 5) in the parameters of the cells
    worn: FloatArray  # (n_skills,) in the logarithm of the half-life
    levels: FloatArray  # (n_levels, 2) expected number of outcomes at a level while unknown, while known
    seen: FloatArray  # (n_cells, 2) responses given while unknown, while known


# ---- parameters -------------------------------------------------------------


@kernel
def within(low: float, high: float, x: float) -> float:
    """A probability between its bounds, from its place on the logit scale."""
    return low + (high - low) / (1.0 + math.exp(-x))


@kernel
def highest_guess(low: float, high: float, slip: float, squeeze: float) -> float:
    """What guess stays below: below 1 - slip, and lower by the share that keeps the skill plausible."""
    return low + max(min(high, 1.0 - slip) - low, 0.0) * squeeze


@kernel
def settle(x: FloatArray, squeeze: FloatArray, low: FloatArray, high: FloatArray, theta: FloatArray) -> None:
    """Parameters (n, 5) of points (n, 5) on the logit scale; guess + slip < 1 at every one of them."""
    for row in range(len(x)):
        for a in range(5):
            theta[row, a] = within(low[a], high[a], x[row, a])
        theta[row, GUESS] = within(
            low[GUESS], highest_guess(low[GUESS], high[GUESS], theta[row, SLIP], squeeze[row]), x[row, GUESS]
        )


# ---- one response -----------------------------------------------------------


@kernel
def update(odds: float, ratio: float, learn: float, forget: float) -> float:
    """The step, as in :mod:`adaptrace.kernels.bkt` (Numba's cache needs it in this file)."""
    known = odds * ratio
    moved = (known * (1.0 - forget) + learn) / (known * forget + (1.0 - learn))
    if max(odds, moved) <= MAX_ODDS:
        return moved
    log_odds = math.log(odds) if odds <= MAX_ODDS else LOG_MAX + (odds / MAX_ODDS - 1.0)
    return MAX_ODDS * (1.0 + (log_odds + math.log(ratio) - math.log1p(-learn) - LOG_MAX))


@kernel
def fade(odds: float, keep: float) -> float:
    """Odds after a gap that a known skill outlives with probability ``keep``."""
    return max(odds * keep / (1.0 + odds * (1.0 - keep)), MIN_ODDS)


@kernel
def turns(known: float, learn: float, forget: float) -> tuple[float, float, float]:
    """Derivatives of the log-odds after learning and forgetting: in those right after the response, in learn and in forget.

    ``known`` are the odds right after the response.
    """
    top, bottom = known * (1.0 - forget) + learn, known * forget + (1.0 - learn)
    both = 1.0 / top + 1.0 / bottom
    return known * (1.0 - forget - learn) / top / bottom, both, -known * both


# ---- counts -----------------------------------------------------------------


@kernel
def expected(trie: Trie, symbol: CodeArray, told: Told, forget: FloatArray, first: int, last: int, out: Expected) -> None:
    """Log-likelihood and gradients of skills [first, last), added to what ``out`` holds; ``symbol`` indexes ``told``."""
    for skill in range(first, last):
        begin, nodes = trie.start[skill], trie.start[skill + 1] - trie.start[skill]
        before, after, ahead = np.empty(nodes), np.empty(nodes), np.zeros(nodes)  # odds; gradient in their logarithm
        f, total, forgotten = forget[skill], 0.0, 0.0
        for node in range(nodes):
            above, c = trie.parent[begin + node], symbol[begin + node]
            odds = told.prior[c] / (1.0 - told.prior[c]) if above < 0 else fade(after[above], told.keep[c])
            total += trie.students[begin + node] * math.log((odds * told.known[c] + told.unknown[c]) / (1.0 + odds))
            before[node], after[node] = odds, update(odds, told.known[c] / told.unknown[c], told.learn[c], f)
        for node in range(nodes - 1, -1, -1):
            above, c = trie.parent[begin + node], symbol[begin + node]
            odds, known, unknown, count = before[node], told.known[c], told.unknown[c], trie.students[begin + node]
            over = 1.0 / (odds * known + unknown)
            by_odds, by_learn, by_forget = turns(odds * known / unknown, told.learn[c], f)
            turn = ahead[node] * by_odds
            out.learn[c] += ahead[node] * by_learn
            forgotten += ahead[node] * by_forget
            out.known[c] += count * odds * known * over + turn
            out.unknown[c] += count * unknown * over - turn
            slope = count * odds / (1.0 + odds) * (known - unknown) * over + turn
            if above < 0:
                out.prior[c] += slope / (told.prior[c] * (1.0 - told.prior[c]))
            else:  # d log-odds / d log P(known) is 1 / P(unknown)
                ahead[above] += slope * (1.0 + odds) / (1.0 + after[above])
                out.keep[c] += slope * (1.0 + odds)
        out.value[skill], out.forget[skill] = total, forgotten


# ---- events of several skills -----------------------------------------------


@kernel
def blend(correct: float, right: float) -> float:
    """P(outcome) where P(right) = right, as in :mod:`adaptrace.kernels.bkt` (Numba's cache needs it in this file)."""
    return correct * right + (1.0 - correct) * (1.0 - right)


@kernel
def joint(rule: int, product: float, total: float, least: float, several: int) -> float:
    """P(correct) of an event, as in :mod:`adaptrace.kernels.bkt`."""
    if rule == MEAN:
        return total / several
    if rule == MIN:
        return least
    return product


@kernel
def credit(rule: int, correct: float, own: float, predicted: float, several: int, weakest: bool) -> tuple[float, float]:
    """Weight and rest of one skill of an event, as in :mod:`adaptrace.kernels.bkt`."""
    if rule == CONJUNCTIVE:
        return predicted / own, 0.0
    if rule == MEAN:
        return 1.0 / several, max(predicted - own / several, 0.0)
    if weakest:
        return 1.0, 0.0
    if rule == MIN:
        return 0.0, 0.5
    return correct, 0.5 * (1.0 - correct)


@kernel
def combine(rule: int, theta: FloatArray, asked: Asked, begin: int, end: int) -> tuple[float, int]:
    """P(correct) of the event of entries [begin, end), and which of them is its weakest."""
    product, total, least, weakest = 1.0, 0.0, 2.0, begin
    for at in range(begin, end):
        own = chance(theta, asked, at)
        product *= own
        total += own
        if own < least:
            least, weakest = own, at
    return joint(rule, product, total, least, end - begin), weakest


@kernel
def chance(theta: FloatArray, asked: Asked, at: int) -> float:
    """P(correct) on one skill of an event alone."""
    c, odds = asked.cell[at], asked.before[at]
    right: float = (odds * (1.0 - theta[c, SLIP]) + theta[c, GUESS]) / (1.0 + odds)
    return right


@kernel
def chance_of(rule: int, correct: float, theta: FloatArray, asked: Asked, begin: int, end: int, predicted: float) -> float:
    """P(outcome) of an event, with all its digits where it has one skill."""
    if end - begin > 1:
        return blend(correct, predicted)
    c, odds = asked.cell[begin], asked.before[begin]
    wrong = (odds * theta[c, SLIP] + (1.0 - theta[c, GUESS])) / (1.0 + odds)
    outcome: float = correct * predicted + (1.0 - correct) * wrong
    return outcome


@kernel
def said(
    rule: int,
    correct: float,
    theta: FloatArray,
    levels: FloatArray,
    asked: Asked,
    at: int,
    several: int,
    predicted: float,
    weakest: int,
) -> tuple[float, float, float]:
    """P(outcome | known) and P(outcome | unknown) of one skill of an event, and the weight of its credit."""
    if asked.level[at] >= 0:
        return levels[asked.level[at], 1], levels[asked.level[at], 0], 1.0
    c, weight, rest = asked.cell[at], 1.0, 0.0
    if several > 1:
        weight, rest = credit(rule, correct, chance(theta, asked, at), predicted, several, at == weakest)
    else_wrong = 1.0 - weight - rest
    known = correct * (weight * (1.0 - theta[c, SLIP]) + rest) + (1.0 - correct) * (weight * theta[c, SLIP] + else_wrong)
    unknown = correct * (weight * theta[c, GUESS] + rest) + (1.0 - correct) * (weight * (1.0 - theta[c, GUESS]) + else_wrong)
    return known, unknown, weight


@kernel
def of_chance(
    rule: int, own: float, predicted: float, several: int, weakest: bool, of_predicted: float, of_others: float
) -> float:
    """Gradient in a skill's own chance, of the event's prediction and of what the event says of the other skills."""
    if rule == CONJUNCTIVE:
        return (of_predicted * predicted + of_others) / own
    if rule == MEAN:
        return (of_predicted + of_others) / several
    if rule == WEAKEST_FIRST:
        return of_predicted * predicted / own
    return of_predicted if weakest else 0.0


@kernel
def ahead_of(rows: Rows, asked: Asked, rule: int, theta: FloatArray, levels: FloatArray, first: int, last: int) -> float:
    """Forward pass over students [first, last): odds before each response into ``asked.before``; return the value."""
    begin_pair, total = rows.pair_start[first], 0.0
    state = np.empty(rows.pair_start[last] - begin_pair)
    for row in range(rows.student_start[first], rows.student_start[last]):
        begin, end, correct = rows.skill_start[row], rows.skill_start[row + 1], rows.correct[row]
        for at in range(begin, end):
            if rows.opportunity[at] > 1:
                asked.left[at] = state[rows.pair[at] - begin_pair]
                asked.before[at] = fade(asked.left[at], math.exp(-asked.worn[at]))
            else:
                asked.before[at] = theta[asked.cell[at], PRIOR] / (1.0 - theta[asked.cell[at], PRIOR])
        predicted, weakest = combine(rule, theta, asked, begin, end)
        if asked.level[begin] < 0:
            total += math.log(chance_of(rule, correct, theta, asked, begin, end, predicted))
        for at in range(begin, end):
            c, odds = asked.cell[at], asked.before[at]
            known, unknown, _ = said(rule, correct, theta, levels, asked, at, end - begin, predicted, weakest)
            if asked.level[at] >= 0:
                total += math.log((odds * known + unknown) / (1.0 + odds))
            state[rows.pair[at] - begin_pair] = update(odds, known / unknown, theta[c, LEARN], theta[c, FORGET])
    return total


@kernel
def expected_events(
    rows: Rows, asked: Asked, rule: int, theta: FloatArray, levels: FloatArray, first: int, last: int, out: Events
) -> None:
    """Log-likelihood of students [first, last) and its gradients, added to what ``out`` holds.

    ``theta`` (n_cells, 5) are the parameters of the cells, ``levels`` (n_levels, 2) the chances of a level while unknown and
    while known. An event of several skills is one outcome; what it says of each depends on the others, and the gradient
    is carried through that as well.
    """
    out.value[0] += ahead_of(rows, asked, rule, theta, levels, first, last)
    begin_pair = rows.pair_start[first]
    ahead = np.zeros(rows.pair_start[last] - begin_pair)  # gradient in the log-odds after the response
    of_before, of_credit = np.empty(1), np.empty(1)
    for row in range(rows.student_start[last] - 1, rows.student_start[first] - 1, -1):
        begin, end, correct = rows.skill_start[row], rows.skill_start[row + 1], rows.correct[row]
        several, turn = end - begin, 2.0 * correct - 1.0
        if several > len(of_before):
            of_before, of_credit = np.empty(several), np.empty(several)
        predicted, weakest = combine(rule, theta, asked, begin, end)
        of_credits = 0.0
        for at in range(begin, end):
            c, odds, back = asked.cell[at], asked.before[at], ahead[rows.pair[at] - begin_pair]
            known, unknown, weight = said(rule, correct, theta, levels, asked, at, several, predicted, weakest)
            over = 1.0 / (odds * known + unknown)
            by_odds, by_learn, by_forget = turns(odds * known / unknown, theta[c, LEARN], theta[c, FORGET])
            out.seen[c, 0] += unknown * over
            out.seen[c, 1] += odds * known * over
            out.theta[c, LEARN] += back * by_learn
            out.theta[c, FORGET] += back * by_forget
            of_odds = back * by_odds
            of_known, of_unknown = of_odds / known, -of_odds / unknown
            of_before[at - begin] = of_odds
            if asked.level[at] >= 0:
                of_before[at - begin] += odds / (1.0 + odds) * (known - unknown) * over
                out.levels[asked.level[at], 1] += of_odds + odds * known * over
                out.levels[asked.level[at], 0] += unknown * over - of_odds
            else:
                out.theta[c, SLIP] -= of_known * turn * weight
                out.theta[c, GUESS] += of_unknown * turn * weight
            share = (of_known * (1.0 - theta[c, SLIP]) + of_unknown * theta[c, GUESS]) * weight
            of_credit[at - begin] = turn * (share if rule == CONJUNCTIVE else of_known + of_unknown)
            of_credits += of_credit[at - begin]
        for at in range(begin, end):
            c, odds, slope = asked.cell[at], asked.before[at], of_before[at - begin]
            p = odds / (1.0 + odds)
            if asked.level[at] < 0:
                of_predicted = turn / chance_of(rule, correct, theta, asked, begin, end, predicted)
                others = of_credits - of_credit[at - begin]
                own = of_chance(rule, chance(theta, asked, at), predicted, several, at == weakest, of_predicted, others)
                out.theta[c, SLIP] -= own * p
                out.theta[c, GUESS] += own / (1.0 + odds)
                slope += own * (1.0 - theta[c, SLIP] - theta[c, GUESS]) * p / (1.0 + odds)
            if rows.opportunity[at] == 1:
                out.theta[c, PRIOR] += slope * (1.0 + odds) / p
            else:
                ahead[rows.pair[at] - begin_pair] = slope * (1.0 + odds) / (1.0 + asked.left[at])
                out.worn[rows.pair_skill[rows.pair[at]]] += slope * (1.0 + odds) * asked.worn[at]
