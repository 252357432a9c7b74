"""What looks at the sessions of a PostgreSQL server, and gives them their turns."""

from __future__ import annotations

import time
from typing import Any

import psycopg

STEP, FAILS = 1, 2  # classes of advisory locks: a session that waits for its turn; one whose statement fails
FUNCTION = f"""
    CREATE FUNCTION simulated_step() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_lock({STEP}, pg_backend_pid());
        PERFORM pg_advisory_unlock({STEP}, pg_backend_pid());
        IF NOT pg_try_advisory_lock({FAILS}, pg_backend_pid()) THEN
            RAISE EXCEPTION 'the disk is full' USING ERRCODE = 'disk_full';
        END IF;
        PERFORM pg_advisory_unlock({FAILS}, pg_backend_pid());
        RETURN NULL;
    END $$"""
TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() AND tablename LIKE 'adaptrace%'"
WAITS = "SELECT locktype, classid FROM pg_locks WHERE pid = %s AND NOT granted"
SINGLE = {"adaptrace_store": "first_version = 1", "adaptrace_exposed": "total = 0"}  # tables of one row
POLL = 0.0002  # seconds


class Monitor:
    """What looks at the server's sessions, and gives them their turns."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)

    def run(self, query: str, *values: Any) -> list[Any]:
        """One statement."""
        cursor = self._connection.execute(query.encode(), values or None)
        return cursor.fetchall() if cursor.description else []

    def prepare(self) -> None:
        """Let every statement that changes a table wait for its turn, where a session waits for turns."""
        self._tables = [name for (name,) in self.run(TABLES)]
        self.run(FUNCTION)
        for table in self._tables:
            self.run(
                f"CREATE TRIGGER simulated_step BEFORE INSERT OR UPDATE OR DELETE ON {table} EXECUTE FUNCTION simulated_step()"
            )

    def empty(self) -> None:
        """Empty the tables."""
        with self._connection.transaction():
            for table in self._tables:
                self.run(f"UPDATE {table} SET {SINGLE[table]}" if table in SINGLE else f"DELETE FROM {table}")

    def waits(self, pid: int) -> str:
        """What a session waits for: a turn, another session, or nothing."""
        found = self.run(WAITS, pid)
        if not found:
            return ""
        return "turn" if ("advisory", STEP) in found else "other"

    def hold(self, pid: int) -> None:
        """Let a session wait for its turn at each step."""
        self.run("SELECT pg_advisory_lock(%s, %s)", STEP, pid)

    def let_go(self, pid: int) -> None:
        """Let a session wait no longer."""
        self.run("SELECT pg_advisory_unlock(%s, %s)", STEP, pid)

    def step(self, pid: int, *, fails: bool = False) -> None:
        """Let a session that waits go on, to its next step."""
        if fails:
            self.run("SELECT pg_advisory_lock(%s, %s)", FAILS, pid)
        self.run("SELECT pg_advisory_unlock(%s, %s), pg_advisory_lock(%s, %s)", STEP, pid, STEP, pid)
        if not fails:
            return
        while not self.run("SELECT 1 FROM pg_stat_activity WHERE pid = %s AND state LIKE 'idle%%'", pid):
            time.sleep(POLL)
        self.run("SELECT pg_advisory_unlock(%s, %s)", FAILS, pid)

    def end(self, pid: int) -> None:
        """End a session, and wait until the server has undone what it did not commit."""
        self.run("SELECT pg_terminate_backend(%s)", pid)
        while self.run("SELECT 1 FROM pg_stat_activity WHERE pid = %s", pid):
            time.sleep(POLL)

    def close(self) -> None:
        """End the looking."""
        self._connection.close()
