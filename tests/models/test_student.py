"""Student: one response at a time."""

from __future__ import annotations

import datetime
import itertools
import json

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.models.base import check_needs
from reference.families import Rates
from reference.school import random_log

PRIOR, LEARN, GUESS, SLIP = 0.3, 0.2, 0.1, 0.1


@pytest.fixture
def student(model: at.BKT, catalog: at.Catalog) -> at.Student:
    return at.Student(model, catalog)


@pytest.mark.parametrize(
    ("correct", "mastery"),
    [
        (1, 0.27 / 0.34 + 0.07 / 0.34 * 0.2),
        (0, 0.03 / 0.66 + 0.63 / 0.66 * 0.2),
        (0.5, 0.3 + 0.7 * 0.2),  # half right says nothing, and practice teaches
    ],
)
def test_one_response_moves_mastery_by_bayes_and_learning(student: at.Student, correct: float, mastery: float) -> None:
    student.observe("q1", correct)
    assert student.mastery("quarters") == pytest.approx(mastery, rel=1e-12)
    assert student.mastery("halves") == 0.5


def test_a_new_student_is_at_the_prior(student: at.Student) -> None:
    assert student.mastery("quarters") == pytest.approx(PRIOR, rel=1e-15)
    assert student.predict("q1") == pytest.approx(PRIOR * (1 - SLIP) + (1 - PRIOR) * GUESS, rel=1e-15)


@pytest.mark.parametrize("correct", [0, 1])
def test_an_item_of_two_skills_updates_each_as_enumeration_says(model: at.BKT, correct: int) -> None:
    """Right means both answered right; summed over the four states of knowing."""
    student = at.Student(model)
    student.observe("both", correct, skills=["quarters", "halves"])
    prior, total, knowing = {"halves": 0.5, "quarters": 0.3}, 0.0, {"halves": 0.0, "quarters": 0.0}
    for known in itertools.product((True, False), repeat=2):
        weight = right = 1.0
        for skill, is_known in zip(prior, known, strict=True):
            weight *= prior[skill] if is_known else 1 - prior[skill]
            right *= 1 - SLIP if is_known else GUESS
        weight *= right if correct else 1 - right
        total += weight
        for skill, is_known in zip(prior, known, strict=True):
            knowing[skill] += weight * is_known
    for skill, share in knowing.items():
        posterior = share / total
        assert student.mastery(skill) == pytest.approx(posterior + (1 - posterior) * LEARN, rel=1e-12)


def test_predict_of_two_skills_is_their_product_and_the_order_of_skills_is_no_matter(student: at.Student) -> None:
    both = student.predict("x", skills=["halves", "quarters"])
    assert both == pytest.approx(student.predict("h1") * student.predict("q1"), rel=1e-15)
    assert student.predict("x", skills=["quarters", "halves", "halves"]) == both


def test_predict_changes_nothing(student: at.Student) -> None:
    student.observe("h1", 1)
    before = student.to_dict()
    student.predict("q1")
    student.mastery("quarters")
    assert student.to_dict() == before


def test_a_student_counts_responses_by_skill_and_item(student: at.Student) -> None:
    for item in ("h1", "h1", "h2"):
        student.observe(item, 1)
    assert student.opportunities == {"halves": 3}
    assert student.answered == {"h1": 2, "h2": 1}


def test_mastered_is_a_verdict_at_a_threshold(student: at.Student) -> None:
    assert not student.mastered("halves")
    assert student.mastered("halves", threshold=0.5)


@pytest.mark.parametrize("correct", [2, -0.1, float("nan"), float("inf")])
def test_an_outcome_that_is_none_is_refused_and_changes_nothing(student: at.Student, correct: float) -> None:
    before = student.to_dict()
    with pytest.raises(ValueError, match=f"correct: got {correct}; expected 0, 1 or a fraction"):
        student.observe("h1", correct)
    assert student.to_dict() == before


def test_an_unknown_item_is_refused_with_the_nearest_and_changes_nothing(student: at.Student) -> None:
    before = student.to_dict()
    with pytest.raises(at.UnknownItemError, match=r"'h11' is not in the catalog of 4 items; did you mean 'h1'\?"):
        student.observe("h11", 1)
    assert student.to_dict() == before


def test_without_catalog_or_skills_the_remedy_is_told(model: at.BKT) -> None:
    with pytest.raises(ValueError, match=r"skills of item 'h1'.*pass skills=\[\.\.\.\], or make Student\(model, catalog\)"):
        at.Student(model).observe("h1", 1)


def test_a_skill_the_model_does_not_know_has_the_values_for_unknown_skills(model: at.BKT) -> None:
    student = at.Student(model)
    assert student.mastery("thirds") == pytest.approx(model.parameters.prior[-1], rel=1e-15)
    student.observe("t1", 1, skills=["thirds"])
    assert model.parameters.prior[-1] < student.mastery("thirds") < 1.0


