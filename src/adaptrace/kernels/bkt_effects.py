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
from adaptrace.kernels.rows import CodeArray, Rows, Trie

FloatArray = NDArray[np.float64]

PRIOR, LEARN, FORGET, GUESS, SLIP = range(5)
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
    keep: FloatArray  # (n_told,) in `keep`
    forget: FloatArray  # (n_skills,) in P(forget)


class Asked(NamedTuple):
    """A log for :func:`expected_events`."""

    cell: CodeArray  # (n_entries,) the cell of each skill of each event
    level: CodeArray  # (n_entries,) which row of the levels' chances an outcome stands for; -1: `correct` tells all
    worn: FloatArray  # (n_entries,) half-lives since the pair's last response, times log 2
    before: FloatArray  # (n_entries,) working space: P(known) before each response


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


# ---- counts -----------------------------------------------------------------


@kernel
def expected(trie: Trie, symbol: CodeArray, told: Told, forget: FloatArray, first: int, last: int, out: Expected) -> None:
    """Log-likelihood and gradients of skills [first, last), added to what ``out`` holds; ``symbol`` indexes ``told``."""
    for skill in range(first, last):
        begin, nodes = trie.start[skill], trie.start[skill + 1] - trie.start[skill]
        before, after, ahead = np.empty(nodes), np.empty(nodes), np.zeros(nodes)
        f, total, forgotten = forget[skill], 0.0, 0.0
        for node in range(nodes):
            above, c = trie.parent[begin + node], symbol[begin + node]
            p = told.prior[c] if above < 0 else after[above] * told.keep[c]
            outcome = p * told.known[c] + (1.0 - p) * told.unknown[c]
            total += trie.students[begin + node] * math.log(outcome)
            posterior = p * told.known[c] / outcome
            before[node] = p
            after[node] = posterior * (1.0 - f) + (1.0 - posterior) * told.learn[c]
        for node in range(nodes - 1, -1, -1):
            above, c = trie.parent[begin + node], symbol[begin + node]
            p, known, unknown, count = before[node], told.known[c], told.unknown[c], trie.students[begin + node]
            over = 1.0 / (p * known + (1.0 - p) * unknown)
            posterior = p * known * over
            out.learn[c] += ahead[node] * (1.0 - posterior)
            forgotten -= ahead[node] * posterior
            turn = ahead[node] * (1.0 - f - told.learn[c]) * over  # d value / d posterior, over the outcome
            spread = p * (1.0 - p) * known * unknown * over
            out.known[c] += count * posterior + turn * spread
            out.unknown[c] += count * (1.0 - posterior) - turn * spread
            slope = (count * (known - unknown) + turn * known * unknown) * over
            if above < 0:
                out.prior[c] += slope
            else:
                ahead[above] += slope * told.keep[c]
                out.keep[c] += slope * after[above]
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
    c, p = asked.cell[at], asked.before[at]
    right: float = p * (1.0 - theta[c, SLIP]) + (1.0 - p) * theta[c, GUESS]
    return right


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
    return blend(correct, weight * (1.0 - theta[c, SLIP]) + rest), blend(correct, weight * theta[c, GUESS] + rest), weight


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
    """Forward pass over students [first, last): P(known) before each response into ``asked.before``; return the value."""
    begin_pair, total = rows.pair_start[first], 0.0
    state = np.empty(rows.pair_start[last] - begin_pair)
    for row in range(rows.student_start[first], rows.student_start[last]):
        begin, end, correct = rows.skill_start[row], rows.skill_start[row + 1], rows.correct[row]
        for at in range(begin, end):
            faded = state[rows.pair[at] - begin_pair] * math.exp(-asked.worn[at]) if rows.opportunity[at] > 1 else 0.0
            asked.before[at] = faded if rows.opportunity[at] > 1 else theta[asked.cell[at], PRIOR]
        predicted, weakest = combine(rule, theta, asked, begin, end)
        if asked.level[begin] < 0:
            total += math.log(blend(correct, predicted))
        for at in range(begin, end):
            c, p = asked.cell[at], asked.before[at]
            known, unknown, _ = said(rule, correct, theta, levels, asked, at, end - begin, predicted, weakest)
            outcome = p * known + (1.0 - p) * unknown
            if asked.level[at] >= 0:
                total += math.log(outcome)
            posterior = p * known / outcome
            state[rows.pair[at] - begin_pair] = posterior * (1.0 - theta[c, FORGET]) + (1.0 - posterior) * theta[c, LEARN]
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
    ahead = np.zeros(rows.pair_start[last] - begin_pair)  # gradient in P(known) after the response
    of_before, of_credit = np.empty(1), np.empty(1)
    for row in range(rows.student_start[last] - 1, rows.student_start[first] - 1, -1):
        begin, end, correct = rows.skill_start[row], rows.skill_start[row + 1], rows.correct[row]
        several, turn = end - begin, 2.0 * correct - 1.0
        if several > len(of_before):
            of_before, of_credit = np.empty(several), np.empty(several)
        predicted, weakest = combine(rule, theta, asked, begin, end)
        of_credits = 0.0
        for at in range(begin, end):
            c, p, back = asked.cell[at], asked.before[at], ahead[rows.pair[at] - begin_pair]
            known, unknown, weight = said(rule, correct, theta, levels, asked, at, several, predicted, weakest)
            over = 1.0 / (p * known + (1.0 - p) * unknown)
            posterior = p * known * over
            out.seen[c, 0] += 1.0 - posterior
            out.seen[c, 1] += posterior
            out.theta[c, LEARN] += back * (1.0 - posterior)
            out.theta[c, FORGET] -= back * posterior
            of_posterior = back * (1.0 - theta[c, FORGET] - theta[c, LEARN]) * over * over
            of_known, of_unknown = of_posterior * p * (1.0 - p) * unknown, -of_posterior * p * (1.0 - p) * known
            of_before[at - begin] = of_posterior * known * unknown
            if asked.level[at] >= 0:
                of_before[at - begin] += (known - unknown) * over
                out.levels[asked.level[at], 1] += known * (of_known + p * over)
                out.levels[asked.level[at], 0] += unknown * (of_unknown + (1.0 - p) * over)
            else:
                out.theta[c, SLIP] -= of_known * turn * weight
                out.theta[c, GUESS] += of_unknown * turn * weight
            share = (of_known * (1.0 - theta[c, SLIP]) + of_unknown * theta[c, GUESS]) * weight
            of_credit[at - begin] = turn * (share if rule == CONJUNCTIVE else of_known + of_unknown)
            of_credits += of_credit[at - begin]
        for at in range(begin, end):
            c, p, slope = asked.cell[at], asked.before[at], of_before[at - begin]
            if asked.level[at] < 0:
                of_predicted, others = turn / blend(correct, predicted), of_credits - of_credit[at - begin]
                own = of_chance(rule, chance(theta, asked, at), predicted, several, at == weakest, of_predicted, others)
                out.theta[c, SLIP] -= own * p
                out.theta[c, GUESS] += own * (1.0 - p)
                slope += own * (1.0 - theta[c, SLIP] - theta[c, GUESS])
            if rows.opportunity[at] == 1:
                out.theta[c, PRIOR] += slope
            else:
                ahead[rows.pair[at] - begin_pair] = slope * math.exp(-asked.worn[at])
                out.worn[rows.pair_skill[rows.pair[at]]] += slope * p * asked.worn[at]
