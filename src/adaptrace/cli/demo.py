"""What ``adaptrace demo`` shows: classes, students, next items."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from adaptrace.cli.terminal import fitting, say
from adaptrace.data.catalog import Catalog
from adaptrace.data.log import Log
from adaptrace.data.sample import sample_catalog, sample_log
from adaptrace.errors import printable
from adaptrace.io.files import write_table
from adaptrace.models import BKT
from adaptrace.models.student import Student
from adaptrace.recommendation.recommender import recommend

MASTERED = 0.95
BAR, ITEM_WIDTH = 20, 40  # characters


def run(output: Path) -> None:
    """Fit the sample school and show it; every step is said on stderr before it begins."""
    say("1/4  Reading the sample school: responses and catalog ...")
    log, catalog = sample_log(), sample_catalog()
    say(f"2/4  Fitting a BKT model to {len(log):,} responses (the first run compiles code, which takes up to a minute) ...")
    with fitting() as progress:
        model = BKT().fit(log, progress=progress)
    say(f"3/4  Scoring every student on every skill, into {output} ...")
    write_table(model.score(log), output)
    say("4/4  Choosing the next items for three students ...")
    show(Console(highlight=False), log, catalog, model, output)


def show(console: Console, log: Log, catalog: Catalog, model: BKT, output: Path) -> None:
    """Print the demonstration: the classes, three students, and what to type next."""
    mastery = model.score(log)
    console.print(f"[bold]A simulated school:[/] {log}\n")
    console.print(class_table(log, mastery, len(catalog.skills)))
    for student in example_students(log, mastery):
        console.print(next_table(student, Student.from_log(model, log, student=student, catalog=catalog), catalog))
    console.print(f"\nMastery of every student on every skill: [bold]{_name(output)}[/] ({len(mastery):,} rows)")
    console.print("\nNow your own log (columns student, item, skill, correct; and time, if the rows are not in order):")
    console.print("  [bold green]adaptrace fit responses.csv -o model.json[/]", soft_wrap=True)


def class_table(log: Log, mastery: pa.Table, n_skills: int) -> Table:
    """One line a class: the skills its students have mastered, and the skill that most of them are still learning."""
    classes = classes_of(log)[mastery["student"].chunk(0).indices.to_numpy()]
    skill = mastery["skill"].chunk(0).indices.to_numpy()
    known, names = mastery["mastery"].to_numpy(), log.skills.to_pylist()
    table = Table(box=None, header_style="bold")
    for heading, justify in (
        ("class", "left"),
        ("students", "right"),
        (f"skills mastered (of {n_skills})", "left"),
        ("most are still learning", "left"),
    ):
        table.add_column(heading, justify=justify)  # type: ignore[arg-type]
    for name in np.unique(classes):
        own = classes == name
        students = len(np.unique(mastery["student"].chunk(0).indices.to_numpy()[own]))
        mastered = (known[own] >= MASTERED).sum() / students
        filled = round(BAR * mastered / n_skills)
        bar = f"{mastered:4.1f} [green]{'━' * filled}[/][dim]{'┄' * (BAR - filled)}[/]"
        stuck = np.bincount(skill[own & (known < MASTERED)], minlength=len(names))
        table.add_row(_name(name), str(students), bar, f"{_name(names[int(stuck.argmax())])} ({stuck.max()})")
    return table


def _name(name: object) -> str:
    """A name as it is printed: what stands in brackets is no markup of rich."""
    return escape(printable(str(name)))


def classes_of(log: Log) -> np.ndarray:
    """The class of each student."""
    return np.array(log.table["class"].to_pylist())[log.rows.student_start[:-1]]


def example_students(log: Log, mastery: pa.Table) -> list[str]:
    """Three students: one who has mastered few skills, one about half, one nearly all."""
    owner = mastery["student"].chunk(0).indices.to_numpy()
    mastered = np.bincount(owner, weights=mastery["mastery"].to_numpy() >= MASTERED)
    ranked = np.argsort(mastered, kind="stable")
    return [log.students[int(ranked[int(share * (len(ranked) - 1))])].as_py() for share in (0.05, 0.5, 0.95)]


def next_table(name: str, student: Student, catalog: Catalog) -> Table:
    """The next three items of one student."""
    mastered = sum(student.mastered(skill, threshold=MASTERED) for skill in catalog.skills)
    title = f"\n{_name(name)}: {mastered} of {len(catalog.skills)} skills mastered; next, one of"
    table = Table(title=title, title_justify="left", box=None, show_header=False, title_style="bold")
    table.add_column("item", style="cyan", width=ITEM_WIDTH)
    table.add_column("because", style="dim")
    for choice in recommend(student, catalog, k=3):
        table.add_row(_name(choice.item.label), _name(choice.reason))
    return table
