"""Where the simulation of the district cuts in: before every operation on a file of its folder.

Python tells an audit hook of each of them, whoever makes it. A process that is killed makes no operation after that.
"""

from __future__ import annotations

import os
import sys
from concurrent.futures import Executor, Future
from pathlib import Path
from typing import Any

from simulated import cut

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC
CHANGES = ("os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.chmod", "os.link", "os.symlink", "os.truncate")
_root: list[str] = []  # of the files that matter; empty while nothing is simulated


class Process:
    """A process that may be killed, once."""

    def __init__(self) -> None:
        self.life = 0

    def kill(self) -> None:
        """It makes no operation any more."""
        self.life += 1


class Here(Executor):
    """Does the work in the thread that asks for it, so that the operations of a client are its own."""

    def __init__(self, *_: object, **__: object) -> None:
        super().__init__()

    def submit(self, work: Any, /, *arguments: Any, **options: Any) -> Future[Any]:
        """Done before this returns."""
        done: Future[Any] = Future()
        try:
            done.set_result(work(*arguments, **options))
        except Exception as error:
            done.set_exception(error)
        return done


def install(root: Path) -> None:
    """Cut in at the operations on files below the folder."""
    if not _root:
        sys.addaudithook(_heard)
    _root[:] = [str(root)]
    for name, module in list(sys.modules.items()):
        if name.startswith("adaptrace.") and hasattr(module, "ThreadPoolExecutor"):
            module.ThreadPoolExecutor = Here  # type: ignore[attr-defined]


def _heard(event: str, arguments: tuple[Any, ...]) -> None:
    if event not in ("open", "fcntl.flock", *CHANGES) or cut.client() is None:
        return
    me = cut.client()
    if event == "fcntl.flock" and me is not None and me.process.life:
        return  # the system takes the locks of a dead process
    if event == "fcntl.flock" or _is_ours(arguments):
        is_change = event != "open" or bool((arguments[2] or 0) & WRITES)
        _before(f"{event} {_name(arguments)}", is_change and event != "fcntl.flock")


def _is_ours(arguments: tuple[Any, ...]) -> bool:
    """Whether a path lies below the folder; those in a folder that was opened (shutil.rmtree) do."""
    path = arguments[0]
    if not isinstance(path, str | bytes | os.PathLike):
        return False
    text = os.fsdecode(path)
    return text.startswith(_root[0]) or not os.path.isabs(text)


def _name(arguments: tuple[Any, ...]) -> str:
    return " ".join(
        os.fsdecode(part).removeprefix(_root[0]) for part in arguments[:2] if isinstance(part, str | bytes | os.PathLike)
    )


def _before(text: str, is_change: bool) -> None:
    cut.check_alive()
    if cut.step(text, spare=not is_change) == cut.FAIL:
        raise OSError(28, "No space left on device")
