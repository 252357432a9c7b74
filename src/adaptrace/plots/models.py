"""Pictures of how well models predict."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.plots.drawing import (
    GREY,
    INK,
    PALE,
    add_legend,
    colour_of,
    figure_above_bars,
    label_axes,
    line_style,
    marker_of,
    name_rows,
    new_figure,
    plain,
    set_title,
    spaced,
)
from adaptrace.plots.tables import Columns, Pictured, by_model, read_columns, take_rows, with_ends

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


BASELINES = ("Constant()", "constant")
LOSS = ("log_loss", "log loss (nats per response), lower is better")
AUC = ("auc", "AUC, higher is better")


def learning_curve(table: pa.Table | Pictured) -> Figure:
    """The share of right answers, and the mean prediction, at each opportunity.

    Parameters
    ----------
    table
        A :class:`~adaptrace.evaluate.validation.Validation` or :class:`~adaptrace.evaluate.comparison.Comparison`, or a table of
        :func:`adaptrace.evaluate.metrics.learning_curve`; with a column ``model``, one line of predictions for each model,
        of the same responses.

    Raises
    ------
    ValueError
        If the table lacks columns or rows, or the models did not predict the same responses; so do all pictures here.
    AdaptraceError
        If matplotlib is not installed; so do all pictures here.

    Examples
    --------
    >>> from adaptrace.evaluate import metrics
    >>> from adaptrace import plots
    >>> table = metrics.learning_curve([0, 1, 1, 1], [0.4, 0.6, 0.5, 0.7], opportunity=[1, 2, 1, 2], student=[1, 1, 2, 2])
    >>> plots.learning_curve(table).axes[0].get_ylabel()
    'share right'
    """
    means = ("observed", "observed_low", "observed_high", "predicted")
    curves = by_model(read_columns(table, ("opportunity", "n", *means), "metrics.learning_curve", "learning_curve"))
    seen = next(iter(curves.values()))
    if not all(np.array_equal(seen["observed"], each["observed"]) for each in curves.values()):
        raise ValueError("observed: got other values for other models; expected curves of the same responses, one a model")
    figure, axes, below = figure_above_bars(7.0, 4.6)
    x = seen["opportunity"]
    axes.fill_between(x, seen["observed_low"], seen["observed_high"], color=PALE, linewidth=0.0, label="95 % interval")
    axes.plot(x, seen["observed"], color=INK, marker="o", markersize=4.0, linewidth=1.0, label="observed")
    for number, (name, curve) in enumerate(curves.items()):
        axes.plot(
            curve["opportunity"],
            curve["predicted"],
            label=plain(", ".join(filter(None, ("predicted", name)))),
            **line_style(number, "."),
        )
    below.bar(x, seen["n"], color=PALE, width=0.8)
    axes.set_ylim(0.0, 1.0)
    below.set_xlim(0.4, x.max() + 0.6)
    below.locator_params(axis="x", integer=True)
    label_axes(axes, "", "share right")
    label_axes(below, "opportunity (count of a student's responses on a skill)", "responses")
    add_legend(axes, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4 if len(curves) < 3 else 3)
    set_title(figure, _rise_title(seen))
    return figure


def calibration(table: pa.Table | Pictured) -> Figure:
    """Reliability diagram: whether answers predicted at 0.7 come out right 7 times in 10.

    Parameters
    ----------
    table
        A :class:`~adaptrace.evaluate.validation.Validation` or :class:`~adaptrace.evaluate.comparison.Comparison`, or a table of
        :func:`adaptrace.evaluate.metrics.calibration`; with a column ``model``, one line for each model.
    """
    needed = ("low", "high", "n", "predicted", "observed", "observed_low", "observed_high")
    curves = by_model(read_columns(table, needed, "metrics.calibration", "calibration"))
    figure, axes, below = figure_above_bars(5.6, 6.2)
    axes.plot([0.0, 1.0], [0.0, 1.0], color=GREY, linestyle="--", linewidth=1.0, label="as predicted")
    for number, (name, curve) in enumerate(curves.items()):
        colour, width = colour_of(number), (curve["high"] - curve["low"]) / len(curves)
        axes.vlines(curve["predicted"], curve["observed_low"], curve["observed_high"], color=colour, linewidth=1.4, alpha=0.6)
        axes.plot(
            curve["predicted"],
            curve["observed"],
            label=plain(name) or "observed, 95 % interval",
            **line_style(number, marker_of(number)),
        )
        below.bar(curve["low"] + (number + 0.5) * width, curve["n"], width=0.9 * width, color=colour)
    axes.set(xlim=(0.0, 1.0), ylim=(0.0, 1.0))
    label_axes(axes, "", "share right (95 % interval)")
    label_axes(below, "predicted P(correct)", "responses")
    add_legend(axes, loc="upper left")
    set_title(figure, _calibration_title(curves))
    return figure


def comparison(table: pa.Table | Pictured, *, baseline: str | None = None) -> Figure:
    """Models side by side: log loss and AUC with their 95 % intervals, the lowest log loss first.

    Parameters
    ----------
    table
        A :class:`~adaptrace.evaluate.comparison.Comparison`, or its ``table``.
    baseline
        The model that the others are compared with; by default the constant, if it is there.
    """
    columns = read_columns(table, ("model", *with_ends("log_loss", "auc")), "evaluate.compare(...).table", "comparison")
    columns = take_rows(columns, np.argsort(columns["log_loss"], kind="stable"))
    names = columns["model"].tolist()
    base = names.index(baseline) if baseline in names else next((names.index(name) for name in BASELINES if name in names), None)
    figure, both = new_figure(8.0, 1.7 + 0.34 * len(names), 2)
    for axes, (metric, heading) in zip(both, (LOSS, AUC), strict=True):
        _draw_dots(axes, columns, metric, base)
        label_axes(axes, heading, "")
    labels = [f"{name} (baseline)" if number == base else str(name) for number, name in enumerate(names)]
    name_rows(both, labels)
    set_title(figure, f"{names[0]} has the lowest log loss: {columns['log_loss'][0]:.3f}", _sizes(columns))
    return figure


def periods(table: pa.Table | Pictured) -> Figure:
    """How well a model predicts in each period: log loss and AUC with their 95 % intervals.

    Parameters
    ----------
    table
        What :func:`adaptrace.replay` gives, or the table that ``adaptrace replay`` writes: one row for each period, with its
        ``start``.
    """
    columns = read_columns(table, ("start", "n", *with_ends("log_loss", "auc")), "the command adaptrace replay", "periods")
    figure, both = new_figure(8.0, 3.6, 2, sharey=False)
    for axes, (metric, heading) in zip(both, (LOSS, AUC), strict=True):
        x = columns["start"].astype("datetime64[us]")
        axes.vlines(x, columns[f"{metric}_low"], columns[f"{metric}_high"], color=colour_of(0), linewidth=1.4, alpha=0.6)
        axes.plot(x, columns[metric], **line_style(0, marker_of(0)))
        _date_axis(axes, x)
        axes.margins(x=0.08)
        label_axes(axes, "start of the period (UTC)", heading.replace(" per response", ""))
    n, middle = len(columns["n"]), np.average(columns["log_loss"], weights=columns["n"])
    set_title(
        figure, f"Log loss {middle:.3f} over {n} period{'s' * (n != 1)}, refitted before each", _sizes(columns, sum(columns["n"]))
    )
    return figure


def _rise_title(curve: Columns) -> str:
    """The share at the first opportunity, and at the last one with a tenth as many responses."""
    last = np.flatnonzero(curve["n"] * 10 >= curve["n"][0])[-1]
    parts = [
        f"{100 * curve['observed'][row]:.0f} % at opportunity {curve['opportunity'][row]}"
        for row in dict.fromkeys((0, int(last)))
    ]
    return f"Right answers: {', '.join(parts)}"


def _calibration_title(curves: Mapping[str, Columns]) -> str:
    """The expected calibration errors."""
    errors = [float(np.average(np.abs(each["observed"] - each["predicted"]), weights=each["n"])) for each in curves.values()]
    low, high = 100.0 * min(errors), 100.0 * max(errors)
    if len(curves) == 1:
        return f"Predictions are {low:.1f} percentage points off on average"
    return f"{len(curves)} models are {low:.1f} to {high:.1f} percentage points off on average"


def _sizes(columns: Columns, n: int | None = None) -> str:
    """The number of responses and students, if the table has them."""
    if "n" not in columns:
        return "95 % intervals"
    count = int(columns["n"][0] if n is None else n)
    students = f" of {int(columns['students'][0]):,} students" if n is None and "students" in columns else ""
    return f"{count:,} responses{students}, 95 % intervals"


def _draw_dots(axes: Axes, columns: Columns, metric: str, base: int | None) -> None:
    """A dot with its interval for every row, top down, its number at the right."""
    y = np.arange(len(columns["model"]))
    colours = [GREY if number == base else colour_of(0) for number in y]
    axes.hlines(y, columns[f"{metric}_low"], columns[f"{metric}_high"], colors=colours, linewidth=2.0)
    axes.scatter(columns[metric], y, color=colours, s=34.0, zorder=3)
    if base is not None:
        axes.axvline(columns[metric][base], color=GREY, linestyle="--", linewidth=1.0, zorder=1)
    for number, value in zip(y, columns[metric], strict=True):
        axes.annotate(
            "-" if np.isnan(value) else f"{value:.3f}",
            (1.02, number),
            xycoords=("axes fraction", "data"),
            va="center",
            fontsize=8.5,
            color=INK,
        )


def _date_axis(axes: Axes, start: NDArray[Any]) -> None:
    """Some of the times (UTC), as precise as needed."""
    days = (start - start[0]) / np.timedelta64(1, "D")
    chosen = spaced(days, 0.2 * days[-1])
    form = "%d %b %H:%M" if 0.0 < days[-1] < 2.0 else "%d %b" if days[-1] < 300.0 else "%b %Y"
    axes.set_xticks(start[chosen], [f"{moment:{form}}".lstrip("0") for moment in start[chosen].tolist()])
