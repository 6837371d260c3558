"""What one gets by improving the published loops in plain torch: a running score in place of a reduction over all.

`index_select` and `out=` throughout: indexing with a tensor of no dimension would read it on the host.
"""

from __future__ import annotations

import torch
from torch import Tensor


def farthest_first(X: Tensor, k: int) -> Tensor:
    """(k,) picks of (n, d) tokens in 1 - cos: whole cosine matrix, one row of it a step."""
    unit = torch.nn.functional.normalize(X.float(), dim=1)
    cosine = (unit @ unit.T).fill_diagonal_(-torch.inf)
    chosen = torch.empty(k, dtype=torch.long)
    closest = cosine.amax(dim=0)  # to any other token at first, to a chosen one afterwards
    for t in range(k):
        j = torch.argmin(closest, dim=0, keepdim=True)
        chosen[t : t + 1] = j
        row = cosine.index_select(0, j)[0]
        if t:
            torch.maximum(closest, row, out=closest)
        else:
            closest = row.clone()
        closest.index_fill_(0, j, torch.inf)
    return chosen


def mmr(K: Tensor, V: Tensor, k: int, lam: float = 0.5) -> Tensor:
    """(k,) picks by maximal marginal relevance: both Gram matrices, one row of their product a step."""
    keys, values = K.float(), V.float()
    duplication = (keys @ keys.T).mul_(values @ values.T)
    magnitude = keys.norm(dim=1) * values.norm(dim=1)
    chosen = torch.empty(k, dtype=torch.long)
    score, worst, relevance = magnitude.clone(), torch.full_like(magnitude, -torch.inf), lam * magnitude
    for t in range(k):
        j = torch.argmax(score, dim=0, keepdim=True)
        chosen[t : t + 1] = j
        torch.maximum(worst, duplication.index_select(0, j)[0], out=worst)
        worst.index_fill_(0, j, torch.inf)
        torch.sub(relevance, worst, alpha=1 - lam, out=score)
    return chosen
