"""What a history says, against a recount of the whole history for every row; sums and gradients against dense algebra."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import adaptrace as at
from adaptrace.kernels import logistic as kernels
from adaptrace.kernels.compile import plain
from adaptrace.kernels.logistic import Block, Design
from adaptrace.models.logistic import Feature
from adaptrace.models.logistic.features import INTERCEPT
from adaptrace.models.logistic.model import NOTHING_GIVEN
from adaptrace.models.logistic.weights import Weights
from reference import logistic as reference
from reference.school import times

COUNTS = ("one", "attempts", "wins", "fails", "log_attempts", "log_wins", "log_fails")
REST = ("recent", "last", "new", "gap", "days", "window_attempts", "window_wins", "logitdec", "propdec", "base4", "ppe")
WHOSE = [("student", ""), ("item", ""), ("skill", ""), ("skill", "skill"), ("skill", "pattern")]
OPTIONS = {
    "recent": [{"rate": 0.5}, {"rate": 0.97}],
    "window_attempts": [{"days": 0.25}, {"days": 1.0}, {"days": 30.0}],
    "window_wins": [{"days": 0.25}, {"days": 1.0}],
    "logitdec": [{"rate": 0.5}, {"rate": 0.97}],
    "propdec": [{"rate": 0.8}],
    "base4": [{"parameters": (0.4, 0.1, 1.2)}],
    "ppe": [{"parameters": (0.1, 0.04, 0.3, 0.6)}, {"parameters": (0.5, 0.0, 0.0, 0.0)}],
}


def every_feature(of: str, by: str) -> list[Feature]:
    return [Feature(what=what, of=of, by=by, **options) for what in (*COUNTS, *REST) for options in OPTIONS.get(what, [{}])]


def random_log(seed: int, *, rows: int = 90, several: bool = True) -> at.Log:
    """Partial credit, up to three skills an event, equal times, gaps of exactly a window, and gaps of months."""
    random = np.random.default_rng(seed)
    student = random.integers(0, 4, rows)
    size = random.integers(1, 4, rows) if several else np.ones(rows, int)
    skills = [random.choice(["a", "b", "c", "10", "9"], n, replace=False).tolist() for n in size]
    # whole quarters of a day are exact in binary, so that an edge is an edge
    days = np.cumsum(random.choice([0.0, 0.0, 0.25, 0.25, 1.0, 29.0, 400.0], rows))
    table = {"student": student, "item": random.integers(0, 8, rows), "correct": random.choice([0.0, 0.25, 1.0], rows)}
    return at.Log.from_arrow({**table, "skills": skills, "time": times(days)})


def laid_out(log: at.Log, features: list[Feature], given: Any = NOTHING_GIVEN) -> tuple[at.Logistic, Weights, Design]:
    model = at.Logistic(features=tuple(features))
    names = Weights(*model._names(log), np.empty(0), len(log), 0.0)
    return model, names, model._design(log, model._plan(names)[0], names, given)


def by_owner(log: at.Log, features: list[Feature]) -> list[dict[tuple[int, str], float]]:
    """The design as the reference tells it."""
    model, names, design = laid_out(log, features)
    base = model._plan(names)[0].base
    owner = {
        int(base[number]) + code: (number, name)
        for number, feature in enumerate(features)
        for code, name in enumerate(names.names(feature.by).to_pylist())
    }
    out: list[dict[tuple[int, str], float]] = []
    for first, last in zip(design.start[:-1], design.start[1:], strict=True):
        told: dict[tuple[int, str], float] = {}
        for k in range(first, last):
            key = owner[design.column[k]]
            told[key] = told.get(key, 0.0) + float(design.value[k])
        out.append(told)
    return out


def assert_told(log: at.Log, features: list[Feature]) -> None:
    """Recurrences add up in another order than a recount: 1e-12 is some hundred roundings; shares of 0.97^age are the worst."""
    told = by_owner(log, features)
    for got, expected in zip(told, reference.described(reference.rows_of(log), features), strict=True):
        assert got == pytest.approx(expected, rel=1e-12, abs=1e-12)


@pytest.mark.parametrize("several", [False, True], ids=["one", "several"])
@pytest.mark.parametrize(("of", "by"), WHOSE)
@pytest.mark.parametrize("seed", [0, 1])
def test_every_statistic_of_every_slot_is_a_recount_of_the_history(seed: int, of: str, by: str, several: bool) -> None:
    assert_told(random_log(seed, several=several), every_feature(of, by))


def test_weights_by_owner_meet_the_value_of_the_slot_they_are_told_of() -> None:
    features = [INTERCEPT, Feature(what="wins", of="student", by="item"), Feature(what="log_fails", of="item", by="skill")]
    features += [Feature(what="recent", of="skill", by="student", rate=0.7), Feature(what="gap", of="student", by="skill")]
    assert_told(
        random_log(2),
        [*features, Feature(what="one", of="student", by="pattern"), Feature(what="log_wins", of="item", by="pattern")],
    )


def windows(days: list[float], correct: list[float], *, window: float) -> tuple[list[float], list[float]]:
    """Counts in the window before each response of one student on one skill."""
    n = len(days)
    log = at.Log.from_arrow(
        {"student": ["Ada"] * n, "item": ["q"] * n, "skill": ["s"] * n, "correct": correct, "time": times(days)}
    )
    features = [Feature(what=what, of="skill", by="skill", days=window) for what in ("window_attempts", "window_wins")]
    attempts, wins = (np.expm1([row[number, "s"] for row in by_owner(log, features)]).tolist() for number in range(2))
    return attempts, wins


@pytest.mark.parametrize(
    ("days", "attempts"),
    [
        ([0.0, 0.0, 0.0, 0.0], [0, 1, 2, 3]),  # equal times count
        ([0.0, 1.0, 2.0, 3.0], [0, 1, 1, 1]),  # exactly at the edge counts
        ([0.0, 1.0 + 1.0 / 128.0, 1.0 + 1.0 / 64.0, 5.0], [0, 0, 1, 0]),  # just past it does not
        ([0.0, 0.5, 400.0, 400.25], [0, 1, 0, 1]),  # a long gap empties it, and it fills again
    ],
)
def test_a_window_holds_what_is_at_most_so_old(days: list[float], attempts: list[int]) -> None:
    got, wins = windows(days, [1.0, 0.25, 1.0, 0.5], window=1.0)
    assert got == pytest.approx(attempts, abs=1e-12)
    expected = [
        sum(c for d, c in zip(days[:k], [1.0, 0.25, 1.0, 0.5], strict=False) if d >= days[k] - 1.0) for k in range(len(days))
    ]
    assert wins == pytest.approx(expected, abs=1e-12)


def test_students_do_not_see_each_other() -> None:
    """A log of one student alone says of them what the log of all does."""
    log, features = random_log(3), [feature for whose in WHOSE for feature in every_feature(*whose)]
    told, names = by_owner(log, features), log.names("student").to_numpy(zero_copy_only=False)
    for name in np.unique(names):
        alone = log.select(names == name)
        assert by_owner(alone, features) == [told[row] for row in np.flatnonzero(names == name)]


def test_a_memory_used_before_is_as_good_as_a_new_one() -> None:
    """Students one after another in one piece, and each in a piece of their own."""
    log, features = random_log(4), [feature for whose in WHOSE for feature in every_feature(*whose)]
    model, names, whole = laid_out(log, features)
    rows, item = log.rows, log.table["item"].chunk(0).indices.to_numpy()
    plan, given = model._plan(names)[0], np.broadcast_to(NOTHING_GIVEN, (len(log), 0))
    pieces = Design(whole.start, np.full_like(whole.column, -7), np.full_like(whole.value, np.nan))
    for student in range(len(log.students)):
        kernels.lay_out(rows, item, log.days, plan, names.codes(log), given, student, student + 1, pieces)
    assert pieces.column.tolist() == whole.column.tolist()
    assert pieces.value.tolist() == whole.value.tolist()


def test_a_given_column_multiplies_the_value() -> None:
    log = random_log(5)
    given = np.random.default_rng(0).normal(size=(len(log), 3))
    plainly = [Feature(what=what, of=of, by=by) for what in ("one", "log_attempts") for of, by in [*WHOSE, ("item", "item")]]
    _, _, bare = laid_out(log, plainly)
    for column in range(3):
        _, _, design = laid_out(log, [replace(feature, times=column) for feature in plainly], given)
        factor = np.repeat(given[:, column], np.diff(design.start))
        np.testing.assert_allclose(design.value, factor * bare.value, rtol=1e-15)
        assert design.column.tolist() == bare.column.tolist()


# ---- the likelihood ---------------------------------------------------------


def random_design(seed: int, *, rows: int = 40, weights: int = 7) -> tuple[Design, Any, Any]:
    """A sparse design, some of whose values meet no weight; the same, dense; and outcomes."""
    random = np.random.default_rng(seed)
    start = np.concatenate([[0], np.cumsum(random.integers(0, 6, rows))])
    column, value = random.integers(-1, weights, start[-1]).astype(np.int32), random.normal(size=start[-1])
    dense = np.zeros((rows, weights))
    for row in range(rows):
        for k in range(start[row], start[row + 1]):
            if column[k] >= 0:
                dense[row, column[k]] += value[k]
    return Design(start, column, value), dense, random.choice([0.0, 0.3, 1.0], rows)


def loss_of(design: Design, correct: Any, weights: Any) -> float:
    return float(kernels.loss_and_gradient(design, correct, weights, 0, len(correct), np.empty(len(weights))))


def test_chances_are_logistic_in_the_dense_product() -> None:
    design, dense, correct = random_design(0)
    weights, out = np.random.default_rng(1).normal(size=7), np.full(len(correct), np.nan)
    kernels.chances(design, weights, 3, 40, out)
    np.testing.assert_allclose(out[3:], 1.0 / (1.0 + np.exp(-dense @ weights))[3:], rtol=1e-12)
    assert np.isnan(out[:3]).all()


@pytest.mark.parametrize("spread", [0.1, 3.0, 200.0])
def test_the_loss_is_that_of_dense_algebra(spread: float) -> None:
    """The same sum by numpy, where it is far from 0, 1 and overflow, and where it is not."""
    design, dense, correct = random_design(2)
    weights = spread * np.random.default_rng(3).normal(size=7)
    expected = reference.objective(weights, dense, correct, np.zeros(7))
    assert loss_of(design, correct, weights) == pytest.approx(expected, rel=1e-12)


def test_the_gradient_is_that_of_differences() -> None:
    """A central difference of step 1e-5 is right to about its square."""
    design, _, correct = random_design(4)
    weights, out, step = np.random.default_rng(5).normal(size=7), np.full(7, np.nan), 1e-5
    kernels.loss_and_gradient(design, correct, weights, 0, len(correct), out)
    moved = [weights + step * np.eye(7)[k] for k in range(7)], [weights - step * np.eye(7)[k] for k in range(7)]
    up, down = (np.array([loss_of(design, correct, each) for each in side]) for side in moved)
    np.testing.assert_allclose(out, (up - down) / (2.0 * step), rtol=1e-7, atol=1e-7)


def test_pieces_of_rows_add_up_to_the_whole() -> None:
    design, _, correct = random_design(6)
    weights = np.random.default_rng(7).normal(size=7)
    whole, parts = np.empty(7), np.empty((3, 7))
    loss = kernels.loss_and_gradient(design, correct, weights, 0, 40, whole)
    losses = [
        kernels.loss_and_gradient(design, correct, weights, *piece, out)
        for piece, out in zip([(0, 9), (9, 9), (9, 40)], parts, strict=True)
    ]
    assert sum(losses) == pytest.approx(loss, rel=1e-12)
    np.testing.assert_allclose(parts.sum(axis=0), whole, rtol=1e-12, atol=1e-12)
    assert losses[1] == 0.0
    assert not parts[1].any()


@pytest.mark.parametrize("block", [Block(0, 3, 1), Block(3, 2, 4), Block(11, 1, 3)])
def test_moments_are_those_of_the_dense_matrix(block: Block) -> None:
    """Products of the columns of one name; blocks meet nothing of their neighbours."""
    design, dense, _ = random_design(8, weights=14)
    out = np.zeros((block.names, block.features, block.features))
    kernels.moments(design, block, 1, out)
    for name in range(block.names):
        mine = dense[:, block.first + name : block.first + block.features * block.names : block.names]
        np.testing.assert_allclose(out[name], mine.T @ mine, rtol=1e-12, atol=1e-12)


def test_moments_of_every_third_row_are_scaled_to_all() -> None:
    design, dense, _ = random_design(9)
    out = np.zeros((1, 7, 7))
    kernels.moments(design, Block(0, 7, 1), 3, out)
    np.testing.assert_allclose(out[0], 3.0 * dense[::3].T @ dense[::3], rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("logit", [-1e300, -40.0, -36.0, -1e-300, 0.0, 0.7, 36.0, 40.0, 1e300, math.inf, -math.inf])
def test_a_chance_is_inside_zero_and_one_and_its_mirror(logit: float) -> None:
    p = kernels.chance(logit)
    assert 0.0 < p < 1.0
    assert plain(kernels.chance)(logit) == p
    assert p + kernels.chance(-logit) == pytest.approx(1.0, abs=1e-15)
    if abs(logit) < 36.0:
        assert math.log(p / (1.0 - p)) == pytest.approx(logit, rel=1e-9, abs=1e-12)


def test_roots_and_their_solutions_are_those_of_linear_algebra() -> None:
    random = np.random.default_rng(5)
    factors = random.normal(size=(3, 4, 6))
    curve = factors @ factors.transpose(0, 2, 1)
    root = curve.copy()
    kernels.roots(root)
    upper = np.triu(root)
    assert upper.transpose(0, 2, 1) @ upper == pytest.approx(curve, rel=1e-10)  # sums in another order
    vector = random.normal(size=(4, 3))
    point, turned = vector.copy(), vector.copy()
    kernels.solve(root, point)
    kernels.solve_turned(root, turned)
    for name in range(3):
        assert upper[name] @ point[:, name] == pytest.approx(vector[:, name], rel=1e-9)
        assert upper[name].T @ turned[:, name] == pytest.approx(vector[:, name], rel=1e-9)


# ---- logistic knowledge tracing ---------------------------------------------


def one_skill(days: list[float], correct: list[float], **options: Any) -> list[float]:
    """A feature of one student on one skill, before each response."""
    n = len(days)
    names = {"student": ["Ada"] * n, "item": ["q"] * n, "skill": ["s"] * n}
    log = at.Log.from_arrow({**names, "correct": correct, "time": times(days)})
    return [row[0, ""] for row in by_owner(log, [Feature(of="skill", **options)])]


def test_decayed_shares_by_hand() -> None:
    """Of right, wrong at rate 0.5: 1 and .25 + the ghost's .25 right of 2 x .25 + .5 + 1, and so on."""
    told = {what: one_skill([0.0, 1.0, 2.0], [1.0, 0.0, 1.0], what=what, rate=0.5) for what in ("logitdec", "propdec")}
    assert told["propdec"] == pytest.approx([0.5, 1.5 / 2.0, 0.75 / 2.0])
    assert told["logitdec"] == pytest.approx([0.0, math.log(3.0), math.log(0.75 / 1.25)])


