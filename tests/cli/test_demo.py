"""What the demonstration prints, at the width of a plain terminal."""

import io
import re
from pathlib import Path

from rich.console import Console

import adaptrace as at
from adaptrace.cli import demo


def printed(width: int) -> str:
    console = Console(file=io.StringIO(), width=width, highlight=False)
    log = at.sample_log()
    demo.show(console, log, at.sample_catalog(), at.BKT().fit(log), Path("mastery.parquet"))
    return console.file.getvalue()


def test_no_word_of_a_reason_is_cut_off_at_80_columns() -> None:
    narrow, wide = (" ".join(printed(width).split()) for width in (80, 400))
    reasons = re.findall(r"Next: [A-Z][a-z -]+ \(\d+ % likely known\)\.", wide)
    assert len(reasons) == 9  # three items for each of three students
    words = set(wide.split())
    assert set(narrow.split()) <= words


def test_every_class_and_three_students_are_shown() -> None:
    text = printed(100)
    assert all(f" 6{letter} " in text for letter in "ABCDEFGHIJKL")
    assert text.count("skills mastered; next, one of") == 3
    assert "adaptrace fit responses.csv -o model.json" in text
