"""Metrics as text, for people."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa

from adaptrace.io.text_table import aligned, word

HEADINGS = {"auc": "AUC", "log_loss": "log loss", "rmse": "RMSE", "accuracy": "accuracy"}
WITH_INTERVAL = ("auc", "log_loss")
LAST = {"ece": ("ECE", 4), "fit_seconds": ("fit s", 2), "predict_seconds": ("predict s", 2)}  # column -> heading, digits


def metrics_text(table: pa.Table, names: Sequence[str], marks: Mapping[str, Sequence[str]] | None = None) -> str:
    """Rows of metrics: the named columns, then the metrics, some with their intervals.

    Parameters
    ----------
    table
        As :func:`adaptrace.evaluate.metrics.report` or :attr:`Comparison.table` gives it.
    names
        The columns before the metrics; those of :data:`LAST` among them are put behind the metrics.
    marks
        Metric -> what is printed behind each of its values.
    """
    first = [[name, *(_cell(name, value) for value in table[name].to_pylist())] for name in names if name not in LAST]
    last = [[LAST[name][0], *numbers(table[name], LAST[name][1])] for name in names if name in LAST]
    columns = [*first, *_metric_columns(table, marks or {}), *last]
    return "\n".join(aligned(zip(*columns, strict=True), "<" + ">" * (len(columns) - 1)))


def _metric_columns(table: pa.Table, marks: Mapping[str, Sequence[str]]) -> list[list[str]]:
    columns = []
    for metric, heading in HEADINGS.items():
        behind = marks.get(metric, [""] * len(table))
        columns.append([heading, *map("".join, zip(numbers(table[metric]), behind, strict=True))])
        if metric in WITH_INTERVAL:
            ends = (numbers(table[f"{metric}_{end}"]) for end in ("low", "high"))
            columns.append(["95 %", *map("-".join, zip(*ends, strict=True))])
    return columns


LATEX = {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}
LATEX |= {character: "\\" + character for character in "&%$#_{}"}


def metrics_latex(table: pa.Table, marks: Mapping[str, Sequence[str]]) -> str:
    """Models and their metrics as a LaTeX ``tabular`` with the rules of booktabs.

    ``marks`` as in :func:`metrics_text`: ``*`` makes a value bold, ``~`` gives it a tilde.
    """
    names = ["Model", *("".join(LATEX.get(each, each) for each in name) for name in table["model"].to_pylist())]
    columns = [names, *(_latex_column(column) for column in _metric_columns(table, marks))]
    lines = [" & ".join(cells) + r" \\" for cells in zip(*columns, strict=True)]
    legend = "% bold: best; tilde: no clear difference from the best, the 95 % interval of the paired difference holds 0"
    begin, end = rf"\begin{{tabular}}{{l{'r' * (len(columns) - 1)}}}", r"\end{tabular}"
    return "\n".join([legend, begin, r"\toprule", lines[0], r"\midrule", *lines[1:], r"\bottomrule", end])


def _latex_column(column: Sequence[str]) -> list[str]:
    """A column of text and marks, in LaTeX."""
    bold = (rf"\textbf{{{cell[:-1]}}}" if cell.endswith("*") else cell for cell in column)
    return [cell.replace("~", r"$^{\sim}$").replace("-", "--").replace("%", r"\%").rstrip() for cell in bold]


def numbers(column: pa.ChunkedArray, digits: int = 4) -> list[str]:
    """A column as text; NaN is "nan"."""
    return [f"{value:.{digits}f}" for value in np.asarray(column.to_numpy(), float)]


def _cell(name: str, value: object) -> str:
    return "missing" if value is None and name in ("by", "group") else word(value)
