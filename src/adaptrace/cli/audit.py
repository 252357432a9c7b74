"""The audit of commands that read or write real names; the clock and the user are asked here."""

from __future__ import annotations

import contextlib
import datetime
import getpass
import glob
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

AuditPath = Annotated[
    Path | None,
    typer.Option(
        "--audit",
        envvar="ADAPTRACE_AUDIT",
        help="The file to which a line about this run is added; by default audit.jsonl beside the output or the log.",
    ),
]


@contextlib.contextmanager
def audited(command: str, files: Sequence[Path | str], path: Path) -> Iterator[dict[str, Any]]:
    """Add a line about what the block does, however it ends; the block puts what it counts into the mapping."""
    from adaptrace.privacy import audit

    audit.check(path)
    counted: dict[str, Any] = {"outcome": "interrupted"}
    try:
        yield counted
        counted["outcome"] = "done"
    except Exception as error:
        counted["outcome"] = type(error).__name__
        raise
    finally:
        now, places = datetime.datetime.now(datetime.UTC), tuple(map(_place, files))
        audit.append(path, audit.AuditedRun(time=now, command=command, who=_user(), files=places, **counted))


def beside(place: Path) -> Path:
    """The audit in the folder where a file, a folder or a glob stands."""
    from adaptrace.privacy import audit

    while glob.has_magic(str(place)):
        place = place.parent
    return place.absolute().parent / audit.NAME


def _place(file: Path | str) -> str:
    """The whole path of a file; a server as it is."""
    return str(file) if "://" in str(file) else os.path.abspath(file)


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # of a container: a number without a name
        return str(os.getuid())
