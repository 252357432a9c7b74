"""Ordered levels of a kind of evidence: how they are read, told, and refused."""

from __future__ import annotations

import pyarrow as pa
import pytest

import adaptrace as at

LEVELS = {"project": 5, "quiz": 3}


def table_of(**columns: list[object]) -> dict[str, list[object]]:
    """Good rows of Ada with these columns."""
    n = len(next(iter(columns.values())))
    return {"student": ["Ada"] * n, "item": ["q"] * n, "skill": ["halves"] * n, **columns}


def outcomes(levels: dict[str, int] = LEVELS, **columns: list[object]) -> list[float]:
    log = at.Log.from_arrow(table_of(**columns), levels=levels)
    assert "level" not in log.table.column_names
    return [row["correct"] for row in log.table.to_pylist()]


def told(levels: dict[str, int] = LEVELS, **columns: list[object]) -> at.DataError:
    with pytest.raises(at.DataError) as raised:
        at.Log.from_arrow(table_of(**columns), levels=levels)
    return raised.value


# ---- reading ----------------------------------------------------------------


def test_a_level_is_its_share_of_the_highest() -> None:
    assert outcomes(level=[0, 3, 4, 0, 1], kind=["project"] * 3 + ["quiz"] * 2) == [0.0, 0.75, 1.0, 0.0, 0.5]


def test_where_there_is_no_level_correct_says_it_all() -> None:
    assert outcomes(level=[3, None, None], kind=["project", "practice", None], correct=[0, 1, 0]) == [0.75, 1.0, 0.0]


def test_a_level_goes_before_correct() -> None:
    assert outcomes(level=[4], kind=["project"], correct=[0]) == [1.0]


def test_levels_may_be_those_of_practice_without_a_column_of_kinds() -> None:
    assert outcomes({"practice": 3}, level=[0, 1, 2]) == [0.0, 0.5, 1.0]


@pytest.mark.parametrize("values", [[3, 0], [3.0, 0.0], pa.array([3, 0], pa.int8()), pa.array([3, 0], pa.uint64())], ids=str)
def test_levels_may_be_of_every_type_of_whole_numbers(values: list[object]) -> None:
    assert outcomes(level=values, kind=["project"] * 2) == [0.75, 0.0]


def test_a_column_of_another_name_is_mapped() -> None:
    table = table_of(rung=[3], sort=["project"])
    log = at.Log.from_arrow(table, columns={"level": "rung", "kind": "sort"}, levels=LEVELS)
    assert log.correct.tolist() == [0.75]


def test_levels_are_read_from_a_csv(csv_file) -> None:
    path = csv_file("student,item,skill,kind,level", "Ada,q,halves,project,3", "Ada,q,halves,quiz,1")
    assert at.Log.read(path, levels=LEVELS).correct.tolist() == [0.75, 0.5]


def test_levels_and_correct_are_read_from_a_csv(csv_file) -> None:
    path = csv_file("student,item,skill,kind,level,correct", "Ada,q,halves,project,3,", "Ada,q,halves,,,1")
    assert at.Log.read(path, levels=LEVELS).correct.tolist() == [0.75, 1.0]


# ---- what is refused --------------------------------------------------------


def test_a_level_above_the_highest_of_its_kind_is_told() -> None:
    (problem,) = told(level=[4, 5, 9], kind=["project"] * 3).problems
    assert (problem.column, problem.row, problem.more) == ("level", 2, 1)
    assert problem.got == "level 5 of kind 'project'"
    assert problem.expected == "0 to 4"


def test_a_kind_without_a_number_of_levels_is_told() -> None:
    (problem,) = told(level=[4, 1], kind=["project", "essay"]).problems
    assert (problem.column, problem.row) == ("level", 2)
    assert problem.expected == "a number of levels for 'essay'"
    assert "levels={'essay': 5}" in problem.remedy


def test_levels_of_both_sorts_of_mistake_are_told_together() -> None:
    problems = told(level=[7, 1], kind=["project", "essay"]).problems
    assert sorted(problem.row for problem in problems) == [1, 2]


