"""The most isolated token, argmax_i min_{j != i} 1 - cos(x_i, x_j), without the Gram matrix.

Also known as the top outlier or discord. Every token has a lower bound of its largest cosine; tokens are finished in
the order of these bounds, and one is given up as soon as its bound rises above the smallest largest cosine so far
:cite:p:`bay2003mining`. Neighbours in the raster give the first bounds: any would do, these are good ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.lazy.compiled import kernel
from solvers.lazy.cosines import nearest
from solvers.lazy.sketch import bytes_1x1, intervals, spread


@kernel
def most_isolated(X: Any, live: Any, inverse: Any, sketched: Any, effort: float) -> tuple[int, float]:
    """(its lowest index, the work done); (-1, work) when the work exceeds `effort` full products.

    Live tokens only, at least one; a token alone is isolated.
    """
    Q, scales, offsets, errors = sketched
    number = X.dtype.type
    tokens = np.flatnonzero(live)
    m = len(tokens)
    floor = np.full(m, number(-2))  # lower bounds of the largest cosine, by place among the live tokens
    low, high = np.empty(4, X.dtype), np.empty(4, X.dtype)
    grid = int(np.sqrt(m))
    for step in (1, grid):
        for a in range(m - step):
            i, j = tokens[a], tokens[a + step]
            product = bytes_1x1(Q, (i,), (j,))[0] - offsets[j]
            least = scales[i] * scales[j] * number(product) - spread(errors, i, j)
            floor[a] = max(floor[a], least)
            floor[a + step] = max(floor[a + step], least)
    work = 0.5 * m
    ceiling = np.empty(m, X.dtype)
    unresolved = np.empty(m, np.int64)
    winner, best = tokens[0], number(2)
    blocks = (m + 3) // 4
    for a in np.argsort(floor):
        if work > effort:
            return -1, work
        known = number(-2)
        home = a // 4
        bound = floor[a]
        block = home
        for step in range(2 * blocks):
            if bound > best:
                break
            block = home + (step + 1) // 2 if step % 2 else home - step // 2
            if block < 0 or block >= blocks:
                continue
            start = 4 * block
            intervals(sketched, tokens[a], tokens, start, m, low, high)
            work += 1
            for q in range(min(4, m - start)):
                b = start + q
                ceiling[b] = high[q]
                if b != a:
                    if best < high[q] and low[q] <= best:
                        unresolved[0] = tokens[b]
                        exact = nearest(X, inverse, tokens[a], unresolved, 1)
                        work += 1
                        known = max(known, exact)
                        low[q] = ceiling[b] = exact
                    bound = max(bound, low[q])
                    floor[b] = max(floor[b], low[q])
        floor[a] = max(floor[a], bound)
        if bound > best:
            continue
        ceiling[a] = number(-2)
        count = 0
        for b in range(m):
            if ceiling[b] >= bound:
                unresolved[count] = tokens[b]
                count += 1
        if count:
            known = max(known, nearest(X, inverse, tokens[a], unresolved, count))
            work += count
        floor[a] = known
        if known < best or (known == best and tokens[a] < winner):
            winner, best = tokens[a], known
    return winner, work
