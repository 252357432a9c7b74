"""Text table: rows of text in aligned columns, for people."""

from __future__ import annotations

import datetime
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from adaptrace.errors import printable


def aligned(rows: Iterable[Sequence[str]], sides: str) -> list[str]:
    """Lines of a table that are safe on a terminal, each column flush left (``<``) or right (``>``)."""
    rows = [[printable(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    cells = [[f"{cell:{side}{width}}" for cell, side, width in zip(row, sides, widths, strict=True)] for row in rows]
    return ["  ".join(row).rstrip() for row in cells]


def word(value: Any) -> str:
    """A value as people read it: figures with three places, counts with commas, times to the minute, "-" for nothing."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return "-"
    if isinstance(value, float):
        return f"{value:.3f}"
    if isinstance(value, datetime.datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    return f"{value:,}" if type(value) is int else str(value)


def as_text(
    table: pa.Table, *, names: Sequence[str] | None = None, cell: Callable[[str, Mapping[str, Any]], str] | None = None
) -> str:
    """A table, or some of its columns, with headings; text and groups flush left, figures right.

    Parameters
    ----------
    table
        Any Arrow table.
    names
        The columns; by default all.
    cell
        Name of a column and the row -> what is printed; by default :func:`word` of the value.
    """
    names = table.column_names if names is None else names
    printed = cell or (lambda name, row: word(row[name]))
    rows = [[printed(name, row) for name in names] for row in table.to_pylist()]
    sides = "".join(">" if _is_figure(table[name].type) and name != "group" else "<" for name in names)
    return "\n".join(aligned([[name.replace("_", " ") for name in names], *rows], sides))


def _is_figure(kind: pa.DataType) -> bool:
    sorts = (pa.types.is_integer, pa.types.is_floating, pa.types.is_temporal, pa.types.is_null)
    return any(sort(kind) for sort in sorts)
