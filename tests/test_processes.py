"""Processes: everything public goes to another process and comes back equal, errors too."""

from __future__ import annotations

import copy
import dataclasses
import datetime
import inspect
import multiprocessing
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace import errors
from adaptrace.errors import DataError, Problem, UnreadableEventError
from adaptrace.models import MODELS

PROBLEMS = [Problem("2", "0 or 1", "correct it", "correct", 7, 3, "a.csv"), Problem("null", "a name", "drop it", "student")]
MADE = {  # errors whose arguments are not one text
    DataError: lambda: DataError("log.csv", PROBLEMS),
    UnreadableEventError: lambda: UnreadableEventError("tutor.db", "e1"),
}
ERRORS = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, Exception)]
WAYS: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "copy": copy.copy,
    **{f"pickle {number}": lambda value, number=number: pickle.loads(pickle.dumps(value, number)) for number in (2, 5)},
}


def made(kind: type[Exception]) -> Exception:
    return MADE.get(kind, lambda: kind("what is wrong"))()


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.__name__)
def test_an_error_comes_back_with_its_text_and_attributes(kind: type[Exception], way: str) -> None:
    error = made(kind)
    back = WAYS[way](error)
    assert (type(back), str(back), vars(back)) == (kind, str(error), vars(error))


def _raise(kind: type[Exception]) -> None:
    raise made(kind)


def test_an_error_of_another_process_is_raised_in_this_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[__name__.count(".")])  # there the other finds this module
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        for kind in ERRORS:
            with pytest.raises(kind) as raised:
                pool.submit(_raise, kind).result(timeout=60)
            assert str(raised.value) == str(made(kind))


# ---- values -----------------------------------------------------------------

TIME = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)


