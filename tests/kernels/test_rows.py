"""Grouping, pairs and sequences, against dictionaries."""

from collections import Counter, defaultdict

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import adaptrace as at
from adaptrace.kernels import rows as kernels
from adaptrace.kernels import trie as tries

ROWS = st.lists(
    st.tuples(
        st.integers(0, 4), st.sets(st.integers(0, 3), min_size=1, max_size=3), st.sampled_from([0, 1, 0.5]), st.integers(0, 5)
    ),
    min_size=1,
    max_size=40,
)


def log_of(rows: list[tuple[int, set[int], float, int]]) -> at.Log:
    student, skills, correct, order = zip(*rows, strict=True)
    columns = {"student": student, "item": order, "skills": [list(s) for s in skills], "correct": correct, "order": order}
    return at.Log.from_arrow(pa.table(columns), merge=False)


@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_rows_are_grouped_and_stable_in_time(rows: list[tuple[int, set[int], float, int]]) -> None:
    log = log_of(rows)
    met = {student: place for place, student in reversed(list(enumerate(row[0] for row in rows)))}
    expected = sorted(range(len(rows)), key=lambda row: (met[rows[row][0]], rows[row][3]))
    assert log.source_row.tolist() == expected


@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_pairs_count_opportunities(rows: list[tuple[int, set[int], float, int]]) -> None:
    log = log_of(rows)
    numbers, seen = log.rows, Counter()
    for row, original in enumerate(log.source_row):
        student, skills, _, _ = rows[original]
        for at_entry in range(numbers.skill_start[row], numbers.skill_start[row + 1]):
            skill = int(log.skills[numbers.pair_skill[numbers.pair[at_entry]]].as_py())
            assert skill in skills
            seen[student, skill] += 1
            assert numbers.opportunity[at_entry] == seen[student, skill]


@settings(max_examples=40, deadline=None)
@given(rows=ROWS)
def test_a_trie_counts_every_prefix_of_every_sequence(rows: list[tuple[int, set[int], float, int]]) -> None:
    rows = [(student, {min(skills)}, correct, order) for student, skills, correct, order in rows]
    log = log_of(rows)
    stats = at.Stats.from_log(log)
    sequences = defaultdict(tuple)
    for original in log.source_row:
        student, skills, correct, _ = rows[original]
        sequences[student, min(skills)] += (correct,)
    for skill, name in enumerate(stats.skills.to_pylist()):
        expected = Counter(s[:n] for (_, k), s in sequences.items() if str(k) == name for n in range(1, len(s) + 1))
        begin, end = stats.trie.start[skill : skill + 2]
        prefix: list[tuple[float, ...]] = []
        for node in range(begin, end):
            above = stats.trie.parent[node]
            prefix.append((prefix[above] if above >= 0 else ()) + (stats.outcomes[stats.trie.symbol[node], 0],))
        assert dict(zip(prefix, stats.trie.students[begin:end].tolist(), strict=True)) == dict(expected)


@pytest.mark.parametrize(("time", "first"), [([1, 2, 2, 9], -1), ([1, 3, 2, 9], 2), ([5, 6, 7, 0], -1)])
def test_first_disorder_is_the_row_that_goes_back(time: list[int], first: int) -> None:
    student = np.array([0, 0, 0, 1], np.int32)
    assert kernels.first_disorder(student, np.array(time)) == first


def test_how_many_end_at_each_node_sums_up_to_how_many_pass_through_it() -> None:
    # one skill: 0 -> (1 -> 2, 3), given how many sequences end at each node
    parent, ends = np.array([-1, 0, 1, 0], np.int32), np.array([1.5, 0.25, 2.0, 3.0])
    trie = tries.Trie(np.array([0, 4]), parent, np.zeros(4, np.int32), ends.copy())
    tries.sum_up(trie, 0, 1)
    assert trie.students.tolist() == [6.75, 2.25, 2.0, 3.0]


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, asked=ROWS)
def test_rows_of_a_table_find_their_pair_in_a_log(rows: list[tuple[int, set[int], float, int]], asked) -> None:
    log, table = log_of(asked), sorted((student, skill) for student, skills, *_ in rows for skill in skills)
    names = log.students.to_pylist()
    students, starts = np.unique([student for student, _ in table], return_index=True)
    number = np.array([names.index(each) if each in names else -1 for each in students.tolist()])
    skill = np.array([log.skills.to_pylist().index(each) if each in log.skills.to_pylist() else -1 for _, each in table])
    at_row, pair = np.empty(len(table), np.int64), np.empty(len(table), np.int64)
    found = kernels.match(np.append(starts, len(table)), number, skill, log.rows, at_row, pair)
    owner = np.repeat(names, np.diff(log.rows.pair_start)).tolist()
    pairs = list(zip(owner, log.skills.take(pa.array(log.rows.pair_skill)).to_pylist(), strict=True))
    expected = [(row, pairs.index(each)) for row, each in enumerate(table) if each in pairs]
    assert list(zip(at_row[:found].tolist(), pair[:found].tolist(), strict=True)) == expected


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, minimum=st.integers(1, 4))
def test_no_sequence_of_a_thinned_trie_is_of_few(rows: list[tuple[int, set[int], float, int]], minimum: int) -> None:
    stats = at.BKT().stats(log_of(rows))
    thin, loss = stats.suppressed(minimum)
    ends = thin.trie._replace(students=thin.trie.students.copy())
    tries.take_apart(ends, 0, len(thin.skills))
    assert all(each == 0 or each >= minimum for each in ends.students.tolist())
    tries.sum_up(ends, 0, len(thin.skills))
    np.testing.assert_array_equal(ends.students, thin.trie.students)
    assert loss.kept == thin.responses.sum() <= stats.responses.sum()
    assert thin == stats or minimum > 1


@pytest.mark.parametrize(
    ("names", "may_be"),
    [(["a", "b c"], False), (["a", ""], True), (["a", " b"], True), (["a", "\tb"], True), (["a", "é"], True), ([], False)],
)
def test_a_text_may_be_blank_by_its_first_byte(names: list[str], may_be: bool) -> None:
    encoded = [name.encode() for name in names]
    start = np.cumsum([0, *map(len, encoded)])
    assert kernels.may_be_blank(start, np.frombuffer(b"".join(encoded), np.uint8)) is may_be
