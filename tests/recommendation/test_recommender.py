"""The choice: equal to a plain reference, the same for one and for many, and never against a constraint."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from dataclasses import dataclass, replace
from random import Random
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adaptrace as at
from adaptrace.kernels import parallel
from adaptrace.models.bkt import fit_effects
from adaptrace.models.bkt.fitted import RULES
from adaptrace.recommendation import policies
from adaptrace.recommendation import recommender as recommendation
from adaptrace.recommendation.context import Context
from reference.choosing import Case, random_case, random_catalog, random_constraints, random_model, random_student
from reference.school import random_log

seeds = st.integers(0, 2**32 - 1)
MANY = 10_000


@dataclass(frozen=True)
class Given:
    """A policy of numbers per item that are given; few different ones, so there are ties."""

    of_item: tuple[float, ...]

    def utility(self, context: Context) -> np.ndarray:
        return np.tile(self.of_item, (len(context.students), 1))

    def why(self, reason: at.Reason) -> str:
        return "given"


def every_policy() -> list[policies.Policy]:
    return [*(make() for make in policies.NAMED.values()), at.Mix(parts=((at.LowestMastery(), 0.7), (at.Random(), 0.3)))]


def recommended(case: Case, recommender: at.Recommender, k: int, seed: int = 0) -> list[str]:
    """Names; none where constraints leave none."""
    try:
        choices = recommender.recommend(case.student, k, time=case.time, exposed=case.exposed, seed=seed)
    except at.ConstraintError:
        return []
    return [choice.item.item for choice in choices]


def recommender_of(case: Case, model: Any, wanted: policies.Policy) -> at.Recommender:
    return at.Recommender(model, case.catalog, policy=wanted, constraints=case.constraints, criterion=case.criterion)


# ---- the reference ----------------------------------------------------------


@settings(max_examples=250, deadline=None)
@given(seed=seeds, k=st.sampled_from([1, 2, 3, 5, 40]))
def test_the_choice_is_that_of_plain_loops_over_the_catalog(seed: int, k: int) -> None:
    random = Random(seed)
    model = random_model(random)
    case = random_case(random, model)
    numbers = {item.item: float(random.randint(0, 3)) for item in case.catalog.items}
    predict, mastery = case.student.predict, case.mastery
    policies = {
        Given(tuple(numbers.values())): lambda item: numbers[item.item],
        at.LowestMastery(): lambda item: 1.0 - min(map(mastery, item.skills)),
        at.TargetSuccess(target=0.6): lambda item: (1.0 - abs(predict(item.item, time=case.time) - 0.6)) / case.minutes(item),
    }
    for wanted, utility in policies.items():
        expected = case.choose(utility, k)
        recommender = recommender_of(case, model, wanted)
        assert recommended(case, recommender, k) == expected
        if case.exposed:
            continue
        table = recommender.recommend_all([case.student], k, time=case.time)
        assert table["item"].to_pylist() == (expected or [None])
        if expected:
            options = {"policy": wanted, "constraints": case.constraints, "criterion": case.criterion, "time": case.time}
            assert [choice.item.item for choice in at.recommend(case.student, case.catalog, k=k, **options)] == expected


@settings(max_examples=60, deadline=None)
@given(seed=seeds)
def test_a_reason_tells_the_weakest_skill_its_mastery_and_the_chance(seed: int) -> None:
    random = Random(seed)
    case = random_case(random, replace(random_model(random), combine=random.choice(list(RULES))))
    case.constraints, case.exposed = at.Constraints(), ()
    lowest = at.LowestMastery()
    for choice in at.recommend(case.student, case.catalog, k=5, policy=lowest, criterion=case.criterion, time=case.time):
        reason, item = choice.reason, choice.item
        assert reason.mastery == min(map(case.mastery, item.skills)) == case.mastery(reason.skill)
        assert reason.chance == case.student.predict(item.item, time=case.time)
        assert choice.utility == 1.0 - reason.mastery
        before = {need for skill in item.skills for need in case.catalog.prerequisites[skill]} - set(item.skills)
        assert set(reason.prerequisites) == {need for need in before if not case.below(need)}
        assert set(reason.unlocks) == {skill for skill, needs in case.catalog.prerequisites.items() if reason.skill in needs}


# ---- every model ------------------------------------------------------------


@pytest.fixture(scope="module")
def models() -> Iterator[dict[str, Any]]:
    """Fitted to a small log, on one core and with short climbs."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "cores", lambda: 1)
        for name, steps in (("STD_ROUNDS", 2), ("ROUGH_STEPS", 5), ("SEARCH_STEPS", 5), ("MOST_SEARCHES", 2)):
            patch.setattr(fit_effects, name, steps)
        log = random_log(3, skills="abcde", several=True)
        yield {
            "plain": at.BKT().fit(log),
            "varied": at.BKT(items=("guess", "slip", "learn"), kinds=("guess",), students=("learn",), combine="mean").fit(log),
            "elapsed": at.BKT(elapsed=True).fit(log),
            "blend": at.Blend().fit(log),
        }


each_model = pytest.mark.parametrize("name", ["plain", "varied", "elapsed", "blend"])


@each_model
@settings(max_examples=20, deadline=None)
@given(seed=seeds)
def test_no_policy_ever_breaks_a_constraint(models: dict[str, Any], name: str, seed: int) -> None:
    model, random = models[name], Random(seed)
    case = random_case(random, model)
    allowed = {item.item for item in case.allowed()}
    for wanted in every_policy():
        recommender = recommender_of(case, model, wanted)
        assert set(recommended(case, recommender, 3, seed % 97)) <= allowed, wanted
        everything = recommended(case, recommender, MANY, seed % 97)
        assert sorted(everything) == sorted(allowed), wanted
        pinned = [case.pinned(case.catalog.item(item)) for item in everything]
        assert pinned == sorted(pinned, reverse=True), wanted


