"""Random tokens: the baseline that many methods fail to beat."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lmm_integration.pruners.method import Method
from lmm_integration.tokens import Choice, VisualTokens


@dataclass(frozen=True, kw_only=True)
class RandomPruner(Method):
    """k tokens uniformly at random, without replacement.

    Parameters
    ----------
    seed : every unit draws from a generator of its own with this seed, so that what else is in the batch changes
        nothing, and units of equal size keep the same places; None draws anew each time.
    order, position_policy : see `Method`.
    """

    title: ClassVar[str] = "Random"
    does: ClassVar[str] = "uniformly random tokens"
    positional: ClassVar[bool] = True

    seed: int | None = 0

    def select(self, tokens: VisualTokens, k: list[int]) -> list[Choice]:
        """Per unit the first k_i of a random permutation."""
        return self._in_order([self._permutation(n)[:m] for n, m in zip(tokens.sizes, k, strict=True)])

    def _permutation(self, n: int) -> Tensor:
        generator = torch.Generator()
        if self.seed is None:
            generator.seed()
        else:
            generator.manual_seed(self.seed)
        return torch.randperm(n, generator=generator)
