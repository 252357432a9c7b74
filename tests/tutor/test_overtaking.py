"""Corrections and retractions that come before the event that they are about: every order ends in the state of the clean log."""

from __future__ import annotations

import contextlib
import datetime
import random
from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import adaptrace as at
from tutor import storm
from tutor.conftest import MINUTE, NOW
from tutor.test_any_order import fading_model

CATALOG = at.Catalog.from_arrow({"item": ["a1", "a2", "b1", "ab"], "skills": [["a"], ["a"], ["b"], ["a", "b"]]})
MODEL = fading_model()


class Sent(NamedTuple):
    """What is delivered: an event, or the retraction of one (without an item)."""

    event_id: str
    item: str = ""
    correct: float = 1.0
    minute: int | None = None
    replaces: str | None = None
    student: str = "ana"
    options: dict[str, Any] = {}  # noqa: RUF012  (never changed)


def deliver(tutor: at.Tutor, sent: Sent) -> bool:
    if not sent.item:
        return tutor.retract(sent.event_id)
    time = None if sent.minute is None else NOW - datetime.timedelta(hours=9 * sent.minute)
    return tutor.observe(
        sent.student,
        sent.item,
        sent.correct,
        event_id=sent.event_id,
        time=time,
        replaces=sent.replaces,
        **sent.options,
    )


@contextlib.contextmanager
def opened(url: object, model: at.BKT = MODEL) -> Iterator[at.Tutor]:
    with at.Tutor.open(url, model=model, catalog=CATALOG, clock=lambda: NOW) as tutor:
        yield tutor


def said(tutor: at.Tutor, student: str) -> tuple[object, ...]:
    """All that a tutor knows of a student, in its bits; the state is that of the events."""
    assert storm.is_replay(tutor, student) or student not in tutor.store.students()
    retracted = {event.event_id for event in tutor.store.retracted() if event.student == student}
    entry = tutor._students.get(student)
    return entry.to_dict(), tutor.history(student).to_pylist(), retracted, tutor.mastery_table(student).to_pylist()


def clean(sent: list[Sent]) -> list[Sent]:
    """In the order in which things happen: no event comes after what is about it."""
    ids = {each.event_id: each for each in sent if each.item}

    def depth(each: Sent) -> int:
        return 1 + depth(ids[each.replaces]) if each.replaces in ids else 0

    return sorted(sent, key=lambda each: (not each.item, depth(each)))


E, F = Sent("e", "a1", 0.0, 5), Sent("f", "b1", 1.0, 3)
CASES = {
    "a retraction": [E, F, Sent("e")],
    "a retraction of one delivered twice": [E, E, Sent("e"), Sent("e")],
    "a correction": [E, F, Sent("c", "a1", 1.0, None, "e")],
    "a correction of another time": [E, F, Sent("c", "a1", 1.0, 1, "e")],
    "a correction to another item": [E, F, Sent("c", "ab", 0.5, None, "e")],
    "a correction of an event of its own class": [
        E._replace(options={"group": "7b"}),
        F._replace(options={"group": "8a"}),
        Sent("c", "a1", 1.0, None, "e"),
    ],
    "a correction of explicit skills": [
        E._replace(item="poster", options={"skills": ["a", "b"], "kind": "project"}),
        F,
        Sent("c", "poster", 1.0, None, "e"),
    ],
    "a correction delivered twice": [E, E, Sent("c", "a1", 1.0, None, "e"), Sent("c", "a1", 1.0, None, "e")],
    "a retraction of what is corrected": [E, Sent("c", "a1", 1.0, None, "e"), Sent("e"), F],
    "a retraction of a correction": [E, Sent("c", "a1", 1.0, None, "e"), Sent("c"), F],
    "a correction of a correction": [E, Sent("c", "a1", 1.0, None, "e"), Sent("d", "a2", 0.5, None, "c"), F],
    "a chain of which all is taken back": [
        E,
        Sent("c", "a1", 1.0, None, "e"),
        Sent("d", "a2", 0.5, None, "c"),
        Sent("d"),
        Sent("e"),
    ],
    "two events, each corrected": [E, F, Sent("c", "a1", 1.0, None, "e"), Sent("d", "ab", 1.0, None, "f")],
    "a correction of an event of which there is none": [E, Sent("c", "a1", 1.0, None, "nothing"), Sent("never")],
}


