"""The far graph at a threshold t: tokens i and j are joined when d_ij >= t, so k tokens at least t apart are a k-clique."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from mmdp.checks import Float, Int
from solvers.exact.max_min.bitsets import Words, bit
from solvers.exact.max_min.compiled import kernel


class FarGraph(NamedTuple):
    """The far graph on some tokens, in the order in which the clique search sees them.

    Attributes
    ----------
    tokens : (m,) the token behind each vertex.
    far : (m, w) rows of 64-bit words, the neighbours of each vertex.
    close : (m, w) the non-neighbours, without the vertex itself.
    """

    tokens: Int
    far: Words
    close: Words


@kernel
def core_order(distances: Float, threshold: float, k: int) -> Int:
    """The tokens that can be in a k-clique as far as degrees tell, in minimum-width order.

    Dropping vertices with fewer than k - 1 neighbours again and again leaves the (k-1)-core; its order puts last the
    vertex of least degree, before it the one of least degree in the rest, and so on. O(n^2).
    """
    n = len(distances)
    degree = np.zeros(n, np.int64)
    alive = np.ones(n, np.bool_)
    for i in range(n):
        count = 0
        for j in range(n):
            count += distances[i, j] >= threshold
        degree[i] = count - (distances[i, i] >= threshold)
    dropped = np.empty(n, np.int64)
    waiting = 0
    size = n
    for i in range(n):
        if degree[i] < k - 1:
            alive[i] = False
            dropped[waiting] = i
            waiting += 1
            size -= 1
    while waiting > 0:
        waiting -= 1
        i = dropped[waiting]
        for j in range(n):
            if alive[j] and distances[i, j] >= threshold:
                degree[j] -= 1
                if degree[j] < k - 1:
                    alive[j] = False
                    dropped[waiting] = j
                    waiting += 1
                    size -= 1
    order = np.empty(size, np.int64)
    for place in range(size - 1, -1, -1):
        least = -1
        for i in range(n):
            if alive[i] and (least < 0 or degree[i] < degree[least]):
                least = i
        order[place] = least
        alive[least] = False
        for j in range(n):
            if alive[j] and distances[least, j] >= threshold:
                degree[j] -= 1
    return order


@kernel
def adjacency(distances: Float, threshold: float, order: Int) -> tuple[Words, Words]:
    """Rows `far` and `close` of `FarGraph` for the tokens in `order`."""
    m = len(order)
    far = np.zeros((m, (m + 63) // 64), np.uint64)
    close = np.zeros((m, (m + 63) // 64), np.uint64)
    for a in range(m):
        i = order[a]
        for b in range(m):
            if distances[i, order[b]] >= threshold:
                far[a, b >> 6] |= bit(b)
            else:
                close[a, b >> 6] |= bit(b)
        far[a, a >> 6] &= ~bit(a)
        close[a, a >> 6] &= ~bit(a)
    return far, close


def far_graph(distances: Float, threshold: float, k: int) -> FarGraph:
    """The (k-1)-core of the far graph, in minimum-width order."""
    order = core_order(distances, threshold, k)
    return FarGraph(order, *adjacency(distances, threshold, order))


def reordered(graph: FarGraph, order: Int) -> FarGraph:
    """The same graph with its vertices in another order."""
    return FarGraph(graph.tokens[order], _permuted(graph.far, order), _permuted(graph.close, order))


@kernel
def _permuted(rows: Words, order: Int) -> Words:
    m = len(order)
    out = np.zeros_like(rows)
    for a in range(m):
        for b in range(m):
            v = order[b]
            if rows[order[a], v >> 6] & bit(v):
                out[a, b >> 6] |= bit(b)
    return out
