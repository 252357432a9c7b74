"""A storm of writes whose every operation follows from its name, so that whoever watches knows what must be stored.

    python storm.py storm URL NAME THREADS FOLDER    writes until it is killed; stdin: operations to begin with
    python storm.py hammer URL NAME THREADS ROUNDS   writes so many operations per thread

An operation is called ``name-thread-number``. Both print the name of each operation once it is acknowledged. A storm also
rebuilds all states and makes snapshots in the folder, and prints their names.
"""

from __future__ import annotations

import datetime
import os
import random
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import NamedTuple

import adaptrace as at
from adaptrace.io.atomic import sweep
from adaptrace.tutor.replay import Replay, state_text
from adaptrace.tutor.store.base import Event

START = datetime.datetime(2026, 1, 5, 8, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
END = START + 10_000_000 * MINUTE
ITEMS = {"a1": ["a"], "a2": ["a"], "b1": ["b"], "ab": ["a", "b"], "c1": ["c"]}
CAP = 0.4


def opened(url: object, **options: object) -> at.Tutor:
    """A tutor of three skills, one of which is forgotten."""
    model = at.BKT.from_parameters(
        ["a", "b", "c"], prior=[0.3, 0.2, 0.1], learn=[0.2, 0.15, 0.3], forget=[0.0, 0.01, 0.0], guess=0.2, slip=0.1
    )
    catalog = at.Catalog.from_arrow({"item": list(ITEMS), "skills": list(ITEMS.values())})
    return at.Tutor.open(url, model=model, catalog=catalog, clock=lambda: END, **options)


# ---- operations --------------------------------------------------------------


class Operation(NamedTuple):
    """What is done: an event that is new or was sent before, and one that is taken back; or a student is forgotten."""

    event_id: str
    wrong: str
    forgotten: str = ""


def own(name: str) -> str:
    """The student of a thread's own, whose operations are the fourth of every four, one after the other; "" of all others."""
    thread, number = name.rstrip("c").rsplit("-", 1)
    return f"own of {thread}" if int(number) % 4 == 3 else ""


@cache
def operation(name: str) -> Operation:
    """Observe, deliver again, retract or correct; of the thread's own student: observe, observe, forget."""
    thread, number = name.rsplit("-", 1)
    if own(name):
        return Operation("", "", own(name)) if int(number) // 4 % 3 == 2 else Operation(name, "")
    chance = random.Random(name)
    earlier = f"{thread}-{int(number) // 4 * 4 - chance.choice((0, 4))}"  # every fourth is always an observation
    if int(number) % 4 == 0 or "--" in earlier or chance.random() < 0.4:
        return Operation(name, "")
    return chance.choice([Operation(earlier, ""), Operation("", earlier), Operation(f"{name}c", earlier)])


@cache
def payload(event_id: str, wrong: str) -> tuple[str, str, float, datetime.datetime]:
    """Student, item, outcome and time of an event; a correction is of the same student."""
    chance = random.Random(event_id)
    number = int(event_id.rstrip("c").rsplit("-", 1)[1])
    anyone = "one" if chance.random() < 0.3 else f"s{chance.randrange(49)}"
    student = own(event_id) or (payload(wrong, "")[0] if wrong else anyone)
    minute = number - (chance.randrange(1, 50) if chance.random() < 0.2 else 0)  # some are late, many at one time
    return student, chance.choice(list(ITEMS)), chance.choice([0.0, 0.5, 1.0]), START + (100 + minute) * MINUTE


def do(tutor: at.Tutor, name: str) -> None:
    """One operation."""
    event_id, wrong, forgotten = operation(name)
    if forgotten:
        forget(tutor, forgotten)
        return
    if not event_id:
        tutor.retract(wrong)
        return
    student, item, correct, time = payload(event_id, wrong)
    options = {"time": time, "event_id": event_id, "group": "7b"}
    try:
        tutor.observe(student, item, correct, replaces=wrong or None, **options)
    except at.ConflictError:  # another thread took it back or replaced it before: this one counts too
        tutor.observe(student, item, correct, **options)


def forget(tutor: at.Tutor, student: str) -> None:
    """Forget a student. Where others read all the time, bytes may be left in the file, which is no matter here."""
    try:
        tutor.forget_student(student)
    except at.StoreError as error:
        if "the student is removed" not in str(error):
            raise


def ask(tutor: at.Tutor, number: int, name: str) -> None:
    """Read what others write."""
    student = "one" if number % 2 else f"s{number % 49}"
    capped = at.Constraints(exposure_cap=CAP, zone=False)
    tutor.recommend(student, 1, constraints=capped, seed=number)
    tutor.recommend(student, 2, decision_id=f"d-{name}")
    mastery = tutor.mastery_table(student)
    assert all(0.0 < value < 1.0 for value in mastery["mastery"].to_pylist())
    assert tutor.history(student)["event_id"].is_valid().to_pylist().count(False) == 0
    tutor.when_to_stop(student, "a1")
    if number % 10 == 0:
        tutor.recommend_all(k=1)
        tutor.log()


def hammer(tutor: at.Tutor, name: str, threads: int, rounds: int, acknowledge: Callable[[str], None]) -> None:
    """All operations of all threads; raises what any of them raised."""
    start = threading.Barrier(threads)

    def work(thread: int) -> None:
        start.wait(30)
        for number in range(rounds):
            do(tutor, f"{name}-{thread}-{number}")
            acknowledge(f"{name}-{thread}-{number}")
            if number % 4 == thread % 4:
                ask(tutor, number, f"{name}-{thread}-{number}")

    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, range(threads)))


