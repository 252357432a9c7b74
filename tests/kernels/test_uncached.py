"""Kernels where no machine code can be kept on disk: no folder to write to, a folder that goes away, a full disk."""

from __future__ import annotations

import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

import adaptrace
from adaptrace.kernels import rows

pytestmark = [
    pytest.mark.skipif(not hasattr(rows.recode, "py_func"), reason="the compiler is off"),
    pytest.mark.skipif(os.name == "nt", reason="simulated by HOME and limits of a process, which Windows does not have"),
]

ANSWER = """
import adaptrace.kernels.hashing as hashing, numpy as np
{before}
out = np.empty(2, np.uint64)
hashing.of_numbers(np.array([1, 2], np.uint64), out)
hashing.of_texts(np.array([0, 1], np.int64), np.array([65], np.uint8), np.empty(1, np.uint64))
print(len(set(out.tolist())), hashing.__file__)
"""
NOTE = "NUMBA_CACHE_DIR"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A folder with a copy of the package that holds no machine code yet."""
    copy = tmp_path / "site" / "adaptrace"
    shutil.copytree(Path(adaptrace.__file__).parent, copy, ignore=shutil.ignore_patterns("__pycache__"))
    return copy.parent


def answer(package: Path, before: str = "", **environment: str) -> subprocess.CompletedProcess[str]:
    """Use a kernel of the copy in a process of its own, in which a warning is an error."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_CACHE", "XDG_"))}
    inherited |= {"PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [sys.executable, "-W", "error", "-c", ANSWER.format(before=before)]
    return subprocess.run(command, env=inherited, capture_output=True, text=True, check=False, timeout=300)


def answered_with_one_note(package: Path, done: subprocess.CompletedProcess[str]) -> bool:
    """Whether the kernels of the copy answered, and stderr is one line that says what to do."""
    right = done.stdout.split() == ["2", str(package / "adaptrace" / "kernels" / "hashing.py")]
    return done.returncode == 0 and right and done.stderr.count("\n") == 1 and NOTE in done.stderr


def test_without_a_folder_to_write_to(package: Path, tmp_path: Path) -> None:
    """Folders are taken by files: not even root can write into them."""
    (package / "adaptrace" / "kernels" / "__pycache__").touch()
    (tmp_path / "home").touch()
    done = answer(package, HOME=str(tmp_path / "home"))
    assert answered_with_one_note(package, done), done.stderr
    done = answer(package, HOME=str(tmp_path / "home"), NUMBA_CACHE_DIR=str(tmp_path / "home" / "code"))
    assert answered_with_one_note(package, done), done.stderr


def test_a_folder_that_can_be_written_is_used_without_a_word(package: Path, tmp_path: Path) -> None:
    done = answer(package, NUMBA_CACHE_DIR=str(tmp_path / "code"))
    assert (done.returncode, done.stderr) == (0, "")
    assert len(list((tmp_path / "code").rglob("*.nbc"))) >= 2


def test_the_folder_goes_away_before_machine_code_is_kept(package: Path, tmp_path: Path) -> None:
    gone = f"import shutil, pathlib; place = pathlib.Path({str(tmp_path / 'code')!r}); shutil.rmtree(place); place.touch()"
    done = answer(package, gone, NUMBA_CACHE_DIR=str(tmp_path / "code"))
    assert answered_with_one_note(package, done), done.stderr


def test_a_full_disk(package: Path, tmp_path: Path) -> None:
    """No file may grow beyond 0 bytes: folders and empty files can be made, and nothing can be written."""
    full = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))"
    done = answer(package, full, NUMBA_CACHE_DIR=str(tmp_path / "code"))
    assert answered_with_one_note(package, done), done.stderr
    assert not [file for file in (tmp_path / "code").rglob("*") if file.is_file()]


def test_files_that_were_cut_short_are_not_needed(package: Path, tmp_path: Path) -> None:
    answer(package, NUMBA_CACHE_DIR=str(tmp_path / "code"))
    for file in (tmp_path / "code").rglob("*.nb[ci]"):
        file.write_bytes(b"")
    done = answer(package, NUMBA_CACHE_DIR=str(tmp_path / "code"))
    assert answered_with_one_note(package, done), done.stderr


def test_files_of_a_version_whose_classes_had_other_names_are_written_anew(package: Path, tmp_path: Path) -> None:
    answer(package, NUMBA_CACHE_DIR=str(tmp_path / "code"))
    indices = sorted((tmp_path / "code").rglob("*.nbi"))[:2]
    for file, gone in zip(indices, (b"cadaptrace.kernels.rows\nGone\n.", b"cadaptrace.kernels.gone\nRows\n."), strict=True):
        file.write_bytes(pickle.dumps(numba.__version__) + gone)
    before = {file: file.read_bytes() for file in indices}
    done = answer(package, NUMBA_CACHE_DIR=str(tmp_path / "code"))
    assert (done.returncode, done.stderr) == (0, "")
    assert [file.read_bytes() == before[file] for file in indices] == [False, False]
