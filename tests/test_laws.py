"""The laws of every model (DESIGN section 5)."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adaptrace as at
from adaptrace.evaluate import metrics
from adaptrace.kernels import parallel

MODELS = [at.BKT(), at.BKT(forget=False)]
HARD = at.BKT.from_parameters(["a", "b", "c"], prior=[0.1, 0.5, 0.9], learn=0.2, guess=[0.1, 0.3, 0.2], slip=0.1, forget=0.01)


def random_table(seed: int, *, students: int = 40, rows: int = 1500, several: bool = True, fractions: bool = False) -> pa.Table:
    random = np.random.default_rng(seed)
    skills = [
        sorted(random.choice(["a", "b", "c"], size=random.integers(1, 4 if several else 2), replace=False)) for _ in range(rows)
    ]
    correct = random.choice([0.0, 0.5, 1.0], rows) if fractions else random.integers(0, 2, rows)
    return pa.table(
        {
            "student": random.integers(0, students, rows),
            "item": random.integers(0, 50, rows),
            "skills": skills,
            "correct": correct,
            "order": np.arange(rows),
        }
    )


def single(seed: int, **options: int) -> at.Log:
    table = random_table(seed, several=False, **options)
    return at.Log.from_arrow(
        table.set_column(2, "skill", pa.array([row[0] for row in table["skills"].to_pylist()])).drop_columns([])
    )


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_1_nothing_of_the_callers_changes(model: at.BKT) -> None:
    table = random_table(0)
    before = pa.table(table.to_pydict(), schema=table.schema)
    log = at.Log.from_arrow(table)
    frozen = log.table.to_pydict()
    fitted = model.fit(log)
    parameters = fitted.to_dict()
    fitted.predict(log)
    fitted.score(log)
    assert table.equals(before)
    assert log.table.to_pydict() == frozen
    assert fitted.to_dict() == parameters
    assert model.table is None


@pytest.mark.plain_python
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), fractions=st.booleans())
def test_2_folding_observe_equals_trace_bit_for_bit(seed: int, fractions: bool) -> None:
    log = at.Log.from_arrow(random_table(seed, students=5, rows=200, fractions=fractions))
    predicted, students = HARD.predict(log), {}
    for row, event in enumerate(log.table.to_pylist()):
        student = students.setdefault(event["student"], at.Student(HARD))
        assert student.predict(event["item"], skills=event["skills"]) == predicted[row]
        student.observe(event["item"], event["correct"], skills=event["skills"])
    for pair in HARD.score(log).to_pylist():
        assert students[pair["student"]].mastery(pair["skill"]) == pair["mastery"]
        assert students[pair["student"]].opportunities[pair["skill"]] == pair["opportunities"]


@pytest.mark.plain_python
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000), share=st.floats(0, 1), fractions=st.booleans())
def test_3_stats_add_for_every_split_by_student(seed: int, share: float, fractions: bool) -> None:
    table = random_table(seed, several=False, fractions=fractions)
    whole = at.Log.from_arrow(table)
    first = table["student"].to_numpy() < share * 40
    parts = [at.Stats.from_log(at.Log.from_arrow(table.filter(pa.array(mask)))) for mask in (first, ~first)]
    assert parts[0] + parts[1] == at.Stats.from_log(whole)
    assert sum(parts[::-1]) == at.Stats.from_log(whole)


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_4_the_number_of_workers_changes_no_bit(model: at.BKT, monkeypatch: pytest.MonkeyPatch) -> None:
    table, results = random_table(3, several=False, rows=4000), []
    for workers in (1, 2, 7):
        monkeypatch.setattr(parallel, "cores", lambda workers=workers: workers)
        with ThreadPoolExecutor(workers) as pool:
            log = at.Log.from_arrow(table)
            fitted = model.fit(log, executor=pool)
        results.append((fitted.to_dict(), fitted.predict(log).tolist()))
    assert results[0] == results[1] == results[2]


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_4_the_order_of_students_changes_no_parameter(model: at.BKT) -> None:
    table = random_table(4, several=False)
    turned = table.take(pa.array(np.argsort(-table["student"].to_numpy(), kind="stable")))
    assert model.fit(at.Log.from_arrow(table)).to_dict() == model.fit(at.Log.from_arrow(turned)).to_dict()


def test_4_a_fit_beats_every_other_parameter_tried() -> None:
    log = single(5)
    best = at.BKT(forget=False, pooling=0, plausible=False).fit(log).log_likelihood(log)
    random = np.random.default_rng(0)
    for _ in range(300):
        guess = random.uniform(0.01, 0.9, 3)
        tried = {"prior": random.uniform(0.01, 0.99, 3), "learn": random.uniform(0.01, 0.99, 3), "guess": guess}
        other = at.BKT.from_parameters(["a", "b", "c"], **tried, slip=(1 - guess) * random.uniform(0.01, 0.99, 3))
        assert other.log_likelihood(log) <= best


def test_4_several_skills_a_fit_in_rounds_is_no_worse_than_one_round() -> None:
    log = at.Log.from_arrow(random_table(6))
    once = at.BKT().fit(at.BKT().stats(log))
    assert at.BKT().fit(log).log_likelihood(log) >= once.log_likelihood(log)


@pytest.mark.plain_python
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_5_the_order_of_an_events_skills_changes_no_prediction(seed: int) -> None:
    table = random_table(seed, rows=200)
    random = np.random.default_rng(seed)
    turned = [random.permutation(skills).tolist() for skills in table["skills"].to_pylist()]
    other = at.Log.from_arrow(table.set_column(2, "skills", pa.array(turned)))
    assert HARD.predict(other).tolist() == HARD.predict(at.Log.from_arrow(table)).tolist()


@pytest.mark.plain_python
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 10_000))
def test_5_an_event_split_into_rows_is_still_one_event(seed: int) -> None:
    whole = random_table(seed, rows=200)
    rows = [
        {**event, "skill": skill, "event_id": f"e{event['order']}"} for event in whole.to_pylist() for skill in event["skills"]
    ]
    expanded = at.Log.from_arrow(pa.Table.from_pylist(rows).drop_columns(["skills"]))
    assert len(expanded) == len(whole)
    assert HARD.predict(expanded).tolist() == HARD.predict(at.Log.from_arrow(whole)).tolist()


# ---- mistakes of others that shall not be repeated --------------------------


@pytest.mark.plain_python
@pytest.mark.parametrize("rule", ["conjunctive", "mean", "min", "weakest-first"])
@pytest.mark.parametrize("correct", [0, 1])
def test_5_oatutor_every_skill_of_an_item_is_updated_not_the_first_alone(rule: str, correct: int) -> None:
    """OATutor's ``answerMade`` marks the first attempt inside its loop over skills, so only the first is ever updated."""
    model = at.BKT(combine=rule, table=HARD.table)
    student, without = at.Student(model), {skill: at.Student(model).mastery(skill) for skill in "abc"}
    student.observe("q", correct, skills=["a", "b", "c"])
    moved = [skill for skill in "abc" if student.mastery(skill) != without[skill]]
    assert moved == ["a", "b", "c"]  # every skill was practised, even where the answer says nothing of it
    assert student.opportunities == {"a": 1, "b": 1, "c": 1}


