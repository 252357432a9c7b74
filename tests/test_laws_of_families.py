"""The laws (DESIGN section 5) of every family of models: what one keeps, all keep."""

from __future__ import annotations

import copy
import datetime
import json
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cache, reduce
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.evaluate import metrics
from adaptrace.io import envelope
from adaptrace.kernels import parallel
from adaptrace.models import FAMILIES, MODELS
from adaptrace.models.bkt import fit_effects
from adaptrace.models.irt import Rasch
from adaptrace.models.logistic import Feature, Logistic
from adaptrace.models.logistic.features import INTERCEPT
from reference.school import times

EVERY: dict[str, Callable[[], Any]] = {
    **MODELS,
    "windows": lambda: Logistic(
        features=(INTERCEPT, Feature(what="window_wins", days=0.5), Feature(what="days", of="skill", by="skill"))
    ),
    "spacing": lambda: Logistic(
        features=(
            INTERCEPT,
            Feature(what="one", of="skill", by="skill"),
            *(Feature(what=what, of="skill", rate=0.8) for what in ("logitdec", "propdec")),
            Feature(what="base4", of="item", parameters=(0.3, 0.1, 1.0)),
            Feature(what="ppe", of="skill", by="skill", parameters=(0.1, 0.04, 0.3, 0.6)),
        )
    ),
    "rasch-still": lambda: Rasch(drift=False, skills=False),
    "many-trees": lambda: at.Boosted(least=5, leaves=4, rounds=15),
}
NEW = [name for name in EVERY if not name.startswith(("bkt", "constant"))]
each_family = pytest.mark.parametrize("name", EVERY)


def random_table(seed: int, *, rows: int = 300, students: int = 20, several: bool = True, fractions: bool = True) -> pa.Table:
    """Items of one to three skills, always the same ones; some are hard, and some students able."""
    random = np.random.default_rng(seed)
    of_item = [["c"], ["a"], ["a", "b"], ["b"], ["a", "b", "c"], ["b", "c"]] if several else [["c"], ["a"], ["b"]]
    student, item = random.integers(0, students, rows), random.integers(0, 12, rows)
    logit = np.sin(7.0 * np.arange(students))[student] - np.sin(3.0 * np.arange(12))[item]
    correct = (random.random(rows) < 1.0 / (1.0 + np.exp(-logit))).astype(float)
    if fractions:
        correct[random.random(rows) < 0.15] = 0.5
    skills = [of_item[each % len(of_item)] for each in item]
    days = np.cumsum(random.choice([0.0, 1e-3, 0.02, 3.0], rows))
    return pa.table({"student": student, "item": item, "skills": skills, "correct": correct, "time": times(days)})


@cache
def fitted(name: str) -> Any:
    return EVERY[name]().fit(at.Log.from_arrow(random_table(0)))


def response(row: dict[str, Any]) -> dict[str, Any]:
    return {"time": row["time"], "skills": row["skills"] if "skills" in row else [row["skill"]]}


