"""The gap table: what each method reached, what is proved, and how far apart the two are."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lmm_integration.evaluate.verdict import LEGEND, amount, gap_text, with_verdicts
from solvers.records import Record

if TYPE_CHECKING:
    from rich.table import Table

COLUMNS = ("instance", "objective", "k", "method", "value", "bound", "gap", "seconds", "proved")
SUMMARY = ("objective", "k", "method", "median gap", "worst gap", "optimal", "open", "runs", "median seconds")
LEFT = frozenset({"instance", "objective", "method", "proved"})
STYLES = {"optimal": "green", "suboptimal": "yellow", "open": "", "failed": "red"}
Rows = list[tuple[str, ...]]


def gap_rows(records: Iterable[Record]) -> Rows:
    """One row of text per run, in the order given; see `COLUMNS`."""
    return [_row(record, verdict) for record, verdict in with_verdicts(records)]


def _row(record: Record, verdict: str) -> tuple[str, ...]:
    failed = verdict == "failed" or record.value is None
    return (
        record.instance,
        record.objective,
        str(record.k),
        record.method,
        "-" if failed else f"{record.value:.6g}",
        "-" if failed else f"{record.best_bound:.6g}",
        gap_text(record, verdict),
        "-" if record.seconds is None else f"{record.seconds:.3f}",
        verdict,
    )


def gap_summary(records: Iterable[Record]) -> Rows:
    """One row of text per objective, budget and method, over all instances; see `SUMMARY`."""
    groups = defaultdict(list)
    for record, verdict in with_verdicts(records):
        groups[record.objective, record.k, record.method].append((record, verdict))
    return [_summary_row(*key, group) for key, group in groups.items()]


def _summary_row(objective: str, k: int, method: str, group: list[tuple[Record, str]]) -> tuple[str, ...]:
    words = [verdict for _, verdict in group]
    kind = next((record.gap_kind for record, _ in group if record.gap_kind), None)
    gaps = [record.gap for record, verdict in group if verdict != "failed" and record.gap is not None]
    seconds = [record.seconds for record, verdict in group if verdict != "failed" and record.seconds is not None]
    return (
        objective,
        str(k),
        method,
        amount(statistics.median(gaps), kind) if gaps else "-",
        amount(max(gaps), kind) if gaps else "-",
        str(words.count("optimal")),
        str(words.count("open")),
        str(len(group)),
        f"{statistics.median(seconds):.3f}" if seconds else "-",
    )


def rich_table(columns: Sequence[str], rows: Rows) -> Table:
    """The rows for a terminal."""
    from rich.box import SIMPLE_HEAD
    from rich.table import Table
    from rich.text import Text

    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for name in columns:
        table.add_column(name, justify="left" if name in LEFT else "right", no_wrap=True)
    for row in rows:
        table.add_row(*(Text(cell, style=STYLES.get(cell, "")) for cell in row))
    return table


def markdown_table(columns: Sequence[str], rows: Rows) -> str:
    """The rows as a Markdown table.

    >>> print(markdown_table(("k", "method"), [("8", "greedy")]))
    | k | method |
    | --: | :-- |
    | 8 | greedy |
    """
    rule = [":--" if name in LEFT else "--:" for name in columns]
    lines = [columns, rule, *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def summary_page(
    records: Sequence[Record], sessions: Sequence[Mapping[str, Any]], pictures: Mapping[str, str] | None = None
) -> str:
    """A Markdown page: how to read it, the summary, pictures (file name -> caption), every run, failures, machine."""
    failures = [record for record in records if record.error is not None]
    parts = [
        "# Certified gaps",
        "Everything is maximised. `bound` is the least upper bound that any run proved for the problem; `gap` is "
        "(bound - value) / |value|, or bound - value in nats for conditional-dpp. Seconds are wall-clock, with one "
        "thread of linear algebra per run.",
        "\n".join(f"- **{word}**: {meaning}" for word, meaning in LEGEND.items()),
        "## By method",
        markdown_table(SUMMARY, gap_summary(records)),
        *(f"![{caption}]({name})" for name, caption in (pictures or {}).items()),
        "## Every run",
        markdown_table(COLUMNS, gap_rows(records)),
    ]
    if failures:
        parts += ["## Failures", "\n".join(f"- {' '.join(_name(record).split())}" for record in failures)]
    parts += ["## Machine and versions", "\n".join(f"- {_session(session)}" for session in sessions)]
    return "\n\n".join(parts) + "\n"


def _name(record: Record) -> str:
    return f"{record.instance} {record.objective} k={record.k} {record.method}: {record.error}"


def _session(session: Mapping[str, Any]) -> str:
    packages = ", ".join(f"{name} {version}" for name, version in session["packages"].items() if version)
    machine = f"{session['cpu']}, {session['cpu_count']} cores, {session['platform']}"
    asked = f"time limit {session['time_limit']} s, seed {session['seed']}, {session['jobs']} jobs"
    return f"{session['started']}: mmdp {session['mmdp']}, Python {session['python']}, {packages}; {machine}; {asked}"
