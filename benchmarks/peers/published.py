"""The selection loops as the papers run them, written from their formulas: what every speed-up is measured against.

Plain torch on whatever device the tensors are. Nothing is improved: the max-min loop gathers all chosen rows again at
every step, the DPP loop forms the whole kernel, the MMR loop both Gram matrices. They hold for data without copies and
zero rows; the solvers' own naive versions define the rest.
"""

from __future__ import annotations

import torch
from torch import Tensor


def divprune(X: Tensor, k: int) -> Tensor:
    """(k,) farthest-first picks of (n, d) tokens in 1 - cos, from the token with the farthest nearest neighbour."""
    U = X.float() / X.float().norm(dim=1, keepdim=True)
    distances = 1 - U @ U.T
    chosen = torch.empty(k, dtype=torch.long, device=X.device)
    if k:
        chosen[0] = torch.topk(distances, 2, dim=0, largest=False).values[1].argmax()
    for t in range(1, k):
        nearest = distances.index_select(0, chosen[:t]).min(dim=0).values
        nearest[chosen[:t]] = -torch.inf
        chosen[t] = nearest.argmax()
    return chosen


def cdpruner(X: Tensor, relevance: Tensor, k: int) -> Tensor:
    """(B, k) greedy MAP picks of (B, n, d) tokens with (B, n) relevance, by incremental Cholesky on the whole kernel."""
    U = X.float() / X.float().norm(dim=2, keepdim=True)
    weights = relevance.float()
    kernel = weights[:, :, None] * (U @ U.transpose(1, 2)) * weights[:, None, :]
    gains = kernel.diagonal(dim1=1, dim2=2).clone()
    rows = torch.arange(len(X), device=X.device)
    factor = torch.zeros(k, *gains.shape, device=X.device)
    chosen = torch.empty(len(X), k, dtype=torch.long, device=X.device)
    for t in range(k):
        j = gains.argmax(dim=1)
        chosen[:, t] = j
        known = torch.einsum("tb,tbn->bn", factor[:t, rows, j], factor[:t])
        factor[t] = (kernel[rows, j] - known) / gains[rows, j].sqrt()[:, None]
        gains = gains - factor[t] ** 2
        gains[rows, j] = -torch.inf
    return chosen


def mmr(K: Tensor, V: Tensor, k: int, lam: float = 0.5) -> Tensor:
    """(k,) picks of argmax lam ||k_i|| ||v_i|| - (1 - lam) max_{j chosen} (k_i . k_j)(v_i . v_j)."""
    keys, values = K.float(), V.float()
    magnitude = keys.norm(dim=1) * values.norm(dim=1)
    duplication = (keys @ keys.T) * (values @ values.T)
    chosen = torch.empty(k, dtype=torch.long, device=K.device)
    for t in range(k):
        score = lam * magnitude
        if t:
            score = score - (1 - lam) * duplication.index_select(0, chosen[:t]).max(dim=0).values
            score[chosen[:t]] = -torch.inf
        chosen[t] = score.argmax()
    return chosen
