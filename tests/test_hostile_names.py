"""A student's name in messages and on terminals: no message shows it, and what does show it shows one harmless line."""

from __future__ import annotations

import contextlib
import datetime
import gc
import sqlite3
import sys
import unicodedata
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
import typer

import adaptrace as at
from adaptrace import errors, plots
from adaptrace.cli.app import app
from adaptrace.errors import printable
from adaptrace.evaluate.student_groups import StudentGroups
from adaptrace.io import files
from adaptrace.privacy import forget, keys, pseudonyms
from adaptrace.report import mastery_by, pace

NAME = "Secret Name"
HOSTILE = f"={NAME}\n\x1b[31merror: [bold]\x9b1m\u202e\u2066\u200b\u2028$x^$ 10"
NOW = datetime.datetime(2026, 3, 2, tzinfo=datetime.UTC)


# ---- one function -----------------------------------------------------------


@pytest.mark.parametrize("text", ["Ada", "Zoë Ñandú", "山田\u3000太郎", "नमस्ते", "O'Neill-Smith", "C:\\temp", "a\u00a0b", ""])
def test_ordinary_names_are_shown_as_they_are(text: str) -> None:
    assert printable(text) == text


def test_what_moves_hides_or_colours_text_is_shown_as_an_escape() -> None:
    categories = ("Cc", "Cf", "Cs", "Zl", "Zp")
    signs = [chr(code) for code in range(0x110000) if unicodedata.category(chr(code)) in categories]
    assert {"\x1b", "\x9b", "\n", "\r", "\u202a", "\u202e", "\u2066", "\u2069", "\u200b", "\ufeff", "\ud800"} <= set(signs)
    assert all(printable(f"a{sign}b").isprintable() and printable(f"a{sign}b")[:2] == "a\\" for sign in signs)


def test_a_message_of_several_lines_has_a_line_for_each_problem_and_no_more() -> None:
    problems = [errors.Problem("x\ny", "z", "w", file=f"a\x1b{n}", row=n) for n in (1, 2)]
    text = str(at.DataError("log\r", problems))
    assert text.split("\n") == [
        "log\\r: 2 problems",
        "  - a\\x1b1, row 1: got x\\ny; expected z; w",
        "  - a\\x1b2, row 2: got x\\ny; expected z; w",
    ]
    kinds = (at.AdaptraceError, at.ModelError, at.UnknownItemError, at.ConstraintError, at.StoreError, at.ConflictError)
    assert {str(kind("a\nb")) for kind in (*kinds, at.OutputError)} == {"a\\nb"}


# ---- no message names a student ---------------------------------------------


def table(*names: str, **columns: Any) -> pa.Table:
    good = {"item": "q1", "skill": "halves", "correct": 1}
    return pa.table({"student": list(names), **{name: [value] * len(names) for name, value in good.items()}, **columns})


def text_of(place: Path, *lines: str, name: str = "log.csv") -> Path:
    (place / name).write_text("".join(f"{line}\n" for line in lines))
    return place / name


def key_of(place: Path) -> Path:
    keys.new_key(place / "key")
    return place / "key"


def bkt(*skills: str) -> at.BKT:
    return at.BKT.from_parameters(skills or ["halves"], prior=0.5, learn=0.2, guess=0.1, slip=0.1)


def catalog() -> at.Catalog:
    return at.Catalog.from_arrow({"item": ["q1"], "skill": ["halves"], "minutes": [5.0]})


@contextlib.contextmanager
def tutor_at(url: object, name: str) -> Iterator[at.Tutor]:
    with at.Tutor.open(url, model=bkt(), catalog=catalog(), clock=lambda: NOW) as tutor:
        tutor.observe(name, "q1", 1, event_id="e1")
        tutor.recommend(name, decision_id="d1")
        yield tutor


def in_tutor(call: Callable[[at.Tutor, str], object]) -> Callable[[Path, str], object]:
    def run(place: Path, name: str) -> object:
        with tutor_at("memory:", name) as tutor:
            return call(tutor, name)

    return run


def damaged_store(place: Path, name: str, change: str) -> None:
    with tutor_at(place / "tutor.db", name):
        pass
    gc.collect()
    with contextlib.closing(sqlite3.connect(place / "tutor.db")) as connection, connection:
        connection.execute(change)
    with at.Tutor.open(place / "tutor.db", model=bkt(), catalog=catalog(), clock=lambda: NOW) as tutor:
        tutor.history(name)
        tutor.rebuild()


