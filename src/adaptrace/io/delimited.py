"""Delimited text (CSV, TSV): how a file is written, found in its first bytes, and its cells as columns.

An empty cell is missing. In a column of names every other text is a name, also ``NA``; in all other columns the usual
spellings of "not available" (:data:`NULLS`) are missing too.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from adaptrace.errors import DataError, Problem
from adaptrace.io.cells import restored
from adaptrace.io.content import HEAD, mismatch, not_utf_8, seems
from adaptrace.io.inflate import opened

NULLS = pa.array([*pyarrow.csv.ConvertOptions().null_values, "None", "<NA>"])
EMPTY = pa.array([""])
SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
BOMS = {
    b"\xff\xfe\0\0": "utf-32",
    b"\0\0\xfe\xff": "utf-32",
    b"\xff\xfe": "utf-16",
    b"\xfe\xff": "utf-16",
    b"\xef\xbb\xbf": "utf-8",
}
NO_HEADER = Problem("no header", "the names of the columns in the first row", "export the file again")
LONGEST_HEADER = 1 << 24  # bytes
BLANK = " \t\r\n\x1a"  # of a line that holds nothing; the last is an old end of file
UNQUOTED = "quote cells that hold the delimiter; if it is the last row, the file is cut short: export it again"
ENDED = "take the separator off the end of the rows, or put one at the end of the header too"
BLOCK, LONGEST = 1 << 20, 1 << 30  # bytes that are parsed at once: at first, and at most, for a long row
SEP = re.compile(r'"?sep=(.)"?(?:\r\n|\n|\r)', re.IGNORECASE)  # the first line that tells Excel the separator
SAMPLE = 2  # rows that tell the separator
DECIMALS = r"^\s*[-+]?\d*,?\d+([eE][-+]?\d+)?\s*$"  # numbers with a decimal comma


@dataclass(frozen=True)
class Dialect:
    """How a file of delimited text is written.

    Attributes
    ----------
    delimiter, encoding
        What is between cells, and how text is in bytes.
    skip
        Lines before the header.
    names
        The cells of the header.
    notes
        In what it is no plain file of its ending.
    """

    delimiter: str
    encoding: str
    skip: int
    names: tuple[str, ...]
    notes: tuple[str, ...] = ()


# ---- how it is written ------------------------------------------------------


def dialect_of(path: Path, usual: str, ending: str) -> Dialect:
    """How a file is written, by its first bytes; ``usual`` is the delimiter of its ending.

    Raises
    ------
    DataError
        If it is no text, or has no header.
    """
    size = HEAD
    while True:
        with opened(path) as file:
            head = file.read(size)
        if (found := seems(head)) is not None:
            raise DataError(str(path), [mismatch(found, ending)])
        encoding = _encoding(head)
        text = head.decode(encoding, "surrogateescape" if encoding == "utf-8" else "ignore").removeprefix("\ufeff")
        dialect = _dialect(text, usual, encoding, cut=len(head) == size)
        if dialect is not None:
            return _checked(dialect, path)
        if size >= LONGEST_HEADER:
            raise DataError(str(path), [replace(NO_HEADER, got=f"no end of the header in {size >> 20} MiB")])
        size *= 16  # a header that is longer


def _encoding(head: bytes) -> str:
    """The encoding that a byte order mark tells, or the zeros of UTF-16 without one."""
    marked = next((encoding for mark, encoding in BOMS.items() if head.startswith(mark)), None)
    even, odd = any(head[:200:2]), any(head[1:200:2])
    return marked or ("utf-16-le" if even and not odd else "utf-16-be" if odd and not even else "utf-8")


def _dialect(text: str, usual: str, encoding: str, *, cut: bool) -> Dialect | None:
    """How the first text of a file is written; None if its header is cut."""
    named = SEP.match(text)
    text = text[named.end() :] if named else text
    separator = named[1] if named else _separator(text, usual, cut)
    rows = _rows(text, separator, cut)
    if not rows and cut:
        return None
    notes = [f"text in {encoding.upper()}"] * (encoding != "utf-8")
    notes += [f"cells separated by {SEPARATORS.get(separator, repr(separator))}"] * (separator != usual)
    return Dialect(separator, encoding, 1 if named else 0, tuple(rows[0]) if rows else (), tuple(notes))


def _rows(text: str, separator: str, cut: bool) -> list[list[str]]:
    """The first rows of text, blank ones aside; the last may be cut, and is then left out."""
    try:
        rows = list(islice(filter(None, csv.reader(io.StringIO(text, newline=""), delimiter=separator)), SAMPLE + 1))
    except csv.Error:  # a cell that is longer than csv takes: the header, without looking for quotes
        lines = text.splitlines()
        return [] if cut and len(lines) < 2 else [[cell.strip('"') for cell in lines[0].split(separator)]]
    return rows[:-1] if cut and len(rows) <= SAMPLE else rows[:SAMPLE]


def _separator(text: str, usual: str, cut: bool) -> str:
    """What separates the cells: another than the usual one only if it gives more, as many in the first row as in the header."""
    cells = {each: [len(row) for row in _rows(text, each, cut)] for each in (usual, *SEPARATORS)}
    usually = max(cells[usual][:1], default=1)
    fits = [each for each, sizes in cells.items() if sizes and sizes[0] > usually and (usually == 1 or len(set(sizes)) == 1)]
    return max(fits, key=lambda each: cells[each][0], default=usual)


def _checked(dialect: Dialect, path: Path) -> Dialect:
    """A dialect whose header is text."""
    names = "".join(dialect.names)
    if not names.isprintable() and any("\ud800" <= letter <= "\udfff" for letter in names):
        raise DataError(str(path), [not_utf_8(path)])
    if "\0" in names:
        raise DataError(
            str(path), [Problem("zero bytes in the header", "text", "the file is no text, or damaged: export it again")]
        )
    if not names.strip():
        raise DataError(str(path), [NO_HEADER])
    return dialect


# ---- its cells --------------------------------------------------------------


def read(path: Path, dialect: Dialect, names: frozenset[str]) -> tuple[pa.Table, tuple[str, ...]]:
    """The table of a file, and notes on how it was read; ``names``: lower-case names of columns of names, kept as written.

    Raises
    ------
    DataError
        Listing its broken rows.
    """
    kept, block = {name for name in dialect.names if name.strip().lower() in names}, BLOCK
    while True:
        try:
            table = _parsed(path, dialect, kept, block)
            break
        except pa.ArrowInvalid as error:
            block = _longer(block, error)
    columns = [
        with_nulls(column, EMPTY if name in kept else NULLS)
        for name, column in zip(table.column_names, table.columns, strict=True)
    ]
    notes = dialect.notes
    if dialect.delimiter != ",":
        numbers = [column if name in kept else _numbers(column) for name, column in zip(table.column_names, columns, strict=True)]
        changed = any(new is not old for new, old in zip(numbers, columns, strict=True))
        columns, notes = numbers, (*notes, *("numbers with a decimal comma",) * changed)
    return restored(pa.Table.from_arrays(columns, table.column_names)), notes


def batches(path: Path, dialect: Dialect, block: int) -> Iterator[pa.RecordBatch]:
    """The cells of a file, each as it is written, so many bytes at once; more where a row is longer."""
    convert = pyarrow.csv.ConvertOptions(column_types=dict.fromkeys(dialect.names, pa.string()), strings_can_be_null=False)
    done = 0
    while True:
        seen = 0
        try:
            with _as_utf_8(path, dialect) as stream:
                for batch in pyarrow.csv.open_csv(stream, convert_options=convert, **_options(dialect, block, threads=True)):
                    seen += len(batch)
                    if seen > done:
                        yield batch.slice(max(0, len(batch) - (seen - done)))
                        done = seen
            return
        except pa.ArrowInvalid as error:
            block = _longer(block, error)


def _longer(block: int, error: pa.ArrowInvalid) -> int:
    """The next size of a block, if a row was longer than this one."""
    if "straddl" not in str(error) or block >= LONGEST:
        raise error
    return 8 * block


def _options(dialect: Dialect, block: int, *, threads: bool) -> dict[str, Any]:
    """What Arrow needs to know of a file."""
    return {
        "read_options": pyarrow.csv.ReadOptions(use_threads=threads, block_size=block, skip_rows=dialect.skip),
        "parse_options": pyarrow.csv.ParseOptions(delimiter=dialect.delimiter, newlines_in_values=True),
    }


def _as_utf_8(path: Path, dialect: Dialect) -> pa.NativeFile:
    """The text of a file as UTF-8, inflated."""
    stream = opened(path)
    return stream if dialect.encoding == "utf-8" else pa.transcoding_input_stream(stream, dialect.encoding, "utf-8")


def _parsed(path: Path, dialect: Dialect, kept: set[str], block: int) -> pa.Table:
    broken = _Broken(dialect)
    # one thread: only then does the parser know the numbers of broken rows
    options = _options(dialect, block, threads=False)
    options["convert_options"] = pyarrow.csv.ConvertOptions(
        column_types=dict.fromkeys(kept, pa.string()), null_values=NULLS.to_pylist(), timestamp_parsers=[pyarrow.csv.ISO8601]
    )
    try:
        table = _table(path, dialect, options)
    except pa.ArrowInvalid as error:
        if "columns, got" not in str(error):
            raise
        _check_utf_8(path, dialect)  # else Arrow prints an error of its own for every row that it cannot show
        options["parse_options"].invalid_row_handler = broken
        table = _table(path, dialect, options)
    if broken.first:
        raise DataError(str(path), broken.problems())
    return table


def _table(path: Path, dialect: Dialect, options: Mapping[str, Any]) -> pa.Table:
    try:
        with _as_utf_8(path, dialect) as stream:
            return pyarrow.csv.read_csv(stream, **options)
    except pa.ArrowInvalid as error:
        if "Empty CSV" not in str(error):
            raise
        return pa.table([pa.nulls(0)] * len(dialect.names), list(dialect.names))  # a header without an end of line


def _check_utf_8(path: Path, dialect: Dialect) -> None:
    """Raise a UnicodeDecodeError where a file is not in UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with _as_utf_8(path, dialect) as stream:
        while block := stream.read(BLOCK):
            decoder.decode(block)
    decoder.decode(b"", final=True)


