"""Content: what a file seems to hold, whatever its name says, and what an error of Arrow truly says about it."""

from __future__ import annotations

import codecs
import re
from pathlib import Path

from adaptrace.errors import Problem
from adaptrace.io.inflate import codec_of, opened

HEAD = 1 << 16  # bytes that are looked at first
DAMAGED = "the file is damaged or cut short: export or copy it again"
UTF_8 = "text in UTF-8"
SAVE_AS_UTF_8 = "save it as UTF-8 (Excel: Save As, 'CSV UTF-8'; a terminal: iconv -f WINDOWS-1252 -t UTF-8)"
KINDS = {  # start of a file that is no text -> what it is
    b"PAR1": "Parquet",
    b"ARROW1": "an Arrow file",
    b"\xff\xff\xff\xff": "an Arrow stream",
    b"PK\x03\x04": "a ZIP archive, or an Excel workbook (.xlsx)",
    b"\xd0\xcf\x11\xe0": "an old Excel workbook (.xls)",
    b"SQLite format 3": "an SQLite database",
    b"Obj\x01": "Avro",
    b"7z\xbc\xaf": "a 7z archive",
}
TEXTS = {b"%PDF-": "a PDF", b"version https://git-lfs": "a Git LFS pointer: the file itself was not fetched"}
PAGES = ("<!doctype", "<html", "<head", "<body", "<script")
SHOWN_CELL = re.compile(r"(invalid value|parse string|parse value|got \d+(?=:)).*")  # in Arrow's messages; it may name someone
CELLS = re.compile(r"Row #(\d+): Expected (\d+) columns, got (\d+)")


def head_of(path: Path) -> bytes:
    """The first bytes of a file."""
    with path.open("rb") as file:
        return file.read(HEAD)


def seems(head: bytes) -> str | None:
    """What a file seems to be, by its first bytes; None for what may be CSV, and for what is not known."""
    kinds = TEXTS | (KINDS if _is_binary(head) else {})
    found = next((kind for start, kind in kinds.items() if head.startswith(start)), None)
    text = head[:1000].decode("utf-8-sig", "replace").lstrip().lower()
    if text.startswith(PAGES):
        return "a web page (HTML), perhaps of a login"
    if text.startswith("<?xml"):
        return "XML"
    return "JSON" if re.match(r'(\{\s*"|\[\s*[{\[]|\{\s*\}|\[\s*\])', text) else found


def problem_of(path: Path, error: BaseException, ending: str, *, text: bool) -> Problem:
    """What is wrong with a file whose reading raised an error; ``ending`` says what its name promises, text or not."""
    said = SHOWN_CELL.sub(r"\1", str(error).split("\n")[0]).strip().rstrip(".")
    if text and (isinstance(error, UnicodeError) or "UTF8" in said):
        return not_utf_8(path)
    if isinstance(error, OSError) and error.errno is not None:
        return Problem(error.strerror or said, "a readable file", "check the path, and that you may read it")
    cells = CELLS.search(said)
    if cells:
        return Problem(f"{cells[3]} cells", f"{cells[2]} as in the header", "mend this row", row=int(cells[1]) - 1)
    if "straddl" in said:
        return Problem("a row that is too long", "rows of at most 1 GiB", 'shorten its cells, or close its open quote (")')
    other = None if text else _other(path, ending)
    if other:
        return other
    return Problem(said, f"a whole {ending[1:]} file", DAMAGED)


def _other(path: Path, ending: str) -> Problem | None:
    """The problem of a binary format's name on a file of another kind."""
    head = head_of(path)
    codec = codec_of(path)
    found = f"compressed with {codec}" if codec else seems(head)
    if found is None and head and not _is_binary(head):
        found = "plain text"
    if found is None or ending[1:] in found.lower() or (found.startswith("an Arrow") and ending in (".feather", ".ipc")):
        return None
    return mismatch(found, ending)


def _is_binary(head: bytes) -> bool:
    return any(byte < 32 and byte not in b"\t\n\r\f" for byte in head)


def mismatch(found: str, ending: str) -> Problem:
    """The problem of a file that is not what its name says."""
    return Problem(f"a file that seems to be {found}", f"{ending} as its name says", "rename it, or export it in this format")


def not_utf_8(path: Path) -> Problem:
    """The problem of text that is not UTF-8: which line it is in."""
    if head_of(path).startswith((b"\xff\xfe", b"\xfe\xff")):
        return Problem("text that is not UTF-16, as its first bytes say it is", "text", DAMAGED)
    decoder, line = codecs.getincrementaldecoder("utf-8")(), 1
    with opened(path) as file:
        try:
            while block := file.read(1 << 20):
                decoder.decode(block)
                line += block.count(b"\n")
            decoder.decode(b"", final=True)
        except UnicodeDecodeError as error:
            line += error.object[: error.start].count(b"\n")
            byte = error.object[error.start]
            return Problem(f"line {line}, which is not UTF-8 (byte 0x{byte:02X})", UTF_8, SAVE_AS_UTF_8)
    return Problem("text that is not UTF-8", UTF_8, SAVE_AS_UTF_8)
