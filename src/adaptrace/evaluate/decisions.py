"""A table of logged decisions with the policy to be valued: every problem is found here, and all are reported at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import ArrayLike, NDArray

from adaptrace.data import checks, schema
from adaptrace.data.checks import Checked
from adaptrace.data.log import Log
from adaptrace.data.names import check_keys
from adaptrace.data.schema import Column
from adaptrace.errors import DataError, Problem
from adaptrace.io import arrow_check

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

Row = Mapping[str, Any]

SUM_TOLERANCE = 1e-6  # of probabilities that should sum to 1
LOG_THEM = "log the chance of every candidate when deciding: without it another policy cannot be valued"
WHOLE = "give every candidate its probability, also a zero, in the order of candidates"
SUPPORT = "let the target choose among items that the logging policy sometimes chose, or log more exploration"


class ListColumn(NamedTuple):
    """The lists of all rows, one after another."""

    values: Any
    size: Integers  # (n,)

    @property
    def row(self) -> Integers:
        """The row of each value, (n_values,)."""
        return np.repeat(np.arange(len(self.size)), self.size)

    def total(self, values: Any) -> Floats:
        """(n,) sums of each row's values."""
        return np.bincount(self.row, values, len(self.size)).astype(float)

    def text(self, row: int) -> str:
        """The list of a row, for an error."""
        first = int(self.size[:row].sum())
        values = self.values[first : first + int(self.size[row])].tolist()
        shown = ", ".join(str(each) for each in values[:6])
        return f"[{shown}{', ...' if len(values) > 6 else ''}]"


@dataclass(frozen=True)
class Decisions:
    """A log of decisions with its target, checked."""

    student: Integers  # (n,) codes from 0
    step: Integers  # (n,) from 0 within each student
    reward: Floats  # (n,)
    row: Integers  # (m,) decision of each candidate
    chosen: Integers  # (n,) which of the m was chosen
    propensities: Floats  # (m,)
    target: Floats  # (m,)
    expected: Floats  # (m,) zeros where there is no model
    notes: tuple[str, ...]

    @property
    def students(self) -> int:
        """How many."""
        return int(self.student.max()) + 1

    def by_student(self, values: Floats) -> Floats:
        """(students,) sums."""
        return np.bincount(self.student, values, self.students).astype(float)

    def steps(self) -> list[Integers]:
        """The rows of every step."""
        order = np.argsort(self.step, kind="stable")
        return np.split(order, np.cumsum(np.bincount(self.step))[:-1])


def _check_lists(array: pa.Array) -> Checked:
    """A list in every row, none empty or null."""
    if not pa.types.is_list(array.type):
        return checks.wrong_type(array, "a list in every row", "give every decision the list of all its candidates")
    empty = pc.fill_null(pc.equal(pc.list_value_length(array), 0), True)
    return checks.first_bad(array, empty, "at least one candidate in every row", "drop rows in which nothing was decided")


CANDIDATES = Column("candidates", "every item that could have been chosen; a list a row", _check_lists, ("options",))
PROPENSITIES = Column("propensities", "the chance that each candidate had; a list a row", _check_lists, ("propensity",))
DECISIONS = (schema.STUDENT, schema.ITEM, CANDIDATES, PROPENSITIES, schema.TIMES, schema.ORDER)
NEEDED = ("student", "item", "candidates", "propensities")


