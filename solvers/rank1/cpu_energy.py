"""Greedy on the true gain of the rank-1 energy: first gains, a loop without a matrix and one on the whole matrix.

The gain F(i | S) = 2 sum_j G_ij - G_ii - 2 sum_{s in S} G_is falls with every token chosen where G >= 0, so that the
lazy loop applies; elsewhere every token is brought up to date in every step.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.lazy.compiled import kernel
from solvers.lazy.extremes import first_equal, largest
from solvers.lazy.gram import four
from solvers.lazy.queue import block_maxima, highest, lower
from solvers.lazy.tiles import tile_1x1, tile_1x4, tile_4x4
from solvers.rank1.cpu_updates import entries, entry


@kernel
def first_gains(K: Any, V: Any, live: Any, energies: Any) -> Any:
    """(n,) float64 F(i | {}) = 2 <dW_i, sum_j dW_j> - G_ii, -inf where not live. Time O(H n d d_v), memory O(d d_v)."""
    tokens = np.flatnonzero(live)
    gains = np.full(K.shape[1], -np.inf)
    for i in tokens:
        gains[i] = -np.float64(energies[i])
    for h in range(len(K)):
        keys, values = np.ascontiguousarray(K[h][tokens].T), np.ascontiguousarray(V[h][tokens].T)
        d, dv = len(keys), len(values)
        total = np.empty((d, dv), K.dtype)  # sum_j k_j^T v_j
        rows, columns = np.arange(d), np.arange(dv)
        for a in range(0, d, 4):
            for b in range(0, dv, 4):
                products = tile_4x4(keys, four(rows, a), values, four(columns, b), len(tokens))
                for p in range(min(4, d - a)):
                    for q in range(min(4, dv - b)):
                        total[a + p, b + q] = products[4 * p + q]
        seen = np.empty((1, d), K.dtype)  # (sum_j k_j^T v_j) v_i
        for i in tokens:
            for a in range(0, d, 4):
                products = tile_1x4(V[h], (i,), total, four(rows, a), dv)
                for p in range(min(4, d - a)):
                    seen[0, a + p] = products[p]
            gains[i] += 2 * np.float64(tile_1x1(K[h], (i,), seen, (0,), d)[0])
    return gains


@kernel
def lazy_energy(K: Any, V: Any, gains: Any, shrinking: bool, chosen: Any) -> None:
    """Fill `chosen`; `shrinking` says that no G_ij is negative. `gains` as from `first_gains`; it is used up.

    Time O(n k H (d + d_v)), far less where gains shrink; memory O(n).
    """
    n, k = len(gains), len(chosen)
    compared = np.zeros(n, np.int32)
    top = block_maxima(gains)
    out = np.empty(4, K.dtype)
    for s in range(k):
        best = -np.inf
        if not shrinking and s:
            for i in range(n):
                if gains[i] > -np.inf:
                    gains[i] -= 2 * np.float64(entry(K, V, i, chosen[s - 1]))
                    compared[i] = s
            top = block_maxima(gains)
        while True:
            i = highest(gains, top)
            u = int(compared[i])
            if u == s:
                break
            value = gains[i]
            while u < s and value >= best:
                entries(K, V, i, chosen, u, s, out)
                for q in range(min(4, s - u)):
                    value -= 2 * np.float64(max(out[q], K.dtype.type(0)))
                u = min(u + 4, s)
            compared[i] = u
            lower(gains, top, i, value)
            if u == s:
                best = max(best, value)
        chosen[s] = i
        lower(gains, top, i, -np.inf)


@kernel
def subtract_twice(gains: Any, row: Any) -> None:
    """gains -= 2 row."""
    for i in range(len(gains)):
        gains[i] -= 2 * np.float64(row[i])


@kernel
def matrix_energy(G: Any, live: Any, chosen: Any) -> None:
    """Fill `chosen` from a whole Gram matrix; live tokens only, at least as many as places. Time O(n^2 + n k)."""
    n = len(G)
    gains = np.full(n, -np.inf)
    for i in range(n):
        if live[i]:
            total = 0.0
            for j in range(n):
                if live[j]:
                    total += np.float64(G[i, j])
            gains[i] = 2 * total - np.float64(G[i, i])
    for s in range(len(chosen)):
        j = first_equal(gains, largest(gains))
        chosen[s] = j
        gains[j] = -np.inf
        subtract_twice(gains, G[j])
