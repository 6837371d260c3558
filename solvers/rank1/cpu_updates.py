"""Rank-1 updates dW_i = sum_h k_i^h v_i^h as the compiled solvers see them, and the entries of their Gram matrix."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.batching import Array, Batch, Sample
from solvers.lazy.compiled import kernel
from solvers.lazy.gram import four
from solvers.lazy.groups import products
from solvers.lazy.rows import square
from solvers.lazy.tiles import tile_1x1, tile_1x4

LEAST, MOST = 1e-30, 1e30  # of G_ii and squared norms, between which float32 loses nothing


def updates(batch: Batch, sample: Sample) -> tuple[Array, Array, Array]:
    """((H, n, d) keys, (H, n, d_v) values, (n,) G_ii = sum_h ||k_i^h||^2 ||v_i^h||^2, 0 for padding).

    float32, or float64 for float64 input and for numbers whose products do not fit float32. ValueError for a value
    that is not finite.
    """
    wide = any(sample.arrays[name].dtype.itemsize >= 8 for name in ("K", "V"))
    for dtype in (np.float64,) if wide else (np.float32, np.float64):
        K, V = (sample.floats(name, dtype) for name in ("K", "V"))
        K, V = (part if part.ndim == 3 else part[None] for part in (K, V))
        energies, fine = own_energies(K, V, sample.valid)
        if fine:
            break
        batch.refuse_bad_tokens()
    return K, V, energies


@kernel
def own_energies(K: Any, V: Any, valid: Any) -> Any:
    """((n,) G_ii; whether every factor of them that is not 0 is between 1e-30 and 1e30)."""
    heads, n = K.shape[:2]
    total = np.zeros(n, K.dtype)
    fine = True
    for h in range(heads):
        for i in range(n):
            if valid[i]:
                key, value = square(K[h, i]), square(V[h, i])
                for size, row in ((key, K[h, i]), (value, V[h, i])):
                    fine &= (size >= LEAST and size <= MOST) or not np.any(row)
                product = key * value
                fine &= product <= MOST and (product >= LEAST or key == 0 or value == 0)
                total[i] += product
    return total, fine


@kernel
def entry(K: Any, V: Any, i: int, j: int) -> Any:
    """G_ij."""
    total = K.dtype.type(0)
    for h in range(len(K)):
        total += tile_1x1(K[h], (i,), K[h], (j,), K.shape[2])[0] * tile_1x1(V[h], (i,), V[h], (j,), V.shape[2])[0]
    return total


@kernel
def entries(K: Any, V: Any, i: int, others: Any, start: int, stop: int, out: Any) -> None:
    """Write G_ij for j in others[start:stop], at most four of them, to out[:4]."""
    last = stop - 1
    j = (others[start], others[min(start + 1, last)], others[min(start + 2, last)], others[min(start + 3, last)])
    out[:4] = 0
    for h in range(len(K)):
        k0, k1, k2, k3 = tile_1x4(K[h], (i,), K[h], j, K.shape[2])
        v0, v1, v2, v3 = tile_1x4(V[h], (i,), V[h], j, V.shape[2])
        out[0] += k0 * v0
        out[1] += k1 * v1
        out[2] += k2 * v2
        out[3] += k3 * v3


@kernel
def gram_of_updates(K: Any, V: Any, live: Any) -> Any:
    """(n, n) matrix G; 0 wherever a token is not live. Time O(H n^2 (d + d_v) / 2)."""
    tokens = np.flatnonzero(live)
    m = len(tokens)
    G = np.zeros((K.shape[1], K.shape[1]), K.dtype)
    keys, values = np.empty(16, K.dtype), np.empty(16, K.dtype)
    for h in range(len(K)):
        for a in range(0, m, 4):
            i = four(tokens, a)
            for b in range(a, m, 4):
                j = four(tokens, b)
                products(K[h], i, 4, K[h], j, 4, K.shape[2], keys)
                products(V[h], i, 4, V[h], j, 4, V.shape[2], values)
                for p in range(min(4, m - a)):
                    for q in range(min(4, m - b)):
                        G[tokens[a + p], tokens[b + q]] += keys[4 * p + q] * values[4 * p + q]
    for a in range(m):
        for b in range(a):
            G[tokens[a], tokens[b]] = G[tokens[b], tokens[a]]
    return G
