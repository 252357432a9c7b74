"""A district from end to end, beside what pyarrow and DuckDB take for the bare minimum of it.

    python benchmarks/district.py FOLDER [--rows 10_000_000 100_000_000] [--names numbers text] [--rounds 3] [--only ordered]

FOLDER is for the logs, which are simulated there (students who follow a known BKT, 240 responses each on 20 of 200 skills), and
for outputs. Every line is a comparison in one warm process, both sides in turn, medians of the rounds:

- *ordered*: a log in the order of students and time, Parquet to mastery Parquet; beside pyarrow that reads the same columns and
  writes a table of the output's size, with the same threads.
- *unordered*: the same log by time, all students in every file; beside DuckDB's ``ORDER BY student, time`` to Parquet.
- *night*: 1 % more rows, given to a state; beside scoring everything anew, with its state.
- *stats*: the counts that a fit needs; their file beside the log's.

Peak memory is of a process that does nothing else.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import adaptrace as at
from adaptrace.io.files import plain_columns
from adaptrace.kernels import parallel

COLUMNS = ["student", "skill", "correct", "time"]
FILE_ROWS, PER_STUDENT, BLOCK, SKILLS, MET = 2_000_000, 240, 12, 200, 20
DAY = 86_400_000_000
TRUTH = {"prior": 0.3, "learn": 0.12, "guess": 0.2, "slip": 0.1}


# ---- logs -------------------------------------------------------------------


def students(number: int, size: int) -> pa.Table:
    """The responses of so many students from a number on, in the order of student and time."""
    random, n = np.random.default_rng([1, number]), size * PER_STUDENT
    rank = np.tile(np.arange(PER_STUDENT), size)
    student = np.repeat(np.arange(number, number + size), PER_STUDENT)
    skill = (np.repeat(random.integers(0, SKILLS - MET, size), PER_STUDENT) + rank // BLOCK).astype(np.int32)
    learned = random.geometric(TRUTH["learn"], n // BLOCK) * (random.random(n // BLOCK) > TRUTH["prior"])
    knows = rank % BLOCK >= np.repeat(learned, BLOCK)
    correct = (random.random(n) < np.where(knows, 1.0 - TRUTH["slip"], TRUTH["guess"])).astype(np.int8)
    step = random.exponential(300 * DAY / PER_STUDENT, n).reshape(size, PER_STUDENT)
    moment = 1_700_000_000_000_000 + np.cumsum(step, axis=1).ravel().astype(np.int64)
    columns = {"student": student, "item": skill * 10 + (rank % 10).astype(np.int32), "skill": skill, "correct": correct}
    return pa.table({**columns, "time": pa.array(moment, pa.timestamp("us", "UTC"))})


def as_texts(table: pa.Table) -> pa.Table:
    """Names as dictionaries of text."""
    for name in ("student", "skill"):
        codes = table[name].combine_chunks().dictionary_encode()
        names = pa.array([f"{name}-{code:07d}" for code in codes.dictionary.to_pylist()])
        table = table.set_column(table.column_names.index(name), name, pa.DictionaryArray.from_arrays(codes.indices, names))
    return table


def make(folder: Path, rows: int, names: str, order: str) -> Path:
    """The log of so many rows: ``ordered``, or by time with all students in every file."""
    place = folder / f"{order}-{names}-{rows}"
    if (place / "done").exists():
        return place
    place.mkdir(parents=True, exist_ok=True)
    size = FILE_ROWS // PER_STUDENT
    numbers = list(range(0, max(1, rows // PER_STUDENT), size))
    if order == "ordered":
        for at_file, number in enumerate(numbers):
            table = students(number, min(size, rows // PER_STUDENT - number))
            pq.write_table(table if names == "numbers" else as_texts(table), place / f"part-{at_file:04d}.parquet")
    else:  # piece by piece of everybody's year, so that no more than one file is in memory
        share = PER_STUDENT // len(numbers) if len(numbers) <= PER_STUDENT else 1
        writers: dict[int, list[pa.Table]] = {}
        for number in numbers:
            table = students(number, min(size, rows // PER_STUDENT - number))
            part = np.minimum(np.tile(np.arange(PER_STUDENT), len(table) // PER_STUDENT) // share, len(numbers) - 1)
            for at_file in range(len(numbers)):
                writers.setdefault(at_file, []).append(table.filter(pa.array(part == at_file)))
        for at_file, tables in writers.items():
            table = pa.concat_tables(tables)
            table = table.take(pa.array(np.random.default_rng([2, at_file]).permutation(len(table))))
            pq.write_table(table if names == "numbers" else as_texts(table), place / f"part-{at_file:04d}.parquet")
    (place / "done").touch()
    return place


def model_of(folder: Path, names: str) -> at.BKT:
    """Fitted to students who are in no log."""
    path = folder / f"model-{names}.json"
    if not path.exists():
        table = students(10**8, 4000)
        at.BKT().fit(at.Log.from_arrow(table if names == "numbers" else as_texts(table))).save(path)
    return at.load(path)


# ---- what is measured -------------------------------------------------------


def files_of(log: Path) -> list[Path]:
    return sorted(log.glob("*.parquet"))


def read(log: Path) -> None:
    """Merely read the columns that scoring reads."""
    with ThreadPoolExecutor(parallel.cores()) as pool:
        list(pool.map(lambda file: pq.read_table(file, columns=COLUMNS, use_threads=False), files_of(log)))


def write(tables: list[pa.Table], out: Path) -> None:
    """Merely write tables, as pyarrow does by default."""
    out.mkdir(exist_ok=True)
    with ThreadPoolExecutor(parallel.cores()) as pool:
        list(pool.map(lambda each: pq.write_table(each[1], out / f"{each[0]}.parquet"), enumerate(tables)))


def order_by(log: Path, out: Path, memory: str = "2GB") -> None:
    """DuckDB's own way to order a log."""
    import duckdb

    with duckdb.connect(config={"threads": parallel.cores(), "memory_limit": memory}) as connection:
        connection.sql(f"SET temp_directory='{out.parent / 'duckdb'}'")
        connection.sql("SET preserve_insertion_order=true")
        columns = ", ".join(COLUMNS)
        connection.sql(f"COPY (SELECT {columns} FROM '{log}/*.parquet' ORDER BY student, time) TO '{out}' (FORMAT parquet)")


