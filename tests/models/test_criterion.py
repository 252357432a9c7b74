"""When a skill is mastered, and when to stop practising it."""

from __future__ import annotations

import math
from typing import Any

import pytest

import adaptrace as at
from adaptrace.models.base import Response
from adaptrace.models.criterion import Criterion
from adaptrace.recommendation.stopping import chance_of_change, when_to_stop
from reference.bkt import mastery_after

GUESS, SLIP, LEARN = 0.2, 0.1, 0.3


def student_after(*answers: float, prior: float = 0.3, learn: float = LEARN, **more: float) -> at.Student:
    """A student of one skill after these answers."""
    model = at.BKT.from_parameters(["a"], prior=prior, learn=learn, **({"guess": GUESS, "slip": SLIP} | more))
    student = at.Student(model)
    for correct in answers:
        student.observe("i", correct, skills=["a"])
    return student


def response(*skills: str) -> Response:
    return Response("i", skills or ("a",), "practice", math.nan, None)


# ---- mastered -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("mastery", "verdict"),
    [(0.95, "mastered"), (0.9499, "proficient"), (0.8, "proficient"), (0.7999, "learning"), (0.0, "learning")],
)
def test_there_are_two_tiers(mastery: float, verdict: str) -> None:
    assert Criterion().verdict("a", mastery=mastery, opportunities=0) == verdict
    assert Criterion().mastered("a", mastery=mastery, opportunities=0) == (verdict == "mastered")


def test_a_skill_may_have_a_threshold_of_its_own() -> None:
    criterion = Criterion(threshold=0.9, skills={"safety": 0.98})
    assert [criterion.verdict(skill, mastery=0.95, opportunities=1) for skill in ("safety", "other")] == [
        "proficient",
        "mastered",
    ]
    assert criterion.thresholds(["other", "safety"]).tolist() == [0.9, 0.98]


def test_with_little_evidence_nothing_is_said() -> None:
    criterion = Criterion(evidence=3)
    assert [criterion.verdict("a", mastery=0.99, opportunities=n) for n in (2, 3)] == ["too little evidence", "mastered"]
    assert [criterion.verdict("a", mastery=0.1, opportunities=n) for n in (2, 3)] == ["too little evidence", "learning"]
    assert [criterion.mastered("a", mastery=0.99, opportunities=n) for n in (2, 3)] == [False, True]


def test_the_minimum_of_evidence_holds_in_the_zone_and_for_prerequisites(catalog: at.Catalog) -> None:
    model = at.BKT.from_parameters(["halves", "quarters"], prior=0.97, learn=0.2, guess=0.1, slip=0.1)
    student = at.Student(model, catalog)

    def given(evidence: int) -> list[str]:
        return sorted(each.item.item for each in at.recommend(student, catalog, k=9, criterion=Criterion(evidence=evidence)))

    assert given(0) == ["h1", "h2", "q1", "q2"]  # review
    assert given(2) == ["h1", "h2"]
    for _ in range(2):
        student.observe("h1", 1)
    assert given(2) == ["q1", "q2"]
    assert given(3) == ["h1", "h2"]


def test_one_error_lists_all_that_is_wrong() -> None:
    with pytest.raises(ValueError, match=r"threshold: got 1\.2") as caught:
        Criterion(threshold=1.2, proficient=0.5, skills={"a": 0.4, "b": math.nan}, evidence=-1)
    assert str(caught.value).split("; ") == [
        "threshold: got 1.2",
        "expected a mastery between 0 and 1",
        "skills['b']: got nan",
        "expected a mastery between 0 and 1",
        "proficient: got 0.5",
        "expected above 0 and at most the threshold of mastery, 0.4",
        "evidence: got -1",
        "expected 0 or more opportunities",
    ]


@pytest.mark.parametrize(
    "options", [{"threshold": 0.0}, {"proficient": 0.96}, {"proficient": 0.0}, {"skills": {"a": 1.0}}, {"evidence": -1}]
)
def test_each_wrong_value_is_refused(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=f"{name}.*: got"):
        Criterion(**options)


