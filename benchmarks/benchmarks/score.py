"""Mastery of every student on every skill of a log."""

from __future__ import annotations

from . import data
from .data import setup_cache  # noqa: F401  (asv runs it once for all files)


class Score(data.OfEverySize):
    """A log that was just read."""

    def time_score(self, size: int) -> None:
        self.model.score(data.fresh(self.log))
