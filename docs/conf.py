"""Sphinx: how the documentation is built. ``make docs`` runs it; every warning is an error."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "src"))

from adaptrace import __version__  # noqa: E402  (the path comes first)

project = "adaptrace"
author = "The adaptrace developers"
copyright = author  # noqa: A001  (Sphinx calls it so)
version = release = __version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "myst_parser",
    "numpydoc",
    "sphinx_copybutton",
]
exclude_patterns = ["_build", "_templates"]
templates_path = ["_templates"]

highlight_language = "none"  # of blocks that name no language: commands, figures

html_theme = "furo"
html_title = f"adaptrace {release}"
html_static_path = ["_static"]
html_css_files = ["adaptrace.css"]
html_copy_source = False
html_show_sphinx = False
html_theme_options: dict[str, Any] = {"navigation_with_keys": True}

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
smartquotes = False  # --option must keep both its hyphens

autosummary_generate = True
autosummary_imported_members = True
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 80

numpydoc_show_class_members = False
numpydoc_validation_checks = {"GL08", "SS01", "PR02"}  # no docstring, no summary, a parameter that is not there
numpydoc_validation_exclude = {r"\.__\w+__$", r"\._"}

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True
copybutton_exclude = ".linenos, .gp, .go"


# ---- the command line, from the program itself ---------------------------------


def commands_of(command: Any, name: str) -> Iterator[tuple[str, Any]]:
    """A command, or the commands inside it, each by its full name."""
    for inner, each in getattr(command, "commands", {}).items():
        yield from commands_of(each, f"{name} {inner}")
    if not hasattr(command, "commands"):
        yield name, command


def page_of(name: str, command: Any) -> list[str]:
    """One command: what it does, its arguments and options."""
    given = [p for p in command.params if p.param_type_name == "argument"]
    words = [(p.metavar or p.name).strip("{}").upper() for p in given]
    words = [word if p.required else f"[{word}]" for word, p in zip(words, given, strict=True)]
    lines = [name, "-" * len(name), "", f"``{' '.join([name, *words])} [options]``", "", *(command.help or "").splitlines(), ""]
    for parameter in command.params:
        names = ", ".join(parameter.opts) if parameter.param_type_name == "option" else words[given.index(parameter)]
        required = " Required." if parameter.required and parameter.param_type_name == "option" else ""
        usual = str(getattr(parameter.default, "value", parameter.default))
        usual = "" if usual in ("None", "False", "", "()", "[]") else f" Default: ``{usual}``."
        text = (getattr(parameter, "help", None) or "").replace("`", "``").replace("*", "\\*")
        lines += [f"``{names}``", f"    {text}{usual}{required}", ""]
    return lines


def write_command_line(app: Any) -> None:
    """Write the page of every command, as the program describes itself."""
    import typer

    from adaptrace.cli.app import app as program

    found = commands_of(typer.main.get_command(program), "adaptrace")
    text = "\n".join(line for name, command in found for line in page_of(name, command))
    path = HERE / "reference" / "generated" / "commands.txt"
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)


# ---- what is read ----------------------------------------------------------------


def as_pages(app: Any, path: Path, page: str, content: list[str]) -> None:
    """Let links of a file of the root lead to the pages that include such files."""
    content[0] = re.sub(r"\]\((SECURITY|CHANGELOG|CONTRIBUTING)\.md\)", lambda link: f"]({link[1].lower()}.md)", content[0])


def without_last_blank(app: Any, page: str, content: list[str]) -> None:
    """Drop the blank line that ends an example: a doctest needs it, a reader does not."""
    content[0] = re.sub(r"(\n```python\n(?:(?!\n```).)*?)\n\n```\n", r"\1\n```\n", content[0], flags=re.DOTALL)


def setup(app: Any) -> None:
    """Hook the page of the command line, and the files of the root, into the build."""
    from sphinx.ext import autosummary

    autosummary.WELL_KNOWN_ABBREVIATIONS += ("eq.", "sec.")  # no sentence ends there
    app.connect("builder-inited", write_command_line, priority=100)
    app.connect("include-read", as_pages)
    app.connect("source-read", without_last_blank)
