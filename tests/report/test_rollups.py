"""Mastery and growth by class, school and skill; who is withheld."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from tests.reference import rollups as slow

import adaptrace as at
from adaptrace.errors import DataError
from adaptrace.report import disclosure, growth, mastery_by, mastery_table, rollups, spill

SCHOOLS = {"A": "north", "B": "north", "C": "south", None: None}
LEVELS = [0.0, 0.2, 0.94, 0.95, 0.96, 1.0, 1 / 3]


def table_of(seed: int, *, students: int = 12, skills: int = 5, share: float = 0.6) -> pa.Table:
    """Random mastery of some students on some skills."""
    random = np.random.default_rng(seed)
    pairs = [pair for pair in itertools.product(range(students), range(skills)) if random.random() < share]
    mastery = random.choice(LEVELS, len(pairs))
    return pa.table(
        {
            "student": pa.array([student for student, _ in pairs], pa.int64()),
            "skill": [f"skill {skill}" for _, skill in pairs],
            "mastery": mastery,
            "low": np.minimum(mastery, random.choice(LEVELS, len(pairs))),
            "high": np.ones(len(pairs)),
            "opportunities": random.integers(1, 9, len(pairs)).astype(np.int32),
        }
    )


@pytest.fixture
def roster() -> pa.Table:
    """Eleven of twelve students in three classes: one in two, one twice in one, one in none; and one who never answered."""
    places = [(student, "ABC"[student % 3]) for student in range(9)]
    places += [(4, "C"), (5, "C"), (5, "C"), (9, None), (10, "B"), (99, "A")]
    rows = [{"student": str(student), "class": name, "school": SCHOOLS[name]} for student, name in places]
    return pa.Table.from_pylist(rows)


def as_dictionaries(table: pa.Table) -> pa.Table:
    """Students as dictionaries of text, the skills as they are."""
    return table.set_column(0, "student", table["student"].cast(pa.string()).dictionary_encode())


def unlike(found: pa.Table, expected: dict[tuple[Any, ...], dict[str, Any]], by: list[str]) -> list[Any]:
    """What differs, and whether the order does."""
    rows = {tuple(row.pop(name) for name in by): row for row in found.to_pylist()}
    order = sorted(expected, key=lambda key: [(name is None, name or "") for name in key])
    wrong = [] if list(rows) == order else [(list(rows), order)]
    for key in rows.keys() & expected.keys():
        wanted = {**expected[key], "withheld": False}
        wrong += [(key, rows[key], wanted)] if rows[key] != pytest.approx(wanted, abs=1e-9) else []
    return wrong


BY = [["class", "skill"], ["skill", "class"], ["school", "class", "skill"], ["school"], ["skill"], ["class"], []]


# ---- mastery ----------------------------------------------------------------


@pytest.mark.parametrize("by", BY, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_mastery_is_what_counting_row_by_row_finds(roster: pa.Table, by: list[str], seed: int) -> None:
    table = table_of(seed)
    found = mastery_by(table, by, roster=roster, threshold=0.95, min_students=1)
    told = slow.cells(table.to_pylist(), roster.to_pylist(), by)
    assert found.column_names == [*by, "students", "pairs", "mastery", "mastered", "certain", "opportunities", "withheld"]
    assert unlike(found, {key: slow.mastery_of(rows, 0.95) for key, rows in told.items()}, by) == []


@pytest.mark.parametrize("by", BY, ids=str)
def test_order_types_and_parts_change_no_bit(roster: pa.Table, by: list[str], tmp_path: Path, monkeypatch) -> None:
    table = table_of(7)
    expected = mastery_by(table, by, roster=roster, min_students=3)
    monkeypatch.setattr(mastery_table, "BATCH", 4)
    monkeypatch.setattr("adaptrace.report.roster.BATCH", 4)
    shuffled = table.take(np.random.default_rng(0).permutation(len(table)))
    for number, (start, size) in enumerate([(0, 1), (1, 20), (21, 0), (21, 100)]):
        part = shuffled.slice(start, size)
        pq.write_table(as_dictionaries(part) if number % 2 else part, tmp_path / f"part-{number}.parquet")
    assert mastery_by(tmp_path, by, roster=roster, min_students=3).equals(expected)
    assert mastery_by(as_dictionaries(shuffled), by, roster=roster.take(np.arange(len(roster))[::-1]), min_students=3).equals(
        expected
    )


def test_a_text_file_a_glob_and_a_roster_in_a_file_are_read(roster: pa.Table, tmp_path: Path) -> None:
    table = table_of(3)
    pa.csv.write_csv(table, tmp_path / "mastery.csv")
    pa.csv.write_csv(roster.rename_columns(["user_id", "class", "school"]), tmp_path / "roster.csv")
    found = mastery_by(str(tmp_path / "mast*.csv"), roster=tmp_path / "roster.csv", min_students=1)
    assert found.drop_columns("class").equals(mastery_by(table, roster=roster, min_students=1).drop_columns("class"))


def test_what_a_model_scored_is_read_as_it_is(sample_log: at.Log, sample_model: at.BKT) -> None:
    score = sample_model.score(sample_log)
    found = mastery_by(score, "class", roster=sample_log.table, min_students=1)
    assert sum(found["pairs"].to_pylist()) == len(score)
    assert set(found["students"].to_pylist()) == {25}


def test_no_rows_give_no_cells(roster: pa.Table) -> None:
    found = mastery_by(table_of(0).slice(0, 0), roster=roster)
    assert len(found) == 0
    assert found.schema.field("students").type == pa.int64()
    assert found.column_names[:3] == ["class", "skill", "students"]


# ---- growth -----------------------------------------------------------------


@pytest.mark.parametrize("by", BY, ids=str)
@pytest.mark.parametrize("seed", range(4))
def test_growth_is_what_matching_pair_by_pair_finds(roster: pa.Table, by: list[str], seed: int) -> None:
    tables = [table_of(2 * seed, share=0.5), as_dictionaries(table_of(2 * seed + 1, share=0.4))]
    found = growth(*tables, by=by, roster=roster, min_students=1)
    old, new = (slow.cells(table.to_pylist(), roster.to_pylist(), by) for table in tables)
    # students are numbers in one table and text in the other: the same by their text
    old = {key: [{**row, "student": str(row["student"])} for row in rows] for key, rows in old.items()}
    expected = {key: slow.growth_of(old.get(key, []), new.get(key, []), 0.95) for key in old.keys() | new.keys()}
    assert unlike(found, expected, by) == []


def test_growth_from_files_of_any_size_is_the_same_to_the_bit(roster: pa.Table, tmp_path: Path, monkeypatch) -> None:
    before, after = table_of(1), table_of(2)
    expected = growth(before, after, roster=roster, min_students=2)
    monkeypatch.setattr(mastery_table, "BATCH", 3)
    monkeypatch.setattr(spill, "IN_MEMORY", 20)
    monkeypatch.setattr(rollups, "BLOCK", 2)
    for number in range(5):
        pq.write_table(after.take(np.arange(number, len(after), 5)), tmp_path / f"{number}.parquet")
    assert growth(before, tmp_path, roster=roster, min_students=2).equals(expected)


def test_coming_and_going_is_no_growth() -> None:
    whole = table_of(0, students=40)
    found = growth(whole.slice(0, 60), whole.slice(10), by="skill", min_students=1)
    assert set(found["gain"].to_pylist()) == {0.0}
    assert sum(found["new"].to_pylist()) == len(whole) - 60
    assert sum(found["gone"].to_pylist()) == 10


def test_where_temporary_files_find_no_room_is_said(monkeypatch) -> None:
    def full(self: object, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("tempfile.SpooledTemporaryFile.write", full)
    with pytest.raises(at.OutputError, match="No space left on device; set TMPDIR to a folder with room"):
        growth(table_of(0), table_of(0), by="skill")


# ---- what is withheld -------------------------------------------------------


def crowd(sizes: dict[tuple[str, str], int]) -> tuple[pa.Table, pa.Table]:
    """Mastery and roster with so many students of each class on each skill."""
    rows = [
        {"student": f"{place} {n}", "class": place, "skill": skill} for (place, skill), size in sizes.items() for n in range(size)
    ]
    extra = {"mastery": 0.5, "low": 0.4, "opportunities": 2}
    return pa.Table.from_pylist([{**row, **extra} for row in rows]), pa.Table.from_pylist(rows)


def shown(table: pa.Table) -> dict[tuple[str, ...], int | None]:
    return {(row["class"], row["skill"]): row["students"] for row in table.to_pylist()}


def test_small_cells_are_withheld_with_every_figure() -> None:
    mastery, roster = crowd({("A", "halves"): 3, ("A", "thirds"): 20, ("B", "halves"): 4, ("B", "thirds"): 30})
    rows = mastery_by(mastery, roster=roster, min_students=5).to_pylist()
    assert [row["withheld"] for row in rows] == [True, True, True, True]
    assert {value for row in rows for name, value in row.items() if name not in ("class", "skill", "withheld")} == {None}


def test_a_cell_that_a_total_would_give_away_takes_the_next_smallest_with_it() -> None:
    sizes = {(place, skill): 20 + n for n, (place, skill) in enumerate(itertools.product("ABCD", ["halves", "thirds", "whole"]))}
    sizes["B", "thirds"] = 4
    mastery, roster = crowd(sizes)
    found = shown(mastery_by(mastery, roster=roster, min_students=5))
    hidden = {key for key, students in found.items() if students is None}
    # A's is the smallest beside it in its column, halves the smallest in its row, and these two need one each
    assert hidden == {("B", "thirds"), ("A", "thirds"), ("B", "halves"), ("A", "halves")}
    assert all(found[key] == sizes[key] for key in sizes.keys() - hidden)


def test_two_withheld_cells_of_too_few_together_take_a_third() -> None:
    mastery, roster = crowd({("A", "halves"): 3, ("B", "halves"): 4, ("C", "halves"): 30, ("D", "halves"): 40})
    found = shown(mastery_by(mastery, roster=roster, min_students=10))
    assert [key[0] for key, students in found.items() if students is None] == ["A", "B", "C"]


@pytest.mark.parametrize("seed", range(30))
def test_no_total_less_what_is_shown_is_of_few_students(seed: int) -> None:
    random = np.random.default_rng(seed)
    keys = [key for key in itertools.product("ABCDE", "xyz", "12") if random.random() < 0.9]
    students = random.integers(0, 30, len(keys)) if seed else np.full(len(keys), 30)
    names = [pa.chunked_array([list(column)]) for column in zip(*keys, strict=True)]
    hide = disclosure.cells_to_withhold(names, students, 7)
    assert all(hide[(students > 0) & (students < 7)])
    assert not any(hide[students == 0])
    for left_out in range(3):
        for line in {key[:left_out] + key[left_out + 1 :] for key in keys}:
            own = np.array([key[:left_out] + key[left_out + 1 :] == line for key in keys]) & (students > 0)
            if hide[own].any() and not hide[own].all():
                assert hide[own].sum() > 1
                assert students[own & hide].sum() >= 7
    if students.min() >= 7:
        assert not hide.any()


def test_with_a_minimum_no_figure_tells_of_every_student() -> None:
    values = [1.0] * 20 + [0.0] * 20 + [1.0] * 5 + [0.0] * 15
    skills = ["all"] * 20 + ["none"] * 20 + ["some"] * 20
    columns = {"student": range(60), "skill": skills, "mastery": values, "low": values, "opportunities": [2] * 60}
    mastery = pa.table({name: pa.array(column) for name, column in columns.items()})
    open_ = mastery_by(mastery, "skill", threshold=0.9, min_students=10).to_pydict()
    assert open_["mastered"] == open_["certain"] == [0.95, 0.05, 0.25]
    assert open_["mastery"] == pytest.approx([1 - 0.1 / 20, 0.9 / 20, 0.25])
    told = mastery_by(mastery, "skill", threshold=0.9, min_students=1).to_pydict()
    assert told["mastered"] == told["mastery"] == [1.0, 0.0, 0.25]
    grown = growth(mastery, mastery, by="skill", threshold=0.9, min_students=10).to_pydict()
    assert grown["before"] == grown["after"] == pytest.approx(open_["mastery"])
    assert grown["newly_mastered"] == grown["lost"] == [0.05] * 3


def test_a_cell_of_nobody_in_both_tables_is_empty_not_withheld() -> None:
    row = growth(table_of(0, share=1.0), table_of(1).slice(0, 0), by="skill", min_students=5).to_pylist()[0]
    assert (row["students"], row["pairs"], row["gone"], row["gain"], row["withheld"]) == (0, 0, 12, None, False)


# ---- what is refused --------------------------------------------------------


def edited(**columns: Any) -> pa.Table:
    table = table_of(0)
    for name, change in columns.items():
        values = table[name].to_pylist()
        values[4] = change
        table = table.set_column(table.column_names.index(name), name, pa.array(values))
    return table


WRONG_TABLES = {
    "mastery of 1.5": (edited(mastery=1.5), "column 'mastery', row 5: got 1.5; expected a probability, 0 to 1"),
    "no mastery": (edited(mastery=None), "column 'mastery', row 5: got null"),
    "nan": (edited(low=float("nan")), "column 'low', row 5: got nan"),
    "opportunities": (edited(opportunities=-1), "column 'opportunities', row 5: got -1; expected a whole number from 0"),
    "half an opportunity": (edited(opportunities=0.5), "expected a whole number from 0"),
    "mastery in words": (table_of(0).set_column(2, "mastery", table_of(0)["skill"]), "column 'mastery': got type string"),
    "no student": (edited(student=None), "column 'student', row 5: got null"),
}


@pytest.mark.parametrize("wrong", WRONG_TABLES)
def test_a_mastery_table_that_is_none_is_refused(wrong: str, tmp_path: Path, monkeypatch) -> None:
    table, said = WRONG_TABLES[wrong]
    with pytest.raises(DataError) as error:
        mastery_by(table, "skill")
    assert said in str(error.value)
    monkeypatch.setattr(mastery_table, "BATCH", 2)
    for number, part in enumerate([table_of(1, students=2).slice(0, 0), table]):
        pq.write_table(part, tmp_path / f"{number}.parquet")
    with pytest.raises(DataError) as error:
        mastery_by(tmp_path, "skill")
    assert f"{tmp_path / '1.parquet'}, {said.split(':')[0]}" in str(error.value) or "type" in said or "whole" in said


def test_every_column_that_is_missing_in_any_file_is_named_at_once(tmp_path: Path) -> None:
    pq.write_table(table_of(0).drop_columns(["low"]), tmp_path / "a.parquet")
    pq.write_table(table_of(0), tmp_path / "b.parquet")
    pa.csv.write_csv(table_of(0).drop_columns(["skill", "opportunities"]), tmp_path / "c.csv")
    with pytest.raises(DataError) as error:
        mastery_by(tmp_path, "skill")
    assert [(Path(problem.file).name, problem.column) for problem in error.value.problems] == [
        ("a.parquet", "low"),
        ("c.csv", "skill"),
        ("c.csv", "opportunities"),
    ]
    with pytest.raises(DataError, match="column 'low': got the columns student, skill, mastery, high"):
        mastery_by(table_of(0).drop_columns(["low"]), "skill")


@pytest.mark.parametrize("cut", [False, True])
def test_a_damaged_file_among_good_ones_is_named(tmp_path: Path, cut: bool) -> None:
    pq.write_table(table_of(0), tmp_path / "a.parquet")
    whole = (tmp_path / "a.parquet").read_bytes()
    (tmp_path / "b.parquet").write_bytes(whole[:-9] if cut else b"")
    with pytest.raises(DataError, match=r"b\.parquet: got .*; expected a whole parquet file"):
        mastery_by(tmp_path, "skill")


@pytest.mark.parametrize("batch", [1, 1000])
def test_a_student_who_has_a_skill_twice_is_refused_with_the_file_and_row(tmp_path: Path, monkeypatch, batch: int) -> None:
    monkeypatch.setattr(mastery_table, "BATCH", batch)
    table = table_of(0)
    pq.write_table(table, tmp_path / "a.parquet")
    pq.write_table(pa.concat_tables([table_of(0, students=40).slice(len(table), 6), table.slice(5, 1)]), tmp_path / "b.parquet")
    row = table.slice(5, 1).to_pylist()[0]
    said = f"b.parquet, row 7: got a student with skill '{row['skill']}' again; expected every skill of a student"
    for call in (lambda: mastery_by(tmp_path, "skill"), lambda: growth(table, tmp_path, by="skill")):
        with pytest.raises(DataError, match="once") as error:
            call()
        assert said in str(error.value)


def test_a_bit_is_kept_for_every_student_and_skill(monkeypatch) -> None:
    random, once, seen = np.random.default_rng(5), mastery_table.Once(), set()
    for _ in range(60):
        student, skill = random.integers(0, random.integers(1, 50), 8), random.integers(0, random.integers(1, 70), 8)
        pairs = list(zip(student.tolist(), skill.tolist(), strict=True))
        expected = next((row for row, pair in enumerate(pairs) if pair in seen or pair in pairs[:row]), -1)
        assert once.first_again(student, skill) == expected
        seen |= set(pairs if expected < 0 else pairs[:expected])


def test_a_roster_without_the_columns_is_refused_with_all_of_them(roster: pa.Table, tmp_path: Path) -> None:
    pa.csv.write_csv(roster, tmp_path / "roster.csv")
    with pytest.raises(DataError) as error:
        mastery_by(table_of(0), ["klass", "skool"], roster=tmp_path / "roster.csv")
    assert [problem.column for problem in error.value.problems] == ["klass", "skool"]
    with pytest.raises(DataError, match="column 'student': got the columns class, school; expected column 'student'"):
        mastery_by(table_of(0), "class", roster=roster.drop_columns(["student"]))
    with pytest.raises(DataError, match="column 'class': got type double"):
        mastery_by(table_of(0), "class", roster=roster.set_column(1, "class", pa.array([0.5] * len(roster))))


WRONG_ARGUMENTS: dict[str, tuple[Callable[[pa.Table], object], str]] = {
    "no roster": (lambda roster: mastery_by(table_of(0), "class"), "by: got class without a roster"),
    "a name twice": (lambda roster: mastery_by(table_of(0), ["skill", "skill"]), "by: got skill, skill; expected .* each once"),
    "students": (lambda roster: mastery_by(table_of(0), "student", roster=roster), "by: got student"),
    "at of 1": (
        lambda roster: mastery_by(table_of(0), "skill", threshold=1.0),
        "threshold: got 1.0; expected a mastery between 0 and 1",
    ),
    "nobody": (
        lambda roster: growth(table_of(0), table_of(0), by="skill", min_students=0),
        "min_students: got 0; expected 1 or more students",
    ),
    "half a student": (lambda roster: mastery_by(table_of(0), "skill", min_students=2.5), "min_students: got 2.5"),
    "both": (
        lambda roster: mastery_by(table_of(0), "skill", threshold=float("nan"), min_students=-1),
        "threshold: got nan; .*; min_students: got -1",
    ),
}


@pytest.mark.parametrize("wrong", WRONG_ARGUMENTS)
def test_arguments_that_cannot_be_are_a_value_error(roster: pa.Table, wrong: str) -> None:
    call, said = WRONG_ARGUMENTS[wrong]
    with pytest.raises(ValueError, match=said) as error:
        call(roster)
    assert type(error.value) is ValueError


def test_sums_of_many_parts_are_put_together_as_they_come(monkeypatch) -> None:
    monkeypatch.setattr("adaptrace.report.roster.BATCH", 3)
    sums = rollups.Tally("skill", None, "n")._sums
    for number in range(50):
        sums.add({"cell": np.array([number % 7]), "pairs": np.array([1]), "n": np.array([number])})
    assert len(sums._parts) < 20
    assert sums.total()["n"].to_pylist() == [sum(range(cell, 50, 7)) for cell in range(7)]
