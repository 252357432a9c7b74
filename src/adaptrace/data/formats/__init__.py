"""Published layouts, one module each, with ``read(path) -> Foreign``; the name of the module is the name of the format."""

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
    """A file of another layout as a table, with the names of its columns and notes for the reader."""

    source: Source
    columns: Mapping[str, str] = field(default_factory=dict)  # canonical name -> name in the table
    notes: tuple[str, ...] = ()


def names() -> list[str]:
    """The names of all formats."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__))


def read(name: str, path: str | os.PathLike[str]) -> Foreign:
    """Read a file in the named format."""
    if name not in names():
        expected = f"one of: {', '.join(names())}"
        raise DataError(os.fspath(path), [Problem(f"the format '{name}'", expected, "leave it out for plain tables")])
    foreign: Foreign = importlib.import_module(f"{__name__}.{name}").read(path)
    return foreign
