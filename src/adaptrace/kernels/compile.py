"""The only place that talks to the compiler: one decorator, one way back.

``fastmath`` and ``parallel`` stay off. The first would let the compiled step
differ from the same step run as plain Python; the second aborts the process
when two Python threads enter a kernel, so kernels release the GIL instead and
run under :mod:`concurrent.futures`.
"""

from collections.abc import Callable
from typing import TypeVar, cast

import numba

Function = TypeVar("Function", bound=Callable[..., object])


def kernel(function: Function) -> Function:
    """Compile a function at its first call and keep the machine code on disk."""
    return cast(Function, numba.njit(cache=True, nogil=True, error_model="numpy")(function))


def plain(function: Function) -> Function:
    """Return the Python function behind a kernel: the same bits, without the compiler."""
    return cast(Function, getattr(function, "py_func", function))
