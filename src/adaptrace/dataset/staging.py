"""Staging: outputs are made in hidden folders and appear when they are whole; a run that was killed is resumed there."""

from __future__ import annotations

import contextlib
import glob
import json
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from adaptrace.dataset import state as states
from adaptrace.dataset.state import Manifest
from adaptrace.errors import OutputError
from adaptrace.io import envelope, modes
from adaptrace.io.atomic import changing, replacing, sweep
from adaptrace.io.locks import locked

PLAN, READY = "plan.json", "ready.json"
FILES, STATE = "files", "state"  # of a plan: the files that are read, and the folder of the state, both with what they were
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
            If another run is at work on them, a link is in the place of a hidden folder, or something cannot be moved or removed.
        """
        with contextlib.ExitStack() as locks:
            for folder in (self.out, *([self.state] if self.state is not None else [])):
                locks.enter_context(locked(folder))
            self.check_hidden()
            locks.enter_context(changing(self.out))
            yield

    def check_hidden(self) -> None:
        """Refuse a link in the place of a hidden folder: what it leads to is not ours.

        Raises
        ------
        OutputError
            If there is one.
        """
        for hidden in (self.folder, self.new_state, self._old_out):
            if hidden.is_symlink():
                raise OutputError(f"{hidden}: got a link; expected a folder that a run made, or nothing: remove it")

    def recover(self) -> None:
        """Finish what a :meth:`finish` that was interrupted began."""
        ready = _read(self.folder / READY)
        if isinstance(ready, dict) and "state" in ready:
            if self.state is not None and ready["state"] is not None:
                self._move_state(self.state, states.manifest_of(ready["state"], self.folder / READY))
            if self.new_out.exists():
                self._swap()
            remove(self.folder)
        remove(self._old_out)

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
                remove(path)
            return True
        for folder in (self.folder, self.new_state):
            remove(folder)
        try:
            for folder in folders:
                modes.make_folder(folder)
        except OutputError:
            raise
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
        modes.make_folder(folder)
        if self.new_state.exists():
            _settle_all(self.new_state, folder)
            for path in self.new_state.glob("*.parquet"):
                os.replace(path, folder / path.name)
            states.save(folder, state)
            remove(self.new_state)

    def _swap(self) -> None:
        """Put the new output in the place of the old one, with its mode and those of its files."""
        _settle_all(self.new_out, self.out)
        modes.settle(self.new_out, like=self.out)
        if self.out.exists():
            sweep(self.out)
            for path in self.out.iterdir():  # what others put there stays
                if path.suffix != ".parquet" and path.name != states.MANIFEST:
                    os.replace(path, self.new_out / path.name)
            remove(self._old_out)
            os.replace(self.out, self._old_out)
        os.replace(self.new_out, self.out)

    def of_cluster(self, mark: str) -> Path:
        """Where the tasks of a cluster write the output."""
        return self.out.with_name(f".{self.out.name}.partial-{mark}")

    @property
    def left_by_clusters(self) -> list[Path]:
        """The hidden folders of a cluster's runs that did not end."""
        return list(self.out.parent.glob(f".{glob.escape(self.out.name)}.partial-*"))

    @property
    def left(self) -> list[Path]:
        """The hidden folders of all runs that did not end."""
        found = dict.fromkeys([self.folder, self.new_state, self._old_out, *self.left_by_clusters])
        return [folder for folder in found if folder.exists()]

    def discard(self) -> None:
        """Remove what interrupted runs left, a cluster's too: the next one starts anew. Outputs that were whole appear."""
        self.recover()
        for folder in self.left:
            remove(folder)


def interrupted(out: Path) -> Staging:
    """The staging of the run that made an output, with the state that its plan names, if it did not end."""
    named = _first(_planned(Staging(out).folder / PLAN, STATE))
    state = Path(named) if isinstance(named, str) else Path()
    return Staging(out, state if state.is_absolute() and state.parent.is_dir() else None)


def interrupted_beside(outs: set[Path], identities: Callable[[], set[str]]) -> list[Staging]:
    """Other runs beside some outputs that did not end, and read files of these identities."""
    found = [plan for folder in {out.parent for out in outs} for plan in folder.glob(f".*.partial/{PLAN}")]
    plans = {plan.parent.with_name(plan.parent.name[1:].removesuffix(".partial")): plan for plan in found}
    others = {out: plan for out, plan in plans.items() if out not in outs}
    known = identities() if others else set()
    return [interrupted(out) for out, plan in others.items() if known & {_last(file) for file in _planned(plan, FILES)}]


def _planned(plan: Path, what: str) -> list[Any]:
    """A list in a plan; an empty one if it says nothing of it."""
    content = _read(plan)
    found = content.get(what) if isinstance(content, dict) else None
    return found if isinstance(found, list) else []


def _first(pair: list[Any]) -> Any:
    return pair[0] if pair else None


def _last(pair: Any) -> str:
    return str(pair[-1]) if isinstance(pair, list) and pair else ""


def _settle_all(new: Path, old: Path) -> None:
    """Give new files the modes that those of their names had before or, where there were none, the manifest."""
    manifest = old / states.MANIFEST
    for path in new.iterdir():
        before = old / path.name
        modes.settle(path, like=before if before.exists() else manifest)


def remove(folder: Path) -> None:
    """Remove a hidden folder, if it is there: it may hold rows of students, so that none may be left in silence."""
    try:
        if folder.is_dir():
            shutil.rmtree(folder)
        else:
            folder.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder}: cannot be removed: {error.strerror or error}; it may hold rows of students: remove it"
        ) from error


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
