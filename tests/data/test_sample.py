"""The bundled sample is what its generator makes."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

import adaptrace as at
from adaptrace.data.sample import sample_path

STUDENTS = 3


@pytest.fixture(scope="module")
def make_sample() -> ModuleType:
    """The script beside the data, as a module."""
    place = Path(__file__).parents[2] / "data" / "sample" / "make_sample.py"
    spec = importlib.util.spec_from_file_location("make_sample", place)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_catalog_is_what_the_script_makes(make_sample: ModuleType) -> None:
    assert json.loads(sample_path("catalog.json").read_text()) == make_sample.make_catalog()


def test_the_first_students_are_what_the_script_makes(make_sample: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each student has a seed of their own, so a few stand for all; their names have as many digits as are needed."""
    monkeypatch.setattr(make_sample, "STUDENTS", STUDENTS)
    made = make_sample.make_responses(at.sample_catalog())
    assert len(made) >= STUDENTS * make_sample.LEAST
    bundled = at.sample_log().table.slice(0, len(made))
    others = [name for name in bundled.column_names if name != "student"]
    assert made.select(others).to_pylist() == bundled.select(others).to_pylist()
    assert [int(name[8:]) for name in made["student"].to_pylist()] == [int(name[8:]) for name in bundled["student"].to_pylist()]


def test_the_sample_is_a_whole_school(make_sample: ModuleType, sample_log: at.Log) -> None:
    assert len(sample_log.students) == make_sample.STUDENTS
    assert len(set(sample_log.table["class"].to_pylist())) == make_sample.CLASSES
    assert set(sample_log.skills.to_pylist()) == set(make_sample.CURRICULUM) == set(at.sample_catalog().skills)


def test_every_item_of_the_log_is_in_the_catalog_with_these_skills(sample_log: at.Log) -> None:
    catalog = at.sample_catalog()
    rows = sample_log.table.select(["item", sample_log.skill_column]).to_pylist()
    assert all(sorted(catalog.item(row["item"]).skills) == row[sample_log.skill_column] for row in rows)


def test_the_sample_comes_in_order(sample_log: at.Log) -> None:
    assert (sample_log.source_row == range(len(sample_log))).all()
