"""The command line: data on stdout or in files, messages on stderr."""

from __future__ import annotations

import csv
import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

import adaptrace as at
from adaptrace.cli.options import Policies
from adaptrace.data.sample import sample_path
from adaptrace.recommendation.policies import NAMED

LOG, CATALOG = sample_path("responses.parquet"), sample_path("catalog.json")


@pytest.fixture(scope="session")
def model_path(tmp_path_factory: pytest.TempPathFactory, sample_model: at.BKT) -> Path:
    """A model of the bundled school, as a file."""
    path = tmp_path_factory.mktemp("model") / "model.json"
    sample_model.save(path)
    return path


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def command(*arguments: object, **options: object) -> subprocess.CompletedProcess[str]:
    """Run the installed command as a process of its own."""
    argv = [sys.executable, "-m", "adaptrace", *map(str, arguments)]
    return subprocess.run(argv, capture_output=True, text=True, check=False, **options)


# ---- the commands -----------------------------------------------------------


def test_fit_writes_the_model_that_the_library_fits(run, tmp_path: Path, sample_model: at.BKT) -> None:
    outcome = run("fit", LOG, "-o", tmp_path / "model.json")
    assert (outcome.code, outcome.stdout) == (0, "")
    assert outcome.stderr.startswith(f"{tmp_path / 'model.json'}: BKT(24 skills")
    assert at.load(tmp_path / "model.json").fingerprint == sample_model.fingerprint


def test_fit_without_forgetting_fits_the_classic_model(run, tmp_path: Path) -> None:
    run("fit", LOG, "-o", tmp_path / "model.json", "--no-forget")
    assert set(at.load(tmp_path / "model.json").parameters.forget) == {0.0}


def test_score_prints_the_mastery_of_every_student_and_skill(run, model_path: Path, sample_log: at.Log, sample_model) -> None:
    outcome = run("score", LOG, "-m", model_path)
    expected = sample_model.score(sample_log).to_pylist()
    printed = rows(outcome.stdout)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert [(row["student"], row["skill"]) for row in printed] == [(row["student"], row["skill"]) for row in expected]
    assert [float(row["mastery"]) for row in printed] == [row["mastery"] for row in expected]


def test_predict_prints_the_chance_of_every_response(run, model_path: Path, sample_log: at.Log, sample_model: at.BKT) -> None:
    outcome = run("predict", LOG, "-m", model_path)
    printed = rows(outcome.stdout)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert [float(row["prediction"]) for row in printed] == sample_model.predict(sample_log).tolist()
    assert [int(row["source_row"]) for row in printed] == list(range(len(sample_log)))
    assert all(";" in row["skills"] for row in printed if row["item"].startswith("M6-X"))


def test_recommend_prints_what_the_library_recommends(run, model_path: Path, sample_log: at.Log, sample_model: at.BKT) -> None:
    outcome = run("recommend", "-m", model_path, "-C", CATALOG, "-l", LOG, "-s", "student-050", "-k", 5)
    catalog = at.sample_catalog()
    choices = at.recommend(at.Student.from_log(sample_model, sample_log, student="student-050"), catalog, k=5)
    assert (outcome.code, outcome.stderr) == (0, "")
    assert [(row["item"], row["title"], float(row["utility"]), row["reason"]) for row in rows(outcome.stdout)] == [
        (choice.item.item, choice.item.label, choice.utility, str(choice.reason)) for choice in choices
    ]


def test_recommend_takes_the_policy_and_its_target(run, model_path: Path, sample_log: at.Log, sample_model: at.BKT) -> None:
    options = ["--policy", "target-success", "--target", "0.9"]
    outcome = run("recommend", "-m", model_path, "-C", CATALOG, "-l", LOG, "-s", "student-050", *options)
    student = at.Student.from_log(sample_model, sample_log, student="student-050")
    choices = at.recommend(student, at.sample_catalog(), policy=at.TargetSuccess(target=0.9))
    assert [row["item"] for row in rows(outcome.stdout)] == [choice.item.item for choice in choices]


def test_recommend_says_when_the_log_does_not_hold_the_student(run, model_path: Path) -> None:
    outcome = run("recommend", "-m", model_path, "-C", CATALOG, "-l", LOG, "-s", "nobody")
    assert outcome.code == 0
    assert len(rows(outcome.stdout)) == 3
    assert outcome.stderr == "note: the log holds no response of the student; this is what a new student would get\n"


