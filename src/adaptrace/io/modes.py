"""Modes: who may read what is written. What may hold students is for its owner alone, unless the user says otherwise.

The user says it once, for every command and function: the environment variable ``ADAPTRACE_MODE``, or ``adaptrace --mode``,
e.g. ``0640`` for a group that may read. Folders get the right to enter where there is one to read. What is replaced keeps its
mode, its owner and its group. A system without such modes (Windows) is left alone.
"""

from __future__ import annotations

import contextlib
import os
import stat
from pathlib import Path

from adaptrace.errors import OutputError

MODE = "ADAPTRACE_MODE"  # the environment variable, which processes that are started inherit
PRIVATE, SHARED = 0o600, 0o666  # of a new file: for its owner alone; as the system's umask says
ENTER = 0o100  # what the owner of a folder may do beside reading and writing
_GROUP, _MOST = 0o070, 0o664


def file_mode() -> int:
    """The mode of a new file that may hold students.

    Raises
    ------
    OutputError
        If the user's mode is none that a file of students may have.
    """
    return parsed(os.environ[MODE]) if os.environ.get(MODE) else PRIVATE


def parsed(text: str) -> int:
    """A mode as people write it, in octal digits.

    Examples
    --------
    >>> parsed("0640") == 0o640
    True
    """
    with contextlib.suppress(ValueError):
        mode = int(text, 8)
        if mode & PRIVATE == PRIVATE and not mode & ~_MOST:
            return mode
    expected = "0600 (the owner alone), 0640 (a group may read), 0660 (a group may write) or 0644 (everyone may read)"
    raise OutputError(f"{MODE}: got '{text}'; expected the mode of a file that holds students: {expected}")


def create(path: str | os.PathLike[str], *, shared: bool = False) -> None:
    """Make an empty file, where there must be none: for its owner alone or, if it is ``shared``, as the umask says.

    Raises
    ------
    OSError
        If it cannot be made, or is there.
    """
    os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, SHARED if shared else PRIVATE))


def make_folder(path: Path) -> None:
    """Make a folder, and those above it that are not there, with the mode of new ones."""
    for missing in reversed([each for each in (path, *path.parents) if not each.exists()]):
        missing.mkdir(PRIVATE | ENTER)
        settle(missing)


def settle(path: Path, *, like: Path | None = None) -> None:
    """Give a new file or folder its mode, owner and group: those of ``like``, if that is there, or what the user said."""
    if os.name != "posix":
        return
    if like is not None and like.exists():
        _set(path, _as_before(path, like.stat()))
    else:
        mode = file_mode()
        _set(path, mode | ENTER | (mode & 0o044) >> 2 if path.is_dir() else mode)


def _as_before(path: Path, before: os.stat_result) -> int:
    """Give a file the owner and group of another: the mode that it may have then; without its group, none for a group."""
    mode, ours = stat.S_IMODE(before.st_mode) & 0o777, path.stat()
    owner = before.st_uid if os.geteuid() == 0 else ours.st_uid
    if (owner, before.st_gid) == (ours.st_uid, ours.st_gid):
        return mode
    with contextlib.suppress(PermissionError):
        os.chown(path, owner, before.st_gid)
        return mode
    return mode & ~_GROUP


def _set(path: Path, mode: int) -> None:
    if stat.S_IMODE(path.stat().st_mode) != mode:
        with contextlib.suppress(PermissionError):  # it is ours: only a file system without modes refuses
            path.chmod(mode)
