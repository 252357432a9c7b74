"""Order a table in memory: check it, name its students, group and sort its rows."""

from __future__ import annotations

import pyarrow.parquet as pq

import adaptrace as at

from . import data
from .data import setup_cache  # noqa: F401  (asv runs it once for all files)


class Order:
    params = (data.SIZES, ("shuffled", "ordered"))
    param_names = ("responses", "rows")

    def setup(self, size: int, rows: str) -> None:
        data.skip_slow(size)
        data.warmed_up()
        self.table = pq.read_table(data.parquet(size))
        if rows == "ordered":
            self.table = self.table.sort_by("order")

    def time_from_arrow(self, size: int, rows: str) -> None:
        at.Log.from_arrow(self.table)