@pytest.fixture(scope="module")
def log() -> at.Log:
    rows = 40
    return at.Log.from_arrow(
        {
            "student": [f"s{row % 4}" for row in range(rows)],
            "item": [f"q{row % 3}" for row in range(rows)],
            "skill": ["halves", "quarters"] * (rows // 2),
            "correct": [row * 7 % 5 % 2 for row in range(rows)],
            "time": pa.array(range(rows), pa.timestamp("s")),
        }
    )


@pytest.fixture(scope="module")
def catalog() -> at.Catalog:
    return at.Catalog([at.Item("q0", ("halves",)), at.Item("q1", ("quarters",))], {"quarters": ("halves",)})


def observed(model: Any, catalog: at.Catalog) -> at.Student:
    student = at.Student(model, catalog, "ana")
    student.observe("q0", 1, time=TIME)
    return student


def recommender(log: at.Log, catalog: at.Catalog) -> at.Recommender:
    return at.Recommender(at.BKT().fit(log), catalog, policy=at.TargetSuccess(target=0.7))


def recommended(log: at.Log, catalog: at.Catalog) -> at.Recommendation:
    (first,) = recommender(log, catalog).recommend(observed(at.BKT().fit(log), catalog), k=1, time=TIME)
    return first


def simulated(log: at.Log, catalog: at.Catalog) -> at.SimulatedLog:
    return at.simulate(at.BKT().fit(log), catalog, students=2, responses=3, seed=1)


def verified(log: at.Log, catalog: at.Catalog) -> at.Verification:
    with at.Tutor.open("memory:", model=at.BKT().fit(log), catalog=catalog) as tutor:
        return tutor.verify()


def estimate(log: at.Log, catalog: at.Catalog) -> at.Estimate:
    return at.Estimate(
        method="ips",
        horizon="step",
        value=0.5,
        low=0.4,
        high=0.6,
        effective_n=9.0,
        n=10,
        students=2,
        largest_weight=1.0,
        clipped=0.0,
    )


POLICIES = (at.InOrder, at.Information, at.Interleaved, at.LearningGain, at.LearningProgress, at.LowestMastery, at.NearestMastery)
VALUES: dict[str, Callable[[at.Log, at.Catalog], Any]] = {
    "Log": lambda log, catalog: log,
    "Catalog": lambda log, catalog: catalog,
    "the sample": lambda log, catalog: at.sample_catalog(),
    "Item": lambda log, catalog: catalog.items[0],
    "Constraints": lambda log, catalog: at.Constraints(minutes=5.0),
    "Criterion": lambda log, catalog: at.Criterion(),
    "Stats": lambda log, catalog: at.BKT().stats(log),
    "Student": lambda log, catalog: observed(at.BKT().fit(log), catalog),
    "Recommender": recommender,
    "Recommendation": recommended,
    "Reason": lambda log, catalog: recommended(log, catalog).reason,
    "Feature": lambda log, catalog: at.Feature(what="wins", by="skill"),
    "SimulatedLog": simulated,
    "Validation": lambda log, catalog: at.cross_validate(at.BKT(), log, folds=2, seed=0),
    "Comparison": lambda log, catalog: at.compare({"a": at.BKT(), "b": at.Constant()}, log, folds=2, seed=0),
    "Estimate": estimate,
    "Predictions": lambda log, catalog: at.Predictions(column="dkt"),
    "SkillSearch": lambda log, catalog: at.search_skills(at.sample_log(), pairs=0),
    "Fairness": lambda log, catalog: at.fairness(at.BKT().fit(log), log, by="student"),
    "Mix": lambda log, catalog: at.Mix(parts=[(at.InOrder(), 0.5), (at.Random(), 0.5)]),
    **{each.__name__: (lambda log, catalog, each=each: each()) for each in (*POLICIES, at.Random, at.ReviewDue, at.Thompson)},
    "RetentionRule": lambda log, catalog: at.RetentionRule(inactive="18mo"),
    "StudentPlaces": lambda log, catalog: at.StudentPlaces(logs=["log.parquet"]),
    "Verification": verified,
    "TargetSuccess": lambda log, catalog: at.TargetSuccess(target=0.7),
}
ELSEWHERE = {"Logistic", "Tutor", *(type(make()).__name__ for make in MODELS.values())}  # Logistic: PFA and others


def test_every_public_class_is_among_the_values_or_the_models_or_the_errors() -> None:
    public = {name for name in at.__all__ if inspect.isclass(getattr(at, name))}
    kept = {kind.__name__ for kind in ERRORS}
    assert sorted(public - kept - ELSEWHERE - VALUES.keys()) == []


def told(value: Any) -> Any:
    """What of a value can be compared: the fields of a dataclass, the arguments of a recommender, the numbers of an array."""
    if isinstance(value, at.Recommender):
        return value.model.fingerprint, value.catalog, value.policy, value.constraints, value.criterion
    if dataclasses.is_dataclass(value):
        return {field.name: told(getattr(value, field.name)) for field in dataclasses.fields(value)}
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, dict):
        return {key: told(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [told(each) for each in value]
    return _as_value(value)


def _as_value(value: Any) -> Any:
    """A table as text, as there may be NaN among its numbers; what has no equality as its class."""
    if isinstance(value, pa.Table):
        return str(value.to_pydict())
    return value if type(value).__eq__ is not object.__eq__ else type(value)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", VALUES)
def test_a_value_comes_back_equal(log: at.Log, catalog: at.Catalog, name: str, way: str) -> None:
    value = VALUES[name](log, catalog)
    assert told(WAYS[way](value)) == told(value)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_and_its_student_come_back_and_go_on_alike(log: at.Log, catalog: at.Catalog, name: str) -> None:
    model = MODELS[name]().fit(log)
    student = observed(model, catalog)
    for way in WAYS.values():
        again, other = way((model, student))
        assert again.fingerprint == model.fingerprint
        assert again.predict(log).tolist() == model.predict(log).tolist()
        assert other == student
        assert other.predict("q1", time=TIME) == student.predict("q1", time=TIME)


def test_values_go_to_a_new_process_and_back(log: at.Log, catalog: at.Catalog) -> None:
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        for name, make in VALUES.items():
            value = make(log, catalog)
            assert told(pool.submit(copy.copy, value).result(timeout=120)) == told(value), name
