"""Upkeep: what keeps a tutor's store in order."""

from __future__ import annotations

import datetime
import os
from dataclasses import replace

from adaptrace.data.times import time_of
from adaptrace.models.base import Progress
from adaptrace.privacy import retention
from adaptrace.privacy.retention import Retention, StudentPlaces
from adaptrace.privacy.rules import RetentionRule
from adaptrace.tutor.incoming import Incoming, student_name
from adaptrace.tutor.keeping import StoreKeeper
from adaptrace.tutor.replay import Replay
from adaptrace.tutor.store.base import Store
from adaptrace.tutor.students import Students
from adaptrace.tutor.verify import Verification, verify


class Upkeep:
    """The calls of a :class:`~adaptrace.Tutor` that are not about teaching: rebuild, verify, snapshot, forget, close."""

    store: Store
    _incoming: Incoming
    _students: Students
    _replay: Replay

    def rebuild(self, *, progress: Progress | None = None) -> int:
        """Make every state again from its events, as after a new model; how many. Others may go on reading and writing.

        ``progress`` is called with the share that is done. If events cannot be read, a StoreError lists them after all other
        students are rebuilt.
        """
        return self._students.rebuild(progress)

    def verify(self, *, names: bool = False) -> Verification:
        """Whether the store is what it should be: file, events, states, decisions. Nothing is changed; others may go on.

        Every event is compared with its checksum, and every stored state with the replay of its events, bit for bit: about 11 µs
        an event of a BKT. What is wrong has a remedy; :meth:`rebuild` mends states.

        Parameters
        ----------
        names
            Name students in the findings; by default ids of events stand for them.

        Raises
        ------
        StoreError
            If the store is closed, or its server is gone.

        Examples
        --------
        >>> import adaptrace as at
        >>> model = at.BKT.from_parameters(["halves"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
        >>> catalog = at.Catalog.from_arrow({"item": ["h1"], "skill": ["halves"]})
        >>> with at.Tutor.open("memory:", model=model, catalog=catalog) as tutor:
        ...     tutor.observe("ana", "h1", 1)
        ...     tutor.verify().ok
        True
        True
        """
        return verify(self.store, self._replay, names=names)

    def snapshot(self, path: str | os.PathLike[str]) -> None:
        """Write a consistent copy of the store as an SQLite file, whole or not at all, while others go on.

        It is read again, and appears only if it holds what the store held.
        """
        self.store.snapshot(path)

    def forget_student(self, student: object) -> int:
        """Remove all that is stored of a student; how many events that were. The model does not change."""
        return self._students.forget(student_name(student))

    def retain(
        self,
        rule: RetentionRule,
        places: StudentPlaces | None = None,
        *,
        time: datetime.datetime | None = None,
        key_file: str | os.PathLike[str] | None = None,
        dry_run: bool = False,
    ) -> Retention:
        """Delete or pseudonymise students who were not active for as long as a rule says, here and in further places.

        Parameters
        ----------
        rule, places, key_file, dry_run
            As :func:`adaptrace.retain` takes them; the store is one of the places.
        time
            The moment as of which the rule is applied, by default now.

        Raises
        ------
        ValueError, DataError, ModelError, StoreError, OutputError
            As :func:`adaptrace.retain` does.

        Examples
        --------
        >>> import adaptrace as at, datetime
        >>> model = at.BKT.from_parameters(["halves"], prior=0.3, learn=0.2, guess=0.1, slip=0.1)
        >>> catalog = at.Catalog.from_arrow({"item": ["h1"], "skill": ["halves"]})
        >>> with at.Tutor.open("memory:", model=model, catalog=catalog) as tutor:
        ...     tutor.observe("ana", "h1", 1, time=datetime.datetime(2024, 2, 1, tzinfo=datetime.UTC))
        ...     tutor.retain(at.RetentionRule(inactive="18mo"), time=datetime.datetime(2026, 2, 1, tzinfo=datetime.UTC))
        True
        Retention(1 students were due: not active since 2024-08-01)
        """
        keeper, places = StoreKeeper("the tutor's store", self.store, self._students.forget), places or StudentPlaces()
        when = time_of(self._incoming.moment(time))
        everywhere = replace(places, stores=(*places.stores, keeper))
        return retention.retain(rule, everywhere, time=when, key_file=key_file, dry_run=dry_run)

    def close(self) -> None:
        """Close the store; a second call does nothing."""
        self.store.close()
