"""Knowledge tracing whose parameters vary: by item, kind, group or student, and over time.

A *cell* is a skill with one item, kind, group and student, as far as parameters vary by them; its
parameters are those of the skill, moved on the logit scale: :func:`from_logits`. One forward pass
gives the log-likelihood, one reverse pass its exact gradient (the adjoint of the scaled forward
pass; by Fisher's identity the expected counts of Baum-Welch, Rabiner, 1989, sec. III.C):
:func:`expected_counts` over the nodes of a prefix trie, :func:`expected_event_counts` over the
events of a log, where skills of one event depend on one another.
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
MIN_ODDS, MAX_ODDS, LEAST_JOINT = 1e-200, 1e200, 1e-200  # as in :mod:`adaptrace.kernels.bkt`
LOG_MAX = math.log(MAX_ODDS)
CONJUNCTIVE, MEAN, MIN, WEAKEST_FIRST = range(4)  # as in :mod:`adaptrace.kernels.bkt`


class Observations(NamedTuple):
    """Parameters and evidence of every distinct observation of a skill, (n_observations,) each."""

    prior: FloatArray  # P(known), where it is a student's first
    learn: FloatArray
    known: FloatArray  # P(outcome | known)
    unknown: FloatArray  # P(outcome | unknown)
    keep: FloatArray  # P(a known skill is still known after the gap before it)


class ObservationCounts(NamedTuple):
    """The log-likelihood and its gradient, as :func:`expected_counts` adds them up."""

    value: FloatArray  # (n_skills,) log-likelihood
    known: FloatArray  # (n_observations,) expected number of responses given while known: gradient in the logarithm
    unknown: FloatArray  # (n_observations,) and while unknown
    prior: FloatArray  # (n_observations,) gradient in `prior`
    learn: FloatArray  # (n_observations,) gradient in `learn`
    keep: FloatArray  # (n_observations,) gradient in the logarithm of `keep`
    forget: FloatArray  # (n_skills,) gradient in P(forget)


class EventEntries(NamedTuple):
    """The entries of a log, for :func:`expected_event_counts`: an entry is one skill of one event."""

    cell: CodeArray  # (n_entries,)
    level: CodeArray  # (n_entries,) the row of the level that was reached among the levels' chances; -1: no level
    decay: FloatArray  # (n_entries,) log 2 x half-lives since the pair's last response
    before: FloatArray  # (n_entries,) working array: odds of mastery before each response
    last: FloatArray  # (n_entries,) working array: odds after the pair's last response, before the gap


class EventCounts(NamedTuple):
    """The log-likelihood and its gradient, as :func:`expected_event_counts` adds them up."""

    value: FloatArray  # (1,)
    theta: FloatArray  # (n_cells, 5) gradient in the parameters of the cells
    decay: FloatArray  # (n_skills,) gradient in the logarithm of the half-life
    levels: FloatArray  # (n_levels, 2) expected number of outcomes at a level while unknown, while known
    seen: FloatArray  # (n_cells, 2) responses given while unknown, while known


# ---- parameters -------------------------------------------------------------


@kernel
def from_logit(low: float, high: float, x: float) -> float:
    """A probability between its bounds, from its logit x."""
    return low + (high - low) / (1.0 + math.exp(-x))


@kernel
def highest_guess(low: float, high: float, slip: float, guess_scale: float) -> float:
    """The highest guess: below 1 - slip, and lowered by the factor that keeps the skill plausible."""
    return low + max(min(high, 1.0 - slip) - low, 0.0) * guess_scale


@kernel
def from_logits(x: FloatArray, guess_scale: FloatArray, low: FloatArray, high: FloatArray, theta: FloatArray) -> None:
    """Parameters (n, 5) from logits (n, 5); guess + slip < 1 for every one of them."""
    for row in range(len(x)):
        for a in range(5):
            theta[row, a] = from_logit(low[a], high[a], x[row, a])
        theta[row, GUESS] = from_logit(
            low[GUESS], highest_guess(low[GUESS], high[GUESS], theta[row, SLIP], guess_scale[row]), x[row, GUESS]
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
    """Odds after a gap after which a known skill is still known with probability ``keep``."""
    return max(odds * keep / (1.0 + odds * (1.0 - keep)), MIN_ODDS)


@kernel
def update_gradient(known: float, learn: float, forget: float) -> tuple[float, float, float]:
    """Derivatives of the log-odds after learning and forgetting: in those right after the response, in learn and in forget.

    ``known`` are the odds right after the response.
    """
    known_after, unknown_after = known * (1.0 - forget) + learn, known * forget + (1.0 - learn)
    both = 1.0 / known_after + 1.0 / unknown_after
    return known * (1.0 - forget - learn) / known_after / unknown_after, both, -known * both


# ---- counts -----------------------------------------------------------------


@kernel
def expected_counts(
    trie: Trie,
    observation: CodeArray,
    observations: Observations,
    forget: FloatArray,
    first: int,
    last: int,
    out: ObservationCounts,
) -> None:
    """Add the log-likelihood of skills [first, last) and its gradient to ``out``.

    ``observation`` (n_nodes,) is the place of each node's observation in ``observations``.
    """
    for skill in range(first, last):
        begin, nodes = trie.start[skill], trie.start[skill + 1] - trie.start[skill]
        before, after, backward = (
            np.empty(nodes),
            np.empty(nodes),
            np.zeros(nodes),
        )  # odds; gradient in the log-odds after the response
        f, total, forgotten = forget[skill], 0.0, 0.0
        for node in range(nodes):
            above, c = trie.parent[begin + node], observation[begin + node]
            odds = (
                observations.prior[c] / (1.0 - observations.prior[c]) if above < 0 else fade(after[above], observations.keep[c])
            )
            total += trie.students[begin + node] * math.log(
                (odds * observations.known[c] + observations.unknown[c]) / (1.0 + odds)
            )
            before[node], after[node] = (
                odds,
                update(odds, observations.known[c] / observations.unknown[c], observations.learn[c], f),
            )
        for node in range(nodes - 1, -1, -1):
            above, c = trie.parent[begin + node], observation[begin + node]
            odds, known, unknown, count = (
                before[node],
                observations.known[c],
                observations.unknown[c],
                trie.students[begin + node],
            )
            inverse = 1.0 / (odds * known + unknown)
            by_odds, by_learn, by_forget = update_gradient(odds * known / unknown, observations.learn[c], f)
            of_odds = backward[node] * by_odds
            out.learn[c] += backward[node] * by_learn
            forgotten += backward[node] * by_forget
            out.known[c] += count * odds * known * inverse + of_odds
            out.unknown[c] += count * unknown * inverse - of_odds
            gradient = count * odds / (1.0 + odds) * (known - unknown) * inverse + of_odds
            if above < 0:
                out.prior[c] += gradient / (observations.prior[c] * (1.0 - observations.prior[c]))
            else:  # d log-odds / d log P(known) is 1 / P(unknown)
                backward[above] += gradient * (1.0 + odds) / (1.0 + after[above])
                out.keep[c] += gradient * (1.0 + odds)
        out.value[skill], out.forget[skill] = total, forgotten


# ---- events of several skills -----------------------------------------------


@kernel
def blend(correct: float, right: float) -> float:
    """P(outcome) where P(right) = right, as in :mod:`adaptrace.kernels.bkt` (Numba's cache needs it in this file)."""
    return correct * right + (1.0 - correct) * (1.0 - right)


@kernel
def joint(rule: int, product: float, total: float, least: float, n_skills: int) -> float:
    """P(correct) of an event, as in :mod:`adaptrace.kernels.bkt`."""
    if rule == MEAN:
        return total / n_skills
    if rule == MIN:
        return least
    return product + LEAST_JOINT


@kernel
def credit(rule: int, correct: float, own: float, predicted: float, n_skills: int, weakest: bool) -> tuple[float, float]:
    """Weight and rest of one skill of an event, as in :mod:`adaptrace.kernels.bkt`."""
    if rule == CONJUNCTIVE:
        return predicted / own, 0.0
    if rule == MEAN:
        return 1.0 / n_skills, max(predicted - own / n_skills, 0.0)
    if weakest:
        return 1.0, 0.0
    if rule == MIN:
        return 0.0, 0.5
    return correct, 0.5 * (1.0 - correct)


@kernel
def event_chance(rule: int, theta: FloatArray, entries: EventEntries, begin: int, end: int) -> tuple[float, int]:
    """P(correct) of the event of entries [begin, end), and which of them is its weakest."""
    product, total, least, weakest = 1.0, 0.0, 2.0, begin
    for at in range(begin, end):
        own = skill_chance(theta, entries, at)
        product *= own
        total += own
        if own < least:
            least, weakest = own, at
    return joint(rule, product, total, least, end - begin), weakest


@kernel
def skill_chance(theta: FloatArray, entries: EventEntries, at: int) -> float:
    """P(correct) on one skill of an event alone."""
    c, odds = entries.cell[at], entries.before[at]
    right: float = (odds * (1.0 - theta[c, SLIP]) + theta[c, GUESS]) / (1.0 + odds)
    return right


@kernel
def outcome_chance(
    rule: int, correct: float, theta: FloatArray, entries: EventEntries, begin: int, end: int, predicted: float
) -> float:
    """P(outcome) of an event; to full precision where it has one skill."""
    if end - begin > 1:
        return blend(correct, predicted)
    c, odds = entries.cell[begin], entries.before[begin]
    wrong = (odds * theta[c, SLIP] + (1.0 - theta[c, GUESS])) / (1.0 + odds)
    outcome: float = correct * predicted + (1.0 - correct) * wrong
    return outcome


@kernel
def outcome_likelihoods(
    rule: int,
    correct: float,
    theta: FloatArray,
    levels: FloatArray,
    entries: EventEntries,
    at: int,
    n_skills: int,
    predicted: float,
    weakest: int,
) -> tuple[float, float, float]:
    """P(outcome | known) and P(outcome | unknown) of one skill of an event, and the weight of its credit."""
    if entries.level[at] >= 0:
        return levels[entries.level[at], 1], levels[entries.level[at], 0], 1.0
    c, weight, rest = entries.cell[at], 1.0, 0.0
    if n_skills > 1:
        weight, rest = credit(rule, correct, skill_chance(theta, entries, at), predicted, n_skills, at == weakest)
    else_wrong = 1.0 - weight - rest
    known = correct * (weight * (1.0 - theta[c, SLIP]) + rest) + (1.0 - correct) * (weight * theta[c, SLIP] + else_wrong)
    unknown = correct * (weight * theta[c, GUESS] + rest) + (1.0 - correct) * (weight * (1.0 - theta[c, GUESS]) + else_wrong)
    return known, unknown, weight


@kernel
def chance_gradient(
    rule: int, own: float, predicted: float, n_skills: int, weakest: bool, of_predicted: float, of_others: float
) -> float:
    """Gradient in a skill's own chance, through the event's prediction and through the credit of the other skills."""
    if rule == CONJUNCTIVE:
        return (of_predicted * predicted + of_others) / own
    if rule == MEAN:
        return (of_predicted + of_others) / n_skills
    if rule == WEAKEST_FIRST:
        return of_predicted * predicted / own
    return of_predicted if weakest else 0.0


@kernel
def forward(rows: Rows, entries: EventEntries, rule: int, theta: FloatArray, levels: FloatArray, first: int, last: int) -> float:
    """Forward pass over students [first, last): odds before each response into ``entries.before``; return the log-likelihood."""
    begin_pair, total = rows.pair_start[first], 0.0
    state = np.empty(rows.pair_start[last] - begin_pair)
    for row in range(rows.student_start[first], rows.student_start[last]):
        begin, end, correct = rows.skill_start[row], rows.skill_start[row + 1], rows.correct[row]
        for at in range(begin, end):
            if rows.opportunity[at] > 1:
                entries.last[at] = state[rows.pair[at] - begin_pair]
                entries.before[at] = fade(entries.last[at], math.exp(-entries.decay[at]))
            else:
                entries.before[at] = theta[entries.cell[at], PRIOR] / (1.0 - theta[entries.cell[at], PRIOR])
        predicted, weakest = event_chance(rule, theta, entries, begin, end)
        if entries.level[begin] < 0:
            total += math.log(outcome_chance(rule, correct, theta, entries, begin, end, predicted))
        for at in range(begin, end):
            c, odds = entries.cell[at], entries.before[at]
            known, unknown, _ = outcome_likelihoods(rule, correct, theta, levels, entries, at, end - begin, predicted, weakest)
            if entries.level[at] >= 0:
                total += math.log((odds * known + unknown) / (1.0 + odds))
            state[rows.pair[at] - begin_pair] = update(odds, known / unknown, theta[c, LEARN], theta[c, FORGET])
    return total


@kernel
def expected_event_counts(
    rows: Rows, entries: EventEntries, rule: int, theta: FloatArray, levels: FloatArray, first: int, last: int, out: EventCounts
) -> None:
    """Log-likelihood of students [first, last) and its gradient, added to ``out``.

    ``theta`` (n_cells, 5) are the parameters of the cells, ``levels`` (n_levels, 2) the chances of a level while unknown and
    while known. An event of several skills is one outcome; what it says of each depends on the others, and the gradient
    is carried through that as well.
    """
    out.value[0] += forward(rows, entries, rule, theta, levels, first, last)
    begin_pair = rows.pair_start[first]
    backward = np.zeros(rows.pair_start[last] - begin_pair)  # gradient in the log-odds after the response
    of_before, of_credit = np.empty(1), np.empty(1)
    for row in range(rows.student_start[last] - 1, rows.student_start[first] - 1, -1):
        begin, end, correct = rows.skill_start[row], rows.skill_start[row + 1], rows.correct[row]
        n_skills, sign = end - begin, 2.0 * correct - 1.0
        if n_skills > len(of_before):
            of_before, of_credit = np.empty(n_skills), np.empty(n_skills)
        predicted, weakest = event_chance(rule, theta, entries, begin, end)
        of_credits = 0.0
        for at in range(begin, end):
            c, odds, back = entries.cell[at], entries.before[at], backward[rows.pair[at] - begin_pair]
            known, unknown, weight = outcome_likelihoods(rule, correct, theta, levels, entries, at, n_skills, predicted, weakest)
            inverse = 1.0 / (odds * known + unknown)
            by_odds, by_learn, by_forget = update_gradient(odds * known / unknown, theta[c, LEARN], theta[c, FORGET])
            out.seen[c, 0] += unknown * inverse
            out.seen[c, 1] += odds * known * inverse
            out.theta[c, LEARN] += back * by_learn
            out.theta[c, FORGET] += back * by_forget
            of_odds = back * by_odds
            of_known, of_unknown = of_odds / known, -of_odds / unknown
            of_before[at - begin] = of_odds
            if entries.level[at] >= 0:
                of_before[at - begin] += odds / (1.0 + odds) * (known - unknown) * inverse
                out.levels[entries.level[at], 1] += of_odds + odds * known * inverse
                out.levels[entries.level[at], 0] += unknown * inverse - of_odds
            else:
                out.theta[c, SLIP] -= of_known * sign * weight
                out.theta[c, GUESS] += of_unknown * sign * weight
            share = (of_known * (1.0 - theta[c, SLIP]) + of_unknown * theta[c, GUESS]) * weight
            of_credit[at - begin] = sign * (share if rule == CONJUNCTIVE else of_known + of_unknown)
            of_credits += of_credit[at - begin]
        for at in range(begin, end):
            c, odds, gradient = entries.cell[at], entries.before[at], of_before[at - begin]
            p = odds / (1.0 + odds)
            if entries.level[at] < 0:
                of_predicted = sign / outcome_chance(rule, correct, theta, entries, begin, end, predicted)
                others = of_credits - of_credit[at - begin]
                own = chance_gradient(
                    rule, skill_chance(theta, entries, at), predicted, n_skills, at == weakest, of_predicted, others
                )
                out.theta[c, SLIP] -= own * p
                out.theta[c, GUESS] += own / (1.0 + odds)
                gradient += own * (1.0 - theta[c, SLIP] - theta[c, GUESS]) * p / (1.0 + odds)
            if rows.opportunity[at] == 1:
                out.theta[c, PRIOR] += gradient * (1.0 + odds) / p
            else:
                backward[rows.pair[at] - begin_pair] = gradient * (1.0 + odds) / (1.0 + entries.last[at])
                out.decay[rows.pair_skill[rows.pair[at]]] += gradient * (1.0 + odds) * entries.decay[at]
