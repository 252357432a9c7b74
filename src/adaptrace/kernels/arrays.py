"""Large working arrays."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def space(n: int, dtype: Any) -> NDArray[Any]:
    """An uninitialised array (n,) from Arrow's pool, which keeps memory that the system would be slow to give again."""
    return np.frombuffer(pa.allocate_buffer(n * np.dtype(dtype).itemsize), dtype)
