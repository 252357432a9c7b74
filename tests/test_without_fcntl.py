"""The package where the system has no fcntl (Windows): it imports, scores a dataset with a state, and keeps a store of events."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent
IMPORTS = """
import importlib, pkgutil, sys
import adaptrace
modules = [each.name for each in pkgutil.walk_packages(adaptrace.__path__, "adaptrace.") if each.name != "adaptrace.__main__"]
for name in modules:
    importlib.import_module(name)
assert "fcntl" not in sys.modules
try:
    import fcntl
except ImportError:
    print(len(modules))
"""
WORK = """
import sys
from pathlib import Path
import adaptrace as at
from adaptrace.data.sample import sample_path

here = Path(sys.argv[1])
model = at.BKT.from_parameters(["halves"], prior=0.5, learn=0.2, guess=0.1, slip=0.1)
for _ in range(2):
    print(at.score_dataset(sample_path("responses.parquet"), here / "out", model=model, state=here / "state"))
catalog = at.Catalog.from_arrow({"item": ["q1", "q2"], "skill": ["halves", "halves"]})
with at.Tutor.open(here / "tutor.db", model=model, catalog=catalog) as tutor:
    tutor.observe("ana", "q1", 1, event_id="7f3a")
    print(len(tutor.recommend("ana", k=1)))
"""


def run(program: str, *arguments: object) -> list[str]:
    """What a program prints, line by line, in a Python without fcntl."""
    places = os.pathsep.join([str(HERE / "without_fcntl"), *filter(None, [os.environ.get("PYTHONPATH")])])
    argv = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(argv, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": places})
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def test_every_module_imports() -> None:
    (count,) = run(IMPORTS)
    assert int(count) > 100


def test_a_dataset_is_scored_and_a_tutor_keeps_its_events(tmp_path: Path) -> None:
    first, again, items = run(WORK, tmp_path)
    assert first.startswith("5,001 students and skills from 23,550 responses")
    assert again == "5,001 students and skills from 0 responses"
    assert items == "1"
