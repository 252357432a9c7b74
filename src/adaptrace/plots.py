"""Pictures of the library's tables: every function takes a table and gives a matplotlib ``Figure``; needs ``adaptrace[plot]``.

Nothing is shown and no global state is touched: save a figure with :func:`save` or its own ``savefig``; a notebook shows it.
Colours are those of Okabe & Ito (2008), which colour-blind people tell apart; markers differ as well.
"""

from __future__ import annotations

import os
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.errors import AdaptraceError, OutputError
from adaptrace.io.atomic import replacing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
Columns = Mapping[str, NDArray[Any]]

ENDINGS = (".png", ".svg", ".pdf")
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8C6D31", "#000000")
MARKERS = "osD^vPX*"
GREY, PALE, INK = "#7A7A7A", "#D9D9D9", "#222222"
MASTERED = 0.95
MOST_SKILLS = len(COLOURS)  # that have a colour of their own
BASELINES = ("Constant()", "constant")
LOSS, AUC = ("log_loss", "log loss (nats per response), lower is better"), ("auc", "AUC, higher is better")
MEASURES = {  # of fairness, in order, with their units
    "auc": "AUC",
    "log_loss": "log loss (nats)",
    "rmse": "RMSE",
    "accuracy": "accuracy",
    "bias": "bias, predicted - correct",
    "responses_to_mastery": "responses to mastery",
    "expected_responses": "expected responses",
    "reached": "share reaching mastery",
    "over_practice": "responses after mastery",
    "under_practice": "share below at the end",
}


# ---- the pictures -----------------------------------------------------------


def learning_curve(table: pa.Table) -> Figure:
    """How right answers, and the predictions of them, go with the opportunity.

    Parameters
    ----------
    table
        Of :func:`adaptrace.evaluate.metrics.learning_curve`; with a column ``model``, one line of predictions for each, of the
        same responses.

    Raises
    ------
    ValueError
        If the table lacks columns or rows, or the models did not predict the same responses; so of every picture here.
    AdaptraceError
        If matplotlib is not installed; so of every picture here.

    Examples
    --------
    >>> from adaptrace.evaluate import metrics
    >>> from adaptrace import plots
    >>> table = metrics.learning_curve([0, 1, 1, 1], [0.4, 0.6, 0.5, 0.7], [1, 2, 1, 2], ["Ada", "Ada", "Bo", "Bo"])
    >>> plots.learning_curve(table).axes[0].get_ylabel()
    'share right'
    """
    means = ("observed", "observed_low", "observed_high", "predicted")
    curves = _by_model(_read(table, ("opportunity", "n", *means), "metrics.learning_curve"))
    seen = next(iter(curves.values()))
    if not all(np.array_equal(seen["observed"], each["observed"]) for each in curves.values()):
        raise ValueError("observed: got other values for other models; expected curves of the same responses, one a model")
    figure, axes, below = _above_bars(7.0, 4.6)
    x = seen["opportunity"]
    axes.fill_between(x, seen["observed_low"], seen["observed_high"], color=PALE, linewidth=0.0, label="95 % interval")
    axes.plot(x, seen["observed"], color=INK, marker="o", markersize=4.0, linewidth=1.0, label="observed")
    for number, (name, curve) in enumerate(curves.items()):
        axes.plot(
            curve["opportunity"], curve["predicted"], label=", ".join(filter(None, ("predicted", name))), **_line(number, ".")
        )
    below.bar(x, seen["n"], color=PALE, width=0.8)
    axes.set_ylim(0.0, 1.0)
    below.set_xlim(0.4, x.max() + 0.6)
    below.locator_params(axis="x", integer=True)
    _dress(axes, "", "share right")
    _dress(below, "opportunity (count of a student's responses on a skill)", "responses")
    _legend(axes, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=4 if len(curves) < 3 else 3)
    _title(figure, _rise(seen))
    return figure


