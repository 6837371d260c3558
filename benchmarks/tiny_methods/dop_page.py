"""Table and figure of operation pruning on the tiny model, from the committed summary."""

from __future__ import annotations

import json
from collections.abc import Mapping
from statistics import median
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter

from benchmarks.tiny_methods.page import FIGURES, RESULTS, TABLES, cell, table
from lmm_integration.calibration.report import rank_correlation
from lmm_integration.evaluate.gap_figure import COLOURS, MARKERS, NEUTRAL

RESULT = RESULTS / "dop.json"
CURVES = ("DOP", "fewer tokens", "single operations")
Found = Mapping[str, Any]


def write_page() -> None:
    """Write docs/_tables/tiny_dop*.md and docs/_static/tiny_dop.png."""
    found = json.loads(RESULT.read_text(encoding="utf-8"))
    (TABLES / "tiny_dop.md").write_text(accuracy_table(found), encoding="utf-8")
    (TABLES / "tiny_dop_draws.md").write_text(draws_table(found), encoding="utf-8")
    draw(found).savefig(FIGURES / "tiny_dop.png")


def accuracy_table(found: Found) -> str:
    """One row for each budget and curve."""
    above = (
        f"Unpruned {cell(found['unpruned'])}, no visual token {cell(found['blind'])}; {found['questions']} questions, "
        f"policies from {found['samples']} others.\n\n"
    )
    head = ["operations", "curve", "tokens", "attention", "MLPs", "KL, summed", "KL, measured", "KL, test"]
    head += ["accuracy", "minus fewer tokens"]
    rows = [
        [
            f"{100 * row['share']:.1f} %",
            row["curve"],
            str(row["tokens"]),
            layers(row["attention"]),
            layers(row["mlp"]),
            *(f"{row[name]:.3f}" for name in ("summed", "kl", "test_kl")),
            cell(row),
            "" if row["curve"] == "fewer tokens" else difference(row["minus_fewer_tokens"]),
        ]
        for budget in dict.fromkeys(row["budget"] for row in found["rows"])
        for curve in CURVES
        for row in found["rows"]
        if (row["budget"], row["curve"]) == (budget, curve)
    ]
    return above + table(head, rows)


def draws_table(found: Found) -> str:
    """One row for each budget: what other calibration questions choose, and what a kind that they lack loses."""
    held = {row["budget"]: row["held_out"] for row in found["rows"] if row["curve"] == "DOP"}
    head = ["budget", "policies", "tokens", "attention depth", "MLP depth", "KL", "of fewer tokens"]
    head += ["kind held out", "minus DOP"]
    rows = []
    for one in found["draws"]:
        policies = one["policies"]
        different = {(p["tokens"], len(p["attention"]), len(p["mlp"])) for p in policies}
        kl = [p["kl"] for p in policies]
        rows.append(
            [
                f"{100 * one['budget']:g} %",
                f"{len(different)} of {len(policies)}",
                span([p["tokens"] for p in policies]),
                span([len(p["attention"]) for p in policies]),
                span([len(p["mlp"]) for p in policies]),
                f"{sum(kl) / len(kl):.3f} ({min(kl):.3f} to {max(kl):.3f})",
                f"{one['fewer_tokens_kl']:.3f}",
                cell(held[one["budget"]]),
                difference(held[one["budget"]]["minus_dop"]),
            ]
        )
    facts = found["additivity"]
    above = (
        f"Summed against measured divergence: rank correlation {facts['rank_correlation']:.2f} over "
        f"{len(facts['summed'])} policies drawn at random, {of_the_better_half(facts):.2f} over the half of them with "
        f"the smaller sums.\n\n"
    )
    return above + table(head, rows)


def of_the_better_half(additivity: Mapping[str, Any]) -> float:
    """Rank correlation among the policies that a choice is made of, those with sums up to the median."""
    middle = median(additivity["summed"])
    pairs = zip(additivity["summed"], additivity["joint"], strict=True)
    return rank_correlation(*zip(*[pair for pair in pairs if pair[0] <= middle], strict=True))


def layers(runs: list[int]) -> str:
    """Layers counted from 0; the first ones as a range.

    >>> layers([0, 1, 2]), layers([0, 2, 3, 5]), layers([])
    ('0-2', '0, 2-3, 5', 'none')
    """
    parts: list[list[int]] = []
    for layer in runs:
        if parts and layer == parts[-1][-1] + 1:
            parts[-1].append(layer)
        else:
            parts.append([layer])
    return ", ".join(f"{p[0]}-{p[-1]}" if len(p) > 1 else str(p[0]) for p in parts) or "none"


def span(numbers: list[int]) -> str:
    """Least and largest."""
    return str(min(numbers)) if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"


def difference(estimate: Mapping[str, Any]) -> str:
    """In per cent, with its error."""
    return f"{100 * estimate['mean']:+.1f} ± {100 * (estimate['stderr'] or 0):.1f}"


def draw(found: Found) -> Figure:
    """Accuracy against operations, and summed against joint divergence."""
    figure = Figure(figsize=(10.5, 4.4), dpi=100, layout=ConstrainedLayoutEngine(w_pad=0.1, h_pad=0.08))
    left, right = figure.subplots(1, 2)
    _accuracy(left, found)
    _additivity(right, found)
    for ax in (left, right):
        ax.grid(True, color="#e4e4e4", linewidth=0.8)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    return figure


def _accuracy(ax: Axes, found: Found) -> None:
    shown = {curve: [row for row in found["rows"] if row["curve"] == curve] for curve in CURVES}
    shown["DOP, kind held out"] = [row | row["held_out"] for row in shown["DOP"]]
    for number, (curve, rows) in enumerate(shown.items()):
        ax.errorbar(
            [100 * row["share"] for row in rows],
            [100 * row["accuracy"] for row in rows],
            yerr=[100 * (row["stderr"] or 0.0) for row in rows],
            label=curve,
            color=COLOURS[number],
            marker=MARKERS[number],
            linestyle="--" if "held out" in curve else "-",
            markersize=5,
            linewidth=1.4,
            capsize=2,
        )
    for name, style in (("unpruned", "-"), ("blind", ":")):
        ax.axhline(100 * found[name]["accuracy"], color=NEUTRAL, linestyle=style, linewidth=1.2, label=name)
    ax.set_title("At equal operations", fontsize=11)
    ax.set_xlabel("operations in per cent of the dense prefill")
    ax.set_ylabel("accuracy in per cent")
    ax.legend(frameon=False, fontsize=8, loc="center", bbox_to_anchor=(0.5, 0.38))


def _additivity(ax: Axes, found: Found) -> None:
    facts = found["additivity"]
    ax.scatter(facts["summed"], facts["joint"], color=COLOURS[0], s=22, label="drawn at random")
    for curve, colour in (("DOP", COLOURS[5]), ("single operations", COLOURS[2])):
        rows = [row for row in found["rows"] if row["curve"] == curve]
        points = [row["summed"] for row in rows], [row["kl"] for row in rows]
        ax.scatter(*points, color=colour, marker="D", s=26, label=f"chosen: {curve}")
    ax.set_xscale("log")
    ax.set_yscale("log")
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ends = ax.get_xlim()
    ax.plot(ends, ends, color=NEUTRAL, linewidth=1.0, linestyle="--", label="sum = joint")
    ax.set_title(f"Summed and joint, rank correlation {facts['rank_correlation']:.2f}", fontsize=11)
    ax.set_xlabel("sum of the three curves in nats")
    ax.set_ylabel("measured divergence in nats")
    ax.legend(frameon=False, fontsize=8, loc="upper left")
