"""The only place that talks to the compiler: one decorator, its cache, one way back.

``fastmath`` and ``parallel`` stay off. The first would let the compiled step
differ from the same step run as plain Python; the second aborts the process
when two Python threads enter a kernel, so kernels release the GIL instead and
run under :mod:`concurrent.futures`.
"""

import logging
import pickle
import sys
from collections.abc import Callable
from functools import cache
from types import FunctionType
from typing import Any, TypeVar, cast

import numba
from numba.core.caching import FunctionCache

Function = TypeVar("Function", bound=Callable[..., object])
UNREADABLE = (OSError, EOFError, pickle.UnpicklingError)  # no rights, a full disk; a file that was cut short
OUTDATED = (AttributeError, ImportError)  # of another version, whose classes are elsewhere or have other names


def kernel(function: Function) -> Function:
    """Compile a function at its first call and keep the machine code on disk, where that can be done."""
    compiled: Any = numba.njit(nogil=True, error_model="numpy")(function)
    if compiled is not function:  # not where the compiler is off
        compiled._cache = Cache(function)
    return cast(Function, compiled)


class Cache(FunctionCache):  # type: ignore[misc]
    """The machine code of one kernel on disk. Where it cannot be read or written, the kernel is compiled without it."""

    def __init__(self, function: Callable[..., object]) -> None:
        try:
            super().__init__(function)
        except (RuntimeError, OSError):  # Numba found no folder to write to
            self.disable()

    def load_overload(self, sig: object, target_context: object) -> Any:
        """The machine code for these argument types; None if it is not there or cannot be read."""
        if not self._enabled:
            return _say_uncached()
        try:
            return super().load_overload(sig, target_context)
        except OUTDATED:
            return self._forget()
        except UNREADABLE:
            return _say_uncached()

    def _forget(self) -> None:
        """Empty the index, so that what is compiled next can be written."""
        try:
            self.flush()
        except UNREADABLE:
            _say_uncached()

    def save_overload(self, sig: object, data: object) -> None:
        """Write the machine code for these argument types, if that can be done."""
        try:
            super().save_overload(sig, data)
        except UNREADABLE:
            _say_uncached()


@cache
def _say_uncached() -> None:
    """Tell those who wait why they wait, once."""
    logging.getLogger("adaptrace").warning(
        "adaptrace: machine code cannot be kept on disk, so every process compiles it anew (up to a minute);"
        " set NUMBA_CACHE_DIR to a folder that can be written"
    )


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
