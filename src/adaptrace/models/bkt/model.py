"""Bayesian knowledge tracing: the model that people use."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data.log import Log
from adaptrace.errors import ModelError, counted
from adaptrace.kernels import parallel
from adaptrace.kernels.bkt import Parameters
from adaptrace.models import content as read
from adaptrace.models.base import Progress
from adaptrace.models.bkt import fit as fits
from adaptrace.models.bkt.effects import Effects, offsets_table
from adaptrace.models.bkt.fitted import FittedBKT
from adaptrace.models.bkt.options import AUTO, CONJUNCTIVE, BKTOptions, check_base, check_effects, options_from_dict
from adaptrace.models.bkt.skill_table import Row, SkillTable
from adaptrace.models.bkt.state import BKTState
from adaptrace.models.bkt.state_table import MOST_ODDS, mastery_from_states, states
from adaptrace.models.bkt.trace_tables import learning_moments, smooth_table, trace_table
from adaptrace.models.saved import SavedModel
from adaptrace.stats.stats import Stats


@dataclass(frozen=True, kw_only=True, repr=False)
class BKT(BKTOptions, SavedModel):
    """Bayesian knowledge tracing: four parameters per skill (Corbett & Anderson, 1995), slow forgetting, and what varies.

    Parameters
    ----------
    forget
        Also fit P(forget), that a known skill is unknown at the next opportunity (Khajah, Lindsey & Mozer, 2016): up to 0.02,
        so that every skill can reach 0.95.
    items
        What varies by item (Pardos & Heffernan, 2011): any of ``("learn", "guess", "slip")``. The fewer responses an item has,
        the closer it stays to its skill.
    kinds
        What varies by kind of evidence (practice, project, ...): any of ``("learn", "guess", "slip")``.
    groups
        What varies by the log's ``group`` of students: any of ``("prior", "learn")``.
    students
        What varies by student (Yudelson, Koedinger & Gordon, 2013): any of ``("prior", "learn")``. A student whom the fit did
        not see has the values of their group, else of the skill. The model and its stats then hold the students' names.
    levels
        Kind -> number of its ordered levels, e.g. ``{"project": 5}`` for levels 0 to 4, given as ``correct`` = level / 4. Each
        level has an emission probability of its own. On events with several skills a level counts as partial credit.
    elapsed
        Whether mastery fades with time: P(known) halves in the skill's half-life (days). Needs ``time``.
    combine
        How the skills of one event combine: ``"conjunctive"``, ``"mean"``, ``"min"`` or ``"weakest-first"``; or ``"auto"``: a
        fit takes whichever of the first two makes its log likelier, and the model that it returns names it. See
        :func:`adaptrace.kernels.bkt.joint` and :func:`~adaptrace.kernels.bkt.credit`.
    bounds
        Parameter -> (lowest, highest), e.g. ``{"guess": (0, 0.4), "slip": (0, 0.3)}``.
    fixed
        Parameter -> value, e.g. ``{"slip": 0.1}``.
    smoothing
        Parameter -> (pseudo-count of the event, of its absence), a Beta prior less one: ``{"learn": (1, 9)}`` pulls
        P(learn) towards 0.1 with the weight of ten observed transitions.
    pooling
        The pseudo-observations by which every skill is pulled towards the mean skill; 0: none; None: as the skills differ.
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
    >>> at.BKT(bounds={"guess": (0, 0.3)}).fit(at.sample_log())
    BKT(24 skills, forget=True)
    """

    table: SkillTable | None = None
    effects: Effects | None = None

    family: ClassVar[str] = "bkt"

    @classmethod
    def from_parameters(cls, skills: Sequence[str], **parameters: Sequence[float] | float) -> BKT:
        """A model with known parameters: ``prior``, ``learn``, ``guess``, ``slip`` and, if any, ``forget``.

        Its options are the defaults; ``dataclasses.replace(model, combine="mean")`` changes one.

        Examples
        --------
        >>> BKT.from_parameters(["fractions"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
        BKT(1 skill, forget=False)
        """
        table = SkillTable.given(skills, parameters)
        return cls(forget=bool(np.any(table.parameters.forget[:-1])), combine=CONJUNCTIVE, table=table)

    # ---- the fit ----

    def stats(self, log: Log) -> Stats:
        """The counts that :meth:`fit` needs of a log; they add: ``fit(stats_a + stats_b)``.

        In an event of several skills, the evidence on one depends on the chances of the others, and counts cannot hold that
        exactly: a fitted model uses its own chances, an unfitted one the same for all. Fit the log itself where you can.
        """
        several = self.table is not None and log.has_several_skills
        return Stats.from_log(log, self.variation.stats_factors, credit=self.fitted.trace(log).credit if several else None)

    def fit(
        self,
        data: Log | Stats,
        *,
        base: BKT | None = None,
        executor: Executor | None = None,
        progress: Progress | None = None,
    ) -> BKT:
        """A model fitted by maximum likelihood; guess + slip < 1 for every skill, so that knowing always helps.

        Every skill is fitted alone, from many starts. Where something varies, or events have several skills, all skills are
        then fitted together.

        Parameters
        ----------
        data
            A log, or the stats of one or of several added up.
        base
            A model fitted to more data, e.g. of many schools: every skill is pulled towards its values there, a new skill
            towards the mean skill there; the closer the skills are to the base, the stronger (``pooling`` overrides that).
        executor, progress
            As in :meth:`adaptrace.models.base.Model.fit`.

        Raises
        ------
        ModelError
            If the stats were made for other options, or the base cannot be one.
        DataError
            If the log lacks a column that the options need.
        """
        if isinstance(data, Stats):
            fits.check_factors(self, data)
        blank = replace(self, table=None, effects=None, combine=CONJUNCTIVE if self.combine == AUTO else self.combine)
        if base is not None:
            if not isinstance(base, BKT) or base.table is None:
                raise ModelError(f"base: got {base!r}; expected a fitted BKT")
            check_base(self, base)
            stats = base.stats(data) if isinstance(data, Log) else data
            return replace(blank, table=fits.table_near(self, stats, base.table, executor, progress), combine=base.combine)
        stats = blank.stats(data) if isinstance(data, Log) else data
        with parallel.workers(executor, int(stats.responses.sum())) as pool:
            evidence = fits.joint_evidence(self, data, stats, pool)
            if evidence:
                return replace(blank, **fits.fit_jointly(self, stats, evidence, pool, progress))
            return replace(blank, table=fits.table_alone(self, stats, pool, progress))

    def refit(self, data: Log | Stats, *, executor: Executor | None = None, progress: Progress | None = None) -> BKT:
        """A fit to other data of much the same skills, from the parameters of this model: faster than :meth:`fit`.

        The mean skill is that of this model. Where the likelihood has several peaks, the nearest is found. A model whose
        parameters vary by more than skill is fitted anew.
        """
        if self.variation:
            return self.fit(data, executor=executor, progress=progress)
        stats = replace(self, table=None).stats(data) if isinstance(data, Log) else data
        return replace(self, table=fits.table_from(self, stats, self.fitted.table, executor, progress))

    def bootstrap(self, data: Log | Stats, *, draws: int = 200, seed: int, executor: Executor | None = None) -> pa.Table:
        """Draws of the skills' parameters by the Bayesian bootstrap (Rubin, 1981): students' sequences with random weights.

        ``data`` is what this model was fitted to; the same seed gives the same bits. One row per draw and skill: ``draw``,
        ``skill``, ``prior``, ``learn``, ``forget``, ``guess``, ``slip``. With few responses draws differ less than the
        intervals of :meth:`summary`. A ModelError if parameters vary by more than skill, or the data are of other skills.
        """
        if self.variation:
            raise ModelError("bootstrap: parameters of this model vary by more than skill; its intervals are in summary()")
        stats, table = self.stats(data) if isinstance(data, Log) else data, self.fitted.table
        return fits.bootstrap_table(self, table, stats, draws=draws, seed=seed, executor=executor)

    @cached_property
    def fitted(self) -> FittedBKT:
        """What the fit found, and the passes over a log; a ModelError before the fit."""
        if self.table is None:
            raise ModelError("this model is not fitted; use the one that fit(log) returns, or from_parameters(...)")
        return FittedBKT(table=self.table, effects=self.effects, rule=self.rule)

    # ---- a log ----

    def predict(self, log: Log) -> NDArray[np.float64]:
        """P(correct) before each response, given the student's responses before it, (n_rows,); strictly inside (0, 1)."""
        return self.fitted.trace(log).predicted

    def log_likelihood(self, log: Log) -> float:
        """Natural logarithm of the likelihood of the log's outcomes, summed over responses.

        The fit maximises it, apart from the pull of ``smoothing`` and ``pooling``.
        """
        return self.fitted.log_likelihood(log)

    def score(self, log: Log, *, time: datetime.datetime | None = None) -> pa.Table:
        """Mastery of every student on every skill they met, after their last response.

        With ``time`` (UTC, if it has no time zone): at that moment; needs a model with ``elapsed=True``.

        Returns
        -------
        pyarrow.Table
            ``student``, ``skill`` (the log's own names), ``mastery`` = P(known) with ``low`` and ``high``, its 90 % interval
            given the uncertainty of the skill's parameters, ``opportunities``, ``last_time`` (or ``last_order``), and
            ``fitted``: whether the fit saw the skill.
        """
        return mastery_from_states(self.fitted, states(self.fitted, log), time=time)

    def trace(self, log: Log) -> pa.Table:
        """Mastery after every response.

        One row per response and skill, in the order of the log: ``student``, ``skill``, ``opportunity``, ``correct``,
        ``predicted`` = P(correct) of the event, before it, ``mastery`` = P(known) right after it (not faded), and ``time`` or
        ``order`` if the log has it.

        Examples
        --------
        >>> import adaptrace as at
        >>> model = at.BKT.from_parameters(["fractions"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
        >>> log = at.Log.from_arrow({"student": ["Ada"] * 3, "item": [1, 2, 3], "skill": ["fractions"] * 3, "correct": [0, 1, 1]})
        >>> model.trace(log)["mastery"].to_numpy().round(3).tolist()
        [0.236, 0.789, 0.977]
        """
        return trace_table(self.fitted, log)

    def smooth(self, log: Log) -> pa.Table:
        """Mastery in hindsight: at every response, given all responses of the student (forward-backward).

        One row per response and skill, in the order of the log: ``student``, ``skill``, ``opportunity``, ``correct``,
        ``known`` = P(known at this response | all responses of the student) and ``learned`` = P(learned right after it | all).
        """
        return smooth_table(self.fitted, log)

    def learning_moments(self, log: Log) -> pa.Table:
        """The most likely moment of learning, of every student on every skill they met (Baker, Goldstein & Heffernan, 2011).

        ``student``, ``skill``, ``moment``: the opportunity right after which the skill was most likely learned, 0 if it was most
        likely known from the start, null if it was most likely not learned; and ``probability`` of that, given all responses.
        """
        return learning_moments(self.fitted, log)

    def seen(self, log: Log) -> NDArray[np.bool_]:
        """Whether the fit saw each row's skills, item and kind, as far as parameters vary by them, (n_rows,)."""
        return self.fitted.seen(log)

    # ---- one student ----

    def start(self, name: str = "", group: str = "") -> BKTState:
        """The state of a student who has not answered yet."""
        return BKTState(self.fitted, name, group)

    def resume(self, content: Mapping[str, Any], name: str = "", group: str = "") -> BKTState:
        """The state that its ``to_dict`` described."""
        odds, last_time = read.by_name(content, "odds", high=MOST_ODDS), read.moments(content, "last_time")
        return BKTState(self.fitted, name, group, odds, last_time)

    # ---- parameters ----

    @property
    def skills(self) -> pa.StringArray:
        """Names of the fitted skills as text, sorted."""
        return self.fitted.table.names

    @property
    def parameters(self) -> Parameters:
        """prior, learn, forget, guess and slip, each (n_skills + 1,): the last is for skills never seen."""
        return self.fitted.table.parameters

    def row(self, skill: str, *, alone: bool = True, **names: object) -> Row:
        """prior, learn, forget, guess and slip of one skill; of an unknown one the values for unknown skills.

        With ``item=``, ``kind=``, ``group=`` or ``student=``: as far as parameters vary by them and the fit saw them;
        ``alone``: on an event of this skill only.
        """
        return self.fitted.row(skill, alone=alone, **names)

    def half_life(self, skill: str) -> float:
        """Days in which P(known) halves; infinite if mastery does not fade."""
        return self.fitted.half_life(skill)

    def summary(self) -> pa.Table:
        """One row per skill: its responses, every parameter with its 90 % interval, and notes on what is doubtful.

        With ``half_life_days`` where mastery fades. How items, kinds, groups and students differ: :meth:`offsets`.
        """
        table = self.fitted.table.summary(*self.limits.bounds())
        if self.effects is None or not self.fitted.fades:
            return table
        return table.add_column(table.num_columns - 1, "half_life_days", pa.array(self.effects.half_life[:-1]))

    def offsets(self, factor: str) -> pa.Table:
        """How each ``"item"`` (``"kind"``, ``"group"``, ``"student"``) differs from its skill, on the logit scale.

        One row per item: its name under ``factor``, and an offset for every parameter that varies by it. ``guess`` is that of
        the share that guess takes of 1 - slip, so an item with less slip and more guess is easier. A ModelError if nothing
        varies by the factor.
        """
        return offsets_table(self.effects, factor)

    def __repr__(self) -> str:
        skills = "" if self.table is None else f"{counted(len(self.table), 'skill')}, "
        return f"BKT({skills}{self.described(fitted=self.table is not None)})"

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data, exact to the last bit."""
        effects = None if self.effects is None else self.effects.to_dict()
        return {"family": self.family, **self.options_to_dict(), "skills": self.fitted.table.to_dict(), "effects": effects}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> BKT:
        """The model that :meth:`to_dict` described."""
        table = SkillTable.from_dict(content["skills"])
        effects = None if content["effects"] is None else Effects.from_dict(content["effects"], len(table))
        model = cls(**options_from_dict(content), table=table, effects=effects)
        check_effects(model.variation, effects)
        return model
