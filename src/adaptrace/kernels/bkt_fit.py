"""Maximum likelihood for knowledge tracing, from the sequences in a prefix trie.

The log-likelihood is a sum over nodes, ``students * log P(outcome | prefix)`` (Rabiner, 1989,
sec. V.A: the scaled forward pass), so its cost follows the distinct prefixes and not the
students. :func:`score` gives the value, the gradient and the outer product of the node
scores (Berndt, Hall, Hall & Hausman, 1974), an estimate of the information that is never
indefinite. :func:`climb` takes damped steps with it (Levenberg, 1944; Marquardt, 1963)
inside the bounds, and only ever upwards. :func:`search` climbs from the best of many starts.

A point of the search, ``x`` (5,), is ``theta`` (prior, learn, forget, guess, slip) but for
its guess, which is the share that guess takes of the :func:`room` it has: every x in its box
is a model in which knowing helps and which passes the tests of Baker, Corbett & Aleven (2008).
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

TOLERANCE = 1e-10  # of the log-likelihood: the gain below which a further step is not worth taking
ROUGH = 1e-9  # the same of a climb that only has to show where it leads
ALIKE = 1e-7  # two climbs that end so close to one another found the same: the one from the likelier start is kept
MOST_STEPS = 500
NEAR = 1.0  # so small a gain of log-likelihood that the last step tells how the gradient goes on
LEAST_CURVATURE = 0.05  # of the one expected, below which a step's curvature is not believed
SNAP = 1e-12  # a step that ends this close to a bound ends on it
SMALL = 1e-200  # of a product of outcomes' chances, so that one more does not take it to zero
LEAST = 1e-200  # P(unknown) below it is carried as log-odds
BEYOND = 2.0  # in the place of P(known): this node carries log-odds
MARGIN = 1e-9  # how close to 0 and 1 the guess's share may come
GLANCE = 512  # nodes by which the starts are ranked; a quarter of them on a large trie
SHOWING = 0.2  # of the responses: how many of them, about, would show an event that never happened
LARGE, SHALLOW = 4096, 2048  # a larger trie is first climbed on its first nodes: the first responses of all
FEW_CLIMBS, SOME_CLIMBS, MANY_CLIMBS = 2, 8, 60  # on a large, a middling and a tiny trie
START_WORK = 10_000  # nodes x climbs that decide how tiny is tiny

FEW_RIGHTS = 3  # so many right answers must not lower mastery (Baker, Corbett & Aleven, 2008, sec. 2)
MANY_RIGHTS, MASTERED = 10, 0.95  # so many must reach it (the same)
LEAST_GUESS, LEAST_ODDS = 1e-9, 1e-12


class Problem(NamedTuple):
    """What a fit may do. Equal bounds fix a parameter."""

    low: FloatArray  # (5,) of theta
    high: FloatArray  # (5,) of theta
    symbols: FloatArray  # (n_symbols, 2) tilt and base of each: P(outcome) = base + tilt P(right on the skill)
    smoothing: FloatArray  # (5, 2) pseudo-counts: of the event, and of its absence (a Beta prior, less one)
    starts: FloatArray  # (n_starts, 5) points x of the box to start from
    plausible: bool  # whether the tests must be passed


class Space(NamedTuple):
    """Working space for one skill at a time."""

    known: FloatArray  # (n_nodes, 2) P(known) and P(unknown) before the next response
    state: FloatArray  # (n_nodes, 7) the same two, then the derivatives of P(known) in theta; see `leave_range`


# ---- the likelihood ---------------------------------------------------------
#
# P(known) and P(unknown) are both carried: one minus the other would lose the digits of the smaller. Below `LEAST` P(unknown)
# no longer shows in what is predicted, but it still decides how many wrong answers it takes to doubt: from there on a node
# carries the log-odds of mastery instead. Only a skill without forgetting gets there; P(known) never does, since P(learn) is
# at least 1e-9 in a fit.


@kernel
def rough_log_likelihood(theta: FloatArray, problem: Problem, trie: Trie, begin: int, end: int, space: Space) -> float:
    """Log-likelihood of nodes [begin, end), good enough to rank starts: P(unknown) is never taken to be below `LEAST`."""
    prior, learn, forget, guess, slip = theta[0], theta[1], theta[2], theta[3], theta[4]
    total = 0.0
    for node in range(end - begin):
        above = trie.parent[begin + node]
        p = prior if above < 0 else space.known[above, 0]
        q = 1.0 - prior if above < 0 else space.known[above, 1]
        symbol = trie.symbol[begin + node]
        tilt, base = problem.symbols[symbol, 0], problem.symbols[symbol, 1]
        known, unknown = p * ((base + tilt) - tilt * slip), q * (base + tilt * guess)
        total += trie.students[begin + node] * math.log(known + unknown)
        over = 1.0 / (known + unknown)
        space.known[node, 0] = (known * (1.0 - forget) + unknown * learn) * over
        space.known[node, 1] = max((known * forget + unknown * (1.0 - learn)) * over, LEAST)
    return total


@kernel
def leave_range(state: FloatArray, node: int) -> None:
    """Go over from P(known), P(unknown) and derivatives of P(known) to a mark, the log-odds and their derivatives."""
    p, q = state[node, 0], state[node, 1]
    state[node, 0], state[node, 1] = BEYOND, math.log(p) - math.log(q)
    for a in range(SIZE):
        state[node, 2 + a] /= p * q


@kernel
def enter_range(state: FloatArray, node: int) -> None:
    """The way back of :func:`leave_range`."""
    q = math.exp(-state[node, 1])
    state[node, 0], state[node, 1] = 1.0, q
    for a in range(SIZE):
        state[node, 2 + a] *= q


@kernel
def move_beyond(state: FloatArray, above: int, node: int, known: float, unknown: float, tilt: float, learn: float) -> None:
    """Carry the log-odds and their derivatives from a node over one response, without forgetting."""
    for a in range(SIZE):
        state[node, 2 + a] = state[above, 2 + a]
    state[node, 2 + LEARN] += 1.0 / (1.0 - learn)
    state[node, 2 + GUESS] -= tilt / unknown
    state[node, 2 + SLIP] -= tilt / known
    state[node, 0] = BEYOND
    state[node, 1] = state[above, 1] + math.log(known / unknown) - math.log1p(-learn)
    if state[node, 1] < -math.log(LEAST):
        enter_range(state, node)


@kernel
def add_score(count: float, g0: float, g1: float, g2: float, g3: float, g4: float, slope: FloatArray, curve: FloatArray) -> None:
    """Add a node's score to the gradient, and its outer product to the lower half of the information."""
    w0, w1, w2, w3, w4 = count * g0, count * g1, count * g2, count * g3, count * g4
    slope[0] += w0
    slope[1] += w1
    slope[2] += w2
    slope[3] += w3
    slope[4] += w4
    curve[0, 0] += w0 * g0
    curve[1, 0] += w1 * g0
    curve[1, 1] += w1 * g1
    curve[2, 0] += w2 * g0
    curve[2, 1] += w2 * g1
    curve[2, 2] += w2 * g2
    curve[3, 0] += w3 * g0
    curve[3, 1] += w3 * g1
    curve[3, 2] += w3 * g2
    curve[3, 3] += w3 * g3
    curve[4, 0] += w4 * g0
    curve[4, 1] += w4 * g1
    curve[4, 2] += w4 * g2
    curve[4, 3] += w4 * g3
    curve[4, 4] += w4 * g4


