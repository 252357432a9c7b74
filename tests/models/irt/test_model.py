"""Item response models: planted items and abilities are found, and what is not known is not made up."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.kernels import parallel
from adaptrace.kernels.irt import Dynamics
from adaptrace.models.irt import IRT, Rasch, TwoPL, fit
from adaptrace.models.irt.fit import AskedItems, calibrate, fit_dynamics
from reference import irt as reference


@pytest.fixture(scope="module", autouse=True)
def one_core() -> Iterator[None]:
    """Starting threads takes longer than these fits."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(parallel, "cores", lambda: 1)
        yield


STILL = {"drift": False, "skills": False}
N_ITEMS = 60


def planted() -> tuple[Any, Any]:
    """Difficulties and slopes; the latter have a geometric mean of 1, which sets the scale."""
    random = np.random.default_rng(1)
    difficulty, told = 1.2 * random.normal(size=N_ITEMS), 0.3 * random.normal(size=N_ITEMS)
    return difficulty, np.exp(told - told.mean())


@cache
def fitted(slopes: bool) -> IRT:
    difficulty, slope = planted()
    options = {"difficulty": difficulty, "slope": slope if slopes else None, "spread": 1.2}
    return IRT(discrimination=slopes, **STILL).fit(reference.school(0, students=2000, length=N_ITEMS, **options))


def test_planted_difficulties_are_found_by_rasch() -> None:
    """Their standard error is some 0.055: 2,000 answers of an information of about 0.17 each."""
    difficulty, found = planted()[0], fitted(False).bank.difficulty
    assert np.corrcoef(found, difficulty)[0, 1] > 0.995
    assert np.sqrt(((found - difficulty) ** 2).mean()) < 0.08
    assert fitted(False).bank.discrimination.tolist() == [1.0] * N_ITEMS


def test_planted_difficulties_and_slopes_are_found_by_2pl_up_to_the_scale() -> None:
    """The prior on log slopes has its mean at 0 and shrinks them, by about a tenth of their spread for 2,000 answers."""
    (difficulty, slope), bank = planted(), fitted(True).bank
    told = np.log(bank.discrimination)
    assert np.corrcoef(bank.difficulty, difficulty)[0, 1] > 0.98
    assert np.corrcoef(told, np.log(slope))[0, 1] > 0.95
    assert told.std() / np.log(slope).std() == pytest.approx(0.95, abs=0.15)
    scale = np.exp(told.mean())
    assert scale == pytest.approx(1.0, abs=0.15)
    assert np.sqrt(((bank.difficulty * scale - difficulty) ** 2).mean()) < 0.12


def calibrated(log: at.Log, slopes: bool = False) -> fit.CalibratedItems:
    item = log.table["item"].chunk(0).indices.to_numpy()
    items = AskedItems.of(log.rows, item, len(log.items), len(log.skills))
    return calibrate(log.rows, item, items, slopes, None)


@pytest.mark.parametrize("spread", [0.5, 1.0, 1.6])
def test_the_spread_of_abilities_is_found(spread: float) -> None:
    """Where answers are few enough for the 13 nodes of the quadrature: 20 a student. With hundreds it would be too low."""
    log = reference.school(2, students=2000, length=20, difficulty=planted()[0], spread=spread)
    assert np.sqrt(calibrated(log).spread) == pytest.approx(spread, rel=0.1)


def test_the_spread_of_abilities_is_found_from_long_histories_too() -> None:
    """300 answers a student leave a doubt of 0.15 about the ability, which a grid must be able to tell."""
    random = np.random.default_rng(1)
    log = reference.school(3, students=500, length=300, difficulty=1.2 * random.normal(size=300), spread=1.2)
    assert np.sqrt(calibrated(log).spread) == pytest.approx(1.2, rel=0.15)


# ---- items that little is known of ------------------------------------------


def with_rare_items(answers: int) -> tuple[at.Log, IRT]:
    """Easy items of one skill and hard ones of another; of each skill one item with few answers, all of them surprising."""
    difficulty = np.array([-1.5, 1.5] * 15)
    log = reference.school(3, students=400, length=30, difficulty=difficulty, skills=2)
    rows = log.table.to_pylist()
    for number in range(answers):
        for item, skill, correct in (("rare easy", "k0", 0), ("rare hard", "k1", 1)):
            rows.append({"student": f"s{number}", "item": item, "skill": skill, "correct": correct})
    log = at.Log.from_arrow(pa.Table.from_pylist(rows))
    return log, Rasch(**STILL).fit(log)


