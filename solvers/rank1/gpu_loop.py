"""Greedy loops on the Gram matrix of rank-1 updates in plain torch, one step for all samples, on any device."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from solvers.tensors import lowest_best, rows_to_keep


def energy_greedy(gram: Tensor, live: Tensor, valid: Tensor | None, budgets: Tensor | None, width: int) -> Tensor:
    """(B, width) picks by true gain for (B, n, n) Gram matrices; zero updates (not `live`) after all others."""
    gain = 2 * gram.sum(2) - gram.diagonal(dim1=1, dim2=2)
    return _greedy(gram, gain, lambda gain, row: gain - 2 * row, live, valid, budgets, width)


def marginal_relevance(
    gram: Tensor, live: Tensor, valid: Tensor | None, budgets: Tensor | None, width: int, lam: float
) -> Tensor:
    """(B, width) picks by MMR for (B, n, n) Gram matrices; zero updates (not `live`) after all others."""
    magnitude = gram.diagonal(dim1=1, dim2=2).clamp(min=0).sqrt()
    duplication = torch.full_like(magnitude, -torch.inf)

    def next_score(score: Tensor, row: Tensor) -> Tensor:
        torch.maximum(duplication, row, out=duplication)
        return lam * magnitude - (1 - lam) * duplication

    return _greedy(gram, magnitude, next_score, live, valid, budgets, width)


def _greedy(
    gram: Tensor,
    score: Tensor,
    next_score: Callable[[Tensor, Tensor], Tensor],
    live: Tensor,
    valid: Tensor | None,
    budgets: Tensor | None,
    width: int,
) -> Tensor:
    samples, n = live.shape
    index = torch.arange(n, device=live.device)
    chosen = torch.full((samples, width), -1, dtype=torch.int64, device=live.device)
    keep = rows_to_keep(width, budgets, valid, live)
    free = torch.ones_like(live) if valid is None else valid
    for t in range(min(width, n)):
        alive = free & live
        left = torch.where(alive, score, -torch.inf)
        j = lowest_best(torch.where(alive.any(1, keepdim=True), left, free.to(score.dtype)))
        chosen[:, t] = torch.where(keep > t, j[:, 0], -1)
        free = free & (index != j)
        score = next_score(score, gram.gather(1, j[:, :, None].expand(samples, 1, n))[:, 0])
    return chosen
