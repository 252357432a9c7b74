"""Write the golden files of a release: ``python tests/golden/make.py 0.1`` makes ``tests/golden/0.1``.

A folder that is there already is left as it is: files of a release are never changed.
"""

from __future__ import annotations

import datetime
import json
import shutil
import sys
import tempfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

if __name__ == "__main__":  # run as a script: tests/ is the folder that names begin from
    sys.path.insert(0, str(Path(__file__).parents[1]))

import adaptrace as at
from golden import reading
from golden.reading import LEVELS, NOW, PROJECT_LEVELS

START = datetime.datetime(2025, 9, 1, 8, tzinfo=datetime.UTC)
SKILLS = ("adding", "counting", "decimals", "halves", "percent", "quarters")
SEVERAL = (("adding", "counting"), ("decimals", "percent"), ("halves", "quarters"), ("adding", "halves", "quarters"))
NEW = "roots"  # a skill that no fit sees
ITEMS = {f"{skill} {number}": (skill,) for skill in SKILLS for number in (1, 2, 3)}
MIXED = {f"{' and '.join(skills)} {number}": skills for skills in SEVERAL for number in (1, 2)}
UNSEEN = {f"{NEW} 1": (NEW,), "halves 9": ("halves",)}
Rows = list[dict[str, Any]]


# ---- students and their responses -------------------------------------------


def simulated(seed: int, names: list[str], items: dict[str, tuple[str, ...]], *, kinds: bool, responses: int) -> Rows:
    """Students who learn by answering; with ``kinds``: also quizzes, projects of five levels and partial credit."""
    random = np.random.default_rng(seed)
    return [row for number, name in enumerate(names) for row in student(name, number, items, kinds, responses, random)]


def student(
    name: str, number: int, items: dict[str, tuple[str, ...]], kinds: bool, responses: int, random: np.random.Generator
) -> Iterator[dict[str, Any]]:
    """One student's responses, minutes to days apart; what they know they forget with a half-life of two months."""
    known = {skill: random.random() < 0.3 for skill in (*SKILLS, NEW)}
    time, group = START + datetime.timedelta(hours=number), ("north", "south")[number % 2]
    for _ in range(responses):
        item = str(random.choice(list(items)))
        days = round(float(random.choice([0.002, 0.03, 1.0, 6.0]) * random.random()), 6)
        time += datetime.timedelta(days=days)
        known = {skill: knows and bool(random.random() < 0.5 ** (days / 60)) for skill, knows in known.items()}
        kind = str(random.choice(["practice", "quiz", "project"], p=[0.7, 0.2, 0.1])) if kinds else "practice"
        chance = 0.85 if all(known[skill] for skill in items[item]) else 0.25
        correct = outcome(kind, chance, kinds, random)
        what = {"item": item, "skills": items[item], "kind": kind, "correct": correct}
        yield {"student": name, "group": group, "time": time, **what}
        for skill in items[item]:
            known[skill] = known[skill] or bool(random.random() < 0.2)


def outcome(kind: str, chance: float, partial: bool, random: np.random.Generator) -> float:
    """Right or wrong, half right now and then, and the share of a project's highest level."""
    if kind == "project":
        return float(random.binomial(PROJECT_LEVELS - 1, chance)) / (PROJECT_LEVELS - 1)
    return 0.5 if partial and random.random() < 0.1 else float(random.random() < chance)


def table_of(rows: Rows) -> pa.Table:
    """Rows as a table; a column ``skill`` where no event has several."""
    table = pa.Table.from_pylist(rows)
    if pc.max(pc.list_value_length(table["skills"])).as_py() > 1:
        return table
    return table.drop_columns("skills").append_column("skill", pc.list_flatten(table["skills"]))


@cache
def school(*, several: bool = False, kinds: bool = True, students: int = 24) -> at.Log:
    """What models are fitted to."""
    names = [f"student {number}" for number in range(students)]
    return at.Log.from_arrow(table_of(simulated(1, names, ITEMS | (MIXED if several else {}), kinds=kinds, responses=48)))


