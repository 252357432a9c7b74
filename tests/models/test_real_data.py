"""Real logs, measured and never kept: run with ADAPTRACE_DATA set to the folder that holds them."""

from __future__ import annotations

import os
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.compute as pc
import pytest

import adaptrace as at
from adaptrace.evaluate import metrics
from reference import evidence, optimum
from reference.bkt import baum_welch

DATA = Path(os.environ.get("ADAPTRACE_DATA", ""))
pytestmark = [
    pytest.mark.skipif("ADAPTRACE_DATA" not in os.environ, reason="ADAPTRACE_DATA is not set: no real logs here"),
    pytest.mark.slow,
]

READ: dict[str, dict[str, Any]] = {
    "assist09": {},
    "assist15": {},
    "ednet_kt1_5k": {},
    "glops42": {},
    "memphis_cloze": {"time_unit": "s"},
}
EVERY = {"assist09": 70, "assist15": 50, "ednet_kt1_5k": 600, "glops42": 20, "memphis_cloze": 18}  # nth skill is searched


@cache
def log_of(name: str) -> at.Log:
    return at.Log.read(DATA / f"{name}.parquet", **READ[name])


@cache
def fitted(name: str) -> at.BKT:
    return at.BKT().fit(log_of(name))


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
    fitted = at.BKT(forget=False, pooling=0, plausible=False).fit(train)
    for skill in train.skills.to_pylist()[::12]:
        own = train.select(pc.equal(train.table["skill"].cast("string"), str(skill)))
        reference = baum_welch(sequences_of(train, skill), starts=8, seed=0, steps=150)
        assert fitted.log_likelihood(own) >= reference - 1e-6 * abs(reference), skill


@pytest.mark.parametrize("name", READ)
def test_no_optimiser_from_100_random_starts_ends_above_the_fit(name: str) -> None:
    """Of the same objective: log-likelihood with the pseudo-counts, among the skills that are plausible."""
    model, sequences = fitted(name), optimum.sequences_of(log_of(name))
    limits = model.limits.pooled(model.table.pull)
    (low, high), smoothing = limits.bounds(), limits.smoothing
    assert smoothing.sum() > 1.0
    for skill in model.skills.to_pylist()[:: EVERY[name]]:
        problem = optimum.problem_of(sequences[skill], low, high, smoothing, plausible=True)
        reached = optimum.value_of(np.array(model.row(skill)), problem)
        reference, where = optimum.best(problem, starts=100, seed=0)
        assert reached >= reference - 1e-6 * abs(reference), (skill, model.row(skill), where)


@pytest.mark.parametrize("name", [*READ, "assist09 by list", "ednet_kt1_5k by list"])
def test_no_skill_is_degenerate_by_default(name: str) -> None:
    name, several = name.removesuffix(" by list"), name.endswith("by list")
    log = at.Log.read(DATA / f"{name}.parquet", columns={"skills": "skills"}) if several else log_of(name)
    assert log.has_several_skills == several
    model = at.BKT().fit(log) if several else fitted(name)
    assert {skill: failed for skill in model.skills.to_pylist() if (failed := evidence.failed_tests(model.row(skill)))} == {}
    assert all(np.isfinite(values).all() for values in model.parameters)
    for values in (model.predict(log), model.score(log)["mastery"].to_numpy()):
        assert np.all((values > 0.0) & (values < 1.0))


def test_held_out_quality_on_assist09(assist09: tuple[at.Log, at.Log]) -> None:
    train, test = assist09
    predicted = at.BKT().fit(train).predict(test)
    assert metrics.auc(test.correct, predicted) >= 0.719
    assert metrics.log_loss(test.correct, predicted) <= 0.574


@pytest.mark.parametrize(
    ("name", "options", "gain"),
    [
        ("assist09", {"items": ("guess", "slip")}, 0.02),
        ("ednet_kt1_5k", {"items": ("guess", "slip")}, 0.015),
        ("memphis_cloze", {"elapsed": True}, 0.01),
    ],
    ids=str,
)
def test_what_varies_lowers_the_log_loss_on_students_the_fit_did_not_see(
    name: str, options: dict[str, Any], gain: float, assist09: tuple[at.Log, at.Log]
) -> None:
    splits = [assist09] if name == "assist09" else [log_of(name).split(0.2, seed=seed) for seed in (0, 1)]
    losses = [
        [metrics.log_loss(test.correct, at.BKT(**each).fit(train).predict(test)) for each in ({}, options)]
        for train, test in splits
    ]
    plain, varied = np.mean(losses, axis=0)
    assert varied < plain - gain


def held_out(name: str) -> tuple[at.Log, at.Log]:
    """Train and test: the file's own split, or a fifth of the students, seed 0; EdNet as lists of skills."""
    if name == "ednet_kt1_5k":
        return at.Log.read(DATA / f"{name}.parquet", columns={"skills": "skills"}).split(0.2, seed=0)
    log = at.Log.read(DATA / f"{name}.parquet", keep=["split"])
    return log.select(pc.equal(log.table["split"], "train")), log.select(pc.equal(log.table["split"], "test"))


def measured(model: Any, train: at.Log, test: at.Log) -> tuple[float, float]:
    """AUC and log loss on students that the fit did not see."""
    predicted = model.fit(train).predict(test)
    return metrics.auc(test.correct, predicted), metrics.log_loss(test.correct, predicted)


@pytest.mark.parametrize(("name", "least"), [("assist09", 0.782), ("assist15", 0.722), ("ednet_kt1_5k", 0.748)])
def test_a_blend_predicts_better_than_its_best_part_and_than_published_models(name: str, least: float) -> None:
    train, test = held_out(name)
    auc, loss = measured(at.Blend(), train, test)
    others = [measured(model, train, test) for model in (at.BestLR(), at.Recency(), at.TwoPL())]
    assert auc >= least
    assert loss < min(other for _, other in others)


def test_best_lr_reaches_what_is_published(assist09: tuple[at.Log, at.Log]) -> None:
    auc, _ = measured(at.BestLR(), *assist09)
    assert auc >= 0.760


@pytest.mark.parametrize("name", ["assist15", "ednet_kt1_5k", "glops42", "memphis_cloze", "anki_josh"])
def test_every_log_fits_and_predicts_better_than_its_mean(name: str) -> None:
    log = log_of(name) if name in READ else at.Log.read(DATA / f"{name}.parquet")
    predicted = (fitted(name) if name in READ else at.BKT().fit(log)).predict(log)
    assert np.all((predicted > 0) & (predicted < 1))
    assert metrics.log_loss(log.correct, predicted) < metrics.log_loss(log.correct, np.full(len(log), log.correct.mean()))
