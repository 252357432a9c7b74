"""Locks: one run at a time works on a folder, and the system ends the lock of a process that dies."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from adaptrace.errors import OutputError


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder, whatever links lead to it, inside the block.

    Its file lies beside the folder and stays for good: to remove it would let two runs in. What is in it is never changed.

    Raises
    ------
    OutputError
        If another run is at work on the folder, a link is in the place of the lock, or it cannot be made.
    """
    real = Path(os.path.realpath(folder))
    path = real.with_name(f".{real.name}.lock")
    if path.is_symlink():
        raise OutputError(f"{path}: got a link; expected the lock of an earlier run, or nothing: remove it")
    lock = FileLock(path)  # opened without following a link that comes now, never cut, and never removed
    try:
        lock.acquire(timeout=0)
    except Timeout as error:
        raise OutputError(f"{folder}: another run is at work on it; wait for its end or choose another folder") from error
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be written: {error.strerror}; choose a folder that exists and is writable"
        ) from error
    try:
        yield
    finally:
        lock.release()