def test_a_student_from_a_log_is_in_the_state_of_the_score(sample_log: at.Log, sample_model: at.BKT) -> None:
    student = at.Student.from_log(sample_model, sample_log, student="student-007")
    scores = [row for row in sample_model.score(sample_log).to_pylist() if row["student"] == "student-007"]
    assert {row["skill"]: row["mastery"] for row in scores} == {skill: student.mastery(skill) for skill in student.state.odds}
    assert {row["skill"]: row["opportunities"] for row in scores} == student.opportunities


def test_a_student_is_found_by_the_text_of_their_name(model: at.BKT, responses) -> None:
    log = at.Log.from_arrow(responses(student=[7, 9], item=[1, 2]))
    assert (
        at.Student.from_log(model, log, student="9").answered == at.Student.from_log(model, log, student=9).answered == {"2": 1}
    )


def test_a_student_the_log_does_not_hold_is_new(model: at.BKT, responses) -> None:
    assert at.Student.from_log(model, at.Log.from_arrow(responses()), student="Ben") == at.Student(model, name="Ben")


def test_a_state_comes_back_from_json_to_the_last_bit(student: at.Student, model: at.BKT, catalog: at.Catalog) -> None:
    for item, correct in [("h1", 1), ("q1", 0), ("h2", 1 / 3)]:
        student.observe(item, correct)
    assert at.Student.from_dict(json.loads(json.dumps(student.to_dict())), model, catalog=catalog) == student


def test_a_restored_state_is_independent_of_what_it_came_from(student: at.Student, model: at.BKT, catalog: at.Catalog) -> None:
    content = student.to_dict()
    at.Student.from_dict(content, model, catalog=catalog).observe("h1", 1)
    assert content["state"]["odds"] == content["opportunities"] == content["answered"] == {}


def test_a_state_of_another_model_is_refused(student: at.Student) -> None:
    other = at.BKT.from_parameters(["halves"], prior=0.5, learn=0.2, guess=0.1, slip=0.1)
    with pytest.raises(at.ModelError, match=f"of model {student.model.fingerprint}, not of this model {other.fingerprint}"):
        at.Student.from_dict(student.to_dict(), other)


def test_a_state_of_a_newer_schema_is_refused(student: at.Student, model: at.BKT) -> None:
    with pytest.raises(at.ModelError, match="schema 2, this version reads up to 1; upgrade adaptrace"):
        at.Student.from_dict({**student.to_dict(), "schema": 2}, model)


def test_a_students_answers_with_several_skills_are_folded_from_a_log(model: at.BKT, responses) -> None:
    log = at.Log.from_arrow(responses(skills=pa.array([["halves", "quarters"], ["halves"]]), correct=[0, 1]))
    by_hand = at.Student(model, name="Ada")
    by_hand.observe("q1", 0, skills=["halves", "quarters"])
    by_hand.observe("q1", 1, skills=["halves"])
    assert at.Student.from_log(model, log, student="Ada") == by_hand


def test_an_empty_list_of_skills_is_refused(model) -> None:
    with pytest.raises(ValueError, match="at least one"):
        at.Student(model).observe("q", 1, skills=[])


def test_a_state_that_is_not_whole_is_refused(model) -> None:
    with pytest.raises(at.ModelError, match="not whole"):
        at.Student.from_dict({}, model)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("schema", "1"),
        ("name", 7),
        ("answered", {"q1": "many"}),
        ("opportunities", {"halves": -1}),
        ("turns", [1]),
        ("recent", [["q1"], [1.0], []]),
        ("recent", [["q1"], [2.0], [None]]),
        ("latest", 10**30),
        ("state", {}),
        ("state", {"odds": {"halves": None}, "last_time": {}}),
        ("state", {"odds": {"halves": float("nan"), "quarters": 1.0}, "last_time": {}}),
        ("state", {"odds": {"quarters": 1.0, "halves": float("nan")}, "last_time": {}}),
        ("state", {"odds": {"halves": -1.0}, "last_time": {}}),
    ],
)
def test_a_state_that_says_what_no_student_did_is_refused(name: str, value: object, student: at.Student) -> None:
    student.observe("h1", 1)
    with pytest.raises(at.ModelError, match="not whole"):
        at.Student.from_dict({**student.to_dict(), name: value}, student.model)


