"""What a recommender keeps of students: it changes no choice, no student and no other recommender, and goes with the student."""

from __future__ import annotations

import gc
import pickle
from random import Random
from typing import Any

import pytest

import adaptrace as at
from adaptrace.recommendation.beliefs import BKTBeliefs
from reference.choosing import random_catalog, random_model, random_student


def pair(model: Any, catalog: at.Catalog, **options: Any) -> list[at.Recommender]:
    """Two recommenders that choose differently."""
    return [at.Recommender(model, catalog, policy=policy, **options) for policy in (at.Interleaved(), at.LowestMastery())]


def answer(student: at.Student, random: Random) -> None:
    """One response: mostly to an item of the catalog, sometimes on skills that the catalog lacks."""
    if random.random() < 0.2:
        student.observe("elsewhere", float(random.random() < 0.5), skills=["a", "not in the catalog"])
    else:
        student.observe(random.choice(student.catalog.items).item, float(random.random() < 0.7))


@pytest.mark.parametrize("evidence", [0, 2])
@pytest.mark.parametrize("seed", range(6))
def test_recommenders_that_take_turns_give_what_new_ones_give(seed: int, evidence: int) -> None:
    random = Random(seed)
    model, catalog = random_model(random), random_catalog(random)
    criterion = at.Criterion(threshold=0.8, proficient=0.4, evidence=evidence)
    student, kept = random_student(random, model, catalog), pair(model, catalog, criterion=criterion)
    for _ in range(25):
        for _ in range(random.choice([0, 1, 1, 3])):
            answer(student, random)
        new = pair(model, catalog, criterion=criterion)
        assert [each.recommend(student, 5) for each in kept] == [each.recommend(student, 5) for each in new]


def test_two_recommenders_of_one_student_each_read_the_state_once(monkeypatch: pytest.MonkeyPatch) -> None:
    random = Random(1)
    model, catalog = random_model(random), random_catalog(random)
    student, recommenders, read = at.Student(model, catalog, name="Ada"), pair(model, catalog), []
    odds = BKTBeliefs.odds
    monkeypatch.setattr(BKTBeliefs, "odds", lambda self, students: read.append(1) or odds(self, students))
    for _ in range(10):
        for recommender in recommenders:
            recommender.recommend(student, 1)
        answer(student, random)
    assert len(read) == 2


def test_recommending_sets_nothing_on_the_student() -> None:
    random = Random(2)
    model, catalog = random_model(random), random_catalog(random)
    student = at.Student(model, catalog, name="Ada")
    before = {name: repr(value) for name, value in vars(student).items()}
    at.Recommender(model, catalog).recommend(student)
    assert {name: repr(value) for name, value in vars(student).items()} == before


def test_a_student_with_a_new_state_is_read_again(model: at.BKT, catalog: at.Catalog) -> None:
    student, other = at.Student(model, catalog), at.Student(model, catalog)
    student.observe("h1", 1)
    other.observe("h1", 0)
    recommender = at.Recommender(model, catalog)
    first = recommender.recommend(student, 1)[0].reason.mastery
    student.state = other.state  # as where the student's group is set
    assert recommender.recommend(student, 1)[0].reason.mastery == student.mastery("halves") != first


def test_what_an_earlier_choice_saw_stays_as_it_was(model: at.BKT, catalog: at.Catalog) -> None:
    student, recommender = at.Student(model, catalog), at.Recommender(model, catalog)
    chosen = recommender.choose([student], 1)
    seen = chosen.context.mastery.tolist(), chosen.context.odds_after.tolist()
    student.observe("h1", 1)
    recommender.recommend(student, 1)
    assert (chosen.context.mastery.tolist(), chosen.context.odds_after.tolist()) == seen


def test_a_recommender_does_not_keep_students_alive(model: at.BKT, catalog: at.Catalog) -> None:
    recommender = at.Recommender(model, catalog)
    students = [at.Student(model, catalog, name=str(number)) for number in range(5)]
    for student in students:
        recommender.recommend(student, 1)
    assert len(recommender._cache) == 5
    del student, students[1:]
    gc.collect()
    assert len(recommender._cache) == 1


def test_a_reason_is_data_and_words(model: at.BKT, catalog: at.Catalog) -> None:
    (choice,) = at.Recommender(model, catalog).recommend(at.Student(model), 1)
    assert {type(value) for value in choice.reason} <= {str, float, tuple, type(None)}
    assert pickle.loads(pickle.dumps(choice.reason)) == choice.reason
