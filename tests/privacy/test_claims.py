"""Forgetting over the outputs of runs: no run is at work meanwhile, and what killed runs left holds no name any more."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest
from filelock import FileLock

import adaptrace as at
from adaptrace.dataset import state as states
from adaptrace.dataset.staging import Staging
from adaptrace.io import envelope
from adaptrace.privacy.forget import forget_student
from reference import folders

NAME = "student-7"
KILLED = """
import os, signal, sys
from pathlib import Path
import adaptrace as at
from adaptrace.dataset import partition, staging, state

partition.MOST_ROWS = int(sys.argv.pop())
log, out, model, after, where = sys.argv[1:]
left = [int(after)]
home, name = {"part": (state.pyarrow.parquet, "write_table"), "swap": (staging.os, "replace")}[where]
real = getattr(home, name)

def dying(*arguments, **options):
    left[0] -= 1
    if left[0] < 0:
        if where == "part":
            real(*arguments, **options)  # the file is there, under its temporary name
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*arguments, **options)

setattr(home, name, dying)
at.score_dataset(log, out, model=at.load(model), state=Path(out).with_name("state"), workers=1)
"""


@pytest.fixture
def district(tmp_path: Path) -> Path:
    """A log in no order, so that rows of students are put aside, and a model."""
    folders.write(folders.responses(3, 3000), tmp_path / "log", 6)
    folders.model().save(tmp_path / "model.json")
    return tmp_path


def kill(district: Path, after: int, where: str = "part", *, most_rows: int = 200) -> None:
    """A run of the command that scores every night, killed."""
    argv = [sys.executable, "-c", KILLED, district / "log", district / "m", district / "model.json", str(after), where, most_rows]
    assert subprocess.run(list(map(str, argv)), check=False).returncode == -signal.SIGKILL


def holding(folder: Path) -> list[str]:
    """The files beneath a folder that hold the name: in their bytes, or in what is read of them."""
    found = []
    for path in sorted(each for each in folder.rglob("*") if each.is_file()):
        raw = path.read_bytes()
        read = str(pq.read_table(path).to_pydict()) if raw[:4] == raw[-4:] == b"PAR1" else ""
        if NAME.encode() in raw or NAME in read:
            found.append(str(path.relative_to(folder)))
    return found


# ---- what killed runs left --------------------------------------------------


@pytest.mark.parametrize("after", [0, 5])
@pytest.mark.parametrize("named", [True, False], ids=["output-named", "output-beside"])
def test_no_byte_beneath_the_district_holds_the_name_after_a_killed_run(named: bool, after: int, district: Path) -> None:
    kill(district, after)
    left = [name for name in holding(district) if not name.startswith("log/")]
    assert [name for name in left if name.startswith(".m.partial/")]
    tables = [district / "log", *([district / "m"] if named else [])]
    assert forget_student(NAME, tables, state=district / "state" if named else None).rows > 0
    assert holding(district) == []


def test_a_second_night_that_was_killed_is_covered_and_the_next_one_is_right(district: Path) -> None:
    model = at.load(district / "model.json")
    out, state = district / "m", district / "state"
    (district / "log" / "part-05.parquet").rename(district / "part-05.parquet")
    at.score_dataset(district / "log", out, model=model, state=state, workers=1)
    (district / "part-05.parquet").rename(district / "log" / "part-05.parquet")
    kill(district, 1, most_rows=4_000_000)  # an increment: its state is written, its output not yet
    assert [name for name in holding(district) if name.startswith(".state.partial-state/")]
    forget_student(NAME, [district / "log", out], state=state)
    assert holding(district) == []
    at.score_dataset(district / "log", out, model=model, state=state, workers=1)
    at.score_dataset(district / "log", district / "anew", model=model, workers=1)
    assert folders.plain(pq.read_table(out)).equals(folders.plain(pq.read_table(district / "anew")))


@pytest.mark.parametrize("after", [16, 18, 20, 22])
def test_outputs_that_were_whole_appear_without_the_student(after: int, district: Path) -> None:
    kill(district, after, "swap")  # where files take their places
    forget_student(NAME, [district / "log", district / "m"], state=district / "state")
    assert holding(district) == []


@pytest.mark.parametrize(
    "name", ["log/.part-00.parquet.adaptrace-0123abcd", "log/.new.csv.adaptrace-0123abcd", ".roster.csv.adaptrace-0123abcd"]
)
def test_temporary_files_of_killed_runs_go(name: str, district: Path) -> None:
    (district / "roster.csv").write_text(f"student,class\n{NAME},6A\n")
    (district / name).mkdir()
    (district / name / ".half").write_text(NAME)
    forget_student(NAME, [district / "log", district / "roster.csv"])
    assert holding(district) == []


def test_a_first_table_that_was_never_whole_is_no_error(district: Path) -> None:
    (district / ".mastery.csv.adaptrace-0123abcd").mkdir()
    (district / ".mastery.csv.adaptrace-0123abcd" / ".half").write_text(NAME)
    forget_student(NAME, [district / "log", district / "mastery.csv"])
    assert holding(district) == []


def test_files_of_others_stay(district: Path) -> None:
    for name in (".notes", ".part-00.parquet.bak", ".a.csv.adaptrace-0123abcd", "log/.gitignore"):
        (district / name).write_text("theirs")
    (district / ".other.partial").mkdir()
    (district / ".other.partial" / "plan.json").write_text(json.dumps({"files": [["x.parquet", "0" * 16]]}))
    before = set(folders.names(district))
    forget_student(NAME, [district / "log"])
    assert set(folders.names(district)) == before


def test_what_a_cluster_left_goes(district: Path) -> None:
    hidden = Staging(district / "m").of_cluster("0123")
    hidden.mkdir()
    (hidden / "part-00000.parquet").write_text(NAME)
    forget_student(NAME, [district / "log", district / "m"])
    assert holding(district) == []


# ---- runs that are at work --------------------------------------------------


@pytest.mark.parametrize("place", ["log", "m", "state"])
def test_a_run_at_work_keeps_forgetting_out(place: str, district: Path) -> None:
    model = at.load(district / "model.json")
    at.score_dataset(district / "log", district / "m", model=model, state=district / "state", workers=1)
    before = {path: path.read_bytes() for path in district.rglob("*.parquet")}
    with (
        FileLock(district / f".{place}.lock"),
        pytest.raises(at.OutputError, match=f"{place}: another run is at work on it; wait for its end"),
    ):
        forget_student(NAME, [district / "log", district / "m"], state=district / "state")
    assert {path: path.read_bytes() for path in district.rglob("*.parquet")} == before


def test_a_run_at_work_beside_on_the_same_log_keeps_forgetting_out_and_loses_nothing(district: Path) -> None:
    kill(district, 5)
    left = sorted((district / ".m.partial" / "done").iterdir())
    with FileLock(district / ".m.lock"), pytest.raises(at.OutputError, match="m: another run is at work on it"):
        forget_student(NAME, [district / "log"])
    assert sorted((district / ".m.partial" / "done").iterdir()) == left


def test_a_file_inside_an_output_is_claimed_with_it(district: Path) -> None:
    at.score_dataset(district / "log", district / "m", model=at.load(district / "model.json"), workers=1)
    inside = next((district / "m").glob("*.parquet"))
    for place in (inside, district / "m" / "*.parquet"):
        with FileLock(district / ".m.lock"), pytest.raises(at.OutputError, match="m: another run is at work on it"):
            forget_student(NAME, [place])


def test_a_log_beside_which_nothing_can_be_written_forgets(district: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)
    forget_student(NAME, [district / "log"])
    assert holding(district / "log") == []
    assert not (district / ".log.lock").exists()


# ---- the paths of a state ---------------------------------------------------


@pytest.fixture
def scored(district: Path) -> Path:
    at.score_dataset(
        district / "log", district / "m", model=at.load(district / "model.json"), state=district / "state", workers=1
    )
    (district / "precious.parquet").write_bytes(next((district / "state").glob("*.parquet")).read_bytes())
    return district


def uses_of(district: Path, where: str) -> None:
    """What reads, writes or forgets in a state."""
    if where == "score":
        folders.write(folders.responses(4, 300), district / "later", 1)
        at.score_dataset(district / "later", district / "m", model=at.load(district / "model.json"), state=district / "state")
    else:
        forget_student(NAME, [district / "log"], state=district / "state")


@pytest.mark.parametrize("where", ["score", "forget"])
@pytest.mark.parametrize("name", ["../precious.parquet", "{district}/precious.parquet", "0001-a/../../precious.parquet"])
def test_a_state_that_names_files_elsewhere_is_refused(name: str, where: str, scored: Path) -> None:
    before = {path: path.read_bytes() for path in scored.rglob("*.parquet")}
    content = envelope.read(scored / "state" / states.MANIFEST, states.STATE)
    content["parts"][0][0] = name.format(district=scored)
    envelope.write(scored / "state" / states.MANIFEST, states.STATE, content)
    with pytest.raises(at.ModelError, match=r"_manifest\.json: got a file named .*precious\.parquet'; expected what a run wrote"):
        uses_of(scored, where)
    assert {path: path.read_bytes() for path in scored.rglob("*.parquet") if path.parent.name != "later"} == before


@pytest.mark.parametrize("where", ["score", "forget"])
@pytest.mark.parametrize("what", ["part", "manifest"])
def test_a_link_in_a_state_that_leads_outside_is_refused(what: str, where: str, scored: Path) -> None:
    path = next((scored / "state").glob("*.parquet")) if what == "part" else scored / "state" / states.MANIFEST
    path.rename(scored / "elsewhere")
    path.symlink_to(scored / "elsewhere")
    before = (scored / "elsewhere").read_bytes()
    with pytest.raises(at.ModelError, match=f"{path.name}: got a link that leads elsewhere; expected a file of the state"):
        uses_of(scored, where)
    assert (scored / "elsewhere").read_bytes() == before


def test_a_finished_run_cannot_move_a_state_that_names_files_elsewhere(scored: Path) -> None:
    content = envelope.read(scored / "state" / states.MANIFEST, states.STATE)
    content["parts"][0][0] = "../precious.parquet"
    hidden = Staging(scored / "m").folder
    hidden.mkdir()
    (hidden / "ready.json").write_text(json.dumps({"state": content}))
    with pytest.raises(at.ModelError, match=r"ready\.json: got a file named"):
        uses_of(scored, "score")


@pytest.mark.parametrize("hidden", [".m.partial", ".state.partial-state", ".m.old"])
def test_a_link_in_the_place_of_a_hidden_folder_is_refused(hidden: str, scored: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (scored / hidden).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(at.OutputError, match="got a link; expected a folder that a run made"):
        uses_of(scored, "score")
    with pytest.raises(at.OutputError, match="got a link; expected a folder that a run made"):
        forget_student(NAME, [scored / "log", scored / "m"], state=scored / "state")
    assert list((tmp_path / "elsewhere").iterdir()) == []
