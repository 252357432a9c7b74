"""What kill -9 costs: a process is killed at random moments while four threads write to one SQLite file.

    python benchmarks/kill.py [--rounds 20] [--seed 0]

Prints the rounds, the acknowledged operations, how many of them were lost, events stored twice, events that nobody sent or took
back, students whose state is not the replay of their events, and SQLite's own check. The storm is that of the tests.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests" / "tutor"))

from storm import kill_rounds

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        for tally in kill_rounds(Path(folder) / "tutor.db", options.rounds, options.seed):
            print(tally, file=sys.stderr)
    print(
        f"{tally.rounds} rounds of kill -9, {tally.acknowledged:,} acknowledged operations: {tally.lost} lost, "
        f"{tally.doubled} doubled, {tally.invented} invented, {tally.differ} states that differ; integrity {tally.integrity}"
    )
