"""The most isolated token, argmax_i min_{j != i} 1 - cos(x_i, x_j), without the Gram matrix.

Also known as the top outlier or discord. Every token has a lower bound of its largest cosine. The one of the lowest
bound is compared with all others, outward from its own place, which raises their bounds too, and given up as soon as
its bound rises above the smallest largest cosine so far :cite:p:`bay2003mining`; when the lowest bound belongs to a
token that was compared with all others, that is the one. Neighbours in the raster give the first bounds: any would do,
these are good ones.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.lazy.compiled import kernel
from solvers.lazy.cosines import nearest
from solvers.lazy.queue import block_maxima, highest, lower
from solvers.lazy.sketch import bytes_1x1, interval, intervals


@kernel
def most_isolated(X: Any, live: Any, inverse: Any, sketched: Any, effort: float) -> int:
    """Its lowest index; -1 when the work exceeds `effort` full products, or bytes tell hardly any distances apart.

    Live tokens only, at least one. Time O(n^2 d) at worst, memory O(n) beside the sketch.
    """
    number = X.dtype.type
    tokens = np.flatnonzero(live)
    m = len(tokens)
    score = np.full(m, number(2))  # minus a lower bound of the largest cosine, by place among the live tokens
    grid = int(np.sqrt(m))
    for step in (1, grid):
        for a in range(m - step):
            i, j = tokens[a], tokens[a + step]
            least, _ = interval(sketched, i, j, bytes_1x1(sketched[0], (i,), (j,))[0])
            score[a], score[a + step] = min(score[a], -least), min(score[a + step], -least)
    work, scans, close = 0.5 * m, 0, 0
    top = block_maxima(score)
    low, high = np.empty(4, X.dtype), np.empty(4, X.dtype)
    ceiling, open_ones = np.empty(m, X.dtype), np.empty(m, np.int64)
    finished = np.zeros(m, np.bool_)
    best = number(2)  # the smallest largest cosine of a finished token
    blocks = (m + 3) // 4
    while True:
        a = highest(score, top)
        if finished[a]:
            return int(tokens[a])
        if work > effort or close > max(m, 2 * scans):  # of 4 pairs a scan
            return -1
        known, bound = number(-2), -score[a]
        for step in range(2 * blocks):
            if bound > best:
                break
            block = a // 4 + ((step + 1) // 2 if step % 2 else -step // 2)
            if block < 0 or block >= blocks:
                continue
            start = 4 * block
            intervals(sketched, tokens[a], tokens, start, m, low, high)
            work += 1
            scans += 1
            for q in range(min(4, m - start)):
                b = start + q
                ceiling[b] = high[q]
                if b != a:
                    if low[q] <= best < high[q]:
                        open_ones[0] = tokens[b]
                        low[q] = ceiling[b] = nearest(X, inverse, tokens[a], open_ones, 1)
                        known = max(known, low[q])
                        work += 1
                        close += 1
                    bound = max(bound, low[q])
                    if -low[q] < score[b]:
                        lower(score, top, b, -low[q])
        if bound <= best:
            finished[a] = True
            ceiling[a] = number(-2)
            count = 0
            for b in range(m):
                if ceiling[b] >= bound:
                    open_ones[count] = tokens[b]
                    count += 1
            if count:
                known = max(known, nearest(X, inverse, tokens[a], open_ones, count))
                work += count
            bound = known
            best = min(best, known)
        lower(score, top, a, -bound)
