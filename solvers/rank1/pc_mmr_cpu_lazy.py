"""Progressive chunked MMR that applies the penalties of earlier chunks only to tokens about to be chosen."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from solvers.lazy.compiled import kernel
from solvers.lazy.queue import block_maxima, highest, lower
from solvers.lazy.tiles import distances_1x4, tile_1x4

LOWEST = -1e300  # stands for log 0: below every other score, and no penalty changes it


@kernel
def redundancy(K: Any, V: Any, inverse: Any, i: int, members: Any, start: int, stop: int, enough: float) -> float:
    """max_j R_ij over j in members[start:stop], or some R_ij >= `enough`; `inverse` is (H, n) inverse value norms."""
    heads, last = len(K), stop - 1
    width = -1.0 / (2.0 * math.sqrt(K.shape[2]))
    worst = 0.0
    total, apart, products = np.empty(4), np.empty(4), np.empty(4)
    for a in range(start, stop, 4):
        j = (members[a], members[min(a + 1, last)], members[min(a + 2, last)], members[min(a + 3, last)])
        total[:] = 0
        for h in range(heads):
            apart[0], apart[1], apart[2], apart[3] = distances_1x4(K[h], (i,), K[h], j, K.shape[2])
            products[0], products[1], products[2], products[3] = tile_1x4(V[h], (i,), V[h], j, V.shape[2])
            for q in range(4):
                cosine = products[q] * inverse[h, i] * inverse[h, members[min(a + q, last)]]
                similarity = cosine * math.exp(apart[q] * width)
                total[q] += similarity * similarity
        for q in range(4):
            worst = max(worst, total[q] / heads)
        if worst >= enough:
            break
    return min(worst, 1.0)


@kernel
def lazy_chunks(
    K: Any, V: Any, inverse: Any, score: Any, chunk: int, growth: int, strength: float, floor: float, chosen: Any
) -> None:
    """Fill `chosen`. `score` is (n,) log magnitudes, -inf for tokens that are not candidates; it is used up.

    There are at least as many candidates as places. Time O(H n k (d + d_v)) at worst, memory O(n).
    """
    n, k = len(score), len(chosen)
    ends = np.zeros(k + 1, np.int64)  # of the rounds, as places in `chosen`
    rounds = 0
    while ends[rounds] < k:
        rounds += 1
        ends[rounds] = min(k, ends[rounds - 1] + chunk)
        chunk = min(chunk * growth, k)
    enough = (1.0 - floor) / strength if strength > 0 else np.inf
    seen = np.zeros(n, np.int32)  # rounds whose penalty is part of the score
    top = block_maxima(score)
    for r in range(rounds):
        for place in range(ends[r], ends[r + 1]):
            while True:
                i = highest(score, top)
                t = int(seen[i])
                if t == r:
                    break
                worst = redundancy(K, V, inverse, i, chosen, ends[t], ends[t + 1], enough)
                seen[i] = t + 1
                lower(score, top, i, score[i] + math.log(max(floor, 1.0 - strength * worst)))
            chosen[place] = i
            lower(score, top, i, -np.inf)
