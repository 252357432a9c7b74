"""The commands that roll mastery up."""

from __future__ import annotations

import csv
import inspect
import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.cli import report as cli_report
from adaptrace.cli.option_groups import with_groups
from adaptrace.data.sample import sample_path
from adaptrace.models.criterion import WHEEL_SPINNING, Criterion

LOG, CATALOG = sample_path("responses.parquet"), sample_path("catalog.json")


@pytest.fixture(scope="session")
def place(tmp_path_factory: pytest.TempPathFactory, sample_log: at.Log, sample_model: at.BKT) -> Path:
    """A folder with a model, mastery at two dates, and a roster that lacks twelve students of the first class."""
    folder = tmp_path_factory.mktemp("report")
    sample_model.save(folder / "model.json")
    pq.write_table(sample_model.score(sample_log), folder / "m.parquet")
    pq.write_table(sample_model.score(sample_log.select(np.arange(len(sample_log)) % 3 > 0)), folder / "before.parquet")
    rows = {tuple(row.values()): row for row in pq.read_table(LOG, columns=["student", "class"]).to_pylist()}
    kept = [row for number, row in enumerate(sorted(rows.values(), key=lambda row: row["class"])) if number >= 12]
    pa.csv.write_csv(pa.Table.from_pylist(kept), folder / "roster.csv")
    return folder


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def report(run, place: Path) -> Callable[..., object]:
    """Run a report with files for the words in capitals."""
    files = {"LOG": LOG, "CATALOG": CATALOG, "MASTERY": place / "m.parquet", "BEFORE": place / "before.parquet"}
    files |= {"MODEL": place / "model.json", "ROSTER": place / "roster.csv"}
    return lambda text: run("report", *(files.get(word, word) for word in text.split()))


def rows(path: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(Path(path).read_text())))


# ---- what is printed --------------------------------------------------------


def test_mastery_prints_aligned_cells_and_says_how_many_it_withheld(report) -> None:
    outcome = report("mastery MASTERY --roster ROSTER --by class --min-students 14")
    lines = outcome.stdout.splitlines()
    assert lines[0].split() == ["class", "students", "pairs", "mastery", "mastered", "certain", "opportunities"]
    assert lines[1].split() == ["6A", "withheld", "-", "-", "-", "-", "-"]
    assert lines[2].split() == ["6B", "25", "296", "0.843", "58%", "37%", "4.1"]
    assert lines[-1].split() == ["not", "in", "the", "roster", "withheld", "-", "-", "-", "-", "-"]
    assert {len(line) for line in lines} == {len(lines[0])}
    assert (outcome.code, outcome.stderr.count("\n")) == (0, 1)
    assert outcome.stderr.startswith("note: 2 of 13 cells withheld: of fewer than 14 students")
    assert report("mastery MASTERY --roster ROSTER --by class --min-students 1").stderr == ""


def test_a_share_at_the_end_of_where_a_minimum_keeps_it_is_printed_as_a_bound(report) -> None:
    lines = report("mastery MASTERY --by skill --threshold 0.9999").stdout.splitlines()
    assert next(line for line in lines if line.startswith("Inequalities")).split()[4] == "≤1%"
    lines = report("mastery MASTERY --by skill --threshold 0.9999 --min-students 1").stdout.splitlines()
    assert next(line for line in lines if line.startswith("Inequalities")).split()[4] == "0.0%"
    lines = report("mastery MASTERY --by skill --threshold 0.01").stdout.splitlines()
    assert next(line for line in lines if line.startswith("Equal shares")).split()[5] == "≥99.7%"


def test_growth_and_pace_print_what_they_found(report) -> None:
    lines = report("growth BEFORE MASTERY --by skill").stdout.splitlines()
    assert lines[0].split()[3:] == ["new", "gone", "before", "after", "gain", "newly", "mastered", "lost"]
    assert len(lines) == 25
    lines = report("pace LOG -m MODEL").stdout.splitlines()
    assert lines[0].split()[:5] == ["skill", "students", "pairs", "reached", "stuck"]
    assert lines[1].split()[6:] == ["3.0", "5.0", "7.0", "0.0", "1.0", "1.0"]


