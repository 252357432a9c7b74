"""A stored state that cannot be read is no state: the student's events are replayed, and nobody is locked out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import adaptrace as at
from adaptrace.errors import StoreError
from adaptrace.tutor import students as inside
from tutor import storm
from tutor.conftest import MINUTE, NOW
from tutor.places import NAMES, Place, in_postgres
from tutor.store.postgres_server import MISSING

Edit = Callable[[Any], Any]


def answers(tutor: at.Tutor) -> list[object]:
    """What a tutor says of all three."""
    each = [[str(choice) for choice in tutor.recommend(name, k=3)] for name in NAMES]
    tables = [tutor.recommend_all(k=2).to_pylist(), tutor.recommend_all(NAMES, k=2, reasons=True).to_pylist()]
    return [each, tables, [tutor.mastery_table(name).to_pylist() for name in NAMES]]


def leaves(content: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all numbers, texts and nulls of plain data."""
    if isinstance(content, dict | list):
        for key, value in content.items() if isinstance(content, dict) else enumerate(content):
            yield from leaves(value, (*path, key))
    else:
        yield path


def edited(text: str, path: tuple[Any, ...], value: Any) -> str:
    """Stored plain data with another value at a path."""
    content = json.loads(text)
    inner = content
    for key in path[:-1]:
        inner = inner[key]
    inner[path[-1]] = value
    return json.dumps(content, separators=(",", ":"))


def heals(place: Place, damage: Callable[[], None]) -> None:
    """After the damage all is answered as before; rebuild, or an event, mends what is stored."""
    with storm.opened(place.url) as tutor:
        before, states = answers(tutor), place.states()
    damage()
    with storm.opened(place.url) as tutor:
        assert answers(tutor) == before
    with storm.opened(place.url) as tutor:
        assert tutor.rebuild() == 3
        assert storm.is_replay(tutor, "ana")
    assert place.states() == states
    damage()
    with storm.opened(place.url) as tutor:
        assert tutor.observe("ana", "a2", 1, event_id="new", time=NOW + 60 * MINUTE) is True
        assert all(storm.is_replay(tutor, name) for name in NAMES)


