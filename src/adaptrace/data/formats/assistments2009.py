"""ASSISTments 2009-10 skill-builder data, the 30-column CSV as published.

A problem with several skills has one row for each skill, with the same ``order_id``: these rows are one event, and Log
merges them. Rows without a skill are left out, and a note says how many.
"""

from __future__ import annotations

import os
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adaptrace.data import schema
from adaptrace.data.formats import Foreign
from adaptrace.data.values import is_number
from adaptrace.io.delimited import NULLS, with_nulls
from adaptrace.io.files import read_table

COLUMNS = {
    "student": "user_id",
    "item": "problem_id",
    "skill": "skill_name",
    "correct": "correct",
    "order": "order_id",
    "event_id": "event_id",
    "response_ms": "ms_first_response",
}
KEYS = frozenset(("user_id", "problem_id", "skill_id", "skill_name"))


def read(path: str | os.PathLike[str]) -> Foreign:
    """Read the CSV; a skill without a name is called by its id."""
    source, notes = read_table(path, KEYS), []
    table = source.table
    schema.check_once(table.column_names, source.name)
    if "skill_id" in table.column_names and "skill_name" in table.column_names:
        # published by R: NA is no name
        given = [with_nulls(table[name].cast(pa.string()), NULLS) for name in ("skill_name", "skill_id")]
        name = schema.combined(pc.coalesce(*given))
        table = table.set_column(table.column_names.index("skill_name"), "skill_name", name)
        if name.null_count:
            notes.append(f"{name.null_count:,} of {len(table):,} rows have no skill and were left out")
            source = replace(source, rows=np.flatnonzero(pc.is_valid(name)))
            table = table.filter(pc.is_valid(name))
    if "order_id" in table.column_names:
        repeats = len(table) - len(table["order_id"].unique())
        if repeats:
            notes.append(f"{repeats:,} rows repeat an order_id for a further skill and were merged into one event each")
        table = table.append_column("event_id", table["order_id"])
    table, unknown = _with_times_taken(table)
    if unknown:
        notes.append(f"{unknown:,} rows have a negative ms_first_response, which is no time taken: it was read as unknown")
    return Foreign(replace(source, table=table), _present(table), tuple(notes))


def _with_times_taken(table: pa.Table) -> tuple[pa.Table, int]:
    """The table without negative times taken, which the published file has, and how many they were."""
    if "ms_first_response" not in table.column_names or not is_number(table["ms_first_response"].type):
        return table, 0
    taken = table["ms_first_response"]
    negative = pc.fill_null(pc.less(taken, 0), False)
    known = pc.if_else(negative, pa.scalar(None, taken.type), taken)
    return table.set_column(table.column_names.index("ms_first_response"), "ms_first_response", known), pc.sum(
        negative
    ).as_py() or 0


def _present(table: pa.Table) -> dict[str, str]:
    needed = ("student", "item", "skill", "correct")
    return {key: name for key, name in COLUMNS.items() if key in needed or name in table.column_names}
