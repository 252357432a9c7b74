"""A response as a caller gives it: checked, and its skills and kind looked up; and the responses of a log."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Iterator

import pyarrow as pa

from adaptrace.data import schema
from adaptrace.data.catalog import Catalog
from adaptrace.data.log import Log
from adaptrace.data.names import name_of, names_of
from adaptrace.data.times import moment_of as moment_of
from adaptrace.models.base import Model, Response, levels_of


class ResponseChecker:
    """Checks what a caller says of a response, and looks up what they leave out.

    Parameters
    ----------
    model
        Knows the levels of kinds.
    catalog
        Knows the skills and the kind of an item.

    Examples
    --------
    >>> import adaptrace as at
    >>> checker = ResponseChecker(at.BKT(levels={"project": 5}), None)
    >>> checker.response("q1", level=3, kind="project", skills=["halves"])
    Response(item='q1', skills=('halves',), kind='project', correct=0.75, moment=None)
    """

    __slots__ = ("catalog", "model")

    def __init__(self, model: Model, catalog: Catalog | None) -> None:
        self.model, self.catalog = model, catalog

    def response(
        self,
        item: object,
        correct: float | None = None,
        *,
        level: int | None = None,
        kind: str | None = None,
        time: datetime.datetime | None = None,
        skills: Iterable[object] | None = None,
    ) -> Response:
        """A checked response; the parameters and the errors are those of :meth:`adaptrace.Student.observe`."""
        name = name_of(item, "item")
        kind = self.kind(name, kind)
        return Response(name, self.skills(name, skills), kind, self._outcome(correct, level, kind), moment_of(time))

    def kind(self, item: str, kind: str | None) -> str:
        """The kind that is given, else the catalog's, else practice."""
        if kind:
            return name_of(kind, "kind")
        known = self.catalog.by_name.get(item) if self.catalog is not None else None
        return (known and known.kind) or schema.PRACTICE

    def skills(self, item: str, skills: Iterable[object] | None) -> tuple[str, ...]:
        """The skills that are given, else the catalog's: as text, sorted, each once."""
        if isinstance(skills, str):
            expected = f"expected a list, e.g. skills=[{skills!a}]"
            raise ValueError(f"the skills of item {item!r}: got the text {skills!a}; {expected}")
        if skills is not None and not isinstance(skills, Iterable):
            raise ValueError(f"the skills of item {item!r}: got a {type(skills).__name__}; expected a list of names")
        if skills is not None:
            names = tuple(sorted({*names_of(skills, "skill")}))
            if not names:
                raise ValueError(f"the skills of item {item!r}: got an empty list; expected at least one")
            return names
        if self.catalog is None:
            raise ValueError(f"the skills of item {item!r}: got none; pass skills=[...], or make Student(model, catalog)")
        return tuple(sorted(self.catalog.item(item).skills))

    def _outcome(self, correct: float | None, level: int | None, kind: str) -> float:
        if level is not None:
            if correct is not None:
                raise ValueError("got correct and level; expected one of them")
            return self._share(level, kind)
        if correct is None:
            raise ValueError(
                f"got no outcome; expected correct=0 or 1, a fraction, or level= for a kind with levels (kind {kind!r})"
            )
        number = _number(correct)
        if not 0.0 <= number <= 1.0:
            raise ValueError(f"correct: got {correct!a}; expected 0, 1 or a fraction between; divide points by the most possible")
        return number

    def _share(self, level: int, kind: str) -> float:
        """A level as a share of the highest one of its kind."""
        levels = levels_of(self.model)
        highest = levels.get(kind, 0) - 1
        if highest < 1:
            known = ", ".join(levels) or "none"
            raise ValueError(f"level: got {level} of kind {kind!r}; the model knows levels of {known}: give correct instead")
        number = _number(level)
        if not (0.0 <= number <= highest and number.is_integer()):
            raise ValueError(f"level: got {level!a} of kind {kind!r}; expected a whole number, 0 to {highest}")
        return int(number) / highest


def responses_of(log: Log, begin: int, end: int) -> Iterator[tuple[str, Response]]:
    """The group and the response of each of rows [begin, end) of a log, in order; a log is checked already."""
    wanted = ("item", log.skill_column, "correct", "kind", "group", "time")
    table = log.table.slice(begin, end - begin).select([name for name in wanted if name in log.table.column_names])
    if "time" in table.column_names:
        table = table.set_column(table.column_names.index("time"), "time", table["time"].cast(pa.int64()))
    for row in table.to_pylist():
        skills = row[log.skill_column]
        named = tuple(sorted(set(map(str, skills)))) if isinstance(skills, list) else (str(skills),)
        kind = str(row.get("kind") or schema.PRACTICE)
        yield str(row.get("group") or ""), Response(str(row["item"]), named, kind, float(row["correct"]), row.get("time"))


def _number(value: object) -> float:
    """A value as a number; NaN, which lies in no range, where it is none."""
    try:
        return float(value)  # type: ignore[arg-type]  # whatever a caller gave
    except (TypeError, ValueError, OverflowError):
        return math.nan
