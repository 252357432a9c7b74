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
from adaptrace.models.logistic.features import INTERCEPT
from adaptrace.models.logistic.state import LogisticState
from adaptrace.models.saved import SavedModel

FloatArray = NDArray[np.float64]

FOLDS = 4  # of the students: each is known to the layer as models fitted to the others see them
LOOSE, LEVEL, STRICT = 1.0, 10.0, 30.0  # penalties: on weights of all, on the level of an item or skill, on its other weights
RATES = (0.6, 0.9)  # of recent shares
MATURING = (  # features that change the weight of what the models inside know
    *(("log_attempts", "student"), ("log_attempts", "skill"), ("gap", "skill")),
    *(("new", "item"), ("gap", "item")),
)

PARTS: dict[str, Any] = {"bkt": BKT, "irt": IRT, "layer": Logistic}

knowledge = plain(kernels.knowledge)


def _layer() -> Logistic:
    """What the models inside know, the history of student, item and skills, and how items and skills differ."""
    known = range(len(kernels.KNOWN))
    whose = ("student", "item", "skill")
    counts = ("log_attempts", "log_wins", "log_fails", "last", "new", "gap")
    shared = [Feature(what="one", times=each) for each in known]
    shared += [Feature(what=what, of=of) for of in whose for what in counts]
    shared += [Feature(what="recent", of=of, rate=rate) for of in whose for rate in RATES]
    shared += [Feature(what=what, of=of, times=each) for what, of in MATURING for each in known]
    levels = [Feature(what="one", of=of, by=by) for of, by in (("item", "item"), ("skill", "skill"), ("skill", "pattern"))]
    others = [Feature(what="one", times=kernels.IRT, by="item"), Feature(what="log_attempts", of="skill", by="skill")]
    others += [Feature(what="one", times=each, by="skill") for each in (kernels.BKT, kernels.IRT, kernels.ABILITY)]
    others += [Feature(what="recent", of="skill", by="skill", rate=RATES[1])]
    penalised = ((shared, LOOSE), (levels, LEVEL), (others, STRICT))
    features = (INTERCEPT, *(replace(each, l2=l2) for features, l2 in penalised for each in features))
    return Logistic(features=features, name="layer")


