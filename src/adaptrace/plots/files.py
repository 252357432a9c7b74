"""Pictures as files."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from adaptrace.errors import OutputError
from adaptrace.io.atomic import replacing
from adaptrace.plots.drawing import (
    figure_class,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

ENDINGS = (".png", ".svg", ".pdf")


def check(path: str | os.PathLike[str]) -> None:
    """Refuse a picture that cannot be saved, before the work that makes it.

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
    figure_class()


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
