"""What each option of BKT gains on real logs: AUC, log loss and seconds, on responses that the fit did not see.

    ADAPTRACE_DATA=folder python variants.py --sets assist09 glops42 --variants default items

Held out are the students of the file's ``split`` column, where it has one, else a fifth of the students (seed 0); or, with
``--later``, the last fifth of every student's responses. Nothing is chosen or tuned on them. By students, a model with
parameters of their own knows none of the students it is measured on: ``--later`` is where it can show.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
from layout import aligned
from logs import SETS, folder_of, held_out, read
from numpy.typing import NDArray

import adaptrace as at
from adaptrace.evaluate.metrics import auc, log_loss

EVERY, OWN = ("learn", "guess", "slip"), ("prior", "learn")
VARIANTS: dict[str, dict[str, Any]] = {
    "default": {},
    "classic": {"forget": False, "pooling": 0.0, "plausible": False},
    "items guess, slip": {"items": ("guess", "slip")},
    "items": {"items": EVERY},
    "students": {"students": OWN},
    "elapsed": {"elapsed": True},
    "items, students": {"items": EVERY, "students": OWN},
    "items, students, elapsed": {"items": EVERY, "students": OWN, "elapsed": True},
    "mean": {"combine": "mean"},
    "min": {"combine": "min"},
    "weakest-first": {"combine": "weakest-first"},
}


def applies(options: Mapping[str, Any], log: at.Log) -> bool:
    """Whether the log has what the variant is about: a clock, or events of several skills."""
    return ("time" in log.table.column_names or "elapsed" not in options) and (log.has_several_skills or "combine" not in options)


def last_fifth(log: at.Log) -> NDArray[np.bool_]:
    """The rows at the end of every student's history, (n_rows,)."""
    student = log.table["student"].chunk(0).indices.to_numpy()
    start, length = log.rows.student_start[student], np.diff(log.rows.student_start)[student]
    return np.arange(len(log)) - start >= length - length // 5


def measure(log: at.Log, test: NDArray[np.bool_], options: Mapping[str, Any]) -> tuple[float, float, float]:
    """AUC, log loss and seconds of the fit."""
    train = log.select(~test)
    begin = time.perf_counter()
    model = at.BKT(**options).fit(train)
    seconds = time.perf_counter() - begin
    predicted = model.predict(log)[test]  # each from the student's earlier responses alone
    return auc(log.correct[test], predicted), log_loss(log.correct[test], predicted), seconds


def warm_up(variants: list[str]) -> None:
    """Compile or load what the variants need."""
    log = at.sample_log()
    for name in variants:
        if applies(VARIANTS[name], log):
            at.BKT(**VARIANTS[name]).fit(log).predict(log)


def main() -> int:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sets", nargs="+", choices=SETS, default=list(SETS))
    parser.add_argument("--variants", nargs="+", choices=VARIANTS, default=list(VARIANTS))
    parser.add_argument("--later", action="store_true", help="hold out the last fifth of every student's responses")
    options = parser.parse_args()
    folder = folder_of(options.sets)
    if folder is None:
        return 2
    warm_up(options.variants)
    lines = []
    for name in options.sets:
        log = read(SETS[name], folder)
        test = last_fifth(log) if options.later else held_out(log)
        for variant in (each for each in options.variants if applies(VARIANTS[each], log)):
            area, loss, seconds = measure(log, test, VARIANTS[variant])
            lines.append([name, variant, f"{test.sum():,}", f"{area:.4f}", f"{loss:.4f}", f"{seconds:.2f}"])
            print("  ".join(lines[-1]), file=sys.stderr)
    print(aligned(["log", "variant", "held out", "AUC", "log loss", "fit, s"], lines, left=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
