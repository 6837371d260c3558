"""Greedy MAP by an incremental Cholesky factor on a whole kernel, four rows of the factor in one pass.

Nothing here may be reordered or fused: a column must be rounded alike wherever it stands, for equal tokens to tie.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.lazy.compiled import kernel
from solvers.lazy.extremes import first_equal, largest


@kernel
def subtract_four(out: Any, a: Any, b: Any, c: Any, d: Any, wa: Any, wb: Any, wc: Any, wd: Any) -> None:
    """out -= wa a + wb b + wc c + wd d."""
    for i in range(len(out)):
        out[i] -= wa * a[i] + wb * b[i] + wc * c[i] + wd * d[i]


@kernel
def subtract_one(out: Any, a: Any, wa: Any) -> None:
    """out -= wa a."""
    for i in range(len(out)):
        out[i] -= wa * a[i]


@kernel
def update(row: Any, scale: Any, rest: Any, weight: Any, pivot: Any, score: Any) -> None:
    """Finish a row of the factor and take its squares off what is left; tokens at or below `pivot` are out."""
    out = -rest.dtype.type(np.inf)
    for i in range(len(row)):
        entry = row[i] * scale
        row[i] = entry
        left = rest[i] - entry * entry
        rest[i] = left
        score[i] = weight[i] * left if left > pivot[i] and score[i] > out else out


@kernel
def matrix_cholesky(kernel_matrix: Any, start: Any, weight: Any, pivot: Any, chosen: Any) -> int:
    """Fill `chosen` with greedy picks of the kernel diag(w) A diag(w) for a matrix A of (n,) diagonal `start`.

    `weight` is w^2, 0 for tokens that are not candidates; a token counts while what is left of its diagonal exceeds
    `pivot`. Returns the number of picks. Time O(n k^2), memory O(n k).
    """
    n, k = len(kernel_matrix), len(chosen)
    rest = start.copy()
    none = -rest.dtype.type(np.inf)
    score = np.empty(n, rest.dtype)
    for i in range(n):
        score[i] = weight[i] * rest[i] if weight[i] > 0 and rest[i] > pivot[i] else none
    factor = np.empty((k, n), rest.dtype)
    for s in range(k):
        best = largest(score)
        if best == none:
            return s
        j = first_equal(score, best)
        chosen[s] = j
        score[j] = none
        row = factor[s]
        row[:] = kernel_matrix[j]
        u = 0
        while u + 4 <= s:
            a, b, c, d = factor[u], factor[u + 1], factor[u + 2], factor[u + 3]
            subtract_four(row, a, b, c, d, a[j], b[j], c[j], d[j])
            u += 4
        while u < s:
            subtract_one(row, factor[u], factor[u, j])
            u += 1
        update(row, rest.dtype.type(1) / np.sqrt(rest[j]), rest, weight, pivot, score)
    return k
