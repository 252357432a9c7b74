"""Spark: score and count on a cluster with the very functions of one machine.

Where no student is in two files, every task reads its own Parquet files and no row leaves the Python worker; elsewhere Spark
brings the rows of a student together first. Tasks write their parts themselves and give back what adds: counts, or a
:class:`~adaptrace.stats.stats.Stats`. No row passes through the driver, and the result is that of one machine, bit for bit.

The source and the output are folders that the driver and all workers see under the same path: one machine, NFS, a mounted bucket.
"""

from __future__ import annotations

import contextlib
import datetime
import math
import os
import pickle
import secrets
import shutil
import sys
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from adaptrace.dataset import spark_tasks
from adaptrace.dataset.partition import MOST_ROWS
from adaptrace.dataset.spark_tasks import Bundle, Job, Outcome, Work
from adaptrace.dataset.survey import Dataset, Layout, survey
from adaptrace.errors import AdaptraceError, DataError, OutputError, Problem
from adaptrace.kernels import parallel
from adaptrace.models import Countable, ScoresMastery, require
from adaptrace.stats.stats import Stats

if TYPE_CHECKING:
    from pyspark.broadcast import Broadcast
    from pyspark.sql import DataFrame, SparkSession

SLICES = 4  # tasks per core for files: a task costs as much as some 100,000 rows
MOST_FILES = 16  # of a task
SHARES = 16  # per core, of the students who are brought together: by chance several of them go to one task
SHARE = 500_000  # rows of one, until there are that many
BUNDLE = pa.schema({"share": pa.int64(), "file": pa.int64(), "packed": pa.binary()})
FEW = 64  # outcomes that the driver adds up by itself


@dataclass(frozen=True)
class Summary:
    """What a run did.

    Attributes
    ----------
    responses
        Rows that were read.
    rows
        Students and skills in the output.
    parts
        Its files.
    bucketed
        Whether the files were worked on as they were, with no shuffle.
    """

    responses: int
    rows: int
    parts: int
    bucketed: bool


def score(
    spark: SparkSession,
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    model: Any,
    *,
    columns: Mapping[str, str] | None = None,
    time_unit: str | None = None,
    time: datetime.datetime | None = None,
    bucketed: bool | None = None,
    partitions: int | None = None,
) -> Summary:
    """Mastery of every student on every skill, from a folder of Parquet to a folder of Parquet.

    The bits are those of :func:`adaptrace.score_dataset`.

    Parameters
    ----------
    spark
        A session, best with :func:`settings`; not one of Spark Connect.
    source
        A folder (also hive-partitioned), file or glob. A file must fit into the memory of a worker.
    out
        A new or an empty folder. All parts appear in it when all is done, or none.
    model
        A fitted model that scores.
    columns, time_unit, time
        As in :func:`adaptrace.score_dataset`.
    bucketed
        Promise that no student is in two files, as where ``df.repartition(n, "student").write.parquet(...)`` wrote them; by
        default a look at the students of every file tells. A broken promise is not noticed: a student in two files is scored
        once for each. ``False``: it is not so, do not look.
    partitions
        How many tasks; by default as the files, the rows and the cores suggest.

    Raises
    ------
    OutputError
        If ``out`` holds something already (before any work), or cannot be written.
    DataError
        Listing what is wrong, in every file.
    ModelError
        If the model cannot score.
    """
    require(model, ScoresMastery, "score")
    with _appearing(Path(out)) as folder:
        run = _Run(spark, _surveyed(source, columns, time_unit, model), partitions)
        outcome, as_files = run.go(Job(run.dataset, model, time), spark_tasks.scoring(os.fspath(folder)), bucketed)
        rows, parts = outcome.value or (0, 0)
        seen = len(list(folder.glob(spark_tasks.PARTS)))
        if seen != parts:
            got = f"the workers wrote {parts} parts and the driver sees {seen}"
            raise OutputError(f"{out}: {got}; choose a folder that the driver shares with all workers")
    return Summary(outcome.rows, rows, parts, as_files)


