"""Metrics, against slow definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest

from adaptrace import metrics


def pairwise_auc(correct: list[int], predicted: list[float]) -> float:
    """Count the pairs of a right and a wrong answer, one by one."""
    pairs = [
        (p, q) for p, y in zip(predicted, correct, strict=True) if y for q, z in zip(predicted, correct, strict=True) if not z
    ]
    return sum((p > q) + (p == q) / 2 for p, q in pairs) / len(pairs)


@pytest.mark.parametrize("levels", [2, 5, 1000])
@pytest.mark.parametrize("size", [2, 17, 200])
def test_auc_is_the_share_of_pairs_in_the_right_order(size: int, levels: int) -> None:
    random = np.random.default_rng([size, levels])
    correct = [0, 1, *random.integers(0, 2, size - 2).tolist()]
    predicted = (random.integers(0, levels, size) / levels).tolist()
    assert metrics.auc(correct, predicted) == pytest.approx(pairwise_auc(correct, predicted), rel=1e-12)


@pytest.mark.parametrize(
    ("correct", "predicted", "expected"),
    [([0, 1], [0.1, 0.9], 1.0), ([0, 1], [0.9, 0.1], 0.0), ([0, 1, 1], [0.5, 0.5, 0.5], 0.5), ([1, 0, 1], [0.2, 0.2, 0.3], 0.75)],
)
def test_auc_of_known_cases(correct: list[int], predicted: list[float], expected: float) -> None:
    assert metrics.auc(correct, predicted) == expected


@pytest.mark.parametrize("correct", [[], [1, 1], [0, 0, 0]], ids=str)
def test_auc_of_equal_outcomes_is_not_a_number(correct: list[int]) -> None:
    assert math.isnan(metrics.auc(correct, [0.5] * len(correct)))


def test_auc_does_not_depend_on_the_order_of_rows() -> None:
    random = np.random.default_rng(5)
    correct, predicted, order = random.integers(0, 2, 500), random.integers(0, 20, 500) / 20, random.permutation(500)
    assert metrics.auc(correct[order], predicted[order]) == metrics.auc(correct, predicted)


def test_log_loss_is_the_mean_surprise_in_nats() -> None:
    expected = -(math.log(0.8) + math.log(0.7) + math.log(0.5)) / 3
    assert metrics.log_loss([1, 0, 1], [0.8, 0.3, 0.5]) == pytest.approx(expected, rel=1e-12)


def test_log_loss_counts_partial_credit_by_its_share() -> None:
    expected = -(0.25 * math.log(0.8) + 0.75 * math.log(0.2))
    assert metrics.log_loss([0.25], [0.8]) == pytest.approx(expected, rel=1e-12)


def test_log_loss_of_a_sure_mistake_is_large_and_finite() -> None:
    assert 30.0 < metrics.log_loss([1, 0], [0.0, 1.0]) < 40.0


def test_rmse_is_the_root_of_the_mean_square() -> None:
    assert metrics.rmse([1, 0], [0.7, 0.4]) == pytest.approx(math.sqrt((0.09 + 0.16) / 2), rel=1e-12)
