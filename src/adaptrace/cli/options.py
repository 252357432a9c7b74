"""Single options and arguments that several commands share."""

from __future__ import annotations

import datetime
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from adaptrace.cli.models import NAMES

if TYPE_CHECKING:  # at run time imported where it is used: --help must not wait for a compiler
    from adaptrace.recommendation.policy import Policy


class Policies(StrEnum):
    """How the next item is chosen."""

    interleaved = "interleaved"
    lowest_mastery = "lowest-mastery"
    nearest_mastery = "nearest-mastery"
    target_success = "target-success"
    learning_gain = "learning-gain"
    information = "information"
    review_due = "review-due"
    learning_progress = "learning-progress"
    thompson = "thompson"
    random = "random"
    in_order = "in-order"


LogPath = Annotated[str, typer.Argument(metavar="LOG", help="Parquet, Arrow or CSV/TSV: a file, a folder or a quoted glob.")]
ModelPath = Annotated[Path, typer.Option("--model", "-m", help="A model that `adaptrace fit` wrote.")]
ModelName = Annotated[str, typer.Option("--model", "-m", help=f"One of {NAMES}.")]
Output = Annotated[Path | None, typer.Option("--output", "-o", help="Where to write; by default CSV to stdout.")]
Report = Annotated[Path | None, typer.Option("--output", "-o", help="Where to write; by default a table to read, to stdout.")]
RawCells = Annotated[
    bool, typer.Option("--raw-cells", help="In CSV and TSV, leave text that a spreadsheet would run as a formula as it is.")
]
Time = Annotated[
    datetime.datetime | None, typer.Option("--time", help="The moment asked about (UTC), if mastery fades with time.")
]
CatalogPath = Annotated[Path, typer.Option("--catalog", "-C", help="Items, skills and prerequisites: JSON, Parquet or CSV.")]
SkillsPath = Annotated[Path | None, typer.Option("--skills", help="Skills and their prerequisites, if the catalog is a table.")]
PolicyName = Annotated[
    Policies,
    typer.Option(
        "--policy", metavar="POLICY", help=f"How items are chosen: {', '.join(Policies)}. See docs/explanation/policies.md."
    ),
]
Target = Annotated[float, typer.Option("--target", min=0.0, max=1.0, help="The P(correct) that target-success aims at.")]


def policy_of(name: Policies, target: float) -> Policy:
    """The policy of this name."""
    from adaptrace.recommendation import policies

    chosen: Policy = policies.TargetSuccess(target=target) if name is Policies.target_success else policies.NAMED[name.value]()
    return chosen


def load(path: Path) -> Any:
    """A model of any family."""
    from adaptrace import models

    return models.load(path)
