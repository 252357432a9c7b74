"""The weighted metrics, against rows that are repeated as often as they weigh."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from adaptrace.kernels import metrics as kernels
from adaptrace.kernels.compile import plain

# slice, student, right, prediction in fifths: many ties
ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.booleans(), st.integers(0, 5)), min_size=1, max_size=40)
WEIGHT = st.lists(st.integers(0, 3), min_size=4, max_size=4)


def ranked_of(rows: list[tuple[int, int, bool, int]]) -> kernels.Ranked:
    rows = sorted(rows, key=lambda row: (row[0], row[3]))
    start = [sum(row[0] < number for row in rows) for number in range(4)]
    tied = [place > 0 and rows[place - 1][3] == row[3] for place, row in enumerate(rows)]
    student, right = np.array([row[1] for row in rows], np.int32), np.array([row[2] for row in rows])
    return kernels.Ranked(np.array(start), student, right, np.array(tied))


def pairwise(rows: list[tuple[int, int, bool, int]], weight: list[int], number: int) -> float:
    """The share of pairs in the right order, each row as often as its student weighs."""
    repeated = [row for row in rows if row[0] == number for _ in range(weight[row[1]])]
    pairs = [(a[3], b[3]) for a in repeated if a[2] for b in repeated if not b[2]]
    return sum((a > b) + (a == b) / 2 for a, b in pairs) / len(pairs) if pairs else math.nan


@settings(max_examples=150, deadline=None)
@given(rows=ROWS, weight=WEIGHT)
def test_auc_is_that_of_the_repeated_rows(rows: list[tuple[int, int, bool, int]], weight: list[int]) -> None:
    expected = [pairwise(rows, weight, number) for number in range(3)]
    np.testing.assert_array_equal(kernels.auc(ranked_of(rows), np.array(weight)), expected)


@settings(max_examples=50, deadline=None)
@given(rows=ROWS, weight=WEIGHT)
def test_auc_as_plain_python_gives_the_same_bits(rows: list[tuple[int, int, bool, int]], weight: list[int]) -> None:
    ranked = ranked_of(rows)
    np.testing.assert_array_equal(kernels.auc(ranked, np.array(weight)), plain(kernels.auc)(ranked, np.array(weight)))


def test_auc_counts_a_billion_pairs_without_rounding() -> None:
    n = 200_001  # wrong and right in turn, so all but one of n pairs of neighbours are in order
    right = np.arange(2 * n) % 2 == 1
    ranked = kernels.Ranked(np.array([0, 2 * n]), np.zeros(2 * n, np.int32), right, np.zeros(2 * n, bool))
    for times in (1, 1000):
        assert kernels.auc(ranked, np.array([times]))[0] == n * (n + 1) / 2 / n**2


def cells_of(n: NDArray[np.int64], sums: NDArray[np.float64]) -> kernels.Cells:
    return kernels.Cells(np.array([0, 2, 3]), np.array([0, 1, 1], np.int32), n, sums)


def test_mean_is_that_of_the_repeated_rows() -> None:
    values = [[[1.0, 0.5]], [[0.0, 0.25], [0.5, 1.0]], [[0.75, 0.125]] * 3]  # by cell, then row, then column
    cells = cells_of(np.array([1, 2, 3]), np.array([np.sum(each, axis=0) for each in values]))
    first = np.mean(values[0] * 2 + values[1] * 3, axis=0)
    expected = np.stack([first, np.mean(values[2] * 3, axis=0)], axis=1)
    assert kernels.mean(cells, np.array([2, 3])) == pytest.approx(expected, rel=1e-12)


def test_mean_of_a_slice_without_weight_is_not_a_number() -> None:
    out = kernels.mean(cells_of(np.array([1, 1, 1]), np.ones((3, 1))), np.array([1, 0]))
    assert out[0, 0] == 1.0
    assert math.isnan(out[0, 1])
