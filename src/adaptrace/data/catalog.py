"""Catalog: the items, the skills that they practise, and the prerequisites of skills."""

from __future__ import annotations

import difflib
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from graphlib import CycleError, TopologicalSorter
from numbers import Real
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pyarrow as pa

from adaptrace.data import schema
from adaptrace.data.catalog_tables import Prerequisites, item_rows, prerequisites_of, read_json
from adaptrace.data.names import is_name, name_of
from adaptrace.errors import DataError, Problem, UnknownItemError, counted
from adaptrace.io.arrow_check import imported
from adaptrace.io.files import read_table

Edges = Mapping[str, tuple[str, ...]]  # skill -> the skills before it
TEXT_NAMES = schema.names_of(*schema.CATALOG_ITEMS, *schema.CATALOG_SKILLS) - schema.names_of(schema.MINUTES)


@dataclass(frozen=True)
class Item:
    """Something to answer. Names are text; ``minutes`` is the time that it is expected to take."""

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
    """Items, and prerequisites of their skills. However it is made, it is checked.

    Attributes
    ----------
    items
        In the order of the file: ties between equally good items go to the earlier.
    prerequisites
        Skill -> the skills to master before it: until then its items are not recommended.
    soft_prerequisites
        Skill -> the skills better mastered before it: until then its items come after others.

    Raises
    ------
    DataError
        Listing every problem: repeated items, an item without skills, a name that is no text, a prerequisite that no item or
        skill names, a circle of prerequisites.

    Examples
    --------
    >>> from adaptrace import Catalog, Item
    >>> items = [Item("h1", ("halves",)), Item("q1", ("quarters",))]
    >>> Catalog(items, {"quarters": ("halves",)}).skills
    ('halves', 'quarters')
    """

    items: tuple[Item, ...]
    prerequisites: Edges = field(default_factory=dict)
    soft_prerequisites: Edges = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        edges = {name: getattr(self, name) for name in Prerequisites._fields}
        problems = [*_wrong_types(self.items, edges)]
        if not problems:
            problems = [*_repeated_items(self.items), *_unknown_prerequisites(self.items, edges), *_circle(self.prerequisites)]
        if problems:
            raise DataError("catalog", problems)
        object.__setattr__(self, "items", tuple(self.items))
        for name, before in edges.items():
            frozen = MappingProxyType({skill: tuple(needs) for skill, needs in before.items()})
            object.__setattr__(self, name, frozen)

    def __reduce__(self) -> tuple[Any, ...]:
        """Unpickling makes the catalog anew, and so checks it."""
        return _rebuilt, (type(self), self.items, dict(self.prerequisites), dict(self.soft_prerequisites))

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
            Listing every problem: missing columns, no items, repeated items, a prerequisite that no item
            or skill names, a circle of prerequisites.
        """
        if Path(path).suffix.lower() == ".json":
            items, rows = read_json(path)
            return cls.from_arrow(items, rows, source=os.fspath(path))
        read, before = read_table(path, TEXT_NAMES), Prerequisites()
        if not len(read.table):
            raise DataError(read.name, [Problem("no rows", "a row for every item", "export the file again")])
        if skills is not None:
            table = read_table(skills, TEXT_NAMES)
            with table.located():
                before = prerequisites_of(table.table, table.name)
        with read.located():
            return cls._of(item_rows(read.table, read.name), before, read.name)

    @classmethod
    def from_arrow(cls, data: Any, skills: Any = None, *, source: str = "catalog") -> Catalog:
        """Make a catalog of a table of items, and a table or rows of ``skill``, ``prerequisites`` and ``soft_prerequisites``.

        Prerequisites are a list, or text with ``;``; rows are mappings.
        """
        before = prerequisites_of(skills, source)
        return cls._of(item_rows(imported(data, source), source), before, source)

    @classmethod
    def _of(cls, rows: list[dict[str, Any]], before: Prerequisites, source: str) -> Catalog:
        """The catalog of these rows; its problems are those of the source."""
        items = tuple(Item(**row) for row in rows)
        try:
            return cls(items, before.prerequisites, soft_prerequisites=before.soft_prerequisites)
        except DataError as error:
            raise DataError(source, error.problems) from None

    def __len__(self) -> int:
        return len(self.items)

    def __repr__(self) -> str:
        return f"Catalog({counted(len(self.items), 'item')}, {counted(len(self.skills), 'skill')})"

    @cached_property
    def skills(self) -> tuple[str, ...]:
        """Every skill, each after its prerequisites; otherwise in the order of the items."""
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
        """The item of that name; raises :class:`UnknownItemError` that names the nearest, or DataError if it is no name."""
        text = name_of(name, "item")
        if text in self.by_name:
            return self.by_name[text]
        near = self._nearest(text)
        hint = f"; did you mean '{near}'?" if near else ""
        raise UnknownItemError(f"item '{name}' is not in the catalog of {len(self):,} items{hint}")

    def _nearest(self, name: str) -> str | None:
        """The item whose name is spelled most like this one."""
        return next(iter(difflib.get_close_matches(name, self.by_name, 1)), None)

    def skills_of(self, items: pa.Array, source: str) -> pa.ListArray:
        """The skills of each of these items; one :class:`DataError` lists all that are not in the catalog."""
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


def _rebuilt(kind: type[Catalog], items: tuple[Item, ...], before: Edges, soft: Edges) -> Catalog:
    return kind(items, before, soft_prerequisites=soft)


# ---- what can be wrong -------------------------------------------------------


def _wrong_types(items: Any, edges: Mapping[str, Any]) -> Iterator[Problem]:
    """What is of a wrong type, and so would make the other checks fail."""
    if isinstance(items, str | Item) or not isinstance(items, Iterable):
        yield Problem(repr(items), "a list of Item", "put the items into a list", "items")
        return
    for row, item in enumerate(items, 1):
        if not isinstance(item, Item):
            yield Problem(repr(item), "an Item", "make it one: Item(name, (skill,))", "items", row)
        else:
            yield from _wrong_fields(item, row)
    for name, before in edges.items():
        if not isinstance(before, Mapping):
            yield Problem(repr(before), "skill -> the skills before it", 'e.g. {"quarters": ("halves",)}', name)
            continue
        for skill, needs in before.items():
            if not _is_name(skill) or not _are_names(needs):
                got, remedy = f"{skill!a}: {needs!a}", 'e.g. {"quarters": ("halves",)}'
                yield Problem(got, "the name of a skill, and a tuple of names", remedy, name)


def _wrong_fields(item: Item, row: int) -> Iterator[Problem]:
    """The fields of an item that are of a wrong type."""
    if not _is_name(item.item):
        yield Problem(ascii(item.item), "a name: text that is not blank", "give the item a name", "item", row)
    if not _are_names(item.skills) or not item.skills or len({*item.skills}) < len(item.skills):
        remedy = "name at least one skill, and each once"
        yield Problem(ascii(item.skills), "a tuple of names of skills", remedy, "skills", row)
    for name in ("title", "kind", "provider", "pathway"):
        value = getattr(item, name)
        if value is not None and not isinstance(value, str):
            yield Problem(repr(value), "text, or None", "write it as text", name, row)
    minutes = item.minutes
    if minutes is not None and not (_is_number(minutes) and 0.0 <= minutes < math.inf):
        yield Problem(repr(minutes), "a number of minutes, 0 or more, or None", "correct it or leave it out", "minutes", row)


def _is_name(value: object) -> bool:
    return isinstance(value, str) and is_name(value)


def _are_names(values: object) -> bool:
    return isinstance(values, tuple | list) and all(map(_is_name, values))


def _is_number(value: object) -> bool:
    return isinstance(value, Real) and not isinstance(value, bool)


def _repeated_items(items: Iterable[Item]) -> Iterator[Problem]:
    seen: dict[str, int] = {}
    for row, item in enumerate(items, 1):
        first = seen.setdefault(item.item, row)
        if first != row:
            expected = f"every item once (it stands in row {first})"
            yield Problem(f"'{item.item}' again", expected, "join the rows, several skills in one", "item", row)


def _unknown_prerequisites(items: Iterable[Item], edges: Mapping[str, Edges]) -> Iterator[Problem]:
    """Prerequisites that neither an item nor a row of skills names."""
    known = {skill for item in items for skill in item.skills}.union(*edges.values())
    for edge, before in edges.items():
        for skill, needs in before.items():
            for need in needs:
                if need not in known:
                    got, expected = f"'{need}' before '{skill}'", "skills that the catalog names"
                    yield Problem(got, expected, "correct the name or add the skill", edge)


def _circle(before: Edges) -> Iterator[Problem]:
    try:
        TopologicalSorter(before).prepare()
    except CycleError as error:
        circle = " <- ".join(error.args[1])
        yield Problem(f"the circle {circle}", "prerequisites without circles", "remove one of them", "prerequisites")