def test_recommend_reads_a_catalog_of_two_tables(run, csv_file, model: at.BKT, tmp_path: Path) -> None:
    model.save(tmp_path / "model.json")
    items = csv_file("item,skill", "q1,quarters", "h1,halves", name="items.csv")
    skills = csv_file("skill,prerequisites", "quarters,halves", name="skills.csv")
    log = csv_file("student,item,correct", "Ada,h1,0", name="log.csv")
    outcome = run("recommend", "-m", tmp_path / "model.json", "-C", items, "--skills", skills, "-l", log, "-s", "Ada")
    assert [row["item"] for row in rows(outcome.stdout)] == ["h1"]


def test_demo_shows_classes_and_students_and_writes_the_mastery(run, tmp_path: Path, sample_log, sample_model) -> None:
    outcome = run("demo", "-o", tmp_path / "mastery.parquet")
    assert outcome.code in (0, None)
    assert "300 students" in outcome.stdout
    assert all(f"6{letter}" in outcome.stdout for letter in "ABCDEFGHIJKL")
    assert outcome.stdout.count("skills mastered; next, one of") == 3
    assert pyarrow.parquet.read_table(tmp_path / "mastery.parquet").to_pylist() == sample_model.score(sample_log).to_pylist()


def test_the_demo_says_every_step_on_stderr(run, tmp_path: Path) -> None:
    lines = run("demo", "-o", tmp_path / "mastery.parquet").stderr.splitlines()
    assert [line[:5] for line in lines] == ["Loadi", "1/4  ", "2/4  ", "3/4  ", "4/4  "]
    assert "23,550 responses" in lines[2]
    assert str(tmp_path / "mastery.parquet") in lines[3]


def test_the_demo_says_what_it_does_before_anything_slow() -> None:
    code = (
        "import sys\n"
        "from adaptrace.cli import app, main\n"
        "def say(message):\n"
        "    print(sorted({'numba', 'numpy', 'pyarrow'} & set(sys.modules)))\n"
        "    raise SystemExit\n"
        "app.say, sys.argv = say, ['adaptrace', 'demo']\n"
        "main()"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False).stdout == "[]\n"


def test_the_version_is_printed_and_that_is_all(run) -> None:
    assert run("--version") == (0, f"adaptrace {at.__version__}\n", "")
    assert run("--version", "fit").stdout == f"adaptrace {at.__version__}\n"


# ---- inputs and outputs -----------------------------------------------------

READERS = {
    "out.parquet": lambda path: pyarrow.parquet.read_table(path).to_pylist(),
    "out.arrow": lambda path: pyarrow.feather.read_table(path).to_pylist(),
    "out.json": lambda path: json.loads(path.read_text()),
    "out.csv": lambda path: rows(path.read_text()),
}


@pytest.mark.parametrize("name", READERS)
def test_an_output_file_holds_what_stdout_would(run, csv_file, model: at.BKT, tmp_path: Path, name: str) -> None:
    model.save(tmp_path / "model.json")
    log = csv_file("student,item,skill,correct", "007,q1,halves,1", "008,q1,quarters,0")
    printed = rows(run("predict", log, "-m", tmp_path / "model.json").stdout)
    outcome = run("predict", log, "-m", tmp_path / "model.json", "-o", tmp_path / name)
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "", f"{tmp_path / name}: 2 rows\n")
    written = READERS[name](tmp_path / name)
    assert [{**row, "prediction": float(row["prediction"])} for row in written] == [
        {
            **row,
            **{key: type(other[key])(row[key]) for key in ("correct", "source_row")},
            "prediction": float(row["prediction"]),
            "fitted": row["fitted"] if isinstance(other["fitted"], str) else row["fitted"] == "true",
        }
        for row, other in zip(printed, written, strict=True)
    ]


def test_columns_can_be_mapped(run, csv_file, tmp_path: Path) -> None:
    log = csv_file("pupil,task,ability,points", "007,q1,(a|b),1")
    mapping = ["-c", "student=pupil", "-c", "item=task", "-c", "skill=ability", "--column", "correct=points"]
    assert run("fit", log, "-o", tmp_path / "model.json", *mapping).code == 0
    assert at.load(tmp_path / "model.json").skills.to_pylist() == ["(a|b)"]


