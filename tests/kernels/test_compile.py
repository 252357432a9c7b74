"""The way back from a kernel to plain Python."""

from __future__ import annotations

import math
import types
from typing import Any

import numpy as np
import pytest

from adaptrace.kernels import bkt, irt, logistic
from adaptrace.kernels.compile import kernel, plain

compiled = pytest.mark.skipif(not hasattr(irt.chance, "py_func"), reason="the compiler is off")


@pytest.mark.parametrize("step", [bkt.update, irt.update_terms, irt.expected, logistic.values, logistic.practise])
def test_a_plain_step_is_a_python_function(step: Any) -> None:
    assert type(plain(step)) is types.FunctionType
    assert plain(step).__name__ == step.__name__


@compiled
@pytest.mark.parametrize("module", [bkt, irt, logistic])
def test_no_compiled_function_is_left_behind_a_plain_one(module: Any) -> None:
    """Else one student online would wait for the compiler, or fail on dictionaries."""
    steps = [value for value in vars(module).values() if hasattr(value, "py_func")]
    assert len(steps) > 3
    for step in steps:
        called = [plain(step).__globals__[name] for name in plain(step).__code__.co_names if name in plain(step).__globals__]
        assert not [each for each in called if hasattr(each, "py_func")]


@compiled
def test_the_kernels_themselves_stay_compiled() -> None:
    plain(irt.expected)
    assert hasattr(irt.expected, "py_func")
    assert hasattr(irt.chance, "py_func")


def test_the_same_function_comes_back_each_time() -> None:
    assert plain(irt.expected) is plain(irt.expected)


def test_constants_of_the_module_are_seen() -> None:
    assert (
        plain(logistic.counted)(logistic.LOG_FAILS, 3.0, 1.0) == logistic.counted(logistic.LOG_FAILS, 3.0, 1.0) == math.log1p(2.0)
    )


def test_arithmetic_is_that_of_ieee_not_an_error() -> None:
    """With numpy's model of errors a division by zero is infinite, and does not raise from within a thread."""

    @kernel
    def ratio(a: float, b: float) -> float:
        return a / b

    if hasattr(ratio, "py_func"):
        assert ratio(1.0, 0.0) == math.inf
        assert math.isnan(ratio(0.0, 0.0))


def test_sums_are_added_up_in_the_order_that_is_written() -> None:
    """With fastmath the compiler may reorder: 1e16 - 1e16 + 1 is 1, and 1e16 + 1 - 1e16 is 0."""

    @kernel
    def total(values: Any) -> float:
        out = 0.0
        for value in values:
            out += value
        return out

    random = np.random.default_rng(0)
    values = random.normal(size=1000) * 10.0 ** random.integers(-12, 12, 1000)
    expected = 0.0
    for value in values.tolist():
        expected += value
    assert total(values) == expected


@pytest.mark.parametrize("seed", range(20))
def test_plain_and_compiled_steps_agree_bit_for_bit(seed: int) -> None:
    mean, variance, slope, difficulty, correct = np.random.default_rng(seed).uniform(0.0, 4.0, 5).tolist()
    assert plain(irt.expected)(mean, variance, slope, difficulty) == irt.expected(mean, variance, slope, difficulty)
    first, second = irt.update_terms(mean, variance, slope, difficulty, correct / 4.0)
    assert plain(irt.update_terms)(mean, variance, slope, difficulty, correct / 4.0) == (first, second)
    move = (mean, variance, 0.5, first, second, 0.03, 0.01)
    assert plain(irt.moved)(*move) == irt.moved(*move)
    assert plain(logistic.share)(variance, mean % variance) == logistic.share(variance, mean % variance)
