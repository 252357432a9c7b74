"""A tutor's students: in memory, in the store, and after another process wrote."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import adaptrace as at
from adaptrace.tutor.arrivals import Delivery
from adaptrace.tutor.replay import Replay, state_text
from adaptrace.tutor.store import Event, SQLiteStore, Store, StoredState
from adaptrace.tutor.students import AS_BEFORE, Students

Opened = Callable[..., Students]


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with contextlib.closing(SQLiteStore(tmp_path / "t.db")) as store:
        yield store


@pytest.fixture
def replay(school_model: at.BKT, school: at.Catalog) -> Replay:
    return Replay(school_model, school)


@pytest.fixture
def opened(store: Store, replay: Replay) -> Opened:
    """Another process's students of the same store, which shares nothing else."""
    return lambda size=10: Students(store, replay, size=size)


def event(event_id: str, student: str = "ana", moment: int = 0, correct: float = 1.0, group: str = AS_BEFORE) -> Event:
    return Event(event_id, student, "a1", ("a",), "practice", correct, moment, group)


def test_a_student_who_is_not_stored_has_not_answered(opened: Opened, store: Store) -> None:
    assert opened().get("ana").responses == 0
    assert store.students() == []


def test_what_is_written_is_counted_once(opened: Opened) -> None:
    students = opened()
    assert students.deliver(Delivery("ana", [event("e1"), event("e2", moment=5)])) == 2
    assert students.deliver(Delivery("ana", [event("e1"), event("e3", moment=6)])) == 1
    assert students.deliver(Delivery("ana", [], ["e1"])) == 1
    assert students.deliver(Delivery("ana", [], ["e1"])) == 0
    assert students.get("ana").opportunities == {"a": 2}


def test_a_write_made_from_an_older_version_is_made_again(opened: Opened, store: Store, replay: Replay) -> None:
    one, other = opened(), opened()
    one.deliver(Delivery("ana", [event("e1", group="7b")]))
    other.deliver(Delivery("ana", [event("e2", moment=1, correct=0.0, group="8a")]))
    assert one.deliver(Delivery("ana", [event("e3", moment=2)])) == 1
    assert [each.group for each in store.events("ana")] == ["7b", "8a", "8a"]
    expected = state_text(*replay.fold("ana", store.events("ana")))
    assert store.load("ana") == StoredState(3, replay.model.fingerprint, expected)
    assert one.get("ana") == other.get("ana")


def test_a_student_is_as_the_store_has_it_now(opened: Opened) -> None:
    one, other = opened(), opened()
    for number in range(4):
        (one, other)[number % 2].deliver(Delivery("ana", [event(str(number), moment=number)]))
        assert one.get("ana").responses == other.get("ana").responses == number + 1


def test_few_students_are_kept_and_all_are_found(opened: Opened, store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    students, loaded = opened(size=2), list[str]()
    for name in ("ana", "ben", "cy"):
        students.deliver(Delivery(name, [event(name, name)]))
    load = store.load
    monkeypatch.setattr(store, "load", lambda name: loaded.append(name) or load(name))
    assert [students.get(name).responses for name in ("cy", "ben", "ana", "cy")] == [1] * 4
    assert loaded == ["ana", "cy"]  # Ben was read before Cy came again


def test_many_students_come_in_the_order_of_their_names(opened: Opened) -> None:
    students = opened()
    students.write_many([("cy", [event("c", "cy")]), ("ana", [event("a")])])
    assert [(each.name, each.responses) for each in students.get_many(["cy", "ben", "ana", "cy"])] == [
        ("ana", 1),
        ("ben", 0),
        ("cy", 1),
    ]
    assert [each.name for each in students.get_many(None)] == ["ana", "cy"]
    assert list(students.get_many([])) == []


def test_many_are_written_one_by_one_where_one_change_does_not_apply(opened: Opened, store: Store) -> None:
    one, other = opened(), opened()
    one.get("ana")
    other.deliver(Delivery("ana", [event("e1")]))
    assert one.write_many([("ana", [event("e1"), event("e2", moment=1)]), ("ben", [event("b", "ben")])]) == 2
    assert [each.event_id for each in store.events()] == ["e1", "e2", "b"]


def test_who_is_forgotten_is_new(opened: Opened, store: Store) -> None:
    students = opened()
    students.deliver(Delivery("ana", [event("e1"), event("e2")]))
    assert students.forget("ana") == 2
    assert students.get("ana").responses == 0
    assert students.rebuild(None) == 0
    assert store.students() == []


def test_an_event_of_another_content_is_a_conflict_and_nothing_is_written(opened: Opened, store: Store) -> None:
    students = opened()
    students.deliver(Delivery("ana", [event("e1")]))
    with pytest.raises(at.ConflictError, match="event_id 'e1': got a1, practice 0 on a at 1970-01-01T00:00:00"):
        students.deliver(Delivery("ana", [event("e1", correct=0.0), event("e2", moment=1)]))
    assert [each.event_id for each in store.events()] == ["e1"]
    assert students.get("ana").responses == 1
