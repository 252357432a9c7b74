"""Verify: every damage is found, nothing that is well is reported, nothing is changed, and no name is shown unasked."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from zlib import crc32

import pytest

import adaptrace as at
from adaptrace.errors import StoreError
from adaptrace.tutor.store.base import Event, checksum_of
from adaptrace.tutor.verify import Verification
from tutor import storm
from tutor.conftest import MINUTE, NOW
from tutor.places import NAMES, Place

GOLDEN = Path(__file__).parents[1] / "golden"
LATER = NOW + 60 * MINUTE


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return str(tmp_path / "t.db")


def verified(url: object, **options: object) -> Verification:
    with storm.opened(url) as tutor:
        return tutor.verify(**options)


def wrong(found: Verification) -> dict[str, int]:
    """How many are wrong, of each check where any is."""
    return {row["check"]: row["wrong"] for row in found.checks.to_pylist() if row["wrong"]}


def checked(found: Verification) -> dict[str, int]:
    return {row["check"]: row["checked"] for row in found.checks.to_pylist()}


def ids(found: Verification, check: str) -> list[str | None]:
    return [row["id"] for row in found.findings.to_pylist() if row["check"] == check]


# ---- nothing is wrong ----------------------------------------------------------


@pytest.mark.parametrize("kind", ["memory", "sqlite", "postgres"])
def test_what_is_well_is_well_and_all_of_it_was_looked_at(kind: str, request: pytest.FixtureRequest) -> None:
    url = "memory:" if kind == "memory" else request.getfixturevalue(f"{kind}_url")
    with storm.opened(url) as tutor:
        for number in range(6):
            tutor.observe(NAMES[number % 3], "a1", 1, event_id=f"e{number}", time=NOW + number * MINUTE)
        tutor.recommend("ben", decision_id="d1")
        tutor.observe("ben", "a1", 1, decision_id="d1", event_id="e6", time=LATER)
        tutor.retract("e1")
        found = tutor.verify()
    assert (found.ok, wrong(found), len(found.findings)) == (True, {}, 0)
    states = 0 if kind == "memory" else 3
    assert checked(found) == {
        "file": 1,
        "events": 7,
        "states": states,
        "checkpoints": 0,
        "corrections": 0,
        "decisions": 1,
        "temporary files": 0,
    }


def test_an_empty_store_is_well(tmp_path: Path) -> None:
    assert verified(tmp_path / "t.db").ok
    assert verified("memory:").ok


def test_a_state_of_another_model_and_a_decision_for_a_new_student_are_notes(place: Place) -> None:
    place.set("model", "'another'")
    with storm.opened(place.url) as tutor:
        tutor.recommend("dora", decision_id="d1")
        found = tutor.verify()
        assert found.ok
        assert [(row["check"], row["is_wrong"], row["id"]) for row in found.findings.to_pylist()] == [
            ("states", False, "e5"),
            ("decisions", False, None),
        ]
        tutor.rebuild()
        assert len(tutor.verify().findings) == 1


def test_events_of_an_older_version_are_counted(place: Place) -> None:
    place.run(f"UPDATE {place.events} SET checksum = NULL WHERE event_id IN ('e1', 'e2')")
    found = verified(place.url)
    assert found.ok
    (note,) = found.findings.to_pylist()
    assert (note["check"], note["is_wrong"], note["got"].split()[:3]) == ("events", False, ["2", "without", "a"])


@pytest.mark.parametrize("file", sorted(path.name for path in GOLDEN.glob("store-*.db")))
def test_a_store_of_an_older_schema_can_be_verified(file: str, tmp_path: Path) -> None:
    shutil.copy(GOLDEN / file, tmp_path / "t.db")
    assert set(wrong(verified(tmp_path / "t.db"))) <= {"states", "decisions"}  # they hold texts that are no states


# ---- what is wrong -------------------------------------------------------------


@pytest.mark.parametrize(
    "value", ["correct = 0.25", "item = 'a2'", "kind = 'quiz'", "\"group\" = '9z'", "decision = 'd'", "checksum = 5"]
)
def test_every_damaged_event_is_listed_and_others_go_on(place: Place, value: str) -> None:
    """Of Ana's events one that counts, and one that is retracted."""
    with storm.opened(place.url) as tutor:
        tutor.retract("e5")
    place.run(f"UPDATE {place.events} SET {value} WHERE event_id IN ('e3', 'e5')")
    with storm.opened(place.url) as tutor:
        found = tutor.verify()
        assert (found.ok, wrong(found)) == (False, {"events": 2})
        assert sorted(ids(found, "events")) == ["e3", "e5"]
        assert tutor.observe("ben", "a1", 1, time=LATER)
        assert tutor.verify(names=True).findings["student"].to_pylist() == ["ana", None]


