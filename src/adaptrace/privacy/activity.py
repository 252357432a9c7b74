"""Activity: when every student was last active, place by place."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc

from adaptrace.data.times import check_time
from adaptrace.data.values import combined, decoded, is_text, plain
from adaptrace.errors import DataError, Problem
from adaptrace.io import delimited, files
from adaptrace.kernels.parallel import batches
from adaptrace.privacy import rewrite
from adaptrace.privacy.search import student_columns

PathLike = str | os.PathLike[str]
AT_ONCE = 100_000  # records of a store
COLUMNS = pa.schema([("student", pa.string()), ("last", pa.int64()), ("rows", pa.int64())])


class Record(NamedTuple):
    """Something that a store holds of a student."""

    student: str
    moment: int | None  # microseconds since 1970, UTC; None: it has no time
    rows: int  # how many events it is, 0 or 1


class StudentKeeper(Protocol):
    """A store of students' events, such as a tutor's."""

    @property
    def name(self) -> str:
        """What people call it."""

    def records(self) -> Iterator[Record]:
        """All that it holds of students who have a name there."""

    def delete(self, student: str, cutoff: int) -> int:
        """Delete a student who was not active since; the events that went."""

    def rename(self, student: str, name: str, new_id: Callable[[str], str], cutoff: int) -> int:
        """Put what there is of a student, who was not active since, under another name and other ids; the events that moved."""


@dataclass(frozen=True)
class Activity:
    """When the students of one place were last active.

    Attributes
    ----------
    kind, place
        ``store``, ``log``, ``mastery`` or ``state``; and what it is called.
    students
        A row a student: ``student``, ``last`` (microseconds since 1970; null if the place does not say), ``rows``.
    """

    kind: str
    place: str
    students: pa.Table

    def of(self, names: pa.Array) -> pa.Table:
        """The rows of some students."""
        return self.students.filter(pc.is_in(self.students["student"], names))


def latest(activities: Iterable[Activity]) -> pa.Table:
    """``student`` and ``last`` over all places together."""
    return _summed(each.students for each in activities).select(["student", "last"])


def of_store(store: StudentKeeper) -> Activity:
    """The activity in a store."""
    parts = [pa.Table.from_pylist([each._asdict() for each in some], _RECORDS) for some in batches(store.records(), AT_ONCE)]
    return Activity("store", store.name, _summed(each.rename_columns(COLUMNS.names) for each in parts))


def of_tables(kind: str, place: PathLike, columns: Mapping[str, str], time_unit: str | None) -> Activity:
    """The activity in tables; they have a time in the column ``time``, or ``last_time`` as a mastery table and a state have.

    Raises
    ------
    DataError
        If a file has no column of students, or a time in it cannot be read.
    """
    found, _ = student_columns([place], columns.get("student"))
    parts = [part for file, student in found.items() for part in _parts(file, student, columns, time_unit)]
    return Activity(kind, os.fspath(place), _summed(parts))


_RECORDS = pa.schema([("student", pa.string()), ("moment", pa.int64()), ("rows", pa.int64())])


def _parts(file: Path, student: str, columns: Mapping[str, str], time_unit: str | None) -> Iterator[pa.Table]:
    time = _time_column(file, columns.get("time"))
    for piece in rewrite.pieces(file, [student, *([time] if time else [])]):
        coded = rewrite.encoded(piece[student], files.ending_of(file) in files.DELIMITED)
        names = rewrite.texts_of(coded.dictionary, file, student).take(coded.indices)
        last = _moments(piece[time], file, time, time_unit) if time else pa.nulls(len(names), pa.int64())
        part = pa.table([names, last, pa.repeat(pa.scalar(1, pa.int64()), len(names))], schema=COLUMNS)
        yield _summed([part.filter(pc.is_valid(names))])


def _summed(parts: Iterable[pa.Table]) -> pa.Table:
    """A row a student."""
    table = pa.concat_tables([COLUMNS.empty_table(), *parts])
    summed = table.group_by("student").aggregate([("last", "max"), ("rows", "sum")])
    return summed.select(["student", "last_max", "rows_sum"]).rename_columns(COLUMNS.names)


def _time_column(file: Path, given: str | None) -> str | None:
    """The column of a file that says when; None if it has none."""
    there = {name.strip().lower(): name for name in reversed(rewrite.schema_of(file).names)}
    wanted = [given] if given else [*rewrite.names_for("time"), "last_time"]
    return next((there[name.lower()] for name in wanted if name.lower() in there), None)


def _moments(column: pa.ChunkedArray, file: Path, name: str, unit: str | None) -> pa.Array:
    """Times as microseconds since 1970; null where there is none."""
    array = decoded(plain(combined(column)))
    if is_text(array.type):
        array = pc.if_else(pc.is_in(array, delimited.NULLS), pa.scalar(None, array.type), array)
    if pa.types.is_integer(array.type):
        if unit is None:
            remedy = "say what they count (time_unit=, on the command line --time-unit), or which column is the time"
            raise DataError(str(file), [Problem("whole numbers", "times", remedy, name)])
        array = array.cast(pa.int64()).cast(pa.timestamp(unit))
    valid = pc.is_valid(array)
    checked = check_time(array.filter(valid))
    if checked.array is None:
        raise DataError(str(file), [Problem(each.got, each.expected, each.remedy, name) for each in checked.problems])
    place = pc.if_else(valid, pc.subtract(pc.cumulative_sum(valid.cast(pa.int64())), 1), pa.scalar(None, pa.int64()))
    return checked.array.cast(pa.int64()).take(place)
