"""Tokens at even spacing over the picture."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lmm_integration.pruners.cells import cells
from lmm_integration.pruners.method import Method
from lmm_integration.tokens import Choice, VisualTokens


@dataclass(frozen=True, kw_only=True)
class UniformGrid(Method):
    """The middle token of each of k cells of the raster; without a raster, token floor((i + 1/2) n / k).

    Parameters
    ----------
    order, position_policy : see `Method`; the order is raster either way.
    """

    title: ClassVar[str] = "Uniform grid"
    does: ClassVar[str] = "the centres of k cells of the picture"
    positional: ClassVar[bool] = True

    def select(self, tokens: VisualTokens, k: list[int]) -> list[Choice]:
        """Per unit k_i cell centres."""
        return self._in_order([cells(n, m, grid)[0] for n, m, grid in zip(tokens.sizes, k, tokens.grid, strict=True)])
