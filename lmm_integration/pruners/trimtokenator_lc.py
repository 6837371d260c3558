"""TrimTokenator-LC: one budget for many images. A completion of what is published; see the class."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Literal, get_args

import torch
from torch import Tensor

from lmm_integration.image_budgets import allocate, diversity_between, diversity_within, first_stage_total
from lmm_integration.pareto import min_max, pareto_choice
from lmm_integration.pruners.method import Method
from lmm_integration.pruners.representative import representative, unit_tokens
from lmm_integration.pruners.trimtokenator import TrimTokenator
from lmm_integration.tokens import Choice, VisualTokens
from lmm_integration.units import BudgetScope

Stages = Literal["inside_first", "across_first"]
Budgets = Literal["dynamic", "uniform"]
TextStage = Literal["second", "first", "none"]
Final = Literal["pareto", "weighted_sum"]
SingleImage = Literal["derived", "parent"]
POOL = 1.5  # candidates for every token that the stage with the text keeps


@dataclass(frozen=True, kw_only=True)
class TrimTokenatorLC(Method):
    r"""Adaptive pruning of several images of one sample :cite:p:`zhang2025trimtokenatorlc`.

    Published are the frame (diversity inside the images first, across them second, the text in the second stage only,
    budgets by content) and the measure of diversity, mean 1 - cos over the pairs of an image. The rest is **derived**,
    not the authors' code: how the loss is divided between the stages (`first_stage_total`), the budgets of the images
    (`allocate`, weights m_i times diversity), and the choice in the stage with the text: `representative` leaves 1.5 T
    candidates, of which `pareto_choice` takes T by diversity 1 - (mean cosine to the candidates) and alignment (mean
    cosine to the words of the question), each scaled to [0, 1].

    The four questions of the paper are options, so that each can be asked on its own. With one image the first stage
    is idle and, by the derivation, the text is not used.

    Parameters
    ----------
    stages : "inside_first", or "across_first": the union is thinned before the images are.
    budgets : "dynamic", or "uniform": the same weight for every token there is.
    text_stage : "second", "first" or "none".
    final : "pareto", or "weighted_sum": the T largest of diversity + alignment.
    least : tokens that every image keeps at least, where T allows it.
    single_image : "derived", or "parent": `TrimTokenator` where a sample has one image.
    order, position_policy : see `Method`; "selection" is the order of the last stage.

    Raises
    ------
    ValueError : a sample in several units; the budget scope must be "sample".
    """

    title: ClassVar[str] = "TrimTokenator-LC (derived)"
    source: ClassVar[str] = "zhang2025trimtokenatorlc"
    does: ClassVar[str] = "derived: one budget over many images, diverse inside each, then across and near the question"
    requires: ClassVar[frozenset[str]] = frozenset({"text_embeddings"})
    budget_scope: ClassVar[BudgetScope] = "sample"

    stages: Stages = "inside_first"
    budgets: Budgets = "dynamic"
    text_stage: TextStage = "second"
    final: Final = "pareto"
    least: int = 1
    single_image: SingleImage = "derived"

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, allowed in (
            ("stages", Stages),
            ("budgets", Budgets),
            ("text_stage", TextStage),
            ("final", Final),
            ("single_image", SingleImage),
        ):
            self._one_of(name, get_args(allowed))
        if isinstance(self.least, bool) or not isinstance(self.least, int) or self.least < 0:
            raise ValueError(f"least must be a whole number of tokens >= 0, got {self.least!r}")

    def select(self, tokens: VisualTokens, k: list[int]) -> list[Choice]:
        """Per sample k_i tokens of all its images together."""
        if tokens.text_embeddings is None:
            raise ValueError("TrimTokenatorLC needs the words of the question: VisualTokens.text_embeddings is None")
        if len(set(tokens.sample)) < len(tokens.sample):
            raise ValueError("TrimTokenatorLC divides one budget over the images of a sample: budget_scope='sample'")
        parts = zip(tokens.features, tokens.text_embeddings, tokens.image, k, strict=True)
        return self._in_order([self._sample(x, words, image, total) for x, words, image, total in parts])

    def _sample(self, x: Tensor, words: Tensor, image: Tensor, total: int) -> Tensor:
        if total >= len(x):
            return torch.arange(len(x))
        members = [(image == i).nonzero().flatten() for i in image.unique().tolist()]
        if len(members) == 1 and self.single_image == "parent":
            (picks,) = TrimTokenator(order="selection").select(
                VisualTokens([x], text_embeddings=[words], image=[image]), [total]
            )
            return torch.as_tensor(picks)
        units = unit_tokens(x).cpu()
        text = unit_tokens(words).cpu()
        within = [diversity_within(units[part]) for part in members]
        between = diversity_between([units[part].mean(0) for part in members])
        middle = first_stage_total(within, between, len(x), total)
        if self.stages == "inside_first":
            pool = self._inside(units, members, within, middle, self._words(text, "first"))
            return pool[self._choose(units[pool], total, self._words(text, "second"))]
        pool = self._choose(units, middle, self._words(text, "first")).sort().values
        left = [part[torch.isin(part, pool)] for part in members]
        return self._inside(units, left, within, total, self._words(text, "second"))

    def _words(self, text: Tensor, stage: TextStage) -> Tensor | None:
        return text if self.text_stage == stage and len(text) else None

    def _inside(
        self, units: Tensor, members: list[Tensor], within: list[float], total: int, words: Tensor | None
    ) -> Tensor:
        """`total` tokens, every image by its own budget; images in order, ascending inside each."""
        sizes = [len(part) for part in members]
        spread = [1.0] * len(sizes) if self.budgets == "uniform" else within
        weights = [m * max(diversity, 0.0) for m, diversity in zip(sizes, spread, strict=True)]
        counts = allocate(weights, sizes, total, self.least)
        kept = [part[self._choose(units[part], b, words)] for part, b in zip(members, counts, strict=True)]
        return torch.cat(kept).sort().values

    def _choose(self, units: Tensor, k: int, words: Tensor | None) -> Tensor:
        """k picks: representative ones or, given words, the best of a larger pool in diversity and alignment."""
        if words is None or k == 0:
            return representative(units, k)
        pool = representative(units, min(len(units), math.ceil(POOL * k))).sort().values
        candidates = units[pool].double()
        diversity = min_max((1.0 - candidates @ candidates.mean(0)).numpy())
        alignment = min_max((candidates @ words.double().mean(0)).numpy())
        if self.final == "pareto":
            return pool[torch.from_numpy(pareto_choice(diversity, alignment, k))]
        return pool[torch.from_numpy(-(diversity + alignment)).argsort(stable=True)[:k]]
