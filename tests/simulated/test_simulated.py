"""Some hundred seeds of each kind of store, and each call cut at each point; run.py runs many more."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tutor.store.postgres_server import MISSING, URL

RUN = Path(__file__).with_name("run.py")
needs_server = pytest.mark.skipif(bool(MISSING), reason=MISSING or "never")


def simulated(*arguments: object) -> None:
    """Run the command in a process of its own: it replaces locks and connections."""
    command = [sys.executable, str(RUN), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900, check=False, env={**os.environ, SERVER: URL})
    killed = "discarding closed connection"  # what the pool says of a session that was killed
    said = [line for line in done.stderr.splitlines() if not line.startswith(killed)]
    assert (done.returncode, said) == (0, []), done.stdout + done.stderr


SERVER = "ADAPTRACE_POSTGRES"
KINDS = [
    pytest.param("memory", 300, id="memory"),
    pytest.param("sqlite", 150, id="sqlite"),
    pytest.param("postgres", 40, id="postgres", marks=needs_server),
    pytest.param("district", 30, id="district"),
]


@pytest.mark.parametrize(("store", "seeds"), KINDS)
def test_no_seed_fails(store: str, seeds: int) -> None:
    simulated("--store", store, "--seeds", seeds)


@pytest.mark.parametrize("store", [kind.values[0] for kind in KINDS[:2]] + [pytest.param("postgres", marks=needs_server)])
def test_a_call_whose_nth_statement_fails_is_whole_and_may_be_made_again(store: str) -> None:
    simulated("--store", store, "--nth")


def test_a_run_that_is_cut_at_its_nth_operation_is_whole_and_may_be_made_again() -> None:
    simulated("--store", "district", "--nth")


@needs_server
def test_the_history_of_processes_is_linearizable() -> None:
    simulated("--store", "postgres", "--processes", 8)


def test_the_same_seed_gives_the_same_steps() -> None:
    command = [sys.executable, str(RUN), "--store", "sqlite", "--seed", "5", "--trace"]
    first, second = (subprocess.run(command, capture_output=True, text=True, check=True).stdout for _ in range(2))
    steps = [line for line in first.splitlines() if "client" in line]
    assert len(steps) > 50
    assert steps == [line for line in second.splitlines() if "client" in line]
