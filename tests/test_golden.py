"""Golden files: what every release wrote is read by today's code, and says what it said then (law 7)."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from collections.abc import Callable
from contextlib import closing
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import adaptrace as at
from golden import reading

GOLDEN = Path(__file__).parent / "golden"
RELEASES = sorted(
    (place.name for place in GOLDEN.iterdir() if (place / "expected").is_dir()),
    key=lambda name: [int(number) for number in name.split(".")],
)
NEWEST = GOLDEN / RELEASES[-1]
NEWER = 99  # a schema that no release has

# Where exp, log or powers differ from those of the machine that wrote the files, by a last bit that processors and C libraries
# do not agree on, a chain of some thirty steps may differ by some tens of such bits.
ULPS = 1e-14
OPTIMUM = 1e-6  # a fit may stop elsewhere near its optimum: where is no part of a file
SHORT_OF_OPTIMUM = 3e-3  # as far as fits of 0.1 whose parameters vary ended from it


def about(release: str) -> Any:
    return reading.read_json(GOLDEN / release / "expected" / "about.json")


def expected(release: str, name: str) -> pa.Table:
    return pq.read_table(GOLDEN / release / "expected" / f"{name}.parquet")


def models(*beginnings: str) -> list[Any]:
    """Every release with each of its models whose names begin so."""
    every = [(release, name) for release in RELEASES for name in about(release)["fingerprints"]]
    return [pytest.param(*each, id="-".join(each)) for each in every if each[1].startswith(beginnings)]


def each_of(*names: str) -> list[Any]:
    """Every release with each of these."""
    return [pytest.param(release, name, id=f"{release}-{name}") for release in RELEASES for name in names]


@cache
def tolerance(release: str) -> float:
    """How far what exp enters may be from what was written: nowhere, where this machine has the same exp."""
    return 0.0 if reading.exp_and_log() == about(release)["exp"] else ULPS


def assert_same(found: pa.Table, wanted: pa.Table, *, rtol: float = 0.0, bits: tuple[str, ...] = ()) -> None:
    """Equal tables; numbers other than those of ``bits`` within a relative tolerance."""
    assert found.column_names == wanted.column_names
    assert len(found) == len(wanted)
    for name in wanted.column_names:
        column, then = found[name], wanted[name]
        if pa.types.is_floating(then.type) and rtol and name not in bits:
            np.testing.assert_allclose(column.to_numpy(), then.to_numpy(), rtol=rtol, atol=rtol, err_msg=name)
        else:
            assert column.to_pylist() == then.to_pylist(), name


# ---- models -----------------------------------------------------------------


@pytest.mark.parametrize(("release", "name"), models(""))
def test_a_model_predicts_as_it_did(release: str, name: str) -> None:
    folder, then = GOLDEN / release, about(release)
    rtol = 0.0 if name in then["exact"] else tolerance(release)
    model = reading.model_of(folder, name)
    assert reading.fingerprint(model) == then["fingerprints"][name]  # else no state and no store is of this model any more
    for log in reading.LOGS:
        found = pa.table({name: reading.predictions(model, reading.log_of(folder, log))})
        assert_same(found, expected(release, f"predictions-{log}").select([name]), rtol=rtol)


@pytest.mark.parametrize(("release", "name"), models("bkt", "blend"))
def test_a_model_knows_the_mastery_that_it_knew(release: str, name: str) -> None:
    folder = GOLDEN / release
    bits = ("mastery",) if name in about(release)["exact"] else ()  # exp and log enter the intervals of all
    for log in reading.LOGS:
        wanted = expected(release, f"mastery-{log}")
        wanted = wanted.filter(pc.equal(wanted["model"], name)).drop_columns("model")
        found = reading.mastery(reading.model_of(folder, name), reading.log_of(folder, log))
        assert found is not None
        assert len(found)
        assert_same(found, wanted, rtol=tolerance(release), bits=bits)


SINCE = {"boosted"}  # families that the newest release did not have; none with the next


def test_every_family_has_a_golden_model() -> None:
    files = (NEWEST / "models").glob("*.json")
    assert {reading.read_json(file)["content"]["family"] for file in files} == reading.families() - SINCE


def test_every_option_of_a_bkt_has_a_golden_model() -> None:
    contents = [reading.read_json(file)["content"] for file in (NEWEST / "models").glob("bkt*.json")]
    defaults = reading.bkt_options()
    assert {name for name in defaults if len({json.dumps(content[name]) for content in contents}) > 1} == set(defaults)
    assert {content["combine"] for content in contents} == {"conjunctive", "mean", "min", "weakest-first"}


# ---- stats ------------------------------------------------------------------


@pytest.mark.parametrize(("release", "name"), each_of(*reading.STATS))
def test_stats_hold_the_counts_that_they_held(release: str, name: str) -> None:
    folder = GOLDEN / release
    stats = reading.stats_of(folder, name)
    assert_same(reading.symbols(stats), expected(release, f"symbols-{name}"))
    assert_same(reading.sequences(stats), expected(release, f"sequences-{name}"))
    fit = pa.table({name: reading.fitted_to(stats, name, reading.log_of(folder, "kinds"))})
    varies = bool(reading.STATS[name]().variation)
    assert_same(fit, expected(release, "fits").select([name]), rtol=SHORT_OF_OPTIMUM if varies else OPTIMUM)


# ---- a state ----------------------------------------------------------------


@pytest.mark.parametrize(("release", "name"), each_of(*reading.STATES))
def test_a_third_night_goes_on_from_the_state_of_two(release: str, name: str, tmp_path: Path) -> None:
    folder = GOLDEN / release
    bits = ("mastery",) if reading.STATES[name] in about(release)["exact"] else ()
    mastery, rows, late = reading.third_night(folder, name, tmp_path)
    assert (rows, late) == (pq.read_metadata(folder / "nights" / "night-3.parquet").num_rows, 1)
    assert_same(mastery, expected(release, f"night-{name}"), rtol=tolerance(release), bits=bits)
    anew, _, _ = reading.score_nights(folder, reading.STATES[name], tmp_path / "anew")
    assert mastery.equals(anew)


# ---- a store ----------------------------------------------------------------


@pytest.mark.parametrize("release", RELEASES)
@pytest.mark.parametrize("replayed", [False, True], ids=["as stored", "replayed"])
def test_a_store_says_what_it_said(release: str, replayed: bool, tmp_path: Path) -> None:
    with reading.tutor_of(GOLDEN / release, tmp_path) as tutor:
        if replayed:
            assert reading.rebuild(tutor) == len(reading.ROSTER) - 1
        for name, table in reading.store_tables(tutor).items():
            assert_same(table, expected(release, f"store-{name}"), rtol=tolerance(release))


@pytest.mark.parametrize("release", RELEASES)
def test_events_of_a_store_that_are_delivered_again_are_known(release: str, tmp_path: Path) -> None:
    with reading.tutor_of(GOLDEN / release, tmp_path) as tutor:
        assert reading.deliver_again(tutor, expected(release, "store-events")) == 0


# ---- newer schemas ----------------------------------------------------------


def make_json_newer(file: Path) -> None:
    file.write_text(json.dumps(reading.read_json(file) | {"schema": NEWER}))


def make_stats_newer(file: Path) -> None:
    table = pq.read_table(file)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"schema": str(NEWER)}), file)


def make_store_newer(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection:
        connection.execute(f"PRAGMA user_version = {NEWER}")


def open_store(folder: Path, scratch: Path) -> None:
    with reading.tutor_of(folder, scratch):
        pass


@pytest.mark.parametrize(
    ("file", "make_newer", "read"),
    [
        ("models/bkt.json", make_json_newer, lambda folder, _: reading.model_of(folder, "bkt")),
        ("stats/plain.parquet", make_stats_newer, lambda folder, _: reading.stats_of(folder, "plain")),
        ("states/bkt/_manifest.json", make_json_newer, lambda folder, scratch: reading.third_night(folder, "bkt", scratch)),
        ("store.db", make_store_newer, open_store),
    ],
    ids=["model", "stats", "state", "store"],
)
def test_a_file_of_a_newer_schema_is_refused_in_one_line(
    file: str, make_newer: Callable[[Path], None], read: Callable[[Path, Path], Any], tmp_path: Path
) -> None:
    folder, before, after = tmp_path / "golden", tmp_path / "before", tmp_path / "after"
    shutil.copytree(NEWEST, folder)
    before.mkdir()
    read(folder, before)
    make_newer(folder / file)
    after.mkdir()
    with pytest.raises(at.AdaptraceError) as told:
        read(folder, after)
    line = rf"\S+{Path(file).name}: schema {NEWER}, this version reads up to \d+; upgrade adaptrace"
    assert re.fullmatch(line, str(told.value))
