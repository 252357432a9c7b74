"""The bundled sample: a simulated school (see ``data/sample/README.md``)."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

from adaptrace.data.catalog import Catalog
from adaptrace.data.log import Log

SOURCE_TREE = Path(__file__).parents[3] / "data" / "sample"  # a wheel has the files inside the package


def sample_path(name: str) -> Path:
    """Where a bundled file lies."""
    bundled = Path(str(resources.files("adaptrace.data"))) / "sample" / name
    return bundled if bundled.exists() else SOURCE_TREE / name


def sample_log() -> Log:
    """Responses of the sample school; the column ``class`` rides along."""
    return Log.read(sample_path("responses.parquet"), keep=["class"])


def sample_catalog() -> Catalog:
    """Items, skills and prerequisites of the sample school."""
    return Catalog.read(sample_path("catalog.json"))