# ---- what must be stored -----------------------------------------------------


class Verdict(NamedTuple):
    """What is wrong with a store; all empty if nothing is."""

    lost: list[str]  # acknowledged and not there
    doubled: list[str]  # there twice
    invented: list[str]  # not what was sent, or taken back by nobody
    differ: list[str]  # students whose state is not that of their events


def judged(tutor: at.Tutor, acknowledged: Iterable[str], tried: Iterable[str] = ()) -> Verdict:
    """Compare a store with the operations that were acknowledged, and those that may or may not have been done."""
    events = [*tutor.store.events(), *tutor.store.retracted()]
    stored = {event.event_id: event for event in events}
    acknowledged, tried = set(acknowledged), set(tried)
    done, maybe = list(map(operation, acknowledged)), list(map(operation, tried))
    sent = {event_id: wrong for event_id, wrong, _ in (*done, *maybe) if event_id and (wrong or not event_id.endswith("c"))}
    may_be_gone = {wrong for _, wrong, _ in (*done, *maybe)}
    lost = [event_id for event_id, *_ in done if event_id and not own(event_id) and event_id not in stored]
    lost += [wrong for _, wrong, _ in done if wrong and not (wrong in stored and stored[wrong].retracted)]
    owned = {event_id for event_id in stored if own(event_id)}
    there, may_be_there = owned_events(acknowledged, tried, owned)
    lost += sorted(there - owned)
    invented = [
        event.event_id
        for event in events
        if event.event_id not in sent
        or (event.event_id in owned and event.event_id not in may_be_there)
        or not _is(event, payload(event.event_id, sent[event.event_id]))
        or (event.retracted and event.event_id not in may_be_gone)
    ]
    doubled = [event_id for event_id, n in Counter(event.event_id for event in events).items() if n > 1]
    return Verdict(lost, doubled, invented, [name for name in tutor.store.students() if not is_replay(tutor, name)])


def owned_events(acknowledged: set[str], tried: set[str], stored: set[str]) -> tuple[set[str], set[str]]:
    """The events that the threads' own students must have, and those that they may have.

    The last operation of a thread may be done or not. If it forgets, its student has all or nothing: half is neither.
    """
    there, may_be_there = set[str](), set[str]()
    for student in {own(name) for name in (*acknowledged, *tried)} - {""}:
        mine = sorted((name for name in acknowledged if own(name) == student), key=number_of)
        kept = _after(mine)
        (*_, last) = ["", *(name for name in tried - acknowledged if own(name) == student)]
        then = _after([*mine, last]) if last else kept
        has = {event_id for event_id in stored if own(event_id) == student}
        there |= then if last and has == then else kept
        may_be_there |= kept | then
    return there, may_be_there


