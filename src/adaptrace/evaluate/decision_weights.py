"""Weights of logged decisions, and the estimates and standard errors made from them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import stdtrit

from adaptrace.errors import DataError, Problem
from adaptrace.evaluate.decisions import SUM_TOLERANCE, Decisions

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

SUSPICIOUS = 4.0  # standard errors by which the mean weight may differ from 1 without a note
FEWEST = 2.0  # effective students
LARGEST = 1e150  # no product grows beyond this: sums stay finite, and such a log is refused or clipped
EXPLORE = "log more exploration, value a target nearer to the logging policy, "


def products(log: Decisions, ratios: Floats) -> Floats:
    """(n,) products of each student's ratios up to each decision."""
    carried, products = np.ones(log.students), np.empty(len(ratios))
    for rows in log.steps():
        who = log.student[rows]
        with np.errstate(over="ignore"):
            carried[who] = np.minimum(carried[who] * ratios[rows], LARGEST)
        products[rows] = carried[who]
    return products


def last_weights(log: Decisions, weights: Floats) -> Floats:
    """(students,) the weight of each student's last decision."""
    last = np.empty(log.students)
    for rows in log.steps():
        last[log.student[rows]] = weights[rows]
    return last


def effective_size(weights: Floats) -> float:
    """Effective sample size of weights (Kish, 1965); 0 if all are 0."""
    if not len(weights) or not weights.max() > 0:
        return 0.0
    scaled = weights / weights.max()
    return float(scaled.sum() ** 2 / (scaled**2).sum())


def refuse_too_few(log: Decisions, weights: Floats, units: Floats, least: float, horizon: str) -> None:
    """Raise if the effective sample has too few decisions or students."""
    problems = []
    effective, students = effective_size(units), effective_size(log.by_student(weights))
    ways = EXPLORE + ("choose a shorter horizon, or clip the weights" if horizon == "student" else "or clip the weights")
    if effective < least:
        got = f"weights worth {effective:,.1f} of {len(units):,} {horizon}s (the largest is {weights.max():.3g})"
        problems.append(Problem(got, f"an effective sample of at least {least:g} {horizon}s", ways))
    if students < FEWEST:
        got = f"weights worth {students:.1f} of {log.students:,} students"
        expected = f"at least {FEWEST:g}: the interval is about how students differ"
        problems.append(Problem(got, expected, "log more students"))
    if problems:
        raise DataError("decisions", problems)


class Ratio(NamedTuple):
    """A ratio of two sums over students."""

    top: Floats  # (students,)
    bottom: Floats  # (students,)


def ratios_of(log: Decisions, weights: Floats, method: str, horizon: str) -> Iterable[Ratio]:
    """The ratios whose sum is the value."""
    if method == "snips" and horizon == "student":
        return _steps(log, weights)
    count = np.ones(len(weights))
    if method == "dr":
        before = _before(log, weights) if horizon == "student" else count
        value = np.bincount(log.row, log.target * log.expected, len(weights))
        gain = before * value + weights * (log.reward - log.expected[log.chosen])
    else:
        gain = weights * log.reward
    bottom = weights if method == "snips" else count
    return [Ratio(log.by_student(gain), np.ones(log.students) if horizon == "student" else log.by_student(bottom))]


def _steps(log: Decisions, weights: Floats) -> Iterator[Ratio]:
    """Weighted rewards and weights of every step; students who have ended keep their last weight, with reward 0."""
    carried = np.ones(log.students)
    for rows in log.steps():
        who, top = log.student[rows], np.zeros(log.students)
        carried[who] = weights[rows]
        top[who] = weights[rows] * log.reward[rows]
        yield Ratio(top, carried.copy())


def _before(log: Decisions, weights: Floats) -> Floats:
    """(n,) the weight of the decision before; 1 for the first."""
    carried, before = np.ones(log.students), np.empty(len(weights))
    for rows in log.steps():
        who = log.student[rows]
        before[rows] = carried[who]
        carried[who] = weights[rows]
    return before


def jackknife(terms: Iterable[Ratio]) -> tuple[float, float]:
    """A sum of ratios and its standard error, students left out one at a time (Quenouille, 1956; Tukey, 1958)."""
    value, change = 0.0, np.zeros(1)
    for top, bottom in terms:
        ratio = top.sum() / bottom.sum()
        change = change + (top - ratio * bottom) / (bottom.sum() - bottom)
        value += float(ratio)
    n = len(change)
    return value, float(np.sqrt((n - 1) / n * (change**2).sum()))


def t_quantile(log: Decisions, weights: Floats) -> float:
    """Student's t for 95 %, with the effective number of students less one as degrees of freedom."""
    return float(stdtrit(effective_size(log.by_student(weights)) - 1.0, 0.975))


def doubts(log: Decisions, units: Floats, horizon: str) -> tuple[str, ...]:
    """A note if the mean weight is not near 1, where it is if the propensities are true."""
    count = np.bincount(log.student).astype(float)
    term = Ratio(units, np.ones(log.students)) if horizon == "student" else Ratio(log.by_student(units), count)
    mean, error = jackknife([term])
    if abs(mean - 1.0) <= SUSPICIOUS * error + SUM_TOLERANCE:
        return ()
    return (f"the mean weight is {mean:.3g}, not near 1: the propensities may not be those of the policy that decided",)
