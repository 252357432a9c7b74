"""Rewriting: a table file read piece by piece, changed, and written again in its own format; memory holds one piece."""

from __future__ import annotations

import contextlib
import csv
import io
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.ipc
import pyarrow.parquet

from adaptrace.data import schema
from adaptrace.data.names import check_keys
from adaptrace.errors import DataError, Problem
from adaptrace.io import arrow_check, cells, delimited, folders
from adaptrace.io.files import ARROW, DELIMITED, PARQUET, codec_by_name, dialect_of, ending_of, is_stream, reading_errors, written

ROWS = 1 << 20  # of a piece, at most
BLOCK = 1 << 24  # bytes of a piece of a text file
DICTIONARY = 1 << 25  # bytes of a dictionary page; Arrow's own limit would write 33,000 pseudonyms out row by row
Change = Callable[[pa.Table], pa.Table]
PathLike = str | os.PathLike[str]
Write = Callable[[pa.Table], None]


# ---- files ------------------------------------------------------------------


def schema_of(path: Path) -> pa.Schema:
    """The columns of a table file; those of CSV are all text."""
    ending = ending_of(path)
    with reading_errors(path):
        if ending in PARQUET:
            columns = pyarrow.parquet.read_schema(path)
        else:
            columns = (
                _open_arrow(path).schema
                if ending in ARROW
                else pa.schema([(name, pa.string()) for name in dialect_of(path).names])
            )
        return _without_views(arrow_check.checked(columns.empty_table(), str(path))).schema


def pieces(path: Path, columns: Sequence[str] | None = None, groups: Sequence[int] | None = None) -> Iterator[pa.Table]:
    """A table file, piece by piece: row groups of Parquet, batches of Arrow, blocks of CSV (every cell as it is written).

    Parameters
    ----------
    path
        The file.
    columns
        The columns wanted; by default all.
    groups
        The row groups wanted of a Parquet file; by default all.

    Raises
    ------
    DataError
        If the file is damaged.
    """
    with reading_errors(path):
        for batch in _batches(path, columns, groups):
            piece = _without_views(arrow_check.checked(pa.Table.from_batches([batch]), str(path)))
            yield piece if columns is None else piece.select(columns)


def _batches(path: Path, columns: Sequence[str] | None, groups: Sequence[int] | None) -> Iterator[pa.RecordBatch]:
    ending = ending_of(path)
    if ending in PARQUET:
        with pyarrow.parquet.ParquetFile(path) as file:
            for group in range(file.num_row_groups) if groups is None else groups:
                yield from file.iter_batches(ROWS, row_groups=[group], columns=columns)
    elif ending in ARROW:
        with _open_arrow(path) as reader:
            if isinstance(reader, pa.ipc.RecordBatchFileReader):
                yield from (reader.get_batch(number) for number in range(reader.num_record_batches))
            else:
                yield from reader
    else:
        yield from delimited.batches(path, dialect_of(path), BLOCK)


def _without_views(table: pa.Table) -> pa.Table:
    """A table with plain strings for the views (polars) that Arrow cannot take rows of."""
    for place, field in enumerate(table.schema):
        if "view" in str(field.type):
            column = schema.plain(schema.combined(table[place]))
            table = table.set_column(place, field.with_type(column.type), column)
    return table


def _open_arrow(path: Path) -> Any:
    return (pa.ipc.open_stream if is_stream(path) else pa.ipc.open_file)(path)


def rewrite(source: Path, target: Path, change: Change, notes: Mapping[bytes, bytes] | None = None) -> int:
    """Write a table file again, each piece changed: same format, row groups, compression and metadata.

    Parameters
    ----------
    source
        The file; not changed.
    target
        Where to write.
    change
        What becomes of a piece; the columns it gives may not depend on the rows. A piece may lose all its rows.
    notes
        What to add to the metadata of a Parquet or Arrow file.

    Returns
    -------
    int
        How many rows were written.
    """
    became = change(schema_of(source).empty_table()).schema
    became, rows = became.with_metadata({**(became.metadata or {}), **(notes or {})}), 0
    with _writer(source, target, became) as write:
        for piece in pieces(source):
            changed = change(piece).replace_schema_metadata(became.metadata)
            if len(changed):
                write(changed)
            rows += len(changed)
    return rows


@contextlib.contextmanager
def _writer(source: Path, target: Path, columns: pa.Schema) -> Iterator[Write]:
    """Write tables of these columns to a file in the way that another is written."""
    ending = ending_of(source)
    if ending in PARQUET:
        with pyarrow.parquet.ParquetWriter(target, columns, **_parquet_options(source)) as writer:
            yield writer.write_table
    elif ending in ARROW:
        stream = is_stream(source)
        options = pa.ipc.IpcWriteOptions(compression=None if stream else "lz4")  # as Feather does
        with (pa.ipc.new_stream if stream else pa.ipc.new_file)(str(target), columns, options=options) as writer:
            yield writer.write_table
    else:
        delimiter = dialect_of(source).delimiter
        with written(target, codec_by_name(source)) as stream:
            _write_cells(stream, delimiter, [columns.names])
            yield lambda table: _write_cells(stream, delimiter, zip(*(each.to_pylist() for each in table.columns), strict=True))


