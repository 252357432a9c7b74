"""The laws (DESIGN section 5) of every variant of the model and every rule for events of several skills."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

import adaptrace as at
from adaptrace.kernels import parallel
from adaptrace.models.bkt.fitted import RULES
from reference.school import VARIATIONS, random_log, random_table

pytestmark = pytest.mark.usefixtures("short_climbs")  # the laws hold at every point, not only where a climb ends

VARIANTS: dict[str, dict[str, Any]] = {"plain": {}, "no forgetting": {"forget": False}, **VARIATIONS}

ALONE = [(variant, "conjunctive", False) for variant in VARIANTS]
TOGETHER = [(variant, rule, True) for rule in RULES for variant in ("plain", "levels", "elapsed", "everything")]
TOGETHER += [(variant, "conjunctive", True) for variant in ("items", "kinds", "groups", "students")]


def named(value: object) -> str | None:
    return {True: "several", False: "one"}[value] if isinstance(value, bool) else None


each_variant = pytest.mark.parametrize("variant", VARIANTS)
each_case = pytest.mark.parametrize(("variant", "rule", "several"), ALONE + TOGETHER, ids=named)
each_case_of_several = pytest.mark.parametrize(("variant", "rule", "several"), TOGETHER, ids=named)

UNSEEN = {"item": ["y", "z"], "kind": ["quiz"], "group": ["second"]}


def seen_table(several: bool) -> pa.Table:
    """The rows that the fit shall see."""
    table = random_table(7, several=several, skills="ab", rows=300)
    unseen = [pc.fill_null(pc.is_in(table[name], pa.array(values)), False).to_numpy() for name, values in UNSEEN.items()]
    return table.filter(pa.array(~np.logical_or.reduce(unseen)))


@cache
def fitted(variant: str, rule: str = "conjunctive", several: bool = False) -> at.BKT:
    """A model that never saw two of the items, a kind, a group, a skill and most students."""
    return at.BKT(combine=rule, **VARIANTS[variant]).fit(at.Log.from_arrow(seen_table(several)))


def events(log: at.Log) -> list[dict[str, Any]]:
    """The rows of a log, their skills as a list."""
    rows = log.table.to_pylist()
    return [{**row, "skills": row["skills"] if log.has_several_skills else [row["skill"]]} for row in rows]


def fold(model: at.BKT, log: at.Log) -> tuple[list[float], dict[object, at.Student]]:
    """What the students' states predict before each response, and the states after all."""
    predicted: list[float] = []
    students: dict[object, at.Student] = {}
    for event in events(log):
        new = at.Student(model, name=str(event["student"]), group=event["group"] or "")
        student = students.setdefault(event["student"], new)
        shared = {"kind": event["kind"], "time": event["time"], "skills": event["skills"]}
        predicted.append(student.predict(event["item"], **shared))
        student.observe(event["item"], event["correct"], **shared)
    return predicted, students


@each_case
def test_2_folding_observe_equals_trace_bit_for_bit(variant: str, rule: str, several: bool) -> None:
    model, log = fitted(variant, rule, several), random_log(1, several=several, rows=200)
    predicted, students = fold(model, log)
    assert predicted == model.predict(log).tolist()
    for pair in model.score(log).to_pylist():
        assert students[pair["student"]].mastery(pair["skill"]) == pair["mastery"]
        assert students[pair["student"]].opportunities[pair["skill"]] == pair["opportunities"]


@each_case
def test_2_a_student_from_a_log_and_back_from_plain_data_is_in_the_state_of_the_score(
    variant: str, rule: str, several: bool
) -> None:
    model, log = fitted(variant, rule, several), random_log(2, several=several)
    name = log.students[3].as_py()
    student = at.Student.from_dict(at.Student.from_log(model, log, student=name).to_dict(), model)
    expected = {pair["skill"]: pair["mastery"] for pair in model.score(log).to_pylist() if pair["student"] == name}
    assert {skill: student.mastery(skill) for skill in student.state.odds} == expected


# ---- law 3 ------------------------------------------------------------------


def halves(table: pa.Table, share: float) -> list[at.Log]:
    """The logs of the first students and of the rest."""
    first = pc.less(table["student"], share * 12)
    return [at.Log.from_arrow(table.filter(mask)) for mask in (first, pc.invert(first))]


@each_variant
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 1.0])
def test_3_stats_add_for_every_split_by_student(variant: str, share: float) -> None:
    table, model = random_table(3), at.BKT(**VARIANTS[variant])
    parts = [model.stats(log) for log in halves(table, share)]
    whole = model.stats(at.Log.from_arrow(table))
    assert parts[0] + parts[1] == whole
    assert sum(parts[::-1]) == whole


