"""Columns whose names may mean the same as ours: what is read for what, and a note on what is not."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest

import adaptrace as at

ROWS: dict[str, list[Any]] = {"student": ["ana", "ana", "bo"], "item": ["q"] * 3, "skill": ["s"] * 3, "correct": [1, 0, 1]}


@pytest.mark.parametrize(
    ("name", "values", "note"),
    [
        ("event", ["problem_check"] * 3, "'event' was not read as event_id: pass columns={'event_id': 'event'}"),
        ("uuid", ["u1", "u1", "u2"], "'uuid' was not read as event_id"),
        ("Event", ["e"] * 3, "--column event_id=Event"),
        ("level", ["easy", "hard", "easy"], "'level' was not read as level: pass columns={'level': 'level'}"),
        ("level", [1, 2, 3], "'level' was not read as level"),
        ("score", [85, 20, 100], "'correct' was read as correct, and 'score' was not"),
        ("sequence", ["Algebra I"] * 3, "'sequence' was not read as order"),
        ("position", ["1st", "2nd", "3rd"], "'position' was not read as order"),
        ("student_id", [1, 1, 2], "'student' was read as student, and 'student_id' was not"),
        ("skills", [["a", "b"]] * 3, "'skills' was not read as skills"),
    ],
)
def test_a_column_that_only_seems_to_be_ours_changes_nothing_and_is_noted(name: str, values: list[Any], note: str) -> None:
    log = at.Log.from_arrow({**ROWS, name: values})
    assert log.table.equals(at.Log.from_arrow(ROWS).table)
    (said,) = log.notes
    assert note in said


def test_a_log_without_such_columns_has_no_notes() -> None:
    assert at.Log.from_arrow(ROWS).notes == ()
    assert at.Log.from_arrow({"user_id": [1], "problem_id": [2], "kc": ["s"], "score": [1], "other": [0]}).notes == ()


def test_the_verdict_wins_over_points() -> None:
    log = at.Log.from_arrow({"student": ["a"], "item": ["q"], "skill": ["s"], "score": [85], "is_correct": [True]})
    assert log.correct.tolist() == [1.0]
    assert "'is_correct' was read as correct, and 'score' was not" in log.notes[0]


def test_points_alone_are_told() -> None:
    with pytest.raises(at.DataError, match="column 'score', row 1: got 85"):
        at.Log.from_arrow({"student": ["a"], "item": ["q"], "skill": ["s"], "score": [85]})


def test_what_the_caller_names_is_read() -> None:
    events = at.Log.from_arrow(
        {**ROWS, "skill": ["s", "t", "s"], "correct": [1, 1, 1], "uuid": ["e", "e", "f"]}, columns={"event_id": "uuid"}
    )
    assert (len(events), events.notes) == (2, ())
    levels = {**ROWS, "level": [0, 1, 2]}
    assert at.Log.from_arrow(levels, levels={"practice": 3}).correct.tolist() == [0.0, 0.5, 1.0]
    with pytest.raises(at.DataError, match="column 'level'"):
        at.Log.from_arrow({**ROWS, "level": ["easy"] * 3}, columns={"level": "level"})


def test_a_level_is_read_where_correct_leaves_cells_empty() -> None:
    table = pa.table({**ROWS, "correct": [1, None, 1], "level": [None, 1, None]})
    with pytest.raises(at.DataError, match="--levels practice=5"):
        at.Log.from_arrow(table)


def test_notes_of_a_file_are_those_of_its_table(tmp_path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("student,item,skill,correct,event\n" + "ana,q,s,1,problem_check\n" * 3)
    log = at.Log.read(path)
    assert (len(log), len(log.notes)) == (3, 1)


@pytest.mark.parametrize(
    "texts", [["True", "False"], ["TRUE", "FALSE"], ["t", "F"], [" true", "false "], ["1.0", "0"], ["true", "0"]], ids=str
)
@pytest.mark.parametrize("encoded", [False, True])
def test_true_and_false_are_read_in_any_capitals(texts: list[str], encoded: bool) -> None:
    array = pa.array(texts).dictionary_encode() if encoded else pa.array(texts)
    log = at.Log.from_arrow({"student": ["a", "a"], "item": ["q", "q"], "skill": ["s", "s"], "correct": array})
    assert (log.correct.tolist(), log.is_binary) == ([1.0, 0.0], True)


@pytest.mark.parametrize("text", ["yes", "Y", "on", "right", "tru", "", "nan", "inf"])
def test_other_words_are_no_outcome(text: str) -> None:
    with pytest.raises(at.DataError, match="column 'correct', row 2"):
        at.Log.from_arrow({"student": ["a", "a"], "item": ["q", "q"], "skill": ["s", "s"], "correct": ["true", text]})


def test_a_repeated_kind_of_problem_is_written_out_five_times() -> None:
    items = [at.Item(str(number // 2), ("s",)) for number in range(40)]
    with pytest.raises(at.DataError) as raised:
        at.Catalog(items)
    lines = str(raised.value).splitlines()
    assert len(raised.value.problems) == 20
    assert lines[0] == "catalog: 20 problems"
    assert lines[-1] == "  - and 15 more in column 'item'"
    assert len(lines) == 7
