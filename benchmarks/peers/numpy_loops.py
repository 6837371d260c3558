"""The greedies as one writes them in numpy, from their papers and from the documentation of those who offer them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[Any]
Int = npt.NDArray[np.int64]


def farthest_first(X: Floats, k: int) -> Int:
    """Max-min on 1 - cos with a running minimum; numpy computes half of the product A A^T and mirrors it."""
    unit = X / np.linalg.norm(X, axis=1, keepdims=True)
    cosine = unit @ unit.T
    np.fill_diagonal(cosine, -np.inf)
    chosen = np.empty(k, dtype=np.int64)
    closest = cosine.max(axis=0)
    for t in range(k):
        j = chosen[t] = closest.argmin()
        closest = np.maximum(closest, cosine[j]) if t else cosine[j].copy()
        closest[j] = np.inf
    return chosen


def fast_map(X: Floats, relevance: Floats, k: int) -> Int:
    """Greedy MAP inference of Chen, Zhang and Zhou (2018): the kernel, then one row of a Cholesky factor a step."""
    rows = X * (relevance / np.linalg.norm(X, axis=1))[:, None]
    kernel = rows @ rows.T
    gain = kernel.diagonal().copy()
    factor = np.zeros((k, len(X)), dtype=kernel.dtype)
    chosen = np.empty(k, dtype=np.int64)
    for t in range(k):
        j = chosen[t] = gain.argmax()
        factor[t] = (kernel[j] - factor[:t, j] @ factor[:t]) / np.sqrt(gain[j])
        gain -= factor[t] ** 2
        gain[j] = -np.inf
    return chosen


def mmr_of_retrieval(K: Floats, V: Floats, k: int, lam: float = 0.5) -> Int:
    """Maximal marginal relevance in the manner of retrieval libraries such as LangChain, on rank-1 updates.

    Every step computes the similarity of all candidates to all chosen ones again and looks for the best candidate in
    Python. Such libraries score by cosines to a query; here relevance is the magnitude of an update and similarity its
    inner product, so that everyone answers the same question.
    """
    magnitude = np.linalg.norm(K, axis=1) * np.linalg.norm(V, axis=1)
    chosen = [int(magnitude.argmax())][:k]
    while len(chosen) < k:
        to_chosen = (K @ K[chosen].T) * (V @ V[chosen].T)
        best, best_score = -1, -np.inf
        for i, relevance in enumerate(magnitude):
            if i in chosen:
                continue
            score = lam * relevance - (1 - lam) * max(to_chosen[i])
            if score > best_score:
                best, best_score = i, score
        chosen.append(best)
    return np.array(chosen, dtype=np.int64)
