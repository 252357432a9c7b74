"""Events of very many skills: the product of their chances becomes 0 in floats, but no probability may."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import adaptrace as at

MANY = [f"s{number}" for number in range(2000)]
RULES = ("conjunctive", "mean", "min", "weakest-first")


def model_of(rule: str) -> at.BKT:
    return replace(at.BKT.from_parameters(MANY, prior=0.3, learn=0.2, guess=0.1, slip=0.1), combine=rule)


def inside(values: object) -> bool:
    array = np.asarray(values, float)
    return bool(np.all((array > 0.0) & (array < 1.0)))


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize("correct", [0, 0.5, 1])
def test_an_event_of_two_thousand_skills_leaves_probabilities(rule: str, correct: float) -> None:
    model, catalog = model_of(rule), at.Catalog([at.Item("all", tuple(MANY)), at.Item("one", (MANY[0],))])
    student = at.Student(model, catalog, "ana")
    for _ in range(3):
        student.observe("all", correct)
    log = at.Log.from_arrow({"student": ["ana"] * 3, "item": ["all"] * 3, "skills": [MANY] * 3, "correct": [correct] * 3})
    assert inside([student.predict("all"), student.predict("one"), *map(student.mastery, MANY)])
    assert inside(model.predict(log))
    assert model.score(log)["mastery"].to_pylist() == [student.mastery(skill) for skill in log.skills.to_pylist()]
    assert len(at.Recommender(model, catalog).recommend(student, k=2)) > 0


@pytest.mark.parametrize("rule", RULES)
def test_others_in_the_log_keep_every_bit(rule: str) -> None:
    rows = {"student": ["bo"] * 4, "item": ["q"] * 4, "skills": [MANY[:2], MANY[:3], MANY[:1], MANY[:2]], "correct": [1, 0, 1, 1]}
    alone = model_of(rule).predict(at.Log.from_arrow(rows))
    added = {"student": ["ana"], "item": ["all"], "skills": [MANY], "correct": [1]}
    both = at.Log.from_arrow({name: values + added[name] for name, values in rows.items()})
    assert model_of(rule).predict(both)[:4].tolist() == alone.tolist()


@pytest.mark.filterwarnings("error")
def test_a_log_with_an_event_of_a_thousand_skills_can_be_fitted() -> None:
    several, many = at.BKT(), MANY[:1000]
    log = at.Log.from_arrow(
        {
            "student": ["ana", "ana", "bo", "bo", "cy"],
            "item": ["a", "b", "a", "c", "c"],
            "skills": [many[:1], many[1:2], many[:2], many, many],
            "correct": [1, 0, 0, 1, 0],
        }
    )
    model = several.fit(log)
    assert inside(model.predict(log))
    assert inside(model.score(log)["mastery"].to_numpy())
    assert np.isfinite(model.log_likelihood(log))
