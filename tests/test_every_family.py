"""Law 11: every command and every public function works with every family of models, or one line names those that it takes.

What there is comes from the package itself: a new command, function or method that takes a model fails here until it has a call
below.
"""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import typer

import adaptrace as at
import adaptrace.report
from adaptrace.cli.app import app
from adaptrace.kernels import parallel
from adaptrace.models import FAMILIES
from adaptrace.models.base import ExplainsItself, Model, Response
from adaptrace.tutor.store import MemoryStore
from reference.school import times

EVERY: dict[str, Callable[[], Any]] = {
    "bkt": at.BKT,
    "blend": at.Blend,
    "boosted": at.Boosted,
    "constant": at.Constant,
    "fsrs": at.FSRS,
    "half-life": at.HalfLife,
    "irt": at.TwoPL,
    "logistic": at.PFA,
}
TAKES_MODEL = {"model", "models", "student_model", "student_models", "belief", "base"}  # names of parameters
OF_MODEL = re.compile(r"\b(Model|ScoresMastery|Traces|Countable|BKT|Student)\b")  # and their types
STUDENT = "student-1"


# ---- what the calls have at hand --------------------------------------------


@dataclass(frozen=True)
class Case:
    """A fitted model of one family, and what calls need beside it."""

    family: str
    model: Any
    log: at.Log
    catalog: at.Catalog
    folder: Path  # of log.parquet, catalog.json, bkt.json, model.json, counts.parquet and tutor.db
    out: Path  # where a call may write

    @property
    def student(self) -> at.Student:
        """After their responses in the log."""
        return at.Student.from_log(self.model, self.log, student=STUDENT, catalog=self.catalog)

    @property
    def tutor(self) -> at.Tutor:
        return at.Tutor.open("memory:", model=self.model, catalog=self.catalog)


def school() -> pa.Table:
    """Ten students in two classes, twelve items of three skills, and a clock."""
    random = np.random.default_rng(11)
    student, item = random.integers(0, 10, 240), random.integers(0, 12, 240)
    able = np.sin(7.0 * student) - np.sin(3.0 * item)
    table = pa.table(
        {
            "student": [f"student-{number}" for number in student],
            "item": [f"q{number}" for number in item],
            "skill": [f"skill-{number % 3}" for number in item],
            "class": [f"class-{number % 2}" for number in student],
            "correct": (random.random(240) < 1.0 / (1.0 + np.exp(-able))).astype(int),
            "time": times(np.cumsum(random.choice([1e-3, 0.02, 0.5], 240))),
        }
    )
    return table.sort_by([("student", "ascending"), ("time", "ascending")])


@pytest.fixture(scope="module", autouse=True)
def small_work() -> Iterator[None]:
    """One core: to start threads takes longer than these fits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "cores", lambda: 1)
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A folder a family, with all the files."""
    log, bkt = at.Log.from_arrow(school()), at.BKT()
    items = [{"item": f"q{number}", "skills": [f"skill-{number % 3}"]} for number in range(12)]
    skills = [{"skill": "skill-1", "prerequisites": ["skill-0"]}, {"skill": "skill-0"}, {"skill": "skill-2"}]
    found = {}
    for family, make in EVERY.items():
        folder = found[family] = tmp_path_factory.mktemp(family)
        pq.write_table(school(), folder / "log.parquet")
        (folder / "catalog.json").write_text(json.dumps({"items": items, "skills": skills}))
        bkt.fit(log).save(folder / "bkt.json")
        bkt.stats(log).save(folder / "counts.parquet")
        make().fit(log).save(folder / "model.json")
        MemoryStore().snapshot(folder / "tutor.db")
    return found


@pytest.fixture
def case(family: str, folders: dict[str, Path], tmp_path: Path) -> Case:
    folder = folders[family]
    log, catalog = at.Log.read(folder / "log.parquet", keep=["class"]), at.Catalog.read(folder / "catalog.json")
    return Case(family, at.load(folder / "model.json"), log, catalog, folder, tmp_path / "out")


each_family = pytest.mark.parametrize("family", EVERY)


def names_families(line: str, family: str) -> bool:
    """Whether it is one line that says which families it works with, this one not among them."""
    said = re.search(r"expected (?:a model of a family that does: ([\w, -]*\w)|a (?:fitted )?(BKT))", line)
    named = set() if said is None else set((said[1] or said[2].lower()).split(", "))
    return "\n" not in line.strip() and bool(named) and named <= EVERY.keys() and family not in named


def test_every_family_is_here() -> None:
    assert EVERY.keys() == FAMILIES.keys()
    assert all(make().family == family for family, make in EVERY.items())


@each_family
def test_a_saved_model_comes_back_as_what_it_was(case: Case) -> None:
    assert type(case.model) is type(EVERY[case.family]())


# ---- commands ---------------------------------------------------------------

READ = ["log.parquet", "-m", "model.json"]
SIMULATE = ["--catalog", "catalog.json", "--students", "2", "--responses", "4", "--seed", "0"]