@pytest.fixture(scope="module", autouse=True)
def small_work() -> Iterator[None]:
    """One core, for starting threads takes longer than these fits, and short climbs where parameters vary by item."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "cores", lambda: 1)
        for name, steps in (("STD_ROUNDS", 2), ("ROUGH_STEPS", 5), ("SEARCH_STEPS", 5), ("MOST_SEARCHES", 2)):
            patch.setattr(fit_effects, name, steps)
        yield


def test_every_family_is_under_these_laws() -> None:
    assert {make().family for make in EVERY.values()} == set(FAMILIES)


# ---- law 1 ------------------------------------------------------------------


@each_family
def test_1_nothing_of_the_callers_changes(name: str) -> None:
    table, model = random_table(1), EVERY[name]()
    before, told = pa.table(table.to_pydict(), schema=table.schema), repr(model)
    log = at.Log.from_arrow(table)
    frozen, rows = log.table.to_pydict(), [part.tolist() for part in log.rows]
    found = model.fit(log)
    parameters = found.to_dict()
    found.predict(log)
    found.log_likelihood(log)
    student = at.Student(found, name="1")
    student.observe(0, 1, time=table["time"][0].as_py(), skills=["c"])
    assert table.equals(before)
    assert (log.table.to_pydict(), [part.tolist() for part in log.rows]) == (frozen, rows)
    assert found.to_dict() == parameters
    assert repr(model) == told


def after_ten(name: str) -> tuple[list[dict[str, Any]], at.Student]:
    """Rows, and a student who has answered the first ten of them."""
    rows, student = random_table(1).to_pylist(), at.Student(fitted(name), name="3")
    for row in rows[:10]:
        student.observe(row["item"], row["correct"], **response(row))
    return rows, student


@each_family
def test_1_predicting_leaves_no_trace_in_a_student(name: str) -> None:
    rows, student = after_ten(name)
    before = student.to_dict()
    for row in rows[10:60]:
        student.predict(row["item"], **response(row))
    student.predict("never seen", time=rows[-1]["time"], skills=["never seen"])
    assert student.to_dict() == before


@each_family
def test_1_a_state_that_is_resumed_does_not_change_what_it_came_from(name: str) -> None:
    rows, student = after_ten(name)
    content = student.to_dict()
    frozen = json.dumps(content)
    other = at.Student.from_dict(content, fitted(name))
    for row in rows[10:20]:
        other.observe(row["item"], row["correct"], **response(row))
    assert json.dumps(content) == frozen == json.dumps(student.to_dict())


# ---- law 2 ------------------------------------------------------------------


@each_family
def test_2_folding_observe_equals_trace_bit_for_bit(name: str) -> None:
    """Several skills, partial credit, things the fit never saw; and some states go through text and back on the way."""
    table = random_table(2, rows=200, students=8)
    skills = [[*row, "new"] if k % 9 == 0 else row for k, row in enumerate(table["skills"].to_pylist())]
    items = [f"new {k % 4}" if k % 7 == 0 else str(item) for k, item in enumerate(table["item"].to_pylist())]
    log = at.Log.from_arrow(table.set_column(1, "item", pa.array(items)).set_column(2, "skills", pa.array(skills)))
    model, students = fitted(name), {}
    predicted = model.predict(log).tolist()
    for number, row in enumerate(log.table.to_pylist()):
        who = row["student"]
        student = students.setdefault(who, at.Student(model, name=str(who)))
        assert student.predict(row["item"], **response(row)) == predicted[number]
        student.observe(row["item"], row["correct"], **response(row))
        if number % 5 == 0:
            students[who] = at.Student.from_dict(json.loads(json.dumps(student.to_dict())), model)
    for who, student in students.items():
        assert at.Student.from_log(model, log, student=who) == student


# ---- law 4 ------------------------------------------------------------------


@each_family
def test_4_the_number_of_workers_changes_no_bit(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    table, results = random_table(4), []
    for workers in (1, 2, 7):
        monkeypatch.setattr(parallel, "cores", lambda workers=workers: workers)
        log = at.Log.from_arrow(table)
        with ThreadPoolExecutor(workers) as pool:
            found = EVERY[name]().fit(log, executor=pool)
        results.append((found.to_dict(), found.predict(log).tolist()))
    assert results[0] == results[1] == results[2]


@each_family
@pytest.mark.parametrize("turned", [False, True], ids=["as tagged", "tagged anew"])
def test_4_the_order_of_rows_changes_no_bit(name: str, turned: bool) -> None:
    """Also of items whose skills changed on the way: which student stands first says nothing of an item."""
    table, random = random_table(5), np.random.default_rng(0)
    minutes = [datetime.timedelta(minutes=number) for number in range(len(table))]  # no two at once
    moved = [each + minute for each, minute in zip(table["time"].to_pylist(), minutes, strict=True)]
    table = table.set_column(4, "time", pa.array(moved, table["time"].type))
    if turned:
        skills = [[str(random.choice(["a", "b", "c"]))] for _ in range(len(table))]
        table = table.set_column(2, "skills", pa.array(skills))
    shuffled = table.take(pa.array(random.permutation(len(table))))
    one, other = (EVERY[name]().fit(at.Log.from_arrow(each)) for each in (table, shuffled))
    assert one.to_dict() == other.to_dict()


@pytest.mark.parametrize("name", NEW)
def test_4_progress_never_goes_back_and_ends_with_all_done(name: str) -> None:
    shares: list[float] = []
    found = EVERY[name]().fit(at.Log.from_arrow(random_table(0)), progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0
    assert found.to_dict() == fitted(name).to_dict()


# ---- law 5 ------------------------------------------------------------------


@each_family
def test_5_the_order_of_an_events_skills_changes_no_prediction(name: str) -> None:
    table, random = random_table(7), np.random.default_rng(0)
    turned = table.set_column(2, "skills", pa.array([random.permutation(row).tolist() for row in table["skills"].to_pylist()]))
    assert turned["skills"] != table["skills"]
    log, other = at.Log.from_arrow(table), at.Log.from_arrow(turned)
    assert fitted(name).predict(other).tolist() == fitted(name).predict(log).tolist()
    assert EVERY[name]().fit(other).to_dict() == EVERY[name]().fit(log).to_dict()


def split(table: pa.Table, *, by: str | None) -> at.Log:
    """One row per skill of every event: rows of one event by their id, or as they agree in all else; or each one of its own."""
    rows = [
        {**{key: row[key] for key in ("student", "item", "correct", "time")}, "skill": skill, "number": number}
        for number, row in enumerate(table.to_pylist())
        for skill in row["skills"]
    ]
    columns = {"event_id": "number"} if by == "id" else None
    return at.Log.from_arrow(pa.Table.from_pylist(rows), columns=columns, merge=by == "agreement")


@each_family
def test_5_an_event_split_into_rows_is_still_one_event(name: str) -> None:
    table = random_table(8)
    log = at.Log.from_arrow(table)
    for merged in (split(table, by="id"), split(table, by="agreement")):
        assert len(merged) == len(log) < len(split(table, by=None))
        assert fitted(name).predict(merged).tolist() == fitted(name).predict(log).tolist()
        assert EVERY[name]().fit(merged).to_dict() == EVERY[name]().fit(log).to_dict()


def coins(seed: int) -> pa.Table:
    """Every item has two or three skills; every answer is a toss."""
    random, rows = np.random.default_rng(seed), 2400
    item = random.integers(0, 20, rows)
    skills = [[["a", "b"], ["b", "c"], ["a", "b", "c"], ["a", "c"]][each % 4] for each in item]
    columns = {"student": np.arange(rows) // 15, "item": item, "skills": skills, "correct": random.integers(0, 2, rows)}
    return pa.table({**columns, "time": times(np.arange(rows) / 24.0)})


@pytest.mark.parametrize("name", ["recency", "best-lr", "2pl", "blend"])
def test_5_one_row_per_skill_tells_the_answer_before_it_is_asked_and_events_do_not(name: str) -> None:
    """The label leak of expanded rows: a row is predicted from the one before, which is the same answer.

    Nobody can tell a coin: on events, an AUC of 0.5. Read naively, the same tosses seem to be foreseen by whoever looks at what
    came just before.
    """
    train, test = coins(0), coins(1)
    honest = EVERY[name]().fit(at.Log.from_arrow(train))
    events, rows = at.Log.from_arrow(test), split(test, by=None)
    truth = metrics.auc(events.correct, honest.predict(events))
    assert truth == pytest.approx(0.5, abs=0.05)  # a standard error is 1 / sqrt(12 x 600) = 0.012
    assert honest.predict(split(test, by="agreement")).tolist() == honest.predict(events).tolist()
    leaking = EVERY[name]().fit(split(train, by=None))
    inflated = metrics.auc(rows.correct, leaking.predict(rows))
    if name in ("recency", "blend"):
        assert inflated > truth + 0.2


# ---- law 6 ------------------------------------------------------------------


@cache
def alike(n: int, correct: float) -> at.Log:
    """One student who always gives the same answer."""
    columns = {"student": ["3"] * n, "item": ["0"] * n, "skill": ["c"] * n, "correct": np.full(n, correct)}
    return at.Log.from_arrow({**columns, "time": times(np.arange(n) / 1000.0)})


@pytest.mark.parametrize("correct", [0.0, 1.0, 0.5])
@each_family
def test_6_probabilities_stay_inside_for_100_000_equal_responses(name: str, correct: float) -> None:
    log = alike(100_000, correct)
    for model in (fitted(name), *([EVERY[name]().fit(alike(20_000, correct))] if correct == 1.0 else [])):
        predicted = model.predict(log)
        assert np.all((predicted > 0.0) & (predicted < 1.0))
        assert np.isfinite(model.log_likelihood(log))


# ---- law 7 ------------------------------------------------------------------


@each_family
def test_7_a_saved_model_comes_back_equal(name: str, tmp_path: Path) -> None:
    log, model = at.Log.from_arrow(random_table(9)), fitted(name)
    model.save(tmp_path / "model.json")
    back = at.load(tmp_path / "model.json")
    assert back.to_dict() == model.to_dict()
    assert (type(back), back.fingerprint, repr(back), back.needs) == (type(model), model.fingerprint, repr(model), model.needs)
    assert back.predict(log).tolist() == model.predict(log).tolist()
    assert back.fit(log).to_dict() == model.fit(log).to_dict()  # its options came along


@each_family
def test_7_a_fingerprint_tells_models_apart(name: str) -> None:
    other = EVERY[name]().fit(at.Log.from_arrow(random_table(10)))
    assert other.fingerprint != fitted(name).fingerprint


VALUES = (None, float("nan"), float("inf"), -1, 0, 1, 2, -1e308, 1e308, "", "x", "\0", [], {}, [[]], True, 10**30, 0.5)


def places(content: Any, so_far: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Where plain data has something: keys and positions, one under the other."""
    for key in content if isinstance(content, dict) else range(min(len(content), 5)) if isinstance(content, list) else ():
        yield (*so_far, key)
        yield from places(content[key], (*so_far, key))


