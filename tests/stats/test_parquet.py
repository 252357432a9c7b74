"""Stats on disk, with small counts out of sight, and added up over districts."""

from __future__ import annotations

import contextlib
from itertools import permutations
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.errors import ModelError, OutputError
from adaptrace.stats import parquet
from adaptrace.stats.merge import merged
from adaptrace.stats.stats import Stats, added
from reference.districts import as_log, district, joined, rolled_up, sequences
from reference.school import random_log

THETA = np.array([[0.4, 0.15, 0.2, 0.1], [0.2, 0.1, 0.15, 0.05], [0.6, 0.2, 0.25, 0.15]])
MODELS = {
    "plain": at.BKT(),
    "item and gap": at.BKT(items=("guess",), elapsed=True),
    "kind": at.BKT(kinds=("slip",)),
    "group": at.BKT(groups=("prior",)),
    "student": at.BKT(students=("prior",)),
}


def districts() -> list[at.Log]:
    return [district(name, THETA, students=n, seed=seed) for seed, (name, n) in enumerate((("n", 300), ("s", 200), ("w", 250)))]


def nothing() -> Stats:
    columns = {"student": pa.string(), "item": pa.string(), "skill": pa.string(), "correct": pa.int64()}
    return at.BKT().stats(at.Log.from_arrow(pa.schema(columns.items()).empty_table()))


def parameters(model: at.BKT) -> np.ndarray:
    return np.stack(model.parameters, axis=1)


# ---- the file ---------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_what_is_loaded_is_what_was_saved(name: str, tmp_path: Path) -> None:
    log = random_log(several=True)  # with partial credit
    stats = at.BKT(combine="mean").fit(log).stats(log) if name == "plain" else MODELS[name].stats(log)
    assert min(stats.observations["weight"].to_pylist()) < 1.0
    assert name != "plain" or max(stats.observations["rest"].to_pylist()) > 0.0
    stats.save(tmp_path / "x.parquet")
    loaded = Stats.load(tmp_path / "x.parquet")
    assert loaded == stats
    assert [each.dtype for each in loaded.trie] == [each.dtype for each in stats.trie]
    assert loaded.observations.schema == stats.observations.schema
    assert loaded + stats == stats + stats  # what was loaded can be gone on with


def test_stats_of_nothing_can_be_kept(tmp_path: Path) -> None:
    nothing().save(tmp_path / "x.parquet")
    assert Stats.load(tmp_path / "x.parquet") == nothing()


def test_the_file_is_a_small_part_of_the_log(tmp_path: Path) -> None:
    log = district("n", THETA, students=5000, seed=0, mean=12)
    at.BKT().stats(log).save(tmp_path / "x.parquet")
    assert (tmp_path / "x.parquet").stat().st_size < 0.05 * 6 * len(log)  # 6 bytes a response: 600 MB for 10^8


def test_the_file_says_where_its_counts_came_from(tmp_path: Path) -> None:
    came = [{"file": "a.parquet", "identity": "12"}, {"file": "b.parquet", "identity": "34"}]
    nothing().save(tmp_path / "x.parquet", sources=came)
    assert parquet.sources(tmp_path / "x.parquet") == came


def test_no_student_stands_in_the_file_unless_the_model_asks_for_them(tmp_path: Path) -> None:
    log = district("Ada", THETA, students=30, seed=0)
    at.BKT().stats(log).save(tmp_path / "x.parquet")
    assert b"Ada1" not in (tmp_path / "x.parquet").read_bytes()
    assert at.BKT(students=("prior",)).stats(log).factors == ("student",)


def test_every_damage_is_an_error_or_none_at_all(tmp_path: Path) -> None:
    stats, path = at.BKT(forget=False).stats(district("n", THETA[:1], students=5, seed=0)), tmp_path / "x.parquet"
    stats.save(path)
    whole = path.read_bytes()
    for place in range(0, len(whole), 3):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x55]) + whole[place + 1 :])
        with contextlib.suppress(ModelError):
            assert Stats.load(path) == stats, place
    for size in range(0, len(whole), 50):
        path.write_bytes(whole[:size])
        with pytest.raises(ModelError, match="cut short"):
            Stats.load(path)


