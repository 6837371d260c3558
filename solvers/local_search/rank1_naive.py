"""Best-improvement 1-swap for the rank-1 energy: all k (n - k) swaps scored at once."""

from __future__ import annotations

import numpy as np

from mmdp import ImplicitWeight
from mmdp.checks import Int
from solvers.answer import Request
from solvers.local_search.iterated import climb, iterate
from solvers.rank1.naive import energy_greedy, zero_updates


class Rank1Search:
    """Swaps on E(y) = y^T G y, y the 0/1 vector of the pruned tokens.

    Pruning i and keeping j instead changes E by 2 (g_i - g_j) + G_ii + G_jj - 2 G_ij with g = G y. One step costs O(k
    (n - k) + n^2).
    """

    def __init__(self, problem: ImplicitWeight) -> None:
        self.problem = problem
        self.gram = problem.gram

    def greedy(self) -> Int:
        """Greedy on the true gain."""
        return energy_greedy(self.gram, self.problem.k, last=zero_updates(self.gram))

    def explore(self, subset: Int, turn: int, rng: np.random.Generator, request: Request) -> Int:
        """Iterated local search."""
        return iterate(self.problem, self.climb, subset, np.arange(self.problem.n), turn, rng, request)

    def climb(self, subset: Int, request: Request) -> Int:
        """To a set that no swap improves."""
        return climb(self.problem, self._best_swap, subset, request)

    def _best_swap(self, subset: Int) -> Int:
        pruned = np.setdiff1d(np.arange(self.problem.n), subset)
        diagonal = self.gram.diagonal()
        slope = 2 * self.gram[:, pruned].sum(axis=1)
        rise = slope[subset] + diagonal[subset]
        fall = slope[pruned] - diagonal[pruned]
        change = rise[:, None] - fall - 2 * self.gram[np.ix_(subset, pruned)]
        position, best = np.unravel_index(int(change.argmin()), change.shape)
        swapped = subset.copy()
        swapped[position] = pruned[best]
        return swapped
