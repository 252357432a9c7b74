"""What a late event and the mastery table cost a student of many events, by how far back the event belongs.

    python benchmarks/long_history.py [--events 50000] [--family bkt|fading|blend] [--url URL] [--json FILE]

Prints milliseconds of an event 1, 100, 2,000, 10,000 and 49,000 events back, of ``mastery_table`` in a tutor that has just been
opened and once more, microseconds of ``observe`` and ``recommend`` of ordinary events, and the size of the file. To compare two
versions, run both in turn with ``PYTHONPATH`` and ``--json``, and divide; on a busy machine take the least of some runs.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

import adaptrace as at

SKILLS, ITEMS = 40, 400
BACK = (1, 100, 2_000, 10_000, 49_000)
START = datetime.datetime(2026, 1, 5, 8, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
SKILL_NAMES = [f"skill-{number:02d}" for number in range(SKILLS)]


def catalog() -> at.Catalog:
    """Items of one skill, and a few of two."""
    skills = [[SKILL_NAMES[n % SKILLS], *([SKILL_NAMES[(n + 1) % SKILLS]] if n % 20 == 0 else [])] for n in range(ITEMS)]
    return at.Catalog.from_arrow({"item": [f"item-{n:03d}" for n in range(ITEMS)], "skills": skills})


def responses(students: int, each: int, seed: int = 0) -> pa.Table:
    """Responses, a minute apart, of so many students."""
    random, n = np.random.default_rng(seed), students * each
    item, known = random.integers(0, ITEMS, n), catalog()
    return pa.table(
        {
            "student": np.repeat([f"s{number}" for number in range(students)], each),
            "item": [f"item-{number:03d}" for number in item],
            "skills": [list(known.items[number].skills) for number in item.tolist()],
            "correct": random.integers(0, 2, n),
            "time": [START + minute * MINUTE for minute in np.tile(np.arange(each), students).tolist()],
            "event_id": [f"e{number:06d}" for number in range(n)],
        }
    )


def model(family: str) -> at.Model:
    """A model of the family."""
    if family == "bkt":
        random = np.random.default_rng(0)
        ranges = {"prior": (0.1, 0.5), "learn": (0.05, 0.3), "guess": (0.1, 0.3), "slip": (0.05, 0.15)}
        return at.BKT.from_parameters(
            SKILL_NAMES, forget=0.01, **{name: random.uniform(*ends, SKILLS) for name, ends in ranges.items()}
        )
    log = at.Log.from_arrow(responses(100, 60, seed=1))
    return (at.BKT(elapsed=True) if family == "fading" else at.Blend()).fit(log)


def seconds(call: Callable[[], object]) -> float:
    """How long a call takes."""
    begin = time.perf_counter()
    call()
    return time.perf_counter() - begin


def measured(url: str, events: int, family: str) -> dict[str, float]:
    """Milliseconds, microseconds and bytes of one run."""
    known, found = model(family), dict[str, float]()
    end = START + events * MINUTE

    def opened() -> at.Tutor:
        return at.Tutor.open(url, model=known, catalog=catalog(), clock=lambda: end + 1_000 * MINUTE, unknown_skills="prior")

    with opened() as tutor:
        tutor.observe_many(responses(1, events))

        def late(back: int, number: int) -> float:
            when = end - back * MINUTE - (number + 1) * MINUTE / 100
            return seconds(lambda: tutor.observe("s0", "item-003", 1, event_id=f"late-{back}-{number}", time=when))

        for back in (back for back in BACK if back < events):
            found[f"late, {back:,} back (ms)"] = 1e3 * statistics.median(late(back, number) for number in range(5))
    with opened() as tutor:
        found["mastery_table, opened just now (ms)"] = 1e3 * seconds(lambda: tutor.mastery_table("s0"))
        found["mastery_table, again (ms)"] = 1e3 * seconds(lambda: tutor.mastery_table("s0"))

        def ordinary(number: int) -> float:
            when = end + number * MINUTE / 100
            return seconds(lambda: tutor.observe("s0", f"item-{number % ITEMS:03d}", 1, event_id=f"new-{number}", time=when))

        taken = [(ordinary(number), seconds(lambda: tutor.recommend("s0"))) for number in range(2_000)]
        found["observe, median (us)"] = 1e6 * statistics.median(each for each, _ in taken)
        found["observe, mean (us)"] = 1e6 * statistics.mean(each for each, _ in taken)
        found["recommend, median (us)"] = 1e6 * statistics.median(each for _, each in taken)
    if Path(url).exists():
        found["file (bytes per 1,000 events)"] = os.path.getsize(url) / (events + 2_000) * 1_000
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=50_000)
    parser.add_argument("--family", choices=["bkt", "fading", "blend"], default="bkt")
    parser.add_argument("--url", help="a store; by default a new file")
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = measured(given.url or f"{folder}/tutor.db", given.events, given.family)
    for name, value in found.items():
        print(f"{name:40} {value:10,.1f}")
    if given.json:
        given.json.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
