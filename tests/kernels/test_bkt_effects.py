"""Where every cell has parameters of its own: values against sums over hidden paths, gradients against differences."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from adaptrace.kernels import bkt_effects as kernels
from adaptrace.kernels.bkt_effects import ObservationCounts, Observations
from adaptrace.kernels.trie import Trie
from reference import evidence as reference

N_CELLS = 6
FORGET = np.array([0.07, 0.0])

# skill -> sequence of cells -> students
SEQUENCES = [
    {(0, 1, 2): 3, (0, 1, 1, 0): 2, (2,): 5, (1, 0): 1, (0, 0, 2, 1): 4},
    {(3, 4): 2, (5, 5, 3): 1, (3,): 7},
]


def observations(seed: int = 0) -> Observations:
    """Any evidence: P(outcome | known) may be more or less than P(outcome | unknown)."""
    return Observations(*np.random.default_rng(seed).uniform(0.1, 0.9, (len(Observations._fields), N_CELLS)))


def tries() -> tuple[Trie, np.ndarray]:
    """The trie of both skills and the cell of every node, the obvious way."""
    start, parents, cells, students = [0], [], [], []
    for sequences in SEQUENCES:
        prefixes = sorted({s[:n] for s in sequences for n in range(1, len(s) + 1)}, key=lambda p: (len(p), p))
        place = {prefix: index for index, prefix in enumerate(prefixes)}
        parents += [place.get(prefix[:-1], -1) for prefix in prefixes]
        cells += [prefix[-1] for prefix in prefixes]
        students += [float(sum(n for s, n in sequences.items() if s[: len(p)] == p)) for p in prefixes]
        start.append(len(cells))
    cell = np.array(cells, np.int32)
    return Trie(np.array(start), np.array(parents, np.int32), cell, np.array(students)), cell


def expect(given: Observations, forget: np.ndarray = FORGET) -> ObservationCounts:
    trie, cell = tries()
    out = ObservationCounts(np.zeros(2), *(np.zeros(N_CELLS) for _ in range(5)), np.zeros(2))
    kernels.expected_counts(trie, cell, given, forget, 0, 2, out)
    return out


def by_paths(given: Observations, forget: np.ndarray = FORGET) -> list[float]:
    """Log-likelihood of each skill, summed over hidden paths."""
    values = []
    for skill, sequences in enumerate(SEQUENCES):
        value = 0.0
        for sequence, students in sequences.items():
            cells = [
                reference.Response(given.unknown[c], given.known[c], given.learn[c], forget[skill], given.keep[c])
                for c in sequence
            ]
            value += students * float(np.log(reference.likelihood(given.prior[sequence[0]], cells)))
        values.append(value)
    return values


def difference(value: Callable[[float], float], step: float = 1e-6) -> float:
    return (value(step) - value(-step)) / (2 * step)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_the_likelihood_equals_the_sum_over_hidden_paths(seed: int) -> None:
    np.testing.assert_allclose(expect(observations(seed)).value, by_paths(observations(seed)), rtol=1e-12)


@pytest.mark.parametrize("name", ["prior", "learn"])
def test_gradients_equal_differences_of_the_sum_over_hidden_paths(name: str) -> None:
    got, given = getattr(expect(observations()), name), observations()
    for cell in range(N_CELLS):
        unit = np.eye(N_CELLS)[cell]
        expected = difference(lambda d, unit=unit: sum(by_paths(given._replace(**{name: getattr(given, name) + d * unit}))))
        assert got[cell] == pytest.approx(expected, rel=1e-7, abs=1e-8)  # central differences


@pytest.mark.parametrize("name", ["known", "unknown", "keep"])
def test_expected_counts_and_keep_are_gradients_in_the_logarithm_of_what_a_cell_says(name: str) -> None:
    got, given = getattr(expect(observations()), name), observations()
    for cell in range(N_CELLS):
        unit = np.eye(N_CELLS)[cell]
        expected = difference(
            lambda d, unit=unit: sum(by_paths(given._replace(**{name: getattr(given, name) * np.exp(d * unit)})))
        )
        assert got[cell] == pytest.approx(expected, rel=1e-7, abs=1e-8)


def test_the_gradient_in_forgetting_is_each_skills_own() -> None:
    forget = np.array([0.07, 0.2])
    got = expect(observations(), forget).forget
    for skill in range(2):
        unit = np.eye(2)[skill]
        expected = difference(lambda d, unit=unit: sum(by_paths(observations(), forget + d * unit)))
        assert got[skill] == pytest.approx(expected, rel=1e-7)


def test_expected_counts_add_up_to_the_responses() -> None:
    got, (trie, cell) = expect(observations()), tries()
    np.testing.assert_allclose(got.known + got.unknown, np.bincount(cell, trie.students), rtol=1e-12)


def test_work_on_one_skill_is_added_to_what_was_there() -> None:
    trie, cell = tries()
    whole, parts = expect(observations()), ObservationCounts(np.zeros(2), *(np.zeros(N_CELLS) for _ in range(5)), np.zeros(2))
    for skill in (1, 0):
        kernels.expected_counts(trie, cell, observations(), FORGET, skill, skill + 1, parts)
    for name in ObservationCounts._fields:
        assert getattr(parts, name).tolist() == getattr(whole, name).tolist()


def test_every_point_is_a_model_in_which_knowing_helps_and_within_its_bounds() -> None:
    random = np.random.default_rng(3)
    low, high = np.array([0.1, 0.0, 0.0, 0.05, 0.02]), np.array([0.9, 0.5, 0.02, 0.9, 0.8])
    x, guess_scale, theta = random.normal(0, 6, (2000, 5)), random.uniform(0.01, 1, 2000), np.empty((2000, 5))
    kernels.from_logits(x, guess_scale, low, high, theta)
    assert np.all((theta >= low) & (theta <= high))
    assert np.all(theta[:, kernels.GUESS] + theta[:, kernels.SLIP] < 1.0)
    assert np.all(theta[:, kernels.GUESS] <= low[3] + (np.minimum(high[3], 1 - theta[:, 4]) - low[3]) * guess_scale + 1e-15)
