"""The tokens that the vision tower's class token looks at most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from lmm_integration.pruners.method import Method
from lmm_integration.tokens import Choice, VisualTokens


@dataclass(frozen=True, kw_only=True)
class ClsAttention(Method):
    """Top k by the attention row of the class token, mean over heads; one row is computed, whatever the kernel.

    Parameters
    ----------
    layer : of the vision tower, counted as `vision_feature_layer` is; -2 is where LLaVA takes its features.
    order, position_policy : see `Method`.
    """

    title: ClassVar[str] = "CLS attention"
    does: ClassVar[str] = "top k by the attention of the class token"
    requires: ClassVar[frozenset[str]] = frozenset({"vision_attention"})

    layer: int = -2

    def select(self, tokens: VisualTokens, k: list[int]) -> list[Choice]:
        """Per unit the k_i highest, ties to the lowest index."""
        if tokens.vision_attention is None:
            raise ValueError(
                "ClsAttention needs the attention of the class token: VisualTokens.vision_attention is None"
            )
        rows = zip(tokens.vision_attention, k, strict=True)
        return self._in_order([row.cpu().argsort(descending=True, stable=True)[:m] for row, m in rows])
