"""Planted differences between groups are found, others are not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

import adaptrace as at
from adaptrace.evaluate import gaps, metrics, practice
from adaptrace.evaluate.fairness import QUALITY, Fairness, fairness
from adaptrace.evaluate.practice import PRACTICE, PracticePaths
from reference.school import answers

BELIEF = {"prior": 0.3, "learn": 0.15, "guess": 0.25, "slip": 0.1}
MODEL = at.BKT.from_parameters(["a", "b", "c"], **BELIEF)
LONGEST = 14


class Predicts:
    """A model that knows no mastery."""

    def __init__(self, model: at.BKT) -> None:
        self.predict = model.predict


def school(
    seed: int, *, students: int = 160, shortest: tuple[int, int] = (2, 2), longest: int = LONGEST, **of_b: float
) -> at.Log:
    """Two sides, A and B, on three skills, some students faster than others; B's parameters and lengths may be its own."""
    random = np.random.default_rng([seed, 1])
    b = np.arange(students) % 2 == 1
    pace = np.exp(random.normal(0.0, 0.4, students))
    tables = []
    for number, skill in enumerate("abc"):
        truth = {name: np.where(b, of_b.get(name, value), value)[:, None] for name, value in BELIEF.items()}
        truth |= {"learn": truth["learn"] * pace[:, None], "prior": truth["prior"][:, 0]}
        correct = answers((students, LONGEST), 3 * seed + number, **truth)
        length = random.integers(np.where(b, shortest[1], shortest[0]), np.where(b, longest, LONGEST) + 1)
        row, place = np.nonzero(np.arange(LONGEST) < length[:, None])
        columns = {"student": row, "item": place, "skill": [skill] * len(row), "correct": correct[row, place]}
        tables.append(pa.table({**columns, "side": np.where(b, "B", "A")[row]}))
    return at.Log.from_arrow(pa.concat_tables(tables), keep=["side"])


def gap(result: Fairness, measure: str, group: object = "B") -> dict[str, Any]:
    (row,) = (row for row in result.gaps.to_pylist() if (row["measure"], row["group"]) == (measure, group))
    return row


def flags(result: Fairness) -> set[str]:
    return {row["measure"] for row in result.gaps.to_pylist() if row["flagged"]}


# ---- what is planted is found -----------------------------------------------


@pytest.mark.parametrize(("planted", "sign", "word"), [({"guess": 0.05}, 1, "overrated"), ({"slip": 0.01}, -1, "underrated")])
def test_a_group_that_guesses_less_is_overrated_and_one_that_slips_less_underrated(
    planted: dict[str, float], sign: int, word: str
) -> None:
    result = fairness(MODEL, school(1, students=400, **planted), by="side")
    found = gap(result, "bias")
    assert found["flagged"]
    assert sign * found["difference"] > 0.025
    assert sign * found["low"] > 0
    assert sign * found["high"] > 0
    assert "B  bias" in str(result)
    assert word in str(result)


def test_a_group_that_stops_early_stops_below_mastery_and_does_not_pass_for_fast() -> None:
    result = fairness(MODEL, school(2, students=300, shortest=(10, 2), longest=6), by="side")
    assert {"under_practice", "reached", "responses_to_mastery"} <= flags(result)
    assert gap(result, "under_practice")["difference"] > 0.2
    assert gap(result, "responses_to_mastery")["difference"] < -1.0  # the naive mean takes B for fast
    assert not gap(result, "expected_responses")["flagged"]
    assert abs(gap(result, "expected_responses")["difference"]) < 0.25
    assert "bias" not in flags(result)


def test_a_group_that_learns_more_slowly_needs_more_responses() -> None:
    result = fairness(MODEL, school(3, learn=0.05), by="side")
    found = gap(result, "expected_responses")
    assert found["flagged"]
    assert found["difference"] > 0.5
    assert "mastery takes more responses" in str(result)


def test_equal_groups_are_rarely_told_apart() -> None:
    flagged = sum(bool(flags(fairness(MODEL, school(seed, students=80), by="side", seed=seed))) for seed in range(40))
    assert flagged <= 5  # 5 % of 40 are 2


def test_most_students_on_one_side_leave_nothing_to_tell() -> None:
    log = school(4, students=24, guess=0.01)
    few = pa.array(["lone" if student < 9 else "other" for student in log.table["student"].to_pylist()])
    result = fairness(MODEL, at.Log.from_arrow(log.table.append_column("few", few), keep=["few"]), by="few")
    assert not flags(result)
    assert np.isnan(result.gaps["p"].to_numpy()).all()
    assert "too few students on one side to tell: lone (9), other (15)" in str(result)


# ---- each number ------------------------------------------------------------


