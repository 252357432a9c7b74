"""The catalog as arrays, for choosing items."""

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
FIELDS = ("item", "skill", "kind", "provider", "pathway")  # that constraints may name


class PrerequisiteArrays(NamedTuple):
    """The prerequisites of skill sets; only of the skill sets that have any."""

    skill_set: CodeArray  # (n,) numbers of the skill sets
    start: CodeArray  # (n,) where the prerequisites of each begin in ``skill``
    skill: CodeArray  # codes of the prerequisites


class CatalogIndex:
    """A catalog as arrays.

    Items that practise the same skills share a *skill set*. Items that also agree in kind, provider, pathway and minutes share a
    *profile*. No policy can prefer one item of a profile to another, so most arrays have one column per profile. Only arrays
    that differ between items, such as how often each was answered, have one column per item.

    Parameters
    ----------
    catalog
        The items.
    apart
        Give every item a profile of its own, for a model with parameters per item.

    Attributes
    ----------
    skills, code
        Names of the skills; a skill's *code* is its position in them.
    names, position
        Names of the items, and the position of each.
    skill_sets, skill_set_start, skill_set_skills
        Names of the skills of each skill set; (skill sets,) where its codes begin in (entries,) all codes.
    profile_of, profile_numbers, skill_set_numbers
        The profile of each item, as an array and as a list, and its skill set, as a list.
    profile_skill_set, profile_items, minutes
        Per profile: its skill set, the positions of its items, and the expected minutes. An item without minutes, or with 0, has
        the mean of the others; 1 if no item has any.
    codes, responses
        Per item: the codes of its skills, and the response to predict.
    """

    def __init__(self, catalog: Catalog, *, apart: bool = False) -> None:
        self.catalog, self.skills = catalog, catalog.skills
        self.code = {skill: position for position, skill in enumerate(self.skills)}
        self.names = [item.item for item in catalog.items]
        self.position = {name: position for position, name in enumerate(self.names)}
        numbers = {skills: number for number, skills in enumerate(dict.fromkeys(_skill_set(item) for item in catalog.items))}
        self.skill_sets = list(numbers)
        self.skill_set_start = np.cumsum([0, *map(len, numbers)])[:-1]
        self.skill_set_skills = np.array([self.code[skill] for skills in numbers for skill in skills], int)
        profiles: dict[Any, list[int]] = {}
        for position, item in enumerate(catalog.items):
            key = position if apart else (_skill_set(item), item.kind, item.provider, item.pathway, item.minutes)
            profiles.setdefault(key, []).append(position)
        self.profile_items = list(profiles.values())
        self.profile_of = np.empty(len(catalog), int)
        for profile, positions in enumerate(self.profile_items):
            self.profile_of[positions] = profile
        self.profile_skill_set = np.array([numbers[_skill_set(item)] for item in self.profiles], int)
        self.profile_numbers: list[int] = self.profile_of.tolist()
        self.skill_set_numbers: list[int] = self.profile_skill_set[self.profile_of].tolist()
        self.codes = [[self.code[skill] for skill in item.skills] for item in catalog.items]
        self.nearest = lru_cache(maxsize=1024)(self._nearest)
        self.responses = [Response(item.item, _skill_set(item), item.kind or PRACTICE, math.nan, None) for item in catalog.items]

    def __len__(self) -> int:
        return len(self.names)

    @property
    def profiles(self) -> list[Item]:
        """One item of each profile."""
        return [self.catalog.items[positions[0]] for positions in self.profile_items]

    @cached_property
    def minutes(self) -> NDArray[np.float64]:
        """Expected minutes, (profiles,)."""
        known = np.array([item.minutes or np.nan for item in self.profiles])
        return np.where(np.isnan(known), 1.0 if np.isnan(known).all() else np.nanmean(known[self.profile_of]), known)

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
        """An array with a column per item, from one with a column per profile or per item."""
        return values if values.shape[-1] == len(self) else values[..., self.profile_of]

    def items_of_columns(self, columns: int) -> list[list[int]]:
        """The positions of each column's items, in an array of so many columns: one per profile or one per item."""
        return self.profile_items if columns == len(self.profile_items) else self._single_items

    def columns_of_skill_sets(self, columns: int) -> list[CodeArray]:
        """The columns of each skill set, in an array of so many columns: one per profile or one per item."""
        return self._skill_set_profiles if columns == len(self.profile_items) else self._skill_set_items

    @cached_property
    def _single_items(self) -> list[list[int]]:
        return [[position] for position in range(len(self))]

    @cached_property
    def _skill_set_profiles(self) -> list[CodeArray]:
        return [np.flatnonzero(self.profile_skill_set == number) for number in range(len(self.skill_sets))]

    @cached_property
    def _skill_set_items(self) -> list[CodeArray]:
        skill_set = self.profile_skill_set[self.profile_of]
        return [np.flatnonzero(skill_set == number) for number in range(len(self.skill_sets))]

    def write_row(self, values: Mapping[str, float], row: NDArray[Any]) -> None:
        """Write values by skill into an array (skills,). Skills that are not in the catalog are left out."""
        if not values.keys() <= self.code.keys():
            values = {skill: value for skill, value in values.items() if skill in self.code}
        row[np.fromiter(map(self.code.__getitem__, values), np.intp, len(values))] = np.fromiter(
            values.values(), row.dtype, len(values)
        )

    def table(self, values: Sequence[Mapping[str, float]]) -> NDArray[np.float64]:
        """Values by skill as an array (len(values), skills); 0 where there is no value."""
        out = np.zeros((len(values), len(self.skills)))
        for row, each in zip(out, values, strict=True):
            self.write_row(each, row)
        return out

    # ---- from skills to profiles ----

    def weakest(self, mastery: NDArray[np.float64]) -> NDArray[np.float64]:
        """The least over each profile's skills: (students, skills) -> (students, profiles)."""
        return self._reduced(np.minimum, mastery)

    def largest(self, values: NDArray[np.float64]) -> NDArray[np.float64]:
        """The largest over each profile's skills: (students, skills) -> (students, profiles)."""
        return self._reduced(np.maximum, values)

    def any_of(self, flag: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether the flag is set for any of each profile's skills: (students, skills) -> (students, profiles)."""
        return self._reduced(np.logical_or, flag)

    def _reduced(self, over: np.ufunc, values: NDArray[Any]) -> NDArray[Any]:
        if self.profile_skill is not None:
            return values.take(self.profile_skill, axis=1)
        per_skill_set = over.reduceat(values[:, self.skill_set_skills], self.skill_set_start, axis=1)
        return np.asarray(per_skill_set.take(self.profile_skill_set, axis=1))

    @cached_property
    def profile_skill(self) -> CodeArray | None:
        """The skill of each profile, if all have just one."""
        return self.skill_set_skills[self.profile_skill_set] if len(self.skill_set_skills) == len(self.skill_sets) else None

    # ---- prerequisites ----

    @cached_property
    def hard(self) -> PrerequisiteArrays:
        """Prerequisites to master first. One that no item practises does not count: nobody could master it."""
        return self._prerequisites(self.catalog.prerequisites)

    @cached_property
    def soft(self) -> PrerequisiteArrays:
        """Soft prerequisites, which are better mastered first."""
        return self._prerequisites(self.catalog.soft_prerequisites)

    def _prerequisites(self, before: Mapping[str, tuple[str, ...]]) -> PrerequisiteArrays:
        named = {number: _before(skills, before) for number, skills in enumerate(self.skill_sets)}
        codes = {number: [self.code[need] for need in needs if need in self.catalog.practised] for number, needs in named.items()}
        codes = {number: each for number, each in codes.items() if each}
        start = np.cumsum([0, *map(len, codes.values())])[:-1]
        skill = [code for each in codes.values() for code in each]
        return PrerequisiteArrays(np.array(list(codes), int), start.astype(int), np.array(skill, int))

    def any_prerequisite(self, prerequisites: PrerequisiteArrays, flag: NDArray[np.bool_]) -> NDArray[np.bool_]:
        """Whether the flag is set for any prerequisite of each profile: (students, skills) -> (students, profiles)."""
        out = np.zeros((len(flag), len(self.skill_sets)), bool)
        if len(prerequisites.skill_set):
            flags = flag.take(prerequisites.skill, axis=1)
            out[:, prerequisites.skill_set] = np.logical_or.reduceat(flags, prerequisites.start, axis=1)
        return out.take(self.profile_skill_set, axis=1)

    @cached_property
    def prerequisites(self) -> list[tuple[str, ...]]:
        """Per item the prerequisites of its skills, without those that it practises itself."""
        return [_before(item.skills, self.catalog.prerequisites) for item in self.catalog.items]

    @cached_property
    def unlocks(self) -> dict[str, tuple[str, ...]]:
        """Skill -> the skills that have it as a prerequisite."""
        waiting: dict[str, list[str]] = {}
        for skill, needs in self.catalog.prerequisites.items():
            for need in needs:
                waiting.setdefault(need, []).append(skill)
        return {need: tuple(skills) for need, skills in waiting.items()}

    # ---- fields that constraints name ----

    def values(self, field: str, name: str) -> tuple[str, ...]:
        """An item's values of a field, e.g. its kind or its skills. None for an item that is not in the catalog."""
        item = self.catalog.by_name.get(name)
        return () if item is None else _values(field, item)

    def matches(self, field: str, values: Iterable[str]) -> NDArray[np.bool_]:
        """Whether each item has one of these values of a field: (items,) for the field ``item``, else (profiles,)."""
        found = np.zeros(len(self) if field == "item" else len(self.profile_items), bool)
        for value in values:
            found[self._columns[field].get(value, [])] = True
        return found

    def has(self, field: str, value: str) -> bool:
        """Whether the catalog has this value of a field. A skill may be a prerequisite only."""
        return value in self._columns[field] or (field == "skill" and value in self.code)

    def _nearest(self, field: str, value: str) -> str | None:
        """The value of a field whose spelling is nearest."""
        return next(iter(difflib.get_close_matches(value, self._columns[field], 1)), None)

    @cached_property
    def _columns(self) -> dict[str, dict[str, list[int]]]:
        """Field -> value -> its columns."""
        columns: dict[str, dict[str, list[int]]] = {field: {} for field in FIELDS}
        for field in FIELDS:
            for column, item in enumerate(self.catalog.items if field == "item" else self.profiles):
                for value in _values(field, item):
                    columns[field].setdefault(value, []).append(column)
        return columns


def _skill_set(item: Item) -> tuple[str, ...]:
    return tuple(sorted(item.skills))


def _before(skills: tuple[str, ...], before: Mapping[str, tuple[str, ...]]) -> tuple[str, ...]:
    """The prerequisites of these skills, without these skills."""
    needs = dict.fromkeys(need for skill in skills for need in before.get(skill, ()))
    return tuple(need for need in needs if need not in skills)


def _values(field: str, item: Item) -> tuple[str, ...]:
    if field == "skill":
        return item.skills
    value = item.kind or PRACTICE if field == "kind" else getattr(item, field)
    return () if value is None else (value,)
