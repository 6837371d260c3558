"""LLaVA-NeXT-Video: the images of LLaVA-NeXT, and videos whose frames are pooled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from lmm_integration.adapters.layout import Layout, Modality
from lmm_integration.adapters.llava_next import LlavaNext


@dataclass(frozen=True)
class LlavaNextVideo(LlavaNext):
    """The LLaVA-NeXT-Video class of transformers; `newline` as in `LlavaNext`. Videos have no newlines."""

    modalities: ClassVar[tuple[Modality, ...]] = ("image", "video")

    def video_layout(self, model: Any, inputs: Mapping[str, Any], features: list[Tensor]) -> list[Layout]:
        """Frames of the pooled raster."""
        vision = model.config.vision_config
        side = vision.image_size // vision.patch_size // model.config.spatial_pool_stride
        return [Layout.frames(len(tokens), (side, side), newline=False) for tokens in features]
