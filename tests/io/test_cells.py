"""Cells that a spreadsheet would run as formulas: harmless in the files, and read back as they were."""

from __future__ import annotations

import csv
import gzip
import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.io import cells
from adaptrace.io.files import read_table, write_table
from adaptrace.privacy import forget, keys, pseudonyms

FORMULAS = ['=HYPERLINK("http://evil")', "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "\n=1", "\uff1d1", "'=1", "''@x", "-", "="]
HARMLESS = ["Ada", "'quoted'", "O'Neill", " =1", "a=b", "'", "", "12", "É"]


def cells_of(path: Path, delimiter: str = ",") -> list[list[str]]:
    """As any other reader of CSV sees them."""
    raw = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    return list(csv.reader(io.StringIO(raw.decode(), newline=""), delimiter=delimiter))


def table() -> pa.Table:
    names = [*FORMULAS, *HARMLESS]
    numbers = [-1.5] * len(names)
    return pa.table(
        {
            "student": names,
            "group": pa.array(names).dictionary_encode(),
            "skills": [[name, "b"] for name in names],
            "large": pa.array(names, pa.large_string()),
            "mastery": numbers,
            "change": [int(number) for number in numbers],
        }
    )


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz"])
def test_no_text_of_a_file_is_a_formula_and_no_number_is_changed(tmp_path: Path, name: str) -> None:
    write_table(table(), tmp_path / name)
    head, *rows = cells_of(tmp_path / name, "\t" if ".tsv" in name else ",")
    assert head == table().column_names
    for row, student in zip(rows, [*FORMULAS, *HARMLESS], strict=True):
        shown = f"'{student}" if student in FORMULAS else student
        assert row == [shown, shown, f"{shown};b", shown, "-1.5", "-1"]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.csv.gz"])
def test_it_is_read_as_it_was(tmp_path: Path, name: str) -> None:
    write_table(table(), tmp_path / name)
    read = read_table(tmp_path / name, frozenset(["student", "group", "large"])).table
    names = [name or None for name in [*FORMULAS, *HARMLESS]]  # an empty cell is null
    assert read["student"].to_pylist() == read["group"].to_pylist() == read["large"].to_pylist() == names


def test_headings_are_neutral_too(tmp_path: Path) -> None:
    write_table(pa.table({"=1+1": [1], "b": [2]}), tmp_path / "a.csv")
    assert cells_of(tmp_path / "a.csv") == [["'=1+1", "b"], ["1", "2"]]
    assert read_table(tmp_path / "a.csv").table.column_names == ["=1+1", "b"]


def test_raw_cells_are_written_as_they_are(tmp_path: Path) -> None:
    write_table(table(), tmp_path / "a.csv", raw_cells=True)
    assert [row[0] for row in cells_of(tmp_path / "a.csv")[1:]] == [*FORMULAS, *HARMLESS]


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow", "a.json"])
def test_other_formats_hold_the_names_as_they_are(tmp_path: Path, name: str) -> None:
    write_table(table().select(["student"]), tmp_path / name)
    assert b"'=HYPERLINK" not in (tmp_path / name).read_bytes()


def test_nulls_stay_nulls() -> None:
    given = pa.table({"a": pa.array([None, "=1", None]), "b": pa.array([None, None, None], pa.string())})
    assert cells.neutral(given).to_pydict() == {"a": [None, "'=1", None], "b": [None] * 3}
    assert cells.restored(cells.neutral(given)) == given


def test_a_student_has_one_name_in_csv_and_parquet(tmp_path: Path) -> None:
    responses = pa.table({"student": ["-7", "Bo"], "item": ["q1"] * 2, "skill": ["a"] * 2, "correct": [1, 0]})
    write_table(responses, tmp_path / "log.csv")
    pq.write_table(responses, tmp_path / "log.parquet")
    assert at.Log.read(tmp_path / "log.csv").students.to_pylist() == ["-7", "Bo"]
    keys.new_key(tmp_path / "key")
    for ending in ("csv", "parquet"):
        pseudonyms.pseudonymize(tmp_path / f"log.{ending}", tmp_path / f"new.{ending}", key_file=tmp_path / "key")
    one, other = (read_table(tmp_path / f"new.{ending}", frozenset(["student"])).table for ending in ("csv", "parquet"))
    assert one["student"].to_pylist() == other["student"].to_pylist()
    assert forget.forget_student("-7", [tmp_path / "log.csv"]).rows == 1
    assert cells_of(tmp_path / "log.csv")[1:] == [["Bo", "q1", "a", "0"]]


@pytest.mark.parametrize(("options", "shown"), [([], "'=1"), (["--raw-cells"], "=1")])
@pytest.mark.parametrize("to_file", [True, False])
def test_the_commands_write_neutral_cells_unless_they_are_told(
    run, tmp_path: Path, model: at.BKT, csv_file, options: list[str], shown: str, to_file: bool
) -> None:
    model.save(tmp_path / "model.json")
    log = csv_file("student,item,skill,correct", '"=1",q1,halves,1')
    out = ["-o", tmp_path / "out.csv"] if to_file else []
    done = run("score", log, "-m", tmp_path / "model.json", *out, *options)
    text = (tmp_path / "out.csv").read_text() if to_file else done.stdout
    assert done.code == 0
    assert text.splitlines()[1].startswith(f'"{shown}","halves",')


@pytest.mark.parametrize(
    "command",
    ["summary", "predict", "recommend", "score", "compare", "replay", "simulate", "fairness", "forget-student"]
    + [f"report {name}" for name in ("mastery", "growth", "pace", "stuck", "groups")],
)
def test_every_command_that_writes_a_table_has_the_option(run, command: str) -> None:
    assert "--raw-cells" in run(*command.split(), "--help").stdout
