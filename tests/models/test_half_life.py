"""Half-life regression and FSRS: formulas by hand, recovery of what was simulated, and the laws of every model."""

from __future__ import annotations

import datetime
import importlib.util
import json
import math
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.evaluate import metrics
from adaptrace.io import envelope
from adaptrace.kernels import lbfgs, parallel
from adaptrace.models.base import Response
from adaptrace.models.constant import Constant
from adaptrace.models.fsrs import FSRS
from adaptrace.models.fsrs.scheduler import DEFAULTS, HIGHEST, LOWEST
from adaptrace.models.fsrs.state import ReviewRates
from adaptrace.models.half_life import HalfLife
from adaptrace.models.half_life import fit as half_life_fit
from adaptrace.models.half_life.fit import first_rates

DAY = 86_400_000_000  # microseconds
UTC = pa.timestamp("us", tz="UTC")
HAS_FSRS = importlib.util.find_spec("fsrs") is not None
with_fsrs = pytest.mark.skipif(not HAS_FSRS, reason="the package fsrs is not installed: pip install fsrs")
FAMILIES = [pytest.param(HalfLife(), id="half-life"), pytest.param(FSRS(), id="fsrs")]


def random_table(seed: int, *, rows: int = 1500, students: int = 30, several: bool = True, most: float = 30.0) -> pa.Table:
    """Events of one to three skills, partial credit, gaps from nothing to ``most`` days."""
    random = np.random.default_rng(seed)
    skills = [
        sorted(random.choice(["a", "b", "c"], size=random.integers(1, 4 if several else 2), replace=False)) for _ in range(rows)
    ]
    steps = np.where(random.random(rows) < 0.1, 0.0, 10.0 ** random.uniform(-5.0, np.log10(most / students), rows))
    return pa.table(
        {
            "student": [f"s{number}" for number in random.integers(0, students, rows)],
            "item": [f"q{number}" for number in random.integers(0, 20, rows)],
            "skills": skills,
            "correct": random.choice([0.0, 0.5, 0.75, 1.0], rows),
            "time": pa.array((np.cumsum(steps) * DAY).astype(np.int64), UTC),
        }
    )


def random_log(seed: int, **options: Any) -> at.Log:
    return at.Log.from_arrow(random_table(seed, **options))


def simulated(weight: tuple[float, float, float], own: dict[str, float], guess: float, slip: float, students: int) -> at.Log:
    """Twelve responses of every student on every skill, hours to weeks apart, drawn from the model; first responses are coins."""
    random, columns = np.random.default_rng(5), {name: [] for name in ("student", "item", "skill", "correct", "time")}
    for student in range(students):
        for skill, extra in own.items():
            wins = fails = 0
            clock = random.uniform(0.0, 1.0)
            for number in range(12):
                gap = 10.0 ** random.uniform(-1.0, 1.3) if number else 0.0
                h = 2.0 ** (weight[0] + extra + weight[1] * np.sqrt(1 + wins) + weight[2] * np.sqrt(1 + fails))
                p = guess + (1.0 - guess - slip) * 2.0 ** (-gap / h) if number else 0.5
                right, clock = int(random.random() < p), clock + gap
                wins, fails = wins + right, fails + 1 - right
                for name, value in zip(columns, (student, skill + "1", skill, right, int(clock * DAY)), strict=True):
                    columns[name].append(value)
    return at.Log.from_arrow(pa.table({**columns, "time": pa.array(columns["time"], UTC)}))


def responses_of(log: at.Log) -> list[tuple[str, Response]]:
    moments = log.table["time"].cast(pa.int64()).to_pylist()
    return [
        (row["student"], Response(row["item"], tuple(sorted(row["skills"])), "practice", row["correct"], moment))
        for row, moment in zip(log.table.to_pylist(), moments, strict=True)
    ]


# ---- the laws ---------------------------------------------------------------


