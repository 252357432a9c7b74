"""Histories of 1 to 10,000 responses: the fit, the trace and hindsight agree with a filter in logarithms."""

from __future__ import annotations

import numpy as np
import pytest

import adaptrace as at
from adaptrace.kernels import bkt as kernels
from adaptrace.kernels import bkt_fit
from adaptrace.kernels.compile import plain
from reference import bkt as reference
from reference import optimum

PLAIN = {"pooling": 0, "plausible": False}
SETTINGS = [
    (0.3, 0.1, 0.0, 0.2, 0.1),
    (0.01, 0.005, 0.0, 0.5, 0.005),
    (0.9, 1e-9, 0.0, 1e-9, 1e-9),
    (0.5, 0.3, 0.02, 0.3, 0.3),
    (0.2, 0.05, 1e-9, 0.1, 1e-6),
]


def histories(length: int) -> list[list[int]]:
    """Sure of the skill for long and then not, not and then sure, in turn, and at random."""
    random = np.random.default_rng(length)
    first = (2 * length) // 3
    return [
        [1] * first + [0] * (length - first),
        [0] * (length - first) + [1] * first,
        [1, 0] * (length // 2) + [1] * (length % 2),
        random.integers(0, 2, length).tolist(),
        (random.random(length) < 0.9).astype(int).tolist(),
    ]


def log_of(sequences: list[list[int]]) -> at.Log:
    student = np.repeat(np.arange(len(sequences)), [len(each) for each in sequences])
    correct = np.concatenate(sequences)
    return at.Log.from_arrow({"student": student, "item": [1] * len(student), "skill": ["s"] * len(student), "correct": correct})


def model_of(theta: tuple[float, ...]) -> at.BKT:
    return at.BKT.from_parameters(["s"], **dict(zip(kernels.Parameters._fields, theta, strict=True)))


def value_at(sequences: list[list[int]], theta: tuple[float, ...]) -> float:
    return float(sum(reference.log_likelihood(each, theta) for each in sequences))


def value_and_gradient(log: at.Log, theta: np.ndarray) -> tuple[float, np.ndarray]:
    """What the fit raises, and how."""
    trie = at.BKT().stats(log).trie
    problem = at.BKT(forget=theta[2] > 0, **PLAIN).limits.problem(np.array([[0.0, 1.0, 0.0], [1.0, 1.0, 0.0]]))
    nodes = len(trie.parent)
    workspace = bkt_fit.Workspace(np.empty((nodes, 2)), np.empty((nodes, 7)))
    gradient = np.empty(5)
    return bkt_fit.log_likelihood_and_gradient(theta, problem, trie, 0, nodes, workspace, gradient, np.empty((5, 5))), gradient


@pytest.mark.parametrize("theta", SETTINGS)
@pytest.mark.parametrize("length", [1, 10, 100, 1_000, pytest.param(10_000, marks=pytest.mark.compiled)])
def test_what_the_fit_raises_is_the_log_likelihood(length: int, theta: tuple[float, ...]) -> None:
    for sequence in histories(length):
        expected, log = float(reference.log_likelihood(sequence, theta)), log_of([sequence])
        assert value_and_gradient(log, np.array(theta))[0] == pytest.approx(expected, rel=1e-9, abs=1e-12)
        assert model_of(theta).log_likelihood(log) == pytest.approx(expected, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("theta", [theta for theta in SETTINGS if min(theta[0], theta[1], theta[3], theta[4]) > 1e-4])
@pytest.mark.parametrize("length", [1, 10, 100, 1_000, pytest.param(10_000, marks=pytest.mark.compiled)])
def test_the_gradient_is_that_of_the_log_likelihood(length: int, theta: tuple[float, ...]) -> None:
    for sequence in histories(length):
        gradient = value_and_gradient(log_of([sequence]), np.array(theta))[1]
        for a in range(5):
            if theta[a] == 0.0:
                continue
            step, ends = 1e-6 * theta[a], [list(theta), list(theta)]
            ends[0][a] += step
            ends[1][a] -= step
            up, down = (reference.log_likelihood(sequence, tuple(end)) for end in ends)
            slack = 4 * float(np.finfo(up.dtype).eps * abs(up)) * length / step  # rounding of the two values
            assert gradient[a] == pytest.approx(float(up - down) / (2 * step), rel=1e-6, abs=max(slack, 1e-9))


@pytest.mark.parametrize("theta", SETTINGS)
@pytest.mark.parametrize("length", [10, 1_000, pytest.param(10_000, marks=pytest.mark.compiled)])
def test_trace_and_student_keep_what_the_filter_in_logarithms_knows(length: int, theta: tuple[float, ...]) -> None:
    model = model_of(theta)
    for sequence in histories(length):
        log, student = log_of([sequence]), at.Student(model)
        for correct in sequence:
            student.observe("q", correct, skills=["s"])
        unknown, known = reference.in_logs(sequence, theta)
        expected = float(known - unknown)
        # every response adds a rounding of the odds, or above their range one of their logarithm
        assert kernels.to_log_odds(student.state.odds["s"]) == pytest.approx(
            expected, rel=1e-12, abs=1e-15 * length * max(1.0, expected)
        )
        assert student.mastery("s") == model.score(log)["mastery"][0].as_py()


def test_certainty_can_be_lost_again() -> None:
    """1,500 right answers are worth as many wrong ones as the textbook says."""
    theta = (0.3, 0.1, 0.0, 0.2, 0.2)
    model = model_of(theta)
    sequence = [1] * 1_500 + [0] * 1_600
    expected = [float(np.diff(reference.in_logs(sequence[:n], theta))[0]) for n in (1_500, 3_000, 3_080, 3_100)]
    mastery = model.trace(log_of([sequence]))["mastery"].to_numpy()
    for n, log_odds in zip((1_500, 3_000, 3_080, 3_100), expected, strict=True):
        assert mastery[n - 1] == pytest.approx(1 / (1 + np.exp(-log_odds)), rel=1e-9)


@pytest.mark.parametrize("length", [1, 10, 1_000, pytest.param(10_000, marks=pytest.mark.compiled)])
@pytest.mark.parametrize("theta", SETTINGS)
def test_hindsight_is_forward_and_backward_in_logarithms(length: int, theta: tuple[float, ...]) -> None:
    for sequence in histories(length):
        table = model_of(theta).smooth(log_of([sequence]))
        known, learned = (table[name].to_numpy() for name in ("known", "learned"))
        expected_known, expected_learned = reference.hindsight_in_logs(sequence, theta)
        np.testing.assert_allclose(known, expected_known, rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(learned, expected_learned, rtol=1e-9, atol=1e-12)


def test_compiled_and_plain_steps_agree_beyond_the_range() -> None:
    update = plain(kernels.update)
    for odds in (1e190, 9e199, 1e200, 3e200, 1e203):
        for ratio in (1e-9, 0.2, 1.0, 4.5, 1e9):
            assert update(odds, ratio, 0.1, 0.0) == kernels.update(odds, ratio, 0.1, 0.0)


HARD = [[1] * 100 + [0] * 60, [0] * 30 + [1] * 150, [1, 0] * 60]


@pytest.mark.compiled
def test_three_long_histories_are_fitted_to_their_optimum() -> None:
    model = at.BKT(forget=False, **PLAIN).fit(log_of(HARD))
    there = (0.01, 0.005, 0.0, 0.5, 0.005)
    best = model.log_likelihood(log_of(HARD))
    assert best == pytest.approx(value_at(HARD, model.table.row("s")), rel=1e-9)
    assert best > value_at(HARD, there)


@pytest.mark.compiled
@pytest.mark.parametrize("length", [10, 60, 100, 400, 2_000])
@pytest.mark.parametrize("forget", [False, True])
def test_no_random_start_of_a_general_optimiser_ends_higher(length: int, forget: bool) -> None:
    sequences = histories(length) + histories(length + 1)
    model = at.BKT(forget=forget, **PLAIN).fit(log_of(sequences))
    limits = model.limits
    counted = optimum.sequences_of(log_of(sequences))["s"]
    value, theta = optimum.best(optimum.problem_of(counted, limits.low, limits.high, limits.smoothing, False), starts=20, seed=0)
    value = value_at(sequences, tuple(theta))
    assert model.log_likelihood(log_of(sequences)) >= value - 1e-6 * abs(value)


@pytest.mark.compiled
@pytest.mark.parametrize("length", [1, 10, 100, 1_000])
@pytest.mark.parametrize("forget", [False, True])
def test_every_fit_ends_stationary_or_on_a_bound(length: int, forget: bool) -> None:
    sequences = histories(length)
    model = at.BKT(forget=forget, **PLAIN).fit(log_of(sequences))
    theta, limits = np.array(model.table.row("s")), model.limits
    value, gradient = value_and_gradient(log_of(sequences), theta)
    high = np.minimum(limits.high, [1.0, 1.0, 1.0, 1.0 - theta[4], 1.0 - theta[3]])
    room = np.where(gradient > 0, high - theta, theta - limits.low)
    assert (np.abs(gradient) * np.maximum(room, 0.0) < 1e-4 * max(1.0, abs(value))).all()
