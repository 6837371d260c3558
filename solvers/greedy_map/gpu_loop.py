"""Greedy MAP by an incremental Cholesky factor in plain torch, one step for all samples of a batch, on any device."""

from __future__ import annotations

import torch
from torch import Tensor

from solvers.greedy_map.naive import PIVOT
from solvers.tensors import lowest_best, rows_to_keep


def cholesky_greedy(
    cosine: Tensor,
    weight: Tensor,
    live: Tensor,
    first: Tensor,
    valid: Tensor | None,
    budgets: Tensor | None,
    width: int,
) -> Tensor:
    """(B, width) picks for kernels w_i cos_ij w_j, -1 behind the budget of each row.

    The factor is that of the cosines: the conditional variance of token i is w_i^2 times the rest that the chosen
    tokens leave unexplained of its unit vector. Greedy picks while w_i > 0 and this rest exceeds 1e-5 for some token,
    then the largest weights, at the end tokens that are not `live`. `first` names the first of bitwise equal tokens:
    all get the entry of the first, since a sum of rows need not be rounded alike in every column. Time O(B n t) in step
    t, nothing waits.
    """
    samples, n = live.shape
    index = torch.arange(n, device=live.device)
    chosen = torch.full((samples, width), -1, dtype=torch.int64, device=live.device)
    keep = rows_to_keep(width, budgets, valid, live)
    free = torch.ones_like(live) if valid is None else valid
    square = torch.where(live, weight, 0.0).square()
    rest = torch.ones_like(square)
    fill = torch.where(live, square, -1.0)
    steps = min(width, n)
    factor = cosine.new_zeros((samples, steps, n))
    for t in range(steps):
        candidates = free & (rest > PIVOT) & (square > 0)
        regular = candidates.any(1, keepdim=True)  # False: the rank is exhausted, fill up
        score = torch.where(regular, torch.where(candidates, square * rest, -torch.inf), fill)
        j = lowest_best(torch.where(free, score, -torch.inf))
        chosen[:, t] = torch.where(keep > t, j[:, 0], -1)
        free = free & (index != j)
        row = cosine.gather(1, j[:, :, None].expand(samples, 1, n))[:, 0]
        above = factor[:, :t]
        row = row - (above.gather(2, j[:, :, None].expand(samples, t, 1)) * above).sum(1)
        pivot = torch.where(regular, rest.gather(1, j), 1.0).sqrt()
        factor[:, t] = torch.where(regular, row / pivot, 0.0).gather(1, first)
        rest = rest - factor[:, t].square()
    return chosen
