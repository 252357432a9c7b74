"""The fit of what varies: its objective against sums over hidden paths, its gradient against differences."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.kernels import bkt_effects as kernels
from adaptrace.models.bkt.evidence import ResponseEvidence, SequenceEvidence, SplitEvidence
from adaptrace.models.bkt.fit_effects import Objective, to_logits
from adaptrace.models.bkt.fit_skills import SkillFit
from adaptrace.models.bkt.fitted import RULES
from adaptrace.models.bkt.limits import Pull
from adaptrace.models.bkt.skill_table import SMALLEST, SkillTable
from reference import evidence as reference

START = datetime.datetime(2025, 9, 1, tzinfo=datetime.UTC)
UNKNOWN = np.array([0.4, 0.1, 0.01, 0.25, 0.1])
EVERYTHING = at.BKT(
    items=("learn", "guess", "slip"),
    kinds=("learn", "guess", "slip"),
    groups=("prior", "learn"),
    students=("prior", "learn"),
    levels={"project": 4},
    elapsed=True,
)
ALONE = [
    at.BKT(items=("learn", "guess", "slip")),
    at.BKT(kinds=("guess", "slip")),
    at.BKT(groups=("prior", "learn")),
    at.BKT(students=("prior", "learn")),
    at.BKT(levels={"project": 4}),
    at.BKT(elapsed=True),
]


EVIDENCE = (ResponseEvidence, SplitEvidence)


def school(rows: int = 120, seed: int = 0, several: bool = False) -> at.Log:
    """Six students, two skills, four items, three kinds, two groups, hours to months between responses."""
    random = np.random.default_rng(seed)
    kind = random.choice(["practice", "project", "quiz"], rows)
    student = random.integers(0, 6, rows)
    days = np.cumsum(random.exponential(random.choice([0.1, 5.0], rows)))
    columns = {
        "student": student,
        "item": random.choice(["w", "x", "y", "z"], rows),
        "skill": random.choice(["a", "b"], rows),
        "kind": kind,
        "group": np.where(student < 3, "first", "second"),
        "correct": np.where(kind == "project", random.integers(0, 4, rows) / 3, random.integers(0, 2, rows)),
        "time": [START + datetime.timedelta(days=float(day)) for day in days],
    }
    if several:
        columns["skills"] = [random.permutation(["a", "b"])[: random.integers(1, 3)].tolist() for _ in range(rows)]
        del columns["skill"]
    return at.Log.from_arrow(columns)


def objective_of(model: at.BKT, log: at.Log, *, by_rows: bool = False) -> Objective:
    """The objective of a model's fit, with some smoothing, from the counts of a log or from its rows."""
    limits, varies = model.limits.pooled(Pull(UNKNOWN, np.full(5, 10.0))), model.variation
    if by_rows:
        return Objective(ResponseEvidence(log, model.rule, varies, None), limits, varies)
    return Objective(SequenceEvidence(model.stats(log), varies, None), limits, varies)


def vector_of(objective: Objective, seed: int = 1) -> np.ndarray:
    """Any point; guess high and learn low, so that plausibility holds guess back."""
    random = np.random.default_rng(seed)
    size = 5 * objective.n_skills + sum(block.size for block in objective.blocks)
    vector = random.normal(0.0, 0.7, size)
    vector[1 : 5 * objective.n_skills : 5] -= 5.0
    vector[3 : 5 * objective.n_skills : 5] += 3.0
    return vector


def differences(value: Callable[[np.ndarray], float], at_point: np.ndarray, step: float = 1e-5) -> np.ndarray:
    """Central differences in every direction."""
    steps = step * np.eye(len(at_point))
    return np.array([(value(at_point + each) - value(at_point - each)) / (2 * step) for each in steps])


def with_options(model: at.BKT, **changes: object) -> at.BKT:
    names = ("items", "kinds", "groups", "students", "levels", "elapsed")
    return at.BKT(**{**{name: getattr(model, name) for name in names}, **changes})


def check_gradient(objective: Objective, vector: np.ndarray) -> None:
    value, gradient = objective.value(vector)
    assert np.isfinite(value)
    expected = differences(lambda point: objective.value(point)[0], vector)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5, atol=1e-5 * np.abs(expected).max())


@pytest.mark.plain_python
@pytest.mark.parametrize("plausible", [True, False])
@pytest.mark.parametrize("model", [EVERYTHING, *ALONE], ids=repr)
def test_the_gradient_of_the_objective_equals_central_differences(model: at.BKT, plausible: bool) -> None:
    objective = objective_of(with_options(model, plausible=plausible), school())
    vector = vector_of(objective)
    assert (objective.point_at(vector).guess_scale.min() < 0.99) == plausible
    check_gradient(objective, vector)


@pytest.mark.plain_python
@pytest.mark.parametrize("model", [EVERYTHING, at.BKT()], ids=["everything varies", "nothing varies"])
@pytest.mark.parametrize("rule", RULES)
def test_the_gradient_over_events_of_several_skills_equals_central_differences(rule: str, model: at.BKT) -> None:
    objective = objective_of(with_options(model, combine=rule), school(several=True), by_rows=True)
    check_gradient(objective, vector_of(objective))


