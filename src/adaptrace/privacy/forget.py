"""Forgetting: a student's rows are taken out of every file of datasets; the models that used them are named."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet

from adaptrace.dataset import state as states
from adaptrace.dataset.staging import Staging, kind_of
from adaptrace.errors import DataError, OutputError, Problem
from adaptrace.io import atomic, files, identity
from adaptrace.kernels import parallel
from adaptrace.privacy import lineage, rewrite
from adaptrace.privacy.lineage import Searched

MARK = "forgetting."  # in the names of files being written: what a killed run left is removed by the next
PathLike = str | os.PathLike[str]


@dataclass(frozen=True, repr=False)
class Forgotten:
    """Where a student was, and who had used them.

    Attributes
    ----------
    student
        The name.
    searched
        How many files were searched.
    files
        Those that held the student: ``file``, ``rows`` of the student, its identity ``before`` and ``after``; the latter is null
        if nothing was changed, and of a state, which makes new files.
    models
        As :func:`adaptrace.privacy.lineage.uses` gives them.
    """

    student: str
    searched: int
    files: pa.Table
    models: pa.Table

    @property
    def rows(self) -> int:
        """Rows of the student in all files."""
        return pc.sum(self.files["rows"]).as_py() or 0

    def __repr__(self) -> str:
        return f"Forgotten({self.rows:,} rows in {len(self.files):,} of {self.searched:,} files)"


def find_student(
    student: str, datasets: Iterable[PathLike], *, column: str | None = None, models: Iterable[PathLike] = ()
) -> Forgotten:
    """Find a student in datasets, and the models that used them. Nothing is changed.

    Parameters
    ----------
    student
        The name; names are the same if their texts are.
    datasets
        Files, folders or globs of tables with a column of students: logs, mastery tables, rosters.
    column
        What the column is called where no alias fits.
    models
        Models and stats files to judge.

    Raises
    ------
    DataError
        If a file has no column of students or is damaged: all of them; or if the student is nowhere.

    Examples
    --------
    >>> from adaptrace.data.sample import sample_path
    >>> find_student("student-001", [sample_path("responses.parquet")])
    Forgotten(40 rows in 1 of 1 files)
    """
    return _report(student, _search(student, list(datasets), column), models)


def forget_student(
    student: str,
    datasets: Iterable[PathLike],
    *,
    column: str | None = None,
    models: Iterable[PathLike] = (),
    state: PathLike | None = None,
) -> Forgotten:
    """Take a student's rows out of every file of datasets, and name the models that used them.

    Only the files that hold the student are written again, one after the other, each whole or not at all: in their format, row
    groups, compression and metadata, which from then on also lists the identities that the file had before. A run that was
    interrupted is finished by running it again. Models are not changed: make those again that used the student.

    Parameters
    ----------
    student, datasets, column, models
        As in :func:`find_student`.
    state
        The folder of a state (:func:`adaptrace.score_dataset`): the student is taken out of it too, and it notes which of
        the files that it has seen were written again.

    Raises
    ------
    DataError
        As :func:`find_student` does, before anything is changed.
    OutputError
        If a file cannot be written, or was changed by someone else meanwhile.
    """
    places = list(datasets)
    _check_kinds(places)
    for place in (*places, *([] if state is None else [state])):  # a killed run may have left rows of the log there
        Staging(Path(place)).discard()
    searched = _search(student, places, column)
    kept = [] if state is None else _search(student, [state], column)
    after = _forget_all(student, searched)
    if state is not None:
        states.forget(Path(state), student, renamed=renamed(places))
    return _report(student, [*searched, *kept], models, after)


def _check_kinds(places: Sequence[PathLike]) -> None:
    """Refuse a state among the tables: its files refer to each other."""
    held = [place for place in places if Path(place).is_dir() and kind_of(Path(place)) == states.STATE]
    if held:
        problem = Problem("a folder that holds a state", "tables of rows", "give it as the state (--state)")
        raise DataError(_listed(held), [problem])


def forgotten_rows(place: PathLike, student: str, column: str | None = None) -> dict[str, str]:
    """Take a student's rows out of the files behind one path: the identity that each of these had -> the one it has now."""
    searched = _search(student, [place], column)
    after = _forget_all(student, searched)
    return {each.identities[0]: after[each.path] for each in searched if each.held}


def renamed(datasets: Iterable[PathLike]) -> dict[str, str]:
    """Every identity that a file of datasets had before rows were forgotten -> the one it has now."""
    named = [identity.identities(file) for place in datasets for file in files.find_files(place)]
    return {before: now for now, *earlier in named for before in earlier}


# ---- searching --------------------------------------------------------------


def _search(student: str, datasets: Sequence[PathLike], column: str | None) -> list[Searched]:
    """Look into every file once, however often it is named."""
    once: dict[Path, tuple[Path, str]] = {}
    for place in datasets:
        for file in files.find_files(place):
            once.setdefault(file.resolve(), (file, identity.name_in(place, file)))
    names = dict(once.values())
    wanted = [*([column] if column else []), *rewrite.names_for("student")]
    columns, problems = rewrite.find_columns(names, "student", wanted)
    problems += [_summary(folder) for folder in sorted({file.parent for file in names}) if (folder / "_metadata").exists()]
    if problems:
        raise DataError(_listed(datasets), problems)
    return parallel.run(_look, [(student, file, name, columns[file][0]) for file, name in names.items()])


def _summary(folder: Path) -> Problem:
    remedy = "remove it: it may hold names, and would be wrong of files without their rows"
    return Problem("a summary of the files' footers", "files without such a summary", remedy, file=str(folder / "_metadata"))


def _listed(datasets: Iterable[PathLike]) -> str:
    return ", ".join(os.fspath(place) for place in datasets)