def test_a_decayed_logit_has_an_end() -> None:
    got = one_skill([float(day) for day in range(3000)], [0.0] * 3000, what="logitdec", rate=0.5)
    assert got[-1] == pytest.approx(60.0 * math.log(0.5) - math.log(2.0))


def test_base_levels_by_hand() -> None:
    """Days 0, 2, 6: after the second the first is 4 days further, and responses were 2 days apart."""
    got = one_skill([0.0, 2.0, 6.0], [1.0] * 3, what="base4", parameters=(0.5, 0.25, 1.5))
    day = 86400.0
    assert got == pytest.approx(
        [0.0, 1.5 * math.log(2.0) * (2.0 * day) ** -0.5, (2.0 * day) ** 0.25 * math.log(3.0) * (6.0 * day) ** -0.5]
    )


def test_predictive_performance_by_hand() -> None:
    got = one_skill([0.0, 2.0, 6.0], [1.0] * 3, what="ppe", parameters=(0.5, 0.1, 0.2, 1.0))
    day = 86400.0
    age = 2.0 / (1.0 / (6.0 * day) + 1.0 / (4.0 * day))  # weighed by 1 / age: the harmonic mean
    assert got == pytest.approx([0.0, (2.0 * day) ** -0.1, math.sqrt(2.0) * age ** -(0.1 + 0.2 / math.log(2.0 * day + math.e))])


