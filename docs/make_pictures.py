"""Draw the pictures of README and docs.

python docs/make_pictures.py            # demo.svg: what `adaptrace demo` prints
python docs/make_pictures.py models.parquet --log assist09    # models.svg, from what benchmarks/models.py --output wrote
"""

from __future__ import annotations

import argparse
import io
from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
from rich.console import Console

import adaptrace as at
from adaptrace import plots
from adaptrace.cli import demo

HERE = Path(__file__).parent


def draw_demo() -> None:
    """Run the demonstration on a recording console and save it."""
    log, catalog = at.sample_log(), at.sample_catalog()
    model = at.BKT().fit(log)
    console = Console(record=True, width=100, highlight=False, file=io.StringIO(), force_terminal=True)
    demo.show(console, log, catalog, model, Path("mastery.parquet"))
    (HERE / "demo.svg").write_text(console.export_svg(title="adaptrace demo", unique_id="demo"))


def draw_models(path: Path, log: str) -> None:
    """Draw the models on one log."""
    table = pq.read_table(path)
    plots.save(plots.comparison(table.filter(pc.equal(table["log"], log)).drop_columns(["log"])), HERE / "models.svg")


def main() -> None:
    """Draw what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", nargs="?", type=Path)
    parser.add_argument("--log", default="assist09")
    options = parser.parse_args()
    if options.table is None:
        draw_demo()
    else:
        draw_models(options.table, options.log)


if __name__ == "__main__":
    main()