@pytest.mark.parametrize("model", FAMILIES)
def test_1_nothing_of_the_callers_changes(model: HalfLife | FSRS) -> None:
    table = random_table(0)
    before, log = pa.table(table.to_pydict(), schema=table.schema), at.Log.from_arrow(table)
    frozen, shares = log.table.to_pydict(), []
    fitted = model.fit(log, progress=shares.append)
    content = fitted.to_dict()
    fitted.predict(log)
    assert (table.equals(before), log.table.to_pydict() == frozen, fitted.to_dict() == content) == (True, True, True)
    assert (shares[-1], sorted(shares) == shares, fitted is model) == (1.0, True, False)
    assert getattr(model, "fading", None) is getattr(model, "rates", None) is None


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("model", [*FAMILIES, HalfLife(guess_and_slip=False, range_days=(1.0 / 96.0, 270.0))])
def test_2_folding_observe_equals_predict(model: HalfLife | FSRS, seed: int) -> None:
    fitted, log = model.fit(random_log(10)), random_log(seed, rows=400)
    predicted, states, folded = fitted.predict(log), {}, []
    for student, response in responses_of(log):
        state = states.setdefault(student, fitted.start(student))
        folded.append(state.predict(response._replace(correct=float("nan"))))
        state.observe(response)
        states[student] = fitted.resume(json.loads(json.dumps(state.to_dict())), student)
    if sys.platform == "linux":
        assert folded == predicted.tolist()
    np.testing.assert_allclose(folded, predicted, rtol=1e-14)  # where compiled code has an exp and a pow of its own


@pytest.mark.parametrize("model", FAMILIES)
def test_4_and_10_the_number_of_threads_changes_no_bit(model: HalfLife | FSRS, monkeypatch: pytest.MonkeyPatch) -> None:
    table, results = random_table(3, rows=3000), []
    for workers in (1, 2):
        monkeypatch.setattr(parallel, "cores", lambda workers=workers: workers)
        with ThreadPoolExecutor(workers) as pool:
            log = at.Log.from_arrow(table)
            fitted = model.fit(log, executor=pool)
        results.append((fitted.to_dict(), model.fit(log).to_dict(), fitted.predict(log).tolist()))
    assert results[0] == results[1]
    assert results[0][0] == results[0][1]


@pytest.mark.parametrize("model", FAMILIES)
def test_4_the_order_of_students_changes_nothing_beyond_rounding(model: HalfLife | FSRS) -> None:
    table, random = random_table(4), np.random.default_rng(0)
    student = table["student"].to_numpy(zero_copy_only=False)
    turned = table.take(pa.array(np.argsort(random.permutation(30)[np.unique(student, return_inverse=True)[1]], kind="stable")))
    log, again, other = at.Log.from_arrow(table), at.Log.from_arrow(turned), random_log(5)
    assert log.students != again.students
    np.testing.assert_allclose(model.fit(again).predict(other), model.fit(log).predict(other), rtol=1e-4)


@pytest.mark.plain_python
@pytest.mark.parametrize("model", FAMILIES)
def test_5_the_order_of_an_events_skills_changes_nothing(model: HalfLife | FSRS) -> None:
    table, random = random_table(6), np.random.default_rng(0)
    turned = [random.permutation(skills).tolist() for skills in table["skills"].to_pylist()]
    log, other = at.Log.from_arrow(table), at.Log.from_arrow(table.set_column(2, "skills", pa.array(turned)))
    fitted = model.fit(log)
    assert model.fit(other).to_dict() == fitted.to_dict()
    assert fitted.predict(other).tolist() == fitted.predict(log).tolist()


