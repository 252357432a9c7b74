"""A dataset scored piece by piece is the log scored at once, bit for bit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.dataset import partition
from reference import folders


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch) -> None:
    monkeypatch.setattr(partition, "MOST_ROWS", 200)


ORDERS = {
    "by student": lambda table: table.sort_by([("student", "ascending"), ("time", "ascending")]),
    "by time": lambda table: table,
    "at random": lambda table: table.take(np.random.default_rng(5).permutation(len(table))),
}


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("names", ["text", "numbers", "codes"])
@pytest.mark.parametrize("files", [1, 7])
def test_the_mastery_is_that_of_the_whole_log(order: str, names: str, files: int, tmp_path: Path) -> None:
    table = folders.responses(1, names=names)
    table = table.set_column(0, "student", table["student"].cast(pa.string()) if names == "codes" else table["student"])
    log, model = folders.write(ORDERS[order](table), tmp_path / "log", files), folders.model(names=names)
    scored = at.score_dataset(log, tmp_path / "out", model=model, workers=2)
    assert folders.mastery(tmp_path / "out").equals(folders.in_memory(model, log))
    assert (scored.responses, scored.rows) == (len(table), len(folders.mastery(tmp_path / "out")))


def test_a_row_group_larger_than_a_piece_is_read_bit_by_bit(tmp_path: Path) -> None:
    log, model = folders.write(folders.responses(2), tmp_path / "log", 1, row_group_size=5000), folders.model()
    at.score_dataset(log, tmp_path / "out", model=model, workers=2)
    assert len(list((tmp_path / "out").glob("*.parquet"))) > 5
    assert folders.mastery(tmp_path / "out").equals(folders.in_memory(model, log))


def test_rows_of_one_moment_keep_their_order_also_in_a_large_row_group(tmp_path: Path) -> None:
    table = folders.responses(2, 6000)
    table = table.set_column(3, "time", pa.array([table["time"][0].as_py()] * len(table), table.schema.field("time").type))
    log, model = folders.write(table, tmp_path / "log", 1, row_group_size=6000), folders.model()
    at.score_dataset(log, tmp_path / "out", model=model, workers=2)
    assert folders.mastery(tmp_path / "out").equals(folders.in_memory(model, log))


def test_before_needs_a_clock(tmp_path: Path) -> None:
    table = folders.responses(2, 100)
    log = folders.write(table.set_column(3, "time", pa.array(range(100))), tmp_path / "log", 1)
    with pytest.raises(at.DataError, match="got whole numbers in column 'time'; expected timestamps, which before needs"):
        at.score_dataset(log, tmp_path / "out", model=folders.model(), before=table["time"][5].as_py())


@pytest.mark.parametrize("order", ORDERS)
def test_what_varies_and_events_of_several_skills_are_no_different(order: str, tmp_path: Path) -> None:
    log = folders.write(ORDERS[order](folders.responses(3, several=True)), tmp_path / "log", 5)
    options = {"items": ("guess",), "kinds": ("slip",), "elapsed": True, "combine": "mean"}
    model = at.BKT(**options).fit(at.Log.from_arrow(folders.responses(4, several=True)))
    at.score_dataset(log, tmp_path / "out", model=model, workers=2)
    assert folders.mastery(tmp_path / "out").equals(folders.in_memory(model, log))


def test_rows_of_one_event_are_one_event_in_whichever_files_they_stand(tmp_path: Path) -> None:
    table = folders.responses(5)
    table = table.append_column("event_id", pa.array(np.arange(len(table)) // 2))  # the same ids twice, of different students
    table = table.set_column(1, "item", pa.array(np.arange(len(table)) // 2)).set_column(2, "correct", pa.array([1] * len(table)))
    again = table.slice(100, 300)  # delivered twice
    log, model = folders.write(pa.concat_tables([table, again]), tmp_path / "log", 5), folders.model()
    at.score_dataset(log, tmp_path / "out", model=model, workers=2)
    of_student = table.set_column(
        table.column_names.index("event_id"),
        "event_id",
        pa.array([f"{row['event_id']} {row['student']}" for row in table.to_pylist()]),
    )
    assert folders.mastery(tmp_path / "out").equals(folders.plain(model.score(at.Log.from_arrow(of_student))))


def test_a_model_of_another_family_that_knows_mastery_scores_too(tmp_path: Path) -> None:
    table = folders.responses(6)
    log, model = folders.write(table, tmp_path / "log", 3), at.Blend().fit(at.Log.from_arrow(table))
    at.score_dataset(log, tmp_path / "out", model=model, workers=2)
    assert folders.mastery(tmp_path / "out").equals(folders.in_memory(model, log))


def test_folders_that_hold_columns_are_read(tmp_path: Path) -> None:
    table, model = folders.responses(7), folders.model()
    for skill in table["skill"].unique().to_pylist():
        mine = table.filter(pa.compute.equal(table["skill"], skill)).drop_columns(["skill"])
        folders.write(mine, tmp_path / "log" / f"skill={skill}", 2)
    at.score_dataset(tmp_path / "log", tmp_path / "out", model=model, workers=2)
    assert folders.mastery(tmp_path / "out").equals(folders.plain(model.score(at.Log.from_arrow(table))))


def test_before_a_moment_is_mastery_as_it_was(tmp_path: Path) -> None:
    table, model = folders.responses(8), folders.model()
    log, moment = folders.write(table, tmp_path / "log", 4), table["time"][700].as_py()
    at.score_dataset(log, tmp_path / "out", model=model, before=moment, workers=2)
    assert folders.mastery(tmp_path / "out").equals(folders.plain(model.score(at.Log.from_arrow(table.slice(0, 700)))))
