"""SkillTable: what a fit found out about every skill, and how certain it is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.kernels import bkt as kernels
from adaptrace.kernels.bkt import Parameters
from adaptrace.kernels.bkt_fit import FEW_RIGHTS, MANY_RIGHTS, MASTERED
from adaptrace.models import content as read
from adaptrace.models.bkt.fit_skills import Fitted, Pull

FloatArray = NDArray[np.float64]
Row = tuple[float, float, float, float, float]

SMALLEST = 1e-9  # a probability nearer to 0 or 1 is moved here: certainty could never be revised
ABOVE_0, BELOW_1 = 5e-324, 1.0 - 2.0**-53  # next to 0 and 1
Z90 = 1.6448536269514722  # the normal quantile of two-sided 90 % intervals
SPREAD_UNKNOWN = 1.0  # standard deviation of the logits of a skill when nothing was fitted
FEW_RESPONSES = 200  # about 50 students with 4 responses, below which parameters are hardly determined
HALF = 0.5  # a parameter is shrunk when the other skills say more of it than its own responses
EDGE = 1e-5  # a test of plausibility passed by no more than this holds the parameters where they are
UNSURE, TRADED = 0.5, 0.9  # standard deviation (logit) and correlation from which two parameters cannot be told apart


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
    pulled
        (n_skills, 5) the share of each parameter's certainty that comes from the other skills, not from its own responses.
    weight
        (5,) by how many pseudo-observations the parameters were pulled towards the last row.
    """

    names: pa.StringArray
    responses: NDArray[np.int64]
    parameters: Parameters
    covariance: FloatArray
    pulled: FloatArray
    weight: FloatArray

    @classmethod
    def build(cls, names: pa.StringArray, responses: NDArray[np.int64], fitted: Fitted) -> SkillTable:
        """Add the row for unknown skills: the mean skill, and the spread between skills on the logit scale."""
        theta = fitted.theta
        inside = np.clip(theta, SMALLEST, 1.0 - SMALLEST)
        inside[:, 2] = np.where(theta[:, 2] > 0.0, inside[:, 2], 0.0)
        spread = np.diag(np.full(5, SPREAD_UNKNOWN**2))
        if len(theta) > 1:
            spread = np.cov(logit(np.clip(theta, 0.01, 0.99)).T, aweights=np.maximum(responses, 1))
        if not np.any(theta[:, 2]):
            spread[2, :] = spread[:, 2] = 0.0
        parameters = Parameters(*np.vstack([inside, fitted.pull.centre]).T.copy())
        covariance = np.concatenate([fitted.covariance, spread[None]])
        return cls(names, responses, parameters, covariance, fitted.pulled, fitted.pull.weight)

    def __len__(self) -> int:
        return len(self.names)

    @property
    def pull(self) -> Pull:
        """What the skills were pulled to."""
        return Pull(np.array([values[-1] for values in self.parameters]), self.weight)

    def index(self, names: pa.Array) -> NDArray[np.int64]:
        """Row of each name; -1, the last, where unknown."""
        return np.asarray(schema.find(names, self.names))

    def row(self, name: str) -> Row:
        """prior, learn, forget, guess and slip of one skill; of an unknown one the values for unknown skills."""
        return self._rows.get(name, self._unknown)

    def place(self, name: str) -> int:
        """Row of a skill; -1, the last, where unknown."""
        return self._places.get(name, -1)

    @cached_property
    def _places(self) -> dict[str, int]:
        return {name: place for place, name in enumerate(self.names.to_pylist())}

    @cached_property
    def _rows(self) -> dict[str, Row]:
        columns = zip(*(values[:-1].tolist() for values in self.parameters), strict=True)
        return dict(zip(self.names.to_pylist(), columns, strict=True))

    @cached_property
    def _unknown(self) -> Row:
        prior, learn, forget, guess, slip = (float(values[-1]) for values in self.parameters)
        return prior, learn, forget, guess, slip

    # ---- for people ---------------------------------------------------------

    def summary(self, low: FloatArray, high: FloatArray) -> pa.Table:
        """One row per skill: ``skill``, ``responses``, ``status``, each parameter with its 90 % interval, and ``notes``.

        ``low`` and ``high`` (5,) are the bounds of the parameters: no interval leaves them.
        """
        columns: dict[str, Any] = {"skill": self.names, "responses": self.responses}
        columns["status"] = pa.array([self._status(row)[0] for row in range(len(self))], pa.string())
        spread = np.sqrt(np.maximum(np.einsum("kaa->ka", self.covariance[:-1]), 0.0))
        for a, (name, values) in enumerate(self.parameters._asdict().items()):
            centre = values[:-1]
            inner = np.clip(centre, SMALLEST, 1.0 - SMALLEST)
            columns[name] = centre
            ends = [expit(logit(inner) + side * Z90 * spread[:, a]) for side in (-1.0, 1.0)]
            columns[f"{name}_low"] = np.minimum(np.maximum(ends[0], low[a]), centre)
            columns[f"{name}_high"] = np.maximum(np.minimum(ends[1], high[a]), centre)
        columns["notes"] = pa.array([self._notes(row) for row in range(len(self))], pa.string())
        return pa.table(columns)

    def _status(self, row: int) -> tuple[str, str]:
        """``fitted``, ``shrunk``, ``prior-only`` or ``given``, and why."""
        if self.responses[row] == 0:
            return "given", "parameters were given, not fitted"
        pulled = self.pulled[row]
        names = [name for name, share in zip(Parameters._fields, pulled, strict=True) if share > HALF and name != "forget"]
        if len(names) == len(Parameters._fields) - 1:
            return "prior-only", "the other skills say more of every parameter than its own responses"
        if names:
            return "shrunk", f"{', '.join(names)} mostly from the other skills"
        if 0.0 <= self._margin(row) < EDGE:
            return "shrunk", f"held where {MANY_RIGHTS} right answers reach {MASTERED}"
        return "fitted", ""

    def _margin(self, row: int) -> float:
        """By how much ten right answers pass mastery, on the log-odds scale."""
        prior, learn, forget, guess, slip = (float(values[row]) for values in self.parameters)
        odds = kernels.initial(prior)
        for _ in range(MANY_RIGHTS):
            odds = kernels.update(odds, kernels.evidence(1.0, 1.0, 0.0, guess, slip), learn, forget)
        return float(np.log(odds) - np.log(MASTERED / (1.0 - MASTERED)))

    def _lowered(self, row: int) -> bool:
        """Whether three right answers lower mastery."""
        prior, learn, forget, guess, slip = (float(values[row]) for values in self.parameters)
        odds = kernels.initial(prior)
        for _ in range(FEW_RIGHTS):
            odds = kernels.update(odds, kernels.evidence(1.0, 1.0, 0.0, guess, slip), learn, forget)
        return bool(odds < kernels.initial(prior) * (1.0 - EDGE))

    def _notes(self, row: int) -> str:
        """Why the status, and what else is doubtful."""
        notes = [why for why in (self._status(row)[1],) if why]
        if 0 < self.responses[row] < FEW_RESPONSES:
            notes.append(f"few responses ({self.responses[row]})")
        if self._margin(row) < -EDGE:
            notes.append(f"{MANY_RIGHTS} right answers do not reach {MASTERED}")
        if self._lowered(row):
            notes.append(f"{FEW_RIGHTS} right answers lower mastery")
        edges = [
            name for name, values in self.parameters._asdict().items() if name != "forget" and not 1e-6 < values[row] < 1.0 - 1e-6
        ]
        if edges:
            notes.append(f"{', '.join(edges)} at the edge")
        notes += self._trades(row)
        return "; ".join(notes)

    def _trades(self, row: int) -> list[str]:
        """Which parameters the responses cannot tell apart: one is known only given the other."""
        covariance = self.covariance[row]
        spread = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
        correlation = covariance / np.outer(spread, spread)
        names = Parameters._fields
        pairs = [(a, b) for a in range(5) for b in range(a) if spread[a] > UNSURE and spread[b] > UNSURE]
        return [f"{names[b]} and {names[a]} cannot be told apart" for a, b in pairs if abs(correlation[a, b]) > TRADED]

    # ---- plain data ---------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        return {
            "names": self.names.to_pylist(),
            "responses": self.responses.tolist(),
            "parameters": {name: values.tolist() for name, values in self.parameters._asdict().items()},
            "covariance": self.covariance.tolist(),
            "pulled": self.pulled.tolist(),
            "weight": self.weight.tolist(),
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> SkillTable:
        """What :meth:`to_dict` described."""
        names, said = read.texts(content, "names"), content["parameters"]
        n, of_skill = len(names), len(Parameters._fields)
        least = {"forget": 0.0}  # the others are never certain: odds would be infinite
        parameters = Parameters(
            **{name: read.numbers(said, name, n + 1, low=least.get(name, ABOVE_0), high=BELOW_1) for name in Parameters._fields}
        )
        covariance = read.numbers(content, "covariance", n + 1, of_skill, of_skill)
        responses = read.numbers(content, "responses", n, low=0.0).astype(np.int64)
        pulled, weight = read.numbers(content, "pulled", n, of_skill), read.numbers(content, "weight", of_skill)
        return cls(names, responses, parameters, covariance, pulled, weight)
