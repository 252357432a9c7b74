"""Sweep: a whole dataset as logs of whole students, each small enough, on every core.

A piece of the dataset is read, and the students who stand in this piece alone go on at once, as a log. Those with rows in
several pieces are put aside, into buckets by a hash of their name; when all pieces are read, each bucket is a log too.
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
from adaptrace.data.log import Log, log_from_checked
from adaptrace.data.reading import Reading
from adaptrace.dataset.student_keys import Split, parted, split_of
from adaptrace.dataset.survey import Dataset, Layout, Piece, survey
from adaptrace.errors import DataError, Problem
from adaptrace.io.atomic import replacing
from adaptrace.io.files import Source
from adaptrace.kernels import parallel

MOST_ROWS, FEWEST_ROWS = 4_000_000, 50_000  # of a piece
SHARES, ENOUGH_ROWS = 4, 2_000_000  # pieces for each worker, so that all end together, unless they are small
ROW_BYTES, ID_BYTES = 150, 350  # what a row takes at most while it is worked on, and what the id of its event does
BASE_BYTES = 400_000_000  # what the process takes by itself
UNITS = {"kb": 1e3, "mb": 1e6, "gb": 1e9, "tb": 1e12, "kib": 2**10, "mib": 2**20, "gib": 2**30, "tib": 2**40}


def budget(memory: str | int, workers: int, dataset: Dataset) -> int:
    """Rows of a piece, so that as many pieces as there are workers fit into the memory, and the work is shared."""
    text = str(memory).strip().lower()
    unit = next((unit for unit in UNITS if text.endswith(unit)), "")
    number = text.removesuffix(unit).strip()
    if not number.replace(".", "", 1).isdecimal():
        raise ValueError(f"memory: got {memory!r}; expected a size, e.g. '2GB'")
    each = ROW_BYTES + ID_BYTES * ("event_id" in dataset.types)
    rows = int((float(number) * UNITS.get(unit, 1) - BASE_BYTES) / each / workers)
    if rows < FEWEST_ROWS:
        least = (BASE_BYTES + FEWEST_ROWS * each * workers) / 1e6
        raise ValueError(f"memory: got {memory!r}; expected at least '{least:.0f}MB' for {workers} workers")
    return min(rows, MOST_ROWS, max(ENOUGH_ROWS, dataset.rows // (SHARES * workers)))


def each_log(
    source: str | os.PathLike[str],
    use: Callable[[Log], Any],
    layout: Layout,
    *,
    memory: str | int = "2GB",
    workers: int | None = None,
    progress: Callable[[float], None] | None = None,
) -> Iterator[Any]:
    """``use`` of logs that together are a dataset, each of whole students, on threads; results in the order of the logs.

    Parameters
    ----------
    source
        A folder, file or glob of Parquet; in any order.
    use
        Called with each log.
    layout
        How columns are found.
    memory, workers
        As in :func:`adaptrace.score_dataset`.
    progress
        Called with the share that is done.

    Raises
    ------
    DataError
        Listing what is wrong, in every file.
    """
    workers = workers or parallel.cores()
    dataset, problems = survey(source, layout)
    if problems:
        raise DataError(dataset.source, problems)
    rows = budget(memory, workers, dataset)
    pieces = dataset.pieces(rows)
    with tempfile.TemporaryDirectory(prefix="adaptrace-") as work:
        sweep = Sweep(dataset, pieces, split_of(dataset, pieces, rows, workers), rows, Path(work), workers)
        yield from sweep.each(lambda _, log: use(log), progress)


# ---- a log of what was read -------------------------------------------------


def complete(table: pa.Table) -> pa.Table:
    """With a column of items, though nothing depends on them and they were not read."""
    if "item" in table.column_names:
        return table
    return table.append_column("item", pa.DictionaryArray.from_arrays(np.zeros(len(table), np.int32), pa.array(["any"])))


def reading_of(dataset: Dataset) -> Reading:
    """How columns that already have their canonical names are checked."""
    layout = dataset.layout
    given = {name: name for name in layout.columns or {} if name in dataset.types}
    return Reading(given, layout.time_unit, layout.levels or {}, dataset.source)


def log_of(dataset: Dataset, table: pa.Table) -> Log:
    """Rows of a dataset as a log. The same ``event_id`` of two students is two events: who else is read must not matter."""
    table = complete(table)
    if "event_id" in table.column_names:
        of = [schema.as_text(schema.combined(table[name])) for name in ("event_id", "student")]
        ids = pc.binary_join_element_wise(*of, " of student ")
        table = table.set_column(table.column_names.index("event_id"), "event_id", ids)
    return log_from_checked(table, reading_of(dataset))


# ---- the sweep --------------------------------------------------------------


@dataclass(frozen=True)
class Sweep:
    """What is done with every log of a dataset.

    Attributes
    ----------
    dataset
        What is read.
    pieces
        How it is cut.
    split
        Who is put aside.
    rows
        About how many a log may have.
    work
        A folder for what is put aside.
    workers
        Threads.
    before
        Responses from this moment on (microseconds since 1970) are left out.
    resumable
        Whether results, then plain data, are noted in ``work`` too, so that an interrupted sweep goes on where it was.
    """

    dataset: Dataset
    pieces: list[Piece]
    split: Split
    rows: int
    work: Path
    workers: int
    before: int | None = None
    resumable: bool = False

    def each(self, use: Callable[[str, Log], Any], progress: Callable[[float], None] | None = None) -> Iterator[Any]:
        """``use(name, log)`` of every log, on threads; results as they come, in the order of the logs.

        Raises
        ------
        DataError
            At the end, with what is wrong in every file, if anything is.
        """
        pieces = [(f"piece-{number:04d}", self._piece, piece, piece.rows) for number, piece in enumerate(self.pieces)]
        numbers = range(self.buckets) if self._is_split else range(0)
        share = self.dataset.rows // self.buckets if self.split.everyone else 0
        buckets = [(f"bucket-{number:04d}", self._bucket, number, share) for number in numbers]
        total, done = sum(rows for *_, rows in (*pieces, *buckets)), 0
        with ThreadPoolExecutor(self.workers) as pool:
            for jobs in (pieces, buckets):
                problems: list[Problem] = []
                for task, rows in _ahead(pool, jobs, self._once, use, 2 * self.workers):
                    try:
                        yield from task.result()
                    except DataError as error:
                        problems += error.problems
                    done += rows
                    if progress:
                        progress(done / max(total, 1))
                if problems:
                    raise DataError(self.dataset.source, problems)

    @property
    def _is_split(self) -> bool:
        return self.split.everyone or len(self.split.keys) > 0

    @property
    def buckets(self) -> int:
        """Into how many the students who are put aside go."""
        return max(1, -(-self.dataset.rows // self.rows))

    def _piece(self, name: str, piece: Piece, use: Callable[[str, Log], Any]) -> list[Any]:
        results = []
        with parallel.alone():
            for number, part in enumerate(self.dataset.parts(piece, self.rows)):
                part = self._earlier(part)
                with part.located():
                    table = complete(part.table)
                    if self._is_split:
                        reading_of(self.dataset).check(table)  # here rows have their numbers still
                        table = self._put_aside(f"{name}-{number:06d}", table)
                    if len(table):
                        results.append(use(name, log_of(self.dataset, table)))
        return results

    def _bucket(self, name: str, number: int, use: Callable[[str, Log], Any]) -> list[Any]:
        with parallel.alone():
            batches = [_batch(path, number) for path in sorted(self.work.glob("piece-*.arrow"))]
            table = pa.concat_tables(batches)
            return [use(name, log_of(self.dataset, table))] if len(table) else []

    def _once(self, name: str, work: Callable[..., list[Any]], *arguments: Any) -> list[Any]:
        """The results of a piece of work, from the run that did it."""
        note = self.work / f"{name}.json"
        if self.resumable and note.exists():
            return list(json.loads(note.read_text()))
        results = work(name, *arguments)
        if self.resumable:
            with replacing(note) as path:
                path.write_text(json.dumps(results))
        return results

    # ---- one table ----

    def _earlier(self, part: Source) -> Source:
        if self.before is None:
            return part
        rows = np.flatnonzero(pc.less(part.table["time"].cast(schema.TIME).cast(pa.int64()), self.before))
        before = np.arange(len(part.table)) if part.rows is None else part.rows
        return replace(part, table=part.table.take(pa.array(rows)), rows=before[rows])

    def _put_aside(self, name: str, table: pa.Table) -> pa.Table:
        """Put the rows of split students into buckets, in one file; return the others."""
        start, order = parted(schema.combined(table["student"]), self.buckets, self.split)
        rest = table.take(pa.array(order[start[-2] :]))
        aside = table.take(pa.array(order[: start[-2]])).combine_chunks().unify_dictionaries()
        if len(aside):
            with replacing(self.work / f"{name}.arrow") as path, pa.ipc.new_file(path, aside.schema) as file:
                for first, last in pairwise(start[:-1]):
                    file.write_batch(_one_batch(aside.slice(first, last - first)))
        return rest


def _ahead(
    pool: Executor, jobs: Iterable[tuple[str, Callable[..., Any], Any, int]], once: Callable[..., Any], use: Any, most: int
) -> Iterator[tuple[Future[Any], int]]:
    """Jobs on their way, in their order, no more than ``most`` of them ahead of who takes the results."""
    waiting: deque[tuple[Future[Any], int]] = deque()
    for name, work, thing, rows in jobs:
        waiting.append((pool.submit(once, name, work, thing, use), rows))
        if len(waiting) == most:
            yield waiting.popleft()
    yield from waiting


def _one_batch(table: pa.Table) -> pa.RecordBatch:
    return pa.RecordBatch.from_arrays([schema.combined(column) for column in table.columns], schema=table.schema)


def _batch(path: Path, number: int) -> pa.Table:
    """What one piece put aside into one bucket."""
    with pa.OSFile(str(path)) as file:
        return pa.Table.from_batches([pa.ipc.open_file(file).get_batch(number)])
