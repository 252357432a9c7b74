"""Merge: the stats of many districts added up, with no more memory than the sum needs."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from adaptrace.errors import ModelError
from adaptrace.stats import parquet
from adaptrace.stats.stats import Stats, added, listed


def merged(paths: Sequence[str | os.PathLike[str]]) -> tuple[Stats, list[dict[str, Any]]]:
    """The sum of stats files, read one after another, and the files that their counts came from.

    Raises
    ------
    ModelError
        If one cannot be read, tells apart what the first does not, or counts a log that another counts: all of them at once,
        before any is added.
    ValueError
        If there is no file.
    """
    sources = _checked(paths)
    return added(map(Stats.load, paths)), sources


def _checked(paths: Sequence[str | os.PathLike[str]]) -> list[dict[str, Any]]:
    """The sources of files that may be added."""
    problems: list[str] = []
    first: tuple[Any, tuple[str, ...]] | None = None
    counted: dict[str, Any] = {}
    every: list[dict[str, Any]] = []
    for path in paths:
        try:
            factors, sources = parquet.factors(path), parquet.sources(path)
        except ModelError as error:
            problems.append(str(error))
            continue
        first = first or (path, factors)
        if factors != first[1]:
            problems.append(
                f"{path}: tells apart {listed(factors)}, {first[0]} tells apart {listed(first[1])}; "
                "make both with the same options of `adaptrace stats`"
            )
        own = {source["identity"]: source["file"] for source in sources} or {os.path.realpath(path): path}
        problems += [
            f"{path}: counts '{own[each]}', which {counted[each]} counts too; give it once" for each in own if each in counted
        ]
        counted |= dict.fromkeys(own, path)
        every += sources
    if problems:
        raise ModelError(*problems)
    return every
