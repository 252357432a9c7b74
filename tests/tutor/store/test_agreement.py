"""SQLite against the obvious store of dictionaries: after any calls, both hold the same and have answered the same."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule, run_state_machine_as_test

from adaptrace.tutor.store import Change, Checkpoint, Correction, Decision, Event, MemoryStore, SQLiteStore, Store
from adaptrace.tutor.store import sqlite as inside

STUDENTS = st.sampled_from(["", "Ada", "Ada0", "Bob", "Zoë"])
IDS = st.sampled_from([f"e{number}" for number in range(8)])
MOMENTS = st.integers(-2, 2)
ITEMS = st.sampled_from("pqr")


@st.composite
def changes(draw: Callable[..., Any]) -> tuple[str, int, tuple[Event, ...], tuple[str, ...]]:
    """A student, how far from the stored version, new events, retracted ones."""
    student, offset = draw(STUDENTS), draw(st.sampled_from([0, 0, 0, 0, 1, -1]))
    ids = draw(st.lists(IDS, max_size=3))
    events = tuple(Event(each, student, "q", ("b", "a"), "practice", draw(st.floats(0, 1)), draw(MOMENTS)) for each in ids)
    return student, offset, events, tuple(draw(st.lists(IDS, max_size=2)))


class Agreement(RuleBasedStateMachine):
    """Every call goes to both."""

    @initialize()
    def open(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.memory, self.sqlite = MemoryStore(), SQLiteStore(self.folder / "tutor.db")

    def both(self, call: Callable[[Store], object]) -> None:
        assert call(self.sqlite) == call(self.memory)

    @rule(drawn=st.lists(changes(), min_size=1, max_size=3, unique_by=lambda each: each[0]))
    def write(self, drawn: list[tuple[str, int, tuple[Event, ...], tuple[str, ...]]]) -> None:
        made = []
        for student, offset, events, retracted in drawn:
            version = self.memory.version(student)
            made.append(Change(student, version + offset, "model", f"{student} {version}", events, retracted))
        self.both(lambda store: store.write(made))

    @rule(rows=st.lists(st.tuples(IDS, STUDENTS, IDS), min_size=1, max_size=4))
    def wait(self, rows: list[tuple[str, str, str]]) -> None:
        for original, student, event_id in rows:
            row = Correction(original, student, event_id if student else "", "what waits")
            self.both(lambda store, row=row: store.wait(row))  # type: ignore[misc]

    @rule(student=st.sampled_from(["Ada", "Bob"]), known=st.booleans(), data=st.data())
    def apply(self, student: str, known: bool, data: st.DataObject) -> None:
        """Corrections that are noted, of those that wait or of none; and checkpoints."""
        waiting = [row for row in self.memory.corrections() if row.student in ("", student) and row.content]
        some = data.draw(st.lists(st.sampled_from(waiting), unique=True)) if waiting and known else []
        ids = [row.original for row in some] or data.draw(st.lists(IDS, max_size=2, unique=True))
        events = tuple(Event(each, student, "q", ("a",), "practice", 0.5, 0, retracted=True) for each in dict.fromkeys(ids))
        rows = tuple(some) or tuple(Correction(each, student, data.draw(IDS)) for each in ids)
        kept = data.draw(st.sampled_from([None, (), (Checkpoint(student, 0, "e0", "m", "{}"),)]))
        change = Change(student, self.memory.version(student), "model", "state", events, (), rows, kept)
        self.both(lambda store: store.write([change]))

    @rule(student=STUDENTS)
    def forget(self, student: str) -> None:
        self.both(lambda store: store.forget(student))

    @rule(made=st.lists(st.builds(Decision, IDS, STUDENTS, MOMENTS, st.just("{}")), max_size=3))
    def decide(self, made: list[Decision]) -> None:
        self.both(lambda store: store.decide(made))

    @rule(items=st.lists(ITEMS, max_size=3), rate=st.floats(0, 1))
    def expose(self, items: list[str], rate: float) -> None:
        self.both(lambda store: store.expose(items, rate))

    @rule()
    def reopen(self) -> None:
        self.sqlite.close()
        self.sqlite = SQLiteStore(self.folder / "tutor.db")

    @precondition(lambda self: hasattr(self, "sqlite"))
    @invariant()
    def agree(self) -> None:
        for call in (Store.load_many, Store.events, Store.retracted, Store.decisions, Store.corrections, Store.checkpoints):
            self.both(lambda store, name=call.__name__: list(getattr(store, name)()))  # type: ignore[misc]
        for student in ("", "Ada", "Bob"):
            self.both(lambda store, name=student: list(store.events(name)))  # type: ignore[misc]
            self.both(lambda store, name=student: list(store.decisions(name)))  # type: ignore[misc]
        self.both(lambda store: list(store.load_many(["Bob", "Ada", "Ada"])))
        self.both(lambda store: store.find([f"e{number}" for number in range(8)]))
        self.both(lambda store: store.corrections([f"e{number}" for number in range(3)]))
        self.both(lambda store: list(store.checkpoints("Ada")))
        self.both(lambda store: store.exposures())
        self.both(lambda store: store.students())

    def teardown(self) -> None:
        self.sqlite.close()
        self.memory.close()
        shutil.rmtree(self.folder)


@pytest.fixture(autouse=True)
def small_pages(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a few rows are several fetches."""
    for name in ("PAGE", "STATES", "NAMES"):
        monkeypatch.setattr(inside, name, 2)


def test_both_stores_agree() -> None:
    run_state_machine_as_test(Agreement, settings=settings(max_examples=25, stateful_step_count=15, deadline=None))
