"""Keys of pseudonyms: a file of secrets, one a generation; the last is the newest.

The pseudonym of the first generation is made of the name; that of each later one of the pseudonym before it. So tables under an
old key become tables under the new one without a real name (:mod:`adaptrace.privacy.rotation`), a log that comes later gets the
same new pseudonyms from the names, and who has the old key file alone can make none of them: they lack the newest secret.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from adaptrace.errors import DataError, OutputError, Problem
from adaptrace.io.modes import PRIVATE

BYTES = 32  # of a secret: as many as SHA-256 gives
DIGITS = 32  # of a pseudonym, hexadecimal: 128 bits
PSEUDONYM = re.compile(rb"[0-9a-f]{%d}" % DIGITS)
REMEMBERED = 1 << 17  # names of a column: a bound of the memory, no more
Pseudonym = Callable[[bytes], str]
PathLike = str | os.PathLike[str]


@dataclass(frozen=True, repr=False)
class Key:
    """The secrets of every generation, the newest last."""

    generations: tuple[bytes, ...]

    @property
    def fingerprint(self) -> str:
        """What tells keys apart, and tells nothing of the secrets."""
        return hashlib.sha256(b"adaptrace key\0" + b"".join(self.generations)).hexdigest()[:16]

    def __repr__(self) -> str:
        return f"Key({self.fingerprint}, {len(self.generations)} generations)"


def pseudonym_of(key: Key, column: str) -> Pseudonym:
    """What makes pseudonyms of the names (UTF-8) of a column.

    Examples
    --------
    >>> student = pseudonym_of(Key((bytes(32),)), "student")
    >>> student(b"Ada")
    '62a7f8999d0258c7958626ab4567af77'
    >>> student(b"Ada") == pseudonym_of(Key((bytes(32),)), "teacher")(b"Ada")
    False
    """
    start = column.encode() + b"\0"

    @lru_cache(REMEMBERED)
    def make(name: bytes) -> str:
        for secret in key.generations:
            name = hmac.digest(secret, start + name, "sha256").hex()[:DIGITS].encode()
        return name.decode()

    return make


def new_key(path: PathLike) -> None:
    """Write a new random key that only its owner may read.

    Raises
    ------
    OutputError
        If there is a file of this name already, or it cannot be written.
    """
    _write(path, Key((secrets.token_bytes(BYTES),)))


def successor(key: Key, path: PathLike) -> Key:
    """The key with one more generation: what an earlier call wrote to this path, or a new random one, written there.

    Raises
    ------
    DataError
        If another key is there.
    OutputError
        If it cannot be written.
    """
    if not Path(path).exists():
        _write(path, Key((*key.generations, secrets.token_bytes(BYTES))))
    found = read_key(path)
    if found.generations[:-1] != key.generations:
        raise _no_key(path, "a key that does not follow the old one", "name a file that is not there: it is made")
    return found


def _write(path: PathLike, key: Key) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, PRIVATE)
    except FileExistsError as error:
        raise OutputError(
            f"{path}: is there already; a new key makes other pseudonyms: use this one, or name another file"
        ) from error
    except OSError as error:
        raise OutputError(f"{path}: cannot be written: {error.strerror}; choose a folder that exists and is writable") from error
    with os.fdopen(handle, "w") as file:
        file.write("".join(f"{secret.hex()}\n" for secret in key.generations))
        file.flush()
        os.fsync(handle)


def read_key(path: PathLike) -> Key:
    """The key that :func:`new_key` wrote.

    Raises
    ------
    DataError
        If there is none, it is no key, or others than its owner may read it.
    """
    try:
        text, rights = Path(path).read_bytes().strip(), Path(path).stat().st_mode & 0o777
    except OSError as error:
        raise _no_key(path, error.strerror or str(error), "make one with --new-key, or check the path") from error
    if os.name == "posix" and rights & 0o077:
        raise _no_key(path, f"a key that others may read (mode {rights:03o})", f"run: chmod 600 {path}")
    try:
        generations = tuple(bytes.fromhex(line.decode("ascii")) for line in text.split(b"\n"))
    except ValueError:
        generations = (b"",)
    if min(map(len, generations)) < BYTES:
        raise _no_key(path, f"{len(text)} bytes that are no key", "make one with --new-key; a key cannot be thought up")
    return Key(generations)


def _no_key(path: PathLike, got: str, remedy: str) -> DataError:
    return DataError(os.fspath(path), [Problem(got, f"{2 * BYTES} or more hexadecimal digits, for its owner alone", remedy)])
