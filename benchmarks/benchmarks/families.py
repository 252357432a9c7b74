"""Fit and predict with every family; compare several."""

from __future__ import annotations

import adaptrace as at
from adaptrace.models import MODELS

from . import data

NAMES = ("pfa", "best-lr", "recency", "rasch", "2pl", "blend")


class Families:
    """A log that was just read."""

    params = (NAMES, (100_000, 1_000_000))
    param_names = ("model", "responses")
    timeout = 300

    def setup(self, name: str, size: int) -> None:
        self.log = at.Log.from_arrow(data.simulated(size, item_spread=0.5))
        small = at.Log.from_arrow(data.simulated(20_000, item_spread=0.5))
        self.model = MODELS[name]()
        self.fitted = self.model.fit(small)
        self.fitted.predict(small)

    def time_fit(self, name: str, size: int) -> None:
        self.model.fit(data.fresh(self.log))

    def time_predict(self, name: str, size: int) -> None:
        self.fitted.predict(data.fresh(self.log))

    def peakmem_fit(self, name: str, size: int) -> None:
        self.model.fit(self.log)


class Compare:
    """Four models on five folds, with intervals."""

    timeout = 300

    def setup(self) -> None:
        self.log = at.Log.from_arrow(data.simulated(100_000, item_spread=0.5))
        self.models = [at.BKT(), at.PFA(), at.BestLR(), at.Rasch()]
        at.compare(self.models, at.sample_log(), folds=2, draws=5)

    def time_compare(self) -> None:
        at.compare(self.models, self.log)
