"""Yesterday's state and today's rows give what scoring everything anew gives, bit for bit."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.dataset import incremental, partition
from reference import folders


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch) -> None:
    monkeypatch.setattr(partition, "MOST_ROWS", 400)


def add(folder: Path, number: int, table: pa.Table) -> None:
    folder.mkdir(exist_ok=True)
    pq.write_table(table, folder / f"night-{number:02d}.parquet")


def anew(log: Path, model: at.BKT, place: Path, **options: object) -> pa.Table:
    at.score_dataset(log, place, model=model, workers=2, **options)
    return folders.mastery(place)


MODELS = {
    "plain": {},
    "everything": {"items": ("guess",), "kinds": ("slip",), "groups": ("prior",), "elapsed": True},
}


def with_groups(table: pa.Table) -> pa.Table:
    group = [f"g{len(name) % 2}" for name in table["student"].cast(pa.string()).to_pylist()]
    return table.append_column("group", pa.array(group))


@pytest.mark.parametrize("names", ["text", "numbers"])
@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("options", MODELS)
@pytest.mark.parametrize("compact", [1, 15])
def test_every_night_ends_where_scoring_anew_does(names, several, options, compact, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(incremental, "MOST_LATER", compact)
    monkeypatch.setattr(incremental, "MOST_ROWS", 120)
    table = with_groups(folders.responses(1, 1500, names=names, several=several))
    model = at.BKT(**MODELS[options]).fit(
        at.Log.from_arrow(with_groups(folders.responses(2, 3000, names=names, several=several)))
    )
    log, out, state = tmp_path / "log", tmp_path / "out", tmp_path / "state"
    few = pc.less(pa.array(np.arange(1500) % 40), 25)  # some students come later
    edges = [0, 900, 1000, 1001, 1200, 1500]
    for number, (first, last) in enumerate(pairwise(edges)):
        part = table.slice(first, last - first)
        add(log, number, part.filter(few.slice(first, last - first)) if number < 2 else part)
        at.score_dataset(log, out, model=model, state=state, workers=2)
        assert folders.mastery(out).equals(anew(log, model, tmp_path / f"anew-{number}"))


def test_students_who_come_when_the_last_part_is_full_get_one_of_their_own(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(incremental, "MOST_ROWS", 1)
    table, model = folders.responses(1, 900), folders.model()
    early = pc.less(pc.utf8_length(table["student"]), len("student-10"))
    add(tmp_path / "log", 0, table.slice(0, 600).filter(early.slice(0, 600)))
    at.score_dataset(tmp_path / "log", tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    add(tmp_path / "log", 1, table.slice(600))
    at.score_dataset(tmp_path / "log", tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    assert folders.mastery(tmp_path / "out").equals(anew(tmp_path / "log", model, tmp_path / "anew"))
    assert (tmp_path / "state" / "0002-new.parquet").exists()


@pytest.mark.parametrize("groups", [0, 1])
@pytest.mark.parametrize("changed", [False, True])
def test_a_state_may_begin_with_a_log_of_no_rows(groups: int, changed: bool, tmp_path: Path) -> None:
    table, model = folders.responses(1, 300), folders.model()
    (tmp_path / "log").mkdir()
    with pq.ParquetWriter(tmp_path / "log" / "empty.parquet", table.schema) as writer:
        for _ in range(groups):
            writer.write_table(table.slice(0, 0))
    options = {"model": model, "state": tmp_path / "state", "workers": 2}
    assert at.score_dataset(tmp_path / "log", tmp_path / "out", **options).rows == 0
    assert at.score_dataset(tmp_path / "log", tmp_path / "out", changed=changed, **options).rows == 0
    add(tmp_path / "log", 1, table)
    at.score_dataset(tmp_path / "log", tmp_path / "out", changed=changed, **options)
    assert folders.mastery(tmp_path / "out").equals(folders.plain(model.score(at.Log.from_arrow(table))))


def test_todays_folder_alone_is_enough(tmp_path: Path) -> None:
    table, model = folders.responses(3), folders.model()
    whole = folders.write(table, tmp_path / "log", 4)
    for number, first in enumerate(range(0, 2000, 500)):
        add(tmp_path / f"day-{number}", number, table.slice(first, 500))
        at.score_dataset(tmp_path / f"day-{number}", tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    assert folders.mastery(tmp_path / "out").equals(anew(whole, model, tmp_path / "anew"))


def test_tonights_file_may_be_called_like_last_nights_in_a_folder_of_its_own(tmp_path: Path) -> None:
    table, model = folders.responses(3, 900), folders.model()
    for number in range(3):
        add(tmp_path / f"day-{number}", 0, table.slice(300 * number, 300))
        at.score_dataset(tmp_path / f"day-{number}", tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    assert folders.mastery(tmp_path / "out").equals(folders.plain(model.score(at.Log.from_arrow(table))))


def test_a_file_that_grew_is_not_counted_twice(tmp_path: Path) -> None:
    table, model = folders.responses(3, 600), folders.model()
    add(tmp_path / "log", 0, table.slice(0, 300))
    at.score_dataset(tmp_path / "log", tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    add(tmp_path / "log", 0, table)
    with pytest.raises(at.DataError, match=r"1 files are not there, e\.g\. night-00\.parquet"):
        at.score_dataset(tmp_path / "log", tmp_path / "out", model=model, state=tmp_path / "state", workers=2)


def test_a_night_without_rows_changes_nothing(tmp_path: Path) -> None:
    log, model = folders.write(folders.responses(4), tmp_path / "log", 4), folders.model()
    at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    before = folders.mastery(tmp_path / "out")
    scored = at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    assert scored.responses == 0
    assert folders.mastery(tmp_path / "out").equals(before)


def test_a_night_on_which_nothing_changed_writes_an_empty_table(tmp_path: Path) -> None:
    log, model = folders.write(folders.responses(4), tmp_path / "log", 4), folders.model()
    at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    at.score_dataset(log, tmp_path / "moved", model=model, state=tmp_path / "state", changed=True, workers=2)
    assert pq.read_table(tmp_path / "moved").num_rows == 0


def test_changed_writes_the_rows_that_moved(tmp_path: Path) -> None:
    table, model = folders.responses(5), folders.model()
    add(tmp_path / "log", 0, table.slice(0, 1900))
    at.score_dataset(tmp_path / "log", tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    before = folders.mastery(tmp_path / "out")
    add(tmp_path / "log", 1, table.slice(1900))
    at.score_dataset(tmp_path / "log", tmp_path / "moved", model=model, state=tmp_path / "state", changed=True, workers=2)
    moved, after = folders.mastery(tmp_path / "moved"), anew(tmp_path / "log", model, tmp_path / "anew")
    tonight = {(row["student"], row["skill"]) for row in table.slice(1900).to_pylist()}
    assert [(row["student"], row["skill"]) for row in moved.to_pylist()] == sorted(tonight)
    kept = [row for row in before.to_pylist() if (row["student"], row["skill"]) not in tonight]
    whole = sorted([*kept, *moved.to_pylist()], key=lambda row: (row["student"], row["skill"]))
    assert whole == after.to_pylist()


@pytest.mark.parametrize("options", MODELS)
def test_late_rows_have_their_students_scored_anew(options: str, tmp_path: Path) -> None:
    table, log = with_groups(folders.responses(6, 1500)), tmp_path / "log"
    model = at.BKT(**MODELS[options]).fit(at.Log.from_arrow(with_groups(folders.responses(2, 3000))))
    held = pa.array(np.isin(np.arange(1500), [100, 101, 500, 777]))
    add(log, 1, table.slice(0, 1200).filter(pc.invert(held.slice(0, 1200))))
    at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    add(log, 0, pa.concat_tables([table.filter(held), table.slice(1200)]))
    scored = at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    assert scored.late == len(set(table.filter(held)["student"].to_pylist()))
    assert folders.mastery(tmp_path / "out").equals(anew(log, model, tmp_path / "anew"))


def test_an_event_delivered_again_another_night_counts_once(tmp_path: Path) -> None:
    table, log = folders.responses(7, 1200), tmp_path / "log"
    table, model = table.append_column("event_id", pa.array(np.arange(1200))), folders.model()
    add(log, 0, table.slice(0, 1000))
    at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    add(log, 1, pa.concat_tables([table.slice(900, 50), table.slice(1000)]))
    at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    assert folders.mastery(tmp_path / "out").equals(folders.plain(model.score(at.Log.from_arrow(table))))


def test_late_rows_without_the_log_are_one_error_and_change_nothing(tmp_path: Path) -> None:
    table, model = folders.responses(8), folders.model()
    add(tmp_path / "first", 0, table.slice(1000))
    at.score_dataset(tmp_path / "first", tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    before = {path: path.read_bytes() for folder in ("out", "state") for path in (tmp_path / folder).iterdir()}
    add(tmp_path / "second", 1, table.slice(0, 5))
    with pytest.raises(at.DataError, match=r"got rows of \d students that are no later .* 1 files are not there, e.g. night-00"):
        at.score_dataset(tmp_path / "second", tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    assert {path: path.read_bytes() for folder in ("out", "state") for path in (tmp_path / folder).iterdir()} == before


def test_a_night_with_more_rows_than_fit_scores_the_whole_log_or_says_so(tmp_path: Path) -> None:
    table, model = folders.responses(9), folders.model()
    add(tmp_path / "log", 0, table.slice(0, 500))
    at.score_dataset(tmp_path / "log", tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    add(tmp_path / "log", 1, table.slice(500))
    at.score_dataset(tmp_path / "log", tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    assert folders.mastery(tmp_path / "out").equals(folders.in_memory(model, tmp_path / "log"))
    add(tmp_path / "more", 2, folders.responses(10, 1000))
    with pytest.raises(at.DataError, match="got 1,000 new rows; expected at most 800 at a time"):
        at.score_dataset(tmp_path / "more", tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
