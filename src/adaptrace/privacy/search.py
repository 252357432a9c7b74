"""Search: which table files hold the rows of some students."""

from __future__ import annotations

import os
from bisect import bisect_left
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from adaptrace.errors import DataError, Problem
from adaptrace.io import files, identity
from adaptrace.kernels import parallel
from adaptrace.privacy import rewrite

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Searched:
    """A file that was searched for students.

    Attributes
    ----------
    path, name
        Where it is, and what it is called from its folder on.
    column
        That names students.
    rows
        Of the students.
    held
        Names that it holds, as text; a dictionary may hold one without a row.
    identities
        Its identity, then those it had before (:func:`adaptrace.io.identity.identities`).
    """

    path: Path
    name: str
    column: str
    rows: int
    held: frozenset[str]
    identities: tuple[str, ...]


def search(students: Collection[str], tables: Iterable[PathLike], column: str | None) -> list[Searched]:
    """Look for students in every file behind some paths, once, however often it is named.

    Raises
    ------
    DataError
        If a file has no column of students or is damaged: all of them.
    """
    columns, names = student_columns(tables, column)
    wanted = sorted(students)
    return parallel.run(_look, [(wanted, file, name, columns[file]) for file, name in names.items()])


def student_columns(tables: Iterable[PathLike], column: str | None) -> tuple[dict[Path, str], dict[Path, str]]:
    """Of every file behind some paths: its column of students, and its name from the folder on."""
    tables = list(tables)
    once: dict[Path, tuple[Path, str]] = {}
    for place in tables:
        for file in files.find_files(place):
            once.setdefault(file.resolve(), (file, identity.name_in(place, file)))
    names = dict(once.values())
    wanted = [*([column] if column else []), *rewrite.names_for("student")]
    columns, problems = rewrite.find_columns(names, "student", wanted)
    problems += [_summary(folder) for folder in sorted({file.parent for file in names}) if (folder / "_metadata").exists()]
    if problems:
        raise DataError(", ".join(os.fspath(place) for place in tables), problems)
    return {file: found[0] for file, found in columns.items()}, names


def _summary(folder: Path) -> Problem:
    remedy = "remove it: it may hold names, and would be wrong of files without their rows"
    return Problem("a summary of the files' footers", "files without such a summary", remedy, file=str(folder / "_metadata"))


def _look(students: Sequence[str], file: Path, name: str, column: str) -> Searched:
    identities, rows, held = identity.identities(file), 0, set[str]()
    groups = _groups(file, column, students) if files.ending_of(file) in files.PARQUET else None
    for piece in rewrite.pieces(file, [column], groups):
        marked = mark(piece[column], students, file, column)
        held |= set(marked.texts.filter(marked.named).to_pylist())
        rows += marked.mine.true_count
    return Searched(file, name, column, rows, frozenset(held), identities)


@dataclass(frozen=True)
class Marked:
    """A column of students as a dictionary, in which some are marked."""

    coded: pa.DictionaryArray
    texts: pa.StringArray  # its entries
    named: pa.BooleanArray  # which entries are marked
    mine: pa.BooleanArray  # which rows are


def mark(column: pa.ChunkedArray, students: Collection[str], file: Path, name: str) -> Marked:
    """Mark students in a column of a file."""
    coded = rewrite.encoded(column)
    texts = rewrite.texts_of(coded.dictionary, file, name)
    named = pc.is_in(texts, pa.array(list(students), pa.string()))
    return Marked(coded, texts, named, pc.fill_null(named.take(coded.indices), False))


def _groups(file: Path, column: str, students: Sequence[str]) -> list[int] | None:
    """The row groups of a Parquet file that may hold one of the students, as their statistics say.

    All of a column of dictionaries: these may hold names that no row has, of which the statistics do not know.
    """
    with files.reading_errors(file), pyarrow.parquet.ParquetFile(file) as opened:
        footer, kind = opened.metadata, opened.schema_arrow.field(column).type
    if pa.types.is_dictionary(kind):
        return None
    place = [footer.schema.column(number).path for number in range(footer.num_columns)].index(column)
    numbers = sorted(int(name) for name in students if name.removeprefix("-").isdecimal())
    statistics = [footer.row_group(number).column(place).statistics for number in range(footer.num_row_groups)]
    return [number for number, each in enumerate(statistics) if _may_hold(each, students, numbers)]


def _may_hold(statistics: Any, students: Sequence[str], numbers: Sequence[int]) -> bool:
    """Whether one of the students, sorted as texts and as numbers, is among the values of a column."""
    if statistics is None or not statistics.has_min_max:
        return True
    try:
        lowest, highest = statistics.min, statistics.max
    except UnicodeDecodeError:  # damaged: the rows will tell
        return True
    among: Sequence[Any] = students if isinstance(lowest, str) else numbers
    first = bisect_left(among, lowest)
    return first < len(among) and bool(among[first] <= highest)
