"""Constraints, option by option: what may be given, what is said if nothing may, and names that the catalog lacks."""

from __future__ import annotations

import datetime
import warnings
from collections.abc import Iterable
from typing import Any

import pytest

import adaptrace as at

START = datetime.datetime(2026, 1, 5, 8, tzinfo=datetime.UTC)
NEEDS = [{"skill": "b", "prerequisites": ["a"], "soft_prerequisites": []}]
ITEMS = {
    "item": ["a1", "a2", "b1", "c1", "d1", "ac"],
    "skills": [["a"], ["a"], ["b"], ["c"], ["d"], ["a", "c"]],
    "kind": ["video", "quiz", "quiz", "video", None, "quiz"],
    "minutes": [5.0, 2.0, 2.0, None, 10.0, 1.0],
    "provider": ["North", "North", "South", "South", None, "North"],
    "pathway": ["red", "red", "red", "blue", "blue", None],
}
OPEN = ["a1", "a2", "c1", "d1", "ac"]  # b waits for a


@pytest.fixture
def catalog() -> at.Catalog:
    return at.Catalog.from_arrow(ITEMS, NEEDS)


def student_at(mastery: dict[str, float] | None = None, answers: Iterable[str] = (), catalog: Any = None) -> at.Student:
    """A student at this mastery, whatever they answered."""
    known = {"a": 0.3, "b": 0.1, "c": 0.4, "d": 0.5} | (mastery or {})
    model = at.BKT.from_parameters(list(known), prior=list(known.values()), learn=0.0, guess=0.2, slip=0.2)
    student = at.Student(model, catalog)
    for item in answers:  # half right moves nothing
        student.observe(item, 0.5)
    return student


def given(student: at.Student, catalog: at.Catalog, **options: Any) -> list[str]:
    more = {name: options.pop(name) for name in ("time", "exposed") if name in options}
    recommender = at.Recommender(student.model, catalog, constraints=at.Constraints(**options))
    return [choice.item.item for choice in recommender.recommend(student, 99, **more)]


# ---- the zone, pins and blocks ------------------------------------------------


def test_the_zone_can_be_left(catalog: at.Catalog) -> None:
    assert sorted(given(student_at(), catalog)) == sorted(OPEN)
    assert sorted(given(student_at({"c": 0.97}), catalog, zone=False)) == sorted(ITEMS["item"])


def test_a_pinned_item_comes_first_until_it_is_answered(catalog: at.Catalog) -> None:
    assert given(student_at(), catalog, pinned={"item": ["b1"]})[0] == "b1"
    choices = given(student_at(answers=["b1"], catalog=catalog), catalog, pinned={"item": ["b1"]})
    assert sorted(choices) == sorted(OPEN)


def test_a_pinned_skill_comes_first_until_it_is_mastered(catalog: at.Catalog) -> None:
    assert set(given(student_at(), catalog, pinned={"skill": ["c"]})[:2]) == {"ac", "c1"}
    mastered = student_at({"c": 0.97})
    assert given(mastered, catalog, pinned={"skill": ["c"]}) == given(mastered, catalog)


def test_a_pinned_provider_always_comes_first(catalog: at.Catalog) -> None:
    assert given(student_at({"c": 0.97}, ["c1", "b1"], catalog), catalog, pinned={"provider": ["South"]})[:2] == ["b1", "c1"]


def test_a_pin_says_so(catalog: at.Catalog) -> None:
    student = student_at()
    (choice,) = at.recommend(student, catalog, k=1, constraints=at.Constraints(pinned={"pathway": ["blue"]}))
    assert str(choice.reason) == "Pinned: c (40 % likely known)."


def test_a_pin_does_not_break_a_block(catalog: at.Catalog) -> None:
    assert "b1" not in given(student_at(), catalog, pinned={"item": ["b1"]}, blocked={"provider": ["South"]})
    assert "d1" not in given(student_at(), catalog, pinned={"item": ["d1"]}, minutes=9)


def test_what_is_blocked_is_never_given(catalog: at.Catalog) -> None:
    assert given(student_at(), catalog, blocked={"skill": ["c"], "item": ["d1"]}) == ["a1", "a2"]
    assert given(student_at(), catalog, blocked={"kind": ["practice", "quiz"]}) == ["a1", "c1"]


def test_only_these_are_given(catalog: at.Catalog) -> None:
    assert given(student_at(), catalog, only={"pathway": ["red"]}) == ["a1", "a2"]
    assert given(student_at(), catalog, only={"pathway": ["red", "blue"], "kind": ["video"]}) == ["a1", "c1"]