def test_what_is_no_plain_data_is_no_state(model: at.BKT) -> None:
    for content in (None, [], "state", 7):
        with pytest.raises(at.ModelError, match="not whole"):
            at.Student.from_dict(content, model)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("part", "value"),
    [("attempts", -3.0), ("pattern", 99), ("oldest", 5000), ("later", 0), ("window_attempts", 90.0), ("entry_correct", 2.0)],
)
def test_a_memory_that_no_responses_leave_is_refused(part: str, value: float) -> None:
    """The steps of a logistic model follow the numbers of its memory."""
    rows = [{"student": f"s{n % 5}", "item": "i", "skill": "a", "correct": n % 2, "time": n * 10**6} for n in range(40)]
    log = at.Log.from_arrow(pa.Table.from_pylist(rows), time_unit="us")
    model = at.DAS3H().fit(log)
    content = at.Student.from_log(model, log, student="s1").to_dict()
    assert at.Student.from_dict(content, model).to_dict() == content
    content["state"]["memory"][part][0][1] = value
    with pytest.raises(at.ModelError, match="not whole"):
        at.Student.from_dict(content, model)


def test_parameters_of_one_skill_twice_are_refused() -> None:
    with pytest.raises(at.ModelError, match="twice"):
        at.BKT.from_parameters(["a", "a"], prior=0.3, learn=0.1, guess=0.2, slip=0.1)


def test_a_fraction_between_levels_is_refused_and_changes_nothing() -> None:
    rows = [{"student": f"s{n}", "item": "i", "skill": "a", "kind": "project", "correct": n % 5 / 4} for n in range(40)]
    model = at.BKT(levels={"project": 5}).fit(at.Log.from_arrow(pa.Table.from_pylist(rows)))
    student = at.Student(model)
    with pytest.raises(ValueError, match=r"correct 0\.4 on kind 'project'; expected one of its 5 levels"):
        student.observe("i", 0.4, kind="project", skills=["a"])
    assert not student.state.odds
    student.observe("i", level=3, kind="project", skills=["a"])
    assert student.opportunities == {"a": 1}


# ---- plain data of the first version ----------------------------------------

NOON = datetime.datetime(2025, 9, 1, 12, tzinfo=datetime.UTC)
OF_0_1 = {  # as version 0.1.0 wrote it
    "schema": 1,
    "odds": {"halves": 4.5},
    "opportunities": {"halves": 2},
    "answered": {"h1": 1, "h2": 1},
    "name": "Ada",
    "group": "6B",
    "last_time": {},
}


def test_a_state_that_the_first_version_wrote_is_still_read(model: at.BKT, catalog: at.Catalog) -> None:
    student = at.Student.from_dict({**OF_0_1, "model": model.fingerprint}, model, catalog=catalog)
    assert student.mastery("halves") == 4.5 / 5.5
    assert (student.name, student.group, student.opportunities) == ("Ada", "6B", {"halves": 2})
    assert student.answered == {"h1": 1, "h2": 1}
    assert at.Student.from_dict(student.to_dict(), model, catalog=catalog) == student


@pytest.fixture(scope="module")
def fading() -> at.BKT:
    return at.BKT(elapsed=True).fit(random_log(3, rows=200, skills="ab"))


def test_a_state_with_times_that_the_first_version_wrote_goes_on_from_its_last_response(fading: at.BKT) -> None:
    noon = 1_756_728_000_000_000
    content = {**OF_0_1, "odds": {"a": 4.5, "b": 1.0}, "last_time": {"a": noon, "b": noon - 1}, "model": fading.fingerprint}
    student = at.Student.from_dict(content, fading)
    assert student.state.last_time == {"a": noon, "b": noon - 1}
    with pytest.raises(ValueError, match="before the last response at 2025-09-01 12:00:00"):
        student.observe("q", 1, skills=["c"], time=NOON - datetime.timedelta(microseconds=1))
    student.observe("q", 1, skills=["c"], time=NOON)


# ---- models of any family ---------------------------------------------------

FAMILIES = [Rates(), Rates(half_life=2.0)]
each_family = pytest.mark.parametrize("family", FAMILIES, ids=repr)


@each_family
def test_folding_observe_is_predicting_the_log(family: Rates) -> None:
    log = random_log(4, rows=150)
    students: dict[str, at.Student] = {}
    for row, predicted in zip(log.table.to_pylist(), family.predict(log), strict=True):
        student = students.setdefault(row["student"], at.Student(family))
        shared = {"skills": [row["skill"]], "time": row["time"]}
        assert student.predict(row["item"], **shared) == pytest.approx(predicted, rel=1e-12)
        student.observe(row["item"], row["correct"], **shared)
    assert len({round(each, 3) for each in family.predict(log)}) > 10


@each_family
def test_a_student_of_any_family_comes_from_a_log_and_back_from_json(family: Rates) -> None:
    log = random_log(5, rows=150)
    name = log.students[2].as_py()
    rows = [row for row in log.table.to_pylist() if row["student"] == name]
    student = at.Student.from_log(family, log, student=name)
    assert sum(student.answered.values()) == sum(student.opportunities.values()) == len(rows)
    assert student.state.total.total() == len(rows)
    back = at.Student.from_dict(json.loads(json.dumps(student.to_dict())), family)
    assert back == student
    back.observe("new", 1, skills=["a"], time=rows[-1]["time"])
    assert back != student
    assert "new" not in student.answered


