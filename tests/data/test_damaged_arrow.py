"""Arrow data that lie about their own memory are refused at every door: no crash, no raw exception, no wrong name."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.data import schema
from adaptrace.evaluate import metrics
from adaptrace.io import arrow_check
from adaptrace.stats import parquet
from fuzz import seeds


def bad_code() -> pa.Array:
    """The second of two rows is name 7 of one."""
    return pa.DictionaryArray.from_arrays(pa.array([0, 7], pa.int32()), pa.array(["Ada"]), safe=False)


def bad_offset(kind: pa.DataType = pa.string()) -> pa.Array:
    """The name of the first row ends far outside the text."""
    width = np.int64 if pa.types.is_large_string(kind) else np.int32
    return pa.Array.from_buffers(kind, 2, [None, pa.py_buffer(np.array([0, 2**30, 6], width)), pa.py_buffer(b"AdaBoB")])


def no_utf8() -> pa.Array:
    """The first name holds a byte that UTF-8 does not know."""
    offsets = pa.py_buffer(np.array([0, 3, 6], np.int32))
    return pa.Array.from_buffers(pa.string(), 2, [None, offsets, pa.py_buffer(b"A\xffaBoB")])


BAD = {"code": bad_code, "offset": bad_offset, "large offset": lambda: bad_offset(pa.large_string()), "utf8": no_utf8}
each_damage = pytest.mark.parametrize("bad", BAD.values(), ids=list(BAD))


def log_of(array: pa.Array, column: str) -> pa.Table:
    good = {"student": ["Ada", "Bo"], "item": ["q1", "q2"], "skill": ["halves", "halves"], "correct": [0, 1]}
    return pa.table({**good, column: array})


# ---- the check --------------------------------------------------------------


@each_damage
@pytest.mark.parametrize("column", ["student", "item", "skill", "kind", "event_id"])
def test_a_damaged_column_is_named(bad: Callable[[], pa.Array], column: str) -> None:
    with pytest.raises(at.DataError) as error:
        at.Log.from_arrow(log_of(bad(), column))
    (problem,) = error.value.problems
    assert (problem.column, problem.expected, problem.remedy) == (column, arrow_check.EXPECTED, arrow_check.REMEDY)
    assert "\n" not in str(error.value)


def test_all_damaged_columns_are_told_at_once() -> None:
    table = log_of(bad_code(), "student").set_column(1, "item", no_utf8())
    with pytest.raises(at.DataError) as error:
        at.Log.from_arrow(table)
    assert [problem.column for problem in error.value.problems] == ["student", "item"]


def test_columns_that_are_not_looked_at_do_not_matter_unless_kept() -> None:
    table = log_of(bad_code(), "comment")
    assert len(at.Log.from_arrow(table)) == 2
    with pytest.raises(at.DataError, match="comment"):
        at.Log.from_arrow(table, keep=["comment"])


def test_levels_are_not_looked_up_in_damaged_kinds() -> None:
    table = log_of(bad_code(), "kind").append_column("level", pa.array([1, 1]))
    with pytest.raises(at.DataError, match="column 'kind': got codes from 0 to 7 of 1 names"):
        at.Log.from_arrow(table, levels={"Ada": 3})


def arrays(number: int) -> pa.Array:
    """A random array of one of many types, a part of a longer one, with some nulls."""
    draw = np.random.default_rng(number)
    words = np.array(["a", "bc", "", "défi", "hyper"] if number % 2 else ["a", "bc", "", "plain", "hyper"], object)
    values = [None if draw.random() < 0.1 else str(word) for word in words[draw.integers(0, 5, 40)]]
    text = pa.array(values, pa.large_string() if number % 3 else pa.string())
    lists = pa.ListArray.from_arrays(pa.array(np.arange(0, 41, 2), pa.int32()), text)
    made = [text, text.dictionary_encode(), lists, pa.array(draw.integers(0, 9, 40)), text.cast(pa.string_view())][number % 5]
    start = int(draw.integers(0, 10))
    return made.slice(start, int(draw.integers(0, len(made) - start)))


def arrow_of(array: pa.Array) -> bytes:
    return seeds.arrow(pa.table({"x": array}), stream=True)


@pytest.mark.parametrize("number", range(20))
def test_it_takes_what_a_full_validation_takes(number: int) -> None:
    table = pa.table({"x": arrays(number)})
    table.validate(full=True)
    assert arrow_check.checked(table, "table") is table


@pytest.mark.parametrize("number", range(200))
def test_it_refuses_what_a_full_validation_refuses(number: int) -> None:
    """Both look at a stream in which a byte is wrong; Arrow's own check is the slow reference."""
    data = bytearray(arrow_of(arrays(number % 20)))
    draw = np.random.default_rng(number)
    data[int(draw.integers(len(data) // 2, len(data)))] = int(draw.integers(256))
    try:
        table = pa.ipc.open_stream(bytes(data)).read_all()
    except (pa.ArrowException, OSError):
        return
    try:
        table.validate(full=True)
    except pa.ArrowException:
        with pytest.raises(at.DataError):
            arrow_check.checked(table, "table")
    else:
        arrow_check.checked(table, "table")


# ---- the doors --------------------------------------------------------------


@each_damage
def test_batches_and_readers_are_tables(bad: Callable[[], pa.Array]) -> None:
    table = log_of(bad(), "student")
    (batch,) = table.to_batches()
    for data in (batch, pa.RecordBatchReader.from_batches(table.schema, [batch])):
        with pytest.raises(at.DataError, match="column 'student'"):
            at.Log.from_arrow(data)


def test_a_stream_that_ends_early_is_refused() -> None:
    data = seeds.arrow(seeds.responses(), stream=True)
    with pytest.raises(at.DataError, match="export or copy"):
        at.Log.from_arrow(pa.ipc.open_stream(data[: len(data) * 2 // 3]))


@each_damage
def test_tables_of_items_students_and_mastery(bad: Callable[[], pa.Array], model: at.BKT, tmp_path: Path) -> None:
    mastery = model.score(at.Log.from_arrow(log_of(pa.array(["Ada", "Bo"]), "student")))
    uses: list[Callable[[], Any]] = [
        lambda: at.Catalog.from_arrow(pa.table({"item": bad(), "skill": ["halves"] * 2})),
        lambda: at.Catalog.from_arrow(
            {"item": ["q1"], "skill": ["halves"]}, pa.table({"skill": bad(), "prerequisites": ["", ""]})
        ),
        lambda: at.report.mastery_by(mastery, "class", roster=pa.table({"student": bad(), "class": ["a", "b"]})),
        lambda: at.report.mastery_by(mastery.set_column(0, "student", bad()), "skill"),
        lambda: at.off_policy(log_of(bad(), "student"), [0.0, 1.0], target=[1.0, 1.0]),
        lambda: metrics.report([0.0, 1.0], [0.5, 0.5], student=bad(), draws=20),
        lambda: schema.as_array(pa.chunked_array([bad()])),
    ]
    for use in uses:
        with pytest.raises(at.DataError, match=r"(offset|codes|UTF8|utf-8)"):
            use()


def test_codes_of_parquet_are_checked_where_it_is_read_as_codes(tmp_path: Path, model: at.BKT) -> None:
    """Arrow looks at the codes of a Parquet file where it makes names of them, and not where it hands them on as they are."""
    path, found = tmp_path / "log.parquet", 0
    good = seeds.parquet(seeds.responses())
    for place in range(len(good) // 2):
        data = bytearray(good)
        data[place] ^= 0x3F
        path.write_bytes(data)
        try:
            table = pq.ParquetFile(path, read_dictionary=["student", "item", "skill"]).read()
            codes = [chunk for name in ("student", "skill") for chunk in table[name].chunks]
        except (pa.ArrowException, OSError, MemoryError):
            continue
        if any(pc.max(each.indices).as_py() >= len(each.dictionary) for each in codes):
            found += 1
            with pytest.raises(at.DataError, match=r"codes from [0-9]+ to"):
                at.score_dataset(path, tmp_path / "out", model=seeds.MODEL)
            with pytest.raises(at.DataError):
                at.Log.read(path)
    assert found > 3


def test_pseudonyms_are_not_made_of_damaged_names(tmp_path: Path) -> None:
    data = bytearray(seeds.arrow(seeds.responses()))
    name = data.index(b"Zo\xc3\xab")
    data[name + 2] = 0xFF
    (tmp_path / "log.arrow").write_bytes(data)
    (tmp_path / "key").write_text("ab" * 32)
    (tmp_path / "key").chmod(0o600)
    with pytest.raises(at.DataError, match="column 'student'"):
        at.pseudonymize(tmp_path / "log.arrow", tmp_path / "out.arrow", key_file=tmp_path / "key")
    assert not (tmp_path / "out.arrow").exists()


def test_stats_whose_fingerprint_is_right_are_looked_at_all_the_same(tmp_path: Path) -> None:
    """Kernels follow their numbers: stats of another district are not trusted."""
    path = tmp_path / "stats.parquet"
    path.write_bytes(seeds.stats(seeds.responses()))
    table = pq.read_table(path)
    for name, value in (("symbol", 9), ("symbol", -1), ("ends", -1), ("children", 10**6), ("children", -1)):
        lists = table[name].combine_chunks()
        values = lists.values.to_numpy(zero_copy_only=False).copy()
        values[0] = value
        changed = pa.LargeListArray.from_arrays(lists.offsets, pa.array(values))
        wrong = table.set_column(table.column_names.index(name), name, changed)
        said = {key.decode(): text.decode() for key, text in table.schema.metadata.items()}
        said["fingerprint"] = parquet._fingerprint(wrong, said)
        pq.write_table(wrong.replace_schema_metadata(said), path)
        with pytest.raises(at.ModelError, match="damaged"):
            at.Stats.load(path)


def test_stats_whose_skills_are_not_in_their_order_are_refused(tmp_path: Path) -> None:
    """Counts are added skill by skill: with two that changed places the process crashed."""
    path = tmp_path / "stats.parquet"
    path.write_bytes(seeds.stats(seeds.responses()))
    table = pq.read_table(path)
    for names in (["quarters", "halves", "thirds"], ["halves", "halves", "thirds"], ["halves", None, "thirds"]):
        wrong = table.set_column(0, "skill", pa.array(names))
        said = {key.decode(): text.decode() for key, text in table.schema.metadata.items()}
        said["fingerprint"] = parquet._fingerprint(wrong, said)
        pq.write_table(wrong.replace_schema_metadata(said), path)
        with pytest.raises(at.ModelError, match="damaged"):
            at.Stats.load(path)


def test_a_time_zone_that_is_no_text_is_told(tmp_path: Path) -> None:
    data = seeds.arrow(seeds.responses(), stream=True)
    (tmp_path / "log.arrow").write_bytes(data.replace(b"UTC\0", b"U\xffC\0", 1))
    with pytest.raises(at.DataError, match="column 'time'"):
        at.Log.read(tmp_path / "log.arrow")


@pytest.mark.parametrize("change", ["row", "column"])
def test_a_damaged_state_is_refused(change: str, tmp_path: Path) -> None:
    log, out, state = (tmp_path / name for name in ("log", "out", "state"))
    log.mkdir()
    table = seeds.responses()
    for night in range(3):
        later = pa.array(np.arange(60) * 10**6 + night * 10**9, pa.timestamp("us", tz="UTC"))
        pq.write_table(table.set_column(4, "time", later).slice(0, 20 if night else 60), log / f"{night}.parquet")
        if night < 2:
            at.score_dataset(log, out, model=seeds.MODEL, state=state)
    (path,) = (each for each in state.glob("*.parquet") if "row" in pq.read_schema(each).names)
    part = pq.read_table(path)
    rows = part["row"].to_numpy().copy()
    rows[0] = 10**9
    damaged = part.set_column(part.column_names.index("row"), "row", pa.array(rows))
    pq.write_table(damaged if change == "row" else part.drop_columns(["odds"]), path, store_schema=False)
    with pytest.raises(at.DataError, match=r"1000000000|no column 'odds'"):
        at.score_dataset(log, out, model=seeds.MODEL, state=state)


# ---- values that no column can hold -----------------------------------------


@pytest.mark.parametrize(
    ("column", "array", "got"),
    [
        ("time", pa.array([0, 2**62], pa.timestamp("us", tz="UTC")), "4611686018427387904"),
        ("time", pa.array([0, -(2**62)], pa.timestamp("s")), "-4611686018427387904"),
        ("time", pa.array([0, 2**31 - 1], pa.int32()).cast(pa.date32()), "2147483647"),
        ("order", pa.array([0, 2**63], pa.uint64()), "9223372036854775808"),
        ("order", pa.array([0.0, 1e30]), "1e\\+30"),
        ("level", pa.array([0, 2**63 + 1], pa.uint64()), "9223372036854775809"),
        ("student", pa.array([0.0, 1e300]), "1e\\+300"),
    ],
)
def test_numbers_that_are_too_large_are_told_with_their_row(column: str, array: pa.Array, got: str) -> None:
    with pytest.raises(at.DataError, match=f"column '{column}', row 2: got {got}"):
        at.Log.from_arrow(log_of(array, column), levels={"practice": 3})


def test_a_clock_of_too_large_integers_is_told_with_its_row() -> None:
    with pytest.raises(at.DataError, match="column 'time', row 2: got 9223372036854775808"):
        at.Log.from_arrow(log_of(pa.array([0, 2**63], pa.uint64()), "time"), time_unit="s")


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_times_up_to_the_last_year_are_kept(unit: str) -> None:
    last = {"ns": "2262-04-11"}.get(unit, "9999-12-31")
    times = pa.array(["0001-01-01" if unit != "ns" else "1678-01-01", last]).cast(pa.timestamp(unit))
    log = at.Log.from_arrow(log_of(times, "time"))
    assert [str(time)[:10] for time in log.table["time"].to_pylist()] == [str(time)[:10] for time in times.to_pylist()]
