"""Predictions that were made elsewhere, as a column of the log, beside models of this library."""

from __future__ import annotations

from concurrent.futures import Executor
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data.log import Log
from adaptrace.errors import DataError, Problem
from adaptrace.models.base import Progress


@dataclass(frozen=True, kw_only=True)
class Predictions:
    """Predictions that another program made, in a column of the log: compared as if they were a model's.

    They are taken as they are. Nothing can tell whether the program saw the outcomes that it predicts: make each prediction with
    a model that was fitted to other folds (``by=`` takes a column of folds), from what came before the response.

    Parameters
    ----------
    column
        The column, which the log keeps (``Log.read(..., keep=[column])``): P(correct) inside (0, 1) in every row that is tested.

    Examples
    --------
    >>> import adaptrace as at
    >>> table = at.sample_log().table
    >>> table = table.append_column("dkt", [[0.4] * len(table)])
    >>> log = at.Log.from_arrow(table, keep=["dkt"])
    >>> compared = at.compare({"DKT": at.Predictions(column="dkt")}, log, draws=20)
    >>> compared.table["model"].to_pylist()
    ['Constant()', 'DKT']
    """

    column: str

    ignores_history: ClassVar[bool] = True

    def fit(self, data: Log, /, *, executor: Executor | None = None, progress: Progress | None = None) -> Predictions:
        """Itself: there is nothing to fit."""
        return self

    def predict(self, log: Log) -> NDArray[np.float64]:
        """The column, (n_rows,); NaN where it is empty.

        Raises
        ------
        DataError
            If the log has no such column, or it has texts, or numbers that are not inside (0, 1).
        """
        if self.column not in log.table.column_names:
            got = f"the columns {', '.join(log.table.column_names)}"
            remedy = f"read the log with keep=['{self.column}'], or correct the name"
            raise DataError("log", [Problem(got, f"a column '{self.column}' of predictions", remedy, self.column)])
        column = log.table[self.column]
        if not (pa.types.is_floating(column.type) or pa.types.is_integer(column.type)):
            raise DataError("log", [Problem(str(column.type), "numbers", "write predictions as numbers", self.column)])
        values = np.asarray(column.cast(pa.float64()).to_numpy(zero_copy_only=False), float)
        wrong = np.flatnonzero(~(np.isnan(values) | ((values > 0.0) & (values < 1.0))))
        if len(wrong):
            row, remedy = int(log.source_row[wrong[0]]) + 1, "clip predictions, e.g. to 0.0001 and 0.9999"
            problem = Problem(f"{values[wrong[0]]:g}", "a probability inside (0, 1)", remedy, self.column, row, len(wrong) - 1)
            raise DataError("log", [problem])
        return values
