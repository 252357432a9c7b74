"""The bundled sample: a simulated school (see ``data/sample/README.md``)."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from adaptrace.data.catalog import Catalog
from adaptrace.data.log import Log


def sample_path(name: str) -> Path:
    """Where a bundled file lies."""
    return Path(str(resources.files("adaptrace.data"))) / "sample" / name


def sample_log() -> Log:
    """Responses of the sample school; the column ``class`` is kept."""
    return Log.read(sample_path("responses.parquet"), keep=["class"])


def sample_catalog() -> Catalog:
    """Items, skills and prerequisites of the sample school."""
    return Catalog.read(sample_path("catalog.json"))
