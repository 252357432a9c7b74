"""Spark: the same bits as one machine, whatever way the rows take, and clear errors."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.dataset import spark as engine
from adaptrace.dataset import spark_run, spark_tasks
from adaptrace.dataset.dataset import ReadOptions
from adaptrace.dataset.survey import survey
from adaptrace.errors import AdaptraceError, DataError, ModelError, OutputError
from reference import folders

pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support:FutureWarning", "ignore::ResourceWarning")

STUDENTS, EACH, FILES = 60, 25, 4
SKILLS = ["decimals", "fractions", "halves", "ratios"]
WAYS = {"bucketed": lambda student: student % FILES, "mixed": lambda student: np.arange(len(student)) % FILES}


def responses(**columns: Callable[[np.random.Generator, int], Any]) -> pa.Table:
    """Rows of all students in no order, at times that repeat; columns replaced by the given ones, or left out."""
    random, n = np.random.default_rng(7), STUDENTS * EACH
    made: dict[str, Any] = {
        "student": random.permutation(np.repeat(np.arange(STUDENTS), EACH)),
        "item": random.integers(0, 40, n),
        "skill": pa.array(SKILLS).take(pa.array(random.integers(0, 4, n))),
        "correct": random.integers(0, 2, n),
        "time": pa.array(-86_400_000_001 + 1_000_001 * random.integers(0, n, n)).cast(pa.timestamp("us", "UTC")),
    }
    made |= {name: make(random, n) for name, make in columns.items()}
    return pa.table({name: column for name, column in made.items() if column is not None})


def written(folder: Path, table: pa.Table, way: str) -> Path:
    """The rows in files, by student or mixed."""
    folder.mkdir()
    student = table["student"].combine_chunks()
    number = np.unique(student.to_numpy(zero_copy_only=False), return_inverse=True)[1]
    file = WAYS[way](number)
    for each in range(FILES):
        pq.write_table(table.filter(pa.array(file == each)), folder / f"{each}.parquet")
    return folder


def named(random: np.random.Generator, n: int) -> pa.Array:
    return pa.array([f"student {number:03d}" for number in random.permutation(np.repeat(np.arange(STUDENTS), EACH))])


LOGS: dict[str, Callable[[], pa.Table]] = {
    "whole numbers": responses,
    "small whole numbers": lambda: responses(
        student=lambda random, n: pa.array(random.permutation(np.arange(n) % STUDENTS), pa.uint16())
    ),
    "text": lambda: responses(student=named),
    "dictionaries": lambda: responses(student=lambda random, n: named(random, n).dictionary_encode()),
    "no clock": lambda: responses(time=lambda random, n: None),
    "local time": lambda: responses(time=lambda random, n: pa.array(random.integers(0, 10**15, n)).cast(pa.timestamp("us"))),
    "an order": lambda: responses(time=lambda random, n: None, order=lambda random, n: random.integers(0, 9, n)),
    "partial credit": lambda: responses(correct=lambda random, n: random.integers(0, 5, n) / 4),
    "several skills": lambda: responses(
        skill=lambda random, n: None,
        skills=lambda random, n: [random.choice(SKILLS, 1 + row % 3, replace=False).tolist() for row in range(n)],
    ),
}


def model(**options: Any) -> at.BKT:
    return at.BKT(forget=False, **options).fit(at.Log.from_arrow(responses()))


def in_order(table: pa.Table) -> pa.Table:
    columns = {
        name: table[name].cast(table[name].type.value_type) if pa.types.is_dictionary(table[name].type) else table[name]
        for name in table.column_names
    }
    return pa.table(columns).sort_by([("student", "ascending"), ("skill", "ascending")]).combine_chunks()


def left_in(folder: Path) -> set[str]:
    return set(folders.names(folder))


# ---- the same bits ----------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("log", LOGS)
def test_scores_and_stats_are_those_of_one_machine(
    spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, log: str, way: str
) -> None:
    monkeypatch.setattr(spark_run, "SHARE", 400)
    source, bkt = written(tmp_path / "log", LOGS[log](), way), model()
    summary = engine.score(spark, source, out=tmp_path / "out", model=bkt)
    read = at.Log.read(source)
    expected = bkt.score(read)
    assert in_order(pq.read_table(tmp_path / "out")).equals(in_order(expected))
    assert summary == engine.Summary(
        STUDENTS * EACH, len(expected), FILES, way == "bucketed", () if log == "no clock" else read.notes
    )
    assert engine.stats(spark, source, model=bkt) == bkt.stats(at.Log.read(source))
    assert left_in(tmp_path) == {"log", "out"}


def test_mastery_fades_until_the_time_asked_for(spark: Any, tmp_path: Path) -> None:
    source, fading = written(tmp_path / "log", responses(), "mixed"), model(elapsed=True)
    moment = datetime.datetime(1970, 2, 1, tzinfo=datetime.UTC)
    engine.score(spark, source, out=tmp_path / "out", model=fading, time=moment)
    expected = fading.score(at.Log.read(source), time=moment)
    assert in_order(pq.read_table(tmp_path / "out")).equals(in_order(expected))


def test_columns_of_other_names_and_units_are_found(spark: Any, tmp_path: Path) -> None:
    table = responses(time=lambda random, n: random.integers(0, 9, n)).rename_columns(
        ["who is it", "item", "skill", "right?", "t"]
    )
    source, bkt = written_by_file(tmp_path / "log", table), model()
    given: dict[str, Any] = {"columns": {"student": "who is it", "correct": "right?", "time": "t"}, "time_unit": "s"}
    engine.score(spark, source, out=tmp_path / "out", model=bkt, **given)
    assert in_order(pq.read_table(tmp_path / "out")).equals(in_order(bkt.score(at.Log.read(source, **given))))


def written_by_file(folder: Path, table: pa.Table) -> Path:
    """The rows in files one after another, in a folder of a name that is hard on patterns and addresses."""
    place = folder / "a b%20[1]{2}" / "school=7"
    place.mkdir(parents=True)
    for each, (first, last) in enumerate([(0, 700), (700, 701), (701, len(table))]):
        pq.write_table(table.slice(first, last - first), place / f"#{each}.parquet")
    return folder


def test_one_student_in_two_files_is_found_among_many(spark: Any, tmp_path: Path) -> None:
    table, bkt = responses(), model()
    source = written(tmp_path / "log", table, "bucketed")
    last = pq.read_table(source / "3.parquet")
    visitor = last.slice(0, 1).set_column(0, "student", pa.array([2]))  # lives in file 2; files 0 and 1 say nothing
    pq.write_table(pa.concat_tables([last, visitor]), source / "3.parquet")
    assert not engine.score(spark, source, out=tmp_path / "out", model=bkt).bucketed
    assert in_order(pq.read_table(tmp_path / "out")).equals(in_order(bkt.score(at.Log.read(source))))


@pytest.mark.parametrize("bucketed", [True, False])
def test_files_may_differ_in_the_width_of_their_types(spark: Any, tmp_path: Path, bucketed: bool) -> None:
    source, bkt = written(tmp_path / "log", responses(), "bucketed"), model()
    table = pq.read_table(source / "1.parquet")
    nanoseconds = table.set_column(4, "time", table["time"].cast(pa.timestamp("ns", "UTC")))
    pq.write_table(nanoseconds.set_column(0, "student", table["student"].cast(pa.int16())), source / "1.parquet")
    engine.score(spark, source, out=tmp_path / "out", model=bkt, bucketed=bucketed)
    assert in_order(pq.read_table(tmp_path / "out")).equals(in_order(bkt.score(at.Log.read(source))))


def test_a_promise_is_taken_at_its_word(spark: Any, tmp_path: Path) -> None:
    source = written(tmp_path / "log", responses(), "mixed")
    summary = engine.score(spark, source, out=tmp_path / "out", model=model(), bucketed=True)
    assert summary.bucketed
    assert summary.rows > len(model().score(at.Log.read(source)))


def test_what_many_tasks_send_is_added_by_the_workers(spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spark_run, "FEW", 1)
    source, bkt = written(tmp_path / "log", responses(), "mixed"), model()
    assert engine.stats(spark, source, model=bkt, partitions=9) == bkt.stats(at.Log.read(source))


def test_stats_of_an_unfitted_model_fit_to_the_same(spark: Any, tmp_path: Path) -> None:
    source = written(tmp_path / "log", responses(), "bucketed")
    assert at.BKT().fit(engine.stats(spark, source, model=at.BKT())).to_dict() == at.BKT().fit(at.Log.read(source)).to_dict()


def test_no_rows_give_an_empty_table(spark: Any, tmp_path: Path) -> None:
    source = written(tmp_path / "log", responses().slice(0, 0), "mixed")
    assert engine.score(spark, source, out=tmp_path / "out", model=model()).rows == 0
    assert pq.read_table(tmp_path / "out").schema.equals(pq.read_schema(tmp_path / "out" / "part-00000.parquet"))


# ---- errors -----------------------------------------------------------------


@pytest.mark.parametrize("way", WAYS)
def test_bad_values_are_told_with_file_and_row_and_leave_nothing(spark: Any, tmp_path: Path, way: str) -> None:
    source = written(tmp_path / "log", responses(), way)
    for name, row in (("1.parquet", 4), ("3.parquet", 9)):
        table = pq.read_table(source / name)
        correct = table["correct"].to_pylist()
        correct[row] = 5
        pq.write_table(table.set_column(3, "correct", pa.array(correct)), source / name)
    with pytest.raises(DataError) as caught:
        engine.score(spark, source, out=tmp_path / "out", model=model())
    assert [(problem.file, problem.row, problem.got) for problem in caught.value.problems] == [
        ("1.parquet", 5, "5"),
        ("3.parquet", 10, "5"),
    ]
    assert left_in(tmp_path) == {"log"}


def test_a_file_with_damaged_pages_is_named(spark: Any, tmp_path: Path) -> None:
    source = written(tmp_path / "log", responses(), "bucketed")
    content = bytearray((source / "2.parquet").read_bytes())
    content[4:400] = bytes(396)
    (source / "2.parquet").write_bytes(content)
    with pytest.raises(DataError) as caught:
        engine.stats(spark, source, model=model())
    assert {problem.file for problem in caught.value.problems} == {"2.parquet"}


def test_a_folder_that_holds_something_is_refused_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine")
    with pytest.raises(OutputError, match="out: is there already"):
        engine.score(None, tmp_path / "no log", out=tmp_path / "out", model=model())  # type: ignore[arg-type]
    assert left_in(tmp_path / "out") == {"mine.txt"}


def test_a_place_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        engine.score(None, tmp_path, out=tmp_path / "no" / "out", model=model())  # type: ignore[arg-type]


def test_a_part_that_cannot_be_written_is_one_clear_error(spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(tmp_path / "log", responses(), "bucketed")
    monkeypatch.setattr(spark_tasks, "scoring", lambda folder, made=spark_tasks.scoring: made(str(tmp_path / "gone")))
    with pytest.raises(OutputError, match=r"part-0000\d\.parquet: cannot be written"):
        engine.score(spark, source, out=tmp_path / "out", model=model())
    assert left_in(tmp_path) == {"log"}


def test_parts_that_the_driver_does_not_see_are_an_error(spark: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = written(tmp_path / "log", responses(), "bucketed")
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.setattr(spark_tasks, "scoring", lambda folder, made=spark_tasks.scoring: made(str(tmp_path / "elsewhere")))
    with pytest.raises(OutputError, match="the workers wrote 4 parts and the driver sees 0"):
        engine.score(spark, source, out=tmp_path / "out", model=model())
    assert left_in(tmp_path) == {"log", "elsewhere"}


def test_an_attempt_after_an_attempt_leaves_one_part(tmp_path: Path) -> None:
    table, bkt = responses(), model()
    source = written(tmp_path / "log", table, "bucketed")
    dataset, _ = survey(source, ReadOptions())
    (tmp_path / "out").mkdir()
    work, job = spark_tasks.scoring(str(tmp_path / "out")), spark_tasks.SparkJob(dataset, bkt)
    first = spark_tasks.whole(job, 2, work)
    content = (tmp_path / "out" / "part-00002.parquet").read_bytes()
    assert spark_tasks.whole(job, 2, work) == first
    assert left_in(tmp_path / "out") == {"part-00002.parquet"}
    assert (tmp_path / "out" / "part-00002.parquet").read_bytes() == content


def test_what_stopped_tasks_left_does_not_get_into_the_output(tmp_path: Path) -> None:
    with spark_run.appearing(tmp_path / "out") as folder:
        (folder / ".part-00000.parquet.x.parquet").write_text("half")
        (folder / "part-00000.parquet").write_text("whole")
    assert left_in(tmp_path / "out") == {"part-00000.parquet"}


def test_models_that_cannot_do_it_are_refused() -> None:
    with pytest.raises(ModelError, match=r"score: Constant\(.*\) does not know mastery; expected .*: bkt, blend"):
        engine.score(None, "log", out="out", model=at.Constant())  # type: ignore[arg-type]
    with pytest.raises(ModelError, match=r"stats: Constant\(.*\) does not fit to counts; expected .*: bkt"):
        engine.stats(None, "log", model=at.Constant())  # type: ignore[arg-type]


def test_what_spark_lacks_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(engine, "find_spec", lambda name: object())
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("JAVA_HOME", raising=False)
    with pytest.raises(AdaptraceError, match=r"Spark cannot start: there is no java on the PATH; install Java 17"):
        engine.session("local[1]")
    monkeypatch.setenv("JAVA_HOME", "/nowhere")
    assert "in JAVA_HOME (/nowhere)" in engine.missing()
    monkeypatch.setattr(engine, "find_spec", lambda name: None)
    with pytest.raises(AdaptraceError, match=r'PySpark with its .sql. extra is not installed; pip install "adaptrace\[spark\]"'):
        engine.session("local[1]")


def test_workers_without_the_package_are_told() -> None:
    with pytest.raises(AdaptraceError, match="the Python of the workers has no adaptrace"), spark_run.installed():
        raise RuntimeError("ModuleNotFoundError: No module named 'adaptrace'")


def test_a_worker_keeps_to_one_thread(spark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    conf = dict(spark.sparkContext.getConf().getAll())
    assert engine.settings().items() <= conf.items()
    threads = (
        spark.sparkContext.parallelize([0], 1)
        .map(lambda _: __import__("adaptrace.kernels.parallel").kernels.parallel.cores())
        .collect()
    )
    assert threads == [1]
    monkeypatch.setenv("NUMBA_CACHE_DIR", "/code")
    assert engine.settings()["spark.executorEnv.NUMBA_CACHE_DIR"] == "/code"
    assert engine.settings(os.path.join("/", "mine"))["spark.executorEnv.NUMBA_CACHE_DIR"] == "/mine"