@kernel
def add_smoothing(theta: FloatArray, problem: Problem, slope: FloatArray, curve: FloatArray) -> float:
    """Log-density of the pseudo-counts, its gradient and information added; the information's upper half is filled in."""
    total = 0.0
    for a in range(SIZE):
        for b in range(a):
            curve[b, a] = curve[a, b]
        with_it, without = problem.smoothing[a, 0], problem.smoothing[a, 1]
        if with_it + without > 0.0:
            total += with_it * math.log(theta[a]) + without * math.log(1.0 - theta[a])
            slope[a] += with_it / theta[a] - without / (1.0 - theta[a])
            curve[a, a] += with_it / theta[a] ** 2 + without / (1.0 - theta[a]) ** 2
    return total


@kernel
def score(
    theta: FloatArray,
    problem: Problem,
    trie: Trie,
    begin: int,
    end: int,
    space: Space,
    slope: FloatArray,
    curve: FloatArray,
) -> float:
    """Smoothed log-likelihood of nodes [begin, end), with its gradient (5,) and information (5, 5) in theta.

    Those in a fixed P(forget) are 0: where there is none, they have no bounds.
    """
    prior, learn, forget, guess, slip = theta[0], theta[1], theta[2], theta[3], theta[4]
    state, stay, fixed = space.state, 1.0 - learn - forget, problem.low[FORGET] == problem.high[FORGET]
    slope[:], curve[:] = 0.0, 0.0
    total, product = 0.0, 1.0
    for node in range(end - begin):
        above, symbol, count = trie.parent[begin + node], trie.symbol[begin + node], trie.students[begin + node]
        tilt, base = problem.symbols[symbol, 0], problem.symbols[symbol, 1]
        known, unknown = (base + tilt) - tilt * slip, base + tilt * guess
        if above < 0:
            p, q, p0, p1, p2, p3, p4 = prior, 1.0 - prior, 1.0, 0.0, 0.0, 0.0, 0.0
        elif state[above, 0] == BEYOND:
            total += count * math.log(known)
            add_score(count, 0.0, 0.0, 0.0, 0.0, -tilt / known, slope, curve)  # in the rest it is below 1e-180
            move_beyond(state, above, node, known, unknown, tilt, learn)
            continue
        else:
            p, q, p0, p1 = state[above, 0], state[above, 1], state[above, 2], state[above, 3]
            p2, p3, p4 = state[above, 4], state[above, 5], state[above, 6]
        outcome = p * known + q * unknown
        if count == 1.0:  # most nodes: one logarithm for many
            product *= outcome
            if product < SMALL:
                total += math.log(product)
                product = 1.0
        else:
            total += count * math.log(outcome)

        # the node's score: d log P(outcome | prefix) / d theta
        over = 1.0 / outcome
        gap, turn = (known - unknown) * over, tilt * over  # how guess moves `unknown`, and -slip moves `known`
        add_score(count, p0 * gap, p1 * gap, p2 * gap, p3 * gap + q * turn, p4 * gap - p * turn, slope, curve)

        # after the response: P(known), P(unknown), and d P(known) / d theta
        if_known, if_unknown = p * known * over, q * unknown * over
        bend, side = stay * known * unknown * over * over, stay * p * q * turn * over
        state[node, 0] = if_known * (1.0 - forget) + if_unknown * learn
        state[node, 1] = if_known * forget + if_unknown * (1.0 - learn)
        state[node, 2] = bend * p0
        state[node, 3] = bend * p1 + if_unknown
        state[node, 4] = 0.0 if fixed else bend * p2 - if_known
        state[node, 5] = bend * p3 - side * known
        state[node, 6] = bend * p4 - side * unknown
        if state[node, 1] < LEAST:
            leave_range(state, node)
    return total + math.log(product) + add_smoothing(theta, problem, slope, curve)