def stats(
    spark: SparkSession,
    source: str | os.PathLike[str],
    model: Any,
    *,
    columns: Mapping[str, str] | None = None,
    time_unit: str | None = None,
    bucketed: bool | None = None,
    partitions: int | None = None,
) -> Stats:
    """Count what ``model.fit`` needs of all rows of a folder of Parquet: equal to ``model.stats(log)`` of one machine.

    Parameters
    ----------
    spark, source, columns, time_unit, bucketed, partitions
        As in :func:`score`. Where ``bucketed`` is a broken promise, a student in two files counts as two.
    model
        Fitted or not.

    Raises
    ------
    DataError
        Listing what is wrong, in every file.
    ModelError
        If the model does not fit from stats.
    """
    require(model, Countable, "stats")
    run = _Run(spark, _surveyed(source, columns, time_unit, model), partitions)
    counted: Stats = run.go(Job(run.dataset, model), spark_tasks.COUNTING, bucketed)[0].value
    return counted


def _surveyed(source: str | os.PathLike[str], columns: Mapping[str, str] | None, time_unit: str | None, model: Any) -> Dataset:
    dataset, problems = survey(source, Layout.of(model, columns, time_unit))
    if problems:
        raise DataError(dataset.source, problems)
    return dataset


# ---- a session --------------------------------------------------------------


def settings(cache: str | os.PathLike[str] | None = None) -> dict[str, str]:
    """Spark configuration for kernels: one thread a worker, workers that stay, and where machine code is kept.

    Parameters
    ----------
    cache
        Where workers keep compiled kernels: writable, and one user's alone. By default as ``NUMBA_CACHE_DIR`` says here, else
        where Numba does: beside the package, or in the user's cache. Name one where workers may write to neither.

    Examples
    --------
    >>> settings()["spark.executorEnv.ADAPTRACE_THREADS"]
    '1'
    """
    cache = cache or os.environ.get("NUMBA_CACHE_DIR")
    return {
        **({} if cache is None else {"spark.executorEnv.NUMBA_CACHE_DIR": os.fspath(cache)}),
        f"spark.executorEnv.{parallel.THREADS}": "1",
        "spark.executorEnv.NUMBA_NUM_THREADS": "1",
        "spark.python.worker.reuse": "true",
    }


def session(master: str | None = None, config: Mapping[str, str] | None = None) -> SparkSession:
    """A Spark session with :func:`settings`.

    Parameters
    ----------
    master
        Where it runs, e.g. ``"local[2]"``; by default where ``spark-submit`` says.
    config
        Further configuration.

    Raises
    ------
    AdaptraceError
        If PySpark or Java is missing.
    """
    reason = missing()
    if reason:
        raise AdaptraceError(f"Spark cannot start: {reason}")
    from pyspark.sql import SparkSession

    if (master or "").startswith("local"):
        os.environ.setdefault("PYSPARK_PYTHON", sys.executable)  # where adaptrace is installed
    builder = SparkSession.builder.appName("adaptrace").config(map={**settings(), **(config or {})})
    return (builder if master is None else builder.master(master)).getOrCreate()


def missing() -> str:
    """What Spark lacks here, and what to do about it; empty if it can start."""
    if not (find_spec("pyspark") and find_spec("pandas")):  # mapInArrow insists on pandas
        return 'PySpark with its [sql] extra is not installed; pip install "adaptrace[spark]"'
    home = os.environ.get("JAVA_HOME")
    if not shutil.which("java", path=os.path.join(home, "bin") if home else None):
        place = f"in JAVA_HOME ({home})" if home else "on the PATH"
        return f"there is no java {place}; install Java 17 or 21, on Debian: apt-get install openjdk-17-jre-headless"
    return ""


# ---- a run ------------------------------------------------------------------


@contextlib.contextmanager
def _installed() -> Iterator[None]:
    """Of workers that have no adaptrace, say so."""
    try:
        yield
    except Exception as error:
        if "No module named 'adaptrace'" not in str(error):
            raise
        remedy = "install it on every worker, and let PYSPARK_PYTHON name the Python that has it"
        raise AdaptraceError(f"the Python of the workers has no adaptrace; {remedy}") from None


