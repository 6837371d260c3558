"""Queries, keys, values and attention rows of one decoder layer, for the rows that are asked for and no others."""

from __future__ import annotations

import sys
from typing import Any

import torch
from torch import Tensor


class LayerReader:
    """Reads a decoder layer as Llama's: norm, projections without sharing, optional norms per head, rotary positions.

    Nothing of it depends on the attention kernel, and no (n, n) matrix is formed. Tensors are (B, n, d) hidden states
    in front of the layer, and (B, heads, n, d_h) queries, keys and values.

    Parameters
    ----------
    normed : False for states that went through the norm in front of attention already.
    """

    def __init__(self, layer: Any, *, normed: bool = True) -> None:
        self.attention = layer.self_attn
        self.norm = layer.input_layernorm if normed else torch.nn.Identity()
        self._rotary = sys.modules[type(self.attention).__module__].apply_rotary_pos_emb

    def queries(self, states: Tensor) -> Tensor:
        """(B, H, n, d_h), without rotary positions."""
        return self._project("q", states)

    def keys(self, states: Tensor) -> Tensor:
        """(B, H_kv, n, d_h), without rotary positions."""
        return self._project("k", states)

    def values(self, states: Tensor) -> Tensor:
        """(B, H_kv, n, d_h)."""
        return self._project("v", states)

    def _project(self, name: str, states: Tensor) -> Tensor:
        rows, n, _ = states.shape
        projected = getattr(self.attention, f"{name}_proj")(self.norm(states))
        heads = projected.view(rows, n, -1, self.attention.head_dim)
        head_norm = getattr(self.attention, f"{name}_norm", None)
        normed: Tensor = heads if head_norm is None else head_norm(heads)
        return normed.transpose(1, 2)

    def rotated(self, heads: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """Queries or keys at their rotary positions."""
        turned: Tensor = self._rotary(heads, heads, cos, sin)[0]
        return turned

    def last_row(self, states: Tensor, cos: Tensor, sin: Tensor, valid: Tensor) -> Tensor:
        """(B, n) float32: what the last token of every row attends to, mean over heads.

        softmax over the valid tokens of q_last . k_j / sqrt(d_h): one query, and one product with the keys.
        """
        rows, n, _ = states.shape
        batch = torch.arange(rows, device=states.device)
        last = torch.where(valid, torch.arange(n, device=states.device), -1).amax(1)
        query = self.rotated(self.queries(states[batch, last][:, None]), *(x[batch, last][:, None] for x in (cos, sin)))
        keys = self.rotated(self.keys(states), cos, sin)
        grouped = query.float().reshape(rows, keys.shape[1], -1, keys.shape[3])
        scores: Tensor = grouped @ keys.float().transpose(2, 3) * self.attention.scaling
        return scores.masked_fill(~valid[:, None, None], -torch.inf).softmax(-1).flatten(1, 2).mean(1)
