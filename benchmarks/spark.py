"""Spark beside one process, and beside Spark itself, on simulated responses.

    python benchmarks/spark.py [--rows 20000000] [--files 32] [--rounds 3] [--cores 2] [--seed 0] [--folder FOLDER]

Two folders hold the same responses: `bucketed`, no student in two files, and `mixed`, every student in most files. In every round
each way runs once, so that ratios are of one time and place; the table has the best round of each. Start-up stands aside: a first
round is not counted. Ways:

    process    one process with all cores: adaptrace.score_dataset on `bucketed`
    bucketed   engines.spark.score on `bucketed`, which finds out that it is
    promised   the same with bucketed=True
    shuffled   engines.spark.score on `mixed`, which finds out that it is not
    plain      Spark alone: `mixed` by repartition + sortWithinPartitions + write, the same columns

Then both results are compared with that of one process, bit for bit.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import adaptrace as at
from adaptrace.dataset import spark as engine
from adaptrace.io.files import find_files

SKILLS = 100
ITEMS = 20  # of a skill
RESPONSES = 100  # of a student
FIRST = 1_700_000_000_000_000  # microseconds since 1970
QUIET = {"spark.ui.enabled": "false", "spark.ui.showConsoleProgress": "false"}


def simulate(rows: int, files: int, seed: int, folder: Path) -> None:
    """Write the responses twice, in `files` files each."""
    random = np.random.default_rng(seed)
    student = np.sort(random.integers(0, max(1, rows // RESPONSES), rows))
    skill = random.integers(0, SKILLS, rows).astype(np.int32)
    table = pa.table(
        {
            "student": student,
            "item": skill * ITEMS + random.integers(0, ITEMS, rows).astype(np.int32),
            "skill": skill,
            "correct": (random.random(rows) < 0.65).astype(np.uint8),
            "time": pa.array(FIRST + 1_000_003 * np.arange(rows)).cast(pa.timestamp("us", "UTC")),
        }
    )
    bucket = np.random.default_rng(seed).permutation(student[-1] + 1)[student] * files // (student[-1] + 1)
    for name, file in (("bucketed", bucket), ("mixed", random.integers(0, files, rows))):
        (folder / name).mkdir()
        order, ends = np.argsort(file, kind="stable"), np.cumsum(np.bincount(file, minlength=files))
        for number, (first, last) in enumerate(zip([0, *ends[:-1]], ends, strict=True)):
            pq.write_table(table.take(order[first:last]), folder / name / f"{number:04}.parquet", compression="zstd")


def plain(spark: Any, source: Path, out: Path) -> None:
    """Spark's own way to bring the rows of students together and in order."""
    rows = spark.read.parquet(str(source))
    count = spark.sparkContext.defaultParallelism
    parts = count * (sum(pq.read_metadata(path).num_rows for path in find_files(source)) // (count * 1_000_000) + 1)
    rows.repartition(parts, "student").sortWithinPartitions("student", "time").write.parquet(str(out))


def in_order(folder: Path) -> pa.Table:
    """The scores of a folder, by student and skill."""
    return pq.read_table(folder).sort_by([("student", "ascending"), ("skill", "ascending")]).combine_chunks()


def seconds(run: Callable[[Path], object], out: Path) -> float:
    shutil.rmtree(out, ignore_errors=True)
    start = time.perf_counter()
    run(out)
    return time.perf_counter() - start


def main(options: argparse.Namespace, folder: Path) -> None:
    """Simulate, run, print."""
    if not (folder / "mixed").exists():
        simulate(options.rows, options.files, options.seed, folder)
    names = [str(skill) for skill in range(SKILLS)]
    model = at.BKT.from_parameters(names, prior=np.linspace(0.1, 0.6, SKILLS), learn=0.2, guess=0.15, slip=0.1)
    spark = engine.session(f"local[{options.cores}]", QUIET)
    bucketed, mixed = folder / "bucketed", folder / "mixed"
    ways: dict[str, Callable[[Path], object]] = {
        "process": lambda out: at.score_dataset(bucketed, out, model=model),
        "bucketed": lambda out: engine.score(spark, bucketed, out=out, model=model),
        "promised": lambda out: engine.score(spark, bucketed, out=out, model=model, bucketed=True),
        "shuffled": lambda out: engine.score(spark, mixed, out=out, model=model),
        "plain": lambda out: plain(spark, mixed, out),
    }
    took: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(1 + options.rounds):
        for name, run in ways.items():
            took[name].append(seconds(run, folder / f"out-{name}"))
            print(f"round {number}: {name} {took[name][-1]:.2f} s", file=sys.stderr)
    best = {name: min(all_of_it[1:]) for name, all_of_it in took.items()}
    print(f"{options.rows:,} responses, {options.files} files, local[{options.cores}], best of {options.rounds} rounds\n")
    print("| way | seconds | ratio |\n|---|---:|---:|")
    for name, over in (
        ("process", "process"),
        ("bucketed", "process"),
        ("promised", "process"),
        ("plain", "plain"),
        ("shuffled", "plain"),
    ):
        print(f"| {name} | {best[name]:.2f} | {best[name] / best[over]:.2f} of {over} |")
    expected = in_order(folder / "out-process")
    same = {name: in_order(folder / f"out-{name}").equals(expected) for name in ("bucketed", "promised", "shuffled")}
    print(f"\nequal to one process, bit for bit: {same}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--files", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--cores", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--folder", type=Path, help="where the files go and stay; by default they are removed")
    given = parser.parse_args()
    if given.folder is not None:
        given.folder.mkdir(parents=True, exist_ok=True)
        main(given, given.folder)
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(given, Path(temporary))
