"""The visual tokens of a model as an instance: what its pruner would choose from, for `mmdp solve` and `mmdp gap`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lmm_integration.adapters import adapter_for
from lmm_integration.ask import prompt_for, to_model
from lmm_integration.pruners.cdpruner import CDPruner
from lmm_integration.question import embedded_questions
from lmm_integration.relevance import Relevance, WordRelevance
from lmm_integration.scene import Scene
from lmm_integration.seen import seen_pictures
from lmm_integration.units import gather, units
from mmdp.instances import Instance


@torch.no_grad()
def capture(
    model: Any,
    processor: Any,
    image: Any,
    *,
    name: str,
    question: str | None = None,
    relevance: Relevance | WordRelevance | None = None,
    layer: int | None = None,
) -> Instance:
    """Run a picture through a model and keep what its tokens are.

    Parameters
    ----------
    image : a PIL picture.
    name : of the instance.
    question : beside the picture; needed for relevance, and what the keys and values of deeper layers have read.
    relevance : a provider; the raw values are signed and scaled to [0, 1] as `CDPruner` does it.
    layer : the decoder layer, 0 .. L - 1, whose keys (with rotary positions) and values are kept; None keeps none.

    Returns
    -------
    Instance : `features` in raster order as they enter the language model, in its type (bfloat16 as float32), newline
        tokens left out; `grid` and `image` where one raster is all there is.

    Raises
    ------
    ValueError : a layer the model does not have, relevance without a question.
    """
    depth = model.config.get_text_config().num_hidden_layers
    if layer is not None and not 0 <= layer < depth:
        raise ValueError(f"layer must be between 0 and {depth - 1}, got {layer}")
    if relevance is not None and question is None:
        raise ValueError("relevance needs a question")
    inputs = to_model(processor(images=image, text=prompt_for(processor, question or ""), return_tensors="pt"), model)
    adapter = adapter_for(model)
    scene = Scene.read(model, inputs, adapter, None)
    (unit,) = units(scene.layouts, scene.samples, "image", "none")
    scaled = None
    if relevance is not None:
        words = embedded_questions(model, question, processor, scene.ids, adapter.placeholders(model), None)
        tokens = scene.tokens(
            [unit], [question or ""], relevance, lambda: adapter.patches(model, inputs, scene.output), words
        )
        scaled = CDPruner(relevance=relevance).scaled(tokens)[0].numpy()
    keys = values = None
    if layer is not None:
        cache = model(**inputs, use_cache=True).past_key_values
        places = gather(scene.places, unit).to(model.device)
        keys, values = (_numpy(part[0][:, places]) for part in (cache.layers[layer].keys, cache.layers[layer].values))
    pictures = seen_pictures(processor, inputs["pixel_values"], image, len(scene.layouts[0].grid))
    shown = np.round(255 * pictures[0]).astype(np.uint8) if unit.grid is not None and len(pictures) == 1 else None
    source = {"model": str(model.config.name_or_path or type(model).__name__)}
    source |= {} if question is None else {"question": question}
    source |= {} if layer is None else {"layer": str(layer), "keys": "with rotary positions"}
    return Instance(
        name=name,
        features=_numpy(gather([part.detach() for part in scene.features], unit)),
        relevance=scaled,
        keys=keys,
        values=values,
        grid=unit.grid,
        image=shown,
        source=source,
    )


def pictures_in(paths: list[Path]) -> list[Path]:
    """Picture files, and those in the folders among the paths, sorted; ValueError where there are none."""
    found = [
        file
        for path in paths
        for file in (sorted(path.iterdir()) if path.is_dir() else [path])
        if not path.is_dir() or file.suffix.lower() in (".png", ".jpg", ".jpeg", ".webp", ".bmp")
    ]
    for file in found:
        if not file.is_file():
            raise ValueError(f"there is no picture at {file}")
    if not found:
        raise ValueError(f"there are no pictures in {', '.join(map(str, paths))}")
    twice = {file.stem for i, file in enumerate(found) if file.stem in {other.stem for other in found[:i]}}
    if twice:
        raise ValueError(f"pictures must have different names, got {sorted(twice)[0]!r} twice")
    return found


def _numpy(values: Tensor) -> np.ndarray:
    values = values.detach().cpu()
    return (values.float() if values.dtype == torch.bfloat16 else values).contiguous().numpy()
