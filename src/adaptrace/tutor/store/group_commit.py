"""Group commit: threads that write at the same time share one transaction, and one wait for the disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

Work = Callable[[], tuple[str, ...]]  # returns why it does not apply; empty: commit it


class PendingWrite:
    """The work of one thread, and its result."""

    __slots__ = ("error", "gate", "is_done", "leads", "result", "work")

    def __init__(self, work: Work) -> None:
        self.work, self.is_done, self.leads = work, False, False
        self.result: tuple[str, ...] = ()
        self.error: BaseException | None = None
        self.gate: threading.Lock | None = None  # held until it is done, or until its thread leads; None: leads at once

    def wake(self) -> None:
        """Wake its thread."""
        if self.gate:
            self.gate.release()


class GroupCommit:
    """Lets one of the threads that wait lead: it runs the work of all of them in one transaction."""

    def __init__(self, run: Callable[[Sequence[PendingWrite]], None], patience: float) -> None:
        self._run, self._patience, self._lock = run, patience, threading.Lock()
        self._pending: list[PendingWrite] = []
        self._is_led = False
        self._enough = threading.Event()  # set when as many threads wait as the last transaction had
        self._last, self._seconds = 1, 0.0  # how many writes the last transaction had, and how long it took

    def do(self, work: Work) -> tuple[str, ...]:
        """Wait until the work is committed, or does not apply."""
        write = PendingWrite(work)
        with self._lock:
            self._pending.append(write)
            if len(self._pending) >= self._last:
                self._enough.set()
            if self._is_led:
                write.gate = threading.Lock()
                write.gate.acquire()
            write.leads = not self._is_led
            self._is_led = True
        try:
            if write.gate:
                write.gate.acquire()
            if not write.is_done:
                self._gather()
        except BaseException:  # Ctrl-C: others must not wait for a leader that is gone
            self._leave(write)
            raise
        if not write.is_done:
            self._lead()
        if write.error:
            raise write.error
        return write.result

    def _leave(self, write: PendingWrite) -> None:
        with self._lock:
            if write in self._pending:
                self._pending.remove(write)
            if write.leads and not write.is_done:
                self._pass_on()

    def _lead(self) -> None:
        with self._lock:
            writes, self._pending = self._pending, []
        start = time.perf_counter()
        try:
            self._run(writes)
        finally:
            self._last, self._seconds = len(writes), min(time.perf_counter() - start, self._patience)
            for write in writes:
                write.is_done = True
                write.wake()
            with self._lock:
                self._pass_on()

    def _gather(self) -> None:
        """Wait for the threads of the last transaction, which often write again at once, but no longer than it took.

        Otherwise the first of them would lead alone, and the others would wait for a second transaction.
        """
        with self._lock:
            if len(self._pending) >= self._last:
                return
            self._enough.clear()
        self._enough.wait(self._seconds)

    def _pass_on(self) -> None:
        self._is_led = bool(self._pending)
        if self._pending:
            self._pending[0].leads = True
            self._pending[0].wake()
