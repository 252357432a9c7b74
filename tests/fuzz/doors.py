"""Doors: where a file comes into the package. Each takes a file and a folder to write in, and checks what it was given back."""

from __future__ import annotations

import contextlib
import io
import json
import pickle
import shutil
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple
from zlib import crc32

import pyarrow as pa
import pyarrow.parquet as pq

import adaptrace as at
from adaptrace.cli import main
from adaptrace.dataset import spark_tasks
from adaptrace.dataset.dataset import ReadOptions
from adaptrace.dataset.survey import survey
from adaptrace.io import identity
from adaptrace.stats import parquet as stats_file
from fuzz import checks
from fuzz.checks import NotMade, plain
from fuzz.seeds import GOLDEN, MODEL, STATE_PART, STUDENTS, golden_models, responses, seed
from fuzz.stores import store_file, store_rows, stored_state

Door = Callable[[Path, Path], Any]
OTHERS = ("pfa", "2pl", "half-life", "bkt-elapsed", "bkt-everything", "das3h")  # golden models that logs are tried with


@cache
def golden_model(name: str) -> Any:
    """A golden model."""
    return at.load(GOLDEN / "models" / f"{name}.json")


@cache
def golden_log(name: str) -> at.Log:
    """A golden log."""
    return at.Log.read(GOLDEN / "logs" / f"{name}.parquet")


@cache
def good_log() -> at.Log:
    """The responses."""
    return at.Log.from_arrow(responses())


@cache
def good_catalog() -> at.Catalog:
    """Of their items."""
    items = json.loads(seed("catalog.json"))
    return at.Catalog.from_arrow(pa.Table.from_pylist(items["items"]), items["skills"])


# ---- logs -------------------------------------------------------------------


def use_log(log: at.Log, data: bytes = b"") -> None:
    """What is done with a log."""
    log.table.to_pylist()
    checks.probabilities(MODEL.predict(log), "prediction")
    checks.mastery(MODEL.score(log))
    other = golden_model(OTHERS[crc32(data) % len(OTHERS)])
    if set(other.needs) <= set(log.table.column_names):
        checks.probabilities(other.predict(log), "prediction")


def read_log(path: Path, folder: Path) -> None:
    """A file of responses, as Log.read takes it, also with a catalog and other columns."""
    log = at.Log.read(path)
    use_log(log, path.read_bytes())
    checks.names(path, log)
    checks.every(lambda: at.Log.read(path, catalog=good_catalog()), lambda: at.Log.read(path, keep=["correct"]))


def read_assistments(path: Path, folder: Path) -> None:
    """A file of a foreign format."""
    use_log(at.Log.read(path, format="assistments2009"), path.read_bytes())


class Stream:
    """Data that come by the C stream alone."""

    def __init__(self, table: pa.Table) -> None:
        self.table = table

    def __arrow_c_stream__(self, schema: Any = None) -> Any:
        return self.table.__arrow_c_stream__(schema)


def import_stream(path: Path, folder: Path) -> None:
    """A table that Arrow read without a look at its values."""
    try:
        table = pa.ipc.open_stream(path.read_bytes()).read_all()
    except (pa.ArrowException, OSError, MemoryError, ValueError) as error:
        raise NotMade from error
    for data in (table, Stream(table)):
        use_log(at.Log.from_arrow(data))


def import_columns(path: Path, folder: Path) -> None:
    """Plain Python lists, and a table that Arrow makes of them."""
    columns = plain(path)
    checks.every(lambda: use_log(at.Log.from_arrow(columns)), lambda: use_log(at.Log.from_arrow(table_of(columns))))


def table_of(columns: Any) -> pa.Table:
    """A table, column by column; what Arrow cannot hold is not there."""
    if not isinstance(columns, dict) or not all(isinstance(values, list) for values in columns.values()):
        raise NotMade
    try:
        return pa.table({name: pa.array(values) for name, values in columns.items()})
    except (pa.ArrowException, OverflowError, ValueError, TypeError, UnicodeError) as error:
        raise NotMade from error


