"""Times: numbers with a unit, texts with a zone, objects of Python; never a moment that wrapped around."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

import adaptrace as at
from adaptrace.data.times import UNITS, moment_of

SECOND = 1_680_256_800  # of 2023
UTC, EAST = datetime.UTC, datetime.timezone(datetime.timedelta(hours=5))
Moment = datetime.datetime


def moments(values: Any, unit: str | None = None) -> list[int]:
    """Microseconds since 1970 of a column of times, one student a row."""
    size = len(values)
    table = {"student": [f"s{row}" for row in range(size)], "item": ["q"] * size, "skill": ["s"] * size, "correct": [1] * size}
    log = at.Log.from_arrow({**table, "time": values}, time_unit=unit)
    return log.moments.tolist()


@pytest.mark.parametrize("unit", UNITS)
@pytest.mark.parametrize("kind", ["floats", "decimals", "texts"])
def test_numbers_with_a_fraction_are_times_in_any_unit(unit: str, kind: str) -> None:
    number = Decimal(SECOND) * UNITS[unit] + Decimal("0.5")
    made = {"floats": [float(number)], "decimals": [number], "texts": [f" {number}"]}[kind]
    assert moments(made, unit)[0] == pytest.approx(SECOND * 10**6 + 500_000 / UNITS[unit], abs=0.51)


def test_whole_seconds_that_a_frame_made_floats_keep_every_second() -> None:
    assert moments(pd.array([SECOND, SECOND + 1], "float64"), "s") == [SECOND * 10**6, (SECOND + 1) * 10**6]
    assert moments(pa.array([str(SECOND), str(SECOND + 1)]), "s") == [SECOND * 10**6, (SECOND + 1) * 10**6]


@pytest.mark.parametrize("as_number", [int, float, str], ids=["integers", "floats", "texts"])
@pytest.mark.parametrize(("given", "unit"), [(a, b) for a in UNITS for b in UNITS if UNITS[a] > UNITS[b]])
def test_a_finer_unit_than_said_is_told_and_does_not_wrap(given: str, unit: str, as_number: type) -> None:
    with pytest.raises(at.DataError, match=r"column 'time', row 1: got .*years 1 to 9999"):
        moments([as_number(SECOND * UNITS[given])], unit)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 1e300, -1e300])
def test_a_number_that_is_no_time_is_told_with_its_row(value: float) -> None:
    with pytest.raises(at.DataError, match="column 'time', row 2"):
        moments([1.0, value], "s")


@pytest.mark.parametrize(
    "column", [pa.array([2**63, 1], pa.uint64()), pa.array([2**60, 1], pa.timestamp("s")), [2**70, 1]], ids=str
)
def test_a_count_past_every_year_is_told(column: Any) -> None:
    with pytest.raises(at.DataError, match="column 'time', row 1"):
        moments(column, "s")


def test_floats_without_a_unit_ask_for_one() -> None:
    with pytest.raises(at.DataError, match=r"column 'time': got type double; .*--time-unit"):
        moments([1.5])


NOON = 1_704_110_400_000_000  # 2024-01-01T12:00Z
READ = {
    "texts": ["2024-01-01 12:00", "2024-01-01T12:00:00Z", " 2024-01-01T17:00:00+05:00 "],
    "naive and aware": [Moment(2024, 1, 1, 12), Moment(2024, 1, 1, 17, tzinfo=EAST), Moment(2024, 1, 1, 12, tzinfo=UTC)],
    "aware and naive": [Moment(2024, 1, 1, 17, tzinfo=EAST), Moment(2024, 1, 1, 12), Moment(2024, 1, 1, 12, tzinfo=UTC)],
    "objects and texts": [Moment(2024, 1, 1, 12), "2024-01-01T17:00:00+05:00", pd.Timestamp("2024-01-01 12:00")],
    "codes": pa.array([NOON] * 3, pa.timestamp("us")).dictionary_encode(),
    "an unknown zone": pa.array([NOON // 10**6] * 3, pa.timestamp("s", "Nowhere/Town")),
}


@pytest.mark.parametrize("name", READ)
def test_a_time_is_one_moment_however_it_is_written(name: str) -> None:
    assert moments(READ[name]) == [NOON] * 3


def test_days_are_their_midnights() -> None:
    day = datetime.date(2024, 1, 1)
    assert moments([day, "2024-01-01", Moment(2024, 1, 1)]) == moments([day] * 3) == [NOON - 43_200_000_000] * 3


OUTSIDE = [
    "0001-01-01T00:00:00+05:00",
    "9999-12-31T23:59:59-05:00",
    Moment(1, 1, 1, tzinfo=EAST),
    Moment(9999, 12, 31, 23, tzinfo=datetime.timezone(-datetime.timedelta(hours=5))),
]


@pytest.mark.parametrize("value", OUTSIDE, ids=str)
def test_a_time_whose_zone_moves_it_out_of_all_years_is_told(value: Any) -> None:
    with pytest.raises(at.DataError, match=r"column 'time', row 1: got .*years 1 to 9999"):
        moments([value, "2024-01-01"])
    if isinstance(value, Moment):
        with pytest.raises(ValueError, match=r"time: got .*years 1 to 9999"):
            moment_of(value)


def test_the_first_and_the_last_moment_are_times() -> None:
    ends = [Moment(1, 1, 1), Moment(9999, 12, 31, 23, 59, 59, 999_999)]
    assert moments([str(end) for end in ends]) == [moment_of(end) for end in ends]


@pytest.mark.parametrize("value", [pd.NaT, "2024", 5, datetime.date(2024, 1, 1)], ids=str)
def test_what_is_no_time_of_a_call_is_told(value: Any) -> None:
    with pytest.raises(ValueError, match=r"time: got .*; expected a datetime\.datetime"):
        moment_of(value)
