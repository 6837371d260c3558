"""What a prompt shows: its pictures, their tokens, and where these stand. Read once, in front of every selection."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from lmm_integration import versions
from lmm_integration.adapters import Adapter
from lmm_integration.adapters.layout import Layout, Modality
from lmm_integration.relevance.provider import reads_words
from lmm_integration.sequence import image_places
from lmm_integration.tokens import VisualTokens
from lmm_integration.units import Unit, gather
from lmm_integration.vision_attention import class_token_attention

PIXELS: dict[Modality, tuple[str, ...]] = {
    "image": ("pixel_values", "pixel_values_images"),
    "video": ("pixel_values_videos",),
}


@dataclass(frozen=True)
class Scene:
    """The pictures of a batch: images, then videos, each in the order of their placeholders.

    Attributes
    ----------
    ids : (B, L) prompt.
    outputs : of the vision tower, by modality, projected tokens as `pooler_output`.
    kinds : per picture its modality; the rest is likewise per picture, called image for short.
    features : per image (n, d) projected tokens.
    layouts : per image, where they come from.
    places : per image, where they stand in the flattened ids.
    samples : per image, its row of the batch.
    crops : per image, how many pictures the tower saw.
    attention : (all crops, patches) what the class token looks at, or None when no one asked.
    """

    ids: Tensor
    outputs: dict[Modality, Any]
    kinds: list[Modality]
    features: list[Tensor]
    layouts: list[Layout]
    places: list[Tensor]
    samples: list[int]
    crops: list[int]
    attention: Tensor | None

    @classmethod
    def read(cls, model: Any, inputs: Mapping[str, Any], adapter: Adapter, attention_layer: int | None) -> Scene:
        """Run the vision tower; ValueError when the prompt and its pictures do not fit."""
        ids = _checked_ids(model, inputs, adapter)
        asked = None if attention_layer is None else class_token_attention(adapter.tower(model), attention_layer)
        shown: list[Modality] = [modality for modality in adapter.modalities if has_pixels(inputs, modality)]
        if "video" in shown and not versions.takes_encoded(model):
            raise TypeError(
                f"pruning videos needs transformers {versions.SINCE} or later, which takes encoded pictures"
            )
        if asked is not None and "video" in shown:
            raise ValueError("methods that read the attention of the vision tower take images, and these are videos")
        with asked or nullcontext([]) as rows:
            outputs = {modality: adapter.encode(model, inputs, modality) for modality in shown}
        kinds: list[Modality] = []
        features: list[Tensor] = []
        places: list[Tensor] = []
        layouts: list[Layout] = []
        for modality, output in outputs.items():
            found = [picture.reshape(-1, picture.shape[-1]) for picture in output.pooler_output]
            places += image_places(ids, adapter.placeholder(model, modality), [len(picture) for picture in found])
            layouts += (adapter.layout if modality == "image" else adapter.video_layout)(model, inputs, found)
            kinds += [modality] * len(found)
            features += found
        images = [picture for picture, kind in zip(features, kinds, strict=True) if kind == "image"]
        return cls(
            ids=ids,
            outputs=outputs,
            kinds=kinds,
            features=features,
            layouts=layouts,
            places=places,
            samples=[int(where[0]) // ids.shape[1] for where in places],
            crops=adapter.crops(model, inputs, images) if images else [],
            attention=rows[0] if rows else None,
        )

    @property
    def output(self) -> Any:
        """That of the images; ValueError for videos, of which no method reads more than the tokens."""
        if "video" in self.outputs:
            raise ValueError("methods that read the patches of the vision tower take images, and these are videos")
        return self.outputs["image"]

    def tokens(
        self,
        units: Sequence[Unit],
        text: Sequence[str] | None,
        relevance: Any,
        patches: Any,
        text_embeddings: Sequence[Tensor] | None = None,
        reencode: Callable[[int, int, int], Tensor] | None = None,
    ) -> VisualTokens:
        """What the pruner is given: features, and whatever of the rest it requires.

        Parameters
        ----------
        units : what it chooses from.
        text : per row of the batch.
        relevance : its provider, called with the (crops, patches, d) states of an image and the question, or with the
            tokens of a unit and the embedded words.
        patches : () -> (all crops, patches, d) states of the tower.
        text_embeddings : per row of the batch (t, d).
        reencode : (image, rows, columns) -> (rows * columns, d).
        """
        features = [gather([image.detach() for image in self.features], unit) for unit in units]
        words = None if text_embeddings is None else [text_embeddings[unit.sample] for unit in units]
        scores = None
        if relevance is not None and reads_words(relevance):
            scores = [relevance(tokens, said) for tokens, said in zip(features, words or (), strict=True)]
        elif relevance is not None and text is not None:
            pictures = patches().detach().split(self.crops)
            seen = [relevance(states, text[row]).flatten() for states, row in zip(pictures, self.samples, strict=True)]
            scores = self._per_token(seen, units, "relevance")
        return VisualTokens(
            features=features,
            sample=[unit.sample for unit in units],
            grid=[unit.grid for unit in units],
            relevance=scores,
            vision_attention=None
            if self.attention is None
            else self._per_token(
                [seen.flatten() for seen in self.attention.split(self.crops)], units, "vision attention"
            ),
            text=None if text is None else [text[unit.sample] for unit in units],
            text_embeddings=words,
            reencode=None if reencode is None else [partial(reencode, int(unit.image[0])) for unit in units],
            image=[unit.image.unique(return_inverse=True)[1] for unit in units],
        )

    def _per_token(self, per_patch: Sequence[Tensor], units: Sequence[Unit], name: str) -> list[Tensor]:
        """From patches of an image to tokens of a unit."""
        if any(
            (self.layouts[i].patch[unit.token[unit.image == i]] < 0).any()
            for unit in units
            for i in unit.image.unique().tolist()
        ):
            raise ValueError(f"newline='candidate' is not for methods that read {name}: a newline has none")
        values = [
            scores[layout.patch.to(scores.device)] for scores, layout in zip(per_patch, self.layouts, strict=True)
        ]
        return [gather(values, unit) for unit in units]


def _checked_ids(model: Any, inputs: Mapping[str, Any], adapter: Adapter) -> Tensor:
    """The prompt, when this road can take it."""
    ids = inputs.get("input_ids")
    if not isinstance(ids, Tensor) or ids.ndim != 2:
        raise ValueError("inputs must hold input_ids of shape (B, L), a torch tensor")
    if inputs.get("mm_encoder_outputs") is not None:
        raise ValueError("inputs hold mm_encoder_outputs, so they are pruned or encoded already; pass the pixel values")
    if has_pixels(inputs, "video") and "video" not in adapter.modalities:
        raise ValueError(f"inputs hold pixel_values_videos, but only images of {type(model).__name__} can be pruned")
    if inputs.get("inputs_embeds") is not None:
        raise ValueError("inputs hold inputs_embeds, in which images cannot be told from text; pass input_ids")
    cache = inputs.get("past_key_values")
    if cache is not None and cache.get_seq_length() > 0:
        raise ValueError(
            f"inputs continue a cache of {cache.get_seq_length()} tokens; images are pruned in front of it only"
        )
    if not has_pixels(inputs):
        raise ValueError("inputs hold no image (no pixel_values), so there is nothing to prune")
    mask = inputs.get("attention_mask")
    if mask is not None and mask.shape != ids.shape:
        raise ValueError(f"attention_mask must have the shape {tuple(ids.shape)} of input_ids, got {tuple(mask.shape)}")
    return ids


def has_pixels(inputs: Mapping[str, Any], modality: Modality | None = None) -> bool:
    """Whether pictures come along, of any modality or this one. Ids alone say nothing: a model may generate them."""
    return any(
        inputs.get(name) is not None for kind, names in PIXELS.items() if modality in (None, kind) for name in names
    )
