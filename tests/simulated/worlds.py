"""Worlds: the store of a seed, the processes that use it, and where the simulation cuts in."""

from __future__ import annotations

import contextlib
import datetime
import random
import sys
from collections.abc import Iterator
from typing import Any, Protocol

import adaptrace as at
from simulated import cut, school

HOME = sys.modules[at.Tutor.__module__]  # where the tutor opens its store
open_store = HOME.open_store  # type: ignore[attr-defined]


class World(Protocol):
    """A kind of store."""

    most_processes: int  # that may use it at once
    is_killed: bool  # whether its processes are killed
    at_locks: bool  # whether others may run where a lock is taken, too

    def begin(self) -> None:
        """Make the store empty."""

    def opened(self, process: Process) -> Any:
        """The store, for a process that begins."""

    def observed(self) -> Any:
        """The store, as somebody sees it who waits for nobody."""

    def died(self, process: Process) -> None:
        """End what a killed process held."""

    def end(self, *, failed: bool) -> None:
        """The end of a seed."""

    def close(self) -> None:
        """The end of all seeds."""


class Process:
    """A process that uses the store; it may be killed, and then begins anew.

    Attributes
    ----------
    life
        How many times it was killed.
    steps_inside
        Whether it waits for its turn inside the functions of a server too.
    tutor
        Its tutor; None while another process is begun.
    """

    def __init__(self, world: World, number: int, chance: random.Random) -> None:
        self.world, self.number, self.life = world, number, 0
        self._skew, self._cache = datetime.timedelta(seconds=chance.randrange(3)), chance.choice((1, 2, 100))
        self.steps_inside = chance.random() < 0.5
        self.tutor: at.Tutor | None = self._opened()

    def kill(self) -> None:
        """The process is gone, with all that was not committed; another comes in its place."""
        self.life, self.tutor = self.life + 1, None
        with aside():
            self.world.died(self)
        me = cut.client()
        assert me is not None
        me.life, me.is_spared = self.life, True
        try:
            self.tutor = self._opened()
        finally:
            me.is_spared = False

    def _opened(self) -> at.Tutor:
        HOME.open_store = lambda *_, **__: self.world.opened(self)  # type: ignore[attr-defined]
        try:
            return at.Tutor.open("memory:", model=school.MODEL, catalog=school.CATALOG, clock=self._clock, cache=self._cache)
        finally:
            HOME.open_store = open_store  # type: ignore[attr-defined]

    def _clock(self) -> datetime.datetime:
        now = cut.current()
        steps = now.scheduler.steps if now else 0
        return school.START + 10 * school.MINUTE + self._skew + steps * datetime.timedelta(milliseconds=1)


@contextlib.contextmanager
def aside() -> Iterator[None]:
    """What is done inside the block is not simulated."""
    now = cut.current()
    cut.stop()
    try:
        yield
    finally:
        if now is not None:
            cut.start(now)
