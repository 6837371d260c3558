"""Write `docs/_generated/*.md` from the code: solvers, guarantees, instances, methods, commands."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

OBJECTIVES = ("max-min", "conditional-dpp", "implicit-weight")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(cell.replace("|", r"\|") for cell in line) + " |\n" for line in lines)


def plain(text: str) -> str:
    """Text in which Markdown finds no markup."""
    return re.sub(r"([*_`$<>\[\]\\])", r"\\\1", text)


def solver_table() -> str:
    """One row per entry of the catalog."""
    from solvers import CATALOG

    def yes(flag: bool) -> str:
        return "yes" if flag else ""

    return table(
        ("solver", "objectives", "what it is", "proves", "ordered", "constraints", "needs"),
        (
            (
                f"`{row.full_name}`",
                "all, and your own"
                if row.generic
                else "all"
                if row.solves >= set(OBJECTIVES)
                else ", ".join(sorted(row.solves)),
                plain(row.summary),
                yes(row.exact),
                yes(row.ordered),
                yes(row.constrained),
                f"`mmdp[{row.extra}]`" if row.extra else "",
            )
            for row in CATALOG
        ),
    )


def guarantee_table() -> str:
    """One row per proven factor."""
    from mmdp.guarantees import GUARANTEES

    return table(
        ("algorithm", "objective", "factor", "statement", "conditions", "source"),
        (
            (
                plain(row.name),
                f"`{row.objective}`",
                plain(row.factor),
                plain(row.statement),
                plain(row.conditions),
                f"{{cite:p}}`{row.source}`",
            )
            for row in GUARANTEES
        ),
    )


def instance_table() -> str:
    """One row per family of instances."""
    from mmdp.instances.names import describe

    return table(
        ("name", "tokens", "width", "what it is", "for example"),
        ((f"`{row.pattern}`", row.n, row.d, row.summary, f"`{row.examples[0]}`") for row in describe()),
    )


def method_table() -> str:
    """One row per method that prunes inside a model."""
    from lmm_integration.pruners.table import COLUMNS, methods_table

    def shown(row: dict[str, str], column: str) -> str:
        if column == "class":
            return f"`{row[column]}`"
        if column == "source":
            return f"{{cite:p}}`{row[column]}`" if row[column] else ""
        return plain(row[column])

    return table(COLUMNS, ([shown(row, column) for column in COLUMNS] for row in methods_table()))


def family_table() -> str:
    """One row per method, one column per model family."""
    from lmm_integration.pruners.families import families_table

    rows = families_table()
    return table(
        [name if name in ("method", "any other") else f"`{name}`" for name in rows[0]],
        ([plain(cell) for cell in row.values()] for row in rows),
    )


def command_help() -> str:
    """Arguments and options of every command."""
    import typer

    from lmm_integration.cli import app

    group = typer.main.get_command(app)
    parts = []
    for name, command in sorted(group.commands.items()):  # type: ignore[attr-defined]
        parts.append(f"## `mmdp {name}`\n\n{(command.help or '').strip()}\n")
        rows = []
        for parameter in command.params:
            spelled = parameter.metavar or parameter.name if parameter.param_type_name == "argument" else None
            spelled = spelled.upper() if spelled else ", ".join((*parameter.opts, *parameter.secondary_opts))
            default = parameter.default
            shown = "" if default is None or default is False or callable(default) else f"`{default}`"
            rows.append((f"`{spelled}`", " ".join((getattr(parameter, "help", "") or "").split()), shown))
        parts.append(table(("argument or option", "meaning", "default"), rows) if rows else "")
    return "\n".join(parts)


def measured(srcdir: Path) -> dict[str, str]:
    """The tables that benchmarks wrote, by name."""
    return {path.stem: path.read_text(encoding="utf-8") for path in sorted((srcdir / "_tables").glob("*.md"))}


def write(app: Any) -> None:
    """Write each file whose text has changed, so that an unchanged page is not built again."""
    folder = Path(app.srcdir) / "_generated"
    folder.mkdir(exist_ok=True)
    texts = {
        "solvers": solver_table(),
        "guarantees": guarantee_table(),
        "instances": instance_table(),
        "methods": method_table(),
        "families": family_table(),
        "commands": command_help(),
        **measured(Path(app.srcdir)),
    }
    for name, text in texts.items():
        path = folder / f"{name}.md"
        old = None
        with contextlib.suppress(FileNotFoundError):
            old = path.read_text(encoding="utf-8")
        if text != old:
            path.write_text(text, encoding="utf-8")


def setup(app: Any) -> dict[str, bool]:
    """Write the tables before any page is read."""
    app.connect("builder-inited", write)
    return {"parallel_read_safe": True}
