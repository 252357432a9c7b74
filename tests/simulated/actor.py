"""What a client does: public calls of a tutor, drawn by the seed, and the history of what they gave."""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa

import adaptrace as at
from adaptrace.errors import OutputError, StoreError
from simulated import history, school
from simulated.history import Call

STUDENTS = ("ana", "ben", "cy")
WEIGHTS = {
    "observe": 28,
    "deliver_again": 8,
    "correct": 10,
    "retract": 10,
    "forget_student": 10,
    "recommend": 4,
    "decide": 5,
    "answer": 5,
    "capped": 3,
    "history": 8,
    "mastery_table": 5,
    "observe_many": 3,
    "rebuild": 2,
    "snapshot": 1,
    "log": 1,
    "verify": 1,
}


@dataclass
class Record:
    """What all clients of a seed did.

    Attributes
    ----------
    calls
        The history.
    sent
        The ids of all events that were sent.
    decisions
        The ids of all decisions that were asked for.
    time
        Gives the time; each is later than the one before.
    """

    time: Callable[[], int]
    calls: list[Call] = field(default_factory=list)
    sent: list[str] = field(default_factory=list)
    decisions: list[str] = field(default_factory=list)

    def begin(self, calls: Sequence[Call]) -> int:
        """Note that calls begin; when."""
        return self.time()

    def end(self, calls: Sequence[Call], begin: int, result: Any) -> None:
        """Note what calls gave."""
        end = self.time()
        self.calls += [call._replace(begin=begin, end=end, result=result) for call in calls]


