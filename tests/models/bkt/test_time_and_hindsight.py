"""What a model says of another time, of the moment of learning, and of how sure its parameters are."""

from __future__ import annotations

import datetime
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adaptrace as at
from reference import evidence as reference
from reference.school import START, answers, log_of, random_log, times

DAY = datetime.timedelta(days=1)
PROBABILITY = st.floats(0.05, 0.9)
THETA = st.tuples(PROBABILITY, PROBABILITY, st.floats(0.0, 0.3), st.floats(0.05, 0.45), st.floats(0.05, 0.45))


@cache
def fading() -> at.BKT:
    """A model whose skill is kept for a week or so."""
    gap = np.tile([0.0, 0.01, 3.0, 10.0, 1.0], (200, 1))
    correct = answers(gap.shape, 1, prior=0.2, learn=0.4, guess=0.1, slip=0.05, keep=2.0 ** (-gap / 7.0))
    return at.BKT(elapsed=True).fit(log_of(correct, time=times(np.cumsum(gap, axis=1))))


def history(*days: float, correct: int = 1) -> at.Log:
    """One student's responses on the skill on these days."""
    return log_of(np.full((1, len(days)), correct), time=times(days))


# ---- at a time --------------------------------------------------------------


@settings(max_examples=25, deadline=None)
@given(
    gaps=st.lists(st.floats(0.0, 50.0), min_size=0, max_size=3),
    outcomes=st.lists(st.integers(0, 1), min_size=4, max_size=4),
    later=st.floats(0.0, 100.0),
)
def test_fading_equals_the_sum_over_hidden_paths(gaps: list[float], outcomes: list[int], later: float) -> None:
    model, days = fading(), np.round(np.cumsum([0.0, *gaps]) * 86_400e6) / 86_400e6
    prior, learn, forget, guess, slip = model.row("s")
    keep = [1.0, *(reference.kept(gap, model.half_life("s")) for gap in np.diff(days))]
    responses = [reference.answer(c, guess, slip, learn, forget, k) for c, k in zip(outcomes, keep, strict=False)]
    log = log_of(np.array([outcomes[: len(days)]]), time=times(days))
    for place, predicted in enumerate(model.predict(log)):
        before = reference.mastery(prior, responses[:place], keep[place])
        assert predicted == pytest.approx(before * (1 - slip) + (1 - before) * guess, rel=1e-9)
    for place, (known, learned) in enumerate(
        zip(*(model.smooth(log)[name].to_pylist() for name in ("known", "learned")), strict=True)
    ):
        assert known == pytest.approx(reference.known_at(prior, responses, place), rel=1e-8)
        assert learned == pytest.approx(reference.learned_after(prior, responses, place), rel=1e-8)
    asked = START + datetime.timedelta(microseconds=round((days[-1] + later) * 86_400e6))
    expected = reference.mastery(prior, responses, reference.kept(later, model.half_life("s")))
    assert model.score(log, time=asked)["mastery"][0].as_py() == pytest.approx(expected, rel=1e-9)


def test_mastery_falls_with_time_and_at_the_last_response_it_is_what_it_was() -> None:
    model, log = fading(), random_log(1)
    last = log.table["time"].to_pylist()[-1]
    ada = history(0.0, 1.0)
    now = model.score(ada)
    assert model.score(ada, time=START + DAY).to_pydict() == now.to_pydict()
    scores = [model.score(ada, time=START + DAY * days)["mastery"][0].as_py() for days in (1, 2, 8, 100, 10_000)]
    assert sorted(scores, reverse=True) == scores
    assert len(set(scores)) == 5
    assert scores[2] == pytest.approx(scores[0] * reference.kept(7.0, model.half_life("s")), rel=1e-12)
    assert last > START


def test_a_time_before_the_last_response_changes_nothing() -> None:
    model, ada = fading(), history(0.0, 5.0)
    assert model.score(ada, time=START + DAY).to_pydict() == model.score(ada).to_pydict()


