"""SkillTable: the parameters of every skill, and how certain they are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.errors import ModelError
from adaptrace.kernels import bkt as kernels
from adaptrace.kernels.bkt import Parameters
from adaptrace.kernels.bkt_fit import FEW_RIGHTS, MANY_RIGHTS, MASTERED
from adaptrace.models import content as read
from adaptrace.models.bkt.fit_skills import SkillFit, pull_of
from adaptrace.models.bkt.limits import Limits, Pull

FloatArray = NDArray[np.float64]
Row = tuple[float, float, float, float, float]

SMALLEST = 1e-9  # the closest that a probability comes to 0 or 1: no evidence could change a certainty
Z90 = 1.6448536269514722  # the normal quantile of two-sided 90 % intervals
UNKNOWN_STD = 1.0  # standard deviation of the logits of an unknown skill, when nothing was fitted
FEW_RESPONSES = 200  # below it, about 50 students with 4 responses, parameters are hardly determined
HALF = 0.5  # a larger share of certainty from the other skills: the parameter is called shrunk
EDGE = 1e-5  # a test of plausibility that is passed by less than this restricts the parameters
UNSURE, TRADED = 0.5, 0.9  # from this standard deviation (logit) and correlation on, two parameters are confounded


def logit(p: FloatArray) -> FloatArray:
    """log(p / (1 - p))."""
    return np.asarray(np.log(p) - np.log1p(-p))


def expit(x: FloatArray) -> FloatArray:
    """The inverse of :func:`logit`."""
    return np.asarray(1.0 / (1.0 + np.exp(-x)))


@dataclass(frozen=True, kw_only=True, eq=False)
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
        (n_skills + 1, 5, 5) of their logits; the last row is the covariance between skills.
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
    def build(cls, names: pa.StringArray, responses: NDArray[np.int64], fitted: SkillFit) -> SkillTable:
        """Add the row for unknown skills: the mean skill, and the covariance between skills on the logit scale."""
        theta = fitted.theta
        inside = np.clip(theta, SMALLEST, 1.0 - SMALLEST)
        inside[:, 2] = np.where(theta[:, 2] > 0.0, inside[:, 2], 0.0)
        between = np.diag(np.full(5, UNKNOWN_STD**2))
        if len(theta) > 1:
            between = np.cov(logit(np.clip(theta, 0.01, 0.99)).T, aweights=np.maximum(responses, 1))
        if not np.any(theta[:, 2]):
            between[2, :] = between[:, 2] = 0.0
        parameters = Parameters(*np.vstack([inside, fitted.pull.centre]).T.copy())
        covariance = np.concatenate([fitted.covariance, between[None]])
        return cls(
            names=names,
            responses=responses,
            parameters=parameters,
            covariance=covariance,
            pulled=fitted.pulled,
            weight=fitted.pull.weight,
        )

    @classmethod
    def given(cls, skills: Sequence[str], parameters: Mapping[str, Sequence[float] | float]) -> SkillTable:
        """A table of known parameters; see :meth:`adaptrace.BKT.from_parameters`."""
        theta = _given_theta(skills, {"forget": 0.0, **parameters})
        order = np.argsort(np.asarray(skills, dtype=str), kind="stable")
        names = pa.array([str(skill) for skill in skills], pa.string()).take(pa.array(order))
        exact, high = np.zeros((len(skills), 5, 5)), np.append(np.ones(2), [theta[:, 2].max(initial=0.0), 1.0, 1.0])
        pull = pull_of(theta, exact, Limits(low=np.zeros(5), high=high, smoothing=np.zeros((5, 2))))
        return cls.build(names, np.zeros(len(skills), np.int64), SkillFit(theta[order], exact, exact[:, 0], pull))

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

    def position(self, name: str) -> int:
        """Row of a skill; -1, the last, where unknown."""
        return self._positions.get(name, -1)

    @cached_property
    def _positions(self) -> dict[str, int]:
        return {name: position for position, name in enumerate(self.names.to_pylist())}

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
        std = np.sqrt(np.maximum(np.einsum("kaa->ka", self.covariance[:-1]), 0.0))
        for a, (name, values) in enumerate(self.parameters._asdict().items()):
            centre = values[:-1]
            inner = np.clip(centre, SMALLEST, 1.0 - SMALLEST)
            columns[name] = centre
            ends = [expit(logit(inner) + side * Z90 * std[:, a]) for side in (-1.0, 1.0)]
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
        notes += self._confounded(row)
        return "; ".join(notes)

    def _confounded(self, row: int) -> list[str]:
        """Pairs of parameters that the responses cannot tell apart."""
        covariance = self.covariance[row]
        std = np.sqrt(np.maximum(np.diag(covariance), 1e-300))
        correlation = covariance / np.outer(std, std)
        names = Parameters._fields
        pairs = [(a, b) for a in range(5) for b in range(a) if std[a] > UNSURE and std[b] > UNSURE]
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
        names, found = read.texts(content, "names"), content["parameters"]
        n, of_skill = len(names), len(Parameters._fields)
        least = {"forget": 0.0}  # the others are never certain: odds would be infinite
        parameters = Parameters(
            **{
                name: read.numbers(found, name, n + 1, low=least.get(name, read.ABOVE_0), high=read.BELOW_1)
                for name in Parameters._fields
            }
        )
        return cls(
            names=names,
            responses=read.numbers(content, "responses", n, low=0.0).astype(np.int64),
            parameters=parameters,
            covariance=read.numbers(content, "covariance", n + 1, of_skill, of_skill),
            pulled=read.numbers(content, "pulled", n, of_skill),
            weight=read.numbers(content, "weight", of_skill),
        )


def _given_theta(skills: Sequence[str], given: Mapping[str, Sequence[float] | float]) -> FloatArray:
    """Parameters that were given, checked, (n_skills, 5)."""
    known = Parameters._fields
    problems = [f"got '{name}'" for name in given if name not in known]
    problems += [f"{name} is missing" for name in known if name not in given]
    problems += [f"{name}: got {value}" for name, value in given.items() if isinstance(value, bool)]
    if problems:
        raise ModelError(
            f"from_parameters: {', '.join(problems)}; expected probabilities prior, learn, guess, slip and, if any, forget;"
            " options of the model: dataclasses.replace(model, combine='mean')"
        )
    theta = np.stack([np.broadcast_to(np.asarray(given[name], float), len(skills)) for name in known], axis=1)
    if not ((theta >= 0.0) & (theta <= 1.0)).all():
        raise ModelError(f"parameters: got {theta[~((theta >= 0.0) & (theta <= 1.0))][0]}; expected probabilities, 0 to 1")
    if np.any(theta[:, 3] + theta[:, 4] >= 1.0):
        raise ModelError("parameters: got guess + slip of 1 or more; expected less, so that knowing helps")
    if len({str(skill) for skill in skills}) < len(skills):
        raise ModelError("skills: got a name twice; expected every skill once")
    return theta
