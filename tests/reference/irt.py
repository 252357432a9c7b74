"""Item response theory the slow way: beliefs in dictionaries, integrals of plain probabilities; and simulated answers."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.integrate import quad

import adaptrace as at

Floats = NDArray[np.float64]


def right(ability: float, difficulty: float, slope: float) -> float:
    """P(correct) of one ability (Birnbaum, 1968)."""
    return 1.0 / (1.0 + math.exp(-slope * (ability - difficulty)))


def density(x: float, mean: float, variance: float) -> float:
    """Of a normal."""
    return math.exp(-0.5 * (x - mean) ** 2 / variance) / math.sqrt(2.0 * math.pi * variance)


def expected(mean: float, variance: float, difficulty: float, slope: float) -> float:
    """P(correct) where the ability is normal, by adaptive quadrature."""
    wide = 12.0 * math.sqrt(variance)

    def inside(x: float) -> float:
        return right(x, difficulty, slope) * density(x, mean, variance)

    return float(
        quad(inside, mean - wide, mean + wide, points=[mean, min(max(difficulty, mean - wide), mean + wide)], limit=200)[0]
    )


def posterior(mean: float, variance: float, difficulty: float, slope: float, correct: float) -> tuple[float, float]:
    """Mean and variance of a normal ability after one answer, by quadrature over a fine grid."""
    x = mean + math.sqrt(variance) * np.linspace(-12.0, 12.0, 24_001)
    p = 1.0 / (1.0 + np.exp(-slope * (x - difficulty)))
    mass = np.exp(-0.5 * (x - mean) ** 2 / variance) * p**correct * (1.0 - p) ** (1.0 - correct)
    mass /= mass.sum()
    centre = float((mass * x).sum())
    return centre, float((mass * (x - centre) ** 2).sum())


def traced(rows: Sequence[dict[str, Any]], dynamics: Any) -> list[tuple[float, float, float]]:
    """P(correct), the ability and the student's own part of it, before each response.

    The formulas of :mod:`adaptrace.kernels.irt`, with a Kalman gain in matrix form over all parts at once, of which only the
    diagonal is kept. ``rows`` have student, skill (list), correct, difficulty and slope.
    """
    people: dict[str, dict[str, list[float]]] = {}
    out = []
    for row in rows:
        parts = people.setdefault(row["student"], {"": [0.0, dynamics.spread]})
        names = ["", *row["skill"]]
        for skill in row["skill"]:
            parts.setdefault(skill, [0.0, dynamics.skill_spread])
        mean, variance = (np.array([parts[name][k] for name in names]) for k in range(2))
        loading = np.array([1.0, *[1.0 / len(row["skill"])] * len(row["skill"])])
        total, doubt = float(loading @ mean), float(loading**2 @ variance)
        flatter = math.sqrt(1.0 + math.pi * row["slope"] ** 2 * doubt / 8.0)
        out.append((right(total / flatter, row["difficulty"] / flatter, row["slope"]), total, float(mean[0])))
        p = right(total, row["difficulty"], row["slope"])
        noise = 1.0 / (row["slope"] ** 2 * p * (1.0 - p))  # of the working response total + (correct - p) x slope x noise
        gain = variance * loading / (doubt + noise)
        mean = mean + gain * (row["correct"] - p) * row["slope"] * noise
        variance = variance - gain * loading * variance
        for number, name in enumerate(names):
            grown, moved = (0.0, dynamics.drift) if not name else (dynamics.growth, dynamics.skill_drift)
            parts[name] = [float(mean[number]) + grown, float(variance[number]) + moved]
    return out


def marginal(answers: Sequence[Sequence[tuple[int, float]]], difficulty: Floats, slope: Floats, spread: float) -> float:
    """Marginal log-likelihood of students, each a list of (item, correct), whose abilities have this standard deviation."""
    total = 0.0
    for student in answers:

        def inside(x: float, student: Sequence[tuple[int, float]] = student) -> float:
            product = density(x, 0.0, spread * spread)
            for item, correct in student:
                p = right(x, difficulty[item], slope[item])
                product *= p**correct * (1.0 - p) ** (1.0 - correct)
            return product

        total += math.log(quad(inside, -12.0 * spread, 12.0 * spread, points=[0.0], limit=400, epsabs=0.0, epsrel=1e-11)[0])
    return total


# ---- simulated answers -------------------------------------------------------


def school(
    seed: int,
    *,
    students: int,
    length: int,
    difficulty: Floats,
    slope: Floats | None = None,
    spread: float = 1.0,
    drift: float = 0.0,
    learn: float = 0.0,
    skills: int = 1,
    names: str = "s",
) -> at.Log:
    """Students answer items at random (every item once, where as many); abilities walk by ``drift``, and grow by ``learn``."""
    random, n_items = np.random.default_rng(seed), len(difficulty)
    slope = np.ones(n_items) if slope is None else slope
    once = length == n_items
    item = np.array([random.permutation(n_items) if once else random.integers(0, n_items, length) for _ in range(students)])
    steps = math.sqrt(drift) * random.normal(size=(students, length)) + learn
    ability = spread * random.normal(size=(students, 1)) + np.cumsum(steps, axis=1) - steps[:, :1]
    p = 1.0 / (1.0 + np.exp(-slope[item] * (ability - difficulty[item])))
    correct = (random.random(p.shape) < p).astype(int)
    student = np.repeat([f"{names}{number}" for number in range(students)], length)
    skill = np.array([f"k{number % skills}" for number in range(n_items)])
    columns = {"student": student, "item": np.array([f"q{k:03}" for k in range(n_items)])[item.ravel()]}
    return at.Log.from_arrow({**columns, "skill": skill[item.ravel()], "correct": correct.ravel()})
