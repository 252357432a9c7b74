"""Off-policy estimates: they recover values that are known exactly, and refuse what a log cannot tell."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from adaptrace.errors import DataError
from adaptrace.evaluate.off_policy import Estimate, off_policy
from adaptrace.recommendation.policies import TargetSuccess
from reference.bandit import World, policy

SEEDS, STUDENTS, HELD = 100, 400, 93
FIT = np.array([[2.0, 1.0, 0.0, 0.0], [1.0, 2.0, 1.0, 0.0], [0.0, 0.0, 1.0, 2.0]])  # of items (columns) to states
LOGGING, TARGET = policy(-0.3, FIT), policy(0.4, FIT)  # rather what does not fit; rather what does
LENGTH = {"decision": 10, "student": 4}
CASES = ("naive", "ips", "snips", "dr, right model", "dr, wrong model")

Log = dict[str, Any]


# ---- known values are recovered ---------------------------------------------


@cache
def estimates(horizon: str) -> dict[str, list[Estimate]]:
    """Every case's estimates on a hundred logs."""
    world = World(LENGTH[horizon])
    found: dict[str, list[Estimate]] = {case: [] for case in CASES}
    for seed in range(SEEDS):
        log = world.simulate(LOGGING, STUDENTS, seed)
        kind_state = (log.kind, log.state)
        model = world.reward[kind_state] if horizon == "decision" else world.to_come(TARGET)[log.step, *kind_state]
        target = log.lists(TARGET)
        arguments: dict[str, Log] = {
            "naive": {"target": "propensities", "method": "ips"},  # all weights 1: the mean of what was logged
            "ips": {"target": target, "method": "ips"},
            "snips": {"target": target, "method": "snips"},
            "dr, right model": {"target": target, "method": "dr", "expected": log.lists(model)},
            "dr, wrong model": {"target": target, "method": "dr", "expected": log.lists(1.0 - 2.0 * model)},
        }
        for case in CASES:
            found[case].append(off_policy(log.table, "reward", horizon=horizon, **arguments[case]))
    return found


def true_value(horizon: str) -> float:
    world = World(LENGTH[horizon])
    return world.per_decision(TARGET, LOGGING) if horizon == "decision" else world.per_student(TARGET)


def held(found: list[Estimate], value: float) -> int:
    return sum(each.low <= value <= each.high for each in found)


@pytest.mark.parametrize("case", CASES[1:])
@pytest.mark.parametrize("horizon", LENGTH)
def test_the_interval_holds_the_true_value(horizon: str, case: str) -> None:
    count = held(estimates(horizon)[case], true_value(horizon))
    print(f"{horizon}, {case}: {count} of {SEEDS}")
    assert count >= HELD


@pytest.mark.parametrize("case", CASES[1:])
@pytest.mark.parametrize("horizon", LENGTH)
def test_the_mean_estimate_is_near_the_true_value(horizon: str, case: str) -> None:
    values = [each.value for each in estimates(horizon)[case]]
    assert abs(np.mean(values) - true_value(horizon)) < 3.5 * np.std(values) / math.sqrt(SEEDS)


@pytest.mark.parametrize("horizon", LENGTH)
def test_the_mean_of_what_was_logged_is_worth_the_logging_policy_not_the_target(horizon: str) -> None:
    world, naive = World(LENGTH[horizon]), estimates(horizon)["naive"]
    own = world.per_decision(LOGGING, LOGGING) if horizon == "decision" else world.per_student(LOGGING)
    values = [each.value for each in naive]
    assert abs(np.mean(values) - own) < 3.5 * np.std(values) / math.sqrt(SEEDS)
    assert held(naive, true_value(horizon)) <= 5


@pytest.mark.parametrize("horizon", LENGTH)
def test_a_right_model_narrows_and_a_wrong_one_widens(horizon: str) -> None:
    width = {case: np.mean([each.high - each.low for each in estimates(horizon)[case]]) for case in CASES}
    assert width["dr, right model"] < width["snips"] < width["ips"] < width["dr, wrong model"]
    pairs = zip(estimates(horizon)["dr, right model"], estimates(horizon)["ips"], strict=True)
    assert sum(robust.high - robust.low < plain.high - plain.low for robust, plain in pairs) >= 95


