"""Blend: one logistic layer over what the other models, and the student's history, know before each response."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from concurrent.futures import Executor
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data.log import Log
from adaptrace.kernels import blend as kernels
from adaptrace.kernels import parallel
from adaptrace.kernels.compile import plain
from adaptrace.models import content as read
from adaptrace.models.base import Progress, Response
from adaptrace.models.bkt import BKT
from adaptrace.models.bkt.state import BKTState
from adaptrace.models.irt import IRT, TwoPL
from adaptrace.models.irt.state import IRTState
from adaptrace.models.logistic import Feature, Logistic
from adaptrace.models.logistic.features import INTERCEPT
from adaptrace.models.logistic.state import LogisticState
from adaptrace.models.saved import SavedModel
from adaptrace.models.transitions import Transitions, TransitionState

FloatArray = NDArray[np.float64]

FOLDS = 4  # of the students: each is known to the layer as models fitted to the others see them
FEW = 60_000  # responses up to which every fold says how strong the penalties should be; beyond, one does
STRENGTHS = (1.0, 4.0, 16.0, 64.0, 256.0)  # of the penalties, as multiples of those below
GAIN = 5e-4  # log loss of students not seen, by which a stronger penalty must be better
FREE, LOOSE, LEVEL, STRICT = 0.01, 1.0, 10.0, 30.0  # penalties: predictions, what all share, levels of items and skills, others
RATES = (0.6, 0.9)  # of recent shares
WHOSE = ("student", "item", "skill")
CLOCK = tuple(Feature(what="days", of=of, l2=LOOSE) for of in WHOSE)
MATURING = (  # features that change the weight of what the models inside know
    *(("log_attempts", "student"), ("log_attempts", "skill"), ("gap", "skill")),
    *(("new", "item"), ("gap", "item")),
)
MATURED = (kernels.BKT, kernels.IRT, kernels.ABILITY, kernels.DIFFICULTY)

PARTS: dict[str, Any] = {"bkt": BKT, "irt": IRT, "layer": Logistic}

knowledge = plain(kernels.knowledge)


def _layer() -> Logistic:
    """What the models inside know, the history of student, item and skills, and how items and skills differ."""
    counts = ("log_attempts", "log_wins", "log_fails", "last", "new", "gap")
    predictions = [Feature(what="one", times=each) for each in (kernels.BKT, kernels.IRT)]
    shared = [Feature(what="one", times=each) for each in range(kernels.ABILITY, len(kernels.KNOWN))]
    shared += [Feature(what=what, of=of) for of in WHOSE for what in counts]
    shared += [Feature(what="recent", of=of, rate=rate) for of in WHOSE for rate in RATES]
    shared += [Feature(what=what, of=of, times=each) for what, of in MATURING for each in MATURED]
    levels = [Feature(what="one", of=of, by=by) for of, by in (("item", "item"), ("skill", "skill"), ("skill", "pattern"))]
    others = [Feature(what="one", times=kernels.IRT, by="item"), Feature(what="log_attempts", of="skill", by="skill")]
    others += [Feature(what="one", times=each, by="skill") for each in (kernels.BKT, kernels.IRT, kernels.ABILITY)]
    others += [Feature(what="recent", of="skill", by="skill", rate=RATES[1])]
    penalised = ((predictions, FREE), (shared, LOOSE), (levels, LEVEL), (others, STRICT))
    features = (INTERCEPT, *(replace(each, l2=l2) for features, l2 in penalised for each in features))
    return Logistic(features=features, name="layer")


class Described(NamedTuple):
    """A log as models see it that were fitted to other students."""

    known: FloatArray  # (n_rows, n), see :data:`adaptrace.kernels.blend.KNOWN`
    fold: NDArray[np.int64]  # (n_rows,)


@dataclass(frozen=True, repr=False, kw_only=True)
class Blend(SavedModel):
    """The best of the others: a logistic layer over what they know before each response (stacking; Wolpert, 1992).

    It sees the predictions of a :class:`~adaptrace.BKT` and of an item response model, the ability and the difficulty behind
    the latter, what usually follows the last two items and the skills of the last ten responses, counts and recency of the
    student's history, and lets items and skills differ. To fit the layer, every student is described by models fitted to the
    other students, so nothing sees its own outcome; only the starting points and the few numbers that all share (the mean
    skill, how abilities move) are found once, from everybody. How strongly its weights are held is chosen by the loss on
    students that a fit did not see; held firmly, it is a mix of the two predictions.

    Parameters
    ----------
    bkt
        The knowledge tracing inside; it also answers questions about mastery.
    irt
        The item response model inside.
    elapsed
        Whether the days since the last response, also on the item and the skill, count; it then needs ``time``. None: where
        the log that it is fitted to has a clock; each fit looks anew, and ``needs`` says what it found.

    Attributes
    ----------
    transitions
        What usually follows what (:class:`~adaptrace.models.transitions.Transitions`).
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
    elapsed: bool | None = None
    transitions: Transitions = field(default_factory=Transitions, repr=False)
    layer: Logistic = field(default_factory=_layer)

    family: ClassVar[str] = "blend"

    def __repr__(self) -> str:
        given = [repr(model) for model, usual in ((self.bkt, BKT()), (self.irt, TwoPL())) if repr(model) != repr(usual)]
        shown = given if self.layer.weights is None else [repr(self.bkt), repr(self.irt)]
        return f"{type(self).__name__}({', '.join(shown + self._options)})"

    @property
    def _options(self) -> list[str]:
        """What else differs from the default, for ``repr``."""
        return [] if self.elapsed is None else [f"elapsed={self.elapsed}"]

    @property
    def holds_students(self) -> bool:
        """Whether it has values of single students: its file is then for its owner alone."""
        return self.bkt.holds_students or self.layer.holds_students

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns beyond student, item, skill and correct; where ``elapsed`` is None, the fit says whether ``time`` is one."""
        return tuple(dict.fromkeys((*self.bkt.needs, *self.layer.needs, *("time",) * bool(self.elapsed))))

    def fit(self, data: Log, *, executor: Executor | None = None, progress: Progress | None = None) -> Blend:
        """Fit the models inside, describe every student by models of the others, and fit the layer.

        The arguments are those of :meth:`adaptrace.models.base.Model.fit`.
        """
        data, report = data.by_name, progress or (lambda share: None)
        inner, found = self._described(data, executor, report)
        strength = inner._strength(data, found, executor)
        report(0.8)
        return inner._layered(data, found, strength, executor, lambda share: report(0.8 + 0.2 * share))

    def _layered(
        self, data: Log, found: Described, strength: float, executor: Executor | None, progress: Progress | None = None
    ) -> Self:
        """With the layer fitted."""
        layer = self.layer.fit_given(data, found.known, strength=strength, executor=executor, progress=progress)
        return replace(self, layer=layer)

    def _described(self, data: Log, executor: Executor | None, report: Progress) -> tuple[Self, Described]:
        """The models inside, fitted, and what such models know of the students of others."""
        elapsed = "time" in data.table.column_names if self.elapsed is None else self.elapsed
        bkt, irt = self.bkt.fit(self._stats(data), executor=executor), self.irt.fit(data, executor=executor)
        inner = replace(self, bkt=bkt, irt=irt, layer=_clocked(self.layer, elapsed))._followed(data)
        report(0.4)
        fold = _folds(data)
        known = np.empty((len(data), len(kernels.KNOWN)))
        for number in np.unique(fold):
            other = inner._refitted(data.select(fold != number), executor)
            known[fold == number] = other.known(data.select(fold == number))
            report(0.4 + 0.3 * (number + 1) / FOLDS)
        return inner, Described(known, fold)

    def _followed(self, log: Log) -> Self:
        """With what follows what in the log that the models inside were fitted to."""
        return replace(self, transitions=Transitions.fit(log, self.irt.predict(log)))

    def _strength(self, data: Log, found: Described, executor: Executor | None) -> float:
        """The strength of the penalties: the next greater one, as long as it is better by :data:`GAIN` on students not seen.

        The greatest where there is one student alone, as nobody is then left to say how far the weights hold.
        """
        folds = np.unique(found.fold)
        if len(folds) < 2:
            return STRENGTHS[-1]
        folds = folds[: FOLDS if len(data) <= FEW else 1]
        rows, best, lowest = np.isin(found.fold, folds), STRENGTHS[0], np.inf
        for strength in STRENGTHS:
            p, correct = self._layer_apart(data, found, strength, folds, executor)[rows], data.rows.correct[rows]
            loss = -float((correct * np.log(p) + (1.0 - correct) * np.log1p(-p)).mean())
            if loss > lowest - GAIN:
                break
            best, lowest = strength, loss
        return best

    def _layer_apart(
        self, data: Log, found: Described, strength: float, folds: NDArray[np.int64], executor: Executor | None
    ) -> FloatArray:
        """P(correct) of the students of some folds by layers fitted to the others, (n_rows,); 0.5 elsewhere."""
        out = np.full(len(data), 0.5)
        for number in folds:
            mine = found.fold == number
            layer = self.layer.fit_given(data.select(~mine), found.known[~mine], strength=strength, executor=executor)
            out[mine] = layer.predict_given(data.select(mine), found.known[mine])
        return out

    def _stats(self, log: Log) -> Any:
        """The counts of a log, which make the fit fast; evidence of events with several skills is then approximate."""
        return replace(self.bkt, table=None, effects=None).stats(log)

    def _refitted(self, log: Log, executor: Executor | None) -> Self:
        """The models inside, fitted to a part of the log."""
        bkt = self.bkt.refit(self._stats(log), executor=executor)
        return replace(self, bkt=bkt, irt=self.irt.recalibrate(log, executor=executor))._followed(log)

    def known(self, log: Log) -> FloatArray:
        """What the models inside know before each response, (n_rows, n): see :data:`adaptrace.kernels.blend.KNOWN`."""
        path, (difficulty, _), out = self.irt.abilities(log), self.irt.place(log), np.empty((len(log), len(kernels.KNOWN)))
        work = (self.bkt.predict(log), path.predicted, path.own, difficulty)
        parallel.run(kernels.know, [(*work, *piece, out) for piece in parallel.ranges(len(log))])
        out[:, -len(kernels.SHIFTS) :] = self.transitions.shifts(log)
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
        bkt, irt, layer = self.bkt.start(name, group), self.irt.start(name, group), self.layer.start(name, group)
        return BlendState(bkt, irt, layer, TransitionState(self.transitions))

    def resume(self, content: Mapping[str, Any], name: str = "", group: str = "") -> BlendState:
        """The state that :meth:`BlendState.to_dict` described."""
        bkt, irt = self.bkt.resume(content["bkt"], name, group), self.irt.resume(content["irt"], name, group)
        layer, last = self.layer.resume(content["layer"], name, group), content.get("last", ())
        return BlendState(bkt, irt, layer, TransitionState(self.transitions, last))

    # ---- plain data ----

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data, exact to the last bit."""
        parts = (*PARTS, "transitions") if self.transitions.tables else PARTS  # none in models of older releases
        options = {} if self.elapsed is None else {"elapsed": bool(self.elapsed)}  # nor this
        return {"family": self.family, **options, **{part: getattr(self, part).to_dict() for part in parts}}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """The model that :meth:`to_dict` described."""
        parts = {name: family.from_dict(content[name]) for name, family in PARTS.items()}
        if "transitions" in content:
            parts["transitions"] = Transitions.from_dict(content["transitions"])
        return cls(**parts, elapsed=read.flag(content, "elapsed") if "elapsed" in content else None)


