"""Bayesian knowledge tracing: the model that people use."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace import codec, parallel, schema
from adaptrace.errors import ModelError
from adaptrace.fit import Progress, maximise
from adaptrace.kernels import bkt as kernels
from adaptrace.kernels.bkt import Parameters, Traced
from adaptrace.log import Log
from adaptrace.stats import Stats

FloatArray = NDArray[np.float64]

MOST_FORGETTING = 0.02
MOST_ROUNDS, ROUND_TOLERANCE = 20, 1e-5  # of a fit with several skills per event
SMALLEST = 1e-9  # a probability nearer to 0 or 1 is moved here: certainty could never be revised
UNKNOWN_SKILL = None  # stands after the last skill
UNKNOWN = Parameters(*map(np.array, ([0.4], [0.1], [0.0], [0.2], [0.1])))  # a skill when nothing was fitted


@dataclass(frozen=True, repr=False)
class BKT:
    """Bayesian knowledge tracing: four parameters per skill (Corbett & Anderson, 1995) and slow forgetting.

    Parameters
    ----------
    forget
        Also fit the probability that a known skill is unknown at the next opportunity (Khajah, Lindsey &
        Mozer, 2016), up to 0.02, so that 0.95 stays within reach of every skill. ``False`` is the classic model.

    Attributes
    ----------
    skills
        Names of the fitted skills as text, sorted.
    parameters
        prior, learn, forget, guess and slip, each (n_skills + 1,): one value per skill, the last for
        skills that the fit never saw (the mean of the others on the logit scale, by their responses).

    Examples
    --------
    >>> import adaptrace as at
    >>> log = at.sample_log()
    >>> model = at.BKT().fit(log)
    >>> bool(model.log_likelihood(log) > at.BKT().fit(log.split(0.5, seed=1)[0]).log_likelihood(log))
    True
    """

    forget: bool = True
    skills: pa.StringArray | None = None
    parameters: Parameters | None = None

    family: ClassVar[str] = "bkt"

    # ---- making one ---------------------------------------------------------

    def stats(self, log: Log) -> Stats:
        """The counts that :meth:`fit` needs of a log; they add: ``fit(stats_a + stats_b)``.

        Where an event has several skills, what it says of one depends on the chances of the others:
        a fitted model uses its own, an unfitted one the share of right answers.
        """
        if self.parameters is None or not log.has_several_skills:
            return Stats.from_log(log)
        return Stats.from_log(log, self._trace(log).others)

    def fit(self, data: Log | Stats, *, executor: Executor | None = None, progress: Progress | None = None) -> BKT:
        """Fit by maximum likelihood, every skill on its own; guess + slip < 1, so that knowing always helps.

        A log with several skills per event is fitted in rounds: each skill given the others' chances,
        until the log-likelihood no longer rises.

        Parameters
        ----------
        data
            A log, or the stats of one or of several added up. Not changed.
        executor
            Where skills are fitted; by default one thread per core. It changes no bit of the result.
        progress
            Called with the share that is done.

        Returns
        -------
        BKT
            A fitted model; this one stays as it is.
        """
        stats = data if isinstance(data, Stats) else self.stats(data)
        model = self._fit_stats(stats, executor, progress)
        if isinstance(data, Stats) or not data.has_several_skills:
            return model
        value = model.log_likelihood(data)
        for _ in range(MOST_ROUNDS):
            refined = self._fit_stats(model.stats(data), executor, progress)
            reached = refined.log_likelihood(data)
            if reached <= value:
                break
            model, gain, value = refined, reached - value, reached
            if gain < ROUND_TOLERANCE * abs(value):
                break
        return model

    def _fit_stats(self, stats: Stats, executor: Executor | None, progress: Progress | None) -> BKT:
        low, high = np.full(5, SMALLEST), np.full(5, 1.0 - SMALLEST)
        low[2], high[2] = 0.0, MOST_FORGETTING if self.forget else 0.0
        theta, _ = maximise(stats, low, high, executor=executor, progress=progress)
        return replace(self, skills=stats.skills, parameters=_with_unknown(theta, stats.responses))

    @classmethod
    def from_parameters(cls, skills: Sequence[str], **parameters: Sequence[float] | float) -> BKT:
        """A model with known parameters: ``prior``, ``learn``, ``guess``, ``slip`` and, if any, ``forget``.

        Examples
        --------
        >>> BKT.from_parameters(["fractions"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
        BKT(1 skill, forget=False)
        """
        wrong = set(parameters) ^ {"prior", "learn", "guess", "slip"} - {"forget"}
        if wrong - {"forget"}:
            raise ModelError(f"parameters {sorted(parameters)}: expected prior, learn, guess, slip and, if any, forget")
        forget = parameters.get("forget", 0.0)
        columns = [{"forget": 0.0, **parameters}[name] for name in Parameters._fields]
        theta = np.stack([np.broadcast_to(np.asarray(column, float), len(skills)) for column in columns], axis=1)
        if not ((theta >= 0.0) & (theta <= 1.0)).all():
            raise ModelError(f"parameters must be probabilities: got {theta[~((theta >= 0) & (theta <= 1))][0]}; expected 0 to 1")
        order = np.argsort(np.asarray(skills, dtype=str), kind="stable")
        names = pa.array(skills, pa.string()).take(pa.array(order))
        return cls(bool(np.any(forget)), names, _with_unknown(theta[order], np.ones(len(skills))))

    # ---- using it -----------------------------------------------------------

    def predict(self, log: Log) -> FloatArray:
        """P(correct) before each response, given the student's responses before it.

        Parameters
        ----------
        log
            Not changed.

        Returns
        -------
        ndarray
            float64 (n_rows,), in the order of ``log.table``; strictly inside (0, 1).
        """
        return self._trace(log).predicted

    def score(self, log: Log) -> pa.Table:
        """Mastery of every student on every skill they met, after their last response.

        Returns
        -------
        pyarrow.Table
            ``student``, ``skill`` (the log's own names), ``mastery`` = P(known), ``opportunities``,
            ``last_time`` (or ``last_order``), and ``fitted``: whether the fit knew the skill.
        """
        rows = log.rows
        odds = self._trace(log).odds
        owner = np.repeat(np.arange(len(log.students), dtype=np.int32), np.diff(rows.pair_start))
        last_entry = np.zeros(len(odds), np.int64)
        last_entry[rows.pair] = np.arange(len(rows.pair))
        fitted = self.knows(log.skills)[rows.pair_skill] if len(odds) else np.empty(0, bool)
        columns = {
            "student": pa.DictionaryArray.from_arrays(owner, log.students),
            "skill": pa.DictionaryArray.from_arrays(rows.pair_skill, log.skills),
            "mastery": np.minimum(odds / (1.0 + odds), kernels.MAX_MASTERY),
            "opportunities": rows.opportunity[last_entry],
            "fitted": fitted,
        }
        last_row = pa.array(np.searchsorted(rows.skill_start, last_entry, side="right") - 1)
        for name in ("time", "order"):
            if name in log.table.column_names:
                columns[f"last_{name}"] = schema.combined(log.table[name]).take(last_row)
        return pa.table(columns)

    def log_likelihood(self, log: Log) -> float:
        """Natural logarithm of the likelihood of the log's outcomes, summed over responses."""
        predicted, correct = self.predict(log), log.rows.correct
        return float(np.log(correct * predicted + (1.0 - correct) * (1.0 - predicted)).sum())

    def knows(self, skills: pa.Array) -> NDArray[np.bool_]:
        """Which of these skills the fit saw."""
        return np.asarray(schema.find(skills, self._fitted()[0]) >= 0)

    def parameters_of(self, skills: pa.Array) -> Parameters:
        """Parameters of the named skills, each (n,); unknown ones get the values for unknown skills."""
        names, parameters = self._fitted()
        index = schema.find(skills, names)  # -1, the last row, where unknown
        return Parameters(*(values[index] for values in parameters))

    def row(self, skill: str) -> tuple[float, float, float, float, float]:
        """prior, learn, forget, guess and slip of one skill; of an unknown one the values for unknown skills."""
        return self._rows.get(skill, self._rows[UNKNOWN_SKILL])

    @cached_property
    def _rows(self) -> dict[str | None, tuple[float, float, float, float, float]]:
        names, parameters = self._fitted()
        return dict(
            zip([*names.to_pylist(), UNKNOWN_SKILL], zip(*(values.tolist() for values in parameters), strict=True), strict=True)
        )

    def summary(self) -> pa.Table:
        """One row per skill: its name and parameters."""
        names, parameters = self._fitted()
        return pa.table({"skill": names, **{name: values[:-1] for name, values in parameters._asdict().items()}})

    def __repr__(self) -> str:
        skills = "" if self.skills is None else f"{len(self.skills):,} skill{'s' * (len(self.skills) != 1)}, "
        return f"BKT({skills}forget={self.forget})"

    def _fitted(self) -> tuple[pa.StringArray, Parameters]:
        if self.skills is None or self.parameters is None:
            raise ModelError("this model is not fitted; use the one that fit(log) returns, or from_parameters(...)")
        return self.skills, self.parameters

    def _trace(self, log: Log) -> Traced:
        parameters, rows = self.parameters_of(log.skills), log.rows
        traced = Traced(
            np.empty(len(log)), np.empty(len(rows.pair_skill)), np.ones(len(rows.pair) if log.has_several_skills else 0)
        )
        pieces = parallel.spans(rows.student_start, 4 * parallel.cores())
        parallel.run(kernels.trace, [(rows, parameters, *piece, traced) for piece in pieces])
        return traced

    # ---- keeping it ---------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data, exact to the last bit."""
        names, parameters = self._fitted()
        values = {name: array.tolist() for name, array in parameters._asdict().items()}
        return {"family": self.family, "forget": self.forget, "skills": names.to_pylist(), "parameters": values}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> BKT:
        """The model that :meth:`to_dict` described."""
        parameters = Parameters(**{name: np.array(values, float) for name, values in content["parameters"].items()})
        return cls(content["forget"], pa.array(content["skills"], pa.string()), parameters)

    @cached_property
    def fingerprint(self) -> str:
        """Names the model's content: equal for equal models."""
        return codec.fingerprint(self.to_dict())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as JSON; :func:`adaptrace.load` reads it."""
        codec.write(path, "model", self.to_dict())


def _with_unknown(theta: FloatArray, weight: NDArray[Any]) -> Parameters:
    """Parameters from theta (n_skills, 5), with the row for unknown skills added."""
    forgetting = theta[:, 2] > 0.0
    inside = np.clip(theta, SMALLEST, 1.0 - SMALLEST)
    if not len(theta) or not np.sum(weight):
        return Parameters(*(np.concatenate([column, unknown]) for column, unknown in zip(inside.T, UNKNOWN, strict=True)))
    moderate = np.clip(theta, 0.01, 0.99)  # a skill at a bound says "extreme", not how extreme
    logit: Callable[[Any], Any] = lambda p: np.log(p / (1.0 - p))  # noqa: E731
    mean = 1.0 / (1.0 + np.exp(-np.average(logit(moderate), axis=0, weights=weight)))
    inside[:, 2] = np.where(forgetting, inside[:, 2], 0.0)
    if not forgetting.any():
        mean[2] = 0.0
    return Parameters(*np.vstack([inside, mean]).T.copy())
