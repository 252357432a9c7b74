"""Run the simulation: one command, which prints a line for every failing seed with the command that replays it.

    python tests/simulated/run.py --store memory|sqlite|postgres|district --seeds 10000     clients, faults, store under each seed
    python tests/simulated/run.py --store sqlite --seed 17 --trace                          one seed again, with its steps
    python tests/simulated/run.py --store sqlite --nth                           each call with its n-th statement failing
    python tests/simulated/run.py --store postgres --processes 20            rounds of processes, some of which are killed

A server is named by ADAPTRACE_POSTGRES, as .ci/postgres starts one.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

if __name__ == "__main__" and os.environ.get("PYTHONHASHSEED") != "0":  # else the same seed may take other locks
    os.environ["PYTHONHASHSEED"] = "0"
    os.execv(sys.executable, [sys.executable, *sys.argv])
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from simulated import cut, nth, seeds
from simulated.seeds import Result
from simulated.worlds import World

SERVER = "ADAPTRACE_POSTGRES"
OFTEN = 500  # seeds between two lines of progress


def world_of(kind: str) -> World:
    """The world of a kind of store."""
    if kind == "memory":
        from simulated.memory_world import MemoryWorld

        return MemoryWorld()
    if kind == "sqlite":
        from simulated.sqlite_world import SQLiteWorld

        return SQLiteWorld()
    from simulated.postgres_world import PostgresWorld

    return PostgresWorld(os.environ[SERVER])


def run_seeds(given: argparse.Namespace) -> list[str]:
    """Clients, faults and store under each seed."""
    begin, steps, failing = time.monotonic(), 0, list[str]()
    numbers = range(given.first, given.first + given.seeds) if given.seed is None else [given.seed]
    for done, (number, result) in enumerate(_results(given, numbers), 1):
        steps += result.steps
        for line in result.trace:
            print(line)
        if result.problems:
            calls = f" --calls {given.calls}" if given.calls else ""
            again = f"python tests/simulated/run.py --store {given.store} --seed {number}{calls}"
            failing.append("\n  ".join([f"seed {number} fails; again: {again}", *result.problems]))
            print(failing[-1], flush=True)
        if done % OFTEN == 0:
            seconds = time.monotonic() - begin
            print(f"{given.store}: {done} of {len(numbers)} seeds, {len(failing)} failing, {seconds:.0f} s", flush=True)
    print(f"{given.store}: {len(numbers)} seeds, {steps} steps")
    return failing


def _results(given: argparse.Namespace, numbers: Sequence[int]) -> Iterator[tuple[int, Result]]:
    only = [each for each in given.calls.split(",") if each]
    if given.store == "district":
        from simulated import district

        yield from ((number, district.run_seed(number, trace=given.trace, only=only)) for number in numbers)
        return
    world = world_of(given.store)
    try:
        yield from ((number, seeds.run_seed(world, number, only=only, trace=given.trace)) for number in numbers)
    finally:
        world.close()


def run_nth(given: argparse.Namespace) -> list[str]:
    """Each call with its n-th statement, or operation on a file, failing."""
    checks: list[Callable[[], nth.Result]]
    if given.store == "district":
        from simulated import district

        checks = [lambda n=name, k=kind: district.check_cuts(n, k) for name in district.CALLS for kind in (cut.KILL, cut.FAIL)]
        results = [check() for check in checks]
    else:
        world = world_of(given.store)
        checks = [lambda n=name, k=kind: nth.check_call(world, n, k) for name in nth.CALLS for kind in nth.KINDS]
        results = [check() for check in [*checks, lambda: nth.check_snapshot(world)]]
        world.close()
    print(f"{given.store}: {sum(result.cuts for result in results)} cut points")
    return [problem for result in results for problem in result.problems]


def run_processes(given: argparse.Namespace) -> list[str]:
    """Processes on a server, some of which are killed."""
    from simulated import processes
    from tutor.store.postgres_server import fresh_schema

    with fresh_schema(os.environ[SERVER]) as url:
        found = processes.watch(url, given.seed or 0, given.processes)
    print(f"processes: {found.calls} calls, {found.kills} processes killed")
    return found.problems


def main() -> int:
    """Run what the arguments say; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", choices=("memory", "sqlite", "postgres", "district"), required=True)
    parser.add_argument("--seeds", type=int, default=300, help="how many")
    parser.add_argument("--first", type=int, default=0, help="the first of them")
    parser.add_argument("--seed", type=int, help="this one alone")
    parser.add_argument("--calls", default="", help="only these calls, e.g. observe,forget_student")
    parser.add_argument("--trace", action="store_true", help="print the steps")
    parser.add_argument("--nth", action="store_true", help="cut each call at each point")
    parser.add_argument("--processes", type=int, metavar="ROUNDS", help="let processes work, on a server")
    given, begin = parser.parse_args(), time.monotonic()
    found = (run_processes if given.processes else run_nth if given.nth else run_seeds)(given)
    if given.nth or given.processes:
        print(*found, sep="\n")
    print(f"{given.store}: {len(found)} failing, {time.monotonic() - begin:.1f} s")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
