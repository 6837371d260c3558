"""The pictures of the study."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import NullLocator

from benchmarks.study.design import BUDGETS, KINDS, METHODS, OBJECTIVES
from benchmarks.study.statistics import UNITS, Group, Problems, over_photos

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "_static"
COLOURS = ("#999999", "#0072b2", "#56b4e9", "#009e73", "#d55e00")  # Okabe and Ito, one per method
KIND_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#56b4e9", "#e69f00", "#cc79a7")
LABELS = dict(
    zip(METHODS, ("random", "greedy", "multi-start greedy", "local search", "exact, time limit"), strict=True)
)
KS = sorted(BUDGETS)
SPECTRA = {
    "raw_ratio": "participation ratio of the tokens as they are",
    "centred_ratio": "participation ratio of the centred tokens",
}
RATIOS = (1, 2, 5, 10, 20, 50)

Parts = Callable[[str], tuple[str, str, int] | None]


def save(figure: Figure, name: str) -> None:
    """Write docs/_static/study_<name>.png."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(FOLDER / f"study_{name}.png", dpi=110)


def draw_min_distances(problems: Problems, main: Sequence[Group], ks: Sequence[int] = (16, 64, 192)) -> Figure:
    """DivPrune's figure 3b with the optimum: how many sets have which least distance."""
    ks = [k for k in ks if any(group[1] == "max-min" and group[2] == k for group in main)] or list(ks[:1])
    figure = Figure(figsize=(4.2 * len(ks), 3.9), layout="constrained")
    for ax, k in zip(np.atleast_1d(figure.subplots(1, len(ks))), ks, strict=True):
        groups = [group for group in main if group[1] == "max-min" and group[2] == k]
        top = max((problems.bound[group] for group in groups), default=1.0)
        bins = np.linspace(0, 1.02 * top, 26)
        for method, colour in zip(METHODS, COLOURS, strict=True):
            values = [problems.cells[group][method].value for group in groups if method in problems.cells[group]]
            if method == "exact":
                style = {"histtype": "step", "lw": 2.2, "color": colour}
                known = sum(problems.proved(group) for group in groups)
                label = f"best known ({known} of {len(groups)} proved optimal)"
                values = [problems.value[group] for group in groups]
            elif method in ("random", "greedy"):
                style, label = {"histtype": "stepfilled", "alpha": 0.45, "color": colour}, LABELS[method]
            else:
                continue
            ax.hist([v for v in values if v is not None], bins=bins, label=label, **style)
        ax.set_title(f"k = {k}, {len(groups)} photo-patch inputs", fontsize=10)
        ax.set_xlabel("least pair distance 1 - cos of the kept set")
        ax.legend(fontsize=8, loc="upper right")
    figure.axes[0].set_ylabel("inputs")
    return figure


def draw_losses(problems: Problems, main: Sequence[Group], parts: Parts) -> Figure:
    """Loss against the certified bound by budget, one line per method, with intervals over photos."""
    figure = Figure(figsize=(13, 4.1), layout="constrained")
    for ax, objective in zip(figure.subplots(1, 3), OBJECTIVES, strict=True):
        for shift, (method, colour) in enumerate(zip(METHODS, COLOURS, strict=True)):
            if method == "random":
                continue
            points = []
            for k in KS:
                chosen = [g for g in main if g[1] == objective and g[2] == k and method in problems.cells[g]]
                pairs = [(part[0], problems.loss(g, method)) for g in chosen if (part := parts(g[0]))]
                found = over_photos(pairs, np.median)
                if found.photos:
                    points.append((k * 1.02 ** (shift - 2), found.mean, found.low, found.high))
            if points:
                x, mean, low, high = np.array(points).T
                errors = np.maximum([mean - low, high - mean], 0)
                ax.errorbar(x, mean, errors, marker="o", ms=4, capsize=2, color=colour, label=LABELS[method])
        ax.set_xscale("log")
        ax.set_xticks(KS, [str(k) for k in KS])
        ax.xaxis.set_minor_locator(NullLocator())
        ax.set_ylim(bottom=0)
        ax.set_title(objective, fontsize=10)
        ax.set_xlabel("kept tokens k, of 576")
        ax.set_ylabel(f"at most below the optimum, {UNITS[objective]}")
    _legend(figure)
    return figure


def draw_hardness(
    problems: Problems, main: Sequence[Group], parts: Parts, instances: dict[str, dict[str, Any]], k: int = 64
) -> Figure:
    """What the exact method leaves open within its limit, over the participation ratio of raw and of centred rows."""
    figure = Figure(figsize=(13, 7.6), layout="constrained")
    grid = figure.subplots(2, 3, sharey="col")
    for row, (covariate, name) in zip(grid, SPECTRA.items(), strict=True):
        for ax, objective in zip(row, OBJECTIVES, strict=True):
            for kind, colour in zip(KINDS, KIND_COLOURS, strict=True):
                groups = [g for g in main if g[1:] == (objective, k) and "exact" in problems.cells[g]]
                groups = [g for g in groups if (part := parts(g[0])) and part[1] == kind and instances[g[0]][covariate]]
                if groups:
                    x = [instances[g[0]][covariate] for g in groups]
                    y = [problems.loss(g, "exact") for g in groups]
                    ax.scatter(x, y, s=26, color=colour, alpha=0.8, label=kind)
            if ax.collections:
                _frame(ax, objective, name, k)
    _legend(figure)
    return figure


def _legend(figure: Figure) -> None:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    if handles:
        figure.axes[0].legend(handles, labels, fontsize=8)


def _frame(ax: Axes, objective: str, covariate: str, k: int) -> None:
    ax.set_xscale("log")
    ax.set_xticks(RATIOS, [str(ratio) for ratio in RATIOS])
    ax.xaxis.set_minor_locator(NullLocator())
    ax.set_title(f"{objective}, k = {k}", fontsize=10)
    ax.set_xlabel(covariate)
    ax.set_ylabel(f"left open, {UNITS[objective]}")
