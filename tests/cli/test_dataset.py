"""``adaptrace score`` of folders."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from reference import folders


@pytest.fixture
def district(tmp_path: Path, monkeypatch) -> Path:
    """A log and a model, in the current folder."""
    monkeypatch.chdir(tmp_path)
    folders.write(folders.responses(1), tmp_path / "log", 4)
    folders.model().save(tmp_path / "model.json")
    return tmp_path


def test_a_folder_is_scored_to_a_folder_and_a_night_adds_to_it(run, district: Path) -> None:
    outcome = run("score", "log", "-m", "model.json", "-o", "out", "--state", "state")
    assert (outcome.code, outcome.stdout) == (0, "")
    assert outcome.stderr == "out: 240 students and skills from 2,000 responses\n"
    late = folders.responses(1).slice(500, 3)
    pq.write_table(late, district / "log" / "part-99.parquet")
    outcome = run("score", "log", "-m", "model.json", "-o", "out", "--state", "state")
    students = len(set(late["student"].to_pylist()))
    assert (
        outcome.stderr == f"out: 240 students and skills from 3 responses; {students} students with late rows were scored anew\n"
    )


def test_with_a_state_the_output_is_a_folder_called_mastery_unless_it_has_a_name(run, district: Path) -> None:
    assert run("score", "log", "-m", "model.json", "--state", "state").code == 0
    assert pq.read_table(district / "mastery").num_rows == 240


def test_files_left_out_are_said_and_listed(run, district: Path) -> None:
    (district / "log" / "part-02.parquet").write_text("no Parquet")
    outcome = run("score", "log", "-m", "model.json", "-o", "out")
    assert outcome.code == 1
    assert outcome.stderr.startswith("error: log: part-02.parquet: got ")
    outcome = run("score", "log", "-m", "model.json", "-o", "out", "--skip-bad")
    assert outcome.code == 0
    assert outcome.stderr.startswith("left out: part-02.parquet: got ")
    assert outcome.stderr.endswith("; 1 file was left out\n")
    assert (district / "out.skipped.csv").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--skip-bad"], "got --skip-bad, which goes with a folder as output"),
        (["--before", "2026-01-01", "-o", "mastery.parquet"], "got --before, which goes with a folder as output"),
        (["--ordered", "-o", "out"], "got --ordered, which goes with a file as output"),
        (["--changed", "-o", "out"], "got --changed, which goes with --state"),
        (["--state", "state", "-o", "mastery.csv"], "got the output 'mastery.csv' with --state; expected a folder"),
        (["--memory", "2 apples", "-o", "out"], "memory: got '2 apples'; expected a size"),
    ],
)
def test_options_of_the_other_way_are_a_matter_of_usage(run, district: Path, arguments: list[str], message: str) -> None:
    outcome = run("score", "log", "-m", "model.json", *arguments)
    assert outcome.code == 2
    assert message in " ".join(outcome.stderr.replace("│", " ").split())
