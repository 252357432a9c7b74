"""Mutators: a good file and a drawn number give a damaged one, the same bytes everywhere."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from random import Random
from typing import Any

from adaptrace.io import envelope

WORDS = [b"\0" * 4, b"\xff" * 4, b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\xff" * 8, b"\x40\0\0\0", b"\x01\0\0\0", b"\0\0\0\x40"]

# what stands in the place of a value
PLAIN: list[Any] = [None, float("nan"), float("inf"), 1e308, 1e-308, -1, -0.5, 0, 1, 2, 0.5, 1.0, True, False, "", "x", "1"]
ODD: list[Any] = [2**31, -(2**31), 2**63, -(2**63), 2**64, 10**400, "\ud800", "\0", "a\nb", "nan", [], {}, [[]], [None], {"": 1}]
LONG = 3000

# what stands in a cell of text
CELLS = [
    "",
    " ",
    "NA",
    "null",
    "NaN",
    "inf",
    "-inf",
    "1e308",
    "-1",
    "2",
    "0.5",
    "007",
    "true",
    "False",
    '"',
    "a;b",
    ";",
    "a;;a",
    "\0",
]
CELLS += [
    "=1+1",
    "x" * 70_000,
    "9" * 40,
    "1e999",
    "9999-12-31T23:59:59.999999",
    "0001-01-01T00:00:00+14:00",
    "2024-02-30",
    "\ufeff",
]
CELLS += ["[1, 2]", "{}", "\u202eabc", "a\nb", "a\r\nb", "a,b", "a\tb", "1970-01-01", "1e18", "0x10", "1_000", "١٢"]
NAMES = ["student", "user_id", "item", "skill", "skills", "correct", "score", "time", "order", "kind", "level", "event_id", ""]


# ---- bytes ------------------------------------------------------------------


def damaged(data: bytes, draw: Random) -> bytes:
    """Bits, bytes or words changed; the end cut off; a part copied over another one, doubled or left out."""
    out = bytearray(data)
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        place = draw.randrange(len(out))
        draw.choice([_bit, _bit, _bit, _byte, _byte, _word, _word, _word, _cut, _splice, _double, _leave_out])(out, place, draw)
    return bytes(out)


def _bit(out: bytearray, place: int, draw: Random) -> None:
    out[place] ^= 1 << draw.randrange(8)


def _byte(out: bytearray, place: int, draw: Random) -> None:
    out[place] = draw.randrange(256)


def _word(out: bytearray, place: int, draw: Random) -> None:
    word = draw.choice(WORDS)
    out[place : place + len(word)] = word


def _cut(out: bytearray, place: int, draw: Random) -> None:
    del out[max(place, 1) :]


def _splice(out: bytearray, place: int, draw: Random) -> None:
    start, size = draw.randrange(len(out)), draw.choice([4, 8, 16, 64])
    out[place : place + size] = out[start : start + size]


def _double(out: bytearray, place: int, draw: Random) -> None:
    out[place:place] = out[place : place + draw.choice([1, 8, 64, 512])]


def _leave_out(out: bytearray, place: int, draw: Random) -> None:
    del out[max(place, 1) : max(place, 1) + draw.choice([1, 8, 64, 512])]


# ---- plain data -------------------------------------------------------------


def edited(data: bytes, draw: Random) -> bytes:
    """JSON with some of its values, keys or lists changed; a file of ours gets the fingerprint of what it says then."""
    document = json.loads(data)
    ours = isinstance(document, dict) and "fingerprint" in document and draw.random() < 0.95
    holder = {"": document["content"] if ours else document}
    for _ in range(draw.choice([1, 1, 1, 2, 3])):
        _edit(holder, draw)
    if ours:
        document["content"] = holder[""]
        if isinstance(holder[""], dict):
            document["fingerprint"] = envelope.fingerprint(holder[""])
    return _written(document if ours else holder[""], draw)


def _written(document: Any, draw: Random) -> bytes:
    text = json.dumps(document)
    if draw.random() < 0.01:  # lists in lists, deeper than any reader goes
        place = text.find(":", draw.randrange(len(text))) + 1
        text = text[:place] + "[" * 20_000 + text[place:]
    return (b"\xef\xbb\xbf" if draw.random() < 0.01 else b"") + text.encode()


def _edit(holder: dict[str, Any], draw: Random) -> None:
    """Change one value anywhere below the holder."""
    inner, key = _place(holder, draw)
    change = draw.choice([_replace, _replace, _replace, _replace, _remove, _rename, _add, _repeat, _swap, _wrap, _scale, _empty])
    change(inner, key, draw)


def _place(holder: Any, draw: Random) -> tuple[Any, Any]:
    """A container and one of its keys: branch by branch, so that short branches are met as often as long ones."""
    inner, key = holder, ""
    while isinstance(inner[key], dict | list) and inner[key] and draw.random() < 0.85:
        inner = inner[key]
        key = draw.choice(list(inner)) if isinstance(inner, dict) else draw.randrange(len(inner))
    return inner, key


def _any(draw: Random) -> Any:
    return _copy(draw.choice(PLAIN if draw.random() < 0.6 else ODD))


def _copy(value: Any) -> Any:
    """A value that shares nothing with another one."""
    return json.loads(json.dumps(value)) if isinstance(value, list | dict) else value


def _replace(inner: Any, key: Any, draw: Random) -> None:
    inner[key] = _any(draw)


def _remove(inner: Any, key: Any, draw: Random) -> None:
    del inner[key]
    if key == "":
        inner[key] = {}


def _rename(inner: Any, key: Any, draw: Random) -> None:
    if isinstance(inner, dict) and key:
        inner[draw.choice([f"{key}s", key.upper(), "", "x", "\ud800", *map(str, inner)])] = inner.pop(key)


def _add(inner: Any, key: Any, draw: Random) -> None:
    if isinstance(inner[key], dict):
        inner[key][draw.choice(["x", "", "0", "extra"])] = _any(draw)
    elif isinstance(inner[key], list):
        inner[key].insert(draw.randrange(len(inner[key]) + 1), _any(draw))
    else:
        _replace(inner, key, draw)


def _repeat(inner: Any, key: Any, draw: Random) -> None:
    value = inner[key]
    if isinstance(value, list) and value:
        value += [_copy(draw.choice(value)) for _ in range(draw.choice([1, 1, len(value), LONG]))]
    elif isinstance(value, str):
        inner[key] = value[:100] * draw.choice([2, LONG])


def _swap(inner: Any, key: Any, draw: Random) -> None:
    other = draw.choice(list(inner)) if isinstance(inner, dict) else draw.randrange(len(inner))
    inner[key], inner[other] = inner[other], inner[key]


def _wrap(inner: Any, key: Any, draw: Random) -> None:
    inner[key] = draw.choice([[inner[key]], {"x": inner[key]}, str(inner[key])])


def _scale(inner: Any, key: Any, draw: Random) -> None:
    value, factor = inner[key], draw.choice([-1.0, 0.0, 1e-9, 1e6, 1e9, 1e300])
    if _is_number(value):
        inner[key] = draw.choice([value * factor, value + 1, float(value), -value])
    elif isinstance(value, list) and all(map(_is_number, value)):
        inner[key] = [each * factor for each in value]


def _is_number(value: Any) -> bool:
    return isinstance(value, float) or (isinstance(value, int) and abs(value) < 2**64)


def _empty(inner: Any, key: Any, draw: Random) -> None:
    if isinstance(inner[key], dict | list):
        inner[key] = type(inner[key])()


# ---- text tables ------------------------------------------------------------


def retyped(data: bytes, draw: Random) -> bytes:
    """A CSV or TSV with cells, rows, columns, delimiter or encoding changed."""
    delimiter = "\t" if b"\t" in data else ","
    rows = list(csv.reader(io.StringIO(data.decode(), newline=""), delimiter=delimiter))
    for _ in range(draw.choice([1, 1, 2, 3])):
        draw.choice([_cell, _cell, _cell, _cell, _header, _row, _column])(rows, draw)
    out = io.StringIO()
    end = draw.choice(["\r\n", "\n", "\n", "\r"])
    csv.writer(out, delimiter=draw.choice([delimiter] * 8 + [";", "|", "\t", ","]), lineterminator=end).writerows(rows)
    text = out.getvalue()
    if draw.random() < 0.1:
        text = text[: draw.randrange(1, len(text))]
    code = draw.choice(["utf-8"] * 12 + ["utf-8-sig", "utf-16", "cp1252", "utf-16-be"])
    return text.encode(code, "replace")


def _cell(rows: list[list[str]], draw: Random) -> None:
    row = draw.choice(rows)
    if row:
        row[draw.randrange(len(row))] = draw.choice(CELLS)


def _header(rows: list[list[str]], draw: Random) -> None:
    if rows[0]:
        place = draw.randrange(len(rows[0]))
        rows[0][place] = draw.choice([*NAMES, *rows[0], rows[0][place].upper(), f" {rows[0][place]} "])


def _row(rows: list[list[str]], draw: Random) -> None:
    place = draw.randrange(len(rows))
    kind = draw.randrange(4)
    if kind == 0 and len(rows) > 1:
        del rows[place]
    elif kind == 1:
        rows.insert(place, list(draw.choice(rows)))
    elif kind == 2:
        rows[place] = rows[place] + ["more"]
    else:
        rows[place] = rows[place][:-1]


def _column(rows: list[list[str]], draw: Random) -> None:
    place, value = draw.randrange(max(1, len(rows[0]))), draw.choice(CELLS)
    kind = draw.randrange(3)
    for number, row in enumerate(rows):
        if place < len(row):
            if kind == 0:
                del row[place]
            elif kind == 1:
                row.insert(place, row[place])
            elif number:
                row[place] = value


MUTATORS: dict[str, Callable[[bytes, Random], bytes]] = {"bytes": damaged, "data": edited, "cells": retyped}
