"""The worker: one process that hands many mutants to their doors and says of each what became of it.

``python worker.py FOLDER SEED FIRST LAST`` prints a line ``number<TAB>outcome<TAB>message`` for each, and before it the number
alone, so that who reads it knows on which one the process ended. Ten seconds on one mutant end the process.
"""

from __future__ import annotations

import faulthandler
import json
import os
import shutil
import sys
import traceback
from pathlib import Path
from random import Random

if __name__ == "__main__":  # run as a script: tests/ is the folder that names begin from
    sys.path.insert(0, str(Path(__file__).parents[1]))

import resource

import adaptrace as at
from fuzz import checks
from fuzz.doors import CASES, DOORS, Case
from fuzz.mutate import MUTATORS
from fuzz.seeds import seed

SECONDS, MEMORY = 10, 2 << 30
MOST_ADDRESSES = 12 << 30  # of memory that is asked for, and mostly never touched
OUTCOMES = ("refused", "accepted", "not made", "raw", "nonsense", "wrong name", "crash", "slow", "big")
GOOD = OUTCOMES[:3]


def case_of(number: int) -> Case:
    """What a mutant is made of, and where it goes."""
    return CASES[number % len(CASES)]


def mutant(run: int, number: int) -> bytes:
    """The mutant of this number in the run of this seed."""
    case = case_of(number)
    return MUTATORS[case.how](seed(case.seed), Random(f"{run} {number}"))


def outcome(door: str, path: Path, folder: Path) -> tuple[str, str]:
    """What becomes of a file at a door, and the message."""
    try:
        DOORS[door](path, folder)
    except at.AdaptraceError as error:
        return "refused", str(error)
    except checks.NotMade:
        return "not made", ""
    except checks.Nonsense as error:
        return "nonsense", str(error)
    except checks.WrongName as error:
        return "wrong name", str(error)
    except Exception as error:
        where = [f"{Path(frame.filename).name}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)]
        return "raw", f"{type(error).__name__}: {error} at {' '.join(where[-6:])}"
    return "accepted", ""


def watched(door: str, path: Path, folder: Path) -> tuple[str, str]:
    """The same, ended where it takes too long, and told where it took too much memory."""
    folder.mkdir(parents=True)
    faulthandler.dump_traceback_later(SECONDS, exit=True)
    found = outcome(door, path, folder)
    faulthandler.cancel_dump_traceback_later()
    shutil.rmtree(folder)
    return ("big", found[1]) if peak() > MEMORY else found


def peak() -> int:
    """Bytes of memory that the process had at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


def ending(name: str) -> str:
    """Of a file's name, ``.gz`` and what is before it included."""
    return "".join(Path(name).suffixes)


def warm_up(folder: Path) -> None:
    """Hand the good files to their doors: what is compiled or loaded once counts for no mutant, and all are accepted."""
    for number, case in enumerate(dict.fromkeys(CASES)):
        path = folder / f"{case.seed.split('/')[0].split('.')[0]}-good{number}{ending(case.seed)}"
        path.write_bytes(seed(case.seed))
        (folder / "scratch").mkdir()
        found = outcome(case.door, path, folder / "scratch")
        shutil.rmtree(folder / "scratch")
        assert found == ("accepted", ""), f"{case}: {found}"
        path.unlink()


def main(folder: Path, run: int, first: int, last: int) -> None:
    """Say of each mutant what became of it."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST_ADDRESSES, MOST_ADDRESSES))
    out = os.fdopen(os.dup(1), "w", buffering=1)
    warm_up(folder)
    for number in range(first, last):
        case = case_of(number)
        path = folder / f"{case.seed.split('/')[0].split('.')[0]}-{number}{ending(case.seed)}"
        path.write_bytes(mutant(run, number))
        out.write(f"{number}\n")
        found = watched(case.door, path, folder / "scratch")
        out.write(f"{number}\t{found[0]}\t{json.dumps(found[1])}\n")
        path.unlink()
        if found[0] == "big":  # the next one could not be told from it
            return


if __name__ == "__main__":
    main(Path(sys.argv[1]), *map(int, sys.argv[2:]))
