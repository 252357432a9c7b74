"""Maximum likelihood for knowledge tracing, from the sequences in a prefix trie.

The log-likelihood is a sum over nodes, ``students * log P(outcome | prefix)`` (Rabiner, 1989,
sec. V.A: the scaled forward pass), so its cost grows with the number of distinct prefixes, not
with the number of students. :func:`log_likelihood_and_gradient` gives the value, the gradient and
the outer product of the node scores (Berndt, Hall, Hall & Hausman, 1974), an estimate of the
information that is never indefinite. :func:`maximise_from` takes damped Newton steps with it
(Levenberg, 1944; Marquardt, 1963) inside the bounds, and keeps only steps that raise the
likelihood. :func:`multi_start` does so from the best of many starts.

A point of the search, ``x`` (5,), equals ``theta`` (prior, learn, forget, guess, slip) but for
its guess, which is the share that guess takes of its :func:`guess_range`: at every x within the
bounds knowing helps, and the skill passes the tests of Baker, Corbett & Aleven (2008).

The module is long because Numba's cache does not notice a change in another file: the loop and
every step that it calls stand in one file.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels.compile import kernel
from adaptrace.kernels.trie import Trie

FloatArray = NDArray[np.float64]

PRIOR, LEARN, FORGET, GUESS, SLIP = range(5)
SIZE = 5

TOLERANCE = 1e-10  # of the log-likelihood: the search ends when a step promises less
ROUGH_TOLERANCE = 1e-9  # the same, while starts are compared
SAME_OPTIMUM = 1e-7  # relative difference below which two starts reached the same optimum: the likelier start is kept
MOST_STEPS = 500
BFGS_GAIN = 1.0  # below such a gain of log-likelihood, the curvature is updated by BFGS
MIN_CURVATURE = 0.05  # of the expected curvature: a step that shows less does not update it
SNAP = 1e-12  # a step that ends this close to a bound ends on it
MIN_PRODUCT = 1e-200  # of a product of outcomes' chances; its logarithm is taken before it underflows
MIN_UNKNOWN = 1e-200  # a node with a smaller P(unknown) holds log-odds instead
AS_LOG_ODDS = 2.0  # stands where P(known) would: this node holds log-odds
SHARE_MARGIN = 1e-9  # how close to 0 and 1 the guess's share may come
RANKING_NODES = 512  # nodes on which the starts are ranked; a quarter of them on a large trie
UNSEEN_SHARE = 0.2  # of the responses: about so many could have shown an event that never happened
LARGE, FIRST_NODES = 4096, 2048  # a larger trie is first fitted on its first nodes: everybody's first responses
FEW_STARTS, SOME_STARTS, MANY_STARTS = 2, 8, 60  # searched from, on a large, a medium and a tiny trie
START_WORK = 10_000  # nodes x starts: decides how many a small trie gets

FEW_RIGHTS = 3  # so many right answers must not lower mastery (Baker, Corbett & Aleven, 2008, sec. 2)
MANY_RIGHTS, MASTERED = 10, 0.95  # so many must reach it (the same)
MIN_GUESS, MIN_CHANCE = 1e-9, 1e-12


class FitProblem(NamedTuple):
    """What a fit may do. Equal bounds fix a parameter."""

    low: FloatArray  # (5,) of theta
    high: FloatArray  # (5,) of theta
    observations: FloatArray  # (n, 2) signed weight and intercept: P(outcome) = intercept + signed weight x P(right on the skill)
    smoothing: FloatArray  # (5, 2) pseudo-counts: of the event, and of its absence (a Beta prior, less one)
    starts: FloatArray  # (n_starts, 5) points x to start from
    plausible: bool  # whether every skill must pass the tests of plausibility


class Workspace(NamedTuple):
    """Working arrays for one skill at a time."""

    known: FloatArray  # (n_nodes, 2) P(known) and P(unknown) before the next response
    state: FloatArray  # (n_nodes, 7) the same two, then the derivatives of P(known) in theta; or as `to_log_odds` leaves it


# ---- the likelihood ---------------------------------------------------------
#
# A node holds both P(known) and P(unknown): one minus the other would lose the digits of the smaller. A P(unknown) below
# `MIN_UNKNOWN` changes no prediction, but it decides how many wrong answers it takes until mastery falls: such a node holds the
# log-odds of mastery instead. Only a skill without forgetting gets there. P(known) stays above it: P(learn) is at least 1e-9.


@kernel
def rough_log_likelihood(theta: FloatArray, problem: FitProblem, trie: Trie, begin: int, end: int, workspace: Workspace) -> float:
    """Log-likelihood of nodes [begin, end), good enough to rank starts: P(unknown) is kept at `MIN_UNKNOWN` or above."""
    prior, learn, forget, guess, slip = theta[0], theta[1], theta[2], theta[3], theta[4]
    total = 0.0
    for node in range(end - begin):
        above = trie.parent[begin + node]
        p = prior if above < 0 else workspace.known[above, 0]
        q = 1.0 - prior if above < 0 else workspace.known[above, 1]
        observed = trie.symbol[begin + node]
        signed_weight, intercept = problem.observations[observed, 0], problem.observations[observed, 1]
        known, unknown = p * ((intercept + signed_weight) - signed_weight * slip), q * (intercept + signed_weight * guess)
        total += trie.students[begin + node] * math.log(known + unknown)
        inverse = 1.0 / (known + unknown)
        workspace.known[node, 0] = (known * (1.0 - forget) + unknown * learn) * inverse
        workspace.known[node, 1] = max((known * forget + unknown * (1.0 - learn)) * inverse, MIN_UNKNOWN)
    return total


@kernel
def to_log_odds(state: FloatArray, node: int) -> None:
    """Replace P(known), P(unknown) and the derivatives of P(known) by a mark, the log-odds and their derivatives."""
    p, q = state[node, 0], state[node, 1]
    state[node, 0], state[node, 1] = AS_LOG_ODDS, math.log(p) - math.log(q)
    for a in range(SIZE):
        state[node, 2 + a] /= p * q


@kernel
def from_log_odds(state: FloatArray, node: int) -> None:
    """The inverse of :func:`to_log_odds`."""
    q = math.exp(-state[node, 1])
    state[node, 0], state[node, 1] = 1.0, q
    for a in range(SIZE):
        state[node, 2 + a] *= q


@kernel
def update_log_odds(
    state: FloatArray, above: int, node: int, known: float, unknown: float, signed_weight: float, learn: float
) -> None:
    """Log-odds and their derivatives at a node, from those of the node above, without forgetting."""
    for a in range(SIZE):
        state[node, 2 + a] = state[above, 2 + a]
    state[node, 2 + LEARN] += 1.0 / (1.0 - learn)
    state[node, 2 + GUESS] -= signed_weight / unknown
    state[node, 2 + SLIP] -= signed_weight / known
    state[node, 0] = AS_LOG_ODDS
    state[node, 1] = state[above, 1] + math.log(known / unknown) - math.log1p(-learn)
    if state[node, 1] < -math.log(MIN_UNKNOWN):
        from_log_odds(state, node)


@kernel
def add_score(
    count: float, g0: float, g1: float, g2: float, g3: float, g4: float, gradient: FloatArray, information: FloatArray
) -> None:
    """Add a node's score to the gradient, and its outer product to the lower half of the information."""
    w0, w1, w2, w3, w4 = count * g0, count * g1, count * g2, count * g3, count * g4
    gradient[0] += w0
    gradient[1] += w1
    gradient[2] += w2
    gradient[3] += w3
    gradient[4] += w4
    information[0, 0] += w0 * g0
    information[1, 0] += w1 * g0
    information[1, 1] += w1 * g1
    information[2, 0] += w2 * g0
    information[2, 1] += w2 * g1
    information[2, 2] += w2 * g2
    information[3, 0] += w3 * g0
    information[3, 1] += w3 * g1
    information[3, 2] += w3 * g2
    information[3, 3] += w3 * g3
    information[4, 0] += w4 * g0
    information[4, 1] += w4 * g1
    information[4, 2] += w4 * g2
    information[4, 3] += w4 * g3
    information[4, 4] += w4 * g4