def changed(content: dict[str, Any], number: int) -> dict[str, Any]:
    """The content of a model with one thing in it replaced, left out or doubled."""
    draw, content = random.Random(number), copy.deepcopy(content)
    *above, last = draw.choice(list(places(content)))
    inside = reduce(lambda part, key: part[key], above, content)
    kind = draw.randrange(6)
    if kind < 4:
        inside[last] = draw.choice(VALUES)
    elif kind == 4 or not isinstance(inside, list):
        del inside[last]
    else:
        inside.insert(last, copy.deepcopy(inside[last]))
    return content


@each_family
def test_7_a_model_whose_content_is_not_whole_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    """Its fingerprint is right, so that only the content can tell; what is let in predicts, in batch and one by one."""
    log, refused, path = at.Log.from_arrow(random_table(1, rows=40)), 0, tmp_path / "model.json"
    (row,) = log.table.slice(0, 1).to_pylist()
    for number in range(60):
        envelope.write(path, "model", changed(fitted(name).to_dict(), number))
        try:
            model = at.load(path)
        except at.ModelError as error:
            refused += "\n" not in str(error)
            continue
        try:
            predicted = model.predict(log)
            at.Student(model, name="1").predict(row["item"], time=row["time"], skills=row["skills"])
        except at.ModelError:  # of what the model does not say of itself: the columns it is given, the package it calls
            continue
        assert np.all((predicted >= 0.0) & (predicted <= 1.0)), number
    assert refused > 30


