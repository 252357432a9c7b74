"""Limits of a fit: bounds, pseudo-counts, and the mean skill that parameters are pulled to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import product
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels.bkt_fit import FORGET, GUESS, PRIOR, SLIP, FitProblem

FloatArray = NDArray[np.float64]

FORGET_MARGIN, MOST_SLIP = 1.01, 0.99  # closer to 1, no guess is low enough for the tests of plausibility

# a coarse grid over the bounds of the search: prior, learn, slip, and guess as a share of 1 - slip
STARTS = np.array(
    [
        [prior, learn, 0.0, share, slip]
        for prior, learn, slip, share in product((0.03, 0.35, 0.65, 0.95), (0.002, 0.1, 0.4), (0.03, 0.2, 0.5), (0.05, 0.4, 0.8))
    ]
)


class Pull(NamedTuple):
    """What skills are pulled to, and how much."""

    centre: FloatArray  # (5,) the mean skill; or (n_skills, 5), for each skill its own
    weight: FloatArray  # of the same shape: pseudo-observations


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What a fit may do, in the order prior, learn, forget, guess, slip.

    Attributes
    ----------
    low, high
        (5,) bounds; equal ones fix a parameter.
    smoothing
        (5, 2) pseudo-counts of the event and of its absence; or (n_skills, 5, 2), of each skill's own.
    pooling
        Pseudo-observations by which every parameter is pulled towards the mean skill; None: as many as the differences between
        the skills support.
    plausible
        Whether every skill must pass the tests of Baker, Corbett & Aleven (2008).
    """

    low: FloatArray
    high: FloatArray
    smoothing: FloatArray
    pooling: float | None = 0.0
    plausible: bool = False

    def problem(self, outcomes: FloatArray) -> FitProblem:
        """The search within these limits, for observations with these outcomes (n, 3): correct, weight and rest."""
        low, high = self.bounds()
        starts = np.clip(STARTS, low, high)
        starts[:, GUESS] = STARTS[:, GUESS] if low[GUESS] < high[GUESS] else 0.0
        starts[:, FORGET] = 0.5 * (low + high)[FORGET]
        correct, weight, rest = outcomes.T
        observations = np.stack([(2.0 * correct - 1.0) * weight, correct * rest + (1.0 - correct) * (1.0 - rest)], axis=1)
        return FitProblem(low, high, observations, self.smoothing, np.unique(starts, axis=0), self.plausible)

    def bounds(self) -> tuple[FloatArray, FloatArray]:
        """The lowest and the highest theta (5,), between which some guess passes the tests."""
        high = self.high.copy()
        if self.plausible:  # above: forgetting outweighs what is known, or nobody who knows the skill is ever right
            high[PRIOR] = max(self.low[PRIOR], min(high[PRIOR], 1.0 - FORGET_MARGIN * high[FORGET]))
            high[SLIP] = max(self.low[SLIP], min(high[SLIP], MOST_SLIP))
        return self.low, high

    def pooled(self, pull: Pull) -> Limits:
        """These limits, with the pull as pseudo-counts."""
        counts = pull.weight[..., None] * np.stack([pull.centre, 1.0 - pull.centre], axis=-1)
        free = (self.low < self.high)[:, None]
        return replace(self, smoothing=self.smoothing + np.where(free, counts, 0.0), pooling=0.0)
