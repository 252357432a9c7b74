"""Building: checked columns become the table of a log."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.encoding import encode, with_sorted_names
from adaptrace.data.ordering import ordering_of
from adaptrace.errors import DataError, Problem
from adaptrace.kernels import parallel
from adaptrace.kernels import rows as kernels


def build(checked: dict[str, pa.Array], extra: dict[str, pa.Array], ordered: bool, source: str) -> tuple[pa.Table, NDArray[Any]]:
    """Encode names, merge the rows of each event, and order by student and time.

    Parameters
    ----------
    checked
        The canonical columns.
    extra
        Further columns to keep.
    ordered
        Whether the rows are promised to be in order.
    source
        What to call the data in errors.

    Returns
    -------
    tuple
        The table of a log, and the row of ``checked`` that each of its rows came from.
    """
    columns = {name: array for name, array in checked.items() if name not in ("student", "item", "skill", "skills")}
    columns |= {name: array for name, array in extra.items() if name not in checked}
    several = "skills" in checked
    names = checked["skills"].values if several else checked["skill"]
    student, item, skill = parallel.run(encode, [(checked["student"],), (checked["item"],), (names,)])
    skill = with_sorted_names(skill)
    if several:
        skill = _tidy(checked["skills"].offsets.to_numpy().astype(np.int64), skill)
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
    return ordered_table, arrays[-1].to_numpy()


def _tidy(start: NDArray[np.int64], skill: pa.DictionaryArray) -> pa.Array:
    """Lists of distinct skills in the order of their names; plain skills if no event has several."""
    codes = skill.indices.to_numpy().astype(np.int32)
    size, start, codes = kernels.tidy_events(start, codes)
    entries = pa.DictionaryArray.from_arrays(codes[:size], skill.dictionary)
    if size == len(start) - 1:
        return entries
    return pa.ListArray.from_arrays(pa.array(start.astype(np.int32)), entries)


def _merge_events(
    events: pa.DictionaryArray, columns: dict[str, pa.Array], skill: pa.Array, source: str
) -> tuple[NDArray[np.int64], pa.Array]:
    """The first row of every event, and the skills of all its rows together; ``columns`` are equal in all of its rows."""
    event = events.indices.to_numpy()
    _, first = np.unique(event, return_index=True)
    problems = [problem for name, column in columns.items() for problem in _clashes(events, first[event], name, column)]
    if problems:
        raise DataError(source, problems)
    lists = pa.types.is_list(skill.type)
    entries = skill.values if lists else skill
    counts = np.diff(skill.offsets.to_numpy()) if lists else np.ones(len(event), np.int64)
    entry_event = np.repeat(event, counts)
    start = kernels.segment_starts(entry_event, len(first))
    grouped = np.empty(len(entry_event), np.int64)
    kernels.group(entry_event, start, grouped)
    return first, _tidy(start, entries.take(pa.array(grouped)))


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
