"""Read a Parquet file as a log: from disk to ordered rows."""

from __future__ import annotations

import adaptrace as at

from . import data
from .data import setup_cache  # noqa: F401  (asv runs it once for all files)


class Read:
    params = data.SIZES
    param_names = ("responses",)

    def setup(self, size: int) -> None:
        data.skip_slow(size)
        data.warmed_up()

    def time_read(self, size: int) -> None:
        at.Log.read(data.parquet(size))