def test_a_small_class_gets_wide_intervals_that_hold() -> None:
    world, target = World(10), policy(0.1, FIT)
    logs = [world.simulate(LOGGING, 8, seed) for seed in range(300)]
    found = [off_policy(log.table, "reward", target=log.lists(target), least_effective=10) for log in logs]
    assert held(found, world.per_decision(target, LOGGING)) >= 0.92 * len(found)


def test_decisions_of_one_student_count_as_dependent() -> None:
    log = World(10).simulate(LOGGING, 100, 0)
    alone = log.table.set_column(0, "student", pa.array(np.arange(len(log.table))))
    always = {"reward": log.kind.astype(float), "target": "propensities"}  # the same for all decisions of a student
    together, apart = off_policy(log.table, **always), off_policy(alone, **always)
    assert together.value == pytest.approx(apart.value)
    assert together.high - together.low > 2.0 * (apart.high - apart.low)


def test_weights_grow_with_the_horizon() -> None:
    effective = [
        off_policy(log.table, "reward", target=log.lists(TARGET), horizon="student", least_effective=0).effective_n
        for log in (World(length).simulate(LOGGING, 2000, 0) for length in (1, 2, 4, 8))
    ]
    assert effective == sorted(effective, reverse=True)
    assert effective[-1] < effective[0] / 3


# ---- by hand ----------------------------------------------------------------


def small_log(**columns: Any) -> Log:
    """Three students, two decisions each between a and b at 1 : 3."""
    good: Log = {
        "student": ["s", "s", "t", "t", "u", "u"],
        "item": ["a", "b", "b", "b", "a", "a"],
        "candidates": [["a", "b"]] * 6,
        "propensities": [[0.25, 0.75]] * 6,
        "reward": [1.0, 0.0, 1.0, 1.0, 0.0, 1.0],
    }
    return good | columns


def estimate(log: Log, **options: Any) -> Estimate:
    """Of the policy that tosses a coin: weights 2 for a, 2/3 for b."""
    arguments = {"reward": "reward", "target": [[0.5, 0.5]] * 6, "least_effective": 0} | options
    return off_policy(pa.table(log), **arguments)


def test_values_per_decision_are_those_of_the_formulas() -> None:
    w, r, q = np.array([2, 2 / 3, 2 / 3, 2 / 3, 2, 2]), np.array([1, 0, 1, 1, 0, 1.0]), np.array([0.4, 0.7, 0.7, 0.7, 0.4, 0.4])
    assert estimate(small_log(), method="ips").value == pytest.approx((w * r).mean())
    assert estimate(small_log(), method="snips").value == pytest.approx((w * r).sum() / w.sum())
    robust = estimate(small_log(), method="dr", expected=[[0.4, 0.7]] * 6)
    assert robust.value == pytest.approx((0.55 + w * (r - q)).mean())
    assert robust.effective_n == pytest.approx(w.sum() ** 2 / (w**2).sum())
    assert (robust.n, robust.students, robust.largest_weight, robust.clipped) == (6, 3, 2.0, 0.0)


def test_values_per_student_are_those_of_the_formulas() -> None:
    w, r = np.array([[2, 2 / 3], [2 / 3, 2 / 3], [2, 2]]), np.array([[1, 0], [1, 1], [0, 1.0]])
    q, products = np.array([[0.4, 0.7], [0.7, 0.7], [0.4, 0.4]]), w.cumprod(axis=1)
    assert estimate(small_log(), method="ips", horizon="student").value == pytest.approx((products * r).sum(1).mean())
    weighted = estimate(small_log(), method="snips", horizon="student")
    assert weighted.value == pytest.approx(((products * r).sum(0) / products.sum(0)).sum())
    robust = estimate(small_log(), method="dr", horizon="student", expected=[[0.4, 0.7]] * 6)
    before = np.column_stack([np.ones(3), products[:, 0]])
    assert robust.value == pytest.approx((before * 0.55 + products * (r - q)).sum(1).mean())
    last = products[:, -1]
    assert weighted.effective_n == pytest.approx(last.sum() ** 2 / (last**2).sum())


