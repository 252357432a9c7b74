"""A store in a PostgreSQL database: the simulation cuts in at every statement, those inside the server's functions too.

A statement that the server lets wait for another session is seen, and the turn goes on. Before a statement of a function changes
a table, a trigger waits for an advisory lock that the simulation gives back when it is the client's turn.
"""

from __future__ import annotations

import contextlib
import logging
import select
import time
from collections.abc import Iterator
from typing import Any

import psycopg
from psycopg import errors

from simulated import cut, threads
from simulated.postgres_monitor import POLL, Monitor
from simulated.worlds import Process, aside, open_store
from tutor.store.postgres_server import fresh_schema

MOMENT = 0.002  # seconds after which it is asked what a statement waits for


class SteppedConnection(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose statements wait for the turn of their client."""

    monitor: Monitor
    steps_inside = False  # whether it waits for its turn inside the server's functions too

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:
        """One statement."""
        real = super().execute
        text = (query.decode() if isinstance(query, bytes) else str(query)).strip().split("\n")[0]
        return cut.statement(lambda: real(query, params, **options), text=text, fails=self._failed)

    @contextlib.contextmanager
    def transaction(self, *arguments: Any, **options: Any) -> Iterator[Any]:  # type: ignore[override]
        """A transaction whose end is a statement too."""
        with contextlib.ExitStack() as block:
            yield block.enter_context(super().transaction(*arguments, **options))
            cut.statement(block.close, text="COMMIT", fails=self._failed)

    def wait(self, generator: Any, *arguments: Any, **options: Any) -> Any:
        """Wait for the server; the others have the turn while it waits for one of them."""
        if cut.client() is None:
            return super().wait(generator, *arguments, **options)
        try:
            state = next(generator)
            while True:
                state = generator.send(self._when_ready(state))
        except StopIteration as ended:
            return ended.value

    def _when_ready(self, state: int) -> int:
        """Return when the connection can be read or written."""
        pid = self.info.backend_pid
        while not (ready := self._is_ready(state, MOMENT)):
            waits = self.monitor.waits(pid)
            if waits == "turn":
                self._step_inside(pid)
            elif waits:
                cut.note("waits for another session")
                me = cut.client()
                assert me is not None
                me.is_at_server = True
                cut.turn(lambda: self._is_settled(state, pid))
                me.is_at_server = False
        return ready

    def _step_inside(self, pid: int) -> None:
        """A step of a function of the server."""
        kind = cut.step("  inside")
        if kind == cut.LOST:
            raise self._lost()
        self.monitor.step(pid, fails=kind == cut.FAIL)

    def _is_ready(self, state: int, seconds: float) -> int:
        place = self.fileno()
        found = select.select([place] if state & 1 else [], [place] if state & 2 else [], [], seconds)
        return (1 if found[0] else 0) | (2 if found[1] else 0)

    def _is_settled(self, state: int, pid: int) -> bool:
        """Whether it may go on; waits until it is clear whether it waits."""
        while not self.closed and not self._is_ready(state, 0.0):  # closed: its process was killed
            waits = self.monitor.waits(pid)
            if waits:
                return waits == "turn"
            time.sleep(POLL)
        return True

    def _failed(self, done: bool) -> Exception:
        """The connection is lost or, if nothing was done, the server refuses the statement."""
        chance = cut.chance()
        if not done and chance < 0.6:
            kinds = (errors.DiskFull, errors.SerializationFailure, errors.DeadlockDetected)
            return kinds[int(chance * 5)]("refused")
        return self._lost()

    def _lost(self) -> Exception:
        self.lose()
        return psycopg.OperationalError("the connection is lost")

    def lose(self) -> None:
        """Lose the connection; the server has noticed when this returns."""
        pid = self.info.backend_pid
        self.monitor.end(pid)
        if self.steps_inside:
            self.monitor.let_go(pid)
        self.close()


class Pool:
    """Connections of a store, one for each client, in the place of psycopg's."""

    def __init__(self, conninfo: str, monitor: Monitor) -> None:
        self._conninfo, self._monitor = conninfo, monitor
        self._open: dict[int, SteppedConnection] = {}
        self.steps_inside = False

    @contextlib.contextmanager
    def connection(self) -> Iterator[SteppedConnection]:
        """The connection of this client."""
        me = cut.client()
        key = me.number if me is not None else -1
        connection = self._open.get(key)
        if connection is None or connection.closed:
            with aside():
                connection = self._open[key] = self._connected(key >= 0)
        yield connection

    def _connected(self, is_client: bool) -> SteppedConnection:
        connection = SteppedConnection.connect(self._conninfo, autocommit=True)
        connection.monitor = self._monitor
        if is_client and self.steps_inside:
            self._hold(connection)
        return connection

    def _hold(self, connection: SteppedConnection) -> None:
        self._monitor.hold(connection.info.backend_pid)
        connection.steps_inside = True

    def begin(self, *, steps_inside: bool) -> None:
        """A new seed."""
        self.steps_inside = steps_inside
        for key, connection in self._open.items():
            if connection.closed or key < 0:
                continue
            if steps_inside and not connection.steps_inside:
                self._hold(connection)
            elif connection.steps_inside and not steps_inside:
                self._monitor.let_go(connection.info.backend_pid)
                connection.steps_inside = False

    def check(self) -> None:
        """Lost connections are seen when they are wanted."""

    def lose(self) -> None:
        """Lose all connections."""
        for connection in self._open.values():
            if not connection.closed:
                connection.lose()

    def close(self) -> None:
        """Close all connections."""
        for connection in self._open.values():
            connection.close()


class PostgresWorld:
    """Processes share a database; a killed one loses its connections."""

    most_processes, is_killed, at_locks = 4, True, False

    def __init__(self, url: str) -> None:
        logging.getLogger("psycopg").setLevel(logging.CRITICAL)  # it says which transactions could not be undone
        self._ends = contextlib.ExitStack()
        self._url = self._ends.enter_context(fresh_schema(url)) + "%20-csynchronous_commit%3Doff%20-cdeadlock_timeout%3D20ms"
        self._monitor = Monitor(self._url)
        self._observed = open_store(self._url)
        self._ends.callback(self._monitor.close)
        self._ends.callback(self._observed.close)
        self._monitor.prepare()
        threads.install("tutor", "store")
        self._stores: list[Any] = []

    def begin(self) -> None:
        """Empty tables."""
        self._monitor.empty()

    def opened(self, process: Process) -> Any:
        """The store of a process; it is the same for all seeds, but keeps nothing but connections."""
        while len(self._stores) <= process.number:
            store = open_store(self._url)
            pool = store._pool
            store._pool = Pool(pool.conninfo, self._monitor)
            pool.close()
            self._stores.append(store)
            self._ends.callback(store._pool.close)
        store = self._stores[process.number]
        if not process.life:
            store._pool.begin(steps_inside=process.steps_inside)
        return store

    def observed(self) -> Any:
        """A store with a pool of its own."""
        return self._observed

    def died(self, process: Process) -> None:
        """The server undoes what was not committed."""
        self._stores[process.number]._pool.lose()

    def end(self, *, failed: bool) -> None:
        """Connections are kept for the next seed, unless they may be in the midst of something."""
        for store in self._stores if failed else ():
            store._pool.lose()

    def close(self) -> None:
        """Remove the tables."""
        self._ends.close()
