"""Skills that are two, and two that are one: planted ones are found, and right skills are left alone."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.evaluate import skill_search
from adaptrace.evaluate.candidates import QMatrix, SkillChange, partition
from adaptrace.evaluate.skill_models import Judgement, judged, totals_of
from reference.school import random_log

ITEMS = {f"{skill}{number}": skill for skill in "abcde" for number in range(6)}
THREE_AS_ONE = {item: "a" if skill in "bc" else skill for item, skill in ITEMS.items()}
TWO_AS_ONE = {item: "a" if skill == "b" else skill for item, skill in ITEMS.items()}
ONE_AS_TWO = {item: f"{skill}{int(item[1]) % 2}" if skill == "c" else skill for item, skill in ITEMS.items()}


def answered(seed: int, skills: Mapping[str, str], *, students: int = 300, related: float = 0.0) -> at.Log:
    """Forty answers of each student on items of five skills; abilities may be related, and grow with practice on their skill."""
    random = np.random.default_rng(seed)
    names, difficulty = list(ITEMS), random.normal(0.0, 0.5, len(ITEMS))
    shared, own = random.normal(size=(students, 1)), random.normal(size=(students, 5))
    ability = 0.3 + np.sqrt(related) * shared + 1.2 * np.sqrt(1.0 - related) * own
    rows = []
    for student in range(students):
        for item in random.integers(0, len(names), 40).tolist():
            chance = 1.0 / (1.0 + np.exp(difficulty[item] - ability[student, item // 6]))
            ability[student, item // 6] += 0.08
            row = {"student": str(student), "item": names[item], "skill": skills[names[item]]}
            of_item = {"level": "high" if item % 6 > 2 else "low", "form": "xyz"[item % 3]}
            rows.append(row | {"correct": int(random.random() < chance), **of_item})
    return at.Log.from_arrow(pa.Table.from_pylist(rows), keep=["level", "form"])


@pytest.mark.parametrize("related", [0.0, 0.5])
def test_a_skill_that_is_two_is_found(related: float) -> None:
    search = at.search_skills(answered(0, TWO_AS_ONE, related=related))
    (change,) = search.accepted
    assert (change.sort, change.before, change.after) == ("split", ("a",), ("a (1)", "a (2)"))
    assert set(change.items) in ({item for item in ITEMS if item[0] == skill} for skill in "ab")
    parts = {row["item"]: tuple(row["skills"]) for row in search.q_matrix.to_pylist()}
    assert len({parts[item] for item in ITEMS if item[0] == "a"}) == len({parts[item] for item in ITEMS if item[0] == "b"}) == 1
    assert parts["a0"] != parts["b0"]
    assert str(search).splitlines()[1].startswith("split: a is two; 6 items apart: ")


def test_two_skills_that_are_one_are_found() -> None:
    search = at.search_skills(answered(0, ONE_AS_TWO))
    (change,) = search.accepted
    assert (change.sort, change.before, change.after, change.items) == ("merge", ("c0", "c1"), ("c0 + c1",), ())
    assert search.skills["c3"] == ("c0 + c1",)
    first = search.table.to_pylist()[0]
    assert first["accepted"]
    assert first["difference"] < 0.0 < first["standard_error"]
    assert (first["p"] < 0.05, first["bic_difference"] < 0.0) == (True, True)
    assert str(search).splitlines()[1] == "merge: c0 and c1 are one skill"


def test_a_skill_that_is_three_is_found_in_two_rounds() -> None:
    search = at.search_skills(answered(0, THREE_AS_ONE))
    first, second = search.accepted
    assert (first.before, first.after) == (("a",), ("a (1)", "a (2)"))
    assert second.before[0] in first.after
    parts = [{search.skills[item] for item in ITEMS if item[0] == skill} for skill in "abc"]
    assert [len(each) for each in parts] == [1, 1, 1]
    assert len(set.union(*parts)) == 3


def test_a_merged_skill_has_a_name_that_no_skill_has() -> None:
    skills = {item: "c0 + c1" if skill == "d" else skill for item, skill in ONE_AS_TWO.items()}
    search = at.search_skills(answered(0, skills))
    (change,) = search.accepted
    assert (change.before, change.after) == (("c0", "c1"), ("c0 + c1 (1)",))
    assert search.skills["d0"] == ("c0 + c1",)


def test_each_round_is_corrected_for_all_candidates_so_far_and_the_accepted_stay_in_order(monkeypatch) -> None:
    """Every split of a part of skill a passes, more clearly the later it comes."""
    rounds: dict[QMatrix, list[SkillChange]] = {}

    def passes(log: at.Log, totals: object, matrix: QMatrix, change: SkillChange, seed: int) -> Judgement:
        rounds.setdefault(matrix, []).append(change)
        name = change.before[0]
        return Judgement(-0.001 * len(name), 0.1, 0.003 if name[0] == "a" else 0.5, -1.0)

    monkeypatch.setattr(skill_search, "judged", passes)
    search = at.search_skills(answered(0, THREE_AS_ONE), pairs=0)
    tried = np.cumsum([len(each) for each in rounds.values()])
    of_round = {change: n for n, each in zip(tried, rounds.values(), strict=True) for change in each}
    assert len(rounds) == 3
    assert [len(of_round), len(search.findings)] == [tried[-1]] * 2
    for each in search.findings:
        assert each.judgement.p == min((0.003 if each.change.before[0][0] == "a" else 0.5) * of_round[each.change], 1.0)
    assert [len(change.before[0]) for change in search.accepted] == sorted(len(change.before[0]) for change in search.accepted)
    assert len({of_round[change] for change in search.accepted}) == 3
    others = [each.judgement.difference for each in search.findings if not each.accepted]
    assert others == sorted(others)
    assert [each.accepted for each in search.findings] == sorted((each.accepted for each in search.findings), reverse=True)


def test_all_differences_are_per_response_of_the_log() -> None:
    log = answered(0, TWO_AS_ONE, students=60)
    matrix, totals = QMatrix.of(log), totals_of(log)
    change = matrix.split("a", [item for item in ITEMS if item[0] == "b"])
    rows = matrix.rows_of(log, change)
    whole, part = judged(log, totals, matrix, change, 0), judged(log.select(rows), totals[rows], matrix, change, 0)
    for name in ("difference", "standard_error"):
        assert getattr(whole, name) * len(log) == pytest.approx(getattr(part, name) * rows.sum(), rel=1e-9)
    assert whole.p == pytest.approx(part.p, rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("related", [0.0, 0.5])
def test_right_skills_are_left_alone(seed: int, related: float) -> None:
    search = at.search_skills(answered(seed, ITEMS, students=150, related=related))
    assert search.accepted == []
    assert len(search.findings) > 2
    assert search.skills == {item: (skill,) for item, skill in ITEMS.items()}


def test_items_that_are_merely_harder_are_no_skill_of_their_own() -> None:
    """A factor of the items is a candidate for each skill, and is refused where it is difficulty alone."""
    search = at.search_skills(answered(1, ITEMS), factors=["level"])
    tried = [set(each.change.items) for each in search.findings]
    assert {"a0", "a1", "a2"} in tried
    assert search.accepted == []


def test_every_value_of_a_factor_is_a_candidate_and_two_make_one_split(monkeypatch) -> None:
    monkeypatch.setattr(skill_search, "splits", lambda half, left, matrix: ())
    monkeypatch.setattr(skill_search, "judged", lambda *given: Judgement(0.0, 1.0, 1.0, 0.0))
    search = at.search_skills(answered(1, ITEMS, students=60), factors=["form", "level"], pairs=0)
    found = sorted(each.change.items for each in search.findings if each.change.before == ("a",))
    assert found == [("a0", "a1", "a2"), ("a0", "a3"), ("a1", "a4"), ("a2", "a5")]


def test_the_search_is_drawn_by_its_seed_and_names_alone() -> None:
    log = answered(0, TWO_AS_ONE, students=100)
    shuffled = at.Log.from_arrow(pa.concat_tables([log.table.slice(2000), log.table.slice(0, 2000)]), keep=["level"])
    one, other = (at.search_skills(each, seed=3) for each in (log, shuffled))
    assert one.table["items"].to_pylist() == other.table["items"].to_pylist()
    np.testing.assert_allclose(one.table["difference"].to_numpy(), other.table["difference"].to_numpy(), atol=1e-6)


def test_events_of_several_skills_keep_the_others() -> None:
    log = random_log(0, rows=1200, students=60, several=True)
    matrix = QMatrix.of(log)
    change = matrix.split("a", [item for item, skills in matrix.skills.items() if "a" in skills][:1])
    after = matrix.changed(change)
    for item, skills in matrix.skills.items():
        assert len(after.skills[item]) == len(skills)
        assert {skill for skill in after.skills[item] if skill[0] != "a"} == set(skills) - {"a"}
    assert at.search_skills(log).accepted == []


def test_a_new_skill_has_a_name_that_no_skill_has() -> None:
    matrix = QMatrix({"x": ("s",), "y": ("s", "s (2)")})
    assert matrix.split("s", ["x"]).after == ("s (3)", "s (4)")


def test_totals_are_counts_before_the_response() -> None:
    log = random_log(1, rows=80)
    expected, seen = [], dict[str, list[float]]()
    for row in log.table.to_pylist():
        before = seen.setdefault(str(row["student"]), [])
        expected.append([np.log1p(sum(before)), np.log1p(len(before) - sum(before))])
        before.append(row["correct"])
    np.testing.assert_allclose(totals_of(log), expected, atol=1e-12)


def test_a_partition_is_the_best_of_all() -> None:
    """Of ten items, by trying all 511."""
    scores = np.random.default_rng(0).normal(size=(10, 10))
    side = np.array([1, 1, 1, -1, -1, -1, -1, -1, 1, 1])
    scores = scores + scores.T + 2.0 * np.outer(side, side)
    np.fill_diagonal(scores, 0.0)
    centred = scores - scores.sum() / 90.0
    np.fill_diagonal(centred, 0.0)
    cuts = [np.array([1 if number >> place & 1 else -1 for place in range(10)]) for number in range(512)]
    best = max(cuts, key=lambda cut: float(cut @ centred @ cut))
    found = np.where(partition(scores), 1, -1)
    assert found.tolist() in (best.tolist(), (-best).tolist())


def test_a_log_that_is_too_small_is_one_error() -> None:
    told = "12 students; expected at least 40 to search q-matrices(.|\n)*400 responses; expected at least 1,000"
    with pytest.raises(at.DataError, match=told):
        at.search_skills(random_log(0))


def test_an_unknown_factor_is_refused() -> None:
    with pytest.raises(at.DataError, match="expected a column 'steps'; read the log with keep="):
        at.search_skills(answered(0, ITEMS, students=60), factors=["steps"])


def test_factors_that_differ_within_an_item_are_one_error_with_those_that_are_missing() -> None:
    table = answered(0, ITEMS, students=60).table
    level, item = table["level"].to_pylist(), table["item"].to_pylist()
    rows = [row for row, name in enumerate(item) if name == "d1"]
    level[rows[3]] = level[rows[5]] = "middle"
    log = at.Log.from_arrow(table.set_column(table.column_names.index("level"), "level", pa.array(level)), keep=["level"])
    first = int(log.source_row[[row for row, value in enumerate(log.table["level"].to_pylist()) if value == "middle"]].min()) + 1
    found = f"column 'level', row {first}: got 'middle' for item 'd1', which has 'low' in another row .and in 1 more row."
    with pytest.raises(at.DataError, match=rf"{found}; expected one value an item(.|\n)*expected a column 'steps'"):
        at.search_skills(log, factors=["level", "steps"])
