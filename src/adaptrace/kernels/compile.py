"""The only place that talks to the compiler: one decorator, one way back.

``fastmath`` and ``parallel`` stay off. The first would let the compiled step
differ from the same step run as plain Python; the second aborts the process
when two Python threads enter a kernel, so kernels release the GIL instead and
run under :mod:`concurrent.futures`.
"""

import sys
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any, TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile a function at its first call and keep the machine code on disk."""
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def plain(function: Function) -> Function:
    """Return the Python function behind a kernel, calling those behind other kernels: the same bits, without the compiler."""
    return cast(Function, _plain_scope(function.__module__)[function.__name__])


@cache
def _plain_scope(module: str) -> dict[str, Any]:
    """What the functions of a module of kernels see, every kernel in it as plain Python."""
    scope = dict(vars(sys.modules[module]))
    for name, value in vars(sys.modules[module]).items():
        if hasattr(value, "py_func"):
            scope[name] = FunctionType(value.py_func.__code__, scope, name)
    return scope
