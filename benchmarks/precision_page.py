"""The tables of docs/precision.md from the results of `benchmarks.precision`."""

from __future__ import annotations

import statistics
from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

COLUMNS = ("tokens", "arithmetic", "both", "ours, float32 arithmetic")
CONTROL = "jitter 1e-6"
PICKS = ("n × d", "k", "type", *COLUMNS)
GAPS = ("algorithm", "backend and type", "median gap", "worst gap", "same set as float64")


def page(data: dict[str, Any]) -> str:
    """Picks by what was rounded, then certified gaps by backend and number type."""
    rows = [row for name, cell in data["cells"].items() if not name.startswith("gaps") for row in cell]
    gaps = [row for name, cell in data["cells"].items() if name.startswith("gaps") for row in cell]
    if not rows:
        return "Nothing has been measured for this version.\n"
    session = data["session"]
    packages = session["packages"]
    versions = ", ".join(f"{name} {packages[name]}" for name in ("numpy", "numba", "torch") if packages.get(name))
    parts = [
        f"Computed on {session['date']} at commit `{session['commit']}` on {session['cpu']}, Python "
        f"{session['python']}, {versions}.",
    ]
    for algorithm in dict.fromkeys(row["algorithm"] for row in rows):
        own = [row for row in rows if row["algorithm"] == algorithm]
        parts += [f"## `{algorithm}`", markdown(PICKS, picks_table(own))]
    if gaps:
        parts += ["## Certified gaps by backend and number type", markdown(GAPS, gap_table(gaps))]
    return "\n\n".join(parts) + "\n"


def picks_table(rows: Iterable[dict[str, Any]]) -> list[list[str]]:
    """One line for each size and number type, one column for each kind of rounding, over the pictures."""
    groups: dict[tuple[Any, ...], dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in rows:
        control = row["rounded"] == CONTROL
        line = (row["n"], row["d"], row["k"], CONTROL if control else row["dtype"])
        groups[line]["tokens" if control else row["rounded"]].append(row)
    return [
        [f"{n} × {d}", str(k), dtype, *(cell(kinds.get(name, [])) for name in COLUMNS)]
        for (n, d, k, dtype), kinds in groups.items()
    ]


def cell(group: Sequence[dict[str, Any]]) -> str:
    """Tokens in common, the first other step, and the largest loss; "same" where all pictures agree."""
    if not group:
        return ""
    first = [row["diverges"] for row in group if row["diverges"] is not None]
    if not first:
        return "same"
    unit = "nats" if group[0]["algorithm"] == "greedy_map" else "%"
    return (
        f"{shares([row['overlap'] for row in group])}, step {min(first)}, {loss(max(r['loss'] for r in group), unit)}"
    )


def gap_table(rows: Iterable[dict[str, Any]]) -> list[list[str]]:
    """One line for each method with its backend and number type, over the pictures."""
    rows = list(rows)
    naive = {
        (row["instance"], row["method"].partition(":")[0]): sorted(row["indices"])
        for row in rows
        if row["method"].endswith(":naive")
    }
    groups = defaultdict(list)
    for algorithm in dict.fromkeys(name for _, name in naive):
        for row in rows:
            if row["method"].partition(":")[0] == algorithm:
                groups[row["method"]].append(row)
    lines = []
    for method, group in groups.items():
        name, _, door = method.partition(":")
        unit = "nats" if group[0]["gap_kind"] == "absolute" else "%"
        gaps = [row["gap"] for row in group]
        same = sum(sorted(row["indices"]) == naive[row["instance"], name] for row in group)
        proved = "" if all(row["optimum_proved"] for row in group) else "≤ "
        lines.append(
            [
                f"`{name}`",
                door.replace(":", ", ").replace("naive", "naive, float64"),
                proved + loss(statistics.median(gaps), unit),
                proved + loss(max(gaps), unit),
                f"{same} of {len(group)}",
            ]
        )
    return lines


def shares(overlaps: Sequence[float]) -> str:
    """From the worst to the best picture."""
    low, high = (f"{100 * share:.0f}" for share in (min(overlaps), max(overlaps)))
    return f"{low} %" if low == high else f"{low} to {high} %"


def loss(amount: float, unit: str) -> str:
    """Two digits with the unit; a gain has a minus."""
    if unit == "%":
        amount *= 100
    return f"0 {unit}" if abs(amount) < 5e-7 else f"{amount:.2g} {unit}"


def markdown(head: Sequence[str], lines: Iterable[Sequence[str]]) -> str:
    """A table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)