def test_names_may_be_numbers() -> None:
    catalog = at.Catalog.from_arrow({"item": [1, 2], "skill": [7, 8]})
    student = at.Student(at.BKT.from_parameters(["7", "8"], prior=0.3, learn=0.1, guess=0.1, slip=0.1))
    assert given(student, catalog, blocked={"item": [1]}) == ["2"]
    assert given(student, catalog, only={"skill": [7]}) == ["1"]
    assert given(student, catalog, quota={"skill": {7: 0.0}}) == ["2"]


# ---- variety --------------------------------------------------------------------


def test_an_item_is_not_given_again_so_soon(catalog: at.Catalog) -> None:
    student = student_at(answers=["a1", "a2", "c1"], catalog=catalog)
    assert sorted(given(student, catalog, no_repeat=2)) == ["a1", "ac", "d1"]
    assert sorted(given(student, catalog, no_repeat=3)) == ["ac", "d1"]


def test_an_item_that_is_shown_too_often_is_not_given(catalog: at.Catalog) -> None:
    assert sorted(given(student_at(), catalog, exposure_cap=0.2, exposed=["a1", "d1", "gone"])) == ["a2", "ac", "c1"]


def test_a_kind_may_come_so_often_in_a_row(catalog: at.Catalog) -> None:
    once = student_at(answers=["d1", "c1"], catalog=catalog)
    assert sorted(given(once, catalog, in_a_row={"kind": 2})) == sorted(OPEN)
    assert sorted(given(once, catalog, in_a_row={"kind": 1})) == ["a2", "ac", "d1"]
    assert sorted(given(student_at(answers=["a1", "c1"], catalog=catalog), catalog, in_a_row={"kind": 2})) == ["a2", "ac", "d1"]


def test_items_of_several_skills_share_what_all_of_them_practise(catalog: at.Catalog) -> None:
    assert sorted(given(student_at(answers=["ac"], catalog=catalog), catalog, interleave=True)) == ["d1"]
    after = student_at(answers=["ac", "c1"], catalog=catalog)
    assert sorted(given(after, catalog, in_a_row={"skill": 2})) == ["a1", "a2", "d1"]
    assert sorted(given(student_at(answers=["c1", "a1"], catalog=catalog), catalog, in_a_row={"skill": 2})) == sorted(OPEN)


def test_interleaving_is_one_in_a_row_beside_others(catalog: at.Catalog) -> None:
    student = student_at(answers=["a1"], catalog=catalog)
    assert given(student, catalog, interleave=True, in_a_row={"kind": 1, "skill": 9}) == ["d1"]


def test_items_that_left_the_catalog_share_nothing(catalog: at.Catalog) -> None:
    student = student_at()
    student.observe("gone", 0.5, skills=["a"])
    assert sorted(given(student, catalog, interleave=True, no_repeat=3, minutes=20, quota={"skill": {"a": 0.5}})) == sorted(OPEN)


# ---- balance and time -------------------------------------------------------------


@pytest.mark.parametrize(
    ("answers", "videos"), [([], True), (["a1"], False), (["a1", "a2", "a2"], False), (["a1"] + ["a2"] * 4, True)]
)
def test_a_quota_is_a_share_of_the_session_rounded_up(catalog: at.Catalog, answers: list[str], videos: bool) -> None:
    choices = given(student_at(answers=answers, catalog=catalog), catalog, quota={"kind": {"video": 0.25}})
    assert {"a1", "c1"} <= set(choices) if videos else not {"a1", "c1"} & set(choices)


def test_a_quota_of_nothing_is_a_block(catalog: at.Catalog) -> None:
    assert sorted(given(student_at(), catalog, quota={"kind": {"video": 0.0}})) == ["a2", "ac", "d1"]


def test_a_quota_is_not_rounded_up_for_what_the_last_bit_says(catalog: at.Catalog) -> None:
    """0.28 * 25 is a bit more than 7 to a computer."""
    student = student_at(answers=["a1"] * 7 + ["a2"] * 17, catalog=catalog)
    assert "a1" not in given(student, catalog, quota={"kind": {"video": 0.28}})
    assert "a1" in given(student, catalog, quota={"kind": {"video": 0.3}})


def test_an_item_must_fit_in_what_is_left_of_the_session(catalog: at.Catalog) -> None:
    """The item that says no minutes takes the mean of the others, 4."""
    assert sorted(given(student_at(), catalog, minutes=4)) == ["a2", "ac", "c1"]
    assert sorted(given(student_at(answers=["a2"], catalog=catalog), catalog, minutes=7)) == ["a1", "a2", "ac", "c1"]
    assert sorted(given(student_at(answers=["a2", "c1"], catalog=catalog), catalog, minutes=7)) == ["ac"]


