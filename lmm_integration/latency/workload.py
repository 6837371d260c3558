"""What is asked: pictures and words, the same for every method."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from lmm_integration.adapters import adapter_for
from lmm_integration.ask import prompt_for, to_model

QUESTION = "What is shown in this picture, and where in it does it stand?"
BEFORE = 35  # words of the system prompt of LLaVA-1.5, the picture's marker left out


@dataclass(frozen=True)
class Workload:
    """One picture and a question in every row.

    Attributes
    ----------
    inputs : from the number of rows to the inputs of `generate`.
    text, processor : as for `prune`.
    pictures : what the pictures are, in words.
    """

    inputs: Callable[[int], dict[str, Any]]
    text: str
    processor: Any
    pictures: str


def noise_workload(model: Any, words: int, seed: int = 0) -> Workload:
    """Noise for pictures and random words, for a model with random weights, to which a photo would say no more.

    Parameters
    ----------
    words : length of the prompt without visual tokens, >= 2; up to `BEFORE` of them stand before the picture.
    """
    if words < 2:
        raise ValueError(f"a prompt must have >= 2 words beside the picture, got {words}")
    config = model.config
    side, crops = config.vision_config.image_size, 5 if config.model_type == "llava_next" else 0

    def pixels(rows: int) -> dict[str, Any]:
        shape = (rows, crops, 3, side, side) if crops else (rows, 3, side, side)
        generator = torch.Generator().manual_seed(seed)
        found = {"pixel_values": torch.randn(shape, generator=generator).to(model.device, model.dtype)}
        if crops:  # a square picture of 2 x 2 tiles, beside the whole of it made smaller
            found["image_sizes"] = torch.tensor([[2 * side, 2 * side]] * rows, device=model.device)
        return found

    with torch.no_grad():
        tokens = len(adapter_for(model).encode(model, pixels(1)).pooler_output[0])

    def inputs(rows: int) -> dict[str, Any]:
        first = min(BEFORE, words // 2)
        top = min(config.image_token_id, config.get_text_config().vocab_size) - 1
        said = torch.randint(3, top, (rows, words), generator=torch.Generator().manual_seed(seed))
        picture = torch.full((rows, tokens), config.image_token_id)
        ids = torch.cat([said[:, :first], picture, said[:, first:]], dim=1).to(model.device)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), **pixels(rows)}

    return Workload(inputs, QUESTION, None, "noise")


def photo_workload(model: Any, processor: Any, seed: int = 0) -> Workload:
    """The photographs of scikit-image and scikit-learn, in turn, with one question, through the model's processor.

    Without these packages the pictures are noise.
    """
    from PIL import Image

    from mmdp.instances import photo
    from mmdp.instances.pictures import PHOTOS, SIDE

    names = list(PHOTOS)

    def picture(row: int) -> Any:
        try:
            return Image.fromarray(photo(names[row % len(names)], SIDE))
        except ImportError:
            noise = np.random.default_rng([seed, row]).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
            return Image.fromarray(noise)

    def inputs(rows: int) -> dict[str, Any]:
        text = [prompt_for(processor, QUESTION)] * rows
        given = processor(images=[picture(row) for row in range(rows)], text=text, padding=True, return_tensors="pt")
        return dict(to_model(given, model))

    try:
        photo(names[0], SIDE)
        what = "photographs"
    except ImportError:
        what = "noise"
    return Workload(inputs, QUESTION, processor, what)