@pytest.mark.parametrize("name", CASES)
def test_every_order_ends_in_the_state_of_the_clean_log(url: object, name: str) -> None:
    case, few = CASES[name], random.Random(name)
    with opened("memory:") as tutor:
        for each in clean(case):
            deliver(tutor, each)
        wanted, waits = said(tutor, "ana"), tutor.waiting()
    orders = list(dict.fromkeys(permutations(range(len(case)))))
    assert len(clean(case)) == len(case)
    for order in orders if url == "memory:" else few.sample(orders, min(5, len(orders))):
        with opened(url) as tutor:
            for number in order:
                deliver(tutor, case[number])
            assert said(tutor, "ana") == wanted, order
            assert tutor.waiting().equals(waits)
            assert tutor.rebuild() == 1
            assert said(tutor, "ana") == wanted
            for each in case:
                assert deliver(tutor, each) is False
            tutor.forget_student("ana")
            for each in tutor.waiting()["event_id"].to_pylist():
                assert each == "never"  # nobody knows whose it is


def drawn(seed: int) -> list[Sent]:
    """Events of two students, corrections of some (no event has two) and retractions, of which some come twice."""
    chance = random.Random(seed)
    sent = [
        Sent(f"e{number}", chance.choice(["a1", "a2", "b1", "ab"]), chance.choice([0.0, 0.5, 1.0]), chance.randrange(9))
        for number in range(6)
    ]
    sent = [each._replace(student=chance.choice(["ana", "ben"])) for each in sent]
    for number in range(5):
        wrong = chance.choice([each for each in sent if each.event_id not in {other.replaces for other in sent}])
        minute = chance.choice([None, chance.randrange(9)])
        item = chance.choice(["a1", "b1", "ab", wrong.item])
        sent.append(Sent(f"c{number}", item, chance.choice([0.0, 1.0]), minute, wrong.event_id, wrong.student))
    sent += [Sent(each.event_id) for each in chance.sample(sent, 3)]
    return sent + chance.sample(sent, 3)


@pytest.mark.parametrize("seed", range(12))
def test_drawn_deliveries_in_any_order(url: object, seed: int) -> None:
    for number in range(seed, 60 if url == "memory:" else seed + 1, 12):
        sent, chance = drawn(number), random.Random(number)
        with opened("memory:") as tutor:
            for each in clean(sent):
                deliver(tutor, each)
            wanted = [said(tutor, name) for name in ("ana", "ben")]
        chance.shuffle(sent)
        with opened(url) as first, opened(url) as second:
            tutors = [first, first if url == "memory:" else second]
            for each in sent:
                deliver(chance.choice(tutors), each)
            assert [said(first, name) for name in ("ana", "ben")] == wanted
            assert first.waiting().num_rows == 0


def test_of_two_corrections_the_first_is_kept_whether_the_original_came_or_not(url: object) -> None:
    one, other = Sent("c", "a1", 1.0, None, "e"), Sent("d", "a1", 0.5, None, "e")
    with opened(url) as tutor:
        assert deliver(tutor, one) is True
        with pytest.raises(at.ConflictError, match="replaces: got event_id 'e', which was retracted or replaced before"):
            deliver(tutor, other)
        assert deliver(tutor, E) is True
        with pytest.raises(at.ConflictError, match="replaces: got event_id 'e', which was retracted or replaced before"):
            deliver(tutor, other)
        assert tutor.history("ana")["event_id"].to_pylist() == ["c"]


