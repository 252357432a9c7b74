"""The likelihood, its gradient and the search."""

import numpy as np
import pytest

from adaptrace.kernels import bkt_fit
from adaptrace.kernels.trie import Trie
from reference import bkt as reference

THETA = (0.35, 0.12, 0.01, 0.22, 0.09)
# signed weight, intercept: wrong, right, half right; wrong with others 0.75 likely right; right as one of two, the other 0.3
OBSERVATIONS = np.array([[-1.0, 1.0], [1.0, 0.0], [0.0, 0.5], [-0.75, 1.0], [0.5, 0.3]])


def trie_of(sequences: dict[tuple[int, ...], int]) -> Trie:
    """A trie of symbol sequences, the obvious way."""
    prefixes = sorted({s[:n] for s in sequences for n in range(1, len(s) + 1)}, key=lambda p: (len(p), p))
    place = {prefix: index for index, prefix in enumerate(prefixes)}
    parent = [place.get(prefix[:-1], -1) for prefix in prefixes]
    students = [sum(n for s, n in sequences.items() if s[: len(p)] == p) for p in prefixes]
    arrays = np.array(parent, np.int32), np.array([p[-1] for p in prefixes], np.int32), np.array(students)
    return Trie(np.array([0, len(prefixes)]), *arrays)


TRIE = trie_of({(0, 1, 1): 5, (0, 0, 1, 1): 3, (1,): 4, (1, 1, 2): 2, (3, 1): 2, (0, 3, 0): 1, (4, 0, 4): 2})


def problem_of(
    starts: np.ndarray, smoothing: np.ndarray, low: np.ndarray | float = 1e-9, plausible: bool = False
) -> bkt_fit.FitProblem:
    low, high = np.broadcast_to(low, 5).copy(), np.full(5, 1 - 2e-9)
    return bkt_fit.FitProblem(low, high, OBSERVATIONS, smoothing, starts, plausible)


PLAIN = problem_of(np.empty((0, 5)), np.zeros((5, 2)))
PLAUSIBLE = problem_of(np.empty((0, 5)), np.zeros((5, 2)), plausible=True)
SMOOTHED = problem_of(np.empty((0, 5)), np.array([[1.0, 2.0], [0.0, 3.0], [0.5, 9.0], [2.0, 4.0], [1.0, 1.0]]))


def evaluate(theta: np.ndarray, problem: bkt_fit.FitProblem = PLAIN) -> tuple[float, np.ndarray, np.ndarray]:
    workspace = bkt_fit.Workspace(np.empty((99, 2)), np.empty((99, 7)))
    gradient, information = np.empty(5), np.empty((5, 5))
    return (
        bkt_fit.log_likelihood_and_gradient(theta, problem, TRIE, 0, len(TRIE.parent), workspace, gradient, information),
        gradient,
        information,
    )


def test_likelihood_equals_the_sum_over_hidden_paths() -> None:
    trie = trie_of({(0, 1, 1): 5, (0, 0, 1, 1): 3, (1,): 4, (1, 1, 2): 2})
    workspace = bkt_fit.Workspace(np.empty((99, 2)), np.empty((99, 7)))
    got = bkt_fit.rough_log_likelihood(np.array(THETA), PLAIN, trie, 0, len(trie.parent), workspace)
    sequences = {(0.0, 1.0, 1.0): 5, (0.0, 0.0, 1.0, 1.0): 3, (1.0,): 4, (1.0, 1.0, 0.5): 2}
    expected = sum(n * np.log(reference.likelihood(s, THETA)) for s, n in sequences.items())
    assert got == pytest.approx(expected, rel=1e-12)
    value = bkt_fit.log_likelihood_and_gradient(
        np.array(THETA), PLAIN, trie, 0, len(trie.parent), workspace, np.empty(5), np.empty((5, 5))
    )
    assert value == pytest.approx(got, rel=1e-14)  # one logarithm for many


