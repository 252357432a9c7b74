"""P(correct) before each response of a log."""

from __future__ import annotations

from . import data
from .data import setup_cache  # noqa: F401  (asv runs it once for all files)


class Predict(data.OfEverySize):
    """A log that was just read."""

    def time_predict(self, size: int) -> None:
        self.model.predict(data.fresh(self.log))