@pytest.mark.parametrize(
    ("name", "part", "spoil", "told"),
    [
        ("best-lr", ("weights", "values"), lambda values: [None, *values[1:]], "values: got nan; expected numbers from"),
        (
            "rasch",
            ("bank", "difficulty"),
            lambda values: values[1:],
            r"difficulty: got numbers in the shape \(11,\); expected",
        ),
        ("rasch", ("bank", "items"), lambda names: [names[1], *names[1:]], "items: got a name twice"),
        ("2pl", ("skills",), lambda _: "\0", "skills: got .*; expected true or false"),
        (
            "bkt",
            ("skills", "parameters", "guess"),
            lambda values: [1.0, *values[1:]],
            "guess: got 1; expected numbers above 0 and below 1",
        ),
        ("half-life", ("fading", "curve", "longest"), lambda _: 0, "longest: got 0; expected a number from"),
        ("fsrs", ("rates", "same_day"), lambda _: None, "same_day: got None; expected a number above 0 and below 1"),
        ("constant", ("mean",), lambda _: None, "mean: got None; expected a number"),
    ],
)
def test_7_what_is_wrong_with_a_model_is_named(
    name: str, part: tuple[str, ...], spoil: Callable[[Any], Any], told: str, tmp_path: Path
) -> None:
    content = copy.deepcopy(fitted(name).to_dict())
    inside = reduce(lambda part, key: part[key], part[:-1], content)
    inside[part[-1]] = spoil(inside[part[-1]])
    envelope.write(tmp_path / "model.json", "model", content)
    with pytest.raises(at.ModelError, match=told):
        at.load(tmp_path / "model.json")


