"""Changes: rows of students are taken out of files and of a state, or get other names, each file whole or not at all."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adaptrace.dataset import state as states
from adaptrace.errors import OutputError
from adaptrace.io import atomic, files, identity
from adaptrace.privacy import rewrite
from adaptrace.privacy.claims import Places
from adaptrace.privacy.search import Searched, mark, search

PathLike = str | os.PathLike[str]


class StudentChange(Protocol):
    """What becomes of the rows of some students."""

    @property
    def students(self) -> Collection[str]:
        """Whose rows change."""

    def in_table(self, searched: Searched, piece: pa.Table) -> pa.Table:
        """A piece of a file, changed."""

    def in_state(self, folder: Path, renamed: Mapping[str, str]) -> int:
        """Change a state, given the identities that files of the log had and have; the rows that changed."""


@dataclass(frozen=True)
class Removal:
    """The rows of students go."""

    students: Collection[str]

    def in_table(self, searched: Searched, piece: pa.Table) -> pa.Table:
        """A piece of a file without the rows, and without the names in its dictionary."""
        name = searched.column
        marked = mark(piece[name], self.students, searched.path, name)
        if not marked.named.true_count:
            return piece
        others = pc.invert(marked.mine)
        place, rows = piece.column_names.index(name), piece.filter(others)
        if not pa.types.is_dictionary(piece.schema.field(name).type):
            return rows
        cleaned = _drop(marked.coded.filter(others), marked.named)
        return rows.set_column(place, rows.schema.field(place), cleaned)

    def in_state(self, folder: Path, renamed: Mapping[str, str]) -> int:
        """Take them out of a state."""
        return states.forget(folder, self.students, renamed=renamed)


def _drop(coded: pa.DictionaryArray, unwanted: pa.Array) -> pa.DictionaryArray:
    """Take entries that no row uses out of a dictionary."""
    wanted = pc.invert(unwanted)
    kept = wanted.to_numpy(zero_copy_only=False).astype(np.int64)
    places = pa.array(np.cumsum(kept) - kept).cast(coded.type.index_type)
    indices = places.take(coded.indices)
    return pa.DictionaryArray.from_arrays(indices, coded.dictionary.filter(wanted), ordered=coded.type.ordered)


@dataclass(frozen=True)
class NewNames:
    """The rows of students get other names."""

    names: Mapping[str, str]  # the name, as text -> the other one

    @property
    def students(self) -> Collection[str]:
        """Whose rows change."""
        return self.names.keys()

    def in_table(self, searched: Searched, piece: pa.Table) -> pa.Table:
        """A piece of a file with the other names."""
        name = searched.column
        marked = mark(piece[name], self.students, searched.path, name)
        if not marked.named.true_count:
            return piece
        place = piece.column_names.index(name)
        field = piece.schema.field(place)
        names = pa.array([self.names.get(each, each) for each in marked.texts.to_pylist()], pa.string())
        column = names.take(marked.coded.indices)
        array = column.dictionary_encode() if pa.types.is_dictionary(field.type) else column
        return piece.set_column(place, field, array.cast(field.type))

    def in_state(self, folder: Path, renamed: Mapping[str, str]) -> int:
        """Give them the other names in a state."""
        return states.rename(folder, self.names, renamed=renamed)


# ---- applied ----------------------------------------------------------------


@dataclass(frozen=True)
class Changed:
    """Where students were, and the new identity of each file that was written again."""

    tables: Sequence[Searched]
    state: Sequence[Searched]
    after: Mapping[Path, str]


def find(students: Collection[str], places: Places, column: str | None) -> Changed:
    """Where students are; nothing is changed."""
    kept = [] if places.state is None else search(students, [places.state], column)
    return Changed(search(students, places.tables, column), kept, {})


def change(how: StudentChange, places: Places, column: str | None) -> Changed:
    """Change the rows of students in claimed places: tables first, in their order, then the state."""
    found = find(how.students, places, column)
    after = written_again(found.tables, how.in_table)
    if places.state is not None:
        how.in_state(Path(places.state), renamed(places.tables))
    return Changed(found.tables, found.state, after)


def written_again(searched: Iterable[Searched], in_table: Callable[[Searched, pa.Table], pa.Table]) -> dict[Path, str]:
    """Write the files that hold the students again, one after the other: their new identities."""
    return {each.path: _written_again(each, in_table) for each in searched if each.held}


def _written_again(searched: Searched, in_table: Callable[[Searched, pa.Table], pa.Table]) -> str:
    path = searched.path.resolve()  # what a link leads to, not the link
    notes = {identity.EARLIER: json.dumps(searched.identities).encode()}
    with atomic.replacing(path) as temporary:
        rewrite.rewrite(path, temporary, partial(in_table, searched), notes)
        if identity.identity(path) != searched.identities[0]:
            raise OutputError(f"{path}: was changed by someone else meanwhile; nothing is lost: run it again")
        path.with_name(f".{path.name}.crc").unlink(missing_ok=True)  # Hadoop's checksum of the old file
    return identity.identity(path)


def renamed(tables: Iterable[PathLike]) -> dict[str, str]:
    """Every identity that a file of tables had before it was written again -> the one it has now."""
    named = [identity.identities(file) for place in tables for file in files.find_files(place)]
    return {before: now for now, *earlier in named for before in earlier}
