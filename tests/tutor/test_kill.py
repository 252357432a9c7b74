"""Kill -9 again and again during a storm of writes, forgets, rebuilds and snapshots.

Nothing acknowledged is lost or there twice, who was forgotten stays forgotten, every state is a replay, every snapshot is whole.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tutor.store.postgres_server import MISSING, URL, fresh_schema, gone
from tutor.storm import Tally, kill_rounds

ROUNDS = 10


def check(tallies: list[Tally]) -> None:
    for number, tally in enumerate(tallies, 1):
        assert tally == Tally(number, tally.acknowledged, tally.snapshots)
    assert tally.acknowledged > 10 * ROUNDS
    assert tally.snapshots


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    (tmp_path / "copies").mkdir()
    check(list(kill_rounds(str(tmp_path / "tutor.db"), tmp_path / "copies", ROUNDS)))


@pytest.mark.skipif(bool(MISSING), reason=MISSING or "never")
def test_the_same_on_a_server(tmp_path: Path) -> None:
    with fresh_schema(URL) as url:
        check(list(kill_rounds(f"{url}&application_name=storm", tmp_path, ROUNDS, settled=lambda: gone(URL, "storm"))))