class DecisionReader:
    """Reads a table of decisions, the rewards and the policies; collects every problem."""

    def __init__(self, table: pa.Table, columns: Mapping[str, str] | None) -> None:
        self.table = table
        self.found = schema.resolve(table.column_names, DECISIONS, columns)
        if not table.num_rows:
            raise DataError("decisions", [Problem("no rows", "one for every decision", "check what filtered them")])
        missing = schema.missing(table.column_names, DECISIONS, self.found, NEEDED)
        self.problems = [replace(each, remedy=LOG_THEM) if each.column == "propensities" else each for each in missing]
        self.arrays: dict[str, pa.Array] = {}
        for column in DECISIONS:
            name = self.found.get(column.name)
            if table.column_names.count(name) == 1:
                checked = schema.check(column, table[name])
                self.problems += [replace(each, column=name) for each in checked.problems]
                self.arrays |= {} if checked.array is None else {column.name: checked.array}

    def flag(self, column: str, bad: NDArray[np.bool_], got: Callable[[int], str], expected: str, remedy: str) -> bool:
        """Note the first bad row; whether there was one."""
        if bad.any():
            row = int(bad.argmax())
            name = self.found.get(column, column)
            self.problems.append(Problem(got(row), expected, remedy, name, row + 1, int(bad.sum()) - 1))
        return bool(bad.any())

    def candidates(self) -> ListColumn | None:
        """The names of the candidates."""
        array = self.arrays.get("candidates")
        if array is None:
            return None
        names = _ragged(array)
        absent = names.total(pc.is_null(names.values).to_numpy(zero_copy_only=False)) > 0
        if self.flag("candidates", absent, names.text, "a name for every candidate", "drop the nameless, with their propensity"):
            return names
        keys = check_keys(names.values)
        self.problems += [replace(each, column="candidates", row=None) for each in keys.problems]
        return None if keys.array is None else names._replace(values=schema.as_text(keys.array))

    def numbers(self, name: str, given: Any, names: ListColumn | None) -> ListColumn | None:
        """ListColumn of numbers as long as those of the candidates; null is NaN."""
        array = self._given(name, given)
        if array is None:
            return None
        if not (pa.types.is_list(array.type) and _is_number(array.type.value_type)):
            self.problems.append(Problem(f"type {array.type}", "a list of numbers for every decision", WHOLE, name))
            return None
        lists = _ragged(array.cast(pa.list_(pa.float64()), safe=False))
        if self._wrong_length(name, len(lists.size)) or names is None:
            return None
        wrong = lists.size != names.size
        text = "{:,} numbers for {:,} candidates".format
        if self.flag(name, wrong, lambda row: text(lists.size[row], names.size[row]), "one for every candidate", WHOLE):
            return None
        return lists._replace(values=lists.values.to_numpy(zero_copy_only=False))

    def chances(self, name: str, lists: ListColumn | None, remedy: str) -> None:
        """Note values that are no probabilities, and rows that do not sum to 1."""
        if lists is None:
            return
        bad = lists.total(~((lists.values >= 0.0) & (lists.values <= 1.0))) > 0
        self.flag(name, bad, lists.text, "probabilities from 0 to 1", remedy)
        sums = lists.total(lists.values)
        off = ~bad & (np.abs(sums - 1.0) > SUM_TOLERANCE)
        self.flag(name, off, lambda row: f"probabilities that sum to {sums[row]:.7g}", "a sum of 1 in every row", remedy)

    def chosen(self, names: ListColumn | None, propensities: ListColumn | None) -> Integers:
        """(n,) where each chosen item stands among all candidates."""
        if names is None or "item" not in self.arrays:
            return np.empty(0, np.int64)
        items = schema.as_text(self.arrays["item"])
        same = pc.equal(schema.as_text(names.values), items.take(pa.array(names.row)))
        hit = pc.fill_null(same, False).to_numpy(zero_copy_only=False)
        count = names.total(hit)
        text = "{!r}{}".format
        absent, twice = (lambda row: text(items[row].as_py(), "")), (lambda row: text(items[row].as_py(), " more than once"))
        self.flag("item", count == 0, absent, "one of the candidates of its row", "log every item that could have been chosen")
        self.flag("candidates", count > 1, twice, "every candidate once", "add up the propensities of the repeated one")
        if propensities is not None:
            never = names.total(hit & (propensities.values == 0.0)) > 0
            self.flag("propensities", never, lambda row: f"0 for {items[row].as_py()!r}, which was chosen", "above 0", LOG_THEM)
        return np.flatnonzero(hit).astype(np.int64)

    def support(self, propensities: ListColumn | None, target: ListColumn | None) -> None:
        """Note a target that chooses items which the logging policy never chose."""
        if propensities is None or target is None:
            return
        mass = target.total(np.where(propensities.values == 0.0, np.nan_to_num(target.values), 0.0))
        if not (mass > 0).any():
            return
        count, share = int((mass > 0).sum()), mass.sum() / len(mass)
        got = f"probability on candidates of propensity 0 (in {count:,} of {len(mass):,} rows, {share:.2%} of all probability)"
        expected, remedy = "none where the logging policy never chose", SUPPORT
        if (propensities.total(propensities.values == 1.0) > 0).all():
            got = f"another policy than the logged one, which left nothing to chance: every propensity is 0 or 1; {got}"
            expected, remedy = "a logging policy that tries what the target would choose", "log exploration first"
        self.problems.append(Problem(got, expected, remedy, "target", int((mass > 0).argmax()) + 1))

    def rewards(self, given: str | ArrayLike) -> Floats:
        """(n,) finite numbers."""
        array = self._given("reward", given)
        if array is None or self._wrong_length("reward", len(array)):
            return np.empty(0)
        if not _is_number(array.type):
            self.problems.append(Problem(f"type {array.type}", "a number for every decision", "cast it to numbers", "reward"))
            return np.empty(0)
        values = np.asarray(array.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False), float)
        remedy = "drop decisions whose reward is not known, if that does not depend on what was chosen"
        self.flag("reward", ~np.isfinite(values), lambda row: str(values[row]), "a finite number", remedy)
        return values

    def order(self, horizon: str) -> tuple[Integers, Integers, tuple[str, ...]]:
        """The student's code and the step of every row, and a note if no column gives the order."""
        student = schema.as_text(self.arrays["student"]).dictionary_encode().indices.to_numpy().astype(np.int64)
        times = [self.arrays[name].cast(pa.int64()).to_numpy() for name in ("order", "time") if name in self.arrays]
        place = np.lexsort([np.arange(len(student)), *times, student])
        start = np.cumsum(np.bincount(student)) - np.bincount(student)
        step = np.empty(len(student), np.int64)
        step[place] = np.arange(len(student)) - start[student[place]]
        unordered = horizon == "student" and not times
        return student, step, ("no time or order column: decisions were taken in the order of the rows",) if unordered else ()

    def raise_problems(self) -> None:
        """Raise all problems, if there are any."""
        if self.problems:
            raise DataError("decisions", self.problems)

    def _given(self, name: str, given: Any) -> pa.Array | None:
        """An argument as an array; a column, where it is the name of one."""
        problem = Problem(f"'{given}', and columns {', '.join(self.table.column_names)}", "a column's name", "correct it", name)
        try:
            if not isinstance(given, str):
                return _array(given)
            if given in self.table.column_names:
                return schema.plain(schema.combined(self.table[given]))
        except DataError as error:
            got = error.problems[0].got if isinstance(given, Iterable) else repr(given)
            remedy = "pass its chance of every candidate, row by row, or a function of the row"
            problem = Problem(got, "numbers, or lists of numbers", remedy, name)
        self.problems.append(problem)
        return None

    def _wrong_length(self, name: str, length: int) -> bool:
        """Note an argument without one entry for each decision; whether it is one."""
        n: int = self.table.num_rows
        if length != n:
            self.problems.append(Problem(f"{length:,} rows for {n:,} decisions", "one for each", "pass the same rows", name))
        return length != n


