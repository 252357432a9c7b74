"""Students known by 64 bits of their names, and who of them has rows in several pieces of a dataset."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.encoding import encode
from adaptrace.dataset.dataset import LARGE, Dataset, Piece, sort_of
from adaptrace.kernels import hashing as kernels
from adaptrace.kernels import parallel
from adaptrace.kernels.arrays import space
from adaptrace.kernels.rows import group, segment_starts

KeyArray = NDArray[np.uint64]

MANY = 0.5  # from this share of students in several pieces on, all go into buckets


# ---- keys -------------------------------------------------------------------


def keys_of(names: pa.Array) -> KeyArray:
    """64 bits for each name: the same in every file, and different for different names but for one in 2^64."""
    out = np.empty(len(names), np.uint64)
    if sort_of(names.type) == "text":
        text = names.cast(pa.large_string())
        start = np.frombuffer(text.buffers()[1], np.int64)[text.offset : text.offset + len(text) + 1]
        data = text.buffers()[2]
        kernels.of_texts(start, np.frombuffer(data, np.uint8) if data else np.empty(0, np.uint8), out)
    else:
        kernels.of_numbers(pc.cast(names, pa.int64(), safe=False).to_numpy(zero_copy_only=False).view(np.uint64), out)
    return out


class StudentIndex:
    """Names of students, among which others are looked up again and again."""

    def __init__(self, names: pa.Array) -> None:
        self._names, self._keys = names, keys_of(names)
        self._slots = np.full(2 << len(names).bit_length(), -1, np.int32)
        kernels.put_all(self._keys, self._slots)

    def find(self, names: pa.Array) -> NDArray[np.int64]:
        """The position of each name among them, (n,); -1 of a name that is not there."""
        found = np.empty(len(names), np.int64)
        kernels.find_all(keys_of(names), self._keys, self._slots, found)
        hit = np.flatnonzero(found >= 0)
        same = pc.equal(names.take(pa.array(hit)), self._names.take(pa.array(found[hit])).cast(names.type))
        unlike = hit[~same.to_numpy(zero_copy_only=False)]  # one of several names of a key: the right one may stand elsewhere
        if len(unlike):
            found[unlike] = schema.find(names.take(pa.array(unlike)), self._names)
        return found


# ---- students in several pieces ---------------------------------------------


@dataclass(frozen=True)
class ScatteredStudents:
    """Who has rows in several pieces: everyone, or the students of these keys, sorted; false if it is nobody."""

    everyone: bool
    keys: KeyArray

    def __bool__(self) -> bool:
        return self.everyone or len(self.keys) > 0

    def has(self, keys: KeyArray) -> NDArray[np.bool_]:
        """Which of these students are among them."""
        return np.ones(len(keys), bool) if self.everyone else np.isin(keys, self.keys)


EVERYONE, NOBODY = (ScatteredStudents(each, np.empty(0, np.uint64)) for each in (True, False))


def scattered_students(dataset: Dataset, pieces: list[Piece], *, log_rows: int, workers: int) -> ScatteredStudents:
    """Who has rows in several pieces, or in one that is larger than a log should be."""
    if len(pieces) <= 1 and dataset.rows <= LARGE * log_rows:
        return NOBODY
    many: list[KeyArray] = []
    with ThreadPoolExecutor(workers) as pool:
        for number, keys in enumerate(pool.map(lambda piece: _students_of(dataset, piece), pieces)):
            many += [keys, keys] if pieces[number].rows > LARGE * log_rows else [keys]
            if number + 1 in (2, 8, 32, len(pieces)):
                every, count = np.unique(np.concatenate(many), return_counts=True)
                scattered = ScatteredStudents(len(every) > 0 and bool((count > 1).mean() > MANY), every[count > 1])
                if scattered.everyone:
                    pool.shutdown(cancel_futures=True)
                    return scattered
    return scattered


def _students_of(dataset: Dataset, piece: Piece) -> KeyArray:
    """Keys of the students of a piece, sorted."""
    with parallel.alone():
        column = dataset.read(piece, ["student"]).table["student"]
    found = [keys_of(_distinct(chunk).drop_null()) for chunk in column.chunks]
    return np.unique(np.concatenate(found)) if found else np.empty(0, np.uint64)


def _distinct(chunk: pa.Array) -> pa.Array:
    """The names in a chunk, each at least once."""
    if pa.types.is_dictionary(chunk.type):
        return chunk.dictionary
    if not pa.types.is_integer(chunk.type) or chunk.null_count:
        return chunk.unique()
    values, out = chunk.cast(pa.int64()).to_numpy(), space(len(chunk), np.int64)
    return pa.array(out[: kernels.runs(values, out)])


def by_share(students: pa.Array, shares: int, scattered: ScatteredStudents) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows by share of the students, each in its order; last those of students who are not scattered.

    Returns
    -------
    ndarray
        Where each share begins, (shares + 2,): the last but one is where the others do.
    ndarray
        The rows, (n,).
    """
    coded = encode(students)
    keys = keys_of(coded.dictionary)
    share = np.where(scattered.has(keys), (keys % np.uint64(shares)).astype(np.int32), shares)[coded.indices.to_numpy()]
    start, order = segment_starts(share, shares + 1), np.empty(len(students), np.int64)
    group(share, start, order)
    return start, order
