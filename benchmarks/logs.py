"""The real logs that scripts here measure on, and the rows that no fit sees. None of them is in this repository."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

import adaptrace as at

FOLDER = "ADAPTRACE_DATA"


@dataclass(frozen=True)
class Source:
    """A file, and how to read it."""

    file: str
    options: Mapping[str, Any] = field(default_factory=dict)


SKILLS = {"columns": {"skills": "skills"}}
SETS = {
    "assist09": Source("assist09"),
    "assist09 skills": Source("assist09", SKILLS),
    "assist15": Source("assist15"),
    "ednet": Source("ednet_kt1_5k"),
    "ednet skills": Source("ednet_kt1_5k", SKILLS),
    "glops42": Source("glops42"),
    "memphis": Source("memphis_cloze", {"time_unit": "s"}),
}


def folder_of(sets: Iterable[str]) -> Path | None:
    """The folder of the logs; None, and a message, if one is missing."""
    folder = Path(os.environ.get(FOLDER, ""))
    files = sorted({f"{SETS[name].file}.parquet" for name in sets})
    missing = [file for file in files if not (folder / file).exists()]
    if missing:
        print(f"{', '.join(missing)} not found; set {FOLDER} to the folder of the logs, or choose --sets", file=sys.stderr)
        return None
    return folder


def read(source: Source, folder: Path) -> at.Log:
    """The log, with its ``split`` column if it has one."""
    path = folder / f"{source.file}.parquet"
    keep = [name for name in pq.read_schema(path).names if name == "split"]
    return at.Log.read(path, keep=keep, **source.options)


def held_out(log: at.Log) -> NDArray[np.bool_]:
    """The rows to measure on, (n_rows,): the file's ``split``, else those of a fifth of the students, seed 0 as ``Log.split``."""
    if "split" in log.table.column_names:
        return np.array(log.table["split"].to_pylist()) == "test"
    chosen = np.random.default_rng(0).permutation(len(log.students))[: round(0.2 * len(log.students))]
    return np.isin(log.table["student"].chunk(0).indices.to_numpy(), chosen)