def test_stuck_and_groups_name_students(report) -> None:
    lines = report("stuck LOG -m MODEL").stdout.splitlines()
    assert lines[0].split() == ["student", "skill", "opportunities", "best", "mastery", "last", "time"]
    assert lines[1].split()[0] == "student-009"
    assert lines[1].endswith("2025-09-05 04:53")
    lines = report("groups MASTERY --roster ROSTER --catalog CATALOG").stdout.splitlines()
    assert lines[0].split() == ["class", "group", "skill", "role", "student", "mastery", "low"]
    assert lines[1].split()[:2] == ["6A", "1"]


def test_nobody_is_said_in_words(report) -> None:
    assert report("stuck LOG -m MODEL --opportunities 999").stdout == "nobody is stuck\n"
    assert report("groups MASTERY --roster ROSTER --threshold 0.0001").stdout == "nobody needs a group\n"


# ---- what is written --------------------------------------------------------


def test_files_hold_what_the_library_gives(report, place: Path, here: Path, sample_log: at.Log, sample_model: at.BKT) -> None:
    before, mastery, roster = (place / name for name in ("before.parquet", "m.parquet", "roster.csv"))
    by = ["class", "skill"]
    options = {"roster": roster, "threshold": 0.9, "min_students": 5}
    log, model = sample_log, sample_model
    expected = {
        "mastery MASTERY --roster ROSTER --threshold 0.9 --min-students 5": at.report.mastery_by(mastery, by, **options),
        "growth BEFORE MASTERY -r ROSTER --threshold 0.9 --min-students 5": at.report.growth(before, mastery, by=by, **options),
        "pace LOG -m MODEL -r ROSTER --by class,skill --threshold 0.9 --min-students 5": at.report.pace(
            sample_log, sample_model, by=by, **options
        ),
        "stuck LOG -m MODEL --opportunities 8 --threshold 0.9": at.report.stuck(log, model, opportunities=8, threshold=0.9),
        "groups MASTERY -r ROSTER -C CATALOG --size 3-4 --threshold 0.9": at.report.small_groups(
            mastery, roster, catalog=at.sample_catalog(), size=(3, 4), threshold=0.9
        ),
    }
    for text, table in expected.items():
        outcome = report(f"{text} -o out.parquet")
        assert (outcome.code, outcome.stdout) == (0, "")
        assert outcome.stderr.startswith(f"out.parquet: {len(table):,} rows\n")
        assert pq.read_table("out.parquet").equals(table), text


def test_what_is_withheld_is_empty_in_a_file(report, here: Path) -> None:
    outcome = report("mastery MASTERY --roster ROSTER --by class --min-students 14 -o out.csv")
    assert outcome.stderr.startswith("out.csv: 13 rows\nnote: 2 of 13 cells withheld")
    first, *_, last = rows("out.csv")
    assert first == {**dict.fromkeys(first, ""), "class": "6A", "withheld": "true"}
    assert (last["class"], last["withheld"]) == ("", "true")


# ---- the options ------------------------------------------------------------


def test_defaults_are_those_of_the_library() -> None:
    for command, function in {
        cli_report.mastery: at.report.mastery_by,
        cli_report.growth: at.report.growth,
        cli_report.pace: at.report.pace,
        cli_report.stuck: at.report.stuck,
        cli_report.groups: at.report.small_groups,
    }.items():
        ours = {name: each.default for name, each in inspect.signature(with_groups(command)).parameters.items()}
        theirs = {name: each.default for name, each in inspect.signature(function).parameters.items()}
        assert ours["threshold"] == theirs["threshold"] == Criterion.threshold
        assert ours.get("min_students") == theirs.get("min_students")
        assert ours.get("opportunities") == theirs.get("opportunities") in (None, WHEEL_SPINNING)
        assert "size" not in ours or cli_report._sizes(ours["size"]) == theirs["size"]
        by = theirs.get("by")
        assert ours.get("by") == (by if isinstance(by, str | None) else ",".join(by))


