"""Reading: the columns of a source become the canonical columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adaptrace.data import schema
from adaptrace.data.checks import check_label, check_level
from adaptrace.data.times import UNITS, clock
from adaptrace.errors import DataError, Problem
from adaptrace.io import content
from adaptrace.io.arrow_check import imported


class Reading(NamedTuple):
    """How the columns of a source are read, as in :meth:`Log.from_arrow`."""

    columns: Mapping[str, str] | None
    time_unit: str | None
    levels: Mapping[str, int]
    source: str
    merge: bool = True

    def imported(self, data: Any, keep: Sequence[str] = ()) -> pa.Table:
        """Any table in memory as an Arrow table, once the memory of the columns that are used is checked.

        Raises
        ------
        DataError
            Saying what makes no table, or listing every column that is damaged.
        """

        def wanted(names: list[str]) -> set[str]:
            return {*schema.resolve(names, schema.RESPONSES, self.columns).values(), *keep}

        return imported(data, self.source, wanted)

    def check(self, table: pa.Table, *, with_skills: bool = True) -> dict[str, pa.Array]:
        """The canonical columns of a table, checked and cast; ``with_skills`` says that skills must be among them.

        Raises
        ------
        DataError
            Listing every problem found.
        """
        table, columns = _clock_or_order(self._without_others(table), self.columns, self.time_unit, self.source)
        table, columns = _levels_as_correct(table, columns, self.levels, self.source)
        found = schema.resolve(table.column_names, schema.RESPONSES, columns)
        skill = "skills" if "skills" in found else "skill"
        need = ("student", "item", "correct", *([skill] if with_skills or skill in found else []))
        checked = schema.conform(table, schema.RESPONSES, columns, need, self.source)
        checked.pop("level", None)
        return checked

    def notes(self, table: pa.Table) -> tuple[str, ...]:
        """Which columns were read for what, and which were not though their names may mean the same."""
        found = schema.resolve(self._without_others(table).column_names, schema.RESPONSES, self.columns)
        return schema.unread(table.column_names, schema.RESPONSES, found)

    def _without_others(self, table: pa.Table) -> pa.Table:
        """The table without columns that only seem to be what their names say (:func:`~adaptrace.data.schema.seeming`)."""
        asked = {*(self.columns or {}), *(["level"] if self.levels else [])}
        return table.drop_columns(
            schema.seeming(table, schema.resolve(table.column_names, schema.RESPONSES, self.columns), asked)
        )


def extra_columns(table: pa.Table, keep: Sequence[str], source: str) -> dict[str, pa.Array]:
    """The further columns to keep."""
    absent = [name for name in keep if name not in table.column_names]
    if absent:
        got, remedy = f"the columns {', '.join(table.column_names)}", "correct the name in keep"
        raise DataError(source, [Problem(got, f"column '{name}' to keep", remedy, name) for name in absent])
    twice = [name for name in keep if table.column_names.count(name) > 1]
    if twice:
        remedy = "rename all but one"
        raise DataError(source, [Problem("several columns of this name", "every name once", remedy, name) for name in twice])
    kept = {name: schema.plain(schema.combined(table[name])) for name in keep}
    raw = [name for name, array in kept.items() if pa.types.is_binary(array.type)]
    if raw:
        raise DataError(source, [Problem("bytes that are not UTF-8", content.UTF_8, content.SAVE_AS_UTF_8, name) for name in raw])
    return kept


def _clock_or_order(
    table: pa.Table, columns: Mapping[str, str] | None, unit: str | None, source: str
) -> tuple[pa.Table, Mapping[str, str] | None]:
    """Integers in the time column are an order, unless a unit makes them times."""
    if unit not in (None, *UNITS):
        raise DataError(source, [Problem(f"time unit '{unit}'", f"one of {', '.join(UNITS)}", "correct time_unit")])
    name = schema.resolve(table.column_names, schema.RESPONSES, columns).get("time")
    if name is None or table.column_names.count(name) != 1:
        return table, columns
    if unit is not None:
        return _with_clock(table, name, unit, source), columns
    if not pa.types.is_integer(schema.value_type(table[name])):
        return table, columns
    if "order" in (columns or {}):
        return table.drop_columns([name]), columns
    return table, {**{key: value for key, value in (columns or {}).items() if key != "time"}, "order": name}


def _with_clock(table: pa.Table, name: str, unit: str, source: str) -> pa.Table:
    """The table with the numbers of a column as times."""
    times = clock(schema.plain(schema.combined(table[name])), unit)
    if times.array is None:
        raise DataError(source, [replace(problem, column=name) for problem in times.problems])
    return table.set_column(table.column_names.index(name), name, times.array)


def _levels_as_correct(
    table: pa.Table, columns: Mapping[str, str] | None, levels: Mapping[str, int], source: str
) -> tuple[pa.Table, Mapping[str, str] | None]:
    """Levels become outcomes: the fraction of the highest level of their kind."""
    found = schema.resolve(table.column_names, schema.RESPONSES, columns)
    names = [found.get(name, "") for name in ("level", "kind", "correct")]
    if any(table.column_names.count(name) > 1 for name in names) or names[0] not in table.column_names:
        return table, columns
    level = check_level(schema.plain(schema.combined(table[names[0]]))).array
    if level is None:
        return table, columns
    kind = pa.nulls(len(table), pa.string())
    if names[1] in table.column_names:
        kind = check_label(schema.plain(schema.combined(table[names[1]]))).array or kind
    kind = pc.fill_null(kind, schema.PRACTICE)
    count = pc.index_in(kind, pa.array(list(levels), pa.string())).fill_null(len(levels))
    count = pa.array([*levels.values(), None], pa.int64()).take(count)
    _check_levels(level, kind, count, names[0], source)
    fraction = pc.divide(level.cast(pa.float64()), pc.subtract(count, 1).cast(pa.float64()))
    if names[2] not in table.column_names:
        name = "correct" if "correct" not in table.column_names else "correct of level"
        return table.append_column(name, fraction), {**(columns or {}), "correct": name}
    given = schema.combined(table[names[2]])
    try:
        correct = pc.if_else(pc.is_null(level), given.cast(pa.float64()), fraction)
    except pa.ArrowInvalid:  # the check of the column gives the error
        return table, columns
    return table.set_column(table.column_names.index(names[2]), names[2], correct), columns


def _check_levels(level: pa.Array, kind: pa.Array, count: pa.Array, column: str, source: str) -> None:
    """Refuse levels that their kinds do not have, in one error."""
    few = pc.fill_null(pc.less(count, 2), False)
    if pc.any(few).as_py():
        name = kind[pc.index(few, True).as_py()].as_py()
        remedy = f"count them all, the lowest too: levels={{'{name}': 5}} for levels 0 to 4"
        raise DataError(source, [Problem(f"fewer than 2 levels of kind '{name}'", "at least 2", remedy, column)])
    problems = []
    unknown = pc.and_(pc.is_valid(level), pc.is_null(count))
    above = pc.fill_null(pc.greater_equal(level, count), False)
    for bad in (unknown, above):
        rows = np.flatnonzero(bad.to_numpy(zero_copy_only=False))
        if len(rows):
            row = int(rows[0])
            name, got = kind[row].as_py(), f"level {level[row]} of kind '{kind[row].as_py()}'"
            expected, remedy = (
                f"a number of levels for '{name}'",
                f"pass levels={{'{name}': 5}} (--levels {name}=5) for levels 0 to 4",
            )
            if bad is above:
                expected = f"0 to {count[row].as_py() - 1}"
                remedy = f"correct the cell, or levels={{'{name}': ...}}"
            problems.append(Problem(got, expected, remedy, column, row + 1, len(rows) - 1))
    if problems:
        raise DataError(source, problems)
