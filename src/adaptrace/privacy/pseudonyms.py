"""Pseudonyms: names replaced by what only the holder of a key can make of them, the same in every file and every run.

A pseudonym is HMAC-SHA-256 (FIPS 198-1; RFC 2104) of the name of the column and the text of the name, cut to 128 bits
(RFC 2104, sec. 5: not below half of the hash). Nobody without the key can make it, nor try names until one fits, which a
plain hash allows. 128 bits are enough: among 10^9 students the chance that any two share a pseudonym is below 10^-20, so a
collision is not looked for. As the column is part of it, a teacher and a student of one number have different pseudonyms.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa

from adaptrace.errors import DataError, OutputError, Problem
from adaptrace.io import atomic, files, modes
from adaptrace.privacy import identifying, rewrite
from adaptrace.privacy.keys import Key, pseudonym_of, read_key

NOTE = b"adaptrace_pseudonyms"  # in the metadata of a Parquet or Arrow file: column -> fingerprint of the key
PathLike = str | os.PathLike[str]
Renamed = Callable[[Sequence[bytes], Path, str], Sequence[str]]  # names, their file and column -> pseudonyms


@dataclass(frozen=True)
class Pseudonymized:
    """What was written: files, their rows, and how many students they hold."""

    files: int
    rows: int
    students: int


def pseudonymize(
    source: PathLike,
    out: PathLike,
    *,
    key_file: PathLike,
    columns: Sequence[str] = ("student",),
    mapping: Mapping[str, str] | None = None,
    keep: Sequence[str] = (),
    drop: Sequence[str] = (),
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
        What :func:`adaptrace.privacy.keys.new_key` wrote. Who has it can tell the pseudonym of any name: keep it apart from
        what is written.
    columns
        What to replace: ``student``, and whatever else names people, e.g. ``teacher``.
    mapping
        Of these, column -> its name in the files, where it differs and no alias fits. A roster's ``pupil`` that is mapped to
        ``student`` gets the pseudonyms of the log's ``student``.
    keep, drop
        Further columns, by their names in the files, that look as if they told who someone is
        (:mod:`adaptrace.privacy.identifying`) and are to stay, or to be left out.

    Raises
    ------
    DataError
        Listing every file that lacks a column, has pseudonyms already, or is in a folder named by a name, and every column that
        looks as if it told who someone is and is neither kept nor dropped; or if the key file is missing, no key, or open to
        others. No value of a cell is shown.
    OutputError
        If ``out`` is there already, is inside ``source``, or cannot be written.

    Examples
    --------
    >>> import os, tempfile
    >>> from adaptrace.data.sample import sample_path
    >>> here = tempfile.mkdtemp()
    >>> from adaptrace.privacy.keys import new_key
    >>> new_key(f"{here}/key")
    >>> pseudonymize(sample_path("responses.parquet"), f"{here}/log.parquet", key_file=f"{here}/key")
    Pseudonymized(files=1, rows=23550, students=300)
    """
    key, place, target = read_key(key_file), Path(source), Path(out)
    check_target(place, target)
    wanted = wanted_of(place, columns, mapping or {})
    problems = [_again(file, column) for file, names in wanted.items() for column in noted(file) if column in names]
    dropped, undecided = _decide(wanted, keep, drop)
    if problems or undecided:
        raise DataError(str(place), [*problems, *undecided])
    makers = {column: _made_by(key, column) for column in columns}
    return write_all(place, target, [Renaming(file, names, makers, key, dropped[file]) for file, names in wanted.items()])


def _made_by(key: Key, column: str) -> Renamed:
    make = pseudonym_of(key, column)
    return lambda names, file, place: list(map(make, names))


def write_all(place: Path, target: Path, changes: Sequence[Renaming]) -> Pseudonymized:
    """Write the files of a place changed, whole or not at all."""
    if place.is_dir():
        rows = _folder(place, target, changes)
    else:
        (change,) = changes
        with atomic.replacing(target) as temporary:
            rows = rewrite.rewrite(change.file, temporary, change, change.notes)
    return Pseudonymized(len(changes), rows, len(np.unique(np.concatenate([np.empty(0, np.uint64), *(c.seen for c in changes)]))))


# ---- columns that may tell who someone is -----------------------------------


def _decide(
    wanted: Mapping[Path, Mapping[str, str]], keep: Sequence[str], drop: Sequence[str]
) -> tuple[dict[Path, tuple[str, ...]], list[Problem]]:
    """The columns of each file that are left out, and the problems: columns that nobody decided on, and decisions on none."""
    kept, dropped = ({name.strip().lower() for name in names} for names in (keep, drop))
    out, problems, there = dict[Path, tuple[str, ...]](), list[Problem](), set[str]()
    for file, names in wanted.items():
        own, columns = set(names.values()), rewrite.schema_of(file).names
        plain = {name: name.strip().lower() for name in columns if name not in own}
        there |= set(plain.values())
        out[file] = tuple(name for name, lower in plain.items() if lower in dropped)
        looks = identifying.looks(file, names)
        there |= {name.lower() for name in looks}
        problems += [
            _undecided(file, name, look, name in plain)
            for name, look in looks.items()
            if name.strip().lower() not in (kept | dropped if name in plain else kept)
        ]
    problems += [_decided(name, "kept and dropped", "decide for one") for name in sorted(kept & dropped)]
    problems += [_decided(name, "not there, or gets pseudonyms", "correct the name") for name in sorted((kept | dropped) - there)]
    return out, problems


