"""Which decoders can be pruned from the inside."""

from __future__ import annotations

import sys
from typing import Any

from lmm_integration import versions
from lmm_integration.compiled import is_compiled

PROJECTIONS = ("q_proj", "k_proj", "v_proj", "head_dim", "scaling")


def decoder_of(model: Any, *, reads_attention: bool) -> Any:
    """The decoder of `model`, a module with `layers`; TypeError where tokens cannot be dropped between these.

    Parameters
    ----------
    reads_attention : queries, keys or values of single layers are wanted too, see `LayerReader`.
    """
    name = type(model).__name__
    if not versions.takes_encoded(model):
        raise TypeError(
            f"pruning inside {name} needs transformers {versions.SINCE} or later, which takes encoded pictures"
        )
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    layers = getattr(decoder, "layers", None)
    if decoder is None or not layers:
        raise TypeError(f"pruning inside the model needs a decoder with layers, and {name} has none that it can find")
    if any(is_compiled(module) for module in decoder.modules()):
        raise TypeError(f"the decoder of {name} is compiled: hooks between its layers would be traced, not run")
    config = decoder.config
    windowed = "sliding_attention" if getattr(config, "sliding_window", None) else "full_attention"
    if set(getattr(config, "layer_types", None) or [windowed]) != {"full_attention"}:
        raise TypeError(f"{name} has layers that do not attend to the whole prompt, which pruning inside cannot serve")
    if reads_attention:
        attention: Any = getattr(layers[0], "self_attn", None)
        missing = [part for part in PROJECTIONS if not hasattr(attention, part)]
        if missing or not hasattr(layers[0], "input_layernorm"):
            raise TypeError(f"the decoder layers of {name} are not like Llama's: no {', '.join(missing) or 'norm'}")
        if not hasattr(sys.modules[type(attention).__module__], "apply_rotary_pos_emb"):
            raise TypeError(f"the attention of {name} has rotary positions of its own kind, which cannot be read")
        norm = getattr(attention, "q_norm", None)
        if norm is not None and norm.weight.numel() != attention.head_dim:
            raise TypeError(f"the attention of {name} normalises queries across heads, which cannot be read")
    return decoder


def refuse_checkpointing(decoder: Any) -> None:
    """ValueError where a training step would run layers a second time, without the first run's bookkeeping."""
    if decoder.training and any(getattr(module, "gradient_checkpointing", False) for module in decoder.modules()):
        raise ValueError("gradient checkpointing runs layers twice, which pruning inside the model cannot follow")