def _write_cells(stream: Any, delimiter: str, rows: Iterable[Sequence[Any]]) -> None:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, lineterminator="\n").writerows(rows)
    stream.write(text.getvalue().encode())


def _parquet_options(path: Path) -> dict[str, Any]:
    """The compression, version and sort of times that a Parquet file was written with."""
    with pyarrow.parquet.ParquetFile(path) as file:
        metadata = file.metadata
    chunks = [metadata.row_group(0).column(place) for place in range(metadata.num_columns if metadata.num_row_groups else 0)]
    packed = {chunk.path_in_schema: chunk.compression.replace("UNCOMPRESSED", "NONE") for chunk in chunks}
    return {
        "compression": packed or "zstd",
        "version": metadata.format_version if metadata.format_version in ("1.0", "2.4") else "2.6",
        "use_deprecated_int96_timestamps": any(chunk.physical_type == "INT96" for chunk in chunks),
        "dictionary_pagesize_limit": DICTIONARY,
    }


# ---- columns of names -------------------------------------------------------


def names_for(column: str) -> tuple[str, ...]:
    """What a column may be called: its name, then its aliases."""
    known = {each.name: each.aliases for each in (*schema.RESPONSES, *schema.CATALOG_ITEMS)}
    return (column, *known.get(column, ()))


def find_columns(found: Iterable[Path], column: str, names: Sequence[str]) -> tuple[dict[Path, tuple[str, ...]], list[Problem]]:
    """Which columns of each file have one of these names (case aside), in the order of the names.

    Also the problems of files without one, with one that cannot hold names, or in a folder that is named by a name.
    """
    columns: dict[Path, tuple[str, ...]] = {}
    problems: list[Problem] = []
    for file in found:
        try:
            columns[file], wrong = _find_column(file, column, names)
        except DataError as error:
            columns[file], wrong = (), list(error.problems)
        problems += [replace(problem, file=str(file)) for problem in wrong]
    return columns, problems


def _find_column(file: Path, column: str, names: Sequence[str]) -> tuple[tuple[str, ...], list[Problem]]:
    table, wanted = schema_of(file), [name.lower() for name in names]
    plain = {name.strip().lower(): name for name in reversed(table.names)}
    found = tuple(plain[name] for name in wanted if name in plain)
    named = [name for name in folders.columns_of(file) if name.strip().lower() in wanted]
    if named:
        remedy = "write the log again with the column in the files, partitioned by something else"
        return found, [Problem(f"a folder named by its {named[0]}", "folders that name nobody", remedy, column)]
    if not found:
        remedy = f"say its name here, e.g. --column {column}=NAME, or leave the file out"
        return found, [Problem(f"the columns {', '.join(table.names)}", f"one of {', '.join(names)}", remedy, column)]
    if table.names.count(found[0]) > 1:
        return found, [Problem("several columns of this name", "every name once", "rename all but one", found[0])]
    wrong = problem_of(table.field(found[0]).type)
    return found, [replace(wrong, column=found[0])] if wrong else []


def encoded(column: pa.ChunkedArray, text: bool = False) -> pa.DictionaryArray:
    """A column as a dictionary without nulls; in a text file (``text``) empty cells are nulls."""
    array = schema.plain(schema.combined(column))
    if text:
        array = pc.if_else(pc.equal(array, ""), pa.scalar(None, array.type), array)
    if not pa.types.is_dictionary(array.type):
        return array.dictionary_encode()
    if not array.dictionary.null_count:
        return array
    whole = array.dictionary_decode().dictionary_encode()
    return pa.DictionaryArray.from_arrays(whole.indices.cast(array.type.index_type), whole.dictionary)


def texts_of(names: pa.Array, file: Path, column: str) -> pa.StringArray:
    """Names as text: they are the same if their texts are; whole floats are the same names as their integers.

    In a text file a name may have the ``'`` that keeps a spreadsheet from running it (:mod:`adaptrace.io.cells`).
    ``file`` and ``column`` say where they are, for an error.

    Raises
    ------
    DataError
        If they are of a type that no names have.
    """
    checked = check_keys(names)
    if checked.array is None:
        raise DataError(str(file), [replace(problem, column=column) for problem in checked.problems])
    texts = schema.as_text(checked.array)
    return cells.restored_text(texts) if ending_of(file) in DELIMITED else texts


def problem_of(kind: pa.DataType) -> Problem | None:
    """What keeps a column of a type from holding names."""
    kind = kind.value_type if pa.types.is_dictionary(kind) else kind
    problems = () if pa.types.is_floating(kind) else check_keys(schema.plain(pa.array([], kind))).problems
    return problems[0] if problems else None
