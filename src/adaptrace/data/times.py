"""Times: what a moment is, in a column or in a call. All are microseconds since 1970 in UTC; one without a zone is UTC."""

from __future__ import annotations

import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from adaptrace.data.checks import Checked, as_int64, first_bad, no_null, wrong_type
from adaptrace.data.values import decoded, is_number, is_text
from adaptrace.io.tables import is_missing

TIME = pa.timestamp("us", tz="UTC")  # the type of every time
SECONDS = (-62_135_596_800, 253_402_300_799)  # the first and the last time of a Python date, in seconds since 1970
UNITS = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}  # in a second
FIRST, LAST = SECONDS[0] * UNITS["us"], (SECONDS[1] + 1) * UNITS["us"] - 1  # the same in microseconds
EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
MICROSECOND = datetime.timedelta(microseconds=1)
YEARS = "a time of the years 1 to 9999 in UTC"
REMEDY = (
    "give ISO 8601 times, say time_unit= (--time-unit) if numbers count from 1970, or pass columns={'order': ...} for an order"
)


def moment_of(time: datetime.datetime | None) -> int | None:
    """Microseconds since 1970 of a time (UTC if without a zone).

    Raises
    ------
    ValueError
        If it is no time, or in UTC not one of the years 1 to 9999.
    """
    if time is None:
        return None
    if type(time) is datetime.datetime and time.tzinfo is datetime.UTC:  # nearly always: it is of these years
        return (time - EPOCH) // MICROSECOND
    if not isinstance(time, datetime.datetime) or is_missing(time):  # pandas.NaT is a datetime
        raise ValueError(f"time: got {time!r}; expected a datetime.datetime")
    moment = microseconds(time)
    if not _is_in_years(moment):
        raise ValueError(f"time: got {time}; expected {YEARS}; correct the time or its zone")
    return moment


def time_of(moment: int) -> datetime.datetime:
    """The time, in UTC, of microseconds since 1970."""
    return EPOCH + moment * MICROSECOND


def microseconds(time: datetime.datetime) -> int:
    """Microseconds since 1970 of any time (UTC if without a zone)."""
    aware = time if time.utcoffset() is not None else time.replace(tzinfo=datetime.UTC)
    return (aware - EPOCH) // MICROSECOND


def _is_in_years(moment: int) -> bool:
    return FIRST <= moment <= LAST


def check_time(array: pa.Array) -> Checked:
    """Timestamps as microseconds in UTC (a time without a zone is UTC); text is read as ISO 8601."""
    array = decoded(array)
    if is_text(array.type):
        return _times_of_text(array)
    if pa.types.is_null(array.type):
        array = array.cast(TIME)
    if not (pa.types.is_timestamp(array.type) or pa.types.is_date(array.type)):
        return wrong_type(array, "timestamps", REMEDY)
    years = _check_years(array)
    if years.array is None:
        return years
    if pa.types.is_date(array.type):
        array = array.cast(pa.timestamp("us"))
    array = array.cast(pa.timestamp("us", tz=array.type.tz), safe=False)
    array = array.cast(TIME) if array.type.tz else array.view(TIME)
    return no_null(array, "a time in every row", REMEDY)


def _times_of_text(array: pa.Array) -> Checked:
    """Moments of ISO 8601 texts, or the problem of the first that is none, or of no year that Python has."""
    moments = [_from_iso(text) for text in array.to_pylist()]
    checked = first_bad(
        array, pa.array([moment is None for moment in moments], pa.bool_()), "an ISO 8601 time in every row", REMEDY
    )
    if checked.array is None:
        return checked
    outside = pa.array([not _is_in_years(moment) for moment in moments if moment is not None], pa.bool_())
    checked = first_bad(array, outside, YEARS, "correct the time or its zone")
    return checked if checked.array is None else Checked(pa.array(moments, pa.int64()).view(TIME))


def _from_iso(text: str | None) -> int | None:
    try:
        return None if text is None else microseconds(datetime.datetime.fromisoformat(text.strip()))
    except ValueError:
        return None


def _check_years(array: pa.Array) -> Checked:
    """Dates and timestamps of years that Python has; others would be read as another time, or not at all."""
    kind = array.type
    a_second = 1 / 86_400 if pa.types.is_date32(kind) else UNITS["ms" if pa.types.is_date(kind) else kind.unit]
    number = array.cast(pa.int32() if pa.types.is_date32(kind) else pa.int64())
    low, high = (int(min(max(second * a_second, -(2**63)), 2**63 - 1)) for second in SECONDS)
    least, most = (pc.min_max(number)[end].as_py() for end in ("min", "max"))
    if least is None or (least >= low and most <= high):
        return Checked(array)
    bad = pc.fill_null(pc.or_(pc.less(number, low), pc.greater(number, high)), False)
    return first_bad(number, bad, f"a time of the years 1 to 9999, {low} to {high} as {kind}", "correct or drop these rows")


# ---- numbers as times -------------------------------------------------------


def clock(array: pa.Array, unit: str) -> Checked:
    """Numbers that count from 1970 in a unit, also with a fraction, as times; what is no number stays as it is."""
    array = decoded(array)
    if is_text(array.type):
        array = _numbers_of_text(array)
    if not is_number(array.type) or pa.types.is_null(array.type):
        return Checked(array)
    remedy = "correct these rows or time_unit (--time-unit)"
    if pa.types.is_integer(array.type):
        whole = as_int64(array, f"whole {unit} since 1970", remedy)
        return whole if whole.array is None else Checked(whole.array.cast(pa.timestamp(unit)))
    number = array.cast(pa.float64(), safe=False)
    low, high = (float(second * UNITS[unit]) for second in SECONDS)
    inside = pc.and_(pc.greater_equal(number, low), pc.less_equal(number, high))
    checked = first_bad(number, pc.fill_null(pc.invert(inside), False), f"{unit} since 1970, of the years 1 to 9999", remedy)
    return checked if checked.array is None else Checked(_rounded(number, 10**6 / UNITS[unit]))


def _rounded(number: pa.DoubleArray, scale: float) -> pa.TimestampArray:
    """Numbers times a scale as microseconds, rounded."""
    micros = np.rint(number.to_numpy(zero_copy_only=False) * scale)
    return pa.array(micros, pa.float64(), from_pandas=True).cast(pa.int64()).view(TIME)


def _numbers_of_text(array: pa.Array) -> pa.Array:
    """Texts that are all numbers as these numbers; others as they are."""
    if pc.all(pc.match_substring_regex(array, r"^\s*-?\d+(\.\d*)?\s*$")).as_py() is not True:
        return array
    number = pc.utf8_trim_whitespace(array)
    has_fraction = pc.any(pc.match_substring(number, ".")).as_py()
    long = (pc.max(pc.utf8_length(number)).as_py() or 0) > 18  # more digits than int64 has
    return number.cast(pa.float64() if has_fraction or long else pa.int64())
