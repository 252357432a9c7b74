"""Options of a BKT, and their checks."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np

from adaptrace.errors import ModelError
from adaptrace.kernels.bkt import Parameters
from adaptrace.models import content as read
from adaptrace.models.bkt.fitted import RULES
from adaptrace.models.bkt.limits import Limits
from adaptrace.models.bkt.skill_table import SMALLEST
from adaptrace.models.bkt.variation import Variation

MOST_FORGETTING = 0.02
AUTO, CONJUNCTIVE = "auto", "conjunctive"
CHOSEN_FROM = (CONJUNCTIVE, "mean")  # by AUTO: those whose update of a skill is its exact posterior, given the others' chances
MAY_VARY = {
    "items": ("learn", "guess", "slip"),
    "kinds": ("learn", "guess", "slip"),
    "groups": ("prior", "learn"),
    "students": ("prior", "learn"),
}
READ = ("student", "skill", "skills", "correct", "level", "time", "order", "event_id")  # columns, by every model


@dataclass(frozen=True, kw_only=True, repr=False)
class BKTOptions:
    """The options of a :class:`~adaptrace.BKT`, described there; checked when one is made."""

    forget: bool = True
    items: Sequence[str] = ()
    kinds: Sequence[str] = ()
    groups: Sequence[str] = ()
    students: Sequence[str] = ()
    levels: Mapping[str, int] = field(default_factory=dict)
    elapsed: bool = False
    combine: str = AUTO
    bounds: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    fixed: Mapping[str, float] = field(default_factory=dict)
    smoothing: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    pooling: float | None = None
    plausible: bool = True

    def __post_init__(self) -> None:
        check_shapes(self)
        check_limits(self)
        check_variation(self)

    @cached_property
    def limits(self) -> Limits:
        """Bounds, smoothing and pooling as arrays."""
        edges = _edges(self)
        ends = np.array([edges.get(name, (0.0, 1.0)) for name in Parameters._fields], float)
        low, high = np.clip(ends, SMALLEST, 1.0 - 2.0 * SMALLEST).T
        if ends[2, 1] == 0.0:  # P(forget) alone may be 0
            low[2] = high[2] = 0.0
        smoothing = np.array([self.smoothing.get(name, (0.0, 0.0)) for name in Parameters._fields], float)
        return Limits(low=low, high=high, smoothing=smoothing, pooling=self.pooling, plausible=self.plausible)

    @cached_property
    def variation(self) -> Variation:
        """What parameters vary by, beyond the skill."""
        options = {"item": self.items, "kind": self.kinds, "group": self.groups, "student": self.students}
        factors = {name: tuple(parameters) for name, parameters in options.items() if parameters}
        return Variation(factors=factors, levels=self.levels, elapsed=self.elapsed)

    @property
    def rule(self) -> int:
        """How the skills of one event combine; conjunctive where no fit has chosen yet."""
        return RULES.get(self.combine, RULES[CONJUNCTIVE])

    @property
    def holds_students(self) -> bool:
        """Whether the model has values of single students: its file is then for its owner alone."""
        return bool(self.students)

    @property
    def needs(self) -> tuple[str, ...]:
        """Columns of a log that the options need beyond student, item, skill and correct."""
        return ("time",) * bool(self.elapsed) + ("group",) * bool(self.groups)

    @property
    def reads(self) -> tuple[str, ...]:
        """Columns of a log that make a difference to this model, if the log has them."""
        return (*READ, *(name for name in ("item", "kind", "group") if name in self.variation.stats_factors))

    def described(self, *, fitted: bool) -> str:
        """The options that differ from the defaults, as ``repr`` shows them; of a fitted model, from what a fit usually finds."""
        varies = "".join(f", {name}={tuple(getattr(self, name))}" for name in MAY_VARY if getattr(self, name))
        varies += f", levels={dict(self.levels)}" * bool(self.levels) + ", elapsed=True" * self.elapsed
        varies += f", combine='{self.combine}'" * (self.combine not in (AUTO, CONJUNCTIVE if fitted else AUTO))
        return f"forget={self.forget}{varies}"

    def options_to_dict(self) -> dict[str, Any]:
        """The options as plain data."""
        options: dict[str, Any] = {name: getattr(self, name) for name in ("forget", "elapsed", "combine", "plausible")}
        options |= {name: list(getattr(self, name)) for name in MAY_VARY}
        options["levels"] = {kind: int(n) for kind, n in self.levels.items()}
        options["pooling"] = None if self.pooling is None else float(self.pooling)
        options["fixed"] = {name: float(value) for name, value in self.fixed.items()}
        for name in ("bounds", "smoothing"):
            options[name] = {key: [float(each) for each in pair] for key, pair in getattr(self, name).items()}
        return options


def options_from_dict(content: Mapping[str, Any]) -> dict[str, Any]:
    """The options that :meth:`BKTOptions.options_to_dict` described, by name; what else the content holds is left out."""
    options = {key: value for key, value in content.items() if key not in ("family", "skills", "effects")}
    flags = {name: read.flag(content, name) for name in ("forget", "elapsed", "plausible")}
    pairs = {name: {key: tuple(pair) for key, pair in content[name].items()} for name in ("bounds", "smoothing")}
    return {**options, **flags, **pairs, **{name: tuple(content[name]) for name in MAY_VARY}}


def check_effects(variation: Variation, effects: object) -> None:
    """Refuse a file whose effects are not those that its options name."""
    if bool(variation) != (effects is not None):
        raise ValueError(f"effects: got {'none' if effects is None else 'some'}; expected what the options say varies")


def are_counts(values: Any, n: int) -> bool:
    """Whether these are n finite numbers of 0 or more."""
    if not isinstance(values, Sequence) or isinstance(values, str) or len(values) != n:
        return False
    return all(isinstance(each, int | float | np.number) and 0.0 <= each <= sys.float_info.max for each in values)


# ---- checks -----------------------------------------------------------------


def check_shapes(options: BKTOptions) -> None:
    """Refuse bounds, smoothing and fixed values that are no numbers."""
    problems = [
        f"{option} of {name}: got {value!r}; expected {shape}"
        for option, shape in (("bounds", "(lowest, highest)"), ("smoothing", "two counts, 0 or more"))
        for name, value in getattr(options, option).items()
        if not are_counts(value, 2)
    ]
    for name, value in options.fixed.items():
        if not are_counts((value,), 1):
            problems.append(f"fixed {name}: got {value!r}; expected a probability")
    _refuse(problems)


def check_limits(options: BKTOptions) -> None:
    """Refuse unknown parameters, bounds that cross, and fixed values outside their bounds."""
    problems = [
        f"{option}: got '{name}'; expected one of {', '.join(Parameters._fields)}"
        for option in ("bounds", "fixed", "smoothing")
        for name in getattr(options, option)
        if name not in Parameters._fields
    ]
    bounds = _bounds(options)
    for name, (low, high) in bounds.items():
        if not 0.0 <= low <= high <= 1.0:
            problems.append(f"bounds of {name}: got ({low}, {high}); expected 0 <= lowest <= highest <= 1")
    for name, value in options.fixed.items():
        low, high = bounds.get(name, (0.0, 1.0))
        if not low <= value <= high:
            problems.append(f"fixed {name}: got {value}; expected a value in its bounds ({low}, {high})")
    edges = _edges(options)
    if edges.get("guess", (0.0, 1.0))[0] + edges.get("slip", (0.0, 1.0))[0] >= 1.0:
        problems.append("guess and slip: their lowest values add up to 1 or more; expected less, so that knowing helps")
    _refuse(problems)


def check_variation(options: BKTOptions) -> None:
    """Refuse values of the other options that mean nothing."""
    problems = []
    for option, known in MAY_VARY.items():
        given = getattr(options, option)
        if not isinstance(given, list | tuple) or not set(given) <= set(known):
            problems.append(f"{option}: got {given!r}; expected some of {known}, e.g. {option}={known[-2:]}")
    for option in ("forget", "elapsed", "plausible"):
        if getattr(options, option) not in (True, False):
            problems.append(f"{option}: got {getattr(options, option)!r}; expected True or False")
    counts = options.levels.values() if isinstance(options.levels, Mapping) else [None]
    if not all(isinstance(n, int | np.integer) and n >= 2 for n in counts):
        expected = "kind -> number of its levels, at least 2, e.g. {'project': 5}"
        problems.append(f"levels: got {options.levels!r}; expected {expected}")
    if options.combine not in (AUTO, *RULES):
        problems.append(f"combine: got {options.combine!r}; expected one of {', '.join((AUTO, *RULES))}")
    if options.pooling is not None and (isinstance(options.pooling, bool) or not are_counts((options.pooling,), 1)):
        problems.append(f"pooling: got {options.pooling!r}; expected 0 or more pseudo-observations, or None")
    _refuse(problems)


def check_base(options: BKTOptions, base: BKTOptions) -> None:
    """Refuse a base whose values a fit with these options cannot be pulled to."""
    problems = [
        f"base: the parameters of {which} vary by more than skill; expected by skill alone"
        for model, which in ((options, "this model"), (base, "the base"))
        if model.variation
    ]
    if options.pooling == 0.0:
        problems.append("base: pooling=0 pulls towards nothing; expected None or more than 0")
    if options.combine not in (AUTO, base.combine):
        problems.append(f"base: got combine='{base.combine}'; expected '{options.combine}', as this model has")
    _refuse(problems)


def _bounds(options: BKTOptions) -> dict[str, tuple[float, float]]:
    return {"forget": (0.0, MOST_FORGETTING if options.forget else 0.0), **options.bounds}


def _edges(options: BKTOptions) -> dict[str, tuple[float, float]]:
    """The bounds, those of fixed parameters closed."""
    return {**_bounds(options), **{name: (value, value) for name, value in options.fixed.items()}}


def _refuse(problems: Sequence[str]) -> None:
    if problems:
        raise ModelError("; ".join(problems))
