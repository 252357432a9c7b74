"""Files in, files out: any table format read as Arrow, every output whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import json
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain, groupby
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
from numpy.typing import NDArray

from adaptrace.errors import DataError, OutputError, Problem
from adaptrace.io import arrow_check, cells, content, delimited, folders
from adaptrace.io.atomic import replacing
from adaptrace.io.delimited import Dialect
from adaptrace.io.inflate import codec_of
from adaptrace.io.together import together

WRITTEN = ".parquet, .arrow, .csv, .tsv or .json (CSV and TSV also .gz)"
PathLike = str | os.PathLike[str]

PARQUET = (".parquet", ".pq", ".parq")
ARROW = (".arrow", ".feather", ".ipc")
DELIMITED = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}
CODECS = {".gz": "gzip", ".bz2": "bz2", ".zst": "zstd"}  # of delimited text
TABLES = (*PARQUET, *ARROW, *DELIMITED)
FORMATS = "Parquet (.parquet), Arrow/Feather (.arrow, .feather), CSV (.csv), TSV (.tsv), each CSV/TSV also .gz, .bz2 or .zst"


# ---- reading ----------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """A table, and where each of its rows came from.

    Attributes
    ----------
    name
        What was asked for: a file, a folder or a glob.
    table
        The rows of the files, one file after the other.
    files, sizes
        The files, and how many rows each has.
    rows
        Source row of each row of the table, where some were left out.
    notes
        What the reader of results should know about how the files were read.
    whole
        Whether these are all files of what was asked for.
    """

    name: str
    table: pa.Table
    files: tuple[Path, ...]
    sizes: tuple[int, ...]
    rows: NDArray[np.int64] | None = None
    notes: tuple[str, ...] = ()
    whole: bool = True

    @contextlib.contextmanager
    def located(self) -> Iterator[None]:
        """Give the problems found in the block the file and row of the source."""
        try:
            yield
        except DataError as error:
            raise DataError(self.name, [each for problem in error.problems for each in self._located(problem)]) from None

    def _located(self, problem: Problem) -> list[Problem]:
        """The problem with the file of its row; of no row, in each of the files where they are not all."""
        if problem.row is None:
            return [problem] if self.whole or problem.file else [replace(problem, file=str(file)) for file in self.files]
        row = problem.row - 1 if self.rows is None else int(self.rows[problem.row - 1])
        ends = np.cumsum(self.sizes)
        file = int(np.searchsorted(ends, row, side="right"))
        within = row - (int(ends[file - 1]) if file else 0)
        path = str(self.files[file])
        return [replace(problem, row=within + 1, file=path if path != self.name else None)]


def read_table(path: PathLike, text: frozenset[str] = frozenset()) -> Source:
    """Read a file, a folder (also hive-partitioned) or a glob as one table; as :func:`read_parts`."""
    return joined(read_parts(path, text))


def joined(parts: Sequence[Source], table: pa.Table | None = None) -> Source:
    """The parts of a whole as one; ``table``: their rows, if they are joined already."""
    if len(parts) == 1 and table is None:
        return parts[0]
    files, sizes = (tuple(chain.from_iterable(each)) for each in zip(*((part.files, part.sizes) for part in parts), strict=True))
    return Source(
        parts[0].name, together([part.table for part in parts]) if table is None else table, files, sizes, notes=parts[0].notes
    )


def read_parts(path: PathLike, text: frozenset[str] = frozenset()) -> list[Source]:
    """Read a file, a folder (also hive-partitioned) or a glob: files that follow each other and have the same columns together.

    Parameters
    ----------
    path
        Parquet, Arrow IPC/Feather, CSV or TSV (also compressed); the ending says which.
    text
        Lower-case names of columns that hold names: in CSV they are kept exactly as written
        (``007`` stays ``007``, ``NA`` stays ``NA``).

    Raises
    ------
    DataError
        If there is no such file, one is cut short, or CSV rows are broken: all of them at once.
    """
    files, tables, problems = find_files(path), list[pa.Table](), list[Problem]()
    said: dict[str, list[str]] = {}
    for file in files:
        try:
            table, notes = _read_file(file, text)
        except DataError as error:
            problems += [replace(problem, file=str(file) if len(files) > 1 else None) for problem in error.problems]
            continue
        tables.append(table)
        if notes:
            said.setdefault(", ".join(notes), []).append(file.name)
    if problems:
        raise DataError(str(files[0]) if len(files) == 1 else os.fspath(path), problems)
    runs = [list(run) for _, run in groupby(range(len(files)), key=lambda at: tables[at].schema)]
    notes = tuple(
        f"{names[0]}{f' and {len(names) - 1:,} more files' * (len(names) > 1)}: read with {how}" for how, names in said.items()
    )
    return [
        Source(
            os.fspath(path),
            pa.concat_tables(tables[at] for at in run),
            tuple(files[at] for at in run),
            tuple(len(tables[at]) for at in run),
            notes=notes,
            whole=len(runs) == 1,
        )
        for run in runs
    ]


def find_files(path: PathLike) -> list[Path]:
    """The data files behind a path, a folder or a glob, in the order of their names.

    Raises
    ------
    DataError
        If there are none, or any cannot be read: a pipe, a link to nothing, a name that is not UTF-8.
    """
    place = Path(path)
    try:
        folder = place.is_dir()
        files = _in_folder(place) if folder else [place] if place.is_file() else _of_glob(path)
    except OSError as error:  # no right to look, or a name that is too long
        problem = Problem(error.strerror or str(error), "a file, a folder or a glob", "check the path, and that you may read it")
        raise DataError(os.fspath(path), [problem]) from error
    if not files:
        found = "a folder without data files" if folder else "no such file"
        raise DataError(os.fspath(path), [Problem(found, f"a log: {FORMATS}", "check the path")])
    problems = [replace(wrong, file=None if file == place else shown(file)) for file in files if (wrong := _no_file(file))]
    if problems:
        raise DataError(shown(place), problems)
    return files


def _in_folder(place: Path) -> list[Path]:
    found = sorted(file for file in place.rglob("*") if not file.name.startswith((".", "_")) and ending_of(file) in TABLES)
    return [file for file in found if not file.is_dir()]


def _of_glob(path: PathLike) -> list[Path]:
    found = sorted(Path(name) for name in glob.glob(os.fspath(path), recursive=True))
    return [file for file in found if len(found) == 1 or not file.is_dir()]


def _no_file(file: Path) -> Problem | None:
    """What keeps a path from being that of a file that can be opened."""
    if shown(file) != str(file):
        return Problem("a name that is not UTF-8", "a name in UTF-8", "rename the file")
    if file.is_file():
        return None
    got = "a link to nothing or to itself" if file.is_symlink() else "a pipe or a device" if file.exists() else "no such file"
    return Problem(got, "a file", "check the path; write what comes through a pipe into a file first")


def shown(path: Path) -> str:
    """A path as text that can be printed, also where its name is not UTF-8."""
    return str(path).encode("utf-8", "backslashreplace").decode()


def are_parquet(path: PathLike) -> bool:
    """Whether all data files behind a path are Parquet."""
    return all(ending_of(file) in PARQUET for file in find_files(path))


def is_table(path: Path) -> bool:
    """Whether the name is that of a table: Parquet, Arrow, CSV, ..."""
    return ending_of(path) in (*TABLES, ".json")


def ending_of(path: Path) -> str:
    """The ending that tells the format, in lower case, that of a compression (``.gz``) aside."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in CODECS:
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def codec_by_name(path: Path) -> str | None:
    """What a file is compressed with, as its name says."""
    return CODECS.get(path.suffix.lower())