def test_a_student_who_has_ended_keeps_the_last_weight() -> None:
    rows = [0, 1, 2, 4, 5]  # the second student decides once
    log = {name: [values[row] for row in rows] for name, values in small_log().items()}
    found = estimate(log, horizon="student", target=[[0.5, 0.5]] * 5)
    first = (2 * 1 + 2 / 3 * 1 + 2 * 0) / (2 + 2 / 3 + 2)
    assert found.value == pytest.approx(first + (4 / 3 * 0 + 4 * 1) / (4 / 3 + 2 / 3 + 4))


def test_the_standard_error_of_ips_per_student_is_the_textbook_one() -> None:
    log = World(4).simulate(LOGGING, 500, 1)
    found = off_policy(log.table, "reward", target="propensities", method="ips", horizon="student")
    sums = np.bincount(log.table["student"].to_numpy(), log.table["reward"].to_numpy())
    assert (found.high - found.low) / 2 == pytest.approx(1.96 * sums.std(ddof=1) / math.sqrt(500), rel=0.01)


def test_time_orders_the_decisions_of_a_student_however_rows_lie() -> None:
    log = World(4).simulate(LOGGING, 300, 2)
    shuffle = np.random.default_rng(0).permutation(len(log.table))
    options: Log = {"method": "snips", "horizon": "student"}
    found = off_policy(log.table.append_column("target", log.lists(TARGET)), "reward", target="target", **options)
    shuffled = off_policy(
        log.table.append_column("target", log.lists(TARGET)).take(shuffle), "reward", target="target", **options
    )
    assert shuffled.value == pytest.approx(found.value)
    assert shuffled.high == pytest.approx(found.high)
    assert not found.notes


def test_a_log_that_tells_no_order_is_noted_where_order_counts() -> None:
    assert "no time or order column" in estimate(small_log(), horizon="student").notes[0]
    assert not any("order" in note for note in estimate(small_log()).notes)


# ---- ways to call it --------------------------------------------------------


@pytest.mark.parametrize("frame", [pa.table, pd.DataFrame, pl.DataFrame, lambda log: pa.table(log).to_batches()[0]])
def test_any_frame_and_any_lists_will_do(frame: Callable[[Log], Any]) -> None:
    expected = estimate(small_log())
    log = frame(small_log(target=[[0.5, 0.5]] * 6))
    for target in (
        "target",
        np.full((6, 2), 0.5),
        pa.chunked_array([[[0.5, 0.5]] * 6]),
        lambda row: [0.5] * len(row["candidates"]),
    ):
        assert off_policy(log, "reward", target=target, least_effective=0) == expected
    for reward in (small_log()["reward"], pd.Series(small_log()["reward"]), pl.Series(small_log()["reward"])):
        assert off_policy(log, reward, target="target", least_effective=0) == expected


def test_names_of_columns_may_differ_and_keys_may_be_numbers() -> None:
    log = small_log(item=[1, 2, 2, 2, 1, 1], candidates=[[1, 2]] * 6)
    log = {{"student": "learner", "item": "shown"}.get(name, name): values for name, values in log.items()}
    assert estimate(log, columns={"item": "shown"}) == estimate(small_log())


def test_rewards_may_be_right_or_wrong() -> None:
    assert estimate(small_log(reward=[True, False, True, True, False, True])) == estimate(small_log())


def test_a_target_function_sees_neither_the_chosen_item_nor_its_reward() -> None:
    seen: list[set[str]] = []
    estimate(small_log(), target=lambda row: seen.append(set(row)) or [0.5, 0.5])
    assert set.union(*seen) == {"student", "candidates", "propensities"}


def test_the_callers_table_is_not_changed() -> None:
    table = pa.table(small_log())
    off_policy(table, "reward", target=[[0.5, 0.5]] * 6, least_effective=0)
    assert table.equals(pa.table(small_log()))


def test_a_part_of_a_table_is_that_part() -> None:
    twice = pa.concat_tables([pa.table(small_log(student=["z"] * 6, reward=[9.0] * 6)), pa.table(small_log())])
    assert off_policy(twice.slice(6), "reward", target=[[0.5, 0.5]] * 6, least_effective=0) == estimate(small_log())


