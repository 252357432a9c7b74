"""Checkpoints of a long history: whatever comes late, state and evidence are those of a replay from nothing, bit for bit."""

from __future__ import annotations

import contextlib
import datetime
import random
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.models import student as student_module
from adaptrace.tutor import checkpoints, patches
from adaptrace.tutor.store.base import Checkpoint
from tutor import storm
from tutor.conftest import NOW

SKILLS = "abcdefgh"
ITEMS = [*SKILLS, "ab", "cde"]
CATALOG = at.Catalog.from_arrow({"item": ITEMS, "skills": [list(item) for item in ITEMS]})
PLAIN = at.BKT.from_parameters(list(SKILLS), prior=0.3, learn=0.1, forget=0.02, guess=0.2, slip=0.1)


def log() -> at.Log:
    """Of two classes, over some days."""
    chance, rows = np.random.default_rng(5), 600
    return at.Log.from_arrow(
        pa.table(
            {
                "student": [f"s{n // 12}" for n in range(rows)],
                "item": [SKILLS[n % 8] for n in range(rows)],
                "skill": [SKILLS[n % 8] for n in range(rows)],
                "correct": chance.integers(0, 2, rows),
                "group": [("7b", "8a")[n // 12 % 2] for n in range(rows)],
                "time": [NOW - datetime.timedelta(days=float(day)) for day in chance.uniform(0, 40, rows)],
            }
        )
    )


MODELS = {
    "plain": lambda: PLAIN,
    "fading": lambda: at.BKT(elapsed=True).fit(log()),
    "by group": lambda: at.BKT(groups=("prior", "learn")).fit(log()),
    "blend": lambda: at.Blend().fit(log()),
}


@pytest.fixture(autouse=True)
def small_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a short history is a long one."""
    monkeypatch.setattr(checkpoints, "STEP", 4)
    monkeypatch.setattr(patches, "LEAST", 1)
    monkeypatch.setattr(student_module, "RECENT", 3)


def opened(url: object, model: Any = PLAIN, **options: Any) -> at.Tutor:
    return at.Tutor.open(url, model=model, catalog=CATALOG, clock=lambda: NOW, **options)


def is_sound(tutor: at.Tutor) -> int:
    """State, evidence and checkpoints are those of a replay from nothing; how many checkpoints there are."""
    replay, found = tutor._students._replay, list(tutor.store.checkpoints("ana"))
    assert storm.is_replay(tutor, "ana") or not tutor.store.students()
    clean = replay.follow(replay.new_followed("ana"), tutor.store.events("ana"))
    student, history = tutor._students.with_history("ana")
    assert (student.to_dict(), history) == (clean.student.to_dict(), clean.history)
    for row in found:
        kept = tutor._students._checkpoints.read(row)
        events = [each for each in tutor.store.events("ana") if (each.moment, each.event_id) <= (row.moment, row.event_id)]
        wanted = replay.follow(replay.new_followed("ana"), events)
        assert (kept.student.to_dict(), kept.history, kept.last) == (wanted.student.to_dict(), wanted.history, wanted.last)
        assert checkpoints.step_of(row) == len(events) // 4
    return len(found)


@pytest.mark.parametrize("family", MODELS)
@pytest.mark.parametrize("seed", range(3))
def test_late_events_end_in_the_bits_of_a_replay(url: object, family: str, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance, model, patched = random.Random(f"{family} {seed}"), MODELS[family](), list[object]()
    patch = patches.Patches.patched
    monkeypatch.setattr(patches.Patches, "patched", lambda *given: patched.append(patch(*given)) or patched[-1])
    ids, most = list[str](), 0
    with opened(url, model) as first, opened(url if url != "memory:" else "memory:", model) as second:
        tutors = [first] if url == "memory:" else [first, first, first, second]
        for number in range(60):
            tutor, event_id = chance.choice(tutors), f"e{chance.randrange(10**6):06d}-{number}"
            hours = 400 - 4 * number + (chance.choice([0, 8, 100, 350]) if chance.random() < 0.5 else 0)
            options = {"time": NOW - datetime.timedelta(hours=min(hours, 400)), "group": chance.choice(["7b", "7b", "8a"])}
            action = chance.random()
            if action < 0.05 and ids:
                tutor.retract(chance.choice(ids))
            else:
                wrong = chance.choice(ids) if action < 0.12 and ids else None
                with contextlib.suppress(at.ConflictError):
                    tutor.observe(
                        "ana", chance.choice(ITEMS), chance.choice([0, 0.5, 1]), event_id=event_id, replaces=wrong, **options
                    )
                    ids.append(event_id)
            if number % 4 == 0:
                most = max(most, is_sound(chance.choice(tutors)))
        assert is_sound(first) >= 3
    assert most >= 4
    assert family == "blend" or len(list(filter(None, patched))) >= 1


def filled(tutor: at.Tutor, n: int = 60) -> None:
    """Many events in one table."""
    rows = [
        {"student": "ana", "item": SKILLS[k % 7], "correct": k % 3 % 2, "time": NOW - datetime.timedelta(hours=n - k)}
        for k in range(n)
    ]
    tutor.observe_many(pa.Table.from_pylist([{**row, "event_id": f"e{k:02d}"} for k, row in enumerate(rows)]))


def test_a_table_leaves_checkpoints_too(url: object) -> None:
    with opened(url) as tutor:
        filled(tutor)
        assert is_sound(tutor) == sum(checkpoints.is_kept(step, 15) for step in range(1, 16))


DAMAGE = {
    "text": lambda row: row._replace(content="\x01 no checkpoint"),
    "nothing": lambda row: row._replace(content=""),
    "cut short": lambda row: row._replace(content=row.content[: len(row.content) // 2]),
    "another letter": lambda row: row._replace(content=row.content[:50] + "AAAA" + row.content[54:]),
    "another model": lambda row: row._replace(model="0123456789abcdef 00000000"),
    "of another student": lambda row: Checkpoint("ben", *row[1:]),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_checkpoint_that_cannot_be_read_is_not_there(url: object, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(url) as tutor:
        filled(tutor)
        kept = list(tutor.store.checkpoints("ana"))
        damaged = [DAMAGE[name](row) for row in kept]
        with monkeypatch.context() as patch:
            patch.setattr(tutor.store, "checkpoints", lambda student=None: iter(damaged))
            of_tutor = tutor._students._checkpoints
            assert all(of_tutor.read(row) is None for row in damaged if row.model == of_tutor.maker)
            tutor._students._pop("ana")
            table = tutor.mastery_table("ana")
            tutor.observe("ana", "a", 1, event_id="late", time=NOW - datetime.timedelta(hours=50))
        assert table.num_rows == 7
        assert storm.is_replay(tutor, "ana")
        tutor.rebuild()
        assert is_sound(tutor) == len(kept)


def test_checkpoints_of_another_criterion_or_model_are_not_read(url: object) -> None:
    if url == "memory:":
        pytest.skip("another tutor has another memory")
    with opened(url) as tutor:
        filled(tutor)
    with opened(url, criterion=at.Criterion(threshold=0.6, proficient=0.5)) as tutor:
        assert tutor.mastery_table("ana")["reached_after"].null_count < 7
        is_of_replay = tutor._students.with_history("ana")[1]
        replay = tutor._students._replay
        assert is_of_replay == replay.follow(replay.new_followed("ana"), tutor.store.events("ana")).history
        tutor.rebuild()
        assert is_sound(tutor) > 5
    with opened(url, at.BKT.from_parameters(list(SKILLS), prior=0.6, learn=0.1, guess=0.2, slip=0.1)) as tutor:
        tutor.observe("ana", "a", 1, event_id="late", time=NOW - datetime.timedelta(hours=50))
        assert is_sound(tutor) > 5


def test_who_is_forgotten_leaves_no_checkpoint(url: object) -> None:
    with opened(url) as tutor:
        filled(tutor)
        tutor.forget_student("ana")
        assert list(tutor.store.checkpoints()) == []


def test_a_snapshot_has_the_checkpoints(url: object, tmp_path: Path) -> None:
    with opened(url) as tutor:
        filled(tutor)
        tutor.snapshot(tmp_path / "copy.db")
        kept = list(tutor.store.checkpoints())
    with opened(tmp_path / "copy.db") as copy:
        assert list(copy.store.checkpoints()) == kept


@pytest.mark.parametrize("back", [1, 20, 55])
def test_little_is_read_for_a_late_event_and_for_the_evidence(url: object, back: int, monkeypatch: pytest.MonkeyPatch) -> None:
    read = list[object]()
    with opened(url) as tutor:
        filled(tutor)
        with monkeypatch.context() as patch:
            for name in ("events", "events_on"):
                whole = getattr(tutor.store, name)

                def counted(*given: Any, whole: Any = whole, **options: Any) -> Iterator[object]:
                    for event in whole(*given, **options):
                        read.append(event)
                        yield event

                patch.setattr(tutor.store, name, counted)
            tutor._students._pop("ana")
            tutor.mastery_table("ana")
            assert len(read) < 4
            read.clear()
            tutor.observe("ana", "b", 1, event_id="late", time=NOW - datetime.timedelta(hours=back, minutes=30))
            assert len(read) <= 60 // 7 + 1
        assert is_sound(tutor)


def test_checkpoints_grow_with_the_logarithm_of_the_history() -> None:
    kept = [step for step in range(1, 201) if checkpoints.is_kept(step, 200)]
    assert len(kept) == 15
    assert kept[-3:] == [198, 199, 200]
    for newest in range(1, 200):  # none is wanted that was dropped
        now = {step for step in range(newest + 1) if checkpoints.is_kept(step, newest)}
        later = {step for step in range(newest + 1) if checkpoints.is_kept(step, newest + 1)}
        assert later <= now


def test_a_store_of_before_has_checkpoints_when_the_next_is_due(tmp_path: Path) -> None:
    path = tmp_path / "tutor.db"
    with opened(path) as tutor:
        filled(tutor)
    with contextlib.closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("DELETE FROM checkpoints")
    with opened(path) as tutor:
        for number in range(4):
            tutor.observe("ana", "a", 1, event_id=f"new-{number}", time=NOW + number * datetime.timedelta(seconds=1))
        assert is_sound(tutor) >= 1
