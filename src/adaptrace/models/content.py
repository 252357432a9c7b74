"""What a model file says, checked as it is read: that names are names, numbers are numbers, and as many as there should be.

Each function takes the content and the name of an entry, and raises a ValueError that says what is wrong with that entry.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from adaptrace.data.times import FIRST, LAST

Content = Mapping[str, Any]
_TEXTS, _WHOLE, _NUMBERS = frozenset({str}), frozenset({int}), frozenset({int, float})
ABOVE_0, BELOW_1 = 5e-324, 1.0 - 2.0**-53  # next to 0 and 1
MOST_COUNTED = 2**53  # which a float holds exactly
MOST = 1e9  # no fitted number is larger, and sums and products of smaller ones do not overflow


def texts(content: Content, name: str) -> pa.StringArray:
    """Names, each once."""
    found = content[name]
    if not isinstance(found, list | tuple) or not all(isinstance(each, str) for each in found):
        raise ValueError(f"{name}: got {_brief(found)}; expected a list of texts")
    if len(set(found)) < len(found):
        raise ValueError(f"{name}: got a name twice; expected each once")
    return pa.array(found, pa.string())


def numbers(content: Content, name: str, *shape: int, low: float = -MOST, high: float = MOST) -> NDArray[np.float64]:
    """Numbers from ``low`` to ``high``, in an array of this shape."""
    found = np.array(content[name], float)
    if not found.size and not math.prod(shape):
        found = found.reshape(shape)
    if found.shape != shape:
        raise ValueError(f"{name}: got numbers in the shape {found.shape}; expected {shape}")
    wrong = ~((found >= low) & (found <= high))  # null is read as nan
    if wrong.any():
        raise ValueError(f"{name}: got {found[wrong][0]:g}; expected numbers {_between(low, high)}")
    return found


def number(content: Content, name: str, low: float = -MOST, high: float = MOST) -> float:
    """A number from ``low`` to ``high``, as it stands there."""
    found: float = content[name]
    if isinstance(found, bool) or not isinstance(found, int | float) or not low <= found <= high:
        raise ValueError(f"{name}: got {_brief(found)}; expected a number {_between(low, high)}")
    return found


def by_name(content: Content, name: str, low: float = 0.0, high: float = MOST, *, whole: bool = False) -> dict[str, Any]:
    """Numbers from ``low`` to ``high`` by name, as they stand there; ``whole``: integers alone."""
    found = content[name]
    if not isinstance(found, dict) or not _TEXTS.issuperset(map(type, found)):
        raise ValueError(f"{name}: expected numbers by name")
    check_all(found.values(), name, low, high, whole=whole)
    return dict(found)


def check_all(values: Collection[Any], name: str, low: float, high: float, *, whole: bool = False) -> None:
    """Refuse values that are no numbers from ``low`` to ``high``."""
    if not values:
        return
    are_numbers = (_WHOLE if whole else _NUMBERS).issuperset(map(type, values))
    # a nan makes the sum one; not all(...) over each: that takes three times as long
    if not are_numbers or not (min(values) >= low and max(values) <= high) or (not whole and math.isnan(sum(values))):
        raise ValueError(f"{name}: expected {'whole ' * whole}numbers {_between(low, high)}")


def moments(content: Content, name: str) -> dict[str, int]:
    """Microseconds since 1970 by name."""
    return by_name(content, name, FIRST, LAST, whole=True)


def whole(content: Content, name: str, low: int = 0, high: int | None = None) -> int:
    """A whole number from ``low`` to ``high``."""
    found: int = content[name]
    if isinstance(found, bool) or not isinstance(found, int) or found < low or (high is not None and found > high):
        upto = "" if high is None else f" to {high}"
        raise ValueError(f"{name}: got {_brief(found)}; expected a whole number from {low}{upto}")
    return found


def count(content: Content, name: str) -> int:
    """A whole number from 0, of things that a file or a memory can hold."""
    return whole(content, name, high=MOST_COUNTED)


def text(content: Content, name: str) -> str:
    """A text."""
    found: str = content[name]
    if not isinstance(found, str):
        raise ValueError(f"{name}: got {_brief(found)}; expected a text")
    return found


def flag(content: Content, name: str) -> bool:
    """True or false."""
    found = content[name]
    if not isinstance(found, bool):
        raise ValueError(f"{name}: got {_brief(found)}; expected true or false")
    return found


def _between(low: float, high: float) -> str:
    return "above 0 and below 1" if (low, high) == (ABOVE_0, BELOW_1) else f"from {low:g} to {high:g}"


def _brief(value: Any) -> str:
    return repr(value)[:40]
