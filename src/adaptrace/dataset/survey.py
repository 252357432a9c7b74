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
from adaptrace.data.joining import OPTIONAL, lacks
from adaptrace.data.merging import SAME
from adaptrace.dataset.dataset import Dataset, File, ReadOptions, sort_of
from adaptrace.errors import DataError, Problem
from adaptrace.io import arrow_check, folders
from adaptrace.io.files import PARQUET, ending_of, find_files, reading_errors
from adaptrace.io.identity import identity, name_in
from adaptrace.kernels import parallel

A_NAME, A_NUMBER = {"text", "whole numbers", "numbers"}, {"whole numbers", "numbers"}
MIXES = {  # column -> sorts of values that it may have in the files of one log
    **dict.fromkeys(("student", "item", "skill", "event_id", "kind", "group"), A_NAME),
    **dict.fromkeys(("order", "level", "response_ms"), A_NUMBER),
    "correct": A_NAME,
    "time": {"times", "text"},
    "skills": {"lists", "text"},
}
MIXED = {  # column -> the type that these are read as
    **dict.fromkeys(("student", "item", "skill", "event_id", "kind", "group"), pa.string()),
    **dict.fromkeys(("order", "level"), pa.int64()),
    **dict.fromkeys(("correct", "response_ms"), pa.float64()),
    "time": schema.TIME,
    "skills": pa.list_(pa.string()),
}


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
    also = {name for name, why in (("item", usual["event_id"]), ("kind", usual["level"])) if why}
    also |= {"item", *SAME} if options.merge and (usual["time"] or usual["order"]) else set()
    wanted = [name for name in usual if name in options.reads or name in also or name.startswith("skill")]
    expected = {name: usual[name] for name in wanted}
    unlike = {file.name: found for file in files if (found := _differences(file, expected))}
    problems += [problem for each in unlike.values() for problem in each]
    alike = tuple(file for file in files if file.name not in unlike)
    if not alike:
        raise DataError(os.fspath(source), problems)
    names = [name for name in dict.fromkeys(name for file in alike for name in file.types) if name in expected]
    types = {name: _shared_type(name, [file.types[name] for file in alike if name in file.types]) for name in names}
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
    named = {key: value for key, value in folders.columns_of(path).items() if key not in kinds.names}
    found = schema.resolve([*kinds.names, *named], schema.RESPONSES, options.columns)
    skill = "skills" if "skills" in found else "skill"
    need = ("student", "item", *(() if "level" in found else ("correct",)), skill)
    problems = schema.missing([*kinds.names, *named], schema.RESPONSES, found, need)
    if problems:
        return [Problem(each.got, each.expected, each.remedy, each.column, file=name) for each in problems]
    read = {name: here for name, here in found.items() if name in (*options.reads, skill, "item", *SAME)}
    types = {name: pa.string() if here in named else kinds.field(here).type for name, here in read.items()}
    groups = tuple(footer.row_group(group).num_rows for group in range(footer.num_row_groups))
    return File(path, name, identity(path), groups, types, read, named)


def _usual(files: Sequence[File], name: str) -> str | None:
    """The sort of a column that most files have; None: most do not have it."""
    sorts = Counter(sort_of(file.types[name]) if name in file.types else None for file in files)
    sorts.pop("nothing", None)
    return sorts.most_common(1)[0][0] if sorts else "nothing"


def _differences(file: File, expected: Mapping[str, str | None]) -> list[Problem]:
    """In what a file differs from most, and cannot be read like them."""
    problems = []
    for name, sort in expected.items():
        mine = sort_of(file.types[name]) if name in file.types else None
        if mine in (sort, "nothing") or {mine, sort} <= MIXES.get(name, set()) or (name in OPTIONAL and None in (mine, sort)):
            continue
        if mine is None:
            problems.append(replace(lacks(name), column=None, file=file.name))
            continue
        got = f"{mine} in column '{file.found[name]}'"
        want = f"{sort} as in most files" if sort else "no such column, as in most files"
        problems.append(Problem(got, want, "export the file like the others", file=file.name))
    return problems


def _shared_type(name: str, types: Sequence[pa.DataType]) -> pa.DataType:
    """The one type that a column is read as."""
    values = [kind.value_type if pa.types.is_dictionary(kind) else kind for kind in types]
    known = [kind for kind in values if sort_of(kind) != "nothing"]
    sorts = {sort_of(kind) for kind in known}
    if len(sorts) > 1:
        return MIXED[name]
    if sorts == {"text"}:
        return pa.string()
    if len(set(known)) < 2:
        return known[0] if known else values[0]
    if sorts == {"lists"}:
        return pa.list_(_shared_type(name, [kind.value_type for kind in known]))
    return schema.TIME if sorts == {"times"} else pa.int64() if sorts == {"whole numbers"} else pa.float64()
