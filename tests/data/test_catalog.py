"""Catalog: items, skills and what must be mastered first."""

from __future__ import annotations

import copy
import dataclasses
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet
import pytest

import adaptrace as at

ITEMS: list[dict[str, Any]] = [
    {"item": "007", "skills": ["b", "a"], "title": "Both", "kind": "project", "minutes": 30, "provider": "Us"},
    {"item": "008", "skills": ["c"]},
]
SKILLS = [{"skill": "a", "prerequisites": ["c"]}, {"skill": "c", "prerequisites": []}]
EXPECTED = (at.Item("007", ("b", "a"), "Both", "project", 30.0, "Us"), at.Item("008", ("c",)))


def as_json(folder: Path) -> at.Catalog:
    (folder / "c.json").write_text(json.dumps({"items": ITEMS, "skills": SKILLS}))
    return at.Catalog.read(folder / "c.json")


def as_csv(folder: Path) -> at.Catalog:
    (folder / "c.csv").write_text("item_id,skills,title,kind,minutes,provider\n007,b;a,Both,project,30,Us\n008,c,,,,\n")
    (folder / "s.csv").write_text("skill,prerequisites\na,c\nc,\n")
    return at.Catalog.read(folder / "c.csv", skills=folder / "s.csv")


def as_parquet(folder: Path) -> at.Catalog:
    pyarrow.parquet.write_table(pa.Table.from_pylist(ITEMS), folder / "c.parquet")
    pyarrow.parquet.write_table(pa.Table.from_pylist(SKILLS), folder / "s.parquet")
    return at.Catalog.read(folder / "c.parquet", skills=folder / "s.parquet")


@pytest.mark.parametrize("read", [as_json, as_csv, as_parquet])
def test_every_format_gives_the_same_catalog(tmp_path: Path, read) -> None:
    catalog = read(tmp_path)
    assert catalog.items == EXPECTED
    assert dict(catalog.prerequisites) == {"a": ("c",), "c": ()}


def test_skills_stand_after_what_they_need(tmp_path: Path) -> None:
    skills = as_json(tmp_path).skills
    assert sorted(skills) == ["a", "b", "c"]
    assert skills.index("c") < skills.index("a")


def test_a_catalog_says_its_size(catalog: at.Catalog) -> None:
    assert len(catalog) == 4
    assert repr(catalog) == "Catalog(4 items, 2 skills)"


def test_an_item_is_found_by_the_text_of_its_name() -> None:
    assert at.Catalog.from_arrow({"item": [7], "skill": [1]}).item(7) == at.Item("7", ("1",))


def test_an_item_is_labelled_by_its_title_or_else_its_name() -> None:
    assert [item.label for item in EXPECTED] == ["Both", "008"]


@pytest.mark.parametrize(
    ("name", "hint"), [("fraction-2", "; did you mean 'fractions-2'?"), ("x", "")], ids=["near", "far from all"]
)
def test_an_unknown_item_is_told_with_the_nearest(name: str, hint: str) -> None:
    catalog = at.Catalog.from_arrow({"item": ["fractions-2", "ratios-1"], "skill": ["f", "r"]})
    with pytest.raises(at.UnknownItemError) as raised:
        catalog.item(name)
    assert str(raised.value) == f"item '{name}' is not in the catalog of 2 items{hint}"


def test_blanks_and_empty_names_in_a_cell_of_skills_are_no_skills() -> None:
    catalog = at.Catalog.from_arrow({"item": ["q1"], "skills": ["a; b;"]}, [{"skill": "a", "prerequisites": "b; "}])
    assert catalog.items[0].skills == ("a", "b")
    assert catalog.prerequisites == {"a": ("b",)}


def test_an_empty_catalog_has_no_items_and_no_skills() -> None:
    catalog = at.Catalog.from_arrow({"item": [], "skill": []})
    assert (len(catalog), catalog.skills) == (0, ())


def problems(items: object, skills: object = ()) -> list[str]:
    """What is told of a catalog with these items and skills."""
    with pytest.raises(at.DataError) as raised:
        at.Catalog.from_arrow(items, skills, source="here")
    assert str(raised.value).startswith("here: ")
    return [f"{problem.column} {problem.row}: {problem.got}" for problem in raised.value.problems]


def test_a_circle_of_prerequisites_is_told_with_all_its_skills() -> None:
    items = {"item": ["1", "2", "3"], "skill": ["a", "b", "c"]}
    needs = [{"skill": skill, "prerequisites": [need]} for skill, need in ("ab", "bc", "ca")]
    (problem,) = problems(items, needs)
    assert problem.startswith("prerequisites None: the circle ")
    assert all(f" {skill}" in problem for skill in "abc")


