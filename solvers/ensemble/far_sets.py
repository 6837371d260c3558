"""Kernels on the far graph at one threshold: every clique of size k, and a random walk over them."""

from __future__ import annotations

import math
import time

import numpy as np

from mmdp.checks import Int
from solvers.exact.max_min.bitsets import ZERO, Words, bit, full, leading_zeros, lowest, size
from solvers.exact.max_min.compiled import kernel
from solvers.exact.max_min.tabu import Short

SLICE = 200_000  # of an enumeration between looks at the clock, in words of 64 bits that its nodes hold


@kernel
def _few_colours(close: Words, candidates: Words, need: int) -> bool:
    """Whether fewer than `need` classes of pairwise close vertices cover the candidates: then there is no clique."""
    rest = candidates.copy()
    classes = 0
    for w in range(len(rest)):
        while rest[w] != ZERO:
            classes += 1
            if classes == need:
                return False
            free = rest.copy()
            v = w * 64 + np.int64(lowest(rest[w]))
            while v >= 0:
                rest[v >> 6] &= ~bit(v)
                v_next = -1
                for x in range(w, len(rest)):
                    free[x] &= close[v, x]
                    if v_next < 0 and free[x] != ZERO:
                        v_next = x * 64 + np.int64(lowest(free[x]))
                v = v_next
    return True


def all_cliques(
    far: Words, close: Words, k: int, most: int, max_nodes: int, deadline: float = math.inf
) -> tuple[Int, bool]:
    """((count, k) cliques of size k >= 1, whether these are all of them).

    Stops once there would be more than `most`, after `max_nodes` nodes, or at the deadline. Depth first, vertices of
    least degree (the last ones of a `FarGraph`) first, a branch being cut where a greedy colouring needs fewer colours
    than vertices are missing.
    """
    m, width = far.shape
    found, chosen = np.empty((most, k), np.int64), np.empty(k, np.int64)
    candidates = np.zeros((k + 1, width), np.uint64)
    candidates[0] = full(m)
    depth = count = done = 0
    while depth >= 0 and done < max_nodes and time.perf_counter() < deadline:
        nodes = min(max_nodes - done, max(1, SLICE // max(1, width)))
        depth, count = _more_cliques(far, close, found, chosen, candidates, depth, count, nodes)
        done += nodes
        if count > most:
            return found, False
    return found[:count], depth < 0


@kernel
def _more_cliques(
    far: Words, close: Words, found: Int, chosen: Int, candidates: Words, depth: int, count: int, nodes: int
) -> tuple[int, int]:
    """Go on with the search from `depth`, with `count` cliques in `found`; where it stands after so many nodes.

    A depth of -1 is its end, a count beyond the length of `found` that there are more.
    """
    most, k = found.shape
    width = far.shape[1]
    while depth >= 0 and nodes:
        v = -1
        if size(candidates[depth]) >= k - depth:
            for w in range(width - 1, -1, -1):
                if candidates[depth, w] != ZERO:
                    v = w * 64 + 63 - np.int64(leading_zeros(candidates[depth, w]))
                    break
        if v < 0:
            depth -= 1
            continue
        nodes -= 1
        candidates[depth, v >> 6] &= ~bit(v)
        chosen[depth] = v
        if depth == k - 1:
            if count == most:
                return depth, most + 1
            found[count] = chosen
            count += 1
            continue
        for w in range(width):
            candidates[depth + 1, w] = candidates[depth, w] & far[v, w]
        if not _few_colours(close, candidates[depth + 1], k - depth - 1):
            depth += 1
    return depth, count


@kernel
def wander(rows: Short, tokens: Int, leaving: Int, entering: Int) -> int:
    """Walk, in place, from a set without conflicts; swaps made.

    Step s proposes to put token entering[s] in the place of tokens[leaving[s]]; it is made when the set stays without
    conflicts. Proposals are symmetric, so uniform ones have the uniform distribution on the sets that such swaps
    connect as their stationary one.
    """
    n = len(rows)
    conflicts = np.zeros(n, np.int64)
    inside = np.zeros(n, np.bool_)
    for i in tokens:
        inside[i] = True
        for j in range(n):
            conflicts[j] += rows[i, j]
    swaps = 0
    for s in range(len(leaving)):
        old, new = tokens[leaving[s]], entering[s]
        if inside[new] or conflicts[new] != rows[old, new]:
            continue
        tokens[leaving[s]] = new
        inside[old], inside[new] = False, True
        for j in range(n):
            conflicts[j] += np.int64(rows[new, j]) - np.int64(rows[old, j])
        swaps += 1
    return swaps
