"""What all families share once they can predict and be written as plain data."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data.log import Log
from adaptrace.io import envelope

Part = tuple[str, Sequence[str] | pa.StringArray, Sequence[float] | NDArray[np.float64]]  # parameter, whose, values


class SavedModel:
    """A model that is plain data: its likelihood, its fingerprint, its file."""

    def predict(self, log: Log) -> NDArray[np.float64]:
        """P(correct) before each response, float64 (n_rows,)."""
        raise NotImplementedError

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data, exact to the last bit."""
        raise NotImplementedError

    def log_likelihood(self, log: Log) -> float:
        """Natural logarithm of the likelihood of the log's outcomes, summed over responses."""
        predicted, correct = self.predict(log), log.rows.correct
        return float(np.log(correct * predicted + (1.0 - correct) * (1.0 - predicted)).sum())

    @property
    def holds_students(self) -> bool:
        """Whether it has values of single students: its file is then for its owner alone."""
        return False

    @cached_property
    def fingerprint(self) -> str:
        """Names the model's content: equal for equal models."""
        return envelope.fingerprint(self.to_dict())

    def save(self, path: str | os.PathLike[str], *, sources: Sequence[Mapping[str, str]] = ()) -> None:
        """Write the model as JSON; :func:`adaptrace.load` reads it.

        Parameters
        ----------
        path
            Where to write.
        sources
            The files it was fitted to (:func:`adaptrace.io.identity.sources`), which ``adaptrace forget-student`` asks for.
        """
        envelope.write(path, "model", self.to_dict(), sources=sources, shared=not self.holds_students)


def summary_of(parts: Iterable[Part]) -> pa.Table:
    """A summary with one row per value: ``parameter``, whose it is (``name``; empty where all share it) and ``value``.

    Examples
    --------
    >>> summary_of([("guess", [""], [0.2]), ("half_life_days", ["a", "b"], [3.0, 4.0])]).to_pylist()[1]
    {'parameter': 'half_life_days', 'name': 'a', 'value': 3.0}
    """
    tables = [
        pa.table(
            {
                "parameter": pa.array([parameter] * len(values), pa.string()),
                "name": pa.array(names, pa.string()),
                "value": pa.array(values, pa.float64()),
            }
        )
        for parameter, names, values in parts
    ]
    return pa.concat_tables(tables)