def _read_file(path: Path, text: frozenset[str]) -> tuple[pa.Table, tuple[str, ...]]:
    """The table of a file, and notes on how it was read."""
    ending, notes = ending_of(path), tuple[str, ...]()
    with reading_errors(path):
        if ending in PARQUET:
            table = arrow_check.checked(_read_parquet(path), str(path))
        elif ending in ARROW:
            table = arrow_check.checked(_read_arrow(path), str(path))
        elif ending in DELIMITED:
            table, notes = delimited.read(path, dialect_of(path), text)
        else:
            raise DataError(str(path), [Problem(f"the ending '{ending}'", FORMATS, "rename, unpack or convert the file")])
    return folders.with_columns(table, path), notes


def dialect_of(path: Path) -> Dialect:
    """How a file of delimited text is written; a DataError if it is no text."""
    codec, promised = codec_of(path), codec_by_name(path)
    if promised and not codec:
        raise DataError(str(path), [content.mismatch("not compressed", path.suffix)])
    dialect = delimited.dialect_of(path, DELIMITED[ending_of(path)], ending_of(path))
    return dialect if promised or not codec else replace(dialect, notes=(f"its bytes inflated ({codec})", *dialect.notes))


@contextlib.contextmanager
def reading_errors(path: Path) -> Iterator[None]:
    """Turn any error of Arrow or of the system, while a file is read, into a DataError that says what is wrong with the file."""
    try:
        if path.stat().st_size == 0:
            expected = "at least a header" if ending_of(path) in DELIMITED else f"a whole {ending_of(path)[1:]} file"
            raise DataError(str(path), [Problem("an empty file", expected, "export the file again")])
        yield
    except (pa.ArrowException, MemoryError, UnicodeError, OSError) as error:  # a wrong length asks for more memory than there is
        raise DataError(
            str(path), [content.problem_of(path, error, ending_of(path), text=ending_of(path) in DELIMITED)]
        ) from error


