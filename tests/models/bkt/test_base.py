"""A small school's fit, drawn to the model of many: it borrows where it knows little, and keeps what it knows."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

import adaptrace as at
from adaptrace.errors import ModelError
from adaptrace.models.bkt.fit_skills import BaseSkills
from adaptrace.models.bkt.limits import Pull
from reference.districts import district
from reference.school import random_log

N = 8
RANDOM = np.random.default_rng(1)
THETA = np.stack([RANDOM.uniform(*ends, N) for ends in ((0.1, 0.6), (0.05, 0.3), (0.1, 0.3), (0.05, 0.2))], axis=1)


@cache
def pool() -> at.BKT:
    return at.BKT().fit(district("p", THETA, students=3000, seed=0))


def near(spread: float, seed: int) -> np.ndarray:
    """A school's own truth: each parameter this far from everyone's, on the logit scale."""
    moved = np.log(THETA / (1.0 - THETA)) + spread * np.random.default_rng(seed).standard_normal(THETA.shape)
    return 1.0 / (1.0 + np.exp(-moved))


def parameters(model: at.BKT) -> np.ndarray:
    prior, learn, _, guess, slip = model.parameters
    return np.stack([prior, learn, guess, slip], axis=1)[:-1]


def error(model: at.BKT, truth: np.ndarray) -> float:
    return float(np.abs(parameters(model) - truth).mean())


def log_loss(model: at.BKT, log: at.Log) -> float:
    p, right = model.predict(log), log.table["correct"].to_numpy()
    return float(-np.log(np.where(right == 1.0, p, 1.0 - p)).mean())


def test_a_small_school_does_better_than_alone_and_than_the_pool() -> None:
    found = []
    for seed in range(3):
        truth = near(0.3, seed)
        own, later = (district("s", truth, students=n, seed=10 + seed + n) for n in (60, 1000))
        models = (at.BKT().fit(own), pool(), at.BKT().fit(own, base=pool()))
        found.append([[error(model, truth), log_loss(model, later)] for model in models])
    alone, pooled, based = np.mean(found, axis=0)
    assert (based < alone).all()
    assert (based < pooled).all()


def test_with_many_responses_a_base_hardly_matters() -> None:
    own = district("s", near(0.6, 0), students=6000, seed=5)
    assert np.abs(parameters(at.BKT().fit(own, base=pool())) - parameters(at.BKT().fit(own))).max() < 0.02


def test_with_one_student_the_base_is_all() -> None:
    based = at.BKT().fit(district("s", THETA, students=1, seed=0), base=pool())
    there = parameters(pool())[pool().table.index(based.skills)]
    assert np.abs(np.log(parameters(based) / there)).max() < 0.4


def test_pooling_says_how_much() -> None:
    own = district("s", near(0.6, 0), students=60, seed=5)
    away = [error(at.BKT(pooling=weight).fit(own, base=pool()), parameters(pool())) for weight in (1.0, 30.0, 1e6)]
    assert away[0] > away[1] > away[2]
    assert away[2] < 1e-4


def test_a_skill_that_the_base_does_not_know_is_pulled_to_its_mean_skill() -> None:
    base = at.BKT.from_parameters(["other", "another"], prior=[0.3, 0.4], learn=[0.2, 0.1], guess=0.1, slip=0.1)
    based = at.BKT(forget=False, pooling=1e6).fit(district("s", THETA[:1], students=30, seed=0), base=base)
    mean = [values[-1] for values in base.parameters]
    assert based.row("s0") == pytest.approx(mean, abs=1e-4)
    assert based.row("never seen") == pytest.approx(mean)


def test_a_skill_that_the_base_does_not_know_is_pulled_as_the_base_pulled_its_own() -> None:
    mean, weight = np.array([values[-1] for values in pool().parameters]), np.arange(1.0, 6.0)
    stranger = BaseSkills(mean[None], np.zeros((1, 5)), np.array([False]), Pull(mean, weight))
    assert stranger.pull_to(np.full(5, 0.1), at.BKT().limits).weight.tolist() == [weight.tolist()]


def test_what_the_base_is_sure_of_pulls_more() -> None:
    own = district("s", near(0.6, 0), students=60, seed=5)
    vague = at.BKT().fit(district("p", THETA, students=40, seed=0))
    sure = at.BKT.from_parameters(
        vague.skills.to_pylist(), **{name: values[:-1] for name, values in vague.parameters._asdict().items()}
    )
    assert error(at.BKT().fit(own, base=sure), parameters(vague)) < error(at.BKT().fit(own, base=vague), parameters(vague))


def test_parameters_at_the_edge_can_be_a_base() -> None:
    base = at.BKT.from_parameters(["s0", "s1"], prior=[0.0, 1.0], learn=[0.0, 0.5], guess=[0.0, 0.3], slip=[0.0, 0.1])
    based = at.BKT().fit(district("s", THETA[:2], students=40, seed=0), base=base)
    assert all(np.isfinite(values).all() for values in based.parameters)
    assert np.isfinite(at.BKT(fixed={"slip": 0.2}).fit(district("s", THETA[:2], students=40, seed=0), base=base).parameters).all()


def test_a_climb_from_a_base_that_never_forgets_gets_off_the_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    own = district("s", near(0.6, 0), students=100, seed=5)
    never = at.BKT(forget=False).fit(district("p", THETA, students=1000, seed=0))
    searched = at.BKT().fit(own, base=never)
    monkeypatch.setattr("adaptrace.models.bkt.fit_skills.LARGE", -1)  # from where the base is, as large skills do
    climbed = at.BKT().fit(own, base=never)
    assert parameters(climbed) == pytest.approx(parameters(searched), abs=1e-3)


def test_a_log_and_its_stats_are_drawn_alike() -> None:
    own = district("s", near(0.3, 0), students=60, seed=5)
    for log, base in ((own, pool()), (random_log(several=True), at.BKT().fit(random_log(1, several=True)))):
        one, other = at.BKT().fit(log, base=base), at.BKT().fit(base.stats(log), base=base)
        assert np.array_equal(one.parameters, other.parameters)


def test_a_fit_to_a_base_can_be_kept_refitted_and_drawn_from() -> None:
    own = district("s", near(0.3, 0), students=60, seed=5)
    based = at.BKT().fit(own, base=pool())
    assert np.array_equal(at.BKT.from_dict(based.to_dict()).predict(own), based.predict(own))
    assert based.refit(own).table.pull.centre.tolist() == pool().table.pull.centre.tolist()
    assert len(based.bootstrap(own, draws=2, seed=0)) == 2 * N
    assert "shrunk" in based.summary()["status"].to_pylist()


def test_the_number_of_workers_changes_no_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    own = district("s", near(0.3, 0), students=60, seed=5)
    many = at.BKT().fit(own, base=pool())
    monkeypatch.setattr("adaptrace.kernels.parallel.cores", lambda: 1)
    assert np.array_equal(at.BKT().fit(own, base=pool()).parameters, many.parameters)


@pytest.mark.parametrize(
    ("model", "base", "told"),
    [
        (at.BKT(), at.BKT(), "expected a fitted BKT"),
        (at.BKT(), at.PFA(), "expected a fitted BKT"),
        (at.BKT(items=("slip",)), None, "this model vary by more than skill"),
        (at.BKT(), at.BKT(kinds=("slip",)).fit(random_log()), "the base vary by more than skill"),
        (at.BKT(combine="mean"), None, "got combine='conjunctive'; expected 'mean'"),
        (at.BKT(pooling=0.0), None, "pooling=0 pulls towards nothing"),
    ],
)
def test_what_cannot_be_a_base_is_refused(model: at.BKT, base: object, told: str) -> None:
    log = random_log()
    with pytest.raises(ModelError, match=told):
        model.fit(log, base=base or pool())  # type: ignore[arg-type]
