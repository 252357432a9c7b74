"""Partition: a whole dataset as logs of whole students, each small enough for memory, on every core.

A piece of the dataset is read, and the students who have rows in this piece alone are worked on at once, as a log. The rows of
all others go into buckets, by a hash of the student's name; when all pieces are read, each bucket is a log too.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.dataset.dataset import Dataset, Piece, ReadOptions, log_of, reading_of, with_items
from adaptrace.dataset.student_keys import ScatteredStudents, by_share, scattered_students
from adaptrace.dataset.survey import survey
from adaptrace.errors import DataError, Problem
from adaptrace.io.atomic import replacing
from adaptrace.io.files import Source
from adaptrace.kernels import parallel

MOST_ROWS, FEWEST_ROWS = 4_000_000, 50_000  # of a log
SHARES, ENOUGH_ROWS = 4, 2_000_000  # logs for each worker, so that all end together, unless they are small
ROW_BYTES, ID_BYTES = 150, 350  # what a row takes at most while it is worked on, and what the id of its event does
ALIKE_BYTES = 25  # what the columns take that tell whether rows differ in nothing but the skill
BASE_BYTES = 400_000_000  # what the process takes by itself
UNITS = {"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


def logs_of_dataset(
    source: str | os.PathLike[str],
    use: Callable[[Log], Any],
    *,
    options: ReadOptions,
    memory: str | int = "2GB",
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Iterator[Any]:
    """``use`` of logs that together are a dataset, each of whole students, on threads; results in the order of the logs.

    Parameters
    ----------
    source, memory, workers, progress
        As in :func:`adaptrace.score_dataset`.
    use
        Called with each log.
    options
        How columns are found.

    Raises
    ------
    DataError
        Listing what is wrong, in every file.
    """
    workers = workers or parallel.cores()
    dataset, problems = survey(source, options)
    if problems:
        raise DataError(dataset.source, problems)
    log_rows = rows_of_a_log(dataset, memory=memory, workers=workers)
    with tempfile.TemporaryDirectory(prefix="adaptrace-") as folder:
        partition = Partition.of(dataset, folder=Path(folder), log_rows=log_rows, workers=workers)
        yield from partition.each_log(lambda _, log: use(log), progress=progress)


def rows_of_a_log(dataset: Dataset, *, memory: str | int, workers: int) -> int:
    """How many rows a log may have, so that one for every worker fits into memory, and the work is shared."""
    text = str(memory).strip().lower()
    unit = next((unit for unit in UNITS if text.endswith(unit)), "")
    number = text.removesuffix(unit).strip()
    if not number.replace(".", "", 1).isdecimal():
        raise ValueError(f"memory: got {memory!r}; expected a size, e.g. '2GB'")
    each = (
        ROW_BYTES + ID_BYTES * ("event_id" in dataset.types) + ALIKE_BYTES * (dataset.options.merge and "item" in dataset.types)
    )
    rows = int((float(number) * UNITS.get(unit, 1) - BASE_BYTES) / each / workers)
    if rows < FEWEST_ROWS:
        least = (BASE_BYTES + FEWEST_ROWS * each * workers) / 1e6
        raise ValueError(f"memory: got {memory!r}; expected at least '{least:.0f}MB' for {workers} workers")
    return min(rows, MOST_ROWS, max(ENOUGH_ROWS, dataset.rows // (SHARES * workers)))


@dataclass(frozen=True, kw_only=True)
class Partition:
    """A dataset cut into logs of whole students.

    With ``resumable`` the results, then plain data, are noted in ``folder`` too: an interrupted run is resumed where it was.
    """

    dataset: Dataset  # what is read
    pieces: list[Piece]  # how it is cut
    scattered: ScatteredStudents  # whose rows go into buckets
    folder: Path  # where the buckets are
    log_rows: int  # about how many rows a log may have
    workers: int  # threads
    before: int | None = None  # responses from this moment on (microseconds since 1970) are left out
    resumable: bool = False

    @classmethod
    def of(cls, dataset: Dataset, *, log_rows: int, workers: int, **options: Any) -> Partition:
        """Cut a dataset, and look who stands in several pieces."""
        pieces = dataset.pieces(log_rows)
        scattered = scattered_students(dataset, pieces, log_rows=log_rows, workers=workers)
        return cls(dataset=dataset, pieces=pieces, scattered=scattered, log_rows=log_rows, workers=workers, **options)

    @property
    def buckets(self) -> int:
        """How many buckets there are."""
        return max(1, -(-self.dataset.rows // self.log_rows))

    def each_log(self, use: Callable[[str, Log], Any], *, progress: Callable[[float], None] | None = None) -> Iterator[Any]:
        """``use(name, log)`` of every log, on threads; results as they come, in the order of the logs.

        Raises
        ------
        DataError
            At the end, with what is wrong in every file, if anything is.
        """
        pieces = [(f"piece-{number:04d}", self._use_piece, piece, piece.rows) for number, piece in enumerate(self.pieces)]
        numbers = range(self.buckets) if self.scattered else range(0)
        share = self.dataset.rows // self.buckets if self.scattered.everyone else 0
        buckets = [(f"bucket-{number:04d}", self._use_bucket, number, share) for number in numbers]
        total, done = sum(rows for *_, rows in (*pieces, *buckets)), 0
        with ThreadPoolExecutor(self.workers) as pool:
            for tasks in (pieces, buckets):
                problems: list[Problem] = []
                for task, rows in _ahead(pool, tasks, self._once, use, 2 * self.workers):
                    try:
                        yield from task.result()
                    except DataError as error:
                        problems += error.problems
                    done += rows
                    if progress:
                        progress(done / max(total, 1))
                if problems:
                    raise DataError(self.dataset.source, problems)

    def _once(self, name: str, task: Callable[..., list[Any]], *arguments: Any) -> list[Any]:
        """The results of a task, or what is noted of them if a run did it before."""
        note = self.folder / f"{name}.json"
        if self.resumable and note.exists():
            return list(json.loads(note.read_text()))
        results = task(name, *arguments)
        if self.resumable:
            with replacing(note) as path:
                path.write_text(json.dumps(results))
        return results

    def _use_piece(self, name: str, piece: Piece, use: Callable[[str, Log], Any]) -> list[Any]:
        """Put the rows of scattered students into buckets, and use the log of the others."""
        results = []
        with parallel.alone():
            for number, part in enumerate(self.dataset.parts(piece, self.log_rows)):
                part = self._earlier(part)
                with part.located():
                    table = with_items(part.table)
                    if self.scattered:
                        reading_of(self.dataset).check(table)  # while the numbers of the rows are known
                        table = self._put_into_buckets(f"{name}-{number:06d}", table)
                    if len(table):
                        results.append(use(name, log_of(self.dataset, table)))
        return results

    def _earlier(self, part: Source) -> Source:
        if self.before is None:
            return part
        rows = np.flatnonzero(pc.less(part.table["time"].cast(schema.TIME).cast(pa.int64()), self.before))
        before = np.arange(len(part.table)) if part.rows is None else part.rows
        return replace(part, table=part.table.take(pa.array(rows)), rows=before[rows])

    def _put_into_buckets(self, name: str, table: pa.Table) -> pa.Table:
        """Write the rows of scattered students, a batch for each bucket, into one file; return the others."""
        start, order = by_share(schema.combined(table["student"]), self.buckets, self.scattered)
        rest = table.take(pa.array(order[start[-2] :]))
        scattered = table.take(pa.array(order[: start[-2]])).combine_chunks().unify_dictionaries()
        if len(scattered):
            with replacing(self.folder / f"{name}.arrow") as path, pa.ipc.new_file(path, scattered.schema) as file:
                for first, last in pairwise(start[:-1]):
                    file.write_batch(_one_batch(scattered.slice(first, last - first)))
        return rest

    def _use_bucket(self, name: str, number: int, use: Callable[[str, Log], Any]) -> list[Any]:
        """Use the log of a bucket: what all pieces put into it."""
        with parallel.alone():
            batches = [_batch(path, number) for path in sorted(self.folder.glob("piece-*.arrow"))]
            table = pa.concat_tables(batches)
            return [use(name, log_of(self.dataset, table))] if len(table) else []


def _ahead(
    pool: Executor, tasks: Iterable[tuple[str, Callable[..., Any], Any, int]], once: Callable[..., Any], use: Any, most: int
) -> Iterator[tuple[Future[Any], int]]:
    """Tasks under way, in their order, no more than ``most`` of them ahead of who takes the results."""
    waiting: deque[tuple[Future[Any], int]] = deque()
    for name, task, thing, rows in tasks:
        waiting.append((pool.submit(once, name, task, thing, use), rows))
        if len(waiting) == most:
            yield waiting.popleft()
    yield from waiting


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([schema.combined(column) for column in table.columns], schema=table.schema)


def _batch(path: Path, number: int) -> pa.Table:
    """What one piece put into one bucket."""
    with pa.OSFile(str(path)) as file:
        return pa.Table.from_batches([pa.ipc.open_file(file).get_batch(number)])
