"""Staging: outputs are made in hidden folders and appear when they are whole; a run that was killed is resumed there."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from adaptrace.dataset import state as states
from adaptrace.dataset.state import Manifest
from adaptrace.errors import OutputError
from adaptrace.io import envelope
from adaptrace.io.atomic import replacing

PLAN, READY = "plan.json", "ready.json"
MASTERY = "mastery"  # what the manifest of an output calls it


@dataclass(frozen=True)
class Staging:
    """The hidden folder beside an output, and the one beside its state.

    Attributes
    ----------
    out
        The folder that is to appear.
    state
        The folder of the state, if there is to be one.
    """

    out: Path
    state: Path | None = None

    @property
    def folder(self) -> Path:
        """Where the run keeps what it needs to be resumed."""
        return self.out.with_name(f".{self.out.name}.partial")

    @property
    def new_out(self) -> Path:
        """Where the output is made."""
        return self.folder / "out"

    @property
    def new_state(self) -> Path:
        """Where the files of the state are made."""
        folder = self.state if self.state is not None else self.out
        return folder.with_name(f".{folder.name}.partial-state")

    @property
    def done(self) -> Path:
        """Where a run notes which logs are done, and keeps the rows of students who are in several pieces."""
        return self.folder / "done"

    @property
    def _old_out(self) -> Path:
        return self.out.with_name(f".{self.out.name}.old")

    # ---- before the work ----

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs from the same outputs inside the block; the system ends the lock of a process that dies.

        Raises
        ------
        OutputError
            If another run is at work on them.
        """
        with contextlib.ExitStack() as locks:
            for folder in (self.out, *([self.state] if self.state is not None else [])):
                locks.enter_context(_lock(folder))
            yield

    def recover(self) -> None:
        """Finish what a :meth:`finish` that was interrupted began."""
        ready = _read(self.folder / READY)
        if isinstance(ready, dict) and "state" in ready:
            if self.state is not None and ready["state"] is not None:
                self._move_state(self.state, states.manifest_of(ready["state"], self.folder / READY))
            if self.new_out.exists():
                self._swap()
            shutil.rmtree(self.folder)
        shutil.rmtree(self._old_out, ignore_errors=True)

    def check(self) -> None:
        """Refuse an output that would overwrite what no run of ours has made.

        Raises
        ------
        OutputError
            If the folder, or that of the state, holds something else.
        """
        for folder, kind in ((self.out, MASTERY), *([(self.state, states.STATE)] if self.state is not None else [])):
            if folder.exists() and not folder.is_dir():
                raise OutputError(f"{folder}: got a file; expected a folder or a place where one can be made")
            held = kind_of(folder)
            if held not in (None, kind):
                raise OutputError(f"{folder}: got a folder that holds {held}; expected a new or empty one, or one of {kind}")

    def begin(self, plan: Mapping[str, Any]) -> bool:
        """Make ready for a run; whether it resumes one of the same plan that was interrupted."""
        folders = (self.new_out, self.done, *([self.new_state] if self.state is not None else []))
        if _read(self.folder / PLAN) == plan:
            for path in [path for folder in folders for path in folder.glob(".*")]:  # files that were not whole yet
                path.unlink()
            return True
        for folder in (self.folder, self.new_state):
            shutil.rmtree(folder, ignore_errors=True)
        try:
            for folder in folders:
                folder.mkdir(parents=True)
        except OSError as error:
            raise OutputError(f"{self.out}: cannot be written: {error.strerror}; choose a folder that is writable") from error
        _write(self.folder / PLAN, plan)
        return False

    # ---- after the work ----

    def finish(self, about: Mapping[str, Any], state: Manifest | None) -> None:
        """Let the outputs appear: both are whole now. What a kill leaves undone here, :meth:`recover` does."""
        envelope.write(self.new_out / states.MANIFEST, MASTERY, about)
        _write(self.folder / READY, {"state": state.to_dict() if state is not None else None})
        self.recover()

    def _move_state(self, folder: Path, state: Manifest) -> None:
        folder.mkdir(exist_ok=True)
        if self.new_state.exists():
            for path in self.new_state.glob("*.parquet"):
                os.replace(path, folder / path.name)
            states.save(folder, state)
            shutil.rmtree(self.new_state)

    def _swap(self) -> None:
        if self.out.exists():
            for path in self.out.iterdir():  # what others put there stays
                if path.suffix != ".parquet" and path.name != states.MANIFEST:
                    os.replace(path, self.new_out / path.name)
            shutil.rmtree(self._old_out, ignore_errors=True)
            os.replace(self.out, self._old_out)
        os.replace(self.new_out, self.out)

    def discard(self) -> None:
        """Remove what an interrupted run left: the next one starts anew. Outputs that were whole appear."""
        self.recover()
        for folder in (self.folder, self.new_state, self._old_out):
            shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder inside the block. Its file stays for good: to remove it would let two runs in."""
    path = folder.with_name(f".{folder.name}.lock")
    if path.is_symlink():
        raise OutputError(f"{path}: got a link; expected the lock of an earlier run, or nothing: remove it")
    lock = FileLock(path)
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


def kind_of(folder: Path) -> str | None:
    """What a folder holds; None: nothing."""
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    about = _read(folder / states.MANIFEST)
    return about["adaptrace"] if isinstance(about, dict) and "adaptrace" in about else "other things"


def _write(path: Path, content: Any) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, default=str))


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text())
    except (OSError, ValueError, RecursionError):
        return None
