"""Bad input is one error that says all that is wrong, where, and what to do; strange input is no error."""

from __future__ import annotations

import datetime
import gzip
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import adaptrace as at

HEADER = "student,item,skill,correct"
GOOD = "Ada,q1,halves,1"

# lines of a CSV -> what its message must say
BAD = {
    "missing column": (
        ["student,item,correct", "Ada,q1,1"],
        ["column 'skill'", "student, item, correct", "rename a column", "--column skill=NAME"],
    ),
    "correct of 2": ([HEADER, GOOD, "Ada,q1,halves,2"], ["column 'correct'", "row 2", "got 2", "points / most points"]),
    "correct of -1": ([HEADER, GOOD, "Ada,q1,halves,-1"], ["column 'correct'", "row 2", "got -1", "points / most points"]),
    "correct of yes": ([HEADER, GOOD, "Ada,q1,halves,yes"], ["column 'correct'", "row 2", "got 'yes'", "points / most points"]),
    "correct is blank": ([HEADER, GOOD, "Ada,q1,halves,"], ["column 'correct'", "row 2", "got null", "points / most points"]),
    "no student": ([HEADER, GOOD, ",q1,halves,1"], ["column 'student'", "row 2", "got null", "drop these rows"]),
    "no item": ([HEADER, GOOD, "Ada,,halves,1"], ["column 'item'", "row 2", "got null", "drop these rows"]),
    "no skill": ([HEADER, GOOD, "Ada,q1,,1"], ["column 'skill'", "row 2", "got null", "drop these rows"]),
    "no skills": (
        ["student,item,skills,correct", "Ada,q1,a;b,1", "Ada,q1,,1"],
        ["column 'skills'", "row 2", "give them a skill"],
    ),
    "only separators": (["student,item,skills,correct", "Ada,q1,a,1", "Ada,q1,;,1"], ["column 'skills'", "row 2", "skill"]),
    "renamed column": (["pupil_id,user,item,kc,score", "1,,q1,a,1"], ["column 'user'", "row 1", "got null"]),
    "two columns of one name": (["student,student,item,skill,correct", "Ada,Ada,q1,a,1"], ["column 'student'"]),
    "empty file": ([], ["an empty file", "at least a header", "export the file again"]),
    "short row": ([HEADER, GOOD, "Ada,q1"], ["row 2", "got 2 cells; expected 4 as in the header", "quote", "cut short"]),
    "long row": ([HEADER, GOOD, "Ada,q1,a, b,1"], ["row 2", "5 cells", "4 as in the header", "quote"]),
    "bad time": ([f"{HEADER},time", f"{GOOD},yesterday"], ["column 'time'", "row 1", "got 'yesterday'", "ISO 8601"]),
    "negative time taken": ([f"{HEADER},response_ms", f"{GOOD},-5"], ["column 'response_ms'", "row 1", "got -5.0", "clear"]),
    "conflicting rows of one event": (
        [f"{HEADER},event_id", f"{GOOD},e1", "Ben,q1,quarters,0,e1"],
        [
            "column 'student', row 2",
            "got another one for event_id 'e1'",
            "the one as in row 1",
            "column 'correct', row 2",
            "different ids",
        ],
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_one_data_error_that_names_file_place_value_and_remedy(csv_file, name: str) -> None:
    lines, parts = BAD[name]
    path = csv_file(*lines)
    with pytest.raises(at.DataError) as raised:
        at.Log.read(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert [part for part in parts if part not in message] == []


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_ends_the_command_with_one_message_and_nothing_written(csv_file, run, tmp_path: Path, name: str) -> None:
    lines, parts = BAD[name]
    path = csv_file(*lines)
    outcome = run("fit", path, "-o", tmp_path / "model.json")
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith(f"error: {path}: ")
    assert outcome.stderr.count("error:") == 1
    assert "Traceback" not in outcome.stderr
    assert [part for part in parts if part not in outcome.stderr] == []
    assert list(tmp_path.iterdir()) == [path]


def refused(read, *arguments: object, **options: object) -> at.DataError:
    with pytest.raises(at.DataError) as raised:
        read(*arguments, **options)
    return raised.value


# ---- values -----------------------------------------------------------------


def test_an_outcome_that_is_not_a_number_is_told(responses, tmp_path: Path) -> None:
    pyarrow.parquet.write_table(responses(correct=[1.0, float("nan")]), tmp_path / "log.parquet")
    message = str(refused(at.Log.read, tmp_path / "log.parquet"))
    assert message.startswith(f"{tmp_path / 'log.parquet'}: column 'correct', row 2: got nan; expected 0, 1")


def test_all_violations_of_a_file_are_told_together(csv_file) -> None:
    path = csv_file("user,item,correct,response_ms,time", ",q1,7,-1,2025-01-01", "Ada,,1,5,2025-01-02", ",q1,-3,5,")
    error = refused(at.Log.read, path)
    assert [(problem.column, problem.row, problem.got, problem.more) for problem in error.problems[1:]] == [
        ("user", 1, "null", 1),
        ("item", 2, "null", 0),
        ("correct", 1, "7", 1),
        ("time", 3, "null", 0),
        ("response_ms", 1, "-1.0", 0),
    ]
    assert error.problems[0].column == "skill"
    lines = str(error).splitlines()
    assert lines[0] == f"{path}: 6 problems"
    assert len(lines) == 7


def test_every_broken_row_of_a_csv_is_told(csv_file) -> None:
    error = refused(at.Log.read, csv_file(HEADER, "Ada,q1", GOOD, "Ada,q1,a,b,c"))
    assert [problem.row for problem in error.problems] == [1, 3]


@pytest.mark.parametrize("bad", ["Ada,q1,halves,7", "Ada,q1,halves,", ",q1,halves,1", "Ada,q1,halves,yes"])
def test_a_problem_in_a_folder_names_the_file_and_its_row(csv_file, tmp_path: Path, bad: str) -> None:
    csv_file(HEADER, GOOD, GOOD, name="logs/monday.csv")
    csv_file(HEADER, GOOD, bad, name="logs/tuesday.csv")
    message = str(refused(at.Log.read, tmp_path / "logs"))
    assert "tuesday.csv" in message
    assert "row 2" in message
    assert "monday.csv" not in message


def test_a_column_missing_in_one_file_of_a_folder_names_the_file(csv_file, tmp_path: Path) -> None:
    csv_file(HEADER, GOOD, name="logs/monday.csv")
    csv_file("student,item,correct", "Ada,q1,1", name="logs/tuesday.csv")
    message = str(refused(at.Log.read, tmp_path / "logs"))
    assert "tuesday.csv" in message
    assert "column 'skill'" in message


def test_broken_rows_in_two_files_of_a_folder_are_told_together(csv_file, tmp_path: Path) -> None:
    for name in ("monday", "tuesday"):
        csv_file(HEADER, "Ada,q1", name=f"logs/{name}.csv")
    message = str(refused(at.Log.read, tmp_path / "logs"))
    assert "monday.csv" in message
    assert "tuesday.csv" in message


def test_an_empty_list_of_skills_is_told(responses) -> None:
    (problem,) = refused(at.Log.from_arrow, responses(skills=[["a"], []])).problems
    assert (problem.column, problem.row, problem.got) == ("skills", 2, "[]")


def test_the_rows_of_an_event_that_differ_are_told_for_each_column(responses) -> None:
    table = responses(student=["Ada", "Ben", "Ada"], correct=[1, 0, 0], event_id=[5, 5, 5])
    problems = refused(at.Log.from_arrow, table).problems
    assert [(problem.column, problem.row, problem.more) for problem in problems] == [("student", 2, 0), ("correct", 2, 1)]


def test_items_the_catalog_lacks_are_all_told_with_the_nearest(csv_file) -> None:
    catalog = at.Catalog.from_arrow({"item": ["fractions-1", "fractions-2"], "skill": ["f", "f"]})
    path = csv_file("student,item,correct", "Ada,fractions-1,1", "Ada,fractoins-2,1", "Ben,fractoins-2,0", "Ben,xyz,0")
    error = refused(at.Log.read, path, catalog=catalog)
    assert error.source == str(path)
    assert [(problem.column, problem.row, problem.got, problem.more, problem.remedy) for problem in error.problems] == [
        ("item", 2, "'fractoins-2'", 1, "did you mean 'fractions-2'?"),
        ("item", 4, "'xyz'", 0, "add it to the catalog"),
    ]


# ---- order ------------------------------------------------------------------


@pytest.mark.parametrize(
    ("rows", "parts"),
    [
        (["Ada,q1,a,1,7", "Ada,q1,a,1,5"], ["column 'order', row 2", "got 5", "at least 7"]),
        (["Ada,q1,a,1,1", "Ben,q1,a,1,1", "Ada,q1,a,1,2"], ["column 'student', row 3", "a student again", "together"]),
    ],
    ids=["time goes back", "student comes back"],
)
def test_a_broken_promise_of_order_is_told(csv_file, run, rows: list[str], parts: list[str]) -> None:
    path = csv_file(f"{HEADER},order", *rows)
    message = str(refused(at.Log.read, path, ordered=True))
    assert [part for part in [f"{path}: ", *parts, "drop the promise"] if part not in message] == []
    outcome = run("fit", path, "--ordered")
    assert (outcome.code, outcome.stderr) == (1, f"error: {message}\n")


def test_a_broken_promise_names_the_row_of_the_source_also_after_events_were_merged(responses) -> None:
    table = responses(event_id=[1, 1, 2, 3], order=[5, 5, 6, 4])
    (problem,) = refused(at.Log.from_arrow, table, ordered=True).problems
    assert problem.row == 4


# ---- options ----------------------------------------------------------------


def test_a_column_to_keep_that_is_not_there_is_told(responses) -> None:
    assert "class" in str(refused(at.Log.from_arrow, responses(), keep=["class"]))


def test_a_mapped_column_that_is_not_there_is_told(responses) -> None:
    (problem,) = refused(at.Log.from_arrow, responses(), columns={"student": "pupil"}).problems
    assert (problem.column, problem.expected) == ("student", "column 'pupil'")


def test_a_misspelt_name_in_a_mapping_is_told_and_not_ignored(responses) -> None:
    table = responses(when=[2, 1])
    assert "'tiem'" in str(refused(at.Log.from_arrow, table, columns={"tiem": "when"}))


def test_an_unknown_unit_of_time_is_told(responses, csv_file, run) -> None:
    assert "'h'" in str(refused(at.Log.from_arrow, responses(time=[1, 2]), time_unit="h"))
    path = csv_file(f"{HEADER},time", f"{GOOD},1")
    assert run("fit", path, "--time-unit", "h").code in (1, 2)


def test_an_unknown_format_is_told_with_those_there_are(csv_file, run) -> None:
    path = csv_file(HEADER, GOOD)
    assert "'morse'; expected one of: assistments2009" in str(refused(at.Log.read, path, format="morse"))
    assert run("fit", path, "--format", "morse").code == 1


BAD_OPTIONS = [
    ({"items": ("guss",)}, "items: got ('guss',); expected some of ('learn', 'guess', 'slip')"),
    ({"items": "guess"}, "items: got 'guess'; expected some of"),
    ({"items": True}, "items: got True; expected some of"),
    ({"kinds": ("prior",)}, "kinds: got ('prior',); expected some of ('learn', 'guess', 'slip')"),
    ({"groups": ("guess",)}, "groups: got ('guess',); expected some of ('prior', 'learn')"),
    ({"students": ("slip", "prior")}, "students: got ('slip', 'prior'); expected some of ('prior', 'learn')"),
    ({"levels": {"project": 1}}, "levels: got {'project': 1}; expected kind -> number of its levels, at least 2"),
    ({"levels": {"project": 4.0}}, "levels: got {'project': 4.0}"),
    ({"combine": "product"}, "combine: got 'product'; expected one of auto, conjunctive, mean, min, weakest-first"),
    ({"pooling": -1.0}, "pooling: got -1.0; expected 0 or more"),
    ({"pooling": float("nan")}, "pooling: got nan"),
    ({"bounds": {"slip": (0.4, 0.3)}}, "bounds of slip: got (0.4, 0.3); expected 0 <= lowest <= highest <= 1"),
    (
        {"bounds": {"guess": (0.0, 0.3)}, "fixed": {"guess": 0.4}},
        "fixed guess: got 0.4; expected a value in its bounds (0.0, 0.3)",
    ),
    ({"fixed": {"forget": 0.1}}, "fixed forget: got 0.1; expected a value in its bounds (0.0, 0.02)"),
    ({"fixed": {"tempo": 0.1}}, "fixed: got 'tempo'; expected one of prior, learn, forget, guess, slip"),
]


@pytest.mark.parametrize(("options", "told"), BAD_OPTIONS, ids=lambda value: value if isinstance(value, str) else "")
def test_an_option_that_makes_no_model_is_one_error_that_says_what_is_expected(options: dict[str, object], told: str) -> None:
    with pytest.raises(at.ModelError) as raised:
        at.BKT(**options)
    assert told in str(raised.value)


def test_all_that_is_wrong_with_what_varies_is_told_together() -> None:
    with pytest.raises(at.ModelError) as raised:
        at.BKT(items=("guss",), groups=("x",), combine="y", pooling=-1)
    assert [part in str(raised.value) for part in ("items", "groups", "combine", "pooling")] == [True] * 4


def test_an_unknown_option_is_named() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'forgets'"):
        at.BKT(forgets=True)


def test_stats_of_another_structure_cannot_be_added_or_fitted(responses) -> None:
    log = at.Log.from_arrow(responses(correct=[0, 1, 1]))
    plain, by_item = at.BKT().stats(log), at.BKT(items=("guess",)).stats(log)
    with pytest.raises(ValueError, match=r"one tells apart outcomes only, the other item; make both with the same model's stats"):
        plain + by_item
    with pytest.raises(at.ModelError, match=r"they tell apart item; expected outcomes only: use this model's stats\(log\)"):
        at.BKT().fit(by_item)
    with pytest.raises(at.ModelError, match="they tell apart outcomes only; expected item and student"):
        at.BKT(items=("guess",), students=("prior",)).fit(plain)
    with pytest.raises(TypeError):
        plain + 1


def test_a_model_file_of_a_future_schema_is_refused(responses, tmp_path: Path) -> None:
    log = at.Log.from_arrow(responses(correct=[0, 1, 1], kind=["practice", "project", "project"]))
    at.BKT(items=("guess",), levels={"project": 2}).fit(log).save(tmp_path / "model.json")
    document = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps({**document, "schema": document["schema"] + 1}))
    with pytest.raises(at.ModelError, match=r"model\.json: schema \d+, this version reads up to \d+; upgrade adaptrace"):
        at.load(tmp_path / "model.json")


def test_a_response_before_the_last_is_refused_where_mastery_fades_and_changes_nothing(responses) -> None:
    log = at.Log.from_arrow(responses(correct=[0, 1, 1], time=[1, 2, 3]), time_unit="s")
    student = at.Student.from_log(at.BKT(elapsed=True).fit(log), log, student="Ada")
    before = student.to_dict()
    with pytest.raises(ValueError, match="before the last response at 1970-01-01 00:00:03"):
        student.observe("q", 1, skills=["halves"], time=datetime.datetime(1970, 1, 1, 0, 0, 2))
    with pytest.raises(ValueError, match=r"time: got none; .* pass time="):
        student.observe("q", 1, skills=["halves"])
    assert student.to_dict() == before


# ---- files ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["log.parquet", "log.feather"])
@pytest.mark.parametrize("keep", [0.0, 0.2, 0.9])
def test_a_file_cut_short_is_told(responses, tmp_path: Path, run, name: str, keep: float) -> None:
    path, output = tmp_path / name, tmp_path / "model.json"
    (pyarrow.parquet.write_table if name.endswith("parquet") else pa.feather.write_feather)(responses(), path)
    path.write_bytes(path.read_bytes()[: int(keep * path.stat().st_size)])
    assert str(refused(at.Log.read, path)).startswith(f"{path}: got ")
    outcome = run("fit", path, "-o", output)
    assert (outcome.code, outcome.stdout, output.exists()) == (1, "", False)
    assert outcome.stderr.count("\n") == 1


def test_a_gzipped_file_cut_short_is_told(csv_file, tmp_path: Path) -> None:
    path = csv_file(HEADER, GOOD, name="log.csv.gz")
    assert "not compressed; expected .gz as its name says" in str(refused(at.Log.read, path))
    path.write_bytes(gzip.compress(f"{HEADER}\n{GOOD}\n".encode())[:-12])
    assert "damaged or cut short" in str(refused(at.Log.read, path))


@pytest.mark.parametrize("text", ["Zoë,q1,halves,1", "Ada,q1,halves,1"])
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_text_in_another_encoding_is_told_unless_its_first_bytes_say_which(tmp_path: Path, encoding: str, text: str) -> None:
    path = tmp_path / "log.csv"
    path.write_bytes(f"{HEADER}\n{text}\n".encode(encoding))
    if encoding == "utf-16" or text.isascii():
        assert at.Log.read(path).students.to_pylist() == [text.split(",")[0]]
    else:
        assert f"{path}: got line 2, which is not UTF-8" in str(refused(at.Log.read, path))


@pytest.mark.parametrize("name", ["log.xlsx", "log"])
def test_an_unknown_ending_is_told_with_those_there_are(csv_file, run, name: str) -> None:
    path = csv_file(HEADER, GOOD, name=name)
    assert "Parquet (.parquet)" in str(refused(at.Log.read, path))
    assert run("fit", path).code == 1


@pytest.mark.parametrize("name", ["none.csv", "none/*.parquet", "none"])
def test_a_file_that_is_not_there_is_told(tmp_path: Path, run, name: str) -> None:
    assert "no such file" in str(refused(at.Log.read, tmp_path / name))
    assert run("fit", tmp_path / name).code == 1


def test_a_folder_without_data_is_told(tmp_path: Path) -> None:
    (tmp_path / "readme.md").write_text("nothing here")
    assert "a folder without data files" in str(refused(at.Log.read, tmp_path))


@pytest.mark.parametrize("name", ["none/out.parquet", "folder.parquet", "out.xlsx"])
@pytest.mark.parametrize("command", ["score", "predict"])
def test_an_output_that_cannot_be_written_is_told(csv_file, run, model: at.BKT, tmp_path: Path, command: str, name: str) -> None:
    (tmp_path / "folder.parquet").mkdir()
    model.save(tmp_path / "model.json")
    before = sorted(tmp_path.rglob("*"))
    path = csv_file(HEADER, GOOD)
    outcome = run(command, path, "-m", tmp_path / "model.json", "-o", tmp_path / name)
    assert (outcome.code, outcome.stdout) == (1, "")
    assert outcome.stderr.startswith(f"error: {tmp_path / name}: ")
    assert outcome.stderr.count("\n") == 1
    assert sorted(tmp_path.rglob("*")) == sorted([*before, path])


@pytest.mark.parametrize("name", ["none/model.json", "folder"])
def test_a_model_that_cannot_be_written_is_told(csv_file, run, tmp_path: Path, name: str) -> None:
    (tmp_path / "folder").mkdir()
    outcome = run("fit", csv_file(HEADER, GOOD), "-o", tmp_path / name)
    assert outcome.code == 1
    assert outcome.stderr.startswith(f"error: {tmp_path / name}: cannot be written: ")
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["folder", "log.csv"]


# ---- catalogs ---------------------------------------------------------------

BAD_CATALOGS = {
    "circle": ([("1", "a"), ("2", "b")], [("a", "b"), ("b", "a")], ["circle", "remove one of them"]),
    "repeated item": ([("1", "a"), ("1", "b")], [], ["column 'item', row 2", "'1' again", "row 1", "join the rows"]),
    "unknown prerequisite": ([("1", "a")], [("a", "zz")], ["'zz' before 'a'", "correct the name or add the skill"]),
}


@pytest.mark.parametrize("name", BAD_CATALOGS)
def test_a_bad_catalog_is_told(csv_file, run, model: at.BKT, tmp_path: Path, name: str) -> None:
    items, needs, parts = BAD_CATALOGS[name]
    document = {
        "items": [{"item": item, "skills": [skill]} for item, skill in items],
        "skills": [{"skill": skill, "prerequisites": [need]} for skill, need in needs],
    }
    path = tmp_path / "catalog.json"
    path.write_text(json.dumps(document))
    message = str(refused(at.Catalog.read, path))
    assert [part for part in [f"{path}: ", *parts] if part not in message] == []
    model.save(tmp_path / "model.json")
    outcome = run("recommend", "-m", tmp_path / "model.json", "-C", path, "-l", csv_file(HEADER, GOOD), "-s", "Ada")
    assert outcome == (1, "", f"error: {message}\n")


# ---- what is no error -------------------------------------------------------


@pytest.mark.parametrize("extra", ["", ",time", ",order", ",event_id", ",response_ms", ",kind"])
def test_a_csv_of_a_header_alone_is_an_empty_log(csv_file, extra: str) -> None:
    log = at.Log.read(csv_file(HEADER + extra))
    assert (len(log), len(log.students), len(log.skills)) == (0, 0, 0)


def test_an_empty_log_goes_through_every_command(csv_file, run, tmp_path: Path) -> None:
    path, model = csv_file(HEADER), tmp_path / "model.json"
    assert run("fit", path, "-o", model).code == 0
    assert run("score", path, "-m", model)[:2] == (0, '"student","skill","mastery","low","high","opportunities","fitted"\n')
    assert run("predict", path, "-m", model)[:2] == (0, '"student","item","skill","correct","prediction","fitted","source_row"\n')


def check_all(log: at.Log) -> at.BKT:
    """Fit, predict and score, and find only probabilities strictly between 0 and 1."""
    model = at.BKT().fit(log)
    mastery = model.score(log)["mastery"].to_numpy()
    for values in (model.predict(log), mastery, np.concatenate(model.parameters[:2] + model.parameters[3:])):
        assert np.all((values > 0.0) & (values < 1.0))
    assert np.isfinite(model.log_likelihood(log))
    return model


def test_an_empty_log_can_be_fitted(responses) -> None:
    model = check_all(at.Log.from_arrow(responses().slice(2)))
    assert len(model.skills) == 0
    assert 0.0 < model.row("anything")[0] < 1.0


@pytest.mark.parametrize("correct", [0, 1, 0.5])
def test_a_log_of_one_row_can_be_fitted(responses, correct: float) -> None:
    check_all(at.Log.from_arrow(responses(correct=[correct])))


def test_a_skill_with_one_response_is_fitted_beside_others(responses) -> None:
    model = check_all(at.Log.from_arrow(responses(skill=["a"] * 9 + ["rare"], correct=[0, 1, 1, 0, 1, 0, 1, 1, 1, 0])))
    assert model.skills.to_pylist() == ["a", "rare"]


@pytest.mark.parametrize("correct", [0, 1])
def test_a_skill_whose_answers_are_all_alike_is_no_certainty(correct: int) -> None:
    student = np.repeat(np.arange(50), 20)
    check_all(at.Log.from_arrow({"student": student, "item": student, "skill": student % 2, "correct": np.full(1000, correct)}))


@pytest.mark.parametrize("pattern", ["random", "right", "wrong", "turning", "partial"])
def test_a_hundred_thousand_responses_of_one_student_stay_probabilities(responses, pattern: str) -> None:
    size, random = 100_000, np.random.default_rng(1)
    correct = {
        "random": random.integers(0, 2, size),
        "right": np.ones(size),
        "wrong": np.zeros(size),
        "turning": np.arange(size) // (size // 2),
        "partial": random.integers(0, 5, size) / 4,
    }[pattern]
    log = at.Log.from_arrow(responses(correct=correct))
    assert check_all(log).score(log)["opportunities"].to_pylist() == [size]