@pytest.mark.parametrize("model", FAMILIES)
@pytest.mark.parametrize("correct", [0, 1])
def test_6_a_long_history_leaves_a_chance_inside(model: HalfLife | FSRS, correct: int) -> None:
    n = 100_000 if isinstance(model, HalfLife) else 20_000
    time = pa.array(np.cumsum(np.resize([0, 1, DAY], n)), UTC)
    log = at.Log.from_arrow(
        pa.table({"student": ["Ada"] * n, "item": ["q"] * n, "skill": ["a"] * n, "correct": [correct] * n, "time": time})
    )
    p = model.fit(log.select(np.arange(n) < 3000)).predict(log)
    assert np.isfinite(p).all()
    assert (p.min() > 0.0, p.max() < 1.0) == (True, True)
    assert abs(p[-1] - correct) < 0.5


@pytest.mark.parametrize("model", FAMILIES)
def test_7_a_saved_model_comes_back_to_the_last_bit(model: HalfLife | FSRS, tmp_path: Path) -> None:
    log = random_log(7)
    fitted = model.fit(log)
    fitted.save(tmp_path / "model.json")
    content = envelope.read(tmp_path / "model.json", "model")
    back = type(model).from_dict(content)
    assert (content["family"], back.to_dict(), back.fingerprint) == (model.family, fitted.to_dict(), fitted.fingerprint)
    assert back.predict(log).tolist() == fitted.predict(log).tolist()
    assert type(model).from_dict(fitted.to_dict()).fingerprint == fitted.fingerprint


@pytest.mark.parametrize("model", FAMILIES)
def test_8_unknown_names_have_the_rate_of_all_first_responses(model: HalfLife | FSRS) -> None:
    log = random_log(8)
    fitted, response = model.fit(log), Response("new", ("never seen",), "practice", 1.0, 0)
    state = fitted.start("nobody")
    new = log.rows.opportunity == 1 if isinstance(model, HalfLife) else firsts_by_item(log)
    correct = np.repeat(log.correct, np.diff(log.rows.skill_start)) if isinstance(model, HalfLife) else log.correct
    assert state.predict(response) == pytest.approx((correct[new].sum() + 0.5) / (new.sum() + 1), rel=1e-12)
    table = {"student": ["nobody"], "item": ["new"], "skill": ["never seen"], "correct": [1], "time": pa.array([0], UTC)}
    assert fitted.predict(at.Log.from_arrow(table)).tolist() == [state.predict(response)]
    state.observe(response)
    soon, late = (state.predict(response._replace(moment=days * DAY)) for days in (2, 200))
    assert 0.0 < late < soon < 1.0


def firsts_by_item(log: at.Log) -> np.ndarray:
    seen, out = set(), []
    for row in log.table.to_pylist():
        out.append((row["student"], row["item"]) not in seen)
        seen.add((row["student"], row["item"]))
    return np.array(out)


@pytest.mark.parametrize("model", FAMILIES)
def test_a_log_without_time_is_refused(model: HalfLife | FSRS) -> None:
    plain = at.Log.from_arrow(random_table(9).drop_columns(["time"]))
    with pytest.raises(at.DataError, match="column 'time'"):
        model.fit(plain)
    fitted = model.fit(random_log(9))
    with pytest.raises(at.DataError, match="column 'time'"):
        fitted.predict(plain)
    assert model.needs == ("time",)


@pytest.mark.parametrize("model", FAMILIES)
def test_an_unfitted_model_says_so(model: HalfLife | FSRS) -> None:
    for use in (model.start, model.to_dict, lambda: model.predict(random_log(9, rows=20))):
        with pytest.raises(at.ModelError, match=r"not fitted; use the one that fit\(log\) returns"):
            use()


@pytest.mark.parametrize("model", FAMILIES)
def test_an_empty_log_can_be_fitted(model: HalfLife | FSRS) -> None:
    log = random_log(9, rows=20)
    fitted = model.fit(log.select(np.zeros(20, bool)))
    p = fitted.predict(log)
    assert p[0] == 0.5
    assert (p.min() > 0.0, p.max() < 1.0) == (True, True)
    assert fitted.predict(log.select(np.zeros(20, bool))).shape == (0,)


