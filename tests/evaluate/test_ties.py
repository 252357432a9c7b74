"""Responses of one student and time are predicted before any of them is learned, by every family."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.evaluate import metrics
from adaptrace.evaluate.comparison import compare
from adaptrace.evaluate.ties import held_back
from adaptrace.evaluate.validation import cross_validate, replay
from adaptrace.models import MODELS
from adaptrace.models.base import IgnoresHistory
from reference import ties as reference

MORE: dict[str, Any] = {
    "bkt of everything": lambda: at.BKT(items=("guess",), kinds=("slip",), groups=("prior",), students=("learn",), elapsed=True),
    "lists": lambda: at.BKT(combine="mean"),
}
FAMILIES = {**MODELS, **MORE}


def batches(students: int = 24, size: int = 3, seed: int = 0, several: bool = True) -> at.Log:
    """Students who answer in batches of one time each, of which some are alone; two skills at some items."""
    random = np.random.default_rng(seed)
    n = students * 6 * size
    student = np.repeat(np.arange(students), 6 * size)
    batch = np.arange(n) // size + (np.arange(n) % (2 * size) == size)  # the first of every second batch joins the next
    item = random.integers(0, 8, n)
    skills = [[f"k{each % 3}", f"k{(each + 1) % 3}"][: 1 + each % 2 * several] for each in item]
    columns = {
        "student": [f"s{each}" for each in student],
        "item": [f"q{each}" for each in item],
        "skills": skills,
        "correct": random.integers(0, 2, n),
        "time": pa.array(1_600_000_000_000_000 + 7_000_000_000 * batch, pa.timestamp("us", "UTC")),
        "kind": np.where(item == 7, "project", "practice"),
        "group": np.where(student % 2 == 0, "north", "south"),
    }
    return at.Log.from_arrow(pa.table(columns))


@pytest.fixture(scope="module")
def log() -> at.Log:
    return batches()


@pytest.mark.parametrize("name", FAMILIES)
def test_held_back_predictions_are_those_of_logs_without_the_tied_rows(name, log: at.Log) -> None:
    model = FAMILIES[name]().fit(log)
    wanted = np.arange(len(log)) % 7 > 0
    found = held_back(model, log, wanted, model.predict(log))
    expected = reference.predicted(model, log)
    np.testing.assert_allclose(found[wanted], expected[wanted], rtol=0, atol=1e-12)
    np.testing.assert_array_equal(found[~wanted], model.predict(log)[~wanted])


@pytest.mark.parametrize("varies", ["prior", "learn"])
def test_a_student_whose_group_alternates_within_a_moment_is_predicted_by_the_group_of_each_row(varies, log: at.Log) -> None:
    plain = log.table.drop_columns(["group", "correct"])
    of_student, of_row = log.names("group"), pa.array(np.where(np.arange(len(log)) % 2, "north", "south"))
    chance = np.where(np.asarray(of_student) == "north", 0.9, 0.3)
    correct = pa.array((np.random.default_rng(2).random(len(log)) < chance).astype(int))
    fitted_to, log = (
        at.Log.from_arrow(plain.append_column("correct", correct).append_column("group", group)) for group in (of_student, of_row)
    )
    model = at.BKT(groups=(varies,)).fit(fitted_to)
    found = held_back(model, log, np.ones(len(log), bool), model.predict(log))
    np.testing.assert_allclose(found, reference.predicted(model, log), rtol=0, atol=1e-12)


@pytest.mark.parametrize("model", [at.Constant(), at.Predictions(column="given")])
def test_what_ignores_history_is_predicted_once(model, log: at.Log, monkeypatch) -> None:
    given = pa.array(np.linspace(0.1, 0.9, len(log)))
    log, asked = at.Log.from_arrow(log.table.append_column("given", given), keep=["given"]), list[int]()
    predict = type(model).predict

    def counted(model: Any, log: at.Log) -> Any:
        asked.append(len(log))
        return predict(model, log)

    monkeypatch.setattr(type(model), "predict", counted)
    validation = cross_validate(model, log, folds=3)
    assert len(asked) == 3
    assert isinstance(model, IgnoresHistory)
    fitted = model.fit(log)
    values = predict(fitted, log)
    assert held_back(fitted, log, np.ones(len(log), bool), values) is values
    np.testing.assert_array_equal(values, reference.predicted(fitted, log))
    np.testing.assert_array_equal(validation.predicted, validation.in_order)


class Foreign:
    """A model with fit and predict alone, which nobody can follow response by response."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def fit(self, log: at.Log, **options: Any) -> Foreign:
        return Foreign(self.model.fit(log, **options))

    def predict(self, log: at.Log) -> Any:
        return self.model.predict(log)


