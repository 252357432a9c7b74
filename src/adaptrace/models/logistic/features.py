"""Features: what a logistic model looks at, checked and as numbers for the kernels."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
    )
}
WINDOWED = ("window_attempts", "window_wins")


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


INTERCEPT = Feature(what="one", l2=0.0)


def label(feature: Feature) -> str:
    """A feature in a few words, e.g. ``recent 0.8 of skill``."""
    number = feature.rate or feature.days
    what = f"{feature.what} {number:g}" if number else feature.what
    times = "" if feature.times is None else f" times given {feature.times}"
    return f"{what} of {feature.of}{times}" + (f" by {feature.by}" if feature.by else "")


def feature_from_dict(content: Mapping[str, Any]) -> Feature:
    """A feature as a file describes it."""
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
    if feature.what == "recent" and not 0.0 < feature.rate < 1.0:
        problems.append(f"feature recent: got rate {feature.rate}; expected a number between 0 and 1")
    if feature.times is not None and feature.times < 0:
        problems.append(f"feature times: got {feature.times}; expected the number of a given column, from 0")
    if feature.l2 is not None and not 0.0 <= feature.l2 <= sys.float_info.max:
        problems.append(f"feature l2: got {feature.l2}; expected 0 or more")
    if feature.what in WINDOWED and not feature.days > 0.0:
        problems.append(f"feature {feature.what}: got days {feature.days}; expected more than 0")
    return problems


def plan_of(features: Sequence[Feature], l2: float, sizes: Mapping[str, int]) -> tuple[FeaturePlan, FloatArray, list[Block]]:
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
    plan = FeaturePlan(of, what, by_code, which, times, base, np.array(rates, float), np.array(windows, float))
    return plan, np.concatenate(penalty), blocks


def _which(feature: Feature, rates: Sequence[float], windows: Sequence[float]) -> int:
    """The place of a feature's rate, window or column."""
    if feature.what == "recent":
        return rates.index(feature.rate)
    return windows.index(feature.days) if feature.what in WINDOWED else 0


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
