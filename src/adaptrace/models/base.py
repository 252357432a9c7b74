"""What every model can do."""

from __future__ import annotations

import os
from typing import Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.log import Log


class Model(Protocol):
    """A fitted, immutable model: parameters belong to it, state belongs to one student."""

    @property
    def fingerprint(self) -> str:
        """Names the model's content: equal for equal models, whenever and wherever they were fitted."""

    def predict(self, log: Log) -> NDArray[np.float64]:
        """P(correct) before each response, float64 (n_rows,)."""

    def score(self, log: Log) -> pa.Table:
        """Mastery of every student on every skill they met."""

    def log_likelihood(self, log: Log) -> float:
        """Natural logarithm, summed over responses."""

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as JSON."""
