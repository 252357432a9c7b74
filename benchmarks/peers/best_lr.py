"""Best-LR beside scikit-learn: the same features, the same penalty, the same rows; seconds and the objective that each reaches.

    ADAPTRACE_DATA=folder python peers/best_lr.py            # needs scikit-learn: pip install scikit-learn

The features are laid out once, by adaptrace, and handed to scikit-learn as a sparse matrix, so its time is that of the solver
alone (L-BFGS, C = 1, until its default tolerance or ``--steps``); adaptrace's includes laying them out. Where both are to be
held against the optimum, ``--newton`` lets scikit-learn climb on with its Newton method and a tolerance of 1e-10.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np
from scipy import sparse

sys.path.insert(0, str(Path(__file__).parents[1]))
from logs import SETS, folder_of, held_out, read

import adaptrace as at
from adaptrace.models.logistic.model import NOTHING_GIVEN


def matrix_of(model: at.Logistic, log: at.Log) -> sparse.csr_matrix:
    """The values that a fitted model reads, without the intercept."""
    plan, _, _ = model._plan(model.weights)
    design = model._design(log, plan, model.weights, NOTHING_GIVEN)
    shape = (len(log), len(model.weights.values))
    return sparse.csr_matrix((design.value, design.column, design.start), shape=shape)[:, 1:]


def objective(intercept: float, weights: np.ndarray, values: sparse.csr_matrix, correct: np.ndarray) -> float:
    """Minus the log-likelihood, with the penalty of 1 on every weight but the intercept."""
    logit = values @ weights + intercept
    return float(np.logaddexp(0.0, logit).sum() - correct @ logit + 0.5 * weights @ weights)


def main() -> int:
    """Print both times and objectives."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, default="assist09")
    parser.add_argument("--repeat", type=int, default=3, help="fits of adaptrace, of which the median counts")
    parser.add_argument("--steps", type=int, default=5000, help="of scikit-learn at most")
    parser.add_argument("--newton", action="store_true", help="scikit-learn's slower and closer solver")
    options = parser.parse_args()
    folder = folder_of([options.set])
    try:
        from sklearn.linear_model import LogisticRegression
    except ImportError:
        print("scikit-learn is not installed: pip install scikit-learn", file=sys.stderr)
        return 2
    if folder is None:
        return 2
    log = read(SETS[options.set], folder)
    log = log.select(~held_out(log))
    model, seconds = at.BestLR().fit(log), []  # the first fit compiles
    for _ in range(options.repeat):
        begin = time.perf_counter()
        model = at.BestLR().fit(log)
        seconds.append(time.perf_counter() - begin)
    values = matrix_of(model, log)
    begin = time.perf_counter()
    how = {"solver": "newton-cg", "tol": 1e-10} if options.newton else {}
    other = LogisticRegression(C=1.0, max_iter=options.steps, **how).fit(values, log.correct)
    theirs = time.perf_counter() - begin
    ours = statistics.median(seconds)
    reached = [
        objective(model.weights.values[0], model.weights.values[1:], values, log.correct),
        objective(other.intercept_[0], other.coef_[0], values, log.correct),
    ]
    print(f"{options.set}: {len(log):,} responses, {values.shape[1] + 1:,} weights")
    print(f"adaptrace     {ours:8.2f} s   objective {reached[0]:.3f}")
    print(f"scikit-learn  {theirs:8.2f} s   objective {reached[1]:.3f}   {other.n_iter_[0]} steps")
    print(f"{theirs / ours:.1f}x; adaptrace's objective less scikit-learn's: {(reached[0] - reached[1]) / reached[1]:+.1e} of it")
    return 0


if __name__ == "__main__":
    sys.exit(main())
