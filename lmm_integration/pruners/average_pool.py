"""Average pooling: every token counts, none stays what it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lmm_integration.pruners.cells import cells
from lmm_integration.pruners.method import Method
from lmm_integration.tokens import Choice, Merged, VisualTokens


@dataclass(frozen=True, kw_only=True)
class AveragePool(Method):
    """The mean of the tokens of each of k cells of the raster, in float32, at the place of the cell's middle token.

    Parameters
    ----------
    order, position_policy : see `Method`; the order is raster either way.
    """

    title: ClassVar[str] = "Average pooling"
    does: ClassVar[str] = "the means of k cells of the picture"
    positional: ClassVar[bool] = True
    merges: ClassVar[bool] = True

    def select(self, tokens: VisualTokens, k: list[int]) -> list[Choice]:
        """Per unit k_i means."""
        parts = zip(tokens.features, tokens.sizes, k, tokens.grid, strict=True)
        return [_pooled(features, *cells(n, m, grid)) for features, n, m, grid in parts]


def _pooled(features: Tensor, centre: Tensor, member: Tensor) -> Merged:
    inside = member >= 0
    cell = member[inside].to(features.device)
    sums = torch.zeros(len(centre), features.shape[1], device=features.device)
    sums.index_add_(0, cell, features[inside.to(features.device)].float())
    counts = cell.bincount(minlength=len(centre))
    return Merged((sums / counts[:, None]).to(features.dtype), centre, member)
