"""Best-improvement 1-swap for max-min diversity, between runs of a tabu search on thresholds."""

from __future__ import annotations

from functools import cached_property

import numpy as np

from mmdp import MaxMinDiversity
from mmdp.checks import Float, Int
from solvers.answer import Request
from solvers.farthest_first.naive import traverse
from solvers.local_search.threshold_tabu_naive import raise_threshold

MOVES, MOST_TURNS = 500, 7


class MaxMinSearch:
    """Swaps that raise (least distance, minus the number of pairs at it), compared lexicographically.

    Only a swap that removes an end of a closest pair can do so. One step costs O(c k n) for c such ends, usually two.
    """

    def __init__(self, problem: MaxMinDiversity) -> None:
        self.problem = problem
        self.distances = problem.distances

    @cached_property
    def levels(self) -> Float:
        """The distinct distances, ascending."""
        return np.unique(self.distances[np.triu_indices(self.problem.n, 1)])

    def greedy(self) -> Int:
        """Farthest-first traversal."""
        return traverse(self.distances, self.problem.k, last=self.problem.ground.zero_rows)

    def explore(self, subset: Int, turn: int, rng: np.random.Generator, request: Request) -> Int:
        """Tabu search from here, with 2^turn times 500 moves for each threshold (fewer for n < 50), then a climb."""
        moves = min(MOVES, 10 * self.problem.n) * 2 ** min(turn, MOST_TURNS)
        return self.climb(raise_threshold(self.distances, self.levels, subset, moves, rng, request), request)

    def climb(self, subset: Int, request: Request) -> Int:
        """To a set that no swap improves."""
        while request.left > 0:
            swap = best_swap(self.distances, subset)
            if swap is None:
                break
            subset = subset.copy()
            subset[swap[0]] = swap[1]
        return subset


def best_swap(distances: Float, subset: Int) -> tuple[int, int] | None:
    """(position in the subset, token to put there) of the best improving swap; None at a local optimum."""
    k = len(subset)
    if k < 2:
        return None
    outside = np.setdiff1d(np.arange(len(distances)), subset)
    inner = distances[np.ix_(subset, subset)]
    np.fill_diagonal(inner, np.inf)
    cross = distances[np.ix_(outside, subset)]
    best = _least(inner)
    swap = None
    for position in np.flatnonzero((inner == best[0]).any(axis=1)):
        rest = np.arange(k) != position
        least, ties = _least(inner[np.ix_(rest, rest)])
        reached = np.minimum(least, cross[:, rest].min(axis=1))
        top = reached.max(initial=-np.inf)
        if top < best[0]:
            continue
        level = np.flatnonzero(reached == top)
        pairs = (cross[np.ix_(level, rest)] == top).sum(axis=1) + (-ties if least == top else 0)
        candidate = (float(top), -int(pairs.min()))
        if candidate > best:
            best, swap = candidate, (int(position), int(outside[level[pairs.argmin()]]))
    return swap


def _least(inner: Float) -> tuple[float, int]:
    """(least distance, minus the number of pairs at it) of a symmetric matrix with inf on its diagonal."""
    least = float(inner.min())
    return least, -int((inner == least).sum()) // 2
