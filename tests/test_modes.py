"""Who may read what is written: a table over every writer. What may hold students is for its owner alone, at every moment."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace import plots
from adaptrace.dataset.spark_run import appearing
from adaptrace.dataset.state import write_part
from adaptrace.errors import OutputError
from adaptrace.io import modes
from adaptrace.io.atomic import replacing
from adaptrace.io.files import write_table
from adaptrace.privacy.keys import new_key
from reference import folders

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the system has no such modes")
TABLE = pa.table({"student": ["Ada", "Bo"], "skill": ["halves"] * 2, "mastery": [0.5, 0.75]})


@pytest.fixture(autouse=True)
def open_umask(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A system that lets everyone read and write whatever says nothing of its mode."""
    monkeypatch.delenv(modes.MODE, raising=False)
    before = os.umask(0)
    yield
    os.umask(before)


@pytest.fixture
def here(tmp_path: Path, model: at.BKT) -> Path:
    """A small district: its log, its model and a key. What a writer makes goes to ``new/``."""
    folders.write(folders.responses(1, 600), tmp_path / "log", 2)
    folders.model().save(tmp_path / "model.json")
    new_key(tmp_path / "key")
    (tmp_path / "new").mkdir()
    return tmp_path


def scored(here: Path) -> None:
    at.score_dataset(here / "log", here / "new" / "m", model=at.load(here / "model.json"), state=here / "new" / "state")


def skipped(here: Path) -> None:
    (here / "log" / "bad.csv").write_text("no log\n")
    model = at.load(here / "model.json")
    at.score_dataset(here / "log", here / "new" / "m", model=model, skip_bad=True)


def two_nights(here: Path) -> None:
    scored(here)
    pq.write_table(folders.responses(2, 100), here / "log" / "part-02.parquet")
    at.score_dataset(here / "log", here / "new" / "m", model=at.load(here / "model.json"), state=here / "new" / "state")


def forgotten(here: Path) -> None:
    scored(here)
    at.forget_student("student-7", [here / "log", here / "new" / "m"], state=here / "new" / "state")


def stored(here: Path) -> None:
    model = at.BKT.from_parameters(["halves"], prior=0.5, learn=0.2, guess=0.1, slip=0.1)
    catalog = at.Catalog.from_arrow({"item": ["q1"], "skill": ["halves"]})
    with at.Tutor.open(here / "new" / "tutor.db", model=model, catalog=catalog) as tutor:
        tutor.observe("ana", "q1", 1, event_id="e1")
        tutor.snapshot(here / "new" / "snapshot.db")
        assert len(list((here / "new").iterdir())) >= 4  # -wal and -shm too
        check_private(here / "new")
    with at.Tutor.open("memory:", model=model, catalog=catalog) as tutor:
        tutor.observe("ana", "q1", 1, event_id="e1")
        tutor.snapshot(here / "new" / "memory.db")


def drawn(here: Path) -> None:
    table = TABLE.append_column("opportunity", pa.array([1, 1])).append_column("correct", pa.array([0, 1]))
    plots.save(plots.mastery(table, "Ada"), here / "new" / "picture.svg")


def clustered(here: Path) -> None:
    with appearing(here / "new" / "m") as folder:
        write_part(TABLE, folder / "part-00000.parquet")


def model_of_students(here: Path) -> None:
    at.AFM().fit(at.Log.from_arrow(folders.responses(1, 300))).save(here / "new" / "afm.json")


def stats_of_students(here: Path) -> None:
    at.BKT(students=("prior",)).stats(at.Log.from_arrow(folders.responses(1, 300))).save(here / "new" / "stats.parquet")


WRITERS: dict[str, Callable[[Path], Any]] = {
    **{
        f"t{end}": lambda here, end=end: write_table(TABLE, here / "new" / f"t{end}")
        for end in (".parquet", ".arrow", ".csv", ".json")
    },
    "gzip": lambda here: write_table(TABLE, here / "new" / "t.csv.gz"),
    "score": scored,
    "skipped": skipped,
    "increment": two_nights,
    "forget": forgotten,
    "cluster": clustered,
    "store": stored,
    "picture": drawn,
    "pseudonyms of a folder": lambda here: at.pseudonymize(here / "log", here / "new" / "out", key_file=here / "key"),
    "pseudonyms of a file": lambda here: at.pseudonymize(
        here / "log" / "part-00.parquet", here / "new" / "out.parquet", key_file=here / "key"
    ),
    "key": lambda here: new_key(here / "new" / "key"),
    "model with students": model_of_students,
    "stats with students": stats_of_students,
}


def open_to_others(folder: Path) -> dict[str, str]:
    """What others than the owner may do with, beneath a folder; a lock holds nothing."""
    found = {}
    every = (Path(place) / name for place, folders, files in os.walk(folder) for name in (*folders, *files))
    for path in every:
        with contextlib.suppress(FileNotFoundError):  # another thread moved it
            found[path.relative_to(folder).as_posix()] = stat.S_IMODE(path.stat().st_mode)
    return {name: oct(mode) for name, mode in found.items() if mode & 0o077 and not name.endswith(".lock")}


def check_private(folder: Path) -> None:
    assert any(folder.iterdir())
    assert open_to_others(folder) == {}


@pytest.mark.parametrize("writer", WRITERS)
def test_what_may_hold_students_is_for_its_owner_alone(writer: str, here: Path) -> None:
    WRITERS[writer](here)
    check_private(here / "new")


