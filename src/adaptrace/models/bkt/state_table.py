"""What a BKT keeps of many students: a table of states, and the table of mastery that is read off it.

A state is what one more response needs to know of a student and a skill. Carrying last night's states over today's log
gives, bit for bit, the states of both logs together.
"""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.encoding import coded
from adaptrace.data.log import DAY, Log
from adaptrace.errors import ModelError
from adaptrace.kernels import bkt as kernels
from adaptrace.kernels import parallel
from adaptrace.kernels.arrays import space
from adaptrace.kernels.bkt import PairStates, Parameters
from adaptrace.models.bkt.skill_table import Z90

if TYPE_CHECKING:
    from adaptrace.models.bkt import BKT
    from adaptrace.models.bkt.fitted import Layout

FloatArray = NDArray[np.float64]

SLOPES = tuple(f"by_{name}" for name in Parameters._fields)  # of the log-odds, in the logits of the parameters
LAST = ("time", "order")  # whichever the log has
LONGEST_SHIFT = 200.0  # on the logit scale: from any odds to certainty


class Earlier(NamedTuple):
    """States that students of a log come with."""

    table: pa.Table  # as :func:`states` gives
    row: NDArray[np.int64]  # (n_pairs,) of the log: the row of each pair there; -1 for a pair that is new


def states(model: BKT, log: Log, earlier: Earlier | None = None) -> pa.Table:
    """What the next response needs to know of every student and skill of a log.

    Parameters
    ----------
    model
        A fitted one.
    log
        Not changed.
    earlier
        The states before its first response, where students have any.

    Returns
    -------
    pyarrow.Table
        ``student``, ``skill`` (the log's own names), ``odds`` of mastery, ``by_prior`` ... ``by_slip``: how their logarithm leans
        on the logits of the parameters, ``opportunities``, and ``last_time`` or ``last_order``.
    """
    rows, layout = log.rows, model._layout(log)
    n_pairs = len(rows.pair_skill)
    carried = _begin(layout, n_pairs)
    if earlier is not None:
        _resume(earlier, log, layout, carried)
    _carry(model, log, layout, carried)
    owner = np.repeat(np.arange(len(log.students), dtype=np.int32), np.diff(rows.pair_start))
    columns = {
        "student": pa.DictionaryArray.from_arrays(owner, log.students),
        "skill": pa.DictionaryArray.from_arrays(rows.pair_skill, log.skills),
        "odds": carried.odds,
        **dict(zip(SLOPES, carried.gradient.T, strict=True)),
        "opportunities": carried.responses,
    }
    last_row = pa.array(carried.row)
    last = {f"last_{name}": schema.combined(log.table[name]).take(last_row) for name in LAST if name in log.table.column_names}
    return pa.table({**columns, **last})


def _begin(layout: Layout, n_pairs: int) -> PairStates:
    slope, row = space(5 * n_pairs, np.float32).reshape(n_pairs, 5), space(n_pairs, np.int64)
    carried = PairStates(space(n_pairs, np.float64), slope, np.zeros(n_pairs, np.int32), row)
    kernels.start_odds(layout.cells, layout.parameters.prior, carried.odds)
    carried.gradient[:] = [1.0, 0.0, 0.0, 0.0, 0.0]
    return carried


def _resume(earlier: Earlier, log: Log, layout: Layout, carried: PairStates) -> None:
    """Put what students come with in its place."""
    known = np.flatnonzero(earlier.row >= 0)
    before = earlier.table.take(pa.array(earlier.row[known]))
    carried.odds[known] = before["odds"]
    for a, name in enumerate(SLOPES):
        carried.gradient[known, a] = before[name]
    carried.responses[known] = before["opportunities"]
    if len(layout.cells.gap):
        last, rows = np.full(len(earlier.row), np.iinfo(np.int64).max), log.rows
        last[known] = before["last_time"].cast(pa.int64())
        first = np.flatnonzero(rows.opportunity == 1)
        moment = log.timestamps_us[np.searchsorted(rows.skill_start, first, side="right") - 1]
        layout.cells.gap[first] = np.maximum(moment - last[rows.pair[first]], 0) / DAY


def _carry(model: BKT, log: Log, layout: Layout, carried: PairStates) -> None:
    rows, (cells, parameters) = log.rows, layout
    pieces = parallel.spans(rows.student_start, 4 * parallel.cores())
    if not log.has_several_skills and log.is_binary and not len(cells.entry):
        parallel.run(kernels.carry_plain_states, [(rows, cells, parameters, *piece, carried) for piece in pieces])
        return
    told = model._trace(log, layout, odds=carried.odds.copy()).credit
    parallel.run(kernels.carry_states, [(rows, cells, parameters, told, *piece, carried) for piece in pieces])


def mastery_of(model: BKT, states: pa.Table, time: datetime.datetime | None = None) -> pa.Table:
    """The table of :meth:`BKT.score <adaptrace.BKT.score>`, read off the table of :func:`states`."""
    skill = coded(schema.combined(states["skill"]))
    place, code = model._fitted.index(skill.dictionary), skill.indices.to_numpy()
    odds = states["odds"].to_numpy()
    slope, spread = np.stack([states[name].to_numpy() for name in SLOPES], axis=1), space(len(odds), np.float64)
    covariance = model._fitted.covariance[place]
    pieces = parallel.ranges(len(odds))
    parallel.run(
        lambda first, last: kernels.log_odds_std(covariance, code[first:last], slope[first:last], spread[first:last]), pieces
    )
    if time is not None:
        odds, spread = _faded(model, states, odds, spread, place[code], time)
    columns = {
        "student": states["student"],
        "skill": skill,
        "mastery": _mastery(odds),
        "low": _mastery(odds, -Z90 * spread),
        "high": _mastery(odds, Z90 * spread),
        "opportunities": states["opportunities"],
        "fitted": (place >= 0)[code],
    }
    last = {name: states[name] for name in states.column_names if name.startswith("last_")}
    return pa.table({**columns, **last})


def _faded(
    model: BKT, states: pa.Table, odds: FloatArray, spread: FloatArray, place: NDArray[np.int64], time: datetime.datetime
) -> tuple[FloatArray, FloatArray]:
    """Odds at a later time, and the standard deviation of their logarithm."""
    if not model.elapsed or model.effects is None or "last_time" not in states.column_names:
        raise ModelError("score(time=...): this model's mastery does not fade; fit one with BKT(elapsed=True)")
    moment = pa.scalar(time if time.tzinfo else time.replace(tzinfo=datetime.UTC), schema.TIME).cast(pa.int64()).as_py()
    days = np.maximum(moment - states["last_time"].cast(pa.int64()).to_numpy(), 0) / DAY
    faded = np.empty_like(odds)
    kernels.fade_all(odds, days, model.effects.half_life, place.astype(np.int32), faded)
    return faded, spread * (1.0 + faded) / (1.0 + odds)


def _mastery(odds: FloatArray, shift: FloatArray | float = 0.0) -> FloatArray:
    """P(known) from odds, moved by ``shift`` on the logit scale."""
    moved = odds * np.exp(np.clip(shift, -LONGEST_SHIFT, LONGEST_SHIFT))
    return np.asarray(np.where(moved < 1e300, np.minimum(moved / (1.0 + moved), kernels.MAX_MASTERY), kernels.MAX_MASTERY))
