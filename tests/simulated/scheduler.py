"""A scheduler of threads of which one runs at a time: the same seed gives the same order of steps."""

from __future__ import annotations

import faulthandler
import random
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

DEADLOCK = 3.0  # seconds that a server has to see that sessions wait for each other
PATIENCE = 120.0  # seconds until a seed that stands still is given up


class Killed(BaseException):
    """The client's process was killed: nothing that it does has an effect any more."""


class Stopped(BaseException):
    """The seed is over, since no client can go on."""


@dataclass(eq=False)
class Client:
    """A thread that runs while it has the turn."""

    number: int
    process: Any = None
    life: int = 0  # of its process, at the beginning of the call that it makes
    gate: threading.Lock = field(default_factory=threading.Lock)
    wakes: int = 0  # the step until which it is delayed
    may_go_on: Callable[[], bool] | None = None  # says whether what it waits for has come
    is_done: bool = False
    is_at_server: bool = False  # whether it waits for a server
    is_spared: bool = False  # whether nothing goes wrong at its steps


class Scheduler:
    """Gives the turn to one client after the other, as the seed says.

    Attributes
    ----------
    steps
        How many turns there were: the time of the simulation.
    failure
        What the simulation itself found; empty if nothing.
    """

    def __init__(self, seed: object) -> None:
        self.random, self.steps, self.failure = random.Random(f"{seed} order"), 0, ""
        self.clients: list[Client] = []
        self._by_thread: dict[int, Client] = {}
        self._is_over, self._is_stopped = threading.Event(), False

    def client(self) -> Client | None:
        """The client whose thread this is; None: a thread that is not simulated."""
        return self._by_thread.get(threading.get_ident())

    def adopt(self, client: Client) -> None:
        """Let this thread be the only client."""
        self.clients, self._by_thread = [client], {threading.get_ident(): client}

    def run(self, clients: Sequence[Client], work: Callable[[Client], None]) -> None:
        """Return when the work of all clients is done."""
        self.clients = list(clients)
        threads = [threading.Thread(target=self._live, args=(client, work), daemon=True) for client in clients]
        for client, thread in zip(clients, threads, strict=True):
            client.gate.acquire()
            thread.start()
            self._by_thread[int(thread.ident or 0)] = client
        self._choose().gate.release()
        if not self._is_over.wait(PATIENCE):
            faulthandler.dump_traceback()
            self._stop("the simulation stands still")
        for thread in threads:
            thread.join(PATIENCE)

    def _live(self, client: Client, work: Callable[[Client], None]) -> None:
        client.gate.acquire()
        try:
            if not self._is_stopped:
                work(client)
        except Stopped:
            pass
        except BaseException as error:
            self.failure = self.failure or f"client {client.number} ended with {error!r}"
        client.is_done = True
        self._by_thread.pop(threading.get_ident(), None)  # the system may give its number to another thread
        if all(each.is_done for each in self.clients):
            self._is_over.set()
        elif not self._is_stopped and (following := self._choose()) is not None:
            following.gate.release()

    def turn(self, may_go_on: Callable[[], bool] | None = None) -> None:
        """Let somebody else run, or go on; with ``may_go_on`` not before that is true."""
        client = self.client()
        if client is None:
            assert may_go_on is None or may_go_on(), "what is not simulated cannot wait"
            return
        client.may_go_on = may_go_on
        following = self._choose()
        if following is not client:
            following.gate.release()
            client.gate.acquire()
        if self._is_stopped:
            raise Stopped
        client.may_go_on = None

    def delay(self, steps: int) -> None:
        """Do not give this client the turn for so many steps, unless nobody else can go on."""
        client = self.client()
        assert client is not None
        client.wakes = self.steps + steps

    def _choose(self) -> Client:
        self.steps += 1
        able = self._able()
        until = time.monotonic() + DEADLOCK
        while not able and time.monotonic() < until and any(each.is_at_server for each in self.clients):
            time.sleep(0.005)  # a server ends one of those who wait for each other
            able = self._able()
        if not able:
            self._stop("no client can go on: each waits for another")
            raise Stopped
        awake = [each for each in able if each.wakes <= self.steps] or able
        return awake[0] if len(awake) == 1 else awake[int(self.random.random() * len(awake))]

    def _able(self) -> list[Client]:
        return [each for each in self.clients if not each.is_done and (each.may_go_on is None or each.may_go_on())]

    def _stop(self, why: str) -> None:
        self.failure, self._is_stopped = self.failure or why, True
        for client in self.clients:
            if client.gate.locked():
                client.gate.release()
        self._is_over.set()
