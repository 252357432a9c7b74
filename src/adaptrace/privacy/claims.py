"""Claims: while files of students are rewritten no run may write them, and what killed runs left of them goes."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from adaptrace.dataset import state as states
from adaptrace.dataset.staging import MASTERY, Staging, interrupted, interrupted_beside, kind_of
from adaptrace.errors import DataError, Problem
from adaptrace.io import files, identity
from adaptrace.io.atomic import changing, left_over
from adaptrace.io.locks import locked

PathLike = str | os.PathLike[str]


@dataclass(frozen=True)
class Places:
    """Where students are.

    Attributes
    ----------
    tables
        Files, folders or globs of tables: logs, mastery tables, rosters.
    state
        The folder of a state, if there is one.
    """

    tables: tuple[PathLike, ...]
    state: PathLike | None = None

    @property
    def paths(self) -> list[Path]:
        """All of them."""
        given = [Path(place) for place in (*self.tables, *([] if self.state is None else [self.state]))]
        return [place if place.name not in ("", "..") else Path(os.path.abspath(place)) for place in given]

    def without(self, gone: set[Path]) -> Places:
        """Those that are left."""
        state = None if self.state is None or Path(self.state) in gone else self.state
        return Places(tuple(table for table in self.tables if Path(table) not in gone), state)


@contextlib.contextmanager
def claimed(places: Places) -> Iterator[Places]:
    """Keep all runs from the places inside the block, and give those that hold something.

    Outputs of killed runs that were whole appear. All else that killed runs left there, or beside them of the files there, is
    removed: it holds rows of students.

    Raises
    ------
    DataError
        If a state is given as a table.
    ModelError
        If the state is damaged, or leads out of its folder.
    OutputError
        If a run is at work on a place, or beside it on the files there, or something cannot be removed.
    """
    check_kinds(places)
    runs = [interrupted(place) for place in places.paths]
    runs += interrupted_beside({run.out for run in runs}, lambda: _identities(places))
    with contextlib.ExitStack() as locks:
        for folder in sorted({folder for run in runs for folder in _to_lock(run)}):
            locks.enter_context(locked(folder))
        for place in places.paths[:1]:
            locks.enter_context(changing(place))
        if places.state is not None and (Path(places.state) / states.MANIFEST).exists():
            states.read(Path(places.state))  # before anything is changed
        for run in runs:
            run.check_hidden()
        left = {run.out for run in runs if run.left}
        for run in runs:
            run.discard()
        left |= {place for place in places.paths if _sweep(place)}
        yield places.without({place for place in left if not place.exists()})


def check_kinds(places: Places) -> None:
    """Refuse a state among the tables: its files refer to each other."""
    held = [place for place in map(Path, places.tables) if place.is_dir() and kind_of(place) == states.STATE]
    if held:
        problem = Problem("a folder that holds a state", "tables of rows", "give it as the state (--state)")
        raise DataError(", ".join(map(str, held)), [problem])


def _identities(places: Places) -> set[str]:
    """Of all files of tables, now and before rows of someone were taken out."""
    return {each for table in places.tables for file in _files_of(Path(table)) for each in identity.identities(file)}


def _files_of(place: Path) -> list[Path]:
    """The files behind a path, as far as there are any."""
    with contextlib.suppress(DataError):
        return files.find_files(place)
    return []


def _to_lock(run: Staging) -> set[Path]:
    """The folders that must be locked to write what a run wrote, or could write.

    A folder of tables beside which nothing can be written is no run's, and a file by itself is replaced whole.
    """
    outputs = {file.parent for file in _files_of(run.out)} if not run.out.is_dir() else {run.out}
    known = {folder for folder in outputs if kind_of(folder) in (MASTERY, states.STATE)}
    known |= {run.out} if run.left or (run.out.is_dir() and os.access(run.out.resolve().parent, os.W_OK)) else set()
    known |= {run.state} if run.state is not None else set()
    return {folder.resolve() for folder in known}


def _sweep(place: Path) -> bool:
    """Remove files that killed runs were writing at a place; whether one was to be there."""
    folders = [place, *(each for each in place.rglob("*") if each.is_dir())] if place.is_dir() else [place.parent]
    left = [each for folder in folders if folder.is_dir() for each in left_over(folder)]
    for each in left:
        shutil.rmtree(each)
    return any(each.name.startswith(f".{place.name}.") for each in left)
