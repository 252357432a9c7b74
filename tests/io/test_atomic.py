"""Files that appear whole or not at all; what a killed writer leaves is told from what a living one writes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from adaptrace.errors import OutputError
from adaptrace.io import atomic
from adaptrace.io.atomic import left_over, replacing, sweep

CANNOT_LOCK = not atomic.CAN_LOCK or bool(os.environ.get("ADAPTRACE_WITHOUT_FCNTL"))  # this process, or those it starts
WRITER = """
import sys
from adaptrace.io.atomic import replacing
with replacing(sys.argv[1]) as temporary:
    temporary.write_text("half a file")
    temporary.with_name("beside.txt").write_text("a journal")
    print("written", flush=True)
    sys.stdin.readline()
"""


@pytest.fixture
def writer(tmp_path: Path) -> subprocess.Popen[str]:
    """Another process that has written half a file, and waits."""
    command = [sys.executable, "-c", WRITER, str(tmp_path / "log.csv")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "written\n"
        yield process
        process.kill()


def test_a_file_appears_whole_and_nothing_stays_beside_it(tmp_path: Path) -> None:
    with replacing(tmp_path / "a.csv") as temporary:
        temporary.write_text("whole")
        temporary.with_name("beside.txt").write_text("a journal")
        assert (temporary.suffix, (tmp_path / "a.csv").exists()) == (".csv", False)
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.csv", "whole")]
    with pytest.raises(KeyboardInterrupt), replacing(tmp_path / "a.csv"):
        raise KeyboardInterrupt
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("a.csv", "whole")]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match=r"none/a\.csv: cannot be written: No such file or directory"),
        replacing(tmp_path / "none/a.csv"),
    ):
        pass


@pytest.mark.skipif(CANNOT_LOCK, reason="folders cannot be locked here")
def test_what_a_living_process_writes_stays_and_what_a_killed_one_left_goes(
    tmp_path: Path, writer: subprocess.Popen[str]
) -> None:
    assert left_over(tmp_path) == []
    sweep(tmp_path)
    (folder,) = tmp_path.iterdir()
    writer.send_signal(signal.SIGKILL)
    writer.wait(30)
    assert left_over(tmp_path) == [folder]
    sweep(tmp_path)
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(CANNOT_LOCK, reason="folders cannot be locked here")
def test_a_living_process_ends_well_after_a_sweep(tmp_path: Path, writer: subprocess.Popen[str]) -> None:
    sweep(tmp_path)
    writer.communicate("\n", timeout=30)
    assert writer.returncode == 0
    assert [(path.name, path.read_text()) for path in tmp_path.iterdir()] == [("log.csv", "half a file")]


def test_another_thread_is_another_writer(tmp_path: Path) -> None:
    """Also where a process asks about its own folder."""
    swept = threading.Thread(target=sweep, args=[tmp_path])
    with replacing(tmp_path / "a.csv") as temporary:
        temporary.write_text("whole")
        swept.start()
        swept.join()
    assert (tmp_path / "a.csv").read_text() == "whole"


def test_only_folders_of_our_names_go_and_links_are_not_followed(tmp_path: Path) -> None:
    """An empty one may be a second old: its process has not locked it yet."""
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "mine.txt").write_text("mine")
    (tmp_path / ".a.csv.adaptrace-00000000").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    for name in (".a.csv.adaptrace-0000000", ".a.csv.adaptrace-00000000g", "a.csv.adaptrace-00000000", ".a.csv.other-00000000"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.txt").write_text("mine")
    (tmp_path / ".b.csv.adaptrace-00000000").write_text("a file")
    (tmp_path / ".c.csv.adaptrace-00000000").mkdir()
    before = sorted(tmp_path.rglob("*"))
    sweep(tmp_path)
    assert sorted(tmp_path.rglob("*")) == before
    old = time.time() - atomic.OLD_SECONDS - 60
    os.utime(tmp_path / ".c.csv.adaptrace-00000000", (old, old))
    assert left_over(tmp_path) == [tmp_path / ".c.csv.adaptrace-00000000"]


def test_where_nothing_can_be_locked_age_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(atomic, "CAN_LOCK", False)
    folder = tmp_path / ".c.csv.adaptrace-00000000"
    folder.mkdir()
    (folder / ".c.csv").write_text("half")
    assert left_over(tmp_path) == []
    old = time.time() - atomic.OLD_SECONDS - 60
    os.utime(folder, (old, old))
    sweep(tmp_path)
    assert not folder.exists()


def test_a_folder_that_cannot_be_read_is_left(tmp_path: Path) -> None:
    sweep(tmp_path / "none")
