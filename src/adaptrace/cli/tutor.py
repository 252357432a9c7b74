"""Commands for the store of a tutor."""

from __future__ import annotations

from typing import Annotated

import typer

from adaptrace.cli.options import CatalogPath, ModelPath, RawCells, Report, SkillsPath, load
from adaptrace.cli.terminal import check_outputs, waiting, write_or_show

StoreURL = Annotated[str, typer.Option("--store", metavar="URL", help="The tutor's store: a file, or postgresql://...")]


def verify(
    store: StoreURL,
    model: ModelPath,
    catalog: CatalogPath,
    skills: SkillsPath = None,
    names: Annotated[bool, typer.Option("--names", help="Name students, where somebody must act for one.")] = False,
    output: Report = None,
    raw_cells: RawCells = False,
) -> None:
    """Whether a tutor's store is what it should be: file, events, states, decisions. Exit code 1 if anything is wrong."""
    check_outputs(output)
    from adaptrace.data.catalog import Catalog
    from adaptrace.tutor.store import check_exists
    from adaptrace.tutor.tutor import Tutor

    check_exists(store)
    items, fitted = Catalog.read(catalog, skills=skills), load(model)
    with Tutor.open(store, model=fitted, catalog=items, unknown_skills="prior") as tutor, waiting("verifying"):
        found = tutor.verify(names=names)
    write_or_show(found.findings, output, str(found), raw_cells=raw_cells)
    raise typer.Exit(0 if found.ok else 1)


COMMANDS = (verify,)
