"""LLaVA-OneVision: a view of the whole picture, then tiles of it, unpadded and, when there are many, interpolated."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from lmm_integration.adapters.layout import Layout, Modality
from lmm_integration.adapters.llava_next import LlavaNext


@dataclass(frozen=True)
class LlavaOnevision(LlavaNext):
    """The images and videos of the LLaVA-OneVision class of transformers; `newline` as in `LlavaNext`.

    Beyond nine tiles the model shrinks the joined tiles by bilinear interpolation. A token made that way counts, for
    methods that read the vision tower, as the patch nearest to its centre. Several images in a sample are one tile each,
    with a newline at the end. A video is pooled to half the raster in both directions and has a newline at its end.
    """

    modalities: ClassVar[tuple[Modality, ...]] = ("image", "video")
    offers: ClassVar[frozenset[str]] = frozenset({"patches"})

    def layout(self, model: Any, inputs: Mapping[str, Any], features: list[Tensor]) -> list[Layout]:
        """Let the model's own packing carry the coordinates of every patch, and read where they went."""
        vision = model.config.vision_config
        side = vision.image_size // vision.patch_size
        counts = self.crops(model, inputs, features)
        shapes = [self._tiles(model, size) if count > 1 else (0, 0) for size, count in self._sized(inputs, counts)]
        packed, _ = model.base_model.pack_image_features(
            [_coordinates(shape, side) for shape in shapes],
            inputs["image_sizes"],
            image_newline=torch.full((2,), -1.0),
            vision_aspect_ratio=inputs.get("vision_aspect_ratio") or model.config.vision_aspect_ratio,
        )
        return [_layout(part, shape, side) for part, shape in zip(packed, shapes, strict=True)]

    def video_layout(self, model: Any, inputs: Mapping[str, Any], features: list[Tensor]) -> list[Layout]:
        """Frames of half the raster, then the newline."""
        vision = model.config.vision_config
        side = math.ceil(vision.image_size // vision.patch_size / 2)
        return [Layout.frames(len(tokens), (side, side), newline=True) for tokens in features]

    def crops(self, model: Any, inputs: Mapping[str, Any], features: list[Tensor]) -> list[int]:
        """The view of the whole, and the tiles where the picture is alone in its sample."""
        several = inputs.get("batch_num_images")
        alone = [True] * len(features) if several is None else [n == 1 for n in several.tolist() for _ in range(n)]
        shapes = (self._tiles(model, size) if one else (0, 0) for (size, one) in self._sized(inputs, alone))
        return [1 + rows * columns for rows, columns in shapes]

    def patches(self, model: Any, inputs: Mapping[str, Any], output: Any) -> Tensor:
        """Hidden states of the feature layer, all of them: the tower has no class token."""
        layer = inputs.get("vision_feature_layer") or model.config.vision_feature_layer
        strategy = inputs.get("vision_feature_select_strategy") or model.config.vision_feature_select_strategy
        if not isinstance(layer, int) or strategy != "full":
            raise ValueError(
                f"relevance needs one vision_feature_layer and the select strategy 'full', got {layer!r} and {strategy!r}"
            )
        states: Tensor = output.hidden_states[layer]
        return states

    @staticmethod
    def _sized(inputs: Mapping[str, Any], values: list[Any]) -> list[tuple[Any, Any]]:
        return list(zip(inputs["image_sizes"], values, strict=True))

    @staticmethod
    def _tiles(model: Any, size: Tensor) -> tuple[int, int]:
        from transformers.models.llava_onevision.modeling_llava_onevision import get_anyres_image_grid_shape

        config = model.config
        rows, columns = get_anyres_image_grid_shape(size, config.image_grid_pinpoints, config.vision_config.image_size)
        return int(rows), int(columns)


def _coordinates(tiles: tuple[int, int], side: int) -> Tensor:
    """(1 + tiles, side * side, 2): row and column of every patch, in the view of the whole and in the joined tiles."""
    y, x = torch.meshgrid(torch.arange(float(side)), torch.arange(float(side)), indexing="ij")
    inside = torch.stack([y, x], -1).reshape(1, -1, 2)
    corners = [torch.tensor([[row * side, column * side]]) for row in range(tiles[0]) for column in range(tiles[1])]
    return torch.cat([inside, *(inside + corner for corner in corners)])


def _layout(part: Tensor, tiles: tuple[int, int], side: int) -> Layout:
    newline = (part < 0).any(-1)
    whole = torch.arange(len(part)) < side * side
    y, x = part.round().long().clamp(min=0).unbind(-1)
    tile = torch.where(whole, 0, 1 + (y // side) * tiles[1] + x // side)
    patch = tile * side * side + (y % side) * side + x % side
    crop = torch.where(newline, -1, tile)
    row = newline.long().cumsum(0) - newline.long()
    if tiles[0]:
        row = torch.where(whole, -1, row)
    counts = [int((crop == c).sum()) for c in range(1 + tiles[0] * tiles[1])]
    grid = tuple((side, side) if count == side * side else None for count in counts)
    return Layout(torch.where(newline, -1, patch), crop, row, grid)
