"""Spill: rows that do not fit into memory together, kept in shards that do."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaptrace.errors import OutputError

SHARDS = 64
IN_MEMORY = 2**20  # bytes of a shard, before it becomes a file


def packed(dtype: np.dtype[Any], *columns: NDArray[Any]) -> NDArray[Any]:
    """Columns as rows."""
    rows = np.empty(len(columns[0]), dtype)
    for name, column in zip(dtype.names or (), columns, strict=True):
        rows[name] = column
    return rows


class SpilledRows:
    """Rows kept in shards: in memory while they are few, then in temporary files.

    Parameters
    ----------
    dtype
        Of a row.

    Raises
    ------
    OutputError
        Where the temporary files find no room.
    """

    def __init__(self, dtype: np.dtype[Any]) -> None:
        self._dtype, self._open = dtype, ExitStack()
        files = (tempfile.SpooledTemporaryFile(IN_MEMORY) for _ in range(SHARDS))  # noqa: SIM115  (closed together)
        self._files = [self._open.enter_context(file) for file in files]

    def __enter__(self) -> SpilledRows:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._open.close()

    def add(self, shard: NDArray[np.int64], rows: NDArray[Any]) -> None:
        """Put rows in their shards, in this order."""
        order = np.argsort(shard.astype(np.uint8), kind="stable")
        edges = np.cumsum(np.bincount(shard, minlength=SHARDS))
        try:
            for file, part in zip(self._files, np.split(rows[order], edges[:-1]), strict=True):
                file.write(part.tobytes())
        except OSError as error:
            place, remedy = tempfile.gettempdir(), "set TMPDIR to a folder with room"
            raise OutputError(f"{place}: temporary files cannot be written: {error.strerror or error}; {remedy}") from error

    def shards(self) -> Iterator[NDArray[Any]]:
        """Every shard's rows, in the order in which they came."""
        for file in self._files:
            file.seek(0)
            yield np.frombuffer(file.read(), self._dtype)