def observe_columns(path: Path, folder: Path) -> None:
    """A table of responses that a tutor takes in."""
    table = table_of(plain(path))
    if "time" in table.column_names and pa.types.is_string(table["time"].type):
        with contextlib.suppress(pa.ArrowException):
            table = table.set_column(table.column_names.index("time"), "time", table["time"].cast(pa.timestamp("us", "UTC")))
    table = table.append_column("event_id", pa.array([f"e{n}" for n in range(len(table))]))
    with at.Tutor.open("memory:", model=MODEL, catalog=good_catalog()) as tutor:
        tutor.observe_many(table)
        checks.every(lambda: tutor.recommend_all(), lambda: tutor.log())


def decisions(path: Path, folder: Path) -> None:
    """A table of recorded decisions."""
    table = table_of(plain(path))
    target = table["propensities"] if "propensities" in table.column_names else [[1.0]] * len(table)
    for method in ("ips", "snips"):
        at.off_policy(table, "correct", target=target, method=method, least_effective=1.0)


# ---- datasets ---------------------------------------------------------------


def score(path: Path, folder: Path) -> None:
    """A file of a log that is scored piece by piece, and what is told of it."""
    out = folder / "out"
    at.score_dataset(path, out, model=MODEL, workers=1)
    checks.mastery(pq.read_table(out))
    at.report.mastery_by(out, "skill")
    at.stats_dataset(path, at.BKT(), workers=1)


def spark(path: Path, folder: Path) -> None:
    """The same file as a task of a cluster reads it."""
    dataset, problems = survey(path, ReadOptions.of(MODEL, columns=None, time_unit=None))
    if problems:
        raise at.DataError(str(path), problems)
    job, task = spark_tasks.SparkJob(dataset, MODEL), spark_tasks.scoring(str(folder))
    bundles = spark_tasks.split(job, 0, 2)
    results = [spark_tasks.whole(job, 0, task), spark_tasks.gathered(job, bundles, task)]
    for result in pickle.loads(pickle.dumps(results)):
        result.or_raise(str(path))
    spark_tasks.repeated([spark_tasks.students(dataset, 0)])
    for part in folder.glob("part-*.parquet"):
        checks.mastery(pq.read_table(part))


def in_state(name: str, kind: str) -> Door:
    """A door that carries a golden state on, in which the mutant stands for one of its files."""

    def use(path: Path, folder: Path) -> None:
        state = folder / "state"
        shutil.copytree(GOLDEN / "states" / kind, state)
        data = path.read_bytes()
        (state / name).write_bytes(data if path.suffix != ".json" or name.endswith(".json") else _part(path))
        for _ in range(2):
            at.score_dataset(GOLDEN / "nights", folder / "out", model=_STATE_MODELS[kind](), state=state, workers=1)
        checks.mastery(pq.read_table(folder / "out"))

    return use


def ready(path: Path, folder: Path) -> None:
    """What a run that was killed noted of the state that it was about to move into its place."""
    shutil.copytree(GOLDEN / "states" / "bkt", folder / "state")
    (folder / ".out.partial" / "out").mkdir(parents=True)
    (folder / ".out.partial" / "ready.json").write_bytes(path.read_bytes())
    at.score_dataset(GOLDEN / "nights", folder / "out", model=golden_model("bkt"), state=folder / "state", workers=1)
    checks.mastery(pq.read_table(folder / "out"))


def earlier(path: Path, folder: Path) -> None:
    """What a Parquet file says of the identities that it had."""
    log = folder / "log.parquet"
    pq.write_table(responses().replace_schema_metadata({identity.EARLIER: path.read_bytes()}), log)
    MODEL.save(folder / "model.json", sources=identity.sources(log))
    checks.every(lambda: identity.identities(log), lambda: at.forget_student("Zoë 1", [log], models=[folder / "model.json"]))


def forget_in_state(path: Path, folder: Path) -> None:
    """A student goes from a state whose manifest is the mutant."""
    shutil.copytree(GOLDEN / "states" / "bkt", folder / "state")
    shutil.copytree(GOLDEN / "nights", folder / "nights")
    (folder / "state" / "_manifest.json").write_bytes(path.read_bytes())
    at.forget_student("Ada", [folder / "nights"], state=folder / "state")


_STATE_MODELS = {"bkt": lambda: golden_model("bkt"), "fading": lambda: golden_model("bkt-elapsed")}


