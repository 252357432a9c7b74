"""Processes on one PostgreSQL database, some of which are killed, and whether their history is linearizable.

python processes.py URL NAME ROUNDS    makes calls from the time on that stdin says; writes when each began and what it gave
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import adaptrace as at
from simulated import history, school
from simulated.actor import STUDENTS, Actor, Record
from simulated.history import Call, State

PROCESSES, ROUND, PAUSE = 4, 0.4, 0.005  # seconds of a round, which has students of its own; between two calls
MADE = (
    "observe",
    "deliver_again",
    "correct",
    "retract",
    "forget_student",
    "decide",
    "answer",
    "history",
    "mastery_table",
    "observe_many",
)


class WrittenRecord(Record):
    """A record that is written down at once, so that a killed process leaves it."""

    def begin(self, calls: Sequence[Call]) -> int:
        """Write what begins."""
        begin = self.time()
        _write({"begin": begin, "calls": calls})
        return begin

    def end(self, calls: Sequence[Call], begin: int, result: Any) -> None:
        """Write what it gave."""
        _write({"end": self.time(), "of": begin, "result": sorted(result) if isinstance(result, frozenset) else result})


def _write(line: dict[str, Any]) -> None:
    os.write(1, f"{json.dumps(line)}\n".encode())


def work(url: str, name: str, rounds: int) -> None:
    """The calls of one process."""
    record, chance = WrittenRecord(time.monotonic_ns), random.Random(name)
    with at.Tutor.open(url, model=school.MODEL, catalog=school.CATALOG) as tutor:
        _write({"ready": name})
        start = float(sys.stdin.readline())
        actors: dict[int, Actor] = {}
        while (number := int((time.monotonic() - start) / ROUND)) < rounds:
            if number not in actors:
                names = [f"{number}-{each}" for each in STUDENTS]
                others = [other for other in range(PROCESSES) if str(other) != name]  # no event replaces itself
                record.sent = [f"{chance.choice(names)}/{other}-{n}" for other in others for n in (1, 2, 3)]
                actors[number] = Actor(f"{name}-", chance, record, met_fault=lambda: True, only=MADE, students=names)
            actors[number].act(tutor)
            time.sleep(PAUSE)


# ---- who watches ---------------------------------------------------------------


@dataclass
class Watched:
    """What the processes came to."""

    calls: int
    kills: int
    problems: list[str]


def watch(url: str, seed: int, rounds: int) -> Watched:
    """Let processes work, kill some of them, end sessions of the server, and look."""
    from simulated.invariants import contents, store_problems
    from simulated.worlds import open_store

    chance, begun = random.Random(seed), [_Begun(url, number, rounds) for number in range(PROCESSES + 1)]
    for each in begun:
        each.is_ready.wait(60)
    start, kills = time.monotonic(), 0
    for each in begun[:-1]:
        each.go(start)
    while time.monotonic() < start + rounds * ROUND:
        time.sleep(chance.uniform(0.2, 0.8))
        if chance.random() < 0.5:
            _end_a_session(url)
        elif begun[-1].is_ready.is_set():  # who comes in the place of one that is killed
            chance.choice(begun[:-1][-PROCESSES:]).process.kill()
            begun[-1].go(start)
            begun.append(_Begun(url, len(begun), rounds))
            kills += 1
    begun[-1].go(0.0)
    lines = [line for each in begun for line in each.lines()]
    calls = list(_calls(lines))
    with contextlib.closing(open_store(url)) as store:
        held, now = contents(store), time.monotonic_ns()
        names = {call.student for call in calls} | set(held)
        last = [Call("all", name, now, now + 1, held.get(name, State())) for name in names]
        return Watched(len(calls), kills, store_problems(store) + history.problems([*calls, *last]))


class _Begun:
    """A process, and what it writes."""

    def __init__(self, url: str, number: int, rounds: int) -> None:
        command, pipe = [sys.executable, __file__, url, str(number), str(rounds)], subprocess.PIPE
        self.process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True)
        self.is_ready, self._lines = threading.Event(), list[str]()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            self.is_ready.set()
            self._lines.append(line)

    def go(self, start: float) -> None:
        """Let it work; its first round began at that time."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{start}\n")
        self.process.stdin.flush()

    def lines(self) -> list[str]:
        """All that it wrote until its end."""
        self.process.wait(60)
        self._reader.join(60)
        assert self.process.returncode in (0, -signal.SIGKILL), self.process.returncode
        return [line for line in self._lines if line.endswith("}\n")]


def _end_a_session(url: str) -> None:
    """What a call gave is lost on the way."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        sessions = "SELECT pid FROM pg_stat_activity WHERE application_name = 'adaptrace' ORDER BY random() LIMIT 1"
        connection.execute(f"SELECT pg_terminate_backend(pid) FROM ({sessions}) AS s".encode())


def _calls(lines: Iterable[str]) -> Iterator[Call]:
    """The calls of a history; what was not acknowledged may be done at any time."""
    read = [json.loads(line) for line in lines]
    ended = {line["of"]: line for line in read if "of" in line}
    for line in read:
        for call in line.get("calls", ()):
            made, end = Call(*call), ended.get(line["begin"])
            result = end["result"] if end else history.UNKNOWN
            result = frozenset(result) if made.kind == "history" and isinstance(result, list) else result
            until = end["end"] if end and result != history.UNKNOWN else history.NEVER
            yield made._replace(begin=line["begin"], end=until, result=result, events=tuple(made.events))


if __name__ == "__main__":
    work(sys.argv[1], sys.argv[2], int(sys.argv[3]))
