"""How fast a tutor answers: one process, many students in store, by store and durability.

    python benchmarks/tutor.py [--students 100000] [--postgres URL] [--folder FOLDER]

Prints microseconds of ``observe`` + ``recommend(k=3)`` (p50, p95, p99), of a bare insert-and-upsert transaction beside it, of the
first call of a fresh process after its import, what eight threads gain where each write is synced to the disk, and the
seconds of ``recommend_all`` for everybody.
"""

from __future__ import annotations

import argparse
import datetime
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa

import adaptrace as at

SKILLS, ITEMS = 200, 2_000
N = 20_000  # calls at most
START = datetime.datetime(2026, 1, 5, 8, tzinfo=datetime.UTC)
FIRST = """
import time, sys
sys.path.insert(0, {here!r})
import tutor
import adaptrace as at
model, catalog = tutor.school()
t = at.Tutor.open({url!r}, model=model, catalog=catalog)
begin = time.perf_counter()
t.observe("student-000007", "item-0003", 1, time=tutor.START + 200 * tutor.DAY)
t.recommend("student-000007", 3)
print((time.perf_counter() - begin) * 1e3)
"""
DAY = datetime.timedelta(days=1)


def school() -> tuple[at.BKT, at.Catalog]:
    """A model of 200 skills in a graph of prerequisites, and a catalog of 2,000 items."""
    random = np.random.default_rng(0)
    skills = [f"skill-{number:03d}" for number in range(SKILLS)]
    ranges = {"prior": (0.1, 0.5), "learn": (0.05, 0.3), "guess": (0.1, 0.3), "slip": (0.05, 0.15)}
    model = at.BKT.from_parameters(skills, **{name: random.uniform(*ends, SKILLS) for name, ends in ranges.items()})
    items = {"item": [f"item-{n:04d}" for n in range(ITEMS)], "skill": [skills[n % SKILLS] for n in range(ITEMS)]}
    needs = [{"skill": skills[n], "prerequisites": [skills[n - 20]]} for n in range(20, SKILLS)]
    return model, at.Catalog.from_arrow(items, needs)