COMMANDS: dict[str, list[list[str]]] = {  # command -> arguments; NAME is the family's on the command line, OUT a place to write
    "fit": [
        ["log.parquet", "--model", "NAME", "-o", "OUT.json"],
        ["--stats", "counts.parquet", "--model", "NAME", "-o", "OUT.json"],
        ["log.parquet", "--model", "bkt", "--base", "model.json", "-o", "OUT.json"],
    ],
    "stats": [["log.parquet", "--model", "NAME", "-o", "OUT.parquet"], ["log.parquet", "--model", "NAME", "--ordered"]],
    "summary": [["-m", "model.json"]],
    "predict": [READ],
    "recommend": [["-m", "model.json", "-C", "catalog.json", "-l", "log.parquet", "-s", STUDENT]],
    "score": [READ, [*READ, "-o", "OUT"], [*READ, "-o", "OUT", "--state", "OUT-state"]],
    "audit": [["log.parquet", "--model", "NAME", "--folds", "2"]],
    "compare": [["log.parquet", "--models", "NAME", "--folds", "2", "--draws", "20"]],
    "replay": [["log.parquet", "--model", "NAME", "--every", "20d", "--draws", "20"]],
    "simulate": [
        ["--student-model", "model.json", *SIMULATE],
        ["--student-model", "bkt.json", "--belief", "model.json", *SIMULATE],
    ],
    "fairness": [[*READ, "--by", "class", "--draws", "20"]],
    "forget-student": [[STUDENT, "--log", "log.parquet", "--models", "model.json", "--dry-run"]],
    "verify": [["--store", "tutor.db", "-m", "model.json", "-C", "catalog.json"]],
    "report pace": [[*READ, "--min-students", "1"]],
    "report stuck": [[*READ, "--opportunities", "2"]],
}
NAMES = {"irt": "2pl", "logistic": "pfa"}


