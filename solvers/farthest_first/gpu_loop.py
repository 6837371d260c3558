"""Farthest-first traversal in plain torch, one step for all samples of a batch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from solvers.tensors import lowest_best, rows_to_keep


def traverse(
    distances: Tensor,
    live: Tensor,
    valid: Tensor | None,
    budgets: Tensor | None,
    start: Tensor | None,
    width: int,
) -> Tensor:
    """(B, width) picks for (B, n, n) distances, -1 behind the budget of each row.

    Tokens that are not `live` are picked after all others, in index order. Time O(B n) a step, nothing waits.
    """
    samples, n = live.shape
    index = torch.arange(n, device=live.device)
    chosen = torch.full((samples, width), -1, dtype=torch.int64, device=live.device)
    keep = rows_to_keep(width, budgets, valid, live)
    taken = torch.zeros_like(live) if valid is None else ~valid
    nearest = distances.new_full((samples, n), torch.inf)
    score = isolation(distances, live) if start is None else (index == start[:, None]).to(distances.dtype)
    for t in range(min(width, n)):
        j = lowest_best(torch.where(taken, -torch.inf, score))
        chosen[:, t] = torch.where(keep > t, j[:, 0], -1)
        nearest = torch.minimum(nearest, distances.gather(1, j[:, :, None].expand(samples, 1, n))[:, 0])
        taken = taken | (index == j)
        score = torch.where(live, nearest, -1.0)
    return chosen


def isolation(distances: Tensor, live: Tensor) -> Tensor:
    """(B, n) distance of every live token from its nearest other live token, inf where there is none; -1 for others."""
    itself = torch.eye(live.shape[1], dtype=torch.bool, device=live.device)
    others = torch.where(live[:, None, :] & ~itself, distances, torch.inf)
    return torch.where(live, others.amin(2), -1.0)