def test_the_likelihood_of_everything_that_varies_equals_the_sum_over_hidden_paths() -> None:
    """The model that the vector describes, used as any model is, has the likelihood that the fit saw."""
    log = school(rows=60)
    objective = objective_of(EVERYTHING, log)
    vector = vector_of(objective)
    effects = objective.effects(vector, UNKNOWN)
    seen = 0.0
    for student in log.students.to_pylist():
        for skill in (0, 1):
            responses, prior = history(log, effects, student, skill)
            seen += float(np.log(reference.likelihood(prior, responses))) if responses else 0.0
    assert objective.point_at(vector).gradient.value == pytest.approx(seen, rel=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_the_likelihood_that_a_fit_over_events_sees_is_the_models_own(rule: str) -> None:
    """Without levels, of which a model predicts the expected share and not each level."""
    log = school(several=True)
    model = with_options(EVERYTHING, combine=rule, levels={})
    objective = objective_of(model, log, by_rows=True)
    vector = vector_of(objective)
    effects = objective.effects(vector, UNKNOWN)
    theta = objective.point_at(vector).base
    found = SkillFit(theta, np.zeros((2, 5, 5)), np.zeros((2, 5)), Pull(UNKNOWN, np.zeros(5)))
    table = SkillTable.build(pa.array(["a", "b"]), np.array([9, 9]), found)
    fitted = replace(model, table=table, effects=effects)
    assert objective.point_at(vector).gradient.value == pytest.approx(fitted.log_likelihood(log), rel=1e-12)


def test_counts_and_rows_of_events_of_one_skill_say_the_same() -> None:
    """But for gaps, which the counts hold in steps."""
    model = with_options(EVERYTHING, elapsed=False)
    counts, rows = (objective_of(model, school(), by_rows=by_rows) for by_rows in (False, True))
    vector = vector_of(counts)
    assert counts.value(vector)[0] == pytest.approx(rows.value(vector)[0], rel=1e-12)
    np.testing.assert_allclose(counts.value(vector)[1], rows.value(vector)[1], rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("rule", RULES)
def test_a_log_in_two_parts_has_the_objective_of_the_whole(rule: str) -> None:
    several, alone = school(several=True).table.to_pylist(), school(seed=3).table.to_pylist()
    rows = [row | {"student": f"{row['student']}"} for row in several]
    rows += [row | {"student": f"{row['student']} alone", "skills": [row.pop("skill")]} for row in alone]
    rows += [row | {"skills": ["c"]} for row in rows[:40]]
    model, log = at.BKT(combine=rule), at.Log.from_arrow(pa.Table.from_pylist(rows))
    limits = model.limits.pooled(Pull(UNKNOWN, np.full(5, 10.0)))
    whole, split = (Objective(each(log, RULES[rule], model.variation, None), limits, model.variation) for each in EVIDENCE)
    vector = vector_of(whole)
    assert len(split.evidence.counted.correct) > 0
    assert len(split.evidence.events.rows.correct) > 0
    assert split.value(vector)[0] == pytest.approx(whole.value(vector)[0], rel=1e-12)
    np.testing.assert_allclose(split.value(vector)[1], whole.value(vector)[1], rtol=1e-9, atol=1e-9)


def history(log: at.Log, effects: object, student: object, skill: int) -> tuple[list[reference.Response], float]:
    """What a student's responses on a skill say, and the prior, one response at a time."""
    responses: list[reference.Response] = []
    last, prior = None, 0.0
    for row in log.table.to_pylist():
        if row["student"] != student or row["skill"] != "ab"[skill]:
            continue
        names = {name: str(row[name]) for name in ("item", "kind", "group", "student")}
        own_prior, learn, forget, guess, slip = effects.row(skill, names, alone=True)
        keep = 1.0
        if last is not None:
            # the fit counts gaps in steps of an eighth of a doubling
            days = (row["time"] - last) / datetime.timedelta(days=1)
            days = 2.0 ** (round(np.log2(days) * 8) / 8)
            keep = reference.kept(days, effects.half_life[skill])
        levels = effects.level_chances(skill, row["kind"], row["correct"])
        if levels is None:
            responses.append(reference.answer(row["correct"], guess, slip, learn, forget, keep))
        else:
            responses.append(reference.Response(levels[0], 1 - levels[1], learn, forget, keep))
        prior = prior or own_prior
        last = row["time"]
    return responses, prior


def test_logits_are_the_inverse_of_parameters() -> None:
    random = np.random.default_rng(2)
    low, high = np.full(5, SMALLEST), np.full(5, 1 - 2 * SMALLEST)
    x, guess_scale, theta = random.normal(0, 3, (200, 5)), random.uniform(0.1, 1, 200), np.empty((200, 5))
    kernels.from_logits(x, guess_scale, low, high, theta)
    np.testing.assert_allclose(to_logits(theta, guess_scale, low, high), x, rtol=1e-6, atol=1e-9)


def test_a_search_never_goes_down() -> None:
    objective = objective_of(EVERYTHING, school())
    vector = vector_of(objective)
    values = [objective.value(objective.maximise(vector, objective.rough_scale(vector), steps))[0] for steps in (1, 3, 20)]
    assert objective.value(vector)[0] < values[0] < values[1] < values[2]


def test_every_skill_of_a_search_stays_plausible() -> None:
    objective = objective_of(EVERYTHING, school(rows=300))
    point = objective.point_at(objective.maximise(vector := vector_of(objective), objective.rough_scale(vector), 30))
    assert np.all(point.theta[:, 3] + point.theta[:, 4] < 1.0)
    for prior, learn, forget, guess, slip in point.base:
        mastery = [prior]
        for _ in range(10):
            mastery.append(reference.mastery(mastery[-1], [reference.answer(1.0, guess, slip, learn, forget)]))
        assert mastery[3] >= prior - 1e-9
        assert mastery[10] >= 0.95 - 1e-9


def test_stats_of_a_log_with_a_column_missing_are_refused() -> None:
    log = at.Log.from_arrow(pa.table({"student": ["Ada"], "item": ["q"], "skill": ["a"], "correct": [1]}))
    with pytest.raises(at.DataError, match="column 'group'"):
        at.BKT(groups=("prior",)).fit(log)
    with pytest.raises(at.DataError, match="a clock in column 'time'"):
        at.BKT(elapsed=True).fit(log)
