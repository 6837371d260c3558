"""Greedy MAP by an incremental Cholesky factor whose rows are extended only for tokens about to be chosen.

The factor is that of the cosines: row i of it, once complete, holds the coordinates of the unit vector of token i in an
orthonormal basis of the chosen ones, and `rest` what they leave unexplained. The conditional variance r_i^2 rest_i only
falls, so an unfinished row gives an upper bound. Rows fill from left to right, which is how lazy and fast greedy fit
together :cite:p:`hemmi2022lazy`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.greedy_map.naive import PIVOT
from solvers.lazy.compiled import kernel, reduction
from solvers.lazy.queue import block_maxima, highest, lower
from solvers.lazy.tiles import tile_1x4


@reduction
def inner(a: Any, b: Any) -> Any:
    """<a, b> of two vectors of one length, the same for equal vectors."""
    total = a.dtype.type(0)
    for z in range(len(a)):
        total += a[z] * b[z]
    return total


@kernel
def lazy_cholesky(X: Any, inverse: Any, weight: Any, chosen: Any, effort: float) -> tuple[int, bool]:
    """Fill `chosen` with greedy picks; return how many there are, and whether that is all there are to be had.

    `weight` is (n,) squared relevance, 0 for tokens that are not candidates. It stops early when no token passes the
    pivot, or when the work exceeds `effort` products. Time O(n k (d + k)) at worst, memory O(n k).
    """
    n, k = len(X), len(chosen)
    number = X.dtype.type
    factor = np.empty((n, k), X.dtype)
    length = np.zeros(n, np.int32)  # how far each row of the factor is filled
    rest = np.ones(n, X.dtype)
    pivots = np.empty(k, X.dtype)
    score = np.where(weight > 0, weight, number(-np.inf))
    top = block_maxima(score)
    work = 0.0
    for s in range(k):
        best = number(-np.inf)
        while True:
            i = highest(score, top)
            if score[i] == -np.inf:
                return s, True
            u = int(length[i])
            if u == s:
                break
            left, value = rest[i], score[i]
            row = factor[i]
            while u < s and value >= best:
                last = s - 1
                j = (chosen[u], chosen[min(u + 1, last)], chosen[min(u + 2, last)], chosen[min(u + 3, last)])
                products = tile_1x4(X, (i,), X, j)
                for q in range(min(4, s - u)):
                    cosine = products[q] * (inverse[i] * inverse[j[q]])
                    entry = (cosine - inner(row[: u + q], factor[j[q]][: u + q])) * pivots[u + q]
                    row[u + q] = entry
                    left -= entry * entry
                u = min(u + 4, s)
                work += 1
                value = weight[i] * left if left > number(PIVOT) else number(-np.inf)
            rest[i], length[i] = left, u
            lower(score, top, i, value)
            if u == s:
                best = max(best, value)
        if work > effort:
            return s, False
        chosen[s] = i
        pivots[s] = number(1) / np.sqrt(rest[i])
        lower(score, top, i, number(-np.inf))
    return k, True
