"""Which visual tokens of a picture a model still sees, laid over what its vision tower was shown."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from matplotlib.figure import Figure
from torch import Tensor

from lmm_integration.adapters import adapter_for
from lmm_integration.adapters.layout import Layout
from lmm_integration.ask import Answers, prompt_for, to_model
from lmm_integration.evaluate.kept_figure import EDGE, GREY, SHARE
from lmm_integration.scene import Scene
from lmm_integration.seen import seen_pictures

INCHES = 4.0
LONGEST = 300  # characters of an answer under the picture


def draw_kept_tokens(model: Any, processor: Any, image: Any, question: str, answers: Answers) -> Figure:
    """One panel for each crop that the tower saw: patches with a kept token in full colour, the rest faded.

    Parameters
    ----------
    model, processor, image, question : as for `ask`.
    answers : what `ask` gave for them.

    Raises
    ------
    ValueError : a family whose tokens have no place in the picture.
    """
    inputs = to_model(processor(images=image, text=prompt_for(processor, question), return_tensors="pt"), model)
    adapter = adapter_for(model)
    with torch.no_grad():
        scene = Scene.read(model, inputs, adapter, None)
    (layout,), (kept,) = scene.layouts, answers.indices
    if all(grid is None for grid in layout.grid):
        raise ValueError(f"the tokens of {type(model).__name__} have no known place in the picture")
    shown = seen_pictures(processor, inputs["pixel_values"], image, len(layout.grid))
    figure = Figure(figsize=(INCHES * len(shown), INCHES + 1.2), dpi=100, layout="constrained")
    axes = figure.subplots(1, len(shown), squeeze=False)[0]
    for crop, (ax, picture) in enumerate(zip(axes, shown, strict=True)):
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
        _draw_crop(ax, picture, layout, crop, kept)
    ((tokens, left),) = answers.tokens
    figure.suptitle(f"{left} of {tokens} visual tokens", fontsize=13, fontweight="bold")
    said = f"{question}\nall: {_cut(answers.full)}\nkept: {_cut(answers.pruned)}"
    figure.supxlabel(said, fontsize=10)
    return figure


def _draw_crop(ax: Any, picture: np.ndarray, layout: Layout, crop: int, kept: Tensor) -> None:
    height, width = picture.shape[:2]
    grid = layout.grid[crop] or next(grid for grid in layout.grid if grid is not None)
    first = int(sum(rows * columns for rows, columns in [grid] * crop))
    patches = layout.patch[kept][layout.crop[kept] == crop] - first
    inside = np.zeros(grid, dtype=bool)
    inside.reshape(-1)[patches.numpy()] = True
    mask = np.kron(inside, np.ones((-(-height // grid[0]), -(-width // grid[1])), dtype=bool))[:height, :width, None]
    ax.imshow(np.where(mask, picture, SHARE * picture + (1 - SHARE) * GREY))
    for i in patches.tolist():
        row, column = divmod(i, grid[1])
        x, y, w, h = column * width / grid[1], row * height / grid[0], width / grid[1], height / grid[0]
        ax.plot([x, x + w, x + w, x, x], [y, y, y + h, y + h, y], color=EDGE, linewidth=0.6)
    ax.set_xlim(-0.5, width - 0.5)
    ax.set_ylim(height - 0.5, -0.5)


def _cut(text: str) -> str:
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
