"""Retention: who was not active for long goes or gets a pseudonym in every place at once, and nobody else."""

from __future__ import annotations

import contextlib
import datetime
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.dataset.staging import Staging
from adaptrace.io.files import read_table
from adaptrace.privacy import changes, retention
from adaptrace.privacy.keys import new_key, pseudonym_of, read_key
from adaptrace.tutor.keeping import StoreKeeper
from adaptrace.tutor.store import open_store

NOW = datetime.datetime(2026, 9, 1, tzinfo=datetime.UTC)
LAST = {  # when each was last active: in the log, in the store
    "gone": (datetime.datetime(2024, 10, 1), datetime.datetime(2024, 11, 1)),
    "also-gone": (datetime.datetime(2024, 9, 1), None),
    "only-in-store": (None, datetime.datetime(2025, 2, 28)),
    "in-the-log": (datetime.datetime(2026, 5, 1), datetime.datetime(2024, 9, 1)),
    "in-the-store": (datetime.datetime(2024, 9, 1), datetime.datetime(2026, 8, 1)),
    "at-the-edge": (datetime.datetime(2025, 3, 1), None),
    "exempt": (datetime.datetime(2024, 9, 1), datetime.datetime(2024, 9, 2)),
}
DUE = {"gone", "also-gone", "only-in-store"}
RULE = at.RetentionRule(inactive="18mo", exempt=("exempt",))
HIDE = at.RetentionRule(inactive="18mo", action="pseudonymize", exempt=("exempt",))
MODEL = at.BKT.from_parameters(["halves"], prior=0.5, learn=0.2, guess=0.1, slip=0.1)
CATALOG = at.Catalog.from_arrow({"item": ["q1", "q2"], "skill": ["halves", "halves"]})


def log_of(names: dict[str, datetime.datetime | None]) -> pa.Table:
    rows = [(name, time - datetime.timedelta(days=day)) for name, time in names.items() if time for day in range(3)]
    return pa.table(
        {
            "student": [name for name, _ in rows],
            "item": ["q1"] * len(rows),
            "skill": ["halves"] * len(rows),
            "correct": [1] * len(rows),
            "time": pa.array([time for _, time in rows], pa.timestamp("us", "UTC")),
        }
    )


def tutor_in(district: Path) -> at.Tutor:
    return at.Tutor.open(district / "tutor.db", model=MODEL, catalog=CATALOG, clock=lambda: NOW)


@pytest.fixture
def district(tmp_path: Path) -> Path:
    """A log in two files, a roster without times, its mastery and state, and a store."""
    table = log_of({name: log for name, (log, _) in LAST.items()})
    (tmp_path / "log").mkdir()
    pq.write_table(table.slice(0, 7), tmp_path / "log" / "a.parquet")
    pq.write_table(table.slice(7), tmp_path / "log" / "b.parquet")
    (tmp_path / "roster.csv").write_text("student,class\n" + "".join(f"{name},6A\n" for name in [*LAST, "never-seen"]))
    at.score_dataset(tmp_path / "log", tmp_path / "m", model=MODEL, state=tmp_path / "state")
    with tutor_in(tmp_path) as tutor:
        for name, (_, last) in LAST.items():
            for day in range(2) if last else ():
                time = (last - datetime.timedelta(days=day)).replace(tzinfo=datetime.UTC)
                tutor.observe(name, "q1", 1, time=time, event_id=f"{name}-{day}")
    new_key(tmp_path / "key")
    return tmp_path


def places_in(district: Path) -> at.StudentPlaces:
    return at.StudentPlaces(logs=[district / "log", district / "roster.csv"], mastery=[district / "m"], state=district / "state")


def retained(district: Path, rule: at.RetentionRule = RULE, **options: Any) -> retention.Retention:
    with tutor_in(district) as tutor:
        return tutor.retain(rule, places_in(district), time=NOW, **options)


