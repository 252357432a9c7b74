"""What the models inside a blend know before each response, as its layer sees it."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels.compile import kernel

FloatArray = NDArray[np.float64]

SHIFTS = (
    *("shift after the last item", "shift after the second last item"),
    *("shift after the last skills", "shift after earlier skills"),
)
KNOWN = ("logit of BKT's prediction", "logit of the item response model's", "ability", "difficulty", *SHIFTS)
BKT, IRT, ABILITY, DIFFICULTY = range(len(KNOWN) - len(SHIFTS))


@kernel
def knowledge(bkt: float, irt: float, ability: float, difficulty: float, out: Any) -> None:
    """Fill the first four of ``out``, an array or a list, from two chances, an ability and a difficulty."""
    out[BKT] = math.log(bkt / (1.0 - bkt))
    out[IRT] = math.log(irt / (1.0 - irt))
    out[ABILITY] = ability
    out[DIFFICULTY] = difficulty


@kernel
def know(
    bkt: FloatArray, irt: FloatArray, ability: FloatArray, difficulty: FloatArray, first: int, last: int, out: FloatArray
) -> None:
    """What is known before rows [first, last), into the first four columns of ``out`` (n_rows, n)."""
    for row in range(first, last):
        knowledge(bkt[row], irt[row], ability[row], difficulty[row], out[row])
