"""Folders: the columns that names of folders hold, as Hive, Spark, DuckDB and pandas write them, ``school=12``."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote

import pyarrow as pa

NULL = "__HIVE_DEFAULT_PARTITION__"  # the folder of rows without a value


def columns_of(path: Path) -> dict[str, str | None]:
    """Column -> value that the folders of a file name; ``%20`` is a blank, an empty value is missing."""
    found = (folder.partition("=") for folder in path.parts[:-1])
    return {_plain(name): None if value in (NULL, "") else _plain(value) for name, equals, value in found if equals and name}


def _plain(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        return text


def with_columns(table: pa.Table, path: Path) -> pa.Table:
    """A table with the columns that its folders name and it lacks."""
    for name, value in columns_of(path).items():
        if name not in table.column_names:
            table = table.append_column(name, pa.array([value] * len(table), pa.string()))
    return table
