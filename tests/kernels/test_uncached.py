"""Where no machine code can be kept on disk: no folder to write to, a folder that goes away, a full disk.

Kernels answer, every command works with one note, and what runs online asks for no machine code at all.
"""

from __future__ import annotations

import json
import os
import pickle
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

import adaptrace
from adaptrace.cli.app import app
from adaptrace.kernels import rows
from adaptrace.tutor.store import MemoryStore
from reference.school import times

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
    """Use a kernel of the copy in a process of its own."""
    return started(package, ANSWER.format(before=before), **environment)


def started(package: Path, script: str, *arguments: str, cwd: Path | None = None, **environment: str) -> Any:
    """Run a script with the copy in a process of its own, in which a warning is an error."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(("NUMBA_CACHE", "XDG_"))}
    inherited |= {"PYTHONPATH": str(package), "PYTHONDONTWRITEBYTECODE": "1", **environment}
    command = [sys.executable, "-W", "error", "-c", script, *arguments]
    return subprocess.run(command, env=inherited, capture_output=True, text=True, check=False, timeout=900, cwd=cwd)


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


# ---- every command ----------------------------------------------------------

COMMANDS: dict[str, str] = {  # in an order in which each finds what it needs
    "demo": "-o demo.parquet",
    "fit": "log.parquet -o model.json",
    "summary": "-m model.json",
    "predict": "log.parquet -m model.json",
    "recommend": "-m model.json -C catalog.json -l log.parquet -s student-1",
    "score": "log.parquet -m model.json -o mastery --state state",
    "stats": "log.parquet -o counts.parquet",
    "merge": "counts.parquet -o both.parquet",
    "compare": "log.parquet --models constant,bkt --folds 2 --draws 20",
    "replay": "log.parquet --model bkt --every 20d --draws 20",
    "audit": "log.parquet --model bkt --folds 2",
    "simulate": "--student-model model.json --catalog catalog.json --students 2 --responses 4 --seed 0",
    "fairness": "log.parquet -m model.json --by class --draws 20",
    "skills": "many.parquet --pairs 1",
    "report mastery": "mastery --roster roster.csv --min-students 1",
    "report growth": "mastery mastery --roster roster.csv --min-students 1",
    "report pace": "log.parquet -m model.json --min-students 1",
    "report stuck": "log.parquet -m model.json --opportunities 2",
    "report groups": "mastery --roster roster.csv",
    "pseudonymize": "log.parquet -o hidden.parquet -k key --new-key",
    "rotate-key": "hidden.parquet -o rotated.parquet -k key --new-key-file key-2",
    "retain": "--inactive 1d --dry-run --log log.parquet --mastery mastery --state state --store tutor.db",
    "forget-student": "student-1 --log log.parquet --mastery mastery --state state --models model.json",
    "verify": "--store tutor.db -m model.json -C catalog.json",
}
RUN = """
import json, sys
from adaptrace.cli import main
for line in json.loads(sys.argv[1]):
    sys.argv = ["adaptrace", *line.split()]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code, (line, ended.code)
