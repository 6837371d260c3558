"""Thresholds beyond theta': branch on the few vertices without which theta' would do.

To show that a far graph has no k-clique, take out vertices v_1, v_2, ... until theta' of what is left, W, is below
k. A clique must then hold one of them; with v_i the last of those it holds, the rest of the clique is a (k-1)-clique
among the neighbours of v_i in W and v_1 .. v_(i-1), which is refuted in the same way. Taking out the vertices with
the largest weights X_ii lowers theta' fastest, and theta' of a neighbourhood is far lower than theta' of the whole,
so that one or two such levels gain one to two per cent on the distance. Sub-problems start from the parent's
iterates.
"""

from __future__ import annotations

import math
import time

import numpy as np

from mmdp.checks import Bool, Int
from solvers.exact.max_min.clique import CliqueSearch, Outcome
from solvers.exact.max_min.far_graph import far_graph
from solvers.exact.max_min.theta import refute
from solvers.exact.max_min.theta_prime import ThetaPrime

EASY_NODES = 300  # of clique search, before theta' is tried
ITERATIONS = 60  # of theta' per sub-problem
SLACK = 2  # more vertices than the level asks for


class Splitting:
    """Refutes a far graph with theta' and branching.

    Attributes
    ----------
    subproblems : how many were looked at.
    """

    def __init__(self, deadline: float) -> None:
        self.deadline = deadline
        self.subproblems = 0

    def refutes(self, theta: ThetaPrime) -> bool:
        """Whether the graph of `theta` is shown to have no clique of its size before the deadline."""
        self.subproblems += 1
        close, k = theta.close, theta.k
        core, outcome = self._easy(close, k)
        if outcome is not Outcome.UNDECIDED:
            return outcome is Outcome.NONE
        if len(core) < len(close):
            close = close[np.ix_(core, core)]
            theta = theta.continued(close, k, core)
        if refute(theta, self.deadline, ITERATIONS) is not None:
            return True
        out = self._taken_out(theta)
        if out is None:
            return False
        degree = close.sum(axis=0)
        out = out[np.argsort(degree[out], kind="stable")]  # fewest close pairs first, while the rest is small
        allowed = np.ones(len(close), dtype=np.bool_)
        for v in out[::-1]:  # hardest first
            allowed[v] = False
            neighbours = np.flatnonzero(allowed & ~close[v])
            if len(neighbours) < k - 1:
                continue
            if not self.refutes(theta.continued(close[np.ix_(neighbours, neighbours)], k - 1, neighbours)):
                return False
        return True

    def _easy(self, close: Bool, k: int) -> tuple[Int, Outcome]:
        """The (k-1)-core, and what a short clique search says."""
        far = 1.0 - close
        np.fill_diagonal(far, 0.0)
        graph = far_graph(far, 0.5, k)
        search = CliqueSearch(graph, k)
        return np.sort(graph.tokens), search.advance(EASY_NODES if k > 2 else 2**62, self.deadline)

    def _taken_out(self, theta: ThetaPrime) -> Int | None:
        """Vertices without which theta' refutes; None when more than half would have to go or time is up."""
        by_weight = np.argsort(-theta.weights, kind="stable")
        rest, level, count = theta, theta.level, 0
        while time.perf_counter() < self.deadline and math.isfinite(level):
            size = len(by_weight) - count
            count += SLACK + max(0, int(size * (1.0 - theta.k / level)))
            if 2 * count > len(by_weight):
                return None
            keep = np.sort(by_weight[count:])
            rest = theta.continued(theta.close[np.ix_(keep, keep)], theta.k, keep)
            if refute(rest, self.deadline, ITERATIONS) is not None:
                return by_weight[:count]
            level = rest.level
        return None