def late_rows_without_their_log(place: Path, name: str) -> None:
    times = [NOW, NOW - datetime.timedelta(days=1)]
    for number, time in enumerate(times):
        pq.write_table(table(name, "Bo", time=pa.array([time] * 2, pa.timestamp("us", "UTC"))), place / f"{number}.parquet")
        at.score_dataset(place / f"{number}.parquet", place / "out", model=bkt(), state=place / "state")


def twice(place: Path, name: str) -> pa.Table:
    scored = bkt().score(at.Log.from_arrow(table(name, "Bo")))
    return mastery_by(pa.concat_tables([scored, scored]), ["skill"], min_students=1)


def arrow_error(place: Path, name: str) -> None:
    with files.reading_errors(text_of(place, "student")):
        pa.array([name]).cast(pa.int64())


def named(name: str) -> at.Student:
    return at.Student(bkt(), catalog(), name=name)


def blocked(name: str, others: tuple[str, ...] = ()) -> object:
    students = [named(each) for each in (name, *others)]
    recommender = at.Recommender(bkt(), catalog(), constraints=at.Constraints(blocked={"item": ["q1"]}))
    chosen = recommender.choose(students, 1)
    return [chosen.positions_of(row) for row in range(len(students))]


MESSAGES: dict[str, tuple[type[Exception], Callable[[Path, str], object]]] = {
    "a promise of order": (at.DataError, lambda p, name: at.Log.from_arrow(table(name, "Bo", name), ordered=True)),
    "a short row": (at.DataError, lambda p, name: at.Log.read(text_of(p, "student,item,skill,correct", f'"{name}",q1'))),
    "a cell that is no number": (at.DataError, arrow_error),
    "an event of two students": (at.DataError, lambda p, name: at.Log.from_arrow(table(name, "Bo", event_id=["e", "e"]))),
    "an event of a skill of two": (
        at.DataError,
        lambda p, name: at.Log.from_arrow(table(name, name, event_id=["e", "e"], correct=[0, 1])),
    ),
    "a student in two groups": (
        at.DataError,
        lambda p, name: StudentGroups.of(at.Log.from_arrow(table(name, name, zone=["x", "y"]), keep=["zone"]), "zone"),
    ),
    "a student in two logs": (at.DataError, lambda p, name: pace([at.Log.from_arrow(table(name))] * 2, bkt())),
    "mastery twice": (at.DataError, twice),
    "a student who is nowhere": (
        at.DataError,
        lambda p, name: forget.forget_student(name, [text_of(p, "student,item", "Bo,q1")]),
    ),
    "a row of pseudonymize": (
        at.DataError,
        lambda p, name: pseudonyms.pseudonymize(text_of(p, "student,item", f'"{name}",q1,1'), p / "out.csv", key_file=key_of(p)),
    ),
    "late rows": (at.DataError, late_rows_without_their_log),
    "another model": (at.ModelError, lambda p, name: at.Recommender(bkt("a"), catalog()).recommend(named(name))),
    "a state of another model": (
        at.ModelError,
        lambda p, name: at.Student.from_dict(named(name).to_dict(), bkt("a")),
    ),
    "no item for one": (at.ConstraintError, lambda p, name: blocked(name)),
    "no item for several": (at.ConstraintError, lambda p, name: blocked(name, ("Bo", "Cy"))),
    "no item in a tutor": (
        at.ConstraintError,
        in_tutor(lambda tutor, name: tutor.recommend(name, constraints=at.Constraints(blocked={"item": ["q1"]}))),
    ),
    "an item that is not there": (at.UnknownItemError, lambda p, name: named(name).observe("zz", 1)),
    "an event_id twice": (at.ConflictError, in_tutor(lambda tutor, name: tutor.observe(name, "q1", 0, event_id="e1"))),
    "an event_id of another": (at.ConflictError, in_tutor(lambda tutor, name: tutor.observe("Bo", "q1", 1, event_id="e1"))),
    "a correction of another's": (at.ConflictError, in_tutor(lambda tutor, name: tutor.observe("Bo", "q1", 0, replaces="e1"))),
    "a decision of another": (at.ConflictError, in_tutor(lambda tutor, name: tutor.observe("Bo", "q1", 0, decision_id="d1"))),
    "a damaged event": (
        errors.UnreadableEventError,
        lambda p, name: damaged_store(p, name, "UPDATE events SET skills = x'ff' WHERE event_id = 'e1'"),
    ),
    "a damaged name": (at.StoreError, lambda p, name: damaged_store(p, name, "UPDATE events SET moment = 'x'")),
    "names as a text": (ValueError, in_tutor(lambda tutor, name: tutor.recommend_all(name))),
    "a picture of nobody": (ValueError, lambda p, name: plots.mastery(bkt().trace(at.Log.from_arrow(table("Bo"))), name)),
    "an output": (
        at.OutputError,
        lambda p, name: bkt().score(at.Log.from_arrow(table(name))) and bkt().save(p / "no" / "m.json"),
    ),
}


