"""Real logs, measured and never kept: run with ADAPTRACE_DATA set to the folder that holds them."""

from __future__ import annotations

import os
from collections import defaultdict
from pathlib import Path

import numpy as np
import pyarrow.compute as pc
import pytest

import adaptrace as at
from adaptrace import metrics
from reference.bkt import baum_welch

DATA = Path(os.environ.get("ADAPTRACE_DATA", ""))
pytestmark = pytest.mark.skipif("ADAPTRACE_DATA" not in os.environ, reason="ADAPTRACE_DATA is not set: no real logs here")


@pytest.fixture(scope="module")
def assist09() -> tuple[at.Log, at.Log]:
    log = at.Log.read(DATA / "assist09.parquet", keep=["split"])
    return log.select(pc.equal(log.table["split"], "train")), log.select(pc.equal(log.table["split"], "test"))


def sequences_of(log: at.Log, skill: object) -> list[tuple[float, ...]]:
    sequences: dict[object, tuple[float, ...]] = defaultdict(tuple)
    own = log.table.filter(pc.equal(log.table["skill"].cast("string"), str(skill)))
    for student, correct in zip(own["student"].to_pylist(), own["correct"].to_pylist(), strict=True):
        sequences[student] += (float(correct),)
    return list(sequences.values())


def test_no_em_from_random_starts_ends_above_the_fit(assist09: tuple[at.Log, at.Log]) -> None:
    train, _ = assist09
    fitted = at.BKT(forget=False).fit(train)
    for skill in train.skills.to_pylist()[::12]:
        own = train.select(pc.equal(train.table["skill"].cast("string"), str(skill)))
        reference = baum_welch(sequences_of(train, skill), starts=8, seed=0, steps=150)
        assert fitted.log_likelihood(own) >= reference - 1e-6 * abs(reference), skill


def test_held_out_quality_on_assist09(assist09: tuple[at.Log, at.Log]) -> None:
    train, test = assist09
    predicted = at.BKT().fit(train).predict(test)
    assert metrics.auc(test.correct, predicted) >= 0.719
    assert metrics.log_loss(test.correct, predicted) <= 0.574


@pytest.mark.parametrize("name", ["assist15", "ednet_kt1_5k", "glops42", "memphis_cloze", "anki_josh"])
def test_every_log_fits_and_predicts_better_than_its_mean(name: str) -> None:
    log = at.Log.read(DATA / f"{name}.parquet")
    predicted = at.BKT().fit(log).predict(log)
    assert np.all((predicted > 0) & (predicted < 1))
    assert metrics.log_loss(log.correct, predicted) < metrics.log_loss(log.correct, np.full(len(log), log.correct.mean()))
