"""The gap chart and the pictures of kept patches."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from matplotlib.image import imread

from lmm_integration.evaluate.gap_figure import draw_gaps
from lmm_integration.evaluate.kept_figure import draw_kept
from mmdp.instances import Instance, gaussian
from solvers.records import Record
from solvers.study import run_study

WHITE = Instance(
    "white", features=gaussian(16, 4, 0).features, grid=(4, 4), image=np.zeros((40, 40, 3), dtype=np.uint8)
)


@pytest.fixture(scope="module")
def records() -> list[Record]:
    """Two objectives, two methods and one budget on a 4 x 4 grid."""
    return run_study([WHITE], ["max-min", "conditional-dpp"], [4], ["greedy", "brute_force"])


def test_the_kept_picture_has_a_cell_per_objective_and_method(records):
    """Rows are objectives, columns the photo and the methods; each title names method, value, and gap or optimum."""
    figure = draw_kept(WHITE, records)
    titles = [ax.get_title() for ax in figure.axes]
    assert len(titles) == 2 * (1 + 2)
    runs = [record for record in records if record.value is not None]
    for record in runs:
        title = next(t for t in titles if t.startswith(record.method) and f"{record.value:.5g}" in t)
        assert ("optimal" in title) == record.proved
    assert "4 of 16 patches" in figure.get_suptitle()


def test_kept_patches_stay_and_the_others_fade(records):
    """In the picture of a method the pixels of kept patches are those of the photo, all others are lighter."""
    figure = draw_kept(WHITE, records)
    record = next(r for r in records if r.method == "greedy" and r.objective == "max-min")
    ax = next(ax for ax in figure.axes if ax.get_title().startswith("greedy"))
    shown = np.asarray(ax.images[0].get_array())
    cells = shown.reshape(4, 10, 4, 10, 3).transpose(0, 2, 1, 3, 4).reshape(16, -1)
    kept = np.isin(np.arange(16), record.indices)
    assert (cells[kept] == 0).all()
    assert (cells[~kept] > 0.5).all()
    assert len(ax.collections[0].get_paths()) == 4


def test_the_gap_chart_tells_exact_from_bounded(records):
    """A proved gap is a full mark, an upper limit a hollow one on a line from zero, and no bound is said in words."""
    one, two = (record for record in records if record.objective == "max-min" and record.value is not None)
    solved = [replace(one, instance="a", gap=0.1, proved=False), replace(two, instance="a", gap=0.0, proved=True)]
    limit = [replace(one, instance="b", gap=0.2, proved=False), replace(two, instance="b", gap=0.1, proved=False)]
    bare = [replace(one, instance="c", gap=math.inf, proved=False)]
    (ax,) = draw_gaps([*solved, *limit, *bare]).axes
    marks = [line for line in ax.lines if line.get_marker() not in ("None", "")]
    faces = {
        round(float(line.get_xdata()[0]), 6): line.get_markerfacecolor() for line in marks if line.get_ydata()[0] > 0.5
    }
    assert faces == {20.0: "white", 10.0: "white"}
    assert all(line.get_markerfacecolor() != "white" for line in marks if line.get_ydata()[0] < 0.5)
    rods = [line for line in ax.lines if len(line.get_xdata()) == 2 and line.get_xdata()[1] in (20.0, 10.0)]
    assert len(rods) == 2
    assert [text.get_text() for text in ax.texts] == ["nothing proved"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["a", "b", "c"]


def test_there_is_a_panel_per_objective_and_budget(records):
    """Budgets are rows, objectives columns, log det in nats."""
    both = [*records, *(replace(record, k=8) for record in records)]
    figure = draw_gaps(both)
    assert [ax.get_title() for ax in figure.axes] == [
        "max-min, k = 4",
        "conditional-dpp, k = 4",
        "max-min, k = 8",
        "conditional-dpp, k = 8",
    ]
    assert [ax.get_xlabel() for ax in figure.axes[2:]] == ["gap in % of the value", "gap in nats"]


def test_pictures_are_written_at_their_size(records, tmp_path):
    """A saved figure has the size it was laid out for, and is neither blank nor of one colour."""
    for figure in (draw_gaps(records), draw_kept(WHITE, records)):
        figure.savefig(tmp_path / "figure.png")
        picture = imread(tmp_path / "figure.png")
        width, height = figure.get_size_inches() * figure.dpi
        assert picture.shape[:2] == (int(height), int(width))
        assert min(width, height) > 250
        assert len(np.unique(picture.reshape(-1, picture.shape[2]), axis=0)) > 20


def test_what_cannot_be_drawn_is_refused(records):
    """No picture, no records, two budgets, or records of another instance are errors that say so."""
    with pytest.raises(ValueError, match="has no picture with a patch grid"):
        draw_kept(gaussian(16, 4, 0), records)
    with pytest.raises(ValueError, match="one instance with n = 16 and one budget"):
        draw_kept(WHITE, [])
    with pytest.raises(ValueError, match="one budget"):
        draw_kept(WHITE, [*records, *(replace(record, k=5) for record in records)])
    with pytest.raises(ValueError, match="n = 16"):
        draw_kept(WHITE, [replace(record, n=20) for record in records])
    with pytest.raises(ValueError, match="no run to draw"):
        draw_gaps([])