def _read_parquet(path: Path) -> pa.Table:
    try:
        return pyarrow.parquet.read_table(path, partitioning=None)
    except pa.ArrowInvalid as error:
        if "Multiple matches" not in str(error):
            raise
        with pyarrow.parquet.ParquetFile(path) as file:  # a column stands twice, perhaps one that nobody asks for
            return file.read()


def _read_arrow(path: Path) -> pa.Table:
    """An Arrow file of either kind: the random-access one (Feather 2) or the stream."""
    return pa.ipc.open_stream(path).read_all() if is_stream(path) else pyarrow.feather.read_table(path)


def is_stream(path: Path) -> bool:
    """Whether an Arrow file is a stream: all of them begin alike (Arrow format, "Encapsulated message")."""
    with path.open("rb") as file:
        return file.read(4) == b"\xff\xff\xff\xff"


# ---- writing ----------------------------------------------------------------


def write_table(table: pa.Table, path: PathLike, *, raw_cells: bool = False) -> None:
    """Write Parquet, Arrow/Feather, CSV, TSV or JSON (a list of rows), by the ending; whole or not at all.

    In CSV and TSV, text that a spreadsheet would run as a formula has a ``'`` before it (:mod:`adaptrace.io.cells`);
    ``raw_cells`` writes it as it is.

    Raises
    ------
    OutputError
        If the place cannot be written or the ending is none of these.
    """
    ending, codec = ending_of(Path(path)), codec_by_name(Path(path))
    if ending not in (*DELIMITED, *(() if codec else (*PARQUET, *ARROW, ".json"))):
        raise OutputError(f"{path}: unknown ending '{ending}{Path(path).suffix * bool(codec)}'; use {WRITTEN}")
    with replacing(path) as temporary:
        if ending in PARQUET:
            pyarrow.parquet.write_table(table, temporary, compression="zstd")
        elif ending in ARROW:
            pyarrow.feather.write_feather(table, temporary)
        elif ending == ".json":
            temporary.write_text(json.dumps(table.to_pylist(), default=str, indent=1))
        else:
            options = pyarrow.csv.WriteOptions(delimiter=DELIMITED[ending])
            with written(temporary, codec) as stream:
                pyarrow.csv.write_csv(text_cells(table, raw_cells=raw_cells), stream, options)


def written(path: Path, codec: str | None) -> pa.NativeFile:
    """A file to write bytes to, compressed if a codec is given."""
    return pa.CompressedOutputStream(str(path), codec) if codec else pa.OSFile(str(path), "wb")


def text_cells(table: pa.Table, *, raw_cells: bool = False) -> pa.Table:
    """A table as a text file holds it: dictionaries decoded, lists joined and, unless ``raw_cells``, no formulas."""
    plain = _plain_columns(table)
    return plain if raw_cells else cells.neutral(plain)


def _plain_columns(table: pa.Table) -> pa.Table:
    columns = []
    for column in table.columns:
        if pa.types.is_list(column.type) or pa.types.is_large_list(column.type):
            column = pa.array([None if row is None else ";".join(map(str, row)) for row in column.to_pylist()])
        elif pa.types.is_dictionary(column.type):
            column = column.cast(column.type.value_type)
        columns.append(column)
    return pa.table(columns, names=table.column_names)
