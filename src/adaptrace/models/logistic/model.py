"""Logistic models: a weighted sum of what a student did before. PFA, AFM, Best-LR, DAS3H: each is a list of features."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.errors import ModelError, counted
from adaptrace.kernels import logistic as kernels
from adaptrace.kernels import parallel
from adaptrace.kernels.arrays import space
from adaptrace.kernels.logistic import Block, Design, FeaturePlan
from adaptrace.models import content as read
from adaptrace.models.base import Progress
from adaptrace.models.logistic.features import (
    BY,
    INTERCEPT,
    WINDOWED,
    Feature,
    feature_from_dict,
    label,
    plan_of,
    problems_of,
    values_per_skill,
)
from adaptrace.models.logistic.fit import fit_weights
from adaptrace.models.logistic.state import LogisticState, WeightLookup
from adaptrace.models.logistic.weights import Weights
from adaptrace.models.saved import SavedModel

FloatArray = NDArray[np.float64]

NOTHING_GIVEN = np.empty((1, 0))
COUNTS = ("log", "linear")


@dataclass(frozen=True, repr=False, kw_only=True)
class Logistic(SavedModel):
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
    >>> from adaptrace.models.logistic.features import INTERCEPT
    >>> recent = at.Feature(what="recent", of="skill", rate=0.8)
    >>> mine = at.Logistic(features=(INTERCEPT, recent), name="recent only")
    >>> mine.fit(at.sample_log()).coefficients().column_names
    ['feature', 'name', 'weight']
    """

    features: Sequence[Feature] = (INTERCEPT,)
    name: str = "Logistic"
    l2: float = 1.0
    weights: Weights | None = None

    family: ClassVar[str] = "logistic"

    def __post_init__(self) -> None:
        problems = [problem for feature in self.features for problem in problems_of(feature)]
        if not 0.0 <= self.l2 <= sys.float_info.max:
            problems.append(f"l2: got {self.l2}; expected 0 or more")
        if problems:
            raise ModelError("; ".join(problems))

    def __repr__(self) -> str:
        fitted = [] if self.weights is None else [counted(len(self.weights.values), "weight")]
        return f"{self.name}({', '.join(fitted + self._options)})"

    @property
    def _options(self) -> list[str]:
        """What differs from the default, for ``repr``."""
        return []

    @property
    def holds_students(self) -> bool:
        """Whether it has values of single students: its file is then for its owner alone."""
        return self.weights is not None and len(self.weights.students) > 0

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns beyond student, item, skill and correct."""
        return ("time",) if any(feature.what in (*WINDOWED, "days") for feature in self.features) else ()

    # ---- fit and predict ----

    def fit(self, data: Log, *, executor: Executor | None = None, progress: Progress | None = None) -> Logistic:
        """Fit by penalised maximum likelihood: one optimum, the objective is convex.

        The arguments are those of :meth:`adaptrace.models.base.Model.fit`. A DataError says if the log lacks a column that a
        feature needs.
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

    def summary(self) -> pa.Table:
        """Every weight: ``parameter`` (the feature), whose it is (``name``; empty where all share it) and ``value``."""
        return self.coefficients().rename_columns(["parameter", "name", "value"])

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

    def _names(self, log: Log) -> Iterator[pa.StringArray]:
        """Sorted names of items, skills and students, where weights differ by them."""
        for by, names in (("item", log.items), ("skill", log.skills), ("student", log.students)):
            differs = any(feature.by == by for feature in self.features)
            yield schema.in_order(names)[0] if differs else pa.array([], pa.string())

    def _plan(self, weights: Weights) -> tuple[FeaturePlan, FloatArray, list[Block]]:
        """The features as numbers, the penalty of every weight, and the weights by who has them."""
        return plan_of(tuple(self.features), self.l2, {by: len(weights.names(by)) for by in BY})

    def _design(self, log: Log, plan: FeaturePlan, weights: Weights, given: FloatArray) -> Design:
        rows, several = log.rows, values_per_skill(plan)
        start = (len(plan.by) - several) * np.arange(len(log) + 1) + several * rows.skill_start
        design = Design(start, space(int(start[-1]), np.int32), space(int(start[-1]), np.float64))
        day = log.days if self.needs else np.empty(0)
        item = log.table["item"].chunk(0).indices.to_numpy()
        given = np.broadcast_to(given, (len(log), given.shape[1]))
        pieces = parallel.spans(rows.student_start, 4 * parallel.cores())
        codes = weights.codes(log)
        parallel.run(kernels.lay_out, [(rows, item, day, plan, codes, given, *piece, design) for piece in pieces])
        return design

    # ---- one student ----

    def start(self, name: str = "", group: str = "") -> LogisticState:
        """The state of a student who has not answered yet."""
        return LogisticState(self._lookup, name)

    def resume(self, content: Mapping[str, Any], name: str = "", group: str = "") -> LogisticState:
        """The state that :meth:`LogisticState.to_dict` described."""
        return LogisticState(self._lookup, name, content)

    @cached_property
    def _lookup(self) -> WeightLookup:
        """What every student's state looks up."""
        return WeightLookup.of(self._plan(self._fitted)[0], self._fitted)

    # ---- plain data ----

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data, exact to the last bit."""
        options = {"features": [asdict(feature) for feature in self.features], "name": self.name, "l2": float(self.l2)}
        return {"family": self.family, **options, "weights": self._fitted.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Logistic:
        """The model that :meth:`to_dict` described, e.g. a :class:`PFA` where it has its name and its features."""
        features, weights = tuple(map(feature_from_dict, content["features"])), Weights.from_dict(content["weights"])
        read.numbers(content["weights"], "values", sum(len(weights.names(feature.by)) for feature in features))
        name, l2 = str(content["name"]), read.number(content, "l2")
        for known in (PFA, AFM, BestLR, DAS3H, Recency):
            if known.name == name and (model := known._with_features(features, l2, weights)) is not None:
                return model
        return Logistic(features=features, name=name, l2=l2, weights=weights)

    @classmethod
    def _with_features(cls, features: Sequence[Feature], l2: float, weights: Weights) -> Logistic | None:
        """The model of this class that has these features, if there is one."""
        model = cls(l2=l2, weights=weights)
        return model if model.features == features else None


# ---- models of the literature ------------------------------------------------


def _of_skill(*what: str) -> tuple[Feature, ...]:
    """Features of a skill's history with a weight per skill."""
    return tuple(Feature(what=each, of="skill", by="skill") for each in what)


