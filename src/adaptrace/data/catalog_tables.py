"""A catalog's tables, read and checked column by column: rows of items, and prerequisites of skills."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pyarrow as pa

from adaptrace.data import schema
from adaptrace.errors import DataError, Problem
from adaptrace.io.arrow_check import imported
from adaptrace.io.content import not_utf_8

EXPECTED_JSON = '{"items": [{"item": ..., "skills": [...]}, ...], "skills": [{"skill": ..., "prerequisites": [...]}, ...]}'


class Prerequisites(NamedTuple):
    """Skill -> the skills before it."""

    prerequisites: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    soft_prerequisites: Mapping[str, tuple[str, ...]] = MappingProxyType({})


def read_json(path: str | os.PathLike[str]) -> tuple[pa.Table, pa.Table | None]:
    """The items and, if there are any, the skills of a JSON catalog."""
    try:
        document = json.loads(Path(path).read_bytes())  # UTF-8, -16 or -32, with a byte order mark or without
        if not isinstance(document, dict) or not document.get("items"):
            raise ValueError("no list of items")
    except UnicodeDecodeError as error:
        raise DataError(os.fspath(path), [not_utf_8(Path(path))]) from error
    except (OSError, ValueError, RecursionError) as error:
        raise DataError(os.fspath(path), [Problem(str(error), EXPECTED_JSON, "check the path and the file")]) from error
    items, skills = imported(document["items"], os.fspath(path)), document.get("skills")
    return items, imported(skills, os.fspath(path)) if skills else None


def item_rows(table: pa.Table, source: str) -> list[dict[str, Any]]:
    """The rows of a table of items, as arguments of :class:`~adaptrace.Item`."""
    found = schema.resolve(table.column_names, schema.CATALOG_ITEMS, None)
    required = ("item", "skills" if "skills" in found else "skill")
    checked = schema.conform(table, schema.CATALOG_ITEMS, None, required, source)
    columns = {name: array.to_pylist() for name, array in checked.items()}
    return [_item_row({name: values[row] for name, values in columns.items()}) for row in range(len(table))]


def prerequisites_of(skills: Any, source: str) -> Prerequisites:
    """The prerequisites in a table or in rows of skills."""
    if skills is None:
        return Prerequisites()
    table = imported(skills, source)
    if not table.num_columns:
        return Prerequisites()
    found = schema.resolve(table.column_names, schema.CATALOG_SKILLS, None)
    edges = [name for name in Prerequisites._fields if name in found] or ["prerequisites"]
    checked = schema.conform(table, schema.CATALOG_SKILLS, None, ("skill", *edges), source)
    names = [str(name) for name in checked["skill"].to_pylist()]
    return Prerequisites(**{edge: _edges(names, checked[edge].to_pylist()) for edge in edges})


def _item_row(row: dict[str, Any]) -> dict[str, Any]:
    skills = row.pop("skills", None) or [row.pop("skill")]
    row.pop("skill", None)
    return {**row, "item": str(row["item"]), "skills": tuple(dict.fromkeys(map(str, skills)))}


def _edges(names: list[str], needs: list[list[Any]]) -> dict[str, tuple[str, ...]]:
    """Skill -> the skills before it, those of all its rows."""
    before: dict[str, dict[str, None]] = {}
    for name, need in zip(names, needs, strict=True):
        before.setdefault(name, {}).update(dict.fromkeys(map(str, need)))
    return {name: tuple(need) for name, need in before.items()}
