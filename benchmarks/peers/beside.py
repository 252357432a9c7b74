"""What the scripts share: the simulated data, clocks that alternate, and the table."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import adaptrace as at

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import data, fresh

__all__ = ["clock", "data", "fresh", "in_turns", "leave", "machine", "print_likelihoods", "print_table", "skill_log_likelihoods"]

TOLERANCE = 1e-6  # relative: log-likelihoods nearer than this are equal

Row = tuple[str, *tuple[float, ...]]  # what was measured; seconds of ours, seconds of the others


def leave(message: str) -> None:
    """End the script: what it needs is missing."""
    print(message, file=sys.stderr)
    sys.exit(2)


def machine() -> str:
    """Cores, and how busy they were before the run: on a busy machine tools with spinning threads suffer most."""
    return f"{os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"


def clock(call: Callable[[], Any]) -> tuple[float, Any]:
    """Seconds that a call took, and its result."""
    begin = time.perf_counter()
    result = call()
    return time.perf_counter() - begin, result


def in_turns(calls: Iterable[Callable[[], Any]], repeat: int) -> list[list[float]]:
    """Seconds of ``repeat`` runs of each call; the calls take turns, so a noisy minute hits all of them."""
    calls = list(calls)
    turns = [[clock(call)[0] for call in calls] for _ in range(repeat)]
    return [list(times) for times in zip(*turns, strict=True)]


def print_table(names: Iterable[str], rows: Iterable[Row]) -> None:
    """One line per row: seconds of each tool; a ratio is how many times as long as adaptrace it took."""
    ours, *others = names
    heads = ["seconds", ours, *(column for other in others for column in (other, "ratio"))]
    lines = []
    for what, mine, *theirs in rows:
        compared = ((f"{each:.3f}", f"{each / mine:.1f}x") for each in theirs)
        lines.append([what, f"{mine:.3f}", *(cell for pair in compared for cell in pair)])
    widths = [max(map(len, column)) for column in zip(heads, *lines, strict=True)]
    for first, *cells in (heads, *lines):
        print("  ".join([first.ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(cells, widths[1:], strict=True))]))


# ---- the same likelihood for every tool -------------------------------------


def skill_log_likelihoods(model: at.BKT, log: at.Log) -> NDArray[np.float64]:
    """Log-likelihood of each skill's responses, in the order of ``log.skills``."""
    predicted, right = model.predict(log), log.correct == 1.0
    skill = log.table["skill"].chunk(0).indices.to_numpy()
    return np.bincount(skill, np.log(np.where(right, predicted, 1.0 - predicted)), len(log.skills))


def print_likelihoods(ours: at.BKT, theirs: at.BKT, log: at.Log, name: str) -> bool:
    """Compare two fits skill by skill under the same likelihood; False if ours is below on any."""
    mine, other = skill_log_likelihoods(ours, log), skill_log_likelihoods(theirs, log)
    gain = (mine - other) / np.abs(other)
    fitted = theirs.summary()
    turned = fitted["guess"].to_numpy() + fitted["slip"].to_numpy() >= 1.0  # where knowing hurts
    above, below = (gain > TOLERANCE).sum(), (gain < -TOLERANCE).sum()
    print(f"log-likelihood: adaptrace {mine.sum():,.1f}, {name} {other.sum():,.1f}")
    print(f"  adaptrace above on {above}, below on {below} of {len(gain)} skills (by more than {TOLERANCE:g} of the value)")
    print(f"  largest gain {(mine - other).max():,.3f}, largest shortfall {max((other - mine).max(), 0.0):,.3f}")
    if turned.any():
        print(f"  {name} has guess + slip >= 1 on {turned.sum()} skills, which adaptrace rules out")
    return bool((gain >= -TOLERANCE).all())
