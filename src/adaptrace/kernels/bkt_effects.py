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
LEAST_PRODUCT = 1e-100  # of chances, before its logarithm is taken: the next chance, at least 1e-200, does not underflow
CONJUNCTIVE, MEAN, MIN, WEAKEST_FIRST = range(4)  # as in :mod:`adaptrace.kernels.bkt`

# columns of the working array of one student's entries
ODDS, AFTER, CHANCE, WEIGHT, KNOWN, UNKNOWN, OF_ODDS, OF_OTHERS = range(8)
COLUMNS = 8


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
    first: CodeArray  # (n_pairs,) the cell of each pair's first entry
    level: CodeArray  # (n_entries,) or empty: the row of the level that was reached among the levels' chances; -1: no level
    decay: FloatArray  # (n_entries,) or empty: log 2 x half-lives since the pair's last response


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
    of_known, of_unknown = 1.0 / (known * (1.0 - forget) + learn), 1.0 / (known * forget + (1.0 - learn))
    both = of_known + of_unknown
    return known * (1.0 - forget - learn) * of_known * of_unknown, both, -known * both


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
        before, after = np.empty(nodes), np.empty(nodes)  # odds
        backward = np.zeros(nodes)  # gradient in the log-odds after the response
        f, total, likelihood, forgotten = forget[skill], 0.0, 1.0, 0.0
        for node in range(nodes):
            above, c, count = trie.parent[begin + node], observation[begin + node], trie.students[begin + node]
            known, unknown = observations.known[c], observations.unknown[c]
            odds = (
                observations.prior[c] / (1.0 - observations.prior[c]) if above < 0 else fade(after[above], observations.keep[c])
            )
            outcome = (odds * known + unknown) / (1.0 + odds)
            if count == 1.0:  # most nodes: one logarithm for many of them
                likelihood *= outcome
                if likelihood < LEAST_PRODUCT:
                    total, likelihood = total + math.log(likelihood), 1.0
            else:
                total += count * math.log(outcome)
            before[node], after[node] = odds, update(odds, known / unknown, observations.learn[c], f)
        for node in range(nodes - 1, -1, -1):
            above, c, count = trie.parent[begin + node], observation[begin + node], trie.students[begin + node]
            odds, posterior = before[node], before[node] * observations.known[c] / observations.unknown[c]
            by_odds, by_learn, by_forget = update_gradient(posterior, observations.learn[c], f)
            of_odds, if_known = backward[node] * by_odds, posterior / (1.0 + posterior)
            out.learn[c] += backward[node] * by_learn
            forgotten += backward[node] * by_forget
            out.known[c] += count * if_known + of_odds
            out.unknown[c] += count / (1.0 + posterior) - of_odds
            gradient = count * (if_known - odds / (1.0 + odds)) + of_odds
            if above < 0:
                out.prior[c] += gradient / (observations.prior[c] * (1.0 - observations.prior[c]))
            else:  # d log-odds / d log P(known) is 1 / P(unknown)
                backward[above] += gradient * (1.0 + odds) / (1.0 + after[above])
                out.keep[c] += gradient * (1.0 + odds)
        out.value[skill], out.forget[skill] = total + math.log(likelihood), forgotten


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
def longest(rows: Rows, first: int, last: int) -> tuple[int, int]:
    """The most entries and the most pairs that one of students [first, last) has."""
    entries, pairs = 0, 0
    for student in range(first, last):
        begin, end = rows.skill_start[rows.student_start[student]], rows.skill_start[rows.student_start[student + 1]]
        entries = max(entries, end - begin)
        pairs = max(pairs, rows.pair_start[student + 1] - rows.pair_start[student])
    return entries, pairs


@kernel
def start_odds(rows: Rows, entries: EventEntries, theta: FloatArray, student: int, state: FloatArray) -> None:
    """Odds of each of a student's pairs before its first response, into ``state``."""
    begin = rows.pair_start[student]
    for pair in range(begin, rows.pair_start[student + 1]):
        prior = theta[entries.first[pair], PRIOR]
        state[pair - begin] = prior / (1.0 - prior)


@kernel
def add_prior_gradient(
    rows: Rows, entries: EventEntries, theta: FloatArray, student: int, of_odds: FloatArray, out: EventCounts
) -> None:
    """Add the gradient in P(L0), from that in the log-odds before each of a student's pairs' first response."""
    begin = rows.pair_start[student]
    for pair in range(begin, rows.pair_start[student + 1]):
        cell = entries.first[pair]
        out.theta[cell, PRIOR] += of_odds[pair - begin] / (theta[cell, PRIOR] * (1.0 - theta[cell, PRIOR]))