@kernel
def add_smoothing(theta: FloatArray, problem: FitProblem, gradient: FloatArray, information: FloatArray) -> float:
    """Log-density of the pseudo-counts, its gradient and information added; the information's upper half is filled in."""
    total = 0.0
    for a in range(SIZE):
        for b in range(a):
            information[b, a] = information[a, b]
        with_it, without = problem.smoothing[a, 0], problem.smoothing[a, 1]
        if with_it + without > 0.0:
            total += with_it * math.log(theta[a]) + without * math.log(1.0 - theta[a])
            gradient[a] += with_it / theta[a] - without / (1.0 - theta[a])
            information[a, a] += with_it / theta[a] ** 2 + without / (1.0 - theta[a]) ** 2
    return total


@kernel
def log_likelihood_and_gradient(
    theta: FloatArray,
    problem: FitProblem,
    trie: Trie,
    begin: int,
    end: int,
    workspace: Workspace,
    gradient: FloatArray,
    information: FloatArray,
) -> float:
    """Smoothed log-likelihood of nodes [begin, end), with its gradient (5,) and information (5, 5) in theta.

    Derivatives in a fixed P(forget) are set to 0: without forgetting they grow without bound.
    """
    prior, learn, forget, guess, slip = theta[0], theta[1], theta[2], theta[3], theta[4]
    state, stay, fixed = workspace.state, 1.0 - learn - forget, problem.low[FORGET] == problem.high[FORGET]
    gradient[:], information[:] = 0.0, 0.0
    total, product = 0.0, 1.0
    for node in range(end - begin):
        above, observed, count = trie.parent[begin + node], trie.symbol[begin + node], trie.students[begin + node]
        signed_weight, intercept = problem.observations[observed, 0], problem.observations[observed, 1]
        known, unknown = (intercept + signed_weight) - signed_weight * slip, intercept + signed_weight * guess
        if above < 0:
            p, q, p0, p1, p2, p3, p4 = prior, 1.0 - prior, 1.0, 0.0, 0.0, 0.0, 0.0
        elif state[above, 0] == AS_LOG_ODDS:
            total += count * math.log(known)
            add_score(
                count, 0.0, 0.0, 0.0, 0.0, -signed_weight / known, gradient, information
            )  # the other derivatives are below 1e-180
            update_log_odds(state, above, node, known, unknown, signed_weight, learn)
            continue
        else:
            p, q, p0, p1 = state[above, 0], state[above, 1], state[above, 2], state[above, 3]
            p2, p3, p4 = state[above, 4], state[above, 5], state[above, 6]
        outcome = p * known + q * unknown
        if count == 1.0:  # most nodes: one logarithm for many of them
            product *= outcome
            if product < MIN_PRODUCT:
                total += math.log(product)
                product = 1.0
        else:
            total += count * math.log(outcome)

        # the node's score: d log P(outcome | prefix) / d theta
        inverse = 1.0 / outcome
        delta, scaled = (known - unknown) * inverse, signed_weight * inverse  # in P(known); in guess and -slip
        add_score(
            count, p0 * delta, p1 * delta, p2 * delta, p3 * delta + q * scaled, p4 * delta - p * scaled, gradient, information
        )

        # after the response: P(known), P(unknown), and d P(known) / d theta
        if_known, if_unknown = p * known * inverse, q * unknown * inverse
        through, direct = stay * known * unknown * inverse * inverse, stay * p * q * scaled * inverse
        state[node, 0] = if_known * (1.0 - forget) + if_unknown * learn
        state[node, 1] = if_known * forget + if_unknown * (1.0 - learn)
        state[node, 2] = through * p0
        state[node, 3] = through * p1 + if_unknown
        state[node, 4] = 0.0 if fixed else through * p2 - if_known
        state[node, 5] = through * p3 - direct * known
        state[node, 6] = through * p4 - direct * unknown
        if state[node, 1] < MIN_UNKNOWN:
            to_log_odds(state, node)
    return total + math.log(product) + add_smoothing(theta, problem, gradient, information)