def expanded(log: at.Log) -> at.Log:
    """One row per skill of every event, each a response of its own: how pyKT and others lay out items of several skills."""
    rows = [
        {"student": event["student"], "item": event["item"], "skill": skill, "correct": event["correct"], "order": 10 * n + place}
        for n, event in enumerate(log.table.to_pylist())
        for place, skill in enumerate(event["skills"])
    ]
    return at.Log.from_arrow(pa.Table.from_pylist(rows))


def test_5_pykt_rows_of_one_event_leak_its_answer_and_events_do_not() -> None:
    """Where both skills of an item are always asked together, a first row tells a model that knows it what the next one says.

    Answers here are coin tosses: no honest prediction does better than that.
    """
    random, n = np.random.default_rng(0), 4000
    columns = {"student": np.arange(n) // 10, "item": np.arange(n), "correct": random.integers(0, 2, n), "order": np.arange(n)}
    events = at.Log.from_arrow({**columns, "skills": [["a", "b"]] * n})
    rows = [{**{key: values[k] for key, values in columns.items()}, "event_id": k, "skill": s} for k in range(n) for s in "ab"]
    merged = at.Log.from_arrow(pa.Table.from_pylist(rows))
    assert (len(merged), len(expanded(events))) == (n, 2 * n)
    fitted = at.BKT().fit(events)
    assert metrics.auc(events.correct, fitted.predict(events)) == pytest.approx(0.5, abs=0.04)
    assert fitted.predict(merged).tolist() == fitted.predict(events).tolist()
    # the leak itself, with the two skills of an item taken for one: half the rows repeat what is known
    leaking = at.Log.from_arrow(expanded(events).table.set_column(2, "skill", pa.array(["a"] * 2 * n)))
    model = at.BKT.from_parameters(["a"], prior=0.5, learn=0.01, forget=0.5, guess=0.1, slip=0.1)
    assert metrics.auc(leaking.correct, model.predict(leaking)) > 0.65


@pytest.mark.plain_python
def test_5_the_rows_of_an_event_count_once_in_the_likelihood() -> None:
    log = at.Log.from_arrow(random_table(11, rows=300))
    assert len(HARD.predict(log)) == len(log) < len(expanded(log))
    assert HARD.log_likelihood(log) > HARD.log_likelihood(expanded(log))


@pytest.mark.parametrize("correct", [0, 1, 0.5])
@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_6_probabilities_stay_inside_for_100_000_equal_responses(model: at.BKT, correct: float) -> None:
    n = 100_000
    log = at.Log.from_arrow(pa.table({"student": ["Ada"] * n, "item": ["q"] * n, "skill": ["s"] * n, "correct": [correct] * n}))
    fitted = model.fit(log)
    predicted, score = fitted.predict(log), fitted.score(log).to_pylist()[0]
    assert np.all((predicted > 0) & (predicted < 1))
    assert 0 < score["mastery"] < 1
    assert score["opportunities"] == n


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_7_a_saved_model_comes_back_equal(model: at.BKT, tmp_path: Path) -> None:
    log = single(7)
    fitted = model.fit(log)
    fitted.save(tmp_path / "model.json")
    back = at.load(tmp_path / "model.json")
    assert back.to_dict() == fitted.to_dict()
    assert back.fingerprint == fitted.fingerprint
    assert back.predict(log).tolist() == fitted.predict(log).tolist()


def test_7_a_students_state_comes_back_equal() -> None:
    student = at.Student(HARD)
    for correct in (1, 0, 0.5):
        student.observe("q", correct, skills=["a", "c"])
    assert at.Student.from_dict(student.to_dict(), HARD) == student


def test_8_an_unknown_skill_has_the_mean_of_the_others_and_is_flagged() -> None:
    fitted = at.BKT(pooling=0.0).fit(single(8))
    new = at.Log.from_arrow(
        pa.table({"student": ["x", "x"], "item": ["i", "i"], "skill": ["never seen", "a"], "correct": [1, 0]})
    )
    assert fitted.score(new)["fitted"].to_pylist() == [False, True]
    prior, _, _, guess, slip = fitted.row("never seen")
    assert fitted.predict(new)[0] == pytest.approx(prior * (1 - slip) + (1 - prior) * guess, rel=1e-12)
    known = [fitted.row(name)[0] for name in "abc"]
    assert min(known) < prior < max(known)


def test_10_same_seed_same_bits() -> None:
    catalog = at.Catalog.from_arrow({"item": ["1", "2", "3"], "skill": ["a", "b", "c"]})
    logs = [at.simulate(HARD, catalog, students=4, responses=15, seed=seed).table for seed in (1, 1, 2)]
    assert logs[0].equals(logs[1])
    assert not logs[0].equals(logs[2])
    log = single(10)
    assert log.split(0.3, seed=5)[0].table.equals(log.split(0.3, seed=5)[0].table)