def skill_level(model: IRT, skill: str) -> float:
    bank = model.bank
    return bank.mean + dict(zip(bank.skills.to_pylist(), bank.skill.tolist(), strict=True))[skill]


def test_an_item_with_one_response_stays_near_its_skill() -> None:
    """By the prior of precision 1 one answer moves it by less than 1; without it it would move without end."""
    _, model = with_rare_items(1)
    found = dict(zip(model.bank.items.to_pylist(), model.bank.difficulty.tolist(), strict=True))
    for item, skill, way in (("rare easy", "k0", 1.0), ("rare hard", "k1", -1.0)):
        moved = way * (found[item] - skill_level(model, skill))
        assert 0.3 < moved < 1.0
    assert found["rare easy"] < found["rare hard"] - 1.0


def test_an_item_with_many_responses_says_itself_how_hard_it_is() -> None:
    moved = []
    for answers in (1, 10, 100):
        _, model = with_rare_items(answers)
        found = dict(zip(model.bank.items.to_pylist(), model.bank.difficulty.tolist(), strict=True))
        moved.append(found["rare easy"] - skill_level(model, "k0"))
    assert 0.3 < moved[0] < moved[1] - 1.0 < moved[2] - 2.0


def ask(model: IRT, item: str, skills: list[str]) -> tuple[float, float]:
    """Difficulty and slope, as a log and as a student's state see them."""
    log = at.Log.from_arrow({"student": ["x"], "item": [item], "skills": [skills], "correct": [1]})
    (difficulty,), (slope,) = (part.tolist() for part in model.place(log))
    assert at.Student(model).predict(item, skills=skills) == model.predict(log)[0]
    return difficulty, slope


def test_an_unknown_item_is_as_hard_as_its_skills() -> None:
    _, model = with_rare_items(1)
    easy, hard = skill_level(model, "k0"), skill_level(model, "k1")
    assert easy < -1.0 < 1.0 < hard
    assert ask(model, "new", ["k0"]) == (easy, 1.0)
    assert ask(model, "new", ["k1"]) == (hard, 1.0)
    assert ask(model, "new", ["k0", "k1"])[0] == pytest.approx((easy + hard) / 2.0, abs=1e-12)
    assert ask(model, "new", ["new"]) == (model.bank.mean, 1.0)
    assert ask(model, "new", ["k1", "new"])[0] == pytest.approx(model.bank.mean + model.bank.skill[1] / 2.0, abs=1e-12)


def test_a_2pl_takes_an_unknown_item_to_have_the_mean_slope() -> None:
    assert ask(fitted(True), "new", ["k0"]) == (skill_level(fitted(True), "k0"), 1.0)


def test_items_are_their_skills_and_their_own() -> None:
    """The gradient over skills is the transpose of their mean over items."""
    log = at.Log.from_arrow(
        {"student": [1] * 4, "item": [1, 2, 1, 3], "skills": [["a"], ["a", "b", "c"], ["a"], ["b"]], "correct": [1, 0, 1, 0]}
    )
    items = AskedItems.of(log.rows, log.table["item"].chunk(0).indices.to_numpy(), 3, 3)
    dense = np.array([[1.0, 0.0, 0.0], [1.0 / 3.0] * 3, [0.0, 1.0, 0.0]])
    v, w = np.array([0.3, -1.0, 2.0]), np.array([1.0, 0.7, -0.2])
    np.testing.assert_allclose(items.means(v), dense @ v, rtol=1e-14)
    np.testing.assert_allclose(items.spread(w), dense.T @ w, rtol=1e-14)


