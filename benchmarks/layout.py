"""Tables of text, for every script here."""

from __future__ import annotations

from collections.abc import Iterable, Sequence


def aligned(heads: Sequence[str], lines: Iterable[Sequence[str]], *, left: int = 1) -> str:
    """The lines under their heads, the first ``left`` columns flush left, the others right."""
    every = [list(heads), *(list(line) for line in lines)]
    widths = [max(map(len, column)) for column in zip(*every, strict=True)]
    return "\n".join(_line(cells, widths, left) for cells in every)


def _line(cells: Sequence[str], widths: Sequence[int], left: int) -> str:
    pairs = enumerate(zip(cells, widths, strict=True))
    return "  ".join(cell.ljust(width) if at < left else cell.rjust(width) for at, (cell, width) in pairs).rstrip()
