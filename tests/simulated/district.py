"""Runs of a district over one state: killed at their n-th operation on a file, or at the same time as others.

After any cut the state is whole, before or after; the same call made again gives the clean outcome, and nobody who was forgotten
is left anywhere.
"""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.ipc
import pyarrow.parquet as pq

os.environ["ADAPTRACE_THREADS"] = "1"  # set before the package is asked for its threads
import adaptrace as at
from adaptrace.errors import AdaptraceError, DataError, OutputError
from simulated import cut, files, nth
from simulated.scheduler import Client, Killed, Scheduler
from simulated.seeds import Result

CALLED = (at.score_dataset, at.forget_student)  # their modules are there when the simulation cuts in
NAME = "student-Ada-Lovelace"  # who is forgotten
STUDENTS = (NAME, *(f"student-{number}" for number in range(5)))
MODEL = at.BKT.from_parameters(["a", "b"], prior=[0.3, 0.2], learn=[0.2, 0.15], guess=0.2, slip=0.1)
MOST = 2000  # operations of a call
TIMES = 6  # that each client makes its call


def rows(seed: int) -> pa.Table:
    """Some responses, later for a later seed."""
    chance = random.Random(seed)
    made = [
        {"student": chance.choice(STUDENTS), "item": "q", "skill": chance.choice("ab"), "correct": chance.randrange(2)}
        for _ in range(40)
    ]
    times = pa.array([1_600_000_000_000_000 + (1000 * seed + n) * 1_000_000 for n in range(40)], pa.timestamp("us", "UTC"))
    return pa.Table.from_pylist(made).append_column("time", times)


@dataclass(frozen=True)
class Place:
    """A folder with a log, an output and a state."""

    root: Path

    @property
    def log(self) -> Path:
        """The responses."""
        return self.root / "log"

    @property
    def out(self) -> Path:
        """The mastery."""
        return self.root / "out"

    @property
    def state(self) -> Path:
        """What is known of each student."""
        return self.root / "state"

    def add(self, number: int) -> None:
        """One more file of responses."""
        self.log.mkdir(exist_ok=True)
        pq.write_table(rows(number), self.log / f"day-{number}.parquet")

    def run(self) -> None:
        """Bring the state up to date."""
        at.score_dataset(self.log, self.out, model=MODEL, state=self.state, workers=1)

    def score(self) -> None:
        """Score the whole log, without a state."""
        at.score_dataset(self.log, self.out, model=MODEL, workers=1)

    def forget(self) -> None:
        """Forget a student; there may be no row left of them."""
        datasets = [self.log, *([self.out] if self.out.exists() else [])]
        try:
            at.forget_student(NAME, datasets, state=self.state if self.state.exists() else None)
        except DataError as error:
            if not any(each in str(error) for each in ("no row of", "a folder without data files")):
                raise

    # ---- what is there ------------------------------------------------------

    def mastery(self) -> list[dict[str, Any]] | None:
        """What the output says; None if there is none."""
        if not self.out.exists():
            return None
        found = [row for path in sorted(self.out.glob("*.parquet")) for row in pq.read_table(path).to_pylist()]
        return sorted(found, key=lambda row: (row["student"], row["skill"]))

    def is_whole(self) -> bool:
        """Whether the state has every file that its manifest names, with as many rows as that says."""
        if not (self.state / "_manifest.json").exists():
            return True
        about = json.loads((self.state / "_manifest.json").read_text())
        about = next(each for each in (about, *about.values()) if isinstance(each, dict) and "parts" in each)
        paths = [(self.state / name, rows) for base, later, rows in about["parts"] for name in (base, *later)]
        return all(path.exists() and pq.read_metadata(path).num_rows <= rows for path, rows in paths)

    def left(self) -> list[str]:
        """Files that hold the name of who was forgotten."""
        return sorted(str(path.relative_to(self.root)) for path in self.root.rglob("*") if path.is_file() and _holds(path))

    def hidden(self) -> list[str]:
        """What stands there that a run should not have left."""
        names = {path.name for path in self.root.iterdir() if path.suffix != ".lock"}
        return sorted(names - {"log", "out", "state", ".forgetting"})


def _holds(path: Path) -> bool:
    raw = path.read_bytes()
    if NAME.encode() in raw:
        return True
    if path.suffix == ".parquet" and raw[-4:] == b"PAR1":
        return NAME in str(pq.read_table(path).to_pydict())
    if path.suffix == ".arrow" and raw[-6:] == b"ARROW1":
        with pa.ipc.open_file(path) as file:
            return NAME in str(file.read_all().to_pydict())
    return False


# ---- one call, cut -----------------------------------------------------------


CALLS: dict[str, tuple[int, Callable[[Place], None]]] = {  # files that the state has seen, and what is called
    "a first run": (0, Place.run),
    "a later run": (1, Place.run),
    "forgetting": (1, Place.forget),
}


