"""Names: one rule for what a name is, kept at every door, in a column and in a call."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Callable
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.data.names import name_of
from adaptrace.report.roster import Groups

MODEL = at.BKT.from_parameters(["s"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
CATALOG = at.Catalog([at.Item("7", ("s",)), at.Item("q", ("s",))])
SEVENS = [7, 7.0, "7", np.int64(7), np.uint8(7), np.float32(7), Decimal(7), Decimal("7.00"), np.str_("7")]
NAMES = [*((seven, "7") for seven in SEVENS), ("007", "007"), (" a ", " a "), ("Zoë", "Zoë"), (10**30, str(10**30))]
NAMES += [(uuid.UUID(int=7), "00000000-0000-0000-0000-000000000007")]
NO_NAMES = [None, float("nan"), float("inf"), "", " ", "\t\n", "\u3000", b"7", True, 7.5, Decimal("7.5"), "\ud800", "a\udc00"]
NO_NAMES += [[1], (1,), {}, object(), datetime.datetime(2024, 1, 1), pd.NA, pd.NaT]


def shown(value: object) -> str:
    """A value in the name of a test: the same in every process."""
    return "object" if type(value) is object else ascii(value)


def row(**columns: object) -> dict[str, list[Any]]:
    return {name: [value] for name, value in {"student": "x", "item": "q", "skill": "s", "correct": 1, **columns}.items()}


def observed(**given: Any) -> str:
    """What a tutor stored."""
    tutor = at.Tutor.open("memory:", model=MODEL, catalog=CATALOG)
    tutor.observe(**{"student": "x", "item": "q", "correct": 1, "event_id": "e", "skills": ["s"], **given})
    (event,) = tutor.store.events()
    return str(getattr(event, "student" if "student" in given else "event_id" if "event_id" in given else "item"))


def student_with(**given: Any) -> at.Student:
    student = at.Student(MODEL, CATALOG, "x")
    student.observe(**{"item": "q", "correct": 1, "skills": ["s"], **given})
    return student


DOORS: dict[str, Callable[[Any], str]] = {
    "call": lambda value: name_of(value, "student"),
    "log, student": lambda value: str(at.Log.from_arrow(row(student=value)).students[0]),
    "log, item": lambda value: str(at.Log.from_arrow(row(item=value)).items[0]),
    "log, skill": lambda value: str(at.Log.from_arrow(row(skill=value)).skills[0]),
    "log, event": lambda value: str(at.Log.from_arrow(row(event_id=value)).table["event_id"][0]),
    "log, pandas": lambda value: str(at.Log.from_arrow(pd.DataFrame(row(student=value), dtype=object)).students[0]),
    "log, rows": lambda value: str(at.Log.from_arrow([{name: each[0] for name, each in row(student=value).items()}]).students[0]),
    "catalog, item": lambda value: at.Catalog.from_arrow([{"item": value, "skill": "s"}]).items[0].item,
    "catalog, skill": lambda value: at.Catalog.from_arrow([{"item": "q", "skills": [value]}]).items[0].skills[0],
    "roster": lambda value: str(Groups.read({"student": [value], "class": ["a"]}, ["class"]).students[0]),
    "tutor, student": lambda value: observed(student=value),
    "tutor, item": lambda value: observed(item=value),
    "observe, item": lambda value: next(iter(student_with(item=value).answered)),
    "observe, skill": lambda value: next(iter(student_with(skills=[value]).opportunities)),
    "Student.from_log": lambda value: at.Student.from_log(MODEL, at.Log.from_arrow(row()), student=value).name,
}


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize(("value", "name"), NAMES, ids=repr)
def test_a_name_is_the_same_text_at_every_door(door: str, value: object, name: str) -> None:
    assert DOORS[door](value) == name


@pytest.mark.parametrize("door", DOORS)
@pytest.mark.parametrize("value", NO_NAMES, ids=shown)
def test_what_is_no_name_is_one_error_at_every_door(door: str, value: object) -> None:
    if isinstance(value, str) and not value.isascii() and door == "log, pandas" and "\ud800" <= max(value) <= "\udfff":
        pytest.skip("pandas itself refuses half a character")
    with pytest.raises(at.DataError) as raised:
        DOORS[door](value)
    assert str(raised.value).isprintable()


@pytest.mark.parametrize("value", NO_NAMES, ids=shown)
def test_asking_about_what_is_no_name_is_one_error_too(value: object) -> None:
    student, tutor = at.Student(MODEL, CATALOG, "x"), at.Tutor.open("memory:", model=MODEL, catalog=CATALOG)
    asked: list[Callable[[], Any]] = [
        lambda: student.mastery(value),
        lambda: student.predict(value, skills=["s"]),
        lambda: tutor.recommend(value),
        lambda: tutor.mastery(value, "s"),
        lambda: tutor.mastery("x", value),
        lambda: CATALOG.item(value),
    ]
    for ask in asked:
        with pytest.raises(at.DataError):
            ask()


def test_a_student_may_be_nobody_in_particular() -> None:
    assert at.Student(MODEL).name == ""


@pytest.mark.parametrize(
    "names",
    [
        pa.array(["a", " ", "b", ""]),
        pa.array(["a", " ", "b", ""]).dictionary_encode(),
        pa.array(["ä", "\u3000", "b", ""], pa.large_string()),
    ],
    ids=["text", "dictionary", "large"],
)
def test_a_blank_name_in_a_column_is_told_with_its_row(names: pa.Array) -> None:
    table = pa.table({"pupil": names, "item": ["q"] * 4, "skill": ["s"] * 4, "correct": [1] * 4})
    with pytest.raises(at.DataError) as raised:
        at.Log.from_arrow(table, columns={"student": "pupil"})
    (problem,) = raised.value.problems
    assert (problem.column, problem.row, problem.more) == ("pupil", 2, 1)


def test_a_blank_name_that_no_row_has_is_no_problem() -> None:
    names = pa.DictionaryArray.from_arrays([0, 0], ["a", ""])
    log = at.Log.from_arrow(pa.table({"student": names, "item": ["q"] * 2, "skill": ["s"] * 2, "correct": [1] * 2}))
    assert log.students.to_pylist() == ["a"]