OWN_STUDENT, OWN_ITEM = Feature(what="one", by="student"), Feature(what="one", of="item", by="item")


@dataclass(frozen=True, repr=False, kw_only=True)
class _CountsOfSkills(Logistic):
    """A model of counts of a skill's responses, as they are or their logarithms."""

    counts: str = "log"
    features: Sequence[Feature] = field(default=(), init=False)

    _shared: ClassVar[tuple[Feature, ...]]  # the features before those of the skills
    _counted: ClassVar[tuple[str, ...]]  # what is counted

    def __post_init__(self) -> None:
        if self.counts not in COUNTS:
            raise ModelError(f"counts: got {self.counts!r}; expected {' or '.join(map(repr, COUNTS))}")
        what = (f"log_{each}" if self.counts == "log" else each for each in self._counted)
        object.__setattr__(self, "features", (*self._shared, *_of_skill("one", *what)))
        super().__post_init__()

    @property
    def _options(self) -> list[str]:
        return [] if self.counts == "log" else [f"counts={self.counts!r}"]

    @classmethod
    def _with_features(cls, features: Sequence[Feature], l2: float, weights: Weights) -> Logistic | None:
        models = (cls(counts=counts, l2=l2, weights=weights) for counts in COUNTS)
        return next((model for model in models if model.features == features), None)


@dataclass(frozen=True, repr=False, kw_only=True)
class PFA(_CountsOfSkills):
    """Performance factors analysis: skills with weights for right and wrong answers (Pavlik, Cen & Koedinger, 2009, eq. 2).

    The paper's counts grow without end: a student with ten times the practice of those that the model was fitted to gets
    ten times their logit, and log loss may be far above that of a constant. Logarithms hardly grow and predict better on
    public logs, so they are the default.

    Parameters
    ----------
    counts
        ``"log"``: log(1 + right answers) and log(1 + wrong answers); ``"linear"``: the counts themselves, as in the paper.
    l2
        Penalty on every weight but the intercept.

    Raises
    ------
    ModelError
        If ``counts`` is neither.

    Examples
    --------
    >>> import adaptrace as at
    >>> at.PFA(counts="linear").fit(at.sample_log())
    PFA(73 weights, counts='linear')
    """

    name: str = field(default="PFA", init=False)

    _shared: ClassVar[tuple[Feature, ...]] = (INTERCEPT,)
    _counted: ClassVar[tuple[str, ...]] = ("wins", "fails")