@contextlib.contextmanager
def prepared(seen: int) -> Iterator[Place]:
    """A place whose state has seen some files, and one more file."""
    memory = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory if memory.is_dir() else None) as folder:
        place = Place(Path(folder))
        for number in range(seen):
            place.add(number)
            place.run()
        place.add(seen)
        yield place


def simulated(place: Place, scheduler: Scheduler, faults: Any, *, trace: list[str] | None = None) -> Any:
    """Begin to simulate what happens in a place."""
    files.install(place.root)
    cut.start(cut.Simulation(scheduler, faults, trace=trace))


def check_cuts(name: str, kind: str) -> nth.Result:
    """A call that is killed, or finds the disk full, before its n-th operation: how many there are, and what is wrong."""
    seen, call = CALLS[name]
    with prepared(seen) as place:
        before = place.mastery()
        call(place)
        clean = place.mastery()
    found: list[str] = []
    for n in range(1, MOST):
        with prepared(seen) as place:
            fault = cut.NthFault(n, kind)
            wrong = _cut(place, call, fault)
            now = place.mastery()
            wrong += [] if _is_between(before, now, clean, call) else ["the output is neither as before nor as after"]
            wrong += [] if place.is_whole() else ["the state is not whole"]
            call(place)
            wrong += [] if place.mastery() == clean else ["made again, it does not give the clean outcome"]
            wrong += [f"left in {each}" for each in (place.left() if call is Place.forget else place.hidden())]
            found += [f"{name}, {kind} at operation {n}: {each}" for each in wrong]
        if not fault.came:
            return nth.Result(n - 1, found)
    raise AssertionError(f"{name} has more than {MOST} operations")


def _is_between(before: Any, now: Any, clean: Any, call: Any) -> bool:
    """Whether an output is as before or as after; forgetting takes rows out of one file after the other."""
    if call is Place.forget:
        return all(row in before for row in now) and all(row in now for row in clean)
    return now in (before, clean, None)


def _cut(place: Place, call: Callable[[Place], None], fault: cut.NthFault) -> list[str]:
    scheduler, client = Scheduler(0), Client(0, files.Process())
    scheduler.adopt(client)
    simulated(place, scheduler, fault)
    try:
        call(place)
    except Killed:
        pass
    except OutputError:
        if fault.kind != cut.FAIL:
            raise
    except AdaptraceError as error:
        return [f"{type(error).__name__}: {error}"]
    finally:
        cut.stop()
    return []


# ---- several at once ---------------------------------------------------------


def run_seed(seed: int, *, only: Sequence[str] = (), trace: bool = False) -> Result:
    """Some runs, and forgetting, at the same time, some of which may be killed."""
    chance = random.Random(f"{seed} district")
    calls = [chance.choice((Place.run, Place.score))] * 3
    if (not only or "forget" in only) and chance.random() < 0.7:
        calls[-1] = Place.forget
    steps: list[str] = []
    with prepared(chance.randrange(2)) as place:
        scheduler, wrong = Scheduler(seed), list[str]()
        rates = {cut.DELAY: chance.choice((0.02, 0.15)), cut.KILL: chance.choice((0.0, 0.01))}

        def work(client: Client) -> None:
            try:
                for _ in range(TIMES):
                    _unless_in_the_way(calls[client.number], place)
            except Killed:
                pass
            except Exception as error:
                wrong.append(f"client {client.number}: {type(error).__name__}: {error}")

        simulated(place, scheduler, cut.Faults(seed, rates), trace=steps if trace else None)
        try:
            scheduler.run([Client(number, files.Process()) for number in range(len(calls))], work)
        finally:
            cut.stop()
        try:
            wrong += [scheduler.failure] if scheduler.failure else _at_the_end(place, calls[0], Place.forget in calls)
        except (OSError, AdaptraceError) as error:
            wrong.append(f"made again, {type(error).__name__}: {error}")
    return Result(wrong, scheduler.steps, steps)


IN_THE_WAY = (
    "at work",  # another call
    "no later than what the state knows",  # of a log that was rewritten without a student, and of a state that was not yet
)


def _unless_in_the_way(call: Callable[[Place], None], place: Place) -> None:
    """Make a call, which may be refused because of another."""
    try:
        call(place)
    except (OutputError, DataError) as error:
        if not any(reason in str(error) for reason in IN_THE_WAY):
            raise


def _at_the_end(place: Place, run: Callable[[Place], None], is_forgotten: bool) -> list[str]:
    """What is wrong after all, and after each call was made again."""
    wrong = [] if place.is_whole() else ["the state is not whole"]
    if is_forgotten:
        place.forget()
    run(place)
    found = place.mastery()
    with tempfile.TemporaryDirectory() as folder:
        clean = Place(Path(folder))
        shutil.copytree(place.log, clean.log)
        run(clean)
        wrong += [] if found == clean.mastery() else ["run again, it does not give the mastery of the whole log"]
    wrong += [f"left {each}" for each in place.hidden()]
    return wrong + ([f"the forgotten student is in {each}" for each in place.left()] if is_forgotten else [])
