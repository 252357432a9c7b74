"""Small districts for the tests: random logs, written as folders of Parquet in many ways."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import adaptrace as at

KEYS = [("student", "ascending"), ("skill", "ascending")]


def responses(seed: int, n: int = 2000, *, students: int = 40, names: str = "text", several: bool = False) -> pa.Table:
    """A random log in the order of time; ``names``: ``text``, ``numbers`` or ``codes``."""
    random = np.random.default_rng(seed)
    skill = random.integers(0, 6, n)
    columns = {
        "student": random.integers(0, students, n),
        "item": skill * 10 + random.integers(0, 10, n),
        "correct": random.integers(0, 2, n),
        "time": pa.array(
            1_600_000_000_000_000 + np.sort(random.choice(20 * n, n, replace=False)) * 40_000_000, pa.timestamp("us", "UTC")
        ),
        "kind": pa.array(np.where(random.random(n) < 0.2, "project", "practice")),
    }
    if several:
        columns["skills"] = [[f"k{each}", f"k{(each + 1) % 6}"][: 1 + each % 2] for each in skill.tolist()]
    else:
        columns["skill"] = skill
    table = pa.table(columns)
    for name in ("student", "skill"):
        if names != "numbers" and name in table.column_names:
            text = pc.binary_join_element_wise(pa.scalar(name), table[name].cast(pa.string()), "-")
            text = text.combine_chunks().dictionary_encode() if names == "codes" else text
            table = table.set_column(table.column_names.index(name), name, text)
    return table


def write(table: pa.Table, folder: Path, files: int, row_group_size: int = 150) -> Path:
    """The rows in so many files, as they come."""
    folder.mkdir(parents=True, exist_ok=True)
    edges = np.linspace(0, len(table), files + 1).astype(int)
    for number in range(files):
        part = table.slice(edges[number], edges[number + 1] - edges[number])
        pq.write_table(part, folder / f"part-{number:02d}.parquet", row_group_size=row_group_size)
    return folder


def names(folder: Path) -> list[str]:
    """What stands in a folder, but the locks, which stay for good."""
    return sorted(path.name for path in folder.iterdir() if path.suffix != ".lock")


def plain(table: pa.Table) -> pa.Table:
    """A mastery table in one order and with plain columns, to compare."""
    for name in ("student", "skill"):
        column = table[name].cast(pa.string()) if not pa.types.is_string(table[name].type) else table[name]
        table = table.set_column(table.column_names.index(name), name, column)
    return table.sort_by(KEYS).combine_chunks()


def mastery(folder: Path) -> pa.Table:
    """What a run wrote."""
    return plain(pq.read_table(folder))


def in_memory(model: at.BKT, folder: Path, **options: object) -> pa.Table:
    """What the model says of the whole log at once."""
    return plain(model.score(at.Log.read(folder), **options))


def model(skills: int = 6, names: str = "text", **options: object) -> at.BKT:
    """A fitted model whose intervals are not nothing."""
    return at.BKT(**options).fit(at.Log.from_arrow(responses(99, 6000, names=names)))
