"""Lineage: which models and stats files were made of which files, and so of which students."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa

from adaptrace import models
from adaptrace.errors import ModelError
from adaptrace.io import envelope
from adaptrace.io.files import PARQUET, ending_of
from adaptrace.models import BKT, Blend, Logistic
from adaptrace.privacy.search import Searched
from adaptrace.stats import parquet

HOLDS, CERTAIN, POSSIBLE, UNKNOWN, NO = USES = ("holds", "certain", "possible", "unknown", "no")
REMEDY = {
    HOLDS: "make it again",
    CERTAIN: "make it again",
    POSSIBLE: "make it again, to be sure",
    UNKNOWN: "see when it was made",
}
USE = pa.schema([(name, pa.string()) for name in ("model", "used", "because", "remedy")])


class Use(NamedTuple):
    """Whether something was made of a student's rows (one of :data:`USES`), and how that is known."""

    used: str
    because: str


def uses(paths: Iterable[str | os.PathLike[str]], student: str, searched: Sequence[Searched]) -> pa.Table:
    """Which models and stats files used a student, worst first.

    Parameters
    ----------
    paths
        Models (JSON) and stats (Parquet).
    student
        The name.
    searched
        The files where the student was looked for.

    Returns
    -------
    pyarrow.Table
        ``model``, ``used``: it ``holds`` the name itself; it is ``certain`` that it was made of a file that held the student;
        ``possible``: of an unknown version of such a file, or of a version from before rows of someone were taken out of it;
        ``unknown``: it does not say; ``no``. Then ``because`` and ``remedy``.
    """
    found = [(os.fspath(path), _use(path, student, searched)) for path in paths]
    found.sort(key=lambda each: USES.index(each[1].used))
    rows = [(path, use.used, use.because, REMEDY.get(use.used, "")) for path, use in found]
    return pa.table([pa.array(column, pa.string()) for column in zip(*rows, strict=True)] or [[]] * len(USE), schema=USE)


def _use(path: str | os.PathLike[str], student: str, searched: Sequence[Searched]) -> Use:
    try:
        names, sources = _made_of(path)
    except ModelError as error:
        return Use(UNKNOWN, str(error).removeprefix(f"{path}: "))
    if student in names:
        return Use(HOLDS, "names the student")
    if not sources:
        return Use(UNKNOWN, "does not say what it was made of")
    reached = [_reach(source, searched) for source in sources]
    return min(reached, key=lambda use: USES.index(use.used))


def _made_of(path: str | os.PathLike[str]) -> tuple[set[str], list[dict[str, Any]]]:
    """The students that a model or stats file names, and the files it was made of."""
    if ending_of(Path(path)) in PARQUET:
        seen = parquet.read(path).observations
        return set(seen["student"].to_pylist() if "student" in seen.column_names else ()), parquet.sources(path)
    return _names(models.load(path)), envelope.sources(path)


def _names(model: Any) -> set[str]:
    """The students that a model has values for."""
    if isinstance(model, Blend):
        return _names(model.bkt) | _names(model.layer)
    if isinstance(model, Logistic) and model.weights:
        return set(model.weights.students.to_pylist())
    factors = model.effects.factors if isinstance(model, BKT) and model.effects else ()
    return {name for effect in factors if effect.factor == "student" for name in effect.names.to_pylist()}


def _reach(source: dict[str, Any], searched: Sequence[Searched]) -> Use:
    """What one source says."""
    name, mark = source.get("file", ""), source.get("identity", "")
    known = {identity: file for file in searched for identity in reversed(file.identities)}
    file = known.get(mark)
    if file is None:
        alike = [each for each in searched if each.rows and _same(name, each.name)]
        return (
            Use(POSSIBLE, f"made of another version of {alike[0].path}")
            if alike
            else Use(UNKNOWN, "made of files not among these")
        )
    if file.rows:
        return Use(CERTAIN, f"made of {file.path}")
    if mark != file.identities[0]:
        return Use(POSSIBLE, f"made of {file.path} before rows were forgotten there")
    return Use(NO, "")


def _same(a: str, b: str) -> bool:
    """Whether two paths may be of one file, seen from different folders."""
    return f"/{a}".endswith(f"/{b}") or f"/{b}".endswith(f"/{a}")