def test_other_files_are_told_apart_by_name(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"nowhere.parquet: no such file"):
        Stats.load(tmp_path / "nowhere.parquet")
    pq.write_table(pa.table({"a": [1]}), tmp_path / "log.parquet")
    with pytest.raises(ModelError, match=r"log.parquet: not stats; expected .*adaptrace stats"):
        Stats.load(tmp_path / "log.parquet")
    nothing().save(tmp_path / "x.parquet")
    table = pq.read_table(tmp_path / "x.parquet")
    newer = {**table.schema.metadata, b"schema": b"999"}
    pq.write_table(table.replace_schema_metadata(newer), tmp_path / "new.parquet")
    with pytest.raises(ModelError, match=r"schema 999, this version reads up to .*upgrade"):
        Stats.load(tmp_path / "new.parquet")


def test_a_changed_count_does_not_pass(tmp_path: Path) -> None:
    at.BKT().stats(districts()[0]).save(tmp_path / "x.parquet")
    table = pq.read_table(tmp_path / "x.parquet")
    lists = table["ends"].combine_chunks()
    more = pa.LargeListArray.from_arrays(lists.offsets, pa.array(np.asarray(lists.flatten()) + 1))
    edited = table.set_column(3, "ends", more).replace_schema_metadata(table.schema.metadata)
    pq.write_table(edited, tmp_path / "x.parquet")
    with pytest.raises(ModelError, match="edited or damaged"):
        Stats.load(tmp_path / "x.parquet")


def test_a_place_that_cannot_be_written_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        nothing().save(tmp_path / "no" / "x.parquet")


# ---- adding -----------------------------------------------------------------