# ---- the bounds -------------------------------------------------------------


@kernel
def copy(source: FloatArray, target: FloatArray) -> None:
    """Copy a point; a slice assignment would take Numba four seconds longer to compile."""
    for a in range(SIZE):
        target[a] = source[a]


@kernel
def after_rights(x: FloatArray, guess: float, rights: int, gradient: FloatArray) -> float:
    """Log-odds of mastery after so many right answers; their derivatives in theta into ``gradient`` (5,)."""
    learn, forget, slip = x[LEARN], x[FORGET], x[SLIP]
    unknown = max(1.0 - x[PRIOR], MIN_CHANCE)
    odds = max(x[PRIOR], MIN_CHANCE) / unknown
    for a in range(SIZE):
        gradient[a] = 0.0
    gradient[PRIOR] = 1.0 / unknown**2
    ratio = (1.0 - slip) / guess
    for _ in range(rights):
        known = odds * ratio
        known_after, unknown_after = known * (1.0 - forget) + learn, known * forget + (1.0 - learn)
        by_known = ((1.0 - forget) * unknown_after - forget * known_after) / unknown_after**2  # d odds' / d known
        for a in range(SIZE):
            gradient[a] *= ratio * by_known
        gradient[LEARN] += (unknown_after + known_after) / unknown_after**2
        gradient[FORGET] -= known * (unknown_after + known_after) / unknown_after**2
        gradient[GUESS] -= known / guess * by_known
        gradient[SLIP] -= odds / guess * by_known
        odds = known_after / unknown_after
    for a in range(SIZE):
        gradient[a] /= odds
    return math.log(odds)