def read_decisions(
    table: pa.Table, reward: str | ArrayLike, target: Any, expected: Any, columns: Mapping[str, str] | None, horizon: str
) -> Decisions:
    """Check everything; raise all problems at once."""
    reader = DecisionReader(table, columns)
    names = reader.candidates()
    logged = reader.numbers("propensities", reader.arrays["propensities"], names) if "propensities" in reader.arrays else None
    if callable(target):  # it gets valid decisions only
        reader.raise_problems()
        target = _asked(table, target, reader.found, reward)
    wanted = reader.numbers("target", target, names)
    model = None if expected is None else reader.numbers("expected", expected, names)
    reader.chances("propensities", logged, LOG_THEM)
    reader.chances("target", wanted, WHOLE)
    if model is not None:
        unknown = model.total(~np.isfinite(model.values)) > 0
        reader.flag("expected", unknown, model.text, "finite numbers", "give every candidate an expected reward, if a rough one")
    rewards, chosen = reader.rewards(reward), reader.chosen(names, logged)
    reader.support(logged, wanted)
    reader.raise_problems()
    assert names is not None
    assert logged is not None
    assert wanted is not None
    student, step, notes = reader.order(horizon)
    expected_rewards = np.zeros(len(names.row)) if model is None else model.values
    return Decisions(student, step, rewards, names.row, chosen, logged.values, wanted.values, expected_rewards, notes)


def table_of(decisions: Any) -> pa.Table:
    """Any Arrow data, or the table of a log."""
    decisions = decisions.table if isinstance(decisions, Log) else decisions
    return arrow_check.imported(decisions, "decisions")


def _asked(table: pa.Table, target: Callable[[Row], ArrayLike], found: Mapping[str, str], reward: Any) -> list[Floats]:
    """The target's probabilities for every row, given without the chosen item and the reward."""
    hidden = {found.get("item"), reward if isinstance(reward, str) else None}
    rows = table.select([name for name in table.column_names if name not in hidden]).to_pylist()
    return [np.asarray(target(row), float) for row in rows]


def _array(given: Any) -> pa.Array:
    """Numbers, or lists of them, as an array."""
    return schema.plain(schema.as_array(list(given) if isinstance(given, np.ndarray) and given.ndim > 1 else given))


def _ragged(array: pa.Array) -> ListColumn:
    return ListColumn(array.flatten(), pc.fill_null(pc.list_value_length(array), 0).to_numpy().astype(np.int64))


def _is_number(kind: pa.DataType) -> bool:
    sorts = (pa.types.is_floating, pa.types.is_integer, pa.types.is_boolean, pa.types.is_decimal)
    return any(sort(kind) for sort in sorts)
