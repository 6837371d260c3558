"""Any model of transformers with `get_image_features` and a placeholder id; the model families refine it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from lmm_integration import versions
from lmm_integration.adapters.layout import Kept, Layout, Modality, Newline
from lmm_integration.compiled import is_compiled


class Adapter:
    """What pruning has to know about a model family; this one asks for nothing but the public interface.

    The features come from `get_image_features`, the places from the image placeholder id of the config, and every
    token of an image is a candidate. Subclasses add what cannot be read off there: grids, crops, newlines, and the way
    to the vision tower for methods that want its attention or its patches.
    """

    newline: Newline = "none"  # what happens to newline tokens, see `LlavaNext`
    modalities: ClassVar[tuple[Modality, ...]] = ("image",)  # what the family is served with
    offers: ClassVar[frozenset[str]] = frozenset()  # of the tower: "vision_attention", "patches", "reencode"
    rotary_axes: ClassVar[int] = 1  # more where a visual token has a place in the picture, see `Qwen2_5VL`

    def check(self, model: Any) -> None:
        """TypeError for a model that this road cannot serve."""
        name = type(model).__name__
        if is_compiled(model):
            raise TypeError("a compiled model cannot be pruned: its prompt changes length, and hooks would be traced")
        base = getattr(model, "base_model", None)
        if getattr(base, "get_image_features", None) is None or self._placeholder(model) is None:
            raise TypeError(f"pruning needs a model with a vision tower, and {name} has none that it can find")
        if self.rotary_axes > 1 and not versions.takes_encoded(model):
            raise TypeError(
                f"pruning {name} needs transformers {versions.SINCE} or later, which takes encoded pictures"
            )
        if hasattr(base, "get_rope_index") and self.rotary_axes == 1:
            raise TypeError(f"{name} places its tokens by multimodal rotary positions, which only an own adapter keeps")

    def placeholder(self, model: Any, modality: Modality = "image") -> int:
        """The token id that stands for one visual token."""
        token: int = self._placeholder(model, modality)
        return token

    def placeholders(self, model: Any) -> list[int]:
        """Those of all modalities."""
        return [self.placeholder(model, modality) for modality in self.modalities]

    @staticmethod
    def _placeholder(model: Any, modality: Modality = "image") -> Any:
        config = getattr(model, "config", None)
        return getattr(config, f"{modality}_token_id", getattr(config, f"{modality}_token_index", None))

    def vision_inputs(self, model: Any) -> tuple[str, ...]:
        """Names of the inputs that the vision tower consumes."""
        names = (name for modality in self.modalities for name in _arguments(model, modality))
        return tuple(dict.fromkeys(names))

    def encode(self, model: Any, inputs: Mapping[str, Any], modality: Modality = "image") -> Any:
        """The tower's output with the projected tokens as `pooler_output`, as `generate` itself computes it."""
        given = {name: inputs[name] for name in _arguments(model, modality) if inputs.get(name) is not None}
        return getattr(model.base_model, f"get_{modality}_features")(**given, return_dict=True)

    def packed(self, model: Any, output: Any, kept: list[Kept]) -> Any:
        """What the model is handed in place of the tower's `output`, for the pictures of one modality."""
        from transformers.modeling_outputs import BaseModelOutputWithPooling

        features: Any = [picture.features for picture in kept if len(picture.indices)]
        if isinstance(output.pooler_output, Tensor):
            if len({len(picture) for picture in features}) > 1:
                counts = [len(picture.indices) for picture in kept]
                raise ValueError(
                    f"{type(model).__name__} takes equally many tokens for every picture only, got {counts}"
                )
            features = torch.stack(features)
        return BaseModelOutputWithPooling(pooler_output=features)

    def positions(self, model: Any, inputs: Mapping[str, Any]) -> Tensor | None:
        """(1 + rotary_axes, B, L) positions of the whole prompt where they say more than its order, else None."""
        return None

    def layout(self, model: Any, inputs: Mapping[str, Any], features: list[Tensor]) -> list[Layout]:
        """Per image, where its tokens come from."""
        return [Layout.plain(len(tokens), None) for tokens in features]

    def video_layout(self, model: Any, inputs: Mapping[str, Any], features: list[Tensor]) -> list[Layout]:
        """Per video, where its tokens come from; a crop is a frame."""
        return [Layout.plain(len(tokens), None) for tokens in features]

    def crops(self, model: Any, inputs: Mapping[str, Any], features: list[Tensor]) -> list[int]:
        """Per image, how many pictures the tower saw."""
        return [1] * len(features)

    def reencode(self, model: Any, inputs: Mapping[str, Any], image: int, rows: int, columns: int) -> Tensor:
        """(rows * columns, d) projected tokens of a picture made smaller; TypeError where the family is not known."""
        raise TypeError(f"{type(model).__name__}: no adapter knows how to encode its pictures at another size")

    def tower(self, model: Any) -> nn.Module:
        """The vision tower, for methods that read its attention; TypeError where the family is not known."""
        raise TypeError(f"{type(model).__name__}: no adapter knows how to read the attention of its vision tower")

    def patches(self, model: Any, inputs: Mapping[str, Any], output: Any) -> Tensor:
        """(crops, patches, d_v) states that the projector was given; TypeError where the family is not known."""
        raise TypeError(f"{type(model).__name__}: no adapter knows which patches of its vision tower became tokens")


def _arguments(model: Any, modality: Modality) -> list[str]:
    """Of the function that encodes a modality."""
    names = inspect.signature(getattr(model.base_model, f"get_{modality}_features")).parameters
    return [name for name in names if name != "kwargs"]