def _after(names: Iterable[str]) -> set[str]:
    events = set[str]()
    for name in names:
        events = set() if operation(name).forgotten else events | {name}
    return events


def number_of(name: str) -> int:
    return int(name.rsplit("-", 1)[1])


def _is(event: Event, sent: tuple[str, str, float, datetime.datetime]) -> bool:
    student, item, correct, time = sent
    moment = (time - START) // datetime.timedelta(microseconds=1) + int(START.timestamp()) * 1_000_000
    what = (student, item, tuple(ITEMS[item]), "practice", correct, moment)
    return event[1:7] == what


def text_of(tutor: at.Tutor, name: str) -> str:
    """A student's state in memory, as it would be stored."""
    entry = tutor._students._entry(name)
    return state_text(entry.student, entry.last)


def is_replay(tutor: at.Tutor, name: str) -> bool:
    """Whether a student's state, as stored and in memory, is a clean replay of the events, bit for bit."""
    clean = state_text(*Replay(tutor.model, tutor.catalog).fold(name, tutor.store.events(name)))
    kept = tutor.store.load(name)
    in_memory = text_of(tutor, name) == clean
    return in_memory and (not tutor.store.keeps_states or (kept is not None and kept.state == clean))


# ---- a process that is killed ------------------------------------------------

THREADS = 4


@dataclass
class Tally:
    """What so many rounds came to."""

    rounds: int = 0
    acknowledged: int = 0
    snapshots: int = 0  # that were acknowledged
    lost: int = 0
    doubled: int = 0
    invented: int = 0
    differ: int = 0
    wrong: str = ""  # what else verify() finds, in the store or in a snapshot


def following(names: Iterable[str]) -> list[str]:
    """The first operation of each thread that was not acknowledged."""
    last = dict.fromkeys({name.rsplit("-", 1)[0] for name in names}, -1)
    for name in names:
        thread, number = name.rsplit("-", 1)
        last[thread] = max(last[thread], int(number))
    return [f"{thread}-{number + 1}" for thread, number in last.items()]


def waiting(url: str, folder: Path, number: int) -> subprocess.Popen[bytes]:
    """A process that is ready to storm a store."""
    command = [sys.executable, __file__, "storm", url, f"r{number}", str(THREADS), str(folder)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0)


def killed(process: subprocess.Popen[bytes], again: list[str], seconds: float) -> list[str]:
    """Let it storm, and kill it so long after its first acknowledgement; what it acknowledged."""
    with process:
        try:
            assert process.stdin
            assert process.stdout
            process.stdin.write((" ".join(again) + "\n").encode())
            first = process.stdout.readline()
            try:
                process.communicate(timeout=seconds)
            except subprocess.TimeoutExpired:
                process.send_signal(signal.SIGKILL)
            rest = process.communicate(timeout=30)[0]
        finally:
            process.kill()
    assert process.returncode == -signal.SIGKILL, process.returncode
    return (first + rest).decode().split()


