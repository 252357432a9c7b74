"""What a history says before a response, recounted from the whole history for every row; and the optimum by another optimiser."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

import adaptrace as at
from adaptrace.models.logistic import Feature

Floats = NDArray[np.float64]


def rows_of(log: at.Log) -> list[dict[str, Any]]:
    """The log row by row: names as text, skills as a list, days since 1970."""
    days = log.days.tolist() if "time" in log.table.column_names else [0.0] * len(log)
    return [
        {
            "student": str(row["student"]),
            "item": str(row["item"]),
            "skill": [str(skill) for skill in (row["skills"] if log.has_several_skills else [row["skill"]])],
            "correct": float(row["correct"]),
            "day": day,
        }
        for row, day in zip(log.table.to_pylist(), days, strict=True)
    ]


def told_of(feature: Feature, before: Sequence[dict[str, Any]], now: dict[str, Any], skill: str) -> list[int]:
    """Places of the rows that a feature reads; ``skill`` is the one asked for, where the feature is of skills."""
    of = {"student": lambda row: True, "item": lambda row: row["item"] == now["item"], "skill": lambda row: skill in row["skill"]}
    return [place for place, row in enumerate(before) if of[feature.of](row)]


def pattern(feature: Feature, before: Sequence[dict[str, Any]], now: dict[str, Any], skill: str) -> str:
    """The last four outcomes, the latest last."""
    places = told_of(feature, before, now, skill)[-4:]
    return "".join(str(int(before[place]["correct"] >= 0.5)) for place in places) or "first"


def value(feature: Feature, before: Sequence[dict[str, Any]], now: dict[str, Any], skill: str) -> float:
    """What a feature says, from the student's rows before."""
    places = told_of(feature, before, now, skill)
    outcomes = [before[place]["correct"] for place in places]
    inside = [place for place in places if before[place]["day"] >= now["day"] - feature.days]
    attempts, wins = float(len(outcomes)), math.fsum(outcomes)
    ages = range(len(outcomes) - 1, -1, -1)
    weighed = math.fsum(feature.rate**age for age in ages)
    right = math.fsum(feature.rate**age * outcome for age, outcome in zip(ages, outcomes, strict=True))
    days = [before[place]["day"] for place in places]
    if feature.what in ("logitdec", "propdec"):
        return decayed(feature, outcomes)
    if feature.what in ("base4", "ppe"):
        return spaced(feature, days, now["day"]) if days else 0.0
    said = {
        "one": 1.0,
        "attempts": attempts,
        "wins": wins,
        "fails": attempts - wins,
        "log_attempts": math.log(1.0 + attempts),
        "log_wins": math.log(1.0 + wins),
        "log_fails": math.log(1.0 + attempts - wins),
        "recent": math.log((right + 0.5) / (weighed - right + 0.5)),
        "last": 2.0 * outcomes[-1] - 1.0 if outcomes else 0.0,
        "new": float(not outcomes),
        "gap": math.log(1.0 + len(before) - places[-1]) if places else 0.0,
        "days": math.log(1.0 + now["day"] - before[places[-1]]["day"]) if places else 0.0,
        "window_attempts": math.log(1.0 + len(inside)),
        "window_wins": math.log(1.0 + math.fsum(before[place]["correct"] for place in inside)),
    }
    return said[feature.what]


def decayed(feature: Feature, outcomes: Sequence[float]) -> float:
    """Vectors of outcomes behind a right and a wrong ghost, times vectors of weights: as the R package LKT writes them."""
    if not outcomes:
        return 0.0 if feature.what == "logitdec" else 0.5
    ages = [min(len(outcomes), 60), *range(len(outcomes) - 1, -1, -1)]
    right = math.fsum(feature.rate**age * outcome for age, outcome in zip(ages, [1.0, *outcomes], strict=True))
    wrong = math.fsum(feature.rate**age * (1.0 - outcome) for age, outcome in zip(ages, [0.0, *outcomes], strict=True))
    return math.log(right / wrong) if feature.what == "logitdec" else right / (right + wrong)


