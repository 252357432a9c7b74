"""Tables in memory, of any kind, as Arrow tables: frames, columns by name, rows; values of several kinds become text."""

from __future__ import annotations

import datetime
import operator
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from decimal import Decimal
from numbers import Integral, Real
from typing import Any

import numpy as np
import pyarrow as pa

from adaptrace.errors import DataError, Problem

KINDS = "a table: Arrow data, a pandas or polars frame, a DuckDB relation, a dict of columns, or a list of dicts"
ONE_KIND = "values of one kind, or names and numbers"
CAST = "cast the column, e.g. to strings, or leave it out"
Wanted = Callable[[list[str]], Collection[str]]  # of all names of columns, those that are needed


def as_table(data: Any, source: str, wanted: Wanted | None = None) -> pa.Table:
    """Any table in memory as an Arrow table; by the C interface, which does not say how long a buffer is, only if need be.

    Parameters
    ----------
    data
        Arrow data, a data frame, a mapping of columns, or a list of mappings, which are rows.
    source
        What to call the data in errors.
    wanted
        Which columns are needed; others may be left out if their values make no column.

    Raises
    ------
    DataError
        Saying what makes no table, or which columns do not.
    """
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    if isinstance(data, list | tuple):
        return _of_columns(_columns_of_rows(data, source), source, wanted)
    if isinstance(data, Mapping) and any(isinstance(values, str | bytes) for values in data.values()):
        return _of_columns(list(data.items()), source, wanted)  # Arrow would take each letter for a value
    try:
        return data.read_all() if isinstance(data, pa.RecordBatchReader) else pa.table(data)
    except Exception as error:  # whatever the library behind a frame raises
        if not hasattr(data, "items"):  # no columns that could be read one by one
            raise DataError(source, [_no_table(data, error)]) from error
    return _of_columns([(str(name), values) for name, values in data.items()], source, wanted)


def _no_table(data: Any, error: Exception) -> Problem:
    """What keeps data from being a table."""
    if hasattr(data, "collect"):
        return Problem(f"a {type(data).__name__}, which holds no rows yet", KINDS, "call its collect() first")
    if hasattr(data, "__arrow_c_stream__") or hasattr(data, "__arrow_c_array__") or isinstance(data, pa.RecordBatchReader):
        return Problem(brief(error), "whole Arrow data, of types that Arrow reads", "export or copy them again, or cast columns")
    return Problem(f"a {type(data).__name__}", KINDS, "pass one of these; files are read by read()")


def brief(error: BaseException) -> str:
    """The first line of what an error says."""
    return str(error).split("\n")[0].strip().rstrip(".") or type(error).__name__


def _columns_of_rows(rows: Iterable[Any], source: str) -> list[tuple[str, list[Any]]]:
    """The columns of rows; a key that a row does not have is null in it."""
    for number, row in enumerate(rows, 1):
        if not isinstance(row, Mapping):
            expected = "a dict in every row: column -> value"
            raise DataError(source, [Problem(f"a {type(row).__name__}", expected, "make dicts of the rows", row=number)])
    keys = dict.fromkeys(key for row in rows for key in row)
    return [(str(key), [row.get(key) for row in rows]) for key in keys]


def _of_columns(columns: list[tuple[Any, Any]], source: str, wanted: Wanted | None) -> pa.Table:
    """A table of columns, each converted on its own; a column that cannot be and is not wanted is left out."""
    columns = [(str(name), values) for name, values in columns if is_whole_text(str(name))]
    names = [name for name, _ in columns]
    needed = names if wanted is None else wanted(names)
    arrays: list[tuple[str, pa.ChunkedArray]] = []
    problems: list[Problem] = []
    for name, values in columns:
        found = array_of(values, name)
        if isinstance(found, Problem):
            problems += [found] if name in needed else []
        else:
            arrays.append((name, found))
    problems += _unequal(arrays)
    if problems:
        raise DataError(source, problems)
    return pa.Table.from_arrays([array for _, array in arrays], names=[name for name, _ in arrays])


def _unequal(arrays: list[tuple[str, pa.ChunkedArray]]) -> list[Problem]:
    """The columns that are not as long as the first."""
    if not arrays:
        return []
    first, size = arrays[0][0], len(arrays[0][1])
    different = [(name, len(array)) for name, array in arrays if len(array) != size]
    expected = f"{size:,} as in column '{first}'"
    return [Problem(f"{length:,} values", expected, "give a value in every row", name) for name, length in different]


def array_of(values: Any, name: str) -> pa.ChunkedArray | Problem:
    """Values as a column: of their own kind, else as text; or the problem of the first that is no text either."""
    if isinstance(values, str | bytes) or not (isinstance(values, Iterable) or hasattr(values, "__arrow_c_stream__")):
        return Problem(f"a {type(values).__name__}", "a list or array of values", "give a value for every row", name)
    try:
        if hasattr(values, "__arrow_c_stream__"):
            return pa.chunked_array(values)
        return pa.chunked_array([values if isinstance(values, pa.Array) else pa.array(values, from_pandas=True)])
    except Exception:  # Arrow and the libraries that make arrays raise many kinds
        return _as_texts(list(values), name)


def _as_texts(values: list[Any], name: str) -> pa.ChunkedArray | Problem:
    texts = []
    for row, value in enumerate(values, 1):
        try:
            texts.append(_cell(value))
        except UnicodeEncodeError:
            return Problem("text with half a character (a lone surrogate)", "text in UTF-8", "correct the text", name, row)
        except TypeError:
            return Problem(f"a value of type {type(value).__name__}", ONE_KIND, CAST, name, row)
    try:
        return pa.chunked_array([pa.array(texts)])
    except (pa.ArrowException, TypeError):  # lists beside text
        return Problem("values of several sorts: lists beside others", "values of one sort", CAST, name)


def _cell(value: Any) -> Any:
    """A value as text, a list as the texts of its values, and what is missing as None; a TypeError for all others."""
    if isinstance(value, list | tuple | np.ndarray):
        return [_cell(each) for each in value]
    if is_missing(value):
        return None
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, datetime.date):  # a datetime is one too
        return value.isoformat()
    text = text_of(value)
    if text is None and isinstance(value, Real | Decimal):
        text = str(value)
    if text is None:
        raise TypeError
    text.encode()
    return text


def is_whole_text(text: str) -> bool:
    """Whether text is without half a character (a lone surrogate), so that UTF-8 can hold it."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def is_missing(value: Any) -> bool:
    """Whether a value is None, NaN, NaT or NA."""
    try:
        return value is None or not operator.eq(value, value)
    except TypeError:  # pandas.NA is neither true nor false
        return True


def text_of(value: object) -> str | None:
    """The text that a name is: text itself, a whole number in any type, a UUID; None: the value is no name.

    Examples
    --------
    >>> text_of(7.0), text_of("007"), text_of(7.5)
    ('7', '007', None)
    """
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, bool | np.bool_):
        return None
    if isinstance(value, Integral):
        return str(int(value))
    if isinstance(value, Real | Decimal):
        number: Any = value  # the two have no order in common for a type checker
        is_whole = -(2**63) < number < 2**63 and number == int(number)  # NaN lies nowhere
        return str(int(number)) if is_whole else None
    return str(value) if isinstance(value, uuid.UUID) else None