@dataclass(frozen=True, repr=False, kw_only=True)
class AFM(_CountsOfSkills):
    """Additive factors model: the student, the skills, and how often they were practised (Cen, Koedinger & Junker, 2006).

    Parameters
    ----------
    counts
        ``"log"``: log(1 + attempts), see :class:`PFA`; ``"linear"``: attempts, whose weight is a learning rate (the paper).
    l2
        Penalty on every weight but the intercept.

    Raises
    ------
    ModelError
        If ``counts`` is neither.
    """

    name: str = field(default="AFM", init=False)

    _shared: ClassVar[tuple[Feature, ...]] = (INTERCEPT, OWN_STUDENT)
    _counted: ClassVar[tuple[str, ...]] = ("attempts",)


def _best_lr() -> tuple[Feature, ...]:
    counts = ("log_wins", "log_attempts")
    totals = (Feature(what=what, of=of) for of in ("item", "student") for what in counts)
    return (INTERCEPT, *totals, OWN_ITEM, *_of_skill("one", *counts))


@dataclass(frozen=True, repr=False, kw_only=True)
class BestLR(Logistic):
    """Best-LR: item, skills, and log-scaled counts of right answers and attempts per skill, on the item and in total.

    Gervet, Koedinger, Schneider & Mitchell (2020), sec. 3.2; without a weight of the student, as for students never seen.

    Parameters
    ----------
    l2
        Penalty on every weight but the intercept.
    """

    features: Sequence[Feature] = field(default=_best_lr(), init=False)
    name: str = field(default="BestLR", init=False)


def _das3h() -> tuple[Feature, ...]:
    lengths = (1.0 / 24.0, 1.0, 7.0, 30.0)
    windows = (Feature(what=what, of="skill", by="skill", days=days) for days in lengths for what in reversed(WINDOWED))
    return (INTERCEPT, OWN_STUDENT, OWN_ITEM, *_of_skill("one", "log_wins", "log_attempts"), *windows)


@dataclass(frozen=True, repr=False, kw_only=True)
class DAS3H(Logistic):
    """DAS3H: the student, the item, the skills, and counts per skill in the last hour, day, week, month and ever; needs ``time``.

    Choffin, Popineau, Bourda & Vie (2019), eq. 3 and 4.

    Parameters
    ----------
    l2
        Penalty on every weight but the intercept.
    """

    features: Sequence[Feature] = field(default=_das3h(), init=False)
    name: str = field(default="DAS3H", init=False)


@dataclass(frozen=True, repr=False, kw_only=True)
class Recency(Logistic):
    """Recency: the item, the skills, how right the latest answers were, on the skill and overall, and how long ago.

    After ``logitdec`` and ``recency`` of logistic knowledge tracing (Pavlik, Eglington & Harrell-Williams, 2021); several rates
    of decay with a weight each stand for the one that is searched there.

    Parameters
    ----------
    rates
        Of decay, per response, each between 0 and 1.
    l2
        Penalty on every weight but the intercept.
    """

    rates: Sequence[float] = (0.5, 0.8, 0.95)
    features: Sequence[Feature] = field(default=(), init=False)
    name: str = field(default="Recency", init=False)

    def __post_init__(self) -> None:
        recent = (Feature(what="recent", of=of, rate=rate) for of in ("skill", "student") for rate in self.rates)
        since = (Feature(what=what, of=of) for of in ("item", "skill") for what in ("new", "gap"))
        object.__setattr__(self, "features", (INTERCEPT, *recent, *since, OWN_ITEM, *_of_skill("one")))
        super().__post_init__()

    @classmethod
    def _with_features(cls, features: Sequence[Feature], l2: float, weights: Weights) -> Logistic | None:
        rates = tuple(feature.rate for feature in features if feature.what == "recent" and feature.of == "skill")
        model = cls(rates=rates, l2=l2, weights=weights)
        return model if model.features == features else None
