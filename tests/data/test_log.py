"""Log: whatever the layout of the source, one validated and ordered table."""

from __future__ import annotations

import datetime
import gzip
import io
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.feather
import pyarrow.parquet
import pytest

import adaptrace as at

TABLE = pa.table(
    {
        "student": ["Ada", "Ada", "Ben"],
        "item": ["q1", "q2", "q1"],
        "skill": ["halves", "quarters", "halves"],
        "correct": [0, 1, 1],
    }
)
UTC = datetime.UTC


def delimited(table: pa.Table, delimiter: str = ",") -> bytes:
    text = io.BytesIO()
    pyarrow.csv.write_csv(table, text, pyarrow.csv.WriteOptions(delimiter=delimiter))
    return text.getvalue()


WRITERS = {
    "log.parquet": pyarrow.parquet.write_table,
    "LOG.PQ": pyarrow.parquet.write_table,
    "log.feather": pyarrow.feather.write_feather,
    "log.arrow": pyarrow.feather.write_feather,
    "log.csv": lambda table, path: path.write_bytes(delimited(table)),
    "log.tsv": lambda table, path: path.write_bytes(delimited(table, "\t")),
    "log.csv.gz": lambda table, path: path.write_bytes(gzip.compress(delimited(table))),
    "log.tsv.gz": lambda table, path: path.write_bytes(gzip.compress(delimited(table, "\t"))),
}


class ArrayOnly:
    """Arrow data that knows nothing but the array protocol."""

    def __init__(self, batch: pa.RecordBatch) -> None:
        self.batch = batch

    def __arrow_c_array__(self, requested_schema: object = None) -> object:
        return self.batch.__arrow_c_array__(requested_schema)


SOURCES = {
    "table": lambda table: table,
    "sliced table": lambda table: pa.concat_tables([table, table]).slice(len(table)),
    "chunked table": lambda table: pa.concat_tables([table.slice(0, 1), table.slice(1)]),
    "batch": lambda table: table.to_batches()[0],
    "reader": lambda table: table.to_reader(),
    "array protocol": lambda table: ArrayOnly(table.to_batches()[0]),
    "pandas": lambda table: table.to_pandas(),
    "pandas categories": lambda table: table.to_pandas().astype({"student": "category", "skill": "category"}),
    "polars": pl.from_arrow,
    "polars categories": lambda table: pl.from_arrow(table).with_columns(pl.col("student", "skill").cast(pl.Categorical)),
    "duckdb": duckdb.from_arrow,
}


# ---- reading ----------------------------------------------------------------


@pytest.mark.parametrize("name", WRITERS)
def test_every_file_format_gives_the_same_log(tmp_path: Path, name: str) -> None:
    WRITERS[name](TABLE, tmp_path / name)
    assert at.Log.read(tmp_path / name).table.to_pydict() == TABLE.to_pydict()


