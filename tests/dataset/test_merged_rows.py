"""A row per skill is one event at every door, however the rows are spread over files and nights."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.dataset import incremental, partition
from adaptrace.dataset import spark as engine
from adaptrace.dataset.stats import logs_of, stats_dataset
from reference import folders

NOTES = ("1,200 rows merged into 1,200 events", "names of skills hold '|'")


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch) -> None:
    monkeypatch.setattr(partition, "MOST_ROWS", 400)
    monkeypatch.setattr(incremental, "MOST_ROWS", 120)


def row_per_skill(clock: bool = True) -> tuple[pa.Table, pa.Table]:
    """The same responses as rows of one skill each, those of one event not beside each other, and as lists of skills."""
    random, n = np.random.default_rng(5), 1200
    skill = random.integers(0, 6, n)
    pairs = [[f"k|{each}", f"k|{(each + 1) % 6}"] for each in skill]
    columns = {
        "student": pa.array([f"s{each}" for each in random.integers(0, 30, n)]),
        "item": pa.array(skill),
        "correct": pa.array(random.integers(0, 2, n)),
        "order": pa.array(np.arange(n)),
        "response_ms": pa.array(random.random(n)),
    }
    if clock:
        columns["time"] = pa.array(1_600_000_000_000_000 + np.arange(n) * 1_000_000, pa.timestamp("us", "UTC"))
    lists = pa.table({**columns, "skills": pairs})
    rows = pa.concat_tables([pa.table({**columns, "skill": [pair[at] for pair in pairs]}) for at in (0, 1)])
    return rows.sort_by([("order", "ascending"), ("skill", "ascending")]), lists


def mastery(folder: Path, model: at.BKT, out: Path, **options: object) -> tuple[pa.Table, tuple[str, ...]]:
    scored = at.score_dataset(folder, out, model=model, workers=2, **options)
    return folders.mastery(out), scored.notes


@pytest.mark.parametrize("clock", [True, False])
@pytest.mark.parametrize("options", [{}, {"items": ("guess",)}])
def test_rows_in_any_files_give_the_mastery_of_lists(clock, options, tmp_path: Path) -> None:
    rows, lists = row_per_skill(clock)
    model = at.BKT(forget=False, **options).fit(at.Log.from_arrow(lists))
    wanted, _ = mastery(folders.write(lists, tmp_path / "lists", 1), model, tmp_path / "a")
    shuffled = rows.take(pa.array(np.random.default_rng(1).permutation(len(rows))))
    for number, table in enumerate((rows, shuffled)):
        got, notes = mastery(folders.write(table, tmp_path / f"rows{number}", 3), model, tmp_path / f"b{number}")
        assert got == wanted
        assert [note.startswith(start) for note, start in zip(notes, NOTES, strict=True)] == [True, True]
        assert (
            stats_dataset(tmp_path / f"rows{number}", model).trie.students.sum()
            == model.stats(at.Log.from_arrow(lists)).trie.students.sum()
        )
        assert sum(len(log) for log in logs_of(tmp_path / f"rows{number}", model)) == len(lists)
    apart, notes = mastery(tmp_path / "rows0", model, tmp_path / "c", merge=False)
    assert apart != wanted
    assert len(notes) == 1


def test_an_event_that_two_nights_share_is_one(tmp_path: Path) -> None:
    rows, lists = row_per_skill()
    model = at.BKT(forget=False).fit(at.Log.from_arrow(lists))
    wanted, _ = mastery(folders.write(lists, tmp_path / "lists", 1), model, tmp_path / "a")
    log, edges = tmp_path / "log", [0, 1001, 1701, 2400]  # two of them between the rows of an event
    log.mkdir()
    for night, (first, last) in enumerate(pairwise(edges)):
        pq.write_table(rows.slice(first, last - first), log / f"{night}.parquet")
        got, notes = mastery(log, model, tmp_path / "out", state=tmp_path / "state")
        assert notes[0].endswith("to keep them apart")
    assert got == wanted


@pytest.mark.parametrize(("before", "now"), [(True, False), (False, True)])
def test_a_run_that_goes_on_in_another_way_says_so(before: bool, now: bool, tmp_path: Path) -> None:
    rows, lists = row_per_skill()
    model, log = at.BKT(forget=False).fit(at.Log.from_arrow(lists)), tmp_path / "log"
    log.mkdir()
    notes = []
    for night, merge in enumerate((before, before, now, before)):
        pq.write_table(rows.slice(600 * night, 600), log / f"{night}.parquet")
        _, said = mastery(log, model, tmp_path / "out", state=tmp_path / "state", merge=merge)
        notes.append([note for note in said if "the runs that made the state" in note])
    assert [len(each) for each in notes] == [0, 0, 1, 0]


@pytest.mark.parametrize("files", [1, 3])
@pytest.mark.filterwarnings("ignore:PySpark does not yet fully support:FutureWarning", "ignore::ResourceWarning")
def test_spark_gives_the_same(spark, files, tmp_path: Path) -> None:
    rows, lists = row_per_skill()
    model = at.BKT(forget=False).fit(at.Log.from_arrow(lists))
    wanted, notes = mastery(folders.write(rows, tmp_path / "rows", files), model, tmp_path / "a")
    summary = engine.score(spark, tmp_path / "rows", out=tmp_path / "b", model=model)
    assert folders.mastery(tmp_path / "b") == wanted
    assert summary.notes == notes
    assert (
        engine.stats(spark, tmp_path / "rows", model=model).trie.students.sum()
        == model.stats(at.Log.from_arrow(lists)).trie.students.sum()
    )
