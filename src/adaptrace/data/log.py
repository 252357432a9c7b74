"""Log: one validated, ordered Arrow table of responses."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adaptrace.data import formats, schema
from adaptrace.data.encoding import encode, spread_out, with_sorted_names
from adaptrace.data.ordering import ordering_of
from adaptrace.data.reading import Reading, extra_columns
from adaptrace.errors import DataError, Problem
from adaptrace.io.files import read_table
from adaptrace.kernels import parallel
from adaptrace.kernels import rows as kernels
from adaptrace.kernels.arrays import space
from adaptrace.kernels.rows import Rows

if TYPE_CHECKING:
    from adaptrace.data.catalog import Catalog

TEXT_NAMES = schema.names_of(schema.STUDENT, schema.ITEM, schema.SKILL, schema.SKILLS, schema.EVENT_ID, schema.KIND, schema.GROUP)
DAY = 86_400e6  # microseconds


@dataclass(frozen=True, repr=False)
class Log:
    """Responses, grouped by student and in time order within each.

    Attributes
    ----------
    table
        The canonical columns (see :mod:`adaptrace.data.schema`): ``student``, ``item`` and ``skill``
        (or ``skills``, a list, where an event has several) as dictionaries, ``correct``, and
        ``time``, ``order``, ``kind``, ``response_ms``, ``event_id`` where the source has them.
    source_row
        integers (n_rows,): the 0-based row of the source that each response came from.
    notes
        What a person should know about the reading, e.g. rows that were left out.
    """

    table: pa.Table
    source_row: NDArray[Any]
    notes: tuple[str, ...] = ()

    @classmethod
    def read(
        cls,
        path: str | os.PathLike[str],
        *,
        format: str | None = None,
        columns: Mapping[str, str] | None = None,
        catalog: Catalog | None = None,
        time_unit: str | None = None,
        ordered: bool = False,
        keep: Sequence[str] = (),
        levels: Mapping[str, int] | None = None,
    ) -> Log:
        """Read a log from Parquet, Arrow/Feather or CSV/TSV: a file, a folder or a glob.

        Parameters
        ----------
        path
            The file; a folder (also hive-partitioned) or glob is read as one log.
        format
            A foreign layout by name (see :mod:`adaptrace.data.formats`), e.g. ``assistments2009``.
        columns, catalog, time_unit, ordered, keep, levels
            As in :meth:`from_arrow`.

        Raises
        ------
        DataError
            Listing every problem found, with file, column, row and remedy.
        """
        notes: tuple[str, ...] = ()
        if format is not None:
            foreign = formats.read(format, path)
            source, columns, notes = foreign.source, {**foreign.columns, **(columns or {})}, foreign.notes
        else:
            text = TEXT_NAMES | {name.strip().lower() for key, name in (columns or {}).items() if key in TEXT_NAMES}
            source = read_table(path, text)
        with source.located():
            reading = Reading(columns, time_unit, levels or {}, source.name)
            log = log_from_checked(source.table, reading, catalog=catalog, ordered=ordered, keep=keep)
        rows = log.source_row if source.rows is None else source.rows[log.source_row]
        return cls(log.table, rows, notes)

    @classmethod
    def from_arrow(
        cls,
        data: Any,
        *,
        columns: Mapping[str, str] | None = None,
        catalog: Catalog | None = None,
        time_unit: str | None = None,
        ordered: bool = False,
        keep: Sequence[str] = (),
        levels: Mapping[str, int] | None = None,
        source: str = "table",
    ) -> Log:
        """Make a log from any Arrow data: a table, batch or reader, a pandas or polars frame, a DuckDB relation.

        Parameters
        ----------
        data
            Anything :func:`pyarrow.table` takes, with ``__arrow_c_stream__`` or ``__arrow_c_array__``. Not changed.
        columns
            Canonical name -> name in the data, where they differ and no alias fits.
        catalog
            Where the skills of an item are looked up if the data has no skill column.
        time_unit
            Makes an integer time column a clock: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"`` since 1970. Without it
            integers are an order.
        ordered
            Promise that the rows are grouped by student and in time order; broken promises are an error.
        keep
            Further columns to carry along.
        levels
            Kind -> number of its levels, for data with a ``level`` column: level 3 of ``{"project": 5}`` (0 to 4) is
            ``correct`` 0.75.
        source
            What to call the data in errors.

        Raises
        ------
        DataError
            Listing every problem found.

        Examples
        --------
        >>> import adaptrace as at, pyarrow as pa
        >>> log = at.Log.from_arrow(pa.table({"student": ["Ada", "Ada"], "item": ["q1", "q2"],
        ...                                   "skill": ["fractions"] * 2, "correct": [0, 1]}))
        >>> len(log), log.skills.to_pylist()
        (2, ['fractions'])
        """
        reading = Reading(columns, time_unit, levels or {}, source)
        return log_from_checked(reading.imported(data, keep), reading, catalog=catalog, ordered=ordered, keep=keep)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        counts = f"{len(self.students):,} students, {len(self.items):,} items, {len(self.skills):,} skills"
        return f"Log({len(self):,} responses, {counts})"

    @property
    def students(self) -> pa.Array:
        """Names of the students, in the order of the rows."""
        return self.table["student"].chunk(0).dictionary

    @property
    def items(self) -> pa.Array:
        """Names of the items, as first met."""
        return self.table["item"].chunk(0).dictionary

    @property
    def skills(self) -> pa.Array:
        """Names of the skills, sorted as text."""
        column = self.table[self.skill_column].chunk(0)
        return (column.values if pa.types.is_list(column.type) else column).dictionary

    @property
    def skill_column(self) -> str:
        """``skill`` if every event has one, else ``skills``."""
        return "skills" if "skills" in self.table.column_names else "skill"

    @property
    def has_several_skills(self) -> bool:
        """Whether any event has more than one skill."""
        return self.skill_column == "skills"

    @property
    def is_binary(self) -> bool:
        """Whether every outcome is 0 or 1."""
        return bool(pa.types.is_uint8(self.table["correct"].type))

    @property
    def correct(self) -> NDArray[np.float64]:
        """Outcomes in [0, 1], float64 (n_rows,)."""
        return np.asarray(self.table["correct"].to_numpy(), np.float64)

    @property
    def _skill_entries(self) -> tuple[NDArray[np.int64], pa.DictionaryArray]:
        """Offsets (n_rows + 1,) into the skills of all events, and these skills."""
        column = self.table[self.skill_column].chunk(0)
        if pa.types.is_list(column.type):
            return column.offsets.to_numpy().astype(np.int64), column.values
        return np.arange(len(self) + 1), column

    def names(self, factor: str) -> pa.StringArray:
        """Of every row its item, kind, group or student, as text; a row without a kind is practice, one without a group "".

        Raises
        ------
        DataError
            If the factor is ``group`` and the log has no such column.
        """
        if factor in self.table.column_names:
            column = schema.combined(self.table[factor])
            if pa.types.is_dictionary(column.type):
                return schema.as_text(column.dictionary).take(column.indices)
            return pc.fill_null(column, schema.PRACTICE if factor == "kind" else "")
        if factor == "kind":
            return pa.array(np.full(len(self), schema.PRACTICE), pa.string())
        got, remedy = f"the columns {', '.join(self.table.column_names)}", "read the log with columns={'group': 'its name here'}"
        raise DataError("log", [Problem(got, f"column '{factor}'", remedy, factor)])

    def positions(self, factor: str, among: pa.Array) -> NDArray[np.int64]:
        """Where each row's item, kind, group or student stands among names, (n_rows,); -1 where nowhere."""
        if factor not in self.table.column_names and factor != "kind":
            return np.full(len(self), -1)
        if factor in self.table.column_names and pa.types.is_dictionary(self.table[factor].type):
            column = self.table[factor].chunk(0)
            return np.asarray(schema.find(column.dictionary, among)[column.indices.to_numpy()])
        return np.asarray(schema.find(self.names(factor), among))

    @property
    def days(self) -> NDArray[np.float64]:
        """:attr:`timestamps_us` in days."""
        return self.timestamps_us / DAY

    @property
    def timestamps_us(self) -> NDArray[np.int64]:
        """Microseconds since 1970 (UTC) of every response, int64 (n_rows,).

        Raises
        ------
        DataError
            If the log has no ``time``.
        """
        if "time" not in self.table.column_names:
            got = f"the columns {', '.join(self.table.column_names)}"
            remedy = "map it, and say time_unit= if it counts in integers"
            raise DataError("log", [Problem(got, "a clock in column 'time'", remedy, "time")])
        return np.asarray(schema.combined(self.table["time"]).cast(pa.int64()))

    @cached_property
    def gap_days(self) -> NDArray[np.float64]:
        """Days since the student's last response on the skill, (n_entries,): one per skill of each event; 0 for the first.

        Raises
        ------
        DataError
            If the log has no ``time``.
        """
        time, out = self.timestamps_us, space(len(self.rows.pair), np.float64)
        pieces = parallel.spans(self.rows.student_start, parallel.cores())
        parallel.run(kernels.gaps, [(self.rows, time, DAY, *piece, out) for piece in pieces])
        return out

    @cached_property
    def rows(self) -> Rows:
        """The log as numbers, for the kernels."""
        student = self.table["student"].chunk(0).indices.to_numpy()
        offsets, entries = self._skill_entries
        skill = entries.indices.to_numpy()
        n_students, n_skills = len(self.students), len(entries.dictionary)
        rows = Rows(
            student_start=kernels.segment_starts(student, n_students),
            skill_start=offsets,
            pair=space(len(skill), np.int32),
            opportunity=space(len(skill), np.int32),
            pair_start=np.zeros(n_students + 1, np.int64),
            pair_skill=np.empty(0, np.int32),
            correct=self.correct,
        )
        pieces = parallel.spans(rows.student_start, parallel.cores())
        parallel.run(kernels.count_pairs, [(rows, skill, n_skills, *piece) for piece in pieces])
        np.cumsum(rows.pair_start, out=rows.pair_start)
        rows = rows._replace(pair_skill=np.empty(rows.pair_start[-1], np.int32))
        parallel.run(kernels.number_pairs, [(rows, skill, n_skills, *piece) for piece in pieces])
        return rows

    def select(self, mask: pa.Array | NDArray[np.bool_]) -> Log:
        """The log of the rows where ``mask`` (n_rows,) is true."""
        return self._taken(np.flatnonzero(np.asarray(mask)))

    def of_students(self, students: NDArray[np.int64]) -> Log:
        """The log of some of its students, given by their place in :attr:`students`, in any order."""
        return self._taken(spread_out(self.rows.student_start, np.sort(students)))

    def _taken(self, rows: NDArray[np.int64]) -> Log:
        """The log of some of its rows, in their order; names that no longer occur are gone."""
        table = self.table.take(pa.array(rows))
        columns = {name: schema.combined(table[name]) for name in table.column_names}
        kept = {name: columns.pop(name) for name in self._extra()}
        columns["correct"] = schema.check_correct(columns["correct"]).array
        part = _build(columns, kept, True, "log")
        return Log(part.table, self.source_row[rows], self.notes)

    def split(self, test: float = 0.2, *, seed: int) -> tuple[Log, Log]:
        """Split by student: (train, test), with a share ``test`` of the students, drawn with ``seed``, in the second."""
        n_students = len(self.students)
        chosen = np.random.default_rng(seed).permutation(n_students)[: round(test * n_students)]
        mask = np.isin(self.table["student"].chunk(0).indices.to_numpy(), chosen)
        return self.select(~mask), self.select(mask)

    def _extra(self) -> list[str]:
        known = {column.name for column in schema.RESPONSES} - {schema.LEVEL.name}  # levels became outcomes
        return [name for name in self.table.column_names if name not in known]


