"""The frame of the published methods that work inside the language model."""

from __future__ import annotations

import numbers
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from lmm_integration.budget import BudgetKind, kept_from_layer
from lmm_integration.depth import layer_of
from lmm_integration.layer_tokens import LayerTokens
from lmm_integration.pruners.method import Method
from lmm_integration.sequence import PositionPolicy
from lmm_integration.tokens import VisualTokens


@dataclass(frozen=True, kw_only=True)
class LayerMethod(Method):
    """A published way to choose visual tokens once, in front of one decoder layer.

    Class attributes
    ----------------
    published : (layer, layers of the model) in the paper; `layer_of` maps it to models of other depth.

    Parameters
    ----------
    layer : None, the published layer at the depth of the model; or a decoder layer >= 1, counted from 0.
    order : what is kept stays in its order, so `"raster"` alone.
    position_policy : `"keep"`: every token keeps its position, as FastV's own code has it; `"repack"`: the layers behind
        count what is left anew, which no published method of this package does and the models with places in the
        picture refuse.
    """

    published: ClassVar[tuple[int, int]]
    budget_kind: ClassVar[BudgetKind] = "final"

    layer: int | None = None
    position_policy: PositionPolicy = "keep"

    def __post_init__(self) -> None:
        super().__post_init__()
        check_layer(self.layer)
        check_inner_order(type(self).__name__, self.order)

    def layers(self, depth: int) -> tuple[int, ...]:
        """The one layer."""
        return (layer_of(*self.published, depth) if self.layer is None else self.layer,)

    def kept(self, n: int, budget: int, depth: int) -> tuple[int, ...]:
        """What a budget of the method's kind leaves of n tokens."""
        return (kept_from_layer(budget, n, self.budget_kind, layer=self.layers(depth)[0], layers=depth),)

    @abstractmethod
    def select(self, tokens: VisualTokens, k: list[int]) -> Sequence[Tensor]:  # type: ignore[override]
        """Per unit, k_i of its tokens."""

    def _read(self, tokens: VisualTokens, name: str) -> Sequence[Tensor]:
        """A reading of the layer, which tokens in front of the language model do not have."""
        values = getattr(tokens, name, None) if isinstance(tokens, LayerTokens) else None
        if values is None:
            raise ValueError(f"{type(self).__name__} needs LayerTokens.{name}, which these tokens do not have")
        found: Sequence[Tensor] = values
        return found


def check_layer(layer: int | None) -> None:
    """A decoder layer >= 1, or None."""
    if layer is None:
        return
    if isinstance(layer, bool) or not isinstance(layer, numbers.Integral):
        raise TypeError(f"layer must be a whole number or None, got {layer!r}")
    if layer < 1:
        raise ValueError(f"layer must be >= 1, a decoder layer counted from 0, got {layer}")


def check_inner_order(name: str, order: str) -> None:
    """Inside the model what is kept stays in its order."""
    if order != "raster":
        raise ValueError(f"{name} drops tokens inside the model, where order must be 'raster', got {order!r}")
