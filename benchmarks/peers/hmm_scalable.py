"""adaptrace beside hmm-scalable (`trainhmm`, by skill, Baum-Welch): from a text file to a fitted model."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from statistics import median

import pyarrow as pa
import pyarrow.csv
from beside import Five, data, in_turns, leave, machine, print_table, report_likelihoods, timed

import adaptrace as at

HOW_TO_GET = """\
give the program with --trainhmm PATH; to get it:
  git clone https://github.com/myudelson/hmm-scalable
  make -C hmm-scalable all"""

NO_CAPS = "1,1,1,1,1,1,1,1,1,1"  # by default it caps guess and slip at 0.3


def write_theirs(table: pa.Table, path: str) -> None:
    """Without names: 1 for right or 2 for wrong, student, item, skill; in the order of answering."""
    observation = pa.array(2 - table["correct"].to_numpy())
    columns = pa.table(
        [observation, table["student"], table["item"], table["skill"]], names=["correct", "student", "item", "skill"]
    )
    pa.csv.write_csv(columns, path, pa.csv.WriteOptions(include_header=False, delimiter="\t"))


def found(path: str) -> dict[str, Five]:
    """The parameters of every skill in the model file: its name, then its rows PI, A and B."""
    skills: dict[str, Five] = {}
    for line in Path(path).read_text().splitlines():
        head, *cells = line.split()
        if head.isdigit():
            name = cells[0]
        elif head == "PI":
            prior = float(cells[0])
        elif head == "A":
            forget, learn = float(cells[1]), float(cells[2])
        elif head == "B":
            skills[name] = [prior, learn, forget, float(cells[2]), float(cells[1])]
    return skills


def main() -> int:
    """Run the comparison; 1 if adaptrace reached a lower likelihood on any skill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trainhmm", help="the compiled program")
    parser.add_argument("--responses", type=int, default=10_000_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    if options.trainhmm is None:
        leave(HOW_TO_GET)
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs, model = (os.path.join(folder, name) for name in ("log.tsv", "trainhmm.txt", "model.txt"))
        table = data.simulated(options.responses)
        pa.csv.write_csv(table, ours, pa.csv.WriteOptions(delimiter="\t"))
        write_theirs(table, theirs)
        data.warmed_up()
        log = at.Log.read(ours)
        command = [options.trainhmm, "-s", "1.1", "-P", "1", "-q", "1", "-u", NO_CAPS, theirs, model]
        unfitted = at.BKT(forget=False, pooling=0, plausible=False)  # each skill on its own, as trainhmm has it
        calls = [lambda: unfitted.fit(at.Log.read(ours)), lambda: subprocess.run(command, check=True)]
        print(f"{log}; {machine()}; medians of {options.repeat}")
        seconds = [median(times) for times in in_turns(map(timed, calls), options.repeat)]
        print_table(["adaptrace", "trainhmm"], [("read text, fit", *seconds)])
        passed = report_likelihoods(unfitted.fit(log), found(model), log, "trainhmm")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
