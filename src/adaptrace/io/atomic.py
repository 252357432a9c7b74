"""Atomic: a file is written whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

from adaptrace.errors import OutputError

NEW_FILE, PRIVATE = 0o666, 0o600  # modes; the system takes its umask off


@contextlib.contextmanager
def replacing(path: str | os.PathLike[str], mark: str = "") -> Iterator[Path]:
    """Give a temporary path beside the target; move it there if the block ends well, remove it if not.

    A new file may be read by whom the umask allows; a file that is replaced keeps its mode. ``mark`` is put into the temporary
    name.
    """
    target = Path(path)
    temporary = target.with_name(f".{target.name}.{mark}{secrets.token_hex(4)}{target.suffix}")
    try:
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE if target.exists() else NEW_FILE))
    except OSError as error:
        raise OutputError(
            f"{target}: cannot be written: {error.strerror}; choose a folder that exists and is writable"
        ) from error
    try:
        yield temporary
        if target.exists():
            os.chmod(temporary, target.stat().st_mode & 0o777)
        os.replace(temporary, target)
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{target}: cannot be written: {error.strerror or error}; nothing was changed") from error
    finally:
        temporary.unlink(missing_ok=True)
