"""What a policy is: it ranks items for students."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from adaptrace.recommendation.context import Context
from adaptrace.recommendation.reasons import Reason

FloatArray = NDArray[np.float64]


@runtime_checkable
class Policy(Protocol):
    """Ranks items for students. It changes nothing and reads no clock.

    A policy gives every item a utility, for many students at once, from a :class:`~adaptrace.recommendation.context.Context`.
    Which items may be recommended is not its business: see :class:`~adaptrace.Constraints`.
    """

    def utility(self, context: Context) -> FloatArray:
        """How much each item is wanted, (students, profiles) or (students, items)."""

    def why(self, reason: Reason) -> str:
        """The beginning of the sentence for an item that was chosen, e.g. "Weakest skill first"; ``reason`` has no words yet."""
