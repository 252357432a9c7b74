"""Score a dataset: mastery of every student and skill of a folder of Parquet, in bounded memory, whole or not at all."""

from __future__ import annotations

import datetime
import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow as pa

from adaptrace.data.log import Log
from adaptrace.data.times import moment_of
from adaptrace.dataset import incremental
from adaptrace.dataset import state as states
from adaptrace.dataset.dataset import Dataset, ReadOptions, sort_of
from adaptrace.dataset.partition import Partition, rows_of_a_log
from adaptrace.dataset.run import ReadingNotes, Run, Scored, states_and_mastery
from adaptrace.dataset.staging import FILES, STATE, Staging
from adaptrace.dataset.state import Manifest, StatePart
from adaptrace.dataset.survey import survey
from adaptrace.errors import DataError, ModelError, Problem
from adaptrace.io.files import write_table
from adaptrace.kernels import parallel
from adaptrace.models import ScoresMastery, require
from adaptrace.models.bkt import BKT

PLAN = 2  # the number of this layout of pieces: a run of another one is not resumed


def score_dataset(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    model: Any,
    state: str | os.PathLike[str] | None = None,
    memory: str | int = "2GB",
    workers: int | None = None,
    columns: Mapping[str, str] | None = None,
    time_unit: str | None = None,
    merge: bool = True,
    time: datetime.datetime | None = None,
    before: datetime.datetime | None = None,
    changed: bool = False,
    skip_bad: bool = False,
    progress: Callable[[float], None] | None = None,
) -> Scored:
    """Mastery of every student on every skill, from a folder of Parquet to a folder of Parquet.

    The responses may be in any order and partitioned in any way. A run that was killed is resumed where it was; the outputs
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
        the new files; rows older than a student's state need the whole log. Needs ``time`` or ``order``.
    memory
        At most so much, e.g. ``"2GB"``.
    workers
        Threads; by default one per core.
    columns, time_unit, merge
        As in :meth:`adaptrace.Log.from_arrow`. One ``event_id`` of two students is two events.
    time
        When mastery is asked for, where it fades with time.
    before
        Leave out responses from this moment on (UTC without a time zone): mastery as it was. Not with ``state``.
    changed
        With ``state``: write only what the new rows changed, and all of the students who had late rows.
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
    ...     print(at.score_dataset(sample_path("responses.parquet"), Path(folder) / "mastery", model=model))
    ...     pq.read_table(Path(folder) / "mastery").num_rows
    5,001 students and skills from 23,550 responses
    5001
    """
    workers = workers or parallel.cores()
    staging = Staging(Path(out), Path(state) if state is not None else None)
    _check_options(model, staging, Path(source), before=before, changed=changed)
    with staging.locked():
        staging.recover()
        staging.check()
        previous = states.load(staging.state, model.fingerprint) if staging.state is not None else None
        dataset, problems = survey(source, ReadOptions.of(model, columns=columns, time_unit=time_unit, merge=merge))
        run = Run(
            dataset=dataset,
            model=model,
            staging=staging,
            previous=previous,
            log_rows=rows_of_a_log(dataset, memory=memory, workers=workers),
            workers=workers,
            time=time,
            before=moment_of(before),
            changed=changed,
            progress=progress,
        )
        _check_columns(run)
        try:
            scored = _score_usable_files(run, problems, skip_bad=skip_bad)
        except DataError:
            staging.discard()  # once the files are mended, what was done with them is of no use
            raise
        _list_skipped(scored.skipped, staging.out)
    return scored


# ---- checks -----------------------------------------------------------------


def _check_options(model: Any, staging: Staging, source: Path, *, before: datetime.datetime | None, changed: bool) -> None:
    require(model, ScoresMastery, "score")
    if staging.state is not None and not isinstance(model, BKT):
        raise ModelError(f"a state of {type(model).__name__}: expected a BKT; score without a state")
    if staging.state is not None and before is not None:
        raise ValueError("before and state: got both; expected one: a state holds all it has seen")
    if changed and staging.state is None:
        raise ValueError("changed: got True without a state; expected one: it says what there was before")
    home, out = source.resolve(), staging.out.resolve()
    state = staging.state.resolve() if staging.state is not None else None
    for place in (out, state):
        if place is not None and (place == home or home in place.parents):
            raise ValueError(f"{place}: lies in the log that is read; expected a folder elsewhere")
    if state is not None and (out == state or out in state.parents or state in out.parents):
        raise ValueError(f"{out}: got one folder for the output and the state; expected two, side by side")


def _check_columns(run: Run) -> None:
    types, source = run.dataset.types, run.dataset.source
    need = {"time"} if run.before is not None else {"time", "order"} if run.staging.state is not None else set()
    if run.before is not None and "time" in types and sort_of(types["time"]) != "times":
        got = f"{sort_of(types['time'])} in column 'time'"
        raise DataError(source, [Problem(got, "timestamps, which before needs", "convert the column")])
    if need and not need & types.keys():
        got, why = f"the columns {', '.join(types)}", "before" if run.before is not None else "a state"
        expected = f"column {' or '.join(sorted(need, reverse=True))}, which {why} needs"
        raise DataError(source, [Problem(got, expected, "map it with columns=")])