@kernel
def plausibility_margin(x: FloatArray, guess: float, test: int, gradient: FloatArray) -> float:
    """Log-odds by which a test of plausibility is passed (failed if below 0); derivatives in theta into ``gradient`` (5,)."""
    if test == 1:
        return after_rights(x, guess, MANY_RIGHTS, gradient) - math.log(MASTERED / (1.0 - MASTERED))
    unknown, known = max(1.0 - x[PRIOR], MIN_CHANCE), max(x[PRIOR], MIN_CHANCE)
    reached = after_rights(x, guess, FEW_RIGHTS, gradient)
    gradient[PRIOR] -= 1.0 / (known * unknown)
    return reached - math.log(known / unknown)


@kernel
def guess_range(x: FloatArray, problem: FitProblem, range_gradient: FloatArray) -> float:
    """How far guess may rise above its lowest value, given the rest; its derivatives in x into ``range_gradient`` (5,).

    Guess stays below 1 - slip, and below the value from which a test fails: the more a skill is guessed, the weaker the
    evidence of a right answer. That value is found by Newton's method on log guess, kept in a bracket.
    """
    highest = min(problem.high[GUESS], 1.0 - x[SLIP])
    gradient = np.zeros(SIZE)
    for a in range(SIZE):
        range_gradient[a] = 0.0
    if highest < problem.high[GUESS]:
        range_gradient[SLIP] = -1.0
    if problem.plausible:
        for test in range(2):
            value = plausibility_margin(x, highest, test, gradient)
            if value >= 0.0:
                continue
            low, high = math.log(MIN_GUESS), math.log(highest)
            at = high
            for _ in range(60):
                if value >= 0.0:
                    low = at
                else:
                    high = at
                step = -value / (gradient[GUESS] * math.exp(at))
                at = at + step if low < at + step < high else 0.5 * (low + high)
                value = plausibility_margin(x, math.exp(at), test, gradient)
                if abs(value) < 1e-13 or high - low < 1e-15:
                    break
            highest = math.exp(at)
            for a in range(SIZE):
                range_gradient[a] = -gradient[a] / gradient[GUESS]
    range_gradient[GUESS] = 0.0
    width: float = max(highest - problem.low[GUESS], 0.0)
    return width


