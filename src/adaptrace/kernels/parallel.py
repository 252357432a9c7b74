"""Threads: the same work in the same pieces, whoever does it.

Kernels release the GIL, so plain threads use every core. Pieces never depend on the number of
workers in a way that changes a result.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from itertools import islice, pairwise
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

SMALL = 20_000  # rows
THREADS = "ADAPTRACE_THREADS"  # environment: use no more than so many, e.g. 1 where there is a process per core
T = TypeVar("T")
_mine = threading.local()  # of each thread


def cores() -> int:
    """Processors this process may use, at most as many as :data:`THREADS` says; 1 inside :func:`alone`."""
    if getattr(_mine, "alone", False):
        return 1
    there = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    most = os.environ.get(THREADS) or str(there)
    if not most.isdecimal() or most == "0":
        raise ValueError(f"{THREADS}={most}: expected a whole number of threads, at least 1")
    return min(there, int(most))


def run(function: Callable[..., Any], pieces: Iterable[tuple[Any, ...]], executor: Executor | None = None) -> list[Any]:
    """Call ``function(*piece)`` for every piece; results in the order of the pieces."""
    pieces = list(pieces)
    if executor is not None:
        return [future.result() for future in [executor.submit(function, *piece) for piece in pieces]]
    if len(pieces) < 2 or cores() == 1:
        return [function(*piece) for piece in pieces]
    with ThreadPoolExecutor(cores()) as pool:
        return [future.result() for future in [pool.submit(function, *piece) for piece in pieces]]


class _Here(Executor):
    """Does the work where it is asked for."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Done before this returns."""
        done: Future[Any] = Future()
        done.set_result(fn(*args, **kwargs))
        return done


@contextmanager
def alone() -> Iterator[None]:
    """Keep to the calling thread inside the block: it is one of as many as there are cores."""
    before, _mine.alone = getattr(_mine, "alone", False), True
    try:
        yield
    finally:
        _mine.alone = before


@contextmanager
def workers(executor: Executor | None, rows: int) -> Iterator[Executor]:
    """Who does the many small rounds of one fit: the given executor, else threads that stay for all of them.

    Below :data:`SMALL` rows, and on one core, the caller itself: handing out would take longer.
    """
    if executor is not None:
        yield executor
    elif rows < SMALL or cores() == 1:
        yield _Here()
    else:
        with ThreadPoolExecutor(cores()) as pool:
            yield pool


def spans(start: NDArray[np.int64], pieces: int) -> list[tuple[int, int]]:
    """Cut segments, given by their starts (n + 1,), into spans [first, last) of about equal length."""
    total = start[-1] - start[0]
    cuts = np.searchsorted(start, start[0] + total * np.arange(1, pieces) // pieces)
    edges = np.unique(np.concatenate([[0], cuts, [len(start) - 1]]))
    return list(pairwise(edges.tolist()))


def ranges(n: int, pieces: int | None = None) -> list[tuple[int, int]]:
    """Cut [0, n) into so many ranges, by default one per core."""
    pieces = pieces or cores()
    return list(pairwise(n * piece // pieces for piece in range(pieces + 1)))


def batches(things: Iterable[T], size: int) -> Iterator[list[T]]:
    """Cut anything that can be gone through into lists of so many, the last of what is left."""
    rest = iter(things)
    return iter(lambda: list(islice(rest, size)), [])
