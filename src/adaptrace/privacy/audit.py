"""Audit: a file with one line for each run that reads or writes real names: when, what, who, which files; never a name."""

from __future__ import annotations

import contextlib
import datetime
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock

from adaptrace.errors import OutputError
from adaptrace.io.modes import PRIVATE

NAME = "audit.jsonl"
PathLike = str | os.PathLike[str]


@dataclass(frozen=True, kw_only=True)
class AuditedRun:
    """One run.

    Attributes
    ----------
    time
        When it ended.
    command
        What was run.
    who
        The user of the system.
    files
        What it read and wrote.
    students, rows
        How many were concerned; None where the run did not get so far.
    key
        The fingerprint of the key, if there is one.
    outcome
        ``done``, or the kind of the error that ended it.
    """

    time: datetime.datetime
    command: str
    who: str
    files: tuple[str, ...]
    students: int | None = None
    rows: int | None = None
    key: str | None = None
    outcome: str = "done"


def check(path: PathLike) -> None:
    """Refuse a file that cannot be written, before anything is done.

    Raises
    ------
    OutputError
        If it cannot be written, is a link, or others than its owner may read or write it.
    """
    with _opened(path):
        pass


def append(path: PathLike, run: AuditedRun) -> None:
    """Add the line of a run, and wait until it is on the disk; lines of several processes do not mix.

    Raises
    ------
    OutputError
        As :func:`check` does.
    """
    line = json.dumps({**asdict(run), "time": run.time.isoformat()}).encode() + b"\n"
    place = Path(path)
    with FileLock(place.with_name(f".{place.name}.lock"), mode=PRIVATE), _opened(path) as handle:
        if os.lseek(handle, 0, os.SEEK_END):
            os.lseek(handle, -1, os.SEEK_END)
            line = line if os.read(handle, 1) == b"\n" else b"\n" + line  # a process was killed as it wrote the last one
        os.write(handle, line)
        os.fsync(handle)


@contextlib.contextmanager
def _opened(path: PathLike) -> Iterator[int]:
    try:
        handle = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0), PRIVATE)
    except OSError as error:
        remedy = "name another file with --audit, or in ADAPTRACE_AUDIT"
        raise OutputError(f"{path}: the audit cannot be written: {error.strerror}; {remedy}") from error
    try:
        if os.name == "posix" and os.fstat(handle).st_mode & 0o077:
            raise OutputError(f"{path}: others may read or write the audit; run: chmod 600 {path}")
        yield handle
    finally:
        os.close(handle)
