"""Encoding: names as codes into a dictionary."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from adaptrace.data import schema
from adaptrace.kernels import rows as kernels
from adaptrace.kernels.arrays import space


def spread_out(start: NDArray[np.int64], chosen: NDArray[np.int64]) -> NDArray[np.int64]:
    """All places in the chosen segments, given the starts of all (n + 1,): ``start[c]``, ``start[c] + 1``, ... for each ``c``.

    Examples
    --------
    >>> spread_out(np.array([0, 2, 5, 6]), np.array([0, 2])).tolist()
    [0, 1, 5]
    """
    length = start[chosen + 1] - start[chosen]
    return np.repeat(start[chosen] - (np.cumsum(length) - length), length) + np.arange(length.sum())


def encode(array: pa.Array) -> pa.DictionaryArray:
    """Dictionary-encode keys, the names in the order of first appearance."""
    if pa.types.is_integer(array.type) and len(array):
        values = array.to_numpy()
        low, size = int(values.min()), int(values.max()) - int(values.min()) + 1
        if size <= 4 * len(values) + 1000 and int(values.max()) < 2**63:
            codes = space(len(values), np.int32)
            seen = kernels.recode(values, low, size, codes)
            return pa.DictionaryArray.from_arrays(codes, pa.array(seen.astype(np.int64) + low).cast(array.type))
    if not pa.types.is_dictionary(array.type):
        return array.dictionary_encode()
    codes = space(len(array), np.int32)
    seen = kernels.recode(array.indices.to_numpy().astype(np.int64, copy=False), 0, max(1, len(array.dictionary)), codes)
    names = array.dictionary.take(pa.array(seen))
    if len(names.unique()) < len(names):
        return array.dictionary_decode().dictionary_encode()
    return pa.DictionaryArray.from_arrays(codes, names)


def coded(array: pa.Array) -> pa.DictionaryArray:
    """Keys as codes, in any order; unchanged if they are codes already."""
    return array if pa.types.is_dictionary(array.type) else encode(array)


def with_sorted_names(array: pa.DictionaryArray) -> pa.DictionaryArray:
    """Codes into names that are sorted as text."""
    rank = pc.sort_indices(schema.as_text(array.dictionary)).to_numpy()
    label = np.empty(len(rank), np.int32)
    label[rank] = np.arange(len(rank), dtype=np.int32)
    codes = space(len(array), np.int32)
    kernels.relabel(array.indices.to_numpy(), label, codes)
    return pa.DictionaryArray.from_arrays(codes, array.dictionary.take(pa.array(rank)))