def log_from_checked(
    table: pa.Table, reading: Reading, *, catalog: Catalog | None = None, ordered: bool = False, keep: Sequence[str] = ()
) -> Log:
    """As :meth:`Log.from_arrow`, of a table whose memory was checked where it came in (:mod:`adaptrace.arrow_check`)."""
    checked = reading.check(table, with_skills=catalog is None)
    if catalog is not None and not {"skill", "skills"} & checked.keys():
        checked["skills"] = catalog.skills_of(checked["item"], reading.source)
    return _build(checked, extra_columns(table, keep, reading.source), ordered, reading.source)


# ---- building ---------------------------------------------------------------


def _build(checked: dict[str, pa.Array], extra: dict[str, pa.Array], ordered: bool, source: str) -> Log:
    """Encode, merge the rows of one event, order by student and time."""
    columns = {name: array for name, array in checked.items() if name not in ("student", "item", "skill", "skills")}
    columns |= extra
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
            rows, skill = _merge_events(events, student, item, checked["correct"], skill, source)
    table = pa.table({"student": student, "item": item, **columns})
    if len(rows) < len(table):
        table = table.take(pa.array(rows))
    table = table.add_column(2, "skills" if pa.types.is_list(skill.type) else "skill", skill)
    arrays = [*map(schema.combined, table.columns), pa.array(rows)]
    ordering = ordering_of(table, ordered, rows, source)
    if ordering is not None:
        arrays = ordering.apply_all(arrays)
    ordered_table = pa.table([pa.chunked_array([array]) for array in arrays[:-1]], names=table.column_names)
    return Log(ordered_table, arrays[-1].to_numpy())


