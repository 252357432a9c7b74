"""What the scripts share: the simulated data, clocks that alternate, and the tables."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

import adaptrace as at
from adaptrace.kernels import bkt as kernels
from adaptrace.kernels.bkt import CellIndex, Credit, ForwardPass, Parameters
from adaptrace.models.bkt.skill_table import SMALLEST

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks import data, fresh
from layout import aligned

__all__ = [
    "Compared",
    "aligned",
    "clock",
    "compared",
    "data",
    "foreign_chances",
    "fresh",
    "in_turns",
    "leave",
    "machine",
    "print_table",
    "report_likelihoods",
    "timed",
]

TOLERANCE = 1e-6  # relative: log-likelihoods nearer than this are equal

Row = tuple[str, *tuple[float, ...]]  # what was measured; seconds of ours, seconds of the others
Five = Sequence[float]  # prior, learn, forget, guess, slip


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


def timed(call: Callable[[], Any]) -> Callable[[], float]:
    """The call, giving back its seconds."""
    return lambda: clock(call)[0]


def in_turns(calls: Iterable[Callable[[], float]], repeat: int, *, patience: float = float("inf")) -> list[list[float]]:
    """Seconds of ``repeat`` runs of each call, as it gives them back.

    The calls take turns, so a noisy minute hits all of them. What has run for ``patience`` seconds runs no more.
    """
    calls = list(calls)
    seconds: list[list[float]] = [[] for _ in calls]
    for _ in range(repeat):
        for call, so_far in zip(calls, seconds, strict=True):
            if sum(so_far) < patience:
                so_far.append(call())
    return seconds


def print_table(names: Iterable[str], rows: Iterable[Row]) -> None:
    """One line per row: seconds of each tool; a ratio is how many times as long as adaptrace it took."""
    ours, *others = names
    heads = ["seconds", ours, *(column for other in others for column in (other, "ratio"))]
    lines = []
    for what, mine, *theirs in rows:
        pairs = ((f"{each:.3f}", f"{each / mine:.1f}x") for each in theirs)
        lines.append([what, f"{mine:.3f}", *(cell for pair in pairs for cell in pair)])
    print(aligned(heads, lines))


# ---- the same likelihood for every tool -------------------------------------


def foreign_chances(log: at.Log, skills: Mapping[str, Five], items: Mapping[str, Five] | None = None) -> NDArray[np.float64]:
    """P(correct) before each response, (n_rows,), under the parameters that another tool found.

    By skill, or by item too, which then says all but the prior. This library's own forward pass, also where guess + slip
    is 1 or more, which no model of it may have.
    """
    rows, skill_names = log.rows, log.skills.to_pylist()
    theta = [skills[str(name)] for name in skill_names]
    entry = np.empty(0, np.int32)
    if items is not None:
        entry = len(theta) + log.table["item"].chunk(0).indices.to_numpy().astype(np.int32)
        theta += [items[str(name)] for name in log.items.to_pylist()]
    values = np.array(theta, float)
    inside = np.clip(values, SMALLEST, 1.0 - SMALLEST)
    inside[:, 2] = np.where(values[:, 2] > 0.0, inside[:, 2], 0.0)
    nothing = np.empty(0)
    cells = CellIndex(rows.pair_skill, entry, np.empty(0, np.int32), nothing, nothing)
    traced = ForwardPass(np.empty(len(log)), np.empty(len(rows.pair_skill)), Credit(nothing, nothing))
    kernels.start_odds(cells, inside[:, 0].copy(), traced.odds)
    kernels.trace(rows, cells, Parameters(*inside.T.copy()), kernels.CONJUNCTIVE, 0, len(log.students), traced)
    return traced.predicted


def skill_log_likelihoods(predicted: NDArray[np.float64], log: at.Log) -> NDArray[np.float64]:
    """Log-likelihood of each skill's responses, in the order of ``log.skills``."""
    right, skill = log.correct == 1.0, log.table["skill"].chunk(0).indices.to_numpy()
    return np.bincount(skill, np.log(np.where(right, predicted, 1.0 - predicted)), len(log.skills))


class Compared(NamedTuple):
    """Ours beside theirs, skill by skill, under one likelihood."""

    above: int  # skills on which ours is likelier
    below: int  # and less likely, by more than TOLERANCE of the value
    turned: int  # of theirs, where knowing hurts (guess + slip >= 1), which ours rules out; counted nowhere else
    gain: NDArray[np.float64]  # nats, of every skill


def compared(model: at.BKT, skills: Mapping[str, Five], items: Mapping[str, Five] | None, log: at.Log) -> Compared:
    """Compare a fit of ours with the parameters that another tool found."""
    ours, theirs = (skill_log_likelihoods(each, log) for each in (model.predict(log), foreign_chances(log, skills, items)))
    gain, turned = (ours - theirs) / np.abs(theirs), np.zeros(len(ours), bool)
    of_item = dict(
        zip(log.table["item"].chunk(0).indices.to_numpy(), log.table["skill"].chunk(0).indices.to_numpy(), strict=True)
    )
    if items is None:
        turned[:] = [_is_turned(skills[str(name)]) for name in log.skills.to_pylist()]
    else:
        turned[[of_item[code] for code, name in enumerate(log.items.to_pylist()) if _is_turned(items[str(name)])]] = True
    above, below = ((sign * gain > TOLERANCE) & ~turned for sign in (1.0, -1.0))
    return Compared(int(above.sum()), int(below.sum()), int(turned.sum()), ours - theirs)


def _is_turned(row: Five) -> bool:
    return row[3] + row[4] >= 1.0


def report_likelihoods(model: at.BKT, skills: Mapping[str, Five], log: at.Log, name: str) -> bool:
    """Print how two fits compare; False if ours is below on any skill."""
    above, below, turned, gain = compared(model, skills, None, log)
    print(f"log-likelihood: adaptrace {model.log_likelihood(log):,.1f}, {gain.sum():+,.1f} beside {name}")
    print(f"  adaptrace above on {above}, below on {below} of {len(gain)} skills (by more than {TOLERANCE:g} of the value)")
    print(f"  largest gain {gain.max():,.3f}, largest shortfall {max(-gain.min(), 0.0):,.3f}")
    if turned:
        print(f"  {name} has guess + slip >= 1 on {turned} skills, which adaptrace rules out")
    return below == 0
