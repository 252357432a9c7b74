"""adaptrace beside pyBKT, in one process on the same responses: fit, predict, and the likelihood reached.

Each feature that both have, on 10^5, 10^6 and 10^7 responses in memory; with ``--file`` instead from a Parquet file to the
fitted model. pyBKT runs as it is installed, with its default five starts. Two things of its compiled 1.4.3 (``E_step.cpp``)
show in the likelihoods, which are exact and the same for both: its EM stops once the log-likelihood, cut to a whole number,
repeats; and where parameters vary by item, it reads those of the first item of a skill for all of them, so that what it
finds is no maximum and its predictions are not those of its parameters.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from statistics import median
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from beside import (
    Compared,
    Five,
    aligned,
    clock,
    compared,
    data,
    fresh,
    in_turns,
    leave,
    machine,
    print_table,
    report_likelihoods,
    timed,
)

import adaptrace as at

HOW_TO_GET = """\
pyBKT cannot be imported here: {error}
It needs an older scikit-learn (its import fails on newer ones), and is fast only when compiled:
  python -m pip install numpy pandas setuptools wheel "scikit-learn<1.7"
  python -m pip install --no-binary pybkt --no-build-isolation pybkt==1.4.3
  python -m pip install --editable .      # adaptrace, into the same environment"""

NAMES = {"student": "user_id", "item": "item_id", "skill": "skill_name", "order": "order_id"}  # adaptrace knows these aliases
NEEDED = ["user_id", "skill_name", "correct", "order_id"]
SIZES = [100_000, 1_000_000, 10_000_000]
PATIENCE = 60.0  # seconds; what takes longer runs once
GROWTH = 10.0  # seconds of the next size are taken to be so many times those of the last


@dataclass(frozen=True)
class Feature:
    """What both can fit, and how each is asked for it."""

    ours: Mapping[str, Any] = field(default_factory=dict)
    theirs: Mapping[str, Any] = field(default_factory=dict)
    simulated: Mapping[str, float] = field(default_factory=dict)  # what the students' answers follow
    exact: bool = True  # the likelihood is all that ours looks at: nothing pulls it towards other skills or items

    def model(self) -> at.BKT:
        """Ours, unfitted: each skill on its own, as pyBKT has it."""
        return at.BKT(**{"forget": False, "pooling": 0.0, "plausible": False, **self.ours})


ITEMS = {"item_spread": 0.7}
FEATURES = {
    "standard": Feature(),
    "forgets": Feature({"forget": True, "bounds": {"forget": (0.0, 1.0)}}, {"forgets": True}, {"forget": 0.05}),
    "guess, slip by item": Feature({"items": ("guess", "slip")}, {"multigs": NAMES["item"]}, ITEMS, exact=False),
    "learn by item": Feature({"items": ("learn",)}, {"multilearn": NAMES["item"]}, ITEMS, exact=False),
}


# ---- the other side ---------------------------------------------------------


class Preparing:
    """Stands before a pyBKT model's data helper and keeps the seconds of its last call."""

    def __init__(self, model: Any) -> None:
        self.helper, self.seconds = model._data_helper, 0.0
        model._data_helper = self

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.seconds, prepared = clock(lambda: self.helper(*arguments, **options))
        return prepared


class Theirs:
    """pyBKT with its own data helper's part in every call."""

    def __init__(self, starts: int, **options: Any) -> None:
        self.starts, self.options = starts, options
        self.preparing: dict[str, list[float]] = {"fit": [], "predict": []}

    def fit(self, frame: Any) -> float:
        """Seconds; the model is kept."""
        from pyBKT.models import Model

        frame = frame.copy()  # pyBKT changes what it is given
        self.model = Model(seed=0, parallel=True, num_fits=self.starts)
        self.helper = Preparing(self.model)
        seconds, _ = clock(lambda: self.model.fit(data=frame, **self.options))
        self.preparing["fit"].append(self.helper.seconds)
        return seconds

    def predict(self, frame: Any) -> float:
        """Seconds, with the model fitted last."""
        frame = frame.copy()
        seconds, _ = clock(lambda: self.model.predict(data=frame))
        self.preparing["predict"].append(self.helper.seconds)
        return seconds

    def found(self) -> tuple[dict[str, Five], dict[str, Five] | None]:
        """The parameters of every skill, and those of every item if they vary by it."""
        skills, items = {}, {}
        for name, fit in self.model.fit_model.items():
            prior, by_learn, by_guess = float(fit["prior"]), fit["resource_names"], fit["gs_names"]
            rows = [(by_learn, [1], fit["learns"]), (by_learn, [1], fit["forgets"])]
            rows += [(by_guess, [0], fit["guesses"]), (by_guess, [0], fit["slips"])]
            skills[name] = [prior, *(float(values[0]) for _, _, values in rows)]
            for item in {**by_learn, **by_guess}:
                if item != "default":
                    places = [names.get(item, first) - first for names, (first,), _ in rows]
                    items[str(item)] = [prior, *(float(row[2][place]) for row, place in zip(rows, places, strict=True))]
        return skills, items or None