# ---- law 8 ------------------------------------------------------------------


def unknown(rows: int, **columns: Any) -> at.Log:
    random = np.random.default_rng(1)
    known = {"student": [f"new {k // 10}" for k in range(rows)], "item": [f"new {k % 7}" for k in range(rows)]}
    table = {**known, "skill": random.choice(["a", "b", "c"], rows), "correct": random.integers(0, 2, rows), **columns}
    return at.Log.from_arrow({**table, "time": times(np.arange(rows))})


@each_family
def test_8_what_is_not_known_is_predicted_from_what_is(name: str) -> None:
    """New students and items on skills that are known: before any answer skills differ, and answers count."""
    log = unknown(60)
    p = fitted(name).predict(log)
    assert np.all((p > 0.0) & (p < 1.0))
    first = np.array([at.Student(fitted(name)).predict("new", skills=[skill]) for skill in "abc"])
    if name not in ("constant", "windows", "fsrs"):  # which do not look at skills
        assert len(set(first.tolist())) == 3
    if name != "constant":
        assert len(set(p.tolist())) > 2


@each_family
def test_8_a_log_of_which_nothing_is_known_is_predicted_all_the_same(name: str) -> None:
    log = unknown(60, skill=[f"new {k % 3}" for k in range(60)])
    p = fitted(name).predict(log)
    mean = at.Log.from_arrow(random_table(0)).correct.mean()
    assert np.all((p > 0.0) & (p < 1.0))
    assert p[0] == pytest.approx(mean, abs=0.35)  # 20 students' first answers say little of it


@each_family
def test_8_an_empty_log_can_be_fitted_and_predicted(name: str) -> None:
    empty = at.Log.from_arrow(random_table(0).slice(0, 0))
    model = EVERY[name]().fit(empty)
    assert len(model.predict(empty)) == 0
    p = model.predict(at.Log.from_arrow(random_table(1, rows=30)))
    assert np.all((p > 0.0) & (p < 1.0))
    assert p[0] == pytest.approx(0.5, abs=0.2)


@each_family
@pytest.mark.parametrize("students", [1, 2, 3])
def test_8_few_students_are_enough(name: str, students: int) -> None:
    log = at.Log.from_arrow(random_table(2, rows=20, students=students))
    p = EVERY[name]().fit(log).predict(log)
    assert np.all((p > 0.0) & (p < 1.0))


# ---- law 10 -----------------------------------------------------------------


@each_family
def test_10_the_same_log_gives_the_same_bits(name: str) -> None:
    assert EVERY[name]().fit(at.Log.from_arrow(random_table(0))).fingerprint == fitted(name).fingerprint


FIT = """
import sys
sys.path.insert(0, sys.argv[1])
import numpy as np
from adaptrace.models import BestLR, Blend, TwoPL
from reference.irt import school
log = school(0, students=150, length=30, difficulty=np.linspace(-2.0, 2.0, 40), skills=5, drift=0.02)
for model in (BestLR(), TwoPL(), Blend()):
    print(model.fit(log).fingerprint)
"""


