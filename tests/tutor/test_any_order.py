"""Whatever the order, delays, duplicates, retractions, restarts and rebuilds: the state is the clean log's, bit for bit."""

from __future__ import annotations

import datetime
import shutil
import tempfile
from pathlib import Path

import numpy as np
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

import adaptrace as at
from tutor.conftest import NOW

CATALOG = at.Catalog.from_arrow({"item": ["a1", "a2", "b1", "ab"], "skills": [["a"], ["a"], ["b"], ["a", "b"]]})
PLAIN = at.BKT.from_parameters(["a", "b"], prior=[0.3, 0.2], learn=[0.2, 0.15], forget=[0.0, 0.01], guess=0.2, slip=0.1)
STUDENTS = ("ana", "ben")


def other_model() -> at.BKT:
    return at.BKT.from_parameters(["a", "b"], prior=0.4, learn=0.1, guess=0.1, slip=0.2)


def fading_model() -> at.BKT:
    """A model for which it matters when something happened."""
    random = np.random.default_rng(3)
    rows = 400
    log = {
        "student": [f"s{n // 8}" for n in range(rows)],
        "item": [("a1", "b1")[n % 2] for n in range(rows)],
        "skill": ["ab"[n % 2] for n in range(rows)],
        "correct": random.integers(0, 2, rows),
        "time": [NOW + datetime.timedelta(days=float(day)) for day in random.uniform(0, 40, rows)],
    }
    import pyarrow as pa

    return at.BKT(elapsed=True).fit(at.Log.from_arrow(pa.table(log)))


MODELS = [PLAIN, other_model(), fading_model()]

events = st.tuples(
    st.sampled_from(STUDENTS),
    st.sampled_from([item.item for item in CATALOG.items]),
    st.sampled_from([0.0, 0.5, 1.0]),
    st.integers(0, 12).map(lambda hour: NOW - datetime.timedelta(hours=hour)),  # few times: many ties
    st.sampled_from(["", "7b"]),
)


class AnyOrder(RuleBasedStateMachine):
    """A tutor on an SQLite file, and beside it the plain list of what counts."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.model = MODELS[0]
        self.sent: dict[str, tuple] = {}  # all that was ever delivered
        self.gone: set[str] = set()  # retracted
        self.tutor = self.opened()

    def opened(self) -> at.Tutor:
        return at.Tutor.open(self.folder / "t.db", model=self.model, catalog=CATALOG, clock=lambda: NOW, cache=1)

    def teardown(self) -> None:
        self.tutor.close()
        shutil.rmtree(self.folder)

    @initialize(model=st.sampled_from(MODELS))
    def choose_model(self, model: at.BKT) -> None:
        self.tutor.close()
        self.model = model
        self.tutor = self.opened()

    def deliver(self, event_id: str, **options: object) -> bool:
        student, item, correct, time, group = self.sent[event_id]
        return self.tutor.observe(student, item, correct, time=time, group=group, event_id=event_id, **options)

    @rule(event=events, number=st.integers(0, 10**6))
    def observe(self, event: tuple, number: int) -> None:
        """New, also late, also at the time of another."""
        event_id = f"{number}"
        if event_id not in self.sent:
            self.sent[event_id] = event
            assert self.deliver(event_id) is True

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def deliver_again(self, data: st.DataObject) -> None:
        assert self.deliver(data.draw(st.sampled_from(sorted(self.sent)))) is False

    @precondition(lambda self: self.sent)
    @rule(data=st.data(), event=events)
    def reuse_an_id(self, data: st.DataObject, event: tuple) -> None:
        event_id = data.draw(st.sampled_from(sorted(self.sent)))
        student, item, correct, time, _ = event
        if (student, item, correct, time) != self.sent[event_id][:4]:
            try:
                self.tutor.observe(student, item, correct, time=time, event_id=event_id)
            except at.ConflictError:
                return
            raise AssertionError("a conflict went unnoticed")

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def retract(self, data: st.DataObject) -> None:
        event_id = data.draw(st.sampled_from(sorted(self.sent)))
        assert self.tutor.retract(event_id) is (event_id not in self.gone)
        self.gone.add(event_id)

    @precondition(lambda self: set(self.sent) - self.gone)
    @rule(data=st.data(), event=events, number=st.integers(10**6, 10**7))
    def correct(self, data: st.DataObject, event: tuple, number: int) -> None:
        wrong, event_id = data.draw(st.sampled_from(sorted(set(self.sent) - self.gone))), f"{number}"
        if event_id not in self.sent:
            self.sent[event_id] = (self.sent[wrong][0], *event[1:])
            assert self.deliver(event_id, replaces=wrong) is True
            self.gone.add(wrong)

    @rule(batch=st.lists(st.tuples(events, st.integers(0, 10**6)), min_size=1, max_size=5))
    def observe_many(self, batch: list[tuple]) -> None:
        """A table in which some may be known already."""
        import pyarrow as pa

        for event, number in batch:
            self.sent.setdefault(f"{number}", event)
        ids = sorted({f"{number}" for _, number in batch})
        known = {row for student in STUDENTS for row in self.tutor.history(student)["event_id"].to_pylist()} | self.gone
        rows = [dict(zip(("student", "item", "correct", "time", "group"), self.sent[each], strict=True)) for each in ids]
        table = pa.Table.from_pylist([{**row, "event_id": each} for row, each in zip(rows, ids, strict=True)])
        assert self.tutor.observe_many(table) == len(set(ids) - known)

    @rule()
    def reopen(self) -> None:
        self.tutor.close()
        self.tutor = self.opened()

    @rule()
    def rebuild(self) -> None:
        self.tutor.rebuild()

    @rule(model=st.sampled_from(MODELS))
    def take_another_model(self, model: at.BKT) -> None:
        self.model = model
        self.reopen()

    @rule(student=st.sampled_from(STUDENTS))
    def recommend(self, student: str) -> None:
        self.tutor.recommend(student)

    @invariant()
    def equals_the_clean_log(self) -> None:
        for student in STUDENTS:
            mine = [
                (each[3], event_id, each)
                for event_id, each in self.sent.items()
                if each[0] == student and event_id not in self.gone
            ]
            clean = at.Student(self.model, CATALOG, name=student)
            for time, _, (_, item, correct, _, group) in sorted(mine, key=lambda each: each[:2]):
                clean.group = group
                clean.observe(item, correct, time=time)
            assert self.tutor._students.get(student).to_dict() == clean.to_dict()


AnyOrder.TestCase.settings = settings(max_examples=40, stateful_step_count=25, deadline=None)
TestAnyOrder = AnyOrder.TestCase
