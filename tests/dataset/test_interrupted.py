"""A run that is killed goes on where it was; outputs appear whole or not at all."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import filelock
import pytest
from filelock import FileLock

import adaptrace as at
from adaptrace.dataset import partition
from reference import folders

RUN = """
import os, resource, signal, sys
from pathlib import Path
import adaptrace as at
from adaptrace.dataset import partition, staging, state

partition.MOST_ROWS = 200
log, out, model, after, where = sys.argv[1:]
left = [int(after)]
home = {"part": (state.pyarrow.parquet, "write_table"), "state": (staging.states, "save"), "swap": (staging.os, "replace")}[where]
real = getattr(*home)

def dying(*arguments, **options):
    if left[0] == 0:
        if where == "part":
            real(*arguments, **options)  # the file is there, under its hidden name
        os.kill(os.getpid(), signal.SIGKILL)
    left[0] -= 1
    return real(*arguments, **options)

setattr(*home, dying)
if int(after) < 0:  # a disk that is full
    resource.setrlimit(resource.RLIMIT_FSIZE, (-int(after), -int(after)))
place = None if out.endswith("alone") else Path(out).with_name("state")
print(at.score_dataset(log, out, model=at.load(model), state=place, workers=2))
"""


@pytest.fixture(scope="module")
def here(tmp_path_factory) -> Path:
    """A log, a model and the program."""
    folder = tmp_path_factory.mktemp("killed")
    folders.write(folders.responses(1, 3000), folder / "log", 6)
    folders.model().save(folder / "model.json")
    (folder / "run.py").write_text(RUN)
    return folder


def run(here: Path, out: Path, after: int, where: str = "part") -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, here / "run.py", here / "log", out, here / "model.json", str(after), where]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def content(*folders: Path) -> dict[str, bytes]:
    return {f"{folder.name}/{path.name}": path.read_bytes() for folder in folders for path in sorted(folder.iterdir())}


@pytest.fixture(scope="module")
def whole(here: Path, tmp_path_factory) -> dict[str, bytes]:
    """What an uninterrupted run writes."""
    folder = tmp_path_factory.mktemp("whole")
    assert run(here, folder / "out", 10**6).returncode == 0
    return content(folder / "out", folder / "state")


@pytest.mark.parametrize("after", [0, 7])
def test_killed_among_its_parts_it_goes_on_and_ends_in_the_same_bytes(after: int, here, whole, tmp_path: Path) -> None:
    assert run(here, tmp_path / "out", after).returncode == -signal.SIGKILL
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "state").exists()
    assert run(here, tmp_path / "out", 10**6).returncode == 0
    assert content(tmp_path / "out", tmp_path / "state") == whole
    assert folders.names(tmp_path) == ["out", "state"]


def test_what_was_done_is_not_done_again(here, whole, tmp_path: Path) -> None:
    assert run(here, tmp_path / "out", 12).returncode == -signal.SIGKILL
    done = {path: path.stat().st_mtime_ns for path in (tmp_path / ".out.partial" / "done").glob("*.json")}
    parts = {path.name: path.stat().st_mtime_ns for path in (tmp_path / ".out.partial" / "out").glob("[pb]*.parquet")}
    assert len(done) > 3
    assert run(here, tmp_path / "out", 10**6).returncode == 0
    kept = [name for name, time in parts.items() if (tmp_path / "out" / name).stat().st_mtime_ns == time]
    assert len(kept) >= len(parts) - 2  # two workers were in the middle of one each


def test_what_an_interrupted_run_leaves_has_the_names_that_earlier_versions_gave(here, tmp_path: Path) -> None:
    """A run that an earlier version began is resumed only as long as these stay."""
    assert run(here, tmp_path / "out", 12).returncode == -signal.SIGKILL
    folder = tmp_path / ".out.partial"
    plan = json.loads((folder / "plan.json").read_text())
    assert list(plan) == ["plan", "files", "layout", "model", "rows", "at", "before", "state"]
    assert (plan["plan"], plan["layout"], plan["rows"], plan["at"]) == (2, [{}, None, True], 200, "None")
    assert plan["state"] == [str(tmp_path / "state"), 1]
    assert {path.name for path in folder.iterdir()} == {"plan.json", "out", "done"}
    (note,) = json.loads((folder / "done" / "bucket-0000.json").read_text())
    assert list(note) == ["file", "rows", "responses", "reading"]
    assert note["file"] == "0001-bucket-0000.parquet"
    assert (tmp_path / ".state.partial-state" / note["file"]).exists()
    assert (folder / "out" / "bucket-0000.parquet").exists()


@pytest.mark.parametrize(("where", "after"), [("state", 0), *[("swap", after) for after in (1, 45, 83, 90, 100)]])
def test_killed_while_the_outputs_appear_the_next_run_finishes_that(where: str, after: int, here, whole, tmp_path: Path) -> None:
    assert run(here, tmp_path / "out", after, where).returncode == -signal.SIGKILL
    assert run(here, tmp_path / "out", 10**6).returncode == 0
    assert folders.mastery(tmp_path / "out").equals(folders.in_memory(at.load(here / "model.json"), here / "log"))
    assert folders.names(tmp_path) == ["out", "state"]


def test_a_full_disk_is_one_error_and_leaves_what_was_there(here, tmp_path: Path) -> None:
    assert run(here, tmp_path / "out-alone", 10**6).returncode == 0
    before = content(tmp_path / "out-alone")
    full = run(here, tmp_path / "out-alone", -900)
    assert full.returncode == 1
    assert "OutputError" in full.stderr.splitlines()[-1]
    assert "File too large; nothing was changed" in full.stderr.splitlines()[-1]
    assert content(tmp_path / "out-alone") == before


def test_a_run_with_another_plan_starts_anew(here, tmp_path: Path, monkeypatch) -> None:
    assert run(here, tmp_path / "out", 8).returncode == -signal.SIGKILL
    monkeypatch.setattr(partition, "MOST_ROWS", 300)
    at.score_dataset(here / "log", tmp_path / "out", model=at.load(here / "model.json"), state=tmp_path / "state", workers=2)
    assert folders.mastery(tmp_path / "out").equals(folders.in_memory(at.load(here / "model.json"), here / "log"))


def test_two_runs_at_once_do_not_share_an_output_or_a_state(here, tmp_path: Path) -> None:
    with FileLock(tmp_path / ".state.lock"), pytest.raises(at.OutputError, match="state: another run is at work on it"):
        at.score_dataset(here / "log", tmp_path / "out", model=at.load(here / "model.json"), state=tmp_path / "state")
    at.score_dataset(here / "log", tmp_path / "out", model=at.load(here / "model.json"), state=tmp_path / "state")
    assert folders.names(tmp_path) == ["out", "state"]


def test_a_lock_is_the_same_file_for_every_run(here, tmp_path: Path) -> None:
    """A run that waits for the lock would hold the old file, and the next one a new file, if it went in between."""
    if filelock.FileLock is filelock.SoftFileLock:
        pytest.skip("without the locks of the system the file is the lock")
    (tmp_path / ".out.lock").write_text("whoever put this here")
    before = (tmp_path / ".out.lock").stat()
    at.score_dataset(here / "log", tmp_path / "out", model=at.load(here / "model.json"))
    at.score_dataset(here / "log", tmp_path / "out", model=at.load(here / "model.json"))
    assert (tmp_path / ".out.lock").stat().st_ino == before.st_ino
    assert (tmp_path / ".out.lock").read_text() == "whoever put this here"


@pytest.mark.parametrize("to", ["precious", "nowhere"])
def test_a_link_in_the_place_of_a_lock_is_refused(to: str, here, tmp_path: Path) -> None:
    (tmp_path / "precious").write_text("gold")
    (tmp_path / ".out.lock").symlink_to(tmp_path / to)
    with pytest.raises(at.OutputError, match=r"\.out\.lock: got a link; expected the lock of an earlier run, or nothing"):
        at.score_dataset(here / "log", tmp_path / "out", model=at.load(here / "model.json"))
    assert folders.names(tmp_path) == ["precious"]
    assert (tmp_path / "precious").read_text() == "gold"
