"""Atomic: a file is written whole or not at all.

What is being written stands in a folder of its own beside the target, which its process keeps locked. So whoever finds such a
folder can tell whether that process still works or was killed.
"""

from __future__ import annotations

import contextlib
import os
import re
import secrets
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

from adaptrace.errors import OutputError
from adaptrace.io import modes

try:
    import fcntl
except ImportError:  # Windows: only the age of a folder says that nobody works in it
    CAN_LOCK = False
else:
    CAN_LOCK = True

OLD_SECONDS = 86_400.0  # after which a folder that nobody can ask about is taken for left over
_NAME = re.compile(r"\..+\.adaptrace-[0-9a-f]{8}")


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], *, shared: bool = False, like: Path | None = None) -> Iterator[Path]:
    """Give a temporary path on the target's disk; move it to the target if the block ends well, remove it if not.

    Only its owner may read it, until it is whole: then it has the mode, owner and group of the file that it replaces or, if it
    is a new one, of ``like``, or else the mode of :mod:`adaptrace.io.modes`. A new file that is ``shared``, as it holds no
    students, may be read by whom the umask allows. Whatever else stands beside the temporary path at the end is removed.

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
    folder = target.with_name(f".{target.name}.adaptrace-{secrets.token_hex(4)}")
    temporary = folder / f".{target.name}"  # hidden too: who searches folders must not read half a file
    with contextlib.ExitStack() as left:
        try:
            folder.mkdir(0o700)
            left.callback(shutil.rmtree, folder, ignore_errors=True)
            left.enter_context(_locked(folder))
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


@contextlib.contextmanager
def changing(place: Path) -> Iterator[None]:
    """Tell of a place, whose files the block moves and removes, what the system refuses; the same call finishes it later.

    Raises
    ------
    OutputError
        In the place of an OSError.
    """
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        remedy = "see that there is space and that you may write there, then run it again: it goes on where it stopped"
        raise OutputError(f"{place}: cannot be changed: {error.strerror or error}; {remedy}") from error


def left_over(folder: str | os.PathLike[str]) -> list[Path]:
    """The temporary folders in a folder whose processes were killed."""
    found = [Path(each) for each in os.scandir(folder) if _NAME.fullmatch(each.name) and each.is_dir(follow_symlinks=False)]
    return sorted(each for each in found if _is_left(each))


def sweep(folder: str | os.PathLike[str]) -> None:
    """Remove what killed processes left in a folder; what others are writing stays."""
    with contextlib.suppress(OSError):  # it is no folder, or may not be read
        for each in left_over(folder):
            shutil.rmtree(each, ignore_errors=True)


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep a folder locked, as far as the system can."""
    if not CAN_LOCK:
        yield
        return
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX)
        yield
    finally:
        os.close(opened)


def _is_left(folder: Path) -> bool:
    """Whether nobody works in it. An empty one may be too young to be locked yet."""
    try:
        is_old = time.time() - folder.stat().st_mtime > OLD_SECONDS
        return is_old if not CAN_LOCK else not _is_locked(folder) and (is_old or any(folder.iterdir()))
    except OSError:  # it went away
        return False


def _is_locked(folder: Path) -> bool:
    opened = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(opened)
    return False
