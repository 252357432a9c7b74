"""Logistic models of the literature: PFA, AFM, Best-LR, DAS3H, and one after logistic knowledge tracing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from adaptrace.errors import ModelError
from adaptrace.models.logistic.features import INTERCEPT, WINDOWED, Feature
from adaptrace.models.logistic.model import Logistic
from adaptrace.models.logistic.weights import Weights

COUNTS = ("log", "linear")


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


Logistic.known.update({family.name: family for family in (PFA, AFM, BestLR, DAS3H, Recency)})