@kernel
def guess_ranges(x: FloatArray, problem: FitProblem, range_gradients: FloatArray, out: FloatArray) -> None:
    """The :func:`guess_range` of many skills (n, 5) into ``out`` (n,), with its derivatives into ``range_gradients`` (n, 5)."""
    for skill in range(len(x)):
        out[skill] = guess_range(x[skill], problem, range_gradients[skill])


@kernel
def to_theta(x: FloatArray, problem: FitProblem, theta: FloatArray, range_gradient: FloatArray) -> float:
    """Theta of a point x; return the :func:`guess_range`, with its derivatives in ``range_gradient``."""
    width = guess_range(x, problem, range_gradient)
    for a in range(SIZE):
        theta[a] = x[a] if a != GUESS else problem.low[GUESS] + x[GUESS] * width
    return width


@kernel
def apply_chain_rule(
    x: FloatArray, width: float, range_gradient: FloatArray, gradient: FloatArray, information: FloatArray
) -> None:
    """Turn a gradient and an information matrix in theta into those in x, in place."""
    for a in range(SIZE):
        gradient[a] += x[GUESS] * range_gradient[a] * gradient[GUESS]
    gradient[GUESS] *= width
    for b in range(SIZE):
        for a in range(SIZE):
            information[b, a] += x[GUESS] * range_gradient[a] * information[b, GUESS]
        information[b, GUESS] *= width
    for b in range(SIZE):
        for a in range(SIZE):
            information[a, b] += x[GUESS] * range_gradient[a] * information[GUESS, b]
        information[GUESS, b] *= width


@kernel
def x_bounds(problem: FitProblem, low: FloatArray, high: FloatArray) -> None:
    """The bounds of x."""
    for a in range(SIZE):
        low[a], high[a] = problem.low[a], problem.high[a]
    if low[GUESS] < high[GUESS]:
        low[GUESS], high[GUESS] = SHARE_MARGIN, 1.0 - SHARE_MARGIN


@kernel
def bounded_step(x: FloatArray, step: FloatArray, low: FloatArray, high: FloatArray, trial: FloatArray) -> None:
    """Write x + step to ``trial``, the step shortened so that it ends on the first bound that it meets.

    Where the data say little, a search so ends inside the bounds rather than in a corner.
    """
    share = 1.0
    for a in range(SIZE):
        if step[a] > 0.0:
            share = min(share, (high[a] - x[a]) / step[a])
        elif step[a] < 0.0:
            share = min(share, (low[a] - x[a]) / step[a])
    for a in range(SIZE):
        trial[a] = x[a] + share * step[a]
        if trial[a] > high[a] - SNAP:
            trial[a] = high[a]
        if trial[a] < low[a] + SNAP:
            trial[a] = low[a]


@kernel
def newton_step(gradient: FloatArray, curvature: FloatArray, free: NDArray[np.bool_], damping: float, step: FloatArray) -> None:
    """Solve (curvature + damping * its diagonal) step = gradient over the free parameters, by Cholesky."""
    lower = np.zeros((SIZE, SIZE))
    for a in range(SIZE):
        for b in range(a):
            rest = curvature[a, b] if free[a] and free[b] else 0.0
            for c in range(b):
                rest -= lower[a, c] * lower[b, c]
            lower[a, b] = rest / lower[b, b]
        whole = curvature[a, a] * (1.0 + damping) + 1e-9 if free[a] else 1.0
        rest = whole
        for c in range(a):
            rest -= lower[a, c] * lower[a, c]
        lower[a, a] = math.sqrt(max(rest, 1e-10 * whole))
    for a in range(SIZE):
        step[a] = gradient[a] if free[a] else 0.0
        for c in range(a):
            step[a] -= lower[a, c] * step[c]
        step[a] /= lower[a, a]
    for a in range(SIZE - 1, -1, -1):
        for c in range(a + 1, SIZE):
            step[a] -= lower[c, a] * step[c]
        step[a] /= lower[a, a]


