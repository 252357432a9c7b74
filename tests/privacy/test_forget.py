"""Forgetting: no file holds the student any more, nothing else changed, and who used them is named."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.feather
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.errors import DataError, OutputError
from adaptrace.io import envelope, files
from adaptrace.io import identity as io_identity
from adaptrace.io.files import write_table
from adaptrace.io.identity import identities, identity
from adaptrace.privacy import forget
from adaptrace.privacy import rewrite as rewriting
from adaptrace.privacy.forget import find_student, forget_student, forgotten_rows
from adaptrace.stats import parquet

NAME = "student-Ada-Lovelace"
OTHERS = ["student-Bo", "student-Chloe", "student-Dan", "student-Zoe"]


def table_of(*students: object, kind: pa.DataType | None = None) -> pa.Table:
    size = len(students)
    return pa.table(
        {
            "student": pa.array(students, kind),
            "item": [f"q{n % 3}" for n in range(size)],
            "skill": ["halves"] * size,
            "correct": [n % 2 for n in range(size)],
        }
    )


MIXED = table_of(*[name for other in OTHERS for name in (other, NAME)])
CODES = MIXED.set_column(0, "student", MIXED["student"].combine_chunks().dictionary_encode())
CLEAN = MIXED.filter(pc.not_equal(MIXED["student"], NAME))


DICTIONARIES = [
    pa.dictionary(pa.int8(), pa.string()),
    pa.dictionary(pa.uint32(), pa.string()),
    pa.dictionary(pa.int32(), pa.int64()),
]


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def holds(path: Path, name: str = NAME) -> bool:
    """Whether a name is anywhere in a file: in its bytes, its dictionaries, its rows or its statistics."""
    raw = path.read_bytes()
    if path.suffix != ".parquet":
        return name.encode() in raw or name in str(at.io.files.read_table(path).table.to_pydict())
    with pq.ParquetFile(path) as file:
        chunks = [file.metadata.row_group(n).column(0) for n in range(file.num_row_groups)]
        statistics = str([(chunk.statistics.min, chunk.statistics.max) for chunk in chunks])
        dictionaries = pq.read_table(path, read_dictionary=["student"])["student"].chunks
    return any(name in text for text in (str(raw), statistics, str([each.dictionary.to_pylist() for each in dictionaries])))


@pytest.fixture
def log(tmp_path: Path) -> Path:
    """A folder of four files of any sort that hold the student, and one that does not."""
    folder = tmp_path / "log"
    (folder / "year=2024").mkdir(parents=True)
    pq.write_table(MIXED, folder / "year=2024" / "a.parquet", compression="none", row_group_size=3)
    pq.write_table(CODES, folder / "b.parquet", compression="none")
    pyarrow.feather.write_feather(CODES, folder / "c.arrow", compression="uncompressed")
    write_table(MIXED, folder / "d.csv")
    pq.write_table(CLEAN, folder / "clean.parquet")
    (folder / "README.md").write_text("not a table")
    return folder


# ---- the rows ---------------------------------------------------------------


def test_no_file_holds_the_student_and_all_other_rows_and_files_stay(log: Path) -> None:
    before = contents(log)
    forgotten = forget_student(NAME, [log])
    after = contents(log)
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} == {"year=2024/a.parquet", "b.parquet", "c.arrow", "d.csv"}
    for path in (path for path in log.rglob("*") if path.suffix in (".parquet", ".arrow", ".csv")):
        assert not holds(path), path
        assert files.read_table(path).table.select(CLEAN.column_names).to_pylist() == CLEAN.to_pylist(), path
    assert (forgotten.rows, forgotten.searched) == (16, 5)
    assert str(forgotten) == "Forgotten(16 rows in 4 of 5 files)"
    assert forgotten.files["file"].to_pylist() == [
        str(log / name) for name in ("b.parquet", "c.arrow", "d.csv", "year=2024/a.parquet")
    ]
    assert [identity(path) for path in forgotten.files["file"].to_pylist()] == forgotten.files["after"].to_pylist()


def test_the_audit_of_this_test_sees_a_name_that_is_left(log: Path) -> None:
    for name in ("year=2024/a.parquet", "b.parquet", "c.arrow", "d.csv"):
        assert holds(log / name), name
    pq.write_table(CODES.filter(pc.not_equal(MIXED["student"], NAME)), log / "b.parquet", compression="zstd")
    assert holds(log / "b.parquet")  # no row has it, the dictionary does


def test_a_name_that_only_a_dictionary_holds_is_taken_out_of_it(tmp_path: Path) -> None:
    rest = CODES.filter(pc.not_equal(MIXED["student"], NAME))
    pq.write_table(rest, tmp_path / "log.parquet")
    forgotten = forget_student(NAME, [tmp_path / "log.parquet"])
    assert (forgotten.rows, len(forgotten.files)) == (0, 1)
    assert not holds(tmp_path / "log.parquet")
    assert pq.read_table(tmp_path / "log.parquet").to_pylist() == CLEAN.to_pylist()


@pytest.mark.parametrize(
    "kind",
    [pa.int64(), pa.uint8(), pa.float64(), pa.string(), pa.large_string(), *DICTIONARIES],
    ids=str,
)
def test_a_student_is_found_by_text_in_any_column(tmp_path: Path, kind: pa.DataType) -> None:
    students = [7, 70, None, 7, 77]
    values = kind.value_type if pa.types.is_dictionary(kind) else kind
    numbers = pa.types.is_integer(values) or pa.types.is_floating(values)
    table = table_of(*(students if numbers else [None if n is None else str(n) for n in students]), kind=kind)
    pq.write_table(table, tmp_path / "log.parquet")
    kept = pq.read_table(tmp_path / "log.parquet")  # Parquet has no dictionaries of numbers
    assert forget_student("7", [tmp_path]).rows == 2
    after = pq.read_table(tmp_path / "log.parquet")
    assert after.to_pylist() == [row for row in table.to_pylist() if row["student"] not in (7, "7")]
    assert after.schema.field("student").type == kept.schema.field("student").type
    with pytest.raises(DataError, match="no row of this student"):
        forget_student("07", [tmp_path])


def test_a_name_that_is_no_number_is_in_no_column_of_numbers(tmp_path: Path) -> None:
    pq.write_table(table_of(7, 8), tmp_path / "log.parquet")
    for name in ("Ada", "-", "", "²"):
        with pytest.raises(DataError, match="no row of"):
            forget_student(name, [tmp_path])


@pytest.mark.parametrize("name", ["log.parquet", "log.arrow"])
def test_tables_of_polars_forget_too(tmp_path: Path, name: str) -> None:
    frame = polars.DataFrame({"student": MIXED["student"].to_pylist(), "item": MIXED["item"].to_pylist()})
    for kind in (polars.String, polars.Categorical):
        table = frame.with_columns(polars.col("student").cast(kind))
        (table.write_parquet if name.endswith("parquet") else table.write_ipc)(tmp_path / name)
        assert forget_student(NAME, [tmp_path / name]).rows == 4
        assert not holds(tmp_path / name)
        assert files.read_table(tmp_path / name).table.to_pylist() == CLEAN.select(["student", "item"]).to_pylist()


def test_a_student_of_a_csv_is_found_as_they_are_written(tmp_path: Path, csv_file: Callable[..., Path]) -> None:
    path = csv_file("student,item", "007,q1", "7,q2", '"a ""b"", c",q3')
    assert forget_student("7", [path]).rows == 1
    assert forget_student('a "b", c', [path]).rows == 1
    assert path.read_text() == "student,item\n007,q1\n"


def test_row_groups_that_cannot_hold_the_student_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ordered = table_of(*[f"s{n // 10:03}" for n in range(1000)])
    pq.write_table(ordered, tmp_path / "log.parquet", row_group_size=100)
    read: list[object] = []
    pieces = rewriting.pieces
    monkeypatch.setattr(
        rewriting, "pieces", lambda path, columns, groups: read.append((columns, groups)) or pieces(path, columns, groups)
    )
    assert find_student("s042", [tmp_path]).rows == 10
    assert read == [(["student"], [4])]


def test_what_a_parquet_file_says_and_how_it_is_packed_stay(tmp_path: Path) -> None:
    path = tmp_path / "log.parquet"
    packed = {"student": "ZSTD", "item": "NONE", "skill": "GZIP", "correct": "SNAPPY"}
    pq.write_table(MIXED.replace_schema_metadata({"school": "12"}), path, compression=packed, row_group_size=4)
    path.chmod(0o600)
    before = identity(path)
    forget_student(NAME, [path])
    after = pq.read_metadata(path)
    assert [after.row_group(0).column(n).compression for n in range(4)] == ["ZSTD", "UNCOMPRESSED", "GZIP", "SNAPPY"]
    assert [after.row_group(n).num_rows for n in range(after.num_row_groups)] == [2, 2]
    assert after.metadata[b"school"] == b"12"
    assert json.loads(after.metadata[io_identity.EARLIER]) == [before]
    assert path.stat().st_mode & 0o777 == 0o600


def test_a_file_of_nobody_else_stays_as_an_empty_table(tmp_path: Path) -> None:
    for name in ("a.parquet", "b.arrow", "c.csv"):
        write_table(table_of(NAME, NAME), tmp_path / name)
    forget_student(NAME, [tmp_path])
    for name in ("a.parquet", "b.arrow", "c.csv"):
        table = files.read_table(tmp_path / name).table
        assert (len(table), table.column_names) == (0, MIXED.column_names)


def test_a_column_of_another_name_is_looked_at_where_it_is(tmp_path: Path) -> None:
    write_table(MIXED.rename_columns(["pupil", "item", "skill", "correct"]), tmp_path / "log.parquet")
    write_table(MIXED, tmp_path / "mastery.csv")
    with pytest.raises(DataError, match=r"got the columns pupil, .*--column student=NAME"):
        forget_student(NAME, [tmp_path])
    assert forget_student(NAME, [tmp_path], column="pupil").rows == 8


def test_a_link_stays_a_link_and_the_file_behind_it_forgets(tmp_path: Path) -> None:
    (tmp_path / "log").mkdir()
    write_table(MIXED, tmp_path / "real.parquet")
    (tmp_path / "log" / "link.parquet").symlink_to(tmp_path / "real.parquet")
    assert forget_student(NAME, [tmp_path / "log", tmp_path / "real.parquet"]).rows == 4
    assert (tmp_path / "log" / "link.parquet").is_symlink()
    assert not holds(tmp_path / "real.parquet")


def test_a_checksum_of_the_old_file_goes_with_it(tmp_path: Path) -> None:
    write_table(MIXED, tmp_path / "log.parquet")
    (tmp_path / ".log.parquet.crc").write_bytes(b"crc")
    forget_student(NAME, [tmp_path])
    assert sorted(os.listdir(tmp_path)) == ["log.parquet"]


# ---- bad input --------------------------------------------------------------


def test_a_student_who_is_nowhere_is_an_error_that_says_where_was_looked(log: Path) -> None:
    before = contents(log)
    with pytest.raises(DataError) as raised:
        forget_student("nobody", [log])
    assert str(raised.value).startswith(f"{log}: got no row of this student in 5 files; ")
    assert str(raised.value).endswith("check the spelling; nothing was changed")
    assert contents(log) == before


def test_files_that_cannot_be_searched_are_all_listed_before_anything_is_changed(log: Path) -> None:
    write_table(pa.table({"x": [1]}), log / "e.parquet")
    write_table(pa.table({"student": [True]}), log / "f.parquet")
    (log / "g.parquet").write_bytes(b"PAR1 half a file")
    (log / "_metadata").write_bytes(b"PAR1")
    before = contents(log)
    with pytest.raises(DataError) as raised:
        forget_student(NAME, [log])
    message = str(raised.value)
    assert "4 problems" in message
    assert all(name in message for name in ("e.parquet", "f.parquet", "g.parquet", "_metadata"))
    assert contents(log) == before


def test_a_file_that_someone_else_changes_meanwhile_is_left_to_them(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite = rewriting.rewrite

    def slowly(source: Path, *more: object) -> int:
        rows = rewrite(source, *more)
        write_table(table_of("new"), source)
        return rows

    monkeypatch.setattr(rewriting, "rewrite", slowly)
    with pytest.raises(OutputError, match=r"b\.parquet: was changed by someone else meanwhile"):
        forget_student(NAME, [log / "b.parquet"])
    assert pq.read_table(log / "b.parquet")["student"].to_pylist() == ["new"]


# ---- interrupted ------------------------------------------------------------


def test_a_failure_in_the_middle_leaves_whole_files_and_the_next_run_finishes(log: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rewrite = rewriting.rewrite

    def full(source: Path, *more: object) -> int:
        if source.name == "c.arrow":
            raise OSError(28, "No space left on device")
        return rewrite(source, *more)

    with monkeypatch.context() as patched:
        patched.setattr(rewriting, "rewrite", full)
        with pytest.raises(OutputError, match="No space left on device"):
            forget_student(NAME, [log])
    assert not holds(log / "b.parquet")
    assert files.read_table(log / "c.arrow").table.to_pylist() == MIXED.to_pylist()
    assert forget_student(NAME, [log]).rows == 12
    assert not any(holds(path) for path in log.rglob("*.parquet"))


def test_a_killed_run_leaves_whole_files_and_the_next_one_removes_what_it_left(log: Path) -> None:
    before = contents(log)
    script = (
        "import os, signal, sys; from adaptrace.privacy import forget, rewrite as rewriting; writer = rewriting.pieces\n"
        "def pieces(path, *more):\n"
        "    for number, piece in enumerate(writer(path, *more)):\n"
        "        if path.name == 'a.parquet' and not more and number == 1: os.kill(os.getpid(), signal.SIGKILL)\n"
        "        yield piece\n"
        "rewriting.pieces = pieces; forget.forget_student(sys.argv[1], sys.argv[2:])"
    )
    done = subprocess.run([sys.executable, "-c", script, NAME, str(log)], check=False)
    assert done.returncode == -signal.SIGKILL
    left = contents(log)
    assert len(left.keys() - before.keys()) == 1  # half a file, which nothing reads
    assert left["year=2024/a.parquet"] == before["year=2024/a.parquet"]
    assert forget_student(NAME, [log]).rows == 4
    assert contents(log).keys() == before.keys()
    assert not any(holds(path) for path in log.rglob("*.parquet"))


# ---- identities -------------------------------------------------------------


def test_an_identity_changes_with_the_content_and_with_nothing_else(tmp_path: Path) -> None:
    for name in ("a.parquet", "a.arrow", "a.csv"):
        write_table(MIXED, tmp_path / name)
        write_table(MIXED, tmp_path / f"copy-{name}")
        assert identity(tmp_path / name) == identity(tmp_path / f"copy-{name}")
        before = identity(tmp_path / name)
        write_table(CLEAN, tmp_path / name)
        assert identity(tmp_path / name) != before


def test_an_identity_of_parquet_reads_the_footer_alone(tmp_path: Path) -> None:
    write_table(MIXED, tmp_path / "a.parquet")
    before, raw = identity(tmp_path / "a.parquet"), bytearray((tmp_path / "a.parquet").read_bytes())
    raw[4] ^= 1
    (tmp_path / "a.parquet").write_bytes(raw)
    assert identity(tmp_path / "a.parquet") == before
    (tmp_path / "a.parquet").write_bytes(raw[:4] + b"x" + raw[4:])
    assert identity(tmp_path / "a.parquet") != before


@pytest.mark.parametrize("name", ["a.parquet", "a.arrow"])
def test_a_file_remembers_every_identity_it_had(tmp_path: Path, name: str) -> None:
    write_table(MIXED, tmp_path / name)
    first = identity(tmp_path / name)
    assert identities(tmp_path / name) == (first,)
    second = forgotten_rows(tmp_path, NAME)[first]
    assert identities(tmp_path / name) == (second, first)
    third = forgotten_rows(tmp_path, OTHERS[0])[second]
    assert identities(tmp_path / name) == (third, second, first)
    assert forget.renamed([tmp_path]) == {first: third, second: third}


def test_forgotten_rows_of_nobody_changes_nothing(log: Path) -> None:
    before = contents(log)
    assert forgotten_rows(log, "nobody") == {}
    assert contents(log) == before


# ---- who used them ----------------------------------------------------------


def used(forgotten: forget.Forgotten) -> dict[str, tuple[str, str]]:
    return {Path(row["model"]).name: (row["used"], row["because"]) for row in forgotten.models.to_pylist()}


@pytest.fixture
def models(log: Path, tmp_path: Path, model: at.BKT) -> Path:
    """Models of the whole log, of the clean file, of nothing known, of an unknown version; and what is no model."""
    folder = tmp_path / "models"
    folder.mkdir()
    model.save(folder / "all.json", sources=io_identity.sources(log))
    model.save(folder / "clean.json", sources=io_identity.sources(log / "clean.parquet"))
    model.save(folder / "silent.json")
    model.save(folder / "other.json", sources=[{"file": "year=2024/a.parquet", "identity": "0" * 16}])
    model.save(folder / "elsewhere.json", sources=[{"file": "z.parquet", "identity": "0" * 16}])
    (folder / "notes.json").write_text("{}")
    return folder


def test_models_say_whether_they_used_the_student(log: Path, models: Path) -> None:
    assert used(forget_student(NAME, [log], models=sorted(models.iterdir()))) == {
        "all.json": ("certain", f"made of {log / 'b.parquet'}"),
        "other.json": ("possible", f"made of another version of {log / 'year=2024' / 'a.parquet'}"),
        "silent.json": ("unknown", "does not say what it was made of"),
        "notes.json": ("unknown", "not a model; expected a file written by adaptrace's save()"),
        "clean.json": ("no", ""),
        "elsewhere.json": ("unknown", "made of files not among these"),
    }


def test_a_model_of_an_earlier_version_of_a_file_used_a_student_who_is_still_in_it(log: Path, models: Path) -> None:
    forget_student(NAME, [log])
    found = used(find_student(OTHERS[0], [log / "b.parquet"], models=[models / "all.json"]))
    assert found["all.json"] == ("certain", f"made of {log / 'b.parquet'}")


def test_after_an_interruption_models_of_the_files_already_forgotten_are_still_named(
    log: Path, models: Path, model: at.BKT
) -> None:
    model.save(models / "b.json", sources=io_identity.sources(log / "b.parquet"))
    forget_student(NAME, [log / "b.parquet"])  # as far as an interrupted run came
    found = used(forget_student(NAME, [log], models=[models / "b.json"]))
    assert found["b.json"] == ("possible", f"made of {log / 'b.parquet'} before rows were forgotten there")
    with pytest.raises(DataError, match=r"made of these files before rows were forgotten there: .*b\.json$"):
        forget_student(NAME, [log], models=[models / "b.json"])


def test_a_model_of_a_file_whose_dictionary_alone_holds_the_name_did_not_use_them(tmp_path: Path, model: at.BKT) -> None:
    pq.write_table(CODES.filter(pc.not_equal(MIXED["student"], NAME)), tmp_path / "log.parquet")
    model.save(tmp_path / "model.json", sources=io_identity.sources(tmp_path / "log.parquet"))
    assert used(forget_student(NAME, [tmp_path / "log.parquet"], models=[tmp_path / "model.json"]))["model.json"] == ("no", "")


def test_models_and_stats_that_name_the_student_are_told_even_when_the_data_have_forgotten(
    tmp_path: Path, sample_log: at.Log, log: Path
) -> None:
    few = sample_log.select(pc.less(sample_log.table["student"].chunk(0).indices, 12).to_numpy(zero_copy_only=False))
    at.BKT(students=("prior",)).fit(few).save(tmp_path / "bkt.json")
    at.models.MODELS["afm"]().fit(few).save(tmp_path / "afm.json")
    at.BKT().fit(few).save(tmp_path / "plain.json")
    stats = at.Stats.from_log(few, ("student",))
    parquet.write(tmp_path / "student.stats.parquet", parquet.Content(stats.skills, stats.observations, stats.trie))
    stats = at.Stats.from_log(few)
    parquet.write(
        tmp_path / "plain.stats.parquet", parquet.Content(stats.skills, stats.observations, stats.trie), io_identity.sources(log)
    )
    paths = [*tmp_path.glob("*.json"), *tmp_path.glob("*.stats.parquet")]
    found = used(find_student(few.students[0].as_py(), [log], models=paths))
    assert {name: use for name, (use, _) in found.items()} == {
        "bkt.json": "holds",
        "afm.json": "holds",
        "student.stats.parquet": "holds",
        "plain.json": "unknown",
        "plain.stats.parquet": "no",
    }
    assert used(find_student(NAME, [log], models=paths))["plain.stats.parquet"][0] == "certain"


def test_finding_changes_nothing(log: Path, models: Path) -> None:
    before = contents(log)
    found = find_student(NAME, [log], models=sorted(models.iterdir()))
    assert contents(log) == before
    assert found.files["after"].null_count == len(found.files) == 4
    assert used(found) == used(forget_student(NAME, [log], models=sorted(models.iterdir())))


def test_where_a_model_came_from_is_no_part_of_what_it_says(log: Path, tmp_path: Path, model: at.BKT) -> None:
    model.save(tmp_path / "a.json", sources=io_identity.sources(log))
    model.save(tmp_path / "b.json")
    assert at.load(tmp_path / "a.json").fingerprint == at.load(tmp_path / "b.json").fingerprint == model.fingerprint
    assert envelope.sources(tmp_path / "a.json") == io_identity.sources(log)
    assert envelope.sources(tmp_path / "b.json") == []
    names = [each["file"] for each in io_identity.sources(log)]
    assert names == ["b.parquet", "c.arrow", "clean.parquet", "d.csv", "year=2024/a.parquet"]


# ---- the state --------------------------------------------------------------


@pytest.fixture
def nights(tmp_path: Path, sample_log: at.Log) -> list[pa.Table]:
    """The responses of some of the bundled school, cut into three nights."""
    table = sample_log.table.select(["student", "item", "skills", "correct", "time"]).slice(0, 900).sort_by("time")
    table = table.set_column(0, "student", table["student"].cast("string")).set_column(1, "item", table["item"].cast("string"))
    (tmp_path / "nights").mkdir()
    return [table.slice(first, 300) for first in (0, 300, 600)]


def anew(log: Path, model: at.BKT, place: Path) -> list[dict[str, object]]:
    at.score_dataset(log, place, model=model)
    return mastery(place)


@pytest.mark.parametrize("interrupted", [False, True])
def test_after_forgetting_the_next_night_is_as_if_the_student_had_never_been_there(
    tmp_path: Path, nights: list[pa.Table], sample_model: at.BKT, interrupted: bool
) -> None:
    log, out, state = tmp_path / "nights", tmp_path / "out", tmp_path / "state"
    for number, table in enumerate(nights[:2]):
        pq.write_table(table, log / f"night-{number}.parquet")
        at.score_dataset(log, out, model=sample_model, state=state)
    name = nights[0]["student"][0].as_py()
    if interrupted:  # after the log, before the state
        forget_student(name, [log])
    forgotten = forget_student(name, [log, out], state=state)
    assert any(str(state) in file for file in forgotten.files["file"].to_pylist())
    assert not any(name.encode() in path.read_bytes() for folder in (log, out) for path in folder.rglob("*.parquet"))
    assert name not in str([files.read_table(folder).table.to_pydict() for folder in (log, out, state)])
    pq.write_table(nights[2].filter(pc.not_equal(nights[2]["student"], name)), log / "night-2.parquet")
    at.score_dataset(log, out, model=sample_model, state=state)
    assert anew(log, sample_model, tmp_path / "anew") == mastery(out)
    assert mastery(out) != []


def mastery(place: Path) -> list[dict[str, object]]:
    return pq.read_table(place).sort_by([("student", "ascending"), ("skill", "ascending")]).to_pylist()


def test_a_dry_run_counts_the_rows_of_a_state_too(tmp_path: Path, nights: list[pa.Table], sample_model: at.BKT) -> None:
    pq.write_table(nights[0], tmp_path / "nights" / "night-0.parquet")
    at.score_dataset(tmp_path / "nights", tmp_path / "out", model=sample_model, state=tmp_path / "state")
    name, before = nights[0]["student"][0].as_py(), contents(tmp_path)
    found = find_student(name, [tmp_path / "nights", tmp_path / "state"])
    assert found.rows > pc.sum(pc.equal(nights[0]["student"], name)).as_py()
    assert contents(tmp_path) == before


def test_no_byte_of_a_state_holds_the_name(tmp_path: Path, nights: list[pa.Table], sample_model: at.BKT) -> None:
    pq.write_table(nights[0], tmp_path / "nights" / "night-0.parquet")
    at.score_dataset(tmp_path / "nights", tmp_path / "out", model=sample_model, state=tmp_path / "state")
    name = nights[0]["student"][0].as_py()
    forget_student(name, [tmp_path / "nights"], state=tmp_path / "state")
    assert not any(holds(path, name) for path in (tmp_path / "state").glob("*.parquet"))


def test_what_a_killed_run_had_put_aside_goes_too(tmp_path: Path, nights: list[pa.Table], sample_model: at.BKT) -> None:
    pq.write_table(nights[0], tmp_path / "night-0.parquet")
    at.score_dataset(tmp_path / "night-0.parquet", tmp_path / "out", model=sample_model)
    aside = tmp_path / ".out.partial" / "done"
    aside.mkdir(parents=True)
    (aside / "piece-0000-0.arrow").write_bytes(nights[0]["student"][0].as_py().encode())
    forget_student(nights[0]["student"][0].as_py(), [tmp_path / "night-0.parquet", tmp_path / "out"])
    assert not (tmp_path / ".out.partial").exists()


def test_a_state_is_no_table(tmp_path: Path, nights: list[pa.Table], sample_model: at.BKT) -> None:
    pq.write_table(nights[0], tmp_path / "night-0.parquet")
    at.score_dataset(tmp_path / "night-0.parquet", tmp_path / "out", model=sample_model, state=tmp_path / "state")
    with pytest.raises(at.DataError, match="state: got a folder that holds a state; expected tables of rows"):
        forget_student("Ada", [tmp_path / "night-0.parquet", tmp_path / "state"])