def slow_practice(log: at.Log, model: at.BKT, at_least: float) -> dict[str, dict[str, float]]:
    """The measures of practice by side, pair by pair in plain Python."""
    pairs: dict[tuple[Any, Any], list[float]] = {}
    side = {}
    for entry, row in zip(model.trace(log).to_pylist(), log.table.to_pylist(), strict=True):
        pairs.setdefault((entry["student"], entry["skill"]), []).append(entry["mastery"])
        side[row["student"]] = row["side"]
    out = {}
    for name in ("A", "B"):
        paths = [path for (student, _), path in pairs.items() if side[student] == name]
        first = [next((n for n, m in enumerate(path, 1) if m >= at_least), None) for path in paths]
        over = [sum(m >= at_least for m in path[:-1]) for path, n in zip(paths, first, strict=True) if n]
        reached = [n for n in first if n]
        out[name] = {
            "pairs": len(paths),
            "responses_to_mastery": sum(reached) / len(reached),
            "reached": len(reached) / len(paths),
            "over_practice": sum(over) / len(reached),
            "under_practice": sum(path[-1] < at_least for path in paths) / len(paths),
        }
    return out


def test_the_measures_of_practice_equal_those_counted_pair_by_pair() -> None:
    log = school(5, students=40)
    practice = fairness(MODEL, log, by="side", threshold=0.9, draws=20).practice
    assert practice is not None
    expected = slow_practice(log, MODEL, 0.9)
    for row in practice.to_pylist():
        for name, value in expected[row["group"]].items():
            assert row[name] == pytest.approx(value, rel=1e-12), name
            if name in PRACTICE:
                assert row[f"{name}_low"] <= value <= row[f"{name}_high"]


def slow_survival(duration: list[int], mastered: list[bool], horizon: int) -> float:
    """Restricted mean by redistribution to the right (Efron, 1967): who stops hands their weight to those who go on."""
    weight, total = [1.0] * len(duration), 0.0
    order = sorted(range(len(duration)), key=lambda pair: (duration[pair], not mastered[pair]))
    for place, pair in enumerate(order):
        after = [other for other in order[place + 1 :] if duration[other] > duration[pair]]
        if mastered[pair] or not after or duration[pair] >= horizon:
            total += weight[pair] * min(duration[pair] if mastered[pair] else horizon, horizon)
            continue
        for other in after:
            weight[other] += weight[pair] / len(after)
    return total / len(duration)


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(1, 9), st.booleans()), min_size=1, max_size=30), st.integers(1, 9))
def test_kaplan_and_meier_equal_redistribution_to_the_right(pairs: list[tuple[int, bool]], horizon: int) -> None:
    duration, mastered = (list(column) for column in zip(*pairs, strict=True))
    n = len(pairs)
    zeros = np.zeros(n, np.int64)
    first = np.where(mastered, duration, 0)
    paths = PracticePaths(np.arange(n), zeros, zeros, 1, 1, first, np.array(duration), zeros.astype(float), zeros.astype(float))
    counts = practice._counts(paths, horizon, np.ones(n, np.int64))
    (mean,) = practice._restricted_mean(counts, np.array([horizon]))
    assert mean == pytest.approx(slow_survival(duration, mastered, horizon), rel=1e-9)


def test_expected_responses_are_those_of_students_who_never_stop() -> None:
    """The truth, from students who all go on to the horizon; and what stopping at random leaves of it."""
    whole, cut = (fairness(MODEL, school(6, students=2000, shortest=(low, low)), by="side", draws=20) for low in (LONGEST, 1))
    for full, seen in zip(whole.practice.to_pylist(), cut.practice.to_pylist(), strict=True):  # type: ignore[union-attr]
        assert full["horizon"] == seen["horizon"] == LONGEST
        assert seen["expected_responses"] == pytest.approx(full["expected_responses"], abs=0.15)
        assert seen["responses_to_mastery"] < full["responses_to_mastery"] - 0.5


@pytest.mark.parametrize("seed", range(6))
def test_the_horizon_is_the_last_response_at_which_every_group_still_has_ten_pairs(seed: int) -> None:
    log = school(seed, students=24, shortest=(1, 1), longest=8)
    result = fairness(MODEL, log, by="side", draws=20)
    trace = MODEL.trace(log).to_pylist()
    alive = {name: np.zeros(LONGEST + 2, int) for name in "AB"}
    done: set[tuple[Any, Any]] = set()
    for entry, row in zip(trace, log.table.to_pylist(), strict=True):
        pair = (entry["student"], entry["skill"])
        alive[row["side"]][entry["opportunity"]] += pair not in done
        if entry["mastery"] >= 0.95:
            done.add(pair)
    expected = min(max(np.flatnonzero(count >= 10)) for count in alive.values())
    assert result.practice is not None
    assert result.practice["horizon"].to_pylist() == [expected] * 2


