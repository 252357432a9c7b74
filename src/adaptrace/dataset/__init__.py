"""Datasets larger than memory: everyone's mastery and the counts for a fit, on one machine or on Spark."""

from adaptrace.dataset.run import Scored
from adaptrace.dataset.score import score_dataset
from adaptrace.dataset.stats import logs_of, stats_dataset

__all__ = ["Scored", "logs_of", "score_dataset", "stats_dataset"]
