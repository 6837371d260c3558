"""Best-improvement 1-swap for max-sum diversity: all k (n - k) swaps scored at once."""

from __future__ import annotations

import numpy as np

from mmdp import MaxSumDiversity
from mmdp.checks import Int
from solvers.answer import Request
from solvers.local_search.iterated import climb, iterate
from solvers.max_sum.naive import sum_greedy


class MaxSumSearch:
    """Taking j in place of i changes the value by (c_j + w_j) - (c_i + w_i) - d_ij, c_i = sum_{j in S} d_ij.

    One step costs O(n k).
    """

    def __init__(self, problem: MaxSumDiversity) -> None:
        self.problem = problem
        self.distances, self.weights = problem.distances, problem.weights

    def greedy(self) -> Int:
        """Greedy on the sum of distances."""
        return sum_greedy(self.distances, self.weights, self.problem.k)

    def explore(self, subset: Int, turn: int, rng: np.random.Generator, request: Request) -> Int:
        """Iterated local search."""
        return iterate(self.problem, self.climb, subset, np.arange(self.problem.n), turn, rng, request)

    def climb(self, subset: Int, request: Request) -> Int:
        """To a set that no swap improves."""
        return climb(self.problem, self._best_swap, subset, request)

    def _best_swap(self, subset: Int) -> Int:
        outside = np.setdiff1d(np.arange(self.problem.n), subset)
        share = self.distances[:, subset].sum(axis=1) + self.weights
        change = share[outside] - share[subset][:, None] - self.distances[np.ix_(subset, outside)]
        position, best = np.unravel_index(int(change.argmax()), change.shape)
        swapped = subset.copy()
        swapped[position] = outside[best]
        return swapped
