"""Options of BKT, and their checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

MOST_FORGETTING = 0.02
MAY_VARY = {
    "items": ("learn", "guess", "slip"),
    "kinds": ("learn", "guess", "slip"),
    "groups": ("prior", "learn"),
    "students": ("prior", "learn"),
}


def are_counts(values: Any, n: int) -> bool:
    """Whether these are n finite numbers of 0 or more."""
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != n:
        return False
    return all(isinstance(each, int | float | np.number) and 0.0 <= each < np.inf for each in values)
