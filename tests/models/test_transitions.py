"""Transitions: what follows what, against the slow way; online as in batch; damaged tables are refused."""

from __future__ import annotations

import copy
import math
from typing import Any

import numpy as np
import pytest

import adaptrace as at
from adaptrace.models.base import Response
from adaptrace.models.transitions import Transitions, TransitionState
from reference import transitions as reference
from reference.school import random_log


def rows_of(log: at.Log) -> list[dict[str, Any]]:
    return [{**row, "item": str(row["item"]), "skills": sorted(map(str, row["skills"]))} for row in log.table.to_pylist()]


def case(seed: int) -> tuple[at.Log, np.ndarray, Transitions]:
    """A log with several skills and partial credit, predictions of it, and what follows what in it."""
    log = random_log(seed, rows=200, several=True)
    predicted = np.random.default_rng(seed).uniform(0.05, 0.95, len(log))
    return log, predicted, Transitions.fit(log, predicted)


def test_shifts_are_those_of_the_reference() -> None:
    log, predicted, found = case(0)
    other = random_log(1, rows=150, several=True)
    known = reference.tables(rows_of(log), predicted.tolist())
    for each in (log, other):
        np.testing.assert_allclose(found.shifts(each), reference.shifts(rows_of(each), known), atol=1.01e-4)
    assert found.shifts(other).any(axis=0).all()


def test_one_step_of_a_single_passage() -> None:
    """After a right answer to q1, q2 was right once where 0.5 was expected: (1 - 0.5) / (0.25 + 1) = 0.4."""
    log = at.Log.from_arrow({"student": ["a"] * 2, "item": ["q1", "q2"], "skill": ["x", "y"], "correct": [1, 1]})
    found = Transitions.fit(log, np.array([0.5, 0.5]))
    assert found.shifts(log).tolist() == [[0.0, 0.0, 0.0, 0.0], [0.4, 0.0, 0.4, 0.0]]
    assert found.lookup == ({("q1", True, "q2"): 0.4}, {}, {("x", True, "y"): 0.4}, {})


def test_a_student_online_is_told_the_same_bits() -> None:
    _, _, found = case(0)
    log = random_log(3, rows=150, several=True)
    expected, states = found.shifts(log).tolist(), {}
    for number, row in enumerate(rows_of(log)):
        state = states.get(row["student"], TransitionState(found))
        response = Response(row["item"], tuple(row["skills"]), "practice", math.nan, None)
        assert state.shifts(response) == expected[number]
        state.observe(response._replace(correct=row["correct"]))
        states[row["student"]] = TransitionState(found, state.to_list())


def test_what_nobody_met_shifts_nothing() -> None:
    _, _, found = case(0)
    columns = {"student": ["a"] * 3, "item": ["new", "newer", "newest"], "skill": ["n1", "n2", "n1"], "correct": [1, 0, 1]}
    assert not found.shifts(at.Log.from_arrow(columns)).any()
    assert not Transitions().shifts(at.Log.from_arrow(columns)).any()


def test_plain_data_come_back_equal() -> None:
    log, _, found = case(0)
    back = Transitions.from_dict(found.to_dict())
    assert back.to_dict() == found.to_dict()
    assert back.shifts(log).tolist() == found.shifts(log).tolist()


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("keys", [3, 3], "keys: expected each once, sorted"),
        ("keys", [-1, 3], "keys: expected whole numbers from 0"),
        ("keys", [0, 10**9], "keys: expected whole numbers from 0"),
        ("shifts", [0.1], "shifts: got numbers in the shape"),
        ("shifts", [0.1, math.nan], "shifts: got nan"),
    ],
)
def test_damaged_tables_are_refused(name: str, value: list[float], said: str) -> None:
    content = copy.deepcopy(case(0)[2].to_dict())
    content["tables"][0] = {"keys": [0, 1], "shifts": [0.1, 0.2], name: value}
    with pytest.raises(ValueError, match=said):
        Transitions.from_dict(content)


@pytest.mark.parametrize("last", [[["q1", 1, ["x"]]], [["q1", True, []]], [["q1", True, ["x"]]] * 11])
def test_damaged_last_responses_are_refused(last: list[Any]) -> None:
    with pytest.raises(ValueError, match="transitions: "):
        TransitionState(case(0)[2], last)
