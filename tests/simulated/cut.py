"""Where the simulation cuts in: between any two statements of a store somebody else may run, or something may fail."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from simulated.scheduler import Client, Killed, Scheduler

T = TypeVar("T")
FAIL, LOST, KILL, DELAY = "fail", "lost", "kill", "delay"  # before it is done; done, but no reply; ...
LONGEST = 200  # steps of a delay
RETRIES = 200  # turns that a client waits for a file that another holds


@dataclass
class Faults:
    """What goes wrong, as the seed says: each kind at a share of the statements."""

    seed: object
    rates: dict[str, float]
    random: random.Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = random.Random(f"{self.seed} faults")

    def next(self) -> str:
        """What happens at this statement; mostly nothing."""
        drawn = self.random.random()
        for kind, rate in self.rates.items():
            drawn -= rate
            if drawn < 0:
                return kind
        return ""


@dataclass
class NthFault:
    """One thing goes wrong, at the n-th statement."""

    n: int
    kind: str
    count: int = 0

    def next(self) -> str:
        """What happens at this statement."""
        self.count += 1
        return self.kind if self.count == self.n else ""

    @property
    def came(self) -> bool:
        """Whether there were so many statements."""
        return self.count >= self.n


@dataclass
class Simulation:
    """What is simulated now."""

    scheduler: Scheduler
    faults: Faults | NthFault
    at_locks: bool = False  # whether others may run where a lock is taken, too
    faulted: set[int] = field(default_factory=set)  # clients whose call met a fault
    trace: list[str] | None = None  # the steps, where somebody wants to read them


_now: list[Simulation] = []


def start(simulation: Simulation) -> None:
    """Simulate from now on."""
    _now[:] = [simulation]


def stop() -> None:
    """From now on nothing is simulated."""
    _now.clear()


def current() -> Simulation | None:
    """What is simulated now."""
    return _now[0] if _now else None


def client() -> Client | None:
    """The simulated client whose thread this is."""
    return _now[0].scheduler.client() if _now else None


def chance() -> float:
    """A random number of the seed, in [0, 1)."""
    return _now[0].scheduler.random.random()


def turn(may_go_on: Callable[[], bool] | None = None) -> None:
    """Let somebody else run; a client whose process was killed meanwhile ends here."""
    if _now:
        _now[0].scheduler.turn(may_go_on)
        check_alive()


def at_lock() -> None:
    """Let somebody else run where a lock is taken."""
    if _now and _now[0].at_locks:
        turn()


def check_alive() -> None:
    """End a client whose process was killed."""
    me = client()
    if me is not None and me.process is not None and me.life != me.process.life:
        raise Killed


def note(what: str) -> None:
    """Note a step of the trace."""
    me = client()
    if me is not None and _now[0].trace is not None:
        _now[0].trace.append(f"{_now[0].scheduler.steps:5} client {me.number}: {what}")


def met_fault() -> None:
    """Note that the calls of this process met a fault, so that an error is no surprise: threads share transactions."""
    me = client()
    if me is not None:
        _now[0].faulted |= {each.number for each in _now[0].scheduler.clients if each.process is me.process}


def step(text: str, *, spare: bool = False) -> str:
    """Wait for the turn of this client; what goes wrong then. ``spare``: nothing does, but it may take long."""
    me = client()
    assert me is not None
    check_alive()
    turn()
    kind = _now[0].faults.next()
    kind = "" if (spare or me.is_spared) and kind != DELAY else kind
    if kind == DELAY:
        _now[0].scheduler.delay(int(LONGEST ** chance()))
        turn()
        kind = ""
    note(f"{text}{kind and ' -- ' + kind}")
    if kind:
        met_fault()
    if kind == KILL:
        me.process.kill()
        raise Killed
    return kind


def statement(run: Callable[[], T], *, text: str, fails: Callable[[bool], Exception], spare: bool = False) -> T:
    """A statement of a store, when it is this client's turn.

    Parameters
    ----------
    run
        Does it.
    text
        What it is, for the trace.
    fails
        Gives the error of a statement that failed; called with whether it was done.
    spare
        Nothing goes wrong at it, but it may take long.
    """
    if client() is None:
        return run()
    kind = step(text, spare=spare)
    if kind == FAIL:
        raise fails(False)
    if kind == LOST:
        run()  # nothing is kept of what it gave: an SQLite cursor would hold up others
        raise fails(True)
    return run()


def wait_while(is_refused: Callable[[], Any], text: str) -> Any:
    """Try again, with others' turns between, until something is not refused (None); what it gives."""
    for _ in range(RETRIES):
        found = is_refused()
        if found is not None:
            return found
        note(f"{text} waits")
        turn()
    met_fault()
    return None
