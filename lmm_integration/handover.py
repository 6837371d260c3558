"""How encoded pictures go into a model: by the door that its version of transformers has.

Since 5.18 models take what their vision tower gave as `mm_encoder_outputs`. Before, the embeddings of the prompt are
made here, with the visual tokens in their places, and handed over as `inputs_embeds`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from lmm_integration import versions
from lmm_integration.adapters.layout import Modality


def hand_over(
    model: Any, inputs: dict[str, Any], encoded: Mapping[Modality, Any], placeholders: Mapping[Modality, int]
) -> dict[str, Any]:
    """The inputs of a forward call with encoded pictures in them.

    Parameters
    ----------
    inputs : `input_ids` with one placeholder for each visual token, and the rest, without pixels.
    encoded : by modality, with the tokens of all pictures as `pooler_output`, a sequence of (n, d) or one tensor.
    placeholders : by modality.
    """
    if versions.takes_encoded(model):
        return {**inputs, "mm_encoder_outputs": dict(encoded)}
    ids = inputs["input_ids"]
    embedded = model.get_input_embeddings()(ids)
    for modality, output in encoded.items():
        tokens = torch.cat([part.reshape(-1, part.shape[-1]) for part in output.pooler_output]).to(embedded)
        where = (ids == placeholders[modality])[..., None]
        embedded = embedded.masked_scatter(where.expand_as(embedded), tokens)
    return {name: value for name, value in inputs.items() if name != "input_ids"} | {"inputs_embeds": embedded}


def for_generate(inputs: dict[str, Any], ids: torch.Tensor) -> dict[str, Any]:
    """The same for `generate`, which takes the ids of a prompt beside its embeddings, and gives them back."""
    return inputs if "input_ids" in inputs else {**inputs, "input_ids": ids}
