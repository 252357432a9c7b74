"""Damaged files by the dozen: the worker of ``test_damaged_arrow``, a process of its own, for one of them may crash it.

``python mutants.py FOLDER FIRST LAST`` makes the mutants of these numbers, hands each to a door of the package and prints
``number door outcome``: ok, refused, or the exception that came out raw.
"""

from __future__ import annotations

import random
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import adaptrace as at
from adaptrace.stats import parquet as stats_file

SKILLS = ["halves", "quarters", "thirds"]
MODEL = at.BKT.from_parameters(SKILLS, prior=0.3, learn=0.1, guess=0.2, slip=0.1)
WORDS = [b"\0" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff" * 8, b"\x40\0\0\0"]


def responses() -> pa.Table:
    """Sixty responses, with names that are not all ASCII."""
    names = np.array([f"Zoë {n}" for n in range(9)]), np.array([f"q{n}" for n in range(20)]), np.array(SKILLS)
    pick = np.random.default_rng(3)
    student, item, skill = (each[pick.integers(0, len(each), 60)] for each in names)
    times = pa.array(np.arange(60) * 10**6, pa.timestamp("us", tz="UTC"))
    return pa.table({"student": student, "item": item, "skill": skill, "correct": pick.integers(0, 2, 60), "time": times})


def coded(table: pa.Table) -> pa.Table:
    """The same with names as codes."""
    columns = [each.combine_chunks() for each in table.columns]
    columns = [each.dictionary_encode() if pa.types.is_string(each.type) else each for each in columns]
    return pa.table(columns, names=table.column_names)


def arrow(table: pa.Table, *, stream: bool = False) -> bytes:
    """An Arrow file or stream of a table."""
    sink = pa.BufferOutputStream()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema) as out:
        out.write_table(table, max_chunksize=25)
    return bytes(sink.getvalue())


def parquet(table: pa.Table) -> bytes:
    """A Parquet file of a table, nothing compressed."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="none", row_group_size=25)
    return bytes(sink.getvalue())


def stats(table: pa.Table) -> bytes:
    """A stats file of a table."""
    with tempfile.TemporaryDirectory() as folder:
        at.BKT().stats(at.Log.from_arrow(table)).save(Path(folder) / "stats.parquet")
        return (Path(folder) / "stats.parquet").read_bytes()


def mutant(data: bytes, number: int) -> bytes:
    """The file with a bit, a byte or a word of it changed, or its end cut off."""
    draw, out = random.Random(number), bytearray(data)
    for _ in range(draw.choice([1, 1, 2])):
        place, word = draw.randrange(len(out)), draw.choice(WORDS)
        kind = draw.randrange(12)
        if kind < 4:
            out[place] ^= 1 << draw.randrange(8)
        elif kind < 7:
            out[place] = draw.randrange(256)
        elif kind < 11:
            out[place : place + len(word)] = word
        else:
            del out[max(place, 1) :]
    return bytes(out)


def read(path: Path) -> None:
    log = at.Log.read(path)
    log.table.to_pylist()
    MODEL.predict(log)


def take_in(path: Path) -> None:
    data = path.read_bytes()
    try:
        table = pa.ipc.open_stream(data).read_all()
    except (pa.ArrowException, OSError, MemoryError):
        return  # Arrow itself says so, before the package sees any of it
    log = at.Log.from_arrow(table)
    log.table.to_pylist()
    MODEL.predict(log)


def score(path: Path) -> None:
    at.report.mastery_by(at.score_dataset(path, path.with_suffix(""), model=MODEL, workers=1) and path.with_suffix(""), "skill")


def roll_up(path: Path) -> None:
    at.report.mastery_by(path, "skill", min_students=1)


def catalog(path: Path) -> None:
    at.Catalog.read(path)


def load_stats(path: Path) -> None:
    at.Stats.load(path)
    stats_file.factors(path)
    stats_file.sources(path)


def doors() -> list[tuple[str, bytes, Callable[[Path], None]]]:
    """The ending of a file, a good file, and where it comes in."""
    table = responses()
    mastery = MODEL.score(at.Log.from_arrow(table))
    items = pa.table({"item": ["q1", "q2"], "skills": [SKILLS[:1], SKILLS[1:]], "title": ["é", "b"]})
    listed = table.drop_columns(["skill"]).append_column("skills", pa.array([SKILLS[: n % 3 + 1] for n in range(60)]))
    logs = [(".arrow", arrow(each, stream=stream), read) for each in (table, coded(table), listed) for stream in (False, True)]
    streams = [(".arrow", arrow(each, stream=True), take_in) for each in (table, coded(table), listed)]
    return [
        *logs,
        *streams,
        (".parquet", parquet(table), score),
        (".parquet", parquet(table), read),
        (".arrow", arrow(mastery), roll_up),
        (".arrow", arrow(items), catalog),
        (".parquet", stats(table), load_stats),
    ]


def main(folder: Path, first: int, last: int) -> None:
    """Say of each mutant what became of it."""
    places = doors()
    for number in range(first, last):
        ending, data, use = places[number % len(places)]
        path = folder / f"{number}{ending}"
        path.write_bytes(mutant(data, number))
        print(number, use.__name__, end=" ", flush=True)
        try:
            use(path)
        except at.AdaptraceError:
            print("refused", flush=True)
        except Exception as error:
            print(f"{type(error).__name__}: {error}".replace("\n", " "), flush=True)
        else:
            print("ok", flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