def test_metrics_are_those_of_the_report_of_the_same_draws() -> None:
    log = school(8, students=40)
    result = fairness(MODEL, log, by="side", draws=30, seed=3)
    predicted = MODEL.predict(log)
    report = metrics.report(log.correct, predicted, student=log.table["student"], by=log.table["side"], draws=30, seed=3)
    assert result.metrics["group"].to_pylist() == report["by"].to_pylist()
    for name in report.column_names[1:]:
        np.testing.assert_allclose(result.metrics[name].to_numpy(), report[name].to_numpy(), rtol=1e-12, err_msg=name)
    for group, row in zip("AB", result.metrics.to_pylist(), strict=True):
        rows = np.array(log.table["side"].to_pylist()) == group
        assert row["bias"] == pytest.approx(np.mean(predicted[rows] - log.correct[rows]), rel=1e-9)
        assert row["bias_low"] < row["bias"] < row["bias_high"]


def three(seed: int = 9) -> at.Log:
    """Groups 1, 2 and null."""
    log = school(seed, students=90)
    third = pa.array([[1, 2, None][student % 3] for student in log.table["student"].to_pylist()])
    return at.Log.from_arrow(log.table.append_column("third", third), keep=["third"])


def test_gaps_are_to_all_other_students() -> None:
    log = three()
    result, predicted = fairness(MODEL, log, by="third", draws=20), MODEL.predict(log)
    third = np.array([value or 0 for value in log.table["third"].to_pylist()])
    assert len(result.gaps) == 3 * (len(QUALITY) + len(PRACTICE))
    for group in (1, 2, None):
        mask = third == (group or 0)
        expected = [metric(log.correct[mask], predicted[mask]) for metric in metrics.METRICS.values()]
        expected = np.subtract(expected, [metric(log.correct[~mask], predicted[~mask]) for metric in metrics.METRICS.values()])
        assert [gap(result, name, group)["difference"] for name in metrics.METRICS] == pytest.approx(expected, rel=1e-9)
        joined = np.where(mask, "B", "A")
        two = fairness(
            MODEL, at.Log.from_arrow(log.table.append_column("joined", pa.array(joined)), keep=["joined"]), by="joined", draws=20
        )
        for name in PRACTICE[:-1]:  # the horizon of two groups is another
            found, same = gap(result, name, group), gap(two, name)
            assert [found[key] for key in ("difference", "low", "high")] == pytest.approx(
                [same[key] for key in ("difference", "low", "high")], rel=1e-9
            )


def test_flagged_gaps_stand_first_and_two_groups_mirror_each_other() -> None:
    result = fairness(MODEL, school(10, guess=0.05), by="side")
    flagged = result.gaps["flagged"].to_pylist()
    assert flagged == sorted(flagged, reverse=True)
    assert any(flagged)
    for name in (*QUALITY, *PRACTICE):
        a, b = gap(result, name, "A"), gap(result, name, "B")
        assert (a["difference"], a["p"], a["flagged"]) == (-b["difference"], b["p"], b["flagged"])
        assert (a["low"], a["high"]) == pytest.approx((-b["high"], -b["low"]))


