"""The sets of k tokens that are pairwise at least a threshold apart."""

from __future__ import annotations

import time

import numpy as np

from mmdp import MaxMinDiversity
from mmdp.checks import Int
from solvers.ensemble.far_sets import all_cliques, wander
from solvers.exact.max_min.far_graph import far_graph
from solvers.exact.max_min.tabu import SLICE, conflict_rows, min_conflicts

WORK = 20_000_000  # of the enumeration, in words of 64 bits that the nodes of its search hold
PATIENCE = 20_000  # tabu iterations of one restart
PROPOSALS = 10  # of the walk, for each of the k (n - k) swaps
MOST_PROPOSALS = 400_000


class MaxMinLevel:
    """The level set of max-min diversity, reached by enumeration, by restarts and by a walk.

    Tokens outside the (k-1)-core of the far graph are in no such set and left out. k >= 2.
    """

    def __init__(self, problem: MaxMinDiversity, threshold: float, best: Int) -> None:
        self.k = problem.k
        self._graph = far_graph(np.ascontiguousarray(problem.distances), threshold, problem.k)
        self.core = self._graph.tokens
        self.rows = conflict_rows(np.ascontiguousarray(problem.distances[np.ix_(self.core, self.core)]), threshold)
        self.best = np.flatnonzero(np.isin(self.core, best))
        self.share = 1.0

    def everything(self, most: int, deadline: float) -> Int | None:
        """(count, k) ascending rows in lexicographic order, or None: more than `most`, or too long a search.

        It takes half of the time that is left at most.
        """
        far, close = self._graph.far, self._graph.close
        half = (time.perf_counter() + deadline) / 2
        found, complete = all_cliques(far, close, self.k, most, WORK // far.shape[1], half)
        if not complete:
            return None
        rows = np.sort(self.core[found], axis=1)
        return rows[np.lexsort(rows.T[::-1])]

    def restart(self, rng: np.random.Generator, deadline: float) -> Int | None:
        """A set found by min-conflicts search from a random one.

        The start has `share` of the members of the best set replaced at random: all of them, and half as many after
        each failure.
        """
        m, replaced = len(self.core), max(1, round(self.share * self.k))
        start = rng.permutation(self.best)[: self.k - replaced]
        start = np.append(start, rng.permutation(np.setdiff1d(np.arange(m), start))[:replaced])
        inside = np.zeros(m, np.int16)
        inside[start] = 1
        conflicts = self.rows[start].sum(axis=0, dtype=np.int16)
        until, state = np.zeros(m, np.int64), rng.integers(1, 2**63, 1, np.uint64)
        done = 0
        while done < PATIENCE and time.perf_counter() < deadline:
            left, done = min_conflicts(
                self.rows, start, inside, conflicts, until, done, min(PATIENCE, done + SLICE), state
            )
            if left == 0:
                return np.sort(self.core[start])
        self.share /= 2
        return None

    def walk(self, tokens: Int, rng: np.random.Generator) -> Int:
        """Where a long random walk of swaps within the level ends."""
        m = len(self.core)
        at = np.flatnonzero(np.isin(self.core, tokens))
        count = min(PROPOSALS * self.k * (m - self.k), MOST_PROPOSALS)
        wander(self.rows, at, rng.integers(0, self.k, count), rng.integers(0, m, count))
        return np.sort(self.core[at])
