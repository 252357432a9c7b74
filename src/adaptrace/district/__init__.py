"""A district: every student, every night, in bounded memory."""

from adaptrace.district.count import logs_of, stats_dataset
from adaptrace.district.score import Scored, score_dataset

__all__ = ["Scored", "logs_of", "score_dataset", "stats_dataset"]
