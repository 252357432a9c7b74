"""A store in the memory of one process: the simulation cuts in at its methods, and at every lock."""

from __future__ import annotations

from typing import Any

from adaptrace.errors import StoreError
from simulated import cut, threads
from simulated.worlds import Process, open_store


class MemoryWorld:
    """Threads of one process share a store in its memory."""

    most_processes, is_killed, at_locks = 1, False, True

    def __init__(self) -> None:
        threads.install("tutor", "store")
        self._store: Any = None

    def begin(self) -> None:
        """Nothing is left of the seed before."""

    def opened(self, process: Process) -> Any:
        """A new store."""
        store = self._store = open_store("memory:")
        for name in (name for name in dir(store) if name[0] != "_" and callable(getattr(store, name))):
            setattr(store, name, _cut_method(name, getattr(store, name)))
        return store

    def observed(self) -> Any:
        """The same store: nobody is held up with its lock taken."""
        return self._store

    def died(self, process: Process) -> None:
        """Nobody is killed: nothing would be left."""
        raise AssertionError("a store in memory is gone with its process")

    def end(self, *, failed: bool) -> None:
        """Nothing is open."""

    def close(self) -> None:
        """Nothing is open."""


def _cut_method(name: str, real: Any) -> Any:
    def method(*arguments: Any, **options: Any) -> Any:
        return cut.statement(lambda: real(*arguments, **options), text=name, fails=lambda done: StoreError("the store failed"))

    return method