@pytest.mark.parametrize("slopes", [False, True])
@pytest.mark.parametrize("correct", [[], [1], [0], [0.5], [1] * 50, [0] * 50])
def test_logs_that_say_little_give_finite_numbers(slopes: bool, correct: list[float]) -> None:
    n = len(correct)
    columns = {"student": [f"s{k % 7}" for k in range(n)], "item": [f"q{k % 3}" for k in range(n)], "skill": ["a"] * n}
    text = {name: pa.array(values, pa.string()) for name, values in columns.items()}
    log = at.Log.from_arrow({**text, "correct": pa.array(correct, pa.float64())})
    model = IRT(discrimination=slopes).fit(log)
    assert all(np.isfinite(part).all() for part in (model.bank.difficulty, model.bank.discrimination, model.bank.dynamics))
    predicted = model.predict(log)
    assert np.all((predicted > 0.0) & (predicted < 1.0))
    if n == 50:
        assert np.abs(predicted[-1] - correct[0]) < 0.2


# ---- how abilities move ------------------------------------------------------


def prequential(log: at.Log, model: IRT, dynamics: Dynamics) -> float:
    """Mean log-likelihood of each response given those before."""
    moved = replace(model, bank=replace(model.bank, dynamics=dynamics))
    return moved.log_likelihood(log) / len(log)


@cache
def walking(drift: float, learn: float = 0.0) -> tuple[at.Log, IRT]:
    log = reference.school(4, students=300, length=120, difficulty=planted()[0], drift=drift, learn=learn, spread=1.0)
    return log, Rasch(skills=False).fit(log)


@pytest.mark.parametrize("drift", [0.0, 0.02, 0.1])
def test_settling_raises_the_prequential_likelihood(drift: float) -> None:
    log, model = walking(drift)
    start = fit.START._replace(skill_spread=0.0, skill_drift=0.0)
    assert prequential(log, model, model.bank.dynamics) > prequential(log, model, start) + 1e-5


def test_settling_ends_where_no_dynamics_nearby_are_better() -> None:
    log, model = walking(0.02)
    best = prequential(log, model, model.bank.dynamics)
    for name, factor in [("spread", 1.3), ("spread", 0.7), ("drift", 1.5), ("drift", 0.6)]:
        other = model.bank.dynamics._replace(**{name: factor * getattr(model.bank.dynamics, name)})
        assert prequential(log, model, other) < best
    for step in (-0.01, 0.01):
        assert prequential(log, model, model.bank.dynamics._replace(growth=model.bank.dynamics.growth + step)) < best


def test_drift_is_found_where_abilities_drift_and_only_there() -> None:
    found = [walking(drift)[1].bank.dynamics.drift for drift in (0.0, 0.02, 0.1)]
    assert found[0] < 0.003
    assert found[1] == pytest.approx(0.02, rel=0.5)
    assert found[2] == pytest.approx(0.1, rel=0.5)


def test_growth_is_found_where_students_learn() -> None:
    """Calibration takes abilities to stay, so difficulties are those at the middle of the course; growth is as planted."""
    assert walking(0.0, 0.03)[1].bank.dynamics.growth == pytest.approx(0.03, abs=0.01)
    assert walking(0.0)[1].bank.dynamics.growth == pytest.approx(0.0, abs=0.005)


def test_skills_that_differ_within_a_student_are_found() -> None:
    """Abilities drawn anew for each skill: as if each student were another one on each."""
    parts = [reference.school(5 + k, students=300, length=40, difficulty=planted()[0][:40], names="s") for k in range(2)]
    tables = [part.table.set_column(2, "skill", pa.array([f"k{k}"] * len(part))) for k, part in enumerate(parts)]
    items = [pa.array([f"{k}{item}" for item in part.names("item").to_pylist()]) for k, part in enumerate(parts)]
    plain = [
        pa.table({"student": part.names("student"), "item": item, "skill": table["skill"], "correct": part.correct})
        for part, table, item in zip(parts, tables, items, strict=True)
    ]
    log = at.Log.from_arrow(pa.concat_tables(plain))
    apart = Rasch().fit(log)
    together = Rasch(skills=False).fit(log)
    assert apart.bank.dynamics.skill_spread > 3.0 * apart.bank.dynamics.spread
    assert apart.log_likelihood(log) > together.log_likelihood(log) + 100.0


