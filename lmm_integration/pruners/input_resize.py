"""Input resize: the picture made smaller and encoded anew, the plainest way to fewer tokens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lmm_integration.pruners.cells import cells
from lmm_integration.pruners.method import Method
from lmm_integration.tokens import Choice, Merged, VisualTokens

STRETCH = 1.5  # of the picture, from where a larger grid is the smaller evil


@dataclass(frozen=True, kw_only=True)
class InputResize(Method):
    """The tokens of a smaller picture: downsampling, which many pruners fail to beat on easy samples.

    The picture is made just large enough for a grid of at least k tokens that stretches it by less than half, and goes
    through the vision tower again; of a grid of more than k tokens, k stay at even spacing. A token takes the place of
    the old one at its centre. The tower runs twice here, so the time saved in the language model is real and that in
    the tower is not: a system that knows the budget beforehand encodes the small picture alone.

    For LLaVA-1.5 and budgets per image: other families do not encode a picture at any size.

    Parameters
    ----------
    order, position_policy : see `Method`; the order is raster either way.

    Examples
    --------
    >>> [small_grid(24, 24, k) for k in (64, 56, 7, 576)]
    [(8, 8), (7, 8), (3, 3), (24, 24)]
    """

    title: ClassVar[str] = "Input resize"
    does: ClassVar[str] = "the tokens of the picture made smaller"
    requires: ClassVar[frozenset[str]] = frozenset({"reencode"})
    positional: ClassVar[bool] = True
    merges: ClassVar[bool] = True

    def select(self, tokens: VisualTokens, k: list[int]) -> list[Choice]:
        """Per unit k_i tokens of its picture made smaller; all its own where all are to stay."""
        return [self._smaller(tokens, unit, m) for unit, m in enumerate(k)]

    def _smaller(self, tokens: VisualTokens, unit: int, k: int) -> Choice:
        n, grid = tokens.sizes[unit], tokens.grid[unit]
        if k == n or not k:
            return torch.arange(k)
        if grid is None or tokens.reencode is None:
            raise ValueError("InputResize needs the whole raster of one picture: budget_scope='image', and no newlines")
        rows, columns = small_grid(*grid, k)
        spaced = cells(rows * columns, k, (rows, columns))[0]
        features = tokens.reencode[unit](rows, columns)
        if len(features) != rows * columns:
            raise ValueError(f"a picture of {rows} x {columns} patches became {len(features)} tokens")
        centre = _at(grid[0], rows)[:, None] * grid[1] + _at(grid[1], columns)
        return Merged(features[spaced.to(features.device)], centre.flatten()[spaced], torch.full((n,), -1))


def small_grid(rows: int, columns: int, k: int) -> tuple[int, int]:
    """The grid inside rows x columns with the fewest tokens, at least k, whose shape is that of the picture, nearly."""

    def stretch(grid: tuple[int, int]) -> float:
        ratio = grid[0] * columns / (grid[1] * rows)
        return max(ratio, 1 / ratio)

    grids = [(r, c) for r in range(1, rows + 1) for c in range(1, columns + 1) if r * c >= k]
    shaped = [grid for grid in grids if stretch(grid) < STRETCH] or grids
    return min(shaped, key=lambda grid: (grid[0] * grid[1], stretch(grid), grid))


def _at(size: int, parts: int) -> Tensor:
    """The old index at the middle of each part."""
    return (2 * torch.arange(parts) + 1) * size // (2 * parts)
