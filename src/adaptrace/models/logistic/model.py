"""Logistic models: what a student did before, weighed and added up. PFA, AFM, Best-LR, DAS3H: each is a list of features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.errors import ModelError
from adaptrace.kernels import logistic as kernels
from adaptrace.kernels import parallel
from adaptrace.kernels.arrays import space
from adaptrace.kernels.logistic import Block, Design, Names, Plan
from adaptrace.models import content as read
from adaptrace.models.base import Progress
from adaptrace.models.logistic.fit import fit_weights
from adaptrace.models.logistic.state import LogisticState, Online
from adaptrace.models.saved import Kept

FloatArray = NDArray[np.float64]

OF = {"student": kernels.STUDENT, "item": kernels.ITEM, "skill": kernels.SKILL}
BY = {  # the few first: their weights are fitted together
    "": kernels.ALL,
    "pattern": kernels.BY_PATTERN,
    "skill": kernels.BY_SKILL,
    "item": kernels.BY_ITEM,
    "student": kernels.BY_STUDENT,
}
PATTERNS = pa.array(["", *(f"{number:b}"[1:] or "first" for number in range(1, 2 << kernels.RECALLED))], pa.string())
WHAT = {
    name: getattr(kernels, name.upper())
    for name in (
        *("one", "attempts", "wins", "fails", "log_attempts", "log_wins", "log_fails"),
        *("recent", "last", "new", "gap", "days", "window_attempts", "window_wins"),
    )
}
WINDOWED = ("window_attempts", "window_wins")


@dataclass(frozen=True)
class Feature:
    """One thing that a student's history says before a response.

    Parameters
    ----------
    what
        ``"one"`` (an intercept); counts before the response: ``"attempts"``, ``"wins"``, ``"fails"``, or their
        ``"log_..."``, log(1 + count); ``"recent"``: logit of the share of right answers, each weighed by ``rate`` to the power of
        its age; ``"last"``: the last outcome, -1 to 1; ``"new"``: 1 at the first response; ``"gap"``: log(1 + responses since);
        ``"days"``: log(1 + days since); ``"window_attempts"``, ``"window_wins"``: log(1 + count) of the last ``days``.
    of
        Whose history: ``"student"`` (all responses), those on the ``"item"``, or on the ``"skill"`` (the mean over the
        skills of the event, or each one's own with ``by="skill"``).
    by
        Who has a weight of their own: ``""`` all share one; ``"item"``, ``"skill"`` or ``"student"``; ``"pattern"``: each pattern
        of the last four outcomes, e.g. ``0110``.
    rate, days
        Of ``recent`` (0 to 1, per response) and of windows.
    times
        A column of numbers that comes with the log (:meth:`Logistic.fit_given`) and multiplies the value.
    l2
        Penalty on the weights, ``l2 / 2 * weight**2``; None: the model's.
    """

    what: str
    of: str = "student"
    by: str = ""
    rate: float = 0.0
    days: float = 0.0
    times: int | None = None
    l2: float | None = None


INTERCEPT = Feature("one", l2=0.0)


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

    def codes(self, log: Log) -> Names:
        """The log's names among these."""
        pairs = ((log.items, self.items), (log.skills, self.skills), (log.students, self.students))
        return Names(*(schema.find(mine, known) if len(known) else np.full(len(mine), -1) for mine, known in pairs))

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


@dataclass(frozen=True, repr=False)
class Logistic(Kept):
    """A logistic model of the next response, made of any features.

    Parameters
    ----------
    features
        What it looks at, see :class:`Feature`; the first should be the intercept.
    name
        What to call it.
    l2
        Penalty on every weight whose feature names none.

    Attributes
    ----------
    weights
        What the fit found (:class:`Weights`); None before it.

    Examples
    --------
    >>> import adaptrace as at
    >>> from adaptrace.models.logistic import Feature
    >>> from adaptrace.models.logistic.model import INTERCEPT
    >>> mine = at.Logistic((INTERCEPT, Feature("recent", of="skill", rate=0.8)), name="recent only")
    >>> mine.fit(at.sample_log()).coefficients().column_names
    ['feature', 'name', 'weight']
    """

    features: Sequence[Feature] = (INTERCEPT,)
    name: str = "Logistic"
    l2: float = 1.0
    weights: Weights | None = None

    family: ClassVar[str] = "logistic"

    def __post_init__(self) -> None:
        problems = [problem for feature in self.features for problem in _problems(feature)]
        if not 0.0 <= self.l2 < np.inf:
            problems.append(f"l2: got {self.l2}; expected 0 or more")
        if problems:
            raise ModelError("; ".join(problems))

    def __repr__(self) -> str:
        return f"{self.name}()" if self.weights is None else f"{self.name}({len(self.weights.values):,} weights)"

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns beyond student, item, skill and correct."""
        return ("time",) if any(feature.what in (*WINDOWED, "days") for feature in self.features) else ()

    # ---- fit and predict ----

    def fit(self, data: Log, *, executor: Executor | None = None, progress: Progress | None = None) -> Logistic:
        """Fit by penalised maximum likelihood: one optimum, the objective is convex.

        Parameters
        ----------
        data
            Not changed.
        executor
            Where the pieces of the work run; by default one thread per core. It changes no bit of the result.
        progress
            Called with the share that is done.

        Raises
        ------
        DataError
            If the log lacks a column that a feature needs.
        """
        return self.fit_given(data, NOTHING_GIVEN, executor=executor, progress=progress)

    def fit_given(
        self, log: Log, given: FloatArray, *, executor: Executor | None = None, progress: Progress | None = None
    ) -> Logistic:
        """Fit with columns (n_rows, n) that features have as ``times``."""
        items, skills, students = self._names(log)
        blank = Weights(items, skills, students, np.empty(0), len(log), 0.0)
        self._check_given(given)
        plan, penalty, blocks = self._plan(blank)
        design = self._design(log, plan, blank, given)
        best = fit_weights(design, log.rows.correct, penalty, blocks, executor=executor, progress=progress)
        return replace(self, weights=replace(blank, values=best.weights, objective=best.objective))

    def predict(self, log: Log) -> FloatArray:
        """P(correct) before each response, given the student's responses before it: float64 (n_rows,) inside (0, 1)."""
        return self.predict_given(log, NOTHING_GIVEN)

    def predict_given(self, log: Log, given: FloatArray) -> FloatArray:
        """As :meth:`predict`, with columns (n_rows, n) that features have as ``times``."""
        weights = self._fitted
        self._check_given(given)
        design, out = self._design(log, self._plan(weights)[0], weights, given), np.empty(len(log))
        parallel.run(kernels.chances, [(design, weights.values, *piece, out) for piece in parallel.ranges(len(log))])
        return out

    def _check_given(self, given: FloatArray) -> None:
        """Every column that a feature multiplies by is there."""
        absent = sorted({each.times for each in self.features if each.times is not None and each.times >= given.shape[1]})
        if absent:
            got, remedy = f"{given.shape[1]} given columns", "give them to fit_given and predict_given"
            raise ModelError(f"feature times: got {got}; expected a column {absent[0]}, counted from 0; {remedy}")

    def coefficients(self) -> pa.Table:
        """Every weight: ``feature``, whose it is (``name``; empty where all share it) and ``weight``."""
        weights, parts = self._fitted, []
        for feature, base in zip(self.features, self._plan(weights)[0].base, strict=True):
            names = weights.names(feature.by)
            values = pa.array(weights.values[base : base + len(names)])
            parts.append(pa.table({"feature": [label(feature)] * len(names), "name": names, "weight": values}))
        return pa.concat_tables(parts)

    @property
    def _fitted(self) -> Weights:
        if self.weights is None:
            raise ModelError(f"this {self.name} model is not fitted; use the one that fit(log) returns")
        return self.weights

    def _names(self, log: Log) -> Iterable[pa.StringArray]:
        """Sorted names of items, skills and students, of those that some feature tells apart."""
        for by, names in (("item", log.items), ("skill", log.skills), ("student", log.students)):
            told_apart = any(feature.by == by for feature in self.features)
            yield schema.in_order(names)[0] if told_apart else pa.array([], pa.string())

    def _plan(self, weights: Weights) -> tuple[Plan, FloatArray, list[Block]]:
        """The features as numbers, the penalty of every weight, and the weights by who has them."""
        return _plan(tuple(self.features), self.l2, {by: len(weights.names(by)) for by in BY})

    def _design(self, log: Log, plan: Plan, weights: Weights, given: FloatArray) -> Design:
        rows, several = log.rows, sum(map(_is_several, plan.of, plan.by))
        start = (len(plan.by) - several) * np.arange(len(log) + 1) + several * rows.skill_start
        design = Design(start, space(int(start[-1]), np.int32), space(int(start[-1]), np.float64))
        day = log.days if self.needs else np.empty(0)
        item = log.table["item"].chunk(0).indices.to_numpy()
        given = np.broadcast_to(given, (len(log), given.shape[1]))
        pieces = parallel.spans(rows.student_start, 4 * parallel.cores())
        names = weights.codes(log)
        parallel.run(kernels.lay_out, [(rows, item, day, plan, names, given, *piece, design) for piece in pieces])
        return design

    # ---- one student ----

    def start(self, name: str = "", group: str = "") -> LogisticState:
        """The state of a student who has not answered yet."""
        return LogisticState(self, name)

    def resume(self, content: Mapping[str, Any], name: str = "", group: str = "") -> LogisticState:
        """The state that :meth:`LogisticState.to_dict` described."""
        return LogisticState(self, name, content)

    @cached_property
    def online(self) -> Online:
        """What every student's state looks up: the plan and the weights as plain Python."""
        weights = self._fitted
        plan, _, _ = self._plan(weights)
        lists = Plan(*(values.tolist() for values in plan))
        items, skills, students = (
            {name: code for code, name in enumerate(names.to_pylist())}
            for names in (weights.items, weights.skills, weights.students)
        )
        several = sum(map(_is_several, plan.of, plan.by))
        return Online(lists, weights.values.tolist(), items, skills, students, several)

    # ---- plain data ----

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data, exact to the last bit."""
        options = {"features": [asdict(feature) for feature in self.features], "name": self.name, "l2": float(self.l2)}
        return {"family": self.family, **options, "weights": self._fitted.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Logistic:
        """The model that :meth:`to_dict` described."""
        features = tuple(_feature(each) for each in content["features"])
        model = cls(features, str(content["name"]), read.number(content, "l2"), Weights.from_dict(content["weights"]))
        needed = sum(len(model._fitted.names(feature.by)) for feature in features)
        read.numbers(content["weights"], "values", needed)
        return model


NOTHING_GIVEN = np.empty((1, 0))


def label(feature: Feature) -> str:
    """A feature in a few words, e.g. ``recent 0.8 of skill``."""
    number = feature.rate or feature.days
    what = f"{feature.what} {number:g}" if number else feature.what
    times = "" if feature.times is None else f" times given {feature.times}"
    return f"{what} of {feature.of}{times}" + (f" by {feature.by}" if feature.by else "")


def _feature(content: Mapping[str, Any]) -> Feature:
    """A feature as a file describes it."""
    for name in {"rate", "days", "times", "l2"} & content.keys():
        if content[name] is not None or name in ("rate", "days"):
            read.count(content, name) if name == "times" else read.number(content, name)
    return Feature(**content)


def _problems(feature: Feature) -> list[str]:
    """What is wrong with a feature."""
    problems = [
        f"feature {name}: got {value!r}; expected one of {', '.join(map(repr, known))}"
        for name, value, known in (("what", feature.what, WHAT), ("of", feature.of, OF), ("by", feature.by, BY))
        if value not in known
    ]
    if feature.what == "recent" and not 0.0 < feature.rate < 1.0:
        problems.append(f"feature recent: got rate {feature.rate}; expected a number between 0 and 1")
    if feature.times is not None and feature.times < 0:
        problems.append(f"feature times: got {feature.times}; expected the number of a given column, from 0")
    if feature.l2 is not None and not 0.0 <= feature.l2 < np.inf:
        problems.append(f"feature l2: got {feature.l2}; expected 0 or more")
    if feature.what in WINDOWED and not feature.days > 0.0:
        problems.append(f"feature {feature.what}: got days {feature.days}; expected more than 0")
    return problems


def _plan(features: Sequence[Feature], l2: float, sizes: Mapping[str, int]) -> tuple[Plan, FloatArray, list[Block]]:
    """The features as numbers; weights of the same owners stand together."""
    rates = sorted({feature.rate for feature in features if feature.what == "recent"})
    windows = sorted({feature.days for feature in features if feature.what in WINDOWED})
    base, penalty, blocks = np.zeros(len(features), np.int64), [np.empty(0)], []
    for by, size in sizes.items():
        mine, first = [number for number, feature in enumerate(features) if feature.by == by], sum(map(len, penalty))
        for place, number in enumerate(mine):
            base[number] = first + place * size
            penalty.append(np.full(size, l2 if features[number].l2 is None else features[number].l2))
        if mine and size:
            blocks.append(Block(first, len(mine), size))
    of, what, by_code = (
        np.array([known[getattr(feature, name)] for feature in features], np.int32)
        for name, known in (("of", OF), ("what", WHAT), ("by", BY))
    )
    times = np.array([-1 if feature.times is None else feature.times for feature in features], np.int32)
    which = np.array([_which(feature, rates, windows) for feature in features], np.int32)
    plan = Plan(of, what, by_code, which, times, base, np.array(rates, float), np.array(windows, float))
    return plan, np.concatenate(penalty), blocks


def _which(feature: Feature, rates: Sequence[float], windows: Sequence[float]) -> int:
    """The place of a feature's rate, window or column."""
    if feature.what == "recent":
        return rates.index(feature.rate)
    return windows.index(feature.days) if feature.what in WINDOWED else 0


def _is_several(of: int, by: int) -> bool:
    """Whether a feature has a value for each skill of an event."""
    return bool(by == kernels.BY_SKILL or (by == kernels.BY_PATTERN and of == kernels.SKILL))


# ---- models of the literature ------------------------------------------------


def PFA(*, l2: float = 1.0) -> Logistic:
    """Performance factors analysis: skills with weights for right and wrong answers (Pavlik, Cen & Koedinger, 2009, eq. 2)."""
    return Logistic((INTERCEPT, *(Feature(what, "skill", "skill") for what in ("one", "wins", "fails"))), "PFA", l2)


def AFM(*, l2: float = 1.0) -> Logistic:
    """Additive factors model: the student, the skills, and how often they were practised (Cen, Koedinger & Junker, 2006)."""
    skill = (Feature(what, "skill", "skill") for what in ("one", "attempts"))
    return Logistic((INTERCEPT, Feature("one", by="student"), *skill), "AFM", l2)


def BestLR(*, l2: float = 1.0) -> Logistic:
    """Best-LR: item, skills, and log-scaled counts of right answers and attempts per skill, on the item and in total.

    Gervet, Koedinger, Schneider & Mitchell (2020), sec. 3.2; without a weight of the student, as for students never seen.
    """
    counts = ("log_wins", "log_attempts")
    skill = (Feature(what, "skill", "skill") for what in ("one", *counts))
    totals = (Feature(what, of) for of in ("item", "student") for what in counts)
    return Logistic((INTERCEPT, *totals, Feature("one", "item", "item"), *skill), "BestLR", l2)


def DAS3H(*, l2: float = 1.0) -> Logistic:
    """DAS3H: the student, the item, the skills, and counts per skill in the last hour, day, week, month and ever; needs ``time``.

    Choffin, Popineau, Bourda & Vie (2019), eq. 3 and 4.
    """
    windows = (Feature(what, "skill", "skill", days=days) for days in (1.0 / 24.0, 1.0, 7.0, 30.0) for what in reversed(WINDOWED))
    ever = (Feature(what, "skill", "skill") for what in ("one", "log_wins", "log_attempts"))
    return Logistic((INTERCEPT, Feature("one", by="student"), Feature("one", "item", "item"), *ever, *windows), "DAS3H", l2)


def Recency(*, rates: Sequence[float] = (0.5, 0.8, 0.95), l2: float = 1.0) -> Logistic:
    """Recency: the item, the skills, how right the latest answers were, on the skill and overall, and how long ago.

    After ``logitdec`` and ``recency`` of logistic knowledge tracing (Pavlik, Eglington & Harrell-Williams, 2021); several rates
    of decay with a weight each stand for the one that is searched there.
    """
    recent = (Feature("recent", of, rate=rate) for of in ("skill", "student") for rate in rates)
    since = (Feature(what, of) for of in ("item", "skill") for what in ("new", "gap"))
    names = (Feature("one", "item", "item"), Feature("one", "skill", "skill"))
    return Logistic((INTERCEPT, *recent, *since, *names), "Recency", l2)
