"""Locks whose waiting the scheduler sees, in the place of the module ``threading`` inside the package."""

from __future__ import annotations

import sys
import threading
from types import ModuleType, SimpleNamespace
from typing import Any

from simulated import cut

TURNS = 3  # that an event is waited for, where there is a time limit


class Lock:
    """As ``threading.Lock``."""

    def __init__(self) -> None:
        self.is_held = False

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it; others have the turn until it is free."""
        cut.at_lock()
        while self.is_held:
            if not blocking:
                return False
            cut.turn(lambda: not self.is_held)
        self.is_held = True
        return True

    def release(self) -> None:
        """Whoever waits may go on at the next turn."""
        self.is_held = False

    def __enter__(self) -> bool:
        return self.acquire()

    def __exit__(self, *raised: object) -> None:
        self.release()


class RLock(Lock):
    """As ``threading.RLock``."""

    def __init__(self) -> None:
        super().__init__()
        self._owner, self._depth = 0, 0

    def acquire(self, blocking: bool = True, timeout: float = -1) -> bool:
        """Take it, once more if it is mine."""
        me = threading.get_ident()
        if self._owner != me:
            if not super().acquire(blocking, timeout):
                return False
            self._owner = me
        self._depth += 1
        return True

    def release(self) -> None:
        """Give it back, when it was given back as often as it was taken."""
        self._depth -= 1
        if not self._depth:
            self._owner = 0
            super().release()


class Event:
    """As ``threading.Event``."""

    def __init__(self) -> None:
        self._is_set = False

    def is_set(self) -> bool:
        """Whether it was set."""
        return self._is_set

    def set(self) -> None:
        """Whoever waits may go on."""
        self._is_set = True

    def clear(self) -> None:
        """Whoever waits from now on waits for the next set."""
        self._is_set = False

    def wait(self, timeout: float | None = None) -> bool:
        """Wait; with a time limit only a few turns."""
        if timeout is None:
            cut.turn(lambda: self._is_set)
        for _ in range(TURNS if timeout else 0):
            if not self._is_set:
                cut.turn()
        return self._is_set


def install(*rooms: str) -> None:
    """Give the modules of these rooms of the package locks that the scheduler sees."""
    simulated: Any = SimpleNamespace(**vars(threading))
    simulated.Lock, simulated.RLock, simulated.Event = Lock, RLock, Event
    for name, module in list(sys.modules.items()):
        is_meant = name.startswith("adaptrace.") and any(room in name for room in rooms)
        if is_meant and isinstance(vars(module).get("threading"), ModuleType):
            module.threading = simulated  # type: ignore[attr-defined]
