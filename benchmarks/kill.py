"""What kill -9 costs: a process is killed at random moments while its threads write, forget, rebuild and make snapshots.

    python benchmarks/kill.py [--rounds 50] [--seed 0] [--postgres URL]

Prints for SQLite, and for PostgreSQL if there is a URL (by default that of ADAPTRACE_POSTGRES), the rounds, the acknowledged
operations and snapshots, how many operations were lost, events stored twice, events that nobody sent or that were taken back or
forgotten, students whose state is not the replay of their events, and what else ``verify()`` finds in the store and in the
snapshots. Exits with 1 if any of these is not 0. The storm is that of the tests.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))

from tutor.store.postgres_server import fresh_schema, gone
from tutor.storm import Tally, kill_rounds


def report(store: str, tallies: Iterable[Tally]) -> bool:
    """Print what the rounds came to; whether nothing is wrong."""
    for tally in tallies:
        print(tally, file=sys.stderr)
    done = f"{tally.acknowledged:,} acknowledged operations, {tally.snapshots:,} snapshots"
    wrong = f"{tally.lost} lost, {tally.doubled} twice, {tally.invented} invented, {tally.differ} states that differ"
    print(f"{store}: {tally.rounds} rounds of kill -9, {done}: {wrong}; verify: {tally.wrong or 'ok'}", flush=True)
    return tally == Tally(tally.rounds, tally.acknowledged, tally.snapshots)


def main() -> int:
    """Run the rounds on each store."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--postgres", default=os.environ.get("ADAPTRACE_POSTGRES", ""), metavar="URL")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, tempfile.TemporaryDirectory() as copies:
        are_well = [report("SQLite", kill_rounds(f"{folder}/tutor.db", Path(copies), options.rounds, options.seed))]
    if options.postgres:
        with fresh_schema(options.postgres) as url, tempfile.TemporaryDirectory() as copies:
            rounds = kill_rounds(
                f"{url}&application_name=storm",
                Path(copies),
                options.rounds,
                options.seed,
                settled=lambda: gone(options.postgres, "storm"),
            )
            are_well.append(report("PostgreSQL", rounds))
    return 0 if all(are_well) else 1


if __name__ == "__main__":
    sys.exit(main())