def test_a_new_session_begins_after_a_gap(catalog: at.Catalog) -> None:
    student = student_at(catalog=catalog)
    for minute in (0, 40, 45):
        student.observe("a1", 0.5, time=START + datetime.timedelta(minutes=minute))

    def left(minute: float, **options: Any) -> set[str]:
        return set(given(student, catalog, time=START + datetime.timedelta(minutes=minute), minutes=15, **options))

    assert left(50) == {"a1", "a2", "c1", "ac"}  # 10 of 15 minutes are spent
    assert left(75) == {"a1", "a2", "c1", "ac"}
    assert left(75.1) == set(OPEN)
    assert left(50, session_gap=4) == set(OPEN)
    with pytest.raises(at.ConstraintError):
        left(50, session_gap=41)
    assert set(given(student, catalog, minutes=15)) == {"a1", "a2", "c1", "ac"}  # without a time: right after the last


def test_what_had_better_wait_comes_last_but_comes() -> None:
    needs = [{"skill": "b", "soft_prerequisites": ["a"]}, {"skill": "a", "soft_prerequisites": []}]
    catalog = at.Catalog.from_arrow({"item": ["b1", "a1", "c1"], "skill": ["b", "a", "c"]}, needs)
    choices = at.recommend(student_at(), catalog)
    assert [choice.item.item for choice in choices] == ["a1", "c1", "b1"]
    assert [choice.reason.constraint for choice in choices] == ["", "", "early"]
    assert str(choices[2].reason).endswith(" Some skills before it are not mastered yet.")
    assert given(student_at({"a": 0.97}), catalog) == ["b1", "c1"]
    assert given(student_at(), catalog, pinned={"item": ["b1"]}) == ["b1", "a1", "c1"]


def test_a_soft_prerequisite_that_no_item_practises_holds_nothing_up() -> None:
    needs = [{"skill": "b", "soft_prerequisites": ["a"]}, {"skill": "a", "soft_prerequisites": []}]
    assert given(student_at(), at.Catalog.from_arrow({"item": ["c1", "b1"], "skill": ["c", "b"]}, needs)) == ["b1", "c1"]


# ---- nothing is left ----------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "story"),
    [
        ({"only": {"item": ["b1"]}}, "5 after zone, 0 after only item b1"),
        ({"blocked": {"skill": ["a", "b", "c", "d"]}}, "5 after zone, 0 after blocked skill a, b, c and 1 more"),
        ({"zone": False, "minutes": 0.5}, "0 after minutes 0.5"),
        ({"only": {"kind": ["video"]}, "quota": {"kind": {"video": 0}}}, "2 after only kind video, 0 after quota of kind"),
        ({"only": {"skill": ["d"]}, "in_a_row": {"skill": 1}}, "1 after only skill d, 0 after in_a_row skill 1"),
        ({"only": {"skill": ["d"]}, "no_repeat": 9}, "1 after only skill d, 0 after no_repeat 9"),
        ({"only": {"item": ["a1"]}, "exposed": ["a1"]}, "1 after only item a1, 0 after exposed"),
        ({"only": {"item": ["a1"]}, "exposed": ["a1"], "exposure_cap": 0.2}, "0 after exposure_cap 0.2"),
    ],
)  # fmt: skip
def test_the_error_names_the_constraint_that_left_none(catalog: at.Catalog, options: dict[str, Any], story: str) -> None:
    with pytest.raises(at.ConstraintError) as caught:
        given(student_at(answers=["d1"], catalog=catalog), catalog, **options)
    assert str(caught.value).startswith("no item is left for the student: 6 items in the catalog, ")
    assert str(caught.value).endswith(f"{story}; loosen one of these")


def test_in_a_roster_the_others_still_get_theirs(catalog: at.Catalog) -> None:
    stuck, free = student_at(answers=["d1"], catalog=catalog), student_at(catalog=catalog)
    constraints = at.Constraints(only={"skill": ["d"]}, interleave=True)
    table = at.Recommender(free.model, catalog, constraints=constraints).recommend_all([stuck, free, stuck])
    assert table["item"].to_pylist() == [None, "d1", None]
    assert table["rank"].to_pylist() == [1, 1, 1]


# ---- wrong values ---------------------------------------------------------------------


