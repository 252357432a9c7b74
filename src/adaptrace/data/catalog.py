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
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from adaptrace.data import schema
from adaptrace.errors import DataError, Problem, UnknownItemError
from adaptrace.io.arrow_check import imported
from adaptrace.io.files import read_table

TEXT_NAMES = schema.names_of(*schema.CATALOG_ITEMS, *schema.CATALOG_SKILLS) - schema.names_of(schema.MINUTES)


class Needs(NamedTuple):
    """Skill -> skills before it: hard edges and soft ones."""

    prerequisites: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    soft_prerequisites: Mapping[str, tuple[str, ...]] = MappingProxyType({})


@dataclass(frozen=True)
class Item:
    """Something to answer. Names are text; ``minutes`` is the time it is expected to take."""

    item: str
    skills: tuple[str, ...]
    title: str | None = None
    kind: str | None = None
    minutes: float | None = None
    provider: str | None = None
    pathway: str | None = None

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
        Skill -> the skills to master before it: until then its items are not recommended.
    soft_prerequisites
        Skill -> the skills better mastered before it: until then its items come after others.
    """

    items: tuple[Item, ...]
    prerequisites: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    soft_prerequisites: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    @classmethod
    def read(cls, path: str | os.PathLike[str], *, skills: str | os.PathLike[str] | None = None) -> Catalog:
        """Read a catalog.

        Parameters
        ----------
        path
            JSON ``{"items": [{"item": ..., "skills": [...], ...}], "skills": [{"skill": ..., "prerequisites": [...]}]}``,
            or a Parquet/Arrow/CSV table of items: ``item``, ``skill`` or ``skills``, and optionally ``title``, ``kind``,
            ``minutes``, ``provider``, ``pathway``. In CSV several skills are joined by ``;``.
        skills
            With a table of items: a table with ``skill``, ``prerequisites`` and ``soft_prerequisites``, or one of the two.

        Raises
        ------
        DataError
            Listing every problem: missing columns, repeated items, a prerequisite that no item
            or skill names, a circle of prerequisites.
        """
        if Path(path).suffix.lower() == ".json":
            items, rows = _read_json(path)
            return cls.from_arrow(items, rows, source=os.fspath(path))
        read, needs = read_table(path, TEXT_NAMES), Needs()
        if skills is not None:
            table = read_table(skills, TEXT_NAMES)
            with table.located():
                needs = _needs(table.table, table.name)
        with read.located():
            return cls(_items(read.table, needs, read.name), *needs)

    @classmethod
    def from_arrow(cls, data: Any, skills: Any = None, *, source: str = "catalog") -> Catalog:
        """Make a catalog of a table of items, and a table or rows of ``skill``, ``prerequisites`` and ``soft_prerequisites``.

        Prerequisites are a list, or text with ``;``; rows are mappings.
        """
        needs = _needs(skills, source)
        return cls(_items(imported(data, source), needs, source), *needs)

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"Catalog({len(self.items):,} items, {len(self.skills):,} skills)"

    @cached_property
    def skills(self) -> tuple[str, ...]:
        """Every skill, prerequisites before what needs them; otherwise in the order of the items."""
        practised = (skill for item in self.items for skill in item.skills)
        named = dict.fromkeys([*self.prerequisites, *self.soft_prerequisites, *practised])
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
    """Mappings as a table; names may be numbers, and a key may stand in some rows only."""
    keys = dict.fromkeys(key for row in rows for key in row)
    return pa.Table.from_pylist([{key: _named(row.get(key)) for key in keys} for row in rows])


def _named(value: Any) -> Any:
    if isinstance(value, list):
        return [str(each) for each in value]
    return value


def _needs(skills: Any, source: str) -> Needs:
    """The prerequisites, hard and soft, of a table or rows of skills."""
    if skills is None:
        return Needs()
    table = _rows(skills) if isinstance(skills, (list, tuple)) else imported(skills, source)
    if not table.num_columns:
        return Needs()
    found = schema.resolve(table.column_names, schema.CATALOG_SKILLS, None)
    edges = [name for name in Needs._fields if name in found] or ["prerequisites"]
    checked = schema.conform(table, schema.CATALOG_SKILLS, None, ("skill", *edges), source)
    names = [str(name) for name in checked["skill"].to_pylist()]
    return Needs(**{edge: _edges(names, checked[edge].to_pylist()) for edge in edges})


def _edges(names: list[str], needs: list[list[Any]]) -> dict[str, tuple[str, ...]]:
    before: dict[str, dict[str, None]] = {}
    for name, need in zip(names, needs, strict=True):
        before.setdefault(name, {}).update(dict.fromkeys(map(str, need)))
    return {name: tuple(need) for name, need in before.items()}


def _items(table: pa.Table, needs: Needs, source: str) -> tuple[Item, ...]:
    """The items of a table, checked together with the prerequisites of their skills."""
    found = schema.resolve(table.column_names, schema.CATALOG_ITEMS, None)
    need = ("item", "skills" if "skills" in found else "skill")
    checked = schema.conform(table, schema.CATALOG_ITEMS, None, need, source)
    columns = {name: array.to_pylist() for name, array in checked.items()}
    items = tuple(_item({name: values[row] for name, values in columns.items()}) for row in range(len(table)))
    problems = _repeats(items) + _bad_prerequisites(items, needs)
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


def _bad_prerequisites(items: tuple[Item, ...], needs: Needs) -> list[Problem]:
    before = needs.prerequisites
    known = {skill for item in items for skill in item.skills}.union(*needs)
    problems = [
        Problem(f"'{need}' before '{skill}'", "skills that the catalog names", "correct the name or add the skill", edge)
        for edge, all_before in needs._asdict().items()
        for skill, wanted in all_before.items()
        for need in wanted
        if need not in known
    ]
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        circle = " <- ".join(error.args[1])
        problems.append(Problem(f"the circle {circle}", "prerequisites without circles", "remove one of them", "prerequisites"))
    return problems