def test_predictive_performance_looks_at_the_latest_thousand() -> None:
    days = np.cumsum(np.random.default_rng(0).exponential(1.0, 1100)).tolist()
    feature = {"what": "ppe", "parameters": (0.1, 0.04, 0.3, 0.6)}
    rows = [{"student": "Ada", "item": "q", "skill": ["s"], "correct": 1.0, "day": day} for day in np.round(np.array(days), 6)]
    got = one_skill([row["day"] for row in rows], [1.0] * 1100, **feature)
    expected = [reference.value(Feature(of="skill", **feature), rows[:row], rows[row], "s") for row in (500, 1000, 1050, 1099)]
    assert [got[row] for row in (500, 1000, 1050, 1099)] == pytest.approx(expected, rel=1e-9)


def test_what_is_no_feature_is_one_error_that_lists_those_that_exist() -> None:
    with pytest.raises(at.ModelError, match=r"feature what: got 'recency'; expected one of 'one', 'attempts', .*'base4', 'ppe'$"):
        at.Logistic(features=(Feature(what="recency"),))
    told = r"feature ppe: got parameters \(0.1,\); expected 4 numbers from 0 to 2: practice, decay, spacing, weight"
    with pytest.raises(at.ModelError, match=told):
        at.Logistic(features=(Feature(what="ppe", parameters=[0.1]),))
    with pytest.raises(at.ModelError, match=r"feature wins: got parameters \(1,\); expected none"):
        at.Logistic(features=(Feature(what="wins", parameters=(1,)),))
    with pytest.raises(at.ModelError, match=r"feature logitdec: got rate 0\.0; expected a number between 0 and 1"):
        at.Logistic(features=(Feature(what="logitdec"),))
