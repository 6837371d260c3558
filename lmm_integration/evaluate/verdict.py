"""What is proved about a value, and how a gap is written."""

from __future__ import annotations

import math
from collections.abc import Iterable

from solvers.records import UPPER_BOUNDS, Record

LEGEND = {
    "optimal": "the value reaches the bound: proved, by this run or by another on the same problem",
    "suboptimal": "the optimum is proved and larger: the gap is exact",
    "open": "only bounded: the true gap is somewhere between 0 and the one shown",
    "failed": "the run stopped with an error",
}

COLOURS = {"optimal": "#00796b", "suboptimal": "#b25400", "open": "#4a4a4a", "failed": "#c62828"}


def with_verdicts(records: Iterable[Record]) -> list[tuple[Record, str]]:
    """Every run of a method (and bounds that failed) with a word of `LEGEND`, in the same order."""
    records = list(records)
    solved = {record.group for record in records if record.proved and record.error is None}
    shown = (record for record in records if record.method != UPPER_BOUNDS or record.error is not None)
    return [(record, _verdict(record, record.group in solved)) for record in shown]


def _verdict(record: Record, solved: bool) -> str:
    if record.error is not None:
        return "failed"
    if record.proved:
        return "optimal"
    return "suboptimal" if solved else "open"


def gap_text(record: Record, verdict: str) -> str:
    """The gap with its unit: per cent of the value, or nats for log det; "≤" where it is only bounded."""
    if record.gap is None or verdict == "failed":
        return "-"
    if verdict == "open" and not math.isfinite(record.gap):
        return "unknown"
    return ("≤ " if verdict == "open" else "") + amount(record.gap, record.gap_kind)


def amount(gap: float, kind: str | None) -> str:
    """A gap with its unit.

    >>> amount(0.0321, "relative"), amount(1.5, "absolute"), amount(float("inf"), "relative")
    ('3.21 %', '1.5 nats', 'inf')
    """
    if not math.isfinite(gap):
        return "inf"
    return f"{gap:.3g} nats" if kind == "absolute" else f"{100 * gap:.3g} %"