@kernel
def active_set_step(
    x: FloatArray,
    gradient: FloatArray,
    curvature: FloatArray,
    low: FloatArray,
    high: FloatArray,
    free: NDArray[np.bool_],
    damping: float,
    step: FloatArray,
) -> float:
    """Damped Newton step over the parameters that may move; return the gain that it promises.

    A parameter on a bound stays there if the gradient, or the joint step, points out of the bounds (Bertsekas, 1982).
    """
    for a in range(SIZE):
        free[a] = x[a] < high[a] if gradient[a] > 0.0 else x[a] > low[a]
    leaves = True
    while leaves:
        newton_step(gradient, curvature, free, damping, step)
        leaves = False
        for a in range(SIZE):
            if free[a] and (x[a] >= high[a] if step[a] > 0.0 else step[a] < 0.0 and x[a] <= low[a]):
                free[a], leaves = False, True
    promise = 0.0
    for a in range(SIZE):
        promise += step[a] * gradient[a]
    return promise


@kernel
def bfgs_update(step: FloatArray, decrease: FloatArray, curvature: FloatArray) -> None:
    """Update the curvature by how the gradient decreased over a step (Broyden, Fletcher, Goldfarb & Shanno, 1970)."""
    product, expected, observed = np.empty(SIZE), 0.0, 0.0
    for a in range(SIZE):
        product[a] = 0.0
        for b in range(SIZE):
            product[a] += curvature[a, b] * step[b]
        expected += step[a] * product[a]
        observed += step[a] * decrease[a]
    if observed > MIN_CURVATURE * expected:
        for a in range(SIZE):
            for b in range(SIZE):
                curvature[a, b] += decrease[a] * decrease[b] / observed - product[a] * product[b] / expected


# ---- the search -------------------------------------------------------------


@kernel
def maximise_from(
    x: FloatArray,
    problem: FitProblem,
    trie: Trie,
    begin: int,
    end: int,
    workspace: Workspace,
    tolerance: float,
    information: FloatArray,
) -> float:
    """Maximise the log-likelihood of nodes [begin, end) from x, in place; return the value reached."""
    theta, step, trial = np.empty(SIZE), np.empty(SIZE), np.empty(SIZE)
    low, high = np.empty(SIZE), np.empty(SIZE)
    gradient, curvature = np.empty(SIZE), np.empty((SIZE, SIZE))
    new_gradient, new_curvature = np.empty(SIZE), np.empty((SIZE, SIZE))
    free, range_gradient = np.ones(SIZE, np.bool_), np.empty(SIZE)
    x_bounds(problem, low, high)
    width = to_theta(x, problem, theta, range_gradient)
    value = log_likelihood_and_gradient(theta, problem, trie, begin, end, workspace, gradient, curvature)
    for a in range(SIZE):
        copy(curvature[a], information[a])
    apply_chain_rule(x, width, range_gradient, gradient, curvature)
    damping = 1e-3
    for _ in range(MOST_STEPS):
        promise = active_set_step(x, gradient, curvature, low, high, free, damping, step)
        if promise < tolerance * (1.0 - value) or damping > 1e15:
            break
        bounded_step(x, step, low, high, trial)
        width = to_theta(trial, problem, theta, range_gradient)
        reached = log_likelihood_and_gradient(theta, problem, trie, begin, end, workspace, new_gradient, new_curvature)
        if reached > value:
            value = reached
            for a in range(SIZE):
                copy(new_curvature[a], information[a])
            apply_chain_rule(trial, width, range_gradient, new_gradient, new_curvature)
            for a in range(SIZE):
                step[a] = trial[a] - x[a]
                gradient[a] -= new_gradient[a]
            if promise < BFGS_GAIN:
                bfgs_update(step, gradient, new_curvature)
            copy(trial, x)
            gradient, new_gradient = new_gradient, gradient
            curvature, new_curvature = new_curvature, curvature
            damping = max(damping * 0.1, 1e-9)
        else:
            damping = max(damping, 1e-4) * 10.0
    return value


