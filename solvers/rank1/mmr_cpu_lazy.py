"""Maximal marginal relevance that compares a token with the chosen ones only when it is about to be chosen itself."""

from __future__ import annotations

from typing import Any

import numpy as np

from solvers.lazy.choice import STRIDE, work_left
from solvers.lazy.compiled import inlined, kernel
from solvers.lazy.extremes import first_equal, largest
from solvers.lazy.groups import WIDE, block_of, gather, keep_best, members, next_group, products, sort_by_block


@inlined
def compare(
    K: Any, V: Any, chosen: Any, tokens: Any, count: int, block: int, size: int, worst: Any, keys: Any, values: Any
) -> None:
    """Raise the largest duplications of up to four tokens to those with the block of the first `size` chosen ones."""
    columns = min(WIDE, size - WIDE * block)
    i, j = members(tokens, count), block_of(chosen, block, size)
    if len(K) == 1:
        products(K[0], i, count, K[0], j, columns, K.shape[2], keys)
        products(V[0], i, count, V[0], j, columns, V.shape[2], values)
        keys *= values
    else:
        total = np.zeros_like(keys)
        for h in range(len(K)):
            products(K[h], i, count, K[h], j, columns, K.shape[2], keys)
            products(V[h], i, count, V[h], j, columns, V.shape[2], values)
            total += keys * values
        keys[:] = total
    for a in range(count):
        for q in range(columns):
            worst[tokens[a]] = max(worst[tokens[a]], keys[WIDE * a + q])


@kernel
def lazy_relevance(K: Any, V: Any, magnitude: Any, lam: Any, chosen: Any, effort: float) -> int:
    """Fill `chosen` and return how far it came; it stops early when what is left exceeds `effort` tiles of 16 entries.

    Tokens of magnitude 0 are not candidates; there are at least as many others as places. The first bound is
    Cauchy-Schwarz, G_ij >= -||dW_i|| ||dW_j||, widened by what rounding can do. Time O(n k H (d + d_v)) at worst,
    memory O(n).
    """
    n, k = len(magnitude), len(chosen)
    number = magnitude.dtype.type
    none, rest = number(-np.inf), number(1) - lam
    length = np.zeros(n, np.int32)  # the number of chosen tokens it has been compared with
    worst = np.full(n, none)  # largest duplication among these
    score = np.where(magnitude > 0, magnitude, none)
    chosen[0] = first_equal(score, largest(score))
    margin = number(1) + number(8 * (K.shape[2] + V.shape[2] + 16)) * np.finfo(magnitude.dtype).eps
    for i in range(n):
        if magnitude[i] > 0:
            score[i] = lam * magnitude[i] + rest * magnitude[i] * magnitude[chosen[0]] * margin
    score[chosen[0]] = none
    stale, ordered, places = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(k // WIDE + 2, np.int64)
    group, keys, values = np.empty(4, np.int64), np.zeros(4 * WIDE, K.dtype), np.zeros(4 * WIDE, K.dtype)
    close, held = np.empty(4, np.int64), 0  # the best tokens that are up to date beside the leader
    work = worked = 0.0
    for s in range(1, k):
        if held:
            compare(K, V, chosen, close, held, (s - 1) // WIDE, s, worst, keys, values)
            work += 1
            leader = close[0]
            for a in range(held):
                i = close[a]
                length[i] = s
                score[i] = lam * magnitude[i] - rest * worst[i]
                if score[i] > score[leader] or (score[i] == score[leader] and i < leader):
                    leader = i
        else:
            leader = first_equal(score, largest(score))
            group[0] = leader
            while length[leader] < s:
                block = length[leader] // WIDE
                compare(K, V, chosen, group, 1, block, s, worst, keys, values)
                length[leader] = min(s, WIDE * block + WIDE)
                work += 0.5
            score[leader] = lam * magnitude[leader] - rest * worst[leader]
        others, held = held, 0
        for a in range(others):
            if close[a] != leader:
                held = keep_best(close, held, close[a], score)
        while True:
            count = gather(score, length, s, score[leader], stale)
            if not count:
                break
            sort_by_block(stale, count, length, places, ordered)
            a = 0
            while a < count:
                block = length[ordered[a]] // WIDE
                size, a = next_group(ordered, a, count, length, score, score[leader], group)
                wanted = 4 if size else 0
                while wanted == 4:  # a full tile of rows that are in the cache goes on
                    compare(K, V, chosen, group, size, block, s, worst, keys, values)
                    work += 1
                    block += 1
                    wanted = 0
                    for g in range(size):
                        i = group[g]
                        length[i] = min(s, WIDE * block)
                        score[i] = lam * magnitude[i] - rest * worst[i]
                        if length[i] < s:
                            wanted += score[i] >= score[leader]
                        elif score[i] > score[leader] or (score[i] == score[leader] and i < leader):
                            held = keep_best(close, held, leader, score)
                            leader = i
                        else:
                            held = keep_best(close, held, i, score)
        if s % STRIDE == 0:
            if work_left(work, worked, s, k, n) > effort:
                return s
            worked = work
        chosen[s] = leader
        score[leader] = none
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
