"""The kernels of half-life regression against formulas written out row by row, and against differences."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.kernels import half_life as kernels
from adaptrace.kernels.compile import plain
from adaptrace.kernels.half_life import ForgettingCurve, HalfLifeGradient, Past

DAY = 86_400_000_000  # microseconds
CURVE = ForgettingCurve(
    weight=np.array([-1.0, 0.7, -0.4]),
    skill=np.array([0.3, -0.6, 0.1]),
    first=np.array([0.3, 0.5, 0.7]),
    guess=0.15,
    slip=0.05,
    shortest=0.01,
    longest=100.0,
)


def random_log(seed: int, *, rows: int = 400, students: int = 6) -> at.Log:
    """Several skills an event, partial credit, and gaps from nothing to months."""
    random = np.random.default_rng(seed)
    skills = [sorted(random.choice(["a", "b", "c"], size=random.integers(1, 4), replace=False)) for _ in range(rows)]
    steps = np.where(random.random(rows) < 0.1, 0.0, 10.0 ** random.uniform(-4.0, 1.0, rows))
    columns = {"student": random.integers(0, students, rows), "item": random.integers(0, 20, rows), "skills": skills}
    time = pa.array((np.cumsum(steps) * DAY).astype(np.int64), pa.timestamp("us", tz="UTC"))
    return at.Log.from_arrow(pa.table({**columns, "correct": random.choice([0.0, 0.25, 1.0], rows), "time": time}))


def past_of(log: at.Log) -> Past:
    past = Past(log.gap_days, *(np.empty(len(log.rows.pair)) for _ in range(2)))
    kernels.remember(log.rows, 0, len(log.students), past)
    return past


def by_hand(log: at.Log, curve: ForgettingCurve) -> list[float]:
    """Equations 1 and 2 of Settles & Meeder (2016), from all earlier rows again for every row."""
    rows, out = log.table.to_pylist(), []
    for place, row in enumerate(rows):
        told = []
        for skill in row["skills"]:
            before = [r for r in rows[:place] if r["student"] == row["student"] and skill in r["skills"]]
            code = "abc".index(skill)
            if not before:
                told.append(curve.first[code])
                continue
            wins = sum(r["correct"] for r in before)
            x = np.array([1.0, np.sqrt(1.0 + wins), np.sqrt(1.0 + len(before) - wins)])
            h = np.clip(2.0 ** (curve.weight @ x + curve.skill[code]), curve.shortest, curve.longest)
            days = (row["time"] - before[-1]["time"]).total_seconds() / 86_400
            told.append(curve.guess + (1.0 - curve.guess - curve.slip) * 2.0 ** (-days / h))
        out.append(np.mean(np.clip(told, 1e-4, 1.0 - 1e-4)))
    return out


@pytest.mark.parametrize("curve", [CURVE, CURVE._replace(guess=0.0, slip=0.0), CURVE._replace(shortest=1.0, longest=2.0)])
def test_chances_are_those_of_the_formulas(curve: ForgettingCurve) -> None:
    log, out = random_log(0), np.empty(400)
    kernels.chances(log.rows, past_of(log), curve, 0, len(log.students), out)
    np.testing.assert_allclose(out, by_hand(log, curve), rtol=1e-9)


def gradient_at(log: at.Log, past: Past, curve: ForgettingCurve) -> HalfLifeGradient:
    gradient = HalfLifeGradient(np.zeros(1), np.zeros(3), np.zeros(2), np.zeros(3))
    kernels.log_likelihood_and_gradient(log.rows, past, curve, 0, len(log.students), gradient)
    return gradient


def test_the_likelihood_is_that_of_the_outcomes() -> None:
    log, p = random_log(1), np.empty(400)
    kernels.chances(log.rows, past_of(log), CURVE, 0, len(log.students), p)
    y = log.correct
    expected = float((y * np.log(p) + (1.0 - y) * np.log(1.0 - p)).sum())
    assert gradient_at(log, past_of(log), CURVE).likelihood[0] == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("curve", [CURVE, CURVE._replace(guess=0.0, slip=0.0), CURVE._replace(shortest=0.47, longest=1.53)])
def test_gradients_are_the_limits_of_differences(curve: ForgettingCurve) -> None:
    log, step = random_log(2), 1e-6
    past = past_of(log)

    def difference(name: str, at: int | None) -> float:
        values = []
        for side in (step, -step):
            value = getattr(curve, name)
            moved = value + side if at is None else value + side * (np.arange(3) == at)
            values.append(float(gradient_at(log, past, curve._replace(**{name: moved})).likelihood[0]))
        return (values[0] - values[1]) / (2.0 * step)

    gradient = gradient_at(log, past, curve)
    np.testing.assert_allclose(gradient.weight, [difference("weight", at) for at in range(3)], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(gradient.skill, [difference("skill", at) for at in range(3)], rtol=1e-5, atol=1e-4)
    if curve.guess:
        np.testing.assert_allclose(gradient.noise, [difference(name, None) for name in ("guess", "slip")], rtol=1e-5, atol=1e-4)


def test_pieces_of_students_add_up_to_the_whole() -> None:
    log = random_log(3)
    past, whole = Past(log.gap_days, *np.full((2, len(log.rows.pair)), np.nan)), past_of(log)
    for student in range(len(log.students)):
        kernels.remember(log.rows, student, student + 1, past)
    assert [part.tolist() for part in past] == [part.tolist() for part in whole]


@pytest.mark.parametrize("level", [-1e9, -2000.0, 0.0, 2000.0, 1e9])
def test_a_half_life_stays_within_its_bounds(level: float) -> None:
    assert 0.01 <= kernels.half_life(level, 0.01, 270.0) <= 270.0
    assert plain(kernels.half_life)(level, 0.01, 270.0) == kernels.half_life(level, 0.01, 270.0)