def _undecided(file: Path, name: str, look: str, is_column: bool) -> Problem:
    if not is_column:
        got, remedy = f"a folder that looks like {look}", "write the log again, partitioned by something else"
    else:
        got = f"a column that looks like {look}"
        remedy = f"leave it out: drop=['{name}'] (--drop {name}); or replace it: columns= (--column)"
    remedy += f"; or let it stay: keep=['{name}'] (--keep {name})"
    return Problem(got, "columns that do not tell who someone is", remedy, name, file=str(file))


def _decided(name: str, got: str, remedy: str) -> Problem:
    return Problem(f"a column that is {got}", "a further column of the files under keep or drop", remedy, name)


def noted(file: Path) -> dict[str, str]:
    """The columns of a file that hold pseudonyms -> the fingerprint of their key, as a Parquet or Arrow file says."""
    note = (rewrite.schema_of(file).metadata or {}).get(NOTE)
    return dict(json.loads(note)) if note else {}


def _again(file: Path, column: str) -> Problem:
    remedy = "to change the key, run rotate_key (adaptrace rotate-key)"
    return Problem("pseudonyms already", "names", remedy, column, file=str(file))


# ---- files ------------------------------------------------------------------


def check_target(place: Path, target: Path) -> None:
    """Refuse a place to write to that is there, inside the source, or of another format."""
    if target.exists():
        raise OutputError(f"{target}: is there already; choose a new name, or remove it first")
    if place.is_dir() and target.resolve().is_relative_to(place.resolve()):
        raise OutputError(f"{target}: is inside {place}, where it would be read with the real names; choose a place beside it")
    if place.is_file() and (place.suffix.lower(), files.ending_of(place)) != (target.suffix.lower(), files.ending_of(target)):
        raise OutputError(f"{target}: got the ending '{target.suffix}'; expected '{place.suffix}' as of {place}")


def wanted_of(place: Path, columns: Sequence[str], mapping: Mapping[str, str]) -> dict[Path, dict[str, str]]:
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
    remedy = f"say which it is, e.g. --column {column}=NAME, and drop the others"
    return Problem(f"the columns {', '.join(names)}", f"one that names the {column}", remedy, column, file=str(file))


def _folder(place: Path, target: Path, changes: Sequence[Renaming]) -> int:
    """Write every file into a hidden folder beside the target, which then becomes the target."""
    hidden, rows = target.with_name(f".{target.name}.partial"), 0
    try:
        shutil.rmtree(hidden, ignore_errors=True)  # of a run that was killed
        for change in changes:
            written = hidden / change.file.relative_to(place)
            modes.make_folder(written.parent)
            modes.create(written)
            rows += rewrite.rewrite(change.file, written, change, change.notes)
            modes.settle(written)
        hidden.rename(target)
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}; nothing is left of it") from error
    finally:
        shutil.rmtree(hidden, ignore_errors=True)
    return rows


@dataclass
class Renaming:
    """Replaces the names in pieces of a file, and leaves columns out; each name of a piece is looked at once."""

    file: Path
    names: Mapping[str, str]  # column -> its name in the file
    makers: Mapping[str, Renamed]
    key: Key
    dropped: Sequence[str] = ()
    seen: np.ndarray = field(default_factory=lambda: np.empty(0, np.uint64))  # of each student a part of the pseudonym

    @property
    def notes(self) -> dict[bytes, bytes]:
        """What the new file says of itself."""
        return {NOTE: json.dumps({**noted(self.file), **dict.fromkeys(self.names, self.key.fingerprint)}).encode()}

    def _count(self, pseudonyms: Iterable[str]) -> None:
        self.seen = np.union1d(self.seen, np.array([int(each[:16], 16) for each in pseudonyms], np.uint64))

    def __call__(self, piece: pa.Table) -> pa.Table:
        """A piece with pseudonyms."""
        text = files.ending_of(self.file) in files.DELIMITED
        for column, name in self.names.items():
            place = piece.column_names.index(name)
            kind, coded = piece.schema.field(place), rewrite.encoded(piece[name], text)
            texts = rewrite.texts_of(coded.dictionary, self.file, name).cast(pa.binary()).to_pylist()
            made = self.makers[column](texts, self.file, name)
            if column == "student":
                self._count(made)
            array = pa.DictionaryArray.from_arrays(coded.indices, pa.array(made, pa.string()))
            array = array if pa.types.is_dictionary(kind.type) else array.dictionary_decode()
            piece = piece.set_column(place, kind.with_type(array.type), array)
        return piece.drop_columns(list(self.dropped))
