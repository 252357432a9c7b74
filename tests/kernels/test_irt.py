"""Item response theory against integrals, against a filter written out with dictionaries, and against differences."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
from scipy.special import roots_hermitenorm

import adaptrace as at
from adaptrace.kernels import irt as kernels
from adaptrace.kernels.irt import AbilityPath, Dynamics, MarginalGradient, Table
from reference import irt as reference

DYNAMICS = Dynamics(0.8, 0.01, 0.4, 0.03, 0.02)


def random_log(seed: int, *, rows: int = 250, students: int = 7) -> at.Log:
    """Partial credit, and up to three skills an event."""
    random = np.random.default_rng(seed)
    skills = [random.choice(["a", "b", "c"], n, replace=False).tolist() for n in random.integers(1, 4, rows)]
    columns = {"student": random.integers(0, students, rows), "item": random.integers(0, 9, rows), "skills": skills}
    return at.Log.from_arrow({**columns, "correct": random.choice([0.0, 0.5, 1.0], rows)})


# ---- one response -----------------------------------------------------------


def test_the_expected_chance_is_that_of_the_integral_as_far_as_the_approximation_goes() -> None:
    """MacKay's (1992) probit shape is not exact: at most 0.019 off for any variance up to 9, and nearly that far somewhere."""
    worst = 0.0
    for variance in (0.01, 0.3, 1.0, 3.0, 9.0):
        for mean in np.linspace(-6.0, 6.0, 25).tolist():
            for slope in (0.4, 1.0, 2.5):
                got, exact = kernels.expected(mean, variance, slope, 0.5), reference.expected(mean, variance, 0.5, slope)
                worst = max(worst, abs(got - exact))
                assert (got - 0.5) * (exact - 0.5) >= 0.0
    assert 0.005 < worst < 0.019


@pytest.mark.parametrize("variance", [1e-3, 0.01, 0.05])
def test_the_expected_chance_is_close_where_little_is_uncertain(variance: float) -> None:
    """Its error is of the first order in the variance, and small: pi / 8 stands for what would be p - 1 / 2 over the logit."""
    for mean in np.linspace(-4.0, 4.0, 17).tolist():
        assert kernels.expected(mean, variance, 1.0, 0.3) == pytest.approx(
            reference.expected(mean, variance, 0.3, 1.0), abs=0.01 * variance
        )


def test_without_doubt_the_expected_chance_is_the_chance() -> None:
    assert (
        kernels.expected(1.3, 0.0, 1.7, 0.2)
        == kernels.chance(1.7 * 1.1)
        == pytest.approx(1.0 / (1.0 + math.exp(-1.87)), rel=1e-15)
    )


