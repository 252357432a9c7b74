"""Values: the many Arrow types of one column as the few that the checks know."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

HYPHENS = (8, 13, 18, 23)  # places of the hyphens in the text of a UUID (RFC 9562, section 4)
HEX = np.frombuffer(b"0123456789abcdef", np.uint8)


def is_text(kind: pa.DataType) -> bool:
    """Whether a type is one of the string types."""
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def is_number(kind: pa.DataType) -> bool:
    """Whether a type is one of numbers, or of nothing but nulls; true and false are none."""
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind) or types.is_null(kind))


def combined(column: pa.ChunkedArray) -> pa.Array:
    """One array from a column of any number of chunks, none included; not copied if there is one."""
    if column.num_chunks == 1:
        return column.chunk(0)
    array = column.combine_chunks()
    return pa.concat_arrays(array.chunks) if isinstance(array, pa.ChunkedArray) else array


def plain(array: pa.Array) -> pa.Array:
    """An array of a type that every Arrow function accepts: no views, no runs, no large lists, UUIDs as text."""
    kind = array.type
    if isinstance(kind, pa.BaseExtensionType):
        return _of_extension(array)
    if pa.types.is_run_end_encoded(kind):
        rows = np.searchsorted(array.run_ends.to_numpy(), np.arange(len(array)) + array.offset, side="right")
        return plain(array.values).take(pa.array(rows))
    if pa.types.is_dictionary(kind):
        return _of_codes(array)
    if _is_list(kind):
        return _as_list(array)
    wider = _wider(kind)
    return array if wider is None else array.cast(wider)


def _wider(kind: pa.DataType) -> pa.DataType | None:
    """The type that holds the same values and that every Arrow function accepts; None: it is this one."""
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_float16(kind):
        return pa.float32()
    return pa.decimal128(38, kind.scale) if pa.types.is_decimal(kind) and kind.bit_width < 128 else None


def decoded(array: pa.Array) -> pa.Array:
    """The values of a dictionary, where an array is one."""
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _of_codes(array: pa.DictionaryArray) -> pa.Array:
    names = array.dictionary
    values = plain(names)
    if pa.types.is_dictionary(values.type):
        return values.take(array.indices)
    return array if values is names else pa.DictionaryArray.from_arrays(array.indices, values)


def _of_extension(array: pa.ExtensionArray) -> pa.Array:
    """UUIDs, JSON and bytes of true and false as what they hold; any other type as it is, which no check takes."""
    name = getattr(array.type, "extension_name", "")
    if name == "arrow.uuid":
        codes = array.storage.dictionary_encode()
        return pa.DictionaryArray.from_arrays(codes.indices, _uuid_texts(codes.dictionary))
    if name == "arrow.bool8":
        return pc.not_equal(array.storage, 0)
    return plain(array.storage) if name == "arrow.json" else array


def _uuid_texts(values: pa.FixedSizeBinaryArray) -> pa.StringArray:
    """The texts of UUIDs, none of them null: 32 hexadecimal digits with four hyphens between."""
    size = len(values)
    octets = np.frombuffer(values.buffers()[1] or b"", np.uint8)[values.offset * 16 :][: size * 16].reshape(size, 16)
    text = np.full((size, 36), ord("-"), np.uint8)
    text[:, [place for place in range(36) if place not in HYPHENS]] = HEX[
        np.stack([octets >> 4, octets & 15], -1).reshape(size, 32)
    ]
    offsets = np.arange(0, 36 * size + 1, 36, dtype=np.int32)
    return pa.StringArray.from_buffers(size, pa.py_buffer(offsets), pa.py_buffer(text.tobytes()))


def _is_list(kind: pa.DataType) -> bool:
    types = pa.types
    views = types.is_list_view(kind) or types.is_large_list_view(kind)
    return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind) or views)


def _as_list(array: pa.Array) -> pa.ListArray:
    """Lists of any kind as lists of plain values, from offset 0; Arrow's own cast of list views takes the wrong values."""
    if pa.types.is_list(array.type):
        values = array.values
        if plain(values) is values:
            return array
    length = pc.fill_null(pc.list_value_length(array), 0).to_numpy()
    offsets = pa.array(np.concatenate([[0], np.cumsum(length, dtype=np.int64)])).cast(
        pa.int32()
    )  # fails where there are too many
    return pa.ListArray.from_arrays(offsets, plain(array.flatten()), mask=pc.is_null(array))