def seconds(work: Callable[[], Any], rounds: int) -> list[float]:
    """What it takes, every time."""
    spent = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        spent.append(time.perf_counter() - start)
    return spent


def fresh(*folders: Path) -> None:
    for folder in folders:
        shutil.rmtree(folder, ignore_errors=True)


def alone(folder: Path, task: str, *arguments: object) -> dict[str, float]:
    """Seconds and peak memory (GB) of a task in a process of its own."""
    argv = [sys.executable, __file__, str(folder), "--task", json.dumps([task, *map(str, arguments)])]
    done = subprocess.run(argv, check=True, capture_output=True, text=True)
    return dict(json.loads(done.stdout.splitlines()[-1]))


def do(folder: Path, task: str, *arguments: str) -> None:
    """The task of such a process."""
    start = time.perf_counter()
    if task == "score":
        log, names, out, state = arguments
        at.score_dataset(log, out, model=model_of(folder, names), state=state or None)
    else:
        log, names, out = arguments
        count(Path(log), Path(out))
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    print(json.dumps({"seconds": time.perf_counter() - start, "peak": int(peak.split()[1]) / 1e6}))


def count(log: Path, out: Path) -> None:
    """The stats of a log, in a file."""
    at.stats_dataset(log, at.BKT()).save(out)


# ---- the comparisons --------------------------------------------------------


def ordered(folder: Path, rows: int, names: str, rounds: int) -> dict[str, Any]:
    log, model, out = make(folder, rows, names, "ordered"), model_of(folder, names), folder / "out"
    fresh(out)
    at.score_dataset(log, out, model=model)  # compiles, and brings the log into the cache of the disk
    tables = [pq.read_table(file) for file in files_of(out)]
    both = [
        (
            seconds(lambda: at.score_dataset(log, out, model=model), 1)[0],
            seconds(lambda: read(log), 1)[0],
            seconds(lambda: write(tables, folder / "plain"), 1)[0],
        )
        for _ in range(rounds)
    ]
    ours, bare = (statistics.median(each) for each in ([o for o, _, _ in both], [r + w for _, r, w in both]))
    fresh(out)
    peak = alone(folder, "score", log, names, out, "")["peak"]
    return {"what": "ordered", "rows": rows, "names": names, "seconds": ours, "peak": peak, "beside": bare, "ratio": ours / bare}


