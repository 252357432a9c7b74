"""Draw docs/demo.svg, the picture in the README: what `adaptrace demo` prints.

python docs/make_pictures.py
"""

from __future__ import annotations

import io
from pathlib import Path

from rich.console import Console

import adaptrace as at
from adaptrace import demonstration

PICTURE = Path(__file__).parent / "demo.svg"


def main() -> None:
    """Run the demonstration on a recording console and save it."""
    log, catalog = at.sample_log(), at.sample_catalog()
    model = at.BKT().fit(log)
    console = Console(record=True, width=100, highlight=False, file=io.StringIO(), force_terminal=True)
    demonstration.show(console, log, catalog, model, Path("mastery.parquet"))
    PICTURE.write_text(console.export_svg(title="adaptrace demo", unique_id="demo"))


if __name__ == "__main__":
    main()