def test_without_levels_the_option_is_told() -> None:
    assert "levels={'practice': 5}" in str(told({}, level=[1]))


@pytest.mark.parametrize(("level", "got"), [([-1], "-1"), ([1.5], "1.5"), (["high"], "'high'")])
def test_a_level_that_is_none_is_told(level: list[object], got: str) -> None:
    error = told(level=level, kind=["project"], correct=[1])
    assert [problem.column for problem in error.problems] == ["level"]
    assert got in str(error) or "type" in str(error)


def test_a_row_with_neither_level_nor_correct_is_told() -> None:
    error = told(level=[1, None], kind=["project"] * 2)
    assert [(problem.row, problem.got) for problem in error.problems] == [(2, "null")]
    error = told(level=[1, None], kind=["project"] * 2, correct=[None, None])
    assert [(problem.column, problem.row) for problem in error.problems] == [("correct", 2)]


def test_the_model_refuses_an_outcome_between_its_levels() -> None:
    log = at.Log.from_arrow(table_of(kind=["project"] * 2, correct=[0.5, 0.6]))
    with pytest.raises(at.DataError, match=r"correct 0\.6 on kind 'project'; expected one of its 5 levels: a multiple of 1/4"):
        at.BKT(levels={"project": 5}).fit(log)


# ---- one response at a time -------------------------------------------------


@pytest.fixture(scope="module")
def leveled() -> at.BKT:
    """A model that saw projects of five levels, which say more the higher they are."""
    rows = [(f"s{n}", kind, level) for n in range(60) for kind, level in (("project", n % 5), ("practice", 4 * (n % 5 > 2)))]
    student, kind, level = zip(*rows, strict=True)
    n = len(rows)
    columns = {"student": student, "item": ["q"] * n, "skill": ["halves"] * n, "kind": kind, "correct": [x / 4 for x in level]}
    return at.BKT(levels={"project": 5}).fit(at.Log.from_arrow(columns))


def after(model: at.BKT, **outcome: object) -> float:
    student = at.Student(model)
    student.observe("q", kind="project", skills=["halves"], **outcome)
    return student.mastery("halves")


def test_a_level_is_the_same_as_its_share_of_the_highest(leveled: at.BKT) -> None:
    for level in range(5):
        assert after(leveled, level=level) == after(leveled, correct=level / 4)


def test_a_higher_level_never_lowers_mastery(leveled: at.BKT) -> None:
    reached = [after(leveled, level=level) for level in range(5)]
    assert reached == sorted(reached)
    assert reached[4] > reached[0]


@pytest.mark.parametrize(
    ("outcome", "match"),
    [
        ({"level": 5}, "level: got 5 of kind 'project'; expected a whole number, 0 to 4"),
        ({"level": -1}, "level: got -1 of kind 'project'"),
        ({"level": 1.5}, r"level: got 1\.5 of kind 'project'"),
        ({"level": 2, "correct": 1}, "got correct and level; expected one of them"),
        ({}, "got no outcome; expected correct=0 or 1, a fraction, or level="),
        ({"level": 2, "kind": "quiz"}, "level: got 2 of kind 'quiz'; the model knows levels of project: give correct instead"),
    ],
    ids=str,
)
def test_an_outcome_that_is_no_level_is_refused_and_changes_nothing(
    leveled: at.BKT, outcome: dict[str, object], match: str
) -> None:
    student = at.Student(leveled)
    with pytest.raises(ValueError, match=match):
        student.observe("q", skills=["halves"], **{"kind": "project", **outcome})
    assert student == at.Student(leveled)


def test_a_level_of_a_model_without_levels_is_refused(model: at.BKT) -> None:
    with pytest.raises(ValueError, match="the model knows levels of none: give correct instead"):
        at.Student(model).observe("q", level=1, skills=["halves"])


def test_the_kind_of_an_item_is_looked_up_in_the_catalog(leveled: at.BKT) -> None:
    catalog = at.Catalog.from_arrow({"item": ["p"], "skill": ["halves"], "kind": ["project"]})
    student = at.Student(leveled, catalog)
    student.observe("p", level=3)
    assert student.mastery("halves") == after(leveled, level=3)