def unordered(folder: Path, rows: int, names: str, rounds: int) -> dict[str, Any]:
    log, model, out = make(folder, rows, names, "unordered"), model_of(folder, names), folder / "out"
    fresh(out)
    both = [
        (
            seconds(lambda: at.score_dataset(log, out, model=model), 1)[0],
            seconds(lambda: order_by(log, folder / "by.parquet"), 1)[0],
        )
        for _ in range(rounds)
    ]
    ours, duckdb = (statistics.median(each) for each in zip(*both, strict=True))
    fresh(out)
    peak = alone(folder, "score", log, names, out, "")["peak"]
    return {
        "what": "unordered",
        "rows": rows,
        "names": names,
        "seconds": ours,
        "peak": peak,
        "beside": duckdb,
        "ratio": ours / duckdb,
    }


def night(folder: Path, rows: int, names: str, rounds: int) -> list[dict[str, Any]]:
    """The last hundredth of everybody's year; of the log without it there is a state."""
    log, model = make(folder, rows, names, "ordered"), model_of(folder, names)
    before, today = folder / "before", folder / "today"
    fresh(before, today)
    for place in (before, today):
        place.mkdir()
    tonight = []
    for file in files_of(log):
        table = pq.read_table(file)
        last = np.random.default_rng(3).random(len(table) // PER_STUDENT) < 0.1  # a tenth of the students answer ten times
        mine = np.zeros((len(table) // PER_STUDENT, PER_STUDENT), bool)
        mine[last, -PER_STUDENT // 10 :] = True
        tonight.append(table.filter(pa.array(mine.ravel())))
        pq.write_table(table.filter(pa.array(~mine.ravel())), before / file.name)
    pq.write_table(plain_columns(pa.concat_tables(tonight)), today / "zz-today.parquet")
    state, kept, out = folder / "state", folder / "kept", folder / "out"
    fresh(out, state, kept)
    results: dict[str, list[float]] = {"anew": [], "changed": [], "complete": []}
    at.score_dataset(before, out, model=model, state=state)
    shutil.copytree(state, kept)
    for _ in range(rounds):
        fresh(out, state)
        results["anew"] += seconds(lambda: at.score_dataset(before, out, model=model, state=state), 1)
        for name in ("changed", "complete"):
            fresh(state)
            shutil.copytree(kept, state)
            results[name] += seconds(
                partial(at.score_dataset, today, folder / name, model=model, state=state, changed=name == "changed"), 1
            )
    anew = statistics.median(results["anew"])
    fresh(state)
    shutil.copytree(kept, state)
    peak = alone(folder, "score", today, names, out, state)["peak"]
    return [
        {
            "what": f"night, {name}",
            "rows": rows,
            "names": names,
            "seconds": statistics.median(results[name]),
            "peak": peak,
            "beside": anew,
            "ratio": statistics.median(results[name]) / anew,
        }
        for name in ("changed", "complete")
    ]


def stats(folder: Path, rows: int, names: str, rounds: int) -> dict[str, Any]:
    log, out = make(folder, rows, names, "ordered"), folder / "counts.stats.parquet"
    count(log, out)
    spent = statistics.median(seconds(lambda: count(log, out), rounds))
    size = out.stat().st_size / sum(file.stat().st_size for file in files_of(log))
    peak = alone(folder, "stats", log, names, out)["peak"]
    return {"what": "stats", "rows": rows, "names": names, "seconds": spent, "peak": peak, "beside": None, "ratio": size}


COMPARISONS = {"ordered": ordered, "unordered": unordered, "night": night, "stats": stats}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--rows", type=int, nargs="+", default=[10_000_000, 100_000_000])
    parser.add_argument("--names", nargs="+", choices=["numbers", "text"], default=["numbers", "text"])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="+", choices=list(COMPARISONS), default=list(COMPARISONS))
    parser.add_argument("--task", help=argparse.SUPPRESS)
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    if options.task:
        return do(options.folder, *json.loads(options.task))
    print("| what | rows | names | seconds | peak memory (GB) | beside (s) | ratio |\n|---|---|---|---|---|---|---|", flush=True)
    for what in options.only:
        for names in options.names:
            for rows in options.rows:
                made = COMPARISONS[what](options.folder, rows, names, options.rounds)
                for line in made if isinstance(made, list) else [made]:
                    beside = f"{line['beside']:.2f}" if line["beside"] else "-"
                    print(
                        f"| {line['what']} | {line['rows']:,} | {names} | {line['seconds']:.2f} | {line['peak']:.2f} | {beside} "
                        f"| {line['ratio']:.3f} |",
                        flush=True,
                    )
    return None


if __name__ == "__main__":
    main()
