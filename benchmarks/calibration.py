"""Whether 90 % intervals hold the truth nine times in ten.

    python calibration.py [--responses 5 10 20] [--plot FILE.svg]

Draws 500 skills with their own parameters, all within what the model may find (plausible, forgetting up to 2 %), 300 students
on each, fits them, and counts how often the intervals of parameters and of mastery hold the values that the data were drawn
from. Mastery is that of the true model after the same responses. Beside it, without pooling, and the bootstrap.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
from layout import aligned
from numpy.typing import NDArray

import adaptrace as at

SKILLS, STUDENTS, SEED = 500, 300, 0
DRAWS = 100  # of the bootstrap
NAMES = [f"s{number:03}" for number in range(SKILLS)]
MODELS: dict[str, dict[str, Any]] = {
    "BKT()": {},
    "pooling=0": {"pooling": 0.0},
    "forget=False": {"forget": False},
    "forget=False, pooling=0": {"forget": False, "pooling": 0.0},
}
LEVELS = np.arange(0.1, 1.0, 0.1)  # of the intervals in the picture

Array = NDArray[np.float64]
Truth = Mapping[str, Array]


# ---- what is true -----------------------------------------------------------


def is_plausible(prior: Array, learn: Array, forget: Array, guess: Array, slip: Array) -> NDArray[np.bool_]:
    """Whether three right answers never lower mastery and ten reach 0.95 (Baker, Corbett & Aleven, 2008)."""
    reached = [prior]
    for _ in range(10):
        known = reached[-1] * (1.0 - slip) / (reached[-1] * (1.0 - slip) + (1.0 - reached[-1]) * guess)
        reached.append(known * (1.0 - forget) + (1.0 - known) * learn)
    return (reached[3] >= prior) & (reached[10] >= 0.95)


def draw_truth(forgets: bool) -> dict[str, Array]:
    """Parameters of the skills; implausible ones are drawn again."""
    random, many = np.random.default_rng([SEED, 1]), 4 * SKILLS
    truth = {
        "prior": random.beta(3, 4, many),
        "learn": random.beta(2, 9, many),
        "forget": random.uniform(0.0, 0.02, many) * forgets,
        "guess": random.uniform(0.05, 0.35, many),
        "slip": random.uniform(0.03, 0.25, many),
    }
    kept = np.flatnonzero(is_plausible(**truth))[:SKILLS]
    return {name: values[kept] for name, values in truth.items()}


def answers(truth: Truth, length: int) -> at.Log:
    """A log of students who follow the truth."""
    random = np.random.default_rng([SEED, 2])
    prior, learn, forget, guess, slip = (values[:, None] for values in truth.values())
    known = random.random((SKILLS, STUDENTS)) < prior
    correct = np.empty((SKILLS, STUDENTS, length), np.int8)
    for step in range(length):
        correct[:, :, step] = random.random(known.shape) < np.where(known, 1.0 - slip, guess)
        known = random.random(known.shape) < np.where(known, 1.0 - forget, learn)
    student = np.repeat(np.arange(SKILLS * STUDENTS), length)
    skill = pa.array(NAMES).take(pa.array(student // STUDENTS))
    item = np.zeros(len(student), np.int8)
    return at.Log.from_arrow(pa.table({"student": student, "item": item, "skill": skill, "correct": correct.ravel()}))


# ---- what the intervals hold ------------------------------------------------


def held(table: pa.Table, truth: Array, low: str, high: str) -> float:
    """The share of the intervals between two columns that hold the truth."""
    return float(((table[low].to_numpy() <= truth) & (truth <= table[high].to_numpy())).mean())


def coverage(model: at.BKT, log: at.Log, truth: Truth, mastery: Array) -> list[float]:
    """Of a fit's intervals: each parameter, then mastery; NaN for what is no parameter."""
    summary = model.summary()
    shares = [held(summary, values, f"{name}_low", f"{name}_high") for name, values in truth.items()]
    if not model.forget:
        shares[2] = np.nan
    return [*shares, held(model.score(log), mastery, "low", "high")]


def bootstrapped(model: at.BKT, log: at.Log, truth: Truth) -> list[float]:
    """Of the bootstrap's percentile intervals: each parameter."""
    draws = model.bootstrap(model.stats(log), draws=DRAWS, seed=SEED)
    shares = []
    for name, values in truth.items():
        drawn = draws[name].to_numpy().reshape(DRAWS, SKILLS)
        low, high = np.quantile(drawn, [0.05, 0.95], axis=0, method="weibull")  # the only one that is right for few draws
        shares.append(float(((low <= values) & (values <= high)).mean()) if name != "forget" or model.forget else np.nan)
    return [*shares, np.nan]


def shown(shares: list[float]) -> list[str]:
    """In percent."""
    return ["-" if np.isnan(share) else f"{share:.1%}" for share in shares]


