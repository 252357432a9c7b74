"""The path of mastery."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.models.bkt.fitted import RULES
from reference.school import VARIATIONS, random_log

pytestmark = pytest.mark.usefixtures("short_climbs")  # the path is one of any parameters, not only of the best

VARIANTS: dict[str, dict[str, Any]] = {"plain": {}, **VARIATIONS}
CASES = [(variant, "conjunctive", False) for variant in VARIANTS]
CASES += [(variant, rule, True) for rule in RULES for variant in ("plain", "everything")]


def fold(model: at.BKT, log: at.Log) -> list[dict[str, Any]]:
    """What students say right after each of their responses."""
    students: dict[object, at.Student] = {}
    rows = []
    for event in log.table.to_pylist():
        name = event["student"]
        student = students.setdefault(name, at.Student(model, name=str(name), group=event["group"] or ""))
        skills = event["skills"] if log.has_several_skills else [event["skill"]]
        shared = {"kind": event["kind"], "time": event["time"], "skills": skills}
        predicted = student.predict(event["item"], **shared)
        student.observe(event["item"], event["correct"], **shared)
        for skill in skills:
            said = {"opportunity": student.opportunities[skill], "correct": event["correct"], "predicted": predicted}
            said |= {"mastery": student.mastery(skill), "time": event["time"]}
            rows.append({"student": name, "skill": skill, **said})
    return rows


@pytest.mark.parametrize(("variant", "rule", "several"), CASES)
def test_2_the_path_is_what_students_say_after_each_response_bit_for_bit(variant: str, rule: str, several: bool) -> None:
    model = at.BKT(combine=rule, **VARIANTS[variant]).fit(random_log(7, several=several, rows=200))
    log = random_log(1, several=several, rows=200)
    assert log.has_several_skills == several
    assert model.trace(log).to_pylist() == fold(model, log)


@pytest.mark.parametrize("several", [False, True])
def test_the_path_ends_in_the_score(several: bool) -> None:
    log = random_log(2, several=several)
    model = at.BKT().fit(log)
    ends = {(row["student"], row["skill"]): row["mastery"] for row in model.trace(log).to_pylist()}
    score = model.score(log).to_pylist()
    assert ends == {(row["student"], row["skill"]): row["mastery"] for row in score}


def test_a_log_with_an_order_keeps_it_and_one_without_has_neither() -> None:
    model = at.BKT.from_parameters(["a", "b"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
    columns = {"student": [1, 1], "item": [1, 2], "skills": [["a", "b"], ["a"]], "correct": [0, 1]}
    plain = model.trace(at.Log.from_arrow(columns))
    assert plain.column_names == ["student", "skill", "opportunity", "correct", "predicted", "mastery"]
    ordered = model.trace(at.Log.from_arrow({**columns, "order": [5, 3]}))
    assert ordered["order"].to_pylist() == [3, 5, 5]
    assert ordered["skill"].to_pylist() == ["a", "a", "b"]


def test_tracing_changes_nothing_and_an_empty_log_has_an_empty_path() -> None:
    log = random_log(3)
    model = at.BKT().fit(log)
    before, frozen = model.predict(log).tolist(), log.table.to_pydict()
    trace = model.trace(log)
    assert model.predict(log).tolist() == before
    assert log.table.to_pydict() == frozen
    np.testing.assert_array_equal(trace["predicted"].to_numpy(), before)
    empty = log.select(pa.array(np.zeros(len(log), bool)))
    assert model.trace(empty).schema == trace.schema
    assert len(model.trace(empty)) == 0


def test_mastery_stays_inside_zero_and_one() -> None:
    n = 3000
    model = at.BKT.from_parameters(["s"], prior=0.5, learn=0.3, guess=0.01, slip=0.01)
    for correct in (0, 1):
        log = at.Log.from_arrow({"student": [1] * n, "item": [1] * n, "skill": ["s"] * n, "correct": [correct] * n})
        mastery = model.trace(log)["mastery"].to_numpy()
        assert ((mastery > 0.0) & (mastery < 1.0)).all()


def test_an_unfitted_model_has_no_path() -> None:
    with pytest.raises(at.ModelError, match="not fitted"):
        at.BKT().trace(random_log(0))