def students_in(district: Path) -> dict[str, set[str]]:
    """Who is where."""
    found = {
        name: read_table(district / name, frozenset({"student"})).table["student"] for name in ("log", "roster.csv", "m", "state")
    }
    with tutor_in(district) as tutor:
        return {"store": set(tutor.store.students()), **{name: set(column.to_pylist()) for name, column in found.items()}}


def contents(district: Path) -> dict[Path, bytes]:
    kinds = (".parquet", ".csv", ".json")
    return {path: path.read_bytes() for path in sorted(district.rglob("*")) if path.suffix in kinds}


# ---- deleting ---------------------------------------------------------------


def test_who_is_inactive_everywhere_goes_everywhere_and_nobody_else(district: Path) -> None:
    before = students_in(district)
    found = retained(district)
    assert set(found.students) == DUE
    assert (found.exempt, found.undated, found.dry_run) == (1, 1, False)
    assert students_in(district) == {place: names - DUE for place, names in before.items()}
    rows = {row["kind"] if row["kind"] != "log" else Path(row["place"]).name: row for row in found.table.to_pylist()}
    assert {name: (row["students"], row["deleted"], row["rows"]) for name, row in rows.items()} == {
        "log": (6, 2, 6), "roster.csv": (8, 3, 3), "mastery": (6, 2, 2), "state": (6, 2, 2), "store": (5, 2, 4),
    }  # fmt: skip
    assert {row["pseudonymized"] for row in rows.values()} == {0}
    for path in district.rglob("*"):
        assert not path.is_file() or not any(re.search(rb"(?<![-\w])" + name.encode(), path.read_bytes()) for name in DUE), path


def test_a_dry_run_reports_the_same_and_changes_nothing(district: Path) -> None:
    before, who = contents(district), students_in(district)
    dry = retained(district, dry_run=True)
    assert contents(district) == before
    assert students_in(district) == who
    wet = retained(district)
    assert dry.table == wet.table
    assert (dry.students, dry.exempt, dry.undated) == (wet.students, wet.exempt, wet.undated)


def test_a_second_run_changes_nothing(district: Path) -> None:
    retained(district)
    before, who = contents(district), students_in(district)
    again = retained(district)
    assert again.students == ()
    assert contents(district) == before
    assert students_in(district) == who


def test_the_next_night_is_as_if_they_had_never_been_there(district: Path) -> None:
    retained(district)
    pq.write_table(log_of({"in-the-log": datetime.datetime(2026, 8, 20)}), district / "log" / "c.parquet")
    for state, out in ((district / "state", "m"), (None, "anew")):
        at.score_dataset(district / "log", district / out, model=MODEL, state=state)
    nightly, anew = (pq.read_table(district / name).sort_by("student").to_pylist() for name in ("m", "anew"))
    assert nightly == anew


class Killed(BaseException):
    """As kill -9: nobody handles it."""


