"""How every picture looks: its size, title, colours and axes."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

from adaptrace.errors import AdaptraceError, printable

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#8C6D31", "#000000")
MARKERS = "osD^vPX*"
GREY = "#7A7A7A"
PALE = "#D9D9D9"
INK = "#222222"


def figure_class() -> type[Figure]:
    """The class of figures, once matplotlib is there."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise AdaptraceError('pictures need matplotlib: pip install "adaptrace[plot]"') from error
    return Figure


def new_figure(width: float, height: float, across: int = 1, down: int = 1, *, sharey: bool = True) -> tuple[Figure, Any]:
    """An empty picture (inches) and its panels."""
    figure = figure_class()(figsize=(width, height), dpi=100, layout="constrained")
    return figure, figure.subplots(down, across, sharey=sharey)


def figure_above_bars(width: float, height: float) -> tuple[Figure, Axes, Axes]:
    """A panel above a low one for the number of responses."""
    figure = figure_class()(figsize=(width, height), dpi=100, layout="constrained")
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    return figure, axes, below


def plain(name: object) -> str:
    """A name as it is drawn: in one line, without the mathematics that matplotlib makes of dollar signs."""
    return printable(str(name)).replace("$", r"\$")


def set_title(figure: Figure, text: str, note: str = "") -> None:
    """The finding as title, and at the bottom what the numbers are."""
    wide = int(11.5 * figure.get_figwidth())
    figure.suptitle(textwrap.fill(plain(text), wide), x=0.012, ha="left", fontsize=11, color=INK)
    if note:
        figure.supxlabel(textwrap.fill(plain(note), int(1.5 * wide)), x=0.012, ha="left", fontsize=8, color=GREY)


def label_axes(axes: Axes, x: str, y: str) -> None:
    """Labels, grid and spines of a panel."""
    axes.set_xlabel(x, fontsize=9, color=INK)
    axes.set_ylabel(y, fontsize=9, color=INK)
    axes.tick_params(labelsize=8.5, length=3, color=GREY)
    axes.grid(visible=True, color="#EEEEEE", linewidth=0.8)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("left", "bottom"):
        axes.spines[side].set_color(GREY)


def bare_axes(axes: Axes) -> None:
    """Without a frame or ticks."""
    axes.tick_params(length=0, labelsize=9)
    for spine in axes.spines.values():
        spine.set_visible(False)


def add_legend(axes: Axes, **options: Any) -> None:
    """A legend without a frame."""
    axes.legend(frameon=False, fontsize=8.5, **options)


def colour_of(number: int) -> str:
    """The colour of line number so-and-so."""
    return COLOURS[number % len(COLOURS)]


def marker_of(number: int) -> str:
    """The marker of line number so-and-so."""
    return MARKERS[number % len(MARKERS)]


def line_style(number: int, marker: str) -> dict[str, Any]:
    """The options of line number so-and-so."""
    style = ("-", "--", ":")[number // len(COLOURS) % 3]
    return {"color": colour_of(number), "linestyle": style, "linewidth": 1.6, "marker": marker, "markersize": 5.0}


def name_rows(panels: Sequence[Axes], labels: Sequence[str]) -> None:
    """Names of the rows, top down, at the first panel of every row of panels."""
    for axes in panels:
        axes.set_yticks(range(len(labels)), list(map(plain, labels)))
        axes.set_ylim(len(labels) - 0.5, -0.5)
        axes.spines["left"].set_visible(False)
        axes.tick_params(axis="y", length=0)


def spaced(places: NDArray[Any], least: float) -> list[int]:
    """Which of the ascending places to name, so that no two are nearer than that."""
    chosen = [0]
    for number, place in enumerate(places):
        if place - places[chosen[-1]] >= least and number:
            chosen.append(number)
    return chosen