def calibration(table: pa.Table) -> Figure:
    """Reliability diagram: whether answers predicted at 0.7 come out right 7 times in 10.

    Parameters
    ----------
    table
        Of :func:`adaptrace.evaluate.metrics.calibration`; with a column ``model``, one line for each.
    """
    needed = ("low", "high", "n", "predicted", "observed", "observed_low", "observed_high")
    curves = _by_model(_read(table, needed, "metrics.calibration"))
    figure, axes, below = _above_bars(5.6, 6.2)
    axes.plot([0.0, 1.0], [0.0, 1.0], color=GREY, linestyle="--", linewidth=1.0, label="as predicted")
    for number, (name, curve) in enumerate(curves.items()):
        colour, width = _colour(number), (curve["high"] - curve["low"]) / len(curves)
        axes.vlines(curve["predicted"], curve["observed_low"], curve["observed_high"], color=colour, linewidth=1.4, alpha=0.6)
        axes.plot(
            curve["predicted"], curve["observed"], label=name or "observed, 95 % interval", **_line(number, _marker(number))
        )
        below.bar(curve["low"] + (number + 0.5) * width, curve["n"], width=0.9 * width, color=colour)
    axes.set(xlim=(0.0, 1.0), ylim=(0.0, 1.0))
    _dress(axes, "", "share right (95 % interval)")
    _dress(below, "predicted P(correct)", "responses")
    _legend(axes, loc="upper left")
    _title(figure, _off(curves))
    return figure


def mastery(table: pa.Table, student: object = None) -> Figure:
    """How one student's mastery moved, response by response: a line for each skill.

    Parameters
    ----------
    table
        Of ``BKT.trace``.
    student
        Whose; by default who has most rows.

    Raises
    ------
    ValueError
        Also if the table holds no such student.
    """
    columns = _read(table, ("student", "skill", "opportunity", "correct", "mastery"), "BKT.trace")
    mine, name = _of_student(columns, student)
    x, (figure, axes) = _moments(mine), _figure(8.0, 4.4)
    shown, others = _busiest(mine["skill"].astype(str))
    for skill in others:
        chosen = mine["skill"].astype(str) == skill
        axes.step(x[chosen], mine["mastery"][chosen], where="post", color=PALE, linewidth=1.0, zorder=1)
    for number, skill in enumerate(shown):
        _path(axes, number, skill, x, mine)
    if others:
        axes.plot([], [], color=PALE, label=f"{len(others)} more skill{'s' * (len(others) != 1)}")
    axes.scatter([], [], marker="o", facecolor="white", edgecolor=INK, s=22.0, label="a wrong answer")
    axes.axhline(MASTERED, color=GREY, linestyle="--", linewidth=1.0)
    axes.set(ylim=(-0.02, 1.02), xlim=(0.0, x.max() + 1.0))
    axes.locator_params(axis="x", integer=True)
    _days(axes, mine, x)
    _dress(axes, "response", "mastery, P(known)")
    axes.grid(visible=False, axis="x")
    _legend(axes, loc="center left", bbox_to_anchor=(1.0, 0.5))
    _title(figure, _mastered(name, mine, int(x.max())))
    return figure


def comparison(table: pa.Table, *, baseline: str | None = None) -> Figure:
    """Models side by side: log loss and AUC with their 95 % intervals, the lowest log loss first.

    Parameters
    ----------
    table
        :attr:`Comparison.table <adaptrace.evaluate.comparison.Comparison.table>`.
    baseline
        Which model the others are measured by; by default the constant, if there.
    """
    columns = _read(table, ("model", *_with_ends("log_loss", "auc")), "evaluate.compare(...).table")
    columns = _taken(columns, np.argsort(columns["log_loss"], kind="stable"))
    names = columns["model"].tolist()
    base = names.index(baseline) if baseline in names else next((names.index(name) for name in BASELINES if name in names), None)
    figure, both = _figure(8.0, 1.7 + 0.34 * len(names), 2)
    for axes, (metric, heading) in zip(both, (LOSS, AUC), strict=True):
        _dots(axes, columns, metric, base)
        _dress(axes, heading, "")
    labels = [f"{name} (baseline)" if number == base else str(name) for number, name in enumerate(names)]
    _rows_named(both, labels)
    _title(figure, f"{names[0]} has the lowest log loss: {columns['log_loss'][0]:.3f}", _sizes(columns))
    return figure