def write_logs(folder: Path) -> None:
    """The golden logs: two students whom the fits saw and two new ones, with two items and a skill that no fit saw."""
    names = ["student 3", "student 8", "Ada", "Bo"]
    of_three = {item: skills for item, skills in ITEMS.items() if skills[0] in SKILLS[::2]}  # more responses on each
    items = {"plain": of_three, "kinds": ITEMS, "several": ITEMS | MIXED}
    for seed, name in enumerate(reading.LOGS, start=10):
        rows = simulated(seed, names, items[name] | UNSEEN, kinds=name != "plain", responses=21)
        write(table_of(rows), folder / "logs" / f"{name}.parquet")


def catalog() -> dict[str, Any]:
    """Items and what comes first."""
    items = [{"item": item, "skills": skills, "title": item.title(), "minutes": 5.0} for item, skills in ITEMS.items()]
    items += [{"item": item, "skills": skills, "kind": "quiz", "provider": "Elsewhere"} for item, skills in MIXED.items()]
    before = [{"skill": "quarters", "prerequisites": ["halves"]}, {"skill": "percent", "prerequisites": ["decimals", "quarters"]}]
    return {"items": items, "skills": [*before, {"skill": "decimals", "soft_prerequisites": ["adding"]}]}


# ---- models -----------------------------------------------------------------


@cache
def fitted() -> dict[str, Any]:
    """A model of every family, and a BKT of every option."""
    return {**exact_models(), **models_with_exp()}


@cache
def exact_models() -> dict[str, Any]:
    """Models whose predictions take no exp and no log, so that they are the same bits on every machine."""
    log, events = school(kinds=False), school(several=True)
    base = at.BKT().fit(log)
    limits = {"bounds": {"guess": (0.0, 0.3), "slip": (0.05, 0.3)}}
    known = {"prior": np.linspace(0.1, 0.6, len(SKILLS)), "learn": 0.15, "guess": 0.2, "slip": 0.1, "forget": 0.005}
    return {
        "constant": at.Constant().fit(log),
        "bkt": base,
        "bkt-no-forgetting": at.BKT(forget=False).fit(log),
        "bkt-classic": at.BKT(forget=False, pooling=0.0, plausible=False).fit(log),
        "bkt-bounds": at.BKT(**limits).fit(log),
        "bkt-fixed": at.BKT(fixed={"slip": 0.1, "forget": 0.01}).fit(log),
        "bkt-smoothing": at.BKT(smoothing={"learn": (1.0, 9.0), "prior": (2.0, 3.0)}).fit(log),
        "bkt-pooling": at.BKT(pooling=25.0).fit(log),
        "bkt-implausible": at.BKT(plausible=False).fit(log),
        "bkt-base": at.BKT().fit(log.select(pc.less(log.table["time"], at_day(12))), base=base),
        "bkt-given": at.BKT.from_parameters(list(SKILLS), **known),
        "bkt-conjunctive": at.BKT().fit(events),
        "bkt-mean": at.BKT(combine="mean").fit(events),
        "bkt-min": at.BKT(combine="min").fit(events),
        "bkt-weakest-first": at.BKT(combine="weakest-first").fit(events),
    }


@cache
def models_with_exp() -> dict[str, Any]:
    """Models whose predictions take an exp."""
    log, events = school(), school(several=True)
    features = [
        at.Feature(what="one", l2=0.0),
        at.Feature(what="recent", of="skill", by="skill", rate=0.8),
        at.Feature(what="one", of="skill", by="pattern"),
    ]
    features += [
        at.Feature(what="window_wins", days=0.5),
        at.Feature(what="days", of="item"),
        at.Feature(what="last"),
        at.Feature(what="gap", of="skill"),
    ]
    unfitted = {
        "bkt-items": at.BKT(items=("learn", "guess", "slip")),
        "bkt-kinds": at.BKT(kinds=("learn", "guess", "slip")),
        "bkt-groups": at.BKT(groups=("prior", "learn")),
        "bkt-students": at.BKT(students=("prior", "learn")),
        "bkt-levels": at.BKT(levels=LEVELS),
        "bkt-elapsed": at.BKT(elapsed=True),
        reading.STORE_MODEL: at.BKT(kinds=("guess", "slip"), levels=LEVELS, elapsed=True),
        "pfa": at.PFA(),
        "afm": at.AFM(),
        "best-lr": at.BestLR(),
        "das3h": at.DAS3H(),
        "recency": at.Recency(),
        "logistic": at.Logistic(features=features, name="features of our own", l2=2.0),
        "rasch": at.Rasch(),
        "rasch-still": at.Rasch(drift=False, skills=False),
        "2pl": at.TwoPL(),
        "half-life": at.HalfLife(),
        "half-life-noisy": at.HalfLife(guess_and_slip=True),
        "fsrs": at.FSRS(),
        "blend": at.Blend(),
        "boosted": at.Boosted(),
    }
    everything = at.BKT(
        items=("slip",), kinds=("guess",), groups=("prior",), students=("learn",), levels=LEVELS, elapsed=True, combine="mean"
    )
    return {name: model.fit(log) for name, model in unfitted.items()} | {"bkt-everything": everything.fit(events)}