def spaced(feature: Feature, days: Sequence[float], now: float) -> float:
    """Base-level activation, and the predictive performance equation, of responses on these days."""
    n, day = len(days), 86400.0
    gaps = [(later - earlier) * day for earlier, later in itertools.pairwise(days)]
    if feature.what == "base4":
        decay, spacing, first = feature.parameters
        level = math.log(1.0 + n) * max((now - days[0]) * day, 1.0) ** -decay
        mean = sum(gaps) / len(gaps) if gaps else 0.0
        return mean**spacing * level if mean > 0.0 else first * level
    practice, decay, spacing, power = feature.parameters
    ages = [max((now - each) * day, 1.0) for each in days[-1000:]]
    age = sum(each ** (1.0 - power) for each in ages) / sum(each**-power for each in ages)
    stability = sum(1.0 / math.log(gap + math.e) for gap in gaps if gap > 0.0) / len(gaps) if gaps else 0.0
    return n**practice * age ** -(decay + spacing * stability)


def described(rows: Sequence[dict[str, Any]], features: Sequence[Feature]) -> Iterator[dict[tuple[int, str], float]]:
    """Of every row, what each feature says by whose weight it meets (text; empty where all share it)."""
    for at_row, now in enumerate(rows):
        before = [row for row in rows[:at_row] if row["student"] == now["student"]]
        out: dict[tuple[int, str], float] = {}
        for number, feature in enumerate(features):
            told = {skill: value(feature, before, now, skill) for skill in now["skill"]}
            mean = sum(told.values()) / len(told)
            if feature.by == "pattern":
                for skill, each in told.items():
                    key = number, pattern(feature, before, now, skill)
                    out[key] = out.get(key, 0.0) + each / len(told)
                continue
            owners = {"": [""], "item": [now["item"]], "student": [now["student"]], "skill": now["skill"]}[feature.by]
            for owner in owners:
                out[number, owner] = told[owner] if feature.by == "skill" else mean
        yield out


def matrix(
    rows: Sequence[dict[str, Any]], features: Sequence[Feature], l2: float
) -> tuple[list[tuple[int, str]], Floats, Floats]:
    """The weights by feature and owner, the dense design (n_rows, n_weights), and the penalty of every weight."""
    told = list(described(rows, features))
    columns = sorted({key for row in told for key in row})
    place = {key: number for number, key in enumerate(columns)}
    dense = np.zeros((len(rows), len(columns)))
    for row, said in enumerate(told):
        for key, number in said.items():
            dense[row, place[key]] = number
    return columns, dense, np.array([l2 if features[number].l2 is None else features[number].l2 for number, _ in columns])


def objective(weights: Floats, dense: Floats, correct: Floats, penalty: Floats) -> float:
    """Scikit-learn's, with C = 1 / penalty and divided by C: sum of log losses + penalty / 2 * weight**2."""
    logit = dense @ weights
    return float((np.logaddexp(0.0, logit) - correct * logit).sum() + (penalty * weights**2).sum() / 2.0)


def optimum(dense: Floats, correct: Floats, penalty: Floats) -> tuple[float, Floats]:
    """The lowest objective and where it is: Newton with a trust region on the dense Hessian."""

    def gradient(weights: Floats) -> Floats:
        return dense.T @ (expit(dense @ weights) - correct) + penalty * weights

    def hessian(weights: Floats) -> Floats:
        p = expit(dense @ weights)
        return (dense.T * (p * (1.0 - p))) @ dense + np.diag(penalty)

    arguments: dict[str, Any] = {"jac": gradient, "hess": hessian, "method": "trust-exact", "options": {"gtol": 1e-9}}
    found = minimize(lambda weights: objective(weights, dense, correct, penalty), np.zeros(len(penalty)), **arguments)
    return float(found.fun), found.x


def curvature(weights: Floats, dense: Floats, correct: Floats, penalty: Floats, step: float = 1e-3) -> Floats:
    """The second derivatives of the objective by finite differences of its values (n_weights, n_weights)."""
    n, steps = len(weights), step * np.eye(len(weights))

    def value(move: Floats) -> float:
        return objective(weights + move, dense, correct, penalty)

    out = np.zeros((n, n))
    for a in range(n):
        for b in range(a + 1):
            signs = ((1.0, 1.0), (1.0, -1.0), (-1.0, 1.0), (-1.0, -1.0))
            out[a, b] = sum(i * j * value(i * steps[a] + j * steps[b]) for i, j in signs) / (4.0 * step * step)
            out[b, a] = out[a, b]
    return out
