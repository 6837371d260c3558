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
from solvers.lazy.choice import STRIDE, work_left
from solvers.lazy.compiled import inlined, kernel
from solvers.lazy.extremes import first_equal, largest
from solvers.lazy.groups import WIDE, block_of, gather, keep_best, members, next_group, products, sort_by_block


@inlined
def extend(
    X: Any,
    inverse: Any,
    factor: Any,
    length: Any,
    rest: Any,
    chosen: Any,
    corners: Any,
    tokens: Any,
    count: int,
    block: int,
    size: int,
    out: Any,
    before: Any,
) -> None:
    """Fill the block of the rows of up to four tokens as far as the first `size` chosen tokens go."""
    start = WIDE * block
    columns = min(WIDE, size - start)
    i, j = members(tokens, count), block_of(chosen, block, size)
    products(X, i, count, X, j, columns, X.shape[1], out)
    if start:
        products(factor, i, count, factor, j, columns, start, before)
    else:
        before[:] = 0
    t, zero = corners[block], X.dtype.type(0)
    a0, a1, a2, a3 = inverse[j[0]], inverse[j[1]], inverse[j[2]], inverse[j[3]]
    for a in range(count):
        token = tokens[a]
        row, own = factor[token], inverse[token]
        x0 = out[4 * a] * (own * a0) - before[4 * a]
        x1 = out[4 * a + 1] * (own * a1) - before[4 * a + 1]
        x2 = out[4 * a + 2] * (own * a2) - before[4 * a + 2]
        x3 = out[4 * a + 3] * (own * a3) - before[4 * a + 3]
        e0 = t[0] * x0
        e1 = t[4] * x0 + t[5] * x1
        e2 = t[8] * x0 + t[9] * x1 + t[10] * x2
        e3 = t[12] * x0 + t[13] * x1 + t[14] * x2 + t[15] * x3
        row[start], row[start + 1], row[start + 2], row[start + 3] = e0, e1, e2, e3
        first, left = length[token] - start, rest[token]
        left -= e0 * e0 if first == 0 else zero
        left -= e1 * e1 if first <= 1 < columns else zero
        left -= e2 * e2 if first <= 2 < columns else zero
        left -= e3 * e3 if first <= 3 < columns else zero
        rest[token], length[token] = left, start + columns


@kernel
def turn_corner(row: Any, place: int, pivot: Any, corner: Any) -> None:
    """Add the row of a chosen token to the inverse of the triangle that its block of the factor has on the diagonal."""
    q, start = place % WIDE, place // WIDE * WIDE
    corner[WIDE * q + q] = pivot
    for p in range(q):
        total = row.dtype.type(0)
        for r in range(p, q):
            total += row[start + r] * corner[WIDE * r + p]
        corner[WIDE * q + p] = -pivot * total


@kernel
def lazy_cholesky(X: Any, inverse: Any, weight: Any, chosen: Any, effort: float) -> tuple[int, bool]:
    """Fill `chosen` with greedy picks; return how many there are, and whether that is all there are to be had.

    `weight` is (n,) squared relevance, 0 for tokens that are not candidates. It stops early when no token passes the
    pivot, or when what it will take from there exceeds `effort` tiles of 16 products. Time O(n k (d + k)) at worst,
    memory O(n k).
    """
    n, k = len(X), len(chosen)
    number = X.dtype.type
    none = number(-np.inf)
    factor = np.empty((n, k + WIDE), X.dtype)
    length = np.zeros(n, np.int32)  # how far each row of the factor is filled
    rest = np.ones(n, X.dtype)
    corners = np.zeros((k // WIDE + 1, WIDE * WIDE), X.dtype)
    score = np.where(weight > 0, weight, none)
    stale, ordered, places = np.empty(n, np.int64), np.empty(n, np.int64), np.empty(k // WIDE + 2, np.int64)
    group, out, before = np.empty(4, np.int64), np.empty(4 * WIDE, X.dtype), np.empty(4 * WIDE, X.dtype)
    close, held = np.empty(4, np.int64), 0  # the best tokens that are up to date beside the leader
    work = worked = 0.0
    for s in range(k):
        leader = -1
        if held:
            extend(X, inverse, factor, length, rest, chosen, corners, close, held, (s - 1) // WIDE, s, out, before)
            work += 1
            for a in range(held):
                i = close[a]
                score[i] = weight[i] * rest[i] if rest[i] > number(PIVOT) else none
                if leader < 0 or score[i] > score[leader] or (score[i] == score[leader] and i < leader):
                    leader = i
        if leader < 0 or score[leader] == none:
            leader = first_equal(score, largest(score))
            group[0] = leader
            while length[leader] < s and score[leader] > none:
                block = length[leader] // WIDE
                extend(X, inverse, factor, length, rest, chosen, corners, group, 1, block, s, out, before)
                score[leader] = weight[leader] * rest[leader] if rest[leader] > number(PIVOT) else none
                work += 0.5
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
                    extend(X, inverse, factor, length, rest, chosen, corners, group, size, block, s, out, before)
                    work += 1
                    block += 1
                    wanted = 0
                    for g in range(size):
                        i = group[g]
                        score[i] = weight[i] * rest[i] if rest[i] > number(PIVOT) else none
                        if length[i] < s:
                            wanted += score[i] >= score[leader]
                        elif score[i] > score[leader] or (score[i] == score[leader] and i < leader):
                            held = keep_best(close, held, leader, score)
                            leader = i
                        else:
                            held = keep_best(close, held, i, score)
        if score[leader] == none:
            return s, True
        if s and s % STRIDE == 0:
            if work_left(work, worked, s, k, n) > effort:
                return s, False
            worked = work
        chosen[s] = leader
        turn_corner(factor[leader], s, number(1) / np.sqrt(rest[leader]), corners[s // WIDE])
        score[leader] = none
    return k, True
