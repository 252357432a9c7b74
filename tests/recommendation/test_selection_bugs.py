"""Bugs of item selection that other tools had for years: none of them here."""

from __future__ import annotations

import pytest

import adaptrace as at

SKILLS = list("abcde")


def bkt(*prior: float, learn: float = 0.2, guess: float = 0.2, slip: float = 0.2) -> at.BKT:
    return at.BKT.from_parameters(SKILLS[: len(prior)], prior=list(prior), learn=learn, guess=guess, slip=slip)


def catalog_of(*skills: str) -> at.Catalog:
    """An item of each of these, named like its skills."""
    return at.Catalog.from_arrow({"item": list(skills), "skills": [list(each) for each in skills]})


def order(student: at.Student, catalog: at.Catalog, policy: at.Policy | None = None, **options: bool) -> list[str]:
    choices = at.recommend(student, catalog, k=len(catalog), policy=policy, constraints=at.Constraints(**options))
    return [choice.item.item for choice in choices]


@pytest.mark.parametrize(
    "policy", [at.LowestMastery(), at.NearestMastery(), at.TargetSuccess(), at.LearningGain(), at.Information()]
)
def test_the_choice_depends_on_what_the_student_knows(policy: at.Policy) -> None:
    """Catsim, issues 15 and 29: a selector's strata were of items alone, so that all students got the same."""
    catalog, model = catalog_of("a", "b", "c"), bkt(0.3, 0.3, 0.3)
    strong, weak = at.Student(model, catalog), at.Student(model, catalog)
    for _ in range(2):
        strong.observe("a", 1)
        weak.observe("a", 0)
    weak.observe("b", 1)
    assert order(strong, catalog, policy, zone=False) != order(weak, catalog, policy, zone=False)


def test_information_is_where_it_is_open_whether_the_student_knows() -> None:
    """Catsim, issues 15 and 29: the best item is the one nearest this student, not the one of a certain difficulty."""
    catalog = catalog_of(*SKILLS)
    for best, prior in [("c", (0.1, 0.3, 0.5, 0.7, 0.8)), ("b", (0.3, 0.5, 0.7, 0.8, 0.9)), ("d", (0.05, 0.1, 0.3, 0.5, 0.7))]:
        student = at.Student(bkt(*prior))
        assert order(student, catalog, at.Information(), zone=False)[0] == best


def test_information_falls_the_further_from_one_half() -> None:
    """With guess and slip alike, what is known with p tells as much as what is unknown with p."""
    choices = at.recommend(at.Student(bkt(0.1, 0.35, 0.5, 0.65, 0.9)), catalog_of(*SKILLS), k=5, policy=at.Information())
    bits = {choice.item.item: choice.utility for choice in choices}
    assert bits["c"] > bits["b"] == pytest.approx(bits["d"], rel=1e-9)
    assert bits["b"] > bits["a"] == pytest.approx(bits["e"], rel=1e-9)


def test_where_the_best_are_shown_too_often_the_next_best_come() -> None:
    """mirtCAT, issue 21: exposure control left the worst items."""
    catalog = catalog_of(*SKILLS)
    student = at.Student(bkt(0.1, 0.2, 0.3, 0.4, 0.5))
    recommender = at.Recommender(student.model, catalog)
    for refused in range(5):
        exposed = SKILLS[:refused]
        assert [choice.item.item for choice in recommender.recommend(student, 5, exposed=exposed)] == SKILLS[refused:]


def test_an_item_of_two_skills_is_not_weaker_for_having_two() -> None:
    """OATutor, PR 54: problems were ranked by the product of masteries, 0.9 * 0.9 < 0.85."""
    catalog = at.Catalog.from_arrow({"item": ["two", "one"], "skills": [["a", "b"], ["c"]]})
    student = at.Student(bkt(0.9, 0.9, 0.85))
    assert order(student, catalog, at.LowestMastery()) == ["one", "two"]
    assert order(student, catalog, at.NearestMastery()) == ["two", "one"]


def test_every_skill_of_an_event_moves() -> None:
    """OATutor, PR 54: only the first skill of a step was updated."""
    catalog = catalog_of("abc")
    for correct in (0, 1):
        student = at.Student(bkt(0.4, 0.5, 0.6, learn=0.01), catalog)
        before = [student.mastery(skill) for skill in "abc"]
        student.observe("abc", correct)
        assert [(student.mastery(skill) > p) == bool(correct) for skill, p in zip("abc", before, strict=True)] == [True] * 3
        assert student.opportunities == {"a": 1, "b": 1, "c": 1}


def test_a_lesson_of_items_of_several_skills_can_be_mastered() -> None:
    """OATutor, PR 54: a user could never master out of a multi-skill lesson."""
    catalog = catalog_of("ab", "bc", "abc")
    recommender = at.Recommender(bkt(0.1, 0.1, 0.1), catalog)
    student = at.Student(recommender.model, catalog)
    met = 0
    while (choice := recommender.recommend(student, 1)[0]).reason.constraint != "review":
        student.observe(choice.item.item, 1)
        met += 1
        assert met < 50
    assert all(student.mastered(skill) for skill in "abc")
    assert sorted(order(student, catalog)) == ["ab", "abc", "bc"]