def test_a_foreign_model_is_asked_for_shorter_logs(log: at.Log) -> None:
    ours, foreign = (cross_validate(model, log, folds=3).predicted for model in (at.BKT(), Foreign(at.BKT())))
    np.testing.assert_array_equal(ours, foreign)


def flips(students: int, seed: int = 1) -> at.Log:
    """Batches of five answers that are alike, by the flip of a coin, and have one time."""
    random = np.random.default_rng(seed)
    n = students * 20
    columns = {
        "student": np.repeat(np.arange(students), 20),
        "item": np.tile(np.arange(20), students),
        "skill": ["k"] * n,
        "correct": np.repeat(random.integers(0, 2, n // 5), 5),
        "order": np.arange(n) // 5,
    }
    return at.Log.from_arrow(pa.table(columns))


def test_coin_flips_that_are_alike_in_a_batch_cannot_be_foretold() -> None:
    log = flips(400)
    result = compare({"recency": at.Recency()}, log, folds=2)
    validation = result.validations["recency"]
    assert metrics.auc(log.correct, validation.predicted) == pytest.approx(0.5, abs=0.04)  # 1,600 flips: three standard errors
    assert metrics.auc(log.correct, validation.in_order) > 0.85
    (note,) = result.notes
    assert note.startswith("recency: 6,400 responses predicted before others of the same student and time were learned: AUC 0.")
    assert f"note: {note}" in str(result)
    in_order = compare({"recency": at.Recency()}, log, folds=2, ties="in-order")
    np.testing.assert_array_equal(in_order.validations["recency"].predicted, validation.in_order)
    assert in_order.notes == ()


def test_a_log_without_ties_has_no_note_and_the_same_predictions() -> None:
    log = at.sample_log()
    log = log.of_students(np.arange(30))
    together, in_order = (cross_validate(at.PFA(), log, folds=2, ties=ties) for ties in ("together", "in-order"))
    np.testing.assert_array_equal(together.predicted, in_order.predicted)
    assert together.notes == ()


def test_rows_without_time_and_order_are_in_order() -> None:
    table = flips(40).table.drop_columns(["order"])
    validation = cross_validate(at.PFA(), at.Log.from_arrow(table), folds=2)
    np.testing.assert_array_equal(validation.predicted, validation.in_order)


def test_rows_of_one_time_whose_order_differs_are_in_order(log: at.Log) -> None:
    table = log.table.append_column("order", pa.array(np.arange(len(log))))
    validation = cross_validate(at.PFA(), at.Log.from_arrow(table), folds=2)
    np.testing.assert_array_equal(validation.predicted, validation.in_order)


def test_a_replay_holds_ties_back_too(log: at.Log) -> None:
    marks = [log.table["time"][40].as_py()]
    together, in_order = (replay(at.BKT(), log, marks=marks, ties=ties) for ties in ("together", "in-order"))
    np.testing.assert_array_equal(together.in_order, in_order.predicted)
    tested = together.tested
    assert (together.predicted[tested] != in_order.predicted[tested]).any()


@pytest.mark.parametrize("use", [cross_validate, lambda model, log, **options: compare([model], log, **options)])
def test_another_word_is_refused(use, log: at.Log) -> None:
    with pytest.raises(ValueError, match=r"ties: got 'apart'; expected 'together' or 'in-order'"):
        use(at.PFA(), log, ties="apart")