@kernel
def after_gap(entries: EventEntries, at: int, odds: float) -> float:
    """Odds before a response, from those after the pair's last one."""
    if len(entries.decay) == 0 or entries.decay[at] <= 0.0:
        return odds
    before: float = fade(odds, math.exp(-entries.decay[at]))
    return before


@kernel
def before_gap(rows: Rows, entries: EventEntries, at: int, work: FloatArray, of_odds: float, out: EventCounts) -> float:
    """Gradient in the log-odds after the pair's last response, from that before this one; the half-life's is added to ``out``."""
    if len(entries.decay) == 0 or entries.decay[at] <= 0.0:
        return of_odds
    of_decay = of_odds * (1.0 + work[ODDS])
    out.decay[rows.pair_skill[rows.pair[at]]] += of_decay * entries.decay[at]
    of_after: float = of_decay / (1.0 + work[AFTER])
    return of_after


@kernel
def outcome_chances(correct: float, weight: float, rest: float, guess: float, slip: float) -> tuple[float, float]:
    """P(outcome | known) and P(outcome | unknown) of one skill of an event."""
    return blend(correct, weight * (1.0 - slip) + rest), blend(correct, weight * guess + rest)


@kernel
def forward(
    rows: Rows,
    entries: EventEntries,
    rule: int,
    theta: FloatArray,
    levels: FloatArray,
    student: int,
    work: FloatArray,
    state: FloatArray,
) -> float:
    """Forward pass over one student: the log-likelihood, and what :func:`backward` needs of each entry into ``work``.

    ``work`` (n_entries, COLUMNS) has the columns ODDS, AFTER, ...; ``state`` (n_pairs,) ends as the odds of each pair.
    """
    begin_pair, offset = rows.pair_start[student], rows.skill_start[rows.student_start[student]]
    leveled = len(entries.level) > 0
    start_odds(rows, entries, theta, student, state)
    value, likelihood = 0.0, 1.0
    for row in range(rows.student_start[student], rows.student_start[student + 1]):
        begin, end, correct = rows.skill_start[row], rows.skill_start[row + 1], rows.correct[row]
        n_skills, product, total, least, weakest = end - begin, 1.0, 0.0, 2.0, begin
        for at in range(begin, end):
            c, here, after = entries.cell[at], at - offset, state[rows.pair[at] - begin_pair]
            odds = after_gap(entries, at, after)
            chance = (odds * (1.0 - theta[c, SLIP]) + theta[c, GUESS]) / (1.0 + odds)
            work[here, AFTER], work[here, ODDS], work[here, CHANCE] = after, odds, chance
            product *= chance
            total += chance
            if chance < least:
                least, weakest = chance, at
        predicted = joint(rule, product, total, least, n_skills)
        if n_skills > 1:
            likelihood *= blend(correct, predicted)
        for at in range(begin, end):
            c, here, weight, rest = entries.cell[at], at - offset, 1.0, 0.0
            if n_skills > 1:
                weight, rest = credit(rule, correct, work[here, CHANCE], predicted, n_skills, at == weakest)
            known, unknown = outcome_chances(correct, weight, rest, theta[c, GUESS], theta[c, SLIP])
            if leveled and entries.level[at] >= 0:
                known, unknown = levels[entries.level[at], 1], levels[entries.level[at], 0]
            odds = work[here, ODDS]
            if n_skills == 1:  # to full precision
                likelihood *= (odds * known + unknown) / (1.0 + odds)
            work[here, WEIGHT], work[here, KNOWN], work[here, UNKNOWN] = weight, known, unknown
            state[rows.pair[at] - begin_pair] = update(odds, known / unknown, theta[c, LEARN], theta[c, FORGET])
        if likelihood < LEAST_PRODUCT:
            value, likelihood = value + math.log(likelihood), 1.0
    return value + math.log(likelihood)


@kernel
def before_learning(
    odds: float, known: float, unknown: float, back: float, alone: bool, theta: FloatArray, c: int, out: EventCounts
) -> tuple[float, float, float]:
    """Gradient in the log-odds before a response and in the logarithms of P(outcome | known) and P(outcome | unknown).

    ``back`` is the gradient in the log-odds after learning and forgetting, theirs are added to ``out``. The outcome's own
    likelihood counts where the skill is ``alone`` in its event.
    """
    posterior = odds * known / unknown
    if_known, if_unknown = posterior / (1.0 + posterior), 1.0 / (1.0 + posterior)
    by_odds, by_learn, by_forget = update_gradient(posterior, theta[c, LEARN], theta[c, FORGET])
    of_odds = back * by_odds
    out.theta[c, LEARN] += back * by_learn
    out.theta[c, FORGET] += back * by_forget
    out.seen[c, 0] += if_unknown
    out.seen[c, 1] += if_known
    if not alone:
        return of_odds, of_odds, -of_odds
    return of_odds + if_known - odds / (1.0 + odds), of_odds + if_known, if_unknown - of_odds


