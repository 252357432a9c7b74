"""Small groups and who helps them."""

from __future__ import annotations

from collections import Counter, defaultdict
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.data.catalog import Catalog
from adaptrace.report import mastery_table, small_groups, spill
from adaptrace.report.groups import HELPERS, students_by_skill

Told = dict[str, dict[str, float]]  # student -> skill -> mastery


def table_of(told: Told, margin: float = 0.01) -> pa.Table:
    """A mastery table whose ``low`` is so much below."""
    rows = [(student, skill, mastery) for student, skills in told.items() for skill, mastery in skills.items()]
    columns = [list(column) for column in zip(*rows, strict=True)]
    low = np.maximum(np.array(columns[2]) - margin, 0.0)
    return pa.table([*columns, low], names=["student", "skill", "mastery", "low"])


def one_class(told: Told) -> pa.Table:
    return pa.table({"student": list(told), "class": ["6A"] * len(told)})


def brief(table: pa.Table) -> list[tuple[object, ...]]:
    return [tuple(row[name] for name in ("group", "skill", "role", "student")) for row in table.to_pylist()]


FOUR: Told = {
    "Ada": {"halves": 0.9, "quarters": 0.5},
    "Ben": {"halves": 0.8},
    "Cem": {"halves": 0.99, "quarters": 0.4},
    "Dana": {"halves": 0.98, "quarters": 0.99},
}


# ---- who needs what ---------------------------------------------------------


def test_without_a_catalog_a_student_needs_the_unmastered_skill_nearest_mastery() -> None:
    assert brief(small_groups(table_of(FOUR), one_class(FOUR))) == [
        (1, "halves", "needs", "Ada"),
        (1, "halves", "needs", "Ben"),
        (1, "halves", "helps", "Cem"),
        (1, "halves", "helps", "Dana"),
        (None, "quarters", "needs", "Cem"),
    ]


def test_a_class_with_all_columns_and_its_own_numbers() -> None:
    table = small_groups(table_of(FOUR), one_class(FOUR).rename_columns(["user_id", "form"]), by="form")
    assert table.column_names == ["form", "group", "skill", "role", "student", "mastery", "low"]
    first = table.to_pylist()[0]
    assert (first["form"], first["mastery"], first["low"]) == ("6A", 0.9, pytest.approx(0.89))


def test_a_skill_waits_until_its_prerequisites_are_mastered(catalog: Catalog) -> None:
    told = {"Ada": {"halves": 0.6, "quarters": 0.9}, "Ben": {"halves": 0.7, "quarters": 0.9}}
    roster = one_class(told)
    assert {row[1] for row in brief(small_groups(table_of(told), roster))} == {"quarters"}
    assert {row[1] for row in brief(small_groups(table_of(told), roster, catalog=catalog))} == {"halves"}


def test_with_a_catalog_a_skill_not_met_yet_comes_after_those_met(catalog: Catalog) -> None:
    told = {"Ada": {"halves": 0.96}, "Ben": {"halves": 0.97}, "Cem": {"quarters": 0.2, "halves": 0.1}}
    roster = pa.table({"student": [*told, "Dana"], "class": ["6A"] * 4})  # Dana never answered
    table = small_groups(table_of(told), roster, catalog=catalog)
    assert brief(table) == [
        (1, "halves", "needs", "Cem"),
        (1, "halves", "needs", "Dana"),
        (1, "halves", "helps", "Ben"),
        (1, "halves", "helps", "Ada"),
        (2, "quarters", "needs", "Ada"),
        (2, "quarters", "needs", "Ben"),
    ]
    assert table["mastery"].to_pylist() == [0.1, None, 0.97, 0.96, None, None]


def test_skills_that_the_catalog_has_no_item_of_are_no_topic(catalog: Catalog) -> None:
    told = {"Ada": {"halves": 0.9, "tenths": 0.94}, "Ben": {"halves": 0.9, "tenths": 0.94}}
    assert {row[1] for row in brief(small_groups(table_of(told), one_class(told), catalog=catalog))} == {"halves"}


# ---- how groups are cut -----------------------------------------------------


def test_groups_are_as_even_as_can_be_and_alike_in_mastery() -> None:
    told = {f"s{number:02}": {"halves": number / 20} for number in range(11)}
    rows = small_groups(table_of(told), one_class(told), size=(2, 4)).to_pylist()
    assert Counter(row["group"] for row in rows) == {1: 4, 2: 4, 3: 3}
    assert [row["student"] for row in rows] == sorted(told, reverse=True)


def test_whom_a_size_leaves_over_is_told_with_no_group() -> None:
    told = {f"s{number}": {"halves": number / 10} for number in range(6)}
    rows = brief(small_groups(table_of(told), one_class(told), size=(4, 5)))
    assert [row[0] for row in rows] == [1, 1, 1, 1, 1, None]
    assert rows[-1][3] == "s0"


def test_who_would_be_alone_joins_others_on_their_next_skill() -> None:
    told = {"Ada": {"halves": 0.9, "quarters": 0.5}, "Ben": {"quarters": 0.4}, "Cem": {"quarters": 0.3, "halves": 0.2}}
    assert brief(small_groups(table_of(told), one_class(told))) == [
        (1, "quarters", "needs", name) for name in ("Ada", "Ben", "Cem")
    ]


@pytest.mark.parametrize("seed", range(20))
def test_nobody_is_left_out_who_could_join_a_group(seed: int) -> None:
    random = np.random.default_rng(seed)
    wishes = [random.permutation(6)[: random.integers(0, 5)].tolist() for _ in range(12)]
    students_of = students_by_skill(wishes, fewest=3, rank=np.arange(6))
    seated = {student: skill for skill, students in students_of.items() for student in students}
    assert sum(map(len, students_of.values())) == len(seated)
    assert all(len(students) >= 3 for students in students_of.values())
    for student, wish in enumerate(wishes):
        assert seated.get(student) == next((skill for skill in wish if skill in students_of), None)