def test_an_id_that_waits_stands_for_one_thing(url: object) -> None:
    with opened(url) as tutor:
        deliver(tutor, Sent("c", "a1", 1.0, None, "e"))
        with pytest.raises(at.ConflictError, match="event_id 'c': another correction of 'e' waits under it"):
            deliver(tutor, Sent("c", "a1", 0.0, None, "e"))
        with pytest.raises(at.ConflictError, match="event_id 'c': it waits as the correction of 'e', which has not come"):
            deliver(tutor, Sent("c", "a1", 1.0, None, "f"))
        with pytest.raises(at.ConflictError, match="event_id 'c': got a1, practice 0 on a at"):
            deliver(tutor, Sent("c", "a1", 0.0, 1))
        assert deliver(tutor, Sent("c", "a1", 1.0, 1)) is False  # the correction again, without what it replaces
        deliver(tutor, F)
        with pytest.raises(at.ConflictError, match="event_id 'c': it waits as the correction of 'e', which has not come"):
            deliver(tutor, Sent("c", "a1", 1.0, None, "f"))
        with pytest.raises(at.ConflictError, match="event_id 'f': got ab"):
            deliver(tutor, Sent("f", "ab", 1.0, 3, "g"))
        assert tutor.history("ana")["event_id"].to_pylist() == ["f"]


def test_a_correction_by_another_student_waits_for_good(url: object) -> None:
    with opened(url) as tutor:
        deliver(tutor, Sent("c", "a1", 1.0, None, "e", "ben"))
        assert deliver(tutor, E) is True
        assert tutor.history("ana")["event_id"].to_pylist() == ["e"]
        assert tutor.waiting().to_pylist() == [{"event_id": "e", "student": "ben", "replaced_by": "c"}]
        assert deliver(tutor, Sent("d", "a1", 1.0, None, "e")) is True
        assert tutor.forget_student("ben") == 0
        assert tutor.waiting().num_rows == 0


def test_a_table_brings_what_was_waited_for(url: object) -> None:
    with opened(url) as tutor:
        deliver(tutor, Sent("c", "a1", 1.0, None, "e"))
        deliver(tutor, Sent("g"))
        rows = [("e", "ana"), ("g", "ben"), ("h", "ben")]
        time = NOW - 5 * MINUTE
        table = {
            "event_id": [each for each, _ in rows],
            "student": [name for _, name in rows],
            "item": ["a1"] * 3,
            "correct": [0] * 3,
            "time": [time] * 3,
        }
        import pyarrow as pa

        assert tutor.observe_many(pa.table(table)) == 3
        assert tutor.observe_many(pa.table(table)) == 0
        assert tutor.history("ana")["event_id"].to_pylist() == ["c"]
        assert tutor.history("ben")["event_id"].to_pylist() == ["h"]
        assert all(storm.is_replay(tutor, name) for name in ("ana", "ben"))


def test_who_is_forgotten_takes_along_what_waits(url: object) -> None:
    with opened(url) as tutor:
        deliver(tutor, F)
        deliver(tutor, Sent("c", "a1", 1.0, None, "e"))
        deliver(tutor, Sent("c"))
        deliver(tutor, Sent("e"))
        assert tutor.waiting()["event_id"].to_pylist() == ["c", "e", "e"]
        assert tutor.forget_student("ana") == 1
        assert tutor.waiting().num_rows == 0
        assert deliver(tutor, E) is True
        assert tutor.history("ana")["event_id"].to_pylist() == ["e"]


def test_what_waits_is_in_a_snapshot(url: object, tmp_path: Path) -> None:
    with opened(url) as tutor:
        deliver(tutor, F)
        deliver(tutor, Sent("c", "a1", 1.0, None, "e"))
        deliver(tutor, Sent("d", "b1", 0.0, None, "f"))
        tutor.snapshot(tmp_path / "copy.db")
        deliver(tutor, E)
        wanted = said(tutor, "ana")
    with opened(tmp_path / "copy.db") as copy:
        assert copy.waiting().to_pylist() == [{"event_id": "e", "student": "ana", "replaced_by": "c"}]
        with pytest.raises(at.ConflictError):
            deliver(copy, Sent("g", "b1", 1.0, None, "f"))
        deliver(copy, E)
        assert said(copy, "ana") == wanted
