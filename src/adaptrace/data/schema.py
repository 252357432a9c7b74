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

from adaptrace.errors import DataError, Problem
from adaptrace.io import arrow_check

TIME = pa.timestamp("us", tz="UTC")
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
SECONDS = (-62_135_596_800, 253_402_300_799)  # from 1970 to the first and the last that Python has a date for
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # in a second
MICROSECOND = datetime.timedelta(microseconds=1)
PRACTICE = "practice"  # the kind of a response that names none
DECISION = ("propensity", "candidates", "propensities")  # columns of a log that tell how its items were chosen
LIST_SEPARATOR = ";"  # between the skills of one cell where a file has no lists (CSV)


@dataclass(frozen=True)
class Column:
    """One column of a table: what it is called, holds and may be called elsewhere."""

    name: str
    doc: str
    check: Callable[[pa.Array], Checked]
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True)
class Checked:
    """A canonical array, or what keeps the column from being one."""

    array: pa.Array | None = None
    problems: tuple[Problem, ...] = ()


# ---- checks of one column ---------------------------------------------------


def first_bad(array: pa.Array, bad: pa.Array, expected: str, remedy: str) -> Checked:
    """The column as it is, or the problem of the first row where ``bad`` is true."""
    count = pc.sum(bad).as_py() or 0
    if not count:
        return Checked(array)
    row = pc.index(bad, True).as_py()
    got = array[row].as_py()
    text = "null" if got is None else repr(got)
    return Checked(problems=(Problem(text, expected, remedy, row=row + 1, more=count - 1),))


def no_null(array: pa.Array, expected: str, remedy: str) -> Checked:
    """The column as it is, or the problem of its first null."""
    values = array
    if pa.types.is_dictionary(array.type) and array.dictionary.null_count:
        values = array.dictionary_decode()
    return first_bad(array, pc.is_null(values), expected, remedy) if values.null_count else Checked(array)


def as_int64(array: pa.Array, expected: str, remedy: str) -> Checked:
    """Numbers as int64, nulls as they are, or the problem of the first that is none: a fraction, or too large."""
    try:
        return Checked(array.cast(pa.int64()))
    except pa.ArrowInvalid:
        number = array.cast(pa.float64(), safe=False)
        whole = pc.and_(pc.equal(pc.floor(number), number), pc.less(pc.abs(number), 2.0**63))
        checked = first_bad(array, pc.invert(pc.fill_null(whole, True)), expected, remedy)
        return checked if checked.problems else wrong_type(array, expected, remedy)


def wrong_type(array: pa.Array, expected: str, remedy: str) -> Checked:
    """The problem of a column that is not of a type that could be cast."""
    return Checked(problems=(Problem(f"type {array.type}", expected, remedy),))


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is one of the string types."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def check_keys(array: pa.Array) -> Checked:
    """Integers, strings, or a dictionary of either; whole floats (a data frame's nullable integers) become integers."""
    names = array.dictionary if pa.types.is_dictionary(array.type) else array
    if pa.types.is_floating(names.type) and pc.all(pc.equal(pc.floor(names), names)).as_py() in (True, None):
        whole = as_int64(array, "keys that int64 holds", "cast the column to strings")
        if whole.array is None:
            return whole
        array = whole.array
    elif pa.types.is_null(names.type):
        array = array.cast(pa.string())
    elif not (pa.types.is_integer(names.type) or is_text(names.type)):
        return wrong_type(array, "keys: integers or strings", "cast the column to one of these")
    return no_null(array, "a key in every row", "drop these rows or name the missing keys")


def check_skills(array: pa.Array) -> Checked:
    """One key a row, or a list of keys a row; strings are split at ``;``."""
    array = _lists(array)
    if not pa.types.is_list(array.type):
        return check_keys(array)
    empty = pc.fill_null(pc.equal(pc.list_value_length(array), 0), True)
    rows = first_bad(array, empty, "at least one skill in every row", "drop these rows or give them a skill")
    return rows if rows.array is None else _checked_entries(array)


def check_prerequisites(array: pa.Array) -> Checked:
    """A list of keys a row, also empty or null; strings are split at ``;``."""
    array = _lists(array.cast(pa.string()) if pa.types.is_null(array.type) else array)
    if not pa.types.is_list(array.type):
        return wrong_type(array, "a list of skills in every row", "join them by ; or leave the cell empty")
    return _checked_entries(pc.if_else(pc.is_null(array), pa.scalar([], array.type), array))


