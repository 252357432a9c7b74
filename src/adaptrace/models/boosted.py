"""Boosted: trees over what a blend knows, added to its logit."""

from __future__ import annotations

from collections import Counter
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
from adaptrace.kernels import blend as known_by_blend
from adaptrace.kernels import parallel
from adaptrace.kernels import trees as kernels
from adaptrace.kernels.compile import plain
from adaptrace.kernels.logistic import Design
from adaptrace.kernels.trees import Trees
from adaptrace.models import content as read
from adaptrace.models.base import Progress, Response
from adaptrace.models.blend import FEW, FOLDS, Blend, BlendState, Described
from adaptrace.models.logistic.features import label
from adaptrace.models.saved import summary_of
from adaptrace.models.trees import MOST, MOST_LEAVES, NO_TREES, Grower, lightgbm, trees_from_dict, trees_to_dict

FloatArray = NDArray[np.float64]

WHOLE = {"rounds": (0, MOST), "leaves": (2, MOST_LEAVES), "least": (1, MOST), "seed": (0, MOST)}  # options, from and to

boosted = plain(kernels.boosted)


@dataclass(frozen=True, repr=False, kw_only=True)
class Boosted(Blend):
    """A :class:`Blend` and what gradient-boosted trees add to its logit (Friedman, 2001).

    It is a little more accurate where data are many, and its fit takes longer. The trees look at the blend's own logit, at all
    that it knows before a response, and at the student's history. They are grown by LightGBM (Ke et al., 2017; extra ``boost``,
    needed for the fit alone), on what blends of the other students say of each student. As many are kept as help on students
    not seen: none, where data are few; it is then a blend.

    Parameters
    ----------
    bkt, irt, elapsed
        As in :class:`Blend`.
    rounds
        Trees, at most.
    rate
        The share of what each tree finds that is added, above 0 up to 1.
    leaves
        Of a tree, at most; from 2 to 131,072.
    least
        Responses behind a leaf, at least.
    seed
        Draws the inputs that each tree may look at.

    Attributes
    ----------
    trees
        The trees as arrays (:class:`~adaptrace.kernels.trees.Trees`).

    Raises
    ------
    ModelError
        By the fit, if LightGBM is not installed.

    Examples
    --------
    >>> import adaptrace as at
    >>> train, test = at.sample_log().split(seed=0)
    >>> model = at.Boosted().fit(train)
    >>> model.predict(test).shape == (len(test),)
    True
    """

    rounds: int = 400
    rate: float = 0.1
    leaves: int = 31
    least: int = 100
    seed: int = 0
    trees: Trees = field(default=NO_TREES, repr=False)

    family: ClassVar[str] = "boosted"

    def __post_init__(self) -> None:
        problems = [
            f"{name}: got {getattr(self, name)!r}; expected a whole number from {low} to {high}"
            for name, (low, high) in WHOLE.items()
            if type(getattr(self, name)) is not int or not low <= getattr(self, name) <= high
        ]
        if not 0.0 < self.rate <= 1.0:
            problems.append(f"rate: got {self.rate!r}; expected a number above 0, up to 1")
        if problems:
            raise ModelError("; ".join(problems))

    @property
    def _options(self) -> list[str]:
        own = {name: getattr(self, name) for name in ("rate", *WHOLE)}
        return super()._options + [f"{name}={value!r}" for name, value in own.items() if value != getattr(type(self), name)]

    # ---- fit and predict ----

    def fit(self, data: Log, *, executor: Executor | None = None, progress: Progress | None = None) -> Boosted:
        """Fit the blend, describe every student by blends of the others, and grow trees on what these leave.

        The arguments are those of :meth:`adaptrace.models.base.Model.fit`.
        """
        lightgbm()  # before the long part
        data, report = data.by_name, progress or (lambda share: None)
        inner, found = self._described(data, executor, lambda share: report(0.6 * share))
        strength = inner._strength(data, found, executor)
        fitted = inner._layered(data, found, strength, executor)
        report(0.6)
        apart = inner._layer_apart(data, found, strength, np.unique(found.fold), executor)
        report(0.7)
        trees = fitted._grown(data, found, np.log(apart / (1.0 - apart)))
        report(1.0)
        return replace(fitted, trees=trees)

    def _grown(self, data: Log, found: Described, logit: FloatArray) -> Trees:
        """The trees: as many as are enough on students not seen, grown on all."""
        inputs = self._inputs(self.layer.describe(data, found.known), found.known, logit)
        correct, fold = data.rows.correct, found.fold
        grower, folds = Grower(self.rounds, self.rate, self.leaves, self.least, self.seed), np.unique(fold)
        if len(folds) < FOLDS:
            return NO_TREES
        asked = folds if len(data) <= FEW else folds[:1]
        rounds = np.mean([grower.enough(inputs, logit, correct, fold != number) for number in asked])
        return grower.grow(inputs, logit, correct, round(float(rounds)))

    def predict(self, log: Log) -> FloatArray:
        """P(correct) before each response, given the student's responses before it: float64 (n_rows,) inside (0, 1)."""
        known, out = self.known(log), np.empty(len(log))
        design = self.layer.describe(log, known)
        logit = self.layer.logits(design)
        inputs = self._inputs(design, known, logit)
        parallel.run(kernels.boost, [(self.trees, inputs, logit, *piece, out) for piece in parallel.ranges(len(log))])
        return out

    def _inputs(self, design: Design, known: FloatArray, logit: FloatArray) -> FloatArray:
        """What the trees look at before each response, (n_rows, n_inputs)."""
        history = design.value[design.start[:-1, None] + np.array(self._history, np.int64)]
        return np.column_stack([logit, known, history])

    @cached_property
    def _history(self) -> list[int]:
        """The features of the layer that the trees look at, by their places: those of the history alone, which all share.

        They stand first, so that their values are at these places before every response.
        """
        features = list(self.layer.features)
        shared = next((place for place, feature in enumerate(features) if feature.by), len(features))
        return [place for place, feature in enumerate(features[:shared]) if feature.times is None and feature.what != "one"]

    @property
    def inputs(self) -> list[str]:
        """What the trees look at, in words."""
        return ["logit of the layer", *known_by_blend.KNOWN, *(label(self.layer.features[place]) for place in self._history)]

    def summary(self) -> pa.Table:
        """The weights of the layer as :meth:`Blend.summary` has them, and how many ``splits`` of the trees look at each input."""
        splits = Counter(self.trees.column.tolist())
        counts = np.array([splits[place] for place in range(len(self.inputs))], float)
        return pa.concat_tables([super().summary(), summary_of([("splits", self.inputs, counts)])])

    # ---- one student ----

    def start(self, name: str = "", group: str = "") -> BoostedState:
        """The state of a student who has not answered yet."""
        return self._state(super().start(name, group))

    def resume(self, content: Mapping[str, Any], name: str = "", group: str = "") -> BoostedState:
        """The state that :meth:`BoostedState.to_dict` described."""
        return self._state(super().resume(content, name, group))

    def _state(self, state: BlendState) -> BoostedState:
        return BoostedState(state.bkt, state.irt, state.layer, state.transitions, *self._lookup)

    @cached_property
    def _lookup(self) -> tuple[Trees, list[int]]:
        """What every student's state looks up, as plain Python."""
        return Trees(*(part.tolist() for part in self.trees)), self._history

    # ---- plain data ----

    def to_dict(self) -> dict[str, Any]:
        """The model as plain data, exact to the last bit."""
        options = {"rounds": self.rounds, "rate": float(self.rate), "leaves": self.leaves, "least": self.least, "seed": self.seed}
        return {**super().to_dict(), **options, "trees": trees_to_dict(self.trees)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Boosted:
        """The model that :meth:`to_dict` described."""
        options: dict[str, Any] = {name: read.count(content, name) for name in ("rounds", "leaves", "least", "seed")}
        model = replace(super().from_dict(content), rate=read.number(content, "rate"), **options)
        return replace(model, trees=trees_from_dict(content["trees"], len(model.inputs)))


@dataclass
class BoostedState(BlendState):
    """One student as a :class:`Boosted` knows them: as its blend does."""

    trees: Trees
    history: Sequence[int]

    def predict(self, response: Response) -> float:
        """P(correct)."""
        known = self.known(response)
        design = self.layer.describe(response, known)
        logit = self.layer.logit(design)
        return boosted(self.trees, [logit, *known, *(design.value[place] for place in self.history)], logit)
