"""Keys of names, against plain integers and dictionaries."""

from itertools import groupby

import numpy as np
import pytest

from adaptrace.kernels import hashing as kernels
from adaptrace.kernels import pairs

NAMES = ["", "a", "Ada", "Zoë", "student-0000012", "学生"]
WORD = 2**64 - 1


def mixed(key: int) -> int:
    key = ((key ^ (key >> 30)) * 0xBF58476D1CE4E5B9) & WORD
    key = ((key ^ (key >> 27)) * 0x94D049BB133111EB) & WORD
    return key ^ (key >> 31)


def fnv(text: str) -> int:
    key = 0xCBF29CE484222325
    for byte in text.encode():
        key = ((key ^ byte) * 0x100000001B3) & WORD
    return key


@pytest.fixture(autouse=True)
def wrapping():
    """64-bit words wrap around: that is no mistake here, where kernels run as plain Python."""
    with np.errstate(over="ignore"):
        yield


def test_texts_and_numbers_have_the_keys_of_their_sources() -> None:
    data, ends = "".join(NAMES).encode(), np.cumsum([0, *(len(name.encode()) for name in NAMES)])
    out = np.empty(len(NAMES), np.uint64)
    kernels.of_texts(ends, np.frombuffer(data, np.uint8), out)
    assert out.tolist() == [mixed(fnv(name)) for name in NAMES]
    numbers = np.array([0, 1, 7, 2**63, WORD], np.uint64)
    out = np.empty(5, np.uint64)
    kernels.of_numbers(numbers, out)
    assert out.tolist() == [mixed(int(number)) for number in numbers]


def test_what_was_put_is_found_and_nothing_else() -> None:
    random = np.random.default_rng(0)
    keys = np.unique(random.integers(0, 40, 20).astype(np.uint64) * np.uint64(8))  # many meet in one slot
    slots = np.full(64, -1, np.int32)
    kernels.put_all(keys, slots)
    asked = np.arange(330, dtype=np.uint64)
    found = np.empty(len(asked), np.int64)
    kernels.find_all(asked, keys, slots, found)
    place = {int(key): at for at, key in enumerate(keys)}
    assert found.tolist() == [place.get(int(key), -1) for key in asked]


@pytest.mark.parametrize("values", [[], [3], [3, 3, 1, 1, 1, 3], [1, 2, 3]])
def test_runs_are_told_once(values: list[int]) -> None:
    out = np.empty(len(values), np.int64)
    size = kernels.runs(np.array(values, np.int64), out)
    assert out[:size].tolist() == [value for value, _ in groupby(values)]


def test_a_pair_that_comes_again_is_found() -> None:
    student, skill = np.array([0, 0, 1, 0, 1]), np.array([3, 9, 3, 8, 3])
    assert pairs.first_again(student, skill, np.zeros((2, 2), np.uint8)) == 4
    assert pairs.first_again(student[:4], skill[:4], np.zeros((2, 2), np.uint8)) == -1
