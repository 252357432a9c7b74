"""What was planted is found: items, kinds, groups, students, levels and half-lives that differ, in simulated logs."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.evaluate import metrics
from reference.school import answers, knowing, levels_reached, log_of, times

SHAPE = (600, 10)
Halves = tuple[at.Log, at.Log]


def halves(correct: np.ndarray, **columns: object) -> Halves:
    """A log to fit, and one of other students to judge by."""
    whole = log_of(correct, **columns)
    even = whole.table["student"].to_numpy() % 2 == 0
    return whole.select(even), whole.select(~even)


def gain(options: dict[str, object], logs: Halves) -> float:
    """By how much what varies lowers the log loss on students the fit did not see (nats per response)."""
    train, test = logs
    plain, varied = (metrics.log_loss(test.correct, at.BKT(**each).fit(train).predict(test)) for each in ({}, options))
    return plain - varied


# ---- items ------------------------------------------------------------------

HARD, EASY = 0.45, 0.05  # slip; a hard item is also hard to guess


@cache
def items() -> Halves:
    item = np.random.default_rng(0).permuted(np.tile(np.arange(10), (SHAPE[0], 1)), axis=1)
    correct = answers(SHAPE, 1, slip=np.where(item < 5, HARD, EASY), guess=np.where(item < 5, 0.1, 0.4))
    return halves(correct, item=item)


ITEMS = {"items": ("guess", "slip")}


def test_hard_items_are_told_from_easy_ones() -> None:
    model = at.BKT(**ITEMS).fit(items()[0])
    rows = np.array([model.row("s", item=str(item)) for item in range(10)])
    assert rows[:5, 4].min() > rows[5:, 4].max()
    assert rows[:5, 3].max() < rows[5:, 3].min()
    np.testing.assert_allclose(rows[:5, 4], HARD, atol=0.12)
    np.testing.assert_allclose(rows[5:, 4], EASY, atol=0.08)


def test_items_that_differ_are_better_predicted_by_their_own_guess_and_slip() -> None:
    assert gain(ITEMS, items()) > 0.03


def test_items_that_do_not_differ_stay_at_their_skill() -> None:
    item = np.random.default_rng(3).permuted(np.tile(np.arange(10), (SHAPE[0], 1)), axis=1)
    logs = halves(answers(SHAPE, 4), item=item)
    model = at.BKT(**ITEMS).fit(logs[0])
    rows = np.array([model.row("s", item=str(item)) for item in range(10)])
    assert np.ptp(rows[:, 3:], axis=0).max() < 0.1
    assert gain(ITEMS, logs) > -0.003


def test_an_item_teaches_more_than_another() -> None:
    item = np.random.default_rng(5).integers(0, 4, SHAPE)
    train, _ = halves(answers(SHAPE, 6, prior=0.05, guess=0.1, slip=0.05, learn=np.where(item == 0, 0.5, 0.05)), item=item)
    learn = [at.BKT(items=("learn",)).fit(train).row("s", item=str(each))[1] for each in range(4)]
    assert learn[0] > 3 * max(learn[1:])
    assert learn[0] == pytest.approx(0.5, abs=0.15)


def with_an_item(responses: int) -> at.Log:
    """Many ordinary responses, and an item that a third get right."""
    correct = answers((400, 8), 7)
    table = log_of(correct).table.select(["student", "item", "skill", "correct"])
    table = table.set_column(1, "item", pa.array(np.tile(np.arange(8), 400).astype(str)))
    odd = {
        "student": np.arange(responses) % 400,
        "item": ["odd"] * responses,
        "skill": ["s"] * responses,
        "correct": (np.arange(responses) % 3 == 0).astype(int),
    }
    plain = {name: table[name].to_pylist() + list(odd[name]) for name in odd}
    return at.Log.from_arrow(plain)


def test_an_item_with_3_responses_moves_much_less_than_one_with_3000() -> None:
    moved = []
    for responses in (3, 3000):
        model = at.BKT(**ITEMS).fit(with_an_item(responses))
        slip, other = model.row("s", item="odd")[4], model.row("s", item="0")[4]
        moved.append(np.log(slip / (1 - slip)) - np.log(other / (1 - other)))
    assert 0.0 <= moved[0] < 0.2 * moved[1]
    assert moved[1] > 1.0


# ---- kinds ------------------------------------------------------------------


@cache
def kinds() -> Halves:
    quiz = np.random.default_rng(8).random(SHAPE) < 0.4
    correct = answers(SHAPE, 9, guess=np.where(quiz, 0.05, 0.35), slip=np.where(quiz, 0.03, 0.25))
    return halves(correct, kind=np.where(quiz, "quiz", "practice"))


KINDS = {"kinds": ("guess", "slip")}


def test_a_reliable_kind_is_told_from_an_unreliable_one() -> None:
    model = at.BKT(**KINDS).fit(kinds()[0])
    quiz, practice = (model.row("s", kind=kind) for kind in ("quiz", "practice"))
    assert quiz[3:] == pytest.approx((0.05, 0.03), abs=0.08)
    assert practice[3:] == pytest.approx((0.35, 0.25), abs=0.08)
    assert gain(KINDS, kinds()) > 0.02


def test_a_reliable_kind_moves_mastery_more() -> None:
    model = at.BKT(**KINDS).fit(kinds()[0])
    mastery = {}
    for kind in ("quiz", "practice"):
        for correct in (0, 1):
            student = at.Student(model)
            student.observe("q", correct, kind=kind, skills=["s"])
            mastery[kind, correct] = student.mastery("s")
    assert mastery["quiz", 0] < mastery["practice", 0] < mastery["practice", 1] < mastery["quiz", 1]


# ---- groups and students ----------------------------------------------------


@cache
def groups() -> Halves:
    strong = np.arange(SHAPE[0]) % 4 < 2
    correct = answers(SHAPE, 10, prior=np.where(strong, 0.7, 0.1), learn=np.where(strong, 0.3, 0.08)[:, None], slip=0.05)
    return halves(correct, group=np.where(strong, "strong", "weak")[:, None])


GROUPS = {"groups": ("prior", "learn")}


def test_groups_that_start_and_learn_differently_are_told_apart() -> None:
    model = at.BKT(**GROUPS).fit(groups()[0])
    strong, weak = (model.row("s", group=group) for group in ("strong", "weak"))
    assert (strong[0], weak[0]) == pytest.approx((0.7, 0.1), abs=0.12)
    assert (strong[1], weak[1]) == pytest.approx((0.3, 0.08), abs=0.1)
    assert gain(GROUPS, groups()) > 0.01


def test_students_who_differ_on_all_skills_are_told_apart() -> None:
    students, skills = 120, 12
    quick = np.arange(students) % 2 == 0
    columns: dict[str, list[np.ndarray]] = {"student": [], "skill": [], "correct": []}
    for skill in range(skills):
        correct = answers((students, 5), 20 + skill, prior=np.where(quick, 0.8, 0.1), slip=0.05, learn=0.05)
        columns["student"].append(np.repeat(np.arange(students), 5))
        columns["skill"].append(np.full(correct.size, f"s{skill:02}"))
        columns["correct"].append(correct.ravel())
    whole = {name: np.concatenate(parts) for name, parts in columns.items()}
    log = at.Log.from_arrow({**whole, "item": whole["student"]})
    later = np.isin(log.table["skill"].cast("string").to_numpy(), ["s10", "s11"]) & (log.table["student"].to_numpy() > 9)
    train, test = log.select(~later), log.select(later)
    plain, varied = (at.BKT(**each).fit(train) for each in ({}, {"students": ("prior",)}))
    priors = np.array([varied.row("s00", student=str(student))[0] for student in range(students)])
    assert np.median(priors[quick]) > 0.6
    assert np.median(priors[~quick]) < 0.3
    losses = [metrics.log_loss(test.correct, model.predict(test)) for model in (plain, varied)]
    assert losses[1] < losses[0] - 0.02


# ---- levels -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("unknown", "known"),
    [
        ([0.6, 0.3, 0.1], [0.1, 0.3, 0.6]),
        ([0.5, 0.3, 0.15, 0.05], [0.05, 0.1, 0.25, 0.6]),
        ([0.4, 0.3, 0.2, 0.07, 0.03], [0.02, 0.08, 0.2, 0.3, 0.4]),
    ],
    ids=["3 levels", "4 levels", "5 levels"],
)
def test_every_level_is_evidence_of_its_own_strength(unknown: list[float], known: list[float]) -> None:
    highest, random = len(known) - 1, np.random.default_rng(11)
    state = knowing(0.3, 0.15, 1.0, SHAPE, random)
    project = random.random(SHAPE) < 0.5
    reached = levels_reached(state, unknown, known, 12) / highest
    plain = (random.random(SHAPE) < np.where(state, 0.9, 0.2)).astype(float)
    train, test = halves(np.where(project, reached, plain), kind=np.where(project, "project", "practice"))
    levels = {"project": highest + 1}
    model = at.BKT(levels=levels).fit(train)
    (found,) = model.effects.levels
    np.testing.assert_allclose(found.rows[0][0], unknown, atol=0.07)
    np.testing.assert_allclose(found.rows[1][0], known, atol=0.07)
    ratio = found.rows[1][0] / found.rows[0][0]
    assert np.all(np.diff(ratio) > 0.0)  # a higher level never lowers mastery
    losses = [metrics.log_loss(test.correct, each.predict(test)) for each in (at.BKT().fit(train), model)]
    assert losses[1] < losses[0]


# ---- time -------------------------------------------------------------------


@pytest.mark.parametrize("half_life", [4.0, 60.0])
def test_a_half_life_is_found_and_lowers_the_log_loss(half_life: float) -> None:
    random = np.random.default_rng(13)
    gap = random.choice([0.01, 1.0, 7.0, 30.0], SHAPE)
    gap[:, 0] = 0.0
    correct = answers(SHAPE, 14, prior=0.2, learn=0.35, guess=0.15, slip=0.05, keep=2.0 ** (-gap / half_life))
    logs = halves(correct, time=times(np.cumsum(gap, axis=1)))
    model = at.BKT(elapsed=True).fit(logs[0])
    assert half_life / 2 < model.half_life("s") < 2 * half_life
    assert gain({"elapsed": True}, logs) > 0.002


def test_what_never_fades_gets_a_long_half_life() -> None:
    gap = np.random.default_rng(15).choice([0.01, 1.0, 7.0], SHAPE)
    train, _ = halves(answers(SHAPE, 16), time=times(np.cumsum(gap, axis=1)))
    assert at.BKT(elapsed=True).fit(train).half_life("s") > 200.0
