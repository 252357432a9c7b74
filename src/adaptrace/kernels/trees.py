"""Boosted trees (Friedman, 2001): a sum of what each tree says, added to a logit."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from adaptrace.kernels.compile import kernel

FloatArray = NDArray[np.float64]
Listed = Any  # an array in a log, a list online

LEAF = -1


class Trees(NamedTuple):
    """Trees as arrays: a node's children stand after it, in the same tree."""

    start: Listed  # (n_trees + 1,) first node of each tree, which is its root
    column: Listed  # (n_nodes,) the input that a node looks at; LEAF: none
    threshold: Listed  # (n_nodes,)
    left: Listed  # (n_nodes,) where the input is at most the threshold
    right: Listed  # (n_nodes,) where it is greater
    value: Listed  # (n_nodes,) of a leaf


@kernel
def boosted(trees: Trees, inputs: Listed, logit: float) -> float:
    """P(correct) from a logit, and what the trees add to it; never 0 and never 1."""
    for tree in range(len(trees.start) - 1):
        node = trees.start[tree]
        while trees.column[node] != LEAF:
            node = trees.left[node] if inputs[trees.column[node]] <= trees.threshold[node] else trees.right[node]
        logit += trees.value[node]
    return 1.0 / (1.0 + math.exp(-min(max(logit, -36.0), 36.0)))


@kernel
def boost(trees: Trees, inputs: FloatArray, logit: FloatArray, first: int, last: int, out: FloatArray) -> None:
    """P(correct) of rows [first, last) of ``inputs`` (n_rows, n_inputs)."""
    for row in range(first, last):
        out[row] = boosted(trees, inputs[row], logit[row])
