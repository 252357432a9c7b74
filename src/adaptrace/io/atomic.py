"""Atomic: a file is written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from adaptrace.errors import OutputError


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], mark: str = "") -> Iterator[Path]:
    """Give a temporary path beside the target; move it there if the block ends well, remove it if not.

    A target that is there already hands its rights on. ``mark`` is put into the temporary name.
    """
    target = Path(path)
    try:
        handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.{mark}", suffix=target.suffix)
    except OSError as error:
        raise OutputError(
            f"{target}: cannot be written: {error.strerror}; choose a folder that exists and is writable"
        ) from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        os.chmod(temporary, target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_umask())
        os.replace(temporary, target)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}; nothing was changed") from error
    finally:
        temporary.unlink(missing_ok=True)


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
