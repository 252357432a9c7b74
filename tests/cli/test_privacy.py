"""The commands for privacy: pseudonymize, forget-student, and what fit says of the files it read."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.data.sample import sample_path
from adaptrace.io import envelope, files, identity
from adaptrace.privacy.keys import pseudonym_of, read_key

NAME = "student-007"


@pytest.fixture(scope="module")
def school(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled school in two files, a model of it as the command fits it, and a mastery table; not to be changed."""
    place = tmp_path_factory.mktemp("school")
    (place / "log").mkdir()
    table = pq.read_table(sample_path("responses.parquet"))
    table = table.set_column(0, "student", table["student"].cast("string"))
    pq.write_table(table.slice(0, 4000), place / "log" / "a.parquet")
    pq.write_table(table.slice(4000, 4000), place / "log" / "b.parquet")
    assert command("fit", place / "log", "-o", place / "all.json", "--no-forget").returncode == 0
    assert command("fit", place / "log" / "b.parquet", "-o", place / "b.json", "--no-forget").returncode == 0
    assert command("score", place / "log", "-m", place / "all.json", "-o", place / "mastery.csv").returncode == 0
    return place


@pytest.fixture
def here(school: Path, tmp_path: Path) -> Path:
    """A copy of it."""
    done = subprocess.run(["cp", "-r", f"{school}/.", str(tmp_path)], check=True)
    assert done.returncode == 0
    return tmp_path


def command(*arguments: object) -> subprocess.CompletedProcess[str]:
    """Run the installed command as a process of its own."""
    argv = [sys.executable, "-m", "adaptrace", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, check=False)


def names(path: Path) -> set[str]:
    return set(files.read_table(path, frozenset({"student"})).table["student"].to_pylist())


# ---- fit --------------------------------------------------------------------


def test_fit_writes_which_files_it_read(school: Path) -> None:
    assert envelope.sources(school / "all.json") == identity.sources(school / "log")
    assert envelope.sources(school / "b.json") == [
        {"file": "b.parquet", "identity": identity.identity(school / "log" / "b.parquet")}
    ]


# ---- pseudonymize -----------------------------------------------------------


def test_pseudonymize_makes_a_key_and_a_folder_that_nothing_can_be_told_apart_from(here: Path) -> None:
    done = command("pseudonymize", here / "log", "-o", here / "out", "--key-file", here / "key", "--new-key")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr.splitlines() == [
        f"{here / 'key'}: a new key; without this file the same pseudonyms can never be made again",
        f"{here / 'out'}: 8,000 rows, pseudonyms in student",
    ]
    make = pseudonym_of(read_key(here / "key"), "student")
    assert names(here / "out") == {make(name.encode()) for name in names(here / "log")}


def test_a_roster_that_calls_the_student_pupil_has_the_pseudonyms_of_the_log(run, here: Path) -> None:
    (here / "roster.csv").write_text(f"pupil,teacher,class\n{NAME},Mr Bo,6A\n")
    run("pseudonymize", here / "log", "-o", here / "out", "-k", here / "key", "--new-key")
    options = ["--column", "student=pupil", "--column", "teacher"]
    outcome = run("pseudonymize", here / "roster.csv", "-o", here / "roster-out.csv", "-k", here / "key", *options)
    assert outcome.stderr == f"{here / 'roster-out.csv'}: 1 row, pseudonyms in student, teacher\n"
    (row,) = csv.DictReader((here / "roster-out.csv").read_text().splitlines())
    assert row["pupil"] in names(here / "out")
    assert row["teacher"] == pseudonym_of(read_key(here / "key"), "teacher")(b"Mr Bo")
    assert row["class"] == "6A"


def test_a_second_new_key_and_a_second_output_are_refused(run, here: Path) -> None:
    arguments = ["pseudonymize", here / "log", "-o", here / "out", "-k", here / "key"]
    assert run(*arguments).stderr.startswith(f"error: {here / 'key'}: got No such file or directory; ")
    assert run(*arguments, "--new-key").code == 0
    assert "is there already; a new key makes other pseudonyms" in run(*arguments, "--new-key").stderr
    again = run(*arguments)
    assert (again.code, again.stderr) == (1, f"error: {here / 'out'}: is there already; choose a new name, or remove it first\n")


# ---- forget-student ---------------------------------------------------------


def test_forget_student_forgets_and_shows_the_files_and_the_models(here: Path) -> None:
    before = (here / "log" / "b.parquet").read_bytes()
    models = ["--models", here / "*.json"]
    done = command("forget-student", NAME, "--log", here / "log", "--mastery", here / "mastery.csv", *models)
    assert done.returncode == 0
    assert done.stderr == "forgot the student: 99 rows in 2 of 3 files\n"
    shown = [line.split() for line in done.stdout.splitlines()]
    assert shown[0] == ["file", "rows", "before", "after"]
    assert [line[:2] for line in shown[1:3]] == [[str(here / "log" / "a.parquet"), "82"], [str(here / "mastery.csv"), "17"]]
    assert shown[4] == ["model", "used", "because", "remedy"]
    assert [line[:2] for line in shown[5:]] == [[str(here / "all.json"), "certain"], [str(here / "b.json"), "no"]]
    assert shown[5][-3:] == ["make", "it", "again"]
    assert NAME not in names(here / "log") | names(here / "mastery.csv")
    assert (here / "log" / "b.parquet").read_bytes() == before


def test_a_dry_run_says_the_same_and_changes_nothing(
    run, here: Path, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    monkeypatch.setenv("ADAPTRACE_AUDIT", str(tmp_path_factory.mktemp("audit") / "audit.jsonl"))
    before = {path: path.read_bytes() for path in here.rglob("*") if path.is_file()}
    arguments = ["forget-student", NAME, "--log", here / "log", "--models", here / "*.json", "-o", here / "models.csv"]
    dry = run(*arguments, "--dry-run")
    assert dry.stderr.startswith("would forget the student: 82 rows in 1 of 2 files\n")
    said = (here / "models.csv").read_text()
    assert said.splitlines()[0] == '"model","used","because","remedy"'
    (here / "models.csv").unlink()
    assert {path: path.read_bytes() for path in here.rglob("*") if path.is_file()} == before
    assert run(*arguments).code == 0
    assert (here / "models.csv").read_text() == said


def test_a_student_who_is_nowhere_ends_with_an_error(run, here: Path) -> None:
    outcome = run("forget-student", "nobody", "--log", here / "log")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith(f"error: {here / 'log'}: got no row of this student in 2 files; ")


def test_what_cannot_be_meant_is_a_matter_of_usage(run, here: Path) -> None:
    none = run("forget-student", NAME, "--log", here / "log", "--models", here / "*.none")
    assert (none.code, "no file" in none.stderr) == (2, True)
    assert run("forget-student", NAME, "--log", here / "log", "--column", "pupil").code == 2
    assert NAME in names(here / "log")


def test_a_state_and_its_mastery_forget(run, here: Path) -> None:
    model = at.load(here / "all.json")
    at.score_dataset(here / "log", here / "out", model=model, state=here / "state")
    outcome = run("forget-student", NAME, "--log", here / "log", "--mastery", here / "out", "--state", here / "state")
    assert outcome.code == 0
    assert NAME not in names(here / "log") | names(here / "out") | names(here / "state")
    again = at.score_dataset(here / "log", here / "out", model=model, state=here / "state")
    assert NAME not in names(here / "out")
    assert again is not None