def _part(path: Path) -> bytes:
    """A file of a state that holds the columns of a mutant."""
    table = table_of(plain(path))
    like = pq.read_schema(GOLDEN / STATE_PART)
    for number, name in enumerate(table.column_names):
        if name in like.names:
            with contextlib.suppress(pa.ArrowException):
                table = table.set_column(number, name, table[name].cast(like.field(name).type))
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, store_schema=False)
    return bytes(sink.getvalue())


# ---- catalogs, rosters, mastery ---------------------------------------------


def use_catalog(catalog: at.Catalog) -> None:
    """What is done with a catalog."""
    known = {item.item for item in catalog.items}
    student = at.Student.from_log(MODEL, good_log(), student="Zoë 1", catalog=catalog)
    assert {choice.item.item for choice in at.recommend(student, catalog, k=3)} <= known
    assert pickle.loads(pickle.dumps(catalog)) == catalog
    checks.every(lambda: catalog.item("q1"), lambda: catalog.skills_of(pa.array(["q1", "q2"]), "x"))


def catalog(path: Path, folder: Path) -> None:
    """A catalog."""
    use_catalog(at.Catalog.read(path))


def prerequisites(path: Path, folder: Path) -> None:
    """A table of skills, beside a table of items."""
    (folder / "items.arrow").write_bytes(seed("catalog.arrow"))
    use_catalog(at.Catalog.read(folder / "items.arrow", skills=path))


@cache
def good_mastery() -> pa.Table:
    """The mastery after the responses."""
    return MODEL.score(good_log())


def roster(path: Path, folder: Path) -> None:
    """A roster: a file, or columns."""
    data = table_of(plain(path)) if path.suffix == ".json" else path
    for by in (["class"], ["class", "skill", "school"]):
        table = at.report.mastery_by(good_mastery(), by, roster=data, min_students=1)
        checks.probabilities(table["mastery"].drop_null().to_numpy(), "mean mastery", ends=True)


def mastery(path: Path, folder: Path) -> None:
    """A table of mastery: a file, or columns."""
    data = table_of(plain(path)) if path.suffix == ".json" else path
    table = at.report.mastery_by(data, "skill", min_students=1)
    checks.probabilities(table["mastery"].drop_null().to_numpy(), "mean mastery", ends=True)


# ---- models, students, stats ------------------------------------------------


def model(path: Path, folder: Path) -> None:
    """A model of any family."""
    fitted = at.load(path)
    checks.every(*(lambda log=log: checks.model(fitted, golden_log(log)) for log in ("kinds", "several")))  # type: ignore[misc]
    fitted.save(folder / "again.json")
    assert at.load(folder / "again.json").fingerprint == fitted.fingerprint


def student(path: Path, folder: Path) -> None:
    """A student as plain data, of the model that the file is named by."""
    name = next((name for name in STUDENTS if path.name.startswith(f"student-{name}-")), None)
    of, log = (golden_model(name), golden_log("several")) if name else (MODEL, good_log())
    known = at.Student.from_dict(plain(path), of, catalog=good_catalog())
    checks.one(known, log)
    if hasattr(of, "score"):
        at.recommend(known, good_catalog(), time=checks.after(known, log.table["time"][0].as_py()))


def stats(path: Path, folder: Path) -> None:
    """Counts, added to others, and a fit to them."""
    found = at.Stats.load(path)
    stats_file.factors(path)
    stats_file.sources(path)
    (folder / "good.parquet").write_bytes(seed(f"stats/{'kinds' if 'kind' in stats_file.factors(path) else 'plain'}.parquet"))
    both = found + at.Stats.load(folder / "good.parquet")
    both.save(folder / "both.parquet")
    fitted = at.BKT().fit(both.without(*both.factors))
    checks.probabilities(fitted.predict(golden_log("plain")), "prediction")
    found.suppressed(3)


def signed_stats(path: Path, folder: Path) -> None:
    """Counts that are wrong, under a fingerprint that is right."""
    document = plain(path)
    try:
        said = dict(document["said"])
        like = pq.read_schema(GOLDEN / "stats" / "plain.parquet")
        table = pa.table({name: pa.array(document["columns"][name], like.field(name).type) for name in like.names})
        said["fingerprint"] = stats_file._fingerprint(table, said)
        pq.write_table(table.replace_schema_metadata(said), folder / "signed.parquet")
    except (pa.ArrowException, LookupError, ValueError, TypeError, OverflowError, AttributeError, UnicodeError) as error:
        raise NotMade from error
    (folder / "inner").mkdir()
    stats(folder / "signed.parquet", folder / "inner")