def test_a_state_that_is_not_the_replay_is_found_and_mended(place: Place) -> None:
    """Also one that can be read: Ben's."""
    before = place.states()
    place.set_state(place.state("ben"))
    found = verified(place.url)
    assert (wrong(found), ids(found, "states")) == ({"states": 1}, ["e5"])
    with storm.opened(place.url) as tutor:
        tutor.rebuild()
        assert tutor.verify().ok
    assert place.states() == before


def test_a_state_that_misses_one_of_its_events_is_found(place: Place) -> None:
    place.run(f"UPDATE {place.events} SET retracted = {'1' if place.events == 'events' else 'true'} WHERE event_id = 'e0'")
    assert wrong(verified(place.url)) == {"states": 1}


def long_history(tutor: at.Tutor) -> None:
    """Four checkpoints of Ana, some of whose events came late."""
    items = list(storm.ITEMS)
    moments = sorted(range(1000), key=lambda number: number % 7)
    table = {"event_id": [f"n{number:04}" for number in moments], "item": [items[number % 5] for number in moments]}
    table |= {"correct": [number * 7 % 3 % 2 for number in moments], "time": [LATER + number * MINUTE for number in moments]}
    for start in range(0, 1000, 100):
        tutor.observe_many({"student": ["ana"] * 100, **{name: column[start : start + 100] for name, column in table.items()}})
    tutor.observe("ana", "ab", 1, event_id="late", time=LATER + 90 * MINUTE)
    tutor.retract("n0400")


def test_checkpoints_are_the_replay_of_the_events_up_to_them(place: Place) -> None:
    with storm.opened(place.url) as tutor:
        long_history(tutor)
        found = tutor.verify()
        assert (found.ok, len(found.findings)) == (True, 0)
        assert checked(found)["checkpoints"] >= 3
        ours = [each.event_id for each in tutor.store.checkpoints("ana")]
        place.run(f"UPDATE {place.mark}checkpoints SET content = '250 x' WHERE event_id = '{ours[0]}'")
        later = f"SELECT content FROM {place.mark}checkpoints WHERE event_id = '{ours[2]}'"
        place.run(f"UPDATE {place.mark}checkpoints SET content = ({later}) WHERE event_id = '{ours[1]}'")
        found = tutor.verify()
        assert (wrong(found), sorted(ids(found, "checkpoints"))) == ({"checkpoints": 2}, sorted(ours[:2]))
        tutor.rebuild()
        assert tutor.verify().ok
        place.run(f"UPDATE {place.events} SET correct = 0.25 WHERE event_id = 'n0010'")
        assert wrong(tutor.verify()) == {"events": 1}


def test_an_event_of_nobody_is_found(place: Place) -> None:
    place.run(f"DELETE FROM {place.students} WHERE student = 'cy'")
    found = verified(place.url)
    assert (wrong(found), ids(found, "events")) == ({"events": 1}, ["e2"])


def test_an_event_whose_decision_is_gone_is_found(place: Place) -> None:
    with storm.opened(place.url) as tutor:
        for name in ("ben", "cy"):
            tutor.recommend(name, decision_id=f"d-{name}")
            tutor.observe(name, "a1", 1, decision_id=f"d-{name}", event_id=f"answer-{name}", time=LATER)
    place.run(f"DELETE FROM {place.mark}decisions WHERE student = 'ben'")
    found = verified(place.url)
    assert (wrong(found), ids(found, "decisions")) == ({"decisions": 1}, ["answer-ben"])


def test_what_waits_for_an_event_that_never_comes_is_noted(place: Place) -> None:
    """And is gone from the report when the event has come."""
    with storm.opened(place.url) as tutor:
        tutor.observe("ana", "a1", 0, event_id="right", replaces="late", time=LATER)
        tutor.retract("never")
        found = tutor.verify(names=True)
        assert found.ok
        rows = sorted((row["id"], row["student"], row["got"]) for row in found.findings.to_pylist())
        assert rows == [
            ("late", "ana", "waits to replace this event, which has not come"),
            ("never", None, "waits to retract this event, which has not come"),
        ]
        tutor.observe("ana", "a1", 1, event_id="late", time=LATER)
        assert ids(tutor.verify(), "corrections") == ["never"]


