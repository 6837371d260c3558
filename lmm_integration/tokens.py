"""What a pruner is given, and what it hands back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor


@dataclass(frozen=True)
class VisualTokens:
    """The visual tokens to choose from, in units: one entry per crop, image or sample, by the budget scope.

    Attributes
    ----------
    features : per unit (n_i, d), the tokens as they enter the language model, in raster order and in the model's dtype.
    sample : per unit, the row of the batch it belongs to; statistics never cross samples. Empty means one sample each.
    grid : per unit (rows, columns) when its tokens are one full raster, else None. Empty means None everywhere.
    relevance : per unit (n_i,) float32, how much a token has to do with the text, raw; None when no one asked for it.
    vision_attention : per unit (n_i,) float32, what the vision tower's class token pays to each token; None likewise.
    text : per unit, the question; None likewise.
    text_embeddings : per unit (t_i, d), the words of the question as the language model reads them; None likewise.
    reencode : per unit, (rows, columns) -> (rows * columns, d): the tokens of the picture made smaller and encoded anew;
        None likewise.
    image : per unit (n_i,) int64, the picture of the sample each token belongs to, ascending. Empty means one each.
    """

    features: Sequence[Tensor]
    sample: Sequence[int] = ()
    grid: Sequence[tuple[int, int] | None] = ()
    relevance: Sequence[Tensor] | None = None
    vision_attention: Sequence[Tensor] | None = None
    text: Sequence[str] | None = None
    text_embeddings: Sequence[Tensor] | None = None
    reencode: Sequence[Callable[[int, int], Tensor]] | None = None
    image: Sequence[Tensor] = ()

    def __post_init__(self) -> None:
        units = len(self.features)
        if not self.sample:
            object.__setattr__(self, "sample", tuple(range(units)))
        if not self.grid:
            object.__setattr__(self, "grid", (None,) * units)
        if not self.image:
            object.__setattr__(self, "image", tuple(torch.zeros(n, dtype=torch.int64) for n in self.sizes))
        per_unit = ("sample", "grid", "relevance", "vision_attention", "text", "text_embeddings", "reencode", "image")
        for name in per_unit:
            values = getattr(self, name)
            if values is not None and len(values) != units:
                raise ValueError(f"{name} must have one entry per unit, got {len(values)} for {units} units")

    @property
    def sizes(self) -> list[int]:
        """Number of tokens of every unit."""
        return [len(features) for features in self.features]


@dataclass(frozen=True)
class Merged:
    """New tokens made of old ones.

    Attributes
    ----------
    features : (k, d) the new tokens.
    indices : (k,) int64, distinct: the old token whose place each new one takes.
    members : (n,) int64, the new token that every old one went into, -1 for none.
    """

    features: Tensor
    indices: Tensor
    members: Tensor


Choice = Tensor | Merged


@runtime_checkable
class InputPruner(Protocol):
    """Anything that chooses visual tokens in front of the language model. `select` is all it takes.

    Optional class attributes, all read by `prune_inputs`: `requires` (frozenset of "relevance", "vision_attention",
    "text", "text_embeddings", "reencode"; default empty), `position_policy` ("repack" or "keep"), and, where
    "relevance" is required, `relevance`, the provider of it, which is given the question too.
    """

    def select(self, tokens: VisualTokens, k: list[int]) -> list[Choice]:
        """Per unit, k_i distinct int64 indices into its tokens, in the order the model shall read them, or Merged."""
        ...


def check_choice(choice: Choice, n: int, k: int, who: object) -> Tensor:
    """The kept indices of a choice; ValueError when a pruner breaks its contract."""
    name = type(who).__name__
    indices = choice.indices if isinstance(choice, Merged) else choice
    indices = torch.as_tensor(indices).detach().cpu()
    if indices.dtype != torch.int64 or indices.ndim != 1:
        raise ValueError(
            f"{name}.select must give 1-D int64 indices, got {indices.dtype} of shape {tuple(indices.shape)}"
        )
    if len(indices) != k:
        raise ValueError(f"{name}.select must give {k} of {n} tokens, got {len(indices)}")
    if k and (int(indices.min()) < 0 or int(indices.max()) >= n):
        raise ValueError(f"{name}.select must give indices between 0 and {n - 1}, got {indices.tolist()}")
    if len(indices.unique()) != k:
        raise ValueError(f"{name}.select must give distinct indices, got {indices.tolist()}")
    if isinstance(choice, Merged) and len(choice.features) != k:
        raise ValueError(f"{name}.select must give {k} merged tokens, got {len(choice.features)}")
    return indices
