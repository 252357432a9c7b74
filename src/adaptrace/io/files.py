"""Files in, files out: any table format read as Arrow, every output whole or not at all."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.ipc
import pyarrow.parquet
from numpy.typing import NDArray

from adaptrace.errors import DataError, OutputError, Problem
from adaptrace.io import arrow_check, cells
from adaptrace.io.atomic import replacing

PARQUET = (".parquet", ".pq", ".parq")
ARROW = (".arrow", ".feather", ".ipc")
DELIMITED = {".csv": ",", ".tsv": "\t", ".tab": "\t", ".txt": "\t"}
FORMATS = "Parquet (.parquet), Arrow/Feather (.arrow, .feather), CSV (.csv), TSV (.tsv), each CSV/TSV also .gz"
_CELL = re.compile(r"(invalid value|parse string|parse value|got \d+(?=:)).*")  # in Arrow's messages a cell follows


# ---- reading ----------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """A table, and where each of its rows came from."""

    name: str
    table: pa.Table
    files: tuple[Path, ...]
    sizes: tuple[int, ...]  # rows of each file
    rows: NDArray[np.int64] | None = None  # source row of each row of the table, where some were left out

    @contextlib.contextmanager
    def located(self) -> Iterator[None]:
        """Give the problems found in the block the file and row of the source."""
        try:
            yield
        except DataError as error:
            raise DataError(self.name, [self._located(problem) for problem in error.problems]) from None

    def _located(self, problem: Problem) -> Problem:
        if problem.row is None:
            return problem
        row = problem.row - 1 if self.rows is None else int(self.rows[problem.row - 1])
        ends = np.cumsum(self.sizes)
        file = int(np.searchsorted(ends, row, side="right"))
        within = row - (int(ends[file - 1]) if file else 0)
        path = str(self.files[file])
        return replace(problem, row=within + 1, file=path if path != self.name else None)


def read_table(path: str | os.PathLike[str], text: frozenset[str] = frozenset()) -> Source:
    """Read a file, a folder (also hive-partitioned) or a glob as one table.

    Parameters
    ----------
    path
        Parquet, Arrow IPC/Feather, CSV or TSV (also gzipped); the ending says which.
    text
        Lower-case names of columns that hold keys: in CSV they are kept exactly as written
        (``007`` stays ``007``).

    Raises
    ------
    DataError
        If there is no such file, one is cut short, or CSV rows are broken: all of them at once.
    """
    files, tables, problems = find_files(path), [], []
    for file in files:
        try:
            tables.append(_read_file(file, text))
        except DataError as error:
            problems += [replace(problem, file=str(file) if len(files) > 1 else None) for problem in error.problems]
    if problems:
        raise DataError(str(files[0]) if len(files) == 1 else os.fspath(path), problems)
    sizes = tuple(len(table) for table in tables)
    return Source(os.fspath(path), _together(tables), tuple(files), sizes)


def _together(tables: list[pa.Table]) -> pa.Table:
    """One table; a column whose types do not mix becomes text, for the schema's checks to judge."""
    if len(tables) == 1:
        return tables[0]
    for name in dict.fromkeys(name for table in tables for name in table.column_names):
        holders = [at for at, table in enumerate(tables) if name in table.column_names]
        try:
            pa.unify_schemas([tables[at].select([name]).schema for at in holders], promote_options="permissive")
        except (pa.ArrowInvalid, pa.ArrowTypeError):
            for at in holders:
                place = tables[at].column_names.index(name)
                tables[at] = tables[at].set_column(place, name, tables[at][name].cast(pa.string()))
    return pa.concat_tables(tables, promote_options="permissive")


def find_files(path: str | os.PathLike[str]) -> list[Path]:
    """The data files behind a path, a folder or a glob, in the order of their names."""
    place = Path(path)
    if place.is_dir():
        files = sorted(file for file in place.rglob("*") if file.is_file() and not file.name.startswith((".", "_")))
        files = [file for file in files if ending_of(file) in (*PARQUET, *ARROW, *DELIMITED)]
        found = "a folder without data files"
    else:
        files = [place] if place.is_file() else sorted(Path(name) for name in glob.glob(os.fspath(path), recursive=True))
        found = "no such file"
    if not files:
        raise DataError(os.fspath(path), [Problem(found, f"a log: {FORMATS}", "check the path")])
    return files


def are_parquet(path: str | os.PathLike[str]) -> bool:
    """Whether all data files behind a path are Parquet."""
    return all(ending_of(file) in PARQUET for file in find_files(path))


def is_table(path: Path) -> bool:
    """Whether the name is that of a table: Parquet, Arrow, CSV, ..."""
    return ending_of(path) in (*PARQUET, *ARROW, *DELIMITED, ".json")


