"""Qwen2.5-VL: pictures of any size, four patches to a token, and rotary positions by time, row and column."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from lmm_integration.adapters.generic import Adapter
from lmm_integration.adapters.layout import Layout


class Qwen2_5VL(Adapter):  # noqa: N801 (the name of the model)
    """The Qwen2.5-VL class of transformers, images.

    A token keeps its place in the picture whatever is dropped around it, and the text behind it starts where it would
    have started: without that the logits are those of another picture. So both position policies are the same here.
    """

    rotary_axes: ClassVar[int] = 3

    def positions(self, model: Any, inputs: Mapping[str, Any]) -> Tensor | None:
        """(4, B, L): the order of the prompt, then time, row and column, as the model itself computes them."""
        ids, mask = inputs["input_ids"], inputs.get("attention_mask")
        given = inputs.get("position_ids")
        if given is not None:
            if given.shape != (4, *ids.shape):
                raise ValueError(f"position_ids must have shape {(4, *ids.shape)}, got {tuple(given.shape)}")
            return torch.as_tensor(given)
        kinds = inputs.get("mm_token_type_ids")
        if kinds is None:
            kinds = (ids == self.placeholder(model)).int()
        axes, _ = model.base_model.get_rope_index(
            ids, kinds, image_grid_thw=inputs.get("image_grid_thw"), attention_mask=mask
        )
        real = torch.ones_like(ids) if mask is None else mask.long()
        order = (real.cumsum(-1) - 1).clamp(min=0)
        return torch.cat([order[None], axes])

    def layout(self, model: Any, inputs: Mapping[str, Any], features: list[Tensor]) -> list[Layout]:
        """One raster for each picture, of merged patches."""
        merge = model.config.vision_config.spatial_merge_size
        return [
            Layout.plain(len(tokens), (int(height) // merge, int(width) // merge))
            for tokens, (_, height, width) in zip(features, inputs["image_grid_thw"].tolist(), strict=True)
        ]
