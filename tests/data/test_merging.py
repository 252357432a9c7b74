"""Rows that repeat a response for a further skill are one event; rows that only look like it are kept, and a note says so."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adaptrace as at
from adaptrace.evaluate import metrics
from reference import events as reference

RESPONSES = st.fixed_dictionaries(
    {
        "student": st.sampled_from(["Ada", "Bo"]),
        "item": st.sampled_from(["q1", "q2"]),
        "correct": st.integers(0, 1),
        "order": st.integers(0, 2),
    }
)
FURTHER = {"kind": st.sampled_from(["practice", None]), "response_ms": st.sampled_from([1.0, 2.0, None])}


def rows_with(skills: Any, **further: Any) -> Any:
    """Lists of rows."""
    return st.lists(
        st.builds(lambda row, more: {**row, **more}, RESPONSES, st.fixed_dictionaries({**skills, **further})), max_size=12
    )


def table_of(rows: list[dict[str, Any]]) -> pa.Table:
    kinds = {"student": pa.string(), "item": pa.string(), "skill": pa.string(), "skills": pa.list_(pa.string())}
    kinds |= {"correct": pa.int64(), "order": pa.int64(), "kind": pa.string(), "response_ms": pa.float64()}
    return pa.Table.from_pylist(rows, pa.schema([(name, kinds[name]) for name in rows[0]]))


def found(log: at.Log) -> list[tuple[Any, ...]]:
    """What stands in a log, in any order."""
    return sorted(
        (
            row["student"],
            row["item"],
            row["correct"],
            row["order"],
            str(row.get("kind")),
            str(row.get("response_ms")),
            skills_of(row),
        )
        for row in log.table.to_pylist()
    )


def skills_of(row: dict[str, Any]) -> tuple[str, ...]:
    return tuple(row["skills"]) if "skills" in row else (row["skill"],)


def expected(rows: list[dict[str, Any]]) -> list[tuple[Any, ...]]:
    return sorted(
        (
            row["student"],
            row["item"],
            row["correct"],
            row["order"],
            str(row.get("kind")),
            str(row.get("response_ms")),
            tuple(sorted(skills)),
        )
        for row, skills in reference.events(rows)
    )


# ---- rows that agree --------------------------------------------------------


@pytest.mark.parametrize("skills", [{"skill": st.sampled_from("abc")}, {"skills": st.lists(st.sampled_from("abc"), min_size=1)}])
@pytest.mark.parametrize("further", [{}, FURTHER])
def test_rows_that_agree_are_the_events_of_the_reference(skills, further) -> None:
    @settings(deadline=None)  # the first call compiles
    @given(rows=rows_with(skills, **further), seed=st.integers(0, 9))
    def check(rows: list[dict[str, Any]], seed: int) -> None:
        if not rows:
            return
        for each in (rows, [rows[place] for place in np.random.default_rng(seed).permutation(len(rows))]):
            log = at.Log.from_arrow(table_of(each))
            assert found(log) == expected(rows)
            assert log.merging.rows == len(rows) - len(log)
            assert [each[place]["item"] for place in log.source_row] == log.names("item").to_pylist()

    check()


ROWS = {
    "student": ["Ada", "Bo", "Ada", "Ada"],
    "item": ["q1", "q1", "q1", "q2"],
    "skill": ["b", "b", "a", "a"],
    "correct": [1, 1, 1, 0],
    "order": [7, 7, 7, 8],
}


def test_a_note_says_how_many_and_how_to_keep_them() -> None:
    log = at.Log.from_arrow(ROWS)
    assert log.table["skills"].to_pylist() == [["a", "b"], ["a"], ["b"]]
    (note,) = log.notes
    assert note.startswith("1 row merged into 1 event")
    assert "--no-merge" in note
    kept = at.Log.from_arrow(ROWS, merge=False)
    assert len(kept) == 4
    assert kept.notes == ()


def test_skills_of_rows_with_extra_columns_and_a_clock() -> None:
    log = at.Log.from_arrow(
        {**ROWS, "time": [1, 1, 1, 2], "place": [1, 2, 3, 4]}, columns={"order": "order"}, time_unit="s", keep=["place"]
    )
    assert log.table["place"].to_pylist() == [1, 4, 2]
    assert log.merging.rows == 1


@pytest.mark.parametrize(
    "column",
    [{"correct": [1, 1, 0, 0]}, {"response_ms": [1, 1, 2, 2]}, {"kind": ["a", "a", "b", "b"]}, {"event_id": [1, 2, 3, 4]}],
)
def test_rows_that_only_look_like_it_are_kept_and_noted(column) -> None:
    log = at.Log.from_arrow({**ROWS, **column})
    assert len(log) == 4
    (note,) = log.notes
    assert note.startswith("2 responses kept apart")
    assert "event_id" in note


def test_order_and_time_must_both_agree() -> None:
    log = at.Log.from_arrow({**ROWS, "order": [1, 2, 3, 4], "time": [1, 1, 1, 2]}, columns={"order": "order"}, time_unit="s")
    assert (len(log), log.merging.unlike) == (4, 2)


def test_a_second_answer_at_one_time_is_no_further_skill() -> None:
    log = at.Log.from_arrow({**ROWS, "skill": ["a", "b", "a", "a"]})
    assert (len(log), log.notes) == (4, ())


def test_without_time_and_order_nothing_is_merged_but_a_note_asks() -> None:
    rows = {name: values for name, values in ROWS.items() if name != "order"}
    log = at.Log.from_arrow(rows)
    assert len(log) == 4
    (note,) = log.notes
    assert note.startswith("1 row kept apart from the row before")


def test_parts_of_a_log_are_not_merged_again() -> None:
    kept = at.Log.from_arrow(ROWS, merge=False)
    assert len(kept.select(np.array([True, True, False, False]))) == 2


# ---- what it is for ---------------------------------------------------------


def test_coin_flips_with_a_row_per_skill_cannot_be_foretold() -> None:
    random, n = np.random.default_rng(3), 6000
    columns = {
        "student": np.arange(n) // 20,
        "item": np.arange(n) % 50,
        "correct": random.integers(0, 2, n),
        "order": np.arange(n),
    }
    rows = {**{name: np.repeat(values, 2) for name, values in columns.items()}, "skill": ["a", "b"] * n}
    found = {}
    for merge in (True, False):
        train, test = at.Log.from_arrow(rows, merge=merge).split(test=0.5, seed=0)
        found[merge] = metrics.auc(test.correct, at.BestLR().fit(train).predict(test))
    assert found[True] == pytest.approx(0.5, abs=0.03)  # three standard errors
    assert found[False] > 0.8


@pytest.mark.skipif("ADAPTRACE_DATA" not in os.environ, reason="ADAPTRACE_DATA names no folder of public logs")
def test_the_published_file_without_its_format_has_the_events_of_its_format() -> None:
    path = Path(os.environ["ADAPTRACE_DATA"]) / "raw" / "assist09_skill_builder_test15.csv"
    by_format = at.Log.read(path, format="assistments2009")
    table = pyarrow.csv.read_csv(path)
    table = table.filter(pa.compute.is_valid(table["skill_id"]))
    log = at.Log.from_arrow(table, columns={"skill": "skill_id"})
    assert (len(log), log.merging.rows) == (len(by_format) + 1, 338)  # one row repeats its skill, too: perhaps a second answer


# ---- names that may be lists ------------------------------------------------


@pytest.mark.parametrize("separator", ["~~", ";", "|"])
def test_a_note_asks_whether_names_with_separators_are_lists(separator) -> None:
    table = {"student": ["Ada"], "item": ["q1"], "kc": [f"b{separator}a"], "correct": [1]}
    (note,) = at.Log.from_arrow(table).notes
    assert f"'{separator}'" in note
    as_told = {**table, "kc": [f"b{separator}a".replace("|", ";")]}
    log = at.Log.from_arrow(as_told, columns={"skills": "kc"})
    assert log.skills.to_pylist() == ["a", "b"]
    assert log.notes == ()
