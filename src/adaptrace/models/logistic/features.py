"""Features: what a logistic model looks at, checked and as numbers for the kernels."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels import logistic as kernels
from adaptrace.kernels.logistic import Block, FeaturePlan
from adaptrace.models import content as read

FloatArray = NDArray[np.float64]

OF = {"student": kernels.STUDENT, "item": kernels.ITEM, "skill": kernels.SKILL}
BY = {  # the few first: their weights are fitted together
    "": kernels.ALL,
    "pattern": kernels.BY_PATTERN,
    "skill": kernels.BY_SKILL,
    "item": kernels.BY_ITEM,
    "student": kernels.BY_STUDENT,
}
WHAT = {
    name: getattr(kernels, name.upper())
    for name in (
        *("one", "attempts", "wins", "fails", "log_attempts", "log_wins", "log_fails"),
        *("recent", "last", "new", "gap", "days", "window_attempts", "window_wins"),
        *("logitdec", "propdec", "base4", "ppe"),
    )
}
WINDOWED = ("window_attempts", "window_wins")
RATED = ("recent", "logitdec", "propdec")
SPACED = {"base4": ("decay", "spacing", "first"), "ppe": ("practice", "decay", "spacing", "weight")}  # and their parameters
TIMED = (*WINDOWED, *SPACED, "days")  # those that need a clock
LARGEST = 2.0  # of those parameters: exponents, so that no value overflows


@dataclass(frozen=True, kw_only=True)
class Feature:
    """One number from a student's history before a response.

    Parameters
    ----------
    what
        ``"one"`` (an intercept); counts before the response: ``"attempts"``, ``"wins"``, ``"fails"``, or their
        ``"log_..."``, log(1 + count); ``"recent"``: logit of the share of right answers, each weighed by ``rate`` to the power of
        its age; ``"last"``: the last outcome, -1 to 1; ``"new"``: 1 at the first response; ``"gap"``: log(1 + responses since);
        ``"days"``: log(1 + days since); ``"window_attempts"``, ``"window_wins"``: log(1 + count) of the last ``days``.
        Of logistic knowledge tracing (Pavlik, Eglington & Harrell-Williams, 2021): ``"logitdec"`` and ``"propdec"``, logit and
        share of right answers by ``rate``, from one right and one wrong answer before the first; ``"base4"`` and ``"ppe"``:
        practice, faded by its age and spacing.
    of
        Whose history: ``"student"`` (all responses), those on the ``"item"``, or on the ``"skill"`` (the mean over the
        skills of the event, or each one's own with ``by="skill"``).
    by
        Who has a weight of their own: ``""`` all share one; ``"item"``, ``"skill"`` or ``"student"``; ``"pattern"``: each pattern
        of the last four outcomes, e.g. ``0110``.
    rate, days
        Of ``recent``, ``logitdec`` and ``propdec`` (0 to 1, per response), and of windows.
    parameters
        Of ``base4``: decay d, spacing h and first f of ``log(1 + n) t**-d s**h``, where n is attempts, t seconds since the first
        response, and s mean seconds between responses; ``f log(1 + n) t**-d`` where s is 0. Of ``ppe``: practice c, decay b,
        spacing m and weight x of ``n**c T**-(b + m S)``, where T is the mean of the ages t of the latest 1,000 responses, each
        weighed by ``t**-x``, and S the mean of ``1 / log(gap + e)`` (Walsh et al., 2018). Each from 0 to 2; ages at least 1 s.
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
    parameters: Sequence[float] = ()
    times: int | None = None
    l2: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "parameters", tuple(self.parameters))


INTERCEPT = Feature(what="one", l2=0.0)


def label(feature: Feature) -> str:
    """A feature in a few words, e.g. ``recent 0.8 of skill``."""
    numbers = feature.parameters or [each for each in (feature.rate or feature.days,) if each]
    what = " ".join([feature.what, *(f"{number:g}" for number in numbers)])
    times = "" if feature.times is None else f" times given {feature.times}"
    return f"{what} of {feature.of}{times}" + (f" by {feature.by}" if feature.by else "")


