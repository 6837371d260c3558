"""TrimTokenator: tokens near the text first, then those that represent them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lmm_integration.budget import check_keep, tokens_to_keep
from lmm_integration.pruners.method import Method
from lmm_integration.pruners.representative import representative, unit_tokens
from lmm_integration.tokens import Choice, VisualTokens


@dataclass(frozen=True, kw_only=True)
class TrimTokenator(Method):
    r"""Alignment with the text, then representativeness within the picture :cite:p:`zhang2025trimtokenator`.

    First the `survivors` tokens of largest alpha_i = -(1 / L) sum_j ||x_i - t_j||_2 over the L words t_j of the
    question, embedded as the language model reads them; then, among these, k by `representative`, the greedy for max
    over S of sum_{i != j in S} (1 - cos_ij). Without words the first stage keeps everything.

    Parameters
    ----------
    survivors : of the first stage, a share of the tokens or a number, never below k.
    order, position_policy : see `Method`.
    """

    title: ClassVar[str] = "TrimTokenator"
    source: ClassVar[str] = "zhang2025trimtokenator"
    does: ClassVar[str] = "near the words of the question, then representative"
    requires: ClassVar[frozenset[str]] = frozenset({"text_embeddings"})

    survivors: int | float = 0.8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_keep(self.survivors)

    def select(self, tokens: VisualTokens, k: list[int]) -> list[Choice]:
        """Per unit k_i tokens."""
        if tokens.text_embeddings is None:
            raise ValueError("TrimTokenator needs the words of the question: VisualTokens.text_embeddings is None")
        return self._in_order(
            [self._unit(x, t, m) for x, t, m in zip(tokens.features, tokens.text_embeddings, k, strict=True)]
        )

    def _unit(self, x: Tensor, words: Tensor, k: int) -> Tensor:
        units = unit_tokens(x)
        near = torch.arange(len(x))
        if len(words):
            alpha = -torch.cdist(x.float(), words.float()).mean(1).cpu()
            near = alpha.argsort(descending=True, stable=True)[: max(k, tokens_to_keep(self.survivors, len(x)))]
            near = near.sort().values
        return near[representative(units[near.to(units.device)], k)]