# ---- the box ----------------------------------------------------------------


@kernel
def copy(source: FloatArray, target: FloatArray) -> None:
    """Copy a point; a slice assignment would take Numba four seconds longer to compile."""
    for a in range(SIZE):
        target[a] = source[a]


@kernel
def after_rights(x: FloatArray, guess: float, rights: int, tilt: FloatArray) -> float:
    """Log-odds of mastery after so many right answers; their derivatives in theta into ``tilt`` (5,)."""
    learn, forget, slip = x[LEARN], x[FORGET], x[SLIP]
    unknown = max(1.0 - x[PRIOR], LEAST_ODDS)
    odds = max(x[PRIOR], LEAST_ODDS) / unknown
    for a in range(SIZE):
        tilt[a] = 0.0
    tilt[PRIOR] = 1.0 / unknown**2
    ratio = (1.0 - slip) / guess
    for _ in range(rights):
        known = odds * ratio
        top, bottom = known * (1.0 - forget) + learn, known * forget + (1.0 - learn)
        turn = ((1.0 - forget) * bottom - forget * top) / bottom**2  # d odds' / d known
        for a in range(SIZE):
            tilt[a] *= ratio * turn
        tilt[LEARN] += (bottom + top) / bottom**2
        tilt[FORGET] -= known * (bottom + top) / bottom**2
        tilt[GUESS] -= known / guess * turn
        tilt[SLIP] -= odds / guess * turn
        odds = top / bottom
    for a in range(SIZE):
        tilt[a] /= odds
    return math.log(odds)