@each_case_of_several
def test_3_stats_of_events_of_several_skills_add_once_a_model_is_fitted(variant: str, rule: str, several: bool) -> None:
    table, model = random_table(3, several=several), fitted(variant, rule, several)
    parts = [model.stats(log) for log in halves(table, 0.5)]
    assert parts[0] + parts[1] == model.stats(at.Log.from_arrow(table))


@pytest.mark.parametrize("seed", [0, 1])
def test_3_stats_of_events_of_several_skills_add_before_any_fit(seed: int) -> None:
    table = random_table(seed, several=True)
    parts = [at.BKT().stats(log) for log in halves(table, 0.5)]
    assert parts[0] + parts[1] == at.BKT().stats(at.Log.from_arrow(table))


@each_variant
def test_3_fitting_stats_that_were_added_is_fitting_the_log(variant: str) -> None:
    table, model = random_table(3), at.BKT(**VARIANTS[variant])
    parts = [model.stats(log) for log in halves(table, 0.3)]
    assert model.fit(parts[0] + parts[1]).to_dict() == model.fit(at.Log.from_arrow(table)).to_dict()


@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
def test_3_stats_without_a_factor_are_the_stats_that_never_told_it_apart(several: bool) -> None:
    log = random_log(4, several=several)
    apart = ("item", "kind", "group", "student", "gap")
    whole = at.Stats.from_log(log, apart)
    for name in apart:
        others = tuple(each for each in apart if each != name)
        assert whole.without(name) == at.Stats.from_log(log, others)
    assert whole.without(*apart) == at.Stats.from_log(log)
    assert whole.without() == whole


def test_3_the_stats_of_no_rows_add_nothing() -> None:
    for options in VARIANTS.values():
        model, table = at.BKT(**options), random_table(5, rows=40)
        some, none = (model.stats(at.Log.from_arrow(each)) for each in (table, table.slice(0, 0)))
        assert some + none == some == none + some


# ---- law 4 ------------------------------------------------------------------


MANY_HANDS = [*ALONE, *(("everything", rule, True) for rule in RULES), ("plain", "conjunctive", True)]