@pytest.mark.parametrize(
    "rule", [RULE, at.RetentionRule(inactive="18mo", action="pseudonymize", exempt=("exempt",))], ids=["delete", "pseudonymize"]
)
@pytest.mark.parametrize("after", range(9))
def test_a_run_that_was_killed_is_finished_by_the_next(
    after: int, rule: at.RetentionRule, district: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Killed before its n-th step: a file that is written again, the state, a student of the store."""
    options = {"key_file": district / "key"} if rule.action == "pseudonymize" else {}
    steps = [0]

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **more: Any) -> Any:
            steps[0] += 1
            if steps[0] > after:
                raise Killed
            return real(*arguments, **more)

        return step

    with monkeypatch.context() as patch:
        patch.setattr(changes, "_written_again", dying(changes._written_again))
        for name in ("forget", "rename"):
            patch.setattr(changes.states, name, dying(getattr(changes.states, name)))
        patch.setattr(StoreKeeper, "delete", dying(StoreKeeper.delete))
        patch.setattr("adaptrace.tutor.students.Students.forget", dying(at.Tutor.open.__globals__["Students"].forget))
        try:
            retained(district, rule, **options)
        except Killed:
            assert steps[0] == after + 1
    retained(district, rule, **options)
    who = students_in(district)
    assert not any(DUE & names for names in who.values())
    if rule.action == "pseudonymize":
        make = pseudonym_of(read_key(district / "key"), "student")
        assert {make(name.encode()) for name in DUE} <= who["roster.csv"]
        with tutor_in(district) as tutor:
            assert len(tutor.history(make(b"gone"))) == 2
            assert tutor.verify().ok
    assert {"in-the-log", "in-the-store", "exempt"} <= who["log"]


@pytest.mark.parametrize("after", range(4))
def test_a_place_without_times_is_finished_too_though_the_times_went_in_another(
    after: int, district: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places, left = at.StudentPlaces(logs=[district / "log", district / "roster.csv"]), [after]
    real = changes._written_again

    def dying(*arguments: Any) -> str:
        left[0] -= 1
        if left[0] < 0:
            raise Killed
        return real(*arguments)

    monkeypatch.setattr(changes, "_written_again", dying)
    with contextlib.suppress(Killed):
        at.retain(RULE, places, time=NOW)
    left[0] = 99
    at.retain(RULE, places, time=NOW)
    assert not {"gone", "also-gone"} & (students_in(district)["log"] | students_in(district)["roster.csv"])


# ---- pseudonymising ---------------------------------------------------------


def test_the_same_pseudonym_stands_in_every_place_with_the_same_rows(district: Path) -> None:
    key = read_key(district / "key")
    names = {name: pseudonym_of(key, "student")(name.encode()) for name in DUE}
    before, mastery = students_in(district), pq.read_table(district / "m").to_pylist()
    with tutor_in(district) as tutor:
        probability = tutor.mastery("gone", "halves")
    found = retained(district, HIDE, key_file=district / "key")
    assert students_in(district) == {place: {names.get(name, name) for name in who} for place, who in before.items()}
    assert pq.read_table(district / "m").to_pylist() == [
        {**row, "student": names.get(row["student"], row["student"])} for row in mastery
    ]
    with tutor_in(district) as tutor:
        assert tutor.mastery(names["gone"], "halves") == probability
        assert tutor.history(names["gone"])["event_id"].to_pylist()[0] == pseudonym_of(key, "event_id")(b"gone-1")
        assert tutor.verify().ok
    assert found.table["pseudonymized"].to_pylist() == [2, 3, 2, 2, 2]
    again = retained(district, HIDE, key_file=district / "key")
    assert again.students == ()
    nightly = at.score_dataset(district / "log", district / "m", model=MODEL, state=district / "state")
    assert nightly.responses == 0  # the state knows the files under their new identities


def test_pseudonyms_are_refused_where_they_cannot_stand_and_nothing_changes(tmp_path: Path) -> None:
    rule = at.RetentionRule(inactive="2y", action="pseudonymize")
    table = log_of({"7": datetime.datetime(2020, 1, 1)})
    pq.write_table(table.set_column(0, "student", pa.array([7, 7, 7])), tmp_path / "log.parquet")
    new_key(tmp_path / "key")
    before = contents(tmp_path)
    with pytest.raises(at.DataError, match="names that are int64; expected texts: a pseudonym is one; write the log"):
        at.retain(rule, at.StudentPlaces(logs=[tmp_path / "log.parquet"]), time=NOW, key_file=tmp_path / "key")
    assert contents(tmp_path) == before


def test_a_student_who_came_back_after_a_pseudonym_is_told(district: Path) -> None:
    rule = at.RetentionRule(inactive="18mo", action="pseudonymize")
    retained(district, rule, key_file=district / "key")
    pq.write_table(log_of({"gone": datetime.datetime(2025, 2, 1)}), district / "log" / "c.parquet")
    at.score_dataset(district / "log", district / "m", model=MODEL, state=district / "state")
    with pytest.raises(at.DataError, match=r"1 pseudonyms of students who came back; .*delete instead, or score the whole log"):
        retained(district, rule, key_file=district / "key")
    assert "gone" in students_in(district)["log"]


# ---- places -----------------------------------------------------------------


@pytest.mark.parametrize("last", ["2024-01-01T08:00:00", "2024-01-01 08:00:00+00:00", "2024-01-01"])
def test_times_of_a_csv_are_read(last: str, tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text(
        f"pupil,when,item,skill,correct\nAda,{last},q1,halves,1\nBo,2026-08-01,q1,halves,1\nBo,,q1,halves,1\n"
    )
    places = at.StudentPlaces(logs=[tmp_path / "log.csv"], columns={"student": "pupil", "time": "when"})
    assert at.retain(at.RetentionRule(inactive="540d"), places, time=NOW, dry_run=True).students == ("Ada",)


def test_whole_numbers_are_times_once_their_unit_is_known(tmp_path: Path) -> None:
    (tmp_path / "log.csv").write_text("student,time,item,skill,correct\nAda,1600000000,q1,halves,1\n")
    table = read_table(tmp_path / "log.csv").table
    pq.write_table(table, tmp_path / "log.parquet")
    places = at.StudentPlaces(logs=[tmp_path / "log.parquet"])
    with pytest.raises(at.DataError, match=r"column 'time': got whole numbers; expected times; say what they count \(time_unit="):
        at.retain(RULE, places, time=NOW, dry_run=True)
    with_unit = at.StudentPlaces(logs=[tmp_path / "log.parquet"], time_unit="s")
    assert at.retain(RULE, with_unit, time=NOW, dry_run=True).students == ("Ada",)


def test_who_came_meanwhile_stays_in_the_store(district: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An event that arrives after the students were looked at."""
    real = retention._apply

    def late(*arguments: Any) -> None:
        with tutor_in(district) as other:
            other.observe("gone", "q1", 1, time=NOW, event_id="back")
        real(*arguments)

    monkeypatch.setattr(retention, "_apply", late)
    retained(district)
    assert "gone" in students_in(district)["store"]


def test_what_killed_runs_left_goes_too(district: Path) -> None:
    hidden = Staging(district / "m").folder
    hidden.mkdir()
    (hidden / "piece.arrow").write_bytes(b"gone")
    retained(district)
    assert not hidden.exists()


# ---- what cannot be meant ---------------------------------------------------


@pytest.mark.parametrize("period", ["", "18", "mo", "18 months", "0d", "-3d", "1.5y", "18MO", "1h", None, 18])
def test_a_period_of_no_known_unit_is_refused(period: Any) -> None:
    with pytest.raises(ValueError, match=r"inactive: got .*; expected a number and d \(days\), w \(weeks\), mo \(months\) or y"):
        at.RetentionRule(inactive=period)


@pytest.mark.parametrize(
    ("period", "time", "cutoff"),
    [
        ("18mo", "2026-08-31", "2025-02-28"),
        ("1mo", "2024-03-31", "2024-02-29"),
        ("2y", "2024-02-29", "2022-02-28"),
        ("540d", "2026-09-01", "2025-03-10"),
        ("2w", "2026-01-08", "2025-12-25"),
    ],
)
def test_a_period_is_counted_in_the_calendar(period: str, time: str, cutoff: str) -> None:
    rule = at.RetentionRule(inactive=period)
    assert rule.cutoff(datetime.datetime.fromisoformat(time)) == datetime.datetime.fromisoformat(cutoff).replace(
        tzinfo=datetime.UTC
    )


@pytest.mark.parametrize("period", ["9999y", "999999d", "99999mo"])
def test_a_period_beyond_the_calendar_is_refused(period: str) -> None:
    with pytest.raises(ValueError, match="expected a period within the calendar"):
        at.RetentionRule(inactive=period).cutoff(NOW)


RULES = {
    "rule.toml": ('inactive = "2y"\naction = "pseudonymize"\nexempt = ["Ada", "Bo"]', None),
    "rule.json": ('{"inactive": "2y", "action": "pseudonymize", "exempt": ["Ada", "Bo"]}', None),
    "none.toml": ('action = "delete"', "got a rule without 'inactive'"),
    "unit.toml": ('inactive = "2 years"', "got inactive '2 years'; expected a number and d"),
    "action.toml": ('inactive = "2y"\naction = "hide"', "got action 'hide'; expected 'delete' or 'pseudonymize'"),
    "key.toml": ('inactive = "2y"\nafter = 3', "got 'after'; expected only inactive, action, exempt"),
    "exempt.toml": ('inactive = "2y"\nexempt = "Ada"', "got an 'exempt' that is no list"),
    "names.toml": ('inactive = "2y"\nexempt = [7]', "exempt"),
    "broken.toml": ("inactive = ", "expected TOML, or JSON in a file named .json"),
    "list.json": ("[1]", "got a rule without 'inactive'"),
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_is_read_or_refused_in_one_line(name: str, tmp_path: Path) -> None:
    text, told = RULES[name]
    (tmp_path / name).write_text(text)
    if told is None:
        assert at.RetentionRule.read(tmp_path / name) == at.RetentionRule(
            inactive="2y", action="pseudonymize", exempt=("Ada", "Bo")
        )
        return
    with pytest.raises(at.DataError, match=re.escape(told)) as error:
        at.RetentionRule.read(tmp_path / name)
    assert str(error.value).startswith(f"{tmp_path / name}: ")
    assert "\n" not in str(error.value)


def test_a_rule_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(at.DataError, match=r"rule\.toml: got No such file"):
        at.RetentionRule.read(tmp_path / "rule.toml")


def test_a_time_in_the_future_no_place_and_a_key_of_no_use_are_refused(district: Path) -> None:
    before = contents(district)
    future = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
    for options, told in (
        ({"time": future}, "time: got .*, which is in the future; expected"),
        ({"time": NOW, "key_file": district / "key"}, "key_file: got one; expected none: its students are deleted"),
    ):
        with pytest.raises(ValueError, match=told):
            at.retain(RULE, places_in(district), **options)
    with pytest.raises(ValueError, match="key_file: got none; expected a key_file"):
        at.retain(at.RetentionRule(inactive="1y", action="pseudonymize"), places_in(district), time=NOW)
    with pytest.raises(ValueError, match="places: got none; expected logs, mastery tables, a state or stores"):
        at.retain(RULE, at.StudentPlaces(), time=NOW)
    assert contents(district) == before


@pytest.mark.parametrize("dry_run", [True, False])
def test_places_that_are_something_else_are_refused_before_anything_changes(dry_run: bool, district: Path) -> None:
    (district / "other.csv").write_text("a,b\n1,2\n")
    before, who = contents(district), students_in(district)
    wrong: list[tuple[at.StudentPlaces, type[Exception], str]] = [
        (at.StudentPlaces(logs=[district / "log", district / "other.csv"]), at.DataError, "other.csv, column 'student'"),
        (at.StudentPlaces(logs=[district / "log"], mastery=[district / "state"]), at.DataError, "a folder that holds a state"),
        (at.StudentPlaces(logs=[district / "log"], state=district / "m"), at.ModelError, "not a state"),
        (at.StudentPlaces(logs=[district / "log"], state=district / "nowhere"), at.ModelError, "cannot be read"),
        (at.StudentPlaces(logs=[district / "log", district / "nowhere"]), at.DataError, "no such file"),
    ]
    for places, kind, told in wrong:
        with pytest.raises(kind, match=told):
            at.retain(RULE, places, time=NOW, dry_run=dry_run)
    assert contents(district) == before
    assert students_in(district) == who


def test_stores_without_a_tutor_are_places_too(district: Path) -> None:
    store = open_store(os.fspath(district / "tutor.db"))
    keeper = StoreKeeper("tutor.db", store, store.forget)
    found = at.retain(RULE, at.StudentPlaces(stores=[keeper]), time=NOW)
    store.close()
    assert set(found.students) == {"gone", "only-in-store", "in-the-log"}
