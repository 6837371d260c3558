"""The accuracy table as text: for a terminal, a Markdown page and an HTML page, all from the same cells."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from lmm_integration.evaluate.accuracy.panels import MEASURES, TOLERANCE
from lmm_integration.evaluate.gap_table import Rows, markdown_table

COLUMNS = (
    *("method", "keep", "tokens", "accuracy", "± s.e.", "% of unpruned", "minus unpruned", "minus random"),
    *("GFLOPs", "cache kB", "selection ms", "prefill ms", "decode ms"),
)
PANEL = ("method", "keep", "cost", "accuracy", "± s.e.", "minus best")
NOTE = (
    "Accuracy in per cent of the questions; errors are clustered by scene, differences are paired, with their 95 % interval "
    "in brackets. Tokens are visual tokens that enter the language model, mean per question; GFLOPs are exact, of the "
    "prefill with selector and relevance tower, without the vision tower. Times are medians of batches, divided by "
    "their questions, and a first impression."
)
PANEL_NOTE = (
    f"Methods are ranked inside a panel alone. A panel holds the budgets whose cost is within {TOLERANCE:.0%} of its level; "
    "a keep of - is a line between the two budgets around it. The levels are the budgets of one method, of random where it ran."
)
SCALES = {"input tokens": 1.0, "operations": 1e-9, "cache": 1e-3}
UNITS = {"input tokens": "tokens", "operations": "GFLOPs", "cache": "kB"}
Row = Mapping[str, Any]


def percent(value: float | None, digits: int = 1) -> str:
    """
    >>> percent(0.8251), percent(None)
    ('82.5', '-')
    """
    return "-" if value is None else f"{100 * value:.{digits}f}"


def accuracy_rows(summary: Sequence[Row]) -> Rows:
    """One row of text for each row of the summary; see `COLUMNS`."""
    return [
        (
            row["method"],
            f"{row['keep']:g}",
            f"{row['tokens']['input']:.4g}",
            percent(row["accuracy"]),
            percent(row["stderr"]),
            percent(row["of_unpruned"]),
            difference(row["minus_unpruned"]),
            difference(row["minus_random"]),
            "-" if row["flops"] is None else f"{row['flops'] / 1e9:.4g}",
            "-" if row["kv_bytes"] is None else f"{row['kv_bytes'] / 1e3:.4g}",
            *(f"{1000 * row['seconds'][part]:.2f}" for part in ("selection", "prefill", "decode")),
        )
        for row in summary
    ]


def kind_rows(summary: Sequence[Row]) -> tuple[tuple[str, ...], Rows]:
    """Columns and rows by kind of question: accuracy, and F1 in brackets for yes/no kinds."""
    kinds = list(dict.fromkeys(kind for row in summary for kind in row["kinds"]))
    rows = [(row["method"], f"{row['keep']:g}", *(_kind(row["kinds"].get(kind)) for kind in kinds)) for row in summary]
    return ("method", "keep", *kinds), rows


def _kind(facts: Row | None) -> str:
    if facts is None:
        return "-"
    return percent(facts["accuracy"]) + ("" if facts["f1"] is None else f" (F1 {percent(facts['f1'])})")


def difference(facts: Row | None) -> str:
    """
    >>> difference({"difference": -0.05, "low": -0.08, "high": -0.02})
    '-5.0 [-8.0, -2.0]'
    """
    if facts is None:
        return "-"
    if facts["low"] is None:
        return f"{100 * facts['difference']:+.1f}"
    return f"{100 * facts['difference']:+.1f} [{100 * facts['low']:+.1f}, {100 * facts['high']:+.1f}]"


def panel_rows(panel: Row) -> Rows:
    """One row of text for each member; see `PANEL`."""
    scale = SCALES[panel["measure"]]
    return [
        (
            member["method"],
            "-" if member["keep"] is None else f"{member['keep']:g}",
            f"{scale * member['cost']:.4g}",
            percent(member["accuracy"]),
            percent(member["stderr"]),
            difference(member["minus_best"]),
        )
        for member in panel["members"]
    ]


def panel_title(panel: Row) -> str:
    """What is equal in it."""
    measure = panel["measure"]
    return f"Equal {measure}: {SCALES[measure] * panel['level']:.4g} {UNITS[measure]} ({MEASURES[measure]})"


def sections(title: str, summary: Sequence[Row], found: Sequence[Row]) -> list[tuple[str, str, Sequence[str], Rows]]:
    """(heading, note, columns, rows) of every table on a page."""
    kinds, by_kind = kind_rows(summary)
    parts: list[tuple[str, str, Sequence[str], Rows]] = [
        (title, NOTE, COLUMNS, accuracy_rows(summary)),
        ("By kind of question", "Accuracy in per cent.", kinds, by_kind),
    ]
    parts += [
        (panel_title(panel), PANEL_NOTE if i == 0 else "", PANEL, panel_rows(panel)) for i, panel in enumerate(found)
    ]
    return parts


def markdown_page(parts: Sequence[tuple[str, str, Sequence[str], Rows]], picture: str | None) -> str:
    """The sections as Markdown."""
    text = []
    for i, (heading, note, columns, rows) in enumerate(parts):
        text += [f"{'#' if i == 0 else '##'} {heading}", note, markdown_table(columns, rows)]
        if i == 0 and picture is not None:
            text.append(f"![Accuracy against cost]({picture})")
    return "\n\n".join(part for part in text if part) + "\n"


PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ parts[0][0] }}</title>
<style>
body { font-family: system-ui, sans-serif; max-width: 82rem; margin: 2rem auto; padding: 0 1rem; color: #222 }
table { border-collapse: collapse; margin: 0.5rem 0 1.5rem }
th, td { padding: 0.25rem 0.75rem; text-align: right; border-bottom: 1px solid #ddd; font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left }
img { max-width: 100% }
</style></head><body>
{% for heading, note, columns, rows in parts %}<h{{ 1 if loop.first else 2 }}>{{ heading }}</h{{ 1 if loop.first else 2 }}>
{% if note %}<p>{{ note }}</p>{% endif %}
<table><thead><tr>{% for name in columns %}<th>{{ name }}</th>{% endfor %}</tr></thead><tbody>
{% for row in rows %}<tr>{% for cell in row %}<td>{{ cell }}</td>{% endfor %}</tr>
{% endfor %}</tbody></table>
{% if loop.first and picture %}<img src="{{ picture }}" alt="Accuracy against cost">{% endif %}
{% endfor %}</body></html>
"""


def html_page(parts: Sequence[tuple[str, str, Sequence[str], Rows]], picture: str | None) -> str:
    """The sections as one HTML page, everything escaped."""
    from jinja2 import Environment

    return Environment(autoescape=True).from_string(PAGE).render(parts=parts, picture=picture)
