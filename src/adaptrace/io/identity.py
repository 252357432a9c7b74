"""Identity: what names the content of a file, whatever its own name."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet

from adaptrace.errors import DataError, Problem
from adaptrace.io.files import ARROW, PARQUET, ending_of, find_files, is_stream, reading_errors

EARLIER = b"adaptrace.was"  # in a file's metadata: the identities it had before, a JSON list


def identity(path: str | os.PathLike[str]) -> str:
    """Name the content of a file: 16 hexadecimal digits that change when its content does.

    Of Parquet they are made of the file's size and its footer (the place, size and statistics of every column of every row
    group), which costs a millisecond however large the file is: a change that keeps all of these is not seen. Of other formats
    they are made of every byte.

    Examples
    --------
    >>> from adaptrace.data.sample import sample_path
    >>> len(identity(sample_path("responses.parquet")))
    16
    """
    place, digest = Path(path), hashlib.sha256()
    with reading_errors(place), place.open("rb") as file:
        if ending_of(place) in PARQUET:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(size - 8, 0))  # the length of the footer, then "PAR1" (Parquet format, "File format")
            file.seek(max(size - 8 - int.from_bytes(file.read(4), "little"), 0))
            digest.update(size.to_bytes(8, "little"))
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()[:16]


def identities(path: str | os.PathLike[str]) -> tuple[str, ...]:
    """The identity of a file, then those it had before rows were taken out of it (latest first), as far as it can say."""
    try:
        earlier = json.loads((_metadata(Path(path)) or {}).get(EARLIER, b"[]"))
        if not isinstance(earlier, list) or not all(isinstance(each, str) for each in earlier):
            raise ValueError("no list of texts")
    except (ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        problem = Problem(f"{error} in its metadata", f"a list of identities as {EARLIER.decode()}", "restore the file")
        raise DataError(os.fspath(path), [problem]) from error
    return (identity(path), *earlier)


def _metadata(path: Path) -> dict[bytes, bytes] | None:
    """What a Parquet or Arrow file says beside its table."""
    ending, found = ending_of(path), None
    with reading_errors(path):
        if ending in PARQUET:
            found = pyarrow.parquet.read_metadata(path).metadata
        elif ending in ARROW:
            with (pa.ipc.open_stream if is_stream(path) else pa.ipc.open_file)(path) as reader:
                found = reader.schema.metadata
    return found


def sources(path: str | os.PathLike[str]) -> list[dict[str, str]]:
    """The files behind a path, a folder or a glob, each as its ``file`` (from the folder on) and ``identity``."""
    return [{"file": name_in(path, file), "identity": identity(file)} for file in find_files(path)]


def name_in(path: str | os.PathLike[str], file: Path) -> str:
    """What to call one of the files behind a path: from the folder on, whatever the machine."""
    return file.relative_to(path).as_posix() if Path(path).is_dir() else file.name