@pytest.mark.parametrize("few", [1_000_000, 0])
def test_the_stats_of_many_logs_are_those_of_all_rows(few: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("adaptrace.stats.stats.FEW_NODES", few)  # added at the end, or while they come
    sample = at.sample_log()  # with symbols that not every part has
    names = np.array(sample.students.to_pylist())[sample.table["student"].chunk(0).indices]
    last = np.array([int(name.encode()[-1]) for name in names]) % 7
    parts = [sample.table.filter(pa.array(last == part)) for part in range(7)]
    for model in (at.BKT(), at.BKT(items=("guess",))):
        logs = (at.Log.from_arrow(part) for part in parts)
        assert added(map(model.stats, logs)) == model.stats(sample)


def test_no_log_has_no_stats() -> None:
    with pytest.raises(ValueError, match="no stats"):
        added([])


def test_the_pooled_fit_is_the_fit_of_all_rows_bit_for_bit(tmp_path: Path) -> None:
    logs, paths = districts(), [tmp_path / f"{n}.parquet" for n in range(3)]
    for log, path in zip(logs, paths, strict=True):
        at.BKT().stats(log).save(path)
    pooled, everyone = at.BKT().fit(merged(paths)[0]), at.BKT().fit(joined(*logs))
    assert np.array_equal(parameters(pooled), parameters(everyone))
    assert np.array_equal(pooled.table.covariance, everyone.table.covariance)


def test_the_order_of_merging_changes_nothing_and_one_file_is_itself(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.parquet" for n in range(3)]
    for log, path in zip(districts(), paths, strict=True):
        at.BKT().stats(log).save(path)
    first = merged(paths)[0]
    assert all(merged(order)[0] == first for order in permutations(paths))
    assert merged(paths[:1])[0] == Stats.load(paths[0])


def test_a_merge_names_every_file_that_does_not_fit(tmp_path: Path) -> None:
    log = at.sample_log()
    for name, model in (("plain", at.BKT()), ("items", at.BKT(items=("slip",))), ("kinds", at.BKT(kinds=("slip",)))):
        model.stats(log).save(tmp_path / name)
    with pytest.raises(ModelError) as caught:
        merged([tmp_path / name for name in ("plain", "items", "missing", "kinds")])
    told = str(caught.value)
    for part in ("items: tells apart item", "kinds: tells apart kind", "missing: no such file"):
        assert part in told


def test_no_log_is_counted_twice(tmp_path: Path) -> None:
    stats = at.BKT().stats(districts()[0])
    stats.save(tmp_path / "a", sources=[{"file": "n.parquet", "identity": "1"}])
    stats.save(tmp_path / "b", sources=[{"file": "s.parquet", "identity": "2"}, {"file": "copy.parquet", "identity": "1"}])
    stats.save(tmp_path / "c")
    with pytest.raises(ModelError, match=r"b: counts 'copy.parquet', which .*a counts too"):
        merged([tmp_path / "a", tmp_path / "b"])
    with pytest.raises(ModelError, match="c counts too"):
        merged([tmp_path / "c", tmp_path / "c"])
    assert merged([tmp_path / "a", tmp_path / "c"])[1] == [{"file": "n.parquet", "identity": "1"}]


# ---- suppression ------------------------------------------------------------


@pytest.mark.parametrize("minimum", [2, 5, 10, 40])
def test_every_count_is_of_enough_students(minimum: int) -> None:
    for log in districts():
        before = at.BKT().stats(log)
        after, loss = before.suppressed(minimum)
        cells = sequences(after)
        assert min(cells.values()) >= minimum  # and so every sum or difference of counts of prefixes
        assert loss.responses == before.responses.sum() == len(log)
        assert loss.kept == sum(len(path) * count for (_, path), count in cells.items())


def test_nobody_gets_answers_that_they_did_not_give() -> None:
    """Who is shown with a prefix is at most who has it, and nobody is shown twice."""
    before = at.BKT().stats(districts()[0])
    after = before.suppressed(5)[0]
    had, shown = sequences(before), sequences(after)
    for skill, path in shown:
        passed = [sum(n for (s, p), n in each.items() if s == skill and p[: len(path)] == path) for each in (had, shown)]
        assert passed[1] <= passed[0]


def test_nothing_is_lost_where_nothing_is_small() -> None:
    stats = at.BKT().stats(districts()[0])
    same, loss = stats.suppressed(1)
    assert same == stats
    assert (loss.share, loss.students, loss.skills) == (0.0, 0, 0)


def test_a_skill_that_few_met_is_gone_by_name() -> None:
    log = joined(district("n", THETA[:2], students=8, seed=0), district("s", THETA[:1], students=300, seed=1))
    stats, loss = at.BKT().stats(log).suppressed(10)
    assert stats.skills.to_pylist() == ["s0"]
    assert (loss.skills, loss.students) == (1, 8)
    assert "1 skill left out" in str(loss)


def test_rare_names_are_gone_too(tmp_path: Path) -> None:
    log = joined(district("n", THETA[:1], students=400, seed=0))
    item = pa.array(["rare" if row < 8 else "usual" for row in range(len(log))])
    named = at.Log.from_arrow(log.table.set_column(log.table.column_names.index("item"), "item", item))
    stats, _ = at.BKT(items=("slip",)).stats(named).suppressed(10)
    assert len(stats.skills) == 1
    assert set(stats.observations["item"].to_pylist()) == {"usual"}


def test_students_are_not_hidden_by_a_minimum() -> None:
    with pytest.raises(ModelError, match="name students"):
        at.BKT(students=("prior",)).stats(districts()[0]).suppressed(10)
    with pytest.raises(ValueError, match="got 0"):
        nothing().suppressed(0)


def test_suppression_hardly_biases_a_fit_where_the_naive_way_does() -> None:
    log = district("n", THETA, students=2000, seed=3)
    model, stats = at.BKT(forget=False), at.BKT().stats(log)
    ours = model.fit(stats.suppressed(10)[0])
    naive = model.fit(as_log(rolled_up(sequences(stats), 10)))
    full = parameters(model.fit(stats))[:3]
    away = [np.abs(parameters(each)[:3] - full).mean(axis=0)[[0, 4]] for each in (ours, naive)]  # of prior and slip
    assert (away[0] < 0.015).all()
    assert (away[1] > 0.025).all()


def test_added_is_the_sum() -> None:
    parts = [at.BKT().stats(log) for log in districts()]
    assert added(iter(parts)) == sum(parts)
