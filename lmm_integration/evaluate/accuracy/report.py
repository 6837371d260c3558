"""What an evaluation found, in memory and as files: summary, panels, tables and curves."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from lmm_integration.evaluate.accuracy.answers import Line
from lmm_integration.evaluate.accuracy.panels import panels
from lmm_integration.evaluate.accuracy.summary import columns_of, summary_rows
from lmm_integration.evaluate.accuracy.table import html_page, markdown_page, sections
from solvers.records import to_json

SUMMARY, MARKDOWN, HTML, CURVES = "summary.json", "table.md", "table.html", "curves.png"


def report(lines: Sequence[Line], facts: dict[str, Any]) -> dict[str, Any]:
    """The object that `mmdp evaluate --json` prints: `facts`, the `summary` and the `panels`."""
    columns = columns_of(lines)
    rows = summary_rows(columns)
    return {**facts, "summary": rows, "panels": panels(rows, columns)}


def write_report(found: dict[str, Any], out: Path) -> list[str]:
    """Write all files that the installed packages can make; returns their names."""
    title = f"Accuracy of {found['model']} under pruning, {found['questions']} questions"
    parts = sections(title, found["summary"], found["panels"])
    (out / SUMMARY).write_text(json.dumps(to_json(found), indent=1, allow_nan=False) + "\n", encoding="utf-8")
    written, picture = [SUMMARY, MARKDOWN], None
    if find_spec("matplotlib") is None or find_spec("jinja2") is None:
        print(f"mmdp: {HTML} and {CURVES} need matplotlib and jinja2: pip install 'mmdp[report]'", file=sys.stderr)
    else:
        from lmm_integration.evaluate.accuracy.figure import draw_accuracy

        picture = CURVES
        draw_accuracy(found["summary"], title).savefig(out / CURVES)
        (out / HTML).write_text(html_page(parts, picture), encoding="utf-8")
        written += [HTML, CURVES]
    (out / MARKDOWN).write_text(markdown_page(parts, picture), encoding="utf-8")
    return written
