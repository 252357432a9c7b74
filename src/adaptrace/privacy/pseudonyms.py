"""Pseudonyms: names replaced by what only the holder of a key can make of them, the same in every file and every run.

A pseudonym is HMAC-SHA-256 (FIPS 198-1; RFC 2104) of the name of the column and the text of the name, cut to 128 bits
(RFC 2104, sec. 5: not below half of the hash). Nobody without the key can make it, nor try names until one fits, which a
plain hash allows. 128 bits are enough: among 10^9 students the chance that any two share a pseudonym is below 10^-20, so a
collision is not looked for. As the column is part of it, a teacher and a student of one number have different pseudonyms.
"""

from __future__ import annotations

import hmac
import os
import secrets
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa

from adaptrace.errors import DataError, OutputError, Problem
from adaptrace.io import atomic, files, modes
from adaptrace.privacy import rewrite

BYTES = 32  # of a key: as many as SHA-256 gives
DIGITS = 32  # of a pseudonym, hexadecimal: 128 bits
REMEMBERED = 1 << 17  # names of a column: a bound of the memory, no more
Pseudonym = Callable[[bytes], str]
PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Pseudonymized:
    """What was written."""

    files: int
    rows: int


def pseudonymize(
    source: PathLike,
    out: PathLike,
    *,
    key_file: PathLike,
    columns: Sequence[str] = ("student",),
    mapping: Mapping[str, str] | None = None,
) -> Pseudonymized:
    """Write a table file, or a folder of them, with pseudonyms for names: file by file, in the same formats.

    One row group (of CSV 16 MiB) is in memory at a time. Nulls stay null; all other columns stay as they are. What is no table
    file is not copied: it might hold names. A name has one pseudonym, whatever the file, the format and the run: 7 in a
    Parquet file is ``7`` in a CSV.

    Parameters
    ----------
    source
        A log, a roster, or a folder of files that all have the columns. Not changed.
    out
        Where to write; appears whole or not at all.
    key_file
        What :func:`new_key` wrote. Who has it can tell the pseudonym of any name: keep it apart from what is written.
    columns
        What to replace: ``student``, and whatever else names people, e.g. ``teacher``.
    mapping
        Of these, column -> its name in the files, where it differs and no alias fits. A roster's ``pupil`` that is mapped to
        ``student`` gets the pseudonyms of the log's ``student``.

    Raises
    ------
    DataError
        Listing every file that lacks a column, or could name people in another one, or is in a folder named by a name; or if the
        key file is missing, no key, or open to others.
    OutputError
        If ``out`` is there already, is inside ``source``, or cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> from adaptrace.data.sample import sample_path
    >>> here = tempfile.mkdtemp()
    >>> new_key(f"{here}/key")
    >>> pseudonymize(sample_path("responses.parquet"), f"{here}/log.parquet", key_file=f"{here}/key")
    Pseudonymized(files=1, rows=23550)
    """
    key, place, target = read_key(key_file), Path(source), Path(out)
    _check_target(place, target)
    wanted = _wanted(place, columns, mapping or {})
    makers = {column: pseudonym_of(key, column) for column in columns}
    changes = [_Change(file, names, makers) for file, names in wanted.items()]
    if place.is_dir():
        return _folder(place, target, changes)
    (change,) = changes
    with atomic.replacing(target) as temporary:
        return Pseudonymized(1, rewrite.rewrite(change.file, temporary, change))


def _check_target(place: Path, target: Path) -> None:
    """Refuse a place to write to that is there, inside the source, or of another format."""
    if target.exists():
        raise OutputError(f"{target}: is there already; choose a new name, or remove it first")
    if place.is_dir() and target.resolve().is_relative_to(place.resolve()):
        raise OutputError(f"{target}: is inside {place}, where it would be read with the real names; choose a place beside it")
    if place.is_file() and (place.suffix.lower(), files.ending_of(place)) != (target.suffix.lower(), files.ending_of(target)):
        raise OutputError(f"{target}: got the ending '{target.suffix}'; expected '{place.suffix}' as of {place}")