@pytest.mark.parametrize("name", [NAME, HOSTILE], ids=["plain", "hostile"])
@pytest.mark.parametrize("message", MESSAGES)
def test_no_message_names_a_student(message: str, name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kind, call = MESSAGES[message]
    with warnings.catch_warnings(record=True) as warned, pytest.raises(kind) as raised:
        call(tmp_path, name)
    said = [str(raised.value), *(str(each.message) for each in warned), caplog.text]
    assert NAME not in "".join(said)
    assert all(line.isprintable() for line in str(raised.value).split("\n"))


def test_every_error_of_the_package_is_here() -> None:
    every = {kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, at.AdaptraceError)}
    assert every - {at.AdaptraceError} <= {kind for kind, _ in MESSAGES.values()}


# ---- commands ---------------------------------------------------------------


def school() -> pa.Table:
    """Twelve students of two classes; the most industrious has a hostile name, in a hostile class."""
    random = np.random.default_rng(23)
    number = np.append(random.integers(1, 12, 200), np.zeros(40, int))
    return pa.table(
        {
            "student": [HOSTILE if each == 0 else f"student {each}" for each in number],
            "item": [f"q{each}" for each in random.integers(0, 6, 240)],
            "skill": [f"{HOSTILE} {each}" for each in random.integers(0, 2, 240)],
            "class": [HOSTILE if each % 2 == 0 else "other" for each in number],
            "correct": random.integers(0, 2, 240),
            "time": pa.array([NOW + datetime.timedelta(hours=each) for each in range(240)], pa.timestamp("us", "UTC")),
        }
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("school")
    pq.write_table(school(), folder / "log.parquet")
    more = [
        school().set_column(0, "student", pa.array([f"{name} {part}" for name in school()["student"].to_pylist()]))
        for part in range(5)
    ]
    pq.write_table(pa.concat_tables(more), folder / "many.parquet")
    log = at.Log.read(folder / "log.parquet")
    model = at.BKT().fit(log)
    model.save(folder / "model.json")
    at.BKT(students=("prior",)).stats(log).save(folder / "counts.parquet")
    mastery = model.score(log)
    known = pa.array([float(row["student"] != HOSTILE) for row in mastery.to_pylist()])
    pq.write_table(mastery.set_column(mastery.column_names.index("mastery"), "mastery", known), folder / "mastery.parquet")
    pq.write_table(school().select(["student", "class"]), folder / "roster.parquet")
    items = school().group_by(["item"]).aggregate([("skill", "min")]).rename_columns(["item", "skill"])
    pyarrow.csv.write_csv(items, folder / "items.csv")
    keys.new_key(folder / "key")
    catalog = at.Catalog.read(folder / "items.csv")
    with at.Tutor.open(folder / "tutor.db", model=model, catalog=catalog) as tutor:
        tutor.observe(HOSTILE, "q1", 1, time=NOW)
    pseudonyms.pseudonymize(folder / "log.parquet", folder / "pseudonyms.parquet", key_file=folder / "key")
    return folder


READ = ["log.parquet", "-m", "model.json"]
COMMANDS: dict[str, list[str]] = {
    "demo": ["-o", "OUT.parquet"],
    "fit": ["log.parquet", "-o", "OUT.json", "--items", "guess"],
    "summary": ["-m", "model.json"],
    "predict": READ,
    "recommend": ["-m", "model.json", "-C", "items.csv", "-l", "log.parquet", "-s", HOSTILE],
    "score": READ,
    "compare": ["log.parquet", "--models", "constant", "--folds", "2", "--draws", "20", "--slices", "class"],
    "replay": ["log.parquet", "--model", "constant", "--every", "5d", "--draws", "20"],
    "audit": ["log.parquet", "--model", "constant", "--folds", "2"],
    "simulate": ["--student-model", "model.json", "-C", "items.csv", "--students", "2", "--responses", "2", "--seed", "1"],
    "fairness": [*READ, "--by", "class", "--draws", "20"],
    "skills": ["many.parquet", "--pairs", "1"],
    "pseudonymize": ["log.parquet", "-o", "OUT.parquet", "-k", "key"],
    "rotate-key": ["pseudonyms.parquet", "-o", "OUT.parquet", "-k", "key", "--new-key-file", "OUT-key"],
    "forget-student": [HOSTILE, "--log", "log.parquet", "--dry-run"],
    "retain": ["--inactive", "1d", "--dry-run", "--log", "log.parquet", "--store", "tutor.db"],
    "verify": ["--store", "tutor.db", "-m", "model.json", "-C", "items.csv"],
    "stats": ["log.parquet", "-o", "OUT.parquet", "--min-students", "2"],
    "merge": ["counts.parquet", "-o", "OUT.parquet"],
    "report mastery": ["mastery.parquet", "-r", "roster.parquet", "--min-students", "1"],
    "report growth": ["mastery.parquet", "mastery.parquet", "-r", "roster.parquet", "--min-students", "1"],
    "report pace": [*READ, "-r", "roster.parquet", "--by", "class,skill", "--min-students", "1"],
    "report stuck": [*READ, "--opportunities", "2", "--threshold", "0.9999"],
    "report groups": ["mastery.parquet", "-r", "roster.parquet"],
}
NAMELESS = {
    "demo",
    "fit",
    "replay",
    "skills",
    "pseudonymize",
    "rotate-key",
    "stats",
    "merge",
    "forget-student",
    "retain",
    "verify",
}


def names_of(group: Any, before: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        yield from names_of(command, f"{before}{name} ") if hasattr(command, "commands") else [before + name]


def test_every_command_is_here() -> None:
    assert set(names_of(typer.main.get_command(app))) == COMMANDS.keys()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_shows_harmless_lines_on_a_terminal(
    command: str, place: Path, tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place)
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")  # rich itself colours nothing
    done = run(*command.split(), *(each.replace("OUT", str(tmp_path / "out")) for each in COMMANDS[command]))
    assert done.code == 0, done.stderr
    assert NAME not in done.stderr
    assert all(character == "\n" or printable(character) == character for character in done.stdout + done.stderr)
    assert (NAME in done.stdout) == (command not in NAMELESS)


TYPED = [["fit", f"{HOSTILE}.csv"], ["fit", "log.parquet", "--column", HOSTILE], ["summary", "-m", HOSTILE]]


@pytest.mark.parametrize("arguments", TYPED)
def test_what_was_typed_comes_back_harmless(arguments: list[str], place: Path, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(place)
    done = run(*arguments)
    assert done.code in (1, 2)
    assert all(character == "\n" or printable(character) == character for character in done.stderr)


def test_a_spinner_shows_brackets_as_they_are(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from adaptrace.cli.terminal import waiting

    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    monkeypatch.setenv("FORCE_COLOR", "1")
    with waiting("reading [bold][link=http://evil]a\x9b.csv"):
        pass
    shown = capsys.readouterr().err
    assert "[bold][link=http://evil]a\\x9b.csv" in shown


def test_a_picture_shows_a_name_as_it_is(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    log = at.Log.from_arrow(table(r"$\frac$ x$", "Bo", skill=[HOSTILE] * 2))
    figure = plots.mastery(bkt(HOSTILE).trace(log), r"$\frac$ x$")
    plots.save(figure, tmp_path / "a.svg")
    assert figure.get_suptitle().startswith(r"\$\frac\$ x\$: ")
    assert next(text.get_text() for text in figure.axes[0].get_legend().get_texts()) == printable(HOSTILE).replace("$", r"\$")
