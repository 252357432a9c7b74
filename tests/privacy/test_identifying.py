"""Columns that look as if they told who someone is: refused until each is kept or dropped; ordinary logs are not."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.data.sample import sample_path
from adaptrace.errors import DataError
from adaptrace.io.files import read_table
from adaptrace.privacy import identifying, rewrite
from adaptrace.privacy.identifying import looks, of_heading
from adaptrace.privacy.keys import new_key
from adaptrace.privacy.pseudonyms import pseudonymize

ROWS = 60
STUDENTS = [f"Secret Name {number % 12}" for number in range(ROWS)]
BIRTHS = [datetime.date(2010, 1 + number % 12, 3 + number % 12) for number in range(ROWS)]


def log_of(**columns: Any) -> pa.Table:
    """Twelve students with five responses each."""
    own = {
        "student": STUDENTS,
        "item": [f"q{n % 7}" for n in range(ROWS)],
        "skill": ["a"] * ROWS,
        "correct": [n % 2 for n in range(ROWS)],
    }
    return pa.table({**own, **columns})


def look_of(tmp_path: Path, values: object, name: str = "xyz", ending: str = "parquet") -> str | None:
    table = log_of(**{name: values})
    at.io.files.write_table(table, tmp_path / f"log.{ending}")
    return looks(tmp_path / f"log.{ending}", {"student": "student"}).get(name)


HEADINGS = {
    "names of people": [
        *("Name", "first_name", "LastName", "surname", "studentFullName"),
        *("user name", "teacher", "class_teacher", "parentName"),
    ],
    "e-mail addresses": ["email", "e-mail", "Parent E-Mail", "eMailAddress", "mail", "home_email_2"],
    "telephone numbers": ["phone", "Mobile", "parent_phone_number", "telephone", "cellPhone"],
    "birth dates": ["dob", "birth_date", "DateOfBirth", "birthday", "birth_year"],
    "addresses": ["address", "street", "ZIP code", "homeAddress", "postcode"],
    "numbers of documents": ["ssn", "Social Security Number", "passport_no"],
    "IP addresses": ["ip", "ip_address", "clientIP", "IPv4"],
    "free text": ["comment", "Teacher Notes", "remarks", "message", "feedback"],
}
ORDINARY = (
    "student_class_id tutor_mode teacher_id school_id school district grade skill_name problem_name item_name step_name"
    " hint_count attempts answer_type template_id opportunity first_action split fold rating card_id page_views equipment"
    " class section unit lesson version source_row start_time end_time duration score max_score"
)


@pytest.mark.parametrize(("heading", "look"), [(heading, look) for look, headings in HEADINGS.items() for heading in headings])
def test_a_heading_says_what_a_column_holds(heading: str, look: str) -> None:
    assert of_heading(heading) == look


@pytest.mark.parametrize("heading", ORDINARY.split())
def test_an_ordinary_heading_says_nothing(heading: str) -> None:
    assert of_heading(heading) is None


CELLS = {
    "e-mail addresses": [["ok"] * 59 + ["write to ada.l@school.example.org"], ["a@b.org"] * ROWS],
    "web addresses of people": [
        ["https://host/users/ada"] * ROWS,
        ["-"] * 59 + ["see http://x.org/?login=ada"],
        ["https://host/~ada/"] * ROWS,
    ],
    "telephone numbers": [
        [f"+44 20 7946 0{n:03}" for n in range(ROWS)],
        [f"(555) 010-{n:04}" for n in range(ROWS)],
        ["555-010-1234", "555-010-9876", ""] * 20,
    ],
    "numbers of documents": [[f"078-05-11{n:02}" for n in range(ROWS)]],
    "IP addresses": [[f"10.0.0.{n}" for n in range(ROWS)], [f"fe80:0:0:0:1:2:3:{n}" for n in range(ROWS)]],
    "birth dates": [
        BIRTHS,
        [date.isoformat() for date in BIRTHS],
        [f"{date.day}.{date.month}.{date.year}" for date in BIRTHS],
        [f"{date.isoformat()}T00:00:00Z" for date in BIRTHS],
        pa.array([datetime.datetime.combine(date, datetime.time()) for date in BIRTHS], pa.timestamp("us", "UTC")),
    ],
    "free text": [
        [f"I think that {n} is right" for n in range(ROWS)],
        [f"{n}" + "x" * 70 for n in range(ROWS)],
        [[f"what {n} means to me", "and more of it"] for n in range(ROWS)],
        [{"said": f"what {n} means to me"} for n in range(ROWS)],
        pa.array([f"what {n} means to me" for n in range(ROWS)]).dictionary_encode(),
    ],
    "bytes": [[b"Ada"] * ROWS],
}


@pytest.mark.parametrize(("look", "number"), [(look, n) for look, columns in CELLS.items() for n in range(len(columns))])
def test_cells_say_what_a_column_holds(tmp_path: Path, look: str, number: int) -> None:
    assert look_of(tmp_path, CELLS[look][number]) == look


def test_cells_of_a_csv_say_the_same(tmp_path: Path) -> None:
    for look in ("e-mail addresses", "telephone numbers", "birth dates", "free text"):
        assert look_of(tmp_path, CELLS[look][0], ending="csv") == look


HARMLESS: dict[str, Any] = {
    "a code": [f"c-{n}" for n in range(ROWS)],
    "a number": list(range(ROWS)),
    "a long number": [1_711_684_180_217 + n for n in range(ROWS)],
    "digits as text": [f"{5_550_100_000 + n}" for n in range(ROWS)],
    "a date of each response": [datetime.date(2012, 1, 1) + datetime.timedelta(days=9 * n) for n in range(ROWS)],
    "a date of each student's session": [datetime.date(2012, 1, 1 + n % 12) for n in range(ROWS)],
    "dates of today": [datetime.date(2026, 1 + n % 12, 3) for n in range(ROWS)],
    "a version": ["1.2.3"] * ROWS,
    "a standard": ["CCSS.MATH.5.NF.A.1", "3.NF.1"] * 30,
    "a school": ["Lincoln Primary School North", "St. Mary's School of Arts"] * 30,
    "titles of items": [f"Adding fractions, part {n % 7}" for n in range(ROWS)],
    "page": ["https://host/items/12"] * ROWS,
    "nothing": pa.nulls(ROWS),
    "empty text": [""] * ROWS,
    "a time": pa.array([datetime.datetime(2012, 1, 1) + datetime.timedelta(hours=9 * n) for n in range(ROWS)]),
    "yes": [True, False] * 30,
    "decimals": [0.125] * ROWS,
}


@pytest.mark.parametrize("what", HARMLESS)
@pytest.mark.parametrize("ending", ["parquet", "csv"])
def test_ordinary_cells_say_nothing(tmp_path: Path, what: str, ending: str) -> None:
    assert look_of(tmp_path, HARMLESS[what], ending=ending) is None


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("title of the item", None),
        ("item", [f"What is the sum of {n} and {n}?" for n in range(ROWS)]),
        ("skill", [f"can add numbers up to {n}" for n in range(ROWS)]),
        ("time", BIRTHS),
        ("group", ["+44 20 7946 0123"] * ROWS),
    ],
)
def test_a_logs_own_columns_may_hold_texts_and_dates(tmp_path: Path, name: str, values: object) -> None:
    if values is None:
        values = [f"What is {n % 7} and {n % 7} in all?" for n in range(ROWS)]
    assert look_of(tmp_path, values, name) is None
    mails = ["ada@school.org"] * ROWS
    assert look_of(tmp_path, mails, name) == "e-mail addresses"


def test_the_logs_of_researchers_are_not_refused(data_folder: Path) -> None:
    logs = [*sorted(data_folder.glob("*.parquet")), *sorted(data_folder.glob("raw/*skill_builder*.csv"))]
    named = {log: next(name for name in rewrite.names_for("student") if name in rewrite.schema_of(log).names) for log in logs}
    found = {log.name: looks(log, {"student": student}) for log, student in named.items()}
    second = {name: look for name, look in found.items() if look}  # one log has a second column of students
    assert all(set(look.values()) == {"names of students"} for look in second.values())
    assert len(logs) >= 5
    assert len(second) <= 1


def test_the_bundled_school_is_not_refused() -> None:
    assert looks(sample_path("responses.parquet"), {"student": "student"}) == {}


def test_what_the_package_writes_is_not_refused(tmp_path: Path, sample_log: at.Log, sample_model: at.BKT) -> None:
    tables = {"score": sample_model.score(sample_log), "trace": sample_model.trace(sample_log), "log": sample_log.table}
    for name, table in tables.items():
        pq.write_table(table, tmp_path / f"{name}.parquet")
        assert looks(tmp_path / f"{name}.parquet", {"student": "student"}) == {}


# ---- pseudonymize -----------------------------------------------------------


@pytest.fixture
def key(tmp_path: Path) -> Path:
    new_key(tmp_path / "key")
    return tmp_path / "key"


@pytest.fixture
def roster(csv_file: Callable[..., Path]) -> Path:
    return csv_file(
        "student,First Name,mail,born,note,user_id,class",
        "1,Ada,ada@x.org,2012-01-01,is often late,u1,6A",
        "2,Bo,bo@x.org,2013-01-01,needs glasses,u2,6B",
        name="roster.csv",
    )


def test_every_column_is_listed_once_with_why_and_what_to_do_and_without_a_value(key: Path, roster: Path) -> None:
    with pytest.raises(DataError) as raised:
        pseudonymize(roster, key.parent / "out.csv", key_file=key, mapping={"student": "student"})
    text = str(raised.value)
    assert [(each.column, each.got) for each in raised.value.problems] == [
        ("First Name", "a column that looks like names of people"),
        ("mail", "a column that looks like e-mail addresses"),
        ("born", "a column that looks like birth dates"),
        ("note", "a column that looks like free text"),
        ("user_id", "a column that looks like names of students"),
    ]
    for part in ("drop=['mail'] (--drop mail)", "keep=['mail'] (--keep mail)", "5 problems"):
        assert part in text
    assert not any(value in text for value in ("Ada", "ada@", "2012", "late", "u1"))
    assert not (key.parent / "out.csv").exists()


def test_each_column_is_kept_or_dropped_as_it_was_decided(key: Path, roster: Path) -> None:
    chosen = {"keep": ["first name", "note"], "drop": ["MAIL", "born", "user_id"]}
    pseudonymize(roster, key.parent / "out.csv", key_file=key, mapping={"student": "student"}, **chosen)
    table = read_table(key.parent / "out.csv").table
    assert table.column_names == ["student", "First Name", "note", "class"]
    assert table["First Name"].to_pylist() == ["Ada", "Bo"]


def test_a_column_that_gets_pseudonyms_needs_no_decision(key: Path, roster: Path) -> None:
    rest = {"drop": ["mail", "born", "note", "user_id"]}
    pseudonymize(
        roster, key.parent / "out.csv", key_file=key, columns=["student", "First Name"], mapping={"student": "student"}, **rest
    )
    assert len(read_table(key.parent / "out.csv").table["First Name"][0].as_py()) == 32


@pytest.mark.parametrize(
    ("options", "got"),
    [
        ({"keep": ["mial"]}, "column 'mial': got a column that is not there, or gets pseudonyms"),
        ({"drop": ["student"]}, "column 'student': got a column that is not there, or gets pseudonyms"),
        ({"keep": ["x"], "drop": ["X"]}, "column 'x': got a column that is kept and dropped"),
    ],
)
def test_a_decision_that_cannot_be_meant_is_refused(key: Path, csv_file, options: dict[str, list[str]], got: str) -> None:
    with pytest.raises(DataError) as raised:
        pseudonymize(csv_file("student,x", "Ada,1"), key.parent / "out.csv", key_file=key, **options)
    assert got in str(raised.value)


def test_the_files_of_a_folder_are_all_looked_at(key: Path, csv_file) -> None:
    for name in ("in/a.csv", "in/b.csv", "in/mail=ada@x.org/c.csv"):
        csv_file("student,email" if "b" in name else "student,x", "Ada,1", name=name)
    with pytest.raises(DataError) as raised:
        pseudonymize(key.parent / "in", key.parent / "out", key_file=key)
    assert [(Path(each.file).name, each.column, each.got[:8]) for each in raised.value.problems] == [
        ("b.csv", "email", "a column"),
        ("c.csv", "mail", "a folder"),
    ]
    assert "ada@" not in str(raised.value.problems[1].got)


@pytest.mark.parametrize("folder", ["contact=ada@school.org", "contact=ada%40school.org", "e%20mail=1"])
def test_a_folder_that_names_someone_is_found_however_it_is_written(tmp_path: Path, folder: str) -> None:
    (tmp_path / folder).mkdir()
    pq.write_table(pa.table({"student": ["Ada"]}), tmp_path / folder / "log.parquet")
    assert list(looks(tmp_path / folder / "log.parquet", {"student": "student"}).values()) == ["e-mail addresses"]


def test_a_cell_far_behind_in_a_file_is_in_the_sample_if_there_are_some(tmp_path: Path) -> None:
    size = 50_000
    cells = np.where(np.arange(size) > 0.8 * size, "ada@x.org", "-")
    pq.write_table(pa.table({"student": ["Ada"] * size, "x": cells}), tmp_path / "log.parquet")
    assert looks(tmp_path / "log.parquet", {"student": "student"}) == {"x": "e-mail addresses"}
    assert len(identifying.sample_of(tmp_path / "log.parquet")) <= identifying.HEAD + identifying.SPREAD


@pytest.mark.parametrize("size", [0, 1, 2])
def test_small_files_are_looked_at_too(tmp_path: Path, size: int) -> None:
    pyarrow.feather.write_feather(pa.table({"student": ["Ada", "Bo"][:size], "x": ["a@b.org", "b"][:size]}), tmp_path / "a.arrow")
    assert looks(tmp_path / "a.arrow", {"student": "student"}) == ({"x": "e-mail addresses"} if size else {})


@pytest.mark.parametrize("text", ["a" * 300_000, "http://" * 50_000, "1." * 100_000, "first name " * 30_000])
def test_a_long_cell_is_looked_at_in_part(text: str, tmp_path: Path) -> None:
    """A look at all of it takes minutes."""
    assert look_of(tmp_path, [f"{n} {text}" for n in range(ROWS)]) == "free text"
    assert of_heading(f"item {text}") == of_heading(f"item {text[:1000]}")
