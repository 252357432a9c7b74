"""What a fit of a logistic model found: a weight per feature and owner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.kernels import logistic as kernels
from adaptrace.kernels.logistic import NameCodes
from adaptrace.models import content as read

FloatArray = NDArray[np.float64]

PATTERNS = pa.array(["", *(f"{number:b}"[1:] or "first" for number in range(1, 2 << kernels.RECALLED))], pa.string())


@dataclass(frozen=True, eq=False)
class Weights:
    """What a fit of a logistic model found.

    Attributes
    ----------
    items, skills, students
        Names as text, sorted; empty where nothing differs by them.
    values
        float64 (n_weights,), feature after feature as in :meth:`Logistic.coefficients`.
    responses
        How many the fit saw.
    objective
        Minus their log-likelihood (partial credit counts by its share), with the penalty.
    """

    items: pa.StringArray
    skills: pa.StringArray
    students: pa.StringArray
    values: FloatArray
    responses: int
    objective: float

    def names(self, by: str) -> pa.StringArray:
        """Who has a weight of their own; one without a name where all share it."""
        known = {"item": self.items, "skill": self.skills, "student": self.students, "pattern": PATTERNS}
        return known.get(by, pa.array([""], pa.string()))

    def codes(self, log: Log) -> NameCodes:
        """The log's names among these."""
        pairs = ((log.items, self.items), (log.skills, self.skills), (log.students, self.students))
        return NameCodes(*(schema.find(mine, known) if len(known) else np.full(len(mine), -1) for mine, known in pairs))

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        names = {name: getattr(self, name).to_pylist() for name in ("items", "skills", "students")}
        return {**names, "values": self.values.tolist(), "responses": self.responses, "objective": self.objective}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Weights:
        """What :meth:`to_dict` described."""
        items, skills, students = (read.texts(content, name) for name in ("items", "skills", "students"))
        values = read.numbers(content, "values", len(content["values"]))
        responses, objective = read.count(content, "responses"), read.number(content, "objective", -np.inf, np.inf)
        return cls(items, skills, students, values, responses, objective)
