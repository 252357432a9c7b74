"""The lock of a run: never removed, never followed, never cut."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from adaptrace.errors import OutputError
from adaptrace.io.locks import locked


def test_what_is_in_the_file_stays_and_the_file_too(tmp_path: Path) -> None:
    lock = tmp_path / ".out.lock"
    lock.write_text("whoever put this here")
    before = lock.stat()
    for _ in range(2):
        with locked(tmp_path / "out"):
            assert lock.read_text() == "whoever put this here"
    assert (lock.stat().st_ino, lock.read_text()) == (before.st_ino, "whoever put this here")


@pytest.mark.parametrize("to", ["precious", "nowhere"])
def test_a_link_that_comes_after_the_look_is_not_followed(to: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "precious").write_text("gold")
    (tmp_path / ".out.lock").symlink_to(tmp_path / to)
    monkeypatch.setattr(Path, "is_symlink", lambda path: False)
    with pytest.raises(OutputError, match="out: cannot be written"), locked(tmp_path / "out"):
        pass
    assert (tmp_path / "precious").read_text() == "gold"
    assert not (tmp_path / "nowhere").exists()


def test_two_names_of_one_folder_are_one_lock(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "out")
    with (
        locked(tmp_path / "out"),
        pytest.raises(OutputError, match="link: another run is at work on it"),
        locked(tmp_path / "link"),
    ):
        pass


def test_another_process_waits_until_the_first_one_dies(tmp_path: Path) -> None:
    program = (
        "import sys; from pathlib import Path; from adaptrace.io.locks import locked\n"
        "with locked(Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    argv = [sys.executable, "-c", program, str(tmp_path / "out")]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(OutputError, match="another run is at work on it"), locked(tmp_path / "out"):
            pass
        other.kill()
    with locked(tmp_path / "out"):
        assert (tmp_path / ".out.lock").exists()