# ---- both in memory ---------------------------------------------------------


@dataclass
class Line:
    """One feature at one size: seconds as medians, and the likelihoods."""

    fit: list[float]  # ours, theirs, theirs without their data helper
    predict: list[float]
    skills: Compared
    responses: int

    def cells(self, what: str) -> list[list[str]]:
        """Two lines of the table."""
        skills = f"{self.skills.above}/{self.skills.below}/{self.skills.turned}"
        nats = f"{1000.0 * self.skills.gain.sum() / self.responses:+.3f}"
        return [
            [*seconds_cells(f"{what}: fit", *self.fit), skills, nats],
            [*seconds_cells(f"{what}: predict", *self.predict), "", ""],
        ]


def seconds_cells(what: str, ours: float, theirs: float, bare: float) -> list[str]:
    """Seconds and ratios."""
    return [what, f"{ours:.3f}", f"{theirs:.2f}", f"{theirs / ours:.1f}x", f"{bare:.2f}", f"{bare / ours:.1f}x"]


def measure(feature: Feature, responses: int, starts: int, repeat: int) -> Line:
    """Both tools on the same rows, in turns."""
    table = data.simulated(responses, **feature.simulated)
    log, frame = (
        at.Log.from_arrow(table),
        table.rename_columns([NAMES.get(name, name) for name in table.column_names]).to_pandas(),
    )
    theirs, fitted = Theirs(starts, **feature.theirs), feature.model().fit(log)
    fits = [timed(lambda: feature.model().fit(data.fresh(log))), lambda: theirs.fit(frame)]
    predictions = [timed(lambda: fitted.predict(data.fresh(log))), lambda: theirs.predict(frame)]
    medians = {}
    for what, calls in {"fit": fits, "predict": predictions}.items():
        ours, other = in_turns(calls, repeat, patience=PATIENCE)
        bare = [whole - part for whole, part in zip(other, theirs.preparing[what], strict=True)]
        medians[what] = [median(ours), median(other), median(bare)]
    return Line(medians["fit"], medians["predict"], compared(fitted, *theirs.found(), log), responses)


def warm_up(feature: Feature) -> None:
    """Compile or load what both need."""
    measure(feature, 20_000, 1, 1)


def in_memory(sizes: list[int], names: list[str], starts: int, repeat: int, limit: float) -> bool:
    """Print the table; False if ours is below on any skill where it looks at the likelihood alone."""
    passed, lines = True, []
    for name in names:
        feature, expected = FEATURES[name], 0.0
        warm_up(feature)
        for responses in sizes:
            if expected > limit:
                lines.append([f"{responses:,} {name}", *["-"] * 6, f"left out: pyBKT would need about {expected:.0f} s"])
                continue
            line = measure(feature, responses, starts, repeat)
            expected = GROWTH * line.fit[1]
            lines += line.cells(f"{responses:,} {name}")
            passed &= line.skills.below == 0 or not feature.exact
            print(*("  ".join(cells) for cells in line.cells(f"{responses:,} {name}")), sep="\n", file=sys.stderr)
    heads = ["seconds, medians", "adaptrace", "pyBKT", "ratio", "its EM", "ratio", "above/below/turned", "nats per 1,000"]
    print(aligned(heads, lines))
    print("its EM: pyBKT less its data helper. Skills on which adaptrace's log-likelihood is above / below; turned: guess + slip")
    print(">= 1 in pyBKT, which adaptrace rules out. Items are drawn to their skill, so there it may be below.")
    return passed


# ---- from a file ------------------------------------------------------------


def our_calls(path: str) -> dict[str, Callable[[], float]]:
    """What is measured of adaptrace."""
    log = at.Log.read(path)
    model = FEATURES["standard"].model()
    fitted = model.fit(log)
    calls = {
        "read, fit": lambda: model.fit(at.Log.read(path)),
        "fit": lambda: model.fit(data.fresh(log)),
        "number, predict": lambda: fitted.predict(data.fresh(log)),
        "predict": lambda: fitted.predict(log),  # a log numbers its students' skills once, at the first fit or prediction
    }
    return {name: timed(call) for name, call in calls.items()}


