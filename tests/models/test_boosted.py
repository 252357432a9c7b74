"""Boosted: trees as LightGBM grew them, walked alike everywhere; as many as help; files that hold no trees are refused."""

from __future__ import annotations

import copy
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import adaptrace as at
from adaptrace.evaluate import metrics
from adaptrace.io import envelope
from adaptrace.kernels import parallel
from adaptrace.kernels.compile import plain
from adaptrace.kernels.trees import LEAF, Trees, boost, boosted
from adaptrace.models import trees as grown
from adaptrace.models.trees import Grower, trees_from_dict, trees_of, trees_to_dict


@pytest.fixture(scope="module", autouse=True)
def one_core() -> Iterator[None]:
    """Starting threads takes longer than these fits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "cores", lambda: 1)
        yield


WALKED = Trees(  # two trees: input 0 up to 1.5, else input 1 up to 0; and a leaf
    start=np.array([0, 5, 6]),
    column=np.array([0, LEAF, 1, LEAF, LEAF, LEAF]),
    threshold=np.array([1.5, 0.0, 0.0, 0.0, 0.0, 0.0]),
    left=np.array([1, LEAF, 3, LEAF, LEAF, LEAF]),
    right=np.array([2, LEAF, 4, LEAF, LEAF, LEAF]),
    value=np.array([0.0, 0.1, 0.0, 0.2, -0.3, 0.05]),
)


def world(seed: int, *, students: int = 300, length: int = 40) -> at.Log:
    """A tired student is wrong: at every seventh response after two right ones. No weighted sum of counts says so."""
    random = np.random.default_rng(seed)
    ability, correct = random.normal(size=students), np.zeros((students, length), int)
    item = random.integers(0, 20, (students, length))
    for k in range(length):
        twice = (correct[:, k - 1] + correct[:, k - 2] == 2) if k > 1 else np.zeros(students, bool)
        logit = ability + np.where(twice, np.where(ability > 0.0, -2.5, 2.0), 0.5)
        correct[:, k] = random.random(students) < 1.0 / (1.0 + np.exp(-logit))
    student = np.repeat([f"{seed}-{number}" for number in range(students)], length)
    skill = np.array([f"k{each % 3}" for each in item.ravel()])
    return at.Log.from_arrow({"student": student, "item": item.ravel(), "skill": skill, "correct": correct.ravel()})


@cache
def fitted() -> at.Boosted:
    return at.Boosted(rounds=80).fit(world(0))


# ---- trees --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("inputs", "added"), [((1.5, 9.0), 0.15), ((1.6, 0.0), 0.25), ((1.6, 0.1), -0.25), ((-9.0, 0.1), 0.15), ((2.0, -1.0), 0.25)]
)
def test_walks_add_what_the_leaves_say(inputs: tuple[float, float], added: float) -> None:
    expected = 1.0 / (1.0 + np.exp(-(0.4 + added)))
    assert boosted(WALKED, np.array(inputs), 0.4) == pytest.approx(expected, rel=1e-15)
    lists = Trees(*(part.tolist() for part in WALKED))
    assert plain(boosted)(lists, list(inputs), 0.4) == boosted(WALKED, np.array(inputs), 0.4)


def test_probabilities_stay_inside() -> None:
    out = np.empty(2)
    boost(WALKED, np.zeros((2, 2)), np.array([1e9, -1e9]), 0, 2, out)
    assert 0.0 < out[1] < 1e-15 < 1.0 - 1e-15 < out[0] < 1.0


def grower(**options: Any) -> Grower:
    return Grower(**{"rounds": 30, "rate": 0.1, "leaves": 7, "least": 20, "seed": 0, **options})


def inputs_and_outcomes() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(0)
    inputs, logit = random.normal(size=(3000, 4)), random.normal(size=3000)
    p = 1.0 / (1.0 + np.exp(-(logit + 2.0 * (inputs[:, 0] * inputs[:, 1] > 0.0) - 1.0)))
    return inputs, logit, (random.random(3000) < p).astype(float)


def test_the_arrays_say_what_lightgbm_says() -> None:
    lightgbm = pytest.importorskip("lightgbm")
    inputs, logit, correct = inputs_and_outcomes()
    package = lightgbm.train(grower().parameters, lightgbm.Dataset(inputs, correct, init_score=logit), 30)
    trees, out = trees_of(package.dump_model()["tree_info"]), np.empty(len(inputs))
    boost(trees, inputs, logit, 0, len(inputs), out)
    expected = 1.0 / (1.0 + np.exp(-(logit + package.predict(inputs, raw_score=True))))
    np.testing.assert_allclose(out, expected, rtol=1e-12)
    assert len(trees.start) == 31
    assert len(trees.column) > 100


def test_no_trees_where_they_do_not_help() -> None:
    inputs, logit, _ = inputs_and_outcomes()
    correct = (np.random.default_rng(1).random(len(logit)) < 1.0 / (1.0 + np.exp(-logit))).astype(float)
    seen = np.arange(len(logit)) % 4 != 0
    assert grower().enough(inputs, logit, correct, seen) <= 2
    assert grower().grow(inputs, logit, correct, 0) is grown.NO_TREES


def test_as_many_trees_as_help() -> None:
    inputs, logit, correct = inputs_and_outcomes()
    assert grower().enough(inputs, logit, correct, np.arange(len(logit)) % 4 != 0) >= 10


# ---- the model ------------------------------------------------------------------


def test_it_finds_what_a_blend_cannot() -> None:
    test = world(1)
    blend, model = at.Blend().fit(world(0)), fitted()
    assert len(model.trees.start) > 10
    assert model.log_likelihood(test) > blend.log_likelihood(test) + 0.01 * len(test)
    assert metrics.auc(test.correct, model.predict(test)) > metrics.auc(test.correct, blend.predict(test))


def test_it_holds_a_blend_and_knows_mastery_as_that() -> None:
    blend, model, test = at.Blend().fit(world(0)), fitted(), world(1)
    assert {**model.to_dict(), "family": "blend"} == {**model.to_dict(), **blend.to_dict()}
    assert model.score(test).equals(blend.score(test))


def test_the_summary_counts_the_splits_of_every_input() -> None:
    model = fitted()
    table = model.summary().to_pylist()
    splits = {row["name"]: row["value"] for row in table if row["parameter"] == "splits"}
    assert list(splits) == model.inputs
    assert sum(splits.values()) == (model.trees.column != LEAF).sum()


def test_the_same_seed_gives_the_same_trees_and_another_one_others() -> None:
    log = world(2, students=120)
    one, same, other = (at.Boosted(rounds=10, least=10, seed=seed).fit(log) for seed in (3, 3, 4))
    assert one.to_dict() == same.to_dict()
    assert trees_to_dict(one.trees) != trees_to_dict(other.trees)


def test_without_lightgbm_the_fit_says_what_to_install_and_predictions_need_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted().save(tmp_path / "model.json")
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(at.ModelError, match=r'needs the package lightgbm.*pip install "adaptrace\[boost\]"'):
        at.Boosted().fit(world(0))
    test = world(1, students=5)
    assert at.load(tmp_path / "model.json").predict(test).tolist() == fitted().predict(test).tolist()


def test_no_rounds_are_a_blend() -> None:
    log = world(2, students=20)
    model = at.Boosted(rounds=0).fit(log)
    assert model.trees is grown.NO_TREES
    assert model.predict(log).tolist() == at.Blend().fit(log).predict(log).tolist()


def test_the_repr_tells_options_apart() -> None:
    assert repr(at.Boosted()) == "Boosted()"
    assert repr(at.Boosted(elapsed=True, rate=0.05, seed=3)) == "Boosted(elapsed=True, rate=0.05, seed=3)"
    assert repr(fitted()) == "Boosted(BKT(3 skills, forget=True), TwoPL(20 items), rounds=80)"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rounds": -1}, "rounds: got -1"),
        ({"leaves": 1}, "leaves: got 1"),
        ({"leaves": 131073}, "leaves: got 131073; expected a whole number from 2 to 131072"),
        ({"least": 0.5}, "least: got 0.5"),
        ({"rate": 0.0}, "rate: got 0.0; expected a number above 0, up to 1"),
        ({"rate": float("nan"), "seed": True}, "seed: got True.*; rate: got nan"),
    ],
)
def test_options_that_mean_nothing_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(at.ModelError, match=said):
        at.Boosted(**options)


# ---- files ----------------------------------------------------------------------


def test_trees_come_back_equal() -> None:
    assert trees_to_dict(trees_from_dict(trees_to_dict(WALKED), 2)) == trees_to_dict(WALKED)


@pytest.mark.parametrize(
    ("part", "place", "value", "said"),
    [
        ("left", 2, 0, "below exactly one other"),  # a circle
        ("left", 2, 2, "below exactly one other"),  # of one
        ("right", 0, 3, "below exactly one other"),  # two parents
        ("right", 2, 5, "below exactly one other"),  # of the next tree
        ("left", 0, 99, "below exactly one other"),
        ("column", 0, 2, "expected inputs below 2"),
        ("column", 0, -2, "expected inputs below 2"),
        ("threshold", 0, float("nan"), "trees: threshold: expected numbers"),
        ("value", 1, float("inf"), "trees: value: expected numbers"),
        ("value", 1, None, "trees: value: expected numbers"),
        ("left", 0, 1.5, "trees: left: expected whole numbers"),
        ("start", 0, 1, "the first node of every tree"),
        ("start", 1, 6, "the first node of every tree"),
        ("start", 2, 7, "the first node of every tree"),
    ],
)
def test_trees_that_are_none_are_one_error(part: str, place: int, value: Any, said: str) -> None:
    content = trees_to_dict(WALKED)
    content[part][place] = value
    with pytest.raises(ValueError, match=said):
        trees_from_dict(content, 2)


@pytest.mark.parametrize(("part", "value"), [("left", [1]), ("start", []), ("start", [0]), ("value", "x"), ("column", None)])
def test_trees_of_wrong_lengths_are_one_error(part: str, value: Any) -> None:
    with pytest.raises(ValueError, match="trees: "):
        trees_from_dict({**trees_to_dict(WALKED), part: value}, 2)


def test_a_file_with_a_circle_is_refused_in_one_line(tmp_path: Path) -> None:
    content = copy.deepcopy(fitted().to_dict())
    content["trees"]["left"][0] = 0
    envelope.write(tmp_path / "model.json", "model", content)
    with pytest.raises(at.ModelError, match=r"model\.json: a boosted model whose content is not whole \(trees: ") as caught:
        at.load(tmp_path / "model.json")
    assert "\n" not in str(caught.value)
