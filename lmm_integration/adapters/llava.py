"""LLaVA-1.5: one square picture, a CLIP tower, one token per patch."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, ClassVar

from torch import Tensor, nn
from torch.nn.functional import interpolate

from lmm_integration.adapters.generic import Adapter
from lmm_integration.adapters.layout import Layout


class Llava(Adapter):
    """The LLaVA-1.5 classes of transformers."""

    offers: ClassVar[frozenset[str]] = frozenset({"vision_attention", "patches", "reencode"})

    def layout(self, model: Any, inputs: Mapping[str, Any], features: list[Tensor]) -> list[Layout]:
        """A square raster, where the number of tokens is a square (a kept class token has no place in it)."""
        sides = [math.isqrt(len(tokens)) for tokens in features]
        return [
            Layout.plain(len(tokens), (side, side) if side * side == len(tokens) else None)
            for tokens, side in zip(features, sides, strict=True)
        ]

    def reencode(self, model: Any, inputs: Mapping[str, Any], image: int, rows: int, columns: int) -> Tensor:
        """Bicubic with antialiasing, to one patch for each token; the tower's positions are interpolated."""
        side = model.config.vision_config.patch_size
        picture = inputs["pixel_values"][image : image + 1]
        size = (rows * side, columns * side)
        small = interpolate(picture.float(), size=size, mode="bicubic", antialias=True).to(picture.dtype)
        given = {name: inputs[name] for name in self.vision_inputs(model) if inputs.get(name) is not None}
        given |= {"pixel_values": small, "interpolate_pos_encoding": True}
        tokens: Tensor = model.base_model.get_image_features(**given, return_dict=True).pooler_output[0]
        return tokens

    def tower(self, model: Any) -> nn.Module:
        """The CLIP vision model."""
        tower: nn.Module = model.base_model.vision_tower
        return tower

    def patches(self, model: Any, inputs: Mapping[str, Any], output: Any) -> Tensor:
        """Hidden states of the feature layer, class token cut off."""
        layer = _given(inputs, model, "vision_feature_layer")
        if not isinstance(layer, int) or _given(inputs, model, "vision_feature_select_strategy") != "default":
            raise ValueError(
                "relevance and vision attention need one vision_feature_layer and the select strategy 'default', got "
                f"{layer!r} and {_given(inputs, model, 'vision_feature_select_strategy')!r}"
            )
        states: Tensor = output.hidden_states[layer][:, 1:]
        return states


def _given(inputs: Mapping[str, Any], model: Any, name: str) -> Any:
    value = inputs.get(name)
    return getattr(model.config, name) if value is None else value