@pytest.mark.parametrize(("variant", "rule", "several"), MANY_HANDS, ids=named)
def test_4_the_number_of_workers_changes_no_bit(variant: str, rule: str, several: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    table, results = random_table(6, rows=200, several=several), []
    for workers in (1, 2, 7):
        monkeypatch.setattr(parallel, "cores", lambda workers=workers: workers)
        log = at.Log.from_arrow(table)
        with ThreadPoolExecutor(workers) as pool:
            model = at.BKT(combine=rule, **VARIANTS[variant]).fit(log, executor=pool)
        results.append((model.to_dict(), model.predict(log).tolist(), model.score(log).to_pydict()))
    assert results[0] == results[1] == results[2]


@each_variant
def test_4_the_order_of_students_changes_nothing_beyond_rounding(variant: str) -> None:
    table, model = random_table(8), at.BKT(**VARIANTS[variant])
    turned = table.take(pa.array(np.argsort(-table["student"].to_numpy(), kind="stable")))
    one, other = (model.fit(at.Log.from_arrow(each)) for each in (table, turned))
    log = random_log(1)
    np.testing.assert_allclose(one.predict(log), other.predict(log), rtol=1e-9)


# ---- law 5 ------------------------------------------------------------------


@each_case_of_several
def test_5_the_order_of_an_events_skills_changes_no_bit(variant: str, rule: str, several: bool) -> None:
    table, random = random_table(9, several=several), np.random.default_rng(0)
    turned = [random.permutation(skills).tolist() for skills in table["skills"].to_pylist()]
    other = at.Log.from_arrow(table.set_column(table.column_names.index("skills"), "skills", pa.array(turned)))
    log, model = at.Log.from_arrow(table), fitted(variant, rule, several)
    assert model.predict(other).tolist() == model.predict(log).tolist()
    assert model.score(other).to_pydict() == model.score(log).to_pydict()
    students = [at.Student(model, name="1"), at.Student(model, name="1")]
    for row, skills in zip(table.to_pylist(), turned, strict=True):
        for student, each in zip(students, (row["skills"], skills), strict=True):
            student.observe(row["item"], row["correct"], kind=row["kind"], time=row["time"], skills=each)
    assert students[0].to_dict() == students[1].to_dict()


@pytest.mark.parametrize("rule", RULES)
def test_5_the_order_of_an_events_skills_changes_no_bit_of_a_fit(rule: str) -> None:
    table = random_table(9, several=True)
    turned = [skills[::-1] for skills in table["skills"].to_pylist()]
    other = table.set_column(table.column_names.index("skills"), "skills", pa.array(turned))
    model = at.BKT(combine=rule, **VARIANTS["everything"])
    assert model.fit(at.Log.from_arrow(table)).to_dict() == model.fit(at.Log.from_arrow(other)).to_dict()


@pytest.mark.parametrize("rule", RULES)
def test_5_an_event_split_into_rows_is_still_one_event(rule: str) -> None:
    whole = random_table(10, several=True)
    rows = [{**row, "skill": skill, "event_id": n} for n, row in enumerate(whole.to_pylist()) for skill in row["skills"]]
    expanded, model = at.Log.from_arrow(pa.Table.from_pylist(rows).drop_columns(["skills"])), fitted("everything", rule, True)
    assert model.predict(expanded).tolist() == model.predict(at.Log.from_arrow(whole)).tolist()


# ---- laws 6 and 7 -----------------------------------------------------------


@each_variant
@pytest.mark.parametrize("correct", [0.0, 1.0])
def test_6_probabilities_stay_inside_for_extreme_histories(variant: str, correct: float) -> None:
    """5,000 equal responses, within a second or decades apart."""
    table, model = random_table(11, rows=5000, students=1), fitted(variant)
    table = table.set_column(table.column_names.index("correct"), "correct", pa.array(np.full(5000, correct)))
    log = at.Log.from_arrow(table)
    for values in (model.predict(log), model.score(log)["mastery"].to_numpy()):
        assert np.all((values > 0.0) & (values < 1.0))


@each_case
def test_7_a_saved_model_comes_back_equal(variant: str, rule: str, several: bool, tmp_path: Path) -> None:
    model, log = fitted(variant, rule, several), random_log(1, several=several, rows=200)
    model.save(tmp_path / "model.json")
    back = at.load(tmp_path / "model.json")
    assert back.to_dict() == model.to_dict()
    assert (back.fingerprint, repr(back)) == (model.fingerprint, repr(model))
    assert back.predict(log).tolist() == model.predict(log).tolist()
    assert back.score(log).to_pydict() == model.score(log).to_pydict()
    assert back.summary().to_pydict() == model.summary().to_pydict()


# ---- law 8 ------------------------------------------------------------------


NEW = {"item": "never seen", "kind": "never seen", "group": "never seen", "student": "never seen"}


@each_variant
def test_8_a_new_item_kind_group_and_student_have_the_skills_own_row(variant: str) -> None:
    model = fitted(variant)
    own = [float(values[0]) for values in model.parameters]
    assert model.row("a", **NEW) == pytest.approx(own, rel=1e-6)
    assert model.row("a", **NEW) == model.row("a")


@each_variant
def test_8_a_new_skill_has_the_last_row_of_the_parameters(variant: str) -> None:
    model = fitted(variant)
    assert model.row("never seen", **NEW) == pytest.approx([float(values[-1]) for values in model.parameters], rel=1e-6)


@each_variant
@pytest.mark.parametrize("name", NEW)
def test_8_what_is_new_is_predicted_as_if_nothing_were_known_of_it(variant: str, name: str) -> None:
    """And what is known of the rest still counts."""
    model, row = fitted(variant), {"item": "u", "kind": "practice", "group": "first", "student": "0", name: "never seen"}
    log = at.Log.from_arrow({**{key: [value] for key, value in row.items()}, "skill": ["a"], "correct": [1], "time": [START]})
    rest = {key: value for key, value in row.items() if key != name}
    prior, _, _, guess, slip = model.row("a", **rest)
    assert model.predict(log)[0] == pytest.approx(prior * (1 - slip) + (1 - prior) * guess, rel=1e-12)


START = random_table(0, rows=1)["time"][0]


@pytest.mark.parametrize(
    ("variant", "flagged"),
    [("plain", []), ("items", ["item"]), ("kinds", ["kind"]), ("groups", []), ("everything", ["item", "kind"])],
)
def test_8_what_the_fit_never_saw_is_flagged_as_far_as_parameters_vary_by_it(variant: str, flagged: list[str]) -> None:
    model, log = fitted(variant), random_log(12)
    seen = model.fitted.knows(log.table["skill"].combine_chunks().dictionary_decode())
    for name in flagged:
        seen &= ~pc.is_in(log.table[name].combine_chunks().cast(pa.string()), pa.array(UNSEEN[name])).to_numpy(False)
    assert model.seen(log).tolist() == seen.tolist()
    assert 0 < seen.sum() < len(log)


@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
@each_variant
def test_8_an_empty_log_can_be_fitted_and_scored(variant: str, several: bool) -> None:
    empty = at.Log.from_arrow(random_table(0, several=several).slice(0, 0))
    model = at.BKT(**VARIANTS[variant]).fit(empty)
    assert (len(model.skills), len(model.predict(empty)), len(model.score(empty))) == (0, 0, 0)
    assert len(model.seen(empty)) == 0
    assert 0.0 < model.row("anything")[0] < 1.0