def test_a_skill_that_needs_itself_is_a_circle() -> None:
    assert problems({"item": ["1"], "skill": ["a"]}, [{"skill": "a", "prerequisites": ["a"]}]) == [
        "prerequisites None: the circle a <- a"
    ]


def test_repeats_and_unknown_prerequisites_and_circles_are_told_together() -> None:
    needs = [{"skill": "a", "prerequisites": ["zz", "b"]}, {"skill": "b", "prerequisites": ["a"]}]
    repeat, unknown, circle = problems({"item": ["1", "2", "1"], "skill": ["a", "b", "a"]}, needs)
    assert repeat == "item 3: '1' again"
    assert unknown == "prerequisites None: 'zz' before 'a'"
    assert "circle" in circle


def test_a_row_of_skills_without_a_skill_is_told(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("item,skill\nq1,a\n")
    (tmp_path / "s.csv").write_text("ability,prerequisites\na,\n")
    with pytest.raises(at.DataError, match=r"s\.csv: column 'skill': "):
        at.Catalog.read(tmp_path / "c.csv", skills=tmp_path / "s.csv")


def test_a_row_of_skills_is_found_by_alias(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("item,kc\nq1,a\nq2,b\n")
    (tmp_path / "s.csv").write_text("kc,requires\na,b\n")
    assert at.Catalog.read(tmp_path / "c.csv", skills=tmp_path / "s.csv").prerequisites == {"a": ("b",)}


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        '{"items": 5}',
        '{"items": []}',
        '{"items": [1, 2]}',
        '{"items": [{"skills": ["a"]}]}',
        '{"items": [{"item": "q1", "skills": []}]}',
        '{"items": [{"item": "q1", "skills": ["a"]}], "skills": [{"prerequisites": []}]}',
        '{"items": [{"item": "q1", "skills": ["a"]}], "skills": [{"skill": "a", "prerequisites": 5}]}',
    ],
)
def test_json_that_is_no_catalog_is_a_data_error_that_names_the_file(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.json").write_text(text)
    with pytest.raises(at.DataError, match=r"bad\.json: "):
        at.Catalog.read(tmp_path / "bad.json")


@pytest.mark.parametrize("name", ["none.json", "none.csv"])
def test_a_catalog_that_is_not_there_is_a_data_error(tmp_path: Path, name: str) -> None:
    with pytest.raises(at.DataError, match=name.replace(".", r"\.")):
        at.Catalog.read(tmp_path / name)


def test_rows_of_one_skill_add_up_to_its_prerequisites() -> None:
    rows = [{"skill": "a", "prerequisites": "b"}, {"skill": "a", "prerequisites": "c"}]
    catalog = at.Catalog.from_arrow({"item": [1, 2, 3], "skill": ["a", "b", "c"]}, rows)
    assert catalog.prerequisites == {"a": ("b", "c")}


def test_a_title_of_digits_is_a_title(tmp_path: Path) -> None:
    (tmp_path / "c.csv").write_text("item,skill,title\nq1,a,2024\n")
    assert at.Catalog.read(tmp_path / "c.csv").items[0].title == "2024"


# ---- however it is made ---------------------------------------------------------

GOOD = (at.Item("1", ("a",)), at.Item("2", ("b",), minutes=0.0))
CIRCLE = {"a": ("b",), "b": ("a",)}


def tampered(**fields: Any) -> at.Catalog:
    """A catalog that somebody changed in spite of everything."""
    catalog = at.Catalog(GOOD)
    for name, value in fields.items():
        object.__setattr__(catalog, name, value)
    return catalog


MADE: dict[str, Callable[[], at.Catalog]] = {
    "the constructor": lambda: at.Catalog(GOOD, CIRCLE),
    "replace": lambda: dataclasses.replace(at.Catalog(GOOD), prerequisites=CIRCLE),
    "from_arrow": lambda: at.Catalog.from_arrow(
        {"item": ["1", "2"], "skill": ["a", "b"]}, [{"skill": a, "prerequisites": [b]} for a, b in ("ab", "ba")]
    ),
    "unpickling": lambda: pickle.loads(pickle.dumps(tampered(prerequisites=CIRCLE))),
    "a copy": lambda: copy.copy(tampered(prerequisites=CIRCLE)),
    "a deep copy": lambda: copy.deepcopy(tampered(prerequisites=CIRCLE)),
}


@pytest.mark.parametrize("how", MADE)
def test_a_catalog_is_checked_however_it_is_made(how: str) -> None:
    with pytest.raises(at.DataError, match=r"catalog: column 'prerequisites': got the circle [ab] <- [ab] <- [ab]; expected"):
        MADE[how]()


@pytest.mark.parametrize(
    ("item", "problem"),
    [
        ({"item": 7}, "column 'item', row 3: got 7; expected a name: text that is not blank"),
        ({"item": ""}, "column 'item', row 3: got ''; expected a name"),
        ({"item": "1"}, r"column 'item', row 3: got '1' again; expected every item once \(it stands in row 1\)"),
        ({"skills": ()}, r"column 'skills', row 3: got \(\); expected a tuple of names of skills; name at least one"),
        ({"skills": "ab"}, "column 'skills', row 3: got 'ab'; expected a tuple"),
        ({"skills": ("a", 1)}, r"column 'skills', row 3: got \('a', 1\)"),
        ({"skills": ("a", "a")}, r"column 'skills', row 3: got \('a', 'a'\); .*each once"),
        ({"kind": 5}, "column 'kind', row 3: got 5; expected text, or None"),
        ({"minutes": -1.0}, "column 'minutes', row 3: got -1.0; expected a number of minutes, 0 or more, or None"),
        ({"minutes": float("nan")}, "column 'minutes', row 3: got nan"),
        ({"minutes": True}, "column 'minutes', row 3: got True"),
    ],
    ids=str,
)
def test_an_item_that_is_wrong_is_refused(item: dict[str, Any], problem: str) -> None:
    with pytest.raises(at.DataError, match=f"^catalog: {problem}"):
        at.Catalog((*GOOD, at.Item(**{"item": "3", "skills": ("c",), **item})))


@pytest.mark.parametrize(
    ("arguments", "problem"),
    [
        ((GOOD[0],), "column 'items': got Item"),
        ((5,), "column 'items': got 5; expected a list of Item"),
        (([*GOOD, "q3"],), "column 'items', row 3: got 'q3'; expected an Item"),
        ((GOOD, [("a", "b")]), "column 'prerequisites': got "),
        ((GOOD, {"a": "b"}), "column 'prerequisites': got 'a': 'b'; expected the name of a skill, and a tuple of names"),
        ((GOOD, {1: ("b",)}), "column 'prerequisites': got 1: "),
        ((GOOD, {"a": ("zz",)}), "column 'prerequisites': got 'zz' before 'a'"),
    ],
    ids=str,
)
def test_what_makes_no_catalog_is_refused(arguments: tuple[Any, ...], problem: str) -> None:
    with pytest.raises(at.DataError, match=f"^catalog: {problem}"):
        at.Catalog(*arguments)


def test_every_problem_of_a_catalog_is_told_at_once() -> None:
    with pytest.raises(at.DataError) as raised:
        at.Catalog((at.Item("", ("a",)), at.Item("2", ())), {"a": "b"}, soft_prerequisites=5)  # type: ignore[arg-type, dict-item]
    assert [problem.column for problem in raised.value.problems] == ["item", "skills", "prerequisites", "soft_prerequisites"]
    with pytest.raises(at.DataError) as raised:
        at.Catalog((*GOOD, GOOD[0]), {**CIRCLE, "c": ("zz",)}, soft_prerequisites={"a": ("yy",)})
    assert [problem.got for problem in raised.value.problems][:3] == ["'1' again", "'zz' before 'c'", "'yy' before 'a'"]
    assert "circle" in raised.value.problems[3].got


def test_a_catalog_can_be_pickled_and_copied() -> None:
    catalog = at.Catalog(list(GOOD), {"b": ["a"]}, soft_prerequisites={"a": ()})  # type: ignore[arg-type, dict-item]
    assert (catalog.items, catalog.prerequisites, catalog.soft_prerequisites) == (GOOD, {"b": ("a",)}, {"a": ()})
    assert catalog.skills == ("a", "b")
    for again in (
        pickle.loads(pickle.dumps(catalog)),
        copy.deepcopy(catalog),
        at.Catalog.from_arrow({"item": ["1"], "skill": ["a"]}),
    ):
        assert pickle.loads(pickle.dumps(again)) == again
    assert pickle.loads(pickle.dumps(catalog)) == copy.deepcopy(catalog) == catalog


def test_the_prerequisites_of_a_catalog_cannot_be_changed() -> None:
    before = {"b": ("a",)}
    catalog = at.Catalog(GOOD, before)
    with pytest.raises(TypeError):
        catalog.prerequisites["a"] = ("b",)  # type: ignore[index]
    before["a"] = ("b",)
    assert catalog.prerequisites == {"b": ("a",)}
