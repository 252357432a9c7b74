"""adaptrace beside pyBKT, in one process on the same file: fit, predict, and the likelihood reached.

pyBKT runs as it is installed. Its compiled EM stops once the log-likelihood, cut to a whole number
(``E_step.cpp`` of 1.4.3), repeats: it is done early, and the likelihoods below the table show by how much.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from statistics import median
from typing import Any

import pyarrow.parquet as pq
from beside import clock, data, fresh, in_turns, leave, machine, print_likelihoods, print_table

import adaptrace as at

HOW_TO_GET = """\
pyBKT cannot be imported here: {error}
It needs an older scikit-learn (its import fails on newer ones), and is fast only when compiled:
  python -m pip install numpy pandas setuptools wheel "scikit-learn<1.7"
  python -m pip install --no-binary pybkt --no-build-isolation pybkt==1.4.3
  python -m pip install --editable .      # adaptrace, into the same environment"""

NAMES = {"student": "user_id", "item": "item_id", "skill": "skill_name", "order": "order_id"}  # adaptrace knows these aliases
NEEDED = ["user_id", "skill_name", "correct", "order_id"]
PARAMETERS = {"prior": "prior", "learn": "learns", "guess": "guesses", "slip": "slips"}


class Preparing:
    """Stands before a pyBKT model's data helper and keeps the seconds of its last call."""

    def __init__(self, model: Any) -> None:
        self.helper, self.seconds = model._data_helper, 0.0
        model._data_helper = self

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.seconds, prepared = clock(lambda: self.helper(*arguments, **options))
        return prepared


def our_calls(path: str) -> dict[str, Callable[[], Any]]:
    """What is measured of adaptrace."""
    log = at.Log.read(path)
    model = at.BKT(forget=False).fit(log)
    return {
        "read, fit": lambda: at.BKT(forget=False).fit(at.Log.read(path)),
        "fit": lambda: at.BKT(forget=False).fit(data.fresh(log)),
        "number, predict": lambda: model.predict(data.fresh(log)),
        "predict": lambda: model.predict(log),  # a log numbers its students' skills once, at the first fit or prediction
    }


def time_theirs(model: Any, path: str) -> dict[str, float]:
    """Seconds of pyBKT's steps; ``model`` is fitted."""
    import pandas

    preparing = Preparing(model)
    read, frame = clock(lambda: pandas.read_parquet(path, columns=NEEDED))
    fit, _ = clock(lambda: model.fit(data=frame))
    prepare_fit = preparing.seconds
    predict, _ = clock(lambda: model.predict(data=frame))
    return {"read": read, "fit": fit, "prepare fit": prepare_fit, "predict": predict, "prepare predict": preparing.seconds}


def compare(model: Any, path: str, repeat: int) -> None:
    """Print the table; ours are medians, half of them measured before pyBKT's single run and half after."""
    calls = our_calls(path)
    before = in_turns(calls.values(), (repeat + 1) // 2)
    theirs = time_theirs(model, path)
    after = in_turns(calls.values(), repeat // 2) or [[] for _ in calls]
    ours = {name: median(first + last) for name, first, last in zip(calls, before, after, strict=True)}
    rows = [
        ("read the file, order, fit", ours["read, fit"], theirs["read"] + theirs["fit"]),
        ("fit (ordered log / prepared arrays)", ours["fit"], theirs["fit"] - theirs["prepare fit"]),
        ("predict a log for the first time (ordered log / data frame)", ours["number, predict"], theirs["predict"]),
        ("predict the log that was fitted (ordered log / data frame)", ours["predict"], theirs["predict"]),
        ("predict (ordered log / prepared arrays)", ours["predict"], theirs["predict"] - theirs["prepare predict"]),
    ]
    print_table(["adaptrace", "pyBKT"], rows)


def adopted(model: Any) -> at.BKT:
    """A pyBKT fit as an adaptrace model."""
    fits = model.coef_
    values = {
        ours: [float(fit[theirs]) if theirs == "prior" else float(fit[theirs][0]) for fit in fits.values()]
        for ours, theirs in PARAMETERS.items()
    }
    return at.BKT.from_parameters(list(fits), **values)


def main() -> int:
    """Run the comparison; 1 if adaptrace reached a lower likelihood than pyBKT on any skill."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--responses", type=int, default=10_000_000)
    parser.add_argument("--skills", type=int, default=data.SKILLS)
    parser.add_argument("--starts", type=int, default=5, help="random starts of pyBKT (its default: 5)")
    parser.add_argument("--repeat", type=int, default=5, help="runs of adaptrace; pyBKT runs once")
    parser.add_argument("--in-order", action="store_true", help="the file's rows are in order, not shuffled")
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads would cost pyBKT dearly on a shared machine
    try:
        from pyBKT.models import Model
    except (ImportError, AttributeError) as error:
        leave(HOW_TO_GET.format(error=error))
    with tempfile.TemporaryDirectory() as folder:
        path, small = os.path.join(folder, "log.parquet"), os.path.join(folder, "small.parquet")
        for place, responses in ((path, options.responses), (small, 10_000)):
            table = data.simulated(responses, skills=options.skills, shuffled=not options.in_order)
            pq.write_table(table.rename_columns({**{name: name for name in table.column_names}, **NAMES}), place)
        data.warmed_up()
        time_theirs(Model(seed=0, parallel=True, num_fits=1), small)
        log, model = at.Log.read(path), Model(seed=0, parallel=True, num_fits=options.starts)
        print(f"{log}; {machine()}; adaptrace: median of {options.repeat}; pyBKT: one run of {options.starts} starts")
        compare(model, path, options.repeat)
        passed = print_likelihoods(at.BKT(forget=False).fit(log), adopted(model), log, "pyBKT")
        cold, warm = fresh.cold_and_warm()
        print(f"first results in a new process: {cold:.1f} s with a cold Numba cache, {warm:.1f} s with a warm one")
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
