"""The bundled sample: a simulated school (see ``data/sample/README.md``)."""

from __future__ import annotations

from pathlib import Path

from adaptrace.data.catalog import Catalog
from adaptrace.data.log import Log

# in a wheel the data lies inside the package, in a source tree beside it
PLACES = (Path(__file__).parent / "sample", Path(__file__).parents[3] / "data" / "sample")


def sample_path(name: str) -> Path:
    """Where a bundled file lies."""
    return next(place / name for place in PLACES if (place / name).exists())


def sample_log() -> Log:
    """Responses of the sample school; the column ``class`` rides along."""
    return Log.read(sample_path("responses.parquet"), keep=["class"])


def sample_catalog() -> Catalog:
    """Items, skills and prerequisites of the sample school."""
    return Catalog.read(sample_path("catalog.json"))
