"""The tables: their columns, Arrow types, units and other names. Nothing else defines a column.

A response log has one row per response; a catalog one row per item. :func:`conform` takes any
Arrow table, finds the columns by name or alias, checks every value and returns the canonical
columns, or raises one :class:`~adaptrace.errors.DataError` that lists every problem.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adaptrace.data.checks import Checked, check_amount, check_correct, check_label, check_level, check_order
from adaptrace.data.names import as_text as as_text
from adaptrace.data.names import check_keys, check_prerequisites, check_skills
from adaptrace.data.times import TIME as TIME
from adaptrace.data.times import check_time
from adaptrace.data.values import combined as combined
from adaptrace.data.values import is_number
from adaptrace.data.values import plain as plain
from adaptrace.errors import DataError, Problem
from adaptrace.io import arrow_check, tables
from adaptrace.io.tables import brief
from adaptrace.kernels import parallel

PRACTICE = "practice"  # the kind of a response that names none
DECISION = ("propensity", "candidates", "propensities")  # columns that say how the items of a log were chosen


@dataclass(frozen=True)
class Column:
    """One column of a table: its name, what it holds, how it is checked, and its other names.

    A column of a ``doubtful`` name is often something else: it is read only if the caller says so, and a note tells.
    """

    name: str
    doc: str
    check: Callable[[pa.Array], Checked]
    aliases: tuple[str, ...] = ()
    doubtful: tuple[str, ...] = ()


# ---- the tables -------------------------------------------------------------

STUDENT = Column("student", "who answered", check_keys, ("student_id", "user_id", "user", "learner", "learner_id"))
ITEM = Column("item", "what was answered", check_keys, ("item_id", "problem", "problem_id", "question", "question_id"))
SKILL = Column("skill", "what is mastered; one a row", check_keys, ("skill_id", "skill_name", "kc", "concept"))
SKILLS = Column("skills", "what is mastered; a list a row", check_skills, ("skill_ids", "kcs", "concepts"))
CORRECT = Column("correct", "0, 1 or a fraction: partial credit", check_correct, ("is_correct", "outcome", "score"))
TIMES = Column("time", "when it was answered (UTC)", check_time, ("timestamp", "start_time", "answered_at", "datetime"))
ORDER = Column("order", "whole numbers that grow with time", check_order, ("order_id", "sequence", "position"))
KIND = Column("kind", "sort of evidence: practice, project, ...", check_label, ("evidence_kind",))
LEVEL = Column("level", "ordered outcome of a kind, from 0; instead of correct", check_level)
GROUP = Column("group", "the student's class, school, ...", check_label, ("group_id", "cohort"))
RESPONSE_MS = Column("response_ms", "time taken (ms)", check_amount, ("response_time_ms", "ms_first_response"))
EVENT_ID = Column("event_id", "same in all rows of one event", check_keys, doubtful=("event", "uuid"))
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


def seeming(table: pa.Table, found: Mapping[str, str], asked: Collection[str]) -> list[str]:
    """The columns of a log that have a name for what they do not hold, as far as nobody ``asked`` for them.

    They are a ``level`` where ``correct`` says every outcome already, and an order by another name that holds no numbers.
    """
    there = {name: source for name, source in found.items() if source in table.column_names and name not in asked}
    foreign = []
    correct = found.get("correct")
    if "level" in there and correct in table.column_names and not table[correct].null_count:
        foreign.append(there["level"])
    order = there.get("order", "order")
    if order.strip().lower() != "order" and not is_number(value_type(table[order])):
        foreign.append(order)
    return foreign


def value_type(column: pa.ChunkedArray) -> pa.DataType:
    """The type of a column's values, however they are kept."""
    kind = column.type
    while pa.types.is_dictionary(kind) or pa.types.is_run_end_encoded(kind):
        kind = kind.value_type
    return kind


def check_once(names: Sequence[str], source: str) -> None:
    """Refuse a table that has columns of the same name."""
    repeated = [name for name in dict.fromkeys(names) if names.count(name) > 1]
    if repeated:
        problems = [Problem("the column twice", "every name once", "rename all but one", name) for name in repeated]
        raise DataError(source, problems)


def unread(names: list[str], columns: tuple[Column, ...], found: Mapping[str, str]) -> tuple[str, ...]:
    """What was read for what, and what was not though it may be the same: a note for each column that was left out."""
    owner = {name: column.name for column in columns for name in (column.name, *column.aliases, *column.doubtful)}
    taken, notes = found.values(), []
    for name in dict.fromkeys(names):
        known = owner.get(name.strip().lower())
        if known is not None and name not in taken:
            read = f"'{found[known]}' was read as {known}, and " if known in found else ""
            notes.append(f"{read}'{name}' was not read as {known}: pass {mapping_of(known, name)} if it is that")
    return tuple(notes)


def mapping_of(name: str, source: str = "its name here") -> str:
    """How a caller says which column is which, in Python and on the command line."""
    option = "NAME" if source == "its name here" else source
    return f"columns={{'{name}': '{source}'}}, on the command line --column {name}={option}"


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
            remedy = f"rename a column, or pass {mapping_of(name)}"
            remedy += f" (also known as: {aliases})" if aliases else ""
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
    present = [column for column in columns if table.column_names.count(found.get(column.name)) == 1]
    pieces = [(column, table[found[column.name]]) for column in present]
    results = [check(*piece) for piece in pieces] if len(table) < parallel.SMALL else parallel.run(check, pieces)
    for column, result in zip(present, results, strict=True):
        problems += [replace(problem, column=found[column.name]) for problem in result.problems]
    if problems:
        raise DataError(source, problems)
    return {column.name: result.array for column, result in zip(present, results, strict=True)}


def check(column: Column, values: pa.ChunkedArray) -> Checked:
    """The canonical array of a column's values, or their problems; what Arrow cannot do with a type is one too."""
    try:
        return column.check(plain(combined(values)))
    except (pa.ArrowException, OverflowError) as error:
        return Checked(problems=(Problem(f"type {values.type}: {brief(error)}", column.doc, tables.CAST),))


def as_array(values: Any) -> pa.Array:
    """Any array-like or Arrow data as one array.

    Raises
    ------
    DataError
        If the values make no array, or are damaged.
    """
    column = values if isinstance(values, pa.ChunkedArray) else tables.array_of(values, "values")
    if isinstance(column, Problem):
        raise DataError("values", [column])
    return combined(arrow_check.checked(pa.table([column], ["values"]), "values")["values"])


# ---- names ------------------------------------------------------------------


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
