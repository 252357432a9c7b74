"""Roll-ups: has a pair been seen before."""

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels.compile import kernel


@kernel
def first_again(student: NDArray[np.int64], skill: NDArray[np.int64], bits: NDArray[np.uint8]) -> int:
    """First row whose student has the skill's bit set already; -1 if none. Sets the bits of all rows before it."""
    for row in range(len(student)):
        place, bit = skill[row] >> 3, np.uint8(1 << (skill[row] & 7))
        if bits[student[row], place] & bit:
            return row
        bits[student[row], place] |= bit
    return -1