def test_at_no_moment_is_a_file_of_students_open(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Looked at whenever something is moved, written as Parquet or closed as a table."""
    seen: list[dict[str, str]] = []
    for owner, name in ((os, "replace"), (pq, "write_table"), (pa.ipc, "new_file")):
        real = getattr(owner, name)

        def looking(*arguments: Any, real: Callable[..., Any] = real, **options: Any) -> Any:
            seen.append(open_to_others(here / "new"))
            done = real(*arguments, **options)
            seen.append(open_to_others(here / "new"))
            return done

        monkeypatch.setattr(owner, name, looking)
    monkeypatch.setattr("adaptrace.dataset.partition.MOST_ROWS", 200)
    two_nights(here)
    assert len(seen) > 20
    assert [each for each in seen if each] == []


@pytest.mark.parametrize("writer", ["model", "stats"])
def test_what_holds_no_student_is_as_the_umask_says(writer: str, here: Path) -> None:
    model = at.load(here / "model.json")
    save = {"model": model.save, "stats": model.stats(at.Log.read(here / "log")).save}[writer]
    save(here / "new" / "shared")
    assert stat.S_IMODE((here / "new" / "shared").stat().st_mode) == 0o666


# ---- as the user says -------------------------------------------------------


@pytest.mark.parametrize(("mode", "file", "folder"), [("0640", 0o640, 0o750), ("660", 0o660, 0o770), ("0644", 0o644, 0o755)])
@pytest.mark.parametrize("writer", ["score", "increment", "forget", "cluster", "store", "t.csv", "pseudonyms of a folder"])
def test_the_users_mode_is_that_of_every_new_file(
    writer: str, mode: str, file: int, folder: int, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(modes.MODE, mode)
    os.umask(0o077)  # it does not cut what the user says
    if writer == "store":
        monkeypatch.setitem(globals(), "check_private", lambda folder: None)
    WRITERS[writer](here)
    found = {path: stat.S_IMODE(path.stat().st_mode) for path in (here / "new").rglob("*") if path.suffix != ".lock"}
    assert {path: mode for path, mode in found.items() if mode != (folder if path.is_dir() else file)} == {}


@pytest.mark.parametrize("mode", ["0777", "0400", "rw-r-----", "0602", "1640", ""])
def test_a_mode_that_no_file_of_students_may_have_is_refused_before_the_work(
    mode: str, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(modes.MODE, mode)
    if not mode:  # as if it were not set
        return scored(here)
    with pytest.raises(OutputError, match=f"ADAPTRACE_MODE: got '{mode}'; expected the mode of a file that holds students"):
        scored(here)
    with pytest.raises(OutputError, match="ADAPTRACE_MODE"), replacing(here / "new" / "t.csv"):
        pytest.fail("the work began")
    return None


def test_the_command_line_says_it_for_every_command(run: Any, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(modes.MODE, "")  # so that it is as before when the test ends
    assert run("--mode", "0640", "score", here / "log", "-m", here / "model.json", "-o", here / "new" / "t.csv").code == 0
    assert stat.S_IMODE((here / "new" / "t.csv").stat().st_mode) == 0o640
    wrong = run("--mode", "0777", "score", here / "log", "-m", here / "model.json", "-o", here / "new" / "t.csv")
    assert (wrong.code, "got '0777'" in wrong.stderr) == (2, True)


# ---- what is replaced -------------------------------------------------------


@pytest.mark.parametrize("mode", [0o600, 0o640, 0o664])
def test_a_file_that_is_replaced_keeps_its_mode_and_group(mode: int, here: Path) -> None:
    path = here / "new" / "t.csv"
    path.touch()
    path.chmod(mode)
    group = next((each for each in os.getgroups() if each != path.stat().st_gid), path.stat().st_gid)
    if os.geteuid() == 0:
        os.chown(path, 1234, 4321)
        group = 4321
    else:
        os.chown(path, -1, group)
    before = path.stat()
    write_table(TABLE, path)
    after = path.stat()
    assert (stat.S_IMODE(after.st_mode), after.st_gid, after.st_uid) == (mode, group, before.st_uid)


def test_a_group_that_cannot_be_kept_loses_its_rights(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = here / "new" / "t.csv"
    path.touch()
    path.chmod(0o640)
    before = os.stat_result((*path.stat()[:5], path.stat().st_gid + 1, *path.stat()[6:]))

    def refused(*arguments: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(os, "chown", refused)
    assert modes._as_before(path, before) == 0o600


def test_an_output_of_a_group_stays_the_groups_night_after_night(here: Path) -> None:
    scored(here)
    for name in ("m", "state"):
        (here / "new" / name).chmod(0o750)
        for path in (here / "new" / name).iterdir():
            path.chmod(0o640)
    pq.write_table(folders.responses(2, 100), here / "log" / "part-02.parquet")
    at.score_dataset(here / "log", here / "new" / "m", model=at.load(here / "model.json"), state=here / "new" / "state")
    at.forget_student("student-7", [here / "new" / "m"], state=here / "new" / "state")
    found = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (here / "new").rglob("*") if path.suffix != ".lock"}
    assert found.pop("m") == found.pop("state") == 0o750
    assert set(found.values()) == {0o640}


def test_a_store_that_was_open_to_a_group_stays_so_with_the_files_beside_it(here: Path) -> None:
    model = at.BKT.from_parameters(["halves"], prior=0.5, learn=0.2, guess=0.1, slip=0.1)
    catalog = at.Catalog.from_arrow({"item": ["q1"], "skill": ["halves"]})
    at.Tutor.open(here / "new" / "tutor.db", model=model, catalog=catalog).close()
    (here / "new" / "tutor.db").chmod(0o660)
    with at.Tutor.open(here / "new" / "tutor.db", model=model, catalog=catalog) as tutor:
        tutor.observe("ana", "q1", 1, event_id="e1")
        assert {stat.S_IMODE(path.stat().st_mode) for path in (here / "new").iterdir()} == {0o660}
