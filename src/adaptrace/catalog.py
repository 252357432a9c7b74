"""Catalog: which items there are, what they practise, and what must be mastered first."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from adaptrace import schema
from adaptrace.errors import DataError, Problem, UnknownItemError
from adaptrace.files import read_table

TEXT_NAMES = schema.names_of(*schema.CATALOG_ITEMS, schema.PREREQUISITES) - schema.names_of(schema.MINUTES)


@dataclass(frozen=True)
class Item:
    """Something to answer. Names are text; ``minutes`` is the time it is expected to take."""

    item: str
    skills: tuple[str, ...]
    title: str | None = None
    kind: str | None = None
    minutes: float | None = None
    provider: str | None = None

    @property
    def label(self) -> str:
        """What to show a person."""
        return self.title or self.item


@dataclass(frozen=True, repr=False)
class Catalog:
    """Items and prerequisites.

    Attributes
    ----------
    items
        In the order of the file: ties between equally good items go to the earlier.
    prerequisites
        Skill -> the skills to master before it.
    """

    items: tuple[Item, ...]
    prerequisites: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, skills: str | os.PathLike[str] | None = None) -> Catalog:
        """Read a catalog.

        Parameters
        ----------
        path
            JSON ``{"items": [{"item": ..., "skills": [...], ...}], "skills": [{"skill": ..., "prerequisites": [...]}]}``,
            or a Parquet/Arrow/CSV table of items: ``item``, ``skill`` or ``skills``, and optionally ``title``, ``kind``,
            ``minutes``, ``provider``. In CSV several skills are joined by ``;``.
        skills
            With a table of items: a table with ``skill`` and ``prerequisites``.

        Raises
        ------
        DataError
            Listing every problem: missing columns, repeated items, a prerequisite that no item
            or skill names, a circle of prerequisites.
        """
        if Path(path).suffix.lower() == ".json":
            items, rows = _read_json(path)
            return cls.from_arrow(items, rows, source=os.fspath(path))
        read, before = read_table(path, TEXT_NAMES), {}
        if skills is not None:
            needs = read_table(skills, TEXT_NAMES)
            with needs.located():
                before = _prerequisites(needs.table, needs.name)
        with read.located():
            return cls(_items(read.table, before, read.name), before)

    @classmethod
    def from_arrow(cls, data: Any, skills: Any = None, *, source: str = "catalog") -> Catalog:
        """Make a catalog of a table of items, and a table or rows of ``skill`` and ``prerequisites``.

        ``prerequisites`` is a list, or text with ``;``; rows are mappings.
        """
        before = _prerequisites(skills, source)
        return cls(_items(pa.table(data), before, source), before)

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"Catalog({len(self.items):,} items, {len(self.skills):,} skills)"

    @cached_property
    def skills(self) -> tuple[str, ...]:
        """Every skill, prerequisites before what needs them; otherwise in the order of the items."""
        named = dict.fromkeys([*self.prerequisites, *(skill for item in self.items for skill in item.skills)])
        return tuple(TopologicalSorter({skill: self.prerequisites.get(skill, ()) for skill in named}).static_order())

    @cached_property
    def practised(self) -> frozenset[str]:
        """Skills that some item practises."""
        return frozenset(skill for item in self.items for skill in item.skills)

    @cached_property
    def by_name(self) -> Mapping[str, Item]:
        """Item name -> item."""
        return {item.item: item for item in self.items}

    def item(self, name: object) -> Item:
        """The item of that name; raises :class:`UnknownItemError` that names the nearest."""
        if str(name) in self.by_name:
            return self.by_name[str(name)]
        near = self._nearest(str(name))
        hint = f"; did you mean '{near}'?" if near else ""
        raise UnknownItemError(f"item '{name}' is not in the catalog of {len(self):,} items{hint}")

    def _nearest(self, name: str) -> str | None:
        """The item whose name is most like this one."""
        return next(iter(difflib.get_close_matches(name, self.by_name, 1)), None)

    def skills_of(self, items: pa.Array, source: str) -> pa.ListArray:
        """The skills of each of these items; one :class:`DataError` lists all that the catalog lacks."""
        names = pa.array(items).dictionary_encode() if not pa.types.is_dictionary(items.type) else items
        values = [str(value) for value in names.dictionary.to_pylist()]
        codes, problems = names.indices.to_numpy(), []
        for code, value in enumerate(values):
            if value not in self.by_name:
                rows = np.flatnonzero(codes == code)
                near = self._nearest(value)
                remedy = f"did you mean '{near}'?" if near else "add it to the catalog"
                expected = f"one of the catalog's {len(self):,} items"
                problems.append(Problem(f"'{value}'", expected, remedy, "item", int(rows[0]) + 1, len(rows) - 1))
        if problems:
            raise DataError(source, problems)
        lists = pa.array([list(self.by_name[value].skills) for value in values], pa.list_(pa.string()))
        return lists.take(names.indices)


def _read_json(path: str | os.PathLike[str]) -> tuple[pa.Table, pa.Table | None]:
    """The items and, if there are any, the skills of a JSON catalog."""
    expected = '{"items": [{"item": ..., "skills": [...]}, ...], "skills": [{"skill": ..., "prerequisites": [...]}, ...]}'
    try:
        document = json.loads(Path(path).read_text(encoding="utf-8"))
        if not isinstance(document, dict) or not document.get("items"):
            raise ValueError("no list of items")
        items, skills = _rows(document["items"]), document.get("skills")
        return items, _rows(skills) if skills else None
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DataError(os.fspath(path), [Problem(str(error), expected, "check the path and the file")]) from error


def _rows(rows: Any) -> pa.Table:
    """Mappings as a table; names may be numbers."""
    return pa.Table.from_pylist([{key: _named(value) for key, value in row.items()} for row in rows])


def _named(value: Any) -> Any:
    if isinstance(value, list):
        return [str(each) for each in value]
    return value


def _prerequisites(skills: Any, source: str) -> dict[str, tuple[str, ...]]:
    if skills is None:
        return {}
    table = _rows(skills) if isinstance(skills, (list, tuple)) else pa.table(skills)
    if not table.num_columns:
        return {}
    checked = schema.conform(table, schema.CATALOG_SKILLS, None, ("skill", "prerequisites"), source)
    names, needs = (checked[name].to_pylist() for name in ("skill", "prerequisites"))
    before: dict[str, dict[str, None]] = {}
    for name, need in zip(names, needs, strict=True):
        before.setdefault(str(name), {}).update(dict.fromkeys(map(str, need)))
    return {name: tuple(need) for name, need in before.items()}


def _items(table: pa.Table, before: Mapping[str, tuple[str, ...]], source: str) -> tuple[Item, ...]:
    """The items of a table, checked together with the prerequisites of their skills."""
    found = schema.resolve(table.column_names, schema.CATALOG_ITEMS, None)
    need = ("item", "skills" if "skills" in found else "skill")
    checked = schema.conform(table, schema.CATALOG_ITEMS, None, need, source)
    columns = {name: array.to_pylist() for name, array in checked.items()}
    items = tuple(_item({name: values[row] for name, values in columns.items()}) for row in range(len(table)))
    problems = _repeats(items) + _bad_prerequisites(items, before)
    if problems:
        raise DataError(source, problems)
    return items


def _item(row: dict[str, Any]) -> Item:
    skills = row.pop("skills", None) or [row.pop("skill")]
    row.pop("skill", None)
    return Item(str(row.pop("item")), tuple(dict.fromkeys(map(str, skills))), **row)


def _repeats(items: tuple[Item, ...]) -> list[Problem]:
    seen: dict[str, int] = {}
    problems = []
    for row, item in enumerate(items, 1):
        first = seen.setdefault(item.item, row)
        if first != row:
            expected = f"every item once (it stands in row {first})"
            problems.append(Problem(f"'{item.item}' again", expected, "join the rows, several skills in one", "item", row))
    return problems


def _bad_prerequisites(items: tuple[Item, ...], before: Mapping[str, tuple[str, ...]]) -> list[Problem]:
    known = {skill for item in items for skill in item.skills} | set(before)
    problems = [
        Problem(
            f"'{need}' before '{skill}'", "skills that the catalog names", "correct the name or add the skill", "prerequisites"
        )
        for skill, needs in before.items()
        for need in needs
        if need not in known
    ]
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        circle = " <- ".join(error.args[1])
        problems.append(Problem(f"the circle {circle}", "prerequisites without circles", "remove one of them", "prerequisites"))
    return problems
