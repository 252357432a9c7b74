"""Bayesian knowledge tracing: the model that people use."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace import codec, parallel, schema
from adaptrace.arrays import space
from adaptrace.errors import ModelError
from adaptrace.fit import Limits, Progress, maximise
from adaptrace.kernels import bkt as kernels
from adaptrace.kernels.bkt import Parameters, Smoothed, Traced
from adaptrace.log import Log
from adaptrace.models.skills import SMALLEST, Z90, Row, SkillTable
from adaptrace.stats import Stats

FloatArray = NDArray[np.float64]

MOST_FORGETTING = 0.02
LONGEST_SHIFT = 200.0  # on the logit scale: from any odds to certainty
MOST_ROUNDS, ROUND_TOLERANCE = 20, 1e-5  # of a fit with several skills per event


@dataclass(frozen=True, repr=False)
class BKT:
    """Bayesian knowledge tracing: four parameters per skill (Corbett & Anderson, 1995) and slow forgetting.

    Parameters
    ----------
    forget
        Also fit the probability that a known skill is unknown at the next opportunity (Khajah, Lindsey &
        Mozer, 2016), up to 0.02, so that 0.95 stays within reach of every skill. ``False`` is the classic model.
    bounds
        Parameter -> (lowest, highest), e.g. ``{"guess": (0, 0.4), "slip": (0, 0.3)}``.
    fixed
        Parameter -> value, e.g. ``{"slip": 0.1}``.
    smoothing
        Parameter -> (pseudo-count of the event, of its absence), a Beta prior less one: ``{"learn": (1, 9)}`` pulls
        P(learn) towards 0.1 with the weight of ten observed transitions.

    Attributes
    ----------
    table
        Parameters per skill and their covariances (:class:`~adaptrace.models.skills.SkillTable`); None before the fit.

    Raises
    ------
    ModelError
        If an option names no parameter, bounds cross, or a fixed value lies outside its bounds.

    Examples
    --------
    >>> import adaptrace as at
    >>> log = at.sample_log()
    >>> at.BKT(bounds={"guess": (0, 0.3)}).fit(log)
    BKT(24 skills, forget=True)
    """

    forget: bool = True
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)
    smoothing: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    table: SkillTable | None = None

    family: ClassVar[str] = "bkt"

    def __post_init__(self) -> None:
        self._limits()

    # ---- making one ---------------------------------------------------------

    def stats(self, log: Log) -> Stats:
        """The counts that :meth:`fit` needs of a log; they add: ``fit(stats_a + stats_b)``.

        Where an event has several skills, what it says of one depends on the chances of the others:
        a fitted model uses its own, an unfitted one the share of right answers.
        """
        if self.table is None or not log.has_several_skills:
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
        stats = data if isinstance(data, Stats) else replace(self, table=None).stats(data)
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
        theta, covariance = maximise(stats, self._limits(), executor=executor, progress=progress)
        return replace(self, table=SkillTable.build(stats.skills, stats.responses, theta, covariance))

    def _limits(self) -> Limits:
        """The options as arrays, checked."""
        options = {"bounds": self.bounds, "fixed": self.fixed, "smoothing": self.smoothing}
        known = Parameters._fields
        problems = [
            f"{option}: got '{name}'; expected one of {', '.join(known)}"
            for option, values in options.items()
            for name in values
            if name not in known
        ]
        limits = {"forget": (0.0, MOST_FORGETTING if self.forget else 0.0), **self.bounds}
        for name, (low, high) in limits.items():
            if not 0.0 <= low <= high <= 1.0:
                problems.append(f"bounds of {name}: got ({low}, {high}); expected 0 <= lowest <= highest <= 1")
        for name, value in self.fixed.items():
            low, high = limits.get(name, (0.0, 1.0))
            if not low <= value <= high:
                problems.append(f"fixed {name}: got {value}; expected a value in its bounds ({low}, {high})")
            limits[name] = (value, value)
        if limits.get("guess", (0.0, 1.0))[0] + limits.get("slip", (0.0, 1.0))[0] >= 1.0:
            problems.append("guess and slip: their lowest values add up to 1 or more; expected less, so that knowing helps")
        if problems:
            raise ModelError("; ".join(problems))
        edges = np.array([limits.get(name, (0.0, 1.0)) for name in known], float)
        low, high = np.clip(edges, SMALLEST, 1.0 - 2.0 * SMALLEST).T
        low[2], high[2] = edges[2]  # forgetting may be none at all
        return Limits(low, high, np.array([self.smoothing.get(name, (0.0, 0.0)) for name in known], float))

    @classmethod
    def from_parameters(cls, skills: Sequence[str], **parameters: Sequence[float] | float) -> BKT:
        """A model with known parameters: ``prior``, ``learn``, ``guess``, ``slip`` and, if any, ``forget``.

        Examples
        --------
        >>> BKT.from_parameters(["fractions"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
        BKT(1 skill, forget=False)
        """
        given = {"forget": 0.0, **parameters}
        if set(given) != set(Parameters._fields):
            raise ModelError(f"parameters {', '.join(parameters)}: expected prior, learn, guess, slip and, if any, forget")
        theta = np.stack([np.broadcast_to(np.asarray(given[name], float), len(skills)) for name in Parameters._fields], axis=1)
        if not ((theta >= 0.0) & (theta <= 1.0)).all():
            raise ModelError(f"parameters: got {theta[~((theta >= 0.0) & (theta <= 1.0))][0]}; expected probabilities, 0 to 1")
        if np.any(theta[:, 3] + theta[:, 4] >= 1.0):
            raise ModelError("parameters: got guess + slip of 1 or more; expected less, so that knowing helps")
        if len({str(skill) for skill in skills}) < len(skills):
            raise ModelError("skills: got a name twice; expected every skill once")
        order = np.argsort(np.asarray(skills, dtype=str), kind="stable")
        names = pa.array([str(skill) for skill in skills], pa.string()).take(pa.array(order))
        table = SkillTable.build(names, np.zeros(len(skills), np.int64), theta[order], np.zeros((len(skills), 5, 5)))
        return cls(bool(np.any(theta[:, 2])), table=table)

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
            ``student``, ``skill`` (the log's own names), ``mastery`` = P(known) with ``low`` and ``high``, the
            90 % interval that the uncertainty of the skill's parameters leaves, ``opportunities``,
            ``last_time`` (or ``last_order``), and ``fitted``: whether the fit knew the skill.
        """
        rows, traced = log.rows, self._trace(log)
        odds, spread = traced.odds, self._spread(log, traced.others)
        owner = np.repeat(np.arange(len(log.students), dtype=np.int32), np.diff(rows.pair_start))
        last_entry = np.zeros(len(odds), np.int64)
        last_entry[rows.pair] = np.arange(len(rows.pair))
        columns = {
            "student": pa.DictionaryArray.from_arrays(owner, log.students),
            "skill": pa.DictionaryArray.from_arrays(rows.pair_skill, log.skills),
            "mastery": _mastery(odds),
            "low": _mastery(odds, -Z90 * spread),
            "high": _mastery(odds, Z90 * spread),
            "opportunities": rows.opportunity[last_entry],
            "fitted": self.knows(log.skills)[rows.pair_skill],
        }
        last_row = pa.array(np.searchsorted(rows.skill_start, last_entry, side="right") - 1)
        for name in ("time", "order"):
            if name in log.table.column_names:
                columns[f"last_{name}"] = schema.combined(log.table[name]).take(last_row)
        return pa.table(columns)

    def smooth(self, log: Log) -> pa.Table:
        """Mastery in hindsight: what the whole history says of each opportunity (forward-backward).

        Returns
        -------
        pyarrow.Table
            One row per response and skill, in the order of the log: ``student``, ``skill``, ``opportunity``,
            ``correct``, ``known`` = P(known at this response | all responses of the student) and ``learned`` =
            P(learned right after it | all responses).
        """
        rows, parameters = log.rows, self._parameters_of(log.skills)
        smoothed = Smoothed(np.empty(len(rows.pair)), np.empty(len(rows.pair)))
        others = self._trace(log).others
        pieces = parallel.spans(rows.student_start, 4 * parallel.cores())
        parallel.run(kernels.smooth, [(rows, parameters, others, *piece, smoothed) for piece in pieces])
        entries = np.diff(rows.skill_start)
        student = log.table["student"].chunk(0).indices.to_numpy()
        return pa.table(
            {
                "student": pa.DictionaryArray.from_arrays(np.repeat(student, entries), log.students),
                "skill": pa.DictionaryArray.from_arrays(rows.pair_skill[rows.pair], log.skills),
                "opportunity": rows.opportunity,
                "correct": np.repeat(rows.correct, entries),
                "known": smoothed.known,
                "learned": smoothed.learned,
            }
        )

    def log_likelihood(self, log: Log) -> float:
        """Natural logarithm of the likelihood of the log's outcomes, summed over responses."""
        predicted, correct = self.predict(log), log.rows.correct
        return float(np.log(correct * predicted + (1.0 - correct) * (1.0 - predicted)).sum())

    @property
    def skills(self) -> pa.StringArray:
        """Names of the fitted skills as text, sorted."""
        return self._fitted.names

    @property
    def parameters(self) -> Parameters:
        """prior, learn, forget, guess and slip, each (n_skills + 1,): the last is for skills never seen."""
        return self._fitted.parameters

    def row(self, skill: str) -> Row:
        """prior, learn, forget, guess and slip of one skill; of an unknown one the values for unknown skills."""
        return self._fitted.row(skill)

    def knows(self, skills: pa.Array) -> NDArray[np.bool_]:
        """Which of these skills the fit saw."""
        return np.asarray(self._fitted.index(skills) >= 0)

    def summary(self) -> pa.Table:
        """One row per skill: its responses, every parameter with its 90 % interval, and notes on what is doubtful."""
        return self._fitted.summary()

    def __repr__(self) -> str:
        skills = "" if self.table is None else f"{len(self.table):,} skill{'s' * (len(self.table) != 1)}, "
        return f"BKT({skills}forget={self.forget})"

    @property
    def _fitted(self) -> SkillTable:
        if self.table is None:
            raise ModelError("this model is not fitted; use the one that fit(log) returns, or from_parameters(...)")
        return self.table

    def _parameters_of(self, skills: pa.Array) -> Parameters:
        index = self._fitted.index(skills)
        return Parameters(*(values[index] for values in self.parameters))

    def _trace(self, log: Log) -> Traced:
        parameters, rows = self._parameters_of(log.skills), log.rows
        others = np.ones(len(rows.pair) if log.has_several_skills else 0)
        traced = Traced(space(len(log), np.float64), space(len(rows.pair_skill), np.float64), others)
        pieces = parallel.spans(rows.student_start, 4 * parallel.cores())
        parallel.run(kernels.trace, [(rows, parameters, *piece, traced) for piece in pieces])
        return traced

    def _spread(self, log: Log, others: FloatArray) -> FloatArray:
        """Standard deviation of each pair's log-odds of mastery, (n_pairs,), from the covariance of the parameters."""
        rows, parameters = log.rows, self._parameters_of(log.skills)
        covariance = self._fitted.covariance[self._fitted.index(log.skills)]
        variance = np.empty(len(rows.pair_skill))
        pieces = parallel.spans(rows.student_start, 4 * parallel.cores())
        parallel.run(kernels.spread, [(rows, parameters, covariance, others, *piece, variance) for piece in pieces])
        return np.sqrt(variance)

    # ---- keeping it ---------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data, exact to the last bit."""
        options = {name: dict(getattr(self, name)) for name in ("bounds", "fixed", "smoothing")}
        return {"family": self.family, "forget": self.forget, **options, "skills": self._fitted.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> BKT:
        """The model that :meth:`to_dict` described."""
        pairs = {name: {key: tuple(pair) for key, pair in content[name].items()} for name in ("bounds", "smoothing")}
        return cls(content["forget"], **pairs, fixed=content["fixed"], table=SkillTable.from_dict(content["skills"]))

    @cached_property
    def fingerprint(self) -> str:
        """Names the model's content: equal for equal models."""
        return codec.fingerprint(self.to_dict())

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write the model as JSON; :func:`adaptrace.load` reads it."""
        codec.write(path, "model", self.to_dict())


def _mastery(odds: FloatArray, shift: FloatArray | float = 0.0) -> FloatArray:
    """P(known) from odds, moved by ``shift`` on the logit scale."""
    moved = odds * np.exp(np.clip(shift, -LONGEST_SHIFT, LONGEST_SHIFT))
    return np.asarray(np.where(moved < 1e300, np.minimum(moved / (1.0 + moved), kernels.MAX_MASTERY), kernels.MAX_MASTERY))