def _tidy(start: NDArray[np.int64], skill: pa.DictionaryArray) -> pa.Array:
    """Lists of distinct skills in the order of their names; plain skills if no event has several."""
    codes = skill.indices.to_numpy().astype(np.int32)
    size, start, codes = kernels.tidy_events(start, codes)
    entries = pa.DictionaryArray.from_arrays(codes[:size], skill.dictionary)
    if size == len(start) - 1:
        return entries
    return pa.ListArray.from_arrays(pa.array(start.astype(np.int32)), entries)


def _merge_events(
    events: pa.DictionaryArray,
    student: pa.DictionaryArray,
    item: pa.DictionaryArray,
    correct: pa.Array,
    skill: pa.Array,
    source: str,
) -> tuple[NDArray[np.int64], pa.Array]:
    """First row of every event, and the skills of all its rows together."""
    event = events.indices.to_numpy()
    _, first = np.unique(event, return_index=True)
    leader = first[event]
    problems = []
    for name, column in (("student", student), ("item", item), ("correct", correct)):
        values = column.indices.to_numpy() if name != "correct" else column.to_numpy()
        clash = np.flatnonzero(values != values[leader])
        if len(clash):
            row = int(clash[0])
            got = f"{column[row].as_py()!r} for event_id {events[row].as_py()!r}"
            expected = f"{column[int(leader[row])].as_py()!r} as in row {leader[row] + 1} of the same event"
            remedy = "give different events different ids"
            problems.append(Problem(got, expected, remedy, name, row + 1, len(clash) - 1))
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
