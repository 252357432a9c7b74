"""Peak memory from a Parquet file to the result. Take ``peakmem_reference`` off: imports and compiled kernels."""

from __future__ import annotations

import adaptrace as at

from . import data
from .data import setup_cache  # noqa: F401  (asv runs it once for all files)


class Memory:
    params = data.SIZES
    param_names = ("responses",)

    def setup(self, size: int) -> None:
        data.skip_slow(size)
        self.model = data.warmed_up()

    def peakmem_reference(self, size: int) -> None:
        """Nothing."""

    def peakmem_read(self, size: int) -> None:
        at.Log.read(data.parquet(size))

    def peakmem_fit(self, size: int) -> None:
        at.BKT(forget=False).fit(at.Log.read(data.parquet(size)))

    def peakmem_predict(self, size: int) -> None:
        self.model.predict(at.Log.read(data.parquet(size)))

    def peakmem_score(self, size: int) -> None:
        self.model.score(at.Log.read(data.parquet(size)))
