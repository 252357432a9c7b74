"""A district: every student, every night, in bounded memory."""

from adaptrace.dataset.score import Scored, score_dataset
from adaptrace.dataset.stats import logs_of, stats_dataset

__all__ = ["Scored", "logs_of", "score_dataset", "stats_dataset"]
