"""How long mastery takes, and who does not get there."""

from __future__ import annotations

import datetime
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from tests.reference import rollups as slow

import adaptrace as at
from adaptrace.models.criterion import WHEEL_SPINNING
from adaptrace.report import pace, stuck

AT = 0.97
BY = [["skill"], ["class", "skill"], ["class"], []]


def log_of(seed: int, *, several: bool, timed: bool = True, first: int = 0) -> at.Log:
    """A dozen students on two skills, alone or together."""
    random, n = np.random.default_rng(seed), 160
    skills = [["halves"], ["quarters"], ["halves", "quarters"]] if several else [["halves"], ["quarters"]]
    columns: dict[str, Any] = {
        "student": first + random.integers(0, 12, n),
        "item": [f"q{number}" for number in random.integers(0, 9, n)],
        "skills": [skills[number] for number in random.integers(0, len(skills), n)],
        "correct": random.integers(0, 2, n),
    }
    if timed:
        start = datetime.datetime(2025, 9, 1, tzinfo=datetime.UTC)
        columns["time"] = [start + datetime.timedelta(minutes=int(m)) for m in np.sort(random.integers(0, 20_000, n))]
    return at.Log.from_arrow(pa.table(columns))


@pytest.fixture
def roster() -> pa.Table:
    return pa.table({"student": range(23), "class": ["AB"[number % 2] for number in range(23)]})


def expected(
    log: at.Log, model: at.BKT, roster: pa.Table, by: list[str], min_students: int
) -> dict[tuple[Any, ...], dict[str, Any]]:
    """One row a cell, from students told response by response."""
    found = {}
    for key, rows in slow.cells(slow.courses(log, model, AT), roster.to_pylist(), by).items():
        reached = [row for row in rows if row["responses"] is not None]
        lasting = [row for row in rows if row["responses"] is None and row["opportunities"] >= 10]
        hours = [row["hours"] for row in reached if row["hours"] is not None]
        found[key] = {
            "students": len({row["student"] for row in rows}),
            "pairs": len(rows),
            "reached": len(reached) / len(rows),
            "stuck": len(lasting) / len(rows),
        }
        for name, values in (("responses", [row["responses"] for row in reached]), ("days", [hour / 24 for hour in hours])):
            found[key] |= dict(
                zip((f"{name}_q25", f"{name}_median", f"{name}_q75"), slow.quartiles(values, min_students), strict=True)
            )
    return found


# ---- pace -------------------------------------------------------------------


@pytest.mark.parametrize("by", BY, ids=str)
@pytest.mark.parametrize(("several", "timed"), [(False, True), (True, True), (False, False)])
def test_pace_is_what_students_told_response_by_response_show(
    model: at.BKT, roster: pa.Table, by: list[str], several: bool, timed: bool
) -> None:
    log = log_of(3, several=several, timed=timed)
    rows = pace(log, model, by=by, roster=roster, threshold=AT, min_students=1).to_pylist()
    found = {tuple(row[name] for name in by): {k: v for k, v in row.items() if k not in (*by, "withheld")} for row in rows}
    told = expected(log, model, roster, by, 1)
    assert found.keys() == told.keys()
    for key, figures in told.items():
        assert found[key] == pytest.approx(figures, abs=1e-12), key


@pytest.mark.parametrize("by", BY, ids=str)
def test_logs_one_by_one_give_what_one_log_gives_to_the_bit(model: at.BKT, roster: pa.Table, by: list[str], monkeypatch) -> None:
    monkeypatch.setattr("adaptrace.report.roster.BATCH", 1)
    logs = [log_of(1, several=True), log_of(2, several=True, first=12)]
    whole = at.Log.from_arrow(pa.concat_tables([log.table for log in logs[::-1]]).unify_dictionaries())
    found = pace(iter(logs), model, by=by, roster=roster, threshold=AT, min_students=2)
    assert len(found)
    assert found.equals(pace(whole, model, by=by, roster=roster, threshold=AT, min_students=2))
    assert stuck(iter(logs), model, threshold=AT).equals(stuck(whole, model, threshold=AT))


def test_quartiles_of_few_who_reached_it_are_withheld_though_their_cell_is_not(model: at.BKT) -> None:
    outcomes = {student: [1] * 6 if student < 4 else [0] * 6 for student in range(12)}
    rows = [{"student": s, "item": "q", "skill": "halves", "correct": c} for s, cs in outcomes.items() for c in cs]
    log = at.Log.from_arrow(pa.Table.from_pylist(rows))
    row = pace(log, model, min_students=5).to_pylist()[0]
    assert (row["students"], row["responses_median"], row["withheld"]) == (12, None, False)
    assert row["reached"] == pytest.approx(4 / 12)
    assert pace(log, model, min_students=4).to_pylist()[0]["responses_median"] == 2.0


