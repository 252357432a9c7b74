"""Delimited text: however a school's programs write a table, it is read as it is meant, or told in one problem."""

from __future__ import annotations

import bz2
import gzip
import io
import os
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

import adaptrace as at
from adaptrace.io import delimited, envelope, inflate
from adaptrace.privacy.keys import new_key, pseudonym_of, read_key

HEADER = "student,item,skill,correct"
ROW = "Zoë,q1,s,1"
PLAIN = f"{HEADER}\n{ROW}\n"
EXPECTED = [{"student": "Zoë", "item": "q1", "skill": "s", "correct": 1}]


def by(separator: str, text: str = PLAIN) -> str:
    return text.replace(",", separator)


def zstd(content: bytes) -> bytes:
    return pa.compress(content, "zstd", asbytes=True)


def parquet() -> bytes:
    with io.BytesIO() as file:
        pyarrow.parquet.write_table(pa.Table.from_pylist(EXPECTED), file)
        return file.getvalue()


def read(tmp_path: Path, name: str, content: str | bytes, **options: object) -> at.Log:
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return at.Log.read(tmp_path / name, **options)


def told(tmp_path: Path, name: str, content: str | bytes) -> str:
    with pytest.raises(at.DataError) as error:
        read(tmp_path, name, content)
    assert len(error.value.problems) == 1
    return str(error.value)


