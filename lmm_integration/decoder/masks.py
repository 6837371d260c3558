"""Attention masks behind a layer in front of which tokens were dropped, for any attention kernel and cache."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor
from transformers.masking_utils import create_causal_mask


def real_columns(mask: Any, states: Tensor, past: int) -> Tensor:
    """(B, n) bool: which of the n new columns hold a token; `mask` is what the decoder was given, in any form.

    None means all. (B, past + n) has them at its end, or wherever a longer mask has columns past .. past + n - 1. Of a
    4-D mask the last query row tells; True or 0.0 is a token. Some decoders are given one for each kind of layer.
    """
    rows, n, _ = states.shape
    if isinstance(mask, Mapping):
        mask = mask["full_attention"]  # the only kind here, see `decoder_of`
    if mask is None:
        return torch.ones(rows, n, dtype=torch.bool, device=states.device)
    if not isinstance(mask, Tensor) or mask.ndim not in (2, 4):
        raise TypeError(f"pruning inside the model reads 2-D and 4-D masks, got {type(mask).__name__}")
    if mask.ndim == 4:
        mask = mask[:, 0, -1]
        mask = mask if mask.dtype == torch.bool else mask == 0
    if mask.shape[1] < past + n:
        raise ValueError(f"attention_mask must cover the {past} cached and {n} new tokens, got {mask.shape[1]} columns")
    columns: Tensor = mask[:, past : past + n]
    return columns.bool().to(states.device).expand(rows, n)


def causal_mask(config: Any, states: Tensor, valid: Tensor, cache: Any, layer: int) -> Any:
    """The mask for a layer whose keys are `valid` (B, cached + new), for the kernel that `config` names.

    Raises
    ------
    ValueError : padding, and a kernel for which transformers knows no masks: it would attend to the padding.
    """
    whole = bool(valid.all())
    mask = create_causal_mask(
        config=config,
        inputs_embeds=states,
        attention_mask=None if whole else valid.long(),
        past_key_values=cache,
        layer_idx=layer,
    )
    if mask is None and not whole:
        kernel = config._attn_implementation
        raise ValueError(f"the attention implementation {kernel!r} has no mask function, so a padded batch runs wrong")
    return mask