def test_a_folder_is_read_as_one_log(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(TABLE.slice(0, 2), tmp_path / "a.parquet")
    pyarrow.parquet.write_table(TABLE.slice(2), tmp_path / "b.parquet")
    (tmp_path / "_SUCCESS").touch()
    (tmp_path / "notes.md").write_text("not data")
    assert at.Log.read(tmp_path).table.to_pydict() == TABLE.to_pydict()


def test_a_hive_partitioned_folder_gives_its_partitions_as_columns(tmp_path: Path) -> None:
    for year in ("2024", "2025"):
        (tmp_path / f"year={year}" / "month=01").mkdir(parents=True)
        pyarrow.parquet.write_table(TABLE, tmp_path / f"year={year}" / "month=01" / "part-0.parquet")
    log = at.Log.read(tmp_path, keep=["year", "month"])
    assert log.table["year"].to_pylist() == ["2024", "2024", "2025", "2025", "2024", "2025"]
    assert set(log.table["month"].to_pylist()) == {"01"}


def test_a_partition_may_be_a_canonical_column(tmp_path: Path) -> None:
    (tmp_path / "student=007").mkdir()
    pyarrow.parquet.write_table(TABLE.drop_columns("student"), tmp_path / "student=007" / "part-0.parquet")
    assert at.Log.read(tmp_path).students.to_pylist() == ["007"]


def test_a_glob_reads_the_files_that_match(tmp_path: Path) -> None:
    for name in ("2024-a.parquet", "2025-a.parquet", "2025-b.parquet"):
        pyarrow.parquet.write_table(TABLE, tmp_path / name)
    assert len(at.Log.read(f"{tmp_path}/2025-*.parquet")) == 2 * len(TABLE)


def test_a_file_whose_name_looks_like_a_glob_is_read_itself(tmp_path: Path) -> None:
    pyarrow.parquet.write_table(TABLE, tmp_path / "log[1].parquet")
    assert len(at.Log.read(tmp_path / "log[1].parquet")) == len(TABLE)


@pytest.mark.parametrize("source", SOURCES)
def test_every_source_of_arrow_data_gives_the_same_log(source: str) -> None:
    log = at.Log.from_arrow(SOURCES[source](TABLE))
    assert log.table.to_pydict() == TABLE.to_pydict()
    assert log.skills.to_pylist() == ["halves", "quarters"]


@pytest.mark.parametrize("frame", [pl.DataFrame, pd.DataFrame, pa.table])
def test_every_kind_of_text_is_read_in_every_column(frame: type) -> None:
    """Polars' strings are Arrow's string views."""
    columns = {"student": ["Ada"], "item": ["q1"], "skills": ["b;a"], "correct": ["1"], "time": ["2025-01-01T12:00:00"]}
    log = at.Log.from_arrow(frame({**columns, "kind": ["practice"], "event_id": ["e1"]}))
    row = {"student": "Ada", "item": "q1", "skills": ["a", "b"], "correct": 1, "kind": "practice", "event_id": "e1"}
    assert log.table.to_pylist() == [{**row, "time": datetime.datetime(2025, 1, 1, 12, tzinfo=UTC)}]


def test_a_polars_frame_can_be_fitted_and_scored() -> None:
    frame = pl.from_arrow(TABLE)
    scores = at.BKT().fit(at.Log.from_arrow(frame)).score(at.Log.from_arrow(frame))
    assert scores["skill"].to_pylist() == ["halves", "quarters", "halves"]


@pytest.mark.parametrize("source", ["pandas", "polars"])
def test_the_callers_frame_is_not_changed(source: str) -> None:
    frame = SOURCES[source](TABLE.take([2, 1, 0]))
    before = frame.to_dict(**({"as_series": False} if source == "polars" else {}))
    log = at.Log.from_arrow(frame)
    at.BKT().fit(log).predict(log)
    assert frame.to_dict(**({"as_series": False} if source == "polars" else {})) == before


def test_the_callers_buffers_are_not_changed(responses) -> None:
    correct, order = np.array([1, 0, 1, 0]), np.array([4, 3, 2, 1])
    at.Log.from_arrow(responses(correct=correct, order=order))
    assert correct.tolist() == [1, 0, 1, 0]
    assert order.tolist() == [4, 3, 2, 1]


# ---- names ------------------------------------------------------------------


def test_a_key_in_a_csv_stays_as_it_is_written(csv_file) -> None:
    log = at.Log.read(csv_file("student,item,skill,correct,event_id", "007,01.0,1e5,1,0042"))
    assert log.table.to_pylist() == [{"student": "007", "item": "01.0", "skill": "1e5", "correct": 1, "event_id": "0042"}]


KEYS = {
    "integers": pa.array([7, 9], pa.int64()),
    "small integers": pa.array([-100, 100], pa.int8()),
    "widest integers": pa.array([2**63 - 1, -(2**63)], pa.int64()),
    "widest unsigned": pa.array([2**64 - 1, 3], pa.uint64()),
    "strings": pa.array(["b", "a"]),
    "string dictionary": pa.array(["b", "a"]).dictionary_encode(),
    "integer dictionary": pa.array([70, 60], pa.int32()).dictionary_encode(),
    "dictionary with unused names": pa.DictionaryArray.from_arrays(pa.array([1, 2]), pa.array(["never", "b", "a"])),
}


@pytest.mark.parametrize("name", KEYS)
def test_keys_come_out_as_the_names_and_type_they_came_in(responses, model: at.BKT, name: str) -> None:
    keys = KEYS[name]
    kind = keys.type.value_type if pa.types.is_dictionary(keys.type) else keys.type
    scores = model.score(at.Log.from_arrow(responses(student=keys, skill=keys)))
    assert scores["student"].type.value_type == scores["skill"].type.value_type == kind
    assert scores["student"].to_pylist() == scores["skill"].to_pylist() == keys.to_pylist()


def test_dictionaries_that_differ_between_chunks_are_one_set_of_names(responses) -> None:
    chunks = pa.chunked_array([pa.array(names).dictionary_encode() for names in (["Ada", "Ben"], ["Ben", "Cyd"])])
    assert at.Log.from_arrow(responses(student=chunks)).students.to_pylist() == ["Ada", "Ben", "Cyd"]


def test_a_dictionary_that_repeats_a_name_is_one_student(responses) -> None:
    twice = pa.DictionaryArray.from_arrays(pa.array([0, 1]), pa.array(["Ada", "Ada"]))
    assert at.Log.from_arrow(responses(student=twice)).students.to_pylist() == ["Ada"]


REGEX_NAMES = ["(", ".*", "[a-z]+", "^", "a|b", "halves", "halves (2)", "{1}", "|", "\\d", "$"]


def test_a_name_with_regex_characters_is_never_a_pattern(responses) -> None:
    log = at.Log.from_arrow(responses(skill=REGEX_NAMES))
    priors = np.linspace(0.1, 0.9, len(REGEX_NAMES))
    model = at.BKT.from_parameters(REGEX_NAMES, prior=priors.tolist(), learn=0.2, guess=0.1, slip=0.1)
    np.testing.assert_allclose(model.predict(log), priors * 0.9 + (1.0 - priors) * 0.1, rtol=1e-12)
    assert sorted(model.score(log)["skill"].to_pylist()) == sorted(REGEX_NAMES)


def test_a_cell_of_skills_with_regex_characters_is_split_at_semicolons_only(csv_file) -> None:
    log = at.Log.read(csv_file("student,item,skills,correct", "Ada,q1,a|b;.*;(c,1"))
    assert log.table["skills"].to_pylist() == [["(c", ".*", "a|b"]]


# ---- columns ----------------------------------------------------------------


def test_a_column_is_found_by_its_alias_in_any_case(csv_file) -> None:
    log = at.Log.read(csv_file("User_ID, problem_id ,KC,Outcome", "Ada,q1,halves,1"))
    assert log.table.to_pylist() == [{"student": "Ada", "item": "q1", "skill": "halves", "correct": 1}]


def test_a_mapped_column_wins_over_one_that_has_the_name(csv_file) -> None:
    path = csv_file("student,pupil,item,skill,correct", "x,007,q1,halves,1")
    assert at.Log.read(path, columns={"student": "pupil"}).students.to_pylist() == ["007"]


def test_the_plain_name_wins_over_an_alias(responses) -> None:
    assert at.Log.from_arrow(responses(user=["x"], student=["Ada"])).students.to_pylist() == ["Ada"]


def test_a_further_column_is_kept_in_the_order_of_the_log(responses) -> None:
    log = at.Log.from_arrow(responses(order=[2, 1], room=["late", "early"]), keep=["room"])
    assert log.table["room"].to_pylist() == ["early", "late"]


@pytest.mark.parametrize(
    "skills",
    [["b;a;b", "c"], [["b", "a", "b"], ["c"]], pa.array([["b", "a", "b"], ["c"]], pa.large_list(pa.string()))],
    ids=["text", "lists", "large lists"],
)
def test_skills_of_an_event_are_a_sorted_list_without_repeats(responses, skills: object) -> None:
    log = at.Log.from_arrow(responses(skills=skills))
    assert log.has_several_skills
    assert log.table["skills"].to_pylist() == [["a", "b"], ["c"]]


def test_lists_of_one_skill_become_a_plain_column(responses) -> None:
    log = at.Log.from_arrow(responses(skills=[["b"], ["a", "a"]]))
    assert not log.has_several_skills
    assert log.table["skill"].to_pylist() == ["b", "a"]


def test_blanks_and_empty_names_in_a_cell_of_skills_are_no_skills(responses) -> None:
    """As in the prerequisites of a catalog."""
    assert at.Log.from_arrow(responses(skills=["a; b;", "a"])).skills.to_pylist() == ["a", "b"]


def test_skills_come_from_the_catalog_where_the_log_has_none(catalog: at.Catalog) -> None:
    log = at.Log.from_arrow({"student": ["Ada", "Ada"], "item": ["q2", "h1"], "correct": [1, 0]}, catalog=catalog)
    assert log.table["skill"].to_pylist() == ["quarters", "halves"]


# ---- events -----------------------------------------------------------------


def test_rows_of_one_event_become_one_response_with_all_their_skills(responses) -> None:
    log = at.Log.from_arrow(responses(skill=["b", "c", "a"], item=["q1", "q2", "q1"], correct=[0, 1, 0], event_id=[5, 6, 5]))
    assert log.table.select(["item", "skills", "correct"]).to_pylist() == [
        {"item": "q1", "skills": ["a", "b"], "correct": 0},
        {"item": "q2", "skills": ["c"], "correct": 1},
    ]
    assert log.source_row.tolist() == [0, 1]


def test_a_row_delivered_twice_under_one_event_id_counts_once(responses) -> None:
    log = at.Log.from_arrow(responses(event_id=["e1", "e2", "e1"]))
    assert log.table["skill"].to_pylist() == ["halves", "halves"]
    assert log.rows.opportunity.tolist() == [1, 2]


# ---- order ------------------------------------------------------------------


@pytest.mark.parametrize("extra", [{}, {"order": [1, 1, 2, 0]}, {"event_id": [3, 1, 2, 0]}], ids=["none", "ties", "events"])
def test_an_ordered_log_is_not_moved(responses, extra: dict) -> None:
    log = at.Log.from_arrow(responses(student=["Ben", "Ben", "Ben", "Ada"], **extra))
    assert log.source_row.tolist() == [0, 1, 2, 3]
    assert log.students.to_pylist() == ["Ben", "Ada"]


def test_an_unordered_log_is_grouped_by_student_and_put_in_time_order(responses) -> None:
    log = at.Log.from_arrow(
        responses(student=["Ben", "Ada", "Ben", "Ada", "Ben"], order=[9, 4, 7, 2, 8], correct=[1, 0, 0, 1, 1])
    )
    assert log.table["student"].to_pylist() == ["Ben", "Ben", "Ben", "Ada", "Ada"]
    assert log.source_row.tolist() == [2, 4, 0, 3, 1]
    assert log.correct.tolist() == [0, 1, 1, 1, 0]


def test_equal_times_stay_in_the_order_of_the_source() -> None:
    random = np.random.default_rng(7)
    student, order = random.integers(0, 20, 5000), random.integers(0, 9, 5000)
    log = at.Log.from_arrow({"student": student, "item": student, "skill": student, "correct": student % 2, "order": order})
    first_met = {name: place for place, name in enumerate(dict.fromkeys(student.tolist()))}
    expected = sorted(range(5000), key=lambda row: (first_met[int(student[row])], order[row]))  # sorted() is stable
    assert log.source_row.tolist() == expected


def test_without_time_the_rows_of_a_student_keep_their_order(responses) -> None:
    assert at.Log.from_arrow(responses(student=["a", "b", "a", "b"])).source_row.tolist() == [0, 2, 1, 3]


def test_a_kept_promise_of_order_is_no_error(responses) -> None:
    assert len(at.Log.from_arrow(responses(order=[1, 1, 2]), ordered=True)) == 3


# ---- time -------------------------------------------------------------------


def test_an_integer_time_is_a_mere_order(responses) -> None:
    log = at.Log.from_arrow(responses(time=[20, 10]))
    assert log.table["order"].to_pylist() == [10, 20]
    assert "time" not in log.table.column_names


@pytest.mark.parametrize(("unit", "scale"), [("s", 1), ("ms", 10**3), ("us", 10**6), ("ns", 10**9)])
def test_a_unit_makes_an_integer_time_a_clock(responses, unit: str, scale: int) -> None:
    log = at.Log.from_arrow(responses(time=[86_400 * scale, 86_401 * scale]), time_unit=unit)
    assert log.table.schema.field("time").type == pa.timestamp("us", tz="UTC")
    assert log.table["time"][0].as_py() == datetime.datetime(1970, 1, 2, tzinfo=UTC)


NOON = datetime.datetime(2025, 1, 1, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    "time",
    [
        pa.array([datetime.datetime(2025, 1, 1, 12)], pa.timestamp("ns")),
        pa.array([NOON], pa.timestamp("s", tz="Europe/Amsterdam")),
        pa.array(["2025-01-01T12:00:00"]),
        pa.array(["2025-01-01T13:00:00+01:00"]),
        pa.array(["2025-01-01 12:00:00Z"]),
    ],
    ids=["naive", "other zone", "naive text", "text with offset", "text in UTC"],
)
def test_time_is_utc_and_a_time_without_a_zone_is_utc(responses, time: pa.Array) -> None:
    assert at.Log.from_arrow(responses(time=time)).table["time"].to_pylist() == [NOON]


@pytest.mark.parametrize("text", ["2025-01-01T12:00:00", "2025-01-01 12:00:00", "2025-01-01T12:00:00Z"])
def test_an_iso_time_in_a_csv_is_read(csv_file, text: str) -> None:
    log = at.Log.read(csv_file("student,item,skill,correct,time", f"Ada,q1,halves,1,{text}"))
    assert log.table["time"].to_pylist() == [NOON]


# ---- parts ------------------------------------------------------------------


def test_a_split_puts_every_student_whole_on_one_side(sample_log: at.Log) -> None:
    train, test = sample_log.split(0.2, seed=3)
    assert len(test.students) == 60
    assert not set(train.students.to_pylist()) & set(test.students.to_pylist())
    assert sorted([*train.source_row, *test.source_row]) == list(range(len(sample_log)))


def test_a_split_keeps_the_rows_as_they_are(sample_log: at.Log) -> None:
    _, test = sample_log.split(0.1, seed=3)
    assert test.table.to_pylist() == sample_log.table.take(test.source_row).to_pylist()


def test_a_split_depends_on_the_seed_alone(sample_log: at.Log) -> None:
    first, again, other = (sample_log.split(0.2, seed=seed)[1].source_row.tolist() for seed in (3, 3, 4))
    assert first == again != other


def test_a_selection_counts_opportunities_anew(responses) -> None:
    log = at.Log.from_arrow(responses(student=["a", "a", "b"], correct=[0, 1, 1]))
    part = log.select(np.array([False, True, True]))
    assert part.source_row.tolist() == [1, 2]
    assert part.rows.opportunity.tolist() == [1, 1]


def test_an_empty_log_can_be_split(responses) -> None:
    assert [len(part) for part in at.Log.from_arrow(responses().slice(2)).split(0.5, seed=1)] == [0, 0]


def test_an_order_that_was_named_counts_where_integers_in_a_time_column_stand_beside_it() -> None:
    columns = {"student": ["Ada"] * 3, "item": ["q1", "q2", "q3"], "skill": ["halves"] * 3, "correct": [1, 0, 1]}
    table = pa.table({**columns, "when": [3, 1, 2], "timestamp": [1, 2, 3]})
    assert at.Log.from_arrow(table, columns={"order": "when"}).table["item"].to_pylist() == ["q2", "q3", "q1"]
    assert at.Log.from_arrow(table).table["item"].to_pylist() == ["q1", "q2", "q3"]