# name of a file, what it holds -> the note on it
WRITTEN = {
    "plain": ("a.csv", PLAIN, None),
    "tabs": ("a.tsv", by("\t"), None),
    "byte order mark": ("a.csv", PLAIN.encode("utf-8-sig"), None),
    "sep=, as Excel": ("a.csv", f"\ufeffsep=,\r\n{PLAIN}", None),
    "carriage returns": ("a.csv", PLAIN.replace("\n", "\r"), None),
    "blank lines": ("a.csv", f"\n{PLAIN}\n  \n\r\n\x1a", None),
    "no last end of line": ("a.csv", PLAIN.strip(), None),
    "empty last column": ("a.csv", f"{HEADER},,\n{ROW},,\n", None),
    "a column twice": ("a.csv", f"{HEADER},x,x\n{ROW},1,2\n", None),
    "semicolons": ("a.csv", by(";"), "cells separated by semicolons"),
    "sep=;": ("a.csv", f"sep=;\r\n{by(';')}", "cells separated by semicolons"),
    "sep=; quoted": ("a.csv", f'"sep=;"\n{by(";")}', "cells separated by semicolons"),
    "sep=^": ("a.csv", f"SEP=^\n{by('^')}", "cells separated by '^'"),
    "tabs in .csv": ("a.csv", by("\t"), "cells separated by tabs"),
    "bars": ("a.txt", by("|"), "cells separated by bars"),
    "commas in .tsv": ("a.tsv", PLAIN, "cells separated by commas"),
    "a comma in the header of semicolons": (
        "a.csv",
        by(";", f"{HEADER},x\n{ROW},3\n").replace(";x", ";x, in %"),
        "cells separated by semicolons",
    ),
    "utf-16": ("a.csv", PLAIN.encode("utf-16"), "text in UTF-16"),
    "utf-16-be with a mark": ("a.csv", f"\ufeff{PLAIN}".encode("utf-16-be"), "text in UTF-16"),
    "utf-16-le": ("a.csv", PLAIN.encode("utf-16-le"), "text in UTF-16-LE"),
    "utf-16-be": ("a.csv", PLAIN.encode("utf-16-be"), "text in UTF-16-BE"),
    "utf-32": ("a.csv", PLAIN.encode("utf-32"), "text in UTF-32"),
    "Unicode text of Excel": ("a.txt", by("\t").encode("utf-16"), "text in UTF-16"),
    "gz": ("a.csv.gz", gzip.compress(PLAIN.encode()), None),
    "bz2": ("a.csv.bz2", bz2.compress(PLAIN.encode()), None),
    "zst": ("a.csv.zst", zstd(PLAIN.encode()), None),
    "gz of semicolons in utf-16": (
        "a.csv.gz",
        gzip.compress(by(";").encode("utf-16")),
        "text in UTF-16, cells separated by semicolons",
    ),
    "gz that does not say so": ("a.csv", gzip.compress(PLAIN.encode()), "its bytes inflated (gzip)"),
    "a cell of 3 MB": ("a.csv", f"{HEADER},x\n{ROW},{'x' * 3_000_000}\n", None),
    "a cell of 9 MB in quotes": ("a.csv", f'{HEADER},x\n{ROW},"' + "x,\n" * 3_000_000 + '"\n', None),
    "a header of 200 KB": ("a.csv", f"{HEADER},{'x' * 200_000}\n{ROW},1\n", None),
    "5,000 columns": ("a.csv", f"{HEADER},{','.join(f'a{each:020d}' for each in range(5000))}\n{ROW}{',1' * 5000}\n", None),
    "a header like ORC": ("a.csv", f"ORCID,{HEADER}\n7,{ROW}\n", None),
    "a header like Parquet": ("a.csv", f"PAR1,{HEADER}\n7,{ROW}\n", None),
    "a header like bz2": ("a.csv", f"BZh9,{HEADER}\n7,{ROW}\n", None),
    "skills in a header": ("a.csv", f"{HEADER},a;b;c;d;e;f;g\n{ROW},3\n", None),
    "a line in the name of the file": ("a\nb.csv", PLAIN, None),
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_text_is_read_however_it_is_written_and_a_note_says_what_is_not_usual(tmp_path: Path, kind: str) -> None:
    name, content, note = WRITTEN[kind]
    log = read(tmp_path, name, content)
    assert log.table.to_pylist() == EXPECTED
    assert log.notes == (() if note is None else (f"{name}: read with {note}",))


# name of a file, what it holds -> what its one problem says
REFUSED = {
    "cp1252": ("a.csv", PLAIN.encode("cp1252"), ["line 2, which is not UTF-8 (byte 0xEB)", "CSV UTF-8"]),
    "cp1252 header": ("a.csv", f"schüler,{HEADER}\nx,{ROW}\n".encode("cp1252"), ["line 1, which is not UTF-8", "CSV UTF-8"]),
    "cp1252, far down": (
        "a.csv",
        PLAIN.encode() + b"Bo,q1,s,1\n" * 200_000 + b"Zo\xeb,q1,s,1\n",
        ["line 200003, which is not UTF-8"],
    ),
    "cp1252 in gz": ("a.csv.gz", gzip.compress(PLAIN.encode("cp1252")), ["line 2, which is not UTF-8"]),
    "utf-16 cut": ("a.csv", PLAIN.encode("utf-16")[:-1], ["UTF-16", "damaged or cut short"]),
    "zeros": ("a.csv", bytes(5000), ["zero bytes in the header", "damaged"]),
    "zeros at the end": ("a.csv", PLAIN.encode() + bytes(5000), ["row 2", "1 cells", "the file is cut short"]),
    "nothing": ("a.csv", "", ["an empty file"]),
    "blank lines alone": ("a.csv", "\n\n \n", ["no header"]),
    "a mark alone": ("a.csv", "\ufeff", ["no header"]),
    "a name twice": ("a.csv", f"{HEADER},student\n{ROW},x\n", ["column 'student'", "rename all but one"]),
    "separators at the end of rows": (
        "a.csv",
        f"{HEADER}\n" + f"{ROW},\n" * 1000,
        ["row 1", "5 cells", "999 more rows", "take the separator off"],
    ),
    "an open quote": ("a.csv", f'{HEADER}\n"{ROW}\n{ROW}\n', ["row 1", "1 cells"]),
    "a cut row below sep=": ("a.csv", f"sep=;\n{by(';')}Bo;q1\n", ["row 2", "2 cells", "4 as in the header"]),
    "a cut row of semicolons": ("a.csv", by(";", f"{HEADER}\nBo,q1\n"), ["row 1", "2 cells", "4 as in the header"]),
    "a header without an end": ("a.csv", "x" * (1 << 25), ["no end of the header"]),
    "gz cut": ("a.csv.gz", gzip.compress(PLAIN.encode())[:-12], ["damaged or cut short"]),
    "no gz": ("a.csv.gz", PLAIN, ["not compressed", ".gz as its name says"]),
    "Parquet": ("a.csv", parquet(), ["seems to be Parquet", ".csv as its name says"]),
    "Excel": ("a.csv", b"PK\x03\x04" + bytes(99), ["Excel workbook (.xlsx)"]),
    "old Excel": ("a.csv", b"\xd0\xcf\x11\xe0" + bytes(99), ["old Excel workbook"]),
    "a web page": ("a.csv", "\n<!DOCTYPE html>\n<html><title>Log in</title>", ["web page", "login"]),
    "JSON": ("a.csv", '[{"student": "Ada"}]', ["seems to be JSON"]),
    "CSV": ("a.parquet", PLAIN, ["seems to be plain text", ".parquet as its name says"]),
    "CSV called Feather": ("a.feather", PLAIN, ["seems to be plain text", ".feather as its name says"]),
    "Parquet called Arrow": ("a.arrow", parquet(), ["seems to be Parquet", ".arrow as its name says"]),
    "a web page called Parquet": ("a.parquet", "<html></html>", ["web page"]),
    "gz called Parquet": ("a.parquet", gzip.compress(parquet()), ["compressed with gzip"]),
    "Parquet cut": ("a.parquet", parquet()[:-9], ["damaged or cut short"]),
    "a pointer": ("a.parquet", "version https://git-lfs.github.com/spec/v1\n", ["Git LFS pointer"]),
    "a ZIP": ("a.csv.zip", b"PK\x03\x04", ["'.zip'", "unpack"]),
}


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_is_one_problem_that_says_what_it_is(tmp_path: Path, kind: str) -> None:
    name, content, parts = REFUSED[kind]
    message = told(tmp_path, name, content)
    assert message.startswith(f"{tmp_path / name}: ")
    assert [part for part in parts if part not in message] == []
    assert "damaged" not in message or any("damaged" in part for part in parts)


@pytest.mark.parametrize("content", [HEADER, f"{HEADER}\n", by(";", HEADER)])
def test_a_header_alone_is_a_log_without_rows(tmp_path: Path, content: str) -> None:
    assert len(read(tmp_path, "a.csv", content)) == 0


# ---- cells ------------------------------------------------------------------

NAMES = ["NA", "N/A", "n/a", "null", "NULL", "Null", "nan", "NaN", "None", "#N/A", "-nan", "<NA>", "0", "007", "true"]


@pytest.mark.parametrize("quoted", [False, True])
@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_what_is_written(tmp_path: Path, name: str, quoted: bool) -> None:
    cell = f'"{name}"' if quoted else name
    log = read(tmp_path, "a.csv", f"student,item,skill,group,kind,correct\n{cell},{cell},{cell},{cell},{cell},1\n")
    assert log.table.to_pylist() == [dict.fromkeys(("student", "item", "skill", "kind", "group"), name) | {"correct": 1}]


@pytest.mark.parametrize("cell", ["", '""'])
@pytest.mark.parametrize("place", range(3))
def test_an_empty_cell_is_no_name(tmp_path: Path, cell: str, place: int) -> None:
    cells = ROW.split(",")
    cells[place] = cell
    assert "row 2: got null" in told(tmp_path, "a.csv", f"{HEADER}\n{ROW}\n{','.join(cells)}\n")


@pytest.mark.parametrize(
    "cell", ["", '""', *(name for name in NAMES if name.strip("<>-#").lower()[:1] == "n" and name != "Null")]
)
def test_a_number_that_is_not_available_is_missing(tmp_path: Path, cell: str) -> None:
    log = read(tmp_path, "a.csv", f"{HEADER},response_ms,group\n{ROW},{cell},\n{ROW},5,x\n")
    assert log.table.select(["response_ms", "group"]).to_pylist() == [
        {"response_ms": None, "group": None},
        {"response_ms": 5.0, "group": "x"},
    ]


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_numbers_may_have_a_decimal_comma_where_commas_separate_nothing(tmp_path: Path, separator: str) -> None:
    rows = [f"{HEADER},response_ms", "1,5,q1,s,0,25,12,5", "Bo,q1,s,1,NA", "Bo,q1,s,1,3"]
    text = "\n".join(row.replace(",", separator) for row in rows)
    for number in ("1,5", "0,25", "12,5"):
        text = text.replace(number.replace(",", separator), number, 1)
    log = read(tmp_path, "a.csv", text)
    assert log.table.select(["student", "correct", "response_ms"]).to_pylist() == [
        {"student": "1,5", "correct": 0.25, "response_ms": 12.5},
        {"student": "Bo", "correct": 1.0, "response_ms": None},
        {"student": "Bo", "correct": 1.0, "response_ms": 3.0},
    ]
    assert "numbers with a decimal comma" in log.notes[0]


def test_a_kept_column_of_other_bytes_is_told(tmp_path: Path) -> None:
    content = f"{HEADER},answer\nBo,q1,s,1,é\n".encode("cp1252")
    assert len(read(tmp_path, "a.csv", content)) == 1
    with pytest.raises(at.DataError, match="column 'answer': got bytes that are not UTF-8"):
        read(tmp_path, "a.csv", content, keep=["answer"])


def test_catalogs_and_rosters_keep_names_too(tmp_path: Path) -> None:
    (tmp_path / "items.csv").write_text("item;skills;title\nNA;nan;null\nq1;Na;\n", encoding="utf-16")
    catalog = at.Catalog.read(tmp_path / "items.csv")
    assert [(item.item, item.skills, item.title) for item in catalog.items] == [("NA", ("nan",), "null"), ("q1", ("Na",), None)]
    (tmp_path / "roster.csv").write_text("\ufeffstudent;class\nNA;null\nBo;\n")
    (tmp_path / "mastery.csv").write_text("student,skill,mastery,low,opportunities\nNA,nan,0.5,0.5,1\nBo,nan,0.5,0.5,1\n")
    rows = at.report.mastery_by(tmp_path / "mastery.csv", by="class", roster=tmp_path / "roster.csv", min_students=1).to_pylist()
    assert [row["class"] for row in rows] == ["null", None]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-32", "cp1252"])
def test_json_may_have_a_byte_order_mark(tmp_path: Path, encoding: str, sample_model: at.BKT) -> None:
    catalog, model = tmp_path / "catalog.json", tmp_path / "model.json"
    catalog.write_text('{"items": [{"item": "Zoë", "skills": ["s"]}]}', encoding=encoding)
    sample_model.save(model)
    content = envelope.read(model, "model")
    model.write_text(model.read_text(), encoding=encoding)
    assert envelope.read(model, "model") == content
    if encoding != "cp1252":
        assert at.Catalog.read(catalog).items[0].item == "Zoë"
        return
    with pytest.raises(at.DataError, match="line 1, which is not UTF-8"):
        at.Catalog.read(catalog)


@pytest.mark.parametrize("kind", ["plain", "semicolons", "sep=;", "utf-16", "gz", "bz2", "zst", "a cell of 9 MB in quotes"])
def test_pseudonyms_are_written_of_all_that_is_read(tmp_path: Path, kind: str) -> None:
    name, content, _ = WRITTEN[kind]
    (tmp_path / "log").mkdir()
    log = tmp_path / "log" / name
    log.write_bytes(content if isinstance(content, bytes) else content.encode())
    new_key(tmp_path / "key")
    texts = [each for each in at.io.files.dialect_of(log).names if each == "x"]  # 9 MB of text might tell someone
    at.pseudonymize(log, tmp_path / name, key_file=tmp_path / "key", keep=texts)
    assert inflate.codec_of(tmp_path / name) == inflate.codec_of(log)
    make = pseudonym_of(read_key(tmp_path / "key"), "student")
    assert at.Log.read(tmp_path / name).table.to_pylist() == [EXPECTED[0] | {"student": make("Zoë".encode())}]


@pytest.mark.parametrize("name", ["NA", "null", "nan", "N/A"])
def test_pseudonyms_of_names_that_look_like_nothing(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.csv").write_text(f"student,x\n{name},1\n,2\n")
    new_key(tmp_path / "key")
    at.pseudonymize(tmp_path / "a.csv", tmp_path / "b.csv", key_file=tmp_path / "key")
    make = pseudonym_of(read_key(tmp_path / "key"), "student")
    assert (tmp_path / "b.csv").read_text() == f"student,x\n{make(name.encode())},1\n,2\n"


def test_a_long_row_is_read_in_pieces_too(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text(f"{HEADER},x\n" + f"{ROW},1\n" * 1000 + f"{ROW},{'x' * 100_000}\n" + f"{ROW},1\n" * 1000)
    dialect = delimited.dialect_of(tmp_path / "a.csv", ",", ".csv")
    sizes = [len(batch) for batch in delimited.batches(tmp_path / "a.csv", dialect, 1 << 12)]
    assert (sum(sizes), len(sizes) > 3) == (2001, True)


# ---- compressed -------------------------------------------------------------


@pytest.mark.parametrize("rows", [b"0" * 11, b"Bo,q1,s,1\n"], ids=["one cell", "rows"])
@pytest.mark.parametrize(("name", "compress"), [("a.csv.gz", gzip.compress), ("a.csv.bz2", bz2.compress), ("a.csv.zst", zstd)])
def test_a_small_file_that_would_fill_the_memory_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, compress: Callable[[bytes], bytes], rows: bytes
) -> None:
    monkeypatch.setattr(inflate, "FREE", 1 << 18)
    message = told(tmp_path, name, compress(PLAIN.encode() + rows * 100_000))
    assert "inflates to more than 200 times its size" in message
    assert "unpack it first" in message


# ---- what is no file --------------------------------------------------------


def pipe(path: Path) -> None:
    os.mkfifo(path)


NO_FILES = {
    "pipe": (pipe, "a pipe or a device"),
    "link to itself": (lambda path: path.symlink_to(path), "a link to nothing or to itself"),
    "link to nothing": (lambda path: path.symlink_to(path.parent / "none"), "a link to nothing or to itself"),
    "device": (lambda path: path.symlink_to("/dev/zero"), "a link to nothing or to itself"),
}


@pytest.mark.parametrize("kind", NO_FILES)
@pytest.mark.parametrize("asked", ["folder", "file"])
def test_what_is_no_file_is_told_and_not_waited_for(tmp_path: Path, kind: str, asked: str) -> None:
    make, message = NO_FILES[kind]
    (tmp_path / "log").mkdir()
    make(tmp_path / "log" / "a.csv")
    with pytest.raises(at.DataError, match=message):
        at.Log.read(tmp_path / "log" if asked == "folder" else tmp_path / "log" / "a.csv")


def test_names_of_files_that_cannot_be_are_told(tmp_path: Path) -> None:
    with pytest.raises(at.DataError, match="File name too long"):
        at.Log.read(tmp_path / ("x" * 300 + ".csv"))
    with pytest.raises(at.DataError, match="no such file"):
        at.Log.read(f"{tmp_path}/a\0b.csv")
    name = os.fsencode(tmp_path) + b"/a\xff.csv"
    Path(os.fsdecode(name)).write_text(PLAIN)
    for path in (os.fsdecode(name), tmp_path):
        with pytest.raises(at.DataError, match="a name that is not UTF-8"):
            at.Log.read(path)
