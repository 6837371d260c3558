"""Maximal marginal relevance that compares a token with the chosen ones only when it is about to be chosen itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.lazy.compiled import kernel
from solvers.lazy.extremes import first_equal, largest
from solvers.lazy.queue import block_maxima, highest, lower
from solvers.rank1.cpu_updates import entries


@kernel
def lazy_relevance(K: Any, V: Any, magnitude: Any, lam: Any, chosen: Any, effort: float) -> int:
    """Fill `chosen` and return how far it came; it stops early when the work exceeds `effort` quadruples of entries.

    Tokens of magnitude 0 are not candidates; there are at least as many others as places. The first bound is
    Cauchy-Schwarz, G_ij >= -||dW_i|| ||dW_j||, widened by what rounding can do. Time O(n k H (d + d_v)) at worst,
    memory O(n).
    """
    n, k = len(magnitude), len(chosen)
    number = magnitude.dtype.type
    rest = number(1) - lam
    compared = np.zeros(n, np.int32)
    worst = np.full(n, number(-np.inf))  # largest duplication so far
    score = np.where(magnitude > 0, magnitude, number(-np.inf))
    first = first_equal(score, largest(score))
    chosen[0] = first
    margin = number(1) + number(8 * (K.shape[2] + V.shape[2] + 16)) * np.finfo(magnitude.dtype).eps
    for i in range(n):
        if magnitude[i] > 0:
            score[i] = lam * magnitude[i] + rest * magnitude[i] * magnitude[first] * margin
    score[first] = -np.inf
    top = block_maxima(score)
    out = np.empty(4, magnitude.dtype)
    work = 0.0
    for s in range(1, k):
        best = number(-np.inf)
        while True:
            i = highest(score, top)
            u = int(compared[i])
            if u == s:
                break
            duplication, value = worst[i], score[i]
            while u < s and value >= best:
                entries(K, V, i, chosen, u, s, out)
                duplication = max(duplication, largest(out))
                value = lam * magnitude[i] - rest * duplication
                u = min(u + 4, s)
                work += 1
            worst[i], compared[i] = duplication, u
            lower(score, top, i, value)
            if u == s:
                best = max(best, value)
        if work > effort:
            return s
        chosen[s] = i
        lower(score, top, i, number(-np.inf))
    return k


@kernel
def relevance_step(row: Any, worst: Any, magnitude: Any, lam: Any, score: Any) -> None:
    """Raise the largest duplications to those of a row of G, and renew the scores of tokens still in the running."""
    rest = magnitude.dtype.type(1) - lam
    out = -magnitude.dtype.type(np.inf)
    for i in range(len(row)):
        value = max(worst[i], row[i])
        worst[i] = value
        score[i] = lam * magnitude[i] - rest * value if score[i] > out else out


@kernel
def matrix_relevance(G: Any, magnitude: Any, lam: Any, chosen: Any) -> None:
    """Fill `chosen` from a whole Gram matrix. Time O(n k)."""
    out = -magnitude.dtype.type(np.inf)
    score = np.where(magnitude > 0, magnitude, out)
    worst = np.full(len(magnitude), out)
    for s in range(len(chosen)):
        j = first_equal(score, largest(score))
        chosen[s] = j
        score[j] = out
        relevance_step(G[j], worst, magnitude, lam, score)
