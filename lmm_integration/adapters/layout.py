"""Where the visual tokens of one image come from."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Layout:
    """One image as the language model reads it, n tokens.

    Attributes
    ----------
    patch : (n,) int64, the row of each token among the patches of all crops of the image, crop after crop; -1 marks a
        token that is no patch (a newline).
    crop : (n,) int64, the crop of each token; a newline belongs to none and has -1.
    row : (n,) int64, the line of the picture that a token stands in and that a newline ends; -1 where there are no
        lines.
    grid : per crop (rows, columns) where its tokens are a full raster, else None.
    """

    patch: Tensor
    crop: Tensor
    row: Tensor
    grid: tuple[tuple[int, int] | None, ...]

    @classmethod
    def plain(cls, n: int, grid: tuple[int, int] | None) -> Layout:
        """One crop, no newlines."""
        return cls(torch.arange(n), torch.zeros(n, dtype=torch.int64), torch.full((n,), -1), (grid,))

    @property
    def newline(self) -> Tensor:
        """(n,) bool."""
        return self.patch < 0