@kernel
def multi_start(
    problem: FitProblem, trie: Trie, skill: int, workspace: Workspace, best: FloatArray, information: FloatArray
) -> float:
    """Maximise one skill from several starts; the best point into ``best``. Return its log-likelihood."""
    begin, end = trie.start[skill], trie.start[skill + 1]
    nodes = end - begin
    shallow, ranked, n_starts = end, RANKING_NODES, max(SOME_STARTS, min(MANY_STARTS, START_WORK // max(1, nodes)))
    if nodes > LARGE:
        shallow, ranked, n_starts = begin + FIRST_NODES, RANKING_NODES // 4, FEW_STARTS
    x, theta, range_gradient, promise = np.empty(SIZE), np.empty(SIZE), np.empty(SIZE), np.empty(len(problem.starts))
    for index in range(len(promise)):
        to_theta(problem.starts[index], problem, theta, range_gradient)
        promise[index] = rough_log_likelihood(theta, problem, trie, begin, min(shallow, begin + ranked), workspace)
    value = -np.inf
    for _ in range(min(n_starts, len(promise))):
        index = int(np.argmax(promise))
        promise[index] = -np.inf
        copy(problem.starts[index], x)
        reached = maximise_from(x, problem, trie, begin, shallow, workspace, ROUGH_TOLERANCE, information)
        if reached > value + SAME_OPTIMUM * (1.0 - reached):
            value = reached
            copy(x, best)
    return maximise_from(best, problem, trie, begin, end, workspace, TOLERANCE, information)


@kernel
def to_x(theta: FloatArray, problem: FitProblem, responses: float, x: FloatArray) -> None:
    """The point x of a theta, moved into the bounds, and off 0 and 1 where pseudo-counts forbid them."""
    range_gradient, low, high = np.empty(SIZE), np.empty(SIZE), np.empty(SIZE)
    x_bounds(problem, low, high)
    for a in range(SIZE):
        with_it, without = problem.smoothing[a, 0], problem.smoothing[a, 1]
        share = 1.0 / (with_it + without + UNSEEN_SHARE * responses)
        x[a] = min(max(theta[a], with_it * share), 1.0 - without * share)
        x[a] = min(max(x[a], problem.low[a]), problem.high[a])
    width = guess_range(x, problem, range_gradient)
    if low[GUESS] < high[GUESS]:
        share = (theta[GUESS] - problem.low[GUESS]) / max(width, MIN_GUESS)
        x[GUESS] = min(max(share, low[GUESS]), high[GUESS])


@kernel
def fit_skills(problem: FitProblem, trie: Trie, small: int, thetas: FloatArray, information: FloatArray) -> None:
    """Fit every skill of a trie: theta into ``thetas`` (n_skills, 5), its information into ``information`` (n_skills, 5, 5).

    Skills with more than ``small`` nodes are fitted from the theta they have, the others from several starts.
    """
    largest = 0
    for skill in range(len(thetas)):
        largest = max(largest, trie.start[skill + 1] - trie.start[skill])
    workspace = Workspace(np.empty((largest, 2)), np.empty((largest, 7)))
    x, range_gradient = np.empty(SIZE), np.empty(SIZE)
    for skill in range(len(thetas)):
        begin, end = trie.start[skill], trie.start[skill + 1]
        if end - begin > small:
            responses = 0.0
            for node in range(begin, end):
                responses += trie.students[node]
            to_x(thetas[skill], problem, responses, x)
            maximise_from(x, problem, trie, begin, end, workspace, TOLERANCE, information[skill])
        else:
            multi_start(problem, trie, skill, workspace, x, information[skill])
        to_theta(x, problem, thetas[skill], range_gradient)
