"""Envelope: a JSON file of ours says what it holds, of which schema it is, and the fingerprint of its content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from adaptrace.errors import ModelError
from adaptrace.io.atomic import replacing

SCHEMA = 1  # of everything this version writes; it reads all up to this number


def fingerprint(content: Mapping[str, Any]) -> str:
    """A fingerprint of the content, the same whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def write(
    path: str | os.PathLike[str],
    what: str,
    content: Mapping[str, Any],
    *,
    sources: Sequence[Mapping[str, str]] = (),
    shared: bool = False,
) -> None:
    """Write a ``what``, whole or not at all.

    ``sources``: the files it was made of (:func:`adaptrace.io.identity.sources`). ``shared``: it holds no students, so that
    whom the umask allows may read it.
    """
    document: dict[str, Any] = {"adaptrace": what, "schema": SCHEMA, "fingerprint": fingerprint(content)}
    if sources:
        document["sources"] = list(sources)  # not in the content: the same model from other files has the same fingerprint
    document["content"] = content
    with replacing(path, shared=shared) as temporary:
        temporary.write_text(json.dumps(document, indent=1) + "\n")


def read(path: str | os.PathLike[str], what: str) -> dict[str, Any]:
    """The content of a file that :func:`write` wrote.

    Raises
    ------
    ModelError
        If there is no such file, it is something else, damaged, or of a newer schema.
    """
    content: dict[str, Any] = _document(path, what)["content"]
    return content


def sources(path: str | os.PathLike[str], what: str = "model") -> list[dict[str, str]]:
    """The files that a ``what`` was made of, each as ``file`` and ``identity``; none where it does not say.

    Raises
    ------
    ModelError
        As :func:`read` does.
    """
    found: list[dict[str, str]] = _document(path, what).get("sources", [])
    if not are_sources(found):
        raise ModelError(f"{path}: its sources are no list of files; it was edited or damaged: save it again")
    return found


def are_sources(found: object) -> bool:
    """Whether this is a list of files, each as ``file`` and ``identity``."""
    rows = found if isinstance(found, list) else [None]
    return all(isinstance(each, dict) and all(isinstance(text, str) for text in each.values()) for each in rows)


def _document(path: str | os.PathLike[str], what: str) -> dict[str, Any]:
    try:
        document = json.loads(Path(path).read_bytes())
    except OSError as error:
        raise ModelError(f"{path}: cannot be read: {error.strerror}; expected a {what} written by adaptrace") from error
    except (ValueError, RecursionError) as error:
        raise ModelError(f"{path}: not JSON ({error}); expected a {what} written by adaptrace") from error
    if not isinstance(document, dict) or document.get("adaptrace") != what:
        raise ModelError(f"{path}: not a {what}; expected a file written by adaptrace's save()")
    number, content = document.get("schema"), document.get("content")
    if not isinstance(number, int) or not isinstance(content, dict):
        raise ModelError(f"{path}: no schema number or no content; it was edited or damaged: save it again")
    if number > SCHEMA:
        raise ModelError(f"{path}: schema {number}, this version reads up to {SCHEMA}; upgrade adaptrace")
    if fingerprint(content) != document.get("fingerprint"):
        raise ModelError(f"{path}: its content does not match its fingerprint; it was edited or damaged: save it again")
    return document
