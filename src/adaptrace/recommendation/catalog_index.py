"""The catalog as arrays: what the choice of an item looks up."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data.catalog import Catalog, Item
from adaptrace.data.schema import PRACTICE
from adaptrace.models.base import Response

CodeArray = NDArray[np.int64]
FIELDS = ("item", "skill", "kind", "provider", "pathway")  # what constraints may speak of


class Needs(NamedTuple):
    """Which sets of skills need which skills first; only the sets that need any."""

    sets: CodeArray  # (n,)
    start: CodeArray  # (n,) where a set's skills begin
    skill: CodeArray


class Shelf:
    """A catalog as arrays.

    Items that practise the same skills share a *set*. Those that are alike in all that a policy may look at share a *slot*: what
    holds for one holds for all, so most arrays have a column per slot, and only what tells items apart has one per item.

    Parameters
    ----------
    catalog
        The items.
    apart
        Give every item a slot of its own, for a model that tells them apart.

    Attributes
    ----------
    skills
        Names; a skill's *code* is its place here. ``code`` looks it up.
    names, place
        Of the items, and the place of each.
    sets, set_start, set_skill
        Names of each set's skills, and (sets,) and (entries,) their codes.
    slot_of
        (items,) the slot of each item; ``slots_of``, ``sets_of``: the slots and the sets as lists.
    slot_set, slot_items, minutes
        Per slot its set, the places of its items, and the expected minutes (of an item that says none, or 0, the mean of the
        others, 1 if none says any).
    codes, responses
        Per item the codes of its skills, and the response that would be asked for.
    """

    def __init__(self, catalog: Catalog, *, apart: bool = False) -> None:
        self.catalog, self.skills = catalog, catalog.skills
        self.code = {skill: place for place, skill in enumerate(self.skills)}
        self.names = [item.item for item in catalog.items]
        self.place = {name: place for place, name in enumerate(self.names)}
        sets = {names: number for number, names in enumerate(dict.fromkeys(_set(item) for item in catalog.items))}
        self.sets = list(sets)
        self.set_start = np.cumsum([0, *map(len, sets)])[:-1]
        self.set_skill = np.array([self.code[skill] for names in sets for skill in names], int)
        slots: dict[Any, list[int]] = {}
        for place, item in enumerate(catalog.items):
            key = place if apart else (_set(item), item.kind, item.provider, item.pathway, item.minutes)
            slots.setdefault(key, []).append(place)
        self.slot_items = list(slots.values())
        self.slot_of = np.empty(len(catalog), int)
        for slot, places in enumerate(self.slot_items):
            self.slot_of[places] = slot
        self.slot_set = np.array([sets[_set(item)] for item in self.slots], int)
        self.slots_of: list[int] = self.slot_of.tolist()
        self.sets_of: list[int] = self.slot_set[self.slot_of].tolist()
        self.codes = [[self.code[skill] for skill in item.skills] for item in catalog.items]
        self.nearest = lru_cache(maxsize=1024)(self._nearest)
        self.responses = [Response(item.item, _set(item), item.kind or PRACTICE, math.nan, None) for item in catalog.items]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def slots(self) -> list[Item]:
        """An item of each slot."""
        return [self.catalog.items[places[0]] for places in self.slot_items]

    @cached_property
    def minutes(self) -> NDArray[np.float64]:
        """Expected, (slots,)."""
        told = np.array([item.minutes or np.nan for item in self.slots])
        return np.where(np.isnan(told), 1.0 if np.isnan(told).all() else np.nanmean(told[self.slot_of]), told)

    @cached_property
    def item_names(self) -> pa.StringArray:
        """Names of the items, for tables."""
        return pa.array(self.names, pa.string())

    @cached_property
    def skill_names(self) -> pa.StringArray:
        """Names of the skills, for tables."""
        return pa.array(self.skills, pa.string())

    # ---- columns ----

    def per_item(self, values: NDArray[Any]) -> NDArray[Any]:
        """An array with a column per slot, or already per item, as one with a column per item."""
        return values if values.shape[-1] == len(self) else values[..., self.slot_of]

    def items_of(self, columns: int) -> list[list[int]]:
        """The places of each column's items, where there are so many columns: one per slot or one per item."""
        return self.slot_items if columns == len(self.slot_items) else self._single

    def alike(self, columns: int) -> list[CodeArray]:
        """Per set its columns, where there are so many: one per slot or one per item."""
        return self._set_slots if columns == len(self.slot_items) else self._set_items

    @cached_property
    def _single(self) -> list[list[int]]:
        return [[place] for place in range(len(self))]

    @cached_property
    def _set_slots(self) -> list[CodeArray]:
        return [np.flatnonzero(self.slot_set == number) for number in range(len(self.sets))]

    @cached_property
    def _set_items(self) -> list[CodeArray]:
        set_of = self.slot_set[self.slot_of]
        return [np.flatnonzero(set_of == number) for number in range(len(self.sets))]

    def spread(self, values: Mapping[str, float], row: NDArray[Any]) -> None:
        """Write values by skill into an array (skills,); skills that the catalog lacks are left out."""
        if not values.keys() <= self.code.keys():
            values = {skill: value for skill, value in values.items() if skill in self.code}
        row[np.fromiter(map(self.code.__getitem__, values), np.intp, len(values))] = np.fromiter(
            values.values(), row.dtype, len(values)
        )

    def table(self, values: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
        """Values by skill as an array (len(values), skills); 0 where there is none."""
        out = np.zeros((len(values), len(self.skills)))
        for row, each in zip(out, values, strict=True):
            self.spread(each, row)
        return out

    # ---- from skills to slots ----

    def weakest(self, mastery: NDArray[np.float64]) -> NDArray[np.float64]:
        """The least over each slot's skills: (students, skills) -> (students, slots)."""
        return self._reduced(np.minimum, mastery)

    def largest(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The largest over each slot's skills: (students, skills) -> (students, slots)."""
        return self._reduced(np.maximum, values)

    def any_of(self, flag: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether it holds for any of each slot's skills: (students, skills) -> (students, slots)."""
        return self._reduced(np.logical_or, flag)

    def _reduced(self, over: np.ufunc, values: NDArray[Any]) -> NDArray[Any]:
        if self.slot_skill is not None:
            return values.take(self.slot_skill, axis=1)
        return np.asarray(over.reduceat(values[:, self.set_skill], self.set_start, axis=1).take(self.slot_set, axis=1))

    @cached_property
    def slot_skill(self) -> CodeArray | None:
        """The skill of each slot, if all have just one."""
        return self.set_skill[self.slot_set] if len(self.set_skill) == len(self.sets) else None

    # ---- prerequisites ----

    @cached_property
    def hard(self) -> Needs:
        """Prerequisites that an item must wait for; one that no item practises does not block."""
        return self._needs(self.catalog.prerequisites)

    @cached_property
    def soft(self) -> Needs:
        """Prerequisites that an item would better wait for."""
        return self._needs(self.catalog.soft_prerequisites)

    def _needs(self, before: Mapping[str, tuple[str, ...]]) -> Needs:
        needed = {number: _before(names, before) for number, names in enumerate(self.sets)}
        coded = {
            number: [self.code[need] for need in needs if need in self.catalog.practised] for number, needs in needed.items()
        }
        coded = {number: codes for number, codes in coded.items() if codes}
        start = np.cumsum([0, *map(len, coded.values())])[:-1]
        return Needs(
            np.array(list(coded), int), start.astype(int), np.array([code for each in coded.values() for code in each], int)
        )

    def lacking(self, needs: Needs, flag: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether it holds for any skill that each slot needs: (students, skills) -> (students, slots)."""
        out = np.zeros((len(flag), len(self.sets)), bool)
        if len(needs.sets):
            out[:, needs.sets] = np.logical_or.reduceat(flag.take(needs.skill, axis=1), needs.start, axis=1)
        return out.take(self.slot_set, axis=1)

    @cached_property
    def needs(self) -> list[tuple[str, ...]]:
        """Per item the prerequisites of its skills that it does not practise itself."""
        return [_before(item.skills, self.catalog.prerequisites) for item in self.catalog.items]

    @cached_property
    def opens(self) -> dict[str, tuple[str, ...]]:
        """Skill -> the skills that wait for it."""
        waiting: dict[str, list[str]] = {}
        for skill, needs in self.catalog.prerequisites.items():
            for need in needs:
                waiting.setdefault(need, []).append(skill)
        return {need: tuple(skills) for need, skills in waiting.items()}

    # ---- what constraints speak of ----

    def values(self, field: str, name: str) -> tuple[str, ...]:
        """What an item is in a field, e.g. its kind; its skills are several. Nothing for an item that the catalog lacks."""
        item = self.catalog.by_name.get(name)
        return () if item is None else _values(field, item)

    def holds(self, field: str, values: Iterable[str]) -> NDArray[np.bool_]:
        """Whether an item is one of these values in a field: (items,) for the field ``item``, else (slots,)."""
        held = np.zeros(len(self) if field == "item" else len(self.slot_items), bool)
        for value in values:
            held[self._columns[field].get(value, [])] = True
        return held

    def knows(self, field: str, value: str) -> bool:
        """Whether the catalog has this value in a field; a skill may also be a prerequisite only."""
        return value in self._columns[field] or (field == "skill" and value in self.code)

    def _nearest(self, field: str, value: str) -> str | None:
        """The value in a field that is spelled most like this one."""
        return next(iter(difflib.get_close_matches(value, self._columns[field], 1)), None)

    @cached_property
    def _columns(self) -> dict[str, dict[str, list[int]]]:
        """Field -> value -> its columns."""
        columns: dict[str, dict[str, list[int]]] = {field: {} for field in FIELDS}
        for field in FIELDS:
            for column, item in enumerate(self.catalog.items if field == "item" else self.slots):
                for value in _values(field, item):
                    columns[field].setdefault(value, []).append(column)
        return columns


def _set(item: Item) -> tuple[str, ...]:
    return tuple(sorted(item.skills))


def _before(skills: tuple[str, ...], before: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """What these skills need, themselves aside."""
    needs = dict.fromkeys(need for skill in skills for need in before.get(skill, ()))
    return tuple(need for need in needs if need not in skills)


def _values(field: str, item: Item) -> tuple[str, ...]:
    if field == "skill":
        return item.skills
    value = item.kind or PRACTICE if field == "kind" else getattr(item, field)
    return () if value is None else (value,)