@pytest.mark.parametrize("correct", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("variance", [0.001, 0.01, 0.05])
def test_one_response_moves_an_ability_as_the_exact_posterior_does_where_the_doubt_is_small(
    variance: float, correct: float
) -> None:
    """A step of Newton's: what is left is of the second order in the variance, of the third in its own."""
    for mean in (-2.0, 0.0, 1.5):
        for slope in (0.5, 1.0, 2.0):
            pull, shrink = kernels.update_terms(mean, variance, slope, 0.4, correct)
            got = kernels.moved(mean, variance, 1.0, pull, shrink, 0.0, 0.0)
            exact = reference.posterior(mean, variance, 0.4, slope, correct)
            assert got[0] == pytest.approx(exact[0], abs=0.1 * slope**3 * variance**2)
            assert got[1] == pytest.approx(exact[1], abs=0.12 * slope**3 * variance**2)
            if correct == 1.0:  # the test can tell a step from none
                assert exact[0] - mean > 0.1 * slope**3 * variance**2


def test_a_part_with_a_share_moves_by_it_and_keeps_some_doubt() -> None:
    pull, shrink = kernels.update_terms(0.0, 2.0, 1.0, 0.0, 1.0)
    assert (pull, shrink) == (0.5 / 1.5, 0.25 / 1.5)
    mean, variance = kernels.moved(0.1, 3.0, 0.5, pull, shrink, 0.02, 0.01)
    assert mean == pytest.approx(0.1 + 1.5 * 0.5 / 1.5 + 0.02, rel=1e-15)
    assert variance == pytest.approx(3.0 - 2.25 * 0.25 / 1.5 + 0.01, rel=1e-15)


@pytest.mark.parametrize("mean", [-1e6, -50.0, 0.0, 50.0, 1e6])
@pytest.mark.parametrize("variance", [0.0, 1.0, 1e8])
@pytest.mark.parametrize("correct", [0.0, 0.5, 1.0])
def test_extremes_stay_numbers(mean: float, variance: float, correct: float) -> None:
    assert 0.0 < kernels.expected(mean, variance, 3.0, 0.5) < 1.0
    pull, shrink = kernels.update_terms(mean, variance, 3.0, 0.5, correct)
    moved = kernels.moved(mean, variance, 1.0, pull, shrink, 0.0, 0.0)
    assert all(map(math.isfinite, moved))
    assert 0.0 <= moved[1] <= variance


# ---- a log ------------------------------------------------------------------


def traced(log: at.Log, difficulty: Any, slope: Any, dynamics: Dynamics, *, told: bool = True) -> AbilityPath:
    sizes = (len(log), *((len(log),) * 2 + (len(log.students),) * 2 if told else (0,) * 4))
    out = AbilityPath(*(np.full(size, np.nan) for size in sizes))
    kernels.trace(log.rows, difficulty, slope, dynamics, 0, len(log.students), out)
    return out


def places(log: at.Log, seed: int) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    return random.normal(size=len(log)), random.uniform(0.3, 2.0, len(log))


@pytest.mark.parametrize("dynamics", [DYNAMICS, Dynamics(1.0, 0.0, 0.0, 0.0, 0.0), Dynamics(0.5, 0.2, 2.0, 0.5, -0.1)])
def test_the_trace_is_that_of_a_filter_with_dictionaries(dynamics: Dynamics) -> None:
    """A few hundred steps of another form of the same gain."""
    log = random_log(0)
    difficulty, slope = places(log, 1)
    columns = zip(log.table.to_pylist(), difficulty.tolist(), slope.tolist(), strict=True)
    rows = [
        {"student": str(row["student"]), "skill": row["skills"], "correct": row["correct"], "difficulty": d, "slope": a}
        for row, d, a in columns
    ]
    predicted, ability, own = zip(*reference.traced(rows, dynamics), strict=True)
    got = traced(log, difficulty, slope, dynamics)
    np.testing.assert_allclose(got.predicted, predicted, rtol=1e-10)
    np.testing.assert_allclose(got.ability, ability, rtol=1e-10, atol=1e-10)
    np.testing.assert_allclose(got.own, own, rtol=1e-10, atol=1e-10)


def test_predictions_are_the_same_whether_abilities_are_written_or_not() -> None:
    log = random_log(2)
    both = [traced(log, *places(log, 1), DYNAMICS, told=told).predicted.tolist() for told in (True, False)]
    assert both[0] == both[1]


def test_students_do_not_see_each_other() -> None:
    log = random_log(3)
    difficulty, slope = places(log, 2)
    whole = traced(log, difficulty, slope, DYNAMICS)
    parts = AbilityPath(*np.full((3, len(log)), np.nan), *np.full((2, len(log.students)), np.nan))
    for student in range(len(log.students)):
        kernels.trace(log.rows, difficulty, slope, DYNAMICS, student, student + 1, parts)
    assert [part.tolist() for part in parts] == [part.tolist() for part in whole]
    alone = log.select(log.names("student").to_numpy(zero_copy_only=False) == log.students[2].as_py())
    mask = log.names("student").to_numpy(zero_copy_only=False) == log.students[2].as_py()
    got = traced(alone, difficulty[mask], slope[mask], DYNAMICS)
    assert got.predicted.tolist() == whole.predicted[mask].tolist()


# ---- the marginal likelihood ------------------------------------------------


def leaned(log: at.Log, difficulty: Any, slope: Any, spread: float, nodes: int) -> MarginalGradient:
    node, weight = roots_hermitenorm(nodes)
    weight = np.log(weight / weight.sum())
    item, n_items = log.table["item"].chunk(0).indices.to_numpy(), len(difficulty)
    table = Table(*(np.empty((n_items, nodes)) for _ in Table._fields))
    out = MarginalGradient(np.zeros(1), np.zeros(1), np.zeros(n_items), np.zeros(n_items))
    kernels.tabulate(spread * node, difficulty, slope, 0, n_items, table)
    kernels.marginal(log.rows, item, table, spread * node, weight, difficulty, slope, 0, len(log.students), out)
    return out


def items(seed: int, n: int = 9) -> tuple[Any, Any]:
    random = np.random.default_rng(seed)
    return random.normal(size=n), random.uniform(0.5, 1.8, n)


def answers(log: at.Log) -> list[list[tuple[int, float]]]:
    item = log.table["item"].chunk(0).indices.to_pylist()
    cuts = log.rows.student_start.tolist()
    pairs = list(zip(item, log.correct.tolist(), strict=True))
    return [pairs[first:last] for first, last in itertools.pairwise(cuts)]


def test_the_table_holds_chances_and_their_logarithms() -> None:
    difficulty, slope = np.array([0.5, -900.0, 900.0]), np.array([1.5, 2.0, 2.0])
    node, table = np.array([-1.0, 0.0, 3.0]), Table(*np.full((3, 3, 3), np.nan))
    kernels.tabulate(node, difficulty, slope, 0, 3, table)
    np.testing.assert_allclose(table.chance[0], 1.0 / (1.0 + np.exp(-1.5 * (node - 0.5))), rtol=1e-14)
    np.testing.assert_allclose(table.right[0], np.log(table.chance[0]), rtol=1e-12)
    assert np.isfinite([table.right, table.chance, table.logit]).all()
    assert (table.chance[1].tolist(), table.chance[2].tolist()) == ([1.0] * 3, [0.0] * 3)


@pytest.mark.parametrize(("nodes", "near"), [(13, 1e-3), (61, 1e-9)])
def test_the_marginal_likelihood_is_that_of_the_integral(nodes: int, near: float) -> None:
    """The 13 nodes of the fit leave an error, of 0.02 % for some twelve answers a student; 61 nodes next to none."""
    log, (difficulty, slope) = random_log(4, rows=84), items(5)
    got = leaned(log, difficulty, slope, 0.9, nodes).likelihood[0]
    assert got == pytest.approx(reference.marginal(answers(log), difficulty, slope, 0.9), rel=near)


def test_the_gradient_of_the_marginal_likelihood_is_that_of_differences() -> None:
    """Fisher's identity holds for the sum over nodes as for the integral, so the nodes may be few."""
    log, (difficulty, slope), step = random_log(6, rows=60), items(7), 1e-5
    got = leaned(log, difficulty, slope, 0.9, 13)

    def difference(change: Any) -> float:
        up, down = (float(change(side)) for side in (step, -step))
        return (up - down) / (2.0 * step)

    for k in range(9):
        one = np.eye(9)[k]
        harder = difference(lambda h, one=one: leaned(log, difficulty + h * one, slope, 0.9, 13).likelihood[0])
        steeper = difference(lambda h, one=one: leaned(log, difficulty, slope * np.exp(h * one), 0.9, 13).likelihood[0])
        assert got.difficulty[k] == pytest.approx(harder, rel=1e-6, abs=1e-7)
        assert got.discrimination[k] == pytest.approx(steeper, rel=1e-6, abs=1e-7)
    wider = difference(lambda h: leaned(log, difficulty, slope, 0.9 * math.exp(h), 13).likelihood[0])
    assert got.spread[0] == pytest.approx(wider, rel=1e-6, abs=1e-7)


def informed(log: at.Log, difficulty: Any, slope: Any, spread: float, nodes: int) -> kernels.ItemInformation:
    node, weight = roots_hermitenorm(nodes)
    item, n_items = log.table["item"].chunk(0).indices.to_numpy(), len(difficulty)
    table = Table(*(np.empty((n_items, nodes)) for _ in Table._fields))
    out = kernels.ItemInformation(*np.zeros((3, n_items)))
    kernels.tabulate(spread * node, difficulty, slope, 0, n_items, table)
    weight = np.log(weight / weight.sum())
    kernels.inform(log.rows, item, table, spread * node, weight, difficulty, slope, 0, len(log.students), out)
    return out


def test_the_information_is_minus_the_second_derivative_of_the_marginal_likelihood() -> None:
    """By differences of the gradient; students answer some items several times."""
    log, (difficulty, slope), step = random_log(6, rows=60), items(7), 1e-5
    got = informed(log, difficulty, slope, 0.9, 13)
    for k in range(9):
        move = step * np.eye(9)[k]
        harder = [leaned(log, difficulty + side * move, slope, 0.9, 13).difficulty[k] for side in (1.0, -1.0)]
        steeper = [leaned(log, difficulty, slope * np.exp(side * move), 0.9, 13).discrimination[k] for side in (1.0, -1.0)]
        assert got.difficulty[k] == pytest.approx((harder[1] - harder[0]) / (2.0 * step), rel=1e-5, abs=1e-6)
        both = [leaned(log, difficulty + side * move, slope, 0.9, 13).discrimination[k] for side in (1.0, -1.0)]
        assert got.discrimination[k] == pytest.approx((steeper[1] - steeper[0]) / (2.0 * step), rel=1e-5, abs=1e-6)
        assert got.both[k] == pytest.approx((both[1] - both[0]) / (2.0 * step), rel=1e-5, abs=1e-6)


def test_what_students_say_adds_up() -> None:
    log, (difficulty, slope) = random_log(8), items(9)
    node, weight = roots_hermitenorm(13)
    item, table = log.table["item"].chunk(0).indices.to_numpy(), Table(*np.empty((3, 9, 13)))
    kernels.tabulate(node, difficulty, slope, 0, 9, table)
    out = MarginalGradient(np.zeros(1), np.zeros(1), np.zeros(9), np.zeros(9))
    for student in range(len(log.students)):
        kernels.marginal(log.rows, item, table, node, np.log(weight / weight.sum()), difficulty, slope, student, student + 1, out)
    for one, whole in zip(out, leaned(log, difficulty, slope, 1.0, 13), strict=True):
        np.testing.assert_allclose(one, whole, rtol=1e-12)


def test_long_histories_do_not_underflow() -> None:
    """20,000 answers have a probability of about 1e-6000."""
    n = 20_000 if hasattr(kernels.marginal, "py_func") else 2000
    random = np.random.default_rng(0)
    columns = {"student": ["Ada"] * n, "item": random.integers(0, 9, n), "skill": ["s"] * n}
    log = at.Log.from_arrow({**columns, "correct": random.integers(0, 2, n)})
    gradient = leaned(log, *items(1), 1.0, 13)
    assert -0.9 * n < gradient.likelihood[0] < -0.6 * n
    assert np.isfinite(np.concatenate(gradient)).all()