def responses(students: int, each: int, seed: int = 1) -> Iterator[pa.Table]:
    """Responses of so many students, in tables of 2,000 students."""
    random = np.random.default_rng(seed)
    for first in range(0, students, 2_000):
        n = min(2_000, students - first) * each
        who = np.repeat(np.arange(first, first + n // each), each)
        item = random.integers(0, ITEMS, n)
        minute = np.tile(np.arange(each), n // each)
        yield pa.table(
            {
                "student": [f"student-{number:06d}" for number in who],
                "item": [f"item-{number:04d}" for number in item],
                "correct": random.integers(0, 2, n),
                "time": pa.array([START + m * datetime.timedelta(minutes=1) for m in minute.tolist()], pa.timestamp("us", "UTC")),
                "event_id": [f"e{number}-{m}" for number, m in zip(who.tolist(), minute.tolist(), strict=True)],
            }
        )


def timed(call: Callable[[int], object], n: int) -> str:
    """p50, p95 and p99 of so many calls, in microseconds."""
    taken = []
    for number in range(n):
        begin = time.perf_counter()
        call(number)
        taken.append(time.perf_counter() - begin)
    return " ".join(f"{value * 1e6:9.0f}" for value in np.percentile(taken, [50, 95, 99]))


def pair(tutor: at.Tutor, students: int, seed: int) -> Callable[[int], object]:
    """``observe`` + ``recommend(k=3)`` of some students who are busy now."""
    random = np.random.default_rng(seed)
    busy = [f"student-{number:06d}" for number in random.choice(students, 200, replace=False)]
    answers = [
        (f"item-{item:04d}", int(right))
        for item, right in zip(random.integers(ITEMS, size=N), random.integers(2, size=N), strict=True)
    ]
    times = [START + seed * DAY + number * datetime.timedelta(seconds=1) for number in range(N)]
    ids = [f"{seed}-{number}" for number in range(N)]

    def call(number: int) -> object:
        student, now, (item, correct) = busy[number % 200], times[number], answers[number]
        tutor.observe(student, item, correct, time=now, event_id=ids[number])
        return tutor.recommend(student, 3, time=now)

    return call


def bare(path: Path) -> Callable[[int], object]:
    """An insert and an upsert in one transaction of plain sqlite3."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.executescript(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"
        "CREATE TABLE e (id TEXT PRIMARY KEY, student TEXT, x REAL); CREATE TABLE s (student TEXT PRIMARY KEY, state TEXT);"
    )
    state = "x" * 3_000

    def call(number: int) -> object:
        connection.execute("BEGIN IMMEDIATE")
        connection.execute("INSERT INTO e VALUES (?, ?, ?)", (f"id-{number}", f"student-{number % 200}", 1.0))
        connection.execute(
            "INSERT INTO s VALUES (?, ?) ON CONFLICT (student) DO UPDATE SET state = excluded.state", (f"s{number % 200}", state)
        )
        return connection.execute("COMMIT")

    return call


def threads(tutor: at.Tutor, students: int, n_threads: int, n: int, day: int) -> float:
    """Observations a second of so many threads together, on a day of their own: none of them is late."""

    def work(thread: int) -> None:
        random = np.random.default_rng(thread)
        for number in range(n):
            student, now = f"student-{random.integers(students):06d}", START + day * DAY + number * datetime.timedelta(seconds=1)
            tutor.observe(student, "item-0001", 1, time=now, event_id=f"t{day}-{thread}-{number}")

    working = [threading.Thread(target=work, args=(thread,)) for thread in range(n_threads)]
    begin = time.perf_counter()
    for each in working:
        each.start()
    for each in working:
        each.join()
    return n_threads * n / (time.perf_counter() - begin)


def fill(tutor: at.Tutor, students: int) -> float:
    begin = time.perf_counter()
    for table in responses(students, 20):
        tutor.observe_many(table)
    return time.perf_counter() - begin


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=100_000)
    parser.add_argument("--calls", type=int, default=5_000)
    parser.add_argument(
        "--stores", nargs="+", default=["memory", "sqlite"], choices=["memory", "sqlite"], help="one a process is fairest"
    )
    parser.add_argument("--postgres", help="the URL of a PostgreSQL server")
    parser.add_argument("--folder", type=Path, help="where the stores are made; by default a temporary folder")
    given = parser.parse_args()
    model, catalog = school()
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary)
        print(f"{'observe + recommend(k=3), microseconds':44}      p50       p95       p99")
        print(f"{'bare insert and upsert, sqlite normal':44} {timed(bare(folder / 'bare.db'), given.calls)}")
        stores = {"memory": "memory:", "sqlite normal": str(folder / "tutor.db"), "postgres": given.postgres}
        wanted = {name: url for name, url in stores.items() if name.split()[0] in given.stores or (name == "postgres" and url)}
        for name, url in wanted.items():
            with at.Tutor.open(url, model=model, catalog=catalog) as tutor:
                seconds = fill(tutor, given.students)
                call = pair(tutor, given.students, 7)
                timed(call, 400)
                call = pair(tutor, given.students, 8)
                print(
                    f"{name:44} {timed(call, given.calls)}   (filled with {given.students:,} students in {seconds:.0f} s)",
                    flush=True,
                )
                begin = time.perf_counter()
                table = tutor.recommend_all(k=3, time=START + 60 * DAY)
                print(f"{name + ', recommend_all':44} {time.perf_counter() - begin:9.1f} s for {len(table):,} rows", flush=True)
        if "sqlite" not in given.stores:
            return
        with at.Tutor.open(folder / "tutor.db", model=model, catalog=catalog, durability="full") as tutor:
            one, eight = threads(tutor, given.students, 1, 400, 30), threads(tutor, given.students, 8, 400, 31)
            print(f"{'sqlite full, observations a second':44} {one:9.0f} by 1 thread, {eight:.0f} by 8: {eight / one:.1f}x")
        code = FIRST.format(here=str(Path(__file__).parent), url=str(folder / "tutor.db"))
        first = [
            float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)
            for _ in range(5)
        ]
        print(f"{'first observe + recommend of a process':44} {np.median(first):9.1f} ms after import and open")


if __name__ == "__main__":
    main()
