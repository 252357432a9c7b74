"""Dataset: a folder of Parquet that may be larger than memory, surveyed before it is read piece by piece."""

from __future__ import annotations

import contextlib
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from adaptrace.data import schema
from adaptrace.errors import DataError, Problem
from adaptrace.io import arrow_check
from adaptrace.io.files import PARQUET, Source, ending_of, find_files, told
from adaptrace.io.identity import identity, name_in
from adaptrace.kernels import parallel
from adaptrace.models.base import ReadsColumns, levels_of

LARGE = 2  # times as many rows as a piece should have, and a row group is read bit by bit
NAMES = ("student", "item", "skill", "kind", "group")  # columns that are read as dictionaries where they are text
SORTS = {
    "text": (pa.types.is_string, pa.types.is_large_string, pa.types.is_string_view),
    "whole numbers": (pa.types.is_integer,),
    "numbers": (pa.types.is_floating, pa.types.is_decimal, pa.types.is_boolean),
    "times": (pa.types.is_timestamp, pa.types.is_date),
    "lists": (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list),
    "nothing": (pa.types.is_null,),
}


@dataclass(frozen=True)
class File:
    """One Parquet file of responses.

    Attributes
    ----------
    path, name
        Where it is, and what it is called from the folder on.
    identity
        Names its content (:func:`adaptrace.io.identity.identity`).
    groups
        Rows of each of its row groups.
    types
        Canonical column -> the type it has here.
    found
        Canonical column -> its name here.
    folders
        Columns that stand in the path, ``school=12``: name here -> value.
    """

    path: Path
    name: str
    identity: str
    groups: tuple[int, ...]
    types: Mapping[str, pa.DataType]
    found: Mapping[str, str]
    folders: Mapping[str, str]

    @property
    def rows(self) -> int:
        """Responses in it."""
        return sum(self.groups)


class Slice(NamedTuple):
    """Row groups [first, last) of a file."""

    file: File
    first: int
    last: int

    @property
    def rows(self) -> int:
        """Responses in it."""
        return sum(self.file.groups[self.first : self.last])


class Piece(NamedTuple):
    """What is read at once."""

    slices: tuple[Slice, ...]

    @property
    def rows(self) -> int:
        """Responses in it."""
        return sum(each.rows for each in self.slices)


@dataclass(frozen=True)
class Layout:
    """How the columns of a dataset are found and read: what :meth:`adaptrace.Log.read` takes, and which columns to read.

    Attributes
    ----------
    columns
        Canonical name -> name in the files, where they differ and no alias fits.
    time_unit
        Makes integer times a clock.
    levels
        Kind -> number of its levels.
    reads
        Canonical columns to read, as far as they are there.
    """

    columns: Mapping[str, str] | None = None
    time_unit: str | None = None
    levels: Mapping[str, int] | None = None
    reads: tuple[str, ...] = tuple(column.name for column in schema.RESPONSES)

    @classmethod
    def of(cls, model: Any, columns: Mapping[str, str] | None, time_unit: str | None) -> Layout:
        """What a model looks at; all columns where it does not say."""
        return cls(columns, time_unit, levels_of(model), model.reads if isinstance(model, ReadsColumns) else cls.reads)


