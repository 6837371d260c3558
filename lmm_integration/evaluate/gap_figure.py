"""The certified gap of each method on each instance; what is proved looks different from what is only bounded."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from lmm_integration.evaluate.verdict import with_verdicts
from solvers.records import Record

Judged = list[tuple[Record, str]]
MARKERS = "osD^vP*X"
COLOURS = ("#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#999999", "#000000")  # Okabe and Ito
NEUTRAL = "#444444"


def draw_gaps(records: Sequence[Record]) -> Figure:
    """One panel per budget and objective, one line per instance, one mark per method.

    A full mark stands at an exact gap: the optimum is proved. A hollow mark is only an upper limit, and a thin line
    from zero shows where the true gap may lie. Where nothing is proved, the panel says so.

    Raises
    ------
    ValueError : no record with a value.
    """
    runs = [(record, verdict) for record, verdict in with_verdicts(records) if verdict != "failed"]
    if not runs:
        raise ValueError("there is no run to draw a gap of")
    instances = list(dict.fromkeys(record.instance for record, _ in runs))
    objectives = list(dict.fromkeys(record.objective for record, _ in runs))
    budgets = sorted({record.k for record, _ in runs})
    methods = list(dict.fromkeys(record.method for record, _ in runs))

    size = (2.0 + 3.9 * len(objectives), 1.7 + (0.6 + 0.42 * len(instances)) * len(budgets))
    figure = Figure(figsize=size, dpi=100, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    figure.suptitle("Certified gap to the optimum", fontsize=15, fontweight="bold")
    axes = figure.subplots(len(budgets), len(objectives), squeeze=False, sharey=True, sharex="col")
    for row, k in zip(axes, budgets, strict=True):
        for ax, objective in zip(row, objectives, strict=True):
            _frame(ax, instances)
            _panel(ax, [(r, v) for r, v in runs if r.k == k and r.objective == objective], instances, methods)
            ax.set_title(f"{objective}, k = {k}", fontsize=11)
    for ax, objective in zip(axes[-1], objectives, strict=True):
        kind = next(record.gap_kind for record, _ in runs if record.objective == objective)
        widest = max((_units(r) for r, _ in runs if r.objective == objective and _units(r) < math.inf), default=0) or 1
        ax.set_xlim(-0.04 * widest, 1.08 * widest)
        ax.set_xlabel("gap in nats" if kind == "absolute" else "gap in % of the value")
    figure.legend(handles=_legend(methods), loc="outside lower center", ncols=min(5, len(methods) + 2), frameon=False)
    return figure


def _panel(ax: Axes, runs: Judged, instances: list[str], methods: list[str]) -> None:
    """The methods of one instance are shifted a little, so that none hides another."""
    shifts = np.linspace(-0.24, 0.24, len(methods)) if len(methods) > 1 else np.zeros(1)
    for record, verdict in runs:
        which = methods.index(record.method)
        y, colour = instances.index(record.instance) + shifts[which], COLOURS[which % len(COLOURS)]
        gap = _units(record)
        if gap == math.inf:
            place = ("axes fraction", "data")
            ax.annotate("nothing proved", (1.0, y), xycoords=place, ha="right", va="center", color=colour, fontsize=8)
            continue
        if verdict == "open":
            ax.plot([0, gap], [y, y], color=colour, linewidth=1.2, alpha=0.55, zorder=2)
        _mark(ax, gap, y, MARKERS[which % len(MARKERS)], colour, full=verdict != "open")


def _units(record: Record) -> float:
    """The gap in nats or per cent, inf where there is none."""
    return math.inf if record.gap is None else record.gap * (1 if record.gap_kind == "absolute" else 100)


def _mark(ax: Axes, x: float, y: float, marker: str, colour: str, *, full: bool) -> None:
    face = colour if full else "white"
    ax.plot([x], [y], marker, color=colour, markerfacecolor=face, markersize=6.5, mew=1.4, zorder=3)


def _frame(ax: Axes, instances: list[str]) -> None:
    """Instances from top to bottom, gaps from 0 to the right."""
    ax.set_yticks(range(len(instances)), [_short(name) for name in instances])
    ax.set_ylim(len(instances) - 0.5, -0.5)
    ax.grid(axis="x", color="#dddddd", linewidth=0.7)
    ax.axvline(0, color="#888888", linewidth=0.9, zorder=1)
    ax.set_axisbelow(True)
    ax.spines[["top", "right", "left"]].set_visible(False)
    ax.tick_params(axis="y", length=0)
    for line in range(1, len(instances)):
        ax.axhline(line - 0.5, color="#eeeeee", linewidth=0.8, zorder=0)


def _short(name: str) -> str:
    """The photo's name alone: "photo/astronaut/pca" -> "astronaut"."""
    parts = name.split("/")
    return parts[1] if parts[0] == "photo" and len(parts) == 3 else name


def _legend(methods: list[str]) -> list[Line2D]:
    handles = [
        Line2D([], [], color=COLOURS[i % 8], marker=MARKERS[i % 8], linestyle="none", label=name)
        for i, name in enumerate(methods)
    ]
    exact = Line2D([], [], color=NEUTRAL, marker="o", linestyle="none", label="full: exact, the optimum is proved")
    limit = Line2D([], [], color=NEUTRAL, marker="o", markerfacecolor="white", label="hollow: at most this, not proved")
    return [*handles, exact, limit]