def _wanted(place: Path, columns: Sequence[str], mapping: Mapping[str, str]) -> dict[Path, dict[str, str]]:
    """Of every file: column -> its name there."""
    if not place.is_dir() and not place.is_file():
        raise DataError(str(place), [Problem("no such file or folder", f"a table file ({files.FORMATS})", "check the path")])
    found, problems = files.find_files(place), []
    wanted: dict[Path, dict[str, str]] = {file: {} for file in found}
    for column in columns:
        names, wrong = rewrite.find_columns(found, column, [mapping[column]] if column in mapping else rewrite.names_for(column))
        problems += wrong + [_doubt(file, column, each) for file, each in names.items() if len(each) > 1]
        for file, each in names.items():
            if each:
                wanted[file][column] = each[0]
    if problems:
        raise DataError(str(place), problems)
    return wanted


def _doubt(file: Path, column: str, names: Sequence[str]) -> Problem:
    remedy = f"say which it is, e.g. --column {column}=NAME, and drop the others: they stay as they are"
    return Problem(f"the columns {', '.join(names)}", f"one that names the {column}", remedy, column, file=str(file))


def _folder(place: Path, target: Path, changes: Sequence[_Change]) -> Pseudonymized:
    """Write every file into a hidden folder beside the target, which then becomes the target."""
    hidden, rows = target.with_name(f".{target.name}.partial"), 0
    try:
        shutil.rmtree(hidden, ignore_errors=True)  # of a run that was killed
        for change in changes:
            written = hidden / change.file.relative_to(place)
            modes.make_folder(written.parent)
            modes.create(written)
            rows += rewrite.rewrite(change.file, written, change)
            modes.settle(written)
        hidden.rename(target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}; nothing is left of it") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return Pseudonymized(len(changes), rows)


@dataclass(frozen=True)
class _Change:
    """Replaces the names in pieces of a file; each name of a piece is looked at once."""

    file: Path
    names: Mapping[str, str]  # column -> its name in the file
    makers: Mapping[str, Pseudonym]

    def __call__(self, piece: pa.Table) -> pa.Table:
        text = files.ending_of(self.file) in files.DELIMITED
        for column, name in self.names.items():
            place = piece.column_names.index(name)
            field, coded = piece.schema.field(place), rewrite.encoded(piece[name], text)
            texts = rewrite.texts_of(coded.dictionary, self.file, name).cast(pa.binary()).to_pylist()
            names = pa.array(map(self.makers[column], texts), pa.string())
            array = pa.DictionaryArray.from_arrays(coded.indices, names)
            array = array if pa.types.is_dictionary(field.type) else array.dictionary_decode()
            piece = piece.set_column(place, field.with_type(array.type), array)
        return piece


# ---- the key ----------------------------------------------------------------


def pseudonym_of(key: bytes, column: str) -> Pseudonym:
    """What makes pseudonyms of the names (UTF-8) of a column.

    Examples
    --------
    >>> student = pseudonym_of(bytes(32), "student")
    >>> student(b"Ada")
    '62a7f8999d0258c7958626ab4567af77'
    >>> student(b"Ada") == pseudonym_of(bytes(32), "teacher")(b"Ada")
    False
    """
    start = column.encode() + b"\0"

    @lru_cache(REMEMBERED)
    def make(name: bytes) -> str:
        return hmac.digest(key, start + name, "sha256").hex()[:DIGITS]

    return make


def new_key(path: PathLike) -> None:
    """Write a new random key that only its owner may read.

    Raises
    ------
    OutputError
        If there is a file of this name already, or it cannot be written.
    """
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise OutputError(
            f"{path}: is there already; a new key makes other pseudonyms: use this one, or name another file"
        ) from error
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}; choose a folder that exists and is writable") from error
    with os.fdopen(handle, "w") as file:
        file.write(secrets.token_hex(BYTES) + "\n")


def read_key(path: PathLike) -> bytes:
    """The key that :func:`new_key` wrote.

    Raises
    ------
    DataError
        If there is none, it is no key, or others than its owner may read it.
    """
    try:
        text, rights = Path(path).read_bytes().strip(), Path(path).stat().st_mode & 0o777
    except OSError as error:
        raise _no_key(path, error.strerror or str(error), "make one with --new-key, or check the path") from error
    if os.name == "posix" and rights & 0o077:
        raise _no_key(path, f"a key that others may read (mode {rights:03o})", f"run: chmod 600 {path}")
    try:
        key = bytes.fromhex(text.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) < BYTES:
        raise _no_key(path, f"{len(text)} bytes that are no key", "make one with --new-key; a key cannot be thought up")
    return key


def _no_key(path: PathLike, got: str, remedy: str) -> DataError:
    return DataError(os.fspath(path), [Problem(got, f"{2 * BYTES} or more hexadecimal digits, for its owner alone", remedy)])
