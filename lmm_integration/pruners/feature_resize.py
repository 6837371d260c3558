"""Feature resize: the raster of tokens made smaller, like a picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lmm_integration.pruners.cells import bands, cells
from lmm_integration.pruners.method import Method
from lmm_integration.tokens import Choice, Merged, VisualTokens


@dataclass(frozen=True, kw_only=True)
class FeatureResize(Method):
    r"""Bilinear resampling with antialiasing of the tokens at the centres of k cells, in float32.

    A cell of h lines and w columns around c reads tokens with the weights max(0, 1 - |y - c_y| / h)
    max(0, 1 - |x - c_x| / w), normalised: twice as far as average pooling, and the nearer the more. Where the cells form
    a regular grid this is `torch.nn.functional.interpolate(mode="bilinear", antialias=True)`.

    Parameters
    ----------
    order, position_policy : see `Method`; the order is raster either way.

    Examples
    --------
    >>> import torch
    >>> from lmm_integration.tokens import VisualTokens
    >>> (small,) = FeatureResize().select(VisualTokens([torch.arange(4.0)[:, None]]), [2])
    >>> [round(x, 3) for x in small.features.flatten().tolist()], small.indices.tolist()
    ([0.714, 2.286], [1, 3])
    """

    title: ClassVar[str] = "Feature resize"
    does: ClassVar[str] = "the raster of tokens resampled to k"
    positional: ClassVar[bool] = True
    merges: ClassVar[bool] = True

    def select(self, tokens: VisualTokens, k: list[int]) -> list[Choice]:
        """Per unit k_i resampled tokens."""
        parts = zip(tokens.features, tokens.sizes, k, tokens.grid, strict=True)
        return [_resized(features, n, m, grid or (1, n)) for features, n, m, grid in parts]


def _resized(features: Tensor, n: int, k: int, grid: tuple[int, int]) -> Merged:
    rows, columns = grid
    centre, member = cells(n, k, grid)
    counts = bands(rows, columns, k)
    weights = [
        down[:, None] * _triangles(columns, count)[:, None]
        for down, count in zip(_triangles(rows, len(counts)), counts, strict=True)
    ]
    every = torch.cat(weights).reshape(k, n).to(features.device)
    return Merged((every @ features.float()).to(features.dtype), centre, member)


def _triangles(size: int, parts: int) -> Tensor:
    """(parts, size) weights that sum to one in every row."""
    width = size / parts if parts else 1.0
    centres = (torch.arange(parts).double() + 0.5) * width
    weights = (1 - (torch.arange(size) + 0.5 - centres[:, None]).abs() / width).clamp(min=0)
    return (weights / weights.sum(1, keepdim=True)).float()
