"""The 30-column CSV of ASSISTments 2009-10, made up here in its layout."""

from __future__ import annotations

from pathlib import Path

import pytest

import adaptrace as at

HEADER = (
    "order_id,assignment_id,user_id,assistment_id,problem_id,original,correct,attempt_count,ms_first_response,tutor_mode,"
    "answer_type,sequence_id,student_class_id,position,type,base_sequence_id,skill_id,skill_name,teacher_id,school_id,"
    "hint_count,hint_total,overlap_time,template_id,answer_id,answer_text,first_action,bottom_hint,opportunity,"
    "opportunity_original"
)
KEYS = ("order_id", "user_id", "problem_id", "correct", "ms_first_response", "skill_id", "skill_name")


def published(path: Path, *rows: tuple[object, ...]) -> Path:
    """Write rows of KEYS as published: with a byte order mark, CRLF and 30 columns."""
    lines = [HEADER]
    for row in rows:
        cells = dict.fromkeys(HEADER.split(","), "1") | dict(zip(KEYS, map(str, row), strict=True))
        lines.append(",".join(cells.values()))
    path.write_bytes(b"\xef\xbb\xbf" + "".join(f"{line}\r\n" for line in lines).encode())
    return path


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return published(
        tmp_path / "builder.csv",
        (900, "S2", "P1", 1, 4000, "", ""),
        (30, "S1", "P1", 1, 1500, 11, "Mean"),
        (20, "S1", "P2", 0, 2500, 11, "Mean"),
        (20, "S1", "P2", 0, 2500, 12, '"Range, Mode"'),
        (10, "S2", "P3", 1, 3500, 13, ""),
        (40, "S2", "P4", 0, "", 13, ""),
    )


def test_the_header_of_this_test_has_the_thirty_columns() -> None:
    assert len(HEADER.split(",")) == 30


def test_rows_of_one_order_id_are_one_event_of_several_skills(path: Path) -> None:
    log = at.Log.read(path, format="assistments2009")
    assert log.table.select(["student", "item", "skills", "correct", "response_ms"]).to_pylist() == [
        {"student": "S1", "item": "P2", "skills": ["Mean", "Range, Mode"], "correct": 0, "response_ms": 2500.0},
        {"student": "S1", "item": "P1", "skills": ["Mean"], "correct": 1, "response_ms": 1500.0},
        {"student": "S2", "item": "P3", "skills": ["13"], "correct": 1, "response_ms": 3500.0},
        {"student": "S2", "item": "P4", "skills": ["13"], "correct": 0, "response_ms": None},
    ]


def test_rows_without_a_skill_and_repeats_are_told(path: Path) -> None:
    assert at.Log.read(path, format="assistments2009").notes == (
        "1 of 6 rows have no skill and were left out",
        "1 rows repeat an order_id for a further skill and were merged into one event each",
    )


def test_a_source_row_counts_the_rows_of_the_file_also_those_left_out(path: Path) -> None:
    assert at.Log.read(path, format="assistments2009").source_row.tolist() == [2, 1, 4, 5]


def test_a_problem_is_told_with_its_row_in_the_file_also_after_rows_left_out(tmp_path: Path) -> None:
    path = published(tmp_path / "bad.csv", (1, "S1", "P1", 1, 1, "", ""), (2, "S1", "P1", 5, 1, 11, "Mean"))
    with pytest.raises(at.DataError, match=r"bad\.csv: column 'correct', row 2: got 5; "):
        at.Log.read(path, format="assistments2009")


def test_a_column_may_be_mapped_otherwise(path: Path) -> None:
    log = at.Log.read(path, format="assistments2009", columns={"item": "assistment_id"})
    assert log.items.cast("string").to_pylist() == ["1"]


def test_another_table_is_told_what_it_lacks(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("order_id,user_id\n1,2\n")
    with pytest.raises(at.DataError) as raised:
        at.Log.read(tmp_path / "other.csv", format="assistments2009")
    assert [problem.expected for problem in raised.value.problems] == [
        "column 'problem_id'",
        "column 'correct'",
        "column 'skill_name'",
    ]


def test_the_published_test_file_gives_its_known_counts(data_folder: Path) -> None:
    log = at.Log.read(data_folder / "raw" / "assist09_skill_builder_test15.csv", format="assistments2009")
    assert len(log) == 1210
    assert len(log.students) == 15
    assert log.notes[0].startswith("338 of 1,887 rows have no skill")
    assert log.notes[1].startswith("339 rows repeat")