def test_an_estimate_reads_as_one_line_and_goes_into_json() -> None:
    found = estimate(small_log(), clip=1.0)
    assert re.fullmatch(
        r"snips: 0\.\d+ per decision \(95 %: .* to .*\) from 6 decisions of 3 students, worth \d decisions; .*", str(found)
    )
    assert json.loads(json.dumps(found.to_dict()))["notes"] == list(found.notes)


# ---- clipping and doubts ----------------------------------------------------


@pytest.mark.parametrize(("method", "towards"), [("ips", "0"), ("snips", "the logging policy's"), ("dr", "the expected reward")])
def test_clipping_is_counted_and_its_bias_noted(method: str, towards: str) -> None:
    options = {"expected": [[0.4, 0.7]] * 6} if method == "dr" else {}
    found = estimate(small_log(), method=method, clip=1.5, **options)
    assert (found.largest_weight, found.clipped) == (1.5, 0.5)
    assert found.notes == (f"weights were clipped to 1.5: the value is biased towards {towards}",)
    assert estimate(small_log(), method=method, clip=2.0, **options) == estimate(small_log(), method=method, **options)


def test_clipping_bounds_the_product_of_a_student() -> None:
    found = estimate(small_log(), method="ips", horizon="student", clip=3.0)
    assert found.value == pytest.approx(np.mean([2 * 1, 2 / 3 + 4 / 9, 3 * 1]))
    assert (found.largest_weight, found.clipped) == (3.0, 1 / 6)


def test_propensities_of_another_policy_are_doubted() -> None:
    log = World(10).simulate(LOGGING, 400, 0)
    told = log.table.set_column(log.table.column_names.index("propensities"), "propensities", log.lists(policy(0.0, FIT)))
    assert off_policy(log.table, "reward", target=log.lists(TARGET)).notes == ()
    (note,) = off_policy(told, "reward", target=log.lists(TARGET)).notes
    assert re.fullmatch(r"the mean weight is 0\.\d+, not near 1: the propensities may not be those .*", note)


def test_equal_rewards_say_nothing_of_how_students_differ() -> None:
    assert "no student differs from another: the interval says nothing" in estimate(small_log(reward=[1.0] * 6)).notes


