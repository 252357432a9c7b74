"""Every public call with its n-th statement failing, n = 1, 2, 3, ... until it succeeds.

After a failure the store is as before the call or as after it, student by student. The same call, made again, then gives the
clean outcome.
"""

from __future__ import annotations

import contextlib
import random
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa

import adaptrace as at
from adaptrace.errors import OutputError, StoreError
from simulated import cut, school
from simulated.invariants import contents, memory_problems, opened_copy, store_problems
from simulated.scheduler import Client, Killed, Scheduler
from simulated.worlds import Process, World, aside

KINDS = (cut.FAIL, cut.LOST, cut.KILL)
MOST = 500  # statements of a call
BEFORE = ("ana/1", "ana/2", "ben/1", "cy/1", "ana/3")


def send(tutor: at.Tutor, event_id: str, **options: Any) -> Any:
    """Deliver an event."""
    student, item, correct, time = school.content_of(event_id)
    return tutor.observe(student, item, correct, time=time or school.START, event_id=event_id, **options)


def send_table(tutor: at.Tutor) -> Any:
    """Deliver events of three students, one of them stored."""
    ids = ("ana/1", "ana/8", "ben/8", "dee/8")
    rows = [{"event_id": each, **school.content_of(each)._asdict(), "time": school.START} for each in ids]
    return tutor.observe_many(pa.Table.from_pylist(rows))


CALLS: dict[str, Callable[[at.Tutor], Any]] = {
    "a first event": lambda tutor: send(tutor, "dee/1"),
    "an event": lambda tutor: send(tutor, "ana/9"),
    "a second delivery": lambda tutor: send(tutor, "ana/1"),
    "a correction": lambda tutor: send(tutor, "ana/7", replaces="ana/1"),
    "an answer": lambda tutor: send(tutor, "ana/6", decision_id="d0"),
    "a correction that comes first": lambda tutor: send(tutor, "ana/7", replaces="ana/5"),
    "what a correction waits for": lambda tutor: send(tutor, "dee/5"),
    "a retraction that comes first": lambda tutor: tutor.retract("eve/1"),
    "a table": send_table,
    "a retraction": lambda tutor: tutor.retract("ana/2"),
    "forgetting": lambda tutor: tutor.forget_student("ana"),
    "a decision": lambda tutor: tutor.recommend("ana", 2, decision_id="d1"),
    "a capped recommendation": lambda tutor: tutor.recommend("ana", 1, constraints=school.CAP),
    "rebuilding": lambda tutor: tutor.rebuild(),
    "recommendations": lambda tutor: tutor.recommend_all(k=1),
    "mastery": lambda tutor: tutor.mastery_table("ana"),
    "the history": lambda tutor: tutor.history("ana"),
    "verifying": lambda tutor: tutor.verify(),
    "the log": lambda tutor: tutor.log(),
    "when to stop": lambda tutor: tutor.when_to_stop("ana", "a1"),
}


@dataclass
class Result:
    """What a call came to, with so many cut points."""

    cuts: int
    problems: list[str]


def check_call(world: World, name: str, kind: str) -> Result:
    """One call, with one kind of fault at each of its statements."""
    if kind == cut.KILL and not world.is_killed:
        return Result(0, [])
    problems: list[str] = []
    clean = _Trial(world, name, cut.NthFault(0, kind))
    clean.call()
    for n in range(1, MOST):
        trial = _Trial(world, name, fault := cut.NthFault(n, kind))
        problems += [f"{name}, {kind} at statement {n}: {problem}" for problem in trial.problems(clean.after)]
        if not fault.came:
            return Result(n - 1, problems)
    raise AssertionError(f"{name} has more than {MOST} statements")


class _Trial:
    """A store with some students, and a call on it."""

    def __init__(self, world: World, name: str, fault: cut.NthFault) -> None:
        self._world, self._call, self._fault = world, CALLS[name], fault
        world.begin()
        self._process = Process(world, 0, random.Random(0))
        for event_id in BEFORE:
            send(self._process.tutor, event_id)
        self._process.tutor.retract("ana/3")
        send(self._process.tutor, "dee/6", replaces="dee/5")
        self._process.tutor.recommend("ana", 2, decision_id="d0")
        self.before = contents(world.observed())
        self.after: Any = None

    def call(self) -> None:
        """Make the call; an error that may come is caught."""
        scheduler, client = Scheduler(self._fault.n), Client(0, self._process)
        scheduler.adopt(client)
        client.life = self._process.life
        cut.start(cut.Simulation(scheduler, self._fault))
        try:
            with contextlib.suppress(StoreError, Killed):
                self._call(self._process.tutor)
        finally:
            cut.stop()
        self.after = contents(self._world.observed())

    def problems(self, clean: Any) -> list[str]:
        """What is wrong after the call that failed, and after it was made again."""
        self.call()
        names = sorted({*self.before, *clean, *self.after})
        found = [
            f"{name} is neither as before nor as after"
            for name in names
            if self.after.get(name) not in (self.before.get(name), clean.get(name))
        ]
        found += store_problems(self._world.observed()) + memory_problems(self._process.tutor)
        self._call(self._process.tutor)
        if contents(self._world.observed()) != clean:
            found.append("made again, it does not give the clean outcome")
        found += store_problems(self._world.observed()) + memory_problems(self._process.tutor)
        self._world.end(failed=False)
        return found


def check_snapshot(world: World) -> Result:
    """A snapshot whose n-th statement fails: there is no copy, or a whole one, and nothing beside it."""
    problems: list[str] = []
    for n in range(1, MOST):
        trial = _Trial(world, "the history", fault := cut.NthFault(n, cut.FAIL))
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "copy.db"

            def copied(tutor: at.Tutor, path: Path = path) -> None:
                with contextlib.suppress(OutputError):
                    tutor.snapshot(path)

            trial._call = copied
            trial.call()
            names = sorted(each.name for each in Path(folder).iterdir())
            problems += [f"snapshot, statement {n}: left {names}"] if names not in ([], ["copy.db"]) else []
            if path.exists():
                with opened_copy(path) as copy, aside():
                    whole = contents(copy.store) == trial.before
                problems += [] if whole else [f"snapshot, statement {n}: the copy is not whole"]
            trial._world.end(failed=False)
        if not fault.came:
            return Result(n - 1, problems)
    raise AssertionError("no end")
