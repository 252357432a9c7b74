"""The audit: one line for each run that touches real names, whatever becomes of it, and no name in it."""

from __future__ import annotations

import datetime
import getpass
import json
import multiprocessing
from pathlib import Path
from typing import Any

import pytest

from adaptrace.errors import OutputError
from adaptrace.privacy import audit
from adaptrace.privacy.keys import new_key, read_key

TIME = datetime.datetime(2026, 11, 30, 12, tzinfo=datetime.UTC)


def run_of(number: int) -> audit.AuditedRun:
    return audit.AuditedRun(time=TIME, command="pseudonymize", who="ada", files=(f"{number}",), rows=number)


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def append_many(path: Path, first: int) -> None:
    for number in range(first, first + 50):
        audit.append(path, run_of(number))


def test_a_line_says_when_what_who_and_how_much(tmp_path: Path) -> None:
    audit.append(tmp_path / "audit.jsonl", run_of(3))
    assert lines(tmp_path / "audit.jsonl") == [
        {
            "time": "2026-11-30T12:00:00+00:00",
            "command": "pseudonymize",
            "who": "ada",
            "files": ["3"],
            "students": None,
            "rows": 3,
            "key": None,
            "outcome": "done",
        }
    ]
    assert (tmp_path / "audit.jsonl").stat().st_mode & 0o777 == 0o600


def test_lines_of_several_processes_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(Path(__file__).parents[__name__.count(".")])  # there the others find this module
    path = tmp_path / "audit.jsonl"
    context = multiprocessing.get_context("spawn")
    started = [context.Process(target=append_many, args=(path, 50 * number)) for number in range(3)]
    for process in started:
        process.start()
    for process in started:
        process.join()
    assert sorted(line["rows"] for line in lines(path)) == list(range(150))


def test_a_line_that_was_cut_by_a_kill_spoils_no_other(tmp_path: Path) -> None:
    path = tmp_path / "audit.jsonl"
    audit.append(path, run_of(1))
    with path.open("a") as file:
        file.write('{"time": "20')
    audit.append(path, run_of(2))
    first, torn, last = path.read_text().splitlines()
    assert (json.loads(first)["rows"], torn, json.loads(last)["rows"]) == (1, '{"time": "20', 2)


def test_a_place_that_is_not_safe_is_refused(tmp_path: Path) -> None:
    (tmp_path / "open.jsonl").touch(0o644)
    (tmp_path / "link.jsonl").symlink_to(tmp_path / "open.jsonl")
    for name, said in {"open.jsonl": "chmod 600", "link.jsonl": "cannot be written", "none/a.jsonl": "name another file"}.items():
        with pytest.raises(OutputError, match=said):
            audit.check(tmp_path / name)


# ---- commands ---------------------------------------------------------------


@pytest.fixture
def here(tmp_path: Path) -> Path:
    (tmp_path / "log.csv").write_text("student,item\nSecret Name,q1\nBo,q1\nBo,q2\n")
    new_key(tmp_path / "key")
    return tmp_path


def test_each_command_adds_a_line_without_a_name(run, here: Path) -> None:
    key = here / "key"
    assert run("pseudonymize", here / "log.csv", "-o", here / "out.csv", "-k", key).code == 0
    assert run("rotate-key", here / "out.csv", "-o", here / "new.csv", "-k", key, "--new-key-file", here / "key-2").code == 0
    assert run("forget-student", "Secret Name", "--log", here / "log.csv", "--dry-run").code == 0
    assert run("forget-student", "Secret Name", "--log", here / "log.csv").code == 0
    assert run("forget-student", "Secret Name", "--log", here / "log.csv").code == 1
    found = lines(here / "audit.jsonl")
    assert [(line["command"], line["students"], line["rows"], line["outcome"]) for line in found] == [
        ("pseudonymize", 2, 3, "done"),
        ("rotate-key", 2, 3, "done"),
        ("forget-student --dry-run", 1, 1, "done"),
        ("forget-student", 1, 1, "done"),
        ("forget-student", None, None, "DataError"),
    ]
    assert found[0]["files"] == [str(here / "log.csv"), str(here / "out.csv")]
    assert [line["key"] for line in found[:2]] == [read_key(key).fingerprint, read_key(here / "key-2").fingerprint]
    assert {line["who"] for line in found} == {getpass.getuser()}
    assert "Secret" not in (here / "audit.jsonl").read_text()
    times = [datetime.datetime.fromisoformat(line["time"]) for line in found]
    assert times == sorted(times)
    assert all(time.utcoffset() == datetime.timedelta() for time in times)


def test_the_place_is_an_option_or_in_the_environment(run, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run("pseudonymize", here / "log.csv", "-o", here / "a.csv", "-k", here / "key", "--audit", here / "mine.jsonl")
    monkeypatch.setenv("ADAPTRACE_AUDIT", str(here / "theirs.jsonl"))
    run("pseudonymize", here / "log.csv", "-o", here / "b.csv", "-k", here / "key")
    assert [len(lines(here / f"{name}.jsonl")) for name in ("mine", "theirs")] == [1, 1]
    assert not (here / "audit.jsonl").exists()


def test_nothing_is_done_where_the_audit_cannot_be_written(run, here: Path) -> None:
    done = run("pseudonymize", here / "log.csv", "-o", here / "a.csv", "-k", here / "key", "--audit", here / "none" / "audit")
    assert (done.code, "the audit cannot be written" in done.stderr) == (1, True)
    assert not (here / "a.csv").exists()


def test_a_refused_column_is_decided_on_the_command_line(run, here: Path) -> None:
    (here / "roster.csv").write_text("student,email,comment\nBo,bo@x.org,nice\n")
    arguments = ["pseudonymize", here / "roster.csv", "-o", here / "a.csv", "-k", here / "key"]
    first = run(*arguments)
    assert (first.code, "--drop email" in first.stderr, "bo@x" in first.stderr) == (1, True, False)
    assert run(*arguments, "--drop", "email", "--keep", "comment").code == 0
    assert (here / "a.csv").read_text().splitlines()[0] == "student,comment"