DAMAGE: dict[str, Edit] = {
    "nothing": lambda text: "",
    "garbage": lambda text: "\x01\x02 no JSON %s ?",
    "half": lambda text: text[: len(text) // 2],
    "all but the last sign": lambda text: text[:-1],
    "null": lambda text: "null",
    "a number": lambda text: "3",
    "a text": lambda text: '"state"',
    "a list": lambda text: "[]",
    "an empty object": lambda text: "{}",
    "an object of another shape": lambda text: '{"last":null,"schema":1,"state":{"odds":3}}',
    "too deep": lambda text: "[" * 100_000,
    "twice": lambda text: text + text,
    "a newer schema": lambda text: edited(text, ("schema",), 99),
    "no schema": lambda text: edited(text, ("schema",), None),
    "no last event": lambda text: edited(text, ("last",), None),
    "a last event of another shape": lambda text: edited(text, ("last",), [1]),
    "no odds": lambda text: edited(text, ("state", "odds"), None),
    "odds that are a list": lambda text: edited(text, ("state", "odds"), [0.5]),
    "odds that are null": lambda text: edited(text, ("state", "odds", "a"), None),
    "odds that are no number": lambda text: edited(text, ("state", "odds", "a"), float("nan")),
    "odds without end": lambda text: edited(text, ("state", "odds", "a"), float("inf")),
    "odds that are text": lambda text: edited(text, ("state", "odds", "a"), "0.5"),
    "counts that are text": lambda text: edited(text, ("answered", "a1"), "1"),
    "counts below 0": lambda text: edited(text, ("opportunities", "a"), -3),
    "columns of other lengths": lambda text: edited(text, ("recent", 0), ["a1"]),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_state_that_cannot_be_read_is_made_again_from_the_events(place: Place, damage: str) -> None:
    heals(place, lambda: place.set_state(DAMAGE[damage](place.state("ana"))))


def test_every_value_of_a_state_may_be_damaged(sqlite_place: Place) -> None:
    place = sqlite_place
    with storm.opened(place.url) as tutor:
        before = [str(choice) for choice in tutor.recommend("ana")]
    text, paths = place.state("ana"), list(leaves(json.loads(place.state("ana"))))
    assert len(paths) > 20
    for path in paths:
        for value in (None, float("nan"), "x", [], 7.25):
            place.set_state(edited(text, path, value))
            with storm.opened(place.url) as tutor:
                assert [str(choice) for choice in tutor.recommend("ana")] == before, (path, value)
                assert storm.text_of(tutor, "ana") == text, (path, value)


def test_the_state_of_another_student_is_no_state(place: Place) -> None:
    heals(place, lambda: place.set_state(place.state("ben")))


@pytest.mark.parametrize(
    "value",
    ["x'00ff80'", "CAST(x'7b22ff80' AS TEXT)", "17", "1.5", "CAST(state AS BLOB)"],
    ids=["blob", "no UTF-8", "int", "real", "bytes"],
)
@pytest.mark.parametrize("column", ["state", "model"])
def test_a_state_of_another_type_is_made_again(sqlite_place: Place, column: str, value: str) -> None:
    heals(sqlite_place, lambda: sqlite_place.set(column, value))


def test_a_state_that_is_whole_is_read_and_not_made_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    with storm.opened(place.url) as tutor:
        before = answers(tutor)[0]
    with storm.opened(place.url) as tutor:
        monkeypatch.setattr(tutor.store, "events", lambda student=None: pytest.fail("the events were read"))
        assert [[str(choice) for choice in tutor.recommend(name, k=3)] for name in NAMES] == before
        tutor.recommend_all(k=1)


def test_a_state_without_its_sum_is_made_again(place: Place) -> None:
    """As it was written before there were sums."""
    content = json.loads(place.state("ana"))
    assert content.popitem()[0] == "sum"
    heals(place, lambda: place.set_state(json.dumps(content, separators=(",", ":"))))


# ---- events -------------------------------------------------------------------

EVENT_DAMAGE = {
    "skills": ["'[\"a\"]'", "'[\"a\"'", "'null'", "'\"a\"'", "'[]'", "'[1]'", "'{}'"],
    "correct": ["'much'", "7.5", "-1", "x'00'", "0.25"],
    "moment": ["'now'", "0.5", "moment + 1"],
    "item": ["x'ff'", "CAST(x'ff80' AS TEXT)", "'b2'"],
    "kind": ["CAST(x'ff80' AS TEXT)", "'quiz'"],
    '"group"': ["x'00'", "'8c'"],
    "decision": ["'d9'"],
    "checksum": ["checksum + 1"],
}


def refuses(tutor: at.Tutor) -> None:
    """Every call that reads the event names it, and not the student."""
    for call in (
        lambda: tutor.recommend("ana"),
        lambda: tutor.mastery_table("ana"),
        lambda: tutor.history("ana"),
        lambda: tutor.observe("ana", "a1", 1, time=NOW + 60 * MINUTE),
        lambda: tutor.log(),
        lambda: tutor.rebuild(),
        lambda: tutor.retract("e3"),
    ):
        with pytest.raises(StoreError, match="event_id 'e3': cannot be read: ") as raised:
            call()
        assert not re.search(r"\bana\b", str(raised.value))
    assert [str(choice) for choice in tutor.recommend("ben")]
    assert tutor.observe("ben", "a1", 1, time=NOW + 60 * MINUTE) is True


@pytest.mark.parametrize(("column", "value"), [(column, value) for column, values in EVENT_DAMAGE.items() for value in values])
def test_an_event_that_cannot_be_read_is_named(sqlite_place: Place, column: str, value: str) -> None:
    sqlite_place.set_state("damaged")
    sqlite_place.run(f"UPDATE events SET {column} = {value} WHERE event_id = 'e3'")
    with storm.opened(sqlite_place.url) as tutor:
        refuses(tutor)


@pytest.mark.skipif(bool(MISSING), reason=MISSING or "never")
@pytest.mark.parametrize("value", ["skills = 'null'", "skills = '[1]'", "skills = '{}'", "correct = 'NaN'", "correct = 0.25"])
def test_an_event_of_a_server_that_cannot_be_read_is_named(value: str) -> None:
    with in_postgres() as place:
        place.set_state("damaged")
        place.run(f"UPDATE adaptrace_events SET {value} WHERE event_id = 'e3'")
        with storm.opened(place.url) as tutor:
            refuses(tutor)


def test_rebuild_goes_on_past_events_that_cannot_be_read(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ana has two such events, Ben one; Cy's state is made again."""
    before = place.state("cy")
    place.run(f"UPDATE {place.students} SET state = 'damaged'")
    place.run(f"UPDATE {place.events} SET skills = 'null' WHERE event_id IN ('e0', 'e1', 'e3')")
    shares: list[float] = []
    with storm.opened(place.url) as tutor:
        with pytest.raises(
            StoreError, match=r"^event_id 'e0', 'e3', 'e1': cannot be read: 2 of 3 students were not rebuilt"
        ) as raised:
            tutor.rebuild(progress=shares.append)
        assert not re.search(r"\b(ana|ben)\b", str(raised.value))
        monkeypatch.setattr(inside, "LISTED", 1)
        with pytest.raises(StoreError, match=r"^event_id 'e0' and 2 more: cannot be read: 2 of 3 students"):
            tutor.rebuild()
    assert shares == pytest.approx([1 / 3, 2 / 3, 1.0])
    assert place.states() == ["damaged", "damaged", before]


@pytest.mark.parametrize(
    "content",
    [
        *("", "{", "null", "3", "[]", "{}", '{"candidates":["a1"]}', '{"candidates":["a1"],"propensities":[]}'),
        *('{"candidates":[1],"propensities":[1.0]}', '{"candidates":["a1"],"propensities":["x"]}', "[" * 100_000),
    ],
    ids=lambda content: content[:40],
)
def test_a_decision_that_is_text_but_no_decision_is_named(sqlite_place: Place, content: str) -> None:
    with storm.opened(sqlite_place.url) as tutor:
        tutor.recommend("ben", decision_id="d1")
        tutor.observe("ben", "a1", 1, decision_id="d1", time=NOW + 60 * MINUTE)
        sqlite_place.run(f"UPDATE decisions SET content = '{content}'")
        for decided in (True, False):
            with pytest.raises(StoreError, match=r"^decision_id 'd1' cannot be read: expected JSON with candidates") as raised:
                tutor.log(decided=decided)
            assert "ben" not in str(raised.value)


def test_a_name_or_a_decision_that_is_no_text_is_reported_and_not_shown(sqlite_place: Place) -> None:
    with storm.opened(sqlite_place.url) as tutor:
        tutor.recommend("ben", decision_id="d1")
        sqlite_place.run("UPDATE decisions SET content = CAST(x'7365637265ff' AS TEXT)")
        with pytest.raises(StoreError, match=r"decision_id 'd1' cannot be read: it is no text; restore a snapshot$"):
            tutor.log()
        sqlite_place.run("UPDATE students SET student = CAST(x'616e61ff' AS TEXT) WHERE student = 'ana'")
        for call in (lambda: tutor.rebuild(), lambda: tutor.recommend_all()):
            with pytest.raises(StoreError, match=r"db: a student's name cannot be read: it is no text; restore a snapshot$"):
                call()
        assert tutor.recommend("ben")