@pytest.mark.parametrize("model", FAMILIES)
def test_a_resumed_state_is_a_new_one_with_the_old_content(model: HalfLife | FSRS) -> None:
    fitted = model.fit(random_log(9))
    state = fitted.start("Ada")
    response = Response("q1", ("a", "b"), "practice", 1.0, 5 * DAY)
    state.observe(response)
    content = state.to_dict()
    frozen = json.dumps(content)
    copy = fitted.resume(content, "Ada")
    copy.observe(response._replace(moment=9 * DAY, correct=0.0))
    assert json.dumps(content) == json.dumps(state.to_dict()) == frozen
    assert copy != state
    assert fitted.resume(content, "Ada") == state
    assert state.predict(response._replace(moment=None)) == state.predict(response)


# ---- half-life regression ---------------------------------------------------


def test_what_was_simulated_is_found_again() -> None:
    own = {"a": -1.0, "b": -0.5, "c": 0.5, "d": 1.0}
    log = simulated((-0.5, 1.0, -0.3), own, 0.2, 0.1, students=800)
    model = HalfLife().fit(log)
    curve = model.fading.curve
    np.testing.assert_allclose(curve.skill[:-1], list(own.values()), atol=0.25)
    np.testing.assert_allclose(curve.weight, [-0.5, 1.0, -0.3], atol=0.2)
    np.testing.assert_allclose([curve.guess, curve.slip], [0.2, 0.1], atol=0.03)
    truth = [2.0 ** (-0.5 + extra + np.sqrt(5.0) - 0.3 * np.sqrt(2.0)) for extra in own.values()]
    np.testing.assert_allclose(model.half_lives(wins=4, fails=1)["half_life_days"].to_numpy(), truth, rtol=0.12)


def test_the_papers_formula_by_hand() -> None:
    log = simulated((0.0, 1.0, -0.5), {"a": 0.0}, 0.0, 0.0, students=40)
    model = HalfLife(guess_and_slip=False).fit(log)
    state = model.start()
    for day, correct in ((0, 1.0), (2, 0.0), (3, 0.5)):
        state.observe(Response("q", ("a",), "practice", correct, day * DAY))
    x = np.array([1.0, np.sqrt(2.5), np.sqrt(2.5)])
    h = 2.0 ** (model.fading.curve.weight @ x + model.fading.curve.skill[0])
    assert state.half_life("a") == pytest.approx(h, rel=1e-12)
    assert state.predict(Response("q", ("a",), "practice", np.nan, 10 * DAY)) == pytest.approx(2.0 ** (-7.0 / h), rel=1e-12)
    assert (model.fading.curve.guess, model.fading.curve.slip) == (0.0, 0.0)


