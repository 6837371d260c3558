"""Accuracy against what it costs: one curve for each method, one panel for each measure of cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from lmm_integration.evaluate.accuracy.bench import BLIND, NONE
from lmm_integration.evaluate.accuracy.panels import MEASURES, cost
from lmm_integration.evaluate.accuracy.table import SCALES, UNITS
from lmm_integration.evaluate.gap_figure import COLOURS, MARKERS, NEUTRAL

Row = Mapping[str, Any]
MARGIN = 5.0


def draw_accuracy(summary: Sequence[Row], title: str) -> Figure:
    """Accuracy in per cent with bars of one standard error; unpruned and blind as lines across.

    Where nobody knows the cost of a method, its curve is missing from that panel.

    Raises
    ------
    ValueError : a summary without rows.
    """
    if not summary:
        raise ValueError("there is no row to draw")
    figure = Figure(figsize=(4.6 * len(MEASURES), 4.4), dpi=100, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    figure.suptitle(title, fontsize=13, fontweight="bold")
    axes = figure.subplots(1, len(MEASURES), sharey=True)
    methods = list(dict.fromkeys(row["method"] for row in summary if row["method"] not in (NONE, BLIND)))
    for ax, measure in zip(axes, MEASURES, strict=True):
        for number, method in enumerate(methods):
            _curve(ax, [row for row in summary if row["method"] == method], measure, number)
        _across(ax, summary)
        _log_scale(ax)
        ax.set_xlabel(f"{measure} ({UNITS[measure]})" if UNITS[measure] != "tokens" else measure)
        ax.grid(True, which="major", color="#e4e4e4", linewidth=0.8)
        ax.set_axisbelow(True)
        ax.spines[["top", "right"]].set_visible(False)
    axes[0].set_ylabel("accuracy in per cent")
    heights = [100 * row["accuracy"] for row in summary]
    axes[0].set_ylim(max(0.0, min(heights) - MARGIN), min(100.0, max(heights) + MARGIN))
    handles, labels = axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=min(6, len(labels)), frameon=False)
    return figure


def _log_scale(ax: Axes) -> None:
    """Doubling is a constant distance, and numbers are written out."""
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _curve(ax: Axes, rows: Sequence[Row], measure: str, number: int) -> None:
    priced = [(c * SCALES[measure], row) for row in rows if (c := cost(dict(row), measure))]
    points = sorted(priced, key=lambda point: point[0])
    again, colour = divmod(number, len(COLOURS))  # colours that return come with other marks and dashes
    ax.errorbar(
        [c for c, _ in points],
        [100 * row["accuracy"] for _, row in points],
        yerr=[100 * (row["stderr"] or 0.0) for _, row in points],
        label=rows[0]["method"],
        color=COLOURS[colour],
        marker=MARKERS[(number + again) % len(MARKERS)],
        linestyle=("-", "--", ":")[again % 3],
        markersize=5,
        linewidth=1.4,
        capsize=2,
    )


def _across(ax: Axes, summary: Sequence[Row]) -> None:
    for method, style, label in ((NONE, "-", "unpruned"), (BLIND, ":", "blind")):
        for row in summary:
            if row["method"] == method:
                ax.axhline(100 * row["accuracy"], color=NEUTRAL, linestyle=style, linewidth=1.2, label=label)
