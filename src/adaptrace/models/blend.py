"""Blend: one logistic layer over what the other models, and the student's history, know before each response."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.kernels import blend as kernels
from adaptrace.kernels import parallel
from adaptrace.kernels.compile import plain
from adaptrace.models.base import Progress, Response
from adaptrace.models.bkt import BKT
from adaptrace.models.bkt.state import BKTState
from adaptrace.models.irt import IRT, TwoPL
from adaptrace.models.irt.state import IRTState
from adaptrace.models.logistic import Feature, Logistic
from adaptrace.models.logistic.model import INTERCEPT
from adaptrace.models.logistic.state import LogisticState
from adaptrace.models.saved import Kept

FloatArray = NDArray[np.float64]

FOLDS = 4  # of the students: each is known to the layer as models fitted to the others see them
LOOSE, LEVEL, SLOPE = 1.0, 10.0, 30.0  # penalties: on weights of all, on an item's or skill's level, on its slopes
RATES = (0.6, 0.9)  # of recent shares
MATURING = (  # what changes how much the known counts
    *(("log_attempts", "student"), ("log_attempts", "skill"), ("gap", "skill")),
    *(("new", "item"), ("gap", "item")),
)

knowledge = plain(kernels.knowledge)


def _layer() -> Logistic:
    """What is known, the history of the student, the item and the skills, and how items and skills differ in all that."""
    known = range(len(kernels.KNOWN))
    whose = ("student", "item", "skill")
    counts = ("log_attempts", "log_wins", "log_fails", "last", "new", "gap")
    shared = [Feature("one", times=each) for each in known]
    shared += [Feature(what, of) for of in whose for what in counts]
    shared += [Feature("recent", of, rate=rate) for of in whose for rate in RATES]
    shared += [Feature(what, of, times=each) for what, of in MATURING for each in known]
    levels = [Feature("one", of, by) for of, by in (("item", "item"), ("skill", "skill"), ("skill", "pattern"))]
    slopes = [Feature("one", times=kernels.IRT, by="item"), Feature("log_attempts", "skill", "skill")]
    slopes += [Feature("one", times=each, by="skill") for each in (kernels.BKT, kernels.IRT, kernels.ABILITY)]
    slopes += [Feature("recent", "skill", "skill", rate=RATES[1])]
    penalised = ((shared, LOOSE), (levels, LEVEL), (slopes, SLOPE))
    return Logistic((INTERCEPT, *(replace(each, l2=l2) for features, l2 in penalised for each in features)), "layer")


@dataclass(frozen=True, repr=False)
class Blend(Kept):
    """The best of the others: a logistic layer over what they know before each response (stacking; Wolpert, 1992).

    It sees the predictions of a :class:`~adaptrace.BKT` and of an item response model, the ability and the difficulty behind
    the latter, counts and recency of the student's history, and lets items and skills differ. To fit the layer, every
    student is described by models fitted to the other students, so nothing sees its own outcome; only the starting points
    and the few numbers that all share (the mean skill, how abilities move) are found once, from everybody.

    Parameters
    ----------
    bkt
        The knowledge tracing inside; it also answers questions about mastery.
    irt
        The item response model inside.

    Attributes
    ----------
    layer
        The logistic layer (:class:`~adaptrace.Logistic`); ``blend.layer.coefficients()`` says what it weighs and how much.

    Examples
    --------
    >>> import adaptrace as at
    >>> train, test = at.sample_log().split(seed=0)
    >>> at.Blend().fit(train).predict(test).shape == (len(test),)
    True
    """

    bkt: BKT = field(default_factory=BKT)
    irt: IRT = field(default_factory=TwoPL)
    layer: Logistic = field(default_factory=_layer)

    family: ClassVar[str] = "blend"

    def __repr__(self) -> str:
        given = [repr(model) for model, usual in ((self.bkt, BKT()), (self.irt, TwoPL())) if repr(model) != repr(usual)]
        return f"Blend({', '.join(given if self.layer.weights is None else [repr(self.bkt), repr(self.irt)])})"

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns beyond student, item, skill and correct."""
        return tuple(dict.fromkeys((*self.bkt.needs, *self.layer.needs)))

    def fit(self, data: Log, *, executor: Executor | None = None, progress: Progress | None = None) -> Blend:
        """Fit the models inside, describe every student by models of the others, and fit the layer.

        Parameters
        ----------
        data
            Not changed.
        executor
            Where the pieces of the work run; by default one thread per core. It changes no bit of the result.
        progress
            Called with the share that is done.
        """
        told = progress or (lambda share: None)
        inner = replace(self, bkt=self.bkt.fit(self._stats(data), executor=executor), irt=self.irt.fit(data, executor=executor))
        told(0.4)
        fold = _folds(data)
        known = np.empty((len(data), len(kernels.KNOWN)))
        for number in np.unique(fold):
            other = inner._refitted(data.select(fold != number), executor)
            known[fold == number] = other.known(data.select(fold == number))
            told(0.4 + 0.3 * (number + 1) / FOLDS)
        layer = self.layer.fit_given(data, known, executor=executor, progress=lambda share: told(0.7 + 0.3 * share))
        return replace(inner, layer=layer)

    def _stats(self, log: Log) -> Any:
        """The counts of a log: what an event says of several skills is then approximate, and the fit fast."""
        return replace(self.bkt, table=None, effects=None).stats(log)

    def _refitted(self, log: Log, executor: Executor | None) -> Blend:
        """The models inside, as a part of the log says."""
        bkt = self.bkt.refit(self._stats(log), executor=executor)
        return replace(self, bkt=bkt, irt=self.irt.recalibrate(log, executor=executor))

    def known(self, log: Log) -> FloatArray:
        """What the models inside know before each response, (n_rows, 4): see :data:`adaptrace.kernels.blend.KNOWN`."""
        traced, (difficulty, _), out = self.irt.trace(log), self.irt.place(log), np.empty((len(log), len(kernels.KNOWN)))
        work = (self.bkt.predict(log), traced.predicted, traced.own, difficulty)
        parallel.run(kernels.know, [(*work, *piece, out) for piece in parallel.ranges(len(log))])
        return out

    def predict(self, log: Log) -> FloatArray:
        """P(correct) before each response, given the student's responses before it: float64 (n_rows,) inside (0, 1)."""
        return self.layer.predict_given(log, self.known(log))

    def score(self, log: Log, *, time: datetime.datetime | None = None) -> pa.Table:
        """Mastery of every student on every skill they met, as the knowledge tracing inside says (:meth:`BKT.score`)."""
        return self.bkt.score(log, time=time)

    def summary(self) -> pa.Table:
        """One row per skill: the parameters of the knowledge tracing inside."""
        return self.bkt.summary()

    def trace(self, log: Log) -> pa.Table:
        """The path of mastery, as the knowledge tracing inside says."""
        return self.bkt.trace(log)

    # ---- one student ----

    def start(self, name: str = "", group: str = "") -> BlendState:
        """The state of a student who has not answered yet."""
        return BlendState(self.bkt.start(name, group), self.irt.start(name, group), self.layer.start(name, group))

    def resume(self, content: Mapping[str, Any], name: str = "", group: str = "") -> BlendState:
        """The state that :meth:`BlendState.to_dict` described."""
        bkt, irt = self.bkt.resume(content["bkt"], name, group), self.irt.resume(content["irt"], name, group)
        return BlendState(bkt, irt, self.layer.resume(content["layer"], name, group))

    # ---- keeping it ----

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data, exact to the last bit."""
        return {"family": self.family, **{part: getattr(self, part).to_dict() for part in ("bkt", "irt", "layer")}}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Blend:
        """The model that :meth:`to_dict` described."""
        return cls(BKT.from_dict(content["bkt"]), IRT.from_dict(content["irt"]), Logistic.from_dict(content["layer"]))


@dataclass
class BlendState:
    """One student as a :class:`Blend` knows them: as each of its models does."""

    bkt: BKTState
    irt: IRTState
    layer: LogisticState

    def predict(self, response: Response) -> float:
        """P(correct)."""
        difficulty, _ = self.irt.model.online.item(response)
        known = [0.0] * len(kernels.KNOWN)
        knowledge(self.bkt.predict(response), self.irt.predict(response), self.irt.ability[0], difficulty, known)
        return self.layer.predict(response, known)

    def observe(self, response: Response) -> None:
        """Take in one response."""
        for part in (self.bkt, self.irt, self.layer):
            part.observe(response)

    def mastery(self, skill: str, moment: int | None = None) -> float:
        """P(known), as the knowledge tracing inside says."""
        return self.bkt.mastery(skill, moment)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        return {part: getattr(self, part).to_dict() for part in ("bkt", "irt", "layer")}


def _folds(log: Log) -> NDArray[np.int64]:
    """The fold of every response, (n_rows,): students are dealt in the order of their names, whatever theirs in the log."""
    _, by_name = schema.in_order(log.students)
    fold = np.random.default_rng(0).permutation(np.arange(len(by_name)) % FOLDS)[by_name]
    return np.asarray(fold[log.table["student"].chunk(0).indices.to_numpy()])
