"""A baseline that knows where the objects are: not a bound, but what looking at objects alone would give."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch

from lmm_integration.evaluate.accuracy.task import Question
from lmm_integration.tokens import Choice, VisualTokens
from lmm_integration.units import BudgetScope


@dataclass(frozen=True)
class ObjectCoverage:
    """Patches that show an object first, in random order, then the others.

    Parameters
    ----------
    seed : of the order.
    objects : per row of the batch (n,) bool, from the facts of the task.
    """

    budget_scope: ClassVar[BudgetScope] = "sample"

    seed: int = 0
    objects: tuple[Any, ...] = ()

    def for_questions(self, questions: Sequence[Question], draw: int) -> ObjectCoverage:
        """The pruner of one batch; `draw` changes the order."""
        return ObjectCoverage(self.seed + draw, tuple(question.facts["objects"] for question in questions))

    def select(self, tokens: VisualTokens, k: list[int]) -> list[Choice]:
        """Per sample k_i of its tokens, ascending."""
        picks: list[Choice] = []
        for row, n, budget in zip(tokens.sample, tokens.sizes, k, strict=True):
            shuffled = np.random.default_rng([self.seed, n]).permutation(n)
            first = shuffled[np.argsort(~self.objects[row][shuffled], kind="stable")]
            picks.append(torch.from_numpy(np.sort(first[:budget])))
        return picks