def ending_of(path: Path) -> str:
    """The ending that tells the format, in lower case, ``.gz`` aside."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] == ".gz":
        suffixes.pop()
    return suffixes[-1] if suffixes else ""


def _read_file(path: Path, text: frozenset[str]) -> pa.Table:
    ending = ending_of(path)
    if path.stat().st_size == 0:
        raise DataError(str(path), [Problem("an empty file", "at least a header", "export the file again")])
    with reading_errors(path):
        if ending in PARQUET:
            table = arrow_check.checked(pyarrow.parquet.read_table(path, partitioning=None), str(path))
            return _with_partitions(table, path)
        if ending in ARROW:
            return arrow_check.checked(_read_arrow(path), str(path))
        if ending in DELIMITED:
            return _read_delimited(path, DELIMITED[ending], text)
    raise DataError(str(path), [Problem(f"the ending '{ending}'", FORMATS, "rename or convert the file")])


@contextlib.contextmanager
def reading_errors(path: Path) -> Iterator[None]:
    """Turn any error of Arrow or of the system, while a file is read, into a DataError that says what is wrong with the file."""
    try:
        yield
    except (pa.ArrowException, MemoryError) as error:  # a wrong length asks for more memory than there is
        remedy = "the file is damaged or cut short: export or copy it again"
        raise DataError(str(path), [Problem(_brief(error), f"a whole {ending_of(path)[1:]} file", remedy)]) from error
    except UnicodeDecodeError as error:
        raise DataError(str(path), [Problem(_brief(error), "text in UTF-8", "save the file as UTF-8")]) from error
    except OSError as error:
        remedy = "check that the file is whole, and that you may read it"
        raise DataError(str(path), [Problem(_brief(error), "a readable file", remedy)]) from error


def _read_arrow(path: Path) -> pa.Table:
    """An Arrow file of either kind: the random-access one (Feather 2) or the stream."""
    return pa.ipc.open_stream(path).read_all() if is_stream(path) else pyarrow.feather.read_table(path)


def is_stream(path: Path) -> bool:
    """Whether an Arrow file is a stream: all of them begin alike (Arrow format, "Encapsulated message")."""
    with path.open("rb") as file:
        return file.read(4) == b"\xff\xff\xff\xff"


def _with_partitions(table: pa.Table, path: Path) -> pa.Table:
    """Add the columns that hive-style folder names hold, ``year=2024/part-0.parquet``."""
    for folder in path.parts[:-1]:
        name, equals, value = folder.partition("=")
        if equals and name and name not in table.column_names:
            table = table.append_column(name, pa.array([value] * len(table), pa.string()))
    return table


def _brief(error: Exception) -> str:
    """The first line of a message, without the cells of the file that it shows: they may name people."""
    return _CELL.sub(r"\1", str(error).split("\n")[0]).strip().rstrip(".")


def _read_delimited(path: Path, delimiter: str, text: frozenset[str]) -> pa.Table:
    broken: list[pyarrow.csv.InvalidRow] = []

    def note(row: pyarrow.csv.InvalidRow) -> str:
        broken.append(row)
        return "skip"

    parse = pyarrow.csv.ParseOptions(delimiter=delimiter, newlines_in_values=True, invalid_row_handler=note)
    names = _header(path, delimiter)
    convert = pyarrow.csv.ConvertOptions(
        column_types={name: pa.string() for name in names if name.strip().lower() in text},
        strings_can_be_null=True,
        timestamp_parsers=[pyarrow.csv.ISO8601],
    )
    # one thread: only then does the parser know the numbers of broken rows
    read = pyarrow.csv.ReadOptions(use_threads=False)
    table = pyarrow.csv.read_csv(path, read_options=read, parse_options=parse, convert_options=convert)
    if broken:
        problems = [
            Problem(
                f"{row.actual_columns} cells",
                f"{row.expected_columns} as in the header",
                "quote cells that hold the delimiter; if it is the last row, the file is cut short: export it again",
                row=None if row.number is None else row.number - 1,
            )
            for row in broken
        ]
        raise DataError(str(path), problems)
    return cells.restored(table)


def _header(path: Path, delimiter: str) -> list[str]:
    parse = pyarrow.csv.ParseOptions(delimiter=delimiter, invalid_row_handler=lambda row: "skip")
    with pyarrow.csv.open_csv(path, parse_options=parse) as reader:
        return list(reader.schema.names)


# ---- writing ----------------------------------------------------------------


def write_table(table: pa.Table, path: str | os.PathLike[str], *, raw_cells: bool = False) -> None:
    """Write Parquet, Arrow/Feather, CSV, TSV or JSON (a list of rows), by the ending; whole or not at all.

    In CSV and TSV, text that a spreadsheet would run as a formula has a ``'`` before it (:mod:`adaptrace.io.cells`);
    ``raw_cells`` writes it as it is.

    Raises
    ------
    OutputError
        If the place cannot be written or the ending is none of these.
    """
    ending, zipped = ending_of(Path(path)), Path(path).suffix.lower() == ".gz"
    if ending not in (*DELIMITED, *(() if zipped else (*PARQUET, *ARROW, ".json"))):
        shown = ending + ".gz" * zipped
        raise OutputError(f"{path}: unknown ending '{shown}'; use .parquet, .arrow, .csv, .tsv or .json (CSV and TSV also .gz)")
    with replacing(path) as temporary:
        if ending in PARQUET:
            pyarrow.parquet.write_table(table, temporary, compression="zstd")
        elif ending in ARROW:
            pyarrow.feather.write_feather(table, temporary)
        elif ending == ".json":
            temporary.write_text(json.dumps(table.to_pylist(), default=str, indent=1))
        else:
            options = pyarrow.csv.WriteOptions(delimiter=DELIMITED[ending])
            with pa.CompressedOutputStream(temporary, "gzip") if zipped else pa.OSFile(str(temporary), "wb") as stream:
                pyarrow.csv.write_csv(text_cells(table, raw_cells=raw_cells), stream, options)


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
