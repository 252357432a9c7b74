"""The table that the PyPI package ``kt-audit`` checks: of every fold, what its model was fitted to and what it predicted.

It is for people who do not trust a figure, and need not trust us: kt-audit computes it anew and looks for leaks.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from concurrent.futures import Executor
from dataclasses import replace

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.data.log import Log
from adaptrace.errors import counted
from adaptrace.evaluate.fold_runs import Fold, FoldProgress
from adaptrace.evaluate.folds import FoldPlan, plan_of, refused
from adaptrace.evaluate.named_models import checked_model
from adaptrace.evaluate.ties import TOGETHER, check_ties
from adaptrace.models.base import Model, Progress, check_needs


def audit_table(
    model: Model,
    log: Log,
    *,
    folds: int = 5,
    by: str = "student",
    seed: int = 0,
    ties: str = TOGETHER,
    executor: Executor | None = None,
    progress: Progress | None = None,
) -> pa.Table:
    """A cross-validation as the table that ``kt-audit run`` (PyPI, Jiang) checks for leaks.

    Parameters
    ----------
    model, log, folds, by, seed, ties, executor, progress
        As in :func:`adaptrace.cross_validate`. Outcomes must be 0 and 1.

    Returns
    -------
    pyarrow.Table
        Of every fold a row for each response that its model was fitted to or tested on: ``user_id``, the number of the student in
        the log, from 1 on, so that no name is given away; ``timestamp``, the ``time``, else the ``order``, else the number of the
        response of its student; ``split``, ``train`` or ``test``; ``kc_ids``, the skills as a list in JSON; ``item_id``;
        ``y_true``; ``y_pred``, P(correct) before the response, by the model of the fold; ``fold``.

    Raises
    ------
    DataError, ValueError, ModelError
        As in :func:`adaptrace.cross_validate`; also if an outcome is neither 0 nor 1.

    Examples
    --------
    >>> import adaptrace as at
    >>> log = at.Log.from_arrow({"student": ["Ada", "Bo"], "item": ["q1"] * 2, "skills": [["a", "b"]] * 2, "correct": [0, 1]})
    >>> table = at.audit_table(at.Constant(), log, folds=2)
    >>> table.select(["user_id", "timestamp", "split", "kc_ids", "y_true", "y_pred", "fold"]).to_pylist()[0]
    {'user_id': 1, 'timestamp': 1, 'split': 'test', 'kc_ids': '["a", "b"]', 'y_true': 0, 'y_pred': 0.75, 'fold': '0'}
    """
    name = repr(model)
    models = {name: checked_model(name, model)}
    plan = replace(plan_of(log, by, folds, seed), together=check_ties(ties))
    check_needs(models, log)
    _check_outcomes(log)
    rows = _plain_columns(log)
    steps = FoldProgress(progress, len(plan.names))
    tables = []
    for number, fold in enumerate(_folds(log, plan)):
        run = fold.predicted(name, model, executor, steps.within)
        known = np.flatnonzero(_known(plan, number))
        split = np.where(plan.fold[known] == number, "test", "train")
        part = rows.take(pa.array(known)).append_column("y_pred", pa.array(run.predicted))
        part = part.append_column("fold", pa.array([plan.names[number]] * len(known), pa.string()))
        tables.append(part.add_column(2, "split", pa.array(split, pa.string())))
        steps.finish()
    return pa.concat_tables(tables)


def _known(plan: FoldPlan, number: int) -> NDArray[np.bool_]:
    """The rows that a fold's model is fitted to or tested on, (n_rows,)."""
    return np.asarray(plan.train(number) | (plan.fold == number))


def _folds(log: Log, plan: FoldPlan) -> Iterator[Fold]:
    """Every fold, made to predict the rows that its model is fitted to as well."""
    for number in range(len(plan.names)):
        fold, known = Fold.of(log, plan, number), log.select(_known(plan, number))
        yield replace(fold, history=known, wanted=np.ones(len(known), bool))


def _plain_columns(log: Log) -> pa.Table:
    """What the table says of each response whatever the fold."""
    student = log.table["student"].chunk(0).indices.to_numpy()
    turn = 1 + np.arange(len(log)) - log.rows.student_start[student]
    clock = next((log.table[name] for name in ("time", "order") if name in log.table.column_names), pa.array(turn))
    skills = [json.dumps(each if isinstance(each, list) else [each]) for each in _names_of_skills(log)]
    correct = np.asarray(log.correct, np.int64)
    columns = {"user_id": 1 + student.astype(np.int64), "timestamp": clock, "kc_ids": pa.array(skills, pa.string())}
    return pa.table({**columns, "item_id": log.names("item"), "y_true": correct})


def _names_of_skills(log: Log) -> list[list[str] | str]:
    """The skill or skills of every response, as text."""
    column = schema.combined(log.table[log.skill_column])
    kind = pa.list_(pa.string()) if pa.types.is_list(column.type) else pa.string()
    names: list[list[str] | str] = column.cast(kind).to_pylist()
    return names


def _check_outcomes(log: Log) -> None:
    """Refuse partial credit, which the table cannot hold."""
    between = np.flatnonzero((log.correct > 0.0) & (log.correct < 1.0))
    if len(between):
        row = between[np.argmin(log.source_row[between])]
        remedy = f"round the {counted(len(between), 'outcome')} between, or select() the others"
        got, place, expected = f"{log.correct[row]}", int(log.source_row[row]) + 1, "outcomes of 0 and 1, which kt-audit takes"
        raise refused(got, expected, remedy, "correct", place, len(between) - 1)
