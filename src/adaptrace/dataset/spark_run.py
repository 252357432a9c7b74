"""Spark run: which rows go to which task, and how the results of the tasks come together."""

from __future__ import annotations

import contextlib
import math
import pickle
import secrets
import shutil
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from adaptrace.dataset import spark_tasks
from adaptrace.dataset.dataset import Dataset
from adaptrace.dataset.partition import MOST_ROWS
from adaptrace.dataset.spark_tasks import Bundle, SparkJob, Task, TaskResult
from adaptrace.dataset.staging import Staging, remove
from adaptrace.errors import AdaptraceError, DataError, OutputError, Problem
from adaptrace.io import modes
from adaptrace.io.locks import locked

if TYPE_CHECKING:
    from pyspark.broadcast import Broadcast
    from pyspark.sql import DataFrame, SparkSession

SLICES = 4  # tasks per core for files: a task costs as much as some 100,000 rows
MOST_FILES = 16  # of a task
SHARES = 16  # per core, of the students who are brought together: by chance several of them go to one task
SHARE = 500_000  # rows of one, until there are that many
BUNDLE = pa.schema({"share": pa.int64(), "file": pa.int64(), "packed": pa.binary()})
FEW = 64  # outcomes that the driver adds up by itself


@contextlib.contextmanager
def installed() -> Iterator[None]:
    """Of workers that have no adaptrace, say so."""
    try:
        yield
    except Exception as error:
        if "No module named 'adaptrace'" not in str(error):
            raise
        remedy = "install it on every worker, and let PYSPARK_PYTHON name the Python that has it"
        raise AdaptraceError(f"the Python of the workers has no adaptrace; {remedy}") from None


@dataclass(frozen=True)
class SparkRun:
    """What is read, and by whom."""

    spark: SparkSession
    dataset: Dataset
    partitions: int | None

    @property
    def cores(self) -> int:
        """Of the cluster."""
        return int(self.spark.sparkContext.defaultParallelism)

    @installed()
    def go(self, job: SparkJob, task: Task, bucketed: bool | None) -> tuple[TaskResult, bool]:
        """The results of all parts added up, and whether the files were worked on as they were."""
        given = self.spark.sparkContext.broadcast(job)
        try:
            if self._is_bucketed(given) if bucketed is None else bucketed or not self.dataset.rows:
                return self._over_files(given, task), True
            result = self._over_students(given, task)
        finally:
            given.destroy()
        if result.rows != self.dataset.rows:
            got, expected = f"{result.rows:,} rows", f"{self.dataset.rows:,} as in the footers"
            raise DataError(self.dataset.source, [Problem(got, expected, "leave the files alone while they are read")])
        return result, False

    # ---- files as they are ----

    def _is_bucketed(self, given: Broadcast[SparkJob]) -> bool:
        """Whether no student is in two files: a look at two files here, then at all by the workers."""
        n_files, shares = len(self.dataset.files), self.cores
        if n_files == 1 or spark_tasks.repeated([spark_tasks.students(self.dataset, number) for number in (0, 1)]):
            return n_files == 1

        def look(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for number in _numbers(batches):
                keys = spark_tasks.students(given.value.dataset, number)
                share = keys % np.uint64(shares)
                packed = [keys[share == each].tobytes() for each in range(shares)]
                yield pa.record_batch({"share": np.arange(shares), "keys": packed})

        def compare(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            keys = [np.frombuffer(each, np.uint64) for batch in batches for each in batch["keys"].to_pylist()]
            yield pa.record_batch({"repeated": [spark_tasks.repeated(keys)]})

        keys = self._tasks(n_files).mapInArrow(look, "share long, keys binary").repartition(shares, "share")
        return not any(row[0] for row in keys.mapInArrow(compare, "repeated boolean").collect())

    def _over_files(self, given: Broadcast[SparkJob], task: Task) -> TaskResult:
        def files(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            yield _sent(spark_tasks.total([spark_tasks.whole(given.value, number, task) for number in _numbers(batches)], task))

        count = len(self.dataset.files)
        return self._added(self._tasks(count).mapInArrow(files, "result binary"), self._slices(count), task)

    def _tasks(self, count: int) -> DataFrame:
        """A row for each number below ``count``, spread over tasks."""
        return self.spark.range(0, count, 1, self._slices(count))

    def _slices(self, count: int) -> int:
        return min(count, self.partitions or max(SLICES * self.cores, count // MOST_FILES))

    # ---- rows of a student brought together ----

    def _over_students(self, given: Broadcast[SparkJob], task: Task) -> TaskResult:
        """Workers split their files by student and Spark moves the pieces: a row by itself would cost it much more."""
        count, rows = len(self.dataset.files), self.dataset.rows
        shares = self.partitions or 1 + max(min(rows // SHARE, SHARES * self.cores), rows // MOST_ROWS)

        def split(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for number in _numbers(batches):
                for bundle in spark_tasks.split(given.value, number, shares):
                    yield pa.RecordBatch.from_pylist([bundle._asdict()], BUNDLE)

        def join(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            yield _sent(
                spark_tasks.gathered(given.value, (Bundle(**row) for batch in batches for row in batch.to_pylist()), task)
            )

        bundles = self._tasks(count).mapInArrow(split, "share long, file long, packed binary").repartition(shares, "share")
        return self._added(bundles.mapInArrow(join, "result binary"), shares, task)

    # ---- results ----

    def _added(self, results: DataFrame, parts: int, task: Task) -> TaskResult:
        """The sum of what the tasks of so many parts sent; of many, the workers add most."""

        def some(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            yield _sent(spark_tasks.total(_received(each for batch in batches for each in batch["result"].to_pylist()), task))

        if parts > FEW:
            results = results.repartition(math.isqrt(parts)).mapInArrow(some, "result binary")
        return spark_tasks.total(_received(row[0] for row in results.collect()), task).or_raise(self.dataset.source)


def _numbers(batches: Iterable[pa.RecordBatch]) -> Iterator[int]:
    for batch in batches:
        yield from batch["id"].to_pylist()


def _sent(result: TaskResult) -> pa.RecordBatch:
    return pa.record_batch({"result": pa.array([pickle.dumps(result)], pa.binary())})


def _received(sent: Iterable[bytes]) -> list[TaskResult]:
    return [pickle.loads(each) for each in sent]


# ---- output -----------------------------------------------------------------


@contextlib.contextmanager
def appearing(out: Path) -> Iterator[Path]:
    """Give a hidden folder beside the target, which others wait for; it becomes the target if the block ends well, or goes."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise OutputError(f"{out}: is there already; remove it or choose another folder")
    if not out.parent.is_dir():
        raise OutputError(f"{out}: cannot be written: no folder {out.parent}; choose a folder that exists and is writable")
    with locked(out):
        for left in Staging(out).left_by_clusters:
            remove(left)
        folder = Staging(out).of_cluster(secrets.token_hex(8))
        try:
            modes.make_folder(folder)
            modes.settle(folder, like=out)
            yield folder
            for left in folder.glob(".*"):  # by a task that was stopped
                remove(left)
            folder.replace(out)
        except OutputError:
            raise
        except OSError as error:
            got = f"{out}: cannot be written: {error.strerror or error}"
            raise OutputError(f"{got}; choose a folder that exists and is writable; nothing was changed") from error
        finally:
            shutil.rmtree(folder, ignore_errors=True)