def test_what_comes_while_it_is_looked_for_is_no_fault(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with storm.opened(place.url) as tutor, storm.opened(place.url) as other:
        tutor.retract("late")
        find = tutor.store.find

        def late(event_ids: list[str]) -> object:
            other.observe("ana", "a1", 1, event_id="late", time=LATER)
            return find(event_ids)

        monkeypatch.setattr(tutor.store, "find", late)
        found = tutor.verify()
    assert (found.ok, len(found.findings)) == (True, 0)


def test_what_waits_though_its_event_has_come_is_wrong(place: Place) -> None:
    with storm.opened(place.url) as tutor:
        tutor.retract("never")
        place.run(f"UPDATE {place.mark}corrections SET original = 'e0' WHERE original = 'never'")
        found = tutor.verify()
    assert (wrong(found), ids(found, "corrections")) == ({"corrections": 1}, ["e0"])


def test_a_decision_that_cannot_be_read_is_found(place: Place) -> None:
    with storm.opened(place.url) as tutor:
        tutor.recommend("ben", decision_id="d1")
        tutor.observe("ben", "a1", 1, decision_id="d1", time=LATER)
    place.run(f"UPDATE {place.mark}decisions SET content = '{{'")
    found = verified(place.url)
    assert wrong(found) == {"decisions": 1}
    assert "decision_id 'd1' cannot be read" in found.findings["got"][0].as_py()


@pytest.mark.parametrize("statement", ["DROP INDEX events_event_id", "DROP TABLE exposures", "CREATE TABLE mine (id)"])
def test_a_table_or_index_that_is_missing_or_of_others_is_found(sqlite_place: Place, statement: str) -> None:
    sqlite_place.run(statement)
    assert wrong(verified(sqlite_place.url)) == {"file": 1}


@pytest.mark.parametrize("place", ["postgres"], indirect=True)
@pytest.mark.parametrize(
    "statement",
    [
        "DROP INDEX adaptrace_events_in_order",
        "DROP TABLE adaptrace_exposures",
        "ALTER TABLE adaptrace_events DROP CONSTRAINT adaptrace_events_pkey",
        "DROP FUNCTION adaptrace_forget(text)",
        "UPDATE pg_index SET indisvalid = false WHERE indexrelid = 'adaptrace_events_in_order'::regclass",
    ],
)
def test_what_a_database_lacks_is_found(place: Place, statement: str) -> None:
    with storm.opened(place.url) as tutor:
        place.run(statement)
        found = tutor.verify()
    assert wrong(found)["file"] >= 1
    assert "is missing or not valid" in found.findings["got"][0].as_py()


def test_a_damaged_page_is_a_finding_and_no_crash(tmp_path: Path) -> None:
    with storm.opened(tmp_path / "t.db") as tutor:
        for number in range(400):
            tutor.observe(f"s{number % 40}", "a1", 1, event_id=f"e{number}", time=NOW + number * MINUTE)
    content = bytearray((tmp_path / "t.db").read_bytes())
    for page in range(4096 * 4, len(content), 4096 * 3):
        content[page : page + 64] = b"\xff" * 64
    (tmp_path / "t.db").write_bytes(content)
    found = verified(tmp_path / "t.db")
    assert not found.ok
    assert wrong(found)["file"] >= 1


def test_a_name_that_is_no_text_hides_no_other_student(sqlite_place: Place) -> None:
    sqlite_place.run("UPDATE students SET student = CAST(x'616e61ff' AS TEXT) WHERE student = 'ana'")
    sqlite_place.run("UPDATE students SET state = '' WHERE student = 'cy'")
    found = verified(sqlite_place.url)
    assert wrong(found) == {"events": 3, "states": 2}
    assert sorted(ids(found, "events")) == ["e0", "e3", "e5"]


def test_what_a_killed_snapshot_left_is_noted(sqlite_place: Place) -> None:
    with storm.opened(sqlite_place.url) as tutor:
        left = Path(sqlite_place.url).parent / ".copy.db.adaptrace-0a1b2c3d"
        left.mkdir()
        (left / ".copy.db").write_bytes(b"ana")
        found = tutor.verify()
        assert found.ok
        assert [(row["check"], row["is_wrong"]) for row in found.findings.to_pylist()] == [("temporary files", False)]
        assert (left / ".copy.db").exists()


# ---- nothing is changed, nobody is named ---------------------------------------


def test_nothing_is_changed(place: Place) -> None:
    place.set_state("damaged")
    place.run(f"UPDATE {place.events} SET correct = 0.25 WHERE event_id = 'e1'")
    tables = [place.students, place.events, f"{place.mark}decisions"]
    before = [place.run(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables]
    assert not verified(place.url).ok
    assert [place.run(f"SELECT * FROM {table} ORDER BY 1, 2, 3") for table in tables] == before


def test_names_are_shown_on_request_alone(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    place.set_state("damaged")
    place.run(f"UPDATE {place.events} SET correct = 0.25 WHERE event_id = 'e1'")
    shown = verified(place.url)
    for text in (str(shown), repr(shown), json.dumps(shown.to_dict()), caplog.text):
        assert not re.search(r"\b(ana|ben|cy)\b", text)
    named = verified(place.url, names=True)
    assert re.search(r"\bana\b", str(named))
    assert named.to_dict()["ok"] is False


def test_a_report_reads_well(place: Place) -> None:
    place.set_state("damaged")
    lines = str(verified(place.url)).splitlines()
    assert lines[0].split() == ["check", "checked", "wrong", "notes"]
    assert next(line.split()[-3:] for line in lines if line.startswith("states")) == ["3", "1", "0"]
    assert lines[-1].split() == ["states", "True", "e5", "not", "the", "replay", "of", "its", "events", "rebuild()"]
    assert repr(verified(place.url)) == "Verification(1 wrong, 1 findings)"


# ---- others go on --------------------------------------------------------------


def test_a_student_who_is_changed_meanwhile_is_looked_at_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between its state and its events another tutor writes; one is forgotten."""
    with storm.opened(place.url) as tutor, storm.opened(place.url) as other:
        events, times = tutor.store.events, list[str]()

        def late(student: str | None = None) -> object:
            times.append(student or "")
            if times == ["ana"]:
                other.observe("ana", "a1", 1, time=LATER)
            if times[-1] == "ben":
                other.forget_student("ben")
            return events(student)

        monkeypatch.setattr(tutor.store, "events", late)
        found = tutor.verify()
    assert found.ok
    assert times == ["ana", "ana", "ben", "cy"]
    assert checked(found)["states"] == 2


def test_a_student_who_always_changes_is_noted(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with storm.opened(place.url) as tutor, storm.opened(place.url) as other:
        events = tutor.store.events

        def late(student: str) -> object:
            found = list(events(student))
            if student == "ana":
                other.observe("ana", "a1", 1, time=LATER)
            return iter(found)

        monkeypatch.setattr(tutor.store, "events", late)
        found = tutor.verify()
    assert found.ok
    assert [(row["check"], row["is_wrong"]) for row in found.findings.to_pylist()] == [("states", False)]


def test_a_closed_store_is_an_error(place: Place) -> None:
    tutor = storm.opened(place.url)
    tutor.close()
    with pytest.raises(StoreError, match="the store is closed"):
        tutor.verify()
    tutor = storm.opened("memory:")
    tutor.close()
    with pytest.raises(StoreError, match="the store is closed"):
        tutor.verify()


# ---- rebuild -------------------------------------------------------------------


def test_rebuild_after_a_new_model_replays_each_student_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    place.run(f"UPDATE {place.students} SET model = 'another'")
    with storm.opened(place.url) as tutor:
        events, read = tutor.store.events, list[str]()
        monkeypatch.setattr(tutor.store, "events", lambda name: (read.append(name), events(name))[1])
        assert tutor.rebuild() == 3
        assert read == sorted(NAMES)
        assert all(storm.is_replay(tutor, name) for name in NAMES)


# ---- checksums -----------------------------------------------------------------


def test_events_are_of_their_checksums_wherever_they_were(place: Place, tmp_path: Path) -> None:
    """A snapshot, and a file of a float that no text of 15 places holds."""
    with storm.opened(place.url) as tutor:
        tutor.observe("ana", "a1", 0.1 + 0.2, event_id="third", time=LATER)
        tutor.retract("e0")
        assert tutor.verify().ok
        tutor.snapshot(tmp_path / "copy.db")
    found = verified(tmp_path / "copy.db")
    assert (found.ok, len(found.findings)) == (True, 0)


@pytest.mark.parametrize(
    "change",
    [
        *({"correct": 0.25}, {"moment": 1}, {"item": "q2"}, {"skills": ("a",)}, {"skills": ("a", "c")}),
        *({"kind": "k"}, {"group": "g"}, {"decision": "d"}, {"student": "Bo"}, {"event_id": "f"}),
    ],
    ids=str,
)
def test_a_checksum_is_of_every_field_but_the_retraction(change: dict[str, object]) -> None:
    event = Event("e", "Ada", "q1", ("a", "b"), "practice", 1.0, 0)
    assert checksum_of(event) != checksum_of(event._replace(**change))  # type: ignore[arg-type]
    assert checksum_of(event) == crc32(b"e\0Ada\0q1\0a\x1fb\0practice\x001.0\x000\0\0")
    assert checksum_of(event) == checksum_of(event._replace(retracted=True))
