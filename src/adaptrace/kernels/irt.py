"""Item response theory with an ability that moves (Rasch, 1960; Birnbaum, 1968; Glickman, 1999).

    P(correct) = 1 / (1 + exp(-a (ability - difficulty)))        :func:`chance`

The discrimination a of an item says how much the chance changes with the ability. The ability behind a response is the
student's own plus the mean of how they differ on its skills; each part is believed to be normal, with a mean and a variance.
One response moves each part by its share of the uncertainty, as an Elo rating whose step shrinks with certainty (a Kalman
filter on the logit; Pelánek, 2016, sec. 3):

    mean     += variance x pull          pull = a (correct - P) / (1 + w V)               :func:`update_terms`
    variance -= variance^2 x shrink      shrink = w / (1 + w V),  w = a^2 P (1 - P)
    variance += drift                    what may have changed until the next response
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels.compile import kernel
from adaptrace.kernels.rows import Rows

FloatArray = NDArray[np.float64]
CodeArray = NDArray[np.int32]


class Dynamics(NamedTuple):
    """How abilities differ and move."""

    spread: float  # variance between students
    drift: float  # variance that a student's ability gains with each response
    skill_spread: float  # variance of a student's skills about their ability
    skill_drift: float  # variance that it gains with each response on the skill
    growth: float  # what a response adds to the ability on its skills


class AbilityPath(NamedTuple):
    """What :func:`trace` writes."""

    predicted: FloatArray  # (n_rows,) P(correct) before each response
    ability: FloatArray  # (n_rows,) mean before each response, or empty
    own: FloatArray  # (n_rows,) the student's part of it, or empty
    last: FloatArray  # (n_students,) mean of the student's part after the last response, or empty
    uncertain: FloatArray  # (n_students,) its variance, or empty


@kernel
def chance(logit: float) -> float:
    """P(correct), never 0 and never 1."""
    return 1.0 / (1.0 + math.exp(-min(max(logit, -36.0), 36.0)))


@kernel
def expected(mean: float, variance: float, discrimination: float, difficulty: float) -> float:
    """P(correct) where the ability is uncertain (MacKay, 1992, eq. 10)."""
    flatter = math.sqrt(1.0 + math.pi / 8.0 * discrimination * discrimination * variance)
    return chance(discrimination * (mean - difficulty) / flatter)


@kernel
def update_terms(mean: float, variance: float, discrimination: float, difficulty: float, correct: float) -> tuple[float, float]:
    """By how much, per variance, an outcome moves a mean, and per squared variance, lowers a variance."""
    p = chance(discrimination * (mean - difficulty))
    weight = discrimination * discrimination * p * (1.0 - p)
    return discrimination * (correct - p) / (1.0 + weight * variance), weight / (1.0 + weight * variance)


@kernel
def moved(
    mean: float, variance: float, share: float, pull: float, shrink: float, growth: float, drift: float
) -> tuple[float, float]:
    """The step: mean and variance of one part, which has a ``share`` of the ability, after a response."""
    mine = share * variance
    return mean + mine * pull + growth, variance - mine * mine * shrink + drift


@kernel
def trace(
    rows: Rows,
    difficulty: FloatArray,
    discrimination: FloatArray,
    dynamics: Dynamics,
    first: int,
    last: int,
    out: AbilityPath,
) -> None:
    """Forward pass over students [first, last): predict each event, then move its parts.

    ``difficulty`` and ``discrimination`` (n_rows,) are those of the item of each response.
    """
    spread, drift, skill_spread, skill_drift, growth = dynamics
    begin = rows.pair_start[first]
    n_pairs = rows.pair_start[last] - begin
    mean, variance = np.zeros(n_pairs), np.full(n_pairs, skill_spread)
    wanted, ends = len(out.ability) > 0, len(out.last) > 0
    for student in range(first, last):
        own, uncertain = 0.0, spread
        for row in range(rows.student_start[student], rows.student_start[student + 1]):
            here, until = rows.skill_start[row], rows.skill_start[row + 1]
            share = 1.0 / (until - here)
            total, whole = own, uncertain
            for at in range(here, until):
                total += share * mean[rows.pair[at] - begin]
                whole += share * share * variance[rows.pair[at] - begin]
            out.predicted[row] = expected(total, whole, discrimination[row], difficulty[row])
            if wanted:
                out.ability[row], out.own[row] = total, own
            pull, shrink = update_terms(total, whole, discrimination[row], difficulty[row], rows.correct[row])
            own, uncertain = moved(own, uncertain, 1.0, pull, shrink, 0.0, drift)
            for at in range(here, until):
                pair = rows.pair[at] - begin
                mean[pair], variance[pair] = moved(mean[pair], variance[pair], share, pull, shrink, growth, skill_drift)
        if ends:
            out.last[student], out.uncertain[student] = own, uncertain


# ---- the marginal likelihood of the items -----------------------------------


class Table(NamedTuple):
    """A right answer to every item at every ability of a grid, (n_items, n_nodes) each."""

    logit: FloatArray
    right: FloatArray  # log P
    chance: FloatArray  # P


class MarginalGradient(NamedTuple):
    """The marginal log-likelihood and its gradient."""

    likelihood: FloatArray  # (1,) itself
    spread: FloatArray  # (1,) in the logarithm of the abilities' standard deviation
    difficulty: FloatArray  # (n_items,)
    discrimination: FloatArray  # (n_items,) in the logarithm of the discrimination


@kernel
def tabulate(node: FloatArray, difficulty: FloatArray, discrimination: FloatArray, first: int, last: int, out: Table) -> None:
    """The answers to items [first, last) at abilities ``node`` (n_nodes,)."""
    for item in range(first, last):
        for at in range(len(node)):
            logit = discrimination[item] * (node[at] - difficulty[item])
            out.logit[item, at] = logit
            out.right[item, at] = min(logit, 0.0) - math.log1p(math.exp(-abs(logit)))
            out.chance[item, at] = math.exp(out.right[item, at])


@kernel
def believe(rows: Rows, item: CodeArray, table: Table, weight: FloatArray, student: int, posterior: FloatArray) -> float:
    """Weigh each ability of the grid by the student's responses; the logarithm of the sum before it is made 1."""
    posterior[:] = weight
    for row in range(rows.student_start[student], rows.student_start[student + 1]):
        wrong, i = 1.0 - rows.correct[row], item[row]
        for at in range(len(posterior)):
            posterior[at] += table.right[i, at] - wrong * table.logit[i, at]
    top, mass = posterior.max(), 0.0
    for at in range(len(posterior)):
        posterior[at] = math.exp(posterior[at] - top)
        mass += posterior[at]
    posterior /= mass
    return top + math.log(mass)  # type: ignore[no-any-return]