def _lists(array: pa.Array) -> pa.Array:
    """Text cells as lists of their trimmed, non-empty parts; lists as they are, from offset 0."""
    if pa.types.is_dictionary(array.type) and is_text(array.type.value_type):
        array = array.dictionary_decode()
    if is_text(array.type):
        split = pc.split_pattern(array.cast(pa.string()), LIST_SEPARATOR)
        parts = pc.utf8_trim_whitespace(split.flatten())
        real = pc.not_equal(parts, "")
        row = pc.list_parent_indices(split).filter(real).to_numpy()
        offsets = np.searchsorted(row, np.arange(len(array) + 1)).astype(np.int32)
        return pa.ListArray.from_arrays(pa.array(offsets), parts.filter(real))
    if not pa.types.is_list(array.type):
        return array
    offsets = array.offsets if len(array.offsets) else pa.array([0], pa.int32())
    return pa.ListArray.from_arrays(pc.subtract(offsets, offsets[0]), array.flatten(), mask=pc.is_null(array))


def _checked_entries(lists: pa.ListArray) -> Checked:
    """Lists whose entries are all good keys, or the rows of those that are not."""
    keys = check_keys(lists.flatten())
    if keys.array is None:
        row = pc.list_parent_indices(lists)
        located = (replace(each, row=None if each.row is None else row[each.row - 1].as_py() + 1) for each in keys.problems)
        return Checked(problems=tuple(located))
    return Checked(pa.ListArray.from_arrays(lists.offsets, keys.array))


def check_correct(array: pa.Array) -> Checked:
    """0/1 as uint8, or fractions in [0, 1] as float64."""
    expected = "0, 1, true, false or a fraction between 0 and 1"
    remedy = "map other grades to this range first, e.g. points / most points"
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_boolean(array.type):
        array = array.cast(pa.uint8())
    if pa.types.is_null(array.type):
        array = array.cast(pa.float64())
    if is_text(array.type):
        bad = pc.invert(pc.match_substring_regex(array, r"^\s*(0|1|[01]?\.\d+|[01]\.\d*)([eE][-+]?\d+)?\s*$"))
        checked = first_bad(array, pc.fill_null(bad, True), expected, remedy)
        if checked.array is None:
            return checked
        array = pc.utf8_trim_whitespace(array).cast(pa.float64())
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or pa.types.is_decimal(array.type)):
        return wrong_type(array, expected, remedy)
    integers = pa.types.is_integer(array.type)
    lowest, highest = pc.min_max(array).as_py().values() if integers else (0, 2)
    if array.null_count or (len(array) and not 0 <= lowest <= highest <= 1):
        inside = pc.and_(pc.greater_equal(array, 0), pc.less_equal(array, 1))
        checked = first_bad(array, pc.invert(pc.fill_null(inside, False)), expected, remedy)
        if checked.array is None:
            return checked
    whole = integers or pc.all(pc.equal(pc.floor(array), array)).as_py() in (True, None)
    return Checked(array.cast(pa.uint8() if whole else pa.float64()))


def check_time(array: pa.Array) -> Checked:
    """Timestamps as microseconds in UTC (a time without a zone is UTC); text is read as ISO 8601."""
    remedy = "give ISO 8601 times, or pass columns={'order': ...} for a mere order"
    if is_text(array.type):
        bad = pa.array([not _is_iso(text) for text in array.to_pylist()], pa.bool_())
        checked = first_bad(array, bad, "an ISO 8601 time in every row", remedy)
        if checked.array is None:
            return checked
        array = pa.array([_from_iso(text) for text in array.to_pylist()], TIME)
    if pa.types.is_null(array.type):
        array = array.cast(TIME)
    if not (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
        return wrong_type(array, "timestamps", remedy)
    years = _check_years(array)
    if years.array is None:
        return years
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("us"))
    array = array.cast(pa.timestamp("us", tz=array.type.tz), safe=False)
    array = array.cast(TIME) if array.type.tz else array.view(TIME)
    return no_null(array, "a time in every row", remedy)


