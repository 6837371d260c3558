"""What `generate` counts in the shorter prompt, put in the caller's terms: lengths going in, sequences coming out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def generation_lengths(model: Any, given: Mapping[str, Any], dropped: int) -> dict[str, int]:
    """`max_length` and `min_length` count the prompt; the same limits for a prompt that is `dropped` tokens shorter.

    Limits on new tokens win, as in `generate` itself, and what nobody set stays unset.
    """
    lengths = {}
    for limit, new_tokens in (("max_length", "max_new_tokens"), ("min_length", "min_new_tokens")):
        value = setting(model, given, limit)
        if value and setting(model, given, new_tokens) is None:
            lengths[limit] = max(0, value - dropped)
    return lengths


def setting(model: Any, given: Mapping[str, Any], name: str) -> Any:
    """An option of `generate`, from the call, its configuration or the model's, whichever sets it first."""
    configs = [c for c in (given.get("generation_config"), model.generation_config) if c is not None]
    values = [given.get(name), *(getattr(config, name, None) for config in configs)]
    return next((value for value in values if value is not None), None)


def caller_prompt(out: Any, ids: Tensor, width: int) -> Any:
    """Put the caller's (B, L) prompt in place of the first `width` columns of the generated sequences."""

    def swap(sequences: Tensor) -> Tensor:
        repeats = len(sequences) // len(ids)  # beams and several sequences per row stand next to each other
        return torch.cat([ids.repeat_interleave(repeats, 0).to(sequences.device), sequences[:, width:]], dim=1)

    if isinstance(out, Tensor):
        return swap(out)
    out.sequences = swap(out.sequences)
    return out
