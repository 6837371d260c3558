"""One file per model family. `adapter_for` finds the one for a model; any other class gets the generic adapter."""

from __future__ import annotations

from typing import Any

from lmm_integration.adapters.generic import Adapter
from lmm_integration.adapters.llava import Llava
from lmm_integration.adapters.llava_next import LlavaNext
from lmm_integration.adapters.llava_next_video import LlavaNextVideo
from lmm_integration.adapters.llava_onevision import LlavaOnevision
from lmm_integration.adapters.qwen2_5_vl import Qwen2_5VL
from lmm_integration.adapters.qwen3_vl import Qwen3VL

__all__ = [
    "FAMILIES",
    "Adapter",
    "Llava",
    "LlavaNext",
    "LlavaNextVideo",
    "LlavaOnevision",
    "Qwen2_5VL",
    "Qwen3VL",
    "adapter_for",
]

FAMILIES: dict[str, type[Adapter]] = {
    "llava": Llava,
    "llava_next": LlavaNext,
    "llava_next_video": LlavaNextVideo,
    "llava_onevision": LlavaOnevision,
    "qwen2_5_vl": Qwen2_5VL,
    "qwen3_vl": Qwen3VL,
}


def adapter_for(model: Any) -> Adapter:
    """The adapter of the model's family, by `config.model_type`."""
    name = getattr(getattr(model, "config", None), "model_type", "")
    return FAMILIES.get(name, Adapter)()
