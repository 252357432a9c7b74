"""Tables as arrays, once the columns that a picture needs are there."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol, runtime_checkable

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]


@runtime_checkable
class Pictured(Protocol):
    """What has tables for pictures: a comparison, a validation, fairness."""

    def pictured(self, picture: str) -> pa.Table:
        """The table of a picture, by its name."""


def read_columns(table: Any, needed: Sequence[str], maker: str, picture: str) -> Columns:
    """Every column as an array, also of an object that has a table for this picture; raises if a needed one is absent."""
    table = table.pictured(picture) if isinstance(table, Pictured) else table
    held = list(getattr(table, "column_names", ()))
    expected = f"expected a table with {', '.join(needed)}, as {maker} makes it"
    if not isinstance(table, pa.Table):
        raise ValueError(f"table: got a {type(table).__name__}; {expected}")
    absent = [name for name in needed if name not in held]
    if absent:
        raise ValueError(f"table: no column {', '.join(absent)}; got {', '.join(held) or 'no columns'}; {expected}")
    if not len(table):
        raise ValueError(f"table: got no rows; {expected}")
    return {name: _array(table[name]) for name in held}


def _array(column: pa.ChunkedArray) -> NDArray[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return np.asarray(column.to_numpy())


def take_rows(columns: Columns, rows: NDArray[Any]) -> Columns:
    """Some rows of every column, by a mask or their places."""
    return {name: column[rows] for name, column in columns.items()}


def by_model(columns: Columns) -> dict[str, Columns]:
    """The rows of every model; all, of a model without a name, if there is no such column."""
    if "model" not in columns:
        return {"": columns}
    return {str(name): take_rows(columns, columns["model"] == name) for name in dict.fromkeys(columns["model"].tolist())}


def with_ends(*metrics: str) -> Iterator[str]:
    """Every metric, followed by the two ends of its interval."""
    for metric in metrics:
        yield from (metric, f"{metric}_low", f"{metric}_high")


def group_word(group: object) -> str:
    """A group as text."""
    return "missing" if group is None or group is np.nan else str(group)
