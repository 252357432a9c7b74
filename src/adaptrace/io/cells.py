"""Cells of CSV and TSV: text that a spreadsheet would run as a formula is written with a ``'`` before it, and read without it.

A spreadsheet runs what begins with one of ``= + - @``, a tab or a line break (OWASP, "CSV Injection"): a student may be called
``=HYPERLINK(...)``. Only text is changed, never numbers. A cell that has such a ``'`` already gets another one, and the reader
takes one off: so whatever is written is read as it was, and a student has one name in all files.
"""

from __future__ import annotations

from collections.abc import Callable

import pyarrow as pa
import pyarrow.compute as pc

SIGN = "'"
_STARTS = "[=+\\-@\t\r\n\uff1d\uff0b\uff0d\uff20]"  # the last four: the same signs as wide as a Chinese character
_FORMULA, _NEUTRAL = f"^'*{_STARTS}", f"^'+{_STARTS}"


def neutral(table: pa.Table) -> pa.Table:
    """A table, and its headings, in which no text is a formula.

    Examples
    --------
    >>> neutral(pa.table({"student": ["=1+1", "Ada"], "mastery": [-1.0, 0.5]})).to_pydict()
    {'student': ["'=1+1", 'Ada'], 'mastery': [-1.0, 0.5]}
    """
    return with_text(table, _neutral)


def restored(table: pa.Table) -> pa.Table:
    """What :func:`neutral` was given."""
    return with_text(table, restored_text)


def with_text(table: pa.Table, change: Callable[[pa.ChunkedArray], pa.ChunkedArray]) -> pa.Table:
    """A table with its headings and columns of text changed."""
    names = change(pa.chunked_array([table.column_names], pa.string())).to_pylist()
    columns = [change(column) if _is_text(column.type) else column for column in table.columns]
    return pa.table(columns, names=names)


def _neutral(column: pa.ChunkedArray) -> pa.ChunkedArray:
    formula = pc.match_substring_regex(column, _FORMULA)
    sign, nothing = (pa.scalar(text, column.type) for text in (SIGN, ""))
    return pc.if_else(formula, pc.binary_join_element_wise(sign, column, nothing), column)


def restored_text(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Text as it was before :func:`neutral`."""
    if not pc.any(pc.starts_with(column, SIGN)).as_py():
        return column
    neutral = pc.match_substring_regex(column, _NEUTRAL)
    return pc.if_else(neutral, pc.utf8_slice_codeunits(column, 1), column)


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))
