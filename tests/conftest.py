"""What many tests share: small tables, a small model and catalog, and the command line as a function.

``ADAPTRACE_WITHOUT_FCNTL=1 pytest`` runs the tests, and every Python that they start, as on a system without fcntl (Windows).
"""

from __future__ import annotations

import importlib
import os
import runpy
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.cli import main
from adaptrace.models.bkt import fit_effects

KERNELS = Path(__file__).parent / "kernels"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the tests of kernels to run as plain Python too, where coverage counts lines, unless they are marked ``compiled``."""
    for item in items:
        if KERNELS in item.path.parents and not item.get_closest_marker("compiled"):
            item.add_marker(pytest.mark.plain_python)


WITHOUT_FCNTL = Path(__file__).parent / "without_fcntl"
collect_ignore = [str(WITHOUT_FCNTL)]


def take_fcntl_away() -> None:
    """Of this process, and of every Python that it starts."""
    os.environ["PYTHONPATH"] = os.pathsep.join([str(WITHOUT_FCNTL), *filter(None, [os.environ.get("PYTHONPATH")])])
    runpy.run_path(str(WITHOUT_FCNTL / "sitecustomize.py"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # filelock says that its lock is a soft one
        importlib.import_module("filelock")


if os.environ.get("ADAPTRACE_WITHOUT_FCNTL"):
    take_fcntl_away()


class Outcome(NamedTuple):
    """What a command gave."""

    code: int
    stdout: str
    stderr: str


@pytest.fixture
def data_folder() -> Path:
    """The folder of real logs, for measuring only; none of its rows may stand in a test."""
    place = os.environ.get("ADAPTRACE_DATA")
    if not place:
        pytest.skip("ADAPTRACE_DATA is not set: it names the folder of real logs")
    return Path(place)


@pytest.fixture
def responses() -> Callable[..., pa.Table]:
    """Make a table of two good responses of Ada, its columns replaced or joined by the given ones."""

    def make(**columns: Any) -> pa.Table:
        size = len(next(iter(columns.values()), [0, 0]))
        good = {"student": ["Ada"], "item": ["q1"], "skill": ["halves"], "correct": [1]}
        if "skills" in columns:
            del good["skill"]
        return pa.table({**{name: values * size for name, values in good.items()}, **columns})

    return make


@pytest.fixture
def csv_file(tmp_path: Path) -> Callable[..., Path]:
    """Write a text file of these lines."""

    def write(*lines: str, name: str = "log.csv") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(f"{line}\n" for line in lines))
        return path

    return write


@pytest.fixture
def model() -> at.BKT:
    """Knowledge of halves is likelier than of quarters."""
    return at.BKT.from_parameters(["halves", "quarters"], prior=[0.5, 0.3], learn=0.2, guess=0.1, slip=0.1)


@pytest.fixture
def catalog() -> at.Catalog:
    """Two items of halves, then two of quarters, which need halves."""
    items = {"item": ["h1", "h2", "q1", "q2"], "skill": ["halves", "halves", "quarters", "quarters"]}
    return at.Catalog.from_arrow(items, [{"skill": "quarters", "prerequisites": ["halves"]}])


@pytest.fixture(scope="session")
def sample_log() -> at.Log:
    """The bundled school."""
    return at.sample_log()


@pytest.fixture(scope="session")
def sample_model(sample_log: at.Log) -> at.BKT:
    """A model of the bundled school."""
    return at.BKT().fit(sample_log)


@pytest.fixture(scope="module")
def short_climbs() -> Iterator[None]:
    """Fits of models whose parameters vary end after a few steps, wherever that is."""
    with pytest.MonkeyPatch.context() as patch:
        for name, steps in (("STD_ROUNDS", 2), ("ROUGH_STEPS", 5), ("SEARCH_STEPS", 5), ("MOST_SEARCHES", 2)):
            patch.setattr(fit_effects, name, steps)
        yield


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Callable[..., Outcome]:
    """Run ``adaptrace`` with these arguments in this process."""

    def command(*arguments: object) -> Outcome:
        monkeypatch.setattr(sys, "argv", ["adaptrace", *map(str, arguments)])
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main()
        code = ended.value.code
        return Outcome(code if isinstance(code, int) else int(code is not None), *capsys.readouterr())

    return command
