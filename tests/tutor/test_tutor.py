"""The tutor: it takes in what happened and says what comes next."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.evaluate.off_policy import off_policy
from tutor.conftest import MINUTE, NOW
from tutor.store.postgres_server import MISSING, URL, fresh_schema

Open = Callable[..., at.Tutor]


@pytest.fixture(params=["memory", "sqlite", "postgres"])
def tutor(request: pytest.FixtureRequest, open_tutor: Open, tmp_path: Path) -> Iterator[at.Tutor]:
    if request.param != "postgres":
        yield open_tutor("memory:" if request.param == "memory" else tmp_path / "tutor.db")
    elif MISSING:
        pytest.skip(MISSING)
    else:
        with fresh_schema(URL) as url, open_tutor(url) as tutor:
            yield tutor


def mastery(tutor: at.Tutor, student: str) -> dict[str, float]:
    table = tutor.mastery_table(student)
    return dict(zip(table["skill"].to_pylist(), table["mastery"].to_pylist(), strict=True))


def names(choices: list[at.Recommendation]) -> list[str]:
    return [choice.item.item for choice in choices]


# ---- what happened ----------------------------------------------------------


def test_what_was_observed_is_what_a_student_would_know(tutor: at.Tutor, school_model: at.BKT, school: at.Catalog) -> None:
    student = at.Student(school_model, school)
    for number, (item, correct) in enumerate([("a1", 1), ("ac", 0.5), ("b1", 0), ("a2", 1)]):
        assert tutor.observe("ana", item, correct, time=NOW - (9 - number) * MINUTE) is True
        student.observe(item, correct)
    assert mastery(tutor, "ana") == {skill: student.mastery(skill) for skill in "abc"}
    assert names(tutor.recommend("ana")) == names(at.recommend(student, school))


def test_a_second_delivery_changes_nothing(tutor: at.Tutor) -> None:
    assert tutor.observe("ana", "a1", 1, event_id="e1", time=NOW) is True
    before = mastery(tutor, "ana")
    assert tutor.observe("ana", "a1", 1, event_id="e1", time=NOW) is False
    assert mastery(tutor, "ana") == before
    assert len(tutor.history("ana")) == 1


def test_a_second_delivery_without_a_time_has_that_of_the_first(open_tutor: Open) -> None:
    times = iter([NOW, NOW + MINUTE, NOW + MINUTE])
    tutor = open_tutor(clock=lambda: next(times))
    assert tutor.observe("ana", "a1", 1, event_id="e1") is True
    assert tutor.observe("ana", "a1", 1, event_id="e1") is False
    with pytest.raises(at.ConflictError):
        tutor.observe("ana", "a1", 0, event_id="e1")


@pytest.mark.parametrize(
    "other",
    [
        {"correct": 0},
        {"item": "a2"},
        {"student": "ben"},
        {"time": NOW - MINUTE},
        {"kind": "project"},
        {"skills": ["b"]},
    ],
    ids=str,
)
def test_an_event_id_with_another_payload_is_a_conflict_and_the_first_is_kept(tutor: at.Tutor, other: dict[str, object]) -> None:
    first = {"student": "ana", "item": "a1", "correct": 1, "time": NOW}
    tutor.observe(**first, event_id="e1")
    with pytest.raises(at.ConflictError, match=r"event_id 'e1': got .*; it stands for a1, practice 1 on a at 2026-03-02T09:00"):
        tutor.observe(**{**first, **other}, event_id="e1")
    assert tutor.history("ana").num_rows == 1
    assert tutor.history("ben").num_rows == 0
    assert tutor.observe(**first, event_id="e1") is False


def test_a_loop_that_tries_a_failing_store_again_does_not_catch_a_conflict(tutor: at.Tutor) -> None:
    tutor.observe("ana", "a1", 1, event_id="e1", time=NOW)
    with pytest.raises(at.ConflictError) as caught:
        tutor.observe("ana", "a1", 0, event_id="e1", time=NOW)
    assert not isinstance(caught.value, at.StoreError)
    assert isinstance(caught.value, at.AdaptraceError)


def test_a_late_event_is_put_at_its_place(tutor: at.Tutor, open_tutor: Open) -> None:
    order = [("a1", 1, 5), ("b1", 0, 3), ("ac", 1, 4), ("a2", 0, 1), ("c1", 1, 2)]
    for item, correct, minute in order:
        tutor.observe("ana", item, correct, time=NOW - 10 * MINUTE + minute * MINUTE, event_id=item)
    clean = open_tutor()
    for item, correct, minute in sorted(order, key=lambda each: each[2]):
        clean.observe("ana", item, correct, time=NOW - 10 * MINUTE + minute * MINUTE, event_id=item)
    assert tutor.history("ana").equals(clean.history("ana"))
    assert mastery(tutor, "ana") == mastery(clean, "ana")


def test_a_retraction_is_as_if_the_event_had_never_come(tutor: at.Tutor, open_tutor: Open) -> None:
    for item in ("a1", "ac", "b1"):
        tutor.observe("ana", item, 1, event_id=item, time=NOW)
    assert tutor.retract("ac") is True
    assert tutor.retract("ac") is False
    clean = open_tutor()
    for item in ("a1", "b1"):
        clean.observe("ana", item, 1, event_id=item, time=NOW)
    assert mastery(tutor, "ana") == mastery(clean, "ana")
    assert tutor.observe("ana", "ac", 1, event_id="ac", time=NOW) is False  # a straggler of what was taken back
    assert mastery(tutor, "ana") == mastery(clean, "ana")


def test_a_retraction_of_nothing_is_an_error(tutor: at.Tutor) -> None:
    with pytest.raises(at.StoreError, match="event_id 'e9': no such event in the store"):
        tutor.retract("e9")
    with pytest.raises(at.StoreError, match="event_id 'e9': no such event in the store"):
        tutor.observe("ana", "a1", 1, replaces="e9")
    assert tutor.history("ana").num_rows == 0


def test_a_correction_replaces_an_event_in_one_step(tutor: at.Tutor, open_tutor: Open) -> None:
    tutor.observe("ana", "a1", 0, event_id="wrong", time=NOW - MINUTE)
    tutor.observe("ana", "b1", 1, event_id="next", time=NOW)
    assert tutor.observe("ana", "a1", 1, event_id="right", time=NOW - MINUTE, replaces="wrong") is True
    assert tutor.observe("ana", "a1", 1, event_id="right", time=NOW - MINUTE, replaces="wrong") is False
    clean = open_tutor()
    clean.observe("ana", "a1", 1, event_id="right", time=NOW - MINUTE)
    clean.observe("ana", "b1", 1, event_id="next", time=NOW)
    assert tutor.history("ana").equals(clean.history("ana"))
    assert mastery(tutor, "ana") == mastery(clean, "ana")


def test_an_event_of_another_student_cannot_be_replaced(tutor: at.Tutor) -> None:
    tutor.observe("ben", "a1", 0, event_id="his", time=NOW)
    with pytest.raises(at.ConflictError, match="replaces: got event_id 'his' of another student; expected an"):
        tutor.observe("ana", "a1", 1, replaces="his", time=NOW)
    assert tutor.history("ben").num_rows == 1


def test_many_at_once_are_as_one_by_one_and_may_come_again(tutor: at.Tutor, open_tutor: Open) -> None:
    random = np.random.default_rng(0)
    n = 300
    table = pa.table(
        {
            "student": [f"s{number}" for number in random.integers(0, 40, n)],
            "item": random.choice(["a1", "a2", "b1", "c1", "ac"], n),
            "correct": random.integers(0, 2, n),
            "time": pa.array([NOW - int(each) * MINUTE for each in random.integers(1, 500, n)], pa.timestamp("us", "UTC")),
            "event_id": [f"e{number}" for number in range(n)],
        }
    )
    assert tutor.observe_many(table.slice(100)) == 200
    assert tutor.observe_many(table) == 100
    assert tutor.observe_many(table) == 0
    clean = open_tutor()
    for row in table.to_pylist():
        clean.observe(row.pop("student"), row.pop("item"), **row)
    for student in set(table["student"].to_pylist()):
        assert tutor.history(student).equals(clean.history(student))
        assert mastery(tutor, student) == mastery(clean, student)


def test_many_without_ids_or_times_are_refused(tutor: at.Tutor) -> None:
    with pytest.raises(at.DataError) as caught:
        tutor.observe_many(pa.table({"student": ["ana"], "item": ["a1"], "correct": [1]}))
    assert [problem.column for problem in caught.value.problems] == ["time", "event_id"]


def test_what_is_forgotten_is_gone(tutor: at.Tutor) -> None:
    tutor.observe("ana", "a1", 1, event_id="e1", time=NOW)
    tutor.observe("ben", "a1", 1, event_id="e2", time=NOW)
    assert tutor.forget_student("ana") == 1
    assert tutor.history("ana").num_rows == tutor.mastery_table("ana").num_rows == 0
    assert tutor.history("ben").num_rows == 1
    assert tutor.observe("ana", "a1", 0, event_id="e1", time=NOW) is True


# ---- bad input ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "error", "match"),
    [
        ({"item": "bb1"}, at.UnknownItemError, "item 'bb1' is not in the catalog of 6 items; did you mean 'b1'"),
        ({"correct": 1.5}, ValueError, r"correct: got 1\.5; expected 0, 1 or a fraction"),
        ({"correct": float("nan")}, ValueError, "correct: got nan; expected"),
        ({"correct": None}, ValueError, "got no outcome"),
        ({"time": NOW.replace(tzinfo=None)}, ValueError, "time: got 2026-03-02 09:00:00 without a zone"),
        ({"time": "yesterday"}, ValueError, "time: got 'yesterday'; expected a datetime"),
        ({"time": NOW + 6 * MINUTE}, ValueError, "which is in the future; expected at most 2026-03-02 09:05"),
        ({"level": 3}, ValueError, "got correct and level"),
        ({"skills": []}, ValueError, "got an empty list"),
    ],
    ids=str,
)
def test_a_bad_event_is_one_clear_error_and_leaves_nothing(
    tutor: at.Tutor, call: dict, error: type[Exception], match: str
) -> None:
    with pytest.raises(error, match=match):
        tutor.observe(**{"student": "ana", "item": "a1", "correct": 1, "time": NOW, **call})
    assert tutor.history("ana").num_rows == 0
    assert tutor.mastery_table("ana").num_rows == 0


def test_a_clock_may_be_ahead_by_the_tolerance(open_tutor: Open) -> None:
    assert open_tutor().observe("ana", "a1", 1, time=NOW + 5 * MINUTE) is True
    assert open_tutor(tolerance=datetime.timedelta(days=1)).observe("ana", "a1", 1, time=NOW + 600 * MINUTE) is True


def test_a_model_that_lacks_a_skill_of_the_catalog_is_refused_unless_asked_for(open_tutor: Open) -> None:
    small = at.BKT.from_parameters(["a"], prior=0.3, learn=0.2, guess=0.2, slip=0.1)
    with pytest.raises(at.ModelError, match=r"the model lacks 2 of the catalog's 3 skills: b, c; .*unknown_skills='prior'"):
        open_tutor(model=small)
    assert set(names(open_tutor(model=small, unknown_skills="prior").recommend("ana"))) == {"a1", "ac", "a2"}


def test_a_model_that_knows_no_mastery_is_refused(open_tutor: Open) -> None:
    with pytest.raises(at.ModelError, match="does not know mastery"):
        open_tutor(model=at.PFA().fit(at.sample_log()))


# ---- what comes next ---------------------------------------------------------


def test_an_unknown_student_is_at_the_prior_and_not_stored(tutor: at.Tutor, school_model: at.BKT, school: at.Catalog) -> None:
    assert tutor.recommend("new") == at.recommend(at.Student(school_model, school, name="new"), school, time=NOW)
    assert tutor.store.students() == []


def test_a_whole_roster_gets_what_each_would_get(tutor: at.Tutor) -> None:
    for number in range(30):
        for item in ("a1", "a2", "ac")[: number % 4]:
            tutor.observe(f"s{number:02d}", item, number % 2, time=NOW)
    everybody = [f"s{number:02d}" for number in range(32)]  # four of them never answered
    table = tutor.recommend_all(everybody, 2, reasons=True)
    for student in everybody:
        rows = table.filter(pa.compute.equal(table["student"], student)).to_pylist()
        choices = tutor.recommend(student, 2)
        assert [(row["item"], row["utility"], row["reason"]) for row in rows] == [
            (choice.item.item, choice.utility, str(choice.reason)) for choice in choices
        ]
    assert tutor.recommend_all(None, 2)["student"].unique().to_pylist() == tutor.store.students()


def test_an_item_over_its_exposure_gives_way_to_the_next_best(tutor: at.Tutor) -> None:
    capped = at.Constraints(exposure_cap=0.4)
    given = [tutor.recommend(f"s{number}", 1, constraints=capped)[0].item.item for number in range(20)]
    counts = {item: given.count(item) for item in set(given)}
    assert set(given) == {"a1", "a2", "ac"}
    assert max(counts.values()) <= 0.4 * 20 + 1
    scarce = at.Constraints(exposure_cap=0.01)
    with pytest.raises(at.ConstraintError, match=r"the student: 6 items in the catalog, 3 after zone, 0 after exposure_cap"):
        tutor.recommend("s", 3, constraints=scarce)
    with pytest.raises(ValueError, match="exposure_cap, which is counted one student at a time"):
        tutor.recommend_all(constraints=capped)


def test_recorded_decisions_are_what_off_policy_estimates_read(open_tutor: Open) -> None:
    """Students answer what they were given; a1 is always right, the rest always wrong."""
    tutor = open_tutor(constraints=at.Constraints(zone=False))
    for number in range(400):
        student = f"s{number}"
        choice = tutor.recommend(student, 1, explore=0.5, decision_id=f"d{number}", seed=number)[0]
        tutor.observe(student, choice.item.item, float(choice.item.item == "a1"), decision_id=f"d{number}", time=NOW)
    log = tutor.log()
    first = log.table.slice(0, 1).to_pylist()[0]
    assert len(first["candidates"]) == 6
    assert sum(first["propensities"]) == pytest.approx(1.0)
    best = first["candidates"][0]
    assert first["propensities"] == pytest.approx([0.5 + 0.5 / 6] + [0.5 / 6] * 5)
    given = log.table["item"].to_pylist()
    assert abs(given.count(best) / 400 - (0.5 + 0.5 / 6)) < 0.1  # four standard errors
    uniform = pa.array([[1.0 / len(row)] * len(row) for row in log.table["candidates"].to_pylist()])
    estimate = off_policy(log.table.append_column("target", uniform), target="target", reward="correct")
    assert estimate.low < 1.0 / 6.0 < estimate.high


def test_a_decision_says_what_it_was_made_of(tutor: at.Tutor, school_model: at.BKT) -> None:
    import json

    shown = names(tutor.recommend("ana", 2, decision_id="d1", seed=3))
    (kept,) = tutor.store.decisions("ana")
    content = json.loads(kept.content)
    assert content["shown"] == shown == content["candidates"][:2]
    assert content["utilities"] == sorted(content["utilities"], reverse=True)
    assert (content["seed"], content["model"]) == (3, school_model.fingerprint)
    assert "(" in content["policy"]


# ---- mastery, when to stop, and what moved mastery ---------------------------


def test_mastery_of_a_skill_is_the_number_of_the_table(tutor: at.Tutor, school_model: at.BKT) -> None:
    prior = at.Student(school_model).mastery("b")
    assert tutor.mastery("ana", "b") == prior  # not stored
    for number, item in enumerate(["a1", "b1", "ac"]):
        tutor.observe("ana", item, number % 2, time=NOW - (5 - number) * MINUTE)
    table = tutor.mastery_table("ana").to_pylist()
    assert {row["skill"]: row["mastery"] for row in table} == {skill: tutor.mastery("ana", skill) for skill in "abc"}
    assert tutor.mastery("ana", "b") != prior == tutor.mastery("ben", "b")


def test_mastery_fades_until_the_time_that_is_asked_about(open_tutor: Open, school: at.Catalog) -> None:
    random = np.random.default_rng(11)
    columns = {"student": np.arange(600) // 6, "item": ["a1", "b1", "c1"] * 200, "skill": ["a", "b", "c"] * 200}
    days = pa.array([NOW + int(day) * 1440 * MINUTE for day in random.integers(0, 90, 600)], pa.timestamp("us", "UTC"))
    log = at.Log.from_arrow(pa.table({**columns, "correct": random.integers(0, 2, 600), "time": days}))
    tutor = open_tutor(model=at.BKT(elapsed=True).fit(log))
    for number in range(4):
        tutor.observe("ana", "a1", 1, time=NOW - number * MINUTE)
    later = [tutor.mastery("ana", "a", time=NOW + days * 1440 * MINUTE) for days in (0, 30, 300)]
    assert later == sorted(later, reverse=True)
    assert later[0] > later[2]
    assert tutor.mastery_table("ana", time=NOW + 30 * 1440 * MINUTE)["mastery"].to_pylist() == [later[1]]


def test_evidence_of_every_kind_counts_and_is_shown(open_tutor: Open, school: at.Catalog) -> None:
    tutor = open_tutor()
    tutor.observe("ana", "a1", 0, time=NOW - 3 * MINUTE)
    tutor.observe("ana", "badge: fractions", 1, kind="badge", skills=["a"], time=NOW - 2 * MINUTE)
    tutor.observe("ana", "Ms Lee saw it", 1, kind="judgement", skills=["a"], time=NOW - MINUTE)
    (row,) = tutor.mastery_table("ana").to_pylist()
    moved = {each["kind"]: (each["n"], each["moved"]) for each in row["evidence"]}
    assert list(moved) == ["practice", "badge", "judgement"]
    assert moved["practice"][1] < 0 < moved["badge"][1]
    logit = np.log(row["mastery"] / (1 - row["mastery"])) - np.log(0.3 / 0.7)
    assert sum(change for _, change in moved.values()) == pytest.approx(logit, rel=1e-12)
    assert (row["skill"], row["opportunities"], row["last_time"]) == ("a", 3, NOW - MINUTE)


def test_wheel_spinning_is_flagged_at_the_tenth_opportunity_without_mastery(tutor: at.Tutor) -> None:
    for number in range(9):
        tutor.observe("ana", "a1", 0, time=NOW - (20 - number) * MINUTE)
    assert tutor.mastery_table("ana")["wheel_spinning"].to_pylist() == [False]
    assert tutor.when_to_stop("ana", "a1").because != "wheel-spinning"
    tutor.observe("ana", "a1", 0, time=NOW)
    assert tutor.mastery_table("ana")["wheel_spinning"].to_pylist() == [True]
    stop = tutor.when_to_stop("ana", "a1")
    assert (stop.stop, stop.because) == (True, "wheel-spinning")
    assert "ask a person" in str(stop)


def test_who_was_once_above_is_not_spinning_wheels(tutor: at.Tutor) -> None:
    for number in range(6):
        tutor.observe("ana", "a1", 1, time=NOW - (60 - number) * MINUTE)
    reached = tutor.mastery_table("ana")["reached_after"].to_pylist()
    assert reached[0] in range(2, 5)
    for number in range(6):
        tutor.observe("ana", "a1", 0, time=NOW - (50 - number) * MINUTE)
    (row,) = tutor.mastery_table("ana").to_pylist()
    assert (row["wheel_spinning"], row["reached_after"]) == (False, reached[0])
    assert row["verdict"] != "mastered"


# ---- the store and the model -------------------------------------------------


@pytest.mark.parametrize("name", ["store", "recommender", "model", "catalog", "policy", "constraints", "criterion"])
def test_what_a_tutor_was_opened_with_cannot_be_set(open_tutor: Open, name: str) -> None:
    tutor = open_tutor()
    before = getattr(tutor, name)
    with pytest.raises(AttributeError, match=rf"^tutor\.{name} cannot be set; open another tutor: Tutor\.open\(url, model="):
        setattr(tutor, name, before)
    assert getattr(tutor, name) is before


def test_options_are_named(open_tutor: Open) -> None:
    tutor = open_tutor()
    for call in (lambda: tutor.rebuild(print), lambda: tutor.log(True), lambda: tutor.recommend("ana", 2, at.Random())):
        with pytest.raises(TypeError, match="positional argument"):
            call()


def test_no_message_of_the_store_or_of_a_conflict_shows_a_name(tutor: at.Tutor) -> None:
    """They end in logs, which others read."""
    tutor.observe("anastasia", "a1", 1, event_id="e1", time=NOW)
    tutor.recommend("anastasia", decision_id="d1")
    for call in (
        lambda: tutor.observe("benedict", "a1", 1, event_id="e1", time=NOW),
        lambda: tutor.observe("anastasia", "a1", 0, event_id="e1", time=NOW),
        lambda: tutor.observe("benedict", "a1", 1, replaces="e1"),
        lambda: tutor.observe("benedict", "a1", 1, decision_id="d1"),
        lambda: tutor.recommend("benedict", decision_id="d1"),
        lambda: tutor.observe("benedict", "a1", 1, decision_id="d2"),
        lambda: tutor.retract("e2"),
    ):
        with pytest.raises((at.ConflictError, at.StoreError)) as raised:
            call()
        assert not re.search("anastasia|benedict", str(raised.value))
    with pytest.raises(at.ConflictError, match=r"got a1, practice 1 on a at .*; it stands for a1, .* of another student, which"):
        tutor.observe("benedict", "a1", 1, event_id="e1", time=NOW)


def test_a_tutor_goes_on_where_it_was_closed(open_tutor: Open, tmp_path: Path) -> None:
    with open_tutor(tmp_path / "t.db") as tutor:
        tutor.observe("ana", "a1", 1, time=NOW)
        before, choices = tutor.mastery_table("ana"), tutor.recommend("ana")
    again = open_tutor(tmp_path / "t.db")
    assert again.mastery_table("ana").equals(before)
    assert again.recommend("ana") == choices


def test_a_new_model_makes_the_states_again(open_tutor: Open, tmp_path: Path, school_model: at.BKT) -> None:
    events = [("ana", "a1", 1), ("ana", "b1", 0), ("ben", "ac", 1)]
    other = at.BKT.from_parameters(["a", "b", "c"], prior=0.5, learn=0.1, guess=0.2, slip=0.2)
    with open_tutor(tmp_path / "t.db") as tutor:
        for number, event in enumerate(events):
            tutor.observe(*event, time=NOW - 5 * MINUTE + number * MINUTE)
    expected = open_tutor(model=other)
    for number, event in enumerate(events):
        expected.observe(*event, time=NOW - 5 * MINUTE + number * MINUTE)
    changed = open_tutor(tmp_path / "t.db", model=other)
    assert mastery(changed, "ana") == mastery(expected, "ana")  # lazily
    shares: list[float] = []
    assert changed.rebuild(progress=shares.append) == 2
    assert shares == [0.5, 1.0]
    assert {kept.model for _, kept in changed.store.load_many()} == {other.fingerprint}
    assert mastery(changed, "ben") == mastery(expected, "ben")


def test_two_tutors_on_one_file_see_what_the_other_wrote(open_tutor: Open, tmp_path: Path) -> None:
    one, other = open_tutor(tmp_path / "t.db"), open_tutor(tmp_path / "t.db")
    for number in range(6):
        (one, other)[number % 2].observe("ana", "a1", 1, time=NOW - (9 - number) * MINUTE)
        assert one.mastery_table("ana").equals(other.mastery_table("ana"))
        assert one.recommend("ana") == other.recommend("ana")
    assert one.mastery_table("ana")["opportunities"].to_pylist() == [6]


def test_the_log_of_a_tutor_is_what_a_model_is_fitted_to(tutor: at.Tutor, school_model: at.BKT) -> None:
    for number in range(40):
        tutor.observe(f"s{number % 5}", ("a1", "ac", "b1")[number % 3], number % 2, time=NOW - (50 - number) * MINUTE, group="7b")
    log = tutor.log()
    assert (len(log), len(log.students)) == (40, 5)
    scored = school_model.score(log).to_pylist()
    for row in scored:
        assert mastery(tutor, row["student"])[row["skill"]] == row["mastery"]
    assert set(log.table["group"].to_pylist()) == {"7b"}


def test_the_class_stays_as_it_was_until_another_is_reported(tutor: at.Tutor) -> None:
    for minute, group in enumerate(["7b", None, "8a", None]):
        tutor.observe("ana", "a1", 1, group=group, time=NOW - (9 - minute) * MINUTE)
    assert tutor.history("ana")["group"].to_pylist() == ["7b", "7b", "8a", "8a"]


def test_students_that_fell_out_of_memory_are_read_again(open_tutor: Open, tmp_path: Path) -> None:
    small, large = open_tutor(tmp_path / "t.db", cache=2), open_tutor()
    for number in range(60):
        for tutor in (small, large):
            tutor.observe(f"s{number % 7}", "a1", number % 2, event_id=str(number), time=NOW)
    assert all(mastery(small, f"s{number}") == mastery(large, f"s{number}") for number in range(7))


def test_a_snapshot_opens_as_a_tutor(tutor: at.Tutor, open_tutor: Open, tmp_path: Path) -> None:
    tutor.observe("ana", "a1", 1, event_id="e1", time=NOW)
    tutor.observe("ana", "b1", 1, event_id="e2", time=NOW)
    tutor.retract("e2")
    tutor.snapshot(tmp_path / "copy.db")
    copy = open_tutor(tmp_path / "copy.db")
    assert copy.mastery_table("ana").equals(tutor.mastery_table("ana"))
    assert copy.observe("ana", "b1", 1, event_id="e2", time=NOW) is False


# ---- found by a first-time user -----------------------------------------------


def of_kinds(open_tutor: Open, **options: object) -> at.Tutor:
    """A tutor whose catalog has a video, and whose model weighs it in its own way."""
    catalog = at.Catalog.from_arrow({"item": ["a1", "film"], "skill": ["a", "a"], "kind": ["practice", "video"]})
    return open_tutor(catalog=catalog, **options)


def test_a_table_has_the_kinds_of_the_catalog_as_single_events_do(open_tutor: Open) -> None:
    tutor = of_kinds(open_tutor)
    tutor.observe("ana", "film", 1, event_id="e1", time=NOW)
    table = pa.table({"student": ["ana"], "item": ["film"], "correct": [1], "time": [NOW], "event_id": ["e1"]})
    assert tutor.observe_many(table) == 0
    assert tutor.history("ana")["kind"].to_pylist() == ["video"]


def test_a_decision_id_stands_for_one_decision_of_one_student(tutor: at.Tutor) -> None:
    shown = tutor.recommend("ana", 2, decision_id="d1", explore=0.5)
    assert tutor.recommend("ana", 2, decision_id="d1", explore=0.5) == shown  # asked again, the same
    with pytest.raises(at.ConflictError, match="decision_id 'd1': another decision is recorded under it"):
        tutor.recommend("ben", 2, decision_id="d1", explore=0.5)
    with pytest.raises(at.ConflictError, match="decision_id 'd1': it was made for another student"):
        tutor.observe("ben", "a1", 1, decision_id="d1", time=NOW)
    with pytest.raises(at.ConflictError, match="decision_id 'd2': no such decision"):
        tutor.observe("ana", "a1", 1, decision_id="d2", time=NOW)
    assert tutor.store.students() == []


def test_the_log_of_decisions_is_of_those_events_that_answer_one(tutor: at.Tutor) -> None:
    tutor.recommend("ana", decision_id="d1")
    assert len(tutor.log()) == len(tutor.log(decided=True)) == 0
    tutor.observe("ana", "a1", 1, decision_id="d1", time=NOW)
    tutor.observe("ana", "badge", 1, skills=["a"], kind="badge", time=NOW)
    assert len(tutor.log()) == 2
    assert tutor.log(decided=True).table["candidates"].null_count == 0


def test_a_correction_is_of_the_time_and_the_decision_of_what_it_corrects(tutor: at.Tutor) -> None:
    tutor.recommend("ana", decision_id="d1")
    tutor.observe("ana", "poster", 0.25, kind="project", skills=["a"], event_id="1", time=NOW - MINUTE, decision_id="d1")
    tutor.observe("ana", "b1", 1, event_id="2", time=NOW)
    assert tutor.observe("ana", "poster", 0.75, event_id="3", replaces="1") is True
    row = tutor.history("ana").to_pylist()[0]
    assert (row["event_id"], row["correct"], row["time"]) == ("3", 0.75, NOW - MINUTE)
    assert (row["kind"], row["skills"], row["decision_id"]) == ("project", ["a"], "d1")


def test_what_was_replaced_cannot_be_replaced_again(tutor: at.Tutor) -> None:
    tutor.observe("ana", "a1", 0, event_id="1", time=NOW)
    tutor.observe("ana", "a1", 1, event_id="2", replaces="1")
    with pytest.raises(at.ConflictError, match="event_id '1', which was retracted or replaced before"):
        tutor.observe("ana", "a1", 0.5, event_id="3", replaces="1")
    assert tutor.history("ana")["event_id"].to_pylist() == ["2"]


def test_chance_leaves_a_pin_alone_and_says_when_it_chose(open_tutor: Open) -> None:
    tutor = open_tutor(policy=at.TargetSuccess())
    pinned = at.Constraints(pinned={"item": ["c1"]})
    assert {tutor.recommend("ana", 1, constraints=pinned, explore=1.0, seed=seed)[0].item.item for seed in range(20)} == {"c1"}
    drawn = [tutor.recommend("ana", 1, explore=1.0, seed=seed)[0] for seed in range(20)]
    assert {choice.reason.constraint for choice in drawn} == {"explored"}
    assert all(str(choice.reason).startswith("Chosen at random, to learn what works: ") for choice in drawn)


def test_names_and_ids_may_be_numbers_but_not_nothing(tutor: at.Tutor) -> None:
    tutor.observe(7, "a1", 1, event_id=5, kind=3, time=NOW)
    assert tutor.retract(5) is True
    assert tutor.mastery_table(7).num_rows == tutor.history("7").num_rows == 0
    for nothing in (None, ""):
        with pytest.raises(ValueError, match=r"student: got .*; expected a name"):
            tutor.observe(nothing, "a1", 1)
    with pytest.raises(ValueError, match=r"event_id: got ''; expected an id"):
        tutor.observe("ana", "a1", 1, event_id="")
    with pytest.raises(ValueError, match="students: got a text; expected a list of names"):
        tutor.recommend_all("ana")


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"k": 2.5}, r"k: got 2\.5; expected a whole number, at least 1"),
        ({"k": None}, "k: got None"),
        ({"policy": at.Random}, r"policy: got .*Random.*; expected one like LowestMastery\(\), with its brackets"),
        ({"constraints": {"no_repeat": 3}}, r"constraints: got \{'no_repeat': 3\}; expected Constraints\(\.\.\.\)"),
        ({"explore": 2.0}, r"explore: got 2\.0; expected a probability"),
    ],
)
def test_options_of_another_kind_are_reported(open_tutor: Open, options: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        open_tutor().recommend("ana", **options)