@dataclass(frozen=True)
class Dataset:
    """Parquet files of responses, found to be of one schema.

    Attributes
    ----------
    source
        The folder, file or glob.
    files
        In the order of their names.
    layout
        How they are read.
    types
        Canonical column -> the type that it is read as.
    """

    source: str
    files: tuple[File, ...]
    layout: Layout
    types: Mapping[str, pa.DataType]

    @property
    def rows(self) -> int:
        """Responses in all files."""
        return sum(file.rows for file in self.files)

    def only(self, files: Iterable[File]) -> Dataset:
        """The dataset of some of its files."""
        return Dataset(self.source, tuple(files), self.layout, self.types)

    def label(self, file: File) -> Path:
        """What an error calls a file: its name from the folder on."""
        return file.path if os.fspath(file.path) == self.source else Path(file.name)

    def pieces(self, budget: int) -> list[Piece]:
        """Cut into row groups that are next to each other, about ``budget`` rows together, at least one."""
        pieces: list[list[Slice]] = [[]]
        room = budget
        for file in self.files:
            for group, rows in enumerate(file.groups):
                if rows > room and pieces[-1]:
                    pieces.append([])
                    room = budget
                room -= rows
                mine = pieces[-1]
                if mine and mine[-1].file is file:
                    mine[-1] = Slice(file, mine[-1].first, group + 1)
                else:
                    mine.append(Slice(file, group, group + 1))
        return [Piece(tuple(slices)) for slices in pieces if slices]

    def parts(self, piece: Piece, rows: int) -> Iterator[Source]:
        """The rows of a piece, at once unless a single row group is far larger than ``rows``."""
        if len(piece.slices) > 1 or piece.rows <= LARGE * rows:
            yield self.read(piece)
            return
        (part,), first = piece.slices, sum(piece.slices[0].file.groups[: piece.slices[0].first])
        for table in self._tables(part, list(self.types), rows):
            yield Source(self.source, table, (self.label(part.file),), (part.file.rows,), np.arange(first, first + len(table)))
            first += len(table)

    def read_file(self, file: File, names: Sequence[str] | None = None) -> Source:
        """As :meth:`read`, of a whole file."""
        return self.read(Piece((Slice(file, 0, len(file.groups)),)), names)

    def read(self, piece: Piece, names: Sequence[str] | None = None) -> Source:
        """The canonical columns of a piece, by default all that the layout reads, under their canonical names."""
        names = [name for name in self.types if names is None or name in names]
        tables = [table for each in piece.slices for table in self._tables(each, names)]
        first = piece.slices[0]
        skipped = sum(first.file.groups[: first.first])
        sizes = [each.rows for each in piece.slices]
        sizes[0] += skipped
        table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()  # once, and no more copies on the way
        rows = np.arange(skipped, skipped + len(table)) if skipped else None
        return Source(self.source, table, tuple(self.label(each.file) for each in piece.slices), tuple(sizes), rows)

    def _tables(self, part: Slice, names: Sequence[str], rows: int | None = None) -> Iterator[pa.Table]:
        """The columns of row groups of a file, all at once or so many rows at a time."""
        file, groups = part.file, list(range(part.first, part.last))
        inside = [name for name in names if file.found[name] not in file.folders]
        here = [file.found[name] for name in inside]
        as_codes = [file.found[name] for name in inside if name in NAMES and sort_of(file.types[name]) == "text"]
        with self._told(file), pyarrow.parquet.ParquetFile(file.path, read_dictionary=as_codes) as opened:
            if rows is None:
                yield self._conformed(opened.read_row_groups(groups, columns=here, use_threads=parallel.cores() > 1), file, names)
                return
            for batch in opened.iter_batches(rows, groups, columns=here, use_threads=False):
                yield self._conformed(pa.Table.from_batches([batch]), file, names)

    @contextlib.contextmanager
    def _told(self, file: File) -> Iterator[None]:
        """What goes wrong with a file is a problem of the dataset."""
        try:
            with told(file.path):
                yield
        except DataError as error:
            name = os.fspath(self.label(file))
            named = [replace(each, file=name if name != self.source else None) for each in error.problems]
            raise DataError(self.source, named) from error

    def _conformed(self, table: pa.Table, file: File, names: Sequence[str]) -> pa.Table:
        """The columns of a file under their canonical names, in the types that all files share."""
        arrow_check.checked(table, str(file.path))  # codes come as they stand in the file
        columns = []
        for name in names:
            here = file.found[name]
            column = pa.array([file.folders[here]] * len(table), pa.string()) if here in file.folders else table[here]
            columns.append(_cast(pa.chunked_array([column]) if isinstance(column, pa.Array) else column, self.types[name], name))
        return pa.table(columns, names=list(names))


def _cast(column: pa.ChunkedArray, wanted: pa.DataType, name: str) -> pa.ChunkedArray:
    """A column of a file as the type that all files share; names that are text as a dictionary."""
    if sort_of(wanted) == "text" and name in NAMES:
        as_codes = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
        return as_codes.cast(pa.dictionary(pa.int32(), wanted))
    return column.cast(wanted)


