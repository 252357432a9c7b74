"""A seed: clients of some processes make calls at the same time, and what is wrong after them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count

from simulated import cut, history
from simulated.actor import STUDENTS, Actor, Record
from simulated.invariants import Versions, contents, memory_problems, store_problems
from simulated.scheduler import Client, Killed, Scheduler
from simulated.worlds import Process, World, aside

RATES = {cut.FAIL: 0.012, cut.LOST: 0.006, cut.KILL: 0.005, cut.DELAY: 0.03}


@dataclass
class Result:
    """What a seed came to."""

    problems: list[str]
    steps: int
    trace: list[str]


class _Seed:
    """One seed of a world."""

    def __init__(self, world: World, seed: int, only: Sequence[str]) -> None:
        self._world, self._seed = world, seed
        self._chance = random.Random(f"{seed} plan")
        ticks = count(1)
        self._record, self._versions = Record(lambda: next(ticks)), Versions()
        self._only, self._calls = only, self._chance.randrange(3, 8)
        self._processes: list[Process] = []

    def run(self, *, trace: bool) -> Result:
        """Run it, and look."""
        scheduler, world = Scheduler(self._seed), self._world
        world.begin()
        with_faults = self._chance.random() < 0.7
        rates = {kind: rate for kind, rate in RATES.items() if kind != cut.KILL or world.is_killed} if with_faults else {}
        steps: list[str] | None = [] if trace else None
        processes = self._chance.randint(1, world.most_processes)
        self._processes = [Process(world, number, self._chance) for number in range(processes)]
        number_of_clients = max(processes, self._chance.randint(2, 4))
        clients = [Client(n, self._processes[n % processes]) for n in range(number_of_clients)]
        cut.start(
            cut.Simulation(scheduler, cut.Faults(self._seed, rates), world.at_locks and self._chance.random() < 0.5, trace=steps)
        )
        try:
            scheduler.run(clients, self._live)
        finally:
            cut.stop()
        problems = [scheduler.failure] if scheduler.failure else self._found()
        world.end(failed=bool(scheduler.failure))
        return Result(problems, scheduler.steps, steps or [])

    def _live(self, client: Client) -> None:
        """The calls of one client."""
        simulation = cut.current()
        assert simulation is not None
        chance = random.Random(f"{self._seed} client {client.number}")
        actor = Actor(
            f"{client.number}-", chance, self._record, met_fault=lambda: client.number in simulation.faulted, only=self._only
        )
        for _ in range(self._calls):
            client.life = client.process.life
            simulation.faulted.discard(client.number)
            first = len(self._record.calls)
            try:
                if client.process.tutor is None:  # another thread of the process begins it anew
                    cut.turn(lambda: client.process.tutor is not None)
                actor.act(client.process.tutor)
            except Killed:
                continue
            self._look(client, {call.student for call in self._record.calls[first:]})

    def _look(self, client: Client, names: set[str]) -> None:
        with aside():
            for name in sorted(names):
                self._versions.look(self._world.observed(), name)

    def _found(self) -> list[str]:
        """What is wrong at the end."""
        store = self._world.observed()
        found = store_problems(store) + self._versions.problems
        found += [problem for process in self._processes for problem in memory_problems(process.tutor)]
        now, held = self._record.time(), contents(store)
        last = [history.Call("all", name, now, self._record.time(), held.get(name, history.State())) for name in STUDENTS]
        return found + history.problems([*self._record.calls, *last])


def run_seed(world: World, seed: int, *, only: Sequence[str] = (), trace: bool = False) -> Result:
    """Run one seed of a world."""
    return _Seed(world, seed, only).run(trace=trace)
