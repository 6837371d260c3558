"""One row of the vision tower's attention: what the class token looks at. The full map is never formed."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn


@contextmanager
def class_token_attention(tower: nn.Module, layer: int) -> Iterator[list[Tensor]]:
    """Collect (crops, patches) float32 rows, mean over heads, of every call of the tower inside the block.

    The row of layer l is softmax(q_cls K^T / sqrt(d_head)) over class token and patches, patches only; it costs one
    query, whatever attention kernel the tower runs. `layer` counts as `vision_feature_layer` does: -2 is the layer
    whose output is `hidden_states[-2]`.

    Raises
    ------
    TypeError : a tower without a class token or without CLIP's attention layers.
    ValueError : a layer that the tower does not have.
    """
    tower = getattr(tower, "vision_model", tower)  # one floor down in earlier versions of transformers
    layers: Any = getattr(getattr(tower, "encoder", None), "layers", None)
    embeddings: Any = getattr(tower, "embeddings", None)
    if layers is None or getattr(embeddings, "class_embedding", None) is None:
        raise TypeError(f"vision attention needs a tower with a class token, as CLIP's, got {type(tower).__name__}")
    # hidden_states holds one entry more than there are layers, the embeddings at its front
    index = layer + len(layers) if layer < 0 else layer - 1
    if not 0 <= index < len(layers):
        raise ValueError(f"layer must be between 1 and {len(layers)}, or negative from the end, got {layer}")
    rows: list[Tensor] = []

    def collect(attention: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        states = args[0] if args else kwargs["hidden_states"]
        rows.append(class_token_row(attention, states))

    hook = layers[index].self_attn.register_forward_pre_hook(collect, with_kwargs=True)
    try:
        yield rows
    finally:
        hook.remove()


@torch.no_grad()
def class_token_row(attention: Any, states: Tensor) -> Tensor:
    """(crops, patches) for (crops, 1 + patches, d) states in front of an attention layer."""
    crops, length, _ = states.shape
    query = attention.q_proj(states[:, :1]).view(crops, 1, attention.num_heads, attention.head_dim).transpose(1, 2)
    keys = attention.k_proj(states).view(crops, length, attention.num_heads, attention.head_dim).transpose(1, 2)
    scores = (query.float() @ keys.float().transpose(2, 3)) * attention.head_dim**-0.5
    row: Tensor = scores.softmax(-1).mean(1)[:, 0, 1:]
    return row