def test_one_error_lists_every_wrong_option() -> None:
    with pytest.raises(ValueError, match="pinned") as caught:
        at.Constraints(
            pinned=["a1"],  # type: ignore[arg-type]
            blocked={"items": ["a1"], "item": "a1"},
            only={"kind": None},  # type: ignore[dict-item]
            no_repeat=101,
            exposure_cap=0.0,
            quota={"kind": {"video": 25}, "skill": 0.5},  # type: ignore[dict-item]
            in_a_row={"kind": 0, "skill": "2"},  # type: ignore[dict-item]
            minutes=float("nan"),
            session_gap=None,  # type: ignore[arg-type]
        )
    assert str(caught.value).split("; ") == [
        "pinned: got ['a1']",
        "expected fields, e.g. {'item': ['i1']}",
        "blocked: got the field 'items'",
        "expected one of item, skill, kind, provider, pathway",
        "blocked: got item='a1'",
        "expected a list, e.g. {'item': ['a1']}",
        "only: got kind=None",
        "expected a list, e.g. {'kind': ['None']}",
        "quota: got skill=0.5",
        "expected shares of values, e.g. {'kind': {'video': 0.25}}",
        "no_repeat: got 101",
        "expected 0 to 100 responses",
        "exposure_cap: got 0.0",
        "expected a share above 0, at most 1",
        "in_a_row: got kind=0",
        "expected 1 to 100 responses",
        "in_a_row: got skill='2'",
        "expected 1 to 100 responses",
        "quota: got kind, video: 25",
        "expected a share, 0 to 1",
        "minutes: got nan",
        "expected more than 0 minutes",
        "session_gap: got None",
        "expected more than 0 minutes",
    ]


@pytest.mark.parametrize(
    "options", [{"no_repeat": 2.5}, {"no_repeat": -1}, {"exposure_cap": 1.1}, {"minutes": "20"}, {"quota": {"kind": {"a": -0.1}}}]
)
def test_each_wrong_value_is_refused(options: dict[str, Any]) -> None:
    (name,) = options
    with pytest.raises(ValueError, match=f"^{name}: got"):
        at.Constraints(**options)


# ---- names that the catalog lacks --------------------------------------------------------


def test_an_unknown_name_is_an_error_that_names_the_nearest(catalog: at.Catalog) -> None:
    model = student_at().model
    constraints = at.Constraints(
        pinned={"provider": ["Nord"]}, blocked={"kind": ["videos"]}, only={"pathway": ["green"]}, quota={"skill": {"q": 0.5}}
    )
    expected = (
        "pinned: the catalog has no provider 'Nord'; did you mean 'North'?; "
        "blocked: the catalog has no kind 'videos'; did you mean 'video'?; "
        "only: the catalog has no pathway 'green'; quota: the catalog has no skill 'q'; "
        "correct them, or leave them out with known_to(catalog)"
    )
    with pytest.raises(ValueError, match="the catalog has no") as at_construction:
        at.Recommender(model, catalog, constraints=constraints)
    with pytest.raises(ValueError, match="the catalog has no") as at_the_call:
        at.Recommender(model, catalog).recommend(at.Student(model), constraints=constraints)
    assert str(at_construction.value) == str(at_the_call.value) == expected


def test_an_unknown_item_is_a_warning_that_names_the_nearest_and_the_others_are_given(catalog: at.Catalog) -> None:
    student = student_at()
    constraints = at.Constraints(blocked={"item": ["a11", "d1"]}, pinned={"item": ["gone"]})
    told = r"^pinned: the catalog has no item 'gone'; blocked: the catalog has no item 'a11'; did you mean 'a1'\?$"
    with pytest.warns(UserWarning, match=told):
        recommender = at.Recommender(student.model, catalog, constraints=constraints)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # said once where both met, not at every call
        assert {choice.item.item for choice in recommender.recommend(student, 9)} == {"a1", "ac", "c1", "a2"}
    with pytest.warns(UserWarning, match=told):
        at.Recommender(student.model, catalog).recommend(student, constraints=constraints)


def test_an_item_that_was_the_only_one_and_is_gone_leaves_nothing(catalog: at.Catalog) -> None:
    with pytest.warns(UserWarning, match="no item 'gone'"), pytest.raises(at.ConstraintError, match="0 after only item gone"):
        at.recommend(student_at(), catalog, constraints=at.Constraints(only={"item": ["gone"]}))


def test_a_skill_that_is_a_prerequisite_only_is_known() -> None:
    catalog = at.Catalog.from_arrow({"item": ["b1"], "skill": ["b"]}, [*NEEDS, {"skill": "a", "prerequisites": []}])
    assert given(student_at(), catalog, blocked={"skill": ["a"]}) == ["b1"]


def test_what_a_catalog_lacks_can_be_left_out(catalog: at.Catalog) -> None:
    wide = at.Constraints(
        pinned={"item": ["b1", "gone"]}, blocked={"kind": ["exam"]}, only={"pathway": ["green"]},
        quota={"kind": {"video": 0.5, "exam": 0.1}}, no_repeat=4, minutes=20,
    )  # fmt: skip
    kept = wide.known_to(catalog)
    assert kept == at.Constraints(
        pinned={"item": ["b1"]}, blocked={"kind": []}, only={"pathway": []},
        quota={"kind": {"video": 0.5}}, no_repeat=4, minutes=20,
    )  # fmt: skip
    with pytest.raises(at.ConstraintError, match="0 after only pathway nothing; loosen"):
        at.recommend(student_at(), catalog, constraints=kept)
