"""What greedy reached and what no set can exceed, by budget."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from lmm_integration.evaluate.gap_figure import COLOURS
from solvers.budget_path import BudgetPath

UNITS = {"relative": "gap in % of the value", "absolute": "gap in nats"}


def draw_paths(found: Sequence[tuple[str, BudgetPath]]) -> Figure:
    """One column per objective: values and bounds above, with the band in which the optimum lies; gaps below.

    Raises
    ------
    ValueError : nothing to draw.
    """
    if not found:
        raise ValueError("there is no path to draw")
    objectives = list(dict.fromkeys(path.objective for _, path in found))
    figure = Figure(figsize=(0.6 + 4.6 * len(objectives), 6.4), dpi=100, layout=ConstrainedLayoutEngine(w_pad=0.08))
    figure.suptitle("Greedy against proved bounds, by budget", fontsize=14, fontweight="bold")
    axes = figure.subplots(2, len(objectives), squeeze=False, sharex="col", height_ratios=[2, 1])
    for column, objective in enumerate(objectives):
        upper, lower = axes[0, column], axes[1, column]
        shown = [(name, path) for name, path in found if path.objective == objective]
        for place, (name, path) in enumerate(shown):
            _draw(upper, lower, path, COLOURS[place % len(COLOURS)], f"{name}, {path.solver}")
        upper.set_title(objective, fontsize=11)
        upper.set_ylabel("value (line) to bound (edge)")
        lower.set_ylabel(UNITS[shown[0][1].gap_kind])
        lower.set_xlabel("budget k")
        lower.set_ylim(bottom=0)
        for ax in (upper, lower):
            ax.grid(color="#dddddd", linewidth=0.6)
            ax.spines[["top", "right"]].set_visible(False)
        upper.legend(fontsize=8, frameon=False)
    return figure


def _draw(upper: Axes, lower: Axes, path: BudgetPath, colour: str, label: str) -> None:
    """Budgets without a finite value or bound are left out."""
    k, value, bound = np.asarray(path.budgets), np.asarray(path.values), np.asarray(path.bounds)
    gap = np.asarray(path.gaps) * (1 if path.gap_kind == "absolute" else 100)
    known = np.isfinite(value) & np.isfinite(bound)
    upper.fill_between(k[known], value[known], bound[known], color=colour, alpha=0.25, linewidth=0)
    upper.plot(k[known], bound[known], color=colour, linewidth=0.8)
    upper.plot(k[known], value[known], color=colour, linewidth=1.6, label=label)
    known &= np.isfinite(gap)
    lower.plot(k[known], gap[known], color=colour, linewidth=1.2)