def _check_years(array: pa.Array) -> Checked:
    """Dates and timestamps that Python has a date for; others would come back as another time, or not at all."""
    kind = array.type
    a_second = 1 / 86_400 if pa.types.is_date32(kind) else UNITS["ms" if pa.types.is_date(kind) else kind.unit]
    number = array.cast(pa.int32() if pa.types.is_date32(kind) else pa.int64())
    low, high = (int(min(max(second * a_second, -(2**63)), 2**63 - 1)) for second in SECONDS)
    least, most = (pc.min_max(number)[end].as_py() for end in ("min", "max"))
    if least is None or (least >= low and most <= high):
        return Checked(array)
    bad = pc.fill_null(pc.or_(pc.less(number, low), pc.greater(number, high)), False)
    return first_bad(number, bad, f"a time of the years 1 to 9999, {low} to {high} as {kind}", "correct or drop these rows")


def _from_iso(text: str) -> datetime.datetime:
    time = datetime.datetime.fromisoformat(text)
    return time if time.tzinfo else time.replace(tzinfo=datetime.UTC)


def _is_iso(text: str | None) -> bool:
    try:
        return text is not None and _from_iso(text) is not None
    except ValueError:
        return False


def check_order(array: pa.Array) -> Checked:
    """Whole numbers that grow with time; their unit does not matter."""
    remedy = "number the rows of each student in the order of answering"
    expected = "a whole number in every row"
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or pa.types.is_null(array.type)):
        return wrong_type(array, "whole numbers", remedy)
    whole = as_int64(array, expected, remedy)
    return whole if whole.array is None else no_null(whole.array, expected, remedy)


def check_amount(array: pa.Array) -> Checked:
    """A quantity that is not negative; null where unknown."""
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or pa.types.is_null(array.type)):
        return wrong_type(array, "numbers", "cast the column to a number, or leave it out")
    array = array.cast(pa.float64(), safe=False)  # a count beyond 2^53 loses its last digits
    bad = pc.invert(pc.fill_null(pc.greater_equal(array, 0), True))
    return first_bad(array, bad, "a number that is not negative, or null", "clear these cells")


def check_level(array: pa.Array) -> Checked:
    """Whole numbers from 0; null where ``correct`` tells the outcome."""
    remedy = "number the levels of a kind 0, 1, 2, ...; leave the cell empty where correct says it all"
    if not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type) or pa.types.is_null(array.type)):
        return wrong_type(array, "whole numbers", remedy)
    expected = "a whole number from 0, or null"
    whole = as_int64(array, expected, remedy)
    return (
        whole if whole.array is None else first_bad(whole.array, pc.fill_null(pc.less(whole.array, 0), False), expected, remedy)
    )


def check_label(array: pa.Array) -> Checked:
    """Text; null where unknown."""
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if not (is_text(array.type) or pa.types.is_null(array.type) or pa.types.is_integer(array.type)):
        return wrong_type(array, "text", "cast the column to strings")
    return Checked(array.cast(pa.string()))


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
    """Which source column is which canonical one: as given, else by name, else by alias (case aside)."""
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
    """Problems of columns that are needed, or were named by the caller, and are not there."""
    known = {column.name: column for column in columns}
    problems = []
    for name in dict.fromkeys((*need, *found)):
        source = found.get(name, name)
        if name not in known:
            problems.append(Problem(f"a mapping of '{name}'", f"one of {', '.join(known)}", "correct the name in columns", name))
        elif names.count(source) > 1:
            expected = "every name once"
            problems.append(Problem(f"{names.count(source)} columns of this name", expected, "rename all but one", source))
        elif source not in names:
            aliases = ", ".join(known[name].aliases)
            remedy = f"rename a column, or pass columns={{'{name}': 'its name here'}} (also known as: {aliases})"
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
        What to look for.
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
    """Views and large lists (polars) as the types that every Arrow function takes."""
    if pa.types.is_string_view(array.type):
        return array.cast(pa.string())
    if pa.types.is_large_list(array.type) or pa.types.is_fixed_size_list(array.type) or pa.types.is_list(array.type):
        item = pa.string() if pa.types.is_string_view(array.type.value_type) else array.type.value_type
        return array.cast(pa.list_(item))
    if pa.types.is_dictionary(array.type) and pa.types.is_string_view(array.type.value_type):
        return pa.DictionaryArray.from_arrays(array.indices.cast(pa.int32()), array.dictionary.cast(pa.string()))
    return array


def as_array(values: Any) -> pa.Array:
    """Any array-like, or what speaks Arrow, as one array."""
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
    """Names as text, sorted, and where each went, int64 (n,)."""
    text = as_text(names)
    order = pc.sort_indices(text).to_numpy()
    code = np.empty(len(order), np.int64)
    code[order] = np.arange(len(order))
    return text.take(pa.array(order)), code
