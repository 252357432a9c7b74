"""The tables: their columns, Arrow types, units and other names. Nothing else defines a column.

A response log has one row per response; a catalog one row per item. :func:`conform` takes any
Arrow table, finds the columns by name or alias, checks every value and returns the canonical
columns, or raises one :class:`~adaptrace.errors.DataError` that lists every problem.
"""

from __future__ import annotations

import datetime
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adaptrace.data.checks import (
    TIME as TIME,
)
from adaptrace.data.checks import (
    Checked,
    check_amount,
    check_correct,
    check_keys,
    check_label,
    check_level,
    check_order,
    check_prerequisites,
    check_skills,
    check_time,
)
from adaptrace.errors import DataError, Problem
from adaptrace.io import arrow_check

EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)
PRACTICE = "practice"  # the kind of a response that names none
DECISION = ("propensity", "candidates", "propensities")  # columns that say how the items of a log were chosen


@dataclass(frozen=True)
class Column:
    """One column of a table: its name, what it holds, how it is checked, and its other names."""

    name: str
    doc: str
    check: Callable[[pa.Array], Checked]
    aliases: tuple[str, ...] = ()


# ---- the tables -------------------------------------------------------------

STUDENT = Column("student", "who answered", check_keys, ("student_id", "user_id", "user", "learner", "learner_id"))
ITEM = Column("item", "what was answered", check_keys, ("item_id", "problem", "problem_id", "question", "question_id"))
SKILL = Column("skill", "what is mastered; one a row", check_keys, ("skill_id", "skill_name", "kc", "concept"))
SKILLS = Column("skills", "what is mastered; a list a row", check_skills, ("skill_ids", "kcs", "concepts"))
CORRECT = Column("correct", "0, 1 or a fraction: partial credit", check_correct, ("outcome", "score", "is_correct"))
TIMES = Column("time", "when it was answered (UTC)", check_time, ("timestamp", "start_time", "answered_at", "datetime"))
ORDER = Column("order", "whole numbers that grow with time", check_order, ("order_id", "sequence", "position"))
KIND = Column("kind", "sort of evidence: practice, project, ...", check_label, ("evidence_kind",))
LEVEL = Column("level", "ordered outcome of a kind, from 0; instead of correct", check_level)
GROUP = Column("group", "the student's class, school, ...", check_label, ("group_id", "cohort"))
RESPONSE_MS = Column("response_ms", "time taken (ms)", check_amount, ("response_time_ms", "ms_first_response"))
EVENT_ID = Column("event_id", "same in all rows of one event", check_keys, ("event", "uuid"))
MINUTES = Column("minutes", "time an item is expected to take (min)", check_amount, ("duration_minutes",))
PROVIDER = Column("provider", "who offers the item", check_label, ("source",))
PATHWAY = Column("pathway", "the sequence, course or route an item belongs to", check_label, ("course", "track"))
TITLE = Column("title", "what people call it", check_label, ("name",))
PREREQUISITES = Column("prerequisites", "skills to master first", check_prerequisites, ("requires", "prerequisite"))
SOFT = Column("soft_prerequisites", "skills better mastered first", check_prerequisites, ("comes_after",))

RESPONSES = (STUDENT, ITEM, SKILL, SKILLS, CORRECT, TIMES, ORDER, KIND, LEVEL, GROUP, RESPONSE_MS, EVENT_ID)
CATALOG_ITEMS = (ITEM, SKILL, SKILLS, KIND, MINUTES, PROVIDER, PATHWAY, TITLE)
CATALOG_SKILLS = (SKILL, PREREQUISITES, SOFT)


def names_of(*columns: Column) -> frozenset[str]:
    """Every name that these columns may have."""
    return frozenset(name for column in columns for name in (column.name, *column.aliases))


def resolve(names: list[str], columns: tuple[Column, ...], given: Mapping[str, str] | None) -> dict[str, str]:
    """Canonical name -> name in the source: as given, else by name, else by alias (upper and lower case are equal)."""
    found = dict(given or {})
    plain = {name.strip().lower(): name for name in reversed(names)}
    for column in columns:
        if column.name not in found:
            for alias in (column.name, *column.aliases):
                if alias in plain and plain[alias] not in found.values():
                    found[column.name] = plain[alias]
                    break
    if "skill" in found and "skills" in found and "skills" not in (given or {}):
        del found["skills"]
    elif "skill" in found and "skills" in found and "skill" not in (given or {}):
        del found["skill"]
    return found


