"""Forgetting: a student's rows are taken out of every file of datasets; the models that used them are named."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

from adaptrace.errors import DataError, Problem
from adaptrace.privacy import changes, lineage
from adaptrace.privacy.changes import Changed, Removal
from adaptrace.privacy.claims import Places, claimed
from adaptrace.privacy.search import Searched

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
    return _report(student, changes.find({student}, Places(tuple(datasets)), column), models)


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
    interrupted is finished by running it again. Runs of :func:`adaptrace.score_dataset` are kept out meanwhile, and the rows
    that killed ones left go. Models are not changed: make those again that used the student.

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
    ModelError
        If the state is damaged, or leads out of its folder; before anything is changed.
    OutputError
        If a run is at work on one of the places or beside it on the files there, before anything is changed; if a file cannot
        be written, or was changed by someone else meanwhile.
    """
    with claimed(Places(tuple(datasets), state)) as places:
        found = changes.change(Removal({student}), places, column)
    return _report(student, found, models)


def forgotten_rows(place: PathLike, student: str, column: str | None = None) -> dict[str, str]:
    """Take a student's rows out of the files behind one path: the identity that each of these had -> the one it has now."""
    with claimed(Places((place,))) as places:
        found = changes.change(Removal({student}), places, column)
    return {each.identities[0]: found.after[each.path] for each in found.tables if each.held}


# ---- afterwards -------------------------------------------------------------


def _report(student: str, found: Changed, models: Iterable[PathLike]) -> Forgotten:
    searched = [*found.tables, *found.state]
    held = [each for each in searched if each.held]
    used = lineage.uses(models, student, searched)
    if searched and not held and lineage.HOLDS not in used["used"].to_pylist():
        raise _nowhere(searched, used)
    columns = {
        "file": pa.array([str(each.path) for each in held], pa.string()),
        "rows": pa.array([each.rows for each in held], pa.int64()),
        "before": pa.array([each.identities[0] for each in held], pa.string()),
        "after": pa.array([found.after.get(each.path) for each in held], pa.string()),
    }
    return Forgotten(student, len(searched), pa.table(columns), used)


def _nowhere(searched: Sequence[Searched], used: pa.Table) -> DataError:
    places = sorted({str(each.path).removesuffix(each.name).rstrip("/") or str(each.path) for each in searched})
    remedy = "names are compared as text ('007' is not '7'): check the spelling; no row was changed"
    stale = used.filter(pc.equal(used["used"], lineage.POSSIBLE))
    if len(stale):
        remedy += f"; made of these files before rows were forgotten there: {', '.join(stale['model'].to_pylist())}"
    got = f"no row of this student in {len(searched):,} {'file' if len(searched) == 1 else 'files'}"
    return DataError(", ".join(places), [Problem(got, "a student of these", remedy)])