# ---- privacy, the command line ----------------------------------------------


def pseudonyms(path: Path, folder: Path) -> None:
    """A table with names in the place of which pseudonyms stand, and one that a student is taken out of."""
    (folder / "key").write_bytes(seed("key"))
    (folder / "key").chmod(0o600)
    copy = shutil.copy(path, folder / f"copy{''.join(path.suffixes[-2:])}")
    checks.every(
        lambda: at.pseudonymize(path, folder / f"out{''.join(path.suffixes[-2:])}", key_file=folder / "key"),
        lambda: at.forget_student("Zoë 1", [copy]),
    )


def key(path: Path, folder: Path) -> None:
    """A key of pseudonyms."""
    path.chmod(0o600)
    (folder / "log.arrow").write_bytes(seed("log.arrow"))
    at.pseudonymize(folder / "log.arrow", folder / "out.arrow", key_file=path)


ASKED: dict[str, list[list[str]]] = {  # arguments of commands, by what the file is
    "log": [
        ["predict", "FILE", "-m", "MODEL"],
        ["score", "FILE", "-m", "MODEL"],
        ["stats", "FILE", "-o", "OUT.parquet"],
        ["recommend", "-m", "MODEL", "-C", "CATALOG", "-l", "FILE", "-s", "Zoë 1"],
        ["report", "stuck", "FILE", "-m", "MODEL"],
        ["forget-student", "Zoë 1", "--log", "FILE", "--dry-run"],
    ],
    "catalog": [["recommend", "-m", "MODEL", "-C", "FILE", "-l", "LOG", "-s", "Zoë 1"]],
    "stats": [["merge", "FILE", "FILE", "-o", "OUT.parquet"], ["merge", "FILE", "STATS", "-o", "OUT.parquet"]],
    "models": [
        ["summary", "-m", "FILE"],
        ["predict", "GOLDEN", "-m", "FILE"],
        ["forget-student", "Zoë 1", "--log", "LOG", "--models", "FILE"],
    ],
}


def command(path: Path, folder: Path) -> None:
    """The command line, which ends with 0, 1 or 2 and no traceback."""
    lists = ASKED[path.stem.split("-")[0]]
    words = {"FILE": str(path), "MODEL": str(folder / "model.json"), "CATALOG": str(folder / "catalog.json")}
    words |= {
        "LOG": str(folder / "log.arrow"),
        "OUT.parquet": str(folder / "out.parquet"),
        "STATS": str(folder / "stats.parquet"),
    }
    words["GOLDEN"] = str(GOLDEN / "logs" / "kinds.parquet")
    MODEL.save(folder / "model.json")
    for name in ("catalog.json", "log.arrow"):
        (folder / name).write_bytes(seed(name))
    (folder / "stats.parquet").write_bytes(seed("stats/plain.parquet"))
    arguments = lists[crc32(path.read_bytes()) % len(lists)]
    code, said = run([words.get(each, each) for each in arguments])

    if code not in (0, 1, 2) or "Traceback" in said:
        raise RuntimeError(f"{arguments[0]} ended with {code}: {said[-300:]}")
    if code:
        raise at.AdaptraceError(said)


def run(arguments: list[str]) -> tuple[Any, str]:
    """Run a command in this process: its code and what it says on stderr."""
    err, before = io.StringIO(), sys.argv
    sys.argv = ["adaptrace", *arguments]
    try:
        with contextlib.redirect_stdout(io.TextIOWrapper(io.BytesIO())), contextlib.redirect_stderr(err):
            main()
    except SystemExit as ended:
        return ended.code or 0, err.getvalue()
    finally:
        sys.argv = before
    return 0, err.getvalue()


# ---- which file goes where, and how it is damaged ---------------------------


class Case(NamedTuple):
    """Mutants of one file for one door."""

    door: str
    seed: str
    how: str  # a name of mutate.MUTATORS


