"""Atomic: a file is written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path

from adaptrace.errors import OutputError
from adaptrace.io import modes

_TEMPORARY = re.compile(r"\.(?P<name>.+)\.[0-9a-f]{8}(?P<suffix>\.[^.]*|)", re.DOTALL)


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, shared: bool = False, like: Path | None = None) -> Iterator[Path]:
    """Give a temporary path beside the target; move it there if the block ends well, remove it if not.

    Only its owner may read it, until it is whole: then it has the mode, owner and group of the file that it replaces or, if it
    is a new one, of ``like``, or else the mode of :mod:`adaptrace.io.modes`. A new file that is ``shared``, as it holds no
    students, may be read by whom the umask allows.

    Raises
    ------
    OutputError
        If the target cannot be written.
    """
    target = Path(path)
    shared = shared and not target.exists()
    before = target if target.exists() else like
    if not shared and before is None:
        modes.file_mode()  # refused before the work if it is none
    temporary = target.with_name(f".{target.name}.{secrets.token_hex(4)}{target.suffix}")
    try:
        modes.create(temporary, shared=shared)
    except OSError as error:
        raise OutputError(
            f"{target}: cannot be written: {error.strerror}; choose a folder that exists and is writable"
        ) from error
    try:
        yield temporary
        if not shared:
            modes.settle(temporary, like=before)
        os.replace(temporary, target)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}; nothing was changed") from error
    finally:
        temporary.unlink(missing_ok=True)


def temporary_of(path: Path) -> Path | None:
    """The target of a temporary file of :func:`replacing`; None of any other file.

    Examples
    --------
    >>> temporary_of(Path("log/.a.csv.0123abcd.csv")).name
    'a.csv'
    """
    found = _TEMPORARY.fullmatch(path.name)
    target = path.with_name(found["name"]) if found else None
    return target if target is not None and found is not None and target.suffix == found["suffix"] else None
