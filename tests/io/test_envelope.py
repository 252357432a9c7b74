"""Codec: what was saved comes back, and nothing else passes for it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.io import envelope


@pytest.fixture
def path(tmp_path: Path, model: at.BKT) -> Path:
    model.save(tmp_path / "model.json")
    return tmp_path / "model.json"


def change(path: Path, **fields: Any) -> None:
    """Set fields of a document; drop those that are ``...``."""
    document = {**json.loads(path.read_text()), **fields}
    path.write_text(json.dumps({name: value for name, value in document.items() if value is not ...}))


def refused(path: Path) -> str:
    with pytest.raises(at.ModelError) as raised:
        at.load(path)
    message = str(raised.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


def test_a_saved_model_comes_back_equal_to_the_last_bit(tmp_path: Path) -> None:
    model = at.BKT.from_parameters(["a", "b"], prior=[0.1 + 0.2, 1 / 3], learn=1e-9, guess=0.1, slip=0.1, forget=0.004)
    model.save(tmp_path / "model.json")
    loaded = at.load(tmp_path / "model.json")
    assert loaded.to_dict() == model.to_dict()
    assert loaded.fingerprint == model.fingerprint
    assert loaded.row("a")[0] == 0.30000000000000004


def test_a_file_says_what_it_is_and_in_which_schema(path: Path) -> None:
    document = json.loads(path.read_text())
    assert list(document) == ["adaptrace", "schema", "fingerprint", "content"]
    assert (document["adaptrace"], document["schema"]) == ("model", envelope.SCHEMA)


def test_the_fingerprint_of_equal_content_is_equal_whatever_its_order() -> None:
    assert envelope.fingerprint({"a": 1, "b": 2.0}) == envelope.fingerprint({"b": 2.0, "a": 1})
    assert envelope.fingerprint({"a": 1}) != envelope.fingerprint({"a": 2})


def test_lists_in_lists_without_end_are_no_json(path: Path) -> None:
    path.write_text("[" * 20_000)
    assert "not JSON" in refused(path)


@pytest.mark.parametrize("sources", ["log.csv", [1], [{"file": 1}], {"file": "log.csv"}])
def test_sources_that_are_no_files_are_told(path: Path, sources: object) -> None:
    change(path, sources=sources)
    with pytest.raises(at.ModelError, match="no list of files"):
        envelope.sources(path)


@pytest.mark.parametrize(("low", "high"), [(-1.0, 1.0), (0.0, 979_800.0), (0.6, 0.4), (0.0, 1.0)])
def test_bounds_that_are_no_probabilities_are_told(path: Path, low: float, high: float) -> None:
    rows = [{"student": f"s{n % 9}", "item": f"i{n % 4}", "skill": "a", "correct": n % 2} for n in range(60)]
    model = at.BKT(items=("guess",)).fit(at.Log.from_arrow(pa.Table.from_pylist(rows)))
    content = model.to_dict()
    content["effects"]["low"][3], content["effects"]["high"][3] = low, high
    envelope.write(path, "model", content)
    refused(path)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    assert "No such file" in refused(tmp_path / "none.json")


def test_a_folder_is_told(tmp_path: Path) -> None:
    assert "directory" in refused(tmp_path)


@pytest.mark.parametrize("content", [b"", b"\xff\xfe\x00", b"{", b"not json"], ids=repr)
def test_what_is_not_json_is_told(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    assert "not JSON" in refused(path)


def test_a_file_cut_short_is_told(path: Path) -> None:
    path.write_text(path.read_text()[:-40])
    assert "not JSON" in refused(path)


@pytest.mark.parametrize("content", ["[]", "5", "{}", '{"adaptrace": "stats", "schema": 1, "content": {}}'])
def test_a_file_of_another_kind_is_told(path: Path, content: str) -> None:
    path.write_text(content)
    assert "not a model" in refused(path)


def test_a_newer_schema_is_told_with_the_remedy(path: Path) -> None:
    change(path, schema=envelope.SCHEMA + 1)
    assert refused(path).endswith(f"schema {envelope.SCHEMA + 1}, this version reads up to {envelope.SCHEMA}; upgrade adaptrace")


def test_one_changed_digit_is_told(path: Path) -> None:
    path.write_text(path.read_text().replace("0.5", "0.6", 1))
    assert "does not match its fingerprint" in refused(path)


@pytest.mark.parametrize("name", ["schema", "fingerprint", "content"])
def test_a_field_that_was_lost_is_told(path: Path, name: str) -> None:
    change(path, **{name: ...})
    refused(path)


@pytest.mark.parametrize("fields", [{"schema": "1"}, {"schema": None}, {"content": []}, {"content": None}], ids=str)
def test_a_field_of_another_type_is_told(path: Path, fields: dict[str, Any]) -> None:
    change(path, **fields)
    refused(path)


@pytest.mark.parametrize("content", [{}, {"family": "unheard-of"}, {"family": "bkt"}], ids=str)
def test_content_that_is_no_known_model_is_told(path: Path, content: dict[str, Any]) -> None:
    envelope.write(path, "model", content)
    refused(path)


def test_a_model_that_is_not_fitted_cannot_be_saved_and_leaves_the_file_alone(path: Path) -> None:
    before = path.read_bytes()
    with pytest.raises(at.ModelError, match="not fitted"):
        at.BKT().save(path)
    assert path.read_bytes() == before
