"""Colouring the far graph: a clique has at most one vertex per colour, so fewer than k colours refute a threshold."""

from __future__ import annotations

import numpy as np

from mmdp.checks import Float, Int
from solvers.exact.max_min.bitsets import ONE, Words, bit
from solvers.exact.max_min.compiled import kernel
from solvers.exact.max_min.far_graph import FarGraph, far_graph


@kernel
def first_fit(far: Words, sequence: Int) -> tuple[int, Int]:
    """Greedy colouring in the given sequence: (number of colours, colour of each vertex)."""
    m, width = far.shape
    classes = np.zeros((m, width), np.uint64)
    colour = np.empty(m, np.int64)
    used = 0
    for v in sequence:
        c = 0
        while c < used:
            free = True
            for w in range(width):
                if classes[c, w] & far[v, w]:
                    free = False
                    break
            if free:
                break
            c += 1
        colour[v] = c
        used = max(used, c + 1)
        classes[c, v >> 6] |= bit(v)
    return used, colour


@kernel
def iterated_greedy(far: Words, sweeps: int, enough: int) -> tuple[int, Int]:
    """First-fit again and again, each time class by class in a new order of the classes; never gets worse.

    The classes are taken by falling size, reversed, or shuffled, in turn. Stops early at `enough` colours.
    Returns (number of colours, colour of each vertex).
    """
    m = len(far)
    used, colour = first_fit(far, np.arange(m))
    best, best_colour = used, colour
    state = np.uint64(88172645463325252)
    for sweep in range(sweeps):
        if best <= enough:
            break
        key = np.zeros(used, np.int64)
        for v in range(m):
            key[colour[v]] -= 1
        for c in range(used):
            if sweep % 3 == 1:
                key[c] = -c
            elif sweep % 3 == 2:
                state ^= state << np.uint64(13)
                state ^= state >> np.uint64(7)
                state ^= state << np.uint64(17)
                key[c] = np.int64(state >> ONE)
        rank = np.empty(used, np.int64)
        rank[np.argsort(key, kind="mergesort")] = np.arange(used)
        used, colour = first_fit(far, np.argsort(rank[colour], kind="mergesort"))
        if used <= best:
            best, best_colour = used, colour
    return best, best_colour


def class_order(colour: Int) -> Int:
    """The vertices class by class, the classes by their first vertex: first-fit in this order rebuilds the classes."""
    first = np.full(int(colour.max(initial=-1)) + 1, len(colour))
    np.minimum.at(first, colour, np.arange(len(colour)))
    return np.lexsort((np.arange(len(colour)), first[colour]))


def colours(graph: FarGraph, sweeps: int = 24, enough: int = 0) -> tuple[int, Int]:
    """A number of colours that suffices for the far graph, and the vertices class by class; see `iterated_greedy`."""
    used, colour = iterated_greedy(graph.far, sweeps, enough)
    return int(used), class_order(colour)


def colouring_bound(distances: Float, k: int) -> float:
    """An upper bound on max over |S| = k >= 2 of the min distance: the largest distance that colouring cannot refute.

    Bisection over the distinct distances; a threshold t is refuted when the (k-1)-core of the far graph at t takes
    fewer than k colours. O(log n) colourings; a gap of 10 to 30 % is usual on hard inputs.

    Examples
    --------
    >>> import numpy as np
    >>> points = np.array([0.0, 1.0, 2.0, 10.0])
    >>> float(colouring_bound(abs(points[:, None] - points), 2))
    10.0
    """
    levels = np.unique(distances[np.triu_indices(len(distances), 1)])
    low, high = 0, len(levels)  # the optimum is at least the smallest distance
    while high - low > 1:
        middle = (low + high) // 2
        graph = far_graph(distances, levels[middle], k)
        if len(graph.tokens) < k or colours(graph, enough=k - 1)[0] < k:
            high = middle
        else:
            low = middle
    return float(levels[low])