@pytest.mark.parametrize(("options", "zero"), [({"drift": False}, (1, 3, 4)), ({"skills": False}, (2, 3)), (STILL, (1, 2, 3, 4))])
@pytest.mark.parametrize("make", [Rasch, TwoPL])
def test_what_is_left_out_stays_out(make: Any, options: dict[str, bool], zero: tuple[int, ...]) -> None:
    log = reference.school(6, students=60, length=20, difficulty=planted()[0], skills=3)
    dynamics = make(**options).fit(log).bank.dynamics
    assert [each for each in range(5) if dynamics[each] == 0.0] == list(zero)


def test_which_students_come_first_does_not_matter_even_in_a_long_log(monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 4: the part of the log that tells how abilities move is not that of whoever stands first."""
    monkeypatch.setattr(fit, "ENOUGH", 2000)
    log = reference.school(7, students=200, length=30, difficulty=planted()[0][:30], drift=0.05)
    names = ("student", "item", "skill")
    table = pa.table({**{name: log.names(name) for name in names}, "correct": log.correct})
    turned = table.take(pa.array(np.argsort(np.repeat(np.arange(200)[::-1], 30), kind="stable")))
    one, other = (Rasch().fit(at.Log.from_arrow(each)) for each in (table, turned))
    np.testing.assert_allclose(other.predict(log), one.predict(log), rtol=1e-6)


def test_the_order_of_answers_hardly_matters_to_an_ability_that_stays() -> None:
    """One ability for all time has a posterior that no order changes; each step is Newton's about where it stood.

    40 answers leave a standard deviation of some 0.35. The extremes of 30 orders are less than 0.7 of it apart (0.4 is measured),
    their mean is within a third of it of the exact one, and no two orders are quite the same.
    """
    model, random = fitted(False), np.random.default_rng(0)
    difficulty = dict(zip(model.bank.items.to_pylist(), model.bank.difficulty.tolist(), strict=True))
    for ability in (-1.0, 0.0, 1.5):
        items = random.permutation(sorted(difficulty))[:40]
        outcomes = [int(random.random() < reference.right(ability, difficulty[item], 1.0)) for item in items]
        ends = []
        for _ in range(30):
            student = at.Student(model)
            for k in random.permutation(40):
                student.observe(items[k], outcomes[k], skills=["k0"])
            ends.append(student.state.ability)
        means, variances = np.array(ends).T
        assert 0.0 < means.max() - means.min() < 0.7 * np.sqrt(variances.mean())
        assert variances.max() / variances.min() < 1.5
        x = np.linspace(-8.0, 8.0, 4001)
        mass = -0.5 * x**2 / model.bank.dynamics.spread
        for item, outcome in zip(items, outcomes, strict=True):
            mass += outcome * (x - difficulty[item]) - np.logaddexp(0.0, x - difficulty[item])
        mass = np.exp(mass - mass.max())
        exact = float((x * mass).sum() / mass.sum())
        assert means.mean() == pytest.approx(exact, abs=0.35 * np.sqrt(variances.mean()))


# ---- the rest ----------------------------------------------------------------


def test_a_refit_is_better_than_a_constant_on_students_never_seen() -> None:
    difficulty, slope = planted()
    train, test = (
        reference.school(seed, students=300, length=40, difficulty=difficulty[:40], slope=slope[:40]) for seed in (8, 9)
    )
    losses = [-model.fit(train).log_likelihood(test) for model in (TwoPL(), Rasch(), at.models.Constant())]
    assert losses[0] < losses[1] < losses[2] - 300.0


def test_recalibrating_moves_the_items_and_leaves_the_dynamics() -> None:
    logs = [reference.school(seed, students=100, length=20, difficulty=planted()[0], skills=2) for seed in (10, 11)]
    model = Rasch().fit(logs[0])
    again = model.recalibrate(logs[1])
    assert again.bank.dynamics == model.bank.dynamics
    assert again.bank.difficulty.tolist() == Rasch().fit(logs[1]).bank.difficulty.tolist()


def test_progress_ends_with_all_done() -> None:
    shares: list[float] = []
    Rasch().fit(reference.school(12, students=20, length=10, difficulty=planted()[0]), progress=shares.append)
    assert shares == sorted(shares)
    assert shares[-1] == 1.0


@pytest.mark.parametrize(("make", "least"), [(Rasch, 0.86), (TwoPL, 0.82)])
def test_intervals_of_difficulties_hold_about_as_often_as_they_say(make: Any, least: float) -> None:
    """90 % of 40 items in each of 12 schools, drawn from the priors of the fit, within three standard errors.

    Those of 2PL hold 85 %: each is given the other items, and so the scale, which is not known either.
    """
    held = []
    for seed in range(12):
        random = np.random.default_rng(100 + seed)
        difficulty, slope = random.normal(size=40), np.exp(random.normal(size=40) / np.sqrt(10.0))
        slope = slope if make is TwoPL else np.ones(40)
        log = reference.school(seed, students=300, length=40, difficulty=difficulty, slope=slope)
        table = make(drift=False, skills=False).fit(log).difficulties(log)
        held.append(np.abs(table["difficulty"].to_numpy() - difficulty) < 1.645 * table["standard_error"].to_numpy())
        if make is TwoPL:
            error = table["discrimination_error"].to_numpy()
            held.append(np.abs(table["discrimination"].to_numpy() - slope) < 1.645 * error)
    assert least < np.mean(held) < 0.94


def test_intervals_of_abilities_hold_as_often_as_they_say() -> None:
    """Where they do not move: 90 % of 600 students, within three standard errors."""
    difficulty = np.linspace(-2.0, 2.0, 30)
    log = reference.school(5, students=600, length=30, difficulty=difficulty)
    ability = np.random.default_rng(5)
    _ = [ability.permutation(30) for _ in range(600)], ability.normal(size=(600, 30))  # as the school draws them
    planted = ability.normal(size=(600, 1)).ravel()
    table = Rasch(drift=False, skills=False).fit(log).students(log)
    assert table["student"].to_pylist() == [f"s{number}" for number in range(600)]
    assert set(table["responses"].to_pylist()) == {30}
    held = np.abs(table["ability"].to_numpy() - planted) < 1.645 * table["standard_error"].to_numpy()
    assert 0.86 < held.mean() < 0.94


def test_an_ability_is_that_of_the_state_after_the_last_response() -> None:
    log = reference.school(3, students=6, length=20, difficulty=planted()[0], skills=3)
    model = TwoPL().fit(log)
    for row in model.students(log).to_pylist():
        state = at.Student.from_log(model, log, student=row["student"]).state
        assert (row["ability"], row["standard_error"]) == (state.ability[0], np.sqrt(state.ability[1]))


def test_errors_are_of_the_fits_own_log() -> None:
    logs = [reference.school(seed, students=30, length=20, difficulty=planted()[0]) for seed in (1, 2)]
    model = Rasch().fit(logs[0])
    assert model.difficulties(logs[0]).column_names == ["item", "difficulty", "discrimination", "standard_error"]
    with pytest.raises(at.ModelError, match="log: got 600 responses that give other items; expected the 600 that"):
        model.difficulties(logs[1])


def test_errors_are_found_however_the_log_was_shuffled() -> None:
    log = reference.school(1, students=30, length=20, difficulty=planted()[0])
    student = np.array([f"{name}" for name in log.table["student"].to_pylist()])
    columns = ["student", "item", "skill", "correct"]
    table = log.table.select(columns).append_column("order", pa.array(np.arange(len(log))))
    turned = at.Log.from_arrow(table.take(pa.array(np.argsort(student, kind="stable")[::-1])))
    model = Rasch().fit(log)
    assert model.difficulties(turned)["standard_error"].to_pylist() == model.difficulties(log)["standard_error"].to_pylist()


def test_a_model_that_is_not_fitted_says_so() -> None:
    log = reference.school(12, students=2, length=2, difficulty=planted()[0])
    for call in (
        lambda: Rasch().predict(log),
        lambda: TwoPL().difficulties(),
        lambda: Rasch().start(),
        lambda: Rasch().to_dict(),
    ):
        with pytest.raises(at.ModelError, match="not fitted"):
            call()


def test_settle_moves_only_what_is_free() -> None:
    log = reference.school(13, students=50, length=20, difficulty=planted()[0], skills=2)
    difficulty, slope = Rasch().fit(log).place(log)
    found = fit_dynamics(log.rows, difficulty, slope, fit.START, (False, True, False, True, False))
    assert [found[k] == fit.START[k] for k in range(5)] == [True, False, True, False, True]
