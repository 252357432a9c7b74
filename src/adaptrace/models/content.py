"""What a model file says, checked as it is read: that names are names, numbers are numbers, and as many as there should be.

Each function takes the content and the name of an entry, and raises a ValueError that says what is wrong with that entry.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

Content = Mapping[str, Any]
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
        raise ValueError(f"{name}: got {found[wrong][0]:g}; expected numbers from {low:g} to {high:g}")
    return found


def number(content: Content, name: str, low: float = -MOST, high: float = MOST) -> float:
    """A number from ``low`` to ``high``, as it stands there."""
    found: float = content[name]
    if isinstance(found, bool) or not isinstance(found, int | float) or not low <= found <= high:
        raise ValueError(f"{name}: got {_brief(found)}; expected a number from {low:g} to {high:g}")
    return found


def count(content: Content, name: str) -> int:
    """A whole number from 0."""
    found: int = content[name]
    if isinstance(found, bool) or not isinstance(found, int) or found < 0:
        raise ValueError(f"{name}: got {_brief(found)}; expected a whole number from 0")
    return found


def flag(content: Content, name: str) -> bool:
    """True or false."""
    found = content[name]
    if not isinstance(found, bool):
        raise ValueError(f"{name}: got {_brief(found)}; expected true or false")
    return found


def _brief(value: Any) -> str:
    return repr(value)[:40]
