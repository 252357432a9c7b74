"""Spark: score and count on a cluster with the very functions of one machine.

Where no student is in two files, every task reads its own Parquet files and no row leaves the Python worker; elsewhere Spark
brings the rows of a student together first. Tasks write their parts themselves and give back what adds: counts, or a
:class:`~adaptrace.stats.stats.Stats`. No row passes through the driver, and the result is that of one machine, bit for bit.

The source and the output are folders that the driver and all workers see under the same path: one machine, NFS, a mounted bucket.
"""

from __future__ import annotations

import datetime
import os
import shutil
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from adaptrace.dataset import spark_tasks
from adaptrace.dataset.dataset import Dataset, ReadOptions
from adaptrace.dataset.spark_run import SparkRun, appearing
from adaptrace.dataset.spark_tasks import SparkJob
from adaptrace.dataset.survey import survey
from adaptrace.errors import AdaptraceError, DataError, OutputError
from adaptrace.io import modes
from adaptrace.kernels import parallel
from adaptrace.models import Countable, ScoresMastery, require
from adaptrace.stats.stats import Stats

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


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
    notes
        What the reader of results should know about how the responses were read.
    """

    responses: int
    rows: int
    parts: int
    bucketed: bool
    notes: tuple[str, ...] = ()


def score(
    spark: SparkSession,
    source: str | os.PathLike[str],
    *,
    out: str | os.PathLike[str],
    model: Any,
    columns: Mapping[str, str] | None = None,
    time_unit: str | None = None,
    merge: bool = True,
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
    columns, time_unit, merge, time
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
    options = ReadOptions.of(model, columns=columns, time_unit=time_unit, merge=merge)
    with appearing(Path(out)) as folder:
        run = SparkRun(spark, _surveyed(source, options), partitions)
        result, as_files = run.go(SparkJob(run.dataset, model, time), spark_tasks.scoring(os.fspath(folder)), bucketed)
        rows, parts, reading = result.value or spark_tasks.Written()
        seen = len(list(folder.glob(spark_tasks.PARTS)))
        if seen != parts:
            got = f"the workers wrote {parts} parts and the driver sees {seen}"
            raise OutputError(f"{out}: {got}; choose a folder that the driver shares with all workers")
    return Summary(result.rows, rows, parts, as_files, reading.notes)


def stats(
    spark: SparkSession,
    source: str | os.PathLike[str],
    *,
    model: Any,
    columns: Mapping[str, str] | None = None,
    time_unit: str | None = None,
    merge: bool = True,
    bucketed: bool | None = None,
    partitions: int | None = None,
) -> Stats:
    """Count what ``model.fit`` needs of all rows of a folder of Parquet: equal to ``model.stats(log)`` of one machine.

    Parameters
    ----------
    spark, source, columns, time_unit, merge, bucketed, partitions
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
    options = ReadOptions.of(model, columns=columns, time_unit=time_unit, merge=merge)
    run = SparkRun(spark, _surveyed(source, options), partitions)
    counted: Stats = run.go(SparkJob(run.dataset, model), spark_tasks.COUNTING, bucketed)[0].value
    return counted


def _surveyed(source: str | os.PathLike[str], options: ReadOptions) -> Dataset:
    dataset, problems = survey(source, options)
    if problems:
        raise DataError(dataset.source, problems)
    return dataset


# ---- a session --------------------------------------------------------------


def settings(cache: str | os.PathLike[str] | None = None) -> dict[str, str]:
    """Spark configuration for workers: one thread each, that they stay, where machine code is kept, who may read what they write.

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
        **({f"spark.executorEnv.{modes.MODE}": os.environ[modes.MODE]} if modes.MODE in os.environ else {}),
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