def test_a_product_beyond_all_numbers_is_refused_without_a_warning() -> None:
    rows = 400
    items = ["a"] * (rows - 1) + ["b"]
    log = {"student": np.repeat([0, 1], rows // 2), "item": items, "candidates": [["a", "b"]] * rows}
    log |= {"propensities": [[0.001, 0.999]] * rows, "reward": [1.0] * rows}
    with pytest.raises(DataError, match="effective sample of at least 50 students"):
        off_policy(pa.table(log), "reward", target=[[1.0, 0.0]] * rows, horizon="student")


# ---- refusals ---------------------------------------------------------------


def without(name: str) -> Log:
    return {key: values for key, values in small_log().items() if key != name}


def with_row(name: str, value: Any, row: int = 2) -> Log:
    values = list(small_log()[name])
    values[row] = value
    return small_log(**{name: values})


CHANCES = "probabilities from 0 to 1; log the chance of every candidate"
BAD_LOGS = {
    "no propensities": (
        without("propensities"),
        "expected column 'propensities'; log the chance of every candidate when deciding",
    ),
    "no candidates": (without("candidates"), "column 'candidates': got the columns"),
    "no reward": (
        without("reward"),
        "column 'reward': got 'reward', and columns student, item, candidates, propensities; expected a column's name",
    ),
    "null list": (
        with_row("propensities", None),
        "column 'propensities', row 3: got null; expected at least one candidate in every row",
    ),
    "null propensity": (
        with_row("propensities", [None, 0.75]),
        f"column 'propensities', row 3: got [nan, 0.75]; expected {CHANCES}",
    ),
    "NaN propensity": (
        with_row("propensities", [0.25, math.nan]),
        f"column 'propensities', row 3: got [0.25, nan]; expected {CHANCES}",
    ),
    "negative": (with_row("propensities", [-0.25, 1.25]), f"column 'propensities', row 3: got [-0.25, 1.25]; expected {CHANCES}"),
    "in several rows": (small_log(propensities=[[0.25, 1.75]] * 6), "row 1: got [0.25, 1.75] (and in 5 more rows)"),
    "sum": (
        with_row("propensities", [0.25, 0.74999]),
        "row 3: got probabilities that sum to 0.99999; expected a sum of 1 in every row",
    ),
    "lengths": (
        with_row("propensities", [0.25, 0.5, 0.25]),
        "row 3: got 3 numbers for 2 candidates; expected one for every candidate",
    ),
    "one number": (small_log(propensities=[0.25] * 6), "column 'propensities': got type double; expected a list in every row"),
    "text": (
        small_log(propensities=[["a", "b"]] * 6),
        "column 'propensities': got type list<item: string>; expected a list of numbers",
    ),
    "not a candidate": (
        with_row("item", "c"),
        "column 'item', row 3: got 'c'; expected one of the candidates of its row; log every item that could have been chosen",
    ),
    "repeated": (
        with_row("candidates", ["b", "b"]),
        "column 'candidates', row 3: got 'b' more than once; expected every candidate once",
    ),
    "nameless": (
        with_row("candidates", [None, "b"]),
        "column 'candidates', row 3: got [None, b]; expected a name for every candidate",
    ),
    "null student": (with_row("student", None), "column 'student', row 3: got null; expected a key in every row"),
    "null reward": (
        with_row("reward", None),
        "column 'reward', row 3: got nan; expected a finite number; drop decisions whose reward is not known",
    ),
    "infinite reward": (with_row("reward", math.inf), "column 'reward', row 3: got inf; expected a finite number"),
    "text reward": (small_log(reward=["x"] * 6), "column 'reward': got type string; expected a number for every decision"),
    "no rows": (
        {name: pa.array(values)[:0] for name, values in small_log().items()},
        "got no rows; expected one for every decision",
    ),
}
BAD_TARGETS = {
    "sum": ([[0.5, 0.5]] * 5 + [[0.5, 0.4]], "row 6: got probabilities that sum to 0.9; expected a sum of 1 in every row"),
    "NaN": ([[0.5, 0.5]] * 5 + [[math.nan, 1.0]], "column 'target', row 6: got [nan, 1.0]; expected probabilities from 0 to 1"),
    "lengths": ([[0.5, 0.5]] * 5 + [[1.0]], "column 'target', row 6: got 1 numbers for 2 candidates"),
    "rows": ([[0.5, 0.5]] * 5, "column 'target': got 5 rows for 6 decisions; expected one for each; pass the same rows"),
    "not lists": ([0.5] * 6, "column 'target': got type double; expected a list of numbers for every decision"),
    "mixed": ([[0.5, 0.5]] * 5 + ["a"], "column 'target': got values of several sorts"),
    "no column": ("polcy", "column 'target': got 'polcy', and columns student, item"),
    "a policy": (TargetSuccess(), "column 'target': got TargetSuccess(target=0.75); expected numbers, or lists"),
}


def refused(log: Log, **options: Any) -> DataError:
    with pytest.raises(DataError) as caught:
        estimate(log, **options)
    return caught.value


@pytest.mark.parametrize(("log", "said"), BAD_LOGS.values(), ids=BAD_LOGS)
def test_a_bad_log_is_refused(log: Log, said: str) -> None:
    error = refused(log)
    assert said in str(error)
    assert len(error.problems) == 1


@pytest.mark.parametrize(("target", "said"), BAD_TARGETS.values(), ids=BAD_TARGETS)
def test_a_bad_target_is_refused(target: Any, said: str) -> None:
    error = refused(small_log(), target=target)
    assert said in str(error)
    assert len(error.problems) == 1


def test_bad_expected_rewards_are_refused() -> None:
    error = refused(small_log(), method="dr", expected=[[0.4, 0.7]] * 5 + [[math.nan, 0.0]])
    assert str(error).startswith("decisions: column 'expected', row 6: got [nan, 0.0]; expected finite numbers")


def test_a_target_that_chooses_what_was_never_tried_is_refused() -> None:
    log = small_log(item=["b"] * 6, propensities=[[0.0, 1.0], [0.0, 1.0], *[[0.25, 0.75]] * 4])
    assert str(refused(log, target=[[0.5, 0.5]] * 6)) == (
        "decisions: column 'target', row 1: got probability on candidates of propensity 0 (in 2 of 6 rows, 16.67% of all "
        "probability); expected none where the logging policy never chose; let the target choose among items that the "
        "logging policy sometimes chose, or log more exploration"
    )
    assert estimate(log, target=[[0.0, 1.0]] * 2 + [[0.5, 0.5]] * 4).n == 6


def test_a_propensity_of_zero_for_what_was_chosen_is_refused() -> None:
    error = refused(with_row("propensities", [1.0, 0.0]), target=[[1.0, 0.0]] * 6)
    assert "column 'propensities', row 3: got 0 for 'b', which was chosen; expected above 0" in str(error)


def test_a_log_without_chance_can_only_value_itself() -> None:
    log = small_log(propensities=[[1.0, 0.0], *[[0.0, 1.0]] * 3, *[[1.0, 0.0]] * 2])
    message = str(refused(log))
    assert "got another policy than the logged one, which left nothing to chance: every propensity is 0 or 1;" in message
    assert message.endswith("log exploration first")
    assert estimate(log, target="propensities").value == pytest.approx(4 / 6)


def test_weights_on_few_decisions_are_refused_with_a_remedy() -> None:
    assert str(refused(small_log(), least_effective=50)) == (
        "decisions: got weights worth 4.8 of 6 decisions (the largest is 2); expected an effective sample of at least 50 "
        "decisions; log more exploration, value a target nearer to the logging policy, or clip the weights"
    )
    message = str(refused(small_log(), least_effective=50, horizon="student"))
    assert "got weights worth 1.9 of 3 students (the largest is 4)" in message
    assert "choose a shorter horizon, or clip the weights" in message


def test_weights_on_one_student_are_refused() -> None:
    error = refused(small_log(student=["s"] * 6))
    assert "got weights worth 1.0 of 1 students; expected at least 2: the interval is about how students differ" in str(error)


def test_a_target_that_never_agrees_with_the_log_is_refused() -> None:
    assert "weights worth 0.0 of 6 decisions" in str(
        refused(small_log(item=["b"] * 6), target=[[1.0, 0.0]] * 6, least_effective=50)
    )


def test_all_problems_are_listed_at_once() -> None:
    log = with_row("propensities", [0.5, 0.4]) | {"item": ["c"] * 6, "reward": [math.nan] * 6}
    error = refused(log, target=[[0.5, 0.6]] * 6)
    assert [each.column for each in error.problems] == ["propensities", "target", "reward", "item"]
    assert str(error).startswith("decisions: 4 problems\n  - column 'propensities', row 3")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"method": "dm"}, "method: got 'dm'; expected one of ips, snips, dr"),
        ({"horizon": "week"}, "horizon: got 'week'; expected one of decision, student"),
        ({"method": "dr"}, "expected: got none with method 'dr'"),
        ({"expected": [[0.1, 0.2]] * 6}, "expected: got some with method 'snips'"),
        ({"clip": 0.0}, "clip: got 0.0; expected a weight above 0, or None"),
        ({"least_effective": -1}, "least_effective: got -1; expected a number that is not negative"),
    ],
)
def test_a_wrong_option_is_a_value_error(options: Log, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        estimate(small_log(), **options)


@pytest.mark.parametrize("name", ["no propensities", "no candidates", "null list", "not a candidate"])
def test_a_log_that_cannot_tell_is_refused_before_a_function_is_asked(name: str) -> None:
    """The function reads the candidates of a row: without them it would fail, and not say why."""
    log, message = BAD_LOGS[name]

    def uniform(row: dict[str, Any]) -> list[float]:
        return [1.0 / len(row["candidates"])] * len(row["candidates"])

    with pytest.raises(DataError) as caught:
        off_policy(log, "reward", target=uniform)
    assert message in str(caught.value)
