"""Foreign layouts, one file each: a module with ``read(path) -> Foreign``; its name is the format's name."""

from __future__ import annotations

import importlib
import os
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field

from adaptrace.errors import DataError, Problem
from adaptrace.io.files import Source


@dataclass(frozen=True)
class Foreign:
    """A foreign file as a table, with what to call its columns and what a person should know."""

    source: Source
    columns: Mapping[str, str] = field(default_factory=dict)  # canonical name -> name in the table
    notes: tuple[str, ...] = ()


def names() -> list[str]:
    """The formats there are."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def read(name: str, path: str | os.PathLike[str]) -> Foreign:
    """Read a file in the named format."""
    if name not in names():
        expected = f"one of: {', '.join(names())}"
        raise DataError(os.fspath(path), [Problem(f"the format '{name}'", expected, "leave it out for plain tables")])
    foreign: Foreign = importlib.import_module(f"{__name__}.{name}").read(path)
    return foreign
