"""Rotation: tables under an old key become tables under a new one, without a real name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from adaptrace.errors import DataError, Problem
from adaptrace.privacy.keys import DIGITS, PSEUDONYM, Key, PathLike, pseudonym_of, read_key, successor
from adaptrace.privacy.pseudonyms import Pseudonymized, Renamed, Renaming, check_target, noted, wanted_of, write_all


def rotate_key(
    source: PathLike,
    out: PathLike,
    *,
    key_file: PathLike,
    new_key_file: PathLike,
    columns: Sequence[str] = ("student",),
    mapping: Mapping[str, str] | None = None,
) -> Pseudonymized:
    """Write tables of pseudonyms again, with those of a new key: file by file, in the same formats.

    A new pseudonym is made of the old one and a secret that is in the new key file alone. The new key file also holds the old
    secrets: :func:`adaptrace.pseudonymize` with it makes the same new pseudonyms of real names. Who has the old key cannot tell
    whose a new pseudonym is. Who has the new key file can: replace the old one by it. Who has both the old tables and the new
    ones can match their rows, by items and times: delete the old ones.

    Parameters
    ----------
    source
        What :func:`adaptrace.pseudonymize` wrote: a table, or a folder of them. Not changed.
    out
        Where to write; appears whole or not at all.
    key_file
        The key of the pseudonyms.
    new_key_file
        Where to write the new key. If it is there, it must follow the old one: so further tables, and a run that was killed, get
        the same new pseudonyms.
    columns, mapping
        As they were for :func:`adaptrace.pseudonymize`.

    Raises
    ------
    DataError
        If a column holds something else than pseudonyms, a file says that its pseudonyms are of another key, or a key file is
        missing or no key.
    OutputError
        If ``out`` is there already, is inside ``source``, or cannot be written.

    Examples
    --------
    >>> import tempfile
    >>> from adaptrace.data.sample import sample_path
    >>> from adaptrace.privacy.keys import new_key
    >>> from adaptrace.privacy.pseudonyms import pseudonymize
    >>> here = tempfile.mkdtemp()
    >>> new_key(f"{here}/key")
    >>> done = pseudonymize(sample_path("responses.parquet"), f"{here}/log.parquet", key_file=f"{here}/key")
    >>> rotate_key(f"{here}/log.parquet", f"{here}/new.parquet", key_file=f"{here}/key", new_key_file=f"{here}/new-key")
    Pseudonymized(files=1, rows=23550, students=300)
    """
    key, place, target = read_key(key_file), Path(source), Path(out)
    check_target(place, target)
    wanted = wanted_of(place, columns, mapping or {})
    problems = [problem for file, names in wanted.items() for problem in _of_other_keys(file, names, key)]
    if problems:
        raise DataError(str(place), problems)
    new = successor(key, new_key_file)
    makers = {column: _rotated_by(new, column) for column in columns}
    return write_all(place, target, [Renaming(file, names, makers, new) for file, names in wanted.items()])


def _of_other_keys(file: Path, names: Mapping[str, str], key: Key) -> list[Problem]:
    remedy = "give the key that they were made with; tables that were rotated before are ready"
    others = [column for column, made in noted(file).items() if column in names and made != key.fingerprint]
    return [Problem("pseudonyms of another key", "those of the old key", remedy, names[each], file=str(file)) for each in others]


def _rotated_by(key: Key, column: str) -> Renamed:
    """What makes new pseudonyms of old ones: the newest generation's step alone."""
    make = pseudonym_of(Key(key.generations[-1:]), column)

    def rotate(old: Sequence[bytes], file: Path, place: str) -> list[str]:
        if not all(map(PSEUDONYM.fullmatch, old)):
            got, remedy = "a value that is no pseudonym", "replace the names first (adaptrace pseudonymize)"
            raise DataError(str(file), [Problem(got, f"{DIGITS} hexadecimal digits in every row", remedy, place)])
        return list(map(make, old))

    return rotate