def missing(names: list[str], columns: tuple[Column, ...], found: Mapping[str, str], need: tuple[str, ...]) -> list[Problem]:
    """The problems of columns that are needed, or were named by the caller, and are absent."""
    known = {column.name: column for column in columns}
    problems = []
    for name in dict.fromkeys((*need, *found)):
        source = found.get(name, name)
        if name not in known:
            remedy = "write our name first, then the name in your file, e.g. student=pupil"
            problems.append(Problem(f"a mapping of '{name}'", f"one of {', '.join(known)}", remedy, name))
        elif names.count(source) > 1:
            expected = "every name once"
            problems.append(Problem(f"{names.count(source)} columns of this name", expected, "rename all but one", source))
        elif source not in names:
            aliases = ", ".join(known[name].aliases)
            remedy = f"rename a column, or pass columns={{'{name}': 'its name here'}}, on the command line --column {name}=NAME"
            remedy += f" (also known as: {aliases})"
            problems.append(Problem(f"the columns {', '.join(names)}", f"column '{source}'", remedy, name))
    return problems


def conform(
    table: pa.Table,
    columns: tuple[Column, ...],
    given: Mapping[str, str] | None,
    need: tuple[str, ...],
    source: str,
) -> dict[str, pa.Array]:
    """Find, check and cast the columns of a table.

    Parameters
    ----------
    table
        Any Arrow table.
    columns
        The columns to find.
    given
        Canonical name -> name in the table, where they differ.
    need
        Canonical names that must be there.
    source
        What to call the table in an error.

    Raises
    ------
    DataError
        Listing every problem of every column.
    """
    found = resolve(table.column_names, columns, given)
    problems = missing(table.column_names, columns, found, need)
    checked: dict[str, pa.Array] = {}
    for column in columns:
        name = found.get(column.name)
        if name is None or table.column_names.count(name) != 1:
            continue
        result = column.check(plain(combined(table[name])))
        problems += [replace(problem, column=name) for problem in result.problems]
        checked[column.name] = result.array
    if problems:
        raise DataError(source, problems)
    return checked


def plain(array: pa.Array) -> pa.Array:
    """String views and large lists (polars) as the types that every Arrow function accepts."""
    if pa.types.is_string_view(array.type):
        return array.cast(pa.string())
    if pa.types.is_large_list(array.type) or pa.types.is_fixed_size_list(array.type) or pa.types.is_list(array.type):
        item = pa.string() if pa.types.is_string_view(array.type.value_type) else array.type.value_type
        return array.cast(pa.list_(item))
    if pa.types.is_dictionary(array.type) and pa.types.is_string_view(array.type.value_type):
        return pa.DictionaryArray.from_arrays(array.indices.cast(pa.int32()), array.dictionary.cast(pa.string()))
    return array


def as_array(values: Any) -> pa.Array:
    """Any array-like or Arrow data as one array."""
    if not isinstance(values, pa.ChunkedArray):
        stream = hasattr(values, "__arrow_c_stream__")
        values = pa.chunked_array(values if stream else [values if isinstance(values, pa.Array) else pa.array(values)])
    return combined(arrow_check.checked(pa.table([values], ["values"]), "values")["values"])


def combined(column: pa.ChunkedArray) -> pa.Array:
    """One array from a column of any number of chunks, none included; not copied if there is one."""
    if column.num_chunks == 1:
        return column.chunk(0)
    array = column.combine_chunks()
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array


# ---- names ------------------------------------------------------------------


def as_text(names: pa.Array) -> pa.StringArray:
    """Names as strings. Names are the same if their texts are: 7 in a Parquet file is ``7`` in a CSV."""
    return names.cast(pa.string())


def find(names: pa.Array, among: pa.Array) -> Any:
    """Position of each name in ``among`` by its text, int64 (n,); -1 where there is none."""
    return pc.fill_null(pc.index_in(as_text(names), as_text(among)), -1).to_numpy().astype("int64")


def in_order(names: pa.Array) -> tuple[pa.StringArray, Any]:
    """Names as text, sorted, and the new place of each, int64 (n,)."""
    text = as_text(names)
    order = pc.sort_indices(text).to_numpy()
    code = np.empty(len(order), np.int64)
    code[order] = np.arange(len(order))
    return text.take(pa.array(order)), code
