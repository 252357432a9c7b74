"""What today's code reads from golden files, as plain tables: every call of adaptrace that reads one stands here.

``make.py`` writes what these functions give into the folder of a release, ``tests/test_golden.py`` compares what they give later.
A column that a table gets in a later release is not in these tables: older files know nothing of it.
"""

from __future__ import annotations

import datetime
import hashlib
import json
import math
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numba
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import adaptrace as at
from adaptrace.models import FAMILIES

NOW = datetime.datetime(2025, 10, 17, 8, tzinfo=datetime.UTC)  # what the clock of the store says
ROSTER = ("Ada", "Bo", "Zoë", "O'Brien 🦉", "nobody yet")
PROJECT_LEVELS = 5
LEVELS = {"project": PROJECT_LEVELS}
LOGS = ("plain", "kinds", "several")
STATES = {"bkt": "bkt", "fading": "bkt-elapsed"}  # folder -> the model that it is of
STORE_MODEL = "bkt-store"
SCORE = ("student", "skill", "mastery", "low", "high", "opportunities", "fitted", "last_time")
KNOWN = ("skill", "mastery", "verdict", "opportunities", "last_time", "reached_after", "wheel_spinning")
EVENT = ("student", "item", "skills", "correct", "time", "kind", "event_id", "group", "decision_id")
DECIDED = (*EVENT, "propensity", "candidates", "propensities")

STATS: dict[str, Callable[[], at.BKT]] = {  # stats file -> the model whose counts it holds
    "plain": at.BKT,
    "several": at.BKT,
    "suppressed": at.BKT,
    "kinds": lambda: at.BKT(kinds=("guess", "slip"), levels=LEVELS),
    "all": lambda: at.BKT(items=("slip",), kinds=("guess",), groups=("prior",), levels=LEVELS, elapsed=True),
}


# ---- models -----------------------------------------------------------------


def families() -> set[str]:
    return set(FAMILIES)


def bkt_options() -> dict[str, Any]:
    """Every option of a BKT, with its default as a file has it."""
    plain = at.BKT.from_parameters(["a skill"], prior=0.3, learn=0.2, guess=0.1, slip=0.1, forget=0.01).to_dict()
    return {name: value for name, value in plain.items() if name not in ("family", "skills", "effects")}


def log_of(folder: Path, name: str) -> at.Log:
    return at.Log.read(folder / "logs" / f"{name}.parquet")


def model_of(folder: Path, name: str) -> Any:
    return at.load(folder / "models" / f"{name}.json")


def fingerprint(model: Any) -> str:
    return str(model.fingerprint)


def predictions(model: Any, log: at.Log) -> pa.Array:
    return pa.array(model.predict(log))


def mastery(model: Any, log: at.Log) -> pa.Table | None:
    """The table of mastery; None of a model that knows none."""
    return in_plain(model.score(log), SCORE) if hasattr(model, "score") else None


# ---- stats ------------------------------------------------------------------


def stats_of(folder: Path, name: str) -> at.Stats:
    return at.Stats.load(folder / "stats" / f"{name}.parquet")


def symbols(stats: at.Stats) -> pa.Table:
    return stats.observations


def sequences(stats: at.Stats) -> pa.Table:
    """How many students gave which sequence of symbols on which skill, and no other response on it."""
    rows, trie = [], stats.trie
    for number, skill in enumerate(stats.skills.to_pylist()):
        nodes = slice(*trie.start[number : number + 2].tolist())
        parents, students = trie.parent[nodes].tolist(), trie.students[nodes].tolist()
        ends, texts = list(students), []
        for parent, symbol, through in zip(parents, trie.symbol[nodes].tolist(), students, strict=True):
            texts.append(f"{texts[parent]} {symbol}" if parent >= 0 else str(symbol))
            if parent >= 0:
                ends[parent] -= through
        rows += [{"skill": skill, "sequence": text, "students": n} for text, n in zip(texts, ends, strict=True) if n]
    return pa.Table.from_pylist(rows)


def fitted_to(stats: at.Stats, name: str, log: at.Log) -> pa.Array:
    """What a model that is fitted to the stats predicts."""
    return predictions(STATS[name]().fit(stats), log)


# ---- a state ----------------------------------------------------------------


def third_night(folder: Path, name: str, scratch: Path) -> tuple[pa.Table, int, int]:
    """Mastery after the third night over the state of two, the rows that were read for it, and the students with late rows."""
    state = scratch / f"state-{name}"
    shutil.copytree(folder / "states" / name, state)
    return score_nights(folder, STATES[name], scratch / f"mastery-{name}", state)


