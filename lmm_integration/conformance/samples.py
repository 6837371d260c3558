"""Visual tokens to try a pruner on: everything a method can ask for, by seed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from lmm_integration.layer_tokens import LayerTokens

WIDTH, WORDS, HEADS, HEAD = 16, 5, 2, 8
WHOLE = ("sample", "text", "text_embeddings", "reencode", "query", "query_rotated")  # of a unit, not of its tokens
BY_HEAD = ("keys", "keys_unrotated", "values")  # (heads, n, width)


def visual_tokens(sizes: Sequence[int], seed: int = 0, dtype: torch.dtype = torch.float32) -> LayerTokens:
    """Units of these sizes, one a sample, without ties; a square size comes with its grid."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    sides = [round(n**0.5) for n in sizes]
    return LayerTokens(
        features=[(normal(n, WIDTH) + 0.5).to(dtype) for n in sizes],
        grid=[(side, side) if side * side == n else None for n, side in zip(sizes, sides, strict=True)],
        relevance=[normal(n) for n in sizes],
        vision_attention=[normal(n).softmax(0) for n in sizes],
        text=["what is it?"] * len(sizes),
        text_embeddings=[normal(WORDS, WIDTH).to(dtype) for _ in sizes],
        reencode=[partial(_smaller, seed + n, dtype) for n in sizes],
        layer=1,
        attention=[normal(n).softmax(0) for n in sizes],
        keys=[normal(HEADS, n, HEAD).to(dtype) for n in sizes],
        keys_unrotated=[normal(HEADS, n, HEAD).to(dtype) for n in sizes],
        values=[normal(HEADS, n, HEAD).to(dtype) for n in sizes],
        query=[normal(HEADS, HEAD) for _ in sizes],
        query_rotated=[normal(HEADS, HEAD) for _ in sizes],
    )


def _smaller(seed: int, dtype: torch.dtype, rows: int, columns: int) -> Tensor:
    return torch.randn(rows * columns, WIDTH, generator=torch.Generator().manual_seed(seed)).to(dtype)


def rearranged(tokens: LayerTokens, order: Sequence[Tensor]) -> LayerTokens:
    """The tokens of every unit in another order, without a grid, since they no longer stand in one."""

    def moved(name: str, values: Any) -> Any:
        if name in WHOLE or values is None:
            return values
        return [value[:, o] if name in BY_HEAD else value[o] for value, o in zip(values, order, strict=True)]

    changed = {name: moved(name, values) for name, values in _per_unit(tokens).items() if name != "grid"}
    return replace(tokens, grid=(), **changed)


def one_unit(tokens: LayerTokens, i: int) -> LayerTokens:
    """Unit i by itself, a sample of its own."""
    alone: dict[str, Any] = {
        name: None if values is None else [values[i]] for name, values in _per_unit(tokens).items()
    }
    return replace(tokens, **(alone | {"sample": ()}))


def _per_unit(tokens: LayerTokens) -> dict[str, Any]:
    return {field.name: getattr(tokens, field.name) for field in fields(tokens) if field.name != "layer"}
