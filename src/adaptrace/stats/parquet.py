"""Stats on disk: one Parquet file, a row a skill, small enough to send to those who pool them.

A row holds the skill's prefixes, breadth first, as three lists: how many ``children`` each has, its ``symbol`` and how many
sequences end there (``ends``). What the observations are, and where the counts came from, is in the file's metadata.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from adaptrace.errors import ModelError
from adaptrace.io import arrow_check
from adaptrace.io.atomic import replacing
from adaptrace.io.envelope import SCHEMA, are_sources
from adaptrace.kernels import trie as kernels
from adaptrace.kernels.trie import Trie

WHAT = "stats"
OUTCOME = ("correct", "weight", "rest")  # of every observation: the outcome, and how far it counts for this skill
ROUNDING = 1e-9
LISTS = {"children": np.int32, "symbol": np.int32, "ends": np.int64}


class Content(NamedTuple):
    """What stats are made of."""

    skills: pa.StringArray
    observations: pa.Table
    trie: Trie


# ---- writing ----------------------------------------------------------------


def write(path: str | os.PathLike[str], content: Content, sources: Sequence[Mapping[str, Any]] = ()) -> None:
    """Write stats, whole or not at all; for their owner alone if they tell students apart.

    Raises
    ------
    OutputError
        If the place cannot be written.
    """
    skills, observations, trie = content
    below = _above(trie)
    ends = trie._replace(students=trie.students.copy())
    kernels.take_apart(ends, 0, len(skills))
    lists = (np.bincount(below[below >= 0], minlength=len(below)), trie.symbol, ends.students)
    columns = {"skill": skills}
    for (name, kind), values in zip(LISTS.items(), lists, strict=True):
        columns[name] = pa.LargeListArray.from_arrays(pa.array(trie.start), pa.array(values.astype(kind)))
    said = {"adaptrace": WHAT, "schema": str(SCHEMA), "symbols": _packed(observations), "sources": json.dumps(list(sources))}
    table = pa.table(columns)
    said["fingerprint"] = _fingerprint(table, said)
    with replacing(path, shared="student" not in observations.column_names) as temporary:
        pq.write_table(table.replace_schema_metadata(said), temporary, compression="zstd")


def _above(trie: Trie) -> NDArray[np.int64]:
    """The parent of each node among all nodes; -1 where a sequence begins."""
    first = np.repeat(trie.start[:-1], np.diff(trie.start))
    return np.where(trie.parent < 0, -1, first + trie.parent)


def _packed(observations: pa.Table) -> str:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, observations.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as stream:
        stream.write_table(observations)
    return base64.b64encode(sink.getvalue()).decode()


def _fingerprint(table: pa.Table, said: Mapping[str, str]) -> str:
    """The same for the same content, whatever the Parquet file is like."""
    digest = hashlib.sha256(json.dumps([said[name] for name in ("symbols", "sources")]).encode())
    digest.update(json.dumps(table["skill"].to_pylist()).encode())
    for name, kind in LISTS.items():
        lists = table[name].combine_chunks()
        digest.update(np.asarray(lists.offsets, np.int64).tobytes() + np.asarray(lists.flatten(), kind).tobytes())
    return digest.hexdigest()


# ---- reading ----------------------------------------------------------------


def read(path: str | os.PathLike[str]) -> Content:
    """What :func:`write` wrote.

    Raises
    ------
    ModelError
        If there is no such file, it holds something else, is damaged, or is of a newer schema.
    """
    said = _said(path)
    with _read_whole(path):
        table = arrow_check.checked(pq.read_table(path), str(path))
        if not _has_lists(table) or _fingerprint(table, said) != said.get("fingerprint"):
            raise _damaged(path)
        symbols = _unpacked(said["symbols"])
        return Content(_skills(table), symbols, _trie(table, len(symbols)))


def sources(path: str | os.PathLike[str]) -> list[dict[str, Any]]:
    """Which files the counts of a stats file came from."""
    said = _said(path)
    with _read_whole(path):
        found = json.loads(said["sources"])
    if not are_sources(found):
        raise _damaged(path)
    return list(found)


def factors(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """What a stats file tells apart beside the outcome."""
    said = _said(path)
    with _read_whole(path):
        return tuple(_unpacked(said["symbols"]).column_names[len(OUTCOME) :])


def _said(path: str | os.PathLike[str]) -> dict[str, str]:
    """The metadata of a stats file."""
    try:
        found = pq.read_metadata(path).metadata or {}
        said = {key.decode(): value.decode() for key, value in found.items()}
    except FileNotFoundError as error:
        raise ModelError(f"{path}: no such file; expected {WHAT} written by adaptrace") from error
    except (pa.ArrowException, OSError, MemoryError, ValueError) as error:
        reason = str(error).split("\n")[0].rstrip(".")
        raise ModelError(f"{path}: not Parquet, or cut short ({reason}); expected {WHAT} written by adaptrace") from error
    if said.get("adaptrace") != WHAT:
        raise ModelError(f"{path}: not {WHAT}; expected a file written by `adaptrace stats` or Stats.save()")
    if not said.get("schema", "").isdigit():
        raise _damaged(path)
    if int(said["schema"]) > SCHEMA:
        raise ModelError(f"{path}: schema {said['schema']}, this version reads up to {SCHEMA}; upgrade adaptrace")
    if not said.keys() >= {"symbols", "sources"}:
        raise _damaged(path)
    return said


@contextlib.contextmanager
def _read_whole(path: str | os.PathLike[str]) -> Iterator[None]:
    """Whatever is met in a broken file is an error that names the file."""
    try:
        yield
    except (pa.ArrowException, OSError, MemoryError, RecursionError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise _damaged(path) from error


def _damaged(path: str | os.PathLike[str]) -> ModelError:
    return ModelError(f"{path}: its content does not match its fingerprint; it was edited or damaged: copy or save it again")


def _unpacked(text: str) -> pa.Table:
    with pa.ipc.open_stream(base64.b64decode(text)) as stream:
        symbols = arrow_check.checked(stream.read_all(), WHAT).combine_chunks()
    for name in OUTCOME:
        values = symbols[name].to_numpy()
        if values.dtype != np.float64 or not ((values >= 0.0) & (values <= 1.0)).all():  # null is read as nan
            raise ValueError(f"{name}: numbers that are no probabilities")
    if (symbols["weight"].to_numpy() + symbols["rest"].to_numpy() > 1.0 + ROUNDING).any():
        raise ValueError("weight and rest: more than 1 together")
    return symbols


def _has_lists(table: pa.Table) -> bool:
    """Whether the columns are lists of whole numbers."""
    kinds = [table.schema.field(name).type for name in LISTS]
    return all(pa.types.is_large_list(kind) and pa.types.is_integer(kind.value_type) for kind in kinds)


def _skills(table: pa.Table) -> pa.StringArray:
    """The names of the skills, each once and in their order: counts are added by it."""
    skills = table["skill"].combine_chunks()
    names = skills.to_pylist()
    if not pa.types.is_string(skills.type) or skills.null_count or any(a >= b for a, b in pairwise(names)):
        raise ValueError("skills that are not sorted")
    return skills


def _trie(table: pa.Table, n_symbols: int) -> Trie:
    """The prefixes of a table; a ValueError where they hang together in no way: kernels follow them."""
    lists = [table[name].combine_chunks() for name in LISTS]
    children, symbol, students = (np.array(each.flatten(), kind) for each, kind in zip(lists, LISTS.values(), strict=True))
    lowest = min(each.min(initial=0) for each in (children, symbol, students))
    if lowest < 0 or symbol.max(initial=-1) >= n_symbols or not len(children) == len(symbol) == len(students):
        raise ValueError("numbers that are too low, too high or too few")
    if children.sum(dtype=np.float64) > len(children):
        raise ValueError("more children than prefixes")
    start = np.array(lists[0].offsets, np.int64)
    node = np.arange(len(children)) - np.repeat(start[:-1], np.diff(start))
    upto = np.concatenate([[0], np.cumsum(children)])
    firsts = np.diff(start) - np.diff(upto[start])  # nodes that are nobody's child
    parent = np.full(len(children), -1, np.int32)
    parent[node >= np.repeat(firsts, np.diff(start))] = np.repeat(node, children)
    if (parent >= node).any():
        raise ValueError("a prefix that does not begin with a shorter one")
    trie = Trie(start, parent, symbol, students)
    kernels.sum_up(trie, 0, len(start) - 1)
    return trie