def test_students_are_equal_if_model_catalog_and_state_are(model: at.BKT, catalog: at.Catalog) -> None:
    assert at.Student(model, catalog) == at.Student(model, catalog)
    others = [
        at.Student(model),
        at.Student(Rates(), catalog),
        at.Student(model, catalog, name="Ada"),
        at.Student(model, catalog, group="6B"),
    ]
    assert not any(other == at.Student(model, catalog) for other in [*others, "a student"])


def test_mastery_of_a_model_that_knows_none_is_refused_with_the_remedy() -> None:
    student = at.Student(Rates())
    for ask in (student.mastery, student.mastered):
        with pytest.raises(
            at.ModelError, match=r"Rates\(half_life=None\) does not know mastery; expected .*: bkt, blend, boosted$"
        ):
            ask("halves")


def test_a_family_without_levels_takes_none() -> None:
    with pytest.raises(ValueError, match="level: got 1 of kind 'practice'; the model knows levels of none"):
        at.Student(Rates()).observe("q", level=1, skills=["a"])


@pytest.mark.parametrize(
    ("time", "match"),
    [
        (None, r"time: got none; this model needs the time of each response: pass time="),
        ("noon", r"time: got 'noon'; expected a datetime"),
        (NOON - datetime.timedelta(seconds=1), r"before the last response at 2025-09-01 12:00:00"),
    ],
    ids=["none", "text", "earlier"],
)
def test_a_time_that_a_model_needs_is_checked_before_anything_changes(time: object, match: str) -> None:
    student = at.Student(Rates(half_life=1.0))
    student.observe("q", 1, skills=["a"], time=NOON)
    before = student.to_dict()
    with pytest.raises(ValueError, match=match):
        student.observe("r", 1, skills=["b"], time=time)
    assert student.to_dict() == before


def test_without_a_time_a_prediction_is_of_right_after_the_last_response() -> None:
    student = at.Student(Rates(half_life=1.0))
    student.observe("q", 1, skills=["a"], time=NOON)
    assert student.predict("q", skills=["a"]) == student.predict("q", skills=["a"], time=NOON) == 2 / 3
    tomorrow = NOON.replace(tzinfo=None) + datetime.timedelta(days=1)
    assert student.predict("q", skills=["a"], time=tomorrow) == pytest.approx(1 / 3, rel=1e-12)


def test_a_student_who_moves_keeps_what_is_known_and_has_the_new_groups_values() -> None:
    model = at.BKT(groups=("prior", "learn")).fit(random_log(6, rows=300, skills="ab"))
    rows = {group: model.row("b", group=group) for group in ("first", "second")}
    assert rows["first"] != rows["second"]
    student = at.Student(model, group="first")
    student.observe("q", 1, skills=["a"])
    before = student.mastery("a")
    student.group = "second"
    assert student.mastery("a") == before
    assert student.mastery("b") == pytest.approx(rows["second"][0], rel=1e-15)
    assert student.opportunities == {"a": 1}
    assert student.to_dict()["group"] == "second"


# ---- what a model needs -----------------------------------------------------


@pytest.mark.parametrize(
    ("options", "needs"),
    [
        ({}, ()),
        ({"elapsed": True}, ("time",)),
        ({"groups": ("prior",)}, ("group",)),
        ({"elapsed": True, "groups": ("learn",)}, ("time", "group")),
    ],
    ids=str,
)
def test_a_bkt_needs_the_columns_of_its_options(options: dict[str, object], needs: tuple[str, ...], responses) -> None:
    model, log = at.BKT(**options), at.Log.from_arrow(responses())
    assert model.needs == needs
    for name in needs:
        with pytest.raises(at.DataError, match=rf"got the columns student, .*; expected column '{name}'.*columns={{'{name}':"):
            check_needs({"mine": model}, log)
    if not needs:
        check_needs({"mine": model}, log)


def test_what_is_missing_is_listed_at_once_and_what_is_there_is_not(responses) -> None:
    model = at.BKT(elapsed=True, groups=("prior",))
    with pytest.raises(at.DataError) as caught:
        check_needs({"mine": model}, at.Log.from_arrow(responses()))
    assert [problem.column for problem in caught.value.problems] == ["time", "group"]
    timed = at.Log.from_arrow(responses(time=pa.array(np.arange(2), pa.timestamp("s"))))
    with pytest.raises(at.DataError) as caught:
        check_needs({"mine": model}, timed)
    assert [problem.column for problem in caught.value.problems] == ["group"]
