"""Group commit: threads that write at the same time share one transaction, and one wait for the disk."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

Work = Callable[[], tuple[str, ...]]  # what it returns says why it does not apply; empty: it is to be committed


class PendingWrite:
    """Work of one thread, and what came of it."""

    __slots__ = ("error", "gate", "is_done", "leads", "result", "work")

    def __init__(self, work: Work) -> None:
        self.work, self.is_done, self.leads = work, False, False
        self.result: tuple[str, ...] = ()
        self.error: BaseException | None = None
        self.gate: threading.Lock | None = None  # held until it is done or its thread shall lead; None: leads at once

    def go(self) -> None:
        """Let its thread go on."""
        if self.gate:
            self.gate.release()


class GroupCommit:
    """Gives the work of all threads that wait to one of them, which leads: it runs all of it in one transaction."""

    def __init__(self, run: Callable[[Sequence[PendingWrite]], None], patience: float) -> None:
        self._run, self._patience, self._door = run, patience, threading.Lock()
        self._pending: list[PendingWrite] = []
        self._is_led = False
        self._enough = threading.Event()  # as many wait as were served last
        self._last, self._seconds = 1, 0.0  # how many jobs the last transaction had, and how long it took

    def do(self, work: Work) -> tuple[str, ...]:
        """Wait until the work is committed, or does not apply."""
        job = PendingWrite(work)
        with self._door:
            self._pending.append(job)
            if len(self._pending) >= self._last:
                self._enough.set()
            if self._is_led:
                job.gate = threading.Lock()
                job.gate.acquire()
            job.leads = not self._is_led
            self._is_led = True
        try:
            if job.gate:
                job.gate.acquire()
            if not job.is_done:
                self._gather()
        except BaseException:  # Ctrl-C: others must not wait for a leader that is gone
            self._leave(job)
            raise
        if not job.is_done:
            self._lead()
        if job.error:
            raise job.error
        return job.result

    def _leave(self, job: PendingWrite) -> None:
        with self._door:
            if job in self._pending:
                self._pending.remove(job)
            if job.leads and not job.is_done:
                self._pass_on()

    def _lead(self) -> None:
        with self._door:
            jobs, self._pending = self._pending, []
        start = time.perf_counter()
        try:
            self._run(jobs)
        finally:
            self._last, self._seconds = len(jobs), min(time.perf_counter() - start, self._patience)
            for job in jobs:
                job.is_done = True
                job.go()
            with self._door:
                self._pass_on()

    def _gather(self) -> None:
        """Wait for those who were served last, who often come again at once, but no longer than serving them took.

        Else the first of them to come again would lead alone, and the others wait for a second transaction.
        """
        with self._door:
            if len(self._pending) >= self._last:
                return
            self._enough.clear()
        self._enough.wait(self._seconds)

    def _pass_on(self) -> None:
        self._is_led = bool(self._pending)
        if self._pending:
            self._pending[0].leads = True
            self._pending[0].go()
