"""What one task of a cluster does: read its rows, work on them, and say in a small result how it went.

Nothing here knows the engine. Bad data is a result, not an exception: engines try again what fails, and bury its message.
"""

from __future__ import annotations

import datetime
import pickle
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from adaptrace.data import schema
from adaptrace.data.encoding import encode
from adaptrace.data.log import Log
from adaptrace.dataset.dataset import Dataset, log_of, reading_of, with_items
from adaptrace.dataset.run import ReadingNotes, states_and_mastery
from adaptrace.dataset.state import write_part
from adaptrace.dataset.student_keys import EVERYONE, KeyArray, by_share, keys_of
from adaptrace.errors import AdaptraceError, DataError, Problem
from adaptrace.kernels import parallel
from adaptrace.stats.stats import added

NO_FILE = -1
PARTS = "part-*.parquet"


class SparkJob(NamedTuple):
    """What every worker gets once."""

    dataset: Dataset
    model: Any
    time: datetime.datetime | None = None  # when mastery is asked for, where it fades


class Task(NamedTuple):
    """What is done with the log of a part, given its number, and how what it gives is added up."""

    use: Callable[[SparkJob, Log, int], Any]
    add: Callable[[list[Any]], Any]


class TaskResult(NamedTuple):
    """What a task gave back: a value that adds, or why there is none."""

    rows: int = 0
    value: Any = None
    problems: tuple[Problem, ...] = ()
    error: AdaptraceError | None = None

    def or_raise(self, source: str) -> TaskResult:
        """Itself; raises the error, if there was one."""
        if self.problems:
            raise DataError(source, sorted(self.problems, key=lambda each: (each.file or "", each.row or 0, each.column or "")))
        if self.error is not None:
            raise self.error
        return self


def total(results: Sequence[TaskResult], task: Task) -> TaskResult:
    """All of them as one."""
    values = [each.value for each in results if each.value is not None]
    return TaskResult(
        sum(each.rows for each in results),
        task.add(values) if values else None,
        tuple(problem for each in results for problem in each.problems),
        next((each.error for each in results if each.error is not None), None),
    )


def _attempt(use: Callable[[], Any], rows: int, file: str | None = None) -> TaskResult:
    """What it gives on one core; the problems it finds are in the file."""
    pa.set_cpu_count(1)
    try:
        with parallel.alone():
            return TaskResult(rows, use())
    except DataError as error:
        return TaskResult(problems=tuple(replace(each, file=each.file or file) for each in error.problems))
    except AdaptraceError as error:
        return TaskResult(error=error)


# ---- tasks ------------------------------------------------------------------


def whole(job: SparkJob, number: int, task: Task) -> TaskResult:
    """Work on a whole file."""
    file = job.dataset.files[number]
    return _attempt(lambda: task.use(job, log_of(job.dataset, job.dataset.read_file(file).table), number), file.rows, file.name)


def students(dataset: Dataset, number: int) -> KeyArray:
    """Keys of the students of a file, (n,), each once; none of a damaged file: the task that reads it will say so."""
    try:
        names = schema.combined(dataset.read_file(dataset.files[number], ["student"]).table["student"])
    except DataError:
        return np.empty(0, np.uint64)
    return keys_of(encode(names.drop_null()).dictionary)


def repeated(keys: Sequence[KeyArray]) -> bool:
    """Whether a key is in two arrays, each without repetition."""
    every = np.concatenate([np.empty(0, np.uint64), *keys])
    return len(np.unique(every)) < len(every)


class Bundle(NamedTuple):
    """Rows of a file that go to a share of the students; or, from no file, a result that is an error."""

    share: int
    file: int
    packed: bytes


def split(job: SparkJob, number: int, shares: int) -> list[Bundle]:
    """The rows of a file, by shares of the students, each in the order of the file."""
    file = job.dataset.files[number]
    result = _attempt(lambda: list(_split(job.dataset, number, shares)), 0, file.name)
    return [Bundle(0, NO_FILE, pickle.dumps(result))] if result.value is None else result.value


def _split(dataset: Dataset, number: int, shares: int) -> Iterator[Bundle]:
    table = dataset.read_file(dataset.files[number]).table
    reading_of(dataset).check(with_items(table))  # while the numbers of the rows are known
    start, order = by_share(schema.combined(table["student"]), shares, EVERYONE)
    columns = {name: schema.combined(table[name]) for name in table.column_names}
    plain = {name: each.dictionary_decode() if pa.types.is_dictionary(each.type) else each for name, each in columns.items()}
    table = pa.table(plain).take(pa.array(order))
    for each, (first, last) in enumerate(pairwise(start[:-1].tolist())):
        if first < last:
            yield Bundle(each, number, _packed(table.slice(first, last - first)))


def _packed(table: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as stream:
        stream.write_table(table)
    packed: bytes = sink.getvalue().to_pybytes()
    return packed


def gathered(job: SparkJob, bundles: Iterable[Bundle], task: Task) -> TaskResult:
    """Work on shares of the students, given all that was sent to them: each is a part."""
    shares: dict[int, list[Bundle]] = {}
    failed = []
    for bundle in bundles:
        if bundle.file == NO_FILE:
            failed.append(pickle.loads(bundle.packed))
        else:
            shares.setdefault(bundle.share, []).append(bundle)
    return total(failed or [_joined(job, share, shares[share], task) for share in sorted(shares)], task)


def _joined(job: SparkJob, share: int, bundles: list[Bundle], task: Task) -> TaskResult:
    in_order = sorted(bundles, key=lambda bundle: bundle.file)
    table = pa.concat_tables([pa.ipc.open_stream(bundle.packed).read_all() for bundle in in_order])
    return _attempt(lambda: task.use(job, log_of(job.dataset, table), share), len(table))


# ---- what a task does -------------------------------------------------------


class Written(NamedTuple):
    """What a scoring wrote."""

    pairs: int = 0  # of student and skill
    parts: int = 0
    reading: ReadingNotes = ReadingNotes.total([])


def _all_written(parts: Sequence[Written]) -> Written:
    pairs, files, reading = zip(*parts, strict=True)
    return Written(sum(pairs), sum(files), ReadingNotes.total(reading))


def scoring(folder: str) -> Task:
    """Write the scores of a part; a second attempt at a part replaces what the first wrote by the same."""

    def write(job: SparkJob, log: Log, part: int) -> Written:
        _, mastery = states_and_mastery(job.model, log, time=job.time)
        write_part(mastery, Path(folder) / PARTS.replace("*", f"{part:05d}"), compression="snappy")
        return Written(len(mastery), 1, ReadingNotes.of(log))

    return Task(write, _all_written)


COUNTING = Task(lambda job, log, part: job.model.stats(log), added)
