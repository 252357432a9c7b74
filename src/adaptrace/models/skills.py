"""SkillTable: what a fit found out about every skill, and how certain it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace import schema
from adaptrace.kernels import bkt as kernels
from adaptrace.kernels.bkt import Parameters

FloatArray = NDArray[np.float64]
Row = tuple[float, float, float, float, float]

SMALLEST = 1e-9  # a probability nearer to 0 or 1 is moved here: certainty could never be revised
Z90 = 1.6448536269514722  # the normal quantile of two-sided 90 % intervals
NOTHING_KNOWN = np.array([0.4, 0.1, 0.0, 0.2, 0.1])  # a skill when nothing was fitted
SPREAD_UNKNOWN = 1.0  # and the standard deviation of its logits
FEW_RESPONSES = 200  # about 50 students with 4 responses, below which parameters are hardly determined
MASTERED, REPEATS = 0.95, 10  # Baker, Corbett & Aleven (2008): so many right answers must reach mastery


def logit(p: FloatArray) -> FloatArray:
    """log(p / (1 - p))."""
    return np.asarray(np.log(p) - np.log1p(-p))


def expit(x: FloatArray) -> FloatArray:
    """The inverse of :func:`logit`."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


@dataclass(frozen=True, eq=False)
class SkillTable:
    """Parameters of skills, with a last row for skills that were never seen.

    Attributes
    ----------
    names
        As text, sorted, (n_skills,).
    responses
        int64 (n_skills,): how many the fit saw; 0 where parameters were given.
    parameters
        prior, learn, forget, guess, slip, each (n_skills + 1,).
    covariance
        (n_skills + 1, 5, 5) of their logits; the last row is the spread between skills.
    """

    names: pa.StringArray
    responses: NDArray[np.int64]
    parameters: Parameters
    covariance: FloatArray

    @classmethod
    def build(cls, names: pa.StringArray, responses: NDArray[np.int64], theta: FloatArray, covariance: FloatArray) -> SkillTable:
        """Add the row for unknown skills: mean and spread of the others on the logit scale, by their responses."""
        inside = np.clip(theta, SMALLEST, 1.0 - SMALLEST)
        inside[:, 2] = np.where(theta[:, 2] > 0.0, inside[:, 2], 0.0)
        unknown, spread = NOTHING_KNOWN.copy(), np.diag(np.full(5, SPREAD_UNKNOWN**2))
        if len(theta):
            weight = np.maximum(responses, 1)
            moderate = logit(np.clip(theta, 0.01, 0.99))  # a parameter at a bound says "extreme", not how extreme
            mean = np.average(moderate, axis=0, weights=weight)
            unknown = expit(mean)
            if len(theta) > 1:
                spread = np.cov(moderate.T, aweights=weight)
        if not np.any(theta[:, 2]):
            unknown[2] = 0.0
            spread[2, :] = spread[:, 2] = 0.0
        rows = np.vstack([inside, unknown])
        return cls(names, responses, Parameters(*rows.T.copy()), np.concatenate([covariance, spread[None]]))

    def __len__(self) -> int:
        return len(self.names)

    def index(self, names: pa.Array) -> NDArray[np.int64]:
        """Row of each name; -1, the last, where unknown."""
        return np.asarray(schema.find(names, self.names))

    def row(self, name: str) -> Row:
        """prior, learn, forget, guess and slip of one skill; of an unknown one the values for unknown skills."""
        return self._rows.get(name, self._unknown)

    @cached_property
    def _rows(self) -> dict[str, Row]:
        columns = zip(*(values[:-1].tolist() for values in self.parameters), strict=True)
        return dict(zip(self.names.to_pylist(), columns, strict=True))

    @cached_property
    def _unknown(self) -> Row:
        prior, learn, forget, guess, slip = (float(values[-1]) for values in self.parameters)
        return prior, learn, forget, guess, slip

    # ---- for people ---------------------------------------------------------

    def summary(self) -> pa.Table:
        """One row per skill: ``skill``, ``responses``, each parameter with its 90 % interval, and ``notes``."""
        columns: dict[str, Any] = {"skill": self.names, "responses": self.responses}
        spread = np.sqrt(np.maximum(np.einsum("kaa->ka", self.covariance[:-1]), 0.0))
        for a, (name, values) in enumerate(self.parameters._asdict().items()):
            centre = values[:-1]
            inner = np.clip(centre, SMALLEST, 1.0 - SMALLEST)
            columns[name] = centre
            columns[f"{name}_low"] = np.where(spread[:, a] > 0, expit(logit(inner) - Z90 * spread[:, a]), centre)
            columns[f"{name}_high"] = np.where(spread[:, a] > 0, expit(logit(inner) + Z90 * spread[:, a]), centre)
        columns["notes"] = pa.array([self._notes(row) for row in range(len(self))], pa.string())
        return pa.table(columns)

    def _notes(self, row: int) -> str:
        prior, learn, forget, guess, slip = (float(values[row]) for values in self.parameters)
        odds = kernels.initial(prior)
        for _ in range(REPEATS):
            odds = kernels.update(odds, kernels.evidence(1.0, 1.0, guess, slip), learn, forget)
        notes = []
        if 0 < self.responses[row] < FEW_RESPONSES:
            notes.append(f"few responses ({self.responses[row]})")
        if kernels.mastery(odds) < MASTERED:
            notes.append(f"{REPEATS} right answers do not reach {MASTERED}")
        edges = [
            name
            for name, value in zip(Parameters._fields, (prior, learn, forget, guess, slip), strict=True)
            if name != "forget" and not 1e-6 < value < 1.0 - 1e-6
        ]
        if edges:
            notes.append(f"{', '.join(edges)} at the edge")
        return "; ".join(notes)

    # ---- plain data ---------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        return {
            "names": self.names.to_pylist(),
            "responses": self.responses.tolist(),
            "parameters": {name: values.tolist() for name, values in self.parameters._asdict().items()},
            "covariance": self.covariance.tolist(),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> SkillTable:
        """What :meth:`to_dict` described."""
        parameters = Parameters(**{name: np.array(values, float) for name, values in content["parameters"].items()})
        covariance = np.array(content["covariance"], float)
        return cls(pa.array(content["names"], pa.string()), np.array(content["responses"], np.int64), parameters, covariance)
