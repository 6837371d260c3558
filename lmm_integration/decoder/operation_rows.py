"""Modules of a decoder layer that run for some places of a batch only: the others get nothing added."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor

from lmm_integration.decoder.places import Places, take
from lmm_integration.decoder.reader import LayerReader

KERNELS = ("sdpa", "eager")  # that take any mask
MISSING = object()
Rows = Callable[[], Tensor | None]


def run_mlp_on(mlp: Any, rows: Rows, undo: ExitStack) -> None:
    """Make a module of a layer run on the places that `rows()` marks, (B, n) bool, and give zeros elsewhere.

    None means all places. Hooks around the module, so that a forward others put on it still runs.
    """
    marked: list[Tensor | None] = []

    def gather(module: Any, args: tuple[Any, ...]) -> Any:
        where = rows()
        marked.append(where)
        return None if where is None else (args[0][where.to(args[0].device)][None], *args[1:])

    def scatter(module: Any, args: Any, out: Tensor) -> Tensor | None:
        where = marked.pop()
        if where is None:
            return None
        whole = out.new_zeros(*where.shape, out.shape[-1])
        whole[where.to(out.device)] = out[0]
        return whole

    undo.callback(mlp.register_forward_pre_hook(gather).remove)
    undo.callback(mlp.register_forward_hook(scatter).remove)


def ask_from(layer: Any, real_and_rows: Callable[[], tuple[Tensor, Tensor] | None], undo: ExitStack) -> None:
    """Make the attention of a layer ask from some places only; keys and values are those of all.

    Parameters
    ----------
    real_and_rows : () -> (B, n) bool twice: which columns hold a token, and which of them ask; None for calls that run
        as they are. The first call on a cache only, so that key j stands at column j.
    """
    attention = layer.self_attn
    inner = attention.forward
    reader = LayerReader(layer, normed=False)

    @functools.wraps(inner)
    def forward(*args: Any, **kwargs: Any) -> Any:
        if (found := real_and_rows()) is None:
            return inner(*args, **kwargs)
        states = args[0] if args else kwargs["hidden_states"]
        real, asking = (x.to(states.device) for x in found)
        cut = Places.whole(real).drop(asking)
        if cut is None:
            return inner(*args, **kwargs)
        places, order = cut
        cos, sin = (x.expand(len(states), -1, -1) for x in kwargs["position_embeddings"])
        queries = reader.rotated(reader.queries(take(states, order)), take(cos, order), take(sin, order))
        keys, values = reader.rotated(reader.keys(states), cos, sin), reader.values(states)
        if (cache := kwargs.get("past_key_values")) is not None:
            keys, values = cache.update(keys, values, attention.layer_idx)
        allowed = torch.arange(keys.shape[2], device=states.device) <= order[..., None]
        allowed[..., : real.shape[1]] &= real[:, None]
        allowed |= ~places.valid[..., None]  # padding asks anything, its answer goes nowhere
        out, weights = _kernel(attention)(
            attention,
            queries,
            keys,
            values,
            _as_mask(allowed[:, None], attention, states),
            dropout=attention.attention_dropout if attention.training else 0.0,
            scaling=attention.scaling,
        )
        answers = attention.o_proj(out.reshape(*order.shape, -1))
        whole = torch.zeros_like(states)
        batch = torch.arange(len(states), device=states.device)[:, None].expand_as(order)
        whole[batch[places.valid], order[places.valid]] = answers[places.valid].to(whole.dtype)
        return whole, weights

    before = attention.__dict__.get("forward", MISSING)  # other tools put things on the instance too
    attention.__dict__["forward"] = forward
    undo.callback(_put_back, attention, before)


def _put_back(attention: Any, before: Any) -> None:
    if before is MISSING:
        del attention.__dict__["forward"]
    else:
        attention.__dict__["forward"] = before


def _kernel(attention: Any) -> Any:
    from transformers import AttentionInterface

    if attention.config._attn_implementation == "eager":
        return sys.modules[type(attention).__module__].eager_attention_forward
    return AttentionInterface()["sdpa"]


def _as_mask(allowed: Tensor, attention: Any, states: Tensor) -> Tensor:
    if attention.config._attn_implementation != "eager":
        return allowed
    return torch.zeros_like(allowed, dtype=states.dtype).masked_fill(~allowed, torch.finfo(states.dtype).min)
