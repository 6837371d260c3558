"""CDPruner: keep tokens that are relevant to the question and different from each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from lmm_integration.pruners.backends import choose
from lmm_integration.pruners.method import Method
from lmm_integration.pruners.solving import check_solver, solved
from lmm_integration.relevance import Relevance, WordRelevance
from lmm_integration.tokens import Choice, VisualTokens
from mmdp import ConditionalDPP
from mmdp.checks import to_numpy

FLOOR = 1e-6  # the least relevant token stays selectable
CONSTANT = 1e-12


@dataclass(frozen=True, kw_only=True)
class CDPruner(Method):
    r"""Greedy MAP of a determinantal point process conditioned on the text :cite:p:`zhang2025cdpruner`.

    max over S with |S| = k of log det of (diag(r) C diag(r))_S, C_ij = cos(v_i, v_j) of the projected tokens, r their
    relevance to the question. Raw relevance is multiplied by its sign and scaled to [1e-6, 1] over all units of a
    sample, never across samples; constant relevance counts as all ones.

    Parameters
    ----------
    relevance : where raw relevance comes from: `ClipRelevance` for CLIP towers, `SiglipRelevance` for those of SigLIP,
        `EmbeddingRelevance` for any model.
    sign : +1, -1, or None for the provider's own; -1 for patches of CLIP, as in the published code: objects named in
        the text have the *lower* cosine there.
    theta : None, the released form r; or in [0, 1), r replaced by exp(theta r / (2 (1 - theta))), as in the paper.
    solver, time_limit : as in `DivPrune`, for this objective.
    order, position_policy : see `Method`.

    Raises
    ------
    ValueError : relevance missing or not finite.
    """

    title: ClassVar[str] = "CDPruner"
    source: ClassVar[str] = "zhang2025cdpruner"
    does: ClassVar[str] = "determinantal diversity weighted by relevance to the question"
    requires: ClassVar[frozenset[str]] = frozenset({"relevance"})

    relevance: Relevance | WordRelevance | None = None
    sign: Literal[-1, 1] | None = None
    theta: float | None = None
    solver: str = "greedy"
    time_limit: float | None = None

    def __post_init__(self) -> None:
        super().__post_init__()
        self._one_of("sign", (None, 1, -1))
        if self.theta is not None and not 0 <= self.theta < 1:
            raise ValueError(f"theta must be in [0, 1), got {self.theta}")
        check_solver(self.solver, self.time_limit)

    def select(self, tokens: VisualTokens, k: list[int]) -> list[Choice]:
        """Per unit k_i tokens."""
        if self.solver == "greedy":
            weights = [self._shaped(r) for r in self.scaled(tokens)]
            return self._in_order(choose("greedy_map", tokens.features, k, relevance=weights))
        return self._in_order(solved(self.problems(tokens, k), self.solver, self.time_limit))

    def problems(self, tokens: VisualTokens, k: list[int]) -> list[ConditionalDPP]:
        """Per unit the optimisation problem, to solve, bound or check a selection with."""
        return [
            ConditionalDPP.from_features(to_numpy(unit), m, relevance=to_numpy(r), theta=self.theta)
            for unit, m, r in zip(tokens.features, k, self.scaled(tokens), strict=True)
        ]

    def scaled(self, tokens: VisualTokens) -> list[Tensor]:
        """Per unit (n_i,) float64 relevance in [1e-6, 1], sign applied, min-max over each sample."""
        if tokens.relevance is None:
            raise ValueError("CDPruner needs the relevance of every token: VisualTokens.relevance is None")
        sign = self.sign if self.sign is not None else getattr(self.relevance, "sign", 1)
        raw = [sign * r.double().cpu() for r in tokens.relevance]
        return [
            _min_max(r, [o for o, s in zip(raw, tokens.sample, strict=True) if s == sample])
            for r, sample in zip(raw, tokens.sample, strict=True)
        ]

    def _shaped(self, r: Tensor) -> Tensor:
        return r if self.theta is None else torch.exp(self.theta * r / (2 * (1 - self.theta)))


def _min_max(r: Tensor, sample: Sequence[Tensor]) -> Tensor:
    everything = torch.cat(list(sample))
    if not everything.isfinite().all():
        raise ValueError(f"relevance must be finite, got {everything[~everything.isfinite()][0].item()}")
    low, high = everything.min(), everything.max()
    if high - low <= CONSTANT:
        return torch.ones_like(r)
    return ((r - low) / (high - low)).clamp(FLOOR, 1.0)
