"""adaptrace beside DuckDB and pyarrow: group the rows of a shuffled log by student and order them in time.

adaptrace also checks every value and numbers students, items and skills; the others only sort.
"""

from __future__ import annotations

import argparse
import sys
from statistics import median

import numpy as np
import pyarrow as pa
from beside import clock, data, in_turns, leave, machine, print_table, timed

import adaptrace as at

YEAR_US = 365 * 24 * 3600 * 1_000_000


def shuffled(rows: int, students: int, *, seed: int = 0) -> pa.Table:
    """Responses in no order, over one school year."""
    random = np.random.default_rng(seed)
    item = random.integers(0, data.SKILLS * data.ITEMS_PER_SKILL, rows, np.int32)
    columns = {
        "student": random.integers(0, students, rows, np.int32),
        "item": item,
        "skill": item // data.ITEMS_PER_SKILL,
        "correct": random.integers(0, 2, rows, np.int8),
        "time": pa.array(random.integers(0, YEAR_US, rows), pa.timestamp("us")),
    }
    return pa.table(columns)


def main() -> int:
    """Run the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000_000)
    parser.add_argument("--students", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=3)
    options = parser.parse_args()
    try:
        import duckdb
    except ImportError:
        leave("DuckDB cannot be imported here; get it with: python -m pip install duckdb")
    data.warmed_up()
    table = shuffled(options.rows, options.students)
    database = duckdb.connect()
    database.register("responses", table)
    calls = {
        "adaptrace": lambda: at.Log.from_arrow(table),
        "DuckDB": lambda: database.sql("SELECT * FROM responses ORDER BY student, time").to_arrow_table(),
    }
    print(f"{options.rows:,} shuffled rows, {options.students:,} students; {machine()}; medians of {options.repeat}")
    seconds = [median(times) for times in in_turns(map(timed, calls.values()), options.repeat)]
    # not in turns with the others: the memory it takes and gives back would be part of their time
    sorting = [("student", "ascending"), ("time", "ascending")]
    seconds.append(median(clock(lambda: table.sort_by(sorting))[0] for _ in range(options.repeat)))
    print_table([*calls, "pyarrow"], [("order by student and time", *seconds)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