def test_days_are_whole_hours_from_the_first_response_on_the_skill(model: at.BKT) -> None:
    times = [datetime.datetime(2025, 9, day, hour, 50, tzinfo=datetime.UTC) for day, hour in ((1, 8), (2, 8), (3, 7))]
    log = at.Log.from_arrow(
        {"student": ["Ada"] * 3, "item": [1, 2, 3], "skill": ["halves"] * 3, "correct": [0, 1, 1], "time": times}
    )
    mastery = model.trace(log)["mastery"].to_pylist()
    row = pace(log, model, threshold=mastery[2], min_students=1).to_pylist()[0]
    assert (row["responses_median"], row["days_median"]) == (3.0, 47 / 24)
    row = pace(log, model, threshold=np.nextafter(mastery[2], 1.0), min_students=1).to_pylist()[0]
    assert (row["reached"], row["days_median"], row["stuck"]) == (0.0, None, 0.0)


def test_small_cells_are_withheld_of_pace_too(model: at.BKT, roster: pa.Table) -> None:
    table = pace(log_of(3, several=False), model, by=["class", "skill"], roster=roster, threshold=AT, min_students=50)
    assert table["withheld"].to_pylist() == [True] * 4
    assert table["reached"].null_count == table["responses_median"].null_count == table["students"].null_count == 4


def test_no_logs_give_no_rows(model: at.BKT) -> None:
    assert pace([], model).column_names[:3] == ["skill", "students", "pairs"]
    assert len(pace([], model)) == len(stuck([], model)) == 0


# ---- stuck ------------------------------------------------------------------


@pytest.mark.parametrize("several", [False, True])
@pytest.mark.parametrize("opportunities", [1, 5])
def test_stuck_are_those_who_never_got_there_in_so_many_opportunities(model: at.BKT, several: bool, opportunities: int) -> None:
    log = log_of(3, several=several)
    found = stuck(log, model, opportunities=opportunities, threshold=AT)
    told = [row for row in slow.courses(log, model, AT) if row["responses"] is None and row["opportunities"] >= opportunities]
    told.sort(key=lambda row: (-row["opportunities"], row["student"], row["skill"]))
    names = ["student", "skill", "opportunities", "best", "mastery", "last_time"]
    assert found.column_names == names
    assert len(told) > 0
    assert found.to_pylist() == [{name: row[name] for name in names} for row in told]


def test_who_was_there_once_is_not_stuck_however_low_now(model: at.BKT) -> None:
    def lasting(correct: list[int]) -> int:
        n = len(correct)
        log = at.Log.from_arrow({"student": ["Ada"] * n, "item": range(n), "skill": ["halves"] * n, "correct": correct})
        return len(stuck(log, model))

    assert lasting([0] * WHEEL_SPINNING) == 1
    assert lasting([0] * (WHEEL_SPINNING - 1)) == 0
    assert lasting([1, 1, 1] + [0] * WHEEL_SPINNING) == 0


def test_logs_with_and_without_times_share_the_other_columns(model: at.BKT) -> None:
    logs = [log_of(1, several=False), log_of(2, several=False, timed=False, first=12)]
    assert stuck(logs, model, opportunities=1).column_names == ["student", "skill", "opportunities", "best", "mastery"]


# ---- what is refused --------------------------------------------------------


def test_a_student_in_two_logs_is_refused(model: at.BKT) -> None:
    logs = [log_of(1, several=False), log_of(2, several=False, first=11)]
    for call in (pace, stuck):
        with pytest.raises(at.DataError, match="column 'student', row 16: got a student of an earlier log; expected every"):
            call(logs, model)


def test_what_cannot_be_is_a_value_error(model: at.BKT) -> None:
    log = log_of(1, several=False)
    for said, call in {
        "opportunities: got 0; expected 1 or more": lambda: stuck(log, model, opportunities=0),
        "threshold: got 0.0": lambda: stuck(log, model, threshold=0.0),
        "min_students: got 0": lambda: pace(log, model, min_students=0),
        "by: got class without a roster": lambda: pace(log, model, by="class"),
    }.items():
        with pytest.raises(ValueError, match=said):
            call()


def test_a_model_that_is_not_fitted_says_so() -> None:
    with pytest.raises(at.ModelError, match="not fitted"):
        pace(log_of(1, several=False), at.BKT())