DOORS: dict[str, Door] = {
    "read": read_log,
    "assistments": read_assistments,
    "stream": import_stream,
    "columns": import_columns,
    "observe": observe_columns,
    "decisions": decisions,
    "score": score,
    "spark": spark,
    "manifest": in_state("_manifest.json", "bkt"),
    "base": in_state("0001-piece-0000.parquet", "bkt"),
    "later": in_state("0002-piece-0000.parquet", "fading"),
    "ready": ready,
    "earlier": earlier,
    "forget": forget_in_state,
    "catalog": catalog,
    "skills": prerequisites,
    "roster": roster,
    "mastery": mastery,
    "model": model,
    "student": student,
    "stats": stats,
    "signed": signed_stats,
    "pseudonyms": pseudonyms,
    "key": key,
    "command": command,
    "store": store_file,
    "rows": store_rows,
    "states": stored_state,
}

LOGS = ["log.arrow", "log-codes.arrow", "log-lists.arrow", "stream.arrow", "stream-codes.arrow", "log.feather", "log.parquet"]
STREAMS = ["stream.arrow", "stream-codes.arrow", "stream-lists.arrow"]
TEXTS = ["log.csv", "log-lists.tsv"]


def cases() -> list[Case]:
    """Every case; mutant n is of the n-th, over and over."""
    return [
        *(Case("read", name, "bytes") for name in (*LOGS, "log.csv.gz", "log-lists.parquet")),
        *(Case("read", name, "cells") for name in TEXTS * 3),
        *(Case("stream", name, "bytes") for name in STREAMS * 2),
        *(Case("columns", "log.json", "data") for _ in range(3)),
        *(Case("observe", "log.json", "data") for _ in range(2)),
        *(Case("decisions", "decisions.json", "data") for _ in range(2)),
        *(Case(door, name, "bytes") for door in ("score", "spark") for name in ("log.parquet", "log-lists.parquet")),
        *(Case("manifest", "states/bkt/_manifest.json", "data") for _ in range(3)),
        Case("base", "states/bkt/0001-piece-0000.parquet", "bytes"),
        Case("later", STATE_PART, "bytes"),
        *(Case("later", "part.json", "data") for _ in range(2)),
        Case("ready", "ready.json", "data"),
        Case("earlier", "earlier.json", "data"),
        Case("assistments", "assistments.csv", "cells"),
        Case("forget", "states/bkt/_manifest.json", "data"),
        *(Case("catalog", "catalog.json", "data") for _ in range(3)),
        *(Case("catalog", "catalog.csv", "cells") for _ in range(2)),
        Case("catalog", "catalog.json", "bytes"),
        Case("catalog", "catalog.arrow", "bytes"),
        *(Case("skills", "skills.csv", "cells") for _ in range(2)),
        Case("skills", "skills.parquet", "bytes"),
        *(Case("roster", "roster.csv", "cells") for _ in range(2)),
        Case("roster", "roster.parquet", "bytes"),
        Case("roster", "roster.json", "data"),
        Case("mastery", "mastery.arrow", "bytes"),
        Case("mastery", "mastery.csv", "cells"),
        *(Case("mastery", "mastery.json", "data") for _ in range(2)),
        *(Case("model", name, "data") for name in golden_models()),
        Case("model", "models/bkt.json", "bytes"),
        *(Case("student", name, "data") for name in ("student.json", *(f"student-{name}.json" for name in STUDENTS))),
        *(Case("stats", name, "bytes") for name in ("stats/plain.parquet", "stats/kinds.parquet")),
        *(Case("signed", "stats.json", "data") for _ in range(3)),
        *(Case("pseudonyms", name, "bytes") for name in ("log.arrow", "log.parquet", "log-codes.arrow")),
        *(Case("pseudonyms", name, "cells") for name in TEXTS),
        Case("key", "key", "bytes"),
        *(Case("command", name, "cells") for name in ("log.csv", "catalog.csv")),
        *(Case("command", name, "data") for name in ("catalog.json", "models/rasch.json", "models/bkt-everything.json")),
        *(Case("command", name, "bytes") for name in ("log.parquet", "stats/plain.parquet")),
        Case("store", "store.db", "bytes"),
        *(Case("rows", "store.json", "data") for _ in range(3)),
        *(Case("states", "store.json", "data") for _ in range(2)),
    ]


CASES = cases()
