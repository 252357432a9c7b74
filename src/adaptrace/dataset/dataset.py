"""Dataset: Parquet files of responses that may be larger than memory, read piece by piece."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from adaptrace.data import schema
from adaptrace.data.log import Log, log_from_checked
from adaptrace.data.reading import Reading
from adaptrace.errors import DataError
from adaptrace.io import arrow_check
from adaptrace.io.files import Source, reading_errors
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


# ---- what is read, and how --------------------------------------------------


@dataclass(frozen=True)
class ReadOptions:
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
    merge
        Whether rows that differ in nothing but the skill are one event.
    """

    columns: Mapping[str, str] | None = None
    time_unit: str | None = None
    levels: Mapping[str, int] | None = None
    reads: tuple[str, ...] = tuple(column.name for column in schema.RESPONSES)
    merge: bool = True

    @classmethod
    def of(
        cls, model: Any, *, columns: Mapping[str, str] | None = None, time_unit: str | None = None, merge: bool = True
    ) -> ReadOptions:
        """What a model looks at; all columns where it does not say."""
        reads = model.reads if isinstance(model, ReadsColumns) else cls.reads
        return cls(columns, time_unit, levels_of(model), reads, merge)


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
        Columns that are named in the path, ``school=12``: name here -> value, None where it is missing.
    """

    path: Path
    name: str
    identity: str
    groups: tuple[int, ...]
    types: Mapping[str, pa.DataType]
    found: Mapping[str, str]
    folders: Mapping[str, str | None]

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
class Dataset:
    """Parquet files of responses, found to be of one schema.

    Attributes
    ----------
    source
        The folder, file or glob.
    files
        In the order of their names.
    options
        How they are read.
    types
        Canonical column -> the type that it is read as.
    """

    source: str
    files: tuple[File, ...]
    options: ReadOptions
    types: Mapping[str, pa.DataType]

    @property
    def rows(self) -> int:
        """Responses in all files."""
        return sum(file.rows for file in self.files)

    def only(self, files: Iterable[File]) -> Dataset:
        """The dataset of some of its files."""
        return replace(self, files=tuple(files))

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
        """The canonical columns of a piece, by default all that the options say, under their canonical names."""
        names = [name for name in self.types if names is None or name in names]
        tables = [table for each in piece.slices for table in self._tables(each, names)]
        first = piece.slices[0]
        skipped = sum(first.file.groups[: first.first])
        sizes = [each.rows for each in piece.slices]
        sizes[0] += skipped
        table = pa.concat_tables(tables).unify_dictionaries().combine_chunks()  # once, so that nothing copies it again
        rows = np.arange(skipped, skipped + len(table)) if skipped else None
        return Source(self.source, table, tuple(self.label(each.file) for each in piece.slices), tuple(sizes), rows)

    def _tables(self, part: Slice, names: Sequence[str], rows: int | None = None) -> Iterator[pa.Table]:
        """The columns of row groups of a file, all at once or so many rows at a time."""
        file, groups, first = part.file, list(range(part.first, part.last)), sum(part.file.groups[: part.first])
        inside = [name for name in names if name in file.found and file.found[name] not in file.folders]
        here = [file.found[name] for name in inside]
        as_codes = [file.found[name] for name in inside if name in NAMES and sort_of(file.types[name]) == "text"]
        with self._naming_errors(file), pyarrow.parquet.ParquetFile(file.path, read_dictionary=as_codes) as opened:
            if rows is None:
                table = opened.read_row_groups(groups, columns=here, use_threads=parallel.cores() > 1)
                yield self._conformed(table, file, names, first)
                return
            for batch in opened.iter_batches(rows, groups, columns=here, use_threads=False):
                yield self._conformed(pa.Table.from_batches([batch]), file, names, first)
                first += len(batch)

    @contextlib.contextmanager
    def _naming_errors(self, file: File) -> Iterator[None]:
        """Make what goes wrong with a file a problem of the dataset that names the file."""
        try:
            with reading_errors(file.path):
                yield
        except DataError as error:
            name = os.fspath(self.label(file))
            named = [replace(each, file=name if name != self.source else None) for each in error.problems]
            raise DataError(self.source, named) from error

    def _conformed(self, table: pa.Table, file: File, names: Sequence[str], first: int) -> pa.Table:
        """The columns of a file, from its row ``first`` on, under their canonical names, in the types that all files share."""
        arrow_check.checked(table, str(file.path))  # codes come unchecked from the file
        columns = []
        for name in names:
            here = file.found.get(name)
            if here is None or here in file.folders:  # the same value in all rows
                value = pa.scalar(file.folders.get(here or ""), pa.string() if here else self.types[name])
                column = pa.chunked_array([pa.repeat(value, len(table))])
            else:
                column = table[here]
                if sort_of(column.type) not in (sort_of(self.types[name]), "nothing"):
                    column = self._checked(column, name, file, first)
            columns.append(_cast(column, self.types[name], name))
        return pa.table(columns, names=list(names))

    def _checked(self, column: pa.ChunkedArray, name: str, file: File, first: int) -> pa.ChunkedArray:
        """A column of another sort than in most files, as its own canonical type."""
        (known,) = (each for each in schema.RESPONSES if each.name == name)
        checked = known.check(schema.plain(schema.combined(column)))
        if checked.array is None:
            moved = [each if each.row is None else replace(each, row=each.row + first) for each in checked.problems]
            raise DataError(str(file.path), [replace(each, column=file.found[name]) for each in moved])
        return pa.chunked_array([checked.array])

    def no_rows(self) -> pa.Table:
        """What :meth:`read` gives of no rows."""
        codes = {
            name: pa.dictionary(pa.int32(), kind) if sort_of(kind) == "text" and name in NAMES else kind
            for name, kind in self.types.items()
        }
        return pa.schema(list(codes.items())).empty_table()


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


# ---- rows as a log ----------------------------------------------------------


def with_items(table: pa.Table) -> pa.Table:
    """A table with a column of items, though nothing depends on them and they were not read."""
    if "item" in table.column_names:
        return table
    return table.append_column("item", pa.DictionaryArray.from_arrays(np.zeros(len(table), np.int32), pa.array(["any"])))


def reading_of(dataset: Dataset) -> Reading:
    """How columns that already have their canonical names are checked."""
    options = dataset.options
    given = {name: name for name in options.columns or {} if name in dataset.types}
    return Reading(given, options.time_unit, options.levels or {}, dataset.source, options.merge)


def log_of(dataset: Dataset, table: pa.Table) -> Log:
    """Rows of a dataset as a log. The same ``event_id`` of two students is two events: who else is read must not matter."""
    reading = reading_of(dataset)
    if "item" not in table.column_names:  # not read: there is no time or order by which rows could be one event
        table, reading = with_items(table), reading._replace(merge=False)
    if "event_id" in table.column_names:
        of = [schema.as_text(schema.combined(table[name])) for name in ("event_id", "student")]
        ids = pc.binary_join_element_wise(*of, " of student ")
        table = table.set_column(table.column_names.index("event_id"), "event_id", ids)
    return log_from_checked(table, reading)
