"""The greedies with every number in one type, as they come out when a model's tokens are used as they are.

Plain torch on the CPU. Matrix products are accumulated in float32 and rounded once, as matrix units do; everything else
is rounded after each operation. In float64 they are the naive solvers; in 16 bits they show what rounding does to them.
Where a step has no best token left (a variance rounded to nothing, an overflow) the largest weight comes next.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

Int = npt.NDArray[np.int64]


def product(a: Tensor, b: Tensor) -> Tensor:
    """Inner products of the rows, rounded to the type of `a` at the end."""
    wide = torch.promote_types(a.dtype, torch.float32)
    return (a.to(wide) @ b.to(wide).T).to(a.dtype)


def farthest_first(X: Tensor, k: int) -> Int:
    """Max-min on 1 - cos from the most isolated token."""
    unit = X / torch.linalg.vector_norm(X, dim=1, keepdim=True)
    distance = 1 - product(unit, unit)
    itself = torch.eye(len(X), dtype=torch.bool)
    isolation = distance.masked_fill(itself, torch.inf).amin(1)
    nearest = torch.full_like(isolation, torch.inf)

    def after(j: int, score: Tensor) -> Tensor:
        return torch.minimum(nearest, distance[j], out=nearest)

    return _greedy(isolation, after, isolation, k)


def greedy_map(X: Tensor, relevance: Tensor, k: int) -> Int:
    """Greedy MAP by one row of a Cholesky factor a step."""
    unit = X / torch.linalg.vector_norm(X, dim=1, keepdim=True)
    kernel = relevance[:, None] * product(unit, unit) * relevance
    factor: list[Tensor] = []

    def after(j: int, score: Tensor) -> Tensor:
        row = kernel[j]
        if factor:
            above = torch.stack(factor)
            row = row - product(above.T, above[:, j][None])[:, 0]
        factor.append(row / score[j].sqrt())
        score = score - factor[-1].square()
        return torch.where(score > 0, score, -torch.inf)  # a variance that rounding made negative

    return _greedy(kernel.diagonal().clone(), after, relevance, k)


def rank1(K: Tensor, V: Tensor, k: int) -> Int:
    """The true gain of the rank-1 energy."""
    gram = product(K, K) * product(V, V)
    gain = 2 * gram.sum(1) - gram.diagonal()
    return _greedy(gain, lambda j, score: score - 2 * gram[j], gain, k)


def mmr(K: Tensor, V: Tensor, k: int, lam: float = 0.5) -> Int:
    """Magnitude minus the largest duplication."""
    gram = product(K, K) * product(V, V)
    magnitude = gram.diagonal().sqrt()
    worst = torch.full_like(magnitude, -torch.inf)

    def after(j: int, score: Tensor) -> Tensor:
        return lam * magnitude - (1 - lam) * torch.maximum(worst, gram[j], out=worst)

    return _greedy(magnitude, after, magnitude, k)


def pc_mmr(P: Tensor, K: Tensor, V: Tensor, k: int) -> Int:
    """Progressive chunks of 2, 4, 8, ... tokens of largest penalised magnitude."""
    unit = V / torch.linalg.vector_norm(V, dim=1, keepdim=True)
    square = K.square().sum(1)
    score, chosen, size = P.clone(), list[int](), 2
    while len(chosen) < k:
        order = torch.sort(score.float() if score.dtype.itemsize < 4 else score, descending=True, stable=True).indices
        members = order[: min(size, k - len(chosen))]
        chosen.extend(members.tolist())
        distance = (square[:, None] + square[members] - 2 * product(K, K[members])).clamp(min=0)
        redundancy = (product(unit, unit[members]) * torch.exp(distance / (-2 * K.shape[1] ** 0.5))).square()
        score = score * (1 - 5 * redundancy.amax(1)).clamp(min=0.01)
        score[torch.tensor(chosen)] = -torch.inf
        size *= 2
    return np.array(chosen, dtype=np.int64)


def _greedy(score: Tensor, after: Callable[[int, Tensor], Tensor], weight: Tensor, k: int) -> Int:
    """k times the largest score, ties to the lowest index; the largest weight where no score is a number above -inf."""
    free = np.ones(len(score), dtype=np.bool_)
    fill = weight.double().numpy()
    chosen: list[int] = []
    while len(chosen) < k:
        left = score.double().numpy()
        usable = free & (left > -np.inf)  # False for NaN
        j = int(np.where(usable, left, -np.inf).argmax() if usable.any() else np.where(free, fill, -np.inf).argmax())
        chosen.append(j)
        free[j] = False
        if usable.any():
            score = after(j, score)
    return np.array(chosen, dtype=np.int64)