def test_a_unit_of_time_makes_integers_a_clock(run, csv_file, model: at.BKT, tmp_path: Path) -> None:
    model.save(tmp_path / "model.json")
    log = csv_file("student,item,skill,correct,time", "Ada,q1,halves,1,86400")
    outcome = run("score", log, "-m", tmp_path / "model.json", "--time-unit", "s")
    assert rows(outcome.stdout)[0]["last_time"].startswith("1970-01-02 00:00:00")


def test_a_foreign_format_is_read_and_its_notes_are_passed_on(run, csv_file, tmp_path: Path) -> None:
    log = csv_file("order_id,user_id,problem_id,correct,skill_id,skill_name", "1,7,9,1,3,Mean", "2,7,9,1,,")
    outcome = run("fit", log, "--format", "assistments2009", "-o", tmp_path / "model.json")
    assert (outcome.code, outcome.stdout) == (0, "")
    assert outcome.stderr.startswith("note: 1 of 2 rows have no skill")


@pytest.mark.parametrize(
    "arguments",
    [
        ["fit"],
        ["fit", LOG, "-c", "student"],
        ["fit", LOG, "--colour", "red"],
        ["frobnicate"],
        ["score", LOG],
        ["recommend", "-m", "m", "-C", "c", "-l", "l", "-s", "s", "-k", "0"],
        ["recommend", "-m", "m", "-C", "c", "-l", "l", "-s", "s", "--policy", "dice"],
        ["recommend", "-m", "m", "-C", "c", "-l", "l", "-s", "s", "--target", "1.5"],
    ],
    ids=lambda arguments: " ".join(map(str, arguments[:1] + arguments[-2:])).replace(str(LOG), "LOG"),
)
def test_wrong_usage_ends_with_two(run, arguments: list[object]) -> None:
    outcome = run(*arguments)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "Usage:" in outcome.stderr


@pytest.mark.parametrize("name", ["none.json", "damaged.json"])
def test_a_model_that_cannot_be_read_ends_with_one_message(run, tmp_path: Path, name: str) -> None:
    (tmp_path / "damaged.json").write_text("{")
    outcome = run("score", LOG, "-m", tmp_path / name)
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith(f"error: {tmp_path / name}: ")
    assert outcome.stderr.count("\n") == 1


# ---- as a process -----------------------------------------------------------


def test_the_process_ends_with_one_and_a_message_without_a_traceback(tmp_path: Path) -> None:
    outcome = command("fit", "none.csv", cwd=tmp_path)
    assert (outcome.returncode, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith("error: none.csv: got no such file; expected a log: ")
    assert outcome.stderr.count("\n") == 1


def test_the_installed_script_is_the_same_command(tmp_path: Path) -> None:
    script = shutil.which("adaptrace", path=Path(sys.executable).parent)
    outcome = subprocess.run([script, "score", LOG, "-m", "none.json"], capture_output=True, text=True, check=False, cwd=tmp_path)
    assert outcome.returncode == 1
    assert outcome.stderr.startswith("error: none.json: cannot be read")


def test_a_reader_who_has_seen_enough_is_no_error(model_path: Path) -> None:
    argv = [sys.executable, "-m", "adaptrace", "predict", LOG, "-m", model_path]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.readline()
        process.stdout.close()
        stderr = process.stderr.read()
        assert process.wait() == 0
    assert stderr == b""


def test_what_a_table_holds_is_what_stdout_shows_also_for_names_with_commas_and_quotes(run, model, csv_file, tmp_path) -> None:
    model.save(tmp_path / "model.json")
    pyarrow.parquet.write_table(
        pa.table({"student": ['A, "B"'], "item": ["q\n1"], "skill": ["halves"], "correct": [1]}), tmp_path / "log.parquet"
    )
    (row,) = rows(run("predict", tmp_path / "log.parquet", "-m", tmp_path / "model.json").stdout)
    assert (row["student"], row["item"]) == ('A, "B"', "q\n1")


def test_the_command_line_knows_every_policy() -> None:
    assert [policy.value for policy in Policies] == list(NAMED)