def periods(table: pa.Table) -> Figure:
    """How well a model predicts from period to period: log loss and AUC with their 95 % intervals.

    Parameters
    ----------
    table
        What ``adaptrace replay`` writes: one row a period, with its ``start``.
    """
    columns = _read(table, ("start", "n", *_with_ends("log_loss", "auc")), "the command adaptrace replay")
    figure, both = _figure(8.0, 3.6, 2, sharey=False)
    for axes, (metric, heading) in zip(both, (LOSS, AUC), strict=True):
        x = columns["start"].astype("datetime64[us]")
        axes.vlines(x, columns[f"{metric}_low"], columns[f"{metric}_high"], color=_colour(0), linewidth=1.4, alpha=0.6)
        axes.plot(x, columns[metric], **_line(0, _marker(0)))
        _calendar(axes, x)
        axes.margins(x=0.08)
        _dress(axes, "start of the period (UTC)", heading.replace(" per response", ""))
    n, middle = len(columns["n"]), np.average(columns["log_loss"], weights=columns["n"])
    _title(
        figure, f"Log loss {middle:.3f} over {n} period{'s' * (n != 1)}, refitted before each", _sizes(columns, sum(columns["n"]))
    )
    return figure


def fairness(table: pa.Table) -> Figure:
    """Groups against all other students: the gap in every measure, flagged ones filled.

    Parameters
    ----------
    table
        :attr:`Fairness.gaps <adaptrace.evaluate.fairness.Fairness.gaps>`.
    """
    needed = ("measure", "group", "difference", "low", "high", "flagged")
    columns = _read(table, needed, "adaptrace.fairness(...).gaps")
    columns = {**columns, "group": np.array([_word(group) for group in columns["group"]], object)}
    groups = sorted(set(columns["group"]))
    measures = [name for name in MEASURES if name in columns["measure"]]
    across = min(5, len(measures))
    down = -(-len(measures) // across)
    figure, grid = _figure(2.1 + 1.7 * across, 0.9 + down * (0.75 + 0.22 * len(groups)), across, down)
    panels = np.ravel(grid).tolist()
    for axes, measure in zip(panels, measures, strict=False):
        _gaps(axes, _taken(columns, columns["measure"] == measure), groups)
        _dress(axes, MEASURES[measure], "")
    for axes in panels[len(measures) :]:
        axes.set_visible(False)
    _rows_named(panels, groups)
    flagged = int(columns["flagged"].sum())
    note = "group less all other students, 95 % intervals; filled: flagged"
    _title(figure, f"{flagged} of {len(columns['group'])} gaps are more than chance explains", note)
    return figure


def matrix(table: pa.Table) -> Figure:
    """How policies fare with students of several sorts, the worst case first.

    Parameters
    ----------
    table
        Of :func:`adaptrace.simulation.policy_matrix.policy_matrix`.
    """
    columns = _read(table, ("policy", "student_model", "post_test", "low", "high", "regret"), "adaptrace.policy_matrix(...)")
    policies, models = list(dict.fromkeys(columns["policy"])), _student_models(columns)
    place = ([policies.index(name) for name in columns["policy"]], [models.index(name) for name in columns["student_model"]])
    regret = np.full((len(policies), len(models)), np.nan)
    regret[place] = columns["regret"]
    figure, axes = _figure(2.2 + 1.35 * len(models), 1.7 + 0.72 * len(policies))
    top = max(float(np.nanmax(regret)), 1e-9)
    axes.imshow(
        regret, cmap="Blues", vmin=0.0, vmax=1.25 * top, aspect="auto", interpolation="none"
    )  # never so dark that print drowns
    for row, column, *numbers in zip(*place, *(columns[name] for name in ("post_test", "low", "high", "regret")), strict=True):
        _cell(axes, row, column, numbers, numbers[-1] > 0.75 * top)
    axes.axvline(0.5, color="white", linewidth=6.0)
    axes.set_xticks(range(len(models)), ["worst case" if name == "worst" else name for name in models])
    axes.set_yticks(range(len(policies)), policies)
    axes.xaxis.tick_top()
    _bare(axes)
    worst = float(columns["regret"][columns["policy"] == policies[0]].max())
    note = "P(correct) after practice, its 95 % interval, and the regret: how far the best policy with these students is ahead"
    _title(figure, f"{policies[0]} has the least regret in its worst case: {worst:.3f}", note)
    return figure


# ---- files ------------------------------------------------------------------


def check(path: str | os.PathLike[str]) -> None:
    """Refuse a picture that could not be saved, before the work that makes it.

    Raises
    ------
    OutputError
        If the ending is none of PNG, SVG and PDF.
    AdaptraceError
        If matplotlib is not installed.
    """
    ending = Path(path).suffix
    if ending.lower() not in ENDINGS:
        raise OutputError(f"{path}: unknown ending '{ending}'; use {', '.join(ENDINGS[:-1])} or {ENDINGS[-1]}")
    _new_figure()


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write a picture by its ending (``.png``, ``.svg``, ``.pdf``), whole or not at all.

    Raises
    ------
    OutputError
        If the place cannot be written or the ending is none of these.
    """
    check(path)
    with replacing(path) as temporary:
        figure.savefig(temporary, format=Path(path).suffix.lower()[1:], dpi=150, facecolor="white")


# ---- tables -----------------------------------------------------------------


def _read(table: Any, needed: Sequence[str], maker: str) -> Columns:
    """Every column as an array, once the needed ones are there."""
    held = list(getattr(table, "column_names", ()))
    expected = f"expected a table with {', '.join(needed)}, as {maker} makes it"
    if not isinstance(table, pa.Table):
        raise ValueError(f"table: got a {type(table).__name__}; {expected}")
    absent = [name for name in needed if name not in held]
    if absent:
        raise ValueError(f"table: no column {', '.join(absent)}; got {', '.join(held) or 'no columns'}; {expected}")
    if not len(table):
        raise ValueError(f"table: got no rows; {expected}")
    return {name: _array(table[name]) for name in held}


def _array(column: pa.ChunkedArray) -> NDArray[Any]:
    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    return np.asarray(column.to_numpy())


def _taken(columns: Columns, rows: NDArray[Any]) -> Columns:
    return {name: column[rows] for name, column in columns.items()}


def _by_model(columns: Columns) -> dict[str, Columns]:
    """The rows of every model; all, of a model without a name, if there is no such column."""
    if "model" not in columns:
        return {"": columns}
    return {str(name): _taken(columns, columns["model"] == name) for name in dict.fromkeys(columns["model"].tolist())}


def _with_ends(*metrics: str) -> Iterator[str]:
    for metric in metrics:
        yield from (metric, f"{metric}_low", f"{metric}_high")


def _word(group: object) -> str:
    return "missing" if group is None or group is np.nan else str(group)


def _student_models(columns: Columns) -> list[str]:
    """The worst case, then the student models, those with the largest regret first."""
    most: dict[str, float] = {}
    for name, regret in zip(columns["student_model"].tolist(), columns["regret"].tolist(), strict=True):
        most[name] = max(regret, most.get(name, 0.0))
    return sorted(most, key=lambda name: (name != "worst", -most[name]))


# ---- what titles say --------------------------------------------------------


def _rise(curve: Columns) -> str:
    """The first opportunity, and the last that a tenth as many responses are of."""
    last = np.flatnonzero(curve["n"] * 10 >= curve["n"][0])[-1]
    parts = [
        f"{100 * curve['observed'][row]:.0f} % at opportunity {curve['opportunity'][row]}"
        for row in dict.fromkeys((0, int(last)))
    ]
    return f"Right answers: {', '.join(parts)}"


def _off(curves: Mapping[str, Columns]) -> str:
    """The expected calibration errors."""
    errors = [float(np.average(np.abs(each["observed"] - each["predicted"]), weights=each["n"])) for each in curves.values()]
    low, high = 100.0 * min(errors), 100.0 * max(errors)
    if len(curves) == 1:
        return f"Predictions are {low:.1f} percentage points off on average"
    return f"{len(curves)} models are {low:.1f} to {high:.1f} percentage points off on average"


def _mastered(name: str, mine: Columns, responses: int) -> str:
    last = dict(zip(mine["skill"].tolist(), mine["mastery"].tolist(), strict=True))
    reached = sum(value >= MASTERED for value in last.values())
    count = f"{responses} response{'s' * (responses != 1)}"
    return f"{name}: {reached} of {len(last)} skill{'s' * (len(last) != 1)} at mastery of {MASTERED} after {count}"


def _sizes(columns: Columns, n: int | None = None) -> str:
    """How many responses and students, as far as the table says."""
    if "n" not in columns:
        return "95 % intervals"
    count = int(columns["n"][0] if n is None else n)
    students = f" of {int(columns['students'][0]):,} students" if n is None and "students" in columns else ""
    return f"{count:,} responses{students}, 95 % intervals"


# ---- one student ------------------------------------------------------------


def _of_student(columns: Columns, student: object) -> tuple[Columns, str]:
    """The rows of one student, and who it is."""
    names, first, rows = np.unique(columns["student"].astype(str), return_index=True, return_counts=True)
    name = str(names[np.argmax(rows)] if student is None else student)
    if name not in names:
        known = names[np.argsort(first)][:3].tolist()
        raise ValueError(f"student: got {student!r}; expected one of the table's {len(names):,}, e.g. {', '.join(known)}")
    return _taken(columns, columns["student"].astype(str) == name), name


def _busiest(skill: NDArray[Any]) -> tuple[list[str], list[str]]:
    """The skills with most rows, in the order in which they were met, and the others."""
    names, first, rows = np.unique(skill, return_index=True, return_counts=True)
    chosen, others = np.split(np.argsort(-rows, kind="stable"), [MOST_SKILLS])
    return [str(names[place]) for place in sorted(chosen, key=first.__getitem__)], names[others].tolist()


def _moments(mine: Columns) -> IntArray:
    """The number, from 1, of the response that each row belongs to; rows of one event have the same prediction."""
    n, event = len(mine["skill"]), [name for name in ("time", "order", "correct", "predicted") if name in mine]
    if "predicted" not in mine:
        return np.arange(1, n + 1)
    number, seen, out = 0, set[object](), np.empty(n, np.int64)
    for row, skill in enumerate(mine["skill"]):
        same = row > 0 and skill not in seen and all(mine[name][row] == mine[name][row - 1] for name in event)
        number, seen = (number, seen | {skill}) if same else (number + 1, {skill})
        out[row] = number
    return out


def _path(axes: Axes, number: int, skill: str, x: IntArray, mine: Columns) -> None:
    """The line of one skill: right answers filled, wrong ones hollow."""
    chosen, colour, marker = mine["skill"].astype(str) == skill, _colour(number), _marker(number)
    x, y, right = x[chosen], mine["mastery"][chosen], mine["correct"][chosen] > 0.5
    marks: dict[str, Any] = {"marker": marker, "markersize": 5.0, "markevery": np.flatnonzero(right).tolist()}
    axes.step(x, y, where="post", color=colour, linewidth=1.4, label=skill, **marks)
    axes.scatter(x[~right], y[~right], marker=marker, facecolor="white", edgecolor=colour, s=24.0, zorder=3)


def _days(axes: Axes, mine: Columns, x: IntArray) -> None:
    """Where a new day begins (UTC), if the table has times; above the picture some of the dates."""
    if "time" not in mine or len(mine["time"]) == 0:
        return
    day = mine["time"].astype("datetime64[D]")
    starts = np.flatnonzero(np.diff(day, prepend=day[:1] - 1))
    for start in starts[1:]:
        axes.axvline(x[start] - 0.5, color=PALE, linewidth=0.8, zorder=0)
    shown = starts[_spaced(x[starts], 0.09 * (x.max() + 1))]
    above = axes.secondary_xaxis("top")
    above.set_xticks(
        [x[start] - 0.5 for start in shown],
        [f"{day[start].item().day} {day[start].item():%b}" for start in shown],
        color=GREY,
        fontsize=8,
    )
    above.tick_params(length=0)
    above.spines["top"].set_visible(False)


# ---- drawing ----------------------------------------------------------------


def _new_figure() -> type[Figure]:
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise AdaptraceError('pictures need matplotlib: pip install "adaptrace[plot]"') from error
    return Figure


def _figure(width: float, height: float, across: int = 1, down: int = 1, *, sharey: bool = True) -> tuple[Figure, Any]:
    """An empty picture (inches) and its panels."""
    figure = _new_figure()(figsize=(width, height), dpi=100, layout="constrained")
    return figure, figure.subplots(down, across, sharey=sharey)


def _above_bars(width: float, height: float) -> tuple[Figure, Axes, Axes]:
    """A panel above a low one that says how many responses it stands on."""
    figure = _new_figure()(figsize=(width, height), dpi=100, layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    return figure, axes, below


def _title(figure: Figure, text: str, note: str = "") -> None:
    """The finding, and at the bottom what the numbers are."""
    wide = int(11.5 * figure.get_figwidth())
    figure.suptitle(textwrap.fill(text, wide), x=0.012, ha="left", fontsize=11, color=INK)
    if note:
        figure.supxlabel(textwrap.fill(note, int(1.5 * wide)), x=0.012, ha="left", fontsize=8, color=GREY)


def _dress(axes: Axes, x: str, y: str) -> None:
    axes.set_xlabel(x, fontsize=9, color=INK)
    axes.set_ylabel(y, fontsize=9, color=INK)
    axes.tick_params(labelsize=8.5, length=3, color=GREY)
    axes.grid(visible=True, color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)


def _bare(axes: Axes) -> None:
    """Without a frame or ticks."""
    axes.tick_params(length=0, labelsize=9)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _legend(axes: Axes, **options: Any) -> None:
    axes.legend(frameon=False, fontsize=8.5, **options)


def _colour(number: int) -> str:
    return COLOURS[number % len(COLOURS)]


def _marker(number: int) -> str:
    return MARKERS[number % len(MARKERS)]


def _line(number: int, marker: str) -> dict[str, Any]:
    """What line number so-and-so looks like."""
    style = ("-", "--", ":")[number // len(COLOURS) % 3]
    return {"color": _colour(number), "linestyle": style, "linewidth": 1.6, "marker": marker, "markersize": 5.0}


def _dots(axes: Axes, columns: Columns, metric: str, base: int | None) -> None:
    """A dot with its interval for every row, top down, its number at the right."""
    y = np.arange(len(columns["model"]))
    colours = [GREY if number == base else _colour(0) for number in y]
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


def _gaps(axes: Axes, columns: Columns, groups: Sequence[str]) -> None:
    """A dot with its interval for every group's gap in one measure."""
    y = np.array([groups.index(group) for group in columns["group"]])
    colours = np.where(columns["flagged"].astype(bool), COLOURS[1], GREY)
    axes.axvline(0.0, color=GREY, linewidth=1.0, zorder=1)
    axes.hlines(y, columns["low"], columns["high"], colors=colours.tolist(), linewidth=1.8)
    faces = np.where(columns["flagged"].astype(bool), COLOURS[1], "white")
    axes.scatter(columns["difference"], y, facecolor=faces.tolist(), edgecolor=colours.tolist(), s=26.0, zorder=3)
    axes.locator_params(axis="x", nbins=3)


def _rows_named(panels: Sequence[Axes], labels: Sequence[str]) -> None:
    """Names of the rows, top down, at the first panel of every row of panels."""
    for axes in panels:
        axes.set_yticks(range(len(labels)), labels)
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)


