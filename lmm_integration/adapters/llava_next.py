"""LLaVA-NeXT: a small view of the whole picture, then tiles of it, unpadded, with a newline token after each line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, get_args

import torch
from torch import Tensor

from lmm_integration.adapters.layout import Layout, Newline
from lmm_integration.adapters.llava import Llava


@dataclass(frozen=True)
class LlavaNext(Llava):
    """The anyres layout of transformers, as the model itself packs it.

    Padding of the tiles is cut away by the model and is never a candidate. `newline` says what happens to the newline
    tokens, which are all one vector and no patches:

    * `"none"` (default): they go, and a budget of k leaves exactly k tokens. An image of which every patch is kept
      stays as it is, newlines included, so that a full budget is the unpruned model.
    * `"row"`: a newline stays when a token of its line does; `"all"`: all stay. Both come on top of the budget.
    * `"candidate"`: they are chosen from like any token, as in the published code of DivPrune. Not for methods that
      read relevance or vision attention, which a newline does not have.
    """

    offers: ClassVar[frozenset[str]] = frozenset({"vision_attention", "patches"})

    newline: Newline = "none"

    def __post_init__(self) -> None:
        if self.newline not in get_args(Newline):
            raise ValueError(f"newline must be one of {', '.join(get_args(Newline))}, got {self.newline!r}")

    def layout(self, model: Any, inputs: Mapping[str, Any], features: list[Tensor]) -> list[Layout]:
        """Let the model's own packing carry the number of every patch, and read where the numbers went."""
        vision = model.config.vision_config
        side = vision.image_size // vision.patch_size
        counts = self.crops(model, inputs, features)
        numbers = [torch.arange(count * side * side).double().reshape(count, side * side, 1) for count in counts]
        packed, _ = model.base_model.pack_image_features(
            numbers,
            inputs["image_sizes"],
            vision_feature_select_strategy="default",
            image_newline=torch.full((1,), -1.0, dtype=torch.float64),
        )
        return [_layout(part.flatten().long(), count, side) for part, count in zip(packed, counts, strict=True)]

    def reencode(self, model: Any, inputs: Mapping[str, Any], image: int, rows: int, columns: int) -> Tensor:
        """No tiles make a given number of tokens."""
        raise TypeError(f"{type(model).__name__} cuts pictures into tiles, which cannot be encoded at another size")

    def crops(self, model: Any, inputs: Mapping[str, Any], features: list[Tensor]) -> list[int]:
        """The small view and the tiles of the best fitting resolution."""
        from transformers.models.llava_next.modeling_llava_next import image_size_to_num_patches

        config = model.config
        return [
            image_size_to_num_patches(size, config.image_grid_pinpoints, config.vision_config.image_size)
            for size in inputs["image_sizes"]
        ]


def _layout(patch: Tensor, crops: int, side: int) -> Layout:
    newline = patch < 0
    crop = torch.where(newline, -1, patch // (side * side))
    row = newline.long().cumsum(0) - newline.long()
    if crops > 1:
        row = torch.where(crop == 0, -1, row)  # the small view comes first and has no newlines
    sizes = [int((crop == c).sum()) for c in range(crops)]
    grid = tuple(_grid(patch[crop == c], side) if size else None for c, size in enumerate(sizes))
    return Layout(patch, crop, row, grid)


def _grid(patch: Tensor, side: int) -> tuple[int, int]:
    """Unpadding cuts whole lines or columns, so what is left of a crop is a rectangle."""
    inside = patch % (side * side)
    return len((inside // side).unique()), len((inside % side).unique())
