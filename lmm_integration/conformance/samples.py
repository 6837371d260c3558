"""Visual tokens to try a pruner on: everything a method can ask for, by seed."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lmm_integration.tokens import VisualTokens

WIDTH, WORDS = 16, 5


def visual_tokens(sizes: Sequence[int], seed: int = 0, dtype: torch.dtype = torch.float32) -> VisualTokens:
    """Units of these sizes, one a sample, without ties; a square size comes with its grid."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    sides = [round(n**0.5) for n in sizes]
    return VisualTokens(
        features=[(normal(n, WIDTH) + 0.5).to(dtype) for n in sizes],
        grid=[(side, side) if side * side == n else None for n, side in zip(sizes, sides, strict=True)],
        relevance=[normal(n) for n in sizes],
        vision_attention=[normal(n).softmax(0) for n in sizes],
        text=["what is it?"] * len(sizes),
        text_embeddings=[normal(WORDS, WIDTH).to(dtype) for _ in sizes],
    )


def rearranged(tokens: VisualTokens, order: Sequence[Tensor]) -> VisualTokens:
    """The tokens of every unit in another order, without a grid, since they no longer stand in one."""

    def moved(values: Sequence[Tensor] | None) -> list[Tensor] | None:
        return None if values is None else [value[o] for value, o in zip(values, order, strict=True)]

    return VisualTokens(
        features=moved(tokens.features) or [],
        sample=tokens.sample,
        relevance=moved(tokens.relevance),
        vision_attention=moved(tokens.vision_attention),
        text=tokens.text,
        text_embeddings=tokens.text_embeddings,
        image=moved(tokens.image) or (),
    )


def one_unit(tokens: VisualTokens, i: int) -> VisualTokens:
    """Unit i by itself."""

    def only(values: Sequence[Tensor] | None) -> list[Tensor] | None:
        return None if values is None else [values[i]]

    return VisualTokens(
        features=[tokens.features[i]],
        grid=[tokens.grid[i]],
        relevance=only(tokens.relevance),
        vision_attention=only(tokens.vision_attention),
        text=None if tokens.text is None else [tokens.text[i]],
        text_embeddings=only(tokens.text_embeddings),
        image=only(tokens.image) or (),
    )
