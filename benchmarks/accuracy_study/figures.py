"""The pictures of the study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from benchmarks.accuracy_study.analysis import RUNGS, Verdict, accuracy, ladder, mean_level
from benchmarks.accuracy_study.design import MARGIN, OBJECTIVES, planned
from benchmarks.accuracy_study.records import Record, flags
from benchmarks.accuracy_study.statistics import finite_mean, mean_of

FOLDER = Path(__file__).resolve().parents[2] / "docs" / "_static"
COLOURS = dict(zip(OBJECTIVES, ("#0072b2", "#d55e00", "#009e73"), strict=True))  # Okabe and Ito
PATH = ("random", "level 0.25", "level 0.5", "level 0.75", "greedy", "ensemble")
NAMES = {"multi_start": "multi-start", "local_search": "local search", "pc_mmr": "PC-MMR", "magnitude": "top magnitude"}
RUNG_NAMES = {
    "objective": "objective",
    "frozen": "attention error,\nnormaliser frozen",
    "true": "attention error",
    "divergence": "output KL",
}


def save(figure: Figure, name: str) -> None:
    """Write docs/_static/accuracy_<name>.png."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    figure.savefig(FOLDER / f"accuracy_{name}.png", dpi=110)


def shown(label: str) -> str:
    """A name of sets in words."""
    return NAMES.get(label, label)


def of_plan(pictures: int, k: int) -> str:
    """How many pictures there are, and of how many where some are missing."""
    return f"{pictures}" if pictures == (whole := planned(k, "max-min")) else f"{pictures} of {whole}"


def heading(tower: str, k: int, pictures: int) -> str:
    """Above a panel."""
    return f"{tower} tower, {k} tokens, {of_plan(pictures, k)} pictures"


def grid(panels: int, width: float, height: float) -> tuple[Figure, list[Axes]]:
    """A figure with so many panels of that size, at most two in a row, with one y-axis."""
    columns = min(2, panels)
    rows = -(-panels // columns)
    figure = Figure(figsize=(width * columns, height * rows), layout="constrained")
    axes = figure.subplots(rows, columns, sharey=True, squeeze=False).ravel()
    for ax in axes[panels:]:
        ax.remove()
    return figure, list(axes[:panels])


def draw_contrasts(found: Mapping[str, Sequence[Verdict]]) -> Figure:
    """Differences of the confirmatory family with their intervals, beside the margin; one panel a model and budget."""
    panels = [(tower, k) for tower, rows in found.items() for k in sorted({row.k for row in rows})]
    longest = max(sum(row.k == k for row in found[tower]) for tower, k in panels)
    figure, axes = grid(len(panels), 5.3, 0.3 * longest + 1.0)
    for ax, (tower, k) in zip(axes, panels, strict=True):
        rows = [row for row in found[tower] if row.k == k][::-1]
        for y, row in enumerate(rows):
            mean, low, high, _ = row.found.difference
            errors = [[100 * (mean - low)], [100 * (high - mean)]]
            ax.errorbar([100 * mean], [y], xerr=errors, fmt="o", ms=4, capsize=2, color=COLOURS[row.family])
        names = [f"{row.family}: {shown(row.pair[0])} - {shown(row.pair[1])}" for row in rows]
        ax.set_yticks(range(len(rows)), names, fontsize=8)
        ax.axvspan(-100 * MARGIN, 100 * MARGIN, color="#dddddd", zorder=0)
        ax.axvline(0, color="#888888", lw=0.8)
        ax.set_title(heading(tower, k, max(row.found.difference.pictures for row in rows)), fontsize=10)
        ax.set_xlabel("difference of accuracy, points")
    return figure


def draw_levels(found: Mapping[str, Sequence[Record]]) -> Figure:
    """Accuracy along the way from random sets to the best known, with bad sets and the unpruned model beside."""
    panels = [(tower, k) for tower, records in found.items() for k in sorted({r.k for r in records})]
    figure, axes = grid(len(panels), 4.8, 3.7)
    for ax, (tower, k) in zip(axes, panels, strict=True):
        records = [r for r in found[tower] if r.k == k]
        for family, colour in COLOURS.items():
            if not any(family in r.problems for r in records):
                continue
            points = []
            for label in PATH:
                y = mean_of([accuracy(r, family, label) for r in records])
                points.append((mean_level_of(records, family, label), *y[:3]))
            x, mean, low, high = np.array(sorted(points)).T
            ax.errorbar(
                x, 100 * mean, 100 * np.stack([mean - low, high - mean]), marker="o", ms=4, color=colour, label=family
            )
            greedy = mean_level_of(records, family, "greedy"), mean_of([accuracy(r, family, "greedy") for r in records])
            ax.plot([greedy[0]], [100 * greedy[1].mean], "s", ms=8, mfc="none", color=colour)
            bad = mean_of([accuracy(r, family, "clustered") for r in records]).mean
            ax.plot([mean_level_of(records, family, "clustered")], [100 * bad], "x", color=colour)
        for text, attribute, side in (("unpruned", "whole", "bottom"), ("no image", "blind", "top")):
            height = 100 * float(np.mean([flags(getattr(r, attribute)).mean() for r in records]))
            ax.axhline(height, color="#888888", lw=0.8, ls="--")
            ax.annotate(text, (0.01, height), xycoords=("axes fraction", "data"), va=side, fontsize=8)
        ax.set_title(heading(tower, k, len(records)), fontsize=10)
        ax.set_xlabel("level: random sets 0, best known 1")
    figure.supylabel("accuracy, %", fontsize=10)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=9)
    return figure


def mean_level_of(records: Sequence[Record], family: str, label: str) -> float:
    """Over pictures."""
    return finite_mean([mean_level(r, family, label) for r in records])


def draw_ladder(found: Mapping[str, Sequence[Record]]) -> Figure:
    """How well each rung ranks the sets of a picture as accuracy does."""
    panels = [(tower, k) for tower, records in found.items() for k in sorted({r.k for r in records})]
    figure, axes = grid(len(panels), 4.8, 3.3)
    for ax, (tower, k) in zip(axes, panels, strict=True):
        records = [r for r in found[tower] if r.k == k]
        for shift, (family, colour) in enumerate(COLOURS.items()):
            if not any(family in r.problems for r in records):
                continue
            rungs = ladder(records, family)
            found_ = [rungs[rung, "accuracy"] for rung in RUNGS[:-1]]
            mean, low, high = np.array([each[:3] for each in found_]).T
            x = np.arange(len(mean)) + 0.25 * (shift - 1)
            ax.bar(x, mean, 0.23, yerr=np.stack([mean - low, high - mean]), color=colour, capsize=2, label=family)
        ax.axhline(0, color="#888888", lw=0.8)
        ax.set_xticks(range(len(RUNG_NAMES)), list(RUNG_NAMES.values()), fontsize=8)
        ax.set_title(heading(tower, k, len(records)), fontsize=10)
    figure.supylabel("rank correlation with accuracy, within pictures", fontsize=10)
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize=9)
    return figure