@kernel
def passing(x: FloatArray, guess: float, test: int, tilt: FloatArray) -> float:
    """How well a test of plausibility is passed (from 0 on it is), and its derivatives in theta."""
    if test == 1:
        return after_rights(x, guess, MANY_RIGHTS, tilt) - math.log(MASTERED / (1.0 - MASTERED))
    unknown, known = max(1.0 - x[PRIOR], LEAST_ODDS), max(x[PRIOR], LEAST_ODDS)
    reached = after_rights(x, guess, FEW_RIGHTS, tilt)
    tilt[PRIOR] -= 1.0 / (known * unknown)
    return reached - math.log(known / unknown)


@kernel
def room(x: FloatArray, problem: Problem, tilt: FloatArray) -> float:
    """How far guess may rise above its lowest value, given the rest; its derivatives in x into ``tilt`` (5,).

    Guess stays below 1 - slip and, as more guessing makes right answers say less, below the
    point where one of the tests would fail (Newton's method on log guess, kept in a bracket).
    """
    top = min(problem.high[GUESS], 1.0 - x[SLIP])
    slope = np.zeros(SIZE)
    for a in range(SIZE):
        tilt[a] = 0.0
    if top < problem.high[GUESS]:
        tilt[SLIP] = -1.0
    if problem.plausible:
        for test in range(2):
            value = passing(x, top, test, slope)
            if value >= 0.0:
                continue
            low, high = math.log(LEAST_GUESS), math.log(top)
            at = high
            for _ in range(60):
                if value >= 0.0:
                    low = at
                else:
                    high = at
                step = -value / (slope[GUESS] * math.exp(at))
                at = at + step if low < at + step < high else 0.5 * (low + high)
                value = passing(x, math.exp(at), test, slope)
                if abs(value) < 1e-13 or high - low < 1e-15:
                    break
            top = math.exp(at)
            for a in range(SIZE):
                tilt[a] = -slope[a] / slope[GUESS]
    tilt[GUESS] = 0.0
    wide: float = max(top - problem.low[GUESS], 0.0)
    return wide


@kernel
def place(x: FloatArray, problem: Problem, theta: FloatArray, tilt: FloatArray) -> float:
    """Theta of a point x; return the room of guess, with its derivatives in ``tilt``."""
    wide = room(x, problem, tilt)
    for a in range(SIZE):
        theta[a] = x[a] if a != GUESS else problem.low[GUESS] + x[GUESS] * wide
    return wide


@kernel
def pull_back(x: FloatArray, wide: float, tilt: FloatArray, slope: FloatArray, curve: FloatArray) -> None:
    """Turn a gradient and an information in theta into those in x, in place."""
    for a in range(SIZE):
        slope[a] += x[GUESS] * tilt[a] * slope[GUESS]
    slope[GUESS] *= wide
    for b in range(SIZE):
        for a in range(SIZE):
            curve[b, a] += x[GUESS] * tilt[a] * curve[b, GUESS]
        curve[b, GUESS] *= wide
    for b in range(SIZE):
        for a in range(SIZE):
            curve[a, b] += x[GUESS] * tilt[a] * curve[GUESS, b]
        curve[GUESS, b] *= wide


@kernel
def box(problem: Problem, low: FloatArray, high: FloatArray) -> None:
    """The lowest and the highest x."""
    for a in range(SIZE):
        low[a], high[a] = problem.low[a], problem.high[a]
    if low[GUESS] < high[GUESS]:
        low[GUESS], high[GUESS] = MARGIN, 1.0 - MARGIN