@each_model
@pytest.mark.parametrize("block", [1, 3, 64])
def test_recommend_all_gives_each_student_what_recommend_gives(
    models: dict[str, Any], name: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recommendation, "BLOCK", block)
    random = Random(block)
    catalog = random_catalog(random)
    students = [random_student(random, models[name], catalog, str(number)) for number in range(8)]
    for wanted in every_policy():
        constraints = random_constraints(random, catalog)
        recommender = at.Recommender(models[name], catalog, policy=wanted, constraints=constraints)
        rows = []
        for student in students:
            try:
                choices = recommender.recommend(student, 4, seed=5)
            except at.ConstraintError:
                rows.append((student.name, 1, *[None] * 6))
                continue
            for rank, (item, utility, why) in enumerate(choices, 1):
                rows.append((student.name, rank, item.item, utility, why.skill, why.mastery, why.chance, str(why)))
        table = recommender.recommend_all(iter(students), 4, seed=5, reasons=True)
        assert table.column_names == ["student", "rank", "item", "utility", "skill", "mastery", "chance", "reason"]
        assert [tuple(row.values()) for row in table.to_pylist()] == rows


@settings(max_examples=60, deadline=None)
@given(seed=seeds, k=st.integers(1, 8))
def test_a_shorter_list_is_the_beginning_of_a_longer_one(seed: int, k: int) -> None:
    random = Random(seed)
    model = random_model(random)
    case = random_case(random, model)
    for wanted in every_policy():
        recommender = recommender_of(case, model, wanted)
        assert recommended(case, recommender, k, 7) == recommended(case, recommender, k + 1, 7)[:k]


# ---- the edges ----------------------------------------------------------------


@pytest.mark.parametrize("name", ["plain", "blend"])
def test_no_students_give_a_table_without_rows(models: dict[str, Any], name: str) -> None:
    catalog = at.Catalog.from_arrow({"item": ["1", "2"], "skill": ["a", "b"]})
    recommender = at.Recommender(models[name], catalog, policy=at.TargetSuccess())
    constraints = at.Constraints(no_repeat=2, in_a_row={"kind": 1}, quota={"skill": {"a": 0.5}}, minutes=9)
    none, one = (recommender.recommend_all(students, constraints=constraints) for students in ([], [at.Student(models[name])]))
    assert (none.num_rows, none.schema) == (0, one.schema)


def test_where_skills_wait_for_each_other_something_comes_and_is_not_called_review(model: at.BKT) -> None:
    needs = [{"skill": "c", "prerequisites": ["b"]}, {"skill": "d", "prerequisites": ["a"]}]
    catalog = at.Catalog.from_arrow({"item": ["1", "2"], "skills": [["a", "c"], ["b", "d"]]}, needs)
    choices = at.recommend(at.Student(model), catalog)
    assert [choice.item.item for choice in choices] == ["1", "2"]
    assert {choice.reason.constraint for choice in choices} == {"early"}


def test_learning_that_varies_by_student_counts_in_the_gain(models: dict[str, Any]) -> None:
    model = models["varied"]
    catalog = at.Catalog.from_arrow({"item": ["u", "new", "v"], "skills": [["a"], ["b"], ["a", "c"]]})
    recommender = at.Recommender(model, catalog, policy=at.LearningGain())
    found = set()
    for name in ("0", "5", "stranger"):
        student = at.Student(model, catalog, name=name)
        for choice in recommender.recommend(student):
            rows = [
                model.row(skill, item=choice.item.item, kind="practice", student=name, alone=len(choice.item.skills) == 1)
                for skill in choice.item.skills
            ]
            gain = sum((1.0 - student.mastery(skill)) * row[1] for skill, row in zip(choice.item.skills, rows, strict=True))
            lost = sum(student.mastery(skill) * row[2] for skill, row in zip(choice.item.skills, rows, strict=True))
            assert choice.utility == pytest.approx(gain - lost, rel=1e-9)
        found.add(choice.utility)
    assert len(found) == 3


def test_a_blend_is_asked_what_is_learned_by_the_knowledge_tracing_inside(models: dict[str, Any]) -> None:
    catalog = at.Catalog.from_arrow({"item": ["u", "v", "w"], "skills": [["a"], ["b"], ["a", "c"]]})
    for wanted in (at.LearningGain(), at.Information()):
        found = []
        for model in (models["blend"], models["blend"].bkt):
            student = at.Student(model, catalog)
            for item, correct in (("u", 1), ("w", 0)):
                student.observe(item, correct, time=datetime.datetime(2030, 1, 1))
            found.append([(each.item.item, each.utility) for each in at.recommend(student, catalog, policy=wanted)])
        assert found[0] == found[1]


def test_an_item_of_no_minutes_is_as_long_as_the_others() -> None:
    catalog = at.Catalog.from_arrow({"item": ["1", "2", "3"], "skill": list("abc"), "minutes": [0.0, 2.0, 4.0]})
    model = at.BKT.from_parameters(list("abc"), prior=0.5, learn=0.2, guess=0.1, slip=0.1)
    choices = at.recommend(at.Student(model), catalog, policy=at.LearningGain())
    assert [choice.item.item for choice in choices] == ["2", "1", "3"]
    assert [choice.utility for choice in choices] == pytest.approx([0.1 / 2, 0.1 / 3, 0.1 / 4], rel=1e-12)
