"""Files: every output is written whole or not at all."""

from __future__ import annotations

import csv
import io
import json
import os
import stat
from pathlib import Path

import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest

from adaptrace.errors import OutputError
from adaptrace.io.atomic import replacing
from adaptrace.io.files import find_files, read_table, write_table

TABLE = pa.table({"student": pa.array(["Ada", 'B "x", y']).dictionary_encode(), "mastery": [0.1 + 0.2, 1 / 3]})
ROWS = TABLE.to_pylist()


def numbers(path: Path, delimiter: str) -> list[dict[str, object]]:
    rows = csv.DictReader(io.StringIO(path.read_text()), delimiter=delimiter)
    return [{**row, "mastery": float(row["mastery"])} for row in rows]


READERS = {
    "t.parquet": lambda path: pyarrow.parquet.read_table(path).to_pylist(),
    "t.feather": lambda path: pyarrow.feather.read_table(path).to_pylist(),
    "t.arrow": lambda path: pyarrow.feather.read_table(path).to_pylist(),
    "t.json": lambda path: json.loads(path.read_text()),
    "t.csv": lambda path: numbers(path, ","),
    "t.tsv": lambda path: numbers(path, "\t"),
}


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.parametrize("name", READERS)
def test_a_table_is_written_as_its_ending_says(tmp_path: Path, name: str) -> None:
    write_table(TABLE, tmp_path / name)
    assert READERS[name](tmp_path / name) == ROWS


@pytest.mark.parametrize("name", ["t.csv.gz", "t.tsv.gz"])
def test_a_gzipped_ending_gives_a_gzipped_file(tmp_path: Path, name: str) -> None:
    write_table(TABLE, tmp_path / name)
    assert (tmp_path / name).read_bytes()[:2] == b"\x1f\x8b"
    assert read_table(tmp_path / name).table.to_pylist() == ROWS


@pytest.mark.parametrize("name", ["t.xlsx", "t", "t.json.gz"])
def test_an_unknown_ending_is_refused_and_nothing_is_written(tmp_path: Path, name: str) -> None:
    with pytest.raises(OutputError, match=r"unknown ending .*use \.parquet, \.arrow, \.csv, \.tsv or \.json"):
        write_table(TABLE, tmp_path / name)
    assert names(tmp_path) == []


@pytest.mark.parametrize("error", [OSError(28, "No space left on device"), ValueError("a bug"), KeyboardInterrupt()], ids=repr)
def test_a_failure_halfway_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def half(table: pa.Table, path: Path, **options: object) -> None:
        Path(path).write_bytes(b"PAR1 half a file")
        raise error

    (tmp_path / "t.parquet").write_text("last night's")
    monkeypatch.setattr(pyarrow.parquet, "write_table", half)
    with pytest.raises(OutputError if isinstance(error, OSError) else type(error)):
        write_table(TABLE, tmp_path / "t.parquet")
    assert names(tmp_path) == ["t.parquet"]
    assert (tmp_path / "t.parquet").read_text() == "last night's"


def test_the_target_appears_only_when_the_block_has_ended(tmp_path: Path) -> None:
    with replacing(tmp_path / "t.json") as temporary:
        temporary.write_text("new")
        assert not (tmp_path / "t.json").exists()
    assert names(tmp_path) == ["t.json"]


def test_a_full_disk_is_told_with_the_name_of_the_target(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"t\.json: cannot be written: No space left"), replacing(tmp_path / "t.json"):
        raise OSError(28, "No space left on device")


@pytest.mark.parametrize(("umask", "mode"), [(0o077, 0o600), (0o022, 0o644), (0o002, 0o664)])
def test_the_system_applies_the_umask_to_a_new_file_that_is_shared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, umask: int, mode: int
) -> None:
    before, modes = os.umask(umask), []
    monkeypatch.setattr(os, "umask", None)  # who reads it changes it for all threads of the process
    try:
        with replacing(tmp_path / "t.json", shared=True) as temporary:
            modes.append(stat.S_IMODE(temporary.stat().st_mode))
    finally:
        monkeypatch.undo()
        os.umask(before)
    assert [*modes, stat.S_IMODE((tmp_path / "t.json").stat().st_mode)] == [mode, mode]


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o666])
def test_a_file_that_is_replaced_keeps_its_mode_and_is_private_until_then(tmp_path: Path, mode: int) -> None:
    (tmp_path / "t.json").touch()
    (tmp_path / "t.json").chmod(mode)
    with replacing(tmp_path / "t.json") as temporary:
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "t.json").stat().st_mode) == mode


@pytest.mark.parametrize("kind", [pa.list_(pa.string()), pa.large_list(pa.string()), pa.list_(pa.int64())], ids=str)
def test_lists_are_joined_by_semicolons_in_csv(tmp_path: Path, kind: pa.DataType) -> None:
    write_table(pa.table({"skills": pa.array([["1", "2"], ["3"]]).cast(kind)}), tmp_path / "t.csv")
    assert (tmp_path / "t.csv").read_text() == '"skills"\n"1;2"\n"3"\n'


def test_files_of_a_folder_come_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b.csv", "a/z.parquet", ".hidden.csv", "_meta.csv", "readme.md", "c.CSV.GZ"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert [str(path.relative_to(tmp_path)) for path in find_files(tmp_path)] == ["a/z.parquet", "b.csv", "c.CSV.GZ"]


def test_a_column_of_numbers_here_and_text_there_is_text_for_the_schema_to_judge(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("correct\n1\n")
    (tmp_path / "b.csv").write_text("correct\nyes\n")
    assert read_table(tmp_path).table["correct"].to_pylist() == ["1", "yes"]


def test_whole_and_fractional_numbers_in_different_files_are_one_column(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("correct\n1\n")
    (tmp_path / "b.csv").write_text("correct\n0.5\n")
    assert read_table(tmp_path).table["correct"].to_pylist() == [1.0, 0.5]


def test_an_arrow_stream_is_read_like_an_arrow_file(tmp_path: Path) -> None:
    with pa.OSFile(str(tmp_path / "t.arrow"), "wb") as sink, pa.ipc.new_stream(sink, TABLE.schema) as writer:
        writer.write_table(TABLE)
    assert read_table(tmp_path / "t.arrow").table.to_pylist() == ROWS