def time_theirs(theirs: Theirs, path: str) -> dict[str, float]:
    """Seconds of pyBKT's steps."""
    import pandas

    read, frame = clock(lambda: pandas.read_parquet(path, columns=NEEDED))
    fit, predict = theirs.fit(frame), theirs.predict(frame)
    prepare = {f"prepare {name}": seconds[-1] for name, seconds in theirs.preparing.items()}
    return {"read": read, "fit": fit, "predict": predict, **prepare}


def compare_files(theirs: Theirs, path: str, repeat: int) -> None:
    """Print the table; ours are medians, half of them measured before pyBKT's single run and half after."""
    calls = our_calls(path)
    before = in_turns(calls.values(), (repeat + 1) // 2)
    other = time_theirs(theirs, path)
    after = in_turns(calls.values(), repeat // 2)
    ours = {name: median(first + last) for name, first, last in zip(calls, before, after, strict=True)}
    rows = [
        ("read the file, order, fit", ours["read, fit"], other["read"] + other["fit"]),
        ("fit (ordered log / prepared arrays)", ours["fit"], other["fit"] - other["prepare fit"]),
        ("predict a log for the first time (ordered log / data frame)", ours["number, predict"], other["predict"]),
        ("predict the log that was fitted (ordered log / data frame)", ours["predict"], other["predict"]),
        ("predict (ordered log / prepared arrays)", ours["predict"], other["predict"] - other["prepare predict"]),
    ]
    print_table(["adaptrace", "pyBKT"], rows)


def from_file(responses: int, skills: int, starts: int, repeat: int, shuffled: bool) -> bool:
    """Print the comparison; False if ours is below on any skill."""
    with tempfile.TemporaryDirectory() as folder:
        path, small = os.path.join(folder, "log.parquet"), os.path.join(folder, "small.parquet")
        for place, size in ((path, responses), (small, 10_000)):
            write(data.simulated(size, skills=skills, shuffled=shuffled), place)
        data.warmed_up()
        time_theirs(Theirs(1), small)
        log, theirs = at.Log.read(path), Theirs(starts)
        print(f"{log}, rows {'shuffled' if shuffled else 'in order'}; {machine()}; ours: median of {repeat}; pyBKT: one run")
        compare_files(theirs, path, repeat)
        passed = report_likelihoods(FEATURES["standard"].model().fit(log), theirs.found()[0], log, "pyBKT")
    cold, warm = fresh.cold_and_warm()
    print(f"first results in a new process: {cold:.1f} s with a cold Numba cache, {warm:.1f} s with a warm one")
    return passed


def write(table: pa.Table, path: str) -> None:
    """With the columns that pyBKT expects."""
    pq.write_table(table.rename_columns([NAMES.get(name, name) for name in table.column_names]), path)


def main() -> int:
    """Run the comparison; 1 if adaptrace reached a lower likelihood than pyBKT on any skill of a plain feature."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--responses", type=int, nargs="+", help="default: 10^5, 10^6 and 10^7; with --file 10^7")
    parser.add_argument("--features", nargs="+", choices=FEATURES, default=list(FEATURES))
    parser.add_argument("--starts", type=int, default=5, help="random starts of pyBKT (its default: 5)")
    parser.add_argument("--repeat", type=int, default=5, help=f"runs of each; what takes over {PATIENCE:.0f} s runs once")
    parser.add_argument("--limit", type=float, default=300.0, help="seconds of one pyBKT fit, beyond which a size is left out")
    parser.add_argument("--file", action="store_true", help="from a Parquet file to the fitted model, its rows shuffled")
    parser.add_argument("--in-order", action="store_true", help="like --file, the rows in order")
    parser.add_argument("--skills", type=int, default=data.SKILLS, help="with --file: how many")
    options = parser.parse_args()
    os.environ.setdefault("OMP_WAIT_POLICY", "passive")  # spinning threads would cost pyBKT dearly on a shared machine
    try:
        import pyBKT.models  # noqa: F401
    except (ImportError, AttributeError) as error:
        leave(HOW_TO_GET.format(error=error))
    if options.file or options.in_order:
        run = partial(from_file, skills=options.skills, starts=options.starts, repeat=options.repeat)
        results = [run(size, shuffled=not options.in_order) for size in options.responses or SIZES[-1:]]
        passed = all(results)
    else:
        print(f"{data.SKILLS} skills of {data.ITEMS_PER_SKILL} items; {machine()}; pyBKT from {options.starts} starts")
        passed = in_memory(options.responses or SIZES, options.features, options.starts, options.repeat, options.limit)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
