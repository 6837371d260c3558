"""Where the time of a request goes, and what it comes to for longer outputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine

from lmm_integration.evaluate.gap_figure import COLOURS, MARKERS
from lmm_integration.latency.request import PARTS

Row = Mapping[str, Any]
STAGES = tuple(name for name in PARTS if name != "decode")


def draw_latency(rows: Sequence[Row], title: str) -> Figure:
    """A pair of panels for each batch: stages up to the first token as stacked bars; latency by output length, as a ratio
    to the unpruned model with sdpa.

    Raises
    ------
    ValueError : nothing to draw.
    """
    if not rows:
        raise ValueError("there is no row to draw")
    batches = list(dict.fromkeys(row["batch"] for row in rows))
    names = list(dict.fromkeys(row["label"] for row in rows))
    height = 1.6 + (0.7 + 0.32 * len(names)) * len(batches)
    figure = Figure(figsize=(11, height), dpi=100, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    figure.suptitle(title, fontsize=13, fontweight="bold")
    axes = figure.subplots(len(batches), 2, squeeze=False, width_ratios=[3, 2])
    for (left, right), batch in zip(axes, batches, strict=True):
        here = [row for row in rows if row["batch"] == batch]
        _stages(left, here)
        _outputs(right, here, names)
        left.set_ylabel(f"batch {batch}")
        for ax in (left, right):
            ax.spines[["top", "right"]].set_visible(False)
    axes[-1, 0].set_xlabel("ms up to the first token, median of each stage")
    axes[-1, 1].set_xlabel("new tokens")
    bars, stages = axes[0, 0].get_legend_handles_labels()
    lines, labels = axes[0, 1].get_legend_handles_labels()
    figure.legend(bars, stages, loc="outside lower left", ncols=len(stages), frameon=False, fontsize=8)
    figure.legend(lines, labels, loc="outside lower right", ncols=3, frameon=False, fontsize=8)
    return figure


def _stages(ax: Axes, rows: Sequence[Row]) -> None:
    starts = [0.0] * len(rows)
    for number, name in enumerate(STAGES):
        lengths = [max(row["parts"][name]["median"], 0.0) for row in rows]
        ax.barh(range(len(rows)), lengths, left=starts, label=name, color=COLOURS[number % len(COLOURS)], height=0.7)
        starts = [start + length for start, length in zip(starts, lengths, strict=True)]
    ax.set_yticks(range(len(rows)), [row["label"] for row in rows], fontsize=8)
    ax.invert_yaxis()


def _outputs(ax: Axes, rows: Sequence[Row], names: Sequence[str]) -> None:
    for row in rows:
        points = [(n, values["ratio"]) for n, values in row["outputs"].items() if values["ratio"] is not None]
        number = names.index(row["label"])
        ax.plot(
            [n for n, _ in points],
            [ratio for _, ratio in points],
            color=COLOURS[number % len(COLOURS)],
            marker=MARKERS[number % len(MARKERS)],
            markersize=4,
            linewidth=1.2,
            label=row["label"],
        )
    ax.axhline(1.0, color="#888888", linewidth=0.8, linestyle=":")
    lengths = list(rows[0]["outputs"])
    ax.set_xscale("log", base=2)
    ax.set_xticks(lengths, [str(n) for n in lengths])
    ax.minorticks_off()
    ax.set_ylim(bottom=0)
    ax.set_ylabel("ratio to unpruned", fontsize=8)
