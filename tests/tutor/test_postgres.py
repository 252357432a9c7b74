"""Four processes of eight threads on one PostgreSQL database: no update is lost, every state is a replay."""

from __future__ import annotations

import pytest

from tutor import storm
from tutor.store.postgres_server import MISSING, URL, fresh_schema
from tutor.test_threads import CLEAN, exposure_cap_held

PROCESSES, THREADS, ROUNDS = 4, 8, 12


@pytest.mark.skipif(bool(MISSING), reason=MISSING or "never")
def test_processes_on_one_database_lose_no_update() -> None:
    with fresh_schema(URL) as url:
        storm.opened(url).close()  # makes the tables
        acknowledged = storm.hammered(url, PROCESSES, THREADS, ROUNDS)
        assert len(acknowledged) == PROCESSES * THREADS * ROUNDS
        with storm.opened(url) as tutor:
            assert storm.judged(tutor, acknowledged) == CLEAN
            assert exposure_cap_held(tutor)