def _look(student: str, file: Path, name: str, column: str) -> Searched:
    identities, rows, held = identity.identities(file), 0, False
    groups = _groups(file, column, student) if files.ending_of(file) in files.PARQUET else None
    for piece in rewrite.pieces(file, [column], groups):
        _, named, mine = _mark(piece[column], student, file, column)
        held |= named.true_count > 0
        rows += mine.true_count
    return Searched(file, name, column, rows, held, identities)


def _mark(column: pa.ChunkedArray, student: str, file: Path, name: str) -> tuple[pa.DictionaryArray, pa.Array, pa.Array]:
    """A column as a dictionary; which of its entries, and which of its rows, are the student."""
    coded = rewrite.encoded(column)
    named = pc.equal(rewrite.texts_of(coded.dictionary, file, name), student)
    return coded, named, pc.fill_null(named.take(coded.indices), False)


def _groups(file: Path, column: str, student: str) -> list[int] | None:
    """The row groups of a Parquet file that may hold the student, as their statistics say.

    All of a column of dictionaries: these may hold names that no row has, of which the statistics do not know.
    """
    with files.reading_errors(file), pyarrow.parquet.ParquetFile(file) as opened:
        footer, kind = opened.metadata, opened.schema_arrow.field(column).type
    if pa.types.is_dictionary(kind):
        return None
    place = [footer.schema.column(number).path for number in range(footer.num_columns)].index(column)
    return [n for n in range(footer.num_row_groups) if _may_hold(footer.row_group(n).column(place).statistics, student)]


def _may_hold(statistics: Any, student: str) -> bool:
    if statistics is None or not statistics.has_min_max:
        return True
    try:
        lowest, highest = statistics.min, statistics.max
    except UnicodeDecodeError:  # damaged: the rows will tell
        return True
    if isinstance(lowest, str):
        return bool(lowest <= student <= highest)
    number = student.removeprefix("-")
    return number.isdecimal() and bool(lowest <= int(student) <= highest)


# ---- forgetting -------------------------------------------------------------


def _forget_all(student: str, searched: Sequence[Searched]) -> dict[Path, str]:
    """Write the files that hold a student again, one after the other: their new identities."""
    for folder in {each.path.resolve().parent for each in searched}:
        for left in folder.glob(f".*.{MARK}*"):
            left.unlink(missing_ok=True)
    return {each.path: _forget(student, each) for each in searched if each.held}


def _forget(student: str, searched: Searched) -> str:
    """Write a file again without a student's rows: its new identity."""
    path = searched.path.resolve()  # what a link leads to, not the link
    notes = {identity.EARLIER: json.dumps(searched.identities).encode()}
    with atomic.replacing(path, MARK) as temporary:
        rewrite.rewrite(path, temporary, partial(_without, student, searched), notes)
        if identity.identity(path) != searched.identities[0]:
            raise OutputError(f"{path}: was changed by someone else meanwhile; nothing is lost: run it again")
        path.with_name(f".{path.name}.crc").unlink(missing_ok=True)  # Hadoop's checksum of the old file
    return identity.identity(path)


def _without(student: str, searched: Searched, piece: pa.Table) -> pa.Table:
    """A piece of a file without the student's rows, and without the name in its dictionary."""
    name = searched.column
    coded, named, mine = _mark(piece[name], student, searched.path, name)
    if not named.true_count:
        return piece
    others = pc.invert(mine)
    place, rows = piece.column_names.index(name), piece.filter(others)
    if not pa.types.is_dictionary(piece.schema.field(name).type):
        return rows
    cleaned = _drop(coded.filter(others), named)
    return rows.set_column(place, rows.schema.field(place), cleaned)


def _drop(coded: pa.DictionaryArray, unwanted: pa.Array) -> pa.DictionaryArray:
    """Take entries that no row uses out of a dictionary."""
    wanted = pc.invert(unwanted)
    kept = wanted.to_numpy(zero_copy_only=False).astype(np.int64)
    places = pa.array(np.cumsum(kept) - kept).cast(coded.type.index_type)
    indices = places.take(coded.indices)
    return pa.DictionaryArray.from_arrays(indices, coded.dictionary.filter(wanted), ordered=coded.type.ordered)


# ---- afterwards -------------------------------------------------------------


def _report(
    student: str, searched: Sequence[Searched], models: Iterable[PathLike], after: Mapping[Path, str] | None = None
) -> Forgotten:
    held = [each for each in searched if each.held]
    used = lineage.uses(models, student, searched)
    if not held and lineage.HOLDS not in used["used"].to_pylist():
        raise _nowhere(searched, used)
    columns = {
        "file": pa.array([str(each.path) for each in held], pa.string()),
        "rows": pa.array([each.rows for each in held], pa.int64()),
        "before": pa.array([each.identities[0] for each in held], pa.string()),
        "after": pa.array([(after or {}).get(each.path) for each in held], pa.string()),
    }
    return Forgotten(student, len(searched), pa.table(columns), used)


def _nowhere(searched: Sequence[Searched], used: pa.Table) -> DataError:
    places = sorted({str(each.path).removesuffix(each.name).rstrip("/") or str(each.path) for each in searched})
    remedy = "names are compared as text ('007' is not '7'): check the spelling; nothing was changed"
    stale = used.filter(pc.equal(used["used"], lineage.POSSIBLE))
    if len(stale):
        remedy += f"; made of these files before rows were forgotten there: {', '.join(stale['model'].to_pylist())}"
    got = f"no row of this student in {len(searched):,} {'file' if len(searched) == 1 else 'files'}"
    return DataError(", ".join(places), [Problem(got, "a student of these", remedy)])
