"""How good predictions are."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike


def auc(correct: ArrayLike, predicted: ArrayLike) -> float:
    """Area under the ROC curve: P(a right answer was predicted higher than a wrong one), ties count half.

    Exact (Mann & Whitney, 1947). ``correct`` is 0/1; NaN if all outcomes are equal.
    """
    right, score = np.asarray(correct, float) > 0.5, np.asarray(predicted, float)
    _, inverse, count = np.unique(score, return_inverse=True, return_counts=True)
    rank = np.cumsum(count) - (count - 1) / 2.0
    n_right = int(right.sum())
    n_wrong = len(right) - n_right
    if not n_right or not n_wrong:
        return float("nan")
    return float((rank[inverse][right].sum() - n_right * (n_right + 1) / 2.0) / (n_right * n_wrong))


def log_loss(correct: ArrayLike, predicted: ArrayLike) -> float:
    """Mean negative log-likelihood (nats per response); partial credit counts by its share."""
    y, p = np.asarray(correct, float), np.clip(np.asarray(predicted, float), 1e-15, 1.0 - 1e-15)
    return float(-(y * np.log(p) + (1.0 - y) * np.log1p(-p)).mean())


def rmse(correct: ArrayLike, predicted: ArrayLike) -> float:
    """Root of the mean squared error."""
    return float(np.sqrt(np.mean((np.asarray(correct, float) - np.asarray(predicted, float)) ** 2)))
