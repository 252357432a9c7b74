"""Twenty times kill -9 during a storm of writes: nothing acknowledged is lost or there twice, every state is a replay."""

from __future__ import annotations

from pathlib import Path

from tutor.storm import Tally, kill_rounds

ROUNDS = 20


def test_nothing_acknowledged_is_lost_when_the_process_is_killed(tmp_path: Path) -> None:
    for number, tally in enumerate(kill_rounds(tmp_path / "tutor.db", ROUNDS), 1):
        assert tally == Tally(number, tally.acknowledged)
    assert tally.acknowledged > 10 * ROUNDS
