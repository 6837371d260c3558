"""RepMax: the tokens that repeat each other least, by greedy choice."""

from __future__ import annotations

import torch
from torch import Tensor

ZERO_NORM = 1e-12


def unit_tokens(features: Tensor) -> Tensor:
    """(n, d) float32 rows of length 1; rows of norm <= 1e-12 become 0. ValueError where a token is not finite."""
    x = features.detach().float()
    if not x.isfinite().all():
        bad = (~x.isfinite().all(-1)).nonzero()[0].item()
        raise ValueError(f"tokens must be finite, got token {bad} with inf or NaN")
    norms = x.norm(dim=-1, keepdim=True)
    return torch.where(norms > ZERO_NORM, x / norms.clamp(min=ZERO_NORM), 0.0)


def representative(units: Tensor, k: int) -> Tensor:
    """k picks, int64 on the CPU, for max over S of sum_{i != j in S} (1 - cos_ij) :cite:p:`zhang2025trimtokenator`.

    The first is the token of least mean cosine, each next one that of least sum of cosines with those chosen; ties to
    the lowest index, zero rows last. Matrix-free: O(n d) a pick.

    Parameters
    ----------
    units : (n, d) from `unit_tokens`.
    k : 0 <= k <= n.

    Examples
    --------
    >>> representative(torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0], [-1.0, 0.0]]), 2).tolist()
    [3, 0]
    """
    n = len(units)
    if not 0 <= k <= n:
        raise ValueError(f"k must be between 0 and {n}, got {k}")
    picks = torch.empty(k, dtype=torch.int64)
    if k == 0:
        return picks
    score = (units @ units.mean(0)).double()
    last = (units == 0).all(-1) * 1e9  # behind every other token, in index order
    taken = torch.zeros(n, dtype=torch.float64, device=units.device)
    total = torch.zeros(n, dtype=torch.float64, device=units.device)
    for step in range(k):
        pick = int((score + last + taken).argmin())
        picks[step] = pick
        taken[pick] = torch.inf
        total += (units @ units[pick]).double()
        score = total
    return picks