class _Broken:
    """Notes rows that have too few or too many cells: the first of each number of cells, and how many more there are."""

    def __init__(self, dialect: Dialect) -> None:
        self.first: dict[int, pyarrow.csv.InvalidRow] = {}
        self._count: Counter[int] = Counter()
        self._before, self._delimiter = 1 + dialect.skip, dialect.delimiter

    def __call__(self, row: pyarrow.csv.InvalidRow) -> str:
        if not row.text.strip(BLANK):
            return "skip"
        self.first.setdefault(row.actual_columns, row)
        self._count[row.actual_columns] += 1
        return "skip"

    def problems(self) -> list[Problem]:
        """One for each number of cells."""
        return [
            Problem(
                f"{cells} cells",
                f"{row.expected_columns} as in the header",
                ENDED if row.text.rstrip().endswith(self._delimiter) and cells == row.expected_columns + 1 else UNQUOTED,
                row=None if row.number is None else row.number - self._before,
                more=self._count[cells] - 1,
            )
            for cells, row in self.first.items()
        ]


def with_nulls(column: pa.ChunkedArray, nulls: pa.Array) -> pa.ChunkedArray:
    """A column with nulls for the texts that stand for nothing."""
    if not pa.types.is_string(column.type):
        return column
    nothing = pc.equal(column, "") if len(nulls) == 1 else pc.is_in(column, nulls)
    return pc.if_else(nothing, pa.scalar(None, column.type), column) if pc.any(nothing).as_py() else column


def _numbers(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Text as numbers, if all of it is numbers with a decimal comma."""
    if not pa.types.is_string(column.type) or not pc.all(pc.match_substring_regex(column, DECIMALS)).as_py():
        return column
    return pc.replace_substring(pc.utf8_trim_whitespace(column), ",", ".").cast(pa.float64())