def kill_rounds(url: str, folder: Path, rounds: int, seed: int = 0, settled: Callable[[], object] = bool) -> Iterator[Tally]:
    """Kill -9 so many times during a storm on one store; what it came to after each.

    ``settled`` returns when nobody works for the killed process any more.
    """
    chance, tally = random.Random(seed), Tally()
    acknowledged, tried, again = set[str](), set[str](), list[str]()
    process = waiting(url, folder, 0)
    for number in range(rounds):
        tried.update(again)
        outputs = killed(process, again, chance.uniform(0.05, 0.9))
        if number + 1 < rounds:
            process = waiting(url, folder, number + 1)  # imports while this one looks
        settled()
        snapshots = [name for name in outputs if name.endswith(".db")]
        done = [name for name in outputs if not name.endswith(".db")]
        acknowledged.update(done)
        begun = [*following([name for name in done if name.startswith(f"r{number}-")])]
        begun += [f"r{number}-{thread}-0" for thread in range(THREADS)]
        tried.update(begun)
        repeatable = [name for name in done if not own(name)]  # who was forgotten would come back
        again = [*begun[::2], *chance.sample(repeatable, min(4, len(repeatable)))]  # some that may be lost, some that are not
        tally.rounds, tally.acknowledged = number + 1, len(acknowledged)
        tally.snapshots += len(snapshots)
        tally.wrong += _wrong_copies(folder, snapshots)
        with opened(url) as tutor:
            tally.lost, tally.doubled, tally.invented, tally.differ = map(len, judged(tutor, acknowledged, tried))
            found = tutor.verify()
            tally.wrong += "" if found.ok else f"round {number}: {found}\n"
        yield replace(tally)


def _wrong_copies(folder: Path, acknowledged: list[str]) -> str:
    """What is wrong with the snapshots of a round, which are removed; of those that were not finished no byte may be left."""
    missing = [name for name in acknowledged if not (folder / name).exists()]
    wrong = [f"{name}: acknowledged and not there\n" for name in missing]
    for path in sorted(folder.glob("[!.]*.db")):
        with opened(path) as copy:
            found = copy.verify()
        wrong += [] if found.ok else [f"{path.name}: {found}\n"]
        path.unlink()
    sweep(folder)
    return "".join([*wrong, *(f"{path.name}: left over\n" for path in folder.rglob("*") if path.is_file())])


# ---- this process ------------------------------------------------------------


def _acknowledge(name: str) -> None:
    os.write(1, f"{name}\n".encode())


def _storm(tutor: at.Tutor, name: str, threads: int, again: list[str], folder: Path) -> None:
    for each in again:
        do(tutor, each)
        _acknowledge(each)

    def work(thread: int) -> None:
        for number in count():
            do(tutor, f"{name}-{thread}-{number}")
            _acknowledge(f"{name}-{thread}-{number}")

    def copy() -> None:
        for number in count():
            tutor.snapshot(folder / f"{name}-{number}.db")
            _acknowledge(f"{name}-{number}.db")
            tutor.rebuild()

    with ThreadPoolExecutor(threads + 1) as pool:
        for each in [pool.submit(copy), *(pool.submit(work, thread) for thread in range(threads))]:
            each.add_done_callback(_end)


def _end(work: Future[None]) -> None:
    """Nothing ends by itself."""
    os.write(2, f"{work.exception()!r}\n".encode())
    os._exit(3)


def _main(mode: str, url: str, name: str, threads: str, more: str) -> None:
    if mode == "hammer":
        os.write(1, b"ready\n")
    again = sys.stdin.readline().split()
    with opened(url) as tutor:
        if mode == "storm":
            _storm(tutor, name, int(threads), again, Path(more))
        else:
            hammer(tutor, name, int(threads), int(more), _acknowledge)


def hammered(url: object, processes: int, threads: int, rounds: int) -> list[str]:
    """Let so many processes, of so many threads each, write at the same time; what they acknowledged."""
    command = [sys.executable, __file__, "hammer", str(url)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    workers = [subprocess.Popen([*command, f"p{n}", str(threads), str(rounds)], **pipes) for n in range(processes)]
    try:
        for worker in workers:
            assert worker.stdout.readline() == "ready\n"
        for worker in workers:
            worker.stdin.write("go\n")
            worker.stdin.flush()
        outputs = [worker.communicate(timeout=120) for worker in workers]
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()
    assert [(worker.returncode, error) for worker, (_, error) in zip(workers, outputs, strict=True)] == [(0, "")] * processes
    return [name for out, _ in outputs for name in out.split()]


if __name__ == "__main__":
    _main(*sys.argv[1:])
