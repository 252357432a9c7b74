"""State: what every student knew after the last run, so that the next run needs the new rows alone.

A state is a folder: Parquet parts that hold the states of students (:func:`adaptrace.models.bkt.state_table.states`), and a
manifest that says which parts count, which model made them and which files of the log they have seen. A part is a base and, after
some runs, *later* files with the rows that changed since: their column ``row`` says which row of the part they replace. What
the manifest does not name does not count, so that a state changes in the one moment when its manifest does.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.encoding import encode
from adaptrace.dataset.dataset import Dataset, File, sort_of
from adaptrace.errors import DataError, ModelError, Problem
from adaptrace.io import arrow_check, envelope
from adaptrace.io.atomic import replacing
from adaptrace.io.files import reading_errors
from adaptrace.models import content as fields
from adaptrace.models.bkt.state_table import GRADIENT, MOST_ODDS

MANIFEST = "_manifest.json"
DAMAGED = "the state is damaged: start a new one in another folder"
STATE = "state"  # what the manifest calls it
GROUP_ROWS = 1 << 17  # of a row group: what is looked through at once stays in the cache
_NAME = re.compile(r"\d+-[\w-]+\.parquet", re.ASCII)  # of a file of a part: nothing that could lead out of the folder
ROW = "row"  # of a later file: which row of the part it replaces, or adds


_FARTHEST = float(np.finfo(np.float32).max)
NUMBERS: dict[str, tuple[pa.DataType, float, float]] = {  # columns of a part, and the least and the largest that stands there
    "odds": (pa.float64(), 0.0, MOST_ODDS),
    **dict.fromkeys(GRADIENT, (pa.float32(), -_FARTHEST, _FARTHEST)),
    "opportunities": (pa.int32(), 0, 2**31 - 1),
}
LONGEST_NAME = 200  # of a file
LASTS = {"last_time": "times", "last_order": "whole numbers"}  # of which a part has one, or both

IntArray = NDArray[np.int64]


# ---- the manifest -----------------------------------------------------------


@dataclass(frozen=True)
class StatePart:
    """Students, and the files that say what they know."""

    base: str  # name of the first file
    later: tuple[str, ...]  # names of the files with what changed, in their order
    rows: int  # students and skills in all of them

    @property
    def name(self) -> str:
        """What it is called in every run: its base without the number of the run."""
        return self.base.split("-", 1)[1]

    @property
    def files(self) -> tuple[str, ...]:
        """All of its files."""
        return (self.base, *self.later)


@dataclass(frozen=True)
class SeenFile:
    """A file of the log that a state has seen."""

    name: str
    identity: str
    rows: int


@dataclass(frozen=True)
class Manifest:
    """What a state says of itself."""

    model: str  # its fingerprint
    increment: int  # how many times the state was brought up to date
    seen: tuple[SeenFile, ...]  # files of the log whose rows are in it
    parts: tuple[StatePart, ...]  # its students; each student is in one
    texts: tuple[str, ...]  # which of ``student`` and ``skill`` are text; the others are numbers
    merge: bool = False  # whether rows that agree in all but the skill became one event; files of 0.1 do not say: they did not

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "model": self.model,
            "night": self.increment,
            "seen": [[each.name, each.identity, each.rows] for each in self.seen],
            "parts": [[each.base, list(each.later), each.rows] for each in self.parts],
            "texts": list(self.texts),
            "merge": self.merge,
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Manifest:
        """What :meth:`to_dict` described."""
        seen = tuple(_seen_file(*each) for each in content["seen"])
        parts = tuple(_state_part(*each) for each in content["parts"])
        files = [name for part in parts for name in part.files]
        strange = [name for name in files if not _NAME.fullmatch(name)]
        if strange:
            raise ValueError(f"a file named {strange[0]!r:.200}")
        if len(set(files)) < len(files) or max(map(len, files), default=0) > LONGEST_NAME:
            raise ValueError("parts: a file twice, or with a name that no system has")
        latest = max((int(name.split("-")[0]) for name in files), default=0)
        if latest > fields.count(content, "night"):  # the next run would write over a file
            raise ValueError(f"night: got {content['night']}; expected at least {latest}, as its files say")
        texts = tuple(content["texts"])
        if not {"student", "skill"}.issuperset(texts):
            raise ValueError(f"texts: got {texts!r:.60}; expected some of student and skill")
        merge = fields.flag(content, "merge") if "merge" in content else False
        return cls(fields.text(content, "model"), fields.count(content, "night"), seen, parts, texts, merge)

    def new_files(self, dataset: Dataset) -> list[File]:
        """The files that it has not seen.

        Raises
        ------
        DataError
            If a file that it has seen has changed since.
        """
        known, names = {(each.name, each.identity) for each in self.seen}, {each.name for each in self.seen}
        new = [file for file in dataset.files if (file.name, file.identity) not in known]
        # a folder of new files alone may use names again
        changed = [file for file in new if file.name in names] if len(new) < len(dataset.files) else []
        if changed:
            remedy = "put new rows into new files, or start a new state in another folder from the whole log"
            expected = "files that the state has seen to stay as they were"
            raise DataError(
                dataset.source, [Problem("a file that changed", expected, remedy, file=file.name) for file in changed]
            )
        return new


def _seen_file(name: str, identity: str, rows: int) -> SeenFile:
    found = {"name": name, "identity": identity, "rows": rows}
    return SeenFile(fields.text(found, "name"), fields.text(found, "identity"), fields.count(found, "rows"))


def _state_part(base: str, later: Sequence[str], rows: int) -> StatePart:
    found = {"base": base, "rows": rows, "later": list(later)}
    return StatePart(fields.text(found, "base"), tuple(fields.texts(found, "later").to_pylist()), fields.count(found, "rows"))


def seen(files: Iterable[File]) -> tuple[SeenFile, ...]:
    """What a state remembers of files."""
    return tuple(SeenFile(file.name, file.identity, file.rows) for file in files)


def load(folder: Path, model: str) -> Manifest | None:
    """The state in a folder; None if there is none yet.

    Raises
    ------
    ModelError
        If it was made by a model of another fingerprint, or its manifest is damaged.
    """
    if not (folder / MANIFEST).exists():
        return None
    state = read(folder)
    if state.model != model:
        raise ModelError(
            f"{folder}: a state of model {state.model}; expected {model}, the model given: score with the model that made it, "
            "or start a new state in another folder"
        )
    return state


def read(folder: Path) -> Manifest:
    """The state in a folder, of whatever model; all of its files are there, and in the folder.

    Raises
    ------
    ModelError
        If its manifest is missing or damaged, a file is missing, or a name or a link leads out of the folder.
    """
    state = manifest_of(envelope.read(folder / MANIFEST, STATE), folder / MANIFEST)
    names = [name for part in state.parts for name in part.files]
    home = folder.resolve()
    outside = [name for name in (MANIFEST, *names) if (folder / name).resolve().parent != home]
    if outside:
        raise ModelError(f"{folder / outside[0]}: got a link that leads elsewhere; expected a file of the state; {DAMAGED}")
    missing = [name for name in names if not (folder / name).exists()]
    if missing:
        raise ModelError(f"{folder}: the files {', '.join(missing[:3])} are missing; restore them or start a new state")
    return state


def manifest_of(content: Any, path: Path) -> Manifest:
    """What a file says of a state.

    Raises
    ------
    ModelError
        If it says something else, or names a file that could be out of the folder.
    """
    try:
        return Manifest.from_dict(content)
    except (LookupError, TypeError, ValueError) as error:
        raise ModelError(f"{path}: got {error}; expected what a run wrote; {DAMAGED}") from error


def save(folder: Path, state: Manifest) -> None:
    """Make this the state in the folder: its parts are there already. Files that no longer count go."""
    envelope.write(folder / MANIFEST, STATE, state.to_dict())
    counts = {name for part in state.parts for name in part.files}
    for path in folder.glob("*.parquet"):
        if path.name not in counts:
            path.unlink()


# ---- parts ------------------------------------------------------------------


def write_part(table: pa.Table, path: Path, *, compression: str = "none", like: Path | None = None) -> None:
    """Write states or mastery, whole or not at all: names as codes, and by default nothing compressed, to be read quickly.

    ``like``: the file whose mode a new one gets.
    """
    squeezed = {kind.name: "none" if pa.types.is_floating(kind.type) else compression for kind in table.schema}
    with replacing(path, like=like) as temporary:
        pyarrow.parquet.write_table(
            table,
            temporary,
            row_group_size=GROUP_ROWS,
            compression=squeezed,
            use_dictionary=["student", "skill"],
            store_schema=False,
        )


def read_part(folder: Path, state: Manifest, part: StatePart) -> pa.Table:
    """The states of a part; student and skill as dictionaries if they are text."""
    whole, *later = (_read(folder / name, state, part) for name in part.files)
    if not later:
        return whole
    rows = np.concatenate([table[ROW].to_numpy() for table in later])
    return replaced(whole, pa.concat_tables(table.drop_columns([ROW]) for table in later), rows)


def row_groups(folder: Path, state: Manifest, part: StatePart) -> Iterator[tuple[pa.Table, IntArray]]:
    """The row groups of a part, and which row of the part each of their rows is; what is in a later one counts more."""
    for name in part.files:
        first = 0
        with reading_errors(folder / name), _open(folder / name, state.texts, part) as opened:
            for number in range(opened.num_row_groups):
                table = _checked(opened.read_row_group(number, use_threads=False), folder / name, part)
                if name == part.base:
                    yield table, np.arange(first, first + len(table))
                else:
                    yield table.drop_columns([ROW]), table[ROW].to_numpy()
                first += len(table)


def replaced(table: pa.Table, changes: pa.Table, row: IntArray) -> pa.Table:
    """A table with changes in the place of its rows, or after them; of several for one row the last counts."""
    latest = np.arange(max(len(table), int(row.max(initial=-1)) + 1))
    latest[row] = len(table) + np.arange(len(row))
    return pa.concat_tables([table, changes]).unify_dictionaries().combine_chunks().take(pa.array(latest)).combine_chunks()


def with_plain_numbers(table: pa.Table) -> pa.Table:
    """States as their parts hold them: names that are numbers are not codes."""
    for at, name in enumerate(("student", "skill")):
        if sort_of(table[name].type) != "text":
            table = table.set_column(at, name, schema.combined(table[name]).dictionary_decode())
    return table


def _read(path: Path, state: Manifest, part: StatePart) -> pa.Table:
    with reading_errors(path), _open(path, state.texts, part) as opened:
        return _checked(opened.read(use_threads=False), path, part).combine_chunks()


def _open(path: Path, texts: Sequence[str], part: StatePart) -> pyarrow.parquet.ParquetFile:
    found = pyarrow.parquet.read_schema(path)
    lacking = sorted({"student", "skill", *NUMBERS} - set(found.names))
    if not LASTS.keys() & set(found.names):
        lacking.append("last_time")
    if lacking:
        raise DataError(str(path), [Problem(f"no column '{name}'", "states of students", DAMAGED) for name in lacking])
    sorts = {name: sort_of(found.field(name).type) for name in ("student", "skill", *LASTS) if name in found.names}
    wrong = {name: LASTS[name] for name in sorts if name in LASTS and sorts[name] != LASTS[name]}
    for name in ("student", "skill"):
        if (sorts[name] == "text") != (name in texts):
            wrong[name] = "text" if name in texts else "numbers, as the manifest says"
    problems = [Problem(sorts[name], expected, DAMAGED, name) for name, expected in wrong.items()]
    if problems:
        raise DataError(str(path), problems)
    base = pyarrow.parquet.read_schema(path.with_name(part.base)) if path.name in part.later else found
    if [field for field in found if field.name != ROW] != list(base):
        got, expected = f"the columns {', '.join(found.names)}", f"{', '.join(base.names)} as in {part.base}, and {ROW}"
        raise DataError(str(path), [Problem(got, expected, DAMAGED)])
    if path.name == part.base:
        _check_rows(path, part)
    return pyarrow.parquet.ParquetFile(path, read_dictionary=list(texts), memory_map=True)


def _check_rows(path: Path, part: StatePart) -> None:
    """Refuse a part of which the manifest says another number of rows: memory is taken for so many."""
    rows = [pyarrow.parquet.read_metadata(path.with_name(name)).num_rows for name in part.files]
    if not rows[0] <= part.rows <= sum(rows):
        expected = f"{part.rows:,}, as the manifest says"
        raise DataError(str(path), [Problem(f"{rows[0]:,} rows, and {sum(rows[1:]):,} in later files", expected, DAMAGED)])


def _checked(table: pa.Table, path: Path, part: StatePart) -> pa.Table:
    """What was read of a file of a part, if its memory is sound, its numbers those of states, and its rows those of the part."""
    arrow_check.checked(table, str(path))
    problems = [_wrong_number(table, name, *found) for name, found in NUMBERS.items()]
    if path.name in part.later:
        problems.append(_wrong_number(table, ROW, pa.int64(), 0, part.rows - 1))
    nulls = [name for name in table.column_names if table[name].null_count]
    problems += [Problem("nulls", "a value in every row", DAMAGED, name) for name in nulls]
    found = [problem for problem in problems if problem is not None]
    if found:
        raise DataError(str(path), found)
    return table


def _wrong_number(table: pa.Table, name: str, kind: pa.DataType, low: float, high: float) -> Problem | None:
    """What is wrong with a column of numbers."""
    if name not in table.column_names or table[name].type != kind:
        got = f"{table[name].type}" if name in table.column_names else f"no column '{name}'"
        return Problem(got, str(kind), DAMAGED, name)
    values = table[name].to_numpy()
    if not len(values) or (values.min() >= low and values.max() <= high):  # nan is neither
        return None
    wrong = np.flatnonzero(~((values >= low) & (values <= high)))
    expected = f"a row of the part's {high + 1:,}" if name == ROW else f"numbers from {low:g} to {high:g}"
    return Problem(str(values[wrong[0]]), expected, DAMAGED, name, int(wrong[0]) + 1, len(wrong) - 1)


def runs_of(names: pa.Array) -> tuple[pa.Array, IntArray]:
    """The names of rows next to each other that share one, and where each such run begins, (n_runs + 1,)."""
    values = names.indices.to_numpy() if pa.types.is_dictionary(names.type) else names.to_numpy()
    edges = np.flatnonzero(values[1:] != values[:-1]) + 1
    starts = np.concatenate([[0] * (len(values) > 0), edges, [len(values)]]).astype(np.int64)
    distinct = names.take(pa.array(starts[:-1]))
    return distinct.dictionary_decode() if pa.types.is_dictionary(names.type) else distinct, starts


# ---- students who go, or get another name -----------------------------------


def forget(folder: Path, students: Collection[str], *, renamed: Mapping[str, str]) -> int:
    """Take students out of a state; rows that went.

    Parameters
    ----------
    folder
        The state.
    students
        Their names, as text.
    renamed
        Old identity -> new one, of the files of the log that were written again without the students.
    """
    names = pa.array(list(students), pa.string())

    def without(table: pa.Table) -> tuple[pa.Table, int]:
        keep = schema.find(schema.combined(table["student"]), names) < 0
        return table.filter(pa.array(keep)), int((~keep).sum())

    return _write_again(folder, without, renamed)


def rename(folder: Path, names: Mapping[str, str], *, renamed: Mapping[str, str]) -> int:
    """Give students of a state, whose names are text, other names that nobody there has; rows that changed.

    ``names``: old name -> new one; the rest as of :func:`forget`.
    """
    old, new = pa.array(names.keys(), pa.string()), pa.array(names.values(), pa.string())

    def with_new_names(table: pa.Table) -> tuple[pa.Table, int]:
        coded = encode(schema.combined(table["student"]))
        place = schema.find(coded.dictionary, old)
        texts = pc.if_else(pa.array(place >= 0), new.take(pa.array(np.maximum(place, 0))), coded.dictionary.cast(pa.string()))
        changed = pa.DictionaryArray.from_arrays(coded.indices, texts)
        return table.set_column(0, "student", changed), int((place[coded.indices.to_numpy()] >= 0).sum())

    return _write_again(folder, with_new_names, renamed) if names else 0


def _write_again(folder: Path, change: Callable[[pa.Table], tuple[pa.Table, int]], renamed: Mapping[str, str]) -> int:
    """Write the parts of a state that a change makes a difference to; the rows that it went for."""
    state, parts, rows = read(folder), [], 0
    for number, part in enumerate(state.parts):
        table, changed = change(read_part(folder, state, part))
        if changed:
            rows += changed
            part = StatePart(_free_name(folder, f"{state.increment:04d}-rewritten-{number:04d}"), (), len(table))
            if "student" in state.texts:  # a dictionary would still hold the old names
                table = table.set_column(0, "student", encode(schema.combined(table["student"])))
            write_part(table, folder / part.base, like=folder / MANIFEST)
        parts.append(part)
    seen = tuple(replace(each, identity=renamed.get(each.identity, each.identity)) for each in state.seen)
    save(folder, replace(state, parts=tuple(parts), seen=seen))
    return rows


def _free_name(folder: Path, stem: str) -> str:
    """A name that no file of the folder has."""
    names = (f"{stem}-{number}.parquet" for number in itertools.count())
    return next(name for name in names if not (folder / name).exists())