def score_nights(folder: Path, model: str, out: Path, state: Path | None = None) -> tuple[pa.Table, int, int]:
    """Mastery after all nights."""
    scored = at.score_dataset(folder / "nights", out, model=model_of(folder, model), state=state, workers=1)
    table = in_plain(pq.read_table(out), SCORE).sort_by([("student", "ascending"), ("skill", "ascending")])
    return table, scored.responses, scored.late


# ---- a store ----------------------------------------------------------------


@contextmanager
def tutor_of(folder: Path, scratch: Path) -> Iterator[at.Tutor]:
    """The tutor of a copy of the store: to read the original would change it."""
    shutil.copy(folder / "store.db", scratch / "store.db")
    catalog = at.Catalog.read(folder / "catalog.json")
    with at.Tutor.open(scratch / "store.db", model=model_of(folder, STORE_MODEL), catalog=catalog, clock=lambda: NOW) as tutor:
        yield tutor


def rebuild(tutor: at.Tutor) -> int:
    return tutor.rebuild()


def deliver_again(tutor: at.Tutor, events: pa.Table) -> int:
    """How many of these events are new to the store."""
    return tutor.observe_many(events.select([name for name in EVENT if name not in ("group", "decision_id")]))


def store_tables(tutor: at.Tutor) -> dict[str, pa.Table]:
    """All that is read from a store: mastery and its evidence, recommendations, events, and those that answer a decision."""
    known = {name: tutor.mastery_table(name) for name in ROSTER}
    every = [row | {"student": name} for name, table in known.items() for row in table.to_pylist()]
    evidence = [{"student": row["student"], "skill": row["skill"], **each} for row in every for each in row["evidence"]]
    return {
        "mastery": pa.Table.from_pylist([{key: row[key] for key in ("student", *KNOWN)} for row in every]),
        "evidence": pa.Table.from_pylist(evidence),
        "recommendations": pa.Table.from_pylist([row for name in ROSTER for row in _recommended(tutor, name)]),
        "for-all": in_plain(tutor.recommend_all(ROSTER), ("student", "rank", "item", "utility", "skill", "mastery", "chance")),
        "events": _events(tutor.log(), EVENT),
        "decided": _events(tutor.log(decided=True), DECIDED),
    }


def _events(log: at.Log, names: tuple[str, ...]) -> pa.Table:
    """Events, their skills as a list also where no event has several."""
    if not log.has_several_skills:
        lists = pa.array([[skill] for skill in log.table["skill"].to_pylist()])
        return in_plain(log.table.append_column("skills", lists), names)
    return in_plain(log.table, names)


def _recommended(tutor: at.Tutor, student: str) -> Iterator[dict[str, Any]]:
    """The items for a student, with all that the reasons say but their sentences."""
    for rank, (item, utility, reason) in enumerate(tutor.recommend(student, 4), start=1):
        because = {name: getattr(reason, name) for name in ("skill", "mastery", "chance", "prerequisites", "unlocks", "due")}
        yield {"student": student, "rank": rank, "item": item.item, "utility": utility, **because, "why": reason.constraint}


# ---- tables and numbers -----------------------------------------------------


def in_plain(table: pa.Table, names: tuple[str, ...]) -> pa.Table:
    """These columns, names as text instead of codes."""
    columns = {}
    for name in names:
        column = table[name].combine_chunks()
        coded = pa.types.is_dictionary(column.type) or (
            pa.types.is_list(column.type) and pa.types.is_dictionary(column.type.value_type)
        )
        columns[name] = pa.array(column.to_pylist()) if coded else column
    return pa.table(columns)


def versions() -> dict[str, str]:
    """What the bits of a prediction may depend on beside adaptrace."""
    packages = {name: _version(name) for name in ("numba", "numpy", "pyarrow", "fsrs")}
    return {"python": platform.python_version(), "machine": f"{platform.system()} {platform.machine()}", **packages}


def _version(package: str) -> str:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return ""


def exp_and_log() -> str:
    """Names the exp and log of this machine, compiled and not: their last bit differs between C libraries and processors."""
    x = np.random.default_rng(0).uniform(-30.0, 30.0, 20_000)
    plain = [[math.exp(each), math.log(abs(each))] for each in x]
    content = [np.exp(x), np.log(np.abs(x)), np.log1p(np.exp(x)), np.array(plain), _compiled(x)]
    return hashlib.sha256(b"".join(each.tobytes() for each in content)).hexdigest()[:16]


@numba.njit
def _compiled(x: Any) -> Any:
    out = np.empty((len(x), 3))
    for row in range(len(x)):
        out[row] = np.exp(x[row]), np.log(abs(x[row])), 2.0 ** x[row]
    return out


def read_json(path: Path) -> Any:
    return json.loads(path.read_text(encoding="utf-8"))