@kernel
def backward(
    rows: Rows,
    entries: EventEntries,
    rule: int,
    theta: FloatArray,
    student: int,
    work: FloatArray,
    after: FloatArray,
    out: EventCounts,
) -> None:
    """Reverse pass over one student, after :func:`forward`: add the gradient to ``out``.

    ``after`` (n_pairs,) is a working array: the gradient in the log-odds after each pair's last response so far.
    """
    begin_pair, offset = rows.pair_start[student], rows.skill_start[rows.student_start[student]]
    leveled = len(entries.level) > 0
    after[: rows.pair_start[student + 1] - begin_pair] = 0.0
    for row in range(rows.student_start[student + 1] - 1, rows.student_start[student] - 1, -1):
        begin, end, correct = rows.skill_start[row], rows.skill_start[row + 1], rows.correct[row]
        n_skills, sign, product, total, least, weakest, of_credits = end - begin, 2.0 * correct - 1.0, 1.0, 0.0, 2.0, begin, 0.0
        for at in range(begin, end):
            c, here, back = entries.cell[at], at - offset, after[rows.pair[at] - begin_pair]
            odds, known, unknown, weight = work[here, ODDS], work[here, KNOWN], work[here, UNKNOWN], work[here, WEIGHT]
            guess, slip = theta[c, GUESS], theta[c, SLIP]
            of_odds, of_known, of_unknown = before_learning(odds, known, unknown, back, n_skills == 1, theta, c, out)
            work[here, OF_ODDS] = of_odds
            if leveled and entries.level[at] >= 0:
                out.levels[entries.level[at], 1] += of_known
                out.levels[entries.level[at], 0] += of_unknown
                continue
            of_known, of_unknown = of_known * (sign / known), of_unknown * (sign / unknown)  # in P(right)
            if n_skills == 1:
                out.theta[c, SLIP] -= of_known
                out.theta[c, GUESS] += of_unknown
                continue
            of_weight, chance = of_known * (1.0 - slip) + of_unknown * guess, work[here, CHANCE]
            of_credit = of_weight * weight if rule == CONJUNCTIVE else of_known + of_unknown
            work[here, KNOWN], work[here, UNKNOWN], work[here, OF_OTHERS] = of_known * weight, of_unknown * weight, of_credit
            of_credits += of_credit
            product *= chance
            total += chance
            if chance < least:
                least, weakest = chance, at
        if n_skills > 1:
            predicted = joint(rule, product, total, least, n_skills)
            of_predicted = sign / blend(correct, predicted)
        for at in range(begin, end):
            c, here, odds, gradient = entries.cell[at], at - offset, work[at - offset, ODDS], work[at - offset, OF_ODDS]
            if n_skills > 1:
                others, inverse = of_credits - work[here, OF_OTHERS], 1.0 / (1.0 + odds)
                own = chance_gradient(rule, work[here, CHANCE], predicted, n_skills, at == weakest, of_predicted, others)
                own *= inverse
                gradient += own * (1.0 - theta[c, SLIP] - theta[c, GUESS]) * odds * inverse
                out.theta[c, SLIP] -= own * odds + work[here, KNOWN]
                out.theta[c, GUESS] += own + work[here, UNKNOWN]
            after[rows.pair[at] - begin_pair] = before_gap(rows, entries, at, work[here], gradient, out)
    add_prior_gradient(rows, entries, theta, student, after, out)


@kernel
def expected_event_counts(
    rows: Rows, entries: EventEntries, rule: int, theta: FloatArray, levels: FloatArray, first: int, last: int, out: EventCounts
) -> None:
    """Log-likelihood of students [first, last) and its gradient, added to ``out``.

    ``theta`` (n_cells, 5) are the parameters of the cells, ``levels`` (n_levels, 2) the chances of a level while unknown and
    while known. An event of several skills is one outcome; what it says of each depends on the others, and the gradient
    is carried through that as well.
    """
    n_entries, n_pairs = longest(rows, first, last)
    work, of_pairs = np.empty((n_entries, COLUMNS)), np.empty(n_pairs)
    for student in range(first, last):
        out.value[0] += forward(rows, entries, rule, theta, levels, student, work, of_pairs)
        backward(rows, entries, rule, theta, student, work, of_pairs, out)