def report(length: int, bootstrap: bool) -> list[list[str]]:
    """The lines of the table for students with so many responses."""
    lines = []
    for forgets in (True, False):
        truth = draw_truth(forgets)
        log = answers(truth, length)
        mastery = at.BKT.from_parameters(NAMES, **truth).score(log)["mastery"].to_numpy()
        for name, options in MODELS.items():
            if options.get("forget", True) != forgets:
                continue
            model = at.BKT(**options).fit(log)
            lines.append([str(length), name, *shown(coverage(model, log, truth, mastery))])
            if bootstrap:
                lines.append([str(length), f"{name}, bootstrap", *shown(bootstrapped(model, log, truth))])
    return lines


# ---- the picture ------------------------------------------------------------


def plot(path: str, length: int) -> None:
    """How often intervals of every level hold the truth, and how often responses of every predicted chance are right."""
    import matplotlib.pyplot as plt

    plt.rcParams.update({"svg.hashsalt": "adaptrace", "svg.fonttype": "none"})  # the same file every time, and a small one
    truth = draw_truth(True)
    log = answers(truth, length)
    model = at.BKT().fit(log)
    known = at.BKT.from_parameters(NAMES, **truth).score(log)["mastery"].to_numpy()
    figure, (left, right) = plt.subplots(1, 2, figsize=(8, 4), layout="constrained")
    for name, z in {**parameter_errors(model, truth), "mastery": mastery_errors(model, log, known)}.items():
        left.plot(LEVELS, [(np.abs(z) <= normal_quantile(level)).mean() for level in LEVELS], marker=".", label=name)
    left.set(xlabel="level of the interval", ylabel="share that holds the truth", title="Intervals", xlim=(0, 1), ylim=(0, 1))
    predicted, correct = model.predict(log), log.correct
    bins = np.clip((predicted * 20).astype(int), 0, 19)
    filled = np.flatnonzero(np.bincount(bins, minlength=20) >= 200)
    right.plot(
        *([np.bincount(bins, each, 20)[filled] / np.bincount(bins, minlength=20)[filled] for each in (predicted, correct)]),
        marker="o",
    )
    right.set(xlabel="predicted P(correct)", ylabel="share of right answers", title="Predictions", xlim=(0, 1), ylim=(0, 1))
    for axes in (left, right):
        axes.axline((0, 0), slope=1, color="gray", linewidth=0.8, linestyle=":")
        axes.set_aspect("equal")
    left.legend(frameon=False)
    figure.savefig(path, metadata={"Date": None} if path.endswith(".svg") else None)


def logit(p: Array) -> Array:
    """log(p / (1 - p))."""
    return np.log(p) - np.log1p(-p)


def normal_quantile(level: float) -> float:
    """Half the width, in standard deviations, of the interval of this level."""
    from scipy.special import ndtri

    return float(ndtri(0.5 + 0.5 * level))


def parameter_errors(model: at.BKT, truth: Truth) -> dict[str, Array]:
    """How many standard deviations the truth is from each parameter, on the logit scale."""
    summary = model.summary()
    errors = {}
    for name, values in truth.items():
        low, centre, high = (logit(np.clip(summary[f"{name}{end}"].to_numpy(), 1e-9, 1 - 1e-9)) for end in ("_low", "", "_high"))
        spread = (high - low) / (2.0 * normal_quantile(0.9))
        errors[name] = (logit(values) - centre) / np.maximum(spread, 1e-12)
    return errors


def mastery_errors(model: at.BKT, log: at.Log, known: Array) -> Array:
    """How many standard deviations the true model's mastery is from the fit's, on the logit scale."""
    score = model.score(log)
    low, centre, high = (logit(np.clip(score[name].to_numpy(), 1e-300, 1 - 1e-16)) for name in ("low", "mastery", "high"))
    return (logit(known) - centre) / np.maximum((high - low) / (2.0 * normal_quantile(0.9)), 1e-12)


def main() -> None:
    """Print the shares."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--responses", type=int, nargs="+", default=[5, 10, 20], help="of each student on a skill")
    parser.add_argument("--no-bootstrap", action="store_true", help="leave the bootstrap out")
    parser.add_argument("--plot", metavar="FILE", help="write the picture for 10 responses, and no table; needs matplotlib")
    options = parser.parse_args()
    if options.plot:
        plot(options.plot, 10)
        return
    print(f"{SKILLS} skills, {STUDENTS} students each; 90 % intervals hold the truth in (standard error 1.3 points a parameter)")
    lines = [line for length in options.responses for line in report(length, not options.no_bootstrap)]
    print(aligned(["responses", "fit", "prior", "learn", "forget", "guess", "slip", "mastery"], lines, left=2))


if __name__ == "__main__":
    main()
