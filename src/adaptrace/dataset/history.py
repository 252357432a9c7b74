"""History: the responses of an increment, and all responses of the students who have late ones, as logs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from operator import itemgetter

import numpy as np
import pyarrow as pa

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.dataset.dataset import Dataset, File, log_of
from adaptrace.dataset.state import Manifest, runs_of
from adaptrace.dataset.student_keys import StudentIndex
from adaptrace.errors import DataError, Problem
from adaptrace.io.files import Source

PIECE_ROWS = 1_000_000  # of a file that is searched for students, at once


def read_all(dataset: Dataset) -> Log:
    """All responses of a dataset."""
    return _located_log(dataset, [dataset.read_file(file) for file in dataset.files])


def read_students(dataset: Dataset, names: pa.Array, *, state: Manifest, new: Dataset) -> Log:
    """All responses of some students, who have late ones, from the whole log; ``new`` has the files that the state has not seen.

    Raises
    ------
    DataError
        If files that the state has seen are not there, or the new rows contradict the others.
    """
    there = {(file.name, file.identity) for file in dataset.files}
    gone = [each.name for each in state.seen if (each.name, each.identity) not in there]
    if gone:
        got = f"rows of {len(names):,} students that are no later than what the state knows of them"
        expected = f"only later ones, or the whole log: {len(gone):,} files are not there, e.g. {gone[0]}"
        raise DataError(dataset.source, [Problem(got, expected, "give the whole log: these students are scored anew from it")])
    index = StudentIndex(names)
    found = [(file in new.files, source) for file in dataset.files if len((source := _read_of(dataset, file, index)).table)]
    try:
        return log_of(dataset, pa.concat_tables(source.table for _, source in found))
    except DataError:  # the new rows do not agree with what was there: put them last, and say where they are
        return _located_log(dataset, [source for _, source in sorted(found, key=itemgetter(0))])


def _read_of(dataset: Dataset, file: File, students: StudentIndex) -> Source:
    """The rows of some students from a file."""
    tables, rows, first = list[pa.Table](), [np.empty(0, np.int64)], 0
    for piece in dataset.only([file]).pieces(PIECE_ROWS):
        runs, starts = runs_of(schema.combined(dataset.read(piece, ["student"]).table["student"]))
        mine = np.flatnonzero(np.repeat(students.find(runs) >= 0, np.diff(starts)))
        if len(mine):
            rows.append(first + mine)
            tables.append(dataset.read(piece).table.take(pa.array(mine)))
        first += piece.rows
    table = pa.concat_tables(tables) if tables else dataset.no_rows()
    return Source(dataset.source, table, (dataset.label(file),), (file.rows,), np.concatenate(rows))


def _located_log(dataset: Dataset, sources: Sequence[Source]) -> Log:
    """The rows of several sources as a log; what is wrong with them is said with its file and row."""
    source = _joined(dataset, sources)
    with source.located():
        return log_of(dataset, source.table)


def _joined(dataset: Dataset, sources: Sequence[Source]) -> Source:
    """Several sources, each of one file, as one."""
    sizes = tuple(each.sizes[0] for each in sources)
    files = tuple(each.files[0] for each in sources)
    starts = np.cumsum((0, *sizes))
    table = pa.concat_tables(each.table for each in sources) if sources else dataset.no_rows()
    joined = Source(dataset.source, table, files, sizes)
    if all(each.rows is None for each in sources):
        return joined
    rows = [np.arange(len(each.table)) if each.rows is None else each.rows for each in sources]
    return replace(joined, rows=np.concatenate([start + each for start, each in zip(starts[:-1], rows, strict=True)]))
