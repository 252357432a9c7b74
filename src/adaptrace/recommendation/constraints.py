"""Constraints: the options that say which items may be recommended, whatever the policy.

What they allow is computed in :mod:`adaptrace.recommendation.constraint_rules`.
"""

from __future__ import annotations

import warnings
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from adaptrace.data.catalog import Catalog
from adaptrace.models.student import RECENT
from adaptrace.recommendation.catalog_index import FIELDS, CatalogIndex

Names = Mapping[str, Sequence[str]]  # field -> values
NAMING = ("pinned", "blocked", "only", "quota")  # options with values of fields
EXAMPLES = {"quota": "{'kind': {'video': 0.25}}", "in_a_row": "{'kind': 3}"} | dict.fromkeys(NAMING[:3], "{'item': ['i1']}")


@dataclass(frozen=True, kw_only=True)
class Constraints:
    """Which items may be recommended: pins, blocks, variety, quotas, time.

    Options name values of the fields ``"item"``, ``"skill"``, ``"kind"``, ``"provider"`` and ``"pathway"``. An item of several
    skills has all of them as values.

    A :class:`~adaptrace.Recommender` compares the names with its catalog. A skill, kind, provider or pathway that is not in the
    catalog is a ``ValueError`` that names the nearest one. An item that is not in the catalog is only a ``UserWarning``: items
    are withdrawn, and that must not stop recommendations. :meth:`known_to` removes unknown names, e.g. where many catalogs
    share constraints.

    Parameters
    ----------
    zone
        Only items for unmastered skills whose prerequisites are mastered (the *zone*). When there are none, all items, for
        review; with ``only``, when the skills of those items are all mastered, those items.
    pinned
        Field -> values whose items come first, also outside the zone; the other constraints still hold. A pinned item counts
        until it is answered, a pinned skill until it is mastered, other pins always.
    blocked
        Field -> values that are never recommended.
    only
        Field -> values: nothing else is recommended.
    no_repeat
        An item is not recommended again within this many responses (at most 100).
    exposure_cap
        The largest share of all recommendations that an item may have, e.g. 0.2: the maximum exposure rate of adaptive tests. A
        :class:`~adaptrace.Tutor` counts recommendations; otherwise pass ``exposed=`` to ``recommend``.
    quota
        Field -> value -> the largest share of a session's (latest 100) responses, e.g. ``{"kind": {"video": 0.25}}``;
        rounded up, so each value may come once.
    in_a_row
        Field -> how many responses in a row may share a value, e.g. ``{"kind": 3}``. Items of several skills share a skill only
        if all of them practise it.
    interleave
        Never the same skill twice in a row: ``in_a_row={"skill": 1}``.
    minutes
        Time budget of a session: the expected minutes of the answered items and of the next item must not exceed it.
    session_gap
        Minutes without a response after which a new session begins.

    Raises
    ------
    ValueError
        Listing every option that is wrong.

    Examples
    --------
    >>> import adaptrace as at
    >>> at.Constraints(blocked={"provider": ["Elsewhere"]}, no_repeat=5, in_a_row={"kind": 3}, minutes=20).no_repeat
    5
    """

    zone: bool = True
    pinned: Names = field(default_factory=dict)
    blocked: Names = field(default_factory=dict)
    only: Names = field(default_factory=dict)
    no_repeat: int = 0
    exposure_cap: float | None = None
    quota: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    in_a_row: Mapping[str, int] = field(default_factory=dict)
    interleave: bool = False
    minutes: float | None = None
    session_gap: float = 30.0

    def __post_init__(self) -> None:
        if problems := [*self._bad_fields(), *self._bad_numbers()]:
            raise ValueError("; ".join(problems))
        for option in NAMING[:3]:  # text, as everywhere: item 1 is item "1"
            named = {name: tuple(map(str, values)) for name, values in getattr(self, option).items()}
            object.__setattr__(self, option, named)
        quota = {name: {str(value): share for value, share in shares.items()} for name, shares in self.quota.items()}
        object.__setattr__(self, "quota", quota)

    def _bad_fields(self) -> Iterator[str]:
        for option in (*NAMING, "in_a_row"):
            given = getattr(self, option)
            if not isinstance(given, Mapping):
                yield f"{option}: got {given!r}; expected fields, e.g. {EXAMPLES[option]}"
                continue
            for name, values in given.items():
                if name not in FIELDS:
                    yield f"{option}: got the field '{name}'; expected one of {', '.join(FIELDS)}"
                elif option == "quota" and not isinstance(values, Mapping):
                    yield f"quota: got {name}={values!r}; expected shares of values, e.g. {EXAMPLES[option]}"
                elif option in NAMING[:3] and (isinstance(values, str) or not isinstance(values, Collection)):
                    yield f"{option}: got {name}={values!r}; expected a list, e.g. {{'{name}': ['{values}']}}"

    def _bad_numbers(self) -> Iterator[str]:
        if not _whole(self.no_repeat, 0, RECENT):
            yield f"no_repeat: got {self.no_repeat}; expected 0 to {RECENT} responses"
        if self.exposure_cap is not None and not (_number(self.exposure_cap) and 0.0 < self.exposure_cap <= 1.0):
            yield f"exposure_cap: got {self.exposure_cap}; expected a share above 0, at most 1"
        for name, n in self.in_a_row.items() if isinstance(self.in_a_row, Mapping) else ():
            if not _whole(n, 1, RECENT):
                yield f"in_a_row: got {name}={n!r}; expected 1 to {RECENT} responses"
        for name, shares in self.quota.items() if isinstance(self.quota, Mapping) else ():
            for value, share in shares.items() if isinstance(shares, Mapping) else ():
                if not (_number(share) and 0.0 <= share <= 1.0):
                    yield f"quota: got {name}, {value}: {share}; expected a share, 0 to 1"
        if self.minutes is not None and not (_number(self.minutes) and self.minutes > 0.0):
            yield f"minutes: got {self.minutes!r}; expected more than 0 minutes"
        if not (_number(self.session_gap) and self.session_gap > 0.0):
            yield f"session_gap: got {self.session_gap!r}; expected more than 0 minutes"

    # ---- names ----

    def check(self, catalog_index: CatalogIndex) -> None:
        """Compare the names in these constraints with those of a catalog.

        Raises
        ------
        ValueError
            Listing every skill, kind, provider and pathway that is not in the catalog. Unknown items are a ``UserWarning``.
        """
        wrong: list[str] = []
        missing: list[str] = []
        for option in NAMING:
            for name, values in getattr(self, option).items():
                unknown = [value for value in values if not catalog_index.has(name, value)]
                (missing if name == "item" else wrong).extend(
                    _unknown_name(option, name, value, catalog_index) for value in unknown
                )
        if missing:
            warnings.warn("; ".join(missing), stacklevel=3)
        if wrong:
            raise ValueError("; ".join([*wrong, "correct them, or leave them out with known_to(catalog)"]))

    def known_to(self, catalog: Catalog) -> Constraints:
        """The same constraints without the names that are not in a catalog; ``only`` still allows nothing else.

        Examples
        --------
        >>> import adaptrace as at
        >>> catalog = at.Catalog.from_arrow({"item": ["h1"], "skill": ["halves"]})
        >>> at.Constraints(blocked={"item": ["h1", "h0"], "kind": ["exam"]}).known_to(catalog).blocked
        {'item': ('h1',), 'kind': ()}
        """
        catalog_index = CatalogIndex(catalog)
        kept: dict[str, Any] = {
            option: {
                name: tuple(value for value in values if catalog_index.has(name, value))
                for name, values in getattr(self, option).items()
            }
            for option in NAMING[:3]
        }
        quota = {
            name: {value: share for value, share in shares.items() if catalog_index.has(name, value)}
            for name, shares in self.quota.items()
        }
        return replace(self, quota=quota, **kept)


def _number(value: object) -> bool:
    return isinstance(value, int | float | np.number) and not isinstance(value, bool)


def _whole(value: Any, low: int, high: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and bool(low <= value <= high)


def _unknown_name(option: str, name: str, value: str, catalog_index: CatalogIndex) -> str:
    near = catalog_index.nearest(name, value)
    return f"{option}: the catalog has no {name} {value!r}" + (f"; did you mean {near!r}?" if near else "")
