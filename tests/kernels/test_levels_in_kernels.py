"""Levels as evidence in the passes over a log, against sums over hidden paths; no fit, so that it also runs uncompiled."""

from __future__ import annotations

import datetime
from dataclasses import replace
from itertools import pairwise, product

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.kernels import bkt
from adaptrace.models.bkt.effects import Effects, Levels, level_rows
from adaptrace.models.bkt.fit_effects import to_logits

THETA = {"prior": 0.4, "learn": 0.2, "forget": 0.05, "guess": 0.25, "slip": 0.1}
EASY, STEEP = np.array([[0.3, -0.5]] * 2), np.array([[0.1, 0.4]] * 2)
REACHED = [2, 0, 1, 2]


def model(**options: object) -> at.BKT:
    plain = at.BKT.from_parameters(["s"], **THETA)
    theta, edge = np.stack(plain.parameters, axis=1), np.full(5, 1e-9)
    logits = to_logits(theta, np.ones(2), edge, 1.0 - 2.0 * edge)
    levels = Levels(kind="project", easy=EASY, steep=STEEP, seen=np.array([True, True]))
    effects = Effects(low=edge, high=1.0 - 2.0 * edge, logits=logits, guess_scale=np.ones(2), levels=(levels,), **options)
    return replace(plain, levels={"project": 3}, effects=effects, elapsed=bool(options))


def log() -> at.Log:
    start, n = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC), len(REACHED)
    times = [start + datetime.timedelta(days=day) for day in range(n)]
    table = {
        "student": ["a"] * n,
        "item": ["i"] * n,
        "skill": ["s"] * n,
        "kind": ["project"] * n,
        "level": REACHED,
        "time": times,
    }
    return at.Log.from_arrow(pa.table(table), levels={"project": 3})


def paths() -> tuple[list[tuple[int, ...]], np.ndarray, np.ndarray]:
    """Every hidden path, its probability before any evidence, and P(levels so far | path) after each response."""
    unknown, known = (rows[0] for rows in level_rows(EASY, STEEP))
    every = list(product((0, 1), repeat=len(REACHED)))
    chance = []
    for path in every:
        weight = THETA["prior"] if path[0] else 1 - THETA["prior"]
        for before, after in pairwise(path):
            stays = (1 - THETA["forget"]) if before else (1 - THETA["learn"])
            weight *= stays if before == after else 1 - stays
        chance.append(weight)
    told = [[(known if state else unknown)[level] for state, level in zip(path, REACHED, strict=True)] for path in every]
    return every, np.array(chance), np.cumprod(np.array(told), axis=1)


def test_predictions_expect_the_share_of_the_highest_level() -> None:
    every, chance, told = paths()
    shares = [rows[0] @ np.array([0.0, 0.5, 1.0]) for rows in level_rows(EASY, STEEP)]
    for step, got in enumerate(model().predict(log())):
        weight = chance * (told[:, step - 1] if step else 1.0)
        expected = sum(w * shares[path[step]] for w, path in zip(weight, every, strict=True)) / weight.sum()
        assert got == pytest.approx(expected, rel=1e-8)


def test_hindsight_weighs_every_level() -> None:
    every, chance, told = paths()
    weight = chance * told[:, -1]
    expected = [
        sum(w for w, path in zip(weight, every, strict=True) if path[step]) / weight.sum() for step in range(len(REACHED))
    ]
    np.testing.assert_allclose(model().smooth(log())["known"].to_numpy(), expected, rtol=1e-8)


def test_a_score_long_after_has_faded_from_that_right_after() -> None:
    fading = model(half_life=np.array([10.0, 10.0]))
    days = [datetime.datetime(2026, 1, day, tzinfo=datetime.UTC) for day in (4, 24)]
    now, later = (fading.score(log(), time=day)["mastery"][0].as_py() for day in days)
    assert later == pytest.approx(now / 4.0, rel=1e-9)
    odds, faded = np.array([3.0]), np.empty(1)
    bkt.fade_all(odds, np.array([10.0]), np.array([10.0]), np.zeros(1, np.int32), faded)
    assert faded[0] == pytest.approx(0.375 / 0.625)
