"""Run mutants and print what became of them: ``python tests/fuzz/run.py --mutants 20000 --seed 1``.

Every file that is neither refused in one error nor read as what it says goes into ``tests/fuzz/corpus``: a test hands it to its
door again. Mutant n of a seed is the same bytes everywhere.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

if __name__ == "__main__":  # run as a script: tests/ is the folder that names begin from
    sys.path.insert(0, str(Path(__file__).parents[1]))

from fuzz import worker

CORPUS = Path(__file__).parent / "corpus"


class Told(NamedTuple):
    """What became of a mutant."""

    number: int
    outcome: str
    message: str


def outcomes(run: int, first: int, last: int) -> Iterator[Told]:
    """What became of the mutants from ``first`` to before ``last``; a new process takes over where one ended."""
    while first < last:
        with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
            errors = Path(folder, "stderr")
            command = [sys.executable, worker.__file__, folder, *map(str, (run, first, last))]
            with errors.open("w") as err, subprocess.Popen(command, stdout=subprocess.PIPE, stderr=err, text=True) as process:
                begun = first - 1
                for number, _, told in (line.partition("\t") for line in process.stdout or ()):
                    begun = int(number)
                    if told:
                        yield Told(begun, *told.strip().split("\t"))
                        first = begun + 1
            said = errors.read_text(errors="replace")
        if process.returncode:
            assert first == begun, f"the worker ended between mutants: {said[-2000:]}"
            slow = "Timeout (" in said
            yield Told(begun, "slow" if slow else "crash", f"ended by {process.returncode}: {said[-1500:]}")
            first = begun + 1


def kept(run: int, told: Told) -> Path:
    """A mutant as a file of the corpus, named by its door."""
    case = worker.case_of(told.number)
    path = CORPUS / f"{case.door}--{case.seed.split('/')[0].split('.')[0]}-{run}-{told.number}{worker.ending(case.seed)}"
    path.write_bytes(worker.mutant(run, told.number))
    return path


def table(counts: Counter[tuple[str, str, str]]) -> str:
    """Mutants of each file at each door, by what became of them."""
    lines = [f"{'door':<12}{'file':<26}{'mutants':>8}" + "".join(f"{name:>11}" for name in worker.OUTCOMES)]
    for door, seed in dict.fromkeys((door, seed) for door, seed, _ in sorted(counts)):
        found = [counts[door, seed, name] for name in worker.OUTCOMES]
        lines.append(f"{door:<12}{seed[-25:]:<26}{sum(found):>8}" + "".join(f"{n or '-':>11}" for n in found))
    found = [sum(n for (*_, each), n in counts.items() if each == name) for name in worker.OUTCOMES]
    return "\n".join([*lines, f"{'all':<38}{sum(found):>8}" + "".join(f"{n or '-':>11}" for n in found)])


def main() -> int:
    """Run, print, keep."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mutants", type=int, default=20_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="begin with this mutant")
    parser.add_argument("--keep", action=argparse.BooleanOptionalAction, default=True, help="put what fails into the corpus")
    asked = parser.parse_args()
    counts: Counter[tuple[str, str, str]] = Counter()
    start, failed = time.monotonic(), 0
    for told in outcomes(asked.seed, asked.first, asked.first + asked.mutants):
        case = worker.case_of(told.number)
        counts[case.door, case.seed, told.outcome] += 1
        if told.outcome not in worker.GOOD:
            failed += 1
            place = f" -> {kept(asked.seed, told).name}" if asked.keep else ""
            print(f"{told.number} {case.door} {case.seed}: {told.outcome}: {told.message[:400]}{place}", flush=True)
    print(table(counts))
    print(f"{failed} of {sum(counts.values()):,} failed; {time.monotonic() - start:.0f} s")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
