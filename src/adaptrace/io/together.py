"""Together: tables of several files as one, though they may differ in their columns, the order of these, and their types."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

Key = tuple[str, int]  # the name of a column, and how many of this name are before it


def together(tables: Sequence[pa.Table]) -> pa.Table:
    """One table; a column that a table lacks is null there; one whose types do not mix becomes text."""
    if len(tables) == 1:
        return tables[0]
    columns = [_keys(table) for table in tables]
    keys = dict.fromkeys(key for each in columns for key in each)
    arrays = [_joined([_column(table, each.get(key)) for table, each in zip(tables, columns, strict=True)]) for key in keys]
    return pa.Table.from_arrays(arrays, [name for name, _ in keys])


def _keys(table: pa.Table) -> dict[Key, int]:
    seen: Counter[str] = Counter()
    keys = {}
    for place, name in enumerate(table.column_names):
        keys[name, seen[name]] = place
        seen[name] += 1
    return keys


def _column(table: pa.Table, place: int | None) -> pa.ChunkedArray:
    return pa.chunked_array([pa.nulls(len(table))]) if place is None else table.column(place)


def _joined(columns: Sequence[pa.ChunkedArray]) -> pa.ChunkedArray:
    schemas = [pa.schema([("", kind)]) for kind in dict.fromkeys(column.type for column in columns)]
    try:
        kind = pa.unify_schemas(schemas, promote_options="permissive").field(0).type
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        columns, kind = [as_text(column) for column in columns], pa.string()
    return pa.chunked_array([chunk for column in columns for chunk in column.cast(kind).chunks], kind)


def as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as text; a whole number that a data frame made a float is the text of the whole number."""
    if pa.types.is_floating(column.type) and pc.all(pc.equal(pc.floor(column), column)).as_py() in (True, None):
        column = (
            column.cast(pa.int64(), safe=False) if pc.all(pc.less(pc.abs(column), 2.0**63)).as_py() in (True, None) else column
        )
    return column.cast(pa.string())
