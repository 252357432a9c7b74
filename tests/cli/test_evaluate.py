"""The commands that judge: compare, replay, simulate, fairness, and fit of every family."""

from __future__ import annotations

import csv
import datetime
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.cli import models, terminal
from adaptrace.data.sample import sample_path
from adaptrace.evaluate import comparison, validation
from adaptrace.models import MODELS

CATALOG = sample_path("catalog.json")
STUDENTS = 24


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    """The first responses of some students of the bundled school, with a column of folds."""
    table = pq.read_table(sample_path("responses.parquet"))
    first = table.filter(pc.is_in(table["student"].cast("string"), pa.array([f"student-{n:03}" for n in range(1, STUDENTS + 1)])))
    return first.append_column("half", pc.if_else(pc.is_in(first["class"].cast("string"), pa.array(["6A", "6B"])), "a", "b"))


@pytest.fixture(scope="session")
def path(small: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("small") / "log.parquet"
    pq.write_table(small, place)
    return place


@pytest.fixture(scope="session")
def timeless(small: pa.Table, path: Path) -> Path:
    pq.write_table(small.drop_columns(["time"]), path.parent / "timeless.parquet")
    return path.parent / "timeless.parquet"


@pytest.fixture(scope="session")
def log(path: Path) -> at.Log:
    return at.Log.read(path, keep=["class"])


@pytest.fixture(scope="session")
def model_path(log: at.Log, path: Path) -> Path:
    at.BKT(forget=False).fit(log).save(path.parent / "model.json")
    return path.parent / "model.json"


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def without_seconds(table: pa.Table) -> list[dict[str, object]]:
    return table.drop_columns([name for name in table.column_names if name.endswith("seconds")]).to_pylist()


# ---- compare ----------------------------------------------------------------


def test_compare_prints_the_table_that_people_read(run, path: Path) -> None:
    outcome = run("compare", path, "--models", "pfa,best-lr", "--folds", 3, "--draws", 20)
    lines = outcome.stdout.splitlines()
    assert (outcome.code, outcome.stderr) == (0, "")
    assert lines[0] == f"3 folds, {len(at.Log.read(path)):,} responses of {STUDENTS} students"
    assert lines[2].split()[:2] == ["model", "AUC"]
    assert [line.split()[0] for line in lines[3:6]] == ["constant", "pfa", "best-lr"]


def test_compare_writes_what_the_library_compares(run, path: Path, log: at.Log, here: Path) -> None:
    names = ["-o", "t.parquet", "--differences", "d.csv", "--predictions", "p.json"]
    outcome = run("compare", path, "--models", "best-lr,constant", "--folds", 3, "--seed", 7, "--draws", 20, *names)
    models = {"best-lr": at.BestLR(), "constant": MODELS["constant"]()}
    expected = comparison.compare(models, log, folds=3, seed=7, draws=20)
    assert (outcome.code, outcome.stdout) == (0, "")
    assert outcome.stderr.splitlines() == ["t.parquet: 2 rows", "d.csv: 4 rows", f"p.json: {len(log):,} rows"]
    assert without_seconds(pq.read_table("t.parquet")) == without_seconds(expected.table)
    assert [float(row["difference"]) for row in rows(Path("d.csv").read_text())] == expected.differences["difference"].to_pylist()
    assert [row["best-lr"] for row in json.loads(Path("p.json").read_text())] == expected.predictions["best-lr"].to_pylist()


@pytest.mark.parametrize("by", ["item", "time", "half"])
def test_folds_may_be_of_items_the_calendar_or_a_column(run, path: Path, here: Path, by: str) -> None:
    outcome = run("compare", path, "--models", "constant", "--by", by, "--folds", 2, "--draws", 20, "--predictions", "p.parquet")
    folds = {"item": 2, "time": 2, "half": 2}[by]
    assert outcome.stdout.startswith(f"{folds} folds, ")
    assert set(pq.read_table("p.parquet")["fold"].to_pylist()) == {0, 1}


@pytest.mark.parametrize(("options", "slices"), [(["class"], 4), (["opportunity"], None), (["group", "--groups", "class"], 4)])
def test_slices_are_written_instead_of_the_whole(run, path: Path, log: at.Log, here: Path, options: list[str], slices) -> None:
    run("compare", path, "--models", "constant", "--draws", 20, "-o", "t.parquet", "--slices", *options)
    table = pq.read_table("t.parquet")
    assert table.column_names[:4] == ["model", "by", "n", "students"]
    expected = len(set(log.table["class"].to_pylist())) if slices else max(log.rows.opportunity)
    assert len(table) == expected


def test_slices_stand_below_the_table(run, path: Path) -> None:
    outcome = run("compare", path, "--models", "constant", "--draws", 20, "--slices", "half")
    whole, slices = outcome.stdout.split(comparison.LEGEND + "\n\n")
    assert "constant" in whole
    assert [line.split()[:2] for line in slices.splitlines()] == [["model", "by"], ["constant", "a"], ["constant", "b"]]


def test_compare_draws_a_picture(run, path: Path, here: Path) -> None:
    pytest.importorskip("matplotlib")
    outcome = run("compare", path, "--models", "constant", "--draws", 20, "--plot", "out.svg")
    assert (outcome.code, outcome.stderr) == (0, "out.svg: a picture\n")
    assert Path("out.svg").read_text().startswith("<?xml")


def test_the_same_seed_gives_the_same_table_another_one_does_not(run, path: Path) -> None:
    def printed(seed: int) -> list[list[str]]:
        lines = run("compare", path, "--models", "pfa", "--folds", 3, "--draws", 20, "--seed", seed).stdout.splitlines()
        return [line.split()[:-2] for line in lines]  # without seconds

    assert printed(1) == printed(1) != printed(2)


# ---- replay -----------------------------------------------------------------


def test_replay_prints_a_line_a_period(run, path: Path, log: at.Log) -> None:
    outcome = run("replay", path, "--model", "pfa", "--every", "2d", "--draws", 20)
    result = validation.replay(at.PFA(), log, every=datetime.timedelta(days=2))
    lines = outcome.stdout.splitlines()
    assert (outcome.code, outcome.stderr) == (0, "")
    assert lines[0] == f"pfa, refitted before each of {len(result.folds)} periods"
    assert [" ".join(line.split()[:2]) for line in lines[3:]] == [name[:16].replace("T", " ") for name in result.folds]


def test_replay_writes_periods_and_predictions(run, path: Path, log: at.Log, here: Path) -> None:
    names = ["-o", "t.parquet", "--predictions", "p.parquet"]
    outcome = run("replay", path, "--model", "pfa", "--marks", "2025-09-03,2025-09-04T12:00", "--draws", 20, *names)
    marks = [datetime.datetime(2025, 9, 3), datetime.datetime(2025, 9, 4, 12)]
    result = validation.replay(at.PFA(), log, marks=marks)
    table, predictions = pq.read_table("t.parquet"), pq.read_table("p.parquet")
    assert (outcome.code, outcome.stdout) == (0, "")
    assert table["start"].to_pylist() == [mark.replace(tzinfo=datetime.UTC) for mark in marks]
    assert table["n"].to_pylist() == [int((result.fold == number).sum()) for number in (0, 1)]
    assert table["auc"].to_pylist()[1] == result.report(result.fold, draws=20)["auc"].to_pylist()[1]
    assert predictions["pfa"].to_pylist() == result.predicted[result.tested].tolist()


def test_replay_draws_a_picture(run, path: Path, here: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run("replay", path, "--model", "constant", "--every", "1d", "--draws", 20, "--plot", "out.png").code == 0
    assert Path("out.png").read_bytes().startswith(b"\x89PNG")


# ---- simulate ---------------------------------------------------------------


def test_simulate_writes_what_the_library_simulates(run, model_path: Path, here: Path) -> None:
    options = ["--students", 2, "--responses", 4, "--seed", 5, "--explore", 0.1, "--policy", "target-success", "--target", 0.2]
    outcome = run("simulate", "--student-model", model_path, "-C", CATALOG, *options, "-o", "log.parquet")
    model, policy = at.load(model_path), at.TargetSuccess(target=0.2)
    expected = at.simulate(model, at.sample_catalog(), students=2, responses=4, seed=5, explore=0.1, policy=policy)
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, "", "log.parquet: 8 rows\n")
    written = pq.read_table("log.parquet")
    assert written.to_pylist() == expected.table.to_pylist()
    assert {"propensity", "candidates", "propensities"} <= set(written.column_names)


def test_students_of_any_family_are_taught_by_what_a_bkt_believes(run, path: Path, model_path: Path, here: Path) -> None:
    run("fit", path, "--model", "pfa", "-o", "pfa.json")
    options = ["-C", CATALOG, "--students", 1, "--responses", 3, "--seed", 0]
    outcome = run("simulate", "--student-model", "pfa.json", *options)
    assert (outcome.code, outcome.stdout) == (1, "")
    assert "pass belief= a model that knows it" in outcome.stderr
    assert len(rows(run("simulate", "--student-model", "pfa.json", "--belief", model_path, *options).stdout)) == 3


# ---- fit of every family ----------------------------------------------------


def test_the_names_in_the_help_are_those_of_the_models() -> None:
    assert [name for name in models.NAMES.split(", ") if name in MODELS] == list(MODELS)


@pytest.mark.parametrize("name", ["constant", "bkt-classic", "pfa", "rasch", "das3h"])
def test_a_model_of_any_family_is_fitted_saved_and_predicts(run, path: Path, log: at.Log, here: Path, name: str) -> None:
    outcome = run("fit", path, "--model", name, "-o", "model.json")
    expected = MODELS[name]().fit(log)
    assert (outcome.code, outcome.stdout) == (0, "")
    assert outcome.stderr == f"model.json: {expected!r} fitted to {log!r}\n"
    assert at.load("model.json").fingerprint == expected.fingerprint
    printed = rows(run("predict", path, "-m", "model.json").stdout)
    assert [float(row["prediction"]) for row in printed] == expected.predict(log).tolist()


def test_the_summary_of_other_families_is_what_they_found(run, path: Path, here: Path) -> None:
    for name, first in (("pfa", "parameter"), ("rasch", "parameter"), ("constant", "parameter"), ("bkt", "skill")):
        run("fit", path, "--model", name, "-o", "model.json")
        assert next(iter(rows(run("summary", "-m", "model.json").stdout)[0])) == first


def test_what_a_family_does_not_know_is_one_message(run, path: Path, here: Path) -> None:
    run("fit", path, "--model", "constant", "-o", "model.json")
    for arguments, said in (
        (
            ["score", path, "-m", "model.json"],
            "does not know mastery; expected a model of a family that does: bkt, blend, boosted\n",
        ),
        (
            ["recommend", "-m", "model.json", "-C", "none.json", "-l", path, "-s", "Ada"],
            "does not know mastery; expected a model of a family that does: bkt, blend, boosted\n",
        ),
        (
            ["fit", "--stats", "none.parquet", "--model", "pfa"],
            "does not fit to counts; expected a model of a family that does: bkt\n",
        ),
    ):
        outcome = run(*arguments)
        assert (outcome.code, outcome.stdout) == (1, "")
        assert outcome.stderr.endswith(said)
        assert outcome.stderr.startswith(f"error: {arguments[0]}")


@pytest.mark.parametrize("options", [["--no-forget"], ["--items", "guess"], ["--elapsed"], ["--combine", "mean"]], ids=" ".join)
def test_options_of_a_bkt_are_for_no_other_model(run, path: Path, here: Path, options: list[str]) -> None:
    outcome = run("fit", path, "--model", "pfa", *options)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert f"{options[0]}: no option of 'pfa'" in outcome.stderr
    assert not list(here.iterdir())


# ---- fairness ---------------------------------------------------------------


def test_fairness_says_it_in_words_and_writes_the_gaps(run, path: Path, model_path: Path, log: at.Log, here: Path) -> None:
    options = ["-m", model_path, "--by", "class", "--threshold", 0.9, "--draws", 20]
    expected = at.fairness(at.load(model_path), log, by="class", threshold=0.9, draws=20)
    outcome = run("fairness", path, *options)
    assert (outcome.code, outcome.stdout, outcome.stderr) == (0, f"{expected}\n", "")
    outcome = run("fairness", path, *options, "-o", "gaps.csv")
    assert (outcome.stdout, outcome.stderr) == ("", f"gaps.csv: {len(expected.gaps)} rows\n")
    assert [row["measure"] for row in rows(Path("gaps.csv").read_text())] == expected.gaps["measure"].to_pylist()


def test_fairness_draws_a_picture(run, path: Path, model_path: Path, here: Path) -> None:
    pytest.importorskip("matplotlib")
    assert run("fairness", path, "-m", model_path, "--by", "half", "--draws", 20, "--plot", "out.pdf").code == 0
    assert Path("out.pdf").read_bytes().startswith(b"%PDF")


# ---- skills -----------------------------------------------------------------


def test_skills_says_what_it_found_and_writes_the_candidates(run, here: Path) -> None:
    log = at.sample_log().select(np.arange(len(at.sample_log())) < 3000)
    pq.write_table(log.table, "log.parquet")
    expected = at.search_skills(log, pairs=2, seed=1)
    outcome = run("skills", "log.parquet", "--pairs", 2, "--seed", 1)
    assert (outcome.code, outcome.stdout) == (0, f"{expected}\n")
    outcome = run("skills", "log.parquet", "--pairs", 2, "--seed", 1, "-o", "found.csv")
    assert outcome.code == 0
    assert [row["change"] for row in rows(Path("found.csv").read_text())] == expected.table["change"].to_pylist()


# ---- what is refused --------------------------------------------------------

WRONG_DATA = {
    "compare LOG --folds 25": f"got {STUDENTS} students; expected at least 25, one a fold",
    "compare LOG --by klass": "expected column 'klass'",
    "compare LOG --slices klass": "expected column 'klass'",
    "compare LOG --groups klass": "expected column 'klass'",
    "compare TIMELESS --by time": "expected a clock in column 'time'",
    "compare TIMELESS --models pfa,das3h": "expected column 'time', which das3h needs",
    "compare BROKEN": "a file that seems to be plain text; expected .parquet as its name says",
    "compare none.csv": "got no such file",
    "compare LOG --differences d.doc": "unknown ending '.doc'",
    "compare LOG --predictions no/p.csv": "cannot be written",
    "compare LOG --plot p.gif": "unknown ending '.gif'; use .png, .svg or .pdf",
    "compare LOG --plot no/p.png": "cannot be written",
    "replay TIMELESS --every 1d": "expected a clock in column 'time'",
    "replay LOG --every 400d": "pass a smaller every=",
    "replay LOG --marks 1999-01-01": "got the mark 1999-01-01T00:00:00+00:00",
    "fairness LOG -m MODEL --by klass": "expected column 'klass'",
    "skills LOG": "24 students; expected at least 40 to search q-matrices",
    "fairness LOG -m none.json --by class": "cannot be read",
    "simulate --student-model none.json -C CATALOG --students 1 --responses 1 --seed 0": "cannot be read",
    "fit TIMELESS --model das3h": "expected a clock in column 'time'",
}

WRONG_USAGE = {
    "compare LOG --models btk": "got 'btk' (did you mean 'bkt'?); expected one of constant, bkt",
    "compare LOG --models ,": "got no name; expected one of",
    "compare LOG --folds 1": "--folds",
    "compare LOG --by correct": "by: got 'correct'; expected student, item, time or a column",
    "compare LOG --draws 0": "--draws",
    "compare LOG --differences x.csv --predictions no/../x.csv": "got one file for two outputs",
    "replay LOG": "got neither of --every and --marks",
    "replay LOG --every 1d --marks 2025-09-03": "got both of --every and --marks",
    "replay LOG --every soon": "--every: got 'soon'; expected a number with w, d, h or m",
    "replay LOG --every 0d": "--every: got '0d'",
    "replay LOG --every 9999999999999w": "expected a shorter time",
    "replay LOG --marks May": "--marks: got 'May'; expected dates",
    "replay LOG --marks 2025-09-04,2025-09-03": "expected every mark to be later than the one before",
    "replay LOG --every 1d --model pfa,bkt": "got 2 names; expected one",
    "fit LOG --model pfaa": "did you mean 'pfa'?",
    "fairness LOG -m MODEL --by class --threshold 1": "threshold: got 1.0; expected a probability between 0 and 1",
    "fairness LOG -m MODEL": "--by",
    "simulate --student-model MODEL -C CATALOG --students 0 --responses 1 --seed 0": "--students",
    "simulate --student-model MODEL -C CATALOG --students 1 --responses 1": "--seed",
    "simulate --student-model MODEL -C CATALOG --students 1 --responses 1 --seed 0 --explore 2": "--explore",
}


@pytest.fixture
def spelled(path: Path, timeless: Path, model_path: Path, here: Path) -> Callable[[str], list[str]]:
    """The words of a command, with files for the capitals and an output."""
    broken = path.parent / "broken.parquet"
    broken.write_bytes(b"PAR1 not a table")
    files = {"LOG": path, "TIMELESS": timeless, "BROKEN": broken, "MODEL": model_path, "CATALOG": CATALOG}

    def words(text: str) -> list[str]:
        output = "out.json" if text.startswith("fit") else "out.csv"
        return [*(str(files.get(word, word)) for word in text.split()), "-o", output]

    return words


@pytest.mark.parametrize("text", WRONG_DATA)
def test_wrong_data_is_one_line_and_leaves_nothing(run, spelled, here: Path, text: str) -> None:
    if "--plot" in text:
        pytest.importorskip("matplotlib")
    outcome = run(*spelled(text))
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith("error: ")
    assert outcome.stderr.count("\n") == 1
    assert WRONG_DATA[text] in outcome.stderr
    assert not list(here.iterdir())


@pytest.mark.parametrize("text", WRONG_USAGE)
def test_wrong_usage_ends_with_two_and_leaves_nothing(run, spelled, here: Path, text: str, monkeypatch) -> None:
    monkeypatch.setenv("COLUMNS", "400")
    outcome = run(*spelled(text))
    assert (outcome.code, outcome.stdout) == (2, "")
    assert WRONG_USAGE[text] in outcome.stderr
    assert not list(here.iterdir())


def test_a_picture_without_matplotlib_is_refused_before_the_work(run, path: Path, here: Path, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    monkeypatch.setattr(comparison, "compare", None)
    outcome = run("compare", path, "--plot", "out.png")
    assert (outcome.code, outcome.stderr) == (1, 'error: pictures need matplotlib: pip install "adaptrace[plot]"\n')
    assert not list(here.iterdir())


def test_an_output_that_exists_stays_when_the_work_fails(run, path: Path, here: Path) -> None:
    Path("out.csv").write_text("mine")
    assert run("compare", path, "--by", "klass", "-o", "out.csv").code == 1
    assert Path("out.csv").read_text() == "mine"


def test_only_a_plain_value_error_is_a_matter_of_usage() -> None:
    with pytest.raises(pa.ArrowInvalid), terminal.usage():
        raise pa.ArrowInvalid("a bug")


@pytest.mark.parametrize("wide", [True, False])
def test_progress_is_for_terminals(monkeypatch: pytest.MonkeyPatch, wide: bool) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return wide

    monkeypatch.setattr("sys.stderr", Terminal())
    with terminal.fitting("comparing") as progress:
        assert (progress is not None) == wide
        if progress is not None:
            progress(0.5)
    assert ("comparing" in sys.stderr.getvalue()) == wide


def test_intervals_of_a_few_draws_are_not_offered(run, path: Path, here: Path) -> None:
    outcome = run("compare", path, "--models", "pfa", "--draws", 5)
    assert (outcome.code, outcome.stdout) == (2, "")
    assert "20" in outcome.stderr


def test_help_names_the_extra_that_pictures_need_and_what_stdout_gets(run) -> None:
    text = " ".join(run("compare", "--help").stdout.replace("│", " ").split())
    assert 'the extra "plot"' in text  # brackets are markup to some releases of typer and rich, text to others
    assert "by default a table to read" in text


# ---- ties, and the table for kt-audit ---------------------------------------


def test_audit_writes_the_table_of_the_library(run, path: Path, log: at.Log, here: Path) -> None:
    shown = run("audit", str(path), "--model", "pfa", "--folds", "2", "-o", "table.parquet")
    assert shown.code == 0
    assert pq.read_table(here / "table.parquet").equals(at.audit_table(at.PFA(), log, folds=2))


def test_compare_and_replay_say_what_ties_move(run, log: at.Log, here: Path) -> None:
    random, n = np.random.default_rng(0), 1200
    time = pa.array(1_600_000_000_000_000 + 10_000_000_000 * (np.arange(n) // 5), pa.timestamp("us", "UTC"))
    columns = {"student": np.arange(n) // 20, "item": np.arange(n) % 20, "skill": ["k"] * n, "time": time}
    pq.write_table(pa.table({**columns, "correct": np.repeat(random.integers(0, 2, n // 5), 5)}), here / "tied.parquet")
    compare = ["compare", "tied.parquet", "--models", "recency", "--folds", "2", "--draws", "20"]
    for command in (compare, ["replay", "tied.parquet", "--every", "12d", "--draws", "20"]):
        together, in_order = (run(*command, "-o", "out.csv", "--ties", ties) for ties in ("together", "in-order"))
        assert (together.code, in_order.code) == (0, 0), together.stderr
        assert "before others of the same student and time were learned: AUC 0." in together.stderr
        assert "before others" not in in_order.stderr
