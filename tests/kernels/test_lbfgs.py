"""The descent on functions whose minimum is known."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from adaptrace.kernels.lbfgs import Objective, dot, minimise

HARD = {"steps": 500, "close": 1e-15}


def quadratic(at: Any) -> tuple[float, Any]:
    """Lowest, 3, at 1, 2, ..., and 100 times steeper one way than the other."""
    steep = np.geomspace(1.0, 100.0, len(at))
    off = at - np.arange(1.0, len(at) + 1.0)
    return 3.0 + 0.5 * float((steep * off**2).sum()), steep * off


def rosenbrock(at: Any) -> tuple[float, Any]:
    """A bent valley (Rosenbrock, 1960), lowest, 0, at 1, 1."""
    a, b = at
    return (1.0 - a) ** 2 + 100.0 * (b - a * a) ** 2, np.array([-2.0 * (1.0 - a) - 400.0 * a * (b - a * a), 200.0 * (b - a * a)])


def walled(beyond: float) -> Objective:
    """Lowest, 1, at 1 and falling all the way to there; not a number to tell past 1.5."""

    def objective(at: Any) -> tuple[float, Any]:
        if at[0] > 1.5:
            return beyond, np.full(1, np.nan)
        return 2.0 - float(np.exp(-((at[0] - 1.0) ** 2))), 2.0 * (at - 1.0) * np.exp(-((at - 1.0) ** 2))

    return objective


def lying(at: Any) -> tuple[float, Any]:
    """The gradient points the wrong way, so no step along it goes down."""
    return float((at**2).sum()), -2.0 * at


FUNCTIONS: dict[str, tuple[Objective, Any]] = {
    "quadratic": (quadratic, np.zeros(6)),
    "rosenbrock": (rosenbrock, np.array([-1.2, 1.0])),
    "nan beyond": (walled(np.nan), np.array([-0.5])),
    "inf beyond": (walled(np.inf), np.array([-0.5])),
    "nothing": (quadratic, np.empty(0)),
    "at the minimum": (quadratic, np.arange(1.0, 7.0)),
    "lying": (lying, np.array([1.0, -2.0])),
    "not a number": (lambda at: (np.nan, np.full(2, np.nan)), np.array([1.0, 2.0])),
    "without end": (lambda at: (-float(at.sum()), -np.ones(2)), np.array([1.0, 2.0])),
    "a kink": (lambda at: (float(np.abs(at).sum()), np.sign(at)), np.array([3.0, -0.4])),
}
each = pytest.mark.parametrize("name", FUNCTIONS)


@each
def test_it_never_ends_above_the_start_and_says_where_it_is(name: str) -> None:
    objective, start = FUNCTIONS[name]
    found = minimise(objective, start, **HARD)
    if name != "not a number":
        assert found.value <= objective(start)[0]
        assert np.isfinite(found.point).all()
    np.testing.assert_equal(found.value, objective(found.point)[0])
    assert found.steps <= 500


@each
def test_the_start_is_not_changed(name: str) -> None:
    objective, start = FUNCTIONS[name]
    before = start.copy()
    minimise(objective, start, **HARD)
    assert start.tolist() == before.tolist()


@each
def test_the_same_bits_every_time(name: str) -> None:
    one, other = (minimise(*FUNCTIONS[name], **HARD) for _ in range(2))
    np.testing.assert_equal(one.point.tolist(), other.point.tolist())
    np.testing.assert_equal([one.value, one.steps], [other.value, other.steps])


@pytest.mark.parametrize(
    ("name", "expected", "lowest"),
    [
        ("quadratic", np.arange(1.0, 7.0), 3.0),
        ("rosenbrock", np.ones(2), 0.0),
        ("nan beyond", [1.0], 1.0),
        ("inf beyond", [1.0], 1.0),
    ],
)
def test_it_ends_at_the_minimum(name: str, expected: Any, lowest: float) -> None:
    """A slope of 1e-6 is flat: as far from the minimum as that over the curvature, 1 or (Rosenbrock) 0.4."""
    found = minimise(*FUNCTIONS[name], **HARD)
    assert found.value == pytest.approx(lowest, abs=1e-11)
    np.testing.assert_allclose(found.point, expected, atol=1e-5)


@pytest.mark.parametrize("size", [1, 3, 40])
def test_a_quadratic_takes_few_steps(size: int) -> None:
    """Steepest descent takes some 900 for a condition of 100, conjugate directions about sqrt(100) / 2 * log(2 / 1e-8) = 96."""
    found = minimise(quadratic, np.full(size, -5.0), **HARD)
    np.testing.assert_allclose(found.point, np.arange(1.0, size + 1.0), atol=1e-5)
    assert found.steps <= 96


def test_at_the_minimum_no_step_is_taken() -> None:
    found = minimise(quadratic, np.arange(1.0, 7.0), **HARD)
    assert (found.steps, found.value) == (0, 3.0)
    assert minimise(quadratic, np.empty(0), **HARD).steps == 0


def test_where_no_step_goes_down_it_stays() -> None:
    start = np.array([1.0, -2.0])
    assert minimise(lying, start, **HARD).point.tolist() == start.tolist()


def test_every_step_goes_down() -> None:
    values = [minimise(rosenbrock, np.array([-1.2, 1.0]), steps=steps, close=0.0).value for steps in range(1, 30)]
    assert (np.diff([rosenbrock(np.array([-1.2, 1.0]))[0], *values]) < 0.0).all()


def test_steps_are_limited_and_told() -> None:
    reported: list[int] = []
    found = minimise(rosenbrock, np.array([-1.2, 1.0]), steps=7, close=0.0, report=reported.append)
    assert found.steps == 7
    assert reported == [1, 2, 3, 4, 5, 6, 7]


def test_it_ends_where_a_step_gains_little() -> None:
    steps = [minimise(rosenbrock, np.array([-1.2, 1.0]), steps=500, close=close).steps for close in (1e-2, 1e-5, 1e-12)]
    assert steps[0] < steps[1] < steps[2]


def test_a_product_is_added_up_in_one_order() -> None:
    """BLAS adds up in another, and on other machines in yet another."""
    a, b = np.random.default_rng(0).normal(size=(2, 10_001))
    assert dot(a, b) == float((a * b).sum())
    assert dot(a, b) == pytest.approx(float(sum(x * y for x, y in zip(a.tolist(), b.tolist(), strict=True))), rel=1e-11)
