"""Judging models and policies: folds, metrics, comparison, fairness, off-policy estimates."""