def feature_to_dict(feature: Feature) -> dict[str, Any]:
    """A feature as plain data; parameters only where it has some, as files before them."""
    content = asdict(feature)
    return content | {"parameters": list(feature.parameters)} if feature.parameters else _without(content, "parameters")


def _without(content: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: value for key, value in content.items() if key != name}


def feature_from_dict(content: Mapping[str, Any]) -> Feature:
    """A feature as a file describes it."""
    read.check_all(list(content.get("parameters", ())), "parameters", 0.0, LARGEST)
    for name in {"rate", "days", "times", "l2"} & content.keys():
        if content[name] is not None or name in ("rate", "days"):
            read.count(content, name) if name == "times" else read.number(content, name)
    return Feature(**content)


def problems_of(feature: Feature) -> list[str]:
    """What is wrong with a feature."""
    problems = [
        f"feature {name}: got {value!r}; expected one of {', '.join(map(repr, known))}"
        for name, value, known in (("what", feature.what, WHAT), ("of", feature.of, OF), ("by", feature.by, BY))
        if value not in known
    ]
    if feature.what in RATED and not 0.0 < feature.rate < 1.0:
        problems.append(f"feature {feature.what}: got rate {feature.rate}; expected a number between 0 and 1")
    names = SPACED.get(feature.what, ())
    if len(feature.parameters) != len(names) or not all(0.0 <= each <= LARGEST for each in feature.parameters):
        expected = f"{len(names)} numbers from 0 to {LARGEST:g}: {', '.join(names)}" if names else "none"
        problems.append(f"feature {feature.what}: got parameters {feature.parameters}; expected {expected}")
    if feature.times is not None and feature.times < 0:
        problems.append(f"feature times: got {feature.times}; expected the number of a given column, from 0")
    if feature.l2 is not None and not 0.0 <= feature.l2 <= sys.float_info.max:
        problems.append(f"feature l2: got {feature.l2}; expected 0 or more")
    if feature.what in WINDOWED and not feature.days > 0.0:
        problems.append(f"feature {feature.what}: got days {feature.days}; expected more than 0")
    return problems


def plan_of(features: Sequence[Feature], l2: float, sizes: Mapping[str, int]) -> tuple[FeaturePlan, FloatArray, list[Block]]:
    """The features as numbers; weights of the same owners stand together."""
    rates = sorted({feature.rate for feature in features if feature.what in RATED})
    windows = sorted({_days(feature) for feature in features if feature.what in (*WINDOWED, "ppe")})
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
    parameters = np.array([(*feature.parameters, 0.0, 0.0, 0.0, 0.0)[:4] for feature in features]).reshape(-1, 4)
    spaced = np.array([number for number, feature in enumerate(features) if feature.what in SPACED], np.int32)
    known = (np.array(rates, float), np.array(windows, float), parameters, spaced)
    plan = FeaturePlan(of, what, by_code, which, times, base, *known)
    return plan, np.concatenate(penalty), blocks


def _which(feature: Feature, rates: Sequence[float], windows: Sequence[float]) -> int:
    """The place of a feature's rate, window or column."""
    if feature.what in RATED:
        return rates.index(feature.rate)
    return windows.index(_days(feature)) if feature.what in (*WINDOWED, "ppe") else 0


def _days(feature: Feature) -> float:
    """How far back a window reaches."""
    return kernels.WITHOUT_END if feature.what == "ppe" else feature.days


def largest_apart(plan: FeaturePlan, blocks: Sequence[Block]) -> Block | None:
    """The most weights of which a response meets those of one name only: of items, or of students."""
    starts = {int(first) for first, by in zip(plan.base, plan.by, strict=True) if by in (kernels.BY_ITEM, kernels.BY_STUDENT)}
    return max((block for block in blocks if block.first in starts), key=lambda block: block.features * block.names, default=None)


def is_several(of: int, by: int) -> bool:
    """Whether a feature has a value for each skill of an event."""
    return bool(by == kernels.BY_SKILL or (by == kernels.BY_PATTERN and of == kernels.SKILL))


def values_per_skill(plan: FeaturePlan) -> int:
    """How many features have a value for each skill of an event."""
    return sum(map(is_several, plan.of, plan.by))
