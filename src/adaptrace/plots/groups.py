"""Pictures of groups of students: fairness, and policies with several sorts of students."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from adaptrace.plots.drawing import (
    COLOURS,
    GREY,
    INK,
    bare_axes,
    label_axes,
    name_rows,
    new_figure,
    plain,
    set_title,
)
from adaptrace.plots.tables import Columns, Pictured, group_word, read_columns, take_rows

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

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


def fairness(table: pa.Table | Pictured) -> Figure:
    """Groups against all other students: the gap in every measure, flagged ones filled.

    Parameters
    ----------
    table
        A :class:`~adaptrace.evaluate.fairness.Fairness`, or its ``gaps``.
    """
    needed = ("measure", "group", "difference", "low", "high", "flagged")
    columns = read_columns(table, needed, "adaptrace.fairness(...).gaps", "fairness")
    columns = {**columns, "group": np.array([group_word(group) for group in columns["group"]], object)}
    groups = sorted(set(columns["group"]))
    measures = [name for name in MEASURES if name in columns["measure"]]
    across = min(5, len(measures))
    down = -(-len(measures) // across)
    figure, grid = new_figure(2.1 + 1.7 * across, 0.9 + down * (0.75 + 0.22 * len(groups)), across, down)
    panels = np.ravel(grid).tolist()
    for axes, measure in zip(panels, measures, strict=False):
        _draw_gaps(axes, take_rows(columns, columns["measure"] == measure), groups)
        label_axes(axes, MEASURES[measure], "")
    for axes in panels[len(measures) :]:
        axes.set_visible(False)
    name_rows(panels, groups)
    flagged = int(columns["flagged"].sum())
    note = "group less all other students, 95 % intervals; filled: flagged"
    set_title(figure, f"{flagged} of {len(columns['group'])} gaps are more than chance explains", note)
    return figure


def _draw_gaps(axes: Axes, columns: Columns, groups: Sequence[str]) -> None:
    """A dot with its interval for every group's gap in one measure."""
    y = np.array([groups.index(group) for group in columns["group"]])
    colours = np.where(columns["flagged"].astype(bool), COLOURS[1], GREY)
    axes.axvline(0.0, color=GREY, linewidth=1.0, zorder=1)
    axes.hlines(y, columns["low"], columns["high"], colors=colours.tolist(), linewidth=1.8)
    faces = np.where(columns["flagged"].astype(bool), COLOURS[1], "white")
    axes.scatter(columns["difference"], y, facecolor=faces.tolist(), edgecolor=colours.tolist(), s=26.0, zorder=3)
    axes.locator_params(axis="x", nbins=3)


def matrix(table: pa.Table) -> Figure:
    """How well policies do with several sorts of students, the worst case first.

    Parameters
    ----------
    table
        Of :func:`adaptrace.simulation.policy_matrix.policy_matrix`.
    """
    columns = read_columns(
        table, ("policy", "student_model", "post_test", "low", "high", "regret"), "adaptrace.policy_matrix", "matrix"
    )
    policies, models = list(dict.fromkeys(columns["policy"])), _student_models(columns)
    place = ([policies.index(name) for name in columns["policy"]], [models.index(name) for name in columns["student_model"]])
    regret = np.full((len(policies), len(models)), np.nan)
    regret[place] = columns["regret"]
    figure, axes = new_figure(2.2 + 1.35 * len(models), 1.7 + 0.72 * len(policies))
    top = max(float(np.nanmax(regret)), 1e-9)
    lightest, darkest = 0.0, 1.25 * top  # so that no cell is too dark to read
    axes.imshow(regret, cmap="Blues", vmin=lightest, vmax=darkest, aspect="auto", interpolation="none")
    for row, column, *numbers in zip(*place, *(columns[name] for name in ("post_test", "low", "high", "regret")), strict=True):
        _draw_cell(axes, row, column, numbers, numbers[-1] > 0.75 * top)
    axes.axvline(0.5, color="white", linewidth=6.0)
    axes.set_xticks(range(len(models)), ["worst case" if name == "worst" else plain(name) for name in models])
    axes.set_yticks(range(len(policies)), list(map(plain, policies)))
    axes.xaxis.tick_top()
    bare_axes(axes)
    worst = float(columns["regret"][columns["policy"] == policies[0]].max())
    note = "P(correct) after practice, its 95 % interval, and the regret: how far the best policy with these students is ahead"
    set_title(figure, f"{policies[0]} has the least regret in its worst case: {worst:.3f}", note)
    return figure


def _student_models(columns: Columns) -> list[str]:
    """The worst case, then the student models, those with the largest regret first."""
    most: dict[str, float] = {}
    for name, regret in zip(columns["student_model"].tolist(), columns["regret"].tolist(), strict=True):
        most[name] = max(regret, most.get(name, 0.0))
    return sorted(most, key=lambda name: (name != "worst", -most[name]))


class CellLine(NamedTuple):
    """A line of a cell: how far below its middle (in rows), and how large (points)."""

    offset: float
    size: float


CELL_LINES = (CellLine(-0.22, 11.0), CellLine(0.08, 7.5), CellLine(0.30, 7.5))


def _draw_cell(axes: Axes, row: int, column: int, numbers: Sequence[float], dark: bool) -> None:
    value, low, high, regret = numbers
    texts = (f"{value:.3f}", f"{low:.3f} to {high:.3f}", f"regret {regret:.3f}")
    for text, place in zip(texts, CELL_LINES, strict=True):
        axes.text(column, row + place.offset, text, ha="center", va="center", fontsize=place.size, color="white" if dark else INK)
