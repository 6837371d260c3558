"""The random baseline of an evaluation: every question has draws of its own."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from lmm_integration.evaluate.accuracy.task import Question
from lmm_integration.tokens import Choice, VisualTokens


@dataclass(frozen=True)
class RandomDraws:
    """k tokens uniformly at random, anew for every question and every draw.

    `RandomPruner` with a seed keeps the same places of all pictures; averaged over a task, that is one draw of places and
    not many. Here the generator is seeded by (seed, draw, id of the question, number of the picture), so that what
    else is in the batch changes nothing.

    Attributes
    ----------
    seed, draw : which draw.
    ids : per row of the batch, its question.
    """

    positional: ClassVar[bool] = True

    seed: int = 0
    draw: int = 0
    ids: tuple[str, ...] = ()

    def for_questions(self, questions: Sequence[Question], draw: int) -> RandomDraws:
        """The pruner of one batch."""
        return RandomDraws(self.seed, draw, tuple(question.id for question in questions))

    def select(self, tokens: VisualTokens, k: list[int]) -> list[Choice]:
        """Per unit k_i of its tokens, ascending."""
        seen: dict[int, int] = {}
        picks: list[Choice] = []
        for row, n, budget in zip(tokens.sample, tokens.sizes, k, strict=True):
            number = seen[row] = seen.get(row, -1) + 1
            picks.append(
                self._permutation(f"{self.seed} {self.draw} {self.ids[row]} {number}", n)[:budget].sort().values
            )
        return picks

    @staticmethod
    def _permutation(name: str, n: int) -> Tensor:
        digest = hashlib.sha256(name.encode()).digest()
        return torch.randperm(n, generator=torch.Generator().manual_seed(int.from_bytes(digest[:7], "big")))