def test_mirror_images_are_one_question(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []
    monkeypatch.setattr(gaps, "_holm", lambda p: (asked.append(p.size), p)[1])
    fairness(MODEL, school(0, students=24), by="side", draws=20)
    fairness(MODEL, three(), by="third", draws=20)
    assert asked == [10, 30]


def test_holm_by_hand() -> None:
    adjusted = gaps._holm(np.array([[0.01, np.nan], [0.04, 0.03], [0.9, 0.02]]))
    np.testing.assert_allclose(adjusted, [[0.05, np.nan], [0.09, 0.09], [0.9, 0.08]], rtol=1e-12)


def test_by_skill_there_is_a_row_for_each_skill_and_group_that_met() -> None:
    log = three()
    rows = log.select(~((np.array(log.table["skill"].to_pylist()) == "b") & (np.array(log.table["third"].fill_null(0)) == 2)))
    result = fairness(MODEL, rows, by="third", draws=20, by_skill=True)
    assert result.practice is not None
    keys = list(zip(result.practice["skill"].to_pylist(), result.practice["group"].to_pylist(), strict=True))
    assert keys == [(skill, group) for skill in "abc" for group in (1, 2, None) if (skill, group) != ("b", 2)]
    alone = rows.select(np.array(rows.table["skill"].to_pylist()) == "c")
    one = fairness(MODEL, alone, by="third", draws=20)
    assert one.practice is not None
    assert (
        one.practice.drop_columns(["group"]).to_pylist() == result.practice.slice(5).drop_columns(["skill", "group"]).to_pylist()
    )
    assert one.gaps.schema == result.gaps.schema


# ---- what the model sees, and what it need not ------------------------------


def test_permuting_the_group_changes_no_prediction_and_no_total() -> None:
    log = school(11, guess=0.05)
    moved = pa.array([["A", "B"][student // 2 % 2] for student in log.table["student"].to_pylist()])
    other = at.Log.from_arrow(log.table.set_column(log.table.column_names.index("side"), "side", moved), keep=["side"])
    assert MODEL.predict(other).tolist() == MODEL.predict(log).tolist()
    assert MODEL.trace(other).equals(MODEL.trace(log))
    assert gap(fairness(MODEL, log, by="side"), "bias")["flagged"]
    assert not gap(fairness(MODEL, other, by="side"), "bias")["flagged"]


def test_without_mastery_there_are_metrics_only_and_other_predictions_may_be_judged() -> None:
    log = school(12, students=40)
    result = fairness(Predicts(MODEL), log, by="side", draws=20)  # type: ignore[arg-type]
    assert result.practice is None
    assert set(result.gaps["measure"].to_pylist()) == set(QUALITY)
    assert "Practice" not in str(result)
    flat: NDArray[np.float64] = np.full(len(log), 0.5)
    judged = fairness(MODEL, log, by="side", draws=20, predicted=flat)
    assert judged.metrics["auc"].to_pylist() == [0.5, 0.5]
    assert judged.practice == fairness(MODEL, log, by="side", draws=20).practice


def test_same_seed_same_bits() -> None:
    log = school(13, students=40)
    first, again, other = (fairness(MODEL, log, by="side", draws=20, seed=seed) for seed in (1, 1, 2))
    assert first.gaps.equals(again.gaps)
    assert str(first) == str(again)
    assert not first.gaps.equals(other.gaps)


def test_a_students_rows_without_a_group_say_nothing() -> None:
    log = school(14, students=40)
    some = [None if place % 3 == 0 else side for place, side in enumerate(log.table["side"].to_pylist())]
    other = at.Log.from_arrow(log.table.append_column("some", pa.array(some)), keep=["some"])
    assert fairness(MODEL, other, by="some", draws=20).gaps.equals(fairness(MODEL, log, by="side", draws=20).gaps)


def test_the_text_says_in_words_what_is_flagged_first() -> None:
    text = str(fairness(MODEL, school(1, guess=0.1), by="side"))
    lines = text.splitlines()
    assert lines[0].startswith("2 groups by 'side', 160 students: ")
    assert lines[0].endswith("gaps to the other students are more than chance explains")
    assert lines[1].startswith("  B  ")
    assert max(map(len, lines)) < 130
    assert "missing" in str(fairness(MODEL, three(), by="third", draws=20))


# ---- bad input --------------------------------------------------------------


def with_column(values: list[Any]) -> at.Log:
    table = pa.table({"student": ["Ada", "Ada", "Bo"], "item": [1, 2, 1], "skill": ["a"] * 3, "correct": [1, 0, 1]})
    return at.Log.from_arrow(table.append_column("school", pa.array(values)), keep=["school"])


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (["x", "x", "x"], r"column 'school': got 'x' for every student; expected at least two groups"),
        ([None] * 3, r"got no value at all"),
        (["x", "y", "x"], r"row 2: got 'y' of a student who is in 'x' too; expected one group a student; keep one"),
        ([["x"], ["x"], ["y"]], r"got list<.*>; expected one name a student"),
    ],
)
def test_a_column_that_makes_no_groups_is_one_error(values: list[Any], message: str) -> None:
    with pytest.raises(at.DataError, match=message):
        fairness(MODEL, with_column(values), by="school")


def test_a_missing_column_is_an_error_that_lists_the_columns() -> None:
    with pytest.raises(at.DataError, match=r"got the columns student, .*, side; expected column 'sex'; .*keep=\['sex'\]"):
        fairness(MODEL, school(0, students=4), by="sex")


def test_names_are_no_groups() -> None:
    with pytest.raises(at.DataError, match=r"got 160 groups; expected at most 100; combine them"):
        fairness(MODEL, school(0), by="student")


def test_several_students_in_two_groups_are_counted() -> None:
    with pytest.raises(at.DataError, match=r"and 3 more students in several"):
        fairness(MODEL, school(0, students=4), by="item")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"threshold": 1.0}, "threshold: got 1.0; expected a probability between 0 and 1"),
        ({"threshold": float("nan")}, "threshold: got nan"),
        ({"draws": 5}, "draws: got 5; expected at least 20"),
        ({"predicted": [0.5]}, r"column 'predicted': got shape \(1,\)"),
    ],
)
def test_an_option_out_of_range_is_one_error(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fairness(MODEL, school(0, students=4), by="side", **options)