@kernel
def advance(x: FloatArray, step: FloatArray, low: FloatArray, high: FloatArray, trial: FloatArray) -> None:
    """Write x + step to ``trial``, cut short where it meets the box.

    Where the data do not decide, a climb so ends in the middle of what is possible rather than in a corner.
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
def newton(slope: FloatArray, curve: FloatArray, free: NDArray[np.bool_], damping: float, step: FloatArray) -> None:
    """Solve (curve + damping * its diagonal) step = slope over the free parameters, by Cholesky."""
    lower = np.zeros((SIZE, SIZE))
    for a in range(SIZE):
        for b in range(a):
            rest = curve[a, b] if free[a] and free[b] else 0.0
            for c in range(b):
                rest -= lower[a, c] * lower[b, c]
            lower[a, b] = rest / lower[b, b]
        whole = curve[a, a] * (1.0 + damping) + 1e-9 if free[a] else 1.0
        rest = whole
        for c in range(a):
            rest -= lower[a, c] * lower[a, c]
        lower[a, a] = math.sqrt(max(rest, 1e-10 * whole))
    for a in range(SIZE):
        step[a] = slope[a] if free[a] else 0.0
        for c in range(a):
            step[a] -= lower[a, c] * step[c]
        step[a] /= lower[a, a]
    for a in range(SIZE - 1, -1, -1):
        for c in range(a + 1, SIZE):
            step[a] -= lower[c, a] * step[c]
        step[a] /= lower[a, a]


@kernel
def step_inside(
    x: FloatArray,
    slope: FloatArray,
    curve: FloatArray,
    low: FloatArray,
    high: FloatArray,
    free: NDArray[np.bool_],
    damping: float,
    step: FloatArray,
) -> float:
    """Newton's step over the parameters that may move; return the gain that it promises.

    A parameter on a bound stays there if the gradient, or the step of all together, points out of the box (Bertsekas, 1982).
    """
    for a in range(SIZE):
        free[a] = x[a] < high[a] if slope[a] > 0.0 else x[a] > low[a]
    leaves = True
    while leaves:
        newton(slope, curve, free, damping, step)
        leaves = False
        for a in range(SIZE):
            if free[a] and (x[a] >= high[a] if step[a] > 0.0 else step[a] < 0.0 and x[a] <= low[a]):
                free[a], leaves = False, True
    promise = 0.0
    for a in range(SIZE):
        promise += step[a] * slope[a]
    return promise


@kernel
def learn_from(step: FloatArray, fall: FloatArray, curve: FloatArray) -> None:
    """Let the information explain how the gradient fell over the last step (Broyden, Fletcher, Goldfarb & Shanno, 1970)."""
    product, expected, seen = np.empty(SIZE), 0.0, 0.0
    for a in range(SIZE):
        product[a] = 0.0
        for b in range(SIZE):
            product[a] += curve[a, b] * step[b]
        expected += step[a] * product[a]
        seen += step[a] * fall[a]
    if seen > LEAST_CURVATURE * expected:
        for a in range(SIZE):
            for b in range(SIZE):
                curve[a, b] += fall[a] * fall[b] / seen - product[a] * product[b] / expected


# ---- the climb --------------------------------------------------------------


@kernel
def climb(
    x: FloatArray, problem: Problem, trie: Trie, begin: int, end: int, space: Space, tolerance: float, information: FloatArray
) -> float:
    """Raise the log-likelihood of nodes [begin, end) from x, in place; return the value reached."""
    theta, step, trial = np.empty(SIZE), np.empty(SIZE), np.empty(SIZE)
    low, high = np.empty(SIZE), np.empty(SIZE)
    slope, curve = np.empty(SIZE), np.empty((SIZE, SIZE))
    new_slope, new_curve = np.empty(SIZE), np.empty((SIZE, SIZE))
    free, tilt = np.ones(SIZE, np.bool_), np.empty(SIZE)
    box(problem, low, high)
    wide = place(x, problem, theta, tilt)
    value = score(theta, problem, trie, begin, end, space, slope, curve)
    for a in range(SIZE):
        copy(curve[a], information[a])
    pull_back(x, wide, tilt, slope, curve)
    damping = 1e-3
    for _ in range(MOST_STEPS):
        promise = step_inside(x, slope, curve, low, high, free, damping, step)
        if promise < tolerance * (1.0 - value) or damping > 1e15:
            break
        advance(x, step, low, high, trial)
        wide = place(trial, problem, theta, tilt)
        reached = score(theta, problem, trie, begin, end, space, new_slope, new_curve)
        if reached > value:
            value = reached
            for a in range(SIZE):
                copy(new_curve[a], information[a])
            pull_back(trial, wide, tilt, new_slope, new_curve)
            for a in range(SIZE):
                step[a] = trial[a] - x[a]
                slope[a] -= new_slope[a]
            if promise < NEAR:
                learn_from(step, slope, new_curve)
            copy(trial, x)
            slope, new_slope = new_slope, slope
            curve, new_curve = new_curve, curve
            damping = max(damping * 0.1, 1e-9)
        else:
            damping = max(damping, 1e-4) * 10.0
    return value


@kernel
def search(problem: Problem, trie: Trie, skill: int, space: Space, best: FloatArray, information: FloatArray) -> float:
    """Best of several climbs on one skill, into the point ``best``; return its log-likelihood."""
    begin, end = trie.start[skill], trie.start[skill + 1]
    nodes = end - begin
    shallow, glance, climbs = end, GLANCE, max(SOME_CLIMBS, min(MANY_CLIMBS, START_WORK // max(1, nodes)))
    if nodes > LARGE:
        shallow, glance, climbs = begin + SHALLOW, GLANCE // 4, FEW_CLIMBS
    x, theta, tilt, promise = np.empty(SIZE), np.empty(SIZE), np.empty(SIZE), np.empty(len(problem.starts))
    for index in range(len(promise)):
        place(problem.starts[index], problem, theta, tilt)
        promise[index] = rough_log_likelihood(theta, problem, trie, begin, min(shallow, begin + glance), space)
    value = -np.inf
    for _ in range(min(climbs, len(promise))):
        index = int(np.argmax(promise))
        promise[index] = -np.inf
        copy(problem.starts[index], x)
        reached = climb(x, problem, trie, begin, shallow, space, ROUGH, information)
        if reached > value + ALIKE * (1.0 - reached):
            value = reached
            copy(x, best)
    return climb(best, problem, trie, begin, end, space, TOLERANCE, information)


@kernel
def origin(theta: FloatArray, problem: Problem, responses: float, x: FloatArray) -> None:
    """The point x of a theta, moved into the box, and off 0 and 1 where pseudo-counts forbid them."""
    tilt, low, high = np.empty(SIZE), np.empty(SIZE), np.empty(SIZE)
    box(problem, low, high)
    for a in range(SIZE):
        with_it, without = problem.smoothing[a, 0], problem.smoothing[a, 1]
        share = 1.0 / (with_it + without + SHOWING * responses)
        x[a] = min(max(theta[a], with_it * share), 1.0 - without * share)
        x[a] = min(max(x[a], problem.low[a]), problem.high[a])
    wide = room(x, problem, tilt)
    if low[GUESS] < high[GUESS]:
        share = (theta[GUESS] - problem.low[GUESS]) / max(wide, LEAST_GUESS)
        x[GUESS] = min(max(share, low[GUESS]), high[GUESS])


@kernel
def fit_skills(problem: Problem, trie: Trie, small: int, thetas: FloatArray, curves: FloatArray) -> None:
    """Fit every skill of a trie: theta into ``thetas`` (n_skills, 5), its information into ``curves`` (n_skills, 5, 5).

    Skills with more than ``small`` nodes are not searched but climb from the theta they have.
    """
    largest = 0
    for skill in range(len(thetas)):
        largest = max(largest, trie.start[skill + 1] - trie.start[skill])
    space = Space(np.empty((largest, 2)), np.empty((largest, 7)))
    x, tilt = np.empty(SIZE), np.empty(SIZE)
    for skill in range(len(thetas)):
        begin, end = trie.start[skill], trie.start[skill + 1]
        if end - begin > small:
            responses = 0.0
            for node in range(begin, end):
                responses += trie.students[node]
            origin(thetas[skill], problem, responses, x)
            climb(x, problem, trie, begin, end, space, TOLERANCE, curves[skill])
        else:
            search(problem, trie, skill, space, x, curves[skill])
        place(x, problem, thetas[skill], tilt)
