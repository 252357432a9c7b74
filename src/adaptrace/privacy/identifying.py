"""Identifying columns: which columns of a table look as if they told who someone is, by their heading and by a sample of cells.

The whole rule is here, and it is the same in every run. By its heading a column looks like names, e-mail addresses, telephone
numbers, birth dates, addresses, numbers of documents, IP addresses or free text (:data:`HEADINGS`), or is another name of a
column that gets pseudonyms. By its cells, of up to 2,000 rows of a file (:func:`sample_of`), it does if

- any cell holds an e-mail address, or a web address with someone's name or account in it;
- half of the cells or more are telephone numbers, social security numbers or IP addresses;
- all cells are dates of 1990 to 2022, half a year apart or more, and no student has two of them: birth dates;
- half of the cells or more have three words or 60 characters, hardly any two are the same, and they do not belong to the items:
  free text;
- its cells are bytes that nobody can look into.

A log's own columns (item, skill, time, group, ...) may hold long texts, numbers and dates: of these five they are only looked
through for addresses. What no rule can see is a bare name or a code under a heading that does not say so.
"""

from __future__ import annotations

import datetime
import itertools
import re
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from adaptrace.data import schema
from adaptrace.io import cells, folders
from adaptrace.io.files import DELIMITED, ending_of
from adaptrace.privacy import rewrite

HEAD, SPREAD = 1_000, 1_000  # rows of a sample: the first ones, and others from all over the first piece of the file
FEWEST = 20  # cells from which a share of them tells something
BIRTHS = (1990, 2022)  # years
WORDS, LONG = 3, 60  # of a text that someone wrote: words, or characters
LOOKED_AT = 2_000  # characters of a cell or a heading

_PERSON = (
    r"(?:student|pupil|learner|child|parent|guardian|mother|father|teacher|tutor|instructor|coach|mentor|counsell?or|advis[eo]r)"
)
_WHICH = r"(?:first|last|full|given|family|middle|maiden|nick|user|display|preferred|legal|login|screen)"
HEADINGS = {  # what a column looks like -> its heading in lower case, words apart
    "names of people": (
        rf"names?|(?:.* )?{_WHICH} ?names?(?: .*)?|(?:.* )?(?:surname|forename|initials|login)|(?:.* )?{_PERSON}s?(?: names?)?"
    ),
    "e-mail addresses": r"(?:.* )?(?:e ?)?mails?(?: .*)?",
    "telephone numbers": r"(?:.* )?(?:tele)?(?:phone|fax|mobile|whatsapp)s?(?: .*)?|(?:.* )?cell ?phones?(?: .*)?",
    "birth dates": r"(?:.* )?(?:birth ?da(?:y|te)|birth|dob|born|date of birth)(?: .*)?",
    "IP addresses": r"(?:.* )?ip(?:v[46])?(?: addr(?:ess)?(?:es)?)?",
    "addresses": r"(?:.* )?(?:address(?:es)?|street|zip ?code|zip|post ?code|postal code)(?: .*)?",
    "numbers of documents": r"(?:.* )?(?:ssn|social security|passport|national id|tax id|driver'?s? licen[cs]e)(?: .*)?",
    "free text": r"(?:.* )?(?:comments?|notes?|remarks?|feedback|messages?|essays?|bio|free ?text|reflections?)",
}
_ADDRESSES = {
    "e-mail addresses": re.compile(r"(?<=[^\s@<>,;:])@[^\s@<>,;:]{1,255}\.[A-Za-z]{2,}"),
    "web addresses of people": re.compile(
        r"(?i)\bhttps?://\S{0,200}(?:@|/~|/(?:users?|u|people|profiles?|members?)/|[?&](?:user|username|login|email|name|student)=)"
    ),
}
_NUMBERS = {
    "numbers of documents": re.compile(r"\d{3}-\d{2}-\d{4}"),
    "telephone numbers": re.compile(
        r"\+\d[\d ().-]{6,18}|\(\d{2,4}\)[ ./-]?\d[\d ./-]{4,}|\d{3}[-. ]\d{3}[-. ]\d{4}|0\d{1,4} ?[/-] ?\d[\d -]{3,}"
    ),
    "IP addresses": re.compile(r"(?:\d{1,3}\.){3}\d{1,3}|(?:[0-9a-fA-F]{0,4}:){3,7}[0-9a-fA-F]{0,4}"),
}
_DATE = re.compile(r"(\d{4})-(\d{1,2})-(\d{1,2})(?:[T ]00:00(?::00)?(?:\.0+)?Z?)?|(\d{1,2})[./-](\d{1,2})[./-](\d{4})")
_OWN = schema.names_of(*schema.RESPONSES) - schema.names_of(schema.STUDENT)
_ITEM = schema.names_of(schema.ITEM)


