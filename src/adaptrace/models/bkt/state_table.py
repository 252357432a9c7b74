"""The states of many students under a BKT as a table, and the table of mastery that follows from it.

A state is all that the next response needs of a student and a skill. Updating the states of earlier logs by a new log
gives, bit for bit, the states of all the logs together.
"""

from __future__ import annotations

import datetime
from typing import NamedTuple

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
from adaptrace.models.bkt.fitted import CellLayout, FittedBKT
from adaptrace.models.bkt.skill_table import Z90

FloatArray = NDArray[np.float64]

GRADIENT = tuple(f"by_{name}" for name in Parameters._fields)  # columns: of the log-odds, in the logits of the parameters
LAST = ("time", "order")  # the log has one of them, or both
MOST_ODDS = 1e12 * kernels.MAX_ODDS  # that a state holds: above MAX_ODDS they rise by it with each unit of log-odds
LONGEST_SHIFT = 200.0  # on the logit scale: takes any odds to certainty


class Earlier(NamedTuple):
    """States of a log's students before its first response."""

    table: pa.Table  # as :func:`states` gives
    row: NDArray[np.int64]  # (n_pairs,) the row there of each pair of the log; -1 for a new pair


def states(fitted: FittedBKT, log: Log, *, earlier: Earlier | None = None) -> pa.Table:
    """The state of every student and skill of a log, after its last response.

    Parameters
    ----------
    fitted
        The parameters.
    log
        Not changed.
    earlier
        The states before its first response, if there are any.

    Returns
    -------
    pyarrow.Table
        ``student``, ``skill`` (the log's own names), ``odds`` of mastery, ``by_prior`` ... ``by_slip``: the derivatives of
        their logarithm in the logits of the parameters, ``opportunities``, and ``last_time`` or ``last_order``.
    """
    rows, layout = log.rows, fitted.layout(log)
    n_pairs = len(rows.pair_skill)
    state = _first(layout, n_pairs)
    if earlier is not None:
        _resume(earlier, log, layout, state)
    _update(fitted, log, layout, state)
    owner = np.repeat(np.arange(len(log.students), dtype=np.int32), np.diff(rows.pair_start))
    columns = {
        "student": pa.DictionaryArray.from_arrays(owner, log.students),
        "skill": pa.DictionaryArray.from_arrays(rows.pair_skill, log.skills),
        "odds": state.odds,
        **dict(zip(GRADIENT, state.gradient.T, strict=True)),
        "opportunities": state.responses,
    }
    last_row = pa.array(state.row)
    last = {f"last_{name}": schema.combined(log.table[name]).take(last_row) for name in LAST if name in log.table.column_names}
    return pa.table({**columns, **last})


def _first(layout: CellLayout, n_pairs: int) -> PairStates:
    gradient, row = space(5 * n_pairs, np.float32).reshape(n_pairs, 5), space(n_pairs, np.int64)
    state = PairStates(space(n_pairs, np.float64), gradient, np.zeros(n_pairs, np.int32), row)
    kernels.start_odds(layout.cells, layout.parameters.prior, state.odds)
    state.gradient[:] = [1.0, 0.0, 0.0, 0.0, 0.0]
    return state


def _resume(earlier: Earlier, log: Log, layout: CellLayout, state: PairStates) -> None:
    """Write the earlier states into those of the log's pairs."""
    known = np.flatnonzero(earlier.row >= 0)
    before = earlier.table.take(pa.array(earlier.row[known]))
    state.odds[known] = before["odds"]
    for a, name in enumerate(GRADIENT):
        state.gradient[known, a] = before[name]
    state.responses[known] = before["opportunities"]
    if len(layout.cells.gap):
        last, rows = np.full(len(earlier.row), np.iinfo(np.int64).max), log.rows
        last[known] = before["last_time"].cast(pa.int64())
        first = np.flatnonzero(rows.opportunity == 1)
        time = log.moments[np.searchsorted(rows.skill_start, first, side="right") - 1]
        layout.cells.gap[first] = np.maximum(time - last[rows.pair[first]], 0) / DAY


def _update(fitted: FittedBKT, log: Log, layout: CellLayout, state: PairStates) -> None:
    rows, (cells, parameters) = log.rows, layout
    pieces = parallel.spans(rows.student_start, 4 * parallel.cores())
    if not log.has_several_skills and log.is_binary and not len(cells.entry):
        parallel.run(kernels.carry_plain_states, [(rows, cells, parameters, *piece, state) for piece in pieces])
        return
    event_credit = fitted.trace(log, layout, odds=state.odds.copy()).credit
    parallel.run(kernels.carry_states, [(rows, cells, parameters, event_credit, *piece, state) for piece in pieces])


def mastery_from_states(fitted: FittedBKT, states: pa.Table, *, time: datetime.datetime | None = None) -> pa.Table:
    """The table of :meth:`BKT.score <adaptrace.BKT.score>`, from the table of :func:`states`."""
    skill = coded(schema.combined(states["skill"]))
    row, code = fitted.table.index(skill.dictionary), skill.indices.to_numpy()
    odds = states["odds"].to_numpy()
    gradient, std = np.stack([states[name].to_numpy() for name in GRADIENT], axis=1), space(len(odds), np.float64)
    covariance = fitted.table.covariance[row]
    pieces = parallel.ranges(len(odds))
    parallel.run(
        lambda first, last: kernels.log_odds_std(covariance, code[first:last], gradient[first:last], std[first:last]), pieces
    )
    if time is not None:
        odds, std = _faded(fitted, states, odds, std, row[code], time)
    columns = {
        "student": states["student"],
        "skill": skill,
        "mastery": _mastery(odds),
        "low": _mastery(odds, -Z90 * std),
        "high": _mastery(odds, Z90 * std),
        "opportunities": states["opportunities"],
        "fitted": (row >= 0)[code],
    }
    last = {name: states[name] for name in states.column_names if name.startswith("last_")}
    return pa.table({**columns, **last})


def _faded(
    fitted: FittedBKT, states: pa.Table, odds: FloatArray, std: FloatArray, row: NDArray[np.int64], time: datetime.datetime
) -> tuple[FloatArray, FloatArray]:
    """Odds at a later time, and the standard deviation of their logarithm."""
    if fitted.effects is None or not fitted.fades or "last_time" not in states.column_names:
        raise ModelError("score(time=...): this model's mastery does not fade; fit one with BKT(elapsed=True)")
    moment = pa.scalar(time if time.tzinfo else time.replace(tzinfo=datetime.UTC), schema.TIME).cast(pa.int64()).as_py()
    days = np.maximum(moment - states["last_time"].cast(pa.int64()).to_numpy(), 0) / DAY
    faded = np.empty_like(odds)
    kernels.fade_all(odds, days, fitted.effects.half_life, row.astype(np.int32), faded)
    return faded, std * (1.0 + faded) / (1.0 + odds)


def _mastery(odds: FloatArray, shift: FloatArray | float = 0.0) -> FloatArray:
    """P(known) from odds, moved by ``shift`` on the logit scale."""
    moved = odds * np.exp(np.clip(shift, -LONGEST_SHIFT, LONGEST_SHIFT))
    return np.asarray(np.where(moved < 1e300, np.minimum(moved / (1.0 + moved), kernels.MAX_MASTERY), kernels.MAX_MASTERY))
