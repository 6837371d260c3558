"""Which patches each method keeps, laid over the photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import PatchCollection
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Rectangle

from lmm_integration.evaluate.verdict import COLOURS, gap_text, with_verdicts
from mmdp.instances import Instance
from solvers.records import Record

GREY, SHARE = 0.97, 0.22  # a dropped patch is this share of the photo over this grey
EDGE, INCHES = "#111111", 2.7


def draw_kept(instance: Instance, records: Sequence[Record]) -> Figure:
    """A grid of pictures, objectives x methods: kept patches in full colour, the rest faded; value and gap above each.

    Parameters
    ----------
    instance : with `image` and `grid`.
    records : of this instance and one budget, bounds shared; failed runs leave their place empty.

    Raises
    ------
    ValueError : an instance without picture or grid, records of another instance or of several budgets, no records.
    """
    if instance.image is None or instance.grid is None:
        raise ValueError(f"instance {instance.name!r} has no picture with a patch grid")
    runs = [(record, verdict) for record, verdict in with_verdicts(records) if record.indices is not None]
    problems = {(record.instance, record.n, record.k) for record, _ in runs}
    if len(problems) != 1 or next(iter(problems))[1] != instance.n:
        raise ValueError(
            f"records must be of one instance with n = {instance.n} and one budget, got {sorted(problems)}"
        )
    objectives = list(dict.fromkeys(record.objective for record, _ in runs))
    methods = list(dict.fromkeys(record.method for record, _ in runs))

    size = (INCHES * (len(methods) + 1) + 0.4, (INCHES + 0.5) * len(objectives) + 0.7)
    figure = Figure(figsize=size, dpi=100, layout=ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08))
    budget = runs[0][0].k
    figure.suptitle(f"{instance.name}: {budget} of {instance.n} patches kept", fontsize=15, fontweight="bold")
    axes = figure.subplots(len(objectives), len(methods) + 1, squeeze=False)
    for ax in axes.flat:
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    for row, objective in zip(axes, objectives, strict=True):
        row[0].imshow(instance.image)
        row[0].set_ylabel(objective, fontsize=13, fontweight="bold")
        row[0].set_title("the photo", fontsize=11)
    for record, verdict in runs:
        ax = axes[objectives.index(record.objective)][1 + methods.index(record.method)]
        _draw_selection(ax, instance, record.indices or [])
        ax.set_title(f"{record.method}\n{_facts(record, verdict)}", fontsize=11, color=COLOURS[verdict])
    return figure


def _facts(record: Record, verdict: str) -> str:
    gap = "optimal" if verdict == "optimal" else f"gap {gap_text(record, verdict)}"
    return f"{record.value:.5g}, {gap}"


def _draw_selection(ax: Axes, instance: Instance, kept: list[int]) -> None:
    """The photo, faded but for the kept patches, each with a thin frame."""
    image = np.asarray(instance.image, dtype=np.float64) / 255
    rows, columns = instance.grid or (1, 1)
    height, width = image.shape[0] / rows, image.shape[1] / columns
    inside = np.zeros(rows * columns, dtype=bool)
    inside[kept] = True
    cell_of_row = (np.arange(image.shape[0]) / height).astype(int)
    cell_of_column = (np.arange(image.shape[1]) / width).astype(int)
    mask = inside.reshape(rows, columns)[np.ix_(cell_of_row, cell_of_column)][..., None]
    ax.imshow(np.where(mask, image, SHARE * image + (1 - SHARE) * GREY))
    corners = [((i % columns) * width - 0.5, (i // columns) * height - 0.5) for i in kept]
    frames = [Rectangle(corner, width, height) for corner in corners]
    ax.add_collection(PatchCollection(frames, facecolor="none", edgecolor=EDGE, linewidth=0.7))
