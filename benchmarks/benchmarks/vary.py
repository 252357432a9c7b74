"""Fit a model whose parameters vary, and how certain a fit is."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

import adaptrace as at

from . import data

MODERATE = 100_000  # responses of the log whose items, students, times and levels tell
LEVELS = 4  # of a project
VARIANTS = {
    "nothing": {},
    "items": {"items": ("guess", "slip")},
    "items that teach": {"items": ("learn", "guess", "slip")},
    "students": {"students": ("prior", "learn")},
    "elapsed": {"elapsed": True},
    "levels": {"levels": {"project": LEVELS}},
}


def varied(varies: str, responses: int = MODERATE) -> at.Log:
    """A log of items that differ, a response about every two hours; with levels, every tenth is a project."""
    random = np.random.default_rng(0)
    table = data.simulated(responses, item_spread=0.7)
    hours, correct = np.cumsum(random.exponential(2.0, responses)), table["correct"].to_numpy()
    columns = {name: table[name] for name in ("student", "item", "skill", "correct")}
    columns["time"] = pa.array((hours * 3600e6).astype(np.int64), pa.timestamp("us"))
    if varies == "levels":
        project = random.random(responses) < 0.1
        level = random.binomial(LEVELS - 1, np.where(correct == 1, 0.7, 0.3)) / (LEVELS - 1)
        columns["correct"] = np.where(project, level, correct)
        columns["kind"] = pa.array(np.where(project, "project", "practice"))
    return at.Log.from_arrow(pa.table(columns))


class FitVariants:
    """What varies, at 100,000 responses: every option tells more apart, so fewer students share a prefix."""

    params = tuple(VARIANTS)
    param_names = ("varies",)

    def setup(self, varies: str) -> None:
        self.model, self.log = at.BKT(**VARIANTS[varies]), varied(varies)
        self.stats = self.model.stats(self.log)
        self.model.fit(self.model.stats(varied(varies, 2_000)))  # compile or load what it needs

    def time_stats(self, varies: str) -> None:
        """Of a log that was just read."""
        self.model.stats(data.fresh(self.log))

    def time_fit(self, varies: str) -> None:
        self.model.fit(self.stats)

    def track_prefixes(self, varies: str) -> int:
        return len(self.stats.trie.parent)


class Bootstrap:
    """20 draws of the parameters of 200 skills, 10^6 responses."""

    def setup(self) -> None:
        self.stats = at.BKT().stats(at.Log.from_arrow(data.simulated(1_000_000)))
        self.model = at.BKT().fit(self.stats)
        self.model.bootstrap(self.stats, draws=1, seed=0)

    def time_bootstrap(self) -> None:
        self.model.bootstrap(self.stats, draws=20, seed=0)
