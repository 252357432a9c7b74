"""The options of `fit` and `score` for what varies, and `summary`."""

from __future__ import annotations

import datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import adaptrace as at
from adaptrace.cli.app import app
from adaptrace.errors import DataError, ModelError

START = datetime.datetime(2026, 1, 5, tzinfo=datetime.UTC)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    random, rows = np.random.default_rng(0), []
    for student in range(30):
        for step in range(12):
            project = step % 4 == 3
            row = {"student": f"s{student}", "item": f"i{step % 6}", "skill": "abc"[step % 3], "group": f"g{student % 2}"}
            row |= {"time": START + datetime.timedelta(days=step), "kind": "project" if project else None}
            row |= {
                "level": int(random.integers(5)) if project else None,
                "correct": None if project else int(random.integers(2)),
            }
            rows.append(row)
    file = tmp_path / "log.parquet"
    pq.write_table(pa.Table.from_pylist(rows), file)
    return file


def run(*arguments: object) -> str:
    result = CliRunner().invoke(app, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def test_every_option_reaches_the_model(path: Path, tmp_path: Path) -> None:
    file = tmp_path / "model.json"
    varied = ("--items", "guess,slip", "--kinds", "learn", "--groups", "prior", "--students", "prior,learn")
    run("fit", path, "-o", file, *varied, "--levels", "project=5", "--elapsed", "--combine", "mean", "--no-forget")
    model = at.load(file)
    assert (model.items, model.kinds, model.groups, model.students) == (
        ("guess", "slip"),
        ("learn",),
        ("prior",),
        ("prior", "learn"),
    )
    assert (dict(model.levels), model.elapsed, model.combine, model.forget) == ({"project": 5}, True, "mean", False)


def test_a_later_score_is_lower_where_mastery_fades(path: Path, tmp_path: Path) -> None:
    file, tables = tmp_path / "model.json", []
    run("fit", path, "-o", file, "--levels", "project=5", "--elapsed")
    for day in ("2026-01-18", "2027-01-18"):
        run("score", path, "-m", file, "-o", tmp_path / "out.parquet", "--time", day)
        tables.append(pq.read_table(tmp_path / "out.parquet")["mastery"].to_numpy())
    assert (tables[1] < tables[0]).all()


def test_the_summary_has_a_row_and_a_status_per_skill(path: Path, tmp_path: Path) -> None:
    run("fit", path, "-o", tmp_path / "model.json", "--levels", "project=5")
    run("summary", "-m", tmp_path / "model.json", "-o", tmp_path / "skills.parquet")
    table = pq.read_table(tmp_path / "skills.parquet")
    assert table["skill"].to_pylist() == ["a", "b", "c"]
    assert set(table["status"].to_pylist()) <= {"fitted", "shrunk", "prior-only"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--items", "gues"), "items: got"),
        (("--levels", "project=1"), "at least 2"),
    ],
)
def test_a_wrong_option_says_what_is_expected(path: Path, tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    with pytest.raises((ModelError, DataError), match=message):
        run("fit", path, "-o", tmp_path / "model.json", *options, *(() if "--levels" in options else ("--levels", "project=5")))
    assert not (tmp_path / "model.json").exists()


def test_levels_without_their_number_are_an_error_that_names_the_option(path: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--levels project=5"):
        run("fit", path, "-o", tmp_path / "model.json")
    assert CliRunner().invoke(app, ["fit", str(path), "--levels", "project"]).exit_code == 2
