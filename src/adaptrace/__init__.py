"""adaptrace: a response log goes in; mastery, a prediction and the next item come out."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from adaptrace.catalog import Catalog, Item
    from adaptrace.errors import AdaptraceError, DataError, ModelError, OutputError, UnknownItemError
    from adaptrace.log import Log
    from adaptrace.models import BKT, load
    from adaptrace.policy import LowestMastery, Recommendation, TargetSuccess, recommend
    from adaptrace.sample import sample_catalog, sample_log
    from adaptrace.simulation import simulate
    from adaptrace.stats import Stats
    from adaptrace.student import Student

__version__ = "0.1.0"

_HOME = {
    "AdaptraceError": "errors",
    "BKT": "models",
    "Catalog": "catalog",
    "DataError": "errors",
    "Item": "catalog",
    "Log": "log",
    "LowestMastery": "policy",
    "ModelError": "errors",
    "OutputError": "errors",
    "Recommendation": "policy",
    "Stats": "stats",
    "Student": "student",
    "TargetSuccess": "policy",
    "UnknownItemError": "errors",
    "load": "models",
    "recommend": "policy",
    "sample_catalog": "sample",
    "sample_log": "sample",
    "simulate": "simulation",
}

__all__ = [
    "BKT",
    "AdaptraceError",
    "Catalog",
    "DataError",
    "Item",
    "Log",
    "LowestMastery",
    "ModelError",
    "OutputError",
    "Recommendation",
    "Stats",
    "Student",
    "TargetSuccess",
    "UnknownItemError",
    "load",
    "recommend",
    "sample_catalog",
    "sample_log",
    "simulate",
]


def __getattr__(name: str) -> Any:
    """Import a public name at its first use: ``import adaptrace`` itself costs nothing."""
    if name not in _HOME:
        raise AttributeError(f"module 'adaptrace' has no attribute '{name}'")
    return getattr(importlib.import_module(f"adaptrace.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*__all__, "__version__"]
