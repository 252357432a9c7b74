"""Every model on real logs: AUC, log loss and RMSE with 95 % intervals by student, and the seconds of the fit.

    ADAPTRACE_DATA=folder python models.py --sets assist09 memphis --models bkt best-lr blend

Each model is fitted once, to the students that the file's ``split`` column calls train, or to four fifths of them (seed 0),
and measured on the others: prequentially, each response from those before it. Nothing is chosen on them.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
from layout import aligned
from logs import SETS, folder_of, held_out, read

import adaptrace as at
from adaptrace.io.files import write_table
from adaptrace.models import MODELS

CHOSEN = [name for name in MODELS if name not in ("fsrs", "bkt-items")]
HEADS = ["log", "model", "AUC", "95 %", "log loss", "95 %", "RMSE", "95 %", "fit, s"]


def with_split(log: at.Log) -> at.Log:
    """The log with a column that says which rows no fit may see."""
    split = pa.array(np.where(held_out(log), "test", "train"))
    name = "held_out"
    return at.Log.from_arrow(log.table.append_column(name, split), columns={log.skill_column: log.skill_column}, keep=[name])


def compared(log: at.Log, names: list[str]) -> pa.Table:
    """The table of the models that the log has the columns for."""
    models = {name: MODELS[name]() for name in names}
    fitting = {name: model for name, model in models.items() if set(model.needs) <= set(log.table.column_names)}
    return at.compare(fitting, with_split(log), by="held_out").table


def line(name: str, row: dict[str, float]) -> list[str]:
    """One row of the table, for people."""
    cells = [name, str(row["model"])]
    for metric in ("auc", "log_loss", "rmse"):
        cells += [f"{row[metric]:.4f}", f"{row[f'{metric}_low']:.4f}-{row[f'{metric}_high']:.4f}"]
    return [*cells, f"{row['fit_seconds']:.1f}"]


def warm_up(names: list[str]) -> None:
    """Compile or load what the models need."""
    log = at.sample_log()
    for name in names:
        MODELS[name]().fit(log).predict(log)


def main() -> int:
    """Print the table, and write it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=["assist09", "assist15", "ednet skills", "glops42", "memphis"])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=CHOSEN)
    parser.add_argument("--output", type=Path, help="also as Parquet, CSV or JSON")
    options = parser.parse_args()
    folder = folder_of(options.sets)
    if folder is None:
        return 2
    warm_up(options.models)
    lines, tables = [], []
    for name in options.sets:
        table = compared(read(SETS[name], folder), options.models)
        tables.append(table.add_column(0, "log", pa.array([name] * len(table))))
        lines += [line(name, row) for row in table.to_pylist()]
        print(aligned(HEADS, lines[-len(table) :], left=2), file=sys.stderr)
    print(aligned(HEADS, lines, left=2))
    if options.output:
        write_table(pa.concat_tables(tables), options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
