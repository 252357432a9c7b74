"""What one write costs: an event and a student's state of 2 kB, in one transaction, on a store of many students.

    python stores.py [--students 100000] [--writes 20000] [--folder FOLDER] [--postgres URL]

``bare sqlite3`` is the least that such a transaction costs: the same tables, the same settings, one insert and one upsert. The
folder must be on a real disk, since ``full`` waits for it. Each thread writes to students of its own.
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from layout import aligned

from adaptrace.tutor.store import Change, Event, MemoryStore, SQLiteStore, Store, open_store, sqlite_statements

HEADS = ("store", "durability", "threads", "writes/s", "p50 us", "p95 us", "p99 us", "worst us")
STATE = json.dumps({f"skill {number:04}": [0.123456789, number] for number in range(60)})  # 2 kB
BATCH = 1000  # students made at once
FULL = 6  # how many times fewer writes with durability "full" and one thread

Write = Callable[[int, int, str], None]  # student, version, event_id


def name_of(student: int) -> str:
    return f"student-{student:08}"


def change_of(student: int, version: int, event_id: str) -> Change:
    name = name_of(student)
    event = Event(event_id, name, "item-17", ("skill 0001", "skill 0002"), "practice", 1.0, 1_700_000_000_000_000 + version)
    return Change(name, version, "0123456789abcdef", STATE, (event,))


def fill(store: Store, students: int) -> None:
    for start in range(0, students, BATCH):
        some = range(start, min(start + BATCH, students))
        store.write([change_of(student, 0, f"first-{student}") for student in some])


def writer(store: Store) -> Write:
    def write(student: int, version: int, event_id: str) -> None:
        assert store.write((change_of(student, version, event_id),)) == ()

    return write


def bare(store: SQLiteStore) -> Write:
    """The two statements on the store's own connection, past everything else."""
    execute = store._writer.connection.execute
    add = sqlite_statements.ADD_EVENT.replace(" ON CONFLICT DO NOTHING", "")
    put = (
        "INSERT INTO students (student, version, model, state) VALUES (?, ?, ?, ?) "
        "ON CONFLICT (student) DO UPDATE SET version = excluded.version, model = excluded.model, state = excluded.state"
    )

    def write(student: int, version: int, event_id: str) -> None:
        name = name_of(student)
        moment = 1_700_000_000_000_000 + version
        execute("BEGIN IMMEDIATE")
        execute(add, (name, moment, event_id, "item-17", '["skill 0001", "skill 0002"]', "practice", 1.0, "", "", 0))
        execute(put, (name, version + 1, "0123456789abcdef", STATE))
        execute("COMMIT")

    return write


class Load:
    """Students who answer, in a random order that is the same for every store."""

    def __init__(self, students: int) -> None:
        self.students, self.versions, self.round = students, [1] * students, 0

    def measure(self, write: Write, threads: int, writes: int) -> list[str]:
        """Writes a second, and quantiles of one write's time."""
        self.round += 1
        times: list[list[float]] = [[] for _ in range(threads)]
        workers = [threading.Thread(target=self._work, args=(write, n, threads, writes, times[n])) for n in range(threads)]
        start = time.perf_counter()
        for worker in workers:
            worker.start()
        for worker in workers:
            worker.join()
        rate = sum(map(len, times)) / (time.perf_counter() - start)
        quantiles = np.quantile(np.concatenate(times), [0.5, 0.95, 0.99, 1.0]) * 1e6
        return [str(threads), f"{rate:,.0f}", *(f"{quantile:,.0f}" for quantile in quantiles)]

    def _work(self, write: Write, number: int, threads: int, writes: int, times: list[float]) -> None:
        chance = random.Random(number)
        for at in range(writes // threads):
            student = chance.randrange(number, self.students, threads)
            event_id = f"{self.round}-{number}-{at}"
            start = time.perf_counter()
            write(student, self.versions[student], event_id)
            times.append(time.perf_counter() - start)
            self.versions[student] += 1


def lines(students: int, writes: int, folder: Path, url: str | None) -> Iterator[list[str]]:
    memory = MemoryStore()
    fill(memory, students)
    yield ["memory", "none", *Load(students).measure(writer(memory), 1, writes)]
    for durability in ("normal", "full"):
        store, load = SQLiteStore(folder / f"{durability}.db", durability=durability), Load(students)
        fill(store, students)
        alone = writes if durability == "normal" else writes // FULL
        yield ["bare sqlite3", durability, *load.measure(bare(store), 1, alone)]
        for threads, count in ((1, alone), (8, writes)):
            yield ["sqlite", durability, *load.measure(writer(store), threads, count)]
        store.close()
    if url:
        server, load = open_store(url), Load(students)
        fill(server, students)
        for threads in (1, 8):
            yield ["postgres", "server's", *load.measure(writer(server), threads, writes // FULL)]
        server.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--students", type=int, default=100_000)
    parser.add_argument("--writes", type=int, default=20_000, help="of each measurement; fewer where each waits for the disk")
    parser.add_argument("--folder", type=Path, help="on the disk to measure (default: the folder of temporary files)")
    parser.add_argument("--postgres", metavar="URL", help="an empty database of a server")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        table = list(lines(options.students, options.writes, Path(folder), options.postgres))
    print(aligned(HEADS, table, left=2))


if __name__ == "__main__":
    main()