def test_10_neither_threads_of_blas_nor_cores_change_a_bit() -> None:
    def run(*before: str, threads: int) -> str:
        command = [*before, sys.executable, "-c", FIT, str(Path(__file__).parent)]
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": str(threads)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout

    told = [run(threads=1), run(threads=2)]
    if shutil.which("taskset"):
        told.append(run("taskset", "-c", str(min(os.sched_getaffinity(0))), threads=2))
    assert len(told[0].split()) == 3
    assert set(told) == {told[0]}


# ---- law 11 -----------------------------------------------------------------

KNOW = ("bkt", "blend", "boosted")  # the families whose models know mastery
OF_MASTERY: dict[str, Callable[[Any, at.Log], Any]] = {
    "pace": lambda model, log: at.report.pace(log, model, min_students=1),
    "stuck": lambda model, log: at.report.stuck(log, model, opportunities=1),
}


def refused(told: str) -> bool:
    """Whether it is one line that says which families know mastery."""
    end = f" does not know mastery; expected a model of a family that does: {', '.join(KNOW)}"
    return told.strip().count("\n") == 0 and told.strip().endswith(end)


def two_classes(seed: int) -> pa.Table:
    """A random table with a class for every student."""
    table = random_table(seed)
    return table.append_column("group", pa.array([f"class {student % 2}" for student in table["student"].to_pylist()]))


@each_family
@pytest.mark.parametrize("use", OF_MASTERY)
def test_11_what_needs_mastery_works_or_names_the_families_that_know_it(name: str, use: str) -> None:
    model, log = fitted(name), at.Log.from_arrow(random_table(1))
    if model.family in KNOW:
        assert len(OF_MASTERY[use](model, log)) > 0
        return
    with pytest.raises(at.ModelError) as error:
        OF_MASTERY[use](model, log)
    assert refused(str(error.value))


@each_family
def test_11_fairness_compares_practice_where_mastery_is_known_and_predictions_always(name: str) -> None:
    result = at.fairness(fitted(name), at.Log.from_arrow(two_classes(1)), by="group", draws=20)
    assert result.metrics["group"].to_pylist() == ["class 0", "class 1"]
    assert (result.practice is not None) == (fitted(name).family in KNOW)
    assert ("reached" in result.gaps["measure"].to_pylist()) == (fitted(name).family in KNOW)


@each_family
@pytest.mark.parametrize("command", ["report pace", "report stuck", "score", "fairness"])
def test_11_commands_that_need_mastery_work_or_name_the_families_that_know_it(
    name: str, command: str, run: Callable[..., Any], tmp_path: Path
) -> None:
    log, model = tmp_path / "log.parquet", tmp_path / "model.json"
    pq.write_table(two_classes(1), log)
    fitted(name).save(model)
    outcome = run(*command.split(), log, "-m", model, *(("--by", "group", "--draws", "20") if command == "fairness" else ()))
    if command == "fairness" or fitted(name).family in KNOW:
        assert (outcome.code, bool(outcome.stdout)) == (0, True)
    else:
        assert (outcome.code, outcome.stdout, refused(outcome.stderr)) == (1, "", True)


def test_11_a_folder_is_scored_by_those_who_know_mastery(tmp_path: Path) -> None:
    pq.write_table(random_table(1), tmp_path / "log.parquet")
    with pytest.raises(at.ModelError) as error:
        at.score_dataset(tmp_path / "log.parquet", tmp_path / "mastery", model=fitted("rasch"))
    assert refused(str(error.value))


def test_11_mastery_of_a_blend_at_a_moment_is_that_of_its_knowledge_tracing() -> None:
    log, moment = at.Log.from_arrow(random_table(1)), datetime.datetime(2040, 1, 1, tzinfo=datetime.UTC)
    with pytest.raises(at.ModelError, match=r"mastery does not fade"):
        fitted("blend").score(log, time=moment)
    tracing = at.BKT(elapsed=True).fit(at.Log.from_arrow(random_table(0)))
    assert replace(fitted("blend"), bkt=tracing).score(log, time=moment).equals(tracing.score(log, time=moment))
