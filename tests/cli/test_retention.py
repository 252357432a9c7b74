"""The command that applies a rule of retention."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import adaptrace as at


@pytest.fixture
def district(tmp_path: Path) -> Path:
    times = pa.array([1_600_000_000, 1_700_000_000, 1_780_000_000], pa.timestamp("s")).cast(pa.timestamp("us", "UTC"))
    names = ["Ada", "Bo", "Cem"]
    table = pa.table({"student": names, "item": ["q1"] * 3, "skill": ["halves"] * 3, "correct": [1] * 3, "time": times})
    pq.write_table(table, tmp_path / "log.parquet")
    model = at.BKT.from_parameters(["halves"], prior=0.5, learn=0.2, guess=0.1, slip=0.1)
    catalog = at.Catalog.from_arrow({"item": ["q1"], "skill": ["halves"]})
    with at.Tutor.open(tmp_path / "tutor.db", model=model, catalog=catalog) as tutor:
        tutor.observe("Bo", "q1", 1, time=times[2].as_py())
    (tmp_path / "rule.toml").write_text('inactive = "2y"\n')
    return tmp_path


def test_a_dry_run_and_the_run_say_how_many_and_where(run, district: Path) -> None:
    arguments = [
        "retain",
        "--inactive",
        "18mo",
        "--time",
        "2026-08-01",
        "--log",
        district / "log.parquet",
        "--store",
        district / "tutor.db",
    ]
    dry = run(*arguments, "--dry-run")
    assert (dry.code, dry.stderr) == (
        0,
        "1 student not active since 2025-02-01 00:00 (18mo before 2026-08-01 00:00 UTC) would be deleted; "
        "0 exempt, 0 without a date in any place\n",
    )
    assert [line.split()[-5:] for line in dry.stdout.splitlines()] == [
        ["kind", "students", "deleted", "pseudonymized", "rows"],
        ["log", "3", "1", "0", "1"],
        ["store", "1", "0", "0", "0"],
    ]
    assert len(pq.read_table(district / "log.parquet")) == 3
    wet = run(*arguments)
    assert (wet.code, wet.stdout) == (0, dry.stdout)
    assert pq.read_table(district / "log.parquet")["student"].to_pylist() == ["Bo", "Cem"]
    assert "Ada" not in dry.stdout + dry.stderr + wet.stdout + wet.stderr


def test_a_rule_may_be_a_file_and_options_go_before_it(run, district: Path) -> None:
    arguments = [
        "retain",
        "--rule",
        district / "rule.toml",
        "--time",
        "2026-08-01",
        "--log",
        district / "log.parquet",
        "--dry-run",
    ]
    assert "2 students not active since 2024-08-01" in run(*arguments).stderr
    assert "1 student not active since 2024-08-01" in run(*arguments, "--exempt", "Bo").stderr
    assert "not active since 2021-08-01" in run(*arguments, "--inactive", "5y").stderr


def test_a_store_may_be_a_url_and_the_audit_stands_beside_its_file(run, district: Path) -> None:
    outcome = run("retain", "--inactive", "18mo", "--time", "2026-08-01", "--store", f"sqlite:///{district}/tutor.db")
    assert (outcome.code, outcome.stderr[:10]) == (0, "0 students")
    (line,) = (district / "audit.jsonl").read_text().splitlines()
    assert json.loads(line)["files"] == [f"{district}/tutor.db"]


def contents_of(folder: Path) -> dict[Path, bytes]:
    """All but locks and the audit, which also holds what was refused."""
    return {path: path.read_bytes() for path in folder.iterdir() if path.suffix != ".lock" and path.name != "audit.jsonl"}


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--log", "log.parquet"], 2, "--inactive: got none, and no --rule"),
        (["--inactive", "18 months", "--log", "log.parquet"], 2, "got '18 months'; expected a number and d"),
        (["--inactive", "1y"], 2, "places: got none"),
        (["--inactive", "1y", "--log", "log.parquet", "--time", "2999-01-01"], 2, "which is in the future"),
        (["--inactive", "1y", "--log", "log.parquet", "--action", "hide"], 2, "action: got 'hide'"),
        (["--inactive", "1y", "--log", "log.parquet", "--action", "pseudonymize"], 2, "--key-file"),
        (["--inactive", "1y", "--log", "log.parquet", "--column", "pupil"], 2, "expected student=THEIRS or time=THEIRS"),
        (["--inactive", "1y", "--store", "nowhere.db"], 1, "nowhere.db: no such file; expected the store of a tutor"),
        (["--inactive", "1y", "--store", "log.parquet"], 1, "expected a store of adaptrace"),
        (["--inactive", "1y", "--log", "rule.toml"], 1, "rule.toml: got the ending '.toml'; expected"),
        (["--inactive", "1y", "--log", "log.parquet", "--state", "."], 1, "expected a state written by adaptrace"),
        (["--rule", "nowhere.toml", "--log", "log.parquet"], 1, "nowhere.toml: got No such file"),
    ],
)
def test_what_cannot_be_meant_is_one_error_and_changes_nothing(
    arguments: list[str], code: int, told: str, run, district: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(district)
    before = contents_of(district)
    outcome = run("retain", *arguments)
    assert outcome.code == code
    assert told in " ".join(outcome.stderr.replace("│", " ").split())
    assert contents_of(district) == before
