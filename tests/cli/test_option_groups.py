"""Groups of options: a command takes a dataclass, and its user sees one option for each field."""

from __future__ import annotations

import inspect
from dataclasses import fields
from typing import Annotated

import pytest
import typer

from adaptrace.cli import app, dataset, evaluate, report, stats
from adaptrace.cli.option_groups import DrawOptions, LogOptions, with_groups

READS_A_LOG = (
    *(app.fit, app.predict, app.recommend, dataset.score, evaluate.compare, evaluate.replay, evaluate.fairness),
    *(report.pace, report.stuck, stats.stats),
)


@pytest.mark.parametrize("command", READS_A_LOG, ids=lambda command: command.__name__)
def test_every_command_that_reads_a_log_has_all_options_for_it(command) -> None:
    ours = inspect.signature(with_groups(command)).parameters
    assert {each.name for each in fields(LogOptions)} <= ours.keys()
    assert all(each.default is None or each.default is False for each in (ours[f.name] for f in fields(LogOptions)))


def test_a_command_gets_its_groups_filled_and_its_own_options_as_they_are() -> None:
    got = {}

    def command(
        log: Annotated[str, typer.Argument()], k: Annotated[int, typer.Option()] = 3, *, drawing: DrawOptions, reading: LogOptions
    ) -> None:
        got.update(log=log, k=k, drawing=drawing, reading=reading)

    run = with_groups(command)
    names = ["log", "k", *(each.name for group in (DrawOptions, LogOptions) for each in fields(group))]
    assert list(inspect.signature(run).parameters) == names
    run(
        log="a.csv",
        k=5,
        seed=7,
        draws=20,
        format=None,
        column=["student=pupil"],
        levels=["project=5"],
        time_unit="s",
        ordered=True,
        no_merge=True,
    )
    assert not got["reading"].merge
    assert (got["log"], got["k"], got["drawing"]) == ("a.csv", 5, DrawOptions(seed=7, draws=20))
    assert got["reading"].columns == {"student": "pupil"}
    assert got["reading"].counts == {"project": 5}