def write_models(folder: Path) -> None:
    for name, model in fitted().items():
        model.save(folder / "models" / f"{name}.json")


# ---- stats ------------------------------------------------------------------


def write_stats(folder: Path) -> None:
    """Counts: plain, of events with several skills, of at least three students each, and with all that can be told apart."""
    plain = school(kinds=False)
    logs = {"plain": plain, "suppressed": plain, "several": school(several=True), "kinds": school(), "all": school(students=6)}
    for name, make in reading.STATS.items():
        stats = make().stats(logs[name])
        if name == "suppressed":
            stats, _ = stats.suppressed(3)
        stats.save(folder / "stats" / f"{name}.parquet")


# ---- a state of two nights --------------------------------------------------


def write_nights(folder: Path) -> None:
    """The rows of three nights; those of the third hold a student's row of the first day, which came late."""
    names = ["Ada", "Bo", "Zoë", "O'Brien 🦉", *(f"student {number}" for number in range(8))]
    table = table_of(simulated(20, names, ITEMS | UNSEEN, kinds=False, responses=24)).drop_columns(["group", "kind"])
    day = pc.days_between(pa.scalar(START, table["time"].type), table["time"])
    night = np.digitize(day.to_numpy(), [10, 18])
    night[0] = 2
    for number in range(3):
        write(table.filter(pa.array(night == number)), folder / "nights" / f"night-{number + 1}.parquet")


def write_states(folder: Path) -> None:
    """The states after two nights."""
    for name, model in reading.STATES.items():
        with tempfile.TemporaryDirectory() as scratch:
            nights, out = Path(scratch) / "nights", Path(scratch) / "mastery"
            nights.mkdir()
            for number in (1, 2):
                shutil.copy(folder / "nights" / f"night-{number}.parquet", nights)
                at.score_dataset(nights, out, model=fitted()[model], state=folder / "states" / name, workers=1)


# ---- a store ----------------------------------------------------------------


def write_store(folder: Path) -> None:
    """A store with events of every kind: in order, late, corrected, taken back, of several skills, that answer a decision."""
    model, catalog = fitted()[reading.STORE_MODEL], at.Catalog.read(folder / "catalog.json")
    rows = simulated(30, list(reading.ROSTER[:-1]), ITEMS | MIXED, kinds=True, responses=18)
    events = [row | {"event_id": f"e{number:03d}"} for number, row in enumerate(rows)]
    with (
        tempfile.TemporaryDirectory() as scratch,
        at.Tutor.open(Path(scratch) / "store.db", model=model, catalog=catalog, clock=lambda: NOW) as tutor,
    ):
        tutor.observe_many(table_of(events))
        add_special_events(tutor, events)
        add_decisions(tutor)
        tutor.snapshot(folder / "store.db")


def add_special_events(tutor: at.Tutor, events: Rows) -> None:
    """Late ones, corrections, retractions, levels, explicit skills, partial credit, a new class, ten wrong answers in a row."""
    ada = [row for row in events if row["student"] == "Ada"]
    bo = [row for row in events if row["student"] == "Bo"]
    tutor.observe("Ada", "adding 2", 1, time=at_day(1), event_id="late")
    tutor.observe("Ada", "halves 1", 0, time=ada[5]["time"], event_id="same moment")
    tutor.observe("Ada", ada[3]["item"], 1 - round(ada[3]["correct"]), event_id="corrected", replaces=ada[3]["event_id"])
    tutor.observe("Ada", "halves 2", 1, event_id="corrected again", replaces="corrected")
    tutor.retract(ada[7]["event_id"])
    tutor.retract(bo[-1]["event_id"])
    tutor.observe("Bo", "bridge", level=3, kind="project", skills=["halves", "adding"], time=at_day(41), event_id="project")
    tutor.observe("Bo", "quarters 1", 1 / 3, kind="quiz", time=at_day(42), event_id="a third", group="west")
    for number in range(10):
        tutor.observe("O'Brien 🦉", "percent 1", 0, time=at_day(40), event_id=f"stuck {number}")
    tutor.observe("Zoë", "talk", 1, kind="a teacher's word", skills=[NEW], time=at_day(43), event_id="judgement")