# ---- who helps --------------------------------------------------------------


def test_helpers_have_mastered_it_for_certain_and_take_turns() -> None:
    told: Told = {f"need{number}": {"halves": 0.5 - number / 100} for number in range(6)}
    told |= {f"help{number}": {"halves": 0.99 - number / 1000} for number in range(3)}
    told["unsure"] = {"halves": 0.951}
    rows = small_groups(table_of(told), one_class(told), size=(2, 2)).to_pylist()
    helping = defaultdict(list)
    for row in rows:
        if row["role"] == "helps":
            helping[row["group"]].append(row["student"])
    assert helping == {1: ["help0", "help1"], 2: ["help0", "help2"], 3: ["help1", "help2"]}


# ---- a whole school ---------------------------------------------------------


@pytest.fixture(scope="module")
def school(sample_log: at.Log, sample_model: at.BKT) -> tuple[pa.Table, pa.Table]:
    """Mastery and roster of the bundled school."""
    roster = sample_log.table.select(["student", "class"]).to_pylist()
    return sample_model.score(sample_log), pa.Table.from_pylist([dict(row) for row in {tuple(row.items()) for row in roster}])


@pytest.mark.parametrize("with_catalog", [True, False])
@pytest.mark.parametrize("size", [(2, 5), (3, 3), (1, 1)])
def test_in_every_class_groups_keep_their_promises(school, with_catalog: bool, size: tuple[int, int]) -> None:
    score, roster = school
    catalog = at.sample_catalog() if with_catalog else None
    rows = small_groups(score, roster, catalog=catalog, size=size).to_pylist()
    places = {row["student"]: row["class"] for row in roster.to_pylist()}
    known = {(row["student"], row["skill"]): row for row in score.to_pylist()}
    needing = [row for row in rows if row["role"] == "needs"]
    assert Counter(row["student"] for row in needing).most_common(1)[0][1] == 1
    assert all(places[row["student"]] == row["class"] for row in rows)
    sizes = Counter((row["class"], row["group"]) for row in needing if row["group"])
    assert set(sizes.values()) <= set(range(size[0], size[1] + 1))
    for row in needing:
        before = catalog.prerequisites.get(row["skill"], ()) if catalog else ()
        assert row["mastery"] is None or row["mastery"] < 0.95
        assert all(known[row["student"], need]["mastery"] >= 0.95 for need in before)
    helps = Counter((row["class"], row["group"]) for row in rows if row["role"] == "helps")
    assert set(helps.values()) <= set(range(1, HELPERS + 1))
    assert all(row["low"] >= 0.95 for row in rows if row["role"] == "helps")
    topic = {(row["class"], row["group"]): row["skill"] for row in needing}
    assert all(topic[row["class"], row["group"]] == row["skill"] for row in rows if row["group"])


@pytest.mark.parametrize("with_catalog", [True, False])
def test_order_and_parts_of_the_table_change_nothing(school, with_catalog: bool, tmp_path: Path, monkeypatch) -> None:
    score, roster = school
    catalog = at.sample_catalog() if with_catalog else None
    expected = small_groups(score, roster, catalog=catalog)
    monkeypatch.setattr(mastery_table, "BATCH", 500)
    monkeypatch.setattr(spill, "IN_MEMORY", 100)
    shuffled = score.take(np.random.default_rng(1).permutation(len(score)))
    for number in range(3):
        pq.write_table(shuffled.slice(number * 2000, 2000), tmp_path / f"{number}.parquet")
    assert small_groups(tmp_path, roster.take(np.arange(len(roster))[::-1]), catalog=catalog).equals(expected)


def test_classes_share_no_group_and_a_student_of_two_classes_is_in_both() -> None:
    roster = pa.table({"student": [*FOUR, "Ada", "Eve"], "class": ["A", "A", "B", "B", "B", None]})
    rows = brief(small_groups(table_of({**FOUR, "Zoe": {"halves": 0.5}}), roster))
    assert rows == [
        (1, "halves", "needs", "Ada"),
        (1, "halves", "needs", "Ben"),
        (1, "quarters", "needs", "Ada"),
        (1, "quarters", "needs", "Cem"),
        (1, "quarters", "helps", "Dana"),
    ]


def test_nobody_gives_an_empty_table_of_the_same_columns() -> None:
    empty = small_groups(table_of(FOUR).slice(0, 0), one_class(FOUR))
    assert (len(empty), empty.schema) == (0, small_groups(table_of(FOUR), one_class(FOUR)).schema)


# ---- what is refused --------------------------------------------------------


def test_what_cannot_be_is_refused(catalog: Catalog) -> None:
    for size in ((0, 3), (4, 3)):
        with pytest.raises(ValueError, match=r"size: got .*; expected the fewest and the most students of a group"):
            small_groups(table_of(FOUR), one_class(FOUR), size=size)
    with pytest.raises(at.DataError, match="roster: column 'form': got the columns student, class; expected column 'form'"):
        small_groups(table_of(FOUR), one_class(FOUR), by="form")
    with pytest.raises(at.DataError, match="column 'low'"):
        small_groups(table_of(FOUR).drop_columns(["low"]), one_class(FOUR))
    strange = {"Ada": {"tenths": 0.9}}
    with pytest.raises(at.DataError, match=r"catalog: got none of the mastery table's skills, e\.g\. not 'tenths'"):
        small_groups(table_of(strange), one_class(strange), catalog=catalog)
