"""Log: one validated, ordered Arrow table of responses."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adaptrace.data import formats, schema
from adaptrace.data.building import build
from adaptrace.data.checks import check_correct
from adaptrace.data.encoding import spread_out
from adaptrace.data.joining import check_parts, kept_columns
from adaptrace.data.merging import NOTHING, Merging
from adaptrace.data.names import list_notes
from adaptrace.data.reading import Reading, extra_columns
from adaptrace.errors import DataError, Problem, counted
from adaptrace.io.files import joined, read_parts
from adaptrace.io.together import together
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
        What the reader of results should know about how the log was read, e.g. rows that were left out.
    merging
        How many rows were merged as further skills of a response, and how many only look like it.
    """

    table: pa.Table
    source_row: NDArray[Any]
    notes: tuple[str, ...] = ()
    merging: Merging = NOTHING

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
        merge: bool = True,
        keep: Sequence[str] = (),
        levels: Mapping[str, int] | None = None,
    ) -> Log:
        """Read a log from Parquet, Arrow/Feather or CSV/TSV: a file, a folder or a glob.

        Parameters
        ----------
        path
            The file; a folder (also hive-partitioned) or glob is read as one log.
        format
            The name of a published layout (see :mod:`adaptrace.data.formats`), e.g. ``assistments2009``.
        columns, catalog, time_unit, ordered, merge, keep, levels
            As in :meth:`from_arrow`.

        Raises
        ------
        DataError
            Listing every problem found, with file, column, row and remedy.
        """
        notes: tuple[str, ...] = ()
        if format is not None:
            foreign = formats.read(format, path)
            parts, columns, notes = [foreign.source], {**foreign.columns, **(columns or {})}, foreign.notes
        else:
            text = TEXT_NAMES | {name.strip().lower() for key, name in (columns or {}).items() if key in TEXT_NAMES}
            parts = read_parts(path, text)
        reading = Reading(columns, time_unit, levels or {}, parts[0].name, merge)
        source, checked = parts[0], None
        if len(parts) > 1:
            checked = check_parts(parts, reading, with_skills=catalog is None)
            source = joined(parts, together(kept_columns(parts, keep)))
        with source.located():
            log = log_from_checked(source.table, reading, catalog=catalog, ordered=ordered, keep=keep, checked=checked)
        rows = log.source_row if source.rows is None else source.rows[log.source_row]
        seeming = dict.fromkeys(note for part in parts for note in reading.notes(part.table)) if format is None else ()
        return cls(log.table, rows, (*source.notes, *notes, *seeming, *log.notes), log.merging)

    @classmethod
    def from_arrow(
        cls,
        data: Any,
        *,
        columns: Mapping[str, str] | None = None,
        catalog: Catalog | None = None,
        time_unit: str | None = None,
        ordered: bool = False,
        merge: bool = True,
        keep: Sequence[str] = (),
        levels: Mapping[str, int] | None = None,
        source: str = "table",
    ) -> Log:
        """Make a log from any Arrow data: a table, batch or reader, a pandas or polars frame, a DuckDB relation.

        Parameters
        ----------
        data
            Arrow data, anything with ``__arrow_c_stream__`` or ``__arrow_c_array__``, a dict of columns, or a list of dicts.
            Not changed.
        columns
            Canonical name -> name in the data, for columns whose name is neither canonical nor a known alias.
        catalog
            Gives the skills of each item if the data has no skill column.
        time_unit
            Makes a time column of numbers a clock: ``"s"``, ``"ms"``, ``"us"`` or ``"ns"`` since 1970. Without it
            integers are an order.
        ordered
            Promise that the rows are grouped by student and in time order; it is an error if they are not.
        merge
            Rows of one student that agree in item, time and order, outcome, and all else that an event has, but not in the skill
            are one event with these skills. ``False`` keeps them apart.
        keep
            Further columns to keep.
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
        reading = Reading(columns, time_unit, levels or {}, source, merge)
        table = reading.imported(data, keep)
        log = log_from_checked(table, reading, catalog=catalog, ordered=ordered, keep=keep)
        return cls(log.table, log.source_row, (*reading.notes(table), *log.notes), log.merging)

    def __len__(self) -> int:
        return len(self.table)

    def __repr__(self) -> str:
        counts = {"response": len(self), "student": len(self.students), "item": len(self.items), "skill": len(self.skills)}
        return f"Log({', '.join(counted(number, noun) for noun, number in counts.items())})"

    @property
    def students(self) -> pa.Array:
        """Names of the students, in the order of the rows."""
        return self.table["student"].chunk(0).dictionary

    @property
    def items(self) -> pa.Array:
        """Names of the items, in the order of their first rows."""
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
        """The item, kind, group or student of every row, as text; a row without a kind is practice, one without a group "".

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
        """The place of each row's item, kind, group or student in ``among``, (n_rows,); -1 where it is not there."""
        if factor not in self.table.column_names and factor != "kind":
            return np.full(len(self), -1)
        if factor in self.table.column_names and pa.types.is_dictionary(self.table[factor].type):
            column = self.table[factor].chunk(0)
            return np.asarray(schema.find(column.dictionary, among)[column.indices.to_numpy()])
        return np.asarray(schema.find(self.names(factor), among))

    @property
    def days(self) -> NDArray[np.float64]:
        """:attr:`moments` in days."""
        return self.moments / DAY

    @property
    def moments(self) -> NDArray[np.int64]:
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

        A DataError if the log has no ``time``.
        """
        time, out = self.moments, space(len(self.rows.pair), np.float64)
        pieces = parallel.spans(self.rows.student_start, parallel.cores())
        parallel.run(kernels.gaps, [(self.rows, time, DAY, *piece, out) for piece in pieces])
        return out

    @cached_property
    def rows(self) -> Rows:
        """The log as arrays of numbers, for the kernels."""
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
        return self._with_rows(np.flatnonzero(np.asarray(mask)))

    def of_students(self, students: NDArray[np.int64]) -> Log:
        """The log of some of its students, given by their place in :attr:`students`, in any order."""
        return self._with_rows(spread_out(self.rows.student_start, np.sort(students)))

    @cached_property
    def by_name(self) -> Log:
        """The log with its students in the order of their names, and all else numbered as met: what a fit adds up in order.

        However rows are shuffled before they are read, it is the same log, unless responses of a student tie.
        """
        order = pc.sort_indices(schema.as_text(self.students)).to_numpy()
        log = self._with_rows(spread_out(self.rows.student_start, order))
        log.__dict__["by_name"] = log
        return log

    def _with_rows(self, rows: NDArray[np.int64]) -> Log:
        """The log of some of its rows, in their order, without the names that no longer occur."""
        table = self.table.take(pa.array(rows))
        columns = {name: schema.combined(table[name]) for name in table.column_names}
        kept = {name: columns.pop(name) for name in self._further_columns()}
        columns["correct"] = check_correct(columns["correct"]).array
        part = build(columns, kept, "log", ordered=True).table
        return Log(part, self.source_row[rows], self.notes, self.merging)

    def split(self, test: float = 0.2, *, seed: int) -> tuple[Log, Log]:
        """Split by student into (train, test); the share ``test`` of the students is drawn with ``seed``."""
        n_students = len(self.students)
        chosen = np.random.default_rng(seed).permutation(n_students)[: round(test * n_students)]
        mask = np.isin(self.table["student"].chunk(0).indices.to_numpy(), chosen)
        return self.select(~mask), self.select(mask)

    def _further_columns(self) -> list[str]:
        known = {column.name for column in schema.RESPONSES} - {schema.LEVEL.name}  # levels became outcomes
        return [name for name in self.table.column_names if name not in known]


def log_from_checked(
    table: pa.Table,
    reading: Reading,
    *,
    catalog: Catalog | None = None,
    ordered: bool = False,
    keep: Sequence[str] = (),
    checked: dict[str, pa.Array] | None = None,
) -> Log:
    """As :meth:`Log.from_arrow`, of a table whose memory is checked already (:mod:`adaptrace.io.arrow_check`).

    ``checked``: its canonical columns, where they are found and checked already.
    """
    checked = reading.check(table, with_skills=catalog is None) if checked is None else checked
    if catalog is not None and not {"skill", "skills"} & checked.keys():
        checked["skills"] = catalog.skills_of(checked["item"], reading.source)
    extra = extra_columns(table, keep, reading.source)
    built = build(checked, extra, reading.source, ordered=ordered, merge=reading.merge)
    log = Log(*built[:2])
    return replace(log, notes=(*built.merging.notes, *list_notes(log.skills)), merging=built.merging)
