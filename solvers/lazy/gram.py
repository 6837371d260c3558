"""The whole Gram matrix in register tiles, for budgets and data where laziness does not pay."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.lazy.compiled import kernel
from solvers.lazy.groups import products

CACHE = 1 << 19  # bytes of rows that stay in the second-level cache while all others pass by


@kernel
def four(tokens: Any, a: int) -> tuple[int, int, int, int]:
    """Four tokens from place a on, the last one again where there are fewer."""
    m = len(tokens) - 1
    return tokens[a], tokens[min(a + 1, m)], tokens[min(a + 2, m)], tokens[min(a + 3, m)]


@kernel
def gram(X: Any, live: Any) -> Any:
    """(n, n) inner products of the live rows of an (n, d) matrix; other entries are 0. Time O(n^2 d / 2).

    Rows that are not live are never read.
    """
    tokens = np.flatnonzero(live)
    m = len(tokens)
    G = np.zeros((len(X), len(X)), X.dtype)
    out = np.empty(16, X.dtype)
    step = 4 * max(1, CACHE // (4 * X.shape[1] * X.itemsize))
    for start in range(0, m, step):
        stop = min(m, start + step)
        for a in range(0, stop, 4):
            i = four(tokens, a)
            for b in range(max(start, a), stop, 4):
                j = four(tokens, b)
                products(X, i, 4, X, j, 4, X.shape[1], out)
                for p in range(min(4, m - a)):
                    for q in range(min(4, m - b)):
                        G[tokens[a + p], tokens[b + q]] = out[4 * p + q]
                        G[tokens[b + q], tokens[a + p]] = out[4 * p + q]
    return G


@kernel
def cosines(X: Any, live: Any, inverse: Any) -> Any:
    """(n, n) cosines of the live rows, whose norms are 1 / inverse; 1 on their diagonal, 0 wherever one is not live."""
    G = gram(X, live)
    for i in range(len(G)):
        row = G[i]
        for j in range(len(row)):
            row[j] *= inverse[i] * inverse[j]
        if live[i]:
            row[i] = X.dtype.type(1)
    return G
