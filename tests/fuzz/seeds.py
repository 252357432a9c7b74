"""Good files of every format that the package reads, each a few kB: what mutants are made of.

They are kept in ``tests/fuzz/seeds``, so that a mutant is the same bytes everywhere, whatever version of Arrow is there;
``python tests/fuzz/seeds.py`` makes those that are not there. Models, stats, states and a store are the golden files.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq

import adaptrace as at

HERE = Path(__file__).parent
GOLDEN = HERE.parent / "golden" / "0.1"
SKILLS = ["halves", "quarters", "thirds"]
MODEL = at.BKT.from_parameters(SKILLS, prior=0.3, learn=0.1, guess=0.2, slip=0.1)
STATE_PART = "states/fading/0002-piece-0000.parquet"


@cache
def seed(name: str) -> bytes:
    """The good file of that name, ours or a golden one."""
    path = HERE / "seeds" / name
    return (path if path.exists() else GOLDEN / name).read_bytes()


def golden_models() -> list[str]:
    """Every golden model."""
    return sorted(f"models/{path.name}" for path in (GOLDEN / "models").glob("*.json"))


# ---- tables -----------------------------------------------------------------


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


def listed(table: pa.Table) -> pa.Table:
    """The same with several skills a response."""
    return table.drop_columns(["skill"]).append_column("skills", pa.array([SKILLS[: n % 3 + 1] for n in range(len(table))]))


def items() -> list[dict[str, Any]]:
    """The items of the responses."""
    rows: list[dict[str, Any]] = [{"item": f"q{n}", "skills": SKILLS[n % 3 : n % 3 + 1], "minutes": 2.5} for n in range(20)]
    rows[1] |= {"title": "é", "kind": "quiz", "provider": "Elsewhere", "skills": SKILLS[:2]}
    return rows


def assistments() -> list[dict[str, Any]]:
    """The responses as ASSISTments publishes its own."""
    rows = enumerate(responses().to_pylist())
    return [
        {
            "order_id": 100 + n,
            "user_id": each["student"],
            "problem_id": each["item"],
            "correct": each["correct"],
            "ms_first_response": 1500,
            "skill_id": n % 3,
            "skill_name": each["skill"],
        }
        for n, each in rows
    ]


def before() -> list[dict[str, Any]]:
    """Their prerequisites."""
    return [
        {"skill": "quarters", "prerequisites": ["halves"], "soft_prerequisites": []},
        {"skill": "thirds", "prerequisites": [], "soft_prerequisites": ["halves"]},
        {"skill": "halves", "prerequisites": [], "soft_prerequisites": []},
    ]


def roster() -> pa.Table:
    """Who is in which class."""
    return pa.table({"student": [f"Zoë {n}" for n in range(9)], "class": ["a", "b", "é"] * 3, "school": ["s"] * 9})


# ---- as files ---------------------------------------------------------------


def arrow(table: pa.Table, *, stream: bool = False) -> bytes:
    """An Arrow file or stream of a table."""
    sink = pa.BufferOutputStream()
    with (pa.ipc.new_stream if stream else pa.ipc.new_file)(sink, table.schema) as out:
        out.write_table(table, max_chunksize=25)
    return bytes(sink.getvalue())


def feather(table: pa.Table) -> bytes:
    """A compressed Feather file of a table."""
    sink = io.BytesIO()
    pyarrow.feather.write_feather(table, sink, compression="lz4")
    return sink.getvalue()


def parquet(table: pa.Table, compression: str = "none") -> bytes:
    """A Parquet file of a table."""
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression=compression, row_group_size=25)
    return bytes(sink.getvalue())


def stats(table: pa.Table) -> bytes:
    """A stats file of a table."""
    with tempfile.TemporaryDirectory() as folder:
        at.BKT().stats(at.Log.from_arrow(table)).save(Path(folder) / "stats.parquet")
        return (Path(folder) / "stats.parquet").read_bytes()


def text(rows: list[dict[str, Any]], delimiter: str = ",") -> bytes:
    """A CSV file of rows; lists are joined."""
    out = io.StringIO()
    writer = csv.DictWriter(out, list(dict.fromkeys(name for row in rows for name in row)), delimiter=delimiter)
    writer.writeheader()
    writer.writerows({name: ";".join(cell) if isinstance(cell, list) else cell for name, cell in row.items()} for row in rows)
    return out.getvalue().encode()


def columns(table: pa.Table) -> bytes:
    """The values of a table as JSON, times as text."""
    return json.dumps(table.to_pydict(), default=str).encode()


def store() -> bytes:
    """The rows of the golden store, its states and decisions as plain data."""
    with closing(sqlite3.connect(f"file:{GOLDEN / 'store.db'}?mode=ro&immutable=1", uri=True)) as connection:
        names = ("students", "events", "decisions", "exposures", "exposed")
        rows = {name: [list(row) for row in connection.execute(f"SELECT * FROM {name}")] for name in names}
    for row in rows["students"]:
        row[3] = json.loads(row[3])
    for row in rows["decisions"]:
        row[3] = json.loads(row[3])
    for row in rows["events"]:
        row[4] = json.loads(row[4])
    rows["events"] = rows["events"][:30]
    return json.dumps(rows).encode()


def student(model: Any = MODEL) -> bytes:
    """A student after some responses, as plain data."""
    log, name = at.Log.from_arrow(listed(responses())), "Zoë 1"
    if model is not MODEL:
        log, name = at.Log.read(GOLDEN / "logs" / "several.parquet"), "Bo"
    return json.dumps(at.Student.from_log(model, log, student=name).to_dict()).encode()


def student_of(name: str) -> bytes:
    """A student of a golden model."""
    return student(at.load(GOLDEN / "models" / f"{name}.json"))


def mastery() -> pa.Table:
    """The mastery after the responses."""
    return MODEL.score(at.Log.from_arrow(responses()))


def signed_stats() -> bytes:
    """What is in a stats file, without its fingerprint."""
    table = pq.read_table(GOLDEN / "stats" / "plain.parquet")
    said = {key.decode(): value.decode() for key, value in table.schema.metadata.items()}
    return json.dumps({"columns": table.to_pydict(), "said": said}).encode()


STUDENTS = ("bkt-everything", "das3h", "logistic", "2pl", "half-life", "fsrs", "blend", "constant")  # models of some states

MAKERS: dict[str, Callable[[], bytes]] = {
    "log.arrow": lambda: arrow(responses()),
    "log-codes.arrow": lambda: arrow(coded(responses())),
    "log-lists.arrow": lambda: arrow(listed(responses())),
    "stream.arrow": lambda: arrow(responses(), stream=True),
    "stream-codes.arrow": lambda: arrow(coded(responses()), stream=True),
    "stream-lists.arrow": lambda: arrow(listed(responses()), stream=True),
    "log.feather": lambda: feather(responses()),
    "log.parquet": lambda: parquet(responses()),
    "log-lists.parquet": lambda: parquet(listed(responses()), "snappy"),
    "log.csv": lambda: text(responses().to_pylist()),
    "log-lists.tsv": lambda: text(listed(responses()).to_pylist(), "\t"),
    "log.csv.gz": lambda: gzip.compress(text(responses().to_pylist()), mtime=0),
    "log.json": lambda: columns(responses()),
    "catalog.json": lambda: json.dumps({"items": items(), "skills": before()}).encode(),
    "catalog.csv": lambda: text(items()),
    "catalog.arrow": lambda: arrow(pa.Table.from_pylist(items())),
    "skills.csv": lambda: text(before()),
    "skills.parquet": lambda: parquet(pa.Table.from_pylist(before())),
    "roster.csv": lambda: text(roster().to_pylist()),
    "roster.parquet": lambda: parquet(roster()),
    "roster.json": lambda: columns(roster()),
    "mastery.arrow": lambda: arrow(mastery()),
    "mastery.json": lambda: columns(mastery()),
    "mastery.csv": lambda: text(mastery().to_pylist()),
    "stats.json": signed_stats,
    "part.json": lambda: columns(pq.read_table(GOLDEN / STATE_PART)),
    "store.json": store,
    "student.json": student,
    "decisions.json": lambda: columns(pq.read_table(GOLDEN / "expected" / "store-decided.parquet")),
    "ready.json": lambda: json.dumps({"state": json.loads(seed("states/bkt/_manifest.json"))["content"]}).encode(),
    "earlier.json": lambda: json.dumps(["9c91cd0832f37a11", "ed2992f490b7626e"]).encode(),
    "assistments.csv": lambda: text(assistments()),
    "key": lambda: b"0123456789abcdef" * 4,
    **{f"student-{name}.json": partial(student_of, name) for name in STUDENTS},
}


def main() -> None:
    """Make the seeds that are not there."""
    (HERE / "seeds").mkdir(exist_ok=True)
    for name, make in MAKERS.items():
        path = HERE / "seeds" / name
        if not path.exists():
            path.write_bytes(make())
            sys.stderr.write(f"{path.name}: {path.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main()