@dataclass
class BlendState:
    """One student as a :class:`Blend` knows them: as each of its models does, and their last responses."""

    bkt: BKTState
    irt: IRTState
    layer: LogisticState
    transitions: TransitionState

    def predict(self, response: Response) -> float:
        """P(correct)."""
        return self.layer.predict(response, self.known(response))

    def known(self, response: Response) -> list[float]:
        """What the models inside know before a response: :meth:`Blend.known`."""
        difficulty, _ = self.irt.lookup.item(response)
        known = [0.0] * (len(kernels.KNOWN) - len(kernels.SHIFTS)) + self.transitions.shifts(response)
        knowledge(self.bkt.predict(response), self.irt.predict(response), self.irt.ability[0], difficulty, known)
        return known

    def observe(self, response: Response) -> None:
        """Take in one response."""
        for part in (self.bkt, self.irt, self.layer, self.transitions):
            part.observe(response)

    def mastery(self, skill: str, moment: int | None = None) -> float:
        """P(known), by the knowledge tracing inside."""
        return self.bkt.mastery(skill, moment)

    def to_dict(self) -> dict[str, Any]:
        """Plain data, exact to the last bit."""
        return {**{part: getattr(self, part).to_dict() for part in PARTS}, "last": self.transitions.to_list()}


def _clocked(layer: Logistic, elapsed: bool) -> Logistic:
    """A layer that looks at the days since the last response, with what all share, or does not."""
    others = tuple(feature for feature in layer.features if feature not in CLOCK)
    shared = sum(not feature.by for feature in others)
    return replace(layer, features=(*others[:shared], *CLOCK * elapsed, *others[shared:]))


def _in_words(feature: str) -> str:
    """A feature's label, with what is given by its name instead of its number."""
    before, given, after = feature.partition("given ")
    number, space, rest = after.partition(" ")
    return f"{before}{kernels.KNOWN[int(number)]}{space}{rest}" if given else feature


def _folds(log: Log) -> NDArray[np.int64]:
    """The fold of every response of a log whose students stand in the order of their names, (n_rows,)."""
    fold = np.random.default_rng(0).permutation(np.arange(len(log.students)) % FOLDS)
    return np.asarray(fold[log.table["student"].chunk(0).indices.to_numpy()])
