"""The documentation tells the truth: its Python runs and prints what the page shows, its commands exist."""

from __future__ import annotations

import contextlib
import io
import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer

from lmm_integration.cli import app
from lmm_integration.pruners.table import methods_table
from solvers import CATALOG

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), *sorted((ROOT / "docs" / "howto").glob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def blocks(page: Path) -> list[tuple[int, str, str]]:
    """(line, language, text) of every fenced block."""
    text = page.read_text(encoding="utf-8")
    return [(text.count("\n", 0, match.start()) + 1, match[1], match[2]) for match in FENCE.finditer(text)]


def pages_with(language: str) -> list[Path]:
    """The pages that show a block of this language."""
    return [page for page in PAGES if any(found == language for _, found, _ in blocks(page))]


def comparable(text: str) -> str:
    """Wall-clock times differ from run to run; long lists are one of many optimal sets."""
    text = re.sub(r"\d+\.\d+ s\b", "0 s", text)
    return re.sub(r"indices \[.*\.\.\..*\]", "indices [...]", text).strip()


def test_pages_for_users_show_python() -> None:
    """The read-me and every how-to page have code, and the tests below find it."""
    shown = {page.name for page in pages_with("python")}
    added = {f"add_{what}.md" for what in ("objective", "solver", "pruner", "model_family")}
    assert {"README.md", "own_tokens.md", "prune_a_model.md"} | added <= shown


@pytest.mark.parametrize("page", pages_with("python"), ids=lambda page: page.name)
def test_python_of_the_page_prints_what_the_page_shows(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every Python block runs, in order, and a text block right behind one is its output."""
    monkeypatch.chdir(tmp_path)
    namespace: dict[str, Any] = {"__name__": "page"}
    printed: str | None = None
    for line, language, text in blocks(page):
        if language == "python":
            out = io.StringIO()
            with contextlib.redirect_stdout(out):
                exec(compile("\n" * line + text, str(page), "exec"), namespace)
            printed = out.getvalue()
        elif language == "text" and printed is not None:
            assert comparable(printed) == comparable(text), f"{page.name}, line {line}"
            printed = None


@pytest.mark.parametrize("page", pages_with("sh"), ids=lambda page: page.name)
def test_commands_of_the_page_are_understood(page: Path) -> None:
    """Every `mmdp` command line of a page names a command and options that exist; it is parsed, not run."""
    group: Any = typer.main.get_command(app)
    root = group.make_context("mmdp", ["version"])
    for line, language, text in blocks(page):
        for words in (shlex.split(row, comments=True) for row in text.splitlines() if language == "sh"):
            if words[:1] == ["mmdp"]:
                name, command, rest = group.resolve_command(root, words[1:])
                assert command is not None, f"{page.name}, line {line}: no command {words[1]}"
                command.make_context(name, list(rest))


def test_read_me_lists_the_solvers_of_the_catalog() -> None:
    """The table of the read-me has exactly the solvers there are, with their objectives and whether they prove."""
    columns = ("max-min", "conditional-dpp", "implicit-weight", "max-sum")
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("## What can answer")[1].split("##")[0]
    shown = {}
    for row in (line.strip("|").split("|") for line in table.splitlines() if line.startswith("| `")):
        marks = tuple(cell.strip() == "✓" for cell in row[1:5]), bool(row[5].strip())
        shown.update(dict.fromkeys(re.findall(r"`(\w+)`", row[0]), marks))
    solves: dict[str, set[str]] = {}
    for row in CATALOG:
        solves.setdefault(row.name, set()).update(c for c in columns if row.takes(c))
    exact = {row.name for row in CATALOG if row.exact}
    assert shown == {name: (tuple(c in takes for c in columns), name in exact) for name, takes in solves.items()}


def test_read_me_lists_the_methods_as_they_declare_themselves() -> None:
    """Class, what it keeps, and where, in the order of the table of methods."""
    table = (ROOT / "README.md").read_text(encoding="utf-8").split("## Inside a model")[1].split("\n## ")[0]
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if "| `" in line[:3]]
    assert cells == [[f"`{row['class']}`", row["what it keeps"], row["where"]] for row in methods_table()]