def sort_of(kind: pa.DataType) -> str:
    """What sort of values a column holds, whatever their width."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    return next((sort for sort, tests in SORTS.items() if any(test(kind) for test in tests)), str(kind))


# ---- survey -----------------------------------------------------------------


def survey(source: str | os.PathLike[str], layout: Layout) -> tuple[Dataset, list[Problem]]:
    """Find the files of a dataset and read their footers.

    Returns
    -------
    Dataset
        Of the files that can be read together.
    list of Problem
        What is wrong with the others: each names its file.

    Raises
    ------
    DataError
        If there are no files, or none that can be read.
    """
    opened = parallel.run(_open, [(source, path, layout) for path in find_files(source)])
    problems = [problem for each in opened if not isinstance(each, File) for problem in each]
    if len(opened) == 1:
        problems = [replace(problem, file=None) for problem in problems]
    files = [each for each in opened if isinstance(each, File)]
    usual = {column.name: _usual(files, column.name) for column in schema.RESPONSES}
    # what an event is, and which level a kind reached, takes the item and the kind too
    also = {"item": usual["event_id"], "kind": usual["level"]}
    expected = {name: sort for name, sort in usual.items() if name in layout.reads or also.get(name) or name.startswith("skill")}
    strange = {file.name: found for file in files if (found := _strange(file, expected))}
    problems += [problem for each in strange.values() for problem in each]
    alike = tuple(file for file in files if file.name not in strange)
    if not alike:
        raise DataError(os.fspath(source), problems)
    types = {name: _together([file.types[name] for file in alike]) for name in alike[0].types if name in expected}
    return Dataset(os.fspath(source), alike, layout, types), problems


def _open(source: str | os.PathLike[str], path: Path, layout: Layout) -> File | list[Problem]:
    """What the footer of a file says, or what is wrong with it."""
    name = name_in(source, path)
    if ending_of(path) not in PARQUET:
        remedy = "convert it; or score into a file instead of a folder, if the log fits into memory"
        return [Problem(f"the ending '{path.suffix}'", "Parquet", remedy, file=name)]
    try:
        with told(path):
            footer = pyarrow.parquet.read_metadata(path)
            kinds = arrow_check.checked(footer.schema.to_arrow_schema().empty_table(), str(path)).schema
    except DataError as error:
        return [Problem(each.got, each.expected, each.remedy, file=name) for each in error.problems]
    folders = dict(folder.split("=", 1) for folder in path.parts[:-1] if "=" in folder)
    folders = {key: value for key, value in folders.items() if key not in kinds.names}
    found = schema.resolve([*kinds.names, *folders], schema.RESPONSES, layout.columns)
    skill = "skills" if "skills" in found else "skill"
    need = ("student", "item", *(() if "level" in found else ("correct",)), skill)
    problems = schema.missing([*kinds.names, *folders], schema.RESPONSES, found, need)
    if problems:
        return [Problem(each.got, each.expected, each.remedy, each.column, file=name) for each in problems]
    read = {name: here for name, here in found.items() if name in (*layout.reads, skill, "item", "kind")}
    types = {name: pa.string() if here in folders else kinds.field(here).type for name, here in read.items()}
    groups = tuple(footer.row_group(group).num_rows for group in range(footer.num_row_groups))
    return File(path, name, identity(path), groups, types, read, folders)


def _usual(files: Sequence[File], name: str) -> str | None:
    """The sort of a column that most files have; None: most do not have it."""
    sorts = Counter(sort_of(file.types[name]) if name in file.types else None for file in files)
    sorts.pop("nothing", None)
    return sorts.most_common(1)[0][0] if sorts else "nothing"


def _strange(file: File, expected: Mapping[str, str | None]) -> list[Problem]:
    """In what a file differs from most."""
    problems = []
    for name, sort in expected.items():
        mine = sort_of(file.types[name]) if name in file.types else None
        if mine in (sort, "nothing") or (name == "correct" and {mine, sort} <= {"numbers", "whole numbers"}):
            continue
        got = f"{mine} in column '{file.found[name]}'" if mine else f"no column '{name}'"
        want = f"{sort} as in most files" if sort else "no such column, as in most files"
        problems.append(Problem(got, want, "export the file like the others", file=file.name))
    return problems


def _together(types: Sequence[pa.DataType]) -> pa.DataType:
    """The one type that columns of one sort are read as."""
    values = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in types]
    sort = next((sort_of(kind) for kind in values if sort_of(kind) != "nothing"), "nothing")
    if sort == "text":
        return pa.string()
    real = [kind for kind in values if sort_of(kind) != "nothing"]
    if len(set(real)) < 2:
        return real[0] if real else values[0]
    if sort == "times":
        return schema.TIME
    if sort == "lists":
        return pa.list_(_together([kind.value_type for kind in real]))
    return pa.int64() if {sort_of(kind) for kind in real} == {"whole numbers"} else pa.float64()
