"""A folder of Parquet to a folder of mastery, and one night more."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import adaptrace as at

from . import data
from .data import setup_cache  # noqa: F401  (asv runs it once for all files)

FILES = 10


class Dataset:
    params = (data.SIZES, ["ordered", "shuffled"])
    param_names = ("responses", "order")

    def setup(self, size: int, order: str) -> None:
        data.skip_slow(size)
        self.model, self.log = data.warmed_up(), Path(f"{order}-{size}")
        table = pq.read_table(data.parquet(size)) if order == "shuffled" else data.load(size).table
        self.log.mkdir(exist_ok=True)
        for number in range(FILES):
            rows = -(-size // FILES)
            pq.write_table(table.slice(number * rows, rows), self.log / f"{number:02d}.parquet")

    def teardown(self, size: int, order: str) -> None:
        for folder in (self.log, Path("mastery"), Path("state")):
            shutil.rmtree(folder, ignore_errors=True)

    def time_score(self, size: int, order: str) -> None:
        at.score_dataset(self.log, "mastery", model=self.model)

    def peakmem_score(self, size: int, order: str) -> None:
        at.score_dataset(self.log, "mastery", model=self.model)


class Night:
    """The last hundredth of the rows, given to a state of all the others. Every run begins with the same state."""

    params = data.SIZES
    param_names = ("responses",)
    number, repeat = 1, 5

    def setup(self, size: int) -> None:
        data.skip_slow(size)
        self.model, table, before = data.warmed_up(), data.load(size).table, Path("before")
        for folder in (before, Path("today")):
            folder.mkdir(exist_ok=True)
        student = table["student"].chunk(0).indices.to_numpy()
        late = np.append(student[:-2] != student[2:], [True, True])  # of every student the last two of 240 responses
        pq.write_table(table.filter(pa.array(~late)), before / "year.parquet")
        pq.write_table(table.filter(pa.array(late)), Path("today") / "today.parquet")
        shutil.rmtree("state", ignore_errors=True)
        at.score_dataset(before, "mastery", model=self.model, state="state")

    def teardown(self, size: int) -> None:
        for folder in ("before", "today", "mastery", "state"):
            shutil.rmtree(folder, ignore_errors=True)

    def time_changed(self, size: int) -> None:
        at.score_dataset("today", "mastery", model=self.model, state="state", changed=True)