# ---- the work ---------------------------------------------------------------


def _score_usable_files(run: Run, problems: list[Problem], *, skip_bad: bool) -> Scored:
    """Score the files that can be used; where others are not to be left out, they are an error."""
    while skip_bad or not problems:
        try:
            return replace(_score(run), skipped=tuple(problems))
        except DataError as error:
            bad = {problem.file for problem in error.problems}
            if not skip_bad or None in bad:
                raise
            problems += error.problems
            run = replace(run, dataset=run.dataset.only(file for file in run.dataset.files if file.name not in bad))
            if not run.dataset.files:
                break
    raise DataError(run.dataset.source, problems)


def _score(run: Run) -> Scored:
    """Score what the state has not seen, if it fits into memory, or else everything."""
    previous = run.previous
    if previous is None:
        return _score_everything(run)
    run = replace(run, dataset=_named_alike(run.dataset, previous.texts))
    new = run.dataset.only(previous.new_files(run.dataset))
    most, became = run.log_rows * run.workers, sorted(set(_text_columns(run.dataset)) - set(previous.texts))
    if new.rows <= most and not became:
        return incremental.score(run, new)
    if {each.name for each in previous.seen} - {file.name for file in run.dataset.files}:
        remedy = "give the whole log, or more memory, or fewer files at a time"
        problems = [Problem(f"text in column '{name}'", "whole numbers as in the state", "give the whole log") for name in became]
        problems = problems or [Problem(f"{new.rows:,} new rows", f"at most {most:,} at a time", remedy)]
        raise DataError(new.source, problems)
    return _score_everything(run)


def _named_alike(dataset: Dataset, texts: Sequence[str]) -> Dataset:
    """A dataset whose names are text where those of a state are."""
    kinds = dict(dataset.types)
    for name in {"student", "skill", "skills"} & kinds.keys():
        if name.removesuffix("s") in texts:
            kinds[name] = pa.list_(pa.string()) if sort_of(kinds[name]) == "lists" else pa.string()
    return replace(dataset, types=kinds)


def _score_everything(run: Run) -> Scored:
    resumed = run.staging.begin(_plan(run))
    partition = Partition.of(
        run.dataset, folder=run.staging.done, log_rows=run.log_rows, workers=run.workers, before=run.before, resumable=True
    )
    done = list(partition.each_log(partial(_score_log, run), progress=run.progress))
    parts = tuple(StatePart(each["file"], (), each["rows"]) for each in done)
    rows = sum(part.rows for part in parts)
    seen, texts = states.seen(run.dataset.files), _text_columns(run.dataset)
    state = Manifest(run.model.fingerprint, run.increment, seen, parts, texts, run.dataset.options.merge)
    run.staging.finish({"model": run.model.fingerprint, "rows": rows}, state if run.staging.state is not None else None)
    notes = ReadingNotes.total(each["reading"] for each in done).notes
    return Scored(sum(each["responses"] for each in done), rows, resumed=resumed, notes=notes)


def _plan(run: Run) -> dict[str, Any]:
    """What must be the same for a run to resume another one."""
    options = run.dataset.options
    plan = {
        "plan": PLAN,
        FILES: [[file.name, file.identity] for file in run.dataset.files],
        "layout": [dict(options.columns or {}), options.time_unit, options.merge],
        "model": run.model.fingerprint,
        "rows": run.log_rows,
        "at": str(run.time),
        "before": run.before,
        STATE: run.planned_state,
    }
    return dict(json.loads(json.dumps(plan)))


def _score_log(run: Run, name: str, log: Log) -> dict[str, Any]:
    """Score one log, and write its part of the output and of the state: what is noted of it."""
    file = f"{run.increment:04d}-{name}.parquet"
    known, mastery = states_and_mastery(run.model, log, time=run.time)
    if run.staging.state is not None and known is not None:
        states.write_part(known, run.staging.new_state / file)
    states.write_part(mastery, run.staging.new_out / f"{name}.parquet", compression="snappy")
    return {"file": file, "rows": len(mastery), "responses": len(log), "reading": ReadingNotes.of(log)}


def _text_columns(dataset: Dataset) -> tuple[str, ...]:
    """Which of ``student`` and ``skill`` are text."""
    kinds = {"student": dataset.types["student"], "skill": dataset.types.get("skill", dataset.types.get("skills"))}
    values = {name: kind.value_type if sort_of(kind) == "lists" else kind for name, kind in kinds.items()}
    return tuple(name for name, kind in values.items() if sort_of(kind) == "text")


def _list_skipped(problems: Sequence[Problem], out: Path) -> None:
    """The list of files that were left out, beside the output; none if there are none."""
    path = out.with_name(f"{out.name}.skipped.csv")
    if problems:
        rows = [{"file": each.file, "problem": str(replace(each, file=None))} for each in problems]
        write_table(pa.Table.from_pylist(rows, pa.schema([("file", pa.string()), ("problem", pa.string())])), path)
    else:
        path.unlink(missing_ok=True)