@pytest.mark.plain_python
def test_mastery_at_a_time_equals_the_students_bit_for_bit_and_keeps_its_interval_around_it() -> None:
    model, ada = fading(), history(0.0, 1.5, 4.0)
    student = at.Student.from_log(model, ada, student=0)
    for days in (4.0, 5.25, 90.0):
        when = START + DAY * days
        (row,) = model.score(ada, time=when).to_pylist()
        assert row["mastery"] == student.mastery("s", time=when)
        assert row["low"] <= row["mastery"] <= row["high"]
        assert student.predict("q", skills=["s"], time=when) == pytest.approx(
            row["mastery"] * (1 - model.row("s")[4]) + (1 - row["mastery"]) * model.row("s")[3], rel=1e-12
        )


def test_a_time_without_a_zone_is_utc() -> None:
    model, ada = fading(), history(0.0)
    naive = (START + 3 * DAY).replace(tzinfo=None)
    other = (START + 3 * DAY).astimezone(datetime.timezone(datetime.timedelta(hours=9)))
    scores = [model.score(ada, time=when).to_pydict() for when in (naive, START + 3 * DAY, other)]
    assert scores[0] == scores[1] == scores[2]


def test_a_time_is_refused_where_mastery_does_not_fade() -> None:
    log = history(0.0, 1.0)
    for model in (at.BKT().fit(log), at.BKT(items=("guess",)).fit(log)):
        with pytest.raises(at.ModelError, match=r"does not fade; fit one with BKT\(elapsed=True\)"):
            model.score(log, time=START)


def test_a_log_without_a_clock_is_refused_where_mastery_fades() -> None:
    log = log_of(np.array([[1, 0]]))
    for use in (fading().predict, fading().score, fading().smooth, at.BKT(elapsed=True).fit):
        with pytest.raises(at.DataError, match="column 'time'"):
            use(log)


def test_practice_after_a_long_break_starts_lower() -> None:
    model = fading()
    soon, late = (model.predict(history(0.0, 0.1, days))[-1] for days in (0.2, 60.0))
    assert late < soon


# ---- the moment of learning -------------------------------------------------


@settings(max_examples=40, deadline=None)
@given(outcomes=st.lists(st.integers(0, 1), min_size=1, max_size=5), theta=THETA)
def test_the_moment_of_learning_equals_the_sum_over_hidden_paths(outcomes: list[int], theta: tuple[float, ...]) -> None:
    prior, learn, forget, guess, slip = theta
    model = at.BKT.from_parameters(["s"], prior=prior, learn=learn, forget=forget, guess=guess, slip=slip)
    prior, learn, forget, guess, slip = model.row("s")  # certainties are moved a little
    responses = [reference.answer(correct, guess, slip, learn, forget) for correct in outcomes]
    learned = [reference.learned_after(prior, responses, place) for place in range(len(outcomes))]
    start = reference.known_at(prior, responses, 0)
    never = 1 - reference.known_at(prior, responses, len(outcomes) - 1) - learned[-1]
    (row,) = model.learning_moments(log_of(np.array([outcomes]))).to_pylist()
    chances = {0: start, None: never, **{place + 1: chance for place, chance in enumerate(learned)}}
    assert row["probability"] == pytest.approx(chances[row["moment"]], rel=1e-8)
    assert chances[row["moment"]] >= max(chances.values()) - 1e-9


def test_the_moment_is_where_wrong_answers_turn_right() -> None:
    model = at.BKT.from_parameters(["s"], prior=0.3, learn=0.1, guess=0.05, slip=0.05)
    outcomes = np.array([[1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1], [0, 0, 0, 0, 0, 0]])
    table = model.learning_moments(log_of(outcomes))
    assert table["moment"].to_pylist() == [0, 3, None]
    assert all(0.5 < each < 1.0 for each in table["probability"].to_pylist())


