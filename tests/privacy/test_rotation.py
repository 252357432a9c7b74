"""A new key for tables of pseudonyms: the same pseudonyms as it makes of the names, and none that the old key can make."""

from __future__ import annotations

import hmac
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from adaptrace.data.sample import sample_path
from adaptrace.errors import DataError, OutputError
from adaptrace.io.files import read_table, write_table
from adaptrace.privacy.keys import new_key, read_key
from adaptrace.privacy.pseudonyms import pseudonymize
from adaptrace.privacy.rotation import rotate_key

NAMES = ["Ada", "Bo", None, "Ada", "Cy"]


@pytest.fixture
def here(tmp_path: Path) -> Path:
    """A folder of real names, and one of pseudonyms."""
    new_key(tmp_path / "old")
    table = pa.table({"student": NAMES, "teacher": ["T"] * 5, "item": [f"q{n}" for n in range(5)]})
    (tmp_path / "raw" / "sub").mkdir(parents=True)
    pq.write_table(table, tmp_path / "raw" / "a.parquet")
    pq.write_table(table.set_column(0, "student", table["student"].dictionary_encode()), tmp_path / "raw" / "sub" / "b.parquet")
    write_table(table, tmp_path / "raw" / "c.csv")
    pseudonymize(tmp_path / "raw", tmp_path / "log", key_file=tmp_path / "old", columns=["student", "teacher"])
    return tmp_path


def both(here: Path) -> dict[str, object]:
    return {"key_file": here / "old", "new_key_file": here / "new", "columns": ["student", "teacher"]}


def tables(folder: Path) -> dict[str, dict[str, list[object]]]:
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): read_table(path).table.to_pydict() for path in paths}


def test_rotated_tables_are_what_the_new_key_makes_of_the_names(here: Path) -> None:
    done = rotate_key(here / "log", here / "log-2", **both(here))
    assert (done.files, done.rows, done.students) == (3, 15, 3)
    pseudonymize(here / "raw", here / "fresh", key_file=here / "new", columns=["student", "teacher"])
    assert tables(here / "log-2") == tables(here / "fresh")
    assert pq.read_schema(here / "log-2" / "a.parquet").metadata == pq.read_schema(here / "fresh" / "a.parquet").metadata
    old, new = ({name for name in tables(here / place)["a.parquet"]["student"] if name} for place in ("log", "log-2"))
    assert len(old | new) == 6


def test_a_third_key_follows_the_second(here: Path) -> None:
    rotate_key(here / "log", here / "log-2", **both(here))
    rotate_key(here / "log-2", here / "log-3", **(both(here) | {"key_file": here / "new", "new_key_file": here / "third"}))
    pseudonymize(here / "raw", here / "fresh", key_file=here / "third", columns=["student", "teacher"])
    assert tables(here / "log-3") == tables(here / "fresh")


def test_a_new_pseudonym_is_the_hmac_of_the_old_one_under_a_secret_that_the_old_file_lacks(here: Path) -> None:
    rotate_key(here / "log", here / "log-2", **both(here))
    old, new = read_key(here / "old"), read_key(here / "new")
    assert new.generations[:-1] == old.generations
    assert new.generations[-1] not in (here / "old").read_bytes()
    assert (here / "new").stat().st_mode & 0o777 == 0o600
    before, after = (tables(here / place)["a.parquet"]["student"][0] for place in ("log", "log-2"))
    assert after == hmac.new(new.generations[-1], f"student\0{before}".encode(), "sha256").hexdigest()[:32]
    made_by_old = hmac.new(old.generations[0], f"student\0{before}".encode(), "sha256").hexdigest()[:32]
    assert after != made_by_old


def test_tables_that_come_later_get_the_same_new_pseudonyms(here: Path) -> None:
    rotate_key(here / "log" / "a.parquet", here / "a.parquet", **both(here))
    rotate_key(here / "log" / "c.csv", here / "c.csv", **both(here))
    assert read_table(here / "a.parquet").table["student"].to_pylist() == read_table(here / "c.csv").table["student"].to_pylist()


def test_fingerprints_differ_and_tell_no_secret(here: Path) -> None:
    rotate_key(here / "log", here / "log-2", **both(here))
    old, new = read_key(here / "old"), read_key(here / "new")
    assert old.fingerprint != new.fingerprint
    shown = f"{old!r}{new!r}{old.fingerprint}{new.fingerprint}"
    assert not any(secret.hex()[:16] in shown for secret in new.generations)


def refused(source: Path, out: Path, **options: object) -> str:
    with pytest.raises((DataError, OutputError)) as raised:
        rotate_key(source, out, **options)
    assert not out.exists()
    return str(raised.value)


def test_real_names_tables_of_another_key_and_rotated_ones_are_refused(here: Path) -> None:
    message = refused(here / "raw" / "c.csv", here / "out.csv", **both(here))
    assert "column 'student': got a value that is no pseudonym" in message
    assert "Ada" not in message
    rotate_key(here / "log", here / "log-2", **both(here))
    assert "got pseudonyms of another key; expected those of the old key" in refused(here / "log-2", here / "log-3", **both(here))
    with pytest.raises(DataError, match="got pseudonyms already; expected names"):
        pseudonymize(here / "log", here / "twice", key_file=here / "old")


def test_key_files_that_do_not_fit_are_refused(here: Path) -> None:
    new_key(here / "new")
    assert "a key that does not follow the old one" in refused(here / "log", here / "out", **both(here))
    options = both(here) | {"new_key_file": here / "none" / "new"}
    assert "cannot be written" in refused(here / "log", here / "out", **options)
    assert "No such file" in refused(here / "log", here / "out", **(both(here) | {"key_file": here / "none"}))
    with pytest.raises(OutputError, match="is there already"):
        rotate_key(here / "log", here / "raw", **both(here))


def test_a_killed_run_leaves_no_output_and_the_next_one_finishes(here: Path) -> None:
    source = (
        "import os, signal, sys; from adaptrace.privacy import rewrite as rewriting, rotation; whole = rewriting.rewrite\n"
        "def rewrite(source, target, *rest):\n"
        "    if source.name == 'c.csv': os.kill(os.getpid(), signal.SIGKILL)\n"
        "    return whole(source, target, *rest)\n"
        "rewriting.rewrite = rewrite\n"
        "rotation.rotate_key('log', 'out', key_file='old', new_key_file='new', columns=['student', 'teacher'])\n"
    )
    killed = subprocess.run([sys.executable, "-c", source], cwd=here, env=os.environ, check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (here / "out").exists()
    key = (here / "new").read_bytes()
    rotate_key(here / "log", here / "out", **both(here))
    assert (here / "new").read_bytes() == key
    assert sorted(path.name for path in here.iterdir()) == ["log", "new", "old", "out", "raw"]


def test_models_see_the_same_log(here: Path, sample_model: at.BKT) -> None:
    pseudonymize(sample_path("responses.parquet"), here / "s.parquet", key_file=here / "old")
    rotate_key(here / "s.parquet", here / "s-2.parquet", key_file=here / "old", new_key_file=here / "new")
    one, other = (sample_model.predict(at.Log.read(here / name)).tolist() for name in ("s.parquet", "s-2.parquet"))
    assert sorted(one) == sorted(other)
