"""Tables and figures of the tiny models' page, from the committed summaries."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from benchmarks.tiny_methods.design import PARTS

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results" / "tiny_methods"
TABLES, FIGURES = ROOT / "docs" / "_tables", ROOT / "docs" / "_static"
Summary = Mapping[str, Any]


def write_pages() -> None:
    """Write docs/_tables/tiny_*.md and docs/_static/tiny_*.png for what was measured."""
    from lmm_integration.evaluate.accuracy.figure import draw_accuracy

    TABLES.mkdir(parents=True, exist_ok=True)
    for part in PARTS.values():
        for run in part.runs:
            path = RESULTS / f"{part.name}_{run}.json"
            if not path.is_file():
                continue
            found = json.loads(path.read_text(encoding="utf-8"))
            stem = f"tiny_{part.name}_{run.replace('-', '_')}"
            (TABLES / f"{stem}.md").write_text(retention_table(found), encoding="utf-8")
            (TABLES / f"{stem}_kinds.md").write_text(kind_table(found), encoding="utf-8")
            if part.name in ("methods", "several"):
                draw_accuracy(found["summary"], f"{run} tower, {found['questions']} questions").savefig(
                    FIGURES / f"{stem}.png"
                )


def cell(row: Summary) -> str:
    """Accuracy and its standard error, in per cent."""
    return f"{100 * row['accuracy']:.1f} ± {100 * (row['stderr'] or 0):.1f}"


def retention_table(found: Summary) -> str:
    """Methods down, retention across."""
    rows = [row for row in found["summary"] if row["method"] not in ("none", "blind")]
    keeps = sorted({row["keep"] for row in rows}, reverse=True)
    ends = {row["method"]: cell(row) for row in found["summary"] if row["method"] in ("none", "blind")}
    head = ["method", *(f"{100 * keep:g} %" for keep in keeps)]
    body = [
        [method, *(cell(row) for keep in keeps for row in rows if row["method"] == method and row["keep"] == keep)]
        for method in dict.fromkeys(row["method"] for row in rows)
    ]
    above = f"Unpruned {ends['none']}, no picture {ends['blind']}; {found['questions']} questions.\n\n"
    return above + table(head, body)


def kind_table(found: Summary) -> str:
    """Methods down, kinds of questions across, at the budget nearest to a ninth."""
    keeps = sorted({row["keep"] for row in found["summary"] if row["method"] not in ("none", "blind")})
    keep = min(keeps, key=lambda k: abs(k - 1 / 9))
    rows = [row for row in found["summary"] if row["keep"] == keep or row["method"] in ("none", "blind")]
    kinds = list(rows[0]["kinds"])
    body = [[row["method"], *(cell(row["kinds"][kind]) for kind in kinds)] for row in rows]
    return f"At {100 * keep:g} % of the tokens.\n\n" + table(["method", *kinds], body)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)
