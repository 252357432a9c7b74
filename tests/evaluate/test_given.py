"""Predictions made elsewhere, tables for papers, and pictures of objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace import plots
from adaptrace.evaluate import metrics
from reference.school import random_table


def log_with(values: Any, **more: Any) -> at.Log:
    table = random_table(0, rows=200).drop_columns(["group", "kind"])
    for name, column in {"dkt": values, **more}.items():
        table = table.append_column(name, pa.array(column))
    return at.Log.from_arrow(table, keep=["dkt", *more])


def said(seed: int = 0) -> Any:
    return np.random.default_rng(seed).uniform(0.05, 0.95, 200)


def test_a_column_is_compared_as_it_is() -> None:
    """In the order of the log, whatever the rows' own order: every student's rows are moved together."""
    log = log_with(said())
    compared = at.compare({"DKT": at.Predictions(column="dkt"), "PFA": at.PFA()}, log, folds=3, draws=20)
    column = log.table["dkt"].to_numpy()
    assert compared.predictions["DKT"].to_pylist() == column.tolist()
    row = compared.table.to_pylist()[1]
    assert (row["model"], row["log_loss"]) == ("DKT", pytest.approx(metrics.log_loss(log.correct, column)))
    assert sorted(column.tolist()) == sorted(said().tolist())
    assert at.cross_validate(at.Predictions(column="dkt"), log, folds=3).predicted.tolist() == column.tolist()


def test_only_tested_rows_need_a_prediction() -> None:
    split = np.where(np.arange(200) % 12 < 3, "test", "train")  # students are numbers: these are no whole students
    values = np.where(split == "test", said(), np.nan)
    log = log_with(values, split=split)
    compared = at.compare([at.Predictions(column="dkt")], log, by="split", draws=20)
    assert len(compared.predictions) == int((split == "test").sum())
    with pytest.raises(
        at.ModelError, match=r"Predictions\(column='dkt'\), fold 0: got a prediction of nan for row \d+; expected"
    ):
        at.compare([at.Predictions(column="dkt")], log, draws=20)


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ([*said()[1:], 1.0], r"got 1; expected a probability inside \(0, 1\); clip predictions"),
        ([0.0, -2.0, *said()[2:]], r"got (0|-2); expected a probability inside \(0, 1\)"),
        (["high"] * 200, "got string; expected numbers; write predictions as numbers"),
    ],
)
def test_what_is_no_probability_is_refused(values: Any, told: str) -> None:
    with pytest.raises(at.ModelError, match=told):
        at.compare([at.Predictions(column="dkt")], log_with(values), draws=20)


def test_an_absent_column_is_refused_with_the_remedy() -> None:
    with pytest.raises(at.ModelError, match=r"expected a column 'lstm' of predictions; read the log with keep=\['lstm'\]"):
        at.compare([at.Predictions(column="lstm")], log_with(said()), draws=20)


def test_a_comparison_as_latex() -> None:
    log = log_with(said())
    compared = at.compare({"DKT_1 & more": at.Predictions(column="dkt"), "PFA": at.PFA()}, log, folds=3, draws=20)
    lines = compared.to_latex().splitlines()
    assert lines[1:3] == [r"\begin{tabular}{lrrrrrr}", r"\toprule"]
    assert lines[3] == r"Model & AUC & 95 \% & log loss & 95 \% & RMSE & accuracy \\"
    assert (lines[4], lines[-2:]) == (r"\midrule", [r"\bottomrule", r"\end{tabular}"])
    for line, name in zip(lines[5:-2], ("Constant()", r"DKT\_1 \& more", "PFA"), strict=True):
        assert line.startswith(f"{name} & ")
    table = compared.table.to_pylist()
    for row, told in zip(lines[5:-2], table, strict=True):
        assert f"{told['log_loss']:.4f}" in row
        assert f"{told['auc_low']:.4f}--{told['auc_high']:.4f}" in row
    best = min(table, key=lambda each: each["log_loss"])
    assert rf"\textbf{{{best['log_loss']:.4f}}}" in "\n".join(lines)


def test_pictures_take_the_object_as_well_as_its_table() -> None:
    pytest.importorskip("matplotlib")
    log = log_with(said(), group=np.where(np.arange(200) % 2, "north", "south"))
    compared = at.compare([at.Predictions(column="dkt")], log, folds=3, draws=20)
    validation = compared.validations["Predictions(column='dkt')"]
    for draw, table in ((plots.calibration, validation.calibration()), (plots.learning_curve, validation.learning_curve())):
        assert drawn(draw(validation)) == drawn(draw(table))
        assert len(draw(compared).axes[0].get_lines()) > len(draw(validation).axes[0].get_lines())
    assert drawn(plots.comparison(compared)) == drawn(plots.comparison(compared.table))
    with pytest.raises(ValueError, match="got a Validation; expected one of these pictures for it: calibration, learning_curve"):
        plots.comparison(validation)
    expected = "got a Comparison; expected one of these pictures for it: comparison, calibration, learning_curve$"
    with pytest.raises(ValueError, match=expected):
        plots.fairness(compared)
    with pytest.raises(ValueError, match="periods: got the folds 0, 1, 2; expected what replay gives, whose folds begin"):
        plots.periods(validation)


def drawn(figure: Any) -> list[list[float]]:
    """The numbers of every line of a picture."""
    return [np.ravel(line.get_data()).astype(float).tolist() for axes in figure.axes for line in axes.get_lines()]
