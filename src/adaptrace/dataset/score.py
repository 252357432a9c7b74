"""Score a dataset: mastery of every student and skill of a folder of Parquet, in bounded memory, whole or not at all."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pyarrow as pa

from adaptrace.data import schema
from adaptrace.dataset import incremental as nights
from adaptrace.dataset import state as states
from adaptrace.dataset.job import Job
from adaptrace.dataset.partition import Sweep, budget
from adaptrace.dataset.staging import Work
from adaptrace.dataset.state import Part, State
from adaptrace.dataset.student_keys import split_of
from adaptrace.dataset.survey import Dataset, Layout, sort_of, survey
from adaptrace.errors import DataError, ModelError, Problem
from adaptrace.io.files import write_table
from adaptrace.kernels import parallel
from adaptrace.models import ScoresMastery, require
from adaptrace.models.bkt import BKT

PLAN = 1  # the number of this layout of pieces: a run of another one does not go on


@dataclass(frozen=True)
class Scored:
    """What was done.

    Attributes
    ----------
    responses
        Rows that were read for it: of a nightly increment, tonight's.
    rows
        Students and skills in the output.
    late
        Students who were scored anew, because rows older than their state came in.
    resumed
        Whether an interrupted run was gone on with.
    skipped
        What was wrong in the files that were left out.
    """

    responses: int
    rows: int
    late: int
    resumed: bool
    skipped: tuple[Problem, ...]

    def __str__(self) -> str:
        who = "student with late rows was" if self.late == 1 else "students with late rows were"
        late = f"; {self.late:,} {who} scored anew" if self.late else ""
        bad = len({each.file for each in self.skipped})
        skipped = f"; {bad:,} {'file was' if bad == 1 else 'files were'} left out" if bad else ""
        resumed = "; an interrupted run was gone on with" if self.resumed else ""
        return f"{self.rows:,} students and skills from {self.responses:,} responses{late}{skipped}{resumed}"


def score_dataset(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    model: Any,
    state: str | os.PathLike[str] | None = None,
    memory: str | int = "2GB",
    workers: int | None = None,
    *,
    columns: Mapping[str, str] | None = None,
    time_unit: str | None = None,
    time: datetime.datetime | None = None,
    before: datetime.datetime | None = None,
    changed: bool = False,
    skip_bad: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Scored:
    """Mastery of every student on every skill, from a folder of Parquet to a folder of Parquet.

    The responses may be in any order and partitioned in any way. A run that was killed goes on where it was; the outputs
    appear when they are whole.

    Parameters
    ----------
    source
        A folder (also hive-partitioned), file or glob.
    out
        The folder to make: the columns of ``model.score(log)``, a student's rows together. One that an earlier run made is
        replaced.
    model
        A fitted model that scores; with ``state``, a :class:`~adaptrace.BKT`.
    state
        A folder that remembers every student. If it exists, only files of ``source`` that it has not seen are read, and the
        result is the same, bit for bit, as if everything were scored anew. ``source`` may then be the whole log or just
        tonight's files; rows older than a student's state need the whole log. Needs ``time`` or ``order``.
    memory
        At most so much, e.g. ``"2GB"``.
    workers
        Threads; by default one per core.
    columns, time_unit
        As in :meth:`adaptrace.Log.from_arrow`. One ``event_id`` of two students is two events.
    time
        When mastery is asked for, where it fades with time.
    before
        Leave out responses from this moment on (UTC without a time zone): mastery as it was. Not with ``state``.
    changed
        With ``state``: write only what tonight's rows changed, and all of the students who had late rows.
    skip_bad
        Leave out files that cannot be used, whole, and list them in ``<out>.skipped.csv``; by default they are an error.
    progress
        Called with the share that is done.

    Raises
    ------
    DataError
        Listing what is wrong, in every file.
    ModelError
        If the model cannot score, or the state is another model's.
    OutputError
        If an output cannot be written; nothing has changed then.

    Examples
    --------
    >>> import tempfile, adaptrace as at, pyarrow.parquet as pq
    >>> from pathlib import Path
    >>> from adaptrace.data.sample import sample_path
    >>> model = at.BKT().fit(at.sample_log())
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     print(at.score_dataset(sample_path("responses.parquet"), Path(folder) / "mastery", model))
    ...     pq.read_table(Path(folder) / "mastery").num_rows
    5,001 students and skills from 23,550 responses
    5001
    """
    workers = workers or parallel.cores()
    moment = _moment(before)
    work = Work(Path(out), Path(state) if state is not None else None)
    _check(model, work, source, moment, changed)
    with work.claimed():
        work.recover()
        work.check()
        known = states.load(work.state, model.fingerprint) if work.state is not None else None
        dataset, problems = survey(source, Layout.of(model, columns, time_unit))
        rows = budget(memory, workers, dataset)
        job = Job(model, work, rows, workers, time, moment, known.night + 1 if known is not None else 1)
        _check_columns(dataset, job)
        try:
            done = _score_good(dataset, problems, job, known, changed=changed, skip_bad=skip_bad, progress=progress)
        except DataError:  # once the files are mended, this is of no use
            work.discard()
            raise
        _list_skipped(done.skipped, work.out)
    return done


def _score_good(
    dataset: Dataset,
    problems: list[Problem],
    job: Job,
    known: State | None,
    *,
    changed: bool,
    skip_bad: bool,
    progress: Callable[[float], None] | None,
) -> Scored:
    """Score the files that can be used; if others are not to be left out, they are an error."""
    source = dataset.source
    while skip_bad or not problems:
        try:
            return replace(_score(dataset, job, known, changed, progress), skipped=tuple(problems))
        except DataError as error:
            bad = {problem.file for problem in error.problems}
            if not skip_bad or None in bad:
                raise
            problems += error.problems
            dataset = dataset.only(file for file in dataset.files if file.name not in bad)
            if not dataset.files:
                break
    raise DataError(source, problems)


def _score(dataset: Dataset, job: Job, known: State | None, changed: bool, progress: Callable[[float], None] | None) -> Scored:
    """One run: of everything, or of what the state has not seen."""
    if known is not None:
        fresh = known.fresh(dataset.files, dataset.source)
        if sum(file.rows for file in fresh) <= job.rows * job.workers:
            written, late = nights.score(nights.Tonight.read(dataset, dataset.only(fresh), job, known, changed), progress)
            return Scored(sum(file.rows for file in fresh), written, late, False, ())
        unseen = {each.name for each in known.seen} - {file.name for file in dataset.files}
        if unseen:
            rows = sum(file.rows for file in fresh)
            got, remedy = f"{rows:,} new rows", "give the whole log, or more memory, or fewer files at a time"
            raise DataError(dataset.source, [Problem(got, f"at most {job.rows * job.workers:,} for one night", remedy)])
    return _score_all(dataset, job, progress)


def _score_all(dataset: Dataset, job: Job, progress: Callable[[float], None] | None) -> Scored:
    resumed = job.work.begin(_plan(dataset, job))
    pieces = dataset.pieces(job.rows)
    split = split_of(dataset, pieces, job.rows, job.workers)
    sweep = Sweep(dataset, pieces, split, job.rows, job.work.done, job.workers, job.before, resumable=True)
    done = list(sweep.each(job.use, progress))
    parts = tuple(Part(each["file"], (), each["rows"]) for each in done)
    rows = sum(part.rows for part in parts)
    state = State(job.model.fingerprint, job.night, states.seen(dataset.files), parts, _texts(dataset))
    job.work.finish({"model": job.model.fingerprint, "rows": rows}, state if job.work.state is not None else None)
    return Scored(sum(each["responses"] for each in done), rows, 0, resumed, ())


def _texts(dataset: Dataset) -> tuple[str, ...]:
    kinds = {"student": dataset.types["student"], "skill": dataset.types.get("skill", dataset.types.get("skills"))}
    values = {name: kind.value_type if sort_of(kind) == "lists" else kind for name, kind in kinds.items()}
    return tuple(name for name, kind in values.items() if sort_of(kind) == "text")


def _plan(dataset: Dataset, job: Job) -> dict[str, Any]:
    """What must be the same for a run to go on with what another one left."""
    plan = {
        "plan": PLAN,
        "files": [[file.name, file.identity] for file in dataset.files],
        "layout": [dict(dataset.layout.columns or {}), dataset.layout.time_unit],
        "model": job.model.fingerprint,
        "rows": job.rows,
        "at": str(job.time),
        "before": job.before,
        "state": [str(job.work.state), job.night],
    }
    return dict(json.loads(json.dumps(plan)))


# ---- checks and notes -------------------------------------------------------


def _check(model: Any, work: Work, source: Any, before: int | None, changed: bool) -> None:
    require(model, ScoresMastery, "score")
    if work.state is not None and not isinstance(model, BKT):
        raise ModelError(f"a state of {type(model).__name__}: expected a BKT; score without a state")
    if work.state is not None and before is not None:
        raise ValueError("before and state: got both; expected one: a state holds all it has seen")
    if changed and work.state is None:
        raise ValueError("changed: got True without a state; expected one: it says what there was before")
    home, out = Path(source).resolve(), work.out.resolve()
    state = work.state.resolve() if work.state is not None else None
    for place in (out, state):
        if place is not None and (place == home or home in place.parents):
            raise ValueError(f"{place}: lies in the log that is read; expected a folder elsewhere")
    if state is not None and (out == state or out in state.parents or state in out.parents):
        raise ValueError(f"{out}: got one folder for the output and the state; expected two, side by side")


def _check_columns(dataset: Dataset, job: Job) -> None:
    names = {"time"} if job.before is not None else {"time", "order"} if job.work.state is not None else set()
    if job.before is not None and "time" in dataset.types and sort_of(dataset.types["time"]) != "times":
        got = f"{sort_of(dataset.types['time'])} in column 'time'"
        raise DataError(dataset.source, [Problem(got, "timestamps, which before needs", "convert the column")])
    if names and not names & dataset.types.keys():
        got, why = f"the columns {', '.join(dataset.types)}", "before" if job.before is not None else "a state"
        expected = f"column {' or '.join(sorted(names, reverse=True))}, which {why} needs"
        raise DataError(dataset.source, [Problem(got, expected, "map it with columns=")])


def _moment(moment: datetime.datetime | None) -> int | None:
    if moment is None:
        return None
    moment = moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
    return int(pa.scalar(moment, schema.TIME).cast(pa.int64()).as_py())


def _list_skipped(problems: Sequence[Problem], out: Path) -> None:
    """The list of files that were left out, beside the output; none if there are none."""
    path = out.with_name(f"{out.name}.skipped.csv")
    if problems:
        rows = [{"file": each.file, "problem": str(replace(each, file=None))} for each in problems]
        write_table(pa.Table.from_pylist(rows, pa.schema([("file", pa.string()), ("problem", pa.string())])), path)
    else:
        path.unlink(missing_ok=True)