WRONG_DATA = {
    "mastery none.parquet --by skill": "got no such file",
    "mastery LOG --by skill": "column 'mastery'",
    "mastery MASTERY --roster ROSTER --by klass": "expected column 'klass'; correct the name in by (--by)",
    "mastery MASTERY --roster none.csv --by class": "got no such file",
    "growth MASTERY ROSTER --by skill": "column 'skill'",
    "pace LOG -m none.json": "cannot be read",
    "groups MASTERY --roster ROSTER --by form": "expected column 'form'",
    "groups MASTERY --roster ROSTER -C none.json": "none.json",
}
WRONG_USAGE = {
    "mastery MASTERY": "by: got class without a roster",
    "mastery MASTERY --by student --roster ROSTER": "by: got student",
    "mastery MASTERY --by skill --threshold 1": "threshold: got 1.0; expected a mastery between 0 and 1",
    "mastery MASTERY --by skill --min-students 0": "--min-students",
    "stuck LOG -m MODEL --opportunities 0": "--opportunities",
    "groups MASTERY": "--roster",
    "groups MASTERY --roster ROSTER --size few": "--size: got 'few'; expected FEWEST-MOST, e.g. 2-5",
    "groups MASTERY --roster ROSTER --size 5-2": "size: got (5, 2)",
}


@pytest.mark.parametrize("text", WRONG_DATA)
def test_wrong_data_is_said_and_leaves_nothing(report, here: Path, text: str) -> None:
    outcome = report(f"{text} -o out.csv")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith("error: ")
    assert WRONG_DATA[text] in outcome.stderr
    assert not list(here.iterdir())


@pytest.mark.parametrize("text", WRONG_USAGE)
def test_wrong_usage_ends_with_two_and_leaves_nothing(report, here: Path, text: str, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    outcome = report(f"{text} -o out.csv")
    assert (outcome.code, outcome.stdout) == (2, "")
    assert WRONG_USAGE[text] in outcome.stderr
    assert not list(here.iterdir())


def test_a_model_that_traces_no_mastery_is_one_message(report, here: Path, sample_log: at.Log) -> None:
    at.Constant().fit(sample_log).save("constant.json")
    for command in ("pace", "stuck"):
        outcome = report(f"{command} LOG -m constant.json")
        assert (outcome.code, outcome.stdout) == (1, "")
        assert outcome.stderr.endswith(" does not know mastery; expected a model of a family that does: bkt, blend, boosted\n")


def test_an_output_of_an_unknown_ending_is_refused_before_the_work(report, here: Path, monkeypatch) -> None:
    monkeypatch.setattr(at.report, "mastery_by", None)
    outcome = report("mastery MASTERY --by skill -o out.doc")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert "unknown ending '.doc'" in outcome.stderr


def test_a_roster_of_other_names_is_noted(report, here: Path) -> None:
    (here / "real.csv").write_text("student,class\nAda Lovelace,6A\n")
    outcome = report("mastery MASTERY --roster real.csv --by class")
    assert outcome.code == 0
    assert "note: the roster has the class of no student; does it name students as the mastery does" in outcome.stderr


def test_pace_of_a_folder_says_what_was_merged(run, tmp_path: Path) -> None:
    log = at.sample_log()
    rows = [{**row, "skill": skill} for row in log.table.to_pylist() for skill in row["skills"]]
    pq.write_table(
        pa.table({name: [row[name] for row in rows] for name in ("student", "item", "skill", "correct", "time")}),
        tmp_path / "log.parquet",
    )
    at.BKT().fit(log).save(tmp_path / "model.json")
    outcome = run("report", "pace", tmp_path / "log.parquet", "-m", tmp_path / "model.json", "-o", tmp_path / "pace.csv")
    assert outcome.code == 0
    assert f"note: {len(rows) - len(log):,} rows merged into" in outcome.stderr
