"""Pseudonyms: the same for a name everywhere, and no name is left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.errors import DataError, OutputError
from adaptrace.privacy import pseudonyms, rewrite
from adaptrace.privacy.keys import new_key, pseudonym_of, read_key
from adaptrace.privacy.pseudonyms import pseudonymize

HEX = bytes(range(32)).hex()
NAMES = ["Ada", "Björn", "Ada", None, "Chloé"]


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key"
    path.write_text(HEX + "\n")
    path.chmod(0o600)
    return path


def by_openssl(column: str, name: str) -> str:
    """The pseudonym as another program makes it."""
    argv = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{HEX}"]
    done = subprocess.run(argv, input=f"{column}\0{name}".encode(), capture_output=True, check=True)
    return done.stdout.decode().split()[-1][:32]


def log_of(students: object) -> pa.Table:
    size = len(students)  # type: ignore[arg-type]
    return pa.table({"item": [f"q{n}" for n in range(size)], "student": students, "correct": [0.1 * n for n in range(size)]})


def column_after(table: pa.Table, key: Path, name: str = "student") -> pa.ChunkedArray:
    """A column of a Parquet file that held the table, with pseudonyms."""
    folder = key.parent
    pq.write_table(table, folder / "in.parquet")
    pseudonymize(folder / "in.parquet", folder / "out.parquet", key_file=key)
    return pq.read_table(folder / "out.parquet")[name]


# ---- what a pseudonym is ----------------------------------------------------


@pytest.mark.parametrize(
    "name", ["Ada", "Björn", "7", "", "a name of more than sixty-four bytes, which is a block of SHA-256 ..."]
)
def test_a_pseudonym_is_the_hmac_that_openssl_makes(key: Path, name: str) -> None:
    assert pseudonym_of(read_key(key), "student")(name.encode()) == by_openssl("student", name)


def test_a_column_of_any_sort_of_names_gets_the_same_pseudonyms(key: Path) -> None:
    text = ["7", "12", None, "7"]
    expected = [None if name is None else by_openssl("student", name) for name in text]
    numbers = [7, 12, None, 7]
    arrays = [
        pa.array(text),
        pa.array(text, pa.large_string()),
        pa.array(text).dictionary_encode(),
        pa.array(numbers, pa.int64()),
        pa.array(numbers, pa.uint8()),
        pa.array(numbers, pa.float64()),
        pa.array(numbers).dictionary_encode(),
    ]
    for array in arrays:
        assert column_after(log_of(array), key).to_pylist() == expected, array.type
        (key.parent / "out.parquet").unlink()


def test_a_null_in_a_dictionary_is_a_null(key: Path, tmp_path: Path) -> None:
    students = pa.DictionaryArray.from_arrays(pa.array([0, 2, 1, 0]), pa.array(["7", None, "12"]))
    pyarrow.feather.write_feather(log_of(students), tmp_path / "in.arrow")
    pseudonymize(tmp_path / "in.arrow", tmp_path / "out.arrow", key_file=key)
    names = pyarrow.feather.read_table(tmp_path / "out.arrow")["student"].to_pylist()
    assert names == [None if name is None else by_openssl("student", name) for name in ["7", "12", None, "7"]]


def test_a_dictionary_stays_a_dictionary_and_anything_else_becomes_text(key: Path) -> None:
    kept = column_after(log_of(pa.array(NAMES).dictionary_encode()), key).type
    assert kept == pa.dictionary(pa.int32(), pa.string())
    (key.parent / "out.parquet").unlink()
    assert column_after(log_of(pa.array([1, 2])), key).type == pa.string()


def test_a_column_of_another_name_has_other_pseudonyms_for_the_same_name(key: Path, csv_file: Callable[..., Path]) -> None:
    path = csv_file("pupil,teacher", "7,7")
    out = key.parent / "out.csv"
    pseudonymize(path, out, key_file=key, columns=("student", "teacher"), mapping={"student": "pupil"})
    assert out.read_text() == f"pupil,teacher\n{by_openssl('student', '7')},{by_openssl('teacher', '7')}\n"


# ---- files ------------------------------------------------------------------


def test_a_student_has_one_pseudonym_in_every_file_and_format_and_all_else_stays(key: Path, tmp_path: Path) -> None:
    source, out, table = tmp_path / "in", tmp_path / "out", log_of(NAMES)
    (source / "year=2024").mkdir(parents=True)
    pq.write_table(table, source / "year=2024" / "a.parquet")
    pyarrow.feather.write_feather(table.set_column(1, "student", table["student"].dictionary_encode()), source / "b.arrow")
    with pa.ipc.new_stream(source / "stream.arrow", table.schema) as stream:
        stream.write_table(table)
    for name in ("c.csv", "d.csv.gz", "e.tsv"):
        at.io.files.write_table(table, source / name)
    (source / "README.md").write_text("Ada is in here")
    done = pseudonymize(source, out, key_file=key)
    assert (done.files, done.rows) == (6, 30)
    expected = [None if name is None else by_openssl("student", name) for name in NAMES]
    files = sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert files == ["b.arrow", "c.csv", "d.csv.gz", "e.tsv", "stream.arrow", "year=2024/a.parquet"]
    for path in files:
        read = at.io.files.read_table(out / path, frozenset({"student"})).table
        assert read["student"].to_pylist() == expected, path
        assert read.select(["item", "correct"]).to_pylist() == table.select(["item", "correct"]).to_pylist(), path


def test_other_columns_and_all_that_a_parquet_file_says_stay(key: Path, tmp_path: Path) -> None:
    columns = {
        "student": [1, 2, 3],
        "skills": [["a", "b"], None, []],
        "time": pa.array([1, 2, 3], pa.timestamp("us", tz="UTC")),
        "kind": pa.array(["x", "y", "x"]).dictionary_encode(),
    }
    table = pa.table(columns).replace_schema_metadata({"school": "12"})
    packed = {"student": "ZSTD", "skills.list.element": "GZIP", "time": "NONE", "kind": "SNAPPY"}
    pq.write_table(table, tmp_path / "in.parquet", compression=packed, row_group_size=2)
    pseudonymize(tmp_path / "in.parquet", tmp_path / "out.parquet", key_file=key)
    table, after = pq.read_table(tmp_path / "in.parquet"), pq.read_table(tmp_path / "out.parquet")
    assert after.drop_columns("student").equals(table.drop_columns("student"))
    assert after.schema.metadata == {
        b"school": b"12",
        pseudonyms.NOTE: json.dumps({"student": read_key(key).fingerprint}).encode(),
    }
    before, now = pq.read_metadata(tmp_path / "in.parquet"), pq.read_metadata(tmp_path / "out.parquet")
    assert [now.row_group(n).num_rows for n in range(now.num_row_groups)] == [2, 1]
    for place in range(4):
        assert now.row_group(0).column(place).compression == before.row_group(0).column(place).compression


def test_times_as_old_spark_writes_them_stay_such(key: Path, tmp_path: Path) -> None:
    table = pa.table({"student": [1], "time": pa.array([10**15], pa.timestamp("us"))})
    pq.write_table(table, tmp_path / "in.parquet", use_deprecated_int96_timestamps=True)
    pseudonymize(tmp_path / "in.parquet", tmp_path / "out.parquet", key_file=key)
    assert pq.read_metadata(tmp_path / "out.parquet").row_group(0).column(1).physical_type == "INT96"


def test_cells_of_a_csv_stay_as_they_are_written(key: Path, tmp_path: Path, csv_file: Callable[..., Path]) -> None:
    path = csv_file("student,when,note", '007,01/02/2024,"a ""b"", c"', "NA,0.10,NA", ",1e3,")
    pseudonymize(path, tmp_path / "out.csv", key_file=key, keep=["note"])
    lines = (tmp_path / "out.csv").read_text().splitlines()
    expected = [
        "student,when,note",
        f'{by_openssl("student", "007")},01/02/2024,"a ""b"", c"',
        f"{by_openssl('student', 'NA')},0.10,NA",
        ",1e3,",
    ]
    assert lines == expected


def test_the_log_that_was_pseudonymized_is_scored_like_the_log(
    key: Path, tmp_path: Path, sample_log: at.Log, sample_model: at.BKT
) -> None:
    pseudonymize(at.data.sample.sample_path("responses.parquet"), tmp_path / "out.parquet", key_file=key)
    make = pseudonym_of(read_key(key), "student")
    expected = {
        (make(row["student"].encode()), row["skill"]): row["mastery"] for row in sample_model.score(sample_log).to_pylist()
    }
    scored = sample_model.score(at.Log.read(tmp_path / "out.parquet")).to_pylist()
    assert {(row["student"], row["skill"]): row["mastery"] for row in scored} == expected


@pytest.mark.parametrize("name", ["log.parquet", "log.arrow", "log.csv"])
def test_a_table_without_rows_is_written_too(key: Path, tmp_path: Path, name: str) -> None:
    at.io.files.write_table(log_of(pa.array([], pa.int64())), tmp_path / name)
    pseudonymize(tmp_path / name, tmp_path / f"out-{name}", key_file=key)
    assert at.io.files.read_table(tmp_path / f"out-{name}").table.column_names == ["item", "student", "correct"]


def test_a_name_of_a_piece_is_looked_at_once(key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[bytes] = []
    monkeypatch.setattr(pseudonyms, "pseudonym_of", lambda key, column: lambda name: made.append(name) or name.hex())
    column_after(log_of(["Ada", "Bo"] * 500), key)
    assert sorted(made) == [b"Ada", b"Bo"]


# ---- bad input --------------------------------------------------------------


def refused(source: Path, out: Path, key: Path, **options: object) -> str:
    with pytest.raises((DataError, OutputError)) as raised:
        pseudonymize(source, out, key_file=key, **options)
    return str(raised.value)


def test_every_file_without_the_column_is_listed_and_nothing_is_written(key: Path, csv_file: Callable[..., Path]) -> None:
    for name in ("in/a.csv", "in/b.csv"):
        csv_file("pupil,item", "Ada,q1", name=name)
    csv_file("student,item", "Ada,q1", name="in/c.csv")
    message = refused(key.parent / "in", key.parent / "out", key)
    assert "2 problems" in message
    both = ", ".join(str(key.parent / "in" / f"{name}.csv") for name in "ab")
    assert f"{both}, column 'student': got the columns pupil, item; expected one of student," in message
    assert sorted(os.listdir(key.parent)) == ["in", "key"]


def test_two_columns_that_may_name_the_student_are_refused_until_one_is_chosen(key: Path, csv_file: Callable[..., Path]) -> None:
    path = csv_file("student,user_id", "Ada,17")
    assert "got the columns student, user_id; expected one that names the student" in refused(path, key.parent / "out.csv", key)
    pseudonymize(path, key.parent / "out.csv", key_file=key, mapping={"student": "student"}, keep=["user_id"])
    assert (key.parent / "out.csv").read_text() == f"student,user_id\n{by_openssl('student', 'Ada')},17\n"


def test_folders_named_by_students_are_refused(key: Path, csv_file: Callable[..., Path]) -> None:
    csv_file("student,item", "Ada,q1", name="in/student=Ada/a.csv")
    assert "got a folder named by its student; expected folders that name nobody" in refused(
        key.parent / "in", key.parent / "out", key
    )


@pytest.mark.parametrize("students", [[0.5, 1.0], [True, False], [b"Ada", b"Bo"]], ids=repr)
def test_a_column_that_cannot_hold_names_is_refused(key: Path, students: list[object]) -> None:
    pq.write_table(log_of(students), key.parent / "in.parquet")
    message = refused(key.parent / "in.parquet", key.parent / "out.parquet", key)
    assert "in.parquet" in message
    assert "column 'student': got type" in message
    assert not (key.parent / "out.parquet").exists()


def test_a_damaged_file_among_good_ones_is_named_and_nothing_is_left(key: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(log_of(NAMES), tmp_path / "in" / "a.parquet")
    whole = (tmp_path / "in" / "a.parquet").read_bytes()
    (tmp_path / "in" / "b.parquet").write_bytes(whole[:4] + bytes(40) + whole[44:])  # the footer is whole
    assert "b.parquet" in refused(tmp_path / "in", tmp_path / "out", key)
    assert sorted(os.listdir(tmp_path)) == ["in", "key"]


def test_a_place_that_is_there_inside_the_source_or_of_another_format_is_refused(key: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    pq.write_table(log_of(NAMES), tmp_path / "in" / "a.parquet")
    assert "is there already" in refused(tmp_path / "in", tmp_path, key)
    assert "is inside" in refused(tmp_path / "in", tmp_path / "in" / "sub" / "out", key)
    assert "got the ending '.csv'; expected '.parquet'" in refused(tmp_path / "in" / "a.parquet", tmp_path / "out.csv", key)
    assert "no such file or folder" in refused(tmp_path / "none", tmp_path / "out", key)
    assert "cannot be written" in refused(tmp_path / "in", key / "out", key)


def test_a_full_disk_leaves_nothing(key: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    (tmp_path / "in").mkdir()
    pq.write_table(log_of(NAMES), tmp_path / "in" / "a.parquet")
    monkeypatch.setattr(rewrite, "rewrite", full)
    assert "out: cannot be written: No space left on device" in refused(tmp_path / "in", tmp_path / "out", key)
    assert sorted(os.listdir(tmp_path)) == ["in", "key"]


def test_a_killed_run_leaves_no_output_and_the_next_one_finishes(key: Path, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in "abc":
        pq.write_table(log_of(NAMES), tmp_path / "in" / f"{name}.parquet")
    script = (
        "import os, signal, sys; from adaptrace.privacy import pseudonyms, rewrite as rewriting; whole = rewriting.rewrite\n"
        "def rewrite(source, *more):\n"
        "    if source.name == 'b.parquet': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return whole(source, *more)\n"
        "rewriting.rewrite = rewrite; pseudonyms.pseudonymize(*sys.argv[1:3], key_file=sys.argv[3])"
    )
    arguments = [tmp_path / "in", tmp_path / "out", key]
    assert subprocess.run([sys.executable, "-c", script, *arguments], check=False).returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert pseudonymize(*arguments[:2], key_file=key).files == 3
    assert sorted(os.listdir(tmp_path)) == ["in", "key", "out"]


# ---- the key ----------------------------------------------------------------


def test_a_new_key_is_random_private_and_never_replaces_one(tmp_path: Path) -> None:
    new_key(tmp_path / "a")
    new_key(tmp_path / "b")
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o600
    assert [len(secret) for secret in read_key(tmp_path / "a").generations] == [32]
    assert read_key(tmp_path / "a") != read_key(tmp_path / "b")
    before = (tmp_path / "a").read_text()
    with pytest.raises(OutputError, match="is there already"):
        new_key(tmp_path / "a")
    assert (tmp_path / "a").read_text() == before
    with pytest.raises(OutputError, match="cannot be written"):
        new_key(tmp_path / "none" / "a")


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o666])
def test_a_key_that_others_may_read_is_refused_with_the_remedy(key: Path, mode: int) -> None:
    key.chmod(mode)
    with pytest.raises(DataError, match=rf"others may read \(mode {mode:03o}\).*; run: chmod 600 {key}$"):
        read_key(key)


@pytest.mark.parametrize("text", ["", HEX[:62], "our secret", "x" * 64, "é" * 64], ids=repr)
def test_what_is_no_key_is_refused(key: Path, text: str) -> None:
    key.write_text(text)
    with pytest.raises(DataError, match=r"bytes that are no key; expected 64 or more hexadecimal digits"):
        read_key(key)


def test_a_missing_key_is_told_with_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"No such file.*make one with --new-key"):
        read_key(tmp_path / "key")
