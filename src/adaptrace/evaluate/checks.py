"""Outcomes, predictions and columns of students: checked, and as numbers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from adaptrace.data import schema
from adaptrace.errors import DataError, Problem

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]


def checked(correct: ArrayLike, predictions: Mapping[str, ArrayLike], **columns: Any) -> tuple[FloatArray, list[FloatArray]]:
    """Outcomes and predictions as numbers; raises every problem of them and of the columns beside them."""
    y, arrays = np.asarray(correct, float), {name: np.asarray(each, float) for name, each in predictions.items()}
    problems = [*_shapes(y, {**arrays, **columns}), *_not_shares({"correct": y, **arrays})]
    if not problems:
        problems = [problem for name, column in columns.items() for problem in _unusable(name, column)]
    if problems:
        raise DataError("metrics", problems)
    return y, list(arrays.values())


def _shapes(y: FloatArray, others: Mapping[str, Any]) -> list[Problem]:
    if y.ndim != 1 or not len(y):
        return [Problem(f"shape {y.shape}", "(n_rows,) and at least one row", "pass one outcome a response", "correct")]
    shapes = {name: each.shape if isinstance(each, np.ndarray) else (len(each),) for name, each in others.items()}
    remedy = "pass one value a response"
    return [
        Problem(f"shape {shape}", f"{y.shape} as of correct", remedy, name) for name, shape in shapes.items() if shape != y.shape
    ]


def _not_shares(arrays: Mapping[str, FloatArray]) -> list[Problem]:
    problems = []
    for name, values in arrays.items():
        bad = np.flatnonzero(~((values >= 0.0) & (values <= 1.0)))
        if len(bad):
            got, remedy = f"{values.flat[bad[0]]}", "leave out rows without one"
            problems.append(Problem(got, "a number in [0, 1]", remedy, name, int(bad[0]) + 1, len(bad) - 1))
    return problems


def _unusable(name: str, column: Any) -> list[Problem]:
    """The problems of the values of a student, by or opportunity column."""
    if name == "opportunity":
        return _not_counts(name, np.asarray(column, float))
    values = as_values(column)
    if pa.types.is_nested(values.type):
        return [Problem(f"{values.type}", "one name or number a row", "repeat the row for each of its values", name)]
    if name == "student" and values.null_count:
        row = int(np.flatnonzero(values.is_null())[0]) + 1
        return [Problem("null", "a name or number", "leave out rows without a student", name, row, values.null_count - 1)]
    return []


def _not_counts(name: str, numbers: FloatArray) -> list[Problem]:
    bad = np.flatnonzero(~((numbers >= 1.0) & (numbers == np.floor(numbers))))
    if not len(bad):
        return []
    remedy = "count the student's responses on the skill from 1"
    return [Problem(f"{numbers[bad[0]]}", "a whole number from 1 on", remedy, name, int(bad[0]) + 1, len(bad) - 1)]


def at_least_one(**numbers: int) -> None:
    """Refuse options that are below 1."""
    for name, number in numbers.items():
        if number < 1:
            raise ValueError(f"{name}: got {number}; expected at least 1")


def as_values(values: Any) -> pa.Array:
    """Any array-like as an Arrow array, dictionaries decoded."""
    array = schema.plain(schema.as_array(values))
    return array.cast(array.type.value_type) if pa.types.is_dictionary(array.type) else array


def encoded(values: Any) -> tuple[IntArray, pa.Array]:
    """Codes (n_rows,) and what they stand for, ascending and without repeats, null last."""
    encoded = as_values(values).dictionary_encode(null_encoding="encode")
    order = pc.sort_indices(encoded.dictionary).to_numpy()
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return rank[encoded.indices.to_numpy()], encoded.dictionary.take(pa.array(order))
