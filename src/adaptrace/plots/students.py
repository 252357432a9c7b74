"""The picture of one student."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.plots.drawing import (
    COLOURS,
    GREY,
    INK,
    PALE,
    add_legend,
    colour_of,
    label_axes,
    marker_of,
    new_figure,
    plain,
    set_title,
    spaced,
)
from adaptrace.plots.tables import Columns, read_columns, take_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


IntArray = NDArray[np.int64]

MASTERED = 0.95
MOST_SKILLS = len(COLOURS)  # that have a colour of their own


def mastery(table: pa.Table, student: object = None) -> Figure:
    """One student's mastery after each response: a line for each skill.

    Parameters
    ----------
    table
        Of :meth:`BKT.trace <adaptrace.BKT.trace>`.
    student
        The name; by default the student with most rows.

    Raises
    ------
    ValueError
        If the table has no such student.
    """
    columns = read_columns(table, ("student", "skill", "opportunity", "correct", "mastery"), "BKT.trace", "mastery")
    mine, name = _of_student(columns, student)
    x, (figure, axes) = _response_numbers(mine), new_figure(8.0, 4.4)
    shown, others = _busiest(mine["skill"].astype(str))
    for skill in others:
        chosen = mine["skill"].astype(str) == skill
        axes.step(x[chosen], mine["mastery"][chosen], where="post", color=PALE, linewidth=1.0, zorder=1)
    for number, skill in enumerate(shown):
        _draw_skill(axes, number, skill, x, mine)
    if others:
        axes.plot([], [], color=PALE, label=f"{len(others)} more skill{'s' * (len(others) != 1)}")
    axes.scatter([], [], marker="o", facecolor="white", edgecolor=INK, s=22.0, label="a wrong answer")
    axes.axhline(MASTERED, color=GREY, linestyle="--", linewidth=1.0)
    axes.set(ylim=(-0.02, 1.02), xlim=(0.0, x.max() + 1.0))
    axes.locator_params(axis="x", integer=True)
    _mark_days(axes, mine, x)
    label_axes(axes, "response", "mastery, P(known)")
    axes.grid(visible=False, axis="x")
    add_legend(axes, loc="center left", bbox_to_anchor=(1.0, 0.5))
    set_title(figure, _mastery_title(name, mine, int(x.max())))
    return figure


def _of_student(columns: Columns, student: object) -> tuple[Columns, str]:
    """The rows of one student, and the name."""
    names, rows = np.unique(columns["student"].astype(str), return_counts=True)
    name = str(names[np.argmax(rows)] if student is None else student)
    if name not in names:
        raise ValueError(f"student: got a name that the table does not have; expected one of its {len(names):,} students")
    return take_rows(columns, columns["student"].astype(str) == name), name


def _busiest(skill: NDArray[Any]) -> tuple[list[str], list[str]]:
    """The skills with most rows, in the order in which they were met, and the others."""
    names, first, rows = np.unique(skill, return_index=True, return_counts=True)
    chosen, others = np.split(np.argsort(-rows, kind="stable"), [MOST_SKILLS])
    return [str(names[place]) for place in sorted(chosen, key=first.__getitem__)], names[others].tolist()


def _response_numbers(mine: Columns) -> IntArray:
    """The number, from 1, of the response of each row; the rows of one event have the same prediction."""
    n, event = len(mine["skill"]), [name for name in ("time", "order", "correct", "predicted") if name in mine]
    if "predicted" not in mine:
        return np.arange(1, n + 1)
    number, seen, out = 0, set[object](), np.empty(n, np.int64)
    for row, skill in enumerate(mine["skill"]):
        same = row > 0 and skill not in seen and all(mine[name][row] == mine[name][row - 1] for name in event)
        number, seen = (number, seen | {skill}) if same else (number + 1, {skill})
        out[row] = number
    return out


def _draw_skill(axes: Axes, number: int, skill: str, x: IntArray, mine: Columns) -> None:
    """The line of one skill: right answers filled, wrong ones hollow."""
    chosen, colour, marker = mine["skill"].astype(str) == skill, colour_of(number), marker_of(number)
    x, y, right = x[chosen], mine["mastery"][chosen], mine["correct"][chosen] > 0.5
    marks: dict[str, Any] = {"marker": marker, "markersize": 5.0, "markevery": np.flatnonzero(right).tolist()}
    axes.step(x, y, where="post", color=colour, linewidth=1.4, label=plain(skill), **marks)
    axes.scatter(x[~right], y[~right], marker=marker, facecolor="white", edgecolor=colour, s=24.0, zorder=3)


def _mark_days(axes: Axes, mine: Columns, x: IntArray) -> None:
    """Where a new day begins (UTC), if the table has times; above the picture some of the dates."""
    if "time" not in mine or len(mine["time"]) == 0:
        return
    day = mine["time"].astype("datetime64[D]")
    starts = np.flatnonzero(np.diff(day, prepend=day[:1] - 1))
    for start in starts[1:]:
        axes.axvline(x[start] - 0.5, color=PALE, linewidth=0.8, zorder=0)
    shown = starts[spaced(x[starts], 0.09 * (x.max() + 1))]
    above = axes.secondary_xaxis("top")
    above.set_xticks(
        [x[start] - 0.5 for start in shown],
        [f"{day[start].item().day} {day[start].item():%b}" for start in shown],
        color=GREY,
        fontsize=8,
    )
    above.tick_params(length=0)
    above.spines["top"].set_visible(False)


def _mastery_title(name: str, mine: Columns, responses: int) -> str:
    last = dict(zip(mine["skill"].tolist(), mine["mastery"].tolist(), strict=True))
    reached = sum(value >= MASTERED for value in last.values())
    count = f"{responses} response{'s' * (responses != 1)}"
    return f"{name}: {reached} of {len(last)} skill{'s' * (len(last) != 1)} at mastery of {MASTERED} after {count}"