@pytest.mark.parametrize("problem", [PLAIN, SMOOTHED], ids=["plain", "smoothed"])
def test_gradient_equals_central_differences(problem: bkt_fit.FitProblem) -> None:
    _, gradient, _ = evaluate(np.array(THETA), problem)
    for a in range(5):
        up, down = np.array(THETA), np.array(THETA)
        up[a] += 1e-6
        down[a] -= 1e-6
        assert gradient[a] == pytest.approx(
            (evaluate(up, problem)[0] - evaluate(down, problem)[0]) / 2e-6, rel=1e-6
        )  # second-order differences


def test_information_is_the_outer_product_of_node_scores() -> None:
    _, _, information = evaluate(np.array(THETA))
    expected = np.zeros((5, 5))
    for node in range(len(TRIE.parent)):
        alone = TRIE._replace(students=np.where(np.arange(len(TRIE.parent)) == node, 1, 0))
        gradient = np.empty(5)
        workspace = bkt_fit.Workspace(np.empty((99, 2)), np.empty((99, 7)))
        bkt_fit.log_likelihood_and_gradient(
            np.array(THETA), PLAIN, alone, 0, len(TRIE.parent), workspace, gradient, np.empty((5, 5))
        )
        expected += TRIE.students[node] * np.outer(gradient, gradient)
    np.testing.assert_allclose(information, expected, rtol=1e-10)


def test_smoothing_adds_its_pseudo_counts() -> None:
    theta = np.array(THETA)
    counts = SMOOTHED.smoothing
    expected = float((counts[:, 0] * np.log(theta) + counts[:, 1] * np.log(1 - theta)).sum())
    assert evaluate(theta, SMOOTHED)[0] - evaluate(theta)[0] == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize("problem", [PLAIN, PLAUSIBLE], ids=["plain", "plausible"])
def test_from_theta_to_x_is_the_chain_rule(problem: bkt_fit.FitProblem) -> None:
    x, theta, range_gradient = np.array([0.3, 0.2, 0.01, 0.4, 0.1]), np.empty(5), np.empty(5)

    def value(point: np.ndarray) -> float:
        bkt_fit.to_theta(point, problem, theta, np.empty(5))
        return evaluate(theta)[0]

    width = bkt_fit.to_theta(x, problem, theta, range_gradient)
    _, gradient, information = evaluate(theta)
    bkt_fit.apply_chain_rule(x, width, range_gradient, gradient, information)
    for a in range(5):
        step = np.zeros(5)
        step[a] = 1e-6
        assert gradient[a] == pytest.approx((value(x + step) - value(x - step)) / 2e-6, rel=1e-6)  # second-order differences


def test_every_point_within_the_bounds_is_a_model_in_which_knowing_helps() -> None:
    problem = PLAIN
    random, theta = np.random.default_rng(0), np.empty(5)
    for _ in range(1000):
        bkt_fit.to_theta(random.uniform(1e-9, 1 - 1e-9, 5), problem, theta, np.empty(5))
        assert theta[bkt_fit.GUESS] + theta[bkt_fit.SLIP] < 1.0


def test_a_search_never_goes_down_and_ends_where_no_start_goes_higher() -> None:
    starts = np.random.default_rng(1).uniform(0.02, 0.98, (50, 5))
    starts[:, 2] = 0.0
    problem = problem_of(starts, np.zeros((5, 2)))
    problem.low[2] = problem.high[2] = 0.0
    workspace = bkt_fit.Workspace(np.empty((99, 2)), np.empty((99, 7)))
    best, theta, information = np.empty(5), np.empty(5), np.empty((5, 5))
    reached = bkt_fit.multi_start(problem, TRIE, 0, workspace, best, information)
    for start in starts:
        bkt_fit.to_theta(start, problem, theta, np.empty(5))
        before = bkt_fit.rough_log_likelihood(theta, PLAIN, TRIE, 0, len(TRIE.parent), workspace)
        end = start.copy()
        after = bkt_fit.maximise_from(end, problem, TRIE, 0, len(TRIE.parent), workspace, bkt_fit.TOLERANCE, information)
        assert before <= after <= reached + 1e-6
