"""Two students of one hash stay two students: whatever the hash, results are those without one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.dataset import partition, spark_tasks, student_keys
from adaptrace.dataset.dataset import ReadOptions
from adaptrace.dataset.spark_tasks import COUNTING, SparkJob
from adaptrace.dataset.student_keys import StudentIndex
from adaptrace.dataset.survey import survey
from reference import folders


@pytest.fixture(params=[1, 3], ids=["one-hash", "three-hashes"], autouse=True)
def few_hashes(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """All students share so many hashes."""

    def keys_of(names: pa.Array) -> np.ndarray:
        lengths = [sum(map(ord, str(name))) for name in names.to_pylist()]
        return np.array([length % request.param for length in lengths], np.uint64)

    for module in (student_keys, spark_tasks):
        monkeypatch.setattr(module, "keys_of", keys_of)


def whole(log: Path, model: at.BKT) -> pa.Table:
    return folders.plain(model.score(at.Log.read(log)))


def test_an_index_tells_names_of_one_hash_apart() -> None:
    index = StudentIndex(pa.array(["Ada", "Bo", "Cem"]))
    assert index.find(pa.array(["Cem", "Dan", "Bo", "Ada", "Bo"])).tolist() == [2, -1, 1, 0, 1]
    assert index.find(pa.array(["Bo", "Zoe"]).dictionary_encode().dictionary).tolist() == [1, -1]


@pytest.mark.parametrize("names", ["text", "numbers", "codes"])
def test_a_dataset_is_scored_as_its_log(names: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(partition, "MOST_ROWS", 200)
    log, model = folders.write(folders.responses(5, names=names), tmp_path / "log", 4), folders.model()
    at.score_dataset(log, tmp_path / "out", model=model, workers=2)
    assert folders.plain(pq.read_table(tmp_path / "out")).equals(whole(log, model))


def test_a_state_carries_every_student_on_also_with_late_rows(tmp_path: Path) -> None:
    table, model = folders.responses(6), folders.model()
    parts = [table.slice(0, 800), table.slice(1200), table.slice(800, 400)]  # the last is late
    (tmp_path / "log").mkdir()
    for number, part in enumerate(parts):
        pq.write_table(part, tmp_path / "log" / f"night-{number}.parquet")
        at.score_dataset(tmp_path / "log", tmp_path / "out", model=model, state=tmp_path / "state")
        assert folders.plain(pq.read_table(tmp_path / "out")).equals(whole(tmp_path / "log", model))


def test_the_tasks_of_a_cluster_count_every_student(tmp_path: Path) -> None:
    log, model = folders.write(folders.responses(7), tmp_path / "log", 3), folders.model()
    dataset, _ = survey(log, ReadOptions.of(model, columns=None, time_unit=None))
    job = SparkJob(dataset, model)
    bundles = [bundle for number in range(3) for bundle in spark_tasks.split(job, number, 4)]
    assert spark_tasks.repeated([spark_tasks.students(dataset, number) for number in range(3)])
    assert spark_tasks.gathered(job, bundles, COUNTING).value == model.stats(at.Log.read(log))
