"""What is wrong with a district's files is said once, with the file; the rest can go on without them."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.dataset import partition
from reference import folders


@pytest.fixture(autouse=True)
def small_pieces(monkeypatch) -> None:
    monkeypatch.setattr(partition, "MOST_ROWS", 200)


@pytest.fixture(scope="module")
def model() -> at.BKT:
    return folders.model()


@pytest.fixture
def log(tmp_path: Path) -> Path:
    return folders.write(folders.responses(1), tmp_path / "log", 5)


def change(path: Path, name: str, make) -> None:
    table = pq.read_table(path)
    pq.write_table(table.set_column(table.column_names.index(name), name, make(table[name])), path)


def set_row(row: int, value: object):
    def make(column: pa.ChunkedArray) -> pa.Array:
        values = column.to_pylist()
        values[row] = value
        return pa.array(values, column.type)

    return make


def cut_short(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-300])


def scramble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4:400] = bytes(396)  # a page; the footer says that all is well
    path.write_bytes(bytes(content))


BAD = {
    "of another schema": (
        lambda path: change(path, "skill", lambda column: pa.array(range(len(column)), pa.date32())),
        "part-03.parquet: got times in column 'skill'; expected text as in most files",
    ),
    "without a column": (
        lambda path: pq.write_table(pq.read_table(path).drop_columns(["correct"]), path),
        "part-03.parquet, column 'correct': got the columns student, item, time, kind, skill; expected column 'correct'",
    ),
    "cut short": (cut_short, "part-03.parquet: got Parquet magic bytes not found in footer"),
    "with a broken page": (scramble, "part-03.parquet: got "),
    "no Parquet": (lambda path: path.with_suffix(".csv").write_text("student,item\n"), "part-03.csv: got the ending '.csv'"),
    "with a wrong value": (
        lambda path: change(path, "correct", set_row(333, 7)),
        "part-03.parquet, column 'correct', row 334: got 7; expected 0, 1",
    ),
    "with a nameless student": (
        lambda path: change(path, "student", set_row(5, None)),
        "part-03.parquet, column 'student', row 6: got null; expected a key in every row",
    ),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_error_that_names_it_and_nothing_is_written(kind: str, log: Path, model, tmp_path: Path) -> None:
    spoil, message = BAD[kind]
    spoil(log / "part-03.parquet")
    with pytest.raises(at.DataError) as error:
        at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    assert message in str(error.value)
    assert len(error.value.problems) == 1
    assert not (tmp_path / "out").exists()
    assert not (tmp_path / "state").exists()
    assert folders.names(tmp_path) == ["log"]


@pytest.mark.parametrize("kind", BAD)
def test_bad_files_can_be_left_out_and_are_listed(kind: str, log: Path, model, tmp_path: Path) -> None:
    BAD[kind][0](log / "part-03.parquet")
    scored = at.score_dataset(log, tmp_path / "out", model=model, workers=2, skip_bad=True)
    (row,) = pyarrow.csv.read_csv(tmp_path / "out.skipped.csv").to_pylist()
    bad = "part-03.csv" if kind == "no Parquet" else "part-03.parquet"
    assert Path(row["file"]).name == bad
    assert row["problem"].startswith(("got ", "column "))
    assert len(scored.skipped) == 1
    (log / bad).unlink()
    assert folders.mastery(tmp_path / "out").equals(folders.in_memory(model, log))


def test_every_bad_file_is_in_the_one_error(log: Path, model, tmp_path: Path) -> None:
    change(log / "part-01.parquet", "correct", set_row(1, 7))
    change(log / "part-04.parquet", "student", set_row(2, None))
    with pytest.raises(at.DataError) as error:
        at.score_dataset(log, tmp_path / "out", model=model, workers=2)
    assert [Path(problem.file).name for problem in error.value.problems] == ["part-01.parquet", "part-04.parquet"]


def test_a_list_of_an_earlier_run_goes_when_nothing_is_left_out(log: Path, model, tmp_path: Path) -> None:
    (tmp_path / "out.skipped.csv").write_text("file,problem\n")
    at.score_dataset(log, tmp_path / "out", model=model, workers=2)
    assert not (tmp_path / "out.skipped.csv").exists()


def test_one_event_told_twice_differently_is_an_error(model, tmp_path: Path) -> None:
    table = folders.responses(2, 100, students=1)
    table = table.append_column("event_id", pa.array(["e"] * 2 + [f"e{number}" for number in range(98)]))
    log = folders.write(table, tmp_path / "log", 2)
    with pytest.raises(at.DataError, match=r"for event_id 'e of student student-0'; expected .* as in row 1 of the same event"):
        at.score_dataset(log, tmp_path / "out", model=model)


def test_a_state_of_another_model_is_refused(log: Path, model, tmp_path: Path) -> None:
    at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "state")
    other = at.BKT(forget=False).fit(at.Log.read(log))
    with pytest.raises(at.ModelError, match=f"state: a state of model {model.fingerprint}; expected {other.fingerprint}"):
        at.score_dataset(log, tmp_path / "out", model=other, state=tmp_path / "state")


def test_a_file_that_changed_since_the_state_saw_it_is_refused(log: Path, model, tmp_path: Path) -> None:
    at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "state")
    change(log / "part-02.parquet", "correct", lambda column: pc.subtract(1, column))
    with pytest.raises(at.DataError, match=r"part-02\.parquet: got a file that changed; expected files that the state has seen"):
        at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "state")


def test_a_state_that_lost_a_file_is_refused(log: Path, model, tmp_path: Path) -> None:
    at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "state")
    next((tmp_path / "state").glob("*.parquet")).unlink()
    with pytest.raises(at.ModelError, match=r"state: the files .*\.parquet are missing; restore them or start a new state"):
        at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "state")


def test_a_state_needs_an_order_in_time(log: Path, model, tmp_path: Path) -> None:
    for path in log.iterdir():
        pq.write_table(pq.read_table(path).drop_columns(["time"]), path)
    with pytest.raises(at.DataError, match="expected column time or order, which a state needs"):
        at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "state")


def test_folders_of_others_are_not_touched(log: Path, model, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("")
    with pytest.raises(at.OutputError, match="mine: got a folder that holds other things; expected a new or empty one"):
        at.score_dataset(log, tmp_path / "mine", model=model)
    with pytest.raises(at.OutputError, match="mine: got a folder that holds other things; expected a new or empty one"):
        at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "mine")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"memory": "2 apples"}, "memory: got '2 apples'; expected a size, e.g. '2GB'"),
        ({"memory": "100MB"}, "memory: got '100MB'; expected at least '418MB' for 2 workers"),
        ({"changed": True}, "changed: got True without a state"),
        ({"state": "log/state"}, "lies in the log that is read"),
        ({"state": "out"}, "got one folder for the output and the state"),
        ({"state": "state", "before": "2020"}, "before and state: got both"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, message: str, log: Path, model, tmp_path: Path) -> None:
    if "state" in options:
        options = {**options, "state": tmp_path / options["state"]}
    if "before" in options:
        options = {**options, "before": pq.read_table(log)["time"][0].as_py()}
    with pytest.raises(ValueError, match=message):
        at.score_dataset(log, tmp_path / "out", model=model, workers=2, **options)


def test_only_models_that_know_mastery_score_and_only_tracing_has_a_state(log: Path, tmp_path: Path) -> None:
    table = at.Log.read(log)
    with pytest.raises(at.ModelError, match="does not know mastery"):
        at.score_dataset(log, tmp_path / "out", model=at.Constant().fit(table))
    with pytest.raises(at.ModelError, match="a state of Blend: expected a BKT"):
        at.score_dataset(log, tmp_path / "out", model=at.Blend().fit(table), state=tmp_path / "state")


def test_neither_output_nor_state_takes_the_place_of_the_other(log: Path, model, tmp_path: Path) -> None:
    at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "state")
    with pytest.raises(at.OutputError, match=r"state: got a folder that holds state; expected .* one of mastery"):
        at.score_dataset(log, tmp_path / "state", model=model)
    with pytest.raises(at.OutputError, match=r"out: got a folder that holds mastery; expected .* one of state"):
        at.score_dataset(log, tmp_path / "new", model=model, state=tmp_path / "out")


def test_what_others_put_into_an_output_stays(log: Path, model, tmp_path: Path) -> None:
    at.score_dataset(log, tmp_path / "out", model=model)
    (tmp_path / "out" / "README.txt").write_text("mine")
    at.score_dataset(log, tmp_path / "out", model=model)
    assert (tmp_path / "out" / "README.txt").read_text() == "mine"


def test_files_with_and_without_ids_of_events_do_not_mix(log: Path, model, tmp_path: Path) -> None:
    for number in range(4):
        path = log / f"part-{number:02d}.parquet"
        table = pq.read_table(path)
        ids = pa.array([f"{number}-{row}" for row in range(len(table))])
        pq.write_table(table.append_column("event_id", ids), path)
    with pytest.raises(at.DataError) as error:
        at.score_dataset(log, tmp_path / "out", model=model)
    (problem,) = error.value.problems
    assert str(problem).startswith("part-04.parquet: got no column 'event_id'; expected one as in the other files")


def test_a_night_that_contradicts_an_event_names_its_file_and_can_do_without_it(log: Path, model, tmp_path: Path) -> None:
    table = with_ids(log)
    at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    again = table.slice(70, 3).set_column(2, "correct", pc.subtract(1, table["correct"].slice(70, 3)))
    pq.write_table(again, log / "a-night.parquet")
    with pytest.raises(at.DataError, match=r"a-night\.parquet, column 'correct', row 1: got . for event_id '70 of student"):
        at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "state", workers=2)
    scored = at.score_dataset(log, tmp_path / "out", model=model, state=tmp_path / "state", workers=2, skip_bad=True)
    assert {problem.file for problem in scored.skipped} == {"a-night.parquet"}
    assert folders.mastery(tmp_path / "out").equals(folders.plain(model.score(at.Log.from_arrow(table))))


def with_ids(log: Path) -> pa.Table:
    """The same log, every response with an id of its own."""
    first, tables = 0, []
    for path in sorted(log.iterdir()):
        table = pq.read_table(path)
        tables.append(table.append_column("event_id", pa.array([str(first + row) for row in range(len(table))])))
        pq.write_table(tables[-1], path)
        first += len(table)
    return pa.concat_tables(tables)
