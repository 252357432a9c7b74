"""The counts of a dataset are the counts of its log."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.dataset import partition
from reference import folders


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("options", [{}, {"kinds": ("slip",), "elapsed": True}])
@pytest.mark.parametrize("order", ["by time", "by student"])
def test_counted_piece_by_piece_they_are_those_of_the_whole(several, options, order, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(partition, "MOST_ROWS", 200)
    table, model = folders.responses(1, several=several), at.BKT(**options)
    table = table.sort_by("student") if order == "by student" else table
    log = folders.write(table, tmp_path / "log", 5)
    assert at.stats_dataset(log, model, workers=2) == model.stats(at.Log.read(log))


def test_the_command_counts_a_folder(run, tmp_path: Path) -> None:
    log = folders.write(folders.responses(2), tmp_path / "log", 5)
    outcome = run("stats", log, "-o", tmp_path / "log.stats.parquet")
    assert outcome.code == 0
    assert at.Stats.load(tmp_path / "log.stats.parquet") == at.BKT().stats(at.Log.read(log))


def test_what_is_wrong_names_its_file(run, tmp_path: Path) -> None:
    log = folders.write(folders.responses(3), tmp_path / "log", 3)
    table = folders.responses(4, 100).set_column(2, "correct", pa.array(np.full(100, 3)))
    folders.write(table, tmp_path / "log" / "more", 1)
    outcome = run("stats", log, "-o", tmp_path / "log.stats.parquet")
    assert outcome.code == 1
    assert "more/part-00.parquet, column 'correct', row 1: got 3 (and in 99 more rows)" in outcome.stderr
    assert not (tmp_path / "log.stats.parquet").exists()
