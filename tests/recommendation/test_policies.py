"""Each policy against its definition: by hand, by trying every answer out on a student, or by counting draws."""

from __future__ import annotations

import datetime
import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import adaptrace as at
from adaptrace.models.bkt.effects import Effects
from adaptrace.models.bkt.fitted import RULES
from adaptrace.recommendation import policies

START = datetime.datetime(2026, 1, 5, 8, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
EVERYTHING = at.Constraints(zone=False)


def bkt(combine: str = "conjunctive", **parameters: Any) -> at.BKT:
    """Skills a to d, all different unless said otherwise."""
    given = {"prior": [0.2, 0.35, 0.6, 0.8], "learn": [0.2, 0.1, 0.3, 0.15], "guess": [0.1, 0.2, 0.25, 0.3], "slip": 0.1}
    return replace(at.BKT.from_parameters(list("abcd"), **(given | parameters)), combine=combine)


def catalog_of(*skills: str, **more: Sequence[Any]) -> at.Catalog:
    """An item of each of these, named like its skills: "ab" practises a and b."""
    return at.Catalog.from_arrow({"item": list(skills), "skills": [list(each) for each in skills], **more})


def wanted(student: at.Student, catalog: at.Catalog, rule: policies.Policy, **more: Any) -> dict[str, float]:
    """The utility of every item, best first."""
    choices = at.recommend(student, catalog, k=len(catalog), policy=rule, constraints=EVERYTHING, **more)
    return {choice.item.item: choice.utility for choice in choices}


def tried(student: at.Student, item: str, value: Callable[[at.Student], float]) -> float:
    """What a value of the student is expected to be after an answer: both answers tried out on copies."""
    right = student.predict(item)
    total = 0.0
    for correct, chance in ((1, right), (0, 1.0 - right)):
        after = at.Student.from_dict(student.to_dict(), student.model, catalog=student.catalog)
        after.observe(item, correct)
        total += chance * value(after)
    return total


def entropy(p: float) -> float:
    return -p * math.log2(p) - (1.0 - p) * math.log2(1.0 - p)


def drawn(student: at.Student, catalog: at.Catalog, rule: policies.Policy, times: int = 2000) -> dict[str, float]:
    """How often each item comes first over the seeds 0, 1, ..."""
    recommender = at.Recommender(student.model, catalog, policy=rule)
    first = Counter(recommender.ranked(student, 1, seed=seed)[0].item for seed in range(times))
    return {item: n / times for item, n in first.items()}


ALMOST_NOTHING = 1e-6  # a fitted skill learns at least with P(learn) = 1e-9
FOUR_ERRORS = 4.0 * math.sqrt(0.25 / 2000)  # of a frequency in 2,000 draws, at most: a wrong share is further off


# ---- mastery, chance, order ---------------------------------------------------


def test_lowest_and_nearest_mastery_look_at_the_weakest_skill() -> None:
    catalog, student = catalog_of("a", "b", "c", "bd", "d"), at.Student(bkt())
    mastery = {"a": 0.2, "b": 0.35, "c": 0.6, "bd": 0.35, "d": 0.8}
    assert wanted(student, catalog, at.LowestMastery()) == pytest.approx(
        {item: 1.0 - p for item, p in mastery.items()}, rel=1e-12
    )
    assert wanted(student, catalog, at.NearestMastery()) == pytest.approx(mastery, rel=1e-12)
    assert [*wanted(student, catalog, at.LowestMastery())] == ["a", "b", "bd", "c", "d"]
    assert [*wanted(student, catalog, at.NearestMastery())] == ["d", "c", "b", "bd", "a"]


def test_nearest_mastery_is_nearest_from_below() -> None:
    student = at.Student(bkt(prior=[0.2, 0.5, 0.949, 0.97]))
    choices = at.recommend(student, catalog_of(*"abcd"), k=4, policy=at.NearestMastery())
    assert [choice.item.item for choice in choices] == ["c", "b", "a"]


def test_target_success_is_per_minute() -> None:
    catalog = catalog_of("a", "b", "ab", "c", minutes=[2.0, None, 1.0, 4.5])
    student = at.Student(bkt(), catalog)
    utility = wanted(student, catalog, at.TargetSuccess(target=0.7))
    for item, minutes in {"a": 2.0, "b": 2.5, "ab": 1.0, "c": 4.5}.items():
        assert utility[item] == pytest.approx((1.0 - abs(student.predict(item) - 0.7)) / minutes, rel=1e-12)


def test_in_order_gives_each_item_once_before_any_again() -> None:
    catalog = catalog_of("c", "a", "ab", "b")
    student = at.Student(bkt(prior=0.1), catalog)
    recommender = at.Recommender(student.model, catalog, policy=at.InOrder(), constraints=EVERYTHING)
    met = []
    for _ in range(9):
        met.append(recommender.ranked(student, 1)[0].item)
        student.observe(met[-1], 0)
    assert met == ["c", "a", "ab", "b"] * 2 + ["c"]


# ---- what an answer does --------------------------------------------------------


@pytest.mark.parametrize("combine", RULES)
def test_information_is_the_expected_fall_of_entropy(combine: str) -> None:
    """By trying out every answer on students who learn nothing from it: so mastery moves by what the answer says alone."""
    catalog = catalog_of("a", "b", "c", "ab", "cd", "abd")
    student, learner = (at.Student(bkt(combine, learn=learn), catalog) for learn in (0.0, [0.2, 0.1, 0.3, 0.15]))
    utility = wanted(student, catalog, at.Information())
    for item in catalog.by_name:
        falls = [
            entropy(student.mastery(skill)) - tried(student, item, lambda after, skill=skill: entropy(after.mastery(skill)))
            for skill in item
        ]
        assert utility[item] == pytest.approx(sum(max(fall, 0.0) for fall in falls), rel=ALMOST_NOTHING)
    assert wanted(learner, catalog, at.Information()) == utility  # learning is another matter


@pytest.mark.parametrize("combine", ["min", "weakest-first"])
def test_of_equally_weak_skills_the_answer_speaks_of_the_first_as_in_the_student(combine: str) -> None:
    catalog = catalog_of("ab")
    student = at.Student(bkt(combine, prior=0.4, guess=0.2, learn=0.0), catalog)
    falls = [
        entropy(student.mastery(skill)) - tried(student, "ab", lambda after, skill=skill: entropy(after.mastery(skill)))
        for skill in "ab"
    ]
    assert wanted(student, catalog, at.Information())["ab"] == pytest.approx(
        sum(max(fall, 0.0) for fall in falls), rel=ALMOST_NOTHING
    )


@pytest.mark.parametrize("combine", RULES)
def test_learning_gain_is_the_expected_rise_of_mastery_per_minute(combine: str) -> None:
    """Under weakest-first several skills move by a rule of thumb as well, which the formula leaves out."""
    catalog = catalog_of("a", "b", "c", "ab", "cd", "abd", minutes=[1.0, 2.0, 3.0, 1.0, 2.0, 4.0])
    student = at.Student(bkt(combine, forget=0.02), catalog)
    for item in ("a", "cd"):
        student.observe(item, 1)
    utility = wanted(student, catalog, at.LearningGain())
    for item, minutes in zip(catalog.by_name, [1.0, 2.0, 3.0, 1.0, 2.0, 4.0], strict=True):
        rise = sum(
            tried(student, item, lambda after, skill=skill: after.mastery(skill)) - student.mastery(skill) for skill in item
        )
        exact = len(item) == 1 or combine != "weakest-first"
        assert (utility[item] == pytest.approx(rise / minutes, rel=1e-9)) == exact
        rows = [(student.mastery(skill), *student.model.row(skill)[1:3]) for skill in item]
        assert utility[item] == pytest.approx(
            sum((1.0 - p) * learn - p * forget for p, learn, forget in rows) / minutes, rel=1e-9
        )


# ---- draws ------------------------------------------------------------------------


def test_random_gives_all_items_equally_often() -> None:
    shares = drawn(at.Student(bkt(prior=0.1)), catalog_of("a", "b", "ab", "c", "d"), at.Random())
    assert shares == pytest.approx(dict.fromkeys(["a", "b", "ab", "c", "d"], 0.2), abs=FOUR_ERRORS)


def test_thompson_gives_a_skill_as_often_as_it_is_likely_to_gain_most() -> None:
    """Skill a gains most if unknown; b if a is known and b is not; if both are known the larger of two uniform draws wins."""
    student = at.Student(bkt(prior=[0.3, 0.6, 0.5, 0.5], learn=[0.2, 0.1, 0.1, 0.1]))
    a = 0.7 + 0.3 * 0.6 * 0.25  # below 0.3 and below 0.6: the former is the larger in a quarter of the cases
    shares = drawn(student, catalog_of("a", "b"), at.Thompson())
    assert shares == pytest.approx({"a": a, "b": 1.0 - a}, abs=FOUR_ERRORS)


def test_thompson_does_not_give_what_it_believes_to_be_known() -> None:
    student = at.Student(bkt(prior=[0.9, 0.9, 0.9, 0.001], learn=0.1))
    assert drawn(student, catalog_of(*"abcd"), at.Thompson(), 300)["d"] > 0.7


def test_learning_progress_gives_a_skill_in_proportion_to_its_rise() -> None:
    """Of a (0, 0, 0, 1, 1, 1), b (no rise), c (a fall) and d (not known yet, so promising): 1.1, 0.1, 0.1 and 1.1."""
    catalog = catalog_of(*"abcd")
    student = at.Student(bkt(prior=0.1, learn=0.0, guess=0.49, slip=0.49), catalog)
    for a, b, c in [(0, 1, 1)] * 3 + [(1, 1, 0)] * 3:
        for item, correct in zip("abc", (a, b, c), strict=True):
            student.observe(item, correct)
    shares = drawn(student, catalog, at.LearningProgress(window=3, explore=0.1))
    assert shares == pytest.approx({"a": 1.1 / 2.4, "b": 0.1 / 2.4, "c": 0.1 / 2.4, "d": 1.1 / 2.4}, abs=FOUR_ERRORS)


def test_learning_progress_looks_at_the_latest_two_windows_only() -> None:
    catalog = catalog_of("a", "b")
    student = at.Student(bkt(prior=0.1, learn=0.0, guess=0.49, slip=0.49), catalog)
    for correct in [1] * 10 + [0, 0, 1, 1]:  # the early right answers are forgotten
        student.observe("a", correct)
    shares = drawn(student, catalog, at.LearningProgress(window=2, explore=0.5))
    assert shares == pytest.approx({"a": 0.5, "b": 0.5}, abs=FOUR_ERRORS)


@pytest.mark.parametrize("rule", [at.Random(), at.Thompson(), at.LearningProgress()])
def test_draws_are_those_of_the_seed_the_student_and_the_answers_so_far(rule: policies.Policy) -> None:
    catalog = catalog_of("a", "b", "c", "d", "ab", "cd", "bc", "ad")
    model = bkt(prior=0.5, learn=0.2)
    recommender = at.Recommender(model, catalog, policy=rule)

    def order(name: str = "Ada", seed: int = 0, answers: int = 0) -> list[str]:
        student = at.Student(model, catalog, name=name)
        for _ in range(answers):
            student.observe("a", 0.5)
        return [item.item for item in recommender.ranked(student, 8, seed=seed)]

    assert order() == order()
    assert len({tuple(order(seed=seed)) for seed in range(5)}) > 2
    assert len({tuple(order(name=name)) for name in "vwxyz"}) > 2
    assert len({tuple(order(answers=n)) for n in range(5)}) > 2


# ---- review -----------------------------------------------------------------------


def fading(half_life: Sequence[float], prior: float = 0.2) -> at.BKT:
    """Skills a, b, ... whose mastery halves in so many days; all else is alike."""
    skills = "abcdef"[: len(half_life)]
    plain = at.BKT.from_parameters(list(skills), prior=prior, learn=0.3, guess=0.1, slip=0.1)
    theta = np.tile([prior, 0.3, 1e-9, 0.1 / 0.9, 0.1], (len(skills) + 1, 1))  # guess as a share of 1 - slip
    logits, scale = np.log(theta / (1.0 - theta)), np.ones(len(skills) + 1)
    effects = Effects(low=np.zeros(5), high=np.ones(5), logits=logits, guess_scale=scale, half_life=np.array([*half_life, 9.0]))
    return replace(plain, elapsed=True, effects=effects)


def test_review_brings_back_what_is_due_most_faded_first() -> None:
    """Both a and b have faded, a more; c has not, so it may not come; d was never practised, so it is not due."""
    catalog = catalog_of("d", "c", "b", "a")
    student = at.Student(fading([2.0, 10.0, 1e6, 2.0]), catalog)
    for item in "abc" * 5:
        student.observe(item, 1, time=START)
    choices = at.recommend(student, catalog, k=4, policy=at.ReviewDue(), time=START + 3 * DAY)
    assert [choice.item.item for choice in choices] == ["a", "b", "d"]
    full = student.mastery("a")
    expected = [full * (1.0 - 2.0**-1.5), full * (1.0 - 2.0**-0.3), -0.2]
    assert [choice.utility for choice in choices] == pytest.approx(expected, rel=1e-9)
    for choice, half_life in zip(choices, (2.0, 10.0), strict=False):
        assert choice.reason.due is not None
        days = (choice.reason.due - START) / DAY
        assert full * 2.0 ** (-days / half_life) == pytest.approx(0.95, rel=1e-6)


def test_before_anything_has_faded_the_weakest_comes() -> None:
    catalog = catalog_of("a", "b", "c")
    student = at.Student(fading([2.0, 10.0, 5.0]), catalog)
    for _ in range(5):
        student.observe("a", 1, time=START)
    student.observe("b", 1, time=START)
    assert [*wanted(student, catalog, at.ReviewDue(), time=START)] == ["c", "b", "a"]


def test_a_skill_that_never_was_mastered_is_not_due_however_much_it_fades() -> None:
    catalog = catalog_of("a", "b")
    student = at.Student(fading([1.0, 30.0]), catalog)
    student.observe("a", 1, time=START)
    for _ in range(5):
        student.observe("b", 1, time=START)
    assert [*wanted(student, catalog, at.ReviewDue(), time=START + 9 * DAY)] == ["b", "a"]


# ---- mixing -------------------------------------------------------------------------


def test_a_mix_weighs_its_parts_each_from_0_to_1_over_the_zone() -> None:
    """Of a, b and c, for d is mastered; minutes make the scales differ."""
    catalog = catalog_of(*"abcd", minutes=[10.0, 5.0, 20.0, 10.0])
    student = at.Student(bkt(prior=[0.2, 0.35, 0.6, 0.99]), catalog)
    parts = ((at.LowestMastery(), 3.0), (at.TargetSuccess(target=0.5), 1.0))
    choices = at.recommend(student, catalog, k=4, policy=at.Mix(parts=parts))
    low = {item: (0.6 - student.mastery(item)) / 0.4 for item in "abc"}
    raw = {item: (1.0 - abs(student.predict(item) - 0.5)) / m for item, m in zip("abc", (10.0, 5.0, 20.0), strict=True)}
    near = {item: (raw[item] - min(raw.values())) / (max(raw.values()) - min(raw.values())) for item in "abc"}
    expected = {item: 3.0 * low[item] + near[item] for item in "abc"}
    assert {choice.item.item: choice.utility for choice in choices} == pytest.approx(expected, rel=1e-9)
    assert str(choices[0].reason).startswith("Weakest skill first: ")


def test_a_mix_of_one_ranks_as_the_one() -> None:
    catalog, student = catalog_of("a", "b", "ab", "c", "cd"), at.Student(bkt())

    def ranked(rule: policies.Policy) -> list[str]:
        return [item.item for item in at.Recommender(student.model, catalog, policy=rule).ranked(student, 5)]

    for rule in (make() for make in policies.NAMED.values()):
        assert ranked(at.Mix(parts=((rule, 2.0),))) == ranked(rule)


@pytest.mark.parametrize("parts", [(), ((at.Random(), 0.0),), ((at.Random(), 1.0), (at.InOrder(), math.nan))])
def test_a_mix_needs_weights_above_0(parts: Any) -> None:
    with pytest.raises(ValueError, match="expected pairs of a policy and a weight above 0"):
        at.Mix(parts=parts)


@pytest.mark.parametrize("rule", [at.LearningGain(), at.Information(), at.Thompson(), at.ReviewDue()])
def test_what_needs_knowledge_tracing_says_so(rule: policies.Policy) -> None:
    class Knowing:
        """A state of another family that knows mastery."""

        def mastery(self, skill: str, moment: int | None = None) -> float:
            return 0.5

    class Other:
        """Its model."""

        needs = ()

        def start(self, name: str, group: str) -> Knowing:
            return Knowing()

    model: Any = Other()
    with pytest.raises(at.ModelError, match="needs the parameters of a BKT"):
        at.recommend(at.Student(model), catalog_of("a"), policy=rule)