def test_every_student_and_skill_has_one_moment() -> None:
    log = random_log(2, several=True)
    model = at.BKT(combine="mean").fit(log)
    moments, score = model.learning_moments(log), model.score(log)
    assert moments.select(["student", "skill"]).to_pylist() == score.select(["student", "skill"]).to_pylist()
    ends = score["opportunities"].to_numpy()
    assert all(moment is None or 0 <= moment <= end for moment, end in zip(moments["moment"].to_pylist(), ends, strict=True))


# ---- the bootstrap ----------------------------------------------------------


NAMES = ("prior", "learn", "guess", "slip")


@cache
def large() -> tuple[at.Log, at.BKT]:
    log = log_of(answers((3000, 6), 3, prior=0.3, learn=0.2, guess=0.2, slip=0.1))
    return log, at.BKT(forget=False, pooling=0.0).fit(log)


def bits(table: pa.Table) -> dict[str, Any]:
    return table.to_pydict()


def test_same_seed_same_bits_whoever_does_the_work() -> None:
    log, model = large()
    runs = [bits(model.bootstrap(log, draws=6, seed=1))]
    for workers in (1, 2, 7):
        with ThreadPoolExecutor(workers) as pool:
            runs.append(bits(model.bootstrap(log, draws=6, seed=1, executor=pool)))
    assert all(run == runs[0] for run in runs)
    assert bits(model.bootstrap(log, draws=6, seed=2)) != runs[0]
    assert bits(model.bootstrap(model.stats(log), draws=6, seed=1)) == runs[0]
    fewer = model.bootstrap(log, draws=3, seed=1)
    assert bits(fewer) == bits(model.bootstrap(log, draws=6, seed=1).slice(0, len(fewer)))


def test_the_draws_lie_around_the_fit_and_spread_as_far_as_its_intervals() -> None:
    log, model = large()
    draws, (row,) = model.bootstrap(log, draws=200, seed=4), model.summary().to_pylist()
    for name in NAMES:
        values = draws[name].to_numpy()
        logits, ends = (np.log(each / (1 - each)) for each in (values, np.array([row[f"{name}_low"], row[f"{name}_high"]])))
        ratio = np.diff(np.quantile(logits, [0.05, 0.95]))[0] / np.diff(ends)[0]
        assert 0.75 < ratio < 1.33, name
        assert np.mean(values) == pytest.approx(row[name], abs=3 * values.std() / np.sqrt(200) + 0.01)


def test_the_table_of_draws_names_every_draw_and_skill() -> None:
    log = random_log(5)
    model = at.BKT().fit(log)
    table = model.bootstrap(log, draws=4, seed=0)
    assert table.column_names == ["draw", "skill", "prior", "learn", "forget", "guess", "slip"]
    assert table["skill"].to_pylist() == ["a", "b", "c"] * 4
    assert table["draw"].to_pylist() == np.repeat(np.arange(4), 3).tolist()
    assert np.all((table["guess"].to_numpy() + table["slip"].to_numpy()) < 1.0)


def test_draws_need_the_skills_of_the_fit() -> None:
    log, model = large()
    with pytest.raises(at.ModelError, match="stats of another structure or other skills"):
        model.bootstrap(random_log(5), draws=1, seed=0)
    with pytest.raises(at.ModelError, match="not fitted"):
        at.BKT().bootstrap(log, draws=1, seed=0)


def test_draws_are_pulled_where_the_fit_was() -> None:
    """Thousands of pseudo-observations leave the draws of few responses at the fit, whatever the weights."""
    tables = [log_of(answers((10, 4), seed), skill=f"s{seed}").table for seed in range(5)]
    log = at.Log.from_arrow(pa.concat_tables(tables, promote_options="permissive"))
    model = at.BKT(pooling=1e4, plausible=False).fit(log)
    draws = model.bootstrap(log, draws=5, seed=0)
    for name in ("prior", "learn", "forget", "guess", "slip"):
        np.testing.assert_allclose(draws[name].to_numpy(), np.tile(getattr(model.parameters, name)[:-1], 5), rtol=0.05)
