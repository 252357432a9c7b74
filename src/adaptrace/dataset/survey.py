"""Survey: find the files of a dataset and read their footers, before any row is read."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from adaptrace.data import schema
from adaptrace.dataset.dataset import Dataset, File, ReadOptions, sort_of
from adaptrace.errors import DataError, Problem
from adaptrace.io import arrow_check
from adaptrace.io.files import PARQUET, ending_of, find_files, reading_errors
from adaptrace.io.identity import identity, name_in
from adaptrace.kernels import parallel


def survey(source: str | os.PathLike[str], options: ReadOptions) -> tuple[Dataset, list[Problem]]:
    """Find the files of a dataset and read their footers.

    Returns
    -------
    Dataset
        Of the files that can be read together.
    list of Problem
        What is wrong with the others: each names its file.

    Raises
    ------
    DataError
        If there are no files, or none that can be read.
    """
    opened = parallel.run(_open, [(source, path, options) for path in find_files(source)])
    problems = [problem for each in opened if not isinstance(each, File) for problem in each]
    if len(opened) == 1:
        problems = [replace(problem, file=None) for problem in problems]
    files = [each for each in opened if isinstance(each, File)]
    usual = {column.name: _usual(files, column.name) for column in schema.RESPONSES}
    # the item is a part of what an event is, and the kind says which levels there are: both are read where they are needed
    also = {"item": usual["event_id"], "kind": usual["level"]}
    expected = {name: sort for name, sort in usual.items() if name in options.reads or also.get(name) or name.startswith("skill")}
    unlike = {file.name: found for file in files if (found := _differences(file, expected))}
    problems += [problem for each in unlike.values() for problem in each]
    alike = tuple(file for file in files if file.name not in unlike)
    if not alike:
        raise DataError(os.fspath(source), problems)
    types = {name: _shared_type([file.types[name] for file in alike]) for name in alike[0].types if name in expected}
    return Dataset(os.fspath(source), alike, options, types), problems


def _open(source: str | os.PathLike[str], path: Path, options: ReadOptions) -> File | list[Problem]:
    """What the footer of a file says, or what is wrong with it."""
    name = name_in(source, path)
    if ending_of(path) not in PARQUET:
        remedy = "convert it; or score into a file instead of a folder, if the log fits into memory"
        return [Problem(f"the ending '{path.suffix}'", "Parquet", remedy, file=name)]
    try:
        with reading_errors(path):
            footer = pyarrow.parquet.read_metadata(path)
            kinds = arrow_check.checked(footer.schema.to_arrow_schema().empty_table(), str(path)).schema
    except DataError as error:
        return [Problem(each.got, each.expected, each.remedy, file=name) for each in error.problems]
    folders = dict(folder.split("=", 1) for folder in path.parts[:-1] if "=" in folder)
    folders = {key: value for key, value in folders.items() if key not in kinds.names}
    found = schema.resolve([*kinds.names, *folders], schema.RESPONSES, options.columns)
    skill = "skills" if "skills" in found else "skill"
    need = ("student", "item", *(() if "level" in found else ("correct",)), skill)
    problems = schema.missing([*kinds.names, *folders], schema.RESPONSES, found, need)
    if problems:
        return [Problem(each.got, each.expected, each.remedy, each.column, file=name) for each in problems]
    read = {name: here for name, here in found.items() if name in (*options.reads, skill, "item", "kind")}
    types = {name: pa.string() if here in folders else kinds.field(here).type for name, here in read.items()}
    groups = tuple(footer.row_group(group).num_rows for group in range(footer.num_row_groups))
    return File(path, name, identity(path), groups, types, read, folders)


def _usual(files: Sequence[File], name: str) -> str | None:
    """The sort of a column that most files have; None: most do not have it."""
    sorts = Counter(sort_of(file.types[name]) if name in file.types else None for file in files)
    sorts.pop("nothing", None)
    return sorts.most_common(1)[0][0] if sorts else "nothing"


def _differences(file: File, expected: Mapping[str, str | None]) -> list[Problem]:
    """In what a file differs from most."""
    problems = []
    for name, sort in expected.items():
        mine = sort_of(file.types[name]) if name in file.types else None
        if mine in (sort, "nothing") or (name == "correct" and {mine, sort} <= {"numbers", "whole numbers"}):
            continue
        got = f"{mine} in column '{file.found[name]}'" if mine else f"no column '{name}'"
        want = f"{sort} as in most files" if sort else "no such column, as in most files"
        problems.append(Problem(got, want, "export the file like the others", file=file.name))
    return problems


def _shared_type(types: Sequence[pa.DataType]) -> pa.DataType:
    """The one type that columns of one sort are read as."""
    values = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in types]
    sort = next((sort_of(kind) for kind in values if sort_of(kind) != "nothing"), "nothing")
    if sort == "text":
        return pa.string()
    known = [kind for kind in values if sort_of(kind) != "nothing"]
    if len(set(known)) < 2:
        return known[0] if known else values[0]
    if sort == "times":
        return schema.TIME
    if sort == "lists":
        return pa.list_(_shared_type([kind.value_type for kind in known]))
    return pa.int64() if {sort_of(kind) for kind in known} == {"whole numbers"} else pa.float64()