print("all done")
"""


def commands(group: Any, before: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        yield from commands(command, f"{before}{name} ") if hasattr(command, "commands") else [before + name]


def test_every_command_is_here() -> None:
    assert set(commands(typer.main.get_command(app))) == COMMANDS.keys()


@pytest.fixture
def school(tmp_path: Path) -> Path:
    """A folder with a small log, a catalog, a roster and a store."""
    folder = tmp_path / "school"
    folder.mkdir()
    n = 240
    table = {
        "student": [f"student-{number * 7 % 10}" for number in range(n)],
        "item": [f"q{number * 5 % 12}" for number in range(n)],
        "skill": [f"skill-{number * 5 % 12 % 3}" for number in range(n)],
        "class": [f"class-{number * 7 % 10 % 2}" for number in range(n)],
        "correct": [int(number * number % 7 < 3 + number // 100) for number in range(n)],
        "time": times([number * 0.3 for number in range(n)]),
    }
    pq.write_table(pa.table(table), folder / "log.parquet")
    many = [
        pa.table(table).set_column(0, "student", pa.array([f"{part}-{name}" for name in table["student"]])) for part in range(5)
    ]
    pq.write_table(pa.concat_tables(many), folder / "many.parquet")  # students enough to search skills
    items = [{"item": f"q{number}", "skills": [f"skill-{number % 3}"]} for number in range(12)]
    (folder / "catalog.json").write_text(json.dumps({"items": items}))
    (folder / "roster.csv").write_text("student,class\n" + "".join(f"student-{n},class-{n % 2}\n" for n in range(10)))
    MemoryStore().snapshot(folder / "tutor.db")
    return folder


@pytest.fixture
def nowhere(package: Path, tmp_path: Path) -> dict[str, str]:
    """No place where anything could be kept: folders are taken by files, so that not even root can write into them."""
    (package / "adaptrace" / "kernels" / "__pycache__").touch()
    (tmp_path / "home").touch()
    return {"HOME": str(tmp_path / "home")}


@pytest.mark.slow
def test_every_command_works_with_one_note(package: Path, school: Path, nowhere: dict[str, str]) -> None:
    lines = [f"{command} {arguments}" for command, arguments in COMMANDS.items()]
    done = started(package, RUN, json.dumps(lines), cwd=school, **nowhere)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "all done"
    assert done.stderr.count(NOTE) == 1


# ---- online -----------------------------------------------------------------

ONLINE = """
import datetime, sys
from pathlib import Path
import adaptrace as at

tutors, folder, now = 0, Path(sys.argv[1]), datetime.datetime(2026, 3, 2, 9, tzinfo=datetime.UTC)
catalog = at.Catalog.read(folder / "catalog.json")
for file in sys.argv[2:]:
    model = at.load(file)
    student = at.Student(model, catalog)
    student.observe("q1", 1, time=now)
    student.predict("q2", time=now)
    try:
        tutor = at.Tutor.open(folder / f"{Path(file).stem}.db", model=model, catalog=catalog, clock=lambda: now)
    except at.ModelError:
        continue  # it knows no mastery
    tutors += 1
    with tutor:
        for number in range(4):
            tutor.observe("ana", f"q{number}", number % 2, event_id=f"e{number}")
        tutor.observe("ana", "q1", 1, event_id="late", time=now - datetime.timedelta(days=1))
        tutor.retract("e0")
        tutor.recommend("ana", decision_id="d1")
        tutor.recommend_all(k=2)
        tutor.mastery("ana", "skill-1")
        tutor.mastery_table("ana")
        tutor.when_to_stop("ana", "q1")
        tutor.history("ana")
        tutor.rebuild()
        assert tutor.verify().ok
        tutor.snapshot(folder / f"{Path(file).stem}-copy.db")
        tutor.forget_student("ana")
kernels = {id(each): each for name, module in list(sys.modules.items()) if name.startswith("adaptrace.kernels")
           for each in vars(module).values() if hasattr(each, "py_func")}
print(len(kernels), tutors, sorted(each.__name__ for each in kernels.values() if each.signatures))
with at.Tutor.open("memory:", model=model, catalog=catalog) as tutor:  # a table is read as every log is, by kernels
    tutor.observe_many({"student": ["bo"], "item": ["q1"], "correct": [1], "time": [now], "event_id": ["many"]})
    print(len(tutor.log()))
"""


def test_what_runs_online_compiles_nothing(package: Path, school: Path, nowhere: dict[str, str]) -> None:
    """But a table is read by kernels, as every log is, with the note."""
    models = [adaptrace.BKT(), adaptrace.PFA(), adaptrace.Rasch(), adaptrace.HalfLife(), adaptrace.FSRS()]
    files = [school / f"{model.family}.json" for model in models]
    for model, file in zip(models, files, strict=True):
        model.fit(adaptrace.Log.read(school / "log.parquet")).save(file)
    done = started(package, ONLINE, str(school), *map(str, files[::-1]), **nowhere)
    assert done.returncode == 0, done.stderr
    online, table = done.stdout.splitlines()
    kernels, tutors, used = online.split(maxsplit=2)
    assert (int(kernels) > 20, int(tutors) >= 1, used) == (True, True, "[]")
    assert (table, done.stderr.count(NOTE)) == ("1", 1)
