"""Logistic models: a weighted sum of what a student did before, named by a list of features."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar

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
    TIMED,
    Feature,
    feature_from_dict,
    feature_to_dict,
    label,
    largest_apart,
    plan_of,
    problems_of,
    values_per_skill,
)
from adaptrace.models.logistic.fit import fit_weights
from adaptrace.models.logistic.state import LogisticState, WeightLookup
from adaptrace.models.logistic.weights import Weights
from adaptrace.models.saved import SavedModel

if TYPE_CHECKING:
    from adaptrace.models.logistic.inference import Criteria

FloatArray = NDArray[np.float64]

NOTHING_GIVEN = np.empty((1, 0))


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
    known: ClassVar[dict[str, type[Logistic]]] = {}  # the models of the literature, by their names

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
        return ("time",) if any(feature.what in TIMED for feature in self.features) else ()

    # ---- fit and predict ----

    def fit(self, data: Log, *, executor: Executor | None = None, progress: Progress | None = None) -> Logistic:
        """Fit by penalised maximum likelihood: one optimum, the objective is convex.

        The arguments are those of :meth:`adaptrace.models.base.Model.fit`. A DataError says if the log lacks a column that a
        feature needs.
        """
        return self.fit_given(data.by_name, NOTHING_GIVEN, executor=executor, progress=progress)

    def fit_given(
        self,
        log: Log,
        given: FloatArray,
        *,
        strength: float = 1.0,
        executor: Executor | None = None,
        progress: Progress | None = None,
    ) -> Logistic:
        """Fit with columns (n_rows, n) that features have as ``times``; ``strength`` multiplies every penalty."""
        items, skills, students = self._names(log)
        blank = Weights(items, skills, students, np.empty(0), len(log), 0.0)
        self._check_given(given)
        plan, penalty, blocks = self._plan(blank)
        design = self._design(log, plan, blank, given)
        best = fit_weights(design, log.rows.correct, strength * penalty, blocks, executor=executor, progress=progress)
        return replace(self, weights=replace(blank, values=best.weights, objective=best.objective))

    def predict(self, log: Log) -> FloatArray:
        """P(correct) before each response, given the student's responses before it: float64 (n_rows,) inside (0, 1)."""
        return self.predict_given(log, NOTHING_GIVEN)

    def predict_given(self, log: Log, given: FloatArray) -> FloatArray:
        """As :meth:`predict`, with columns (n_rows, n) that features have as ``times``."""
        return self._of_rows(kernels.chances, self.describe(log, given))

    def describe(self, log: Log, given: FloatArray) -> Design:
        """The values of all features before each response, as :meth:`predict_given` weighs them."""
        weights = self._fitted
        self._check_given(given)
        return self._design(log, self._plan(weights)[0], weights, given)

    def logits(self, design: Design) -> FloatArray:
        """The weighted sums of a design, (n_rows,)."""
        return self._of_rows(kernels.logits, design)

    def _of_rows(self, how: Callable[..., None], design: Design) -> FloatArray:
        out = np.empty(len(design.start) - 1)
        parallel.run(how, [(design, self._fitted.values, *piece, out) for piece in parallel.ranges(len(out))])
        return out

    def _check_given(self, given: FloatArray) -> None:
        """Every column that a feature multiplies by is there."""
        absent = sorted({each.times for each in self.features if each.times is not None and each.times >= given.shape[1]})
        if absent:
            got, remedy = f"{given.shape[1]} given columns", "give them to fit_given and predict_given"
            raise ModelError(f"feature times: got {got}; expected a column {absent[0]}, counted from 0; {remedy}")

    def summary(self, log: Log | None = None) -> pa.Table:
        """Every weight: ``parameter`` (the feature), whose it is (``name``; empty where all share it) and ``value``.

        With the log, also ``standard_error``, ``z`` and ``p``: see :meth:`coefficients`.
        """
        table = self.coefficients(log)
        return table.rename_columns(["parameter", "name", "value", *table.column_names[3:]])

    def coefficients(self, log: Log | None = None) -> pa.Table:
        """Every weight: ``feature``, whose it is (``name``; empty where all share it) and ``weight``.

        Parameters
        ----------
        log
            What the model was fitted to: then also ``standard_error``, ``z`` (weight / standard error) and ``p``, two-sided.

        Returns
        -------
        pyarrow.Table
            One row per weight.

        Raises
        ------
        ModelError
            If the log is another one, or if responses and penalty together do not hold every weight.

        Notes
        -----
        Standard errors are those of the penalised fit: the inverse of its observed information (Gray, 1992). The penalty is a
        normal prior with mean 0 and variance ``1 / l2``, so they are standard deviations of the weight given the responses, and
        ``p / 2`` is the probability, given the responses, that the weight has the other sign. Penalised weights are drawn to 0:
        ``p`` is then larger than without a penalty, and a weight that no response meets has p = 1. With ``l2`` close to 0 it is
        Wald's test. Responses are taken as independent given the features; where a student's are not, intervals are too narrow.

        Examples
        --------
        >>> import adaptrace as at
        >>> log = at.sample_log()
        >>> table = at.PFA().fit(log).coefficients(log)
        >>> table.column_names
        ['feature', 'name', 'weight', 'standard_error', 'z', 'p']
        """
        weights, parts = self._fitted, []
        sure = None if log is None else np.sqrt(self._variances(log))
        for feature, base in zip(self.features, self._plan(weights)[0].base, strict=True):
            names = weights.names(feature.by)
            own = slice(base, base + len(names))
            columns = {"feature": [label(feature)] * len(names), "name": names, "weight": pa.array(weights.values[own])}
            parts.append(pa.table(columns | ({} if sure is None else _tested(weights.values[own], sure[own]))))
        return pa.concat_tables(parts)

    def criteria(self, log: Log) -> Criteria:
        """Log-likelihood, effective number of weights, AIC and BIC on the log that the model was fitted to.

        Raises
        ------
        ModelError
            As in :meth:`coefficients`.

        Examples
        --------
        >>> import adaptrace as at
        >>> log = at.sample_log()
        >>> at.PFA().fit(log).criteria(log).bic < at.PFA(counts="linear").fit(log).criteria(log).bic
        True
        """
        from adaptrace.models.logistic.inference import Criteria  # here: scipy.sparse and scipy.linalg take a while

        penalty = self._plan(self._fitted)[1]
        effective = len(penalty) - float((penalty * self._variances(log)).sum())
        return Criteria.of(len(log), self._penalised(penalty) - self._fitted.objective, len(penalty), effective)

    def _penalised(self, penalty: FloatArray) -> float:
        """What the penalty adds to the objective."""
        return 0.5 * float((penalty * self._fitted.values**2).sum())

    def _variances(self, log: Log) -> FloatArray:
        """The variance of every weight, where the log is that of the fit."""
        from adaptrace.models.logistic.inference import variances  # here: as in criteria

        weights, (plan, penalty, blocks) = self._fitted, self._plan(self._fitted)
        p, correct = self.predict(log), log.correct
        objective = self._penalised(penalty) - float((correct * np.log(p) + (1.0 - correct) * np.log1p(-p)).sum())
        if len(log) != weights.responses or not np.isclose(objective, weights.objective, rtol=1e-6):
            got = f"got {counted(len(log), 'response')}" + (", others" if len(log) == weights.responses else "")
            raise ModelError(f"log: {got}; expected the {weights.responses:,} that the model was fitted to")
        return variances(self._design(log, plan, weights, NOTHING_GIVEN), weights.values, penalty, largest_apart(plan, blocks))

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
        options = {"features": list(map(feature_to_dict, self.features)), "name": self.name, "l2": float(self.l2)}
        return {"family": self.family, **options, "weights": self._fitted.to_dict()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Logistic:
        """The model that :meth:`to_dict` described, e.g. a :class:`PFA` where it has its name and its features."""
        features, weights = tuple(map(feature_from_dict, content["features"])), Weights.from_dict(content["weights"])
        read.numbers(content["weights"], "values", sum(len(weights.names(feature.by)) for feature in features))
        name, l2 = str(content["name"]), read.number(content, "l2")
        own = Logistic.known[name]._with_features(features, l2, weights) if name in Logistic.known else None
        return own or Logistic(features=features, name=name, l2=l2, weights=weights)

    @classmethod
    def _with_features(cls, features: Sequence[Feature], l2: float, weights: Weights) -> Logistic | None:
        """The model of this class that has these features, if there is one."""
        model = cls(l2=l2, weights=weights)
        return model if model.features == features else None


def _tested(weights: FloatArray, errors: FloatArray) -> dict[str, Any]:
    """Columns of a Wald test of each weight against 0."""
    z = weights / errors
    return {"standard_error": errors, "z": z, "p": np.array([math.erfc(abs(each) / math.sqrt(2.0)) for each in z.tolist()])}