# ---- when to stop ----------------------------------------------------------------


def test_stop_when_it_is_mastered() -> None:
    stop = when_to_stop(student_after(1, 1, 1), response(), criterion=Criterion())
    assert (stop.stop, stop.because) == (True, "mastered")
    assert str(stop) == "Stop: a is mastered (99 % likely known after 3 responses)."


@pytest.mark.parametrize(("n", "because"), [(9, "more to learn"), (10, "wheel-spinning"), (30, "wheel-spinning")])
def test_wheel_spinning_is_ten_opportunities_without_mastery(n: int, because: str) -> None:
    stop = when_to_stop(student_after(*[0.0] * n), response(), criterion=Criterion())
    assert (stop.stop, stop.because) == (because != "more to learn", because)


def test_one_who_had_mastered_it_before_is_not_spinning_wheels() -> None:
    student = student_after(*[1.0] * 9, *[0.0] * 20)
    assert when_to_stop(student, response(), criterion=Criterion()).because == "wheel-spinning"
    assert when_to_stop(student, response(), criterion=Criterion(), ever=True).because == "more to learn"


def test_mastery_comes_before_wheel_spinning_and_needs_its_evidence() -> None:
    student = student_after(*[1.0] * 12)
    assert when_to_stop(student, response(), criterion=Criterion()).because == "mastered"
    assert when_to_stop(student, response(), criterion=Criterion(evidence=13)).because == "wheel-spinning"


def test_the_chance_of_a_change_is_that_of_the_answers_that_move_the_prediction() -> None:
    """By hand, from all paths of the hidden states: of right and wrong, which moves P(correct) by epsilon or more."""
    answers, theta = (1.0, 0.0), (0.3, LEARN, 0.0, GUESS, SLIP)

    def chance(*told: float) -> float:
        known = mastery_after(told, theta)
        return known * (1.0 - SLIP) + (1.0 - known) * GUESS

    now, right, wrong = chance(*answers), chance(*answers, 1.0), chance(*answers, 0.0)
    moves = sorted([(abs(right - now), now), (abs(wrong - now), 1.0 - now)])
    (small, often), (large, _) = moves
    student = student_after(*answers)
    before = student.to_dict()
    for epsilon, expected in [(small / 2, 1.0), ((small + large) / 2, 1.0 - often), (2 * large, 0.0)]:
        assert chance_of_change(student, response(), epsilon=epsilon) == pytest.approx(expected, rel=1e-9, abs=1e-12)
    middle = (small + large) / 2
    for delta, because in [(1.0 - often - 1e-6, "more to learn"), (1.0 - often + 1e-6, "no change in sight")]:
        assert when_to_stop(student, response(), criterion=Criterion(), epsilon=middle, delta=delta).because == because
    assert student.to_dict() == before


def test_where_nothing_is_learned_any_more_there_is_no_change_in_sight() -> None:
    stop = when_to_stop(student_after(prior=0.5, learn=0.0, guess=0.499, slip=0.499), response(), criterion=Criterion())
    assert (stop.stop, str(stop)) == (
        True,
        "Stop: one more answer would hardly change what is known of a (50 % likely known after 0 responses).",
    )


def test_it_speaks_of_the_first_skill_and_counts_what_the_answer_says_of_all() -> None:
    model = at.BKT.from_parameters(["a", "b"], prior=[0.3, 0.99], learn=0.2, guess=0.1, slip=0.1)
    assert (
        str(when_to_stop(at.Student(model), response("b", "a"), criterion=Criterion()))
        == "Stop: b is mastered (99 % likely known after 0 responses)."
    )
    assert (
        str(when_to_stop(at.Student(model), response("a", "b"), criterion=Criterion()))
        == "Go on with a (30 % likely known after 0 responses)."
    )


def test_a_model_that_knows_no_mastery_says_so() -> None:
    student = at.Student(at.Constant().fit(at.sample_log()))
    with pytest.raises(at.ModelError, match="does not know mastery"):
        when_to_stop(student, response(), criterion=Criterion())
