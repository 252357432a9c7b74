"""No skill is degenerate by default: few responses, or nonsense, are pulled towards what the other skills say."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from reference import evidence as reference
from reference.school import answers

EXACT = {"pooling": 0.0, "plausible": False}


def one_skill(name: str, correct: np.ndarray) -> pa.Table:
    """Students (rows) at their responses (columns) on one skill."""
    students, length = correct.shape
    return pa.table(
        {
            "student": np.repeat(np.arange(students), length),
            "item": np.full(correct.size, 1),
            "skill": np.full(correct.size, name),
            "correct": correct.ravel().astype(int),
        }
    )


@cache
def hundred_skills() -> at.Log:
    """Ordinary skills, guessed ones, all right, all wrong, one response, and skills whose students unlearn."""
    random, tables = np.random.default_rng(0), []
    for number in range(100):
        shape = (int(random.choice([1, 3, 20, 200])), int(random.integers(1, 12)))
        correct = {
            0: np.ones(shape),
            1: np.zeros(shape),
            2: np.full((1, 1), number % 2),
            3: answers(shape, number, prior=0.3, learn=0.05, guess=0.7, slip=0.2),
            4: 1 - answers(shape, number, guess=0.3),
        }.get(number % 8, answers(shape, number, prior=random.uniform(0.1, 0.8), learn=random.uniform(0.02, 0.4)))
        tables.append(one_skill(f"{number:02}", correct))
    return at.Log.from_arrow(pa.concat_tables(tables))


def fails(theta: tuple[float, ...]) -> list[str]:
    """The tests that parameters fail; and whether knowing the skill makes a right answer no likelier."""
    guess, slip = theta[3:]
    return [*reference.failed_tests(theta), *(["knowing does not help"] if guess + slip >= 1.0 else [])]


@pytest.mark.parametrize("forget", [True, False])
def test_none_of_a_hundred_skills_is_degenerate_by_default(forget: bool) -> None:
    log = hundred_skills()
    model = at.BKT(forget=forget).fit(log)
    for name in [*model.skills.to_pylist(), "never seen"]:
        assert np.isfinite(model.row(name)).all()
        assert fails(model.row(name)) == [], name
    numbers = [column.to_numpy() for column in model.summary().columns if pa.types.is_floating(column.type)]
    assert np.isfinite(numbers).all()
    assert np.isfinite(model.table.covariance).all()
    for values in (model.predict(log), model.score(log)["mastery"].to_numpy()):
        assert np.all((values > 0.0) & (values < 1.0))


def test_the_plain_maximum_has_degenerate_skills() -> None:
    model = at.BKT(**EXACT).fit(hundred_skills())
    assert sum(bool(fails(model.row(name))) for name in model.skills.to_pylist()) > 5


def test_plausible_alone_leaves_no_skill_that_fails() -> None:
    model = at.BKT(pooling=0.0).fit(hundred_skills())
    assert [name for name in model.skills.to_pylist() if fails(model.row(name))] == []


@pytest.mark.parametrize(
    "options",
    [{"items": ("guess", "slip")}, {"students": ("prior",)}, {"kinds": ("guess",)}, {"combine": "mean"}],
    ids=str,
)
def test_no_skill_is_degenerate_where_more_varies(options: dict[str, object]) -> None:
    model = at.BKT(**options).fit(hundred_skills())
    assert [name for name in model.skills.to_pylist() if fails(model.row(name))] == []


def test_the_status_of_every_skill_is_told_with_a_reason() -> None:
    rows = at.BKT().fit(hundred_skills()).summary().to_pylist()
    assert {row["status"] for row in rows} == {"prior-only", "shrunk", "fitted"}
    for row in rows:
        if row["status"] == "prior-only":
            assert "the other skills say more of every parameter" in row["notes"]
        if row["status"] == "shrunk":
            assert "mostly from the other skills" in row["notes"] or "held where" in row["notes"]


def test_the_status_follows_the_share_that_is_not_from_a_skills_own_responses() -> None:
    model = at.BKT(forget=False).fit(hundred_skills())
    names = ("prior", "learn", "guess", "slip")
    for row, shares in zip(model.summary().to_pylist(), model.table.pulled[:, [0, 1, 3, 4]], strict=True):
        mostly = [name for name, share in zip(names, shares, strict=True) if share > 0.5]
        expected = {0: ("fitted", "shrunk"), 4: ("prior-only",)}.get(len(mostly), ("shrunk",))
        assert row["status"] in expected
        if 0 < len(mostly) < 4:
            assert f"{', '.join(mostly)} mostly from the other skills" in row["notes"]


def skills_of_sizes(*students: int, guess: float = 0.2) -> at.Log:
    """One skill of every size, and ten ordinary skills of 300 students."""
    tables = [one_skill(f"of {n:05}", answers((n, 6), 50 + n, guess=guess)) for n in students]
    return at.Log.from_arrow(pa.concat_tables([*tables, *(one_skill(f"x{k}", answers((300, 6), k)) for k in range(10))]))


def test_the_status_follows_the_responses() -> None:
    status = dict(zip(*at.BKT().fit(skills_of_sizes(1, 3000)).summary().select(["skill", "status"]).columns, strict=True))
    status = {name.as_py(): each.as_py() for name, each in status.items()}
    assert status["of 00001"] == "prior-only"
    assert status["of 03000"] == "fitted"


def test_a_skill_of_one_response_is_the_mean_skill_and_one_of_many_is_itself() -> None:
    table = skills_of_sizes(3000, guess=0.5).table.select(["student", "item", "skill", "correct"])
    rows = [*table.to_pylist(), {"student": 0, "item": 1, "skill": "one", "correct": 1}]
    log = at.Log.from_arrow(pa.Table.from_pylist(rows))
    pooled, alone = at.BKT().fit(log), at.BKT(**EXACT).fit(log)
    moved = np.abs(np.subtract([pooled.row("one"), alone.row("one")], pooled.row("never seen"))).max(axis=1)
    assert moved[0] < 0.15
    assert moved[1] > 3 * moved[0]
    assert pooled.row("of 03000") == pytest.approx(alone.row("of 03000"), abs=0.03)


def test_more_pooling_brings_skills_nearer_together() -> None:
    log, spread = skills_of_sizes(30, 60, guess=0.5), []
    for pooling in (0.0, 10.0, 1000.0):
        model = at.BKT(pooling=pooling, plausible=False).fit(log)
        spread.append(np.std([model.row(name)[3] for name in model.skills.to_pylist()]))
    assert spread[0] > spread[1] > 3 * spread[2]


def test_the_mean_skill_is_the_same_in_the_fit_and_for_a_skill_never_seen() -> None:
    model = at.BKT(pooling=1e6, plausible=False).fit(skills_of_sizes(50))
    assert model.row("of 00050") == pytest.approx(model.row("never seen"), rel=0.05)


def test_a_skill_without_others_is_pulled_by_nothing() -> None:
    log = at.Log.from_arrow(one_skill("s", answers((40, 5), 1)))
    (row,), (alone,) = (
        model.fit(log).summary().to_pylist() for model in (at.BKT(forget=False), at.BKT(forget=False, pooling=0.0))
    )
    assert row["status"] == "fitted"
    for name in ("prior", "learn", "guess", "slip"):
        assert row[name] == pytest.approx(alone[name], abs=1e-3)
        assert row[f"{name}_high"] - row[f"{name}_low"] == pytest.approx(alone[f"{name}_high"] - alone[f"{name}_low"], rel=0.05)


def test_pooling_does_not_move_what_is_fixed() -> None:
    model = at.BKT(fixed={"slip": 0.07}, forget=False).fit(skills_of_sizes(1, 30))
    assert {model.row(name)[4] for name in model.skills.to_pylist()} == {0.07}
    assert {model.row(name)[2] for name in model.skills.to_pylist()} == {0.0}


def test_parameters_that_were_given_are_not_called_fitted() -> None:
    model = at.BKT.from_parameters(["a"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
    (row,) = model.summary().to_pylist()
    assert (row["status"], row["responses"]) == ("given", 0)
    assert "given" in row["notes"]
