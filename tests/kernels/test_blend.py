"""What a blend's layer is told."""

import math

import numpy as np

from adaptrace.kernels import blend as kernels


def test_chances_are_told_as_logits_and_the_rest_as_it_is() -> None:
    bkt, irt, ability, difficulty = np.array([0.5, 0.9]), np.array([0.2, 0.5]), np.array([1.0, -1.0]), np.array([0.3, 0.4])
    out = np.zeros((3, len(kernels.KNOWN)))
    kernels.know(bkt, irt, ability, difficulty, 0, 2, out)
    assert out[0, :4].tolist() == [0.0, math.log(0.2 / 0.8), 1.0, 0.3]
    assert out[1, :4].tolist() == [math.log(0.9 / (1.0 - 0.9)), 0.0, -1.0, 0.4]
    assert not out[2].any()
    assert not out[:, 4:].any()  # the shifts are not told here