@dataclass(frozen=True)
class _Run:
    """What is read, and by whom."""

    spark: SparkSession
    dataset: Dataset
    partitions: int | None

    @property
    def cores(self) -> int:
        """Of the cluster."""
        return int(self.spark.sparkContext.defaultParallelism)

    @_installed()
    def go(self, job: Job, work: Work, bucketed: bool | None) -> tuple[Outcome, bool]:
        """The outcomes of all parts added up, and whether the files were worked on as they were."""
        given = self.spark.sparkContext.broadcast(job)
        try:
            if self._is_bucketed(given) if bucketed is None else bucketed or not self.dataset.rows:
                return self._over_files(given, work), True
            outcome = self._over_students(given, work)
        finally:
            given.destroy()
        if outcome.rows != self.dataset.rows:
            got, expected = f"{outcome.rows:,} rows", f"{self.dataset.rows:,} as in the footers"
            raise DataError(self.dataset.source, [Problem(got, expected, "leave the files alone while they are read")])
        return outcome, False

    # ---- files as they are ----

    def _is_bucketed(self, given: Broadcast[Job]) -> bool:
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

    def _over_files(self, given: Broadcast[Job], work: Work) -> Outcome:
        def files(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            yield _sent(spark_tasks.total([spark_tasks.whole(given.value, number, work) for number in _numbers(batches)], work))

        count = len(self.dataset.files)
        return self._added(self._tasks(count).mapInArrow(files, "outcome binary"), self._slices(count), work)

    def _tasks(self, count: int) -> DataFrame:
        """A row for each number below ``count``, spread over tasks."""
        return self.spark.range(0, count, 1, self._slices(count))

    def _slices(self, count: int) -> int:
        return min(count, self.partitions or max(SLICES * self.cores, count // MOST_FILES))

    # ---- rows of a student brought together ----

    def _over_students(self, given: Broadcast[Job], work: Work) -> Outcome:
        """Workers split their files by student and Spark moves the pieces: a row by itself would cost it much more."""
        count, rows = len(self.dataset.files), self.dataset.rows
        shares = self.partitions or 1 + max(min(rows // SHARE, SHARES * self.cores), rows // MOST_ROWS)

        def split(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            for number in _numbers(batches):
                for bundle in spark_tasks.split(given.value, number, shares):
                    yield pa.RecordBatch.from_pylist([bundle._asdict()], BUNDLE)

        def join(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            yield _sent(
                spark_tasks.gathered(given.value, (Bundle(**row) for batch in batches for row in batch.to_pylist()), work)
            )

        bundles = self._tasks(count).mapInArrow(split, "share long, file long, packed binary").repartition(shares, "share")
        return self._added(bundles.mapInArrow(join, "outcome binary"), shares, work)

    # ---- outcomes ----

    def _added(self, outcomes: DataFrame, parts: int, work: Work) -> Outcome:
        """The sum of what the tasks of so many parts sent; of many, the workers add most."""

        def some(batches: Iterable[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
            yield _sent(spark_tasks.total(_received(each for batch in batches for each in batch["outcome"].to_pylist()), work))

        if parts > FEW:
            outcomes = outcomes.repartition(math.isqrt(parts)).mapInArrow(some, "outcome binary")
        return spark_tasks.total(_received(row[0] for row in outcomes.collect()), work).or_raise(self.dataset.source)


def _numbers(batches: Iterable[pa.RecordBatch]) -> Iterator[int]:
    for batch in batches:
        yield from batch["id"].to_pylist()


def _sent(outcome: Outcome) -> pa.RecordBatch:
    return pa.record_batch({"outcome": pa.array([pickle.dumps(outcome)], pa.binary())})


def _received(sent: Iterable[bytes]) -> list[Outcome]:
    return [pickle.loads(each) for each in sent]


# ---- output -----------------------------------------------------------------


@contextlib.contextmanager
def _appearing(out: Path) -> Iterator[Path]:
    """Give a hidden folder beside the target; it becomes the target if the block ends well, and is removed if not."""
    if out.exists() and not (out.is_dir() and not any(out.iterdir())):
        raise OutputError(f"{out}: is there already; remove it or choose another folder")
    folder = out.parent / f".{out.name}.{secrets.token_hex(8)}"
    try:
        folder.mkdir()
        yield folder
        for left in folder.glob(".*"):  # by a task that was stopped
            left.unlink()
        folder.replace(out)
    except OutputError:
        raise
    except OSError as error:
        got = f"{out}: cannot be written: {error.strerror or error}"
        raise OutputError(f"{got}; choose a folder that exists and is writable; nothing was changed") from error
    finally:
        shutil.rmtree(folder, ignore_errors=True)
