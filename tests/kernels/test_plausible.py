"""The tests of Baker, Corbett & Aleven (2008): what they say, and that no point of the search fails them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from adaptrace.kernels import bkt_fit
from adaptrace.kernels.bkt_fit import FORGET, GUESS, LEARN, PRIOR, SLIP, FitProblem
from adaptrace.models.bkt.limits import Limits
from reference import evidence as reference

NAMES = ("prior", "learn", "forget", "guess", "slip")
# in the order of NAMES: what an ordinary skill looks like, and skills that are near failing a test
POINTS = {
    "ordinary": [0.35, 0.12, 0.01, 0.22, 0.09],
    "guessed": [0.2, 0.05, 0.0, 0.7, 0.2],
    "known": [0.97, 0.3, 0.02, 0.5, 0.3],
    "slow": [0.01, 0.002, 0.01, 0.6, 0.1],
}


def problem_of(forgetting: float = 0.02, plausible: bool = True) -> FitProblem:
    """What a model's fit searches, where nothing else is asked of it."""
    low, high = np.full(5, 1e-9), np.full(5, 1 - 2e-9)
    low[FORGET], high[FORGET] = 0.0, forgetting
    limits = Limits(low=low, high=high, smoothing=np.zeros((5, 2)), plausible=plausible)
    return limits.problem(np.array([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]))


def after_rights(theta: np.ndarray, rights: int) -> float:
    """Mastery after so many right answers, from sums over hidden paths a few responses at a time."""
    prior, learn, forget, guess, slip = theta
    for _ in range(rights):
        prior = reference.mastery(prior, [reference.answer(1.0, guess, slip, learn, forget)])
    return prior


def passes(theta: np.ndarray, slack: float = 1e-6) -> bool:
    """Whether three right answers never lower mastery and ten reach 0.95."""
    return after_rights(theta, 3) >= theta[PRIOR] - slack and after_rights(theta, 10) >= 0.95 - slack


def log_odds(p: float) -> float:
    return float(np.log(p / (1 - p)))


def differences(value: Callable[[np.ndarray], float], at: np.ndarray, places: tuple[int, ...], step: float = 1e-7) -> list[float]:
    """Central differences."""
    unit = step * np.eye(5)
    return [(value(at + unit[a]) - value(at - unit[a])) / (2 * step) for a in places]


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.parametrize("rights", [1, 3, 10])
def test_mastery_after_right_answers_equals_the_sum_over_hidden_paths(name: str, rights: int) -> None:
    theta = np.array(POINTS[name])
    got = bkt_fit.after_rights(theta, theta[GUESS], rights, np.empty(5))
    assert got == pytest.approx(log_odds(after_rights(theta, rights)), rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.parametrize("test", [0, 1])
def test_the_margin_of_a_test_has_the_derivatives_of_its_differences(name: str, test: int) -> None:
    theta, gradient = np.array(POINTS[name]), np.empty(5)
    bkt_fit.plausibility_margin(theta, theta[GUESS], test, gradient)
    expected = differences(
        lambda at: bkt_fit.plausibility_margin(at, at[GUESS], test, np.empty(5)), theta, (PRIOR, LEARN, FORGET, GUESS, SLIP)
    )
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-6)  # central differences


@pytest.mark.parametrize("name", POINTS)
def test_a_test_is_passed_from_zero_on(name: str) -> None:
    theta = np.array(POINTS[name])
    margins = [bkt_fit.plausibility_margin(theta, theta[GUESS], test, np.empty(5)) for test in (0, 1)]
    assert margins[0] == pytest.approx(log_odds(after_rights(theta, 3)) - log_odds(theta[PRIOR]), rel=1e-6, abs=1e-9)
    assert margins[1] == pytest.approx(log_odds(after_rights(theta, 10)) - log_odds(0.95), rel=1e-6, abs=1e-9)


@pytest.mark.parametrize("name", POINTS)
def test_the_range_of_guess_ends_where_a_test_would_fail_or_knowing_would_not_help(name: str) -> None:
    theta, problem = np.array(POINTS[name]), problem_of()
    theta[GUESS] = problem.low[GUESS] + bkt_fit.guess_range(theta, problem, np.empty(5))
    margins = [bkt_fit.plausibility_margin(theta, theta[GUESS], test, np.empty(5)) for test in (0, 1)]
    margins.append(1.0 - theta[SLIP] - theta[GUESS])
    assert min(margins) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize("plausible", [True, False])
@pytest.mark.parametrize("name", POINTS)
def test_the_range_of_guess_has_the_derivatives_of_its_differences(name: str, plausible: bool) -> None:
    theta, gradient, problem = np.array(POINTS[name]), np.empty(5), problem_of(plausible=plausible)
    bkt_fit.guess_range(theta, problem, gradient)
    expected = differences(lambda at: bkt_fit.guess_range(at, problem, np.empty(5)), theta, (PRIOR, LEARN, FORGET, SLIP), 1e-6)
    np.testing.assert_allclose(gradient[[PRIOR, LEARN, FORGET, SLIP]], expected, rtol=1e-4, atol=1e-5)
    assert gradient[GUESS] == 0.0


@pytest.mark.parametrize("forgetting", [0.0, 0.02])
def test_every_point_within_the_bounds_passes_both_tests(forgetting: float) -> None:
    problem, random = problem_of(forgetting), np.random.default_rng(0)
    theta, low, high = np.empty(5), np.empty(5), np.empty(5)
    bkt_fit.x_bounds(problem, low, high)
    draws = random.uniform(size=(3000, 5))
    draws[::3] = random.beta(0.05, 0.05, (1000, 5))  # corners and edges
    for draw in draws:
        bkt_fit.to_theta(low + draw * (high - low), problem, theta, np.empty(5))
        assert passes(theta), dict(zip(NAMES, theta, strict=True))
        assert 0.0 < theta[GUESS] < 1.0 - theta[SLIP]


def test_without_the_tests_some_points_fail_them() -> None:
    problem, random, theta = problem_of(plausible=False), np.random.default_rng(0), np.empty(5)
    failed = 0
    for _ in range(300):
        draw = random.uniform(1e-6, 1 - 1e-6, 5) * [1, 1, 0.02, 1, 1]
        bkt_fit.to_theta(draw, problem, theta, np.empty(5))
        failed += not passes(theta)
    assert failed > 10


def test_a_point_that_passes_is_found_again_from_its_parameters() -> None:
    problem, theta, x = problem_of(), np.empty(5), np.empty(5)
    bkt_fit.to_theta(np.array([0.4, 0.1, 0.01, 0.5, 0.1]), problem, theta, np.empty(5))
    bkt_fit.to_x(theta, problem, 1.0, x)
    np.testing.assert_allclose(x, [0.4, 0.1, 0.01, 0.5, 0.1], rtol=1e-9)