def _calendar(axes: Axes, start: NDArray[Any]) -> None:
    """Some of the moments (UTC), as precise as they need to be."""
    days = (start - start[0]) / np.timedelta64(1, "D")
    chosen = _spaced(days, 0.2 * days[-1])
    form = "%d %b %H:%M" if 0.0 < days[-1] < 2.0 else "%d %b" if days[-1] < 300.0 else "%b %Y"
    axes.set_xticks(start[chosen], [f"{moment:{form}}".lstrip("0") for moment in start[chosen].tolist()])


def _spaced(places: NDArray[Any], least: float) -> list[int]:
    """Which of the ascending places to name, so that no two are nearer than that."""
    chosen = [0]
    for number, place in enumerate(places):
        if place - places[chosen[-1]] >= least and number:
            chosen.append(number)
    return chosen


class _Print(NamedTuple):
    """A line of a cell: how far below its middle (in rows), and how large (points)."""

    offset: float
    size: float


PRINTS = (_Print(-0.22, 11.0), _Print(0.08, 7.5), _Print(0.30, 7.5))


def _cell(axes: Axes, row: int, column: int, numbers: Sequence[float], dark: bool) -> None:
    value, low, high, regret = numbers
    texts = (f"{value:.3f}", f"{low:.3f} to {high:.3f}", f"regret {regret:.3f}")
    for text, place in zip(texts, PRINTS, strict=True):
        axes.text(column, row + place.offset, text, ha="center", va="center", fontsize=place.size, color="white" if dark else INK)