@dataclass(frozen=True, repr=False, kw_only=True)
class Blend(SavedModel):
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
        The logistic layer (:class:`~adaptrace.Logistic`); ``blend.layer.coefficients()`` gives its weights.

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
    def holds_students(self) -> bool:
        """Whether it has values of single students: its file is then for its owner alone."""
        return self.bkt.holds_students or self.layer.holds_students

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns beyond student, item, skill and correct."""
        return tuple(dict.fromkeys((*self.bkt.needs, *self.layer.needs)))

    def fit(self, data: Log, *, executor: Executor | None = None, progress: Progress | None = None) -> Blend:
        """Fit the models inside, describe every student by models of the others, and fit the layer.

        The arguments are those of :meth:`adaptrace.models.base.Model.fit`.
        """
        report = progress or (lambda share: None)
        inner = replace(self, bkt=self.bkt.fit(self._stats(data), executor=executor), irt=self.irt.fit(data, executor=executor))
        report(0.4)
        fold = _folds(data)
        known = np.empty((len(data), len(kernels.KNOWN)))
        for number in np.unique(fold):
            other = inner._refitted(data.select(fold != number), executor)
            known[fold == number] = other.known(data.select(fold == number))
            report(0.4 + 0.3 * (number + 1) / FOLDS)
        layer = self.layer.fit_given(data, known, executor=executor, progress=lambda share: report(0.7 + 0.3 * share))
        return replace(inner, layer=layer)

    def _stats(self, log: Log) -> Any:
        """The counts of a log, which make the fit fast; evidence of events with several skills is then approximate."""
        return replace(self.bkt, table=None, effects=None).stats(log)

    def _refitted(self, log: Log, executor: Executor | None) -> Blend:
        """The models inside, fitted to a part of the log."""
        bkt = self.bkt.refit(self._stats(log), executor=executor)
        return replace(self, bkt=bkt, irt=self.irt.recalibrate(log, executor=executor))

    def known(self, log: Log) -> FloatArray:
        """What the models inside know before each response, (n_rows, 4): see :data:`adaptrace.kernels.blend.KNOWN`."""
        path, (difficulty, _), out = self.irt.abilities(log), self.irt.place(log), np.empty((len(log), len(kernels.KNOWN)))
        work = (self.bkt.predict(log), path.predicted, path.own, difficulty)
        parallel.run(kernels.know, [(*work, *piece, out) for piece in parallel.ranges(len(log))])
        return out

    def predict(self, log: Log) -> FloatArray:
        """P(correct) before each response, given the student's responses before it: float64 (n_rows,) inside (0, 1)."""
        return self.layer.predict_given(log, self.known(log))

    def score(self, log: Log, *, time: datetime.datetime | None = None) -> pa.Table:
        """Mastery of every student on every skill they met by the knowledge tracing inside (:meth:`BKT.score`)."""
        return self.bkt.score(log, time=time)

    def summary(self) -> pa.Table:
        """The weights of the layer: ``parameter`` (the feature), whose it is (``name``; empty where all share it) and ``value``.

        A feature that is multiplied by what a model inside says names it, e.g. ``one of student times ability``. The skills'
        parameters are in ``blend.bkt.summary()``, the items' in ``blend.irt.summary()``.
        """
        table = self.layer.summary()
        names = [_in_words(each) for each in table["parameter"].to_pylist()]
        return table.set_column(0, "parameter", pa.array(names, pa.string()))

    def trace(self, log: Log) -> pa.Table:
        """Mastery after every response, by the knowledge tracing inside."""
        return self.bkt.trace(log)

    # ---- one student ----

    def start(self, name: str = "", group: str = "") -> BlendState:
        """The state of a student who has not answered yet."""
        return BlendState(self.bkt.start(name, group), self.irt.start(name, group), self.layer.start(name, group))

    def resume(self, content: Mapping[str, Any], name: str = "", group: str = "") -> BlendState:
        """The state that :meth:`BlendState.to_dict` described."""
        bkt, irt = self.bkt.resume(content["bkt"], name, group), self.irt.resume(content["irt"], name, group)
        return BlendState(bkt, irt, self.layer.resume(content["layer"], name, group))

    # ---- plain data ----

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data, exact to the last bit."""
        return {"family": self.family, **{part: getattr(self, part).to_dict() for part in PARTS}}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Blend:
        """The model that :meth:`to_dict` described."""
        bkt, irt, layer = (family.from_dict(content[name]) for name, family in PARTS.items())
        return cls(bkt=bkt, irt=irt, layer=layer)


@dataclass
class BlendState:
    """One student as a :class:`Blend` knows them: as each of its models does."""

    bkt: BKTState
    irt: IRTState
    layer: LogisticState

    def predict(self, response: Response) -> float:
        """P(correct)."""
        difficulty, _ = self.irt.lookup.item(response)
        known = [0.0] * len(kernels.KNOWN)
        knowledge(self.bkt.predict(response), self.irt.predict(response), self.irt.ability[0], difficulty, known)
        return self.layer.predict(response, known)

    def observe(self, response: Response) -> None:
        """Take in one response."""
        for part in (self.bkt, self.irt, self.layer):
            part.observe(response)

    def mastery(self, skill: str, moment: int | None = None) -> float:
        """P(known), by the knowledge tracing inside."""
        return self.bkt.mastery(skill, moment)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        return {part: getattr(self, part).to_dict() for part in PARTS}


def _in_words(feature: str) -> str:
    """A feature's label, with what is given by its name instead of its number."""
    before, given, after = feature.partition("given ")
    number, space, rest = after.partition(" ")
    return f"{before}{kernels.KNOWN[int(number)]}{space}{rest}" if given else feature


def _folds(log: Log) -> NDArray[np.int64]:
    """The fold of every response, (n_rows,): students are assigned in the order of their names, not of the log."""
    _, by_name = schema.in_order(log.students)
    fold = np.random.default_rng(0).permutation(np.arange(len(by_name)) % FOLDS)[by_name]
    return np.asarray(fold[log.table["student"].chunk(0).indices.to_numpy()])
