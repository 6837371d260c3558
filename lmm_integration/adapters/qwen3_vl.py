"""Qwen3-VL: as Qwen2.5-VL, and some layers of the decoder are given more of the vision tower."""

from __future__ import annotations

from typing import Any

from lmm_integration.adapters.layout import Kept
from lmm_integration.adapters.qwen2_5_vl import Qwen2_5VL


class Qwen3VL(Qwen2_5VL):
    """The Qwen3-VL class of transformers, images.

    The tower hands over several sets of features (deepstack): the tokens, and what is added to them behind the first
    decoder layers. Both lose the same places. A merged token is given the addition of the token whose place it takes.
    """

    def packed(self, model: Any, output: Any, kept: list[Kept]) -> Any:
        """The tokens, and their additions."""
        packed = super().packed(model, output, kept)
        chosen = [picture.indices for picture in kept]
        deeper = [
            [part[indices.to(part.device)] for part, indices in zip(parts, chosen, strict=True)]
            for parts in output.deepstack_features
        ]
        return type(output)(pooler_output=packed.pooler_output, deepstack_features=deeper)
