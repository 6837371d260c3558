"""Where the visual tokens of one image come from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Modality = Literal["image", "video"]
Newline = Literal["none", "row", "all", "candidate"]


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

    @classmethod
    def frames(cls, n: int, grid: tuple[int, int], newline: bool) -> Layout:
        """A video of n tokens: frames of this raster one after another, and perhaps a newline at the end."""
        size = grid[0] * grid[1]
        tokens = torch.arange(n)
        crop = tokens // size
        if newline:
            crop[-1] = tokens[-1] = -1
        return cls(tokens, crop, torch.full((n,), -1), (grid,) * (n // size))

    @property
    def newline(self) -> Tensor:
        """(n,) bool."""
        return self.patch < 0


@dataclass(frozen=True)
class Kept:
    """What is left of one image: the (new) tokens, and the old token whose place each takes, in reading order."""

    features: Tensor
    indices: Tensor
