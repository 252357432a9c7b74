"""Bayesian knowledge tracing: the model that people use."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data.log import Log
from adaptrace.errors import ModelError
from adaptrace.kernels import bkt as kernels
from adaptrace.kernels import parallel
from adaptrace.kernels.arrays import space
from adaptrace.kernels.bkt import Cells, Credit, Parameters, Smoothed, Traced
from adaptrace.models.base import Progress
from adaptrace.models.bkt.effects import Effects
from adaptrace.models.bkt.fit_effects import Evidence, Responses, Sequences, maximise_effects, places
from adaptrace.models.bkt.fit_skills import Base, Fitted, Limits, climb_from, maximise, maximise_near, pull_of, refit
from adaptrace.models.bkt.fitted import RULES, Layout
from adaptrace.models.bkt.options import MAY_VARY, MOST_FORGETTING, are_counts
from adaptrace.models.bkt.skill_table import SMALLEST, Row, SkillTable
from adaptrace.models.bkt.state import BKTState
from adaptrace.models.bkt.state_table import LAST, mastery_of, states
from adaptrace.models.bkt.variation import Variation
from adaptrace.models.saved import Kept
from adaptrace.stats.stats import Stats

FloatArray = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class BKT(Kept):
    """Bayesian knowledge tracing: four parameters per skill (Corbett & Anderson, 1995), slow forgetting, and what varies.

    Parameters
    ----------
    forget
        Also fit the probability that a known skill is unknown at the next opportunity (Khajah, Lindsey &
        Mozer, 2016), up to 0.02, so that 0.95 stays within reach of every skill. ``False``: none.
    items
        What varies by item (Pardos & Heffernan, 2011): any of ``("learn", "guess", "slip")``. An item is drawn to its skill
        as far as its own responses are few.
    kinds
        What varies by kind of evidence (practice, project, ...): any of ``("learn", "guess", "slip")``.
    groups
        What varies by the log's ``group`` of students: any of ``("prior", "learn")``.
    students
        What varies by student (Yudelson, Koedinger & Gordon, 2013): any of ``("prior", "learn")``. A student whom the fit did not
        see has the values of their group, else of the skill. The model and its stats then hold the students' names.
    levels
        Kind -> number of its ordered levels, e.g. ``{"project": 5}`` for levels 0 to 4, given as ``correct`` = level / 4. Each
        level is then evidence of its own strength. On events with several skills a level counts as partial credit.
    elapsed
        Whether mastery fades with time: P(known) halves in the skill's half-life (days). Needs ``time``.
    combine
        What an answer to an item of several skills says: ``"conjunctive"``, ``"mean"``, ``"min"`` or ``"weakest-first"``; see
        :func:`adaptrace.kernels.bkt.joint` and :func:`~adaptrace.kernels.bkt.credit`.
    bounds
        Parameter -> (lowest, highest), e.g. ``{"guess": (0, 0.4), "slip": (0, 0.3)}``.
    fixed
        Parameter -> value, e.g. ``{"slip": 0.1}``.
    smoothing
        Parameter -> (pseudo-count of the event, of its absence), a Beta prior less one: ``{"learn": (1, 9)}`` pulls
        P(learn) towards 0.1 with the weight of ten observed transitions.
    pooling
        By so many pseudo-observations every skill is pulled towards the mean skill; by default by as many as the differences
        between the skills say; 0 fits each on its own.
    plausible
        Keep every skill within the tests of Baker, Corbett & Aleven (2008): three right answers never lower mastery, and ten
        reach 0.95.

    Attributes
    ----------
    table
        Parameters per skill and their covariances (:class:`~adaptrace.models.bkt.skill_table.SkillTable`); None before the fit.
    effects
        What varies (:class:`~adaptrace.models.bkt.effects.Effects`); None if nothing does.

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
    items: Sequence[str] = ()
    kinds: Sequence[str] = ()
    groups: Sequence[str] = ()
    students: Sequence[str] = ()
    levels: Mapping[str, int] = field(default_factory=dict)
    elapsed: bool = False
    combine: str = "conjunctive"
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)
    smoothing: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    pooling: float | None = None
    plausible: bool = True
    table: SkillTable | None = None
    effects: Effects | None = None

    family: ClassVar[str] = "bkt"

    def __post_init__(self) -> None:
        self._limits()
        self._check_variation()

    # ---- making one ---------------------------------------------------------

    def stats(self, log: Log) -> Stats:
        """The counts that :meth:`fit` needs of a log; they add: ``fit(stats_a + stats_b)``.

        Where an event has several skills, what it says of one depends on the chances of the others, and counts cannot
        hold that exactly: a fitted model uses its own chances, an unfitted one the same for all. Fit such
        a log itself where you have it.
        """
        several = self.table is not None and log.has_several_skills
        return Stats.from_log(log, self._variation.told_apart, credit=self._trace(log).credit if several else None)

    def fit(
        self,
        data: Log | Stats,
        *,
        base: BKT | None = None,
        executor: Executor | None = None,
        progress: Progress | None = None,
    ) -> BKT:
        """Fit by maximum likelihood, pulled towards the mean skill as ``pooling`` says; guess + slip < 1: knowing always helps.

        Skills share nothing, so each is fitted on its own, from many starts. Where something varies, or events have several
        skills, one climb of everything together follows, on the exact likelihood of the events.

        Parameters
        ----------
        data
            A log, or the stats of one or of several added up. Not changed.
        base
            A model fitted to more data, e.g. of many schools: every skill that it knows is pulled towards its values there, by as
            many pseudo-observations as the differences from it say (``pooling`` overrides that), every other skill towards
            its mean skill. What events of several skills say of each is then as the base sees it.
        executor
            Where the pieces of the work run; by default one thread per core. It changes no bit of the result.
        progress
            Called with the share that is done.

        Returns
        -------
        BKT
            A fitted model; this one stays as it is.

        Raises
        ------
        ModelError
            If the stats were made for other options, or the base cannot be one.
        DataError
            If the log lacks a column that the options need.
        """
        apart = self._variation.told_apart
        if isinstance(data, Stats) and data.factors != apart:
            got, expected = (" and ".join(names) or "outcomes only" for names in (data.factors, apart))
            raise ModelError(
                f"stats of another structure: they tell apart {got}; expected {expected}: use this model's stats(log)"
            )
        blank = replace(self, table=None, effects=None)
        if base is not None:
            self._check_base(base)
            return blank._fit_skills(base.stats(data) if isinstance(data, Log) else data, executor, progress, base)
        log = data if isinstance(data, Log) else None
        stats = blank.stats(data) if isinstance(data, Log) else data
        model = blank._fit_skills(stats.without(*apart) if apart else stats, executor, progress)
        if log is not None and log.has_several_skills:
            return model._fit_effects(Responses(log, RULES[self.combine], self._variation, executor), progress)
        return model._fit_effects(Sequences(stats, self._variation, executor), progress) if self._variation else model

    def refit(self, data: Log | Stats, *, executor: Executor | None = None, progress: Progress | None = None) -> BKT:
        """Fit to other data from where this fitted model is, towards the mean skill that it found: faster than :meth:`fit`.

        For data of much the same skills: tonight's log, or a part of this one. Where the likelihood has several peaks, it climbs
        the nearest. Models whose parameters vary by more than skill are fitted anew.

        Raises
        ------
        ModelError
            If this model is not fitted.
        """
        if self._variation:
            return self.fit(data, executor=executor, progress=progress)
        stats = replace(self, table=None).stats(data) if isinstance(data, Log) else data
        theta = np.stack(self.parameters, axis=1)[self._fitted.index(stats.skills)]
        fitted = climb_from(stats, self._limits(), theta, self._fitted.pull, executor=executor, progress=progress)
        return replace(self, table=SkillTable.build(stats.skills, stats.responses, fitted))

    def _check_base(self, base: BKT) -> None:
        if not isinstance(base, BKT) or base.table is None:
            raise ModelError(f"base: got {base!r}; expected a fitted BKT")
        problems = [
            f"base: the parameters of {which} vary by more than skill; expected by skill alone"
            for model, which in ((self, "this model"), (base, "the base"))
            if model._variation
        ]
        if self.pooling == 0.0:
            problems.append("base: pooling=0 pulls towards nothing; expected None or more than 0")
        if base.combine != self.combine:
            problems.append(f"base: got combine='{base.combine}'; expected '{self.combine}', as this model has")
        if problems:
            raise ModelError("; ".join(problems))

    def _fit_skills(self, stats: Stats, executor: Executor | None, progress: Progress | None, base: BKT | None = None) -> BKT:
        if base is None:
            fitted = maximise(stats, self._limits(), executor=executor, progress=progress)
        else:
            at, table = base._fitted.index(stats.skills), base._fitted
            error = np.einsum("kaa->ka", table.covariance)[at]
            there = Base(np.stack(table.parameters, axis=1)[at], error, at >= 0, table.pull)
            fitted = maximise_near(there, stats, self._limits(), executor=executor, progress=progress)
        return replace(self, table=SkillTable.build(stats.skills, stats.responses, fitted))

    def _fit_effects(self, evidence: Evidence, progress: Progress | None) -> BKT:
        """Fit all skills together with what varies, from the fit of each skill alone."""
        table, theta = self._fitted, np.stack(self.parameters, axis=1)
        limits = self._limits().pooled(table.pull)
        low, high = limits.box()
        start = Effects(low, high, places(theta, np.ones(len(theta)), low, high), np.ones(len(theta)))
        base, covariance, effects = maximise_effects(evidence, limits, self._variation, start, theta[-1], progress)
        table = SkillTable.build(table.names, table.responses, Fitted(base, covariance, table.pulled, table.pull))
        return replace(self, table=table, effects=effects if self._variation else None)

    def bootstrap(self, data: Log | Stats, *, draws: int = 200, seed: int, executor: Executor | None = None) -> pa.Table:
        """Draws of the skills' parameters by the Bayesian bootstrap (Rubin, 1981): students' sequences with random weights.

        The mean skill that they are pulled to is held, so with few responses draws differ less than :meth:`summary` says.

        Parameters
        ----------
        data
            What this model was fitted to.
        draws
            How many.
        seed
            Same seed, same bits.

        Returns
        -------
        pyarrow.Table
            One row per draw and skill: ``draw``, ``skill``, ``prior``, ``learn``, ``forget``, ``guess``, ``slip``.

        Raises
        ------
        ModelError
            If parameters vary by item, kind, group, student or time, or the data are of other skills.
        """
        if self._variation:
            raise ModelError("bootstrap: parameters of this model vary by more than skill; its intervals are in summary()")
        stats, table = self.stats(data) if isinstance(data, Log) else data, self._fitted
        if stats.factors or not stats.skills.equals(table.names):
            raise ModelError("stats of another structure or other skills than this model's; expected what it was fitted to")
        limits = self._limits().pooled(table.pull)
        theta = np.stack([values[:-1] for values in table.parameters], axis=1)
        drawn = refit(stats, limits, theta, draws, seed, executor=executor)
        columns = dict(zip(Parameters._fields, drawn.reshape(-1, drawn.shape[-1]).T.copy(), strict=True))
        number = np.repeat(np.arange(draws), len(table))
        return pa.table({"draw": number, "skill": pa.array(table.names.to_pylist() * draws, pa.string()), **columns})

    def _check_shapes(self) -> None:
        """Refuse options whose values are no numbers."""
        options = {"bounds": self.bounds, "smoothing": self.smoothing}
        shapes = [
            f"{option} of {name}: got {value!r}; expected {shape}"
            for option, count, shape in (("bounds", 2, "(lowest, highest)"), ("smoothing", 2, "two counts, 0 or more"))
            for name, value in options[option].items()
            if not are_counts(value, count)
        ]
        for name, value in self.fixed.items():
            if not are_counts((value,), 1):
                shapes.append(f"fixed {name}: got {value!r}; expected a probability")
        if shapes:
            raise ModelError("; ".join(shapes))

    def _limits(self) -> Limits:
        """The options as arrays, checked."""
        self._check_shapes()
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
        if edges[2, 1] == 0.0:  # forgetting may be none at all
            low[2] = high[2] = 0.0
        smoothing = np.array([self.smoothing.get(name, (0.0, 0.0)) for name in known], float)
        return Limits(low, high, smoothing, self.pooling, self.plausible)

    @cached_property
    def _variation(self) -> Variation:
        options = {"item": self.items, "kind": self.kinds, "group": self.groups, "student": self.students}
        return Variation({name: tuple(of) for name, of in options.items() if of}, self.levels, self.elapsed)

    def _check_variation(self) -> None:
        problems = []
        for option, known in MAY_VARY.items():
            given = getattr(self, option)
            if not isinstance(given, list | tuple) or not set(given) <= set(known):
                problems.append(f"{option}: got {given!r}; expected some of {known}, e.g. {option}={known[-2:]}")
        for option in ("forget", "elapsed", "plausible"):
            if getattr(self, option) not in (True, False):
                problems.append(f"{option}: got {getattr(self, option)!r}; expected True or False")
        counts = self.levels.values() if isinstance(self.levels, Mapping) else [None]
        if not all(isinstance(n, int | np.integer) and n >= 2 for n in counts):
            problems.append(
                f"levels: got {self.levels!r}; expected kind -> number of its levels, at least 2, e.g. {{'project': 5}}"
            )
        if self.combine not in RULES:
            problems.append(f"combine: got {self.combine!r}; expected one of {', '.join(RULES)}")
        if self.pooling is not None and (isinstance(self.pooling, bool) or not are_counts((self.pooling,), 1)):
            problems.append(f"pooling: got {self.pooling!r}; expected 0 or more pseudo-observations, or None")
        if problems:
            raise ModelError("; ".join(problems))

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
        exact, high = np.zeros((len(skills), 5, 5)), np.append(np.ones(2), [theta[:, 2].max(initial=0.0), 1.0, 1.0])
        pull = pull_of(theta, exact, Limits(np.zeros(5), high, np.zeros((5, 2))))
        fitted = Fitted(theta[order], exact, exact[:, 0], pull)
        table = SkillTable.build(names, np.zeros(len(skills), np.int64), fitted)
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

    def log_likelihood(self, log: Log) -> float:
        """Natural logarithm of the likelihood of the log's outcomes, summed over responses.

        What the fit raises, as far as it is not pulled by ``smoothing`` and ``pooling``: where a wrong answer is nearly
        impossible its probability is not one minus a rounded one.
        """
        traced, correct = self._trace(log, outcomes=True), log.rows.correct
        return float(np.log(correct * traced.predicted + (1.0 - correct) * traced.wrong).sum())

    def score(self, log: Log, *, time: datetime.datetime | None = None) -> pa.Table:
        """Mastery of every student on every skill they met, after their last response.

        Parameters
        ----------
        log
            Not changed.
        time
            When mastery is asked for (with a time zone; UTC if without): skills not practised since have faded. Needs a
            model with ``elapsed=True``.

        Returns
        -------
        pyarrow.Table
            ``student``, ``skill`` (the log's own names), ``mastery`` = P(known) with ``low`` and ``high``, the
            90 % interval that the uncertainty of the skill's parameters leaves, ``opportunities``,
            ``last_time`` (or ``last_order``), and ``fitted``: whether the fit knew the skill.
        """
        return mastery_of(self, states(self, log), time)

    def trace(self, log: Log) -> pa.Table:
        """The path of mastery: what the model knew before and after every response.

        Parameters
        ----------
        log
            Not changed.

        Returns
        -------
        pyarrow.Table
            One row per response and skill, in the order of the log: ``student``, ``skill``, ``opportunity``,
            ``correct``, ``predicted`` = P(correct) of the event, before it, ``mastery`` = P(known) right after it, as
            :meth:`Student.mastery <adaptrace.Student.mastery>` says after ``observe`` (where mastery fades: not faded), and
            ``time`` or ``order`` if the log has it.

        Examples
        --------
        >>> import adaptrace as at
        >>> model = at.BKT.from_parameters(["fractions"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
        >>> log = at.Log.from_arrow({"student": ["Ada"] * 3, "item": [1, 2, 3], "skill": ["fractions"] * 3, "correct": [0, 1, 1]})
        >>> model.trace(log)["mastery"].to_numpy().round(3).tolist()
        [0.236, 0.789, 0.977]
        """
        rows, traced = log.rows, self._trace(log, kept=True)
        student, row = log.table["student"].chunk(0).indices.to_numpy(), None
        if log.has_several_skills:
            row = np.repeat(np.arange(len(log)), np.diff(rows.skill_start))
        student, correct, predicted = (each if row is None else each[row] for each in (student, rows.correct, traced.predicted))
        columns = {
            "student": pa.DictionaryArray.from_arrays(student, log.students),
            "skill": pa.DictionaryArray.from_arrays(rows.pair_skill[rows.pair], log.skills),
            "opportunity": rows.opportunity,
            "correct": correct,
            "predicted": predicted,
            "mastery": traced.mastery,
        }
        for name in LAST:
            if name in log.table.column_names:
                columns[name] = log.table[name] if row is None else log.table[name].take(pa.array(row))
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
        rows, smoothed = log.rows, self._smooth(log)
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

    def moments(self, log: Log) -> pa.Table:
        """The most likely moment of learning, of every student on every skill they met (Baker, Goldstein & Heffernan, 2011).

        Returns
        -------
        pyarrow.Table
            ``student``, ``skill``, ``moment``: the opportunity right after which the skill was most likely learned, 0 if it was
            most likely known from the start, null if it was most likely not learned; and ``probability`` of that, given all
            responses.
        """
        rows, smoothed = log.rows, self._smooth(log)
        n_pairs = len(rows.pair_skill)
        start, known, learned = np.zeros(n_pairs), np.zeros(n_pairs), np.zeros(n_pairs)
        first = rows.opportunity == 1
        start[rows.pair[first]] = smoothed.known[first]
        known[rows.pair] = smoothed.known  # at the last response
        learned[rows.pair] = smoothed.learned
        never = np.maximum(1.0 - known - learned, 0.0)
        best, moment = np.zeros(n_pairs), np.zeros(n_pairs, np.int32)
        order = np.argsort(smoothed.learned, kind="stable")
        best[rows.pair[order]], moment[rows.pair[order]] = smoothed.learned[order], rows.opportunity[order]
        moment = np.where(start >= best, 0, moment)
        best = np.maximum(start, best)
        owner = np.repeat(np.arange(len(log.students), dtype=np.int32), np.diff(rows.pair_start))
        return pa.table(
            {
                "student": pa.DictionaryArray.from_arrays(owner, log.students),
                "skill": pa.DictionaryArray.from_arrays(rows.pair_skill, log.skills),
                "moment": pa.array(moment, mask=never > best),
                "probability": np.maximum(best, never),
            }
        )

    # ---- one student --------------------------------------------------------

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns of a log that the options need beyond student, item, skill and correct."""
        return ("time",) * bool(self.elapsed) + ("group",) * bool(self.groups)

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns of a log that make a difference to this model, if the log has them."""
        factors = [name for name in ("item", "kind", "group") if name in self._variation.told_apart]
        return ("student", "skill", "skills", "correct", "level", "time", "order", "event_id", *factors)

    def start(self, name: str = "", group: str = "") -> BKTState:
        """The state of a student who has not answered yet."""
        return BKTState(self, RULES[self.combine], name, group)

    def resume(self, content: Mapping[str, Any], name: str = "", group: str = "") -> BKTState:
        """The state that its ``to_dict`` described."""
        return BKTState(self, RULES[self.combine], name, group, dict(content["odds"]), dict(content["last_time"]))

    # ---- what it found out --------------------------------------------------

    @property
    def skills(self) -> pa.StringArray:
        """Names of the fitted skills as text, sorted."""
        return self._fitted.names

    @property
    def parameters(self) -> Parameters:
        """prior, learn, forget, guess and slip, each (n_skills + 1,): the last is for skills never seen."""
        return self._fitted.parameters

    def row(self, skill: str, *, alone: bool = True, **names: object) -> Row:
        """prior, learn, forget, guess and slip of one skill; of an unknown one the values for unknown skills.

        With ``item=``, ``kind=``, ``group=`` or ``student=``: as far as parameters vary by them and the fit saw them;
        ``alone``: on an event of this skill only.
        """
        if not names.keys() <= {"item", "kind", "group", "student"}:
            raise TypeError(f"row: got {', '.join(names)}; expected some of item, kind, group, student")
        if self.effects is None:
            return self._fitted.row(skill)
        return self.effects.row(self._fitted.place(skill), {key: str(name) for key, name in names.items()}, alone)

    def level_chances(self, skill: str, kind: str, correct: float) -> tuple[float, float] | None:
        """P(level | unknown) and 1 - P(level | known), if the kind has levels on the skill."""
        return None if self.effects is None else self.effects.level_chances(self._fitted.place(skill), kind, correct)

    def half_life(self, skill: str) -> float:
        """Days in which P(known) halves; infinite if mastery does not fade."""
        return (
            float(self.effects.half_life[self._fitted.place(skill)])
            if self.effects is not None and self.elapsed
            else float("inf")
        )

    def seen(self, log: Log) -> NDArray[np.bool_]:
        """Whether the fit saw each row's skills, item and kind, as far as parameters vary by them, (n_rows,)."""
        rows, known = log.rows, self.knows(log.skills)
        seen = np.minimum.reduceat(known[rows.pair_skill[rows.pair]], rows.skill_start[:-1]) if len(log) else np.empty(0, bool)
        return seen if self.effects is None else seen & self.effects.seen(log)

    def knows(self, skills: pa.Array) -> NDArray[np.bool_]:
        """Which of these skills the fit saw."""
        return np.asarray(self._fitted.index(skills) >= 0)

    def summary(self) -> pa.Table:
        """One row per skill: its responses, every parameter with its 90 % interval, and notes on what is doubtful.

        With ``half_life_days`` where mastery fades. What items, kinds, groups and students differ by: :meth:`offsets`.
        """
        table = self._fitted.summary(*self._limits().box())
        if self.effects is None or not self.elapsed:
            return table
        return table.add_column(table.num_columns - 1, "half_life_days", pa.array(self.effects.half_life[:-1]))

    def offsets(self, factor: str) -> pa.Table:
        """How items (kinds, groups, students) differ from their skill, on the logit scale.

        Parameters
        ----------
        factor
            ``"item"``, ``"kind"``, ``"group"`` or ``"student"``.

        Returns
        -------
        pyarrow.Table
            One row per item: its name under ``factor``, and an offset for every parameter that varies by it. ``guess`` is that of
            the share that guess takes of 1 - slip, so an item with less slip and more guess is easier.

        Raises
        ------
        ModelError
            If nothing varies by it.
        """
        for effect in self.effects.factors if self.effects is not None else ():
            if effect.factor == factor:
                columns = dict(zip(effect.parameters, effect.offsets.T.copy(), strict=True))
                return pa.table({factor: effect.names, **columns})
        varies = ", ".join(self._variation.factors) or "nothing"
        raise ModelError(f"offsets of '{factor}': what varies in this model is by {varies}")

    def __repr__(self) -> str:
        skills = "" if self.table is None else f"{len(self.table):,} skill{'s' * (len(self.table) != 1)}, "
        varies = "".join(f", {name}={tuple(getattr(self, name))}" for name in MAY_VARY if getattr(self, name))
        varies += f", levels={dict(self.levels)}" * bool(self.levels) + ", elapsed=True" * self.elapsed
        varies += f", combine='{self.combine}'" * (self.combine != "conjunctive")
        return f"BKT({skills}forget={self.forget}{varies})"

    @property
    def _fitted(self) -> SkillTable:
        if self.table is None:
            raise ModelError("this model is not fitted; use the one that fit(log) returns, or from_parameters(...)")
        return self.table

    def _layout(self, log: Log) -> Layout:
        """Which cell holds where in a log, and the parameters of the cells."""
        skill = self._fitted.index(log.skills)
        if self.effects is not None:
            return Layout(*self.effects.cells(log, skill))
        nothing, never = np.empty(0, np.int32), np.empty(0)
        parameters = Parameters(*(values[skill] for values in self.parameters))
        return Layout(Cells(log.rows.pair_skill, nothing, nothing, never, never), parameters)

    def _trace(
        self,
        log: Log,
        layout: Layout | None = None,
        *,
        odds: FloatArray | None = None,
        kept: bool = False,
        outcomes: bool = False,
    ) -> Traced:
        """The forward pass over a log.

        ``odds``: that students come with, changed; ``kept``: also mastery after each response; ``outcomes``: also P(wrong).
        """
        rows, (cells, parameters) = log.rows, layout or self._layout(log)
        if odds is None:
            odds = space(len(rows.pair_skill), np.float64)
            kernels.begin(cells, parameters.prior, odds)
        several = len(rows.pair) if log.has_several_skills else 0
        credit = Credit(np.ones(several), np.zeros(several))
        mastery = space(len(rows.pair), np.float64) if kept else kernels.NOTHING
        wrong = space(len(log), np.float64) if outcomes else kernels.NOTHING
        traced = Traced(space(len(log), np.float64), odds, credit, mastery, wrong)
        pieces = parallel.spans(rows.student_start, 4 * parallel.cores())
        rule = RULES[self.combine]
        parallel.run(kernels.trace, [(rows, cells, parameters, rule, *piece, traced) for piece in pieces])
        return traced

    def _smooth(self, log: Log) -> Smoothed:
        rows, layout = log.rows, self._layout(log)
        smoothed, told = Smoothed(np.empty(len(rows.pair)), np.empty(len(rows.pair))), self._trace(log, layout).credit
        pieces = parallel.spans(rows.student_start, 4 * parallel.cores())
        parallel.run(kernels.smooth, [(rows, *layout, told, *piece, smoothed) for piece in pieces])
        return smoothed

    # ---- keeping it ---------------------------------------------------------

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data, exact to the last bit."""
        options: dict[str, Any] = {name: getattr(self, name) for name in ("forget", "elapsed", "combine", "plausible")}
        options |= {name: list(getattr(self, name)) for name in MAY_VARY}
        options["levels"] = {kind: int(n) for kind, n in self.levels.items()}
        options["pooling"] = None if self.pooling is None else float(self.pooling)
        options["fixed"] = {name: float(value) for name, value in self.fixed.items()}
        for name in ("bounds", "smoothing"):
            options[name] = {key: [float(each) for each in pair] for key, pair in getattr(self, name).items()}
        effects = None if self.effects is None else self.effects.to_dict()
        return {"family": self.family, **options, "skills": self._fitted.to_dict(), "effects": effects}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> BKT:
        """The model that :meth:`to_dict` described."""
        options = {key: value for key, value in content.items() if key not in ("family", "skills", "effects")}
        options |= {name: {key: tuple(pair) for key, pair in content[name].items()} for name in ("bounds", "smoothing")}
        options |= {name: tuple(content[name]) for name in MAY_VARY}
        effects = content["effects"] and Effects.from_dict(content["effects"])
        return cls(**options, table=SkillTable.from_dict(content["skills"]), effects=effects)
