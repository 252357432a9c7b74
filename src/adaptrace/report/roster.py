"""The roster: which class, school, ... each student is in; and sums over the students of each."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adaptrace.data import checks, schema
from adaptrace.data.schema import Column
from adaptrace.errors import DataError
from adaptrace.io.arrow_check import imported
from adaptrace.io.files import read_table
from adaptrace.report.mastery_table import BATCH, IntArray, NumberedNames, lacking

SKILL = "skill"  # what can be grouped by beside the roster's columns
BITS = 32  # of a cell's number are its skill's
UNIT = 2.0**32  # probabilities are added as whole numbers of 2^-32: to the same bits in any order


@dataclass(frozen=True)
class Groups:
    """Which groups of students there are, and who is in which; a student may be in several.

    Attributes
    ----------
    students
        NumberedNames of the roster's students, as text: their positions are their codes.
    names
        A row per group, sorted: the roster's values. The last is all null: students whom the roster does not name.
    start, group
        Groups of student ``i`` are ``group[start[i]:start[i + 1]]``; the last ``i`` is all others.
    """

    students: pa.StringArray
    names: pa.Table
    start: IntArray
    group: IntArray

    @classmethod
    def read(cls, roster: Any, by: Sequence[str]) -> Groups:
        """The groups that these columns of a roster make.

        Parameters
        ----------
        roster
            An Arrow table or a file with ``student`` and these columns; None if there are no columns.
        by
            NumberedNames of columns.

        Raises
        ------
        ValueError
            If columns are asked for without a roster.
        DataError
            If the roster has no such column, or a row has no student.
        """
        if roster is None and by:
            raise ValueError(f"by: got {', '.join(by)} without a roster; expected 'skill' alone, or pass a roster")
        if roster is None:
            return cls._of(pa.array([], pa.string()), {})
        columns = (schema.STUDENT, *(Column(name, "a group of students", checks.check_label) for name in by))
        if not isinstance(roster, str | os.PathLike):
            return cls._checked(imported(roster, "roster"), columns, "roster")
        source = read_table(roster, schema.names_of(schema.STUDENT) | {name.lower() for name in by})
        with source.located():
            return cls._checked(source.table, columns, source.name)

    @classmethod
    def _checked(cls, table: pa.Table, columns: tuple[Column, ...], source: str) -> Groups:
        names = [column.name for column in columns]
        absent = [column for column in columns[1:] if column.name not in table.column_names]
        problems = lacking(table.column_names, columns[:1], names[:1], "rename a column")
        problems += lacking(table.column_names, absent, [column.name for column in absent], "correct the name in by (--by)")
        if problems:
            raise DataError(source, problems)
        checked = schema.conform(table, columns, {name: name for name in names[1:]}, tuple(names), source)
        return cls._of(checked.pop("student"), checked)

    @classmethod
    def _of(cls, students: pa.Array, columns: Mapping[str, pa.Array]) -> Groups:
        names = NumberedNames()
        owner = np.append(names.codes(students), len(names.known))
        key = np.zeros(len(owner), np.int64)
        for column in columns.values():
            values = pc.unique(column).drop_null().sort()
            code = schema.find(column, values)
            key = key * (len(values) + 1) + np.append(np.where(code < 0, len(values), code), len(values))
        _, first, group = np.unique(key, return_index=True, return_inverse=True)
        rows = pa.array(np.where(first == len(owner) - 1, -1, first), mask=first == len(owner) - 1)
        member = np.unique(owner * len(first) + group)
        start = np.searchsorted(member, np.arange(len(names.known) + 2) * len(first))
        table = pa.table({name: column.take(rows) for name, column in columns.items()})
        return cls(names.known, table, start, member % len(first))

    def members(self, student: IntArray) -> tuple[IntArray, IntArray]:
        """Row and group of every membership of these students, given by their codes."""
        place = np.minimum(student, len(self.students))
        count = self.start[place + 1] - self.start[place]
        row = np.repeat(np.arange(len(student)), count)
        nth = np.arange(len(row)) - np.repeat(np.cumsum(count) - count, count)
        return row, self.group[self.start[place[row]] + nth]


class Sums:
    """Whole numbers added up per key as they come: they add to the same bits in any order and any parts."""

    def __init__(self, keys: Sequence[str], numbers: Sequence[str]) -> None:
        nothing = pa.array([], pa.int64())
        self._keys, self._done, self._parts = list(keys), 0, [pa.table(dict.fromkeys([*keys, *numbers], nothing))]

    def add(self, columns: Mapping[str, NDArray[Any]]) -> None:
        """Add rows: the keys, and int64 numbers."""
        self._parts.append(self._together(pa.table(dict(columns))))
        if sum(map(len, self._parts)) > 2 * self._done + BATCH:
            self._parts = [self.total()]
            self._done = len(self._parts[0])

    def total(self) -> pa.Table:
        """One row a key, sorted by the keys."""
        return self._together(pa.concat_tables(self._parts)).sort_by([(key, "ascending") for key in self._keys])

    def _together(self, table: pa.Table) -> pa.Table:
        numbers = [name for name in table.column_names if name not in self._keys]
        added = table.group_by(self._keys).aggregate([(name, "sum") for name in numbers])
        return added.select([*self._keys, *(f"{name}_sum" for name in numbers)]).rename_columns([*self._keys, *numbers])


class Tally:
    """Sums per cell: a group of students and, if asked, a skill.

    Parameters
    ----------
    by
        Columns of the roster and ``"skill"``.
    roster
        As in :meth:`Groups.read`.
    numbers
        What is added up, beside ``pairs`` = a student on a skill.

    Raises
    ------
    ValueError
        If a name is twice in ``by``, or is ``student``.
    """

    def __init__(self, by: str | Sequence[str], roster: Any, *numbers: str) -> None:
        self.by = [by] if isinstance(by, str) else list(by)
        if len(set(self.by)) < len(self.by) or "student" in self.by:
            raise ValueError(f"by: got {', '.join(self.by)}; expected columns of the roster and 'skill', each once")
        self.groups = Groups.read(roster, [name for name in self.by if name != SKILL])
        self.students, self.skills = NumberedNames(self.groups.students), NumberedNames()
        self._sums, self._seen = Sums(["cell"], ["pairs", *numbers]), np.zeros(len(self.groups.students), bool)

    def cells(self, student: IntArray, skill: IntArray) -> tuple[IntArray, IntArray]:
        """Row and cell of every membership of the students of these pairs."""
        row, group = self.groups.members(student)
        return row, (group << BITS) | (skill[row] if SKILL in self.by else 0)

    def add(self, student: IntArray, skill: IntArray, **numbers: NDArray[Any]) -> None:
        """Add pairs, with all numbers that were announced; of ``pairs`` those count that are 1."""
        counted = student[numbers["pairs"] > 0]
        if len(self._seen) < len(self.students.known):
            self._seen = np.append(self._seen, np.zeros(len(self.students.known) - len(self._seen), bool))
        self._seen[counted] = True
        row, cell = self.cells(student, skill)
        self._sums.add({"cell": cell, **{name: np.asarray(values, np.int64)[row] for name, values in numbers.items()}})

    def total(self) -> pa.Table:
        """One row a cell, sorted by its names, nulls last: ``cell``, the names, ``students`` and the sums."""
        table = self._sums.total()
        cell = table["cell"].to_numpy()
        students = table["pairs"].to_numpy()
        if SKILL not in self.by:
            _, group = self.groups.members(np.flatnonzero(self._seen))
            students = np.bincount(group, minlength=int(cell.max(initial=0) >> BITS) + 1)[cell >> BITS]
        named = {name: self._names(name, cell) for name in self.by}
        numbers = {name: table[name] for name in table.column_names[1:]}
        table = pa.table({"cell": cell, **named, "students": students, **numbers})
        return table.sort_by([(name, "ascending") for name in self.by]) if self.by else table

    def _names(self, name: str, cell: IntArray) -> pa.Array:
        if name == SKILL:
            return self.skills.known.take(pa.array(cell & ((1 << BITS) - 1)))
        return self.groups.names[name].take(pa.array(cell >> BITS))