def commands(group: Any, before: str = "") -> Iterator[tuple[str, set[str]]]:
    """Every command, and the names of its parameters."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{before}{name} ")
        else:
            yield before + name, {parameter.name for parameter in command.params}


def test_every_command_that_takes_a_model_is_here() -> None:
    assert {name for name, names in commands(typer.main.get_command(app)) if names & TAKES_MODEL} == COMMANDS.keys()


@each_family
@pytest.mark.parametrize(("command", "number"), [(name, n) for name, runs in COMMANDS.items() for n in range(len(runs))])
def test_a_command_works_or_names_the_families(
    command: str, number: int, case: Case, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(case.folder)
    words = {"NAME": NAMES.get(case.family, case.family)}
    arguments = [words.get(each, each.replace("OUT", str(case.out))) for each in COMMANDS[command][number]]
    done = run(*command.split(), *arguments)
    assert done.code == 0 or (done.code == 1 and not done.stdout and names_families(done.stderr, case.family)), done.stderr


# ---- functions --------------------------------------------------------------

ASKED = Response("q1", ("skill-1",), "practice", 1.0, None)
DRAWN = {"students": 2, "responses": 3, "seed": 0}
CLOCK = sorted(school()["time"].to_pylist())
AGAIN = {"item": "q1", "correct": 1, "time": CLOCK[-1]}


def drawn(case: Case) -> dict[str, Any]:
    return {"catalog": case.catalog, **DRAWN}


CALLS: dict[str, Callable[[Case], Any]] = {
    "audit_table": lambda c: at.audit_table(EVERY[c.family](), c.log, folds=2),
    "compare": lambda c: at.compare([EVERY[c.family]()], c.log, folds=2, draws=2),
    "cross_validate": lambda c: at.cross_validate(EVERY[c.family](), c.log, folds=2),
    "fairness": lambda c: at.fairness(c.model, c.log, by="class", draws=20),
    "forget_student": lambda c: at.forget_student(STUDENT, [copied(c)], models=[c.folder / "model.json"]),
    "logs_of": lambda c: list(at.logs_of(c.folder / "log.parquet", model=c.model)),
    "report.pace": lambda c: at.report.pace(c.log, model=c.model, min_students=1),
    "policy_matrix": lambda c: at.policy_matrix(
        {"weakest": at.LowestMastery()}, {"these": c.model}, catalog=c.catalog, belief=c.model, students=2, responses=3
    ),
    "recommend": lambda c: at.recommend(c.student, c.catalog),
    "replay": lambda c: at.replay(EVERY[c.family](), c.log, marks=[CLOCK[120]]),
    "score_dataset": lambda c: at.score_dataset(c.folder / "log.parquet", c.out, model=c.model),
    "simulate": lambda c: at.simulate(c.model, **drawn(c)),
    "stats_dataset": lambda c: at.stats_dataset(c.folder / "log.parquet", model=c.model),
    "report.stuck": lambda c: at.report.stuck(c.log, model=c.model, opportunities=2),
    "Recommender": lambda c: at.Recommender(c.model, c.catalog),
    "Recommender.recommend": lambda c: at.Recommender(c.model, c.catalog).recommend(c.student),
    "Recommender.ranked": lambda c: at.Recommender(c.model, c.catalog).ranked(c.student, 3),
    "Recommender.choose": lambda c: at.Recommender(c.model, c.catalog).choose([c.student], 3),
    "Recommender.recommend_all": lambda c: at.Recommender(c.model, c.catalog).recommend_all([c.student]),
    "Tutor.open": lambda c: c.tutor.close(),
    "report.mastery_pace.attainment_of": lambda c: adaptrace.report.mastery_pace.attainment_of(c.log, c.model, 0.95),
    "Student": lambda c: at.Student(c.model, c.catalog),
    "Student.from_log": lambda c: c.student,
    "Student.from_dict": lambda c: at.Student.from_dict(c.student.to_dict(), c.model),
    "Student.observe": lambda c: c.student.observe(**AGAIN),
    "Student.take": lambda c: c.student.take(ASKED._replace(moment=2**50)),
    "Student.predict": lambda c: c.student.predict("q1", time=AGAIN["time"]),
    "Student.mastery": lambda c: c.student.mastery("skill-1"),
    "Student.mastery_at": lambda c: c.student.mastery_at("skill-1", None),
    "Student.mastery_table": lambda c: c.student.mastery_table(),
    "Student.mastered": lambda c: c.student.mastered("skill-1"),
    "Student.to_dict": lambda c: c.student.to_dict(),
}

METHODS: dict[str, Callable[[Case], Any]] = {  # of every model
    "fit": lambda c: EVERY[c.family]().fit(c.log),
    "predict": lambda c: c.model.predict(c.log),
    "log_likelihood": lambda c: c.model.log_likelihood(c.log),
    "start": lambda c: c.model.start(),
    "resume": lambda c: c.model.resume(c.model.start().to_dict()),
    "to_dict": lambda c: c.model.to_dict(),
    "save": lambda c: c.model.save(c.out),
    "summary": lambda c: c.model.summary(),
}


def refusal(call: Callable[[Case], Any], case: Case) -> str | None:
    """What a call says that refuses the model."""
    try:
        call(case)
    except at.AdaptraceError as error:
        return str(error)
    return None


def copied(case: Case) -> Path:
    """A log that may be changed."""
    case.out.mkdir()
    pq.write_table(school(), case.out / "log.parquet")
    return case.out


def public(home: Any) -> Iterator[tuple[str, Any]]:
    """The functions and methods of a class or module that are its own and public."""
    module = home.__module__ if inspect.isclass(home) else home.__name__
    for name, found in vars(home).items():
        function = getattr(found, "__func__", found)
        if inspect.isfunction(function) and function.__module__ == module and not name.startswith("_"):
            yield name, function


def takes_model(function: Any) -> bool:
    parameters = inspect.signature(function).parameters.values()
    return any(each.name in TAKES_MODEL or OF_MODEL.search(str(each.annotation)) for each in parameters)


def public_functions() -> Iterator[tuple[str, Any]]:
    """The functions of the package, the constructors and methods of its classes, and the functions of its reports."""
    for name in at.__all__:
        found = getattr(at, name)
        if inspect.isfunction(found):
            yield name, found
        elif inspect.ismodule(found):
            yield from ((f"{name}.{each}", getattr(found, each)) for each in found.__all__)
        elif not hasattr(found, "family") and not issubclass(found, Exception):
            yield name, found
            yield from ((f"{name}.{method}", function) for method, function in public(found))
    for each in pkgutil.iter_modules(adaptrace.report.__path__):
        functions = public(importlib.import_module(f"adaptrace.report.{each.name}"))
        yield from ((f"report.{each.name}.{name}", function) for name, function in functions)


def test_every_function_that_takes_a_model_is_here() -> None:
    named = {function for name, function in public_functions() if name.count(".") < 2}
    found = {
        name for name, function in public_functions() if takes_model(function) and (name.count(".") < 2 or function not in named)
    }
    found |= {name for name, _ in public_functions() if name.startswith("Student.")}
    assert found == CALLS.keys()


def test_every_method_of_a_model_is_here() -> None:
    assert {name for protocol in (Model, ExplainsItself) for name, _ in public(protocol)} == METHODS.keys()


@each_family
@pytest.mark.parametrize("name", CALLS)
def test_a_function_works_or_names_the_families(name: str, case: Case) -> None:
    said = refusal(CALLS[name], case)
    assert said is None or names_families(said, case.family)


@each_family
@pytest.mark.parametrize("name", METHODS)
def test_a_method_works(name: str, case: Case) -> None:
    METHODS[name](case)


@each_family
def test_a_summary_has_a_row_of_numbers_for_everything(case: Case) -> None:
    table = case.model.summary()
    assert len(table) > 0
    if case.family == "bkt":
        assert table["skill"].to_pylist() == ["skill-0", "skill-1", "skill-2"]
        return
    assert table.column_names == ["parameter", "name", "value"]
    assert np.isfinite(table["value"].to_numpy()).all()
