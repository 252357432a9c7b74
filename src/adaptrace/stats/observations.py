"""Observations: what the counts keep of each response, as a table of the distinct ones and a code for each."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data.log import Log
from adaptrace.kernels.arrays import space
from adaptrace.kernels.bkt import Credit
from adaptrace.stats.parquet import OUTCOME

FloatArray = NDArray[np.float64]
CodeArray = NDArray[np.int32]
GAP = "gap"  # days since the student's last response on the skill, in steps
PLAIN = pa.table({"correct": [0.0, 1.0], "weight": [1.0, 1.0], "rest": [0.0, 0.0]})  # wrong and right on one skill
LIKELY = 0.7  # P(correct) of an event of several skills, before a fit knows better: the same for every log, so that counts add
CREDIT_STEPS = 32  # the weight and rest of a credit are counted in this many steps
GAP_STEPS = 8  # per doubling of a gap
SHORTEST_GAP = 1.0 / 86_400  # days; shorter ones count as none


def observations_of(log: Log, factors: Sequence[str], credit: Credit | None) -> tuple[pa.Table, CodeArray]:
    """The distinct observations of a log, and the one of each skill of each event."""
    correct, entries = log.rows.correct, np.diff(log.rows.skill_start)
    if not factors and not log.has_several_skills and log.is_binary:
        code = space(len(correct), np.int32)
        code[:] = correct
        return PLAIN, code
    columns: dict[str, pa.Array] = {"correct": pa.array(np.repeat(correct, entries))}
    weight, rest = _credit_of(log, credit) if log.has_several_skills else (np.ones(len(correct)), np.zeros(len(correct)))
    columns |= {"weight": pa.array(weight), "rest": pa.array(rest)}
    for name in factors:
        columns[name] = pa.array(_gap_steps(log.gap_days)) if name == GAP else log.names(name).take(pa.array(_row_of(entries)))
    coded = {name: array.dictionary_encode() for name, array in columns.items()}
    code = np.zeros(len(log.rows.pair), np.int64)
    for array in coded.values():
        code = code * max(len(array.dictionary), 1) + array.indices.to_numpy()
        code = np.unique(code, return_inverse=True)[1]
    _, first = np.unique(code, return_index=True)
    distinct = pa.table({name: array.take(pa.array(first)) for name, array in columns.items()})
    observations = in_order([distinct])
    return observations, positions_among(distinct, observations)[code]


def _row_of(entries: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.repeat(np.arange(len(entries)), entries)


def _credit_of(log: Log, credit: Credit | None) -> tuple[FloatArray, FloatArray]:
    """Weight and rest of every entry, in steps."""
    correct, several = log.rows.correct, np.diff(log.rows.skill_start)
    if credit is None:  # all skills of an event needed, and equally likely right
        weight = np.repeat(LIKELY ** ((several - 1) / several), several)
        rest = np.zeros(len(weight))
    else:
        weight, rest = credit
    # a right answer that took all skills says the same of one whatever the others' chances
    sure = (np.repeat(correct, several) == 1.0) & (rest == 0.0)
    steps = np.maximum(np.round(weight * CREDIT_STEPS), 1.0) / CREDIT_STEPS
    weight = np.where(sure, 1.0, np.where(rest == 0.0, steps, weight))
    return weight, np.minimum(np.round(rest * CREDIT_STEPS) / CREDIT_STEPS, 1.0 - weight)


def _gap_steps(gap: FloatArray) -> FloatArray:
    """Gaps (days) in steps of equal ratio; 0 for the first response and for less than a second."""
    long = np.maximum(gap, SHORTEST_GAP)
    return np.where(gap > SHORTEST_GAP, np.exp2(np.round(np.log2(long) * GAP_STEPS) / GAP_STEPS), 0.0)


def in_order(tables: Iterable[pa.Table]) -> pa.Table:
    """All distinct observations, plain wrong and right among them, in the one order that every union of observations keeps."""
    every = pa.concat_tables(tables)
    if not every.column_names[len(OUTCOME) :]:
        every = pa.concat_tables([PLAIN, every])
    distinct = every.group_by(every.column_names, use_threads=False).aggregate([])
    keys = ["rest", "weight", "correct", *every.column_names[len(OUTCOME) :]]
    orders = [(name, "descending" if name == "weight" else "ascending") for name in keys]
    return distinct.sort_by(orders).combine_chunks()


def positions_among(observations: pa.Table, among: pa.Table) -> CodeArray:
    """Where each observation is among others."""
    numbered = among.append_column("position", pa.array(np.arange(len(among), dtype=np.int32)))
    found = observations.append_column("row", pa.array(np.arange(len(observations)))).join(numbered, among.column_names)
    return np.asarray(found.sort_by("row")["position"].to_numpy(), np.int32)
