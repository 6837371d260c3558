"""Thresholds beyond theta': branch on the few vertices without which theta' would do.

To show that a far graph has no k-clique, take out vertices v_1, v_2, ... until theta' of what is left, W, is below
k. A clique must then hold one of them; with v_i the last of those it holds, the rest of the clique is a (k-1)-clique
among the neighbours of v_i in W and v_1 .. v_(i-1), which is refuted in the same way. Taking out vertices with the
largest weights X_ii, together with those close to them, lowers theta' fastest, and theta' of a neighbourhood is far
lower than theta' of the whole, so that one or two such levels gain one to two per cent on the distance. Sub-problems
start from the parent's iterates.
"""

from __future__ import annotations

import math
import time

import numpy as np

from mmdp.checks import Bool, Float, Int
from solvers.exact.max_min.clique import CliqueSearch, Outcome
from solvers.exact.max_min.far_graph import far_graph
from solvers.exact.max_min.theta import refute
from solvers.exact.max_min.theta_prime import ThetaPrime
from solvers.exact.max_min.tree_writer import TreeWriter

EASY_NODES = 300  # of clique search, before theta' is tried
ITERATIONS = 60  # of theta' per sub-problem
FEW_ITERATIONS, MORE_ITERATIONS = 12, 28  # at least, where few vertices were taken out, and more
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

    def refutes(self, theta: ThetaPrime, writer: TreeWriter | None = None) -> bool:
        """Whether the graph of `theta` is shown to have no clique of its size before the deadline.

        The proof goes to `writer`, with the vertices numbered as in `theta`.
        """
        return self._refutes(theta, np.arange(len(theta.close)), writer)

    def _refutes(self, theta: ThetaPrime, names: Int, writer: TreeWriter | None) -> bool:
        self.subproblems += 1
        close, k = theta.close, theta.k
        search = self._easy(theta, writer)
        if search.outcome is not Outcome.UNDECIDED:
            if writer is not None:
                writer.search(names[search.graph.tokens], search.log)
            return search.outcome is Outcome.NONE
        core = np.sort(search.graph.tokens)
        if len(core) < len(close):
            close, names = close[np.ix_(core, core)], names[core]
            theta = theta.continued(close, k, core)
        out, multiplier = self._taken_out(theta)
        if multiplier is None:
            return False
        out = out[np.argsort(-close.sum(axis=0)[out], kind="stable")]  # many close pairs first, while much is left
        if writer is not None:
            writer.theta(names[out], multiplier)
        allowed = np.ones(len(close), dtype=np.bool_)
        for v in out:
            allowed[v] = False
            neighbours = np.flatnonzero(allowed & ~close[v])
            if len(neighbours) < k - 1:
                continue
            part = theta.continued(close[np.ix_(neighbours, neighbours)], k - 1, neighbours)
            if not self._refutes(part, names[neighbours], writer):
                return False
        return True

    def _easy(self, theta: ThetaPrime, writer: TreeWriter | None) -> CliqueSearch:
        """A short search in the (k-1)-core."""
        far = 1.0 - theta.close
        np.fill_diagonal(far, 0.0)
        graph = far_graph(far, 0.5, theta.k)
        search = CliqueSearch(graph, theta.k, 0 if writer is None else writer.most_words)
        search.advance(EASY_NODES if theta.k > 2 else 2**62, self.deadline)
        return search

    def _taken_out(self, theta: ThetaPrime) -> tuple[Int, Float | None]:
        """Vertices without which theta' refutes, if any are needed, and the multiplier that shows it.

        No multiplier when more than half would have to go or time is up.
        """
        none: Int = np.zeros(0, np.int64)
        multiplier = refute(theta, self.deadline, ITERATIONS, half=True)
        order = _cluster_by_cluster(theta.close, theta.weights)
        out, level = none, theta.level
        while multiplier is None and time.perf_counter() < self.deadline and math.isfinite(level):
            size = len(order) - len(out)
            count = len(out) + SLACK + max(len(out) // 3, int(size * (1.0 - theta.k / level)))
            if 2 * count > len(order):
                break
            out, keep = order[:count], np.sort(order[count:])
            rest = theta.continued(theta.close[np.ix_(keep, keep)], theta.k, keep)
            least = FEW_ITERATIONS if 10 * count < len(order) else MORE_ITERATIONS
            multiplier = refute(rest, self.deadline, ITERATIONS, half=True, least=least)
            level = rest.level
        return out, multiplier


def _cluster_by_cluster(close: Bool, weights: Float) -> Int:
    """The vertices by falling weight, each followed by those close to it: else these would take its place."""
    order: list[Int] = []
    left = np.ones(len(close), dtype=np.bool_)
    for v in np.argsort(-weights, kind="stable"):
        if left[v]:
            cluster = np.flatnonzero(close[v] & left)
            cluster = np.concatenate([[v], cluster[np.argsort(-weights[cluster], kind="stable")]])
            left[cluster] = False
            order.append(cluster)
    return np.concatenate(order)
