"""Models by the names that the command line knows them by (:data:`adaptrace.models.MODELS`)."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any

from adaptrace.cli.terminal import WrongUsage

NAMES = (  # for --help
    "constant, bkt, bkt-classic, bkt-items, pfa, afm, best-lr, das3h, recency, rasch, 2pl, half-life, fsrs, blend, boosted"
)


def named(names: str, levels: Mapping[str, int] | None = None) -> dict[str, Any]:
    """Models by their names, which commas separate; a BKT gets the levels of kinds."""
    from adaptrace.models import MODELS  # here: --help must not wait for a compiler

    wanted = list(dict.fromkeys(part.strip() for part in names.split(",") if part.strip()))
    unknown = [name for name in wanted if name not in MODELS]
    if unknown or not wanted:
        got = f"'{unknown[0]}'{_nearest(unknown[0], MODELS)}" if unknown else "no name"
        raise WrongUsage(f"got {got}; expected one of {', '.join(MODELS)}")
    models: dict[str, Any] = {name: MODELS[name]() for name in wanted}
    return {name: _with_levels(model, levels) for name, model in models.items()}


def _with_levels(model: Any, levels: Mapping[str, int] | None) -> Any:
    from adaptrace.models.base import ReadsLevels

    reads: bool = isinstance(model, ReadsLevels)
    return replace(model, levels=levels) if levels and reads else model


def with_options(name: str, options: Mapping[str, Any], levels: Mapping[str, int]) -> Any:
    """One model by its name; only `bkt` takes options."""
    models = named(name, levels)
    if len(models) > 1:
        raise WrongUsage(f"got {len(models)} names; expected one")
    (model,) = models.values()
    if options and name.strip() != "bkt":
        given = ", ".join("--no-forget" if option == "forget" else f"--{option}" for option in options)
        raise WrongUsage(f"{given}: no option of '{name}'; expected with --model bkt only")
    return replace(model, **options) if options else model


def _nearest(name: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(name.lower(), known, n=1, cutoff=0.4)
    return f" (did you mean '{near[0]}'?)" if near else ""