@kernel
def marginal(
    rows: Rows,
    item: CodeArray,
    table: Table,
    node: FloatArray,
    weight: FloatArray,
    difficulty: FloatArray,
    discrimination: FloatArray,
    first: int,
    last: int,
    out: MarginalGradient,
) -> None:
    """Marginal log-likelihood of students [first, last) and its gradient (Bock & Aitkin, 1981; Fisher's identity).

    ``weight`` (n_nodes,) are the logarithms of the grid's weights.
    """
    posterior = np.empty(len(node))
    for student in range(first, last):
        out.likelihood[0] += believe(rows, item, table, weight, student, posterior)
        for row in range(rows.student_start[student], rows.student_start[student + 1]):
            i, error, weighted = item[row], 0.0, 0.0
            for at in range(len(node)):
                off = posterior[at] * (rows.correct[row] - table.chance[i, at])
                error += off
                weighted += off * node[at]
            out.difficulty[i] -= discrimination[i] * error
            out.discrimination[i] += discrimination[i] * (weighted - error * difficulty[i])
            out.spread[0] += discrimination[i] * weighted


class ItemInformation(NamedTuple):
    """What responses say of each item, all else given: minus the second derivative of the marginal log-likelihood."""

    difficulty: FloatArray  # (n_items,)
    discrimination: FloatArray  # (n_items,) of the logarithm of the discrimination
    both: FloatArray  # (n_items,) the mixed derivative


@kernel
def inform(
    rows: Rows,
    item: CodeArray,
    table: Table,
    node: FloatArray,
    weight: FloatArray,
    difficulty: FloatArray,
    discrimination: FloatArray,
    first: int,
    last: int,
    out: ItemInformation,
) -> None:
    """Add what students [first, last) say of each item (Louis, 1982, eq. 3.2).

    That is: what their responses would say if their abilities were known, less what is lost because they are not. The arguments
    are those of :func:`marginal`.
    """
    posterior, count, right = np.empty(len(node)), np.zeros(len(difficulty)), np.zeros(len(difficulty))
    for student in range(first, last):
        believe(rows, item, table, weight, student, posterior)
        here = range(rows.student_start[student], rows.student_start[student + 1])
        for row in here:
            count[item[row]] += 1.0
            right[item[row]] += rows.correct[row]
        for row in here:
            i = item[row]
            if count[i] == 0.0:  # the student's responses on the item were counted together
                continue
            slope, mean, turn = discrimination[i], 0.0, 0.0
            for at in range(len(node)):
                p, off = table.chance[i, at], node[at] - difficulty[i]
                score, known = slope * (right[i] - count[i] * p), slope * slope * count[i] * p * (1.0 - p)
                mean += posterior[at] * score
                turn += posterior[at] * off * score
                out.difficulty[i] += posterior[at] * (known - score * score)
                out.discrimination[i] += posterior[at] * (off * off * known - off * score - off * off * score * score)
                out.both[i] += posterior[at] * (score - off * known + off * score * score)
            out.difficulty[i] += mean * mean
            out.discrimination[i] += turn * turn
            out.both[i] -= mean * turn
            count[i], right[i] = 0.0, 0.0