@pytest.mark.plain_python
@pytest.mark.parametrize("guess_and_slip", [True, False])
def test_the_gradient_of_the_fit_is_the_limit_of_differences(guess_and_slip: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    tasks, random = [], np.random.default_rng(0)

    def seen(objective: Any, start: np.ndarray, **options: Any) -> lbfgs.Minimum:
        tasks.append(objective)
        return lbfgs.minimise(objective, start, **options)

    monkeypatch.setattr(half_life_fit, "minimise", seen)
    HalfLife(guess_and_slip=guess_and_slip).fit(simulated((0.0, 1.0, -0.5), {"a": 0.4, "b": -0.4}, 0.2, 0.1, students=20))
    point, step = random.normal(size=7 if guess_and_slip else 5), 1e-5
    moves = step * np.eye(len(point))
    differences = [(tasks[0](point + move)[0] - tasks[0](point - move)[0]) / (2.0 * step) for move in moves]
    np.testing.assert_allclose(tasks[0](point)[1], differences, rtol=1e-5, atol=1e-6)


def test_a_fit_is_at_the_bottom() -> None:
    log, random = simulated((0.0, 1.0, -0.5), {"a": 0.4, "b": -0.4}, 0.2, 0.1, students=100), np.random.default_rng(0)
    model = HalfLife(l2=1e-6).fit(log)
    curve, best = model.fading.curve, model.log_likelihood(log)
    for size in (0.01, 0.1, 1.0):
        for _ in range(20):
            moved = curve._replace(
                weight=curve.weight + size * random.normal(size=3), guess=curve.guess * np.exp(-size * random.random())
            )
            assert HalfLife(fading=type(model.fading)(model.fading.skills, moved, 0, 0.0)).log_likelihood(log) < best + 0.02


def test_the_penalty_draws_skills_together() -> None:
    log = simulated((0.0, 1.0, -0.5), {"a": 1.0, "b": -1.0}, 0.2, 0.1, students=60)
    loose, tight = (HalfLife(l2=l2).fit(log).fading.curve.skill for l2 in (0.1, 1000.0))
    assert np.abs(tight).max() < 0.2 * np.abs(loose).max()
    assert np.abs(loose).max() > 0.5


def test_half_lives_keep_to_their_range() -> None:
    model = HalfLife(range_days=(2.0, 3.0)).fit(random_log(9))
    for wins in (0.0, 1e9):
        days = model.half_lives(wins=wins)["half_life_days"].to_numpy()
        assert ((days >= 2.0) & (days <= 3.0)).all()
    assert model.half_lives().column_names == ["skill", "half_life_days", "first"]
    assert model.half_life("a") == model.half_lives()["half_life_days"][0].as_py()


def test_several_skills_are_averaged() -> None:
    model = HalfLife().fit(random_log(9))
    state = model.start()
    state.observe(Response("q", ("a",), "practice", 1.0, 0))
    one, other, both = (state.predict(Response("q", skills, "practice", np.nan, DAY)) for skills in (("a",), ("b",), ("a", "b")))
    assert both == pytest.approx((one + other) / 2.0, rel=1e-14)


def test_first_responses_are_shrunk_to_the_rate_of_all() -> None:
    rates = first_rates(np.array([0, 0, 0, 1]), np.array([1.0, 1.0, 1.0, 0.5]), 3)
    overall = (3.5 + 0.5) / 5.0
    np.testing.assert_allclose(rates, [(3.0 + 5.0 * overall) / 8.0, (0.5 + 5.0 * overall) / 6.0, overall, overall], rtol=1e-14)


@pytest.mark.parametrize(
    "options",
    [{"range_days": (0.0, 1.0)}, {"range_days": (2.0, 1.0)}, {"range_days": (1.0, np.inf)}, {"l2": -1.0}, {"l2": np.nan}],
)
def test_options_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(at.ModelError, match=rf"{next(iter(options))}: got .*; expected "):
        HalfLife(**options)


def test_it_reads_well() -> None:
    log = random_log(9)
    assert (repr(HalfLife()), repr(HalfLife(guess_and_slip=False).fit(log))) == (
        "HalfLife()",
        "HalfLife(3 skills, guess_and_slip=False)",
    )
    assert repr(FSRS(optimise=True)) == "FSRS(optimise=True)"


def test_it_beats_a_constant_on_spaced_practice(data_folder: Path) -> None:
    log = at.Log.read(data_folder / "memphis_cloze.parquet", time_unit="s")
    train, test = log.split(0.2, seed=0)
    p = HalfLife().fit(train).predict(test)
    assert metrics.log_loss(test.correct, p) < 0.59 < metrics.log_loss(test.correct, Constant().fit(train).predict(test))
    assert metrics.auc(test.correct, p) > 0.75


# ---- FSRS -------------------------------------------------------------------


def card_log(*correct: float, days: tuple[float, ...]) -> at.Log:
    n = len(correct)
    time = pa.array((np.array(days) * DAY).astype(np.int64), UTC)
    return at.Log.from_arrow(
        pa.table({"student": ["Ada"] * n, "item": ["q"] * n, "skill": ["a"] * n, "correct": correct, "time": time})
    )


def scheduled(log: at.Log, rates: ReviewRates, parameters: Sequence[float]) -> list[float]:
    """P(correct) of a log of one student by the package's own scheduler and cards."""
    fsrs = pytest.importorskip("fsrs")
    scheduler, cards, out = fsrs.Scheduler(parameters=parameters, enable_fuzzing=False), {}, []
    for row, moment in zip(log.table.to_pylist(), log.moments.tolist(), strict=True):
        item, now = str(row["item"]), datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(microseconds=moment)
        card = cards.get(item)
        if card is None:
            out.append(float(rates.first[rates.places[item]]))
        elif (now - card.last_review).days < 1:
            out.append(rates.same_day)
        else:
            out.append(min(max(scheduler.get_card_retrievability(card, now), 1e-4), 1.0 - 1e-4))
        rating = fsrs.Rating.Good if row["correct"] >= 0.5 else fsrs.Rating.Again
        cards[item], _ = scheduler.review_card(card or fsrs.Card(card_id=1, due=now), rating, now)
    return out


def between(share: float) -> list[float]:
    """Parameters so far from the lowest to the highest that the package allows."""
    return [low + share * (high - low) for low, high in zip(LOWEST, HIGHEST, strict=True)]


@with_fsrs
@pytest.mark.parametrize("share", [None, 0.0, 0.2, 0.5, 0.8, 1.0])
def test_chances_are_the_packages_own(share: float | None) -> None:
    parameters = DEFAULTS if share is None else between(share)
    for seed in range(3):
        log = random_log(seed, students=1, rows=400)
        model = FSRS(parameters=parameters).fit(log)
        expected = scheduled(log, model.rates, parameters)
        np.testing.assert_allclose(model.predict(log), expected, rtol=0.0 if sys.platform == "linux" else 1e-12)


@with_fsrs
def test_the_defaults_and_bounds_are_the_packages() -> None:
    fsrs = pytest.importorskip("fsrs.scheduler")
    assert fsrs.DEFAULT_PARAMETERS == DEFAULTS
    assert (fsrs.LOWER_BOUNDS_PARAMETERS, fsrs.UPPER_BOUNDS_PARAMETERS) == (LOWEST, HIGHEST)


def test_chances_by_hand() -> None:
    """Days 0, 3 and 23; right, wrong, right: the formulas of the kernel's docstring, with the default parameters."""
    log, w = card_log(1, 0, 1, days=(0.0, 3.0, 23.0)), DEFAULTS
    factor = 0.9 ** (-1.0 / w[20]) - 1.0
    stability, difficulty = w[2], w[4] - math.exp(2.0 * w[5]) + 1.0
    first = (1.0 + factor * 3.0 / stability) ** -w[20]
    lapse = w[11] * difficulty ** -w[12] * ((stability + 1.0) ** w[13] - 1.0) * math.exp(w[14] * (1.0 - first))
    second = (1.0 + factor * 20.0 / min(lapse, stability / math.exp(w[17] * w[18]))) ** -w[20]
    model = FSRS().fit(log)
    np.testing.assert_allclose(model.predict(log)[1:], [first, second], rtol=1e-12)


def test_given_parameters_are_used_and_kept() -> None:
    log = card_log(1, 1, 1, days=(0.0, 3.0, 20.0))
    lower = [value * (0.5 if place == 2 else 1.0) for place, value in enumerate(DEFAULTS)]
    model = FSRS(parameters=lower).fit(log)
    assert model.predict(log)[1] < FSRS().fit(log).predict(log)[1]
    assert FSRS.from_dict(model.to_dict()).parameters == model.parameters == tuple(lower)


def test_parameters_that_are_none_are_refused_at_once() -> None:
    with pytest.raises(at.ModelError, match="parameters: got 2; expected 21"):
        FSRS(parameters=[1.0, 2.0])
    wrong = [*DEFAULTS[:7], 0.9, *DEFAULTS[8:20], math.nan]
    told = "parameter 7: got 0.9; expected 0.001 to 0.75; parameter 20: got nan; expected 0.1 to 0.8"
    with pytest.raises(at.ModelError, match=told):
        FSRS(parameters=wrong)


def test_a_response_without_a_moment_changes_nothing() -> None:
    state = FSRS().fit(random_log(2)).start()
    with pytest.raises(ValueError, match="moment: got None"):
        state.observe(Response("q1", ("a",), "practice", 1.0, None))
    assert state.to_dict() == {"cards": {}}


def test_a_card_of_release_0_1_comes_back() -> None:
    """It was the package's own dictionary."""
    model = FSRS().fit(random_log(2))
    state = model.start()
    state.observe(Response("q1", ("a",), "practice", 1.0, 1_756_684_800_000_000))
    card = {"card_id": 0, "state": 1, "step": 1, "stability": DEFAULTS[2], "difficulty": state.cards["q1"].difficulty}
    card |= {"due": "2025-09-01T00:10:00+00:00", "last_review": "2025-09-01T00:00:00+00:00"}
    assert model.resume({"cards": {"q1": card}}) == state
    for name, value in (("stability", -1.0), ("difficulty", None), ("last_review", "2025-09-01T00:00:00")):
        with pytest.raises(ValueError, match=name):
            model.resume({"cards": {"q1": card | {name: value}}})


def test_without_the_package_the_remedy_of_the_optimiser_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fsrs", None)
    assert len(FSRS().fit(random_log(2, rows=20)).predict(random_log(2, rows=20))) == 20
    with pytest.raises(at.ModelError, match=r'pip install "adaptrace\[fsrs\]"'):
        FSRS(optimise=True).fit(random_log(2, rows=20))


@with_fsrs
def test_the_optimisers_parameters_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    import fsrs

    log, told = card_log(1, 0, 1, days=(0.0, 3.0, 20.0)), []
    found = [min(value * 1.1, 9.0) if place < 4 else value for place, value in enumerate(fsrs.Scheduler().parameters)]

    class Fake:
        def __init__(self, reviews: list[fsrs.ReviewLog]) -> None:
            told.extend((review.card_id, int(review.rating), review.review_datetime.day) for review in reviews)

        def compute_optimal_parameters(self) -> list[float]:
            return found

    monkeypatch.setattr(fsrs, "Optimizer", Fake, raising=False)
    model = FSRS(optimise=True).fit(log)
    assert model.parameters == tuple(found)
    assert told == [(0, 3, 1), (0, 1, 4), (0, 3, 21)]
    assert model.predict(log)[1] > FSRS().fit(log).predict(log)[1]


@with_fsrs
@pytest.mark.skipif(importlib.util.find_spec("torch") is not None, reason="torch is installed: its absence cannot be seen")
def test_without_torch_the_remedy_is_named() -> None:
    with pytest.raises(at.ModelError, match=r'pip install "adaptrace\[fsrs\]"'):
        FSRS(optimise=True).fit(random_log(2, rows=20))


@with_fsrs
@pytest.mark.skipif(importlib.util.find_spec("torch") is None, reason="torch is not installed: the optimiser cannot run")
def test_the_optimiser_runs() -> None:
    assert len(FSRS(optimise=True).fit(random_log(2)).parameters) == 21


def test_it_beats_a_constant_on_reviews_of_cards(data_folder: Path) -> None:
    log = at.Log.read(data_folder / "anki_josh.parquet", time_unit="s")
    later = (log.rows.opportunity > 1) & (log.gap_days >= 1.0)
    y, p = log.correct[later], FSRS().fit(log).predict(log)[later]
    constant = np.full(len(y), y.mean())
    assert metrics.log_loss(y, p) < metrics.log_loss(y, constant) - 0.04
    assert metrics.auc(y, p) > 0.7
