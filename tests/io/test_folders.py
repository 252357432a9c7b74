"""Folders: files of one log may differ in how they are written; the log and the dataset say the same about them."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.io import folders
from adaptrace.io.together import together

A = {"student": ["1", "2"], "item": ["q1", "q2"], "skill": ["s", "t"], "correct": [1, 0]}
B = {"student": ["1", "3"], "item": ["q2", "q1"], "skill": ["t", "s"], "correct": [0, 1]}
NOON = datetime.datetime(2026, 1, 1, 12)
READS_NAMES_TWICE = int(pa.__version__.split(".")[0]) >= 20
needs_names_twice = pytest.mark.skipif(not READS_NAMES_TWICE, reason="this Arrow reads no Parquet file with a name twice")


def write(folder: Path, **files: Mapping[str, Any] | pa.Table) -> Path:
    folder.mkdir(exist_ok=True)
    for name, columns in files.items():
        pq.write_table(columns if isinstance(columns, pa.Table) else pa.table(dict(columns)), folder / f"{name}.parquet")
    return folder


@pytest.fixture(scope="module")
def model() -> at.BKT:
    table = pa.concat_tables([pa.table(A), pa.table(B)])
    return at.BKT().fit(at.Log.from_arrow(pa.concat_tables([table] * 20)))


def scored(log: Path, model: at.BKT, out: Path) -> list[dict[str, Any]]:
    """What the dataset says of a folder, sorted."""
    at.score_dataset(log, out, model=model, workers=1)
    return in_order(pq.read_table(out))


def in_order(table: pa.Table) -> list[dict[str, Any]]:
    return sorted(table.to_pylist(), key=lambda row: (str(row["student"]), str(row["skill"])))


def renamed(columns: Mapping[str, Any], **names: str) -> dict[str, Any]:
    return {names.get(name, name): values for name, values in columns.items()}


def times(*hours: int) -> list[datetime.datetime]:
    return [NOON + datetime.timedelta(hours=hour) for hour in hours]


# what another file of the same log may look like
ALIKE = {
    "other names": renamed(B, student="user_id", item="Problem_ID", correct="outcome"),
    "another order of columns": dict(reversed(B.items())),
    "true and false": B | {"correct": [False, True]},
    "outcomes as text": B | {"correct": ["0", "1"]},
    "fractions": B | {"correct": [0.0, 1.0]},
    "whole numbers": B | {"student": [1, 3]},
    "narrow whole numbers": B | {"student": pa.array([1, 3], pa.int16())},
    "numbers after a join": B | {"student": [1.0, 3.0]},
    "codes": B | {"student": pa.array(["1", "3"]).dictionary_encode(), "skill": pa.array(["t", "s"]).dictionary_encode()},
    "codes of numbers": B | {"student": pa.array([1, 3]).dictionary_encode()},
    "large text": B | {"student": pa.array(["1", "3"], pa.large_string())},
    "a group": B | {"group": ["x", None]},
    "a group that is null": B | {"group": pa.nulls(2)},
    "a kind": B | {"kind": ["practice", None]},
    "time taken": B | {"response_ms": [5, None]},
    "a column that nobody asks for": B | {"answer": [["x"], []]},
}


@pytest.mark.parametrize("kind", ALIKE)
@pytest.mark.parametrize("swapped", [False, True])
def test_files_may_be_written_differently(tmp_path: Path, model: at.BKT, kind: str, swapped: bool) -> None:
    files = (ALIKE[kind], A) if swapped else (A, ALIKE[kind])
    log = at.Log.read(write(tmp_path / "log", a=files[0], b=files[1], c=A))
    expected = (B, A, A) if swapped else (A, B, A)
    same = at.Log.from_arrow(pa.concat_tables(map(pa.table, expected)))
    for name in ("student", "item", "skill", "correct"):
        assert [str(value) for value in log.table[name].to_pylist()] == [str(value) for value in same.table[name].to_pylist()]
    assert log.source_row.tolist() == same.source_row.tolist()
    assert scored(tmp_path / "log", model, tmp_path / "out") == in_order(model.score(same))


def test_numbers_alone_stay_numbers(tmp_path: Path) -> None:
    files = {
        "a": A | {"student": pa.array([1, 2], pa.int32())},
        "b": B | {"student": [2**60, 3]},
        "c": B | {"student": [1.0, 2.0]},
    }
    assert at.Log.read(write(tmp_path / "log", **files)).students.to_pylist() == [1, 2, 2**60, 3]


def test_long_numbers_are_not_rounded(tmp_path: Path, model: at.BKT) -> None:
    long = "12345678901234567"
    files = {"a": A | {"student": [long, "x"]}, "b": B | {"student": [int(long), 3]}, "c": B | {"student": [12345678901.0, 3.0]}}
    log = write(tmp_path / "log", **files)
    assert at.Log.read(log).students.to_pylist() == [long, "x", "3", "12345678901"]
    assert {row["student"] for row in scored(log, model, tmp_path / "out")} == {long, "x", "3", "12345678901"}


IDS = {"text": ["1", "3"], "numbers": [1, 3], "numbers after a join": [1.0, 3.0]}


@pytest.mark.parametrize("first", ["text", "numbers"])
@pytest.mark.parametrize("then", IDS)
@pytest.mark.parametrize("name", ["student", "skill"])
def test_a_state_takes_names_that_are_written_differently(
    tmp_path: Path, model: at.BKT, first: str, then: str, name: str
) -> None:
    log, options = tmp_path / "log", {"model": model, "state": tmp_path / "state", "workers": 1}
    write(log, a=B | {name: IDS[first], "time": times(0, 1)})
    at.score_dataset(log, tmp_path / "out", **options)
    write(log, b=A | {name: IDS[then], "time": times(2, 3)})
    at.score_dataset(log, tmp_path / "out", **options)

    def plain(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [row | {"student": str(row["student"]), "skill": str(row["skill"])} for row in rows]

    assert plain(in_order(pq.read_table(tmp_path / "out"))) == plain(in_order(model.score(at.Log.read(log))))


def test_a_state_of_numbers_needs_the_whole_log_once_there_is_text(tmp_path: Path, model: at.BKT) -> None:
    options = {"model": model, "state": tmp_path / "state", "workers": 1}
    at.score_dataset(write(tmp_path / "a", a=B | {"student": [1, 3], "time": times(0, 1)}), tmp_path / "out", **options)
    new = write(tmp_path / "b", b=A | {"student": ["1", "x"], "time": times(2, 3)})
    with pytest.raises(at.DataError, match="got text in column 'student'; expected whole numbers as in the state"):
        at.score_dataset(new, tmp_path / "out", **options)


TIMES = {
    "seconds": pa.array(times(2, 3), pa.timestamp("s")),
    "nanoseconds": pa.array(times(2, 3), pa.timestamp("ns")),
    "a zone": pa.array(times(2, 3), pa.timestamp("us", tz="Europe/Berlin")),
    "text": [each.isoformat() for each in times(2, 3)],
}


@pytest.mark.parametrize("kind", TIMES)
def test_clocks_may_be_of_several_types(tmp_path: Path, model: at.BKT, kind: str) -> None:
    first = A | {"time": pa.array(times(0, 1), pa.timestamp("us"))}
    log = write(tmp_path / "log", a=first, b=B | {"time": TIMES[kind]}, c=first)
    expected = [each.replace(tzinfo=datetime.UTC) for each in (*times(0, 0, 2), *times(1, 1), *times(3))]
    assert at.Log.read(log).table["time"].to_pylist() == expected
    same = at.Log.from_arrow(
        pa.concat_tables([pa.table(first), pa.table(B | {"time": pa.array(times(2, 3), pa.timestamp("us"))}), pa.table(first)])
    )
    assert scored(log, model, tmp_path / "out") == in_order(model.score(same))


def without(name: str) -> dict[str, Any]:
    return {key: value for key, value in B.items() if key != name}


# another file -> what its problem says
UNLIKE = {
    "no skill": (without("skill"), "column 'skill'"),
    "no student": (without("student"), "column 'student'"),
    "no time": (B, "no column 'time'"),
    "broken numbers": (B | {"student": [1.5, 3.0], "time": times(0, 1)}, "student"),
    "dates as students": (B | {"student": times(0, 1), "time": times(0, 1)}, "student"),
    "grades": (B | {"correct": ["0", "B"], "time": times(0, 1)}, "row 2: got 'B'"),
    "no outcome": (B | {"correct": [1, None], "time": times(0, 1)}, "row 2: got null"),
    "a name twice": (
        pa.Table.from_arrays(
            [pa.array(["x", "y"])] * 3 + [pa.array([0, 1])] + [pa.array(times(0, 1))] + [pa.array(["x", "y"])],
            [*B, "time", "item"],
        ),
        "column 'item': got 2 columns of this name",
    ),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(each, marks=needs_names_twice if each == "a name twice" else ()) for each in UNLIKE]
)
def test_a_file_that_cannot_be_read_with_the_others_is_named(tmp_path: Path, model: at.BKT, kind: str) -> None:
    other, message = UNLIKE[kind]
    first = A | {"time": times(0, 1)}
    log = write(tmp_path / "log", a=first, b=other, c=first)
    for read in (at.Log.read, lambda path: at.score_dataset(path, tmp_path / "out", model=model, workers=1)):
        with pytest.raises(at.DataError) as error:
            read(log)
        assert [Path(problem.file).name for problem in error.value.problems] == ["b.parquet"]
        assert message in str(error.value)


def test_files_of_all_formats_make_one_log(tmp_path: Path) -> None:
    log = write(tmp_path / "log", a=A | {"student": [1, 2]})
    (log / "b.csv").write_text("user;problem;kc;score\n1;q2;t;0\n3;q1;s;1\n", encoding="utf-16")
    (log / "c.tsv").write_text("student\titem\tskill\tcorrect\n007\tq1\ts\t1\n")
    pyarrow.feather.write_feather(pa.table(A), log / "d.arrow")
    read = at.Log.read(log)
    assert read.students.to_pylist() == ["1", "2", "3", "007"]
    assert read.table["correct"].to_pylist() == [1, 0, 1, 0, 0, 1, 1]
    assert read.notes == ("b.csv: read with text in UTF-16, cells separated by semicolons",)


def test_a_note_on_many_files_is_one_note(tmp_path: Path) -> None:
    for number in range(3):
        (tmp_path / f"{number}.csv").write_text("student;item;skill;correct\nBo;q;s;1\n")
    assert at.Log.read(tmp_path).notes == ("0.csv and 2 more files: read with cells separated by semicolons",)


def test_columns_to_keep_may_be_in_some_files_alone(tmp_path: Path) -> None:
    log = write(tmp_path / "log", a=A | {"x": [1, 2]}, b=B | {"x": ["u", "v"]}, c=B)
    assert sorted(map(str, at.Log.read(log, keep=["x"]).table["x"].to_pylist())) == ["1", "2", "None", "None", "u", "v"]
    with pytest.raises(at.DataError, match="column 'y' to keep"):
        at.Log.read(log, keep=["y"])


def test_a_column_to_keep_that_stands_twice_is_told(csv_file: Any) -> None:
    path = csv_file("student,item,skill,correct,x,x", "Bo,q,s,1,1,2")
    with pytest.raises(at.DataError, match="column 'x': got several columns of this name"):
        at.Log.read(path, keep=["x"])


@needs_names_twice
def test_a_column_of_parquet_that_nobody_asks_for_may_stand_twice(tmp_path: Path, model: at.BKT) -> None:
    twice = pa.Table.from_arrays([*map(pa.array, A.values()), pa.array([1, 2]), pa.array(["u", "v"])], [*A, "x", "x"])
    log = write(tmp_path / "log", a=twice, b=twice)
    assert len(at.Log.read(log)) == 4
    assert len(scored(log, model, tmp_path / "out")) == 2


def test_columns_that_nobody_asks_for_may_stand_twice_in_different_files(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("student,item,skill,correct,x,x\nBo,q,s,1,1,2\n")
    (tmp_path / "b.csv").write_text("student,item,skill,correct,x,x\nBo,q,s,1,u,v\n")
    (tmp_path / "c.csv").write_text("student,item,skill,correct,x,y\nBo,q,s,1,u,v\n")
    assert len(at.Log.read(tmp_path)) == 3


def test_tables_that_differ_are_one_table() -> None:
    one = pa.Table.from_arrays([pa.array([1]), pa.array(["a"]), pa.array([1.0])], ["x", "x", "y"])
    two = pa.table({"y": ["b"], "x": [2]})
    both = together([one, two])
    assert both.column_names == ["x", "x", "y"]
    assert [column.to_pylist() for column in both.columns] == [[1, 2], ["a", None], ["1", "b"]]


# ---- folders that name a column ---------------------------------------------


@pytest.mark.parametrize(
    ("folder", "columns"),
    [
        ("student=Mia%20P", {"student": "Mia P"}),
        ("student=Zo%C3%AB", {"student": "Zoë"}),
        ("student=a%2Fb%3D1%25", {"student": "a/b=1%"}),
        ("student=a=b", {"student": "a=b"}),
        ("student=1+1", {"student": "1+1"}),
        ("student=%FF", {"student": "%FF"}),
        ("my%20group=x", {"my group": "x"}),
        ("group=__HIVE_DEFAULT_PARTITION__", {"group": None}),
        ("group=", {"group": None}),
        ("group=NA", {"group": "NA"}),
        ("=x", {}),
        ("year=2026/group=7b", {"year": "2026", "group": "7b"}),
    ],
)
def test_a_folder_names_a_column(folder: str, columns: dict[str, str | None]) -> None:
    assert folders.columns_of(Path("log") / folder / "a.parquet") == columns


@pytest.mark.parametrize("by", [["student"], ["skill"], ["group"], ["group", "student"], ["correct"]])
def test_partitions_of_pandas_come_back_as_they_were(tmp_path: Path, model: at.BKT, by: list[str]) -> None:
    pd = pytest.importorskip("pandas")
    rows = {
        "student": ["Mia P", "Zoë", "a/b", "Mia P", "NA"],
        "item": ["q1", "q2", "q1", "q2", "q1"],
        "skill": ["s", "t", "s", "t", "s"],
        "correct": [1, 0, 1, 1, 0],
        "group": ["1 a", None, "2%", "1 a", "ß"],
    }
    pd.DataFrame(rows).to_parquet(tmp_path / "log", partition_cols=by)
    same = at.Log.from_arrow(rows)

    def lines(log: at.Log) -> list[tuple[Any, ...]]:
        return sorted(tuple(map(str, row.values())) for row in log.table.select(list(rows)).to_pylist())

    assert lines(at.Log.read(tmp_path / "log")) == lines(same)
    assert scored(tmp_path / "log", model, tmp_path / "out") == in_order(model.score(same))


@pytest.mark.parametrize("ending", ["csv", "arrow"])
def test_folders_name_columns_of_all_formats(tmp_path: Path, ending: str) -> None:
    place = tmp_path / "log" / "group=3%20b"
    place.mkdir(parents=True)
    at.io.files.write_table(pa.table(A), place / f"a.{ending}")
    assert at.Log.read(tmp_path / "log").table["group"].to_pylist() == ["3 b", "3 b"]


def test_a_student_without_a_name_is_told_in_partitions_too(tmp_path: Path, model: at.BKT) -> None:
    write(tmp_path / "log", a=A)
    write(tmp_path / "log" / "student=__HIVE_DEFAULT_PARTITION__", b=without("student"))
    for read in (at.Log.read, lambda path: at.score_dataset(path, tmp_path / "out", model=model, workers=1)):
        with pytest.raises(at.DataError, match="row 1: got null"):
            read(tmp_path / "log")


def test_a_thousand_small_files_that_differ_are_read_at_once(tmp_path: Path) -> None:
    for number in range(1000):
        names = "user_id,item,skill,correct" if number % 2 else "student,item,skill,correct,group"
        (tmp_path / f"{number:04d}.csv").write_text(f"{names}\n{number},q,s,1{'' if number % 2 else ',x'}\n")
    started = time.process_time()
    assert len(at.Log.read(tmp_path)) == 1000
    assert time.process_time() - started < 10
