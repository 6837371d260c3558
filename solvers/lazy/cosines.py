"""Cosines of single pairs of rows, the same whichever function computes them."""

from __future__ import annotations

from typing import Any

from mmdp.ground_set import SNAP
from solvers.lazy.compiled import kernel
from solvers.lazy.tiles import tile_1x1, tile_1x4


@kernel
def nearest(X: Any, inverse: Any, i: int, others: Any, count: int) -> Any:
    """The largest cosine of row i and rows others[:count], count >= 1."""
    best = X.dtype.type(-2)
    for a in range(0, count - 1, 4):
        j = (others[a], others[min(a + 1, count - 1)], others[min(a + 2, count - 1)], others[min(a + 3, count - 1)])
        p0, p1, p2, p3 = tile_1x4(X, (i,), X, j, X.shape[1])
        p0, p1 = p0 * (inverse[i] * inverse[j[0]]), p1 * (inverse[i] * inverse[j[1]])
        p2, p3 = p2 * (inverse[i] * inverse[j[2]]), p3 * (inverse[i] * inverse[j[3]])
        best = max(best, max(max(p0, p1), max(p2, p3)))
    if count % 4 == 1:
        j0 = others[count - 1]
        best = max(best, tile_1x1(X, (i,), X, (j0,), X.shape[1])[0] * (inverse[i] * inverse[j0]))
    one = X.dtype.type(1)
    return one if one - best < X.dtype.type(SNAP) else best