class Actor:
    """A client that makes calls.

    Parameters
    ----------
    name
        Begins the ids of its events.
    chance
        Draws its calls.
    record
        What all clients share.
    met_fault
        Whether the call that is being made met a fault, so that an error says nothing.
    only
        The names of the calls that it makes; by default all.
    students
        Whose events it sends.
    """

    def __init__(
        self,
        name: str,
        chance: random.Random,
        record: Record,
        *,
        met_fault: Callable[[], bool],
        only: Sequence[str] = (),
        students: Sequence[str] = STUDENTS,
    ) -> None:
        self._name, self._chance, self._record, self._met_fault = name, chance, record, met_fault
        self._students, self._made = students, 0
        self._calls = [each for each in WEIGHTS if not only or each in only]
        self._weights = [WEIGHTS[each] for each in self._calls]

    def act(self, tutor: at.Tutor) -> None:
        """One call."""
        name = self._chance.choices(self._calls, self._weights)[0]
        getattr(self, f"_{name}")(tutor)

    def _recorded(self, calls: Sequence[Call], run: Callable[[], Any]) -> None:
        """Make a call that is one for each of these students, and note what it gave."""
        begin, result = self._record.begin(calls), history.UNKNOWN
        try:
            result = self._result(run)
        finally:  # also of a client that is killed
            self._record.end(calls, begin, result)

    def _result(self, run: Callable[[], Any]) -> Any:
        try:
            return run()
        except at.ConflictError:
            return history.CONFLICT
        except (StoreError, OutputError) as error:
            if history.ABSENT in str(error):
                return history.ABSENT
            if self._met_fault():
                return history.UNKNOWN
            raise

    def _new_id(self, student: str) -> str:
        self._made += 1
        event_id = f"{student}/{self._name}{self._made}"
        self._record.sent.append(event_id)
        return event_id

    def _student(self) -> str:
        return self._chance.choice(self._students)

    def _earlier(self) -> str:
        """An event that was sent before, mostly not long ago."""
        sent = self._record.sent[-6:] if self._chance.random() < 0.7 else self._record.sent
        return self._chance.choice(sent) if sent else self._new_id(self._student())

    # ---- writing ------------------------------------------------------------

    def _send(self, tutor: at.Tutor, event_id: str, gone: str = "", decision: str = "") -> None:
        student, item, correct, time = school.content_of(event_id)
        call = Call("observe", student, 0, 0, events=(event_id,), gone=gone, decision=decision)
        options = {"time": time, "event_id": event_id, "replaces": gone or None, "decision_id": decision}
        self._recorded([call], lambda: tutor.observe(student, item, correct, **options))

    def _observe(self, tutor: at.Tutor) -> None:
        self._send(tutor, self._new_id(self._student()))

    def _deliver_again(self, tutor: at.Tutor) -> None:
        self._send(tutor, self._earlier())

    def _correct(self, tutor: at.Tutor) -> None:
        wrong = self._earlier()
        self._send(tutor, self._new_id(school.student_of(wrong)), gone=wrong)

    def _answer(self, tutor: at.Tutor) -> None:
        if not self._record.decisions:
            return self._decide(tutor)
        decision = self._chance.choice(self._record.decisions[-4:])
        return self._send(tutor, self._new_id(school.student_of(decision)), decision=decision)

    def _retract(self, tutor: at.Tutor) -> None:
        event_id = self._earlier()
        call = Call("retract", school.student_of(event_id), 0, 0, gone=event_id)
        self._recorded([call], lambda: tutor.retract(event_id))

    def _observe_many(self, tutor: at.Tutor) -> None:
        ids = [self._new_id(self._student()) for _ in range(3)] + [self._earlier()]
        ids = [each for each in dict.fromkeys(ids) if school.content_of(each).time is not None]
        if not ids:
            return
        rows = [{"event_id": each, **school.content_of(each)._asdict()} for each in ids]
        calls = [Call("table", school.student_of(each), 0, 0, events=(each,)) for each in ids]
        self._recorded(calls, lambda: tutor.observe_many(pa.Table.from_pylist(rows)) is None or "done")

    def _forget_student(self, tutor: at.Tutor) -> None:
        student = self._student()
        self._recorded([Call("forget", student, 0, 0)], lambda: tutor.forget_student(student))

    def _decide(self, tutor: at.Tutor) -> None:
        student, decision = self._student(), self._new_id("")
        self._record.sent.pop()
        decision = f"{student}{decision}"
        self._record.decisions.append(decision)
        call = Call("decide", student, 0, 0, decision=decision)
        self._recorded([call], lambda: tutor.recommend(student, 2, decision_id=decision) is None or "done")

    def _capped(self, tutor: at.Tutor) -> None:
        """Counts what is shown."""
        student = self._student()
        with contextlib.suppress(at.ConstraintError):
            self._recorded([], lambda: tutor.recommend(student, 1, constraints=school.CAP, seed=self._made))

    def _rebuild(self, tutor: at.Tutor) -> None:
        self._recorded([], tutor.rebuild)

    # ---- reading ------------------------------------------------------------

    def _recommend(self, tutor: at.Tutor) -> None:
        student = self._student()
        self._recorded([], lambda: tutor.recommend(student, 2))

    def _history(self, tutor: at.Tutor) -> None:
        student = self._student()
        call = Call("history", student, 0, 0)
        self._recorded([call], lambda: frozenset(tutor.history(student)["event_id"].to_pylist()))

    def _mastery_table(self, tutor: at.Tutor) -> None:
        student = self._student()

        def met() -> dict[str, int]:
            table = tutor.mastery_table(student)
            return dict(zip(table["skill"].to_pylist(), table["opportunities"].to_pylist(), strict=True))

        self._recorded([Call("mastery", student, 0, 0)], met)

    def _log(self, tutor: at.Tutor) -> None:
        self._recorded([], tutor.log)

    def _verify(self, tutor: at.Tutor) -> None:
        """Nothing is found wrong, whoever writes meanwhile."""

        def verified() -> None:
            wrong = [each for each in tutor.verify().findings.to_pylist() if each["is_wrong"] and each["check"] != "decisions"]
            assert not wrong or self._met_fault(), wrong

        self._recorded([], verified)

    def _snapshot(self, tutor: at.Tutor) -> None:
        """What the copy holds of each student is as if it had been read."""
        with tempfile.TemporaryDirectory() as folder:
            path, held = Path(folder) / "copy.db", dict[str, history.State]()

            def copied() -> None:
                tutor.snapshot(path)

            begin = self._record.time()
            self._recorded([], copied)
            end = self._record.time()
            if path.exists():
                from simulated.invariants import contents, opened_copy

                with opened_copy(path) as copy:
                    held = contents(copy.store)
                none = history.State()
                calls = [Call("all", name, begin, end, held.get(name, none)) for name in self._students]
                self._record.calls += calls
