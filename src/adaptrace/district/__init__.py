"""A district: every student, every night, in bounded memory."""

from adaptrace.district.count import stats_dataset
from adaptrace.district.score import Scored, score_dataset

__all__ = ["Scored", "score_dataset", "stats_dataset"]
