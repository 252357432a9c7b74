"""The commands stats and merge, and fit from counts and towards a base."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.io import envelope, identity
from adaptrace.stats import parquet
from adaptrace.stats.stats import Stats
from reference.districts import district, sequences

THETA = np.array([[0.4, 0.15, 0.2, 0.1], [0.2, 0.1, 0.15, 0.05]])
Run = Callable[..., Any]


@pytest.fixture
def logs(tmp_path: Path) -> list[Path]:
    """The logs of three districts."""
    paths = []
    for seed, name in enumerate(("north", "south", "west")):
        paths.append(tmp_path / name / "log.parquet")
        paths[-1].parent.mkdir()
        pq.write_table(district(name, THETA, students=150, seed=seed).table, paths[-1])
    return paths


@pytest.fixture
def pooled(run: Run, logs: list[Path], tmp_path: Path) -> Path:
    """Their stats, merged."""
    counts = [log.with_name("x.stats.parquet") for log in logs]
    for log, file in zip(logs, counts, strict=True):
        assert run("stats", log, "-o", file).code == 0
    assert run("merge", *counts, "-o", tmp_path / "pool.stats.parquet").code == 0
    return tmp_path / "pool.stats.parquet"


def test_counts_of_districts_give_the_fit_of_their_rows(run: Run, logs: list[Path], pooled: Path, tmp_path: Path) -> None:
    assert run("fit", "--stats", pooled, "-o", tmp_path / "pool.json").code == 0
    assert run("fit", tmp_path / "*" / "log.parquet", "-o", tmp_path / "rows.json").code == 0
    one, other = at.load(tmp_path / "pool.json"), at.load(tmp_path / "rows.json")
    assert one.to_dict() == other.to_dict()
    wanted = sorted(identity.identity(log) for log in logs)
    assert sorted(source["identity"] for source in parquet.sources(pooled)) == wanted
    assert sorted(source["identity"] for source in envelope.sources(tmp_path / "pool.json")) == wanted


def test_a_minimum_hides_small_counts_and_tells_what_it_cost(run: Run, logs: list[Path], tmp_path: Path) -> None:
    told = run("stats", logs[0], "-o", tmp_path / "x.parquet", "--min-students", 10)
    assert (told.code, told.stdout) == (0, "")
    assert "note: 10 students or more in every count: " in told.stderr
    assert min(sequences(Stats.load(tmp_path / "x.parquet")).values()) >= 10


def test_where_nothing_may_be_shown_nothing_is_written(run: Run, logs: list[Path], tmp_path: Path) -> None:
    told = run("stats", logs[0], "-o", tmp_path / "x.parquet", "--min-students", 1000)
    assert told.code == 1
    assert "too few students on every skill" in told.stderr
    assert not (tmp_path / "x.parquet").exists()


def test_the_options_of_the_model_reach_its_counts(run: Run, logs: list[Path], tmp_path: Path) -> None:
    told = run("stats", logs[0], "-o", tmp_path / "x.parquet", "--items", "guess,slip", "--students", "prior")
    assert "note: these counts name the students" in told.stderr
    assert Stats.load(tmp_path / "x.parquet").factors == ("item", "student")
    assert (
        run("fit", "--stats", tmp_path / "x.parquet", "--items", "slip", "--students", "prior", "-o", tmp_path / "m.json").code
        == 0
    )
    refused = run("fit", "--stats", tmp_path / "x.parquet", "-o", tmp_path / "no.json")
    assert (refused.code, (tmp_path / "no.json").exists()) == (1, False)
    assert "they tell apart item and student; expected outcomes only" in refused.stderr


def test_a_fit_can_be_drawn_to_a_base(run: Run, logs: list[Path], pooled: Path, tmp_path: Path) -> None:
    run("fit", "--stats", pooled, "-o", tmp_path / "pool.json")
    assert run("fit", logs[0], "--base", tmp_path / "pool.json", "-o", tmp_path / "north.json").code == 0
    expected = at.BKT().fit(at.Log.read(logs[0]), base=at.load(tmp_path / "pool.json"))
    assert at.load(tmp_path / "north.json").to_dict() == expected.to_dict()
    used = envelope.sources(tmp_path / "north.json")
    assert len(used) == 3  # its own log, which is in the pool, once


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("fit",), 2, "got neither; expected either a LOG or --stats"),
        (("fit", "LOG", "--stats", "POOL"), 2, "got both"),
        (("fit", "LOG", "--base", "POOL", "--model", "pfa"), 2, "no option of 'pfa'"),
        (("fit", "--stats", "POOL", "--model", "pfa"), 1, "does not fit to counts; expected a model of a family that does: bkt"),
        (("fit", "--stats", "LOG"), 1, "not stats; expected a file written by `adaptrace stats`"),
        (("stats", "LOG", "--model", "rasch"), 1, "does not fit to counts; expected a model of a family that does: bkt"),
        (("stats", "LOG", "--students", "prior", "--min-students", "5"), 1, "name students"),
        (("stats", "LOG", "-o", "nowhere/x.parquet"), 1, "cannot be written"),
        (("merge", "POOL", "LOG", "none.parquet"), 1, "none.parquet: no such file"),
        (("merge", "POOL", "POOL"), 1, "give it once"),
        (("merge",), 2, "Missing argument"),
    ],
)
def test_what_is_asked_wrongly_is_told(
    arguments: tuple[str, ...], code: int, told: str, run: Run, logs: list[Path], pooled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pooled.parent)
    monkeypatch.setenv("COLUMNS", "200")
    before = sorted(pooled.parent.rglob("*"))
    names = {"LOG": str(logs[0]), "POOL": str(pooled)}
    outcome = run(*(names.get(each, each) for each in arguments))
    assert outcome.code == code
    assert told in outcome.stderr
    assert sorted(pooled.parent.rglob("*")) == before
