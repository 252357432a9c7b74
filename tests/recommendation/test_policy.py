"""Policies: which items come next, and what is said of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import pytest

import adaptrace as at

Recommend = Callable[..., list[at.Recommendation]]


def new_student(mastery: Mapping[str, float]) -> at.Student:
    """A new student at these priors."""
    return at.Student(at.BKT.from_parameters(list(mastery), prior=list(mastery.values()), learn=0.2, guess=0.1, slip=0.1))


def items_of(choices: list[at.Recommendation]) -> list[str]:
    return [choice.item.item for choice in choices]


def chance(mastery: float) -> float:
    return 0.9 * mastery + 0.1 * (1.0 - mastery)


# ---- the zone ---------------------------------------------------------------


def test_an_item_waits_until_its_prerequisite_is_mastered(catalog: at.Catalog) -> None:
    assert items_of(at.recommend(new_student({"halves": 0.94, "quarters": 0.1}), catalog, k=9)) == ["h1", "h2"]
    assert items_of(at.recommend(new_student({"halves": 0.96, "quarters": 0.1}), catalog, k=9)) == ["q1", "q2"]


def test_the_threshold_of_mastery_belongs_to_the_criterion(catalog: at.Catalog) -> None:
    student = new_student({"halves": 0.9, "quarters": 0.1})
    assert items_of(at.recommend(student, catalog, k=9, criterion=at.Criterion(threshold=0.9))) == ["q1", "q2"]
    assert items_of(at.recommend(student, catalog, k=9, criterion=at.Criterion(threshold=0.91))) == ["h1", "h2"]


def test_a_prerequisite_that_no_item_practises_does_not_block() -> None:
    needs = [{"skill": "quarters", "prerequisites": ["halves"]}, {"skill": "halves", "prerequisites": []}]
    catalog = at.Catalog.from_arrow({"item": ["q1", "m1"], "skill": ["quarters", "maps"]}, needs)
    choices = at.recommend(new_student({"halves": 0.1, "quarters": 0.1, "maps": 0.96}), catalog, k=9)
    assert items_of(choices) == ["q1"]
    assert "review" not in str(choices[0].reason)


def test_a_reason_names_no_prerequisite_that_is_not_mastered() -> None:
    catalog = at.Catalog.from_arrow(
        {"item": ["q1"], "skill": ["quarters"]},
        [{"skill": "quarters", "prerequisites": ["halves"]}, {"skill": "halves", "prerequisites": []}],
    )
    (choice,) = at.recommend(new_student({"halves": 0.1, "quarters": 0.1}), catalog)
    assert choice.reason.prerequisites == ()
    assert "Unlocked by" not in str(choice.reason)


def test_an_item_that_practises_a_skill_with_its_prerequisite_is_open() -> None:
    needs = [{"skill": "quarters", "prerequisites": ["halves"]}]
    catalog = at.Catalog.from_arrow({"item": ["both", "h1"], "skills": [["quarters", "halves"], ["halves"]]}, needs)
    assert "both" in items_of(at.recommend(new_student({"halves": 0.1, "quarters": 0.1}), catalog))


def test_an_item_of_two_skills_waits_for_the_prerequisites_of_both() -> None:
    needs = [{"skill": "c", "prerequisites": ["a"]}, {"skill": "d", "prerequisites": ["b"]}]
    catalog = at.Catalog.from_arrow({"item": ["a", "b", "cd"], "skills": [["a"], ["b"], ["c", "d"]]}, needs)
    assert items_of(at.recommend(new_student({"a": 0.99, "b": 0.5, "c": 0.1, "d": 0.1}), catalog, k=9)) == ["b"]
    assert items_of(at.recommend(new_student({"a": 0.99, "b": 0.99, "c": 0.1, "d": 0.1}), catalog, k=9)) == ["cd"]


def test_an_item_is_open_as_long_as_one_of_its_skills_is_not_mastered() -> None:
    catalog = at.Catalog.from_arrow({"item": ["a", "ab"], "skills": [["a"], ["a", "b"]]})
    assert items_of(at.recommend(new_student({"a": 0.99, "b": 0.5}), catalog)) == ["ab"]


def test_when_all_is_mastered_the_whole_catalog_is_review(catalog: at.Catalog) -> None:
    choices = at.recommend(new_student({"halves": 0.99, "quarters": 0.97}), catalog, k=9)
    assert items_of(choices) == ["q1", "h1", "q2", "h2"]
    assert all(str(choice.reason).endswith("Already mastered: this is a review.") for choice in choices)
    assert not any("Unlocked by" in str(choice.reason) for choice in choices)


# ---- the ranking ------------------------------------------------------------


def test_lowest_mastery_takes_the_weakest_skill_first() -> None:
    mastery = {"a": 0.5, "b": 0.2, "c": 0.9}
    choices = at.recommend(
        new_student(mastery), at.Catalog.from_arrow({"item": list("abc"), "skill": list("abc")}), policy=at.LowestMastery()
    )
    assert items_of(choices) == ["b", "a", "c"]
    assert [choice.utility for choice in choices] == pytest.approx([0.8, 0.5, 0.1], rel=1e-12)


@pytest.mark.parametrize(("target", "expected"), [(0.9, "dcba"), (0.1, "abcd"), (0.5, "bcda"), (0.66, "cdba")])
def test_target_success_takes_the_chance_nearest_the_target_first(target: float, expected: str) -> None:
    mastery = {"a": 0.02, "b": 0.45, "c": 0.7, "d": 0.93}
    catalog = at.Catalog.from_arrow({"item": list("abcd"), "skill": list("abcd")})
    choices = at.recommend(new_student(mastery), catalog, k=4, policy=at.TargetSuccess(target=target))
    assert "".join(items_of(choices)) == expected
    utility = [1.0 - abs(chance(mastery[choice.item.item]) - target) for choice in choices]
    assert [choice.utility for choice in choices] == pytest.approx(utility, rel=1e-12)
    assert utility == sorted(utility, reverse=True)


def test_among_equals_the_earlier_in_the_catalog_comes_first() -> None:
    catalog = at.Catalog.from_arrow({"item": list("zyxa"), "skill": list("zyxa")})
    assert items_of(at.recommend(new_student(dict.fromkeys("axyz", 0.5)), catalog, k=4)) == list("zyxa")


def test_among_equals_the_item_answered_least_often_comes_first(catalog: at.Catalog) -> None:
    student = new_student({"halves": 0.3, "quarters": 0.3})
    student.observe("h1", 0, skills=["halves"])
    assert items_of(at.recommend(student, catalog, k=2)) == ["h2", "h1"]


def test_the_first_k_practise_different_skills_as_long_as_there_are_any() -> None:
    catalog = at.Catalog.from_arrow({"item": ["a1", "a2", "a3", "b1", "b2"], "skill": ["a", "a", "a", "b", "b"]})
    student = new_student({"a": 0.1, "b": 0.8})
    assert items_of(at.recommend(student, catalog, k=1)) == ["a1"]
    assert items_of(at.recommend(student, catalog, k=2)) == ["a1", "b1"]
    assert items_of(at.recommend(student, catalog, k=4)) == ["a1", "b1", "a2", "a3"]


def test_items_of_the_same_skills_are_alike_in_whatever_order_they_name_them() -> None:
    catalog = at.Catalog.from_arrow({"item": ["1", "2", "3"], "skills": [["a", "b"], ["b", "a"], ["c"]]})
    assert items_of(at.recommend(new_student({"a": 0.1, "b": 0.2, "c": 0.8}), catalog, k=2)) == ["1", "3"]


def test_more_than_there_is_gives_every_open_item_once(sample_model: at.BKT) -> None:
    catalog = at.sample_catalog()
    choices = items_of(at.recommend(at.Student(sample_model, catalog), catalog, k=10_000))
    opened = [item.item for item in catalog.items if not any(catalog.prerequisites[skill] for skill in item.skills)]
    assert sorted(choices) == sorted(opened)


def test_k_takes_the_first_of_a_longer_list(sample_model: at.BKT) -> None:
    catalog = at.sample_catalog()
    student = at.Student(sample_model, catalog)
    assert at.recommend(student, catalog, k=2) == at.recommend(student, catalog, k=3)[:2]


@pytest.mark.parametrize("k", [0, -1])
def test_fewer_than_one_is_refused(catalog: at.Catalog, k: int) -> None:
    with pytest.raises(ValueError, match=f"k: got {k}; expected a whole number, at least 1"):
        at.recommend(new_student({"halves": 0.3}), catalog, k=k)


def test_an_empty_catalog_is_refused() -> None:
    with pytest.raises(ValueError, match="the catalog holds no items; expected at least one"):
        at.recommend(new_student({"halves": 0.3}), at.Catalog(()))


def test_a_recommendation_changes_nothing_of_the_student(catalog: at.Catalog, model: at.BKT) -> None:
    student = at.Student(model, catalog)
    student.observe("h1", 0)
    before = student.to_dict()
    at.recommend(student, catalog)
    assert student.to_dict() == before


# ---- the reasons ------------------------------------------------------------


def test_the_reason_says_the_weakest_skill_its_mastery_and_the_chance(catalog: at.Catalog) -> None:
    (choice,) = at.recommend(new_student({"halves": 0.3, "quarters": 0.1}), catalog, k=1, policy=at.LowestMastery())
    reason = choice.reason
    assert (reason.policy, reason.skill, reason.prerequisites) == ("LowestMastery", "halves", ())
    assert (reason.mastery, reason.chance) == pytest.approx((0.3, 0.34), rel=1e-12)
    assert str(reason) == "Weakest skill first: halves (30 % likely known)."


def test_the_reason_of_target_success_says_the_target(catalog: at.Catalog) -> None:
    (choice,) = at.recommend(new_student({"halves": 0.3, "quarters": 0.1}), catalog, k=1, policy=at.TargetSuccess(target=0.6))
    assert str(choice.reason) == "Nearest to 60 % right answers: halves (30 % likely known)."


@pytest.mark.parametrize(
    ("needs", "listing"),
    [(["a"], "a"), (["a", "b"], "a and b"), (["a", "b", "c"], "a, b and c")],
)
def test_the_reason_names_the_prerequisites_that_opened_the_item(needs: list[str], listing: str) -> None:
    catalog = at.Catalog.from_arrow({"item": ["d1", *"abc"], "skill": ["d", *"abc"]}, [{"skill": "d", "prerequisites": needs}])
    (choice,) = at.recommend(new_student({"a": 0.99, "b": 0.99, "c": 0.99, "d": 0.5}), catalog, k=1)
    assert choice.reason.prerequisites == tuple(needs)
    assert str(choice.reason).endswith(f" Unlocked by {listing}.")


def test_the_reason_names_the_weakest_of_several_skills() -> None:
    catalog = at.Catalog.from_arrow({"item": ["ab"], "skills": [["a", "b"]]})
    (choice,) = at.recommend(new_student({"a": 0.6, "b": 0.2}), catalog)
    assert choice.reason.skill == "b"
    assert choice.reason.chance == pytest.approx(chance(0.6) * chance(0.2), rel=1e-12)