def looks(file: Path, names: Mapping[str, str]) -> dict[str, str]:
    """What the columns of a table file, and of the names of its folders, look like; those that look like nothing are left out.

    Parameters
    ----------
    file
        The table.
    names
        The columns that get pseudonyms: our name -> its name in the file. These are not looked at.
    """
    sample = sample_of(file)
    schema.check_once(sample.column_names, str(file))
    others = {alias.lower() for column in names for alias in rewrite.names_for(column)}
    student, found = names.get("student"), dict[str, str]()
    who = _codes(sample[student]) if student else np.arange(len(sample))
    for field in sample.schema:
        if field.name in names.values():
            continue
        same_for_item = any(_depends(sample[field.name], sample[name]) for name in sample.column_names if name.lower() in _ITEM)
        look = "names of students" if field.name.strip().lower() in others else of_heading(field.name)
        look = look or of_cells(sample[field.name], who, field.name.strip().lower() in _OWN or same_for_item)
        found |= {field.name: look} if look else {}
    for name, value in folders.columns_of(file).items():
        look = of_heading(name) or of_cells(pa.chunked_array([[value]], pa.string()), np.zeros(1, int), True)
        found |= {name: look} if look else {}
    return found


def sample_of(file: Path) -> pa.Table:
    """The first rows of a file, and as many from all over its first piece."""
    for piece in rewrite.pieces(file):
        rows = np.unique(np.append(np.arange(min(HEAD, len(piece))), np.linspace(0, len(piece) - 1, SPREAD).astype(np.int64)))
        piece = piece.take(pa.array(rows)) if len(piece) else piece
        return cells.restored(piece) if ending_of(file) in DELIMITED else piece
    return rewrite.schema_of(file).empty_table()


def of_heading(name: str) -> str | None:
    """What a column looks like by its heading.

    Examples
    --------
    >>> of_heading("homeEmail"), of_heading("skill_name"), of_heading("teacher_id")
    ('e-mail addresses', None, None)
    """
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name[:LOOKED_AT])
    words = " ".join(re.split(r"[\W_]+", words)).strip().lower()
    return next((look for look, heading in HEADINGS.items() if re.fullmatch(heading, words)), None)


def _values(column: pa.ChunkedArray) -> list[Any]:
    """The cells as Python has them; times beyond the year 9999, which it has not, as numbers."""
    try:
        return list(column.to_pylist())
    except (OverflowError, ValueError):
        return list(column.cast(pa.int64()).to_pylist()) if pa.types.is_temporal(column.type) else []


def of_cells(column: pa.ChunkedArray, who: np.ndarray, own: bool) -> str | None:
    """What a column looks like by its cells; ``who`` (n,) is the student of each; ``own``: only addresses are looked for."""
    values = [_flat(value) for value in _values(column)]
    texts = [text[:LOOKED_AT] for held in values for text in held if isinstance(text, str)]
    for look, pattern in _ADDRESSES.items():
        if any(map(pattern.search, texts)):
            return look
    if any(isinstance(cell, bytes) for held in values for cell in held):
        return "bytes"
    if own or not any(values):
        return None
    for look, pattern in _NUMBERS.items():
        if 2 * sum(pattern.fullmatch(text.strip()) is not None for text in texts) >= len(texts) > 0:
            return look
    if _are_births(values, who):
        return "birth dates"
    return "free text" if _are_written(texts) else None


def _flat(value: object) -> list[object]:
    """The cells in a cell: of a list or a structure several."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return list(itertools.chain.from_iterable(map(_flat, value)))
    return [] if value is None or value == "" else [value]


def _are_written(texts: Collection[str]) -> bool:
    """Whether texts are such as people write: of several words, or long, and hardly twice the same."""
    long = [text for text in texts if len(text.split()) >= WORDS or len(text) >= LONG]
    different = len(set(long)) * 2 >= len(long)
    return different and (len(long) * 2 >= len(texts) if len(texts) >= FEWEST else any(len(text) >= LONG for text in long))


def _are_births(values: Iterable[list[object]], who: np.ndarray) -> bool:
    """Whether all cells are dates as of births, and each student has one."""
    dates: dict[int, set[datetime.date]] = {}
    for held, student in zip(values, who.tolist(), strict=True):
        for cell in held:
            date = _date_of(cell)
            if date is None or not BIRTHS[0] <= date.year <= BIRTHS[1]:
                return False
            dates.setdefault(student, set()).add(date)
    every = set().union(*dates.values())
    return max(map(len, dates.values())) == 1 and (max(every) - min(every)).days > 180


def _date_of(cell: object) -> datetime.date | None:
    """A date, or the date of a time at midnight."""
    if isinstance(cell, datetime.datetime):
        return cell.date() if cell.time() == datetime.time() else None
    if isinstance(cell, datetime.date):
        return cell
    found = _DATE.fullmatch(cell.strip()) if isinstance(cell, str) else None
    if found is None:
        return None
    year, first, second = (int(part) for part in (found.group(1, 2, 3) if found[1] else found.group(6, 4, 5)))
    month, day = (first, second) if first <= 12 else (second, first)
    try:
        return datetime.date(year, month, day)
    except ValueError:
        return None


def _codes(column: pa.ChunkedArray) -> np.ndarray:
    """A number for each cell, the same where the cells are."""
    return np.unique(np.array([str(value) for value in _values(column)]), return_inverse=True)[1]


def _depends(column: pa.ChunkedArray, on: pa.ChunkedArray) -> bool:
    """Whether a column has one value for each value of another, of which many stand in several rows."""
    one, other = _codes(column), _codes(on)
    kinds = len(np.unique(other))
    return 2 * kinds <= len(other) and len(np.unique(np.stack([one, other]), axis=1).T) == kinds
