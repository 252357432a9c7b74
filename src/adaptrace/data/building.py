"""Building: checked columns become the table of a log."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.encoding import encode, with_sorted_names
from adaptrace.data.merging import Merging, merged, skills_of_events, tidy
from adaptrace.data.ordering import ordering_of
from adaptrace.errors import DataError, Problem
from adaptrace.kernels import parallel


class Built(NamedTuple):
    """The table of a log, the row of the source that each of its rows came from, and what was found of further skills."""

    table: pa.Table
    source_row: NDArray[Any]
    merging: Merging


def build(
    checked: dict[str, pa.Array], extra: dict[str, pa.Array], source: str, *, ordered: bool = False, merge: bool = False
) -> Built:
    """Encode names, merge the rows of each event, and order by student and time.

    Parameters
    ----------
    checked
        The canonical columns.
    extra
        Further columns to keep.
    source
        What to call the data in errors.
    ordered
        Whether the rows are promised to be in order.
    merge
        Whether rows without an ``event_id`` that differ in nothing but the skill are one event.
    """
    columns = {name: array for name, array in checked.items() if name not in ("student", "item", "skill", "skills")}
    columns |= {name: array for name, array in extra.items() if name not in checked}
    several = "skills" in checked
    names = checked["skills"].values if several else checked["skill"]
    student, item, skill = parallel.run(encode, [(checked["student"],), (checked["item"],), (names,)])
    skill = with_sorted_names(skill)
    if several:
        skill = tidy(checked["skills"].offsets.to_numpy().astype(np.int64), skill)
    rows = np.arange(len(student), dtype=np.int32 if len(student) < 2**31 else np.int64)
    if "event_id" in checked:
        events = encode(checked["event_id"])
        if len(events.dictionary) < len(events):
            same = {"student": student, "item": item, "correct": checked["correct"]}
            rows, skill = _merge_events(events, same, skill, source)
    table = pa.table({"student": student, "item": item, **columns})
    if len(rows) < len(table):
        table = table.take(pa.array(rows))
    table = table.add_column(2, "skills" if pa.types.is_list(skill.type) else "skill", skill)
    arrays = [*map(schema.combined, table.columns), pa.array(rows)]
    ordering = ordering_of(table, ordered, rows, source)
    if ordering is not None:
        arrays = ordering.apply_all(arrays)
    ordered_table = pa.table([pa.chunked_array([array]) for array in arrays[:-1]], names=table.column_names)
    return _with_merged_rows(ordered_table, arrays[-1].to_numpy(), merge)


def _with_merged_rows(table: pa.Table, rows: NDArray[Any], merge: bool) -> Built:
    """The table in order, once rows that differ in nothing but the skill are one event, if that is wanted."""
    if not merge:
        return Built(table, rows, Merging())
    table, kept, found = merged(table)
    return Built(table, rows if kept is None else rows[kept], found)


def _merge_events(
    events: pa.DictionaryArray, columns: dict[str, pa.Array], skill: pa.Array, source: str
) -> tuple[NDArray[np.int64], pa.Array]:
    """The first row of every event, and the skills of all its rows together; ``columns`` are equal in all of its rows."""
    event = events.indices.to_numpy()
    _, first = np.unique(event, return_index=True)
    problems = [problem for name, column in columns.items() for problem in _clashes(events, first[event], name, column)]
    if problems:
        raise DataError(source, problems)
    return first, skills_of_events(event, len(first), skill)


def _clashes(events: pa.DictionaryArray, leader: NDArray[np.int64], name: str, column: pa.Array) -> list[Problem]:
    """The problem of the first row that differs from the first row of its event, ``leader`` (n_rows,)."""
    values = column.indices.to_numpy() if pa.types.is_dictionary(column.type) else column.to_numpy()
    clash = np.flatnonzero(values != values[leader])
    if not len(clash):
        return []
    row, first = int(clash[0]), int(leader[clash[0]])
    value, other = (repr(column[each].as_py()) for each in (row, first))
    if name == "student":
        value, other = "another one", "the one"
    got = f"{value} for event_id {events[row].as_py()!r}"
    expected = f"{other} as in row {first + 1} of the same event"
    return [Problem(got, expected, "give different events different ids", name, row + 1, len(clash) - 1)]
