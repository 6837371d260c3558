"""The tables of docs/greedy_speed.md from the results of `benchmarks.greedy_speed`."""

from __future__ import annotations

from typing import Any

from benchmarks.greedy_cases import cases
from benchmarks.greedy_contenders import ALGORITHMS, CONTENDERS, OURS
from benchmarks.greedy_inputs import KINDS
from benchmarks.greedy_targets import target_table

HEAD = ("best peer", "tokens", "n × d", "k", "batch", "cores", "ours, ms")


def page(data: dict[str, Any]) -> str:
    """One table for each algorithm; a ratio is the time of the peer over ours."""
    if not data["rows"]:
        return "Nothing has been measured for this version.\n"
    parts = [
        "Each column of a peer holds its time divided by ours, in the same process and in turns: the median of the "
        "rounds' ratios. The first column is the smallest of them, and whose it is. "
        + ". ".join(_session(each) for each in data["sessions"])
        + "."
    ]
    used = {row["kind"] for row in data["rows"].values()}
    parts.append("\n".join(f"* {kind}: {words}." for kind, words in KINDS.items() if kind in used))
    if targets := target_table(data["rows"]):
        parts += ["### Targets", targets]
    for algorithm, words in ALGORITHMS.items():
        rows = [
            data["rows"][case.name] for case in cases() if case.algorithm == algorithm and case.name in data["rows"]
        ]
        if rows:
            parts += [f"### {algorithm}: {words}", table(algorithm, rows), legend(algorithm)]
    if data["first_call"]:
        parts += ["### The first call", first_call_table(data["first_call"])]
    return "\n\n".join(parts) + "\n"


def first_call_table(doors: dict[str, dict[str, float]]) -> str:
    """What compilation costs, which is in no figure above."""
    columns = list(next(iter(doors.values())))
    lines = [["door", *(f"{name}, s" for name in columns)], ["---"] * (1 + len(columns))]
    lines += [[f"`{door}`", *(f"{seconds[name]:.1f}" for name in columns)] for door, seconds in doors.items()]
    rows = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"Import and first call in a new process; `python -m solvers.warm` fills the cache beforehand.\n\n{rows}"


def table(algorithm: str, rows: list[dict[str, Any]]) -> str:
    """The rows of one algorithm, one column for each peer."""
    peers = [each.name for each in CONTENDERS if each.algorithm == algorithm and each.name != OURS]
    lines = [[*HEAD, *peers], ["---"] * (len(HEAD) + len(peers))]
    for row in rows:
        lines.append(
            [
                f"**{times(row['ratio'])}** {row['best_peer']}",
                row["kind"],
                f"{row['n']} × {row['d']}",
                str(row["k"]),
                str(row["batch"]),
                row["cores"].partition(" ")[0],
                figures(row["ours_ms"]),
                *(cell(row["peers"].get(name, {})) for name in peers),
            ]
        )
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def cell(peer: dict[str, Any]) -> str:
    """A ratio, or why there is none."""
    if "ratio" in peer:
        return times(peer["ratio"])
    return peer.get("other_answer", "").replace(" tokens in common", " in common")


def times(ratio: float) -> str:
    """Two digits, and no more than are meant."""
    return f"{ratio:.1f}×" if ratio < 10 else f"{ratio:.0f}×"


def figures(ms: float) -> str:
    """Three digits."""
    return f"{ms:.3g}" if ms < 100 else f"{ms:.0f}"


def legend(algorithm: str) -> str:
    """Who the columns are."""
    return "; ".join(f"{each.name}: {each.note}" for each in CONTENDERS if each.algorithm == algorithm) + "."


def _session(session: dict[str, Any]) -> str:
    packages = session["packages"]
    versions = ", ".join(f"{name} {packages[name]}" for name in ("numpy", "numba", "torch") if packages.get(name))
    peers = ", ".join(f"{name} {number}" for name, number in session["peers"].items() if number)
    state = " with uncommitted changes" if session["uncommitted"] else ""
    return (
        f"Measured on {session['date']} at commit `{session['commit']}`{state} on {session['cpu']} "
        f"({session['cpu_count']} cores), Python {session['python']}, {versions}, {peers or 'no other peers'}, "
        f"{session['load']}"
    )
