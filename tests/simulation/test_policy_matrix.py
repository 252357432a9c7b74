"""Policies with students of several sorts."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

import adaptrace as at
from adaptrace.simulation.policy_matrix import policy_matrix
from adaptrace.simulation.teaching import simulate
from reference.families import Rates

POLICIES = {"weakest": at.LowestMastery(), "easy": at.TargetSuccess(target=1.0), "again": at.LowestMastery()}
CATALOG = at.Catalog.from_arrow({"item": list("pqrs"), "skill": list("abcd")})


def bkt(**parameters: object) -> at.BKT:
    return at.BKT.from_parameters(list("abcd"), **{"prior": 0.1, "learn": 0.2, "guess": 0.2, "slip": 0.1, **parameters})


STUDENT_MODELS = {"quick": bkt(learn=0.5), "steep": bkt(learn=[0.02, 0.1, 0.3, 0.6]), "rates": Rates()}


def matrix(**changes: object) -> list[dict[str, object]]:
    options = {
        "policies": POLICIES,
        "student_models": STUDENT_MODELS,
        "belief": bkt(),
        "students": 8,
        "responses": 10,
        "seeds": (0, 5),
        **changes,
    }
    return policy_matrix(options.pop("policies"), options.pop("student_models"), catalog=CATALOG, **options).to_pylist()


@pytest.fixture(scope="module")
def rows() -> list[dict[str, object]]:
    return matrix()


def test_there_is_a_row_for_every_pair_and_a_worst_one_for_every_policy(rows: list[dict[str, object]]) -> None:
    pairs = {(row["policy"], row["student_model"]) for row in rows}
    assert pairs == {(policy, student_model) for policy in POLICIES for student_model in [*STUDENT_MODELS, "worst"]}
    assert len(rows) == len(pairs)
    assert list(rows[0]) == ["policy", "student_model", "post_test", "low", "high", "regret", "regret_low", "regret_high"]


@pytest.mark.parametrize("student_model", STUDENT_MODELS)
def test_a_row_is_the_mean_post_test_over_the_seeds_and_its_t_interval(rows: list[dict[str, object]], student_model: str) -> None:
    options = {"belief": bkt(), "students": 8, "responses": 10, "choices": 1, "policy": POLICIES["easy"]}
    values = np.concatenate([simulate(STUDENT_MODELS[student_model], CATALOG, seed=seed, **options).post_test for seed in (0, 5)])
    low, high = stats.t.interval(0.95, 15, values.mean(), stats.sem(values))
    (row,) = (row for row in rows if (row["policy"], row["student_model"]) == ("easy", student_model))
    assert (row["post_test"], row["low"], row["high"]) == pytest.approx((values.mean(), low, high), rel=1e-10)


def test_regret_is_what_the_best_policy_with_these_students_has_more(rows: list[dict[str, object]]) -> None:
    for student_model in STUDENT_MODELS:
        here = [row for row in rows if row["student_model"] == student_model]
        best = max(row["post_test"] for row in here)
        assert [row["regret"] for row in here] == pytest.approx([best - row["post_test"] for row in here], abs=1e-15)
        assert min(row["regret"] for row in here) == 0.0


@pytest.mark.parametrize("student_model", STUDENT_MODELS)
def test_the_interval_of_the_regret_is_that_of_the_paired_differences(rows: list[dict[str, object]], student_model: str) -> None:
    options = {"belief": bkt(), "students": 8, "responses": 10, "choices": 1}
    post = {}
    for name, policy in POLICIES.items():
        logs = [simulate(STUDENT_MODELS[student_model], CATALOG, seed=seed, policy=policy, **options) for seed in (0, 5)]
        post[name] = np.concatenate([log.post_test for log in logs])
    best = max(post.values(), key=np.mean)
    for row in (row for row in rows if row["student_model"] == student_model):
        told, values = [row[name] for name in ("regret", "regret_low", "regret_high")], best - post[row["policy"]]
        if not values.any():
            assert told == [0.0] * 3
        else:
            assert told == pytest.approx([values.mean(), *stats.t.interval(0.95, 15, values.mean(), stats.sem(values))], rel=1e-9)


def test_with_a_target_it_counts_the_responses_until_there() -> None:
    rows = [row for row in matrix(target=0.65) if row["student_model"] == "quick"]
    options = {"belief": bkt(), "students": 8, "responses": 10, "choices": 1, "target": 0.65}
    for row in rows:
        policy = POLICIES[row["policy"]]
        taught = [
            simulate(STUDENT_MODELS["quick"], CATALOG, seed=seed, policy=policy, **options).reached_after for seed in (0, 5)
        ]
        reached = np.concatenate(taught)
        counted = np.minimum(reached, 10.0)
        low, high = stats.t.interval(0.95, 15, counted.mean(), stats.sem(counted))
        assert row["reached"] == np.isfinite(reached).mean()
        assert row["responses"] == counted.mean()
        assert (row["responses_low"], row["responses_high"]) == pytest.approx((max(low, 0.0), min(high, 10.0)), rel=1e-9)
    assert 0.0 < min(row["reached"] for row in rows) < 1.0


def test_a_target_changes_nothing_else(rows: list[dict[str, object]]) -> None:
    assert [{name: row[name] for name in rows[0]} for row in matrix(target=0.65)] == rows


def test_the_worst_row_is_that_of_the_student_model_with_the_largest_regret(rows: list[dict[str, object]]) -> None:
    for policy in POLICIES:
        worst, *rest = (row for row in rows if row["policy"] == policy)
        assert worst["student_model"] == "worst"
        assert [row["regret"] for row in rest] == sorted((row["regret"] for row in rest), reverse=True)
        assert {**worst, "student_model": rest[0]["student_model"]} == rest[0]


def test_policies_stand_in_the_order_of_their_worst_case(rows: list[dict[str, object]]) -> None:
    worst = [row["regret"] for row in rows if row["student_model"] == "worst"]
    assert worst == sorted(worst)
    assert worst[0] < worst[-1]


def test_equal_policies_have_equal_luck(rows: list[dict[str, object]]) -> None:
    one, other = ([{**row, "policy": ""} for row in rows if row["policy"] == name] for name in ("weakest", "again"))
    assert one == other


def test_a_policy_may_be_best_with_some_students_and_poor_with_others() -> None:
    """Of a skill that guessing hides and one that slips hide, each policy practises one; only one of them can be learned."""
    skills = at.Catalog.from_arrow({"item": ["g", "s"], "skill": ["guessed", "slipped"]})

    def model(**learn: float) -> at.BKT:
        shared = {"prior": 0.01, "guess": [0.6, 0.05], "slip": [0.05, 0.3]}
        return at.BKT.from_parameters(["guessed", "slipped"], **shared, learn=[learn["guessed"], learn["slipped"]])

    student_models = {"guessed": model(guessed=0.5, slipped=1e-6), "slipped": model(guessed=1e-6, slipped=0.5)}
    belief = model(guessed=1e-6, slipped=1e-6)
    anything = at.Constraints(zone=False)
    policies = {
        name: at.Recommender(belief, skills, policy=at.TargetSuccess(target=target), constraints=anything)
        for name, target in {"easy": 1.0, "hard": 0.0}.items()
    }
    table = policy_matrix(policies, student_models, catalog=skills, belief=belief, students=30, responses=12).to_pylist()
    regret = {(row["policy"], row["student_model"]): row["regret"] for row in table}
    assert regret["easy", "guessed"] == regret["hard", "slipped"] == 0.0
    assert regret["hard", "guessed"] == regret["hard", "worst"] > 0.1
    assert regret["easy", "slipped"] == regret["easy", "worst"] > 0.2
    assert [row["policy"] for row in table] == ["hard"] * 3 + ["easy"] * 3


def test_the_same_seeds_give_the_same_bits(rows: list[dict[str, object]]) -> None:
    assert matrix() == rows
    assert matrix(seeds=(0, 6)) != rows


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"policies": {}}, "got 0 policies and 3 student models; expected at least one of each"),
        ({"student_models": {}}, "got 3 policies and 0 student models"),
        ({"student_models": {"worst": bkt()}}, "student_models: got the name 'worst', which marks the worst case"),
        ({"seeds": ()}, r"seeds: got \[\]; expected at least one, each once"),
        ({"seeds": (1, 1)}, r"seeds: got \[1, 1\]"),
        ({"students": 1, "seeds": (0,)}, "students: got 1 in all; expected at least 2"),
    ],
    ids=str,
)
def test_what_cannot_be_compared_is_refused(options: dict[str, object], match: str) -> None:
    with pytest.raises(ValueError, match=match):
        matrix(**options)


def test_a_belief_without_mastery_is_refused() -> None:
    with pytest.raises(at.ModelError, match="pass belief="):
        matrix(belief=Rates())
