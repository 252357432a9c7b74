"""Fit a model."""

from __future__ import annotations

import adaptrace as at

from . import data
from .data import setup_cache  # noqa: F401  (asv runs it once for all files)

STUDENTS = 1_000  # of the population at "1x"


class Fit:
    """A log that was just read."""

    params = (data.SIZES, (False, True))
    param_names = ("responses", "forget")

    def setup(self, size: int, forget: bool) -> None:
        self.log = data.load(size)
        data.warmed_up()

    def time_fit(self, size: int, forget: bool) -> None:
        at.BKT(forget=forget).fit(data.fresh(self.log))


class FitStats:
    """The cost follows the distinct prefixes, not the students: all sequences have 12 responses."""

    params = (1, 10, 100)
    param_names = ("times_the_students",)

    def setup_cache(self) -> dict[int, at.Stats]:
        row_counts = {times: times * STUDENTS * data.SKILLS_EACH * data.MEAN_LENGTH for times in self.params}
        return {
            times: at.Stats.from_log(at.Log.from_arrow(data.simulated(rows, fixed_length=True)))
            for times, rows in row_counts.items()
            if not data.is_left_out(rows)
        }

    setup_cache.timeout = 600

    def setup(self, stats: dict[int, at.Stats], times: int) -> None:
        if times not in stats:
            raise NotImplementedError("left out by ASV_SKIP_SLOW")
        data.warmed_up()

    def time_fit(self, stats: dict[int, at.Stats], times: int) -> None:
        at.BKT(forget=False).fit(stats[times])

    def track_prefixes(self, stats: dict[int, at.Stats], times: int) -> int:
        return len(stats[times].trie.parent)

    def track_responses(self, stats: dict[int, at.Stats], times: int) -> int:
        return int(stats[times].responses.sum())
