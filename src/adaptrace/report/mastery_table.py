"""The mastery table that :meth:`BKT.score <adaptrace.BKT.score>` gives, read batch by batch, whatever its size."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from adaptrace.data import checks, schema
from adaptrace.data.checks import Checked
from adaptrace.data.encoding import encode
from adaptrace.data.schema import Column
from adaptrace.errors import DataError, Problem
from adaptrace.io import arrow_check
from adaptrace.io.files import PARQUET, find_files, read_table, reading_errors
from adaptrace.kernels.pairs import first_again

IntArray = NDArray[np.int64]
Mastery = Any  # an Arrow table or any Arrow data, a file, a folder of files or a glob
BATCH = 2**20  # rows
REMEDY = "write it by `adaptrace score`, or rename a column"


# ---- its columns ------------------------------------------------------------


def check_probability(array: pa.Array) -> Checked:
    """Numbers from 0 to 1 as float64, none missing."""
    expected, remedy = "a probability, 0 to 1", "score the log again"
    if not (pa.types.is_floating(array.type) or pa.types.is_integer(array.type)):
        return checks.wrong_type(array, expected, remedy)
    array = array.cast(pa.float64(), safe=False)
    inside = pc.and_(pc.greater_equal(array, 0.0), pc.less_equal(array, 1.0))
    return checks.first_bad(array, pc.invert(pc.fill_null(inside, False)), expected, remedy)


def check_count(array: pa.Array) -> Checked:
    """Whole numbers from 0 as int64, none missing."""
    expected, remedy = "a whole number from 0", "score the log again"
    if not pa.types.is_integer(array.type):
        return checks.wrong_type(array, expected, remedy)
    whole = checks.as_int64(array, expected, remedy)
    if whole.array is None:
        return whole
    return checks.first_bad(whole.array, pc.fill_null(pc.less(whole.array, 0), True), expected, remedy)


COLUMNS = (
    schema.STUDENT,
    schema.SKILL,
    Column("mastery", "P(known)", check_probability),
    Column("low", "the lower end of the interval of mastery", check_probability),
    Column("opportunities", "responses of the student on the skill", check_count),
)
TEXT = schema.names_of(schema.STUDENT, schema.SKILL)


def lacking(names: Sequence[str], columns: Sequence[Column], need: Sequence[str], remedy: str) -> list[Problem]:
    """The columns that a table needs and does not have."""
    found = schema.resolve(list(names), tuple(columns), None)
    got = f"the columns {', '.join(names)}"
    return [Problem(got, f"column '{name}'", remedy, name) for name in need if name not in found]


# ---- names as numbers -------------------------------------------------------


class NumberedNames:
    """Names as numbers, in the order in which they are first met; two names are the same if their texts are."""

    def __init__(self, known: pa.StringArray | None = None) -> None:
        self.known = pa.array([], pa.string()) if known is None else known

    def codes(self, column: pa.Array) -> IntArray:
        """The number of each name of a column, int64 (n,); new names get the next numbers."""
        entries = encode(column)
        code = schema.find(entries.dictionary, self.known)
        new = np.flatnonzero(code < 0)
        if len(new):
            code[new] = len(self.known) + np.arange(len(new))
            fresh = schema.as_text(entries.dictionary.take(pa.array(new)))
            self.known = pa.concat_arrays([self.known, fresh])
        return np.asarray(code[entries.indices.to_numpy()])


class Once:
    """Finds a student who has a skill twice. It keeps one bit for each pair, so the table need not be held."""

    def __init__(self) -> None:
        self._bits = np.zeros((0, 0), np.uint8)

    def first_again(self, student: IntArray, skill: IntArray) -> int:
        """First of these rows that was there before; -1 if none."""
        if len(student):
            self._grow(int(student.max()) + 1, int(skill.max() >> 3) + 1)
        return int(first_again(student, skill, self._bits))

    def _grow(self, *needed: int) -> None:
        old = self._bits.shape
        if needed[0] > old[0] or needed[1] > old[1]:
            size = [have if need <= have else max(need, 2 * have) for need, have in zip(needed, old, strict=True)]
            bits = np.zeros(size, np.uint8)
            bits[: old[0], : old[1]] = self._bits
            self._bits = bits


# ---- reading ----------------------------------------------------------------


class MasteryRows(NamedTuple):
    """Some rows of a mastery table."""

    student: IntArray  # codes of NumberedNames
    skill: IntArray  # codes of NumberedNames
    values: dict[str, NDArray[Any]]  # the columns asked for


class MasteryBatch(NamedTuple):
    """A batch of rows and where it stood."""

    batch: pa.RecordBatch
    file: str
    first: int  # rows before it in the file


def read(
    mastery: Mastery, students: NumberedNames, skills: NumberedNames, need: Sequence[str] = ("mastery",)
) -> Iterator[MasteryRows]:
    """A mastery table in batches of about a million rows.

    Parameters
    ----------
    mastery
        An Arrow table, or a file, a folder or a glob: Parquet is read batch by batch, other files one after the other.
    students, skills
        Number the names; new ones are added.
    need
        Columns to read beside ``student`` and ``skill``.

    Raises
    ------
    DataError
        If there is no such file, one is damaged, columns are missing, a value is none, or a student has a skill twice.
    """
    once, wanted = Once(), ("student", "skill", *need)
    columns = tuple(column for column in COLUMNS if column.name in wanted)
    several = not isinstance(mastery, str | os.PathLike) or len(find_files(mastery)) > 1
    source = os.fspath(mastery) if isinstance(mastery, str | os.PathLike) else "mastery table"
    for part in _batches_of(mastery, columns, source):
        try:
            checked = schema.conform(pa.Table.from_batches([part.batch]), columns, None, wanted, source)
            rows = MasteryRows(students.codes(checked["student"]), skills.codes(checked["skill"]), {})
            again = once.first_again(rows.student, rows.skill)
            if again >= 0:
                raise DataError(source, [_repeated(checked, again)])
        except DataError as error:
            file = part.file if several and part.file else None
            moved = [replace(each, file=file, row=each.row and each.row + part.first) for each in error.problems]
            raise DataError(source, moved) from None
        yield rows._replace(values={name: checked[name].to_numpy() for name in need})


def _repeated(checked: dict[str, pa.Array], row: int) -> Problem:
    got = f"a student with skill '{checked['skill'][row]}' again"
    return Problem(got, "every skill of a student once", "leave out files that overlap, or score the log again", row=row + 1)


def _batches_of(mastery: Mastery, columns: tuple[Column, ...], source: str) -> Iterator[MasteryBatch]:
    need = [column.name for column in columns]
    if not isinstance(mastery, str | os.PathLike):
        table = arrow_check.imported(mastery, source)
        if problems := lacking(table.column_names, columns, need, REMEDY):
            raise DataError(source, problems)
        yield from _numbered(table.to_batches(BATCH), "")
        return
    files = find_files(mastery)
    if problems := [problem for file in files for problem in _lacking_in(file, columns, need, len(files) > 1)]:
        raise DataError(source, problems)
    for file in files:
        with reading_errors(file):
            yield from _numbered(_batches(file, columns), str(file))


def _numbered(batches: Iterator[pa.RecordBatch] | list[pa.RecordBatch], file: str) -> Iterator[MasteryBatch]:
    first = 0
    for batch in batches:
        yield MasteryBatch(batch, file, first)
        first += len(batch)


def _lacking_in(file: Path, columns: tuple[Column, ...], need: list[str], several: bool) -> list[Problem]:
    """What a Parquet file lacks, without reading it, or the other file, which is read."""
    if _is_parquet(file):
        with reading_errors(file):
            names = pq.read_schema(file).names
    else:
        names = read_table(file, TEXT).table.column_names
    return [replace(problem, file=str(file) if several else None) for problem in lacking(names, columns, need, REMEDY)]


def _batches(file: Path, columns: tuple[Column, ...]) -> Iterator[pa.RecordBatch]:
    if not _is_parquet(file):
        yield from read_table(file, TEXT).table.to_batches(BATCH)
        return
    with pq.ParquetFile(file) as opened:
        wanted = list(schema.resolve(opened.schema_arrow.names, columns, None).values())
        for batch in opened.iter_batches(BATCH, columns=wanted):
            arrow_check.checked(pa.Table.from_batches([batch]), str(file))
            yield batch


def _is_parquet(file: Path) -> bool:
    return file.suffix.lower() in PARQUET
