"""The table for kt-audit: what stands in it, that kt-audit passes every family, and that it fails on a planted leak."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.errors import DataError
from adaptrace.io.files import write_table
from adaptrace.models import MODELS

COLUMNS = ["user_id", "timestamp", "split", "kc_ids", "item_id", "y_true", "y_pred", "fold"]


def small(**columns: Any) -> at.Log:
    table = {
        "student": ["Ada", "Bo", "Ada", "Cy", "Cy"],
        "item": ["q1", "q1", "q2", "q1", "q2"],
        "skills": [["a"], ["a"], ["a", "|b"], ["a"], ["a", "|b"]],
        "correct": [0, 1, 1, 1, 0],
    }
    return at.Log.from_arrow(table | columns, keep=[name for name in ("part",) if name in columns])


def test_every_row_of_a_fold_is_in_it_with_what_the_model_of_the_fold_predicts() -> None:
    log = small(order=[5, 1, 9, 2, 3])
    table = at.audit_table(at.PFA(), log, folds=3, seed=1)
    assert table.column_names == COLUMNS
    validation = at.cross_validate(at.PFA(), log, folds=3, seed=1)
    for number in range(3):
        part = table.filter(pa.compute.equal(table["fold"], str(number)))
        tested = validation.fold == number
        assert part["split"].to_pylist() == np.where(tested, "test", "train").tolist()
        fitted = at.PFA().fit(log.select(~tested))
        np.testing.assert_array_equal(part["y_pred"], fitted.predict(log))
        np.testing.assert_array_equal(part["y_pred"].to_numpy()[tested], validation.predicted[tested])
    first = table.slice(0, len(log)).to_pydict()
    assert first["user_id"] == [1, 1, 2, 3, 3]
    assert first["timestamp"] == [5, 9, 1, 2, 3]
    assert first["item_id"] == ["q1", "q2", "q1", "q1", "q2"]
    assert [json.loads(each) for each in first["kc_ids"]] == [["a"], ["a", "|b"], ["a"], ["a"], ["a", "|b"]]
    assert first["y_true"] == [0, 1, 1, 1, 0]
    assert "Ada" not in str(table.to_pylist())


def test_a_log_without_time_and_order_has_the_number_of_the_response() -> None:
    assert at.audit_table(at.PFA(), small(), folds=2)["timestamp"].to_pylist()[:5] == [1, 2, 1, 1, 2]


def test_rows_that_a_fold_does_not_know_are_not_in_it() -> None:
    time = pa.array([0, 1, 2, 3, 4], pa.timestamp("s", "UTC"))
    table = at.audit_table(at.PFA(), small(time=time), folds=2, by="time")
    assert table["fold"].to_pylist() == ["1970-01-01T00:00:02+00:00"] * 3 + ["1970-01-01T00:00:03+00:00"] * 5
    assert table["split"].to_pylist() == ["train", "test", "train", *["train"] * 3, "test", "test"]
    assert table["user_id"].to_pylist() == [1, 1, 2, 1, 1, 2, 3, 3]


def test_partial_credit_is_one_error() -> None:
    with pytest.raises(DataError, match=r"column 'correct', row 2: got 0.25 .and in 1 more row.; expected outcomes of 0 and 1"):
        at.audit_table(at.PFA(), small(correct=[0, 0.25, 0.5, 1, 0]), folds=2)  # Ada's 0.5 comes first in the log


# ---- kt-audit itself --------------------------------------------------------


def audited(table: pa.Table, folder: Path) -> tuple[int, dict[str, Any]]:
    """The exit code of `kt-audit run`, and its report."""
    cli = pytest.importorskip("kt_audit.cli")
    write_table(table, folder / "table.csv")
    code = cli.main(["run", str(folder / "table.csv"), "--out", str(folder / "report")])
    return code, json.loads((folder / "report" / "report.json").read_text())


def found(report: dict[str, Any], *severities: str) -> set[str]:
    """The checks that found something."""
    return {each["check"] for each in report["findings"] if each["severity"] in severities}


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name in MODELS if name != "constant"])
def test_kt_audit_passes_every_family(name, tmp_path: Path) -> None:
    code, report = audited(at.audit_table(MODELS[name](), at.sample_log(), folds=2), tmp_path)
    assert code == 0
    assert found(report, "error") == set()
    deltas = [each["delta"] for each in report["baselines"].values()]
    assert len(deltas) == 2
    assert min(deltas) > 0
    # better than the tree by less than .02: AFM looks at no outcome, FSRS at no other item
    assert found(report, "warn") <= ({"cheap_baseline"} if name in ("afm", "fsrs") else set())


def test_kt_audit_finds_that_a_constant_is_no_better_than_a_cheap_tree(tmp_path: Path) -> None:
    code, report = audited(at.audit_table(at.Constant(), at.sample_log(), folds=2), tmp_path)
    assert code == 1
    assert found(report, "error") == {"cheap_baseline"}


def test_kt_audit_finds_a_planted_leak(tmp_path: Path) -> None:
    log = at.sample_log()
    part = np.random.default_rng(0).integers(0, 2, len(log))  # a student's later responses are fitted to, earlier ones tested
    leaking = at.Log.from_arrow(log.table.append_column("part", pa.array(part)), keep=["part"])
    code, report = audited(at.audit_table(at.BKT(), leaking, by="part"), tmp_path)
    assert code == 1
    assert "temporal_split" in found(report, "error")


def test_kt_audit_finds_a_row_per_skill(tmp_path: Path) -> None:
    log = at.sample_log()
    table = log.table.to_pylist()
    rows = [{**row, "skill": skill} for row in table for skill in row["skills"]]
    columns = {name: [row[name] for row in rows] for name in ("student", "item", "skill", "correct", "time")}
    apart, merged = (at.Log.from_arrow(columns, merge=merge) for merge in (False, True))
    assert audited(at.audit_table(at.Recency(), apart, folds=2), tmp_path)[0] == 1
    assert audited(at.audit_table(at.Recency(), merged, folds=2), tmp_path)[0] == 0