def add_decisions(tutor: at.Tutor) -> None:
    """Recommendations that are recorded, answered, and counted under an exposure cap."""
    capped = at.Constraints(exposure_cap=0.4)
    for number, name in enumerate(reading.ROSTER[:3]):
        options: dict[str, Any] = {"explore": 0.5, "constraints": capped} if number else {}
        shown = tutor.recommend(name, 3, time=at_day(44), seed=number, decision_id=f"decision {number}", **options)
        answer = {"event_id": f"answer {number}", "decision_id": f"decision {number}"}
        tutor.observe(name, shown[-1].item.item, number % 2, time=at_day(45), **answer)


# ---- what is read from them -------------------------------------------------


def write_expected(folder: Path) -> None:
    """All that today's code reads from the files: ``tests/test_golden.py`` reads it again."""
    expected = folder / "expected"
    write_predictions(folder, expected)
    write_counts(folder, expected)
    with tempfile.TemporaryDirectory() as scratch:
        for name in reading.STATES:
            write(reading.third_night(folder, name, Path(scratch))[0], expected / f"night-{name}.parquet")
        with reading.tutor_of(folder, Path(scratch)) as tutor:
            for name, table in reading.store_tables(tutor).items():
                write(table, expected / f"store-{name}.parquet")
    about = {
        "versions": reading.versions(),
        "exp": reading.exp_and_log(),
        "exact": list(exact_models()),
        "fingerprints": {name: reading.fingerprint(model) for name, model in fitted().items()},
    }
    (expected / "about.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")


def write_predictions(folder: Path, expected: Path) -> None:
    """Predictions, a column a model; and one table of mastery for each log."""
    for name in reading.LOGS:
        log, predicted, known = reading.log_of(folder, name), {}, []
        for model in fitted():
            read = reading.model_of(folder, model)
            predicted[model] = reading.predictions(read, log)
            if (table := reading.mastery(read, log)) is not None:
                known.append(table.add_column(0, "model", pa.array([model] * len(table))))
        write(pa.table(predicted), expected / f"predictions-{name}.parquet")
        write(pa.concat_tables(known), expected / f"mastery-{name}.parquet")


def write_counts(folder: Path, expected: Path) -> None:
    """The sequences and symbols of stats, and what a model fitted to them predicts."""
    log, fits = reading.log_of(folder, "kinds"), {}
    for name in reading.STATS:
        stats = reading.stats_of(folder, name)
        write(reading.sequences(stats), expected / f"sequences-{name}.parquet")
        write(reading.symbols(stats), expected / f"symbols-{name}.parquet")
        fits[name] = reading.fitted_to(stats, name, log)
    write(pa.table(fits), expected / "fits.parquet")


# ---- all of it --------------------------------------------------------------


def at_day(day: int) -> datetime.datetime:
    return START + datetime.timedelta(days=day)


def write(table: pa.Table, path: Path) -> None:
    """One Parquet file."""
    pq.write_table(table, path, compression="zstd")


def make(folder: Path) -> None:
    """Everything, in an empty folder."""
    for name in ("logs", "models", "stats", "nights", "states", "expected"):
        (folder / name).mkdir()
    (folder / "catalog.json").write_text(json.dumps(catalog(), indent=1) + "\n", encoding="utf-8")
    for step in (write_logs, write_models, write_stats, write_nights, write_states, write_store, write_expected):
        step(folder)


def main(release: str) -> None:
    """Make the folder of a release, whole or not at all."""
    folder = Path(__file__).parent / release
    if folder.exists():
        sys.exit(f"{folder}: is there already; files of a release are never changed")
    with tempfile.TemporaryDirectory() as scratch:
        made = Path(scratch) / release
        made.mkdir()
        make(made)
        shutil.copytree(made, folder)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python tests/golden/make.py RELEASE, e.g. 0.1")
    main(sys.argv[1])
