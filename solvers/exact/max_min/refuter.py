"""Lowers the upper end of a bracket: colouring, then clique search, with a budget of nodes."""

from __future__ import annotations

import math
import time

import numpy as np

from mmdp.certificates import Certificate, ColouringCertificate
from mmdp.checks import Int
from solvers.exact.max_min.bracket import Bracket
from solvers.exact.max_min.clique import CliqueSearch, Outcome
from solvers.exact.max_min.colouring import colours, first_fit
from solvers.exact.max_min.far_graph import FarGraph, far_graph, reordered
from solvers.exact.max_min.tree_writer import MOST_BYTES, TreeWriter

SWEEPS = (24, 1000)  # of iterated greedy: at least, at most
NODES_PER_SWEEP = 100  # a sweep costs about as much as that many nodes
LEAST_NODES = 50  # a refutation with fewer says little about how the effort grows
POINTS = 5  # refutations that tell how the effort grows
TRUSTED = 30  # times the largest effort so far: as far as a forecast goes
PROBES = 3  # levels tried per round


class Refuter:
    """Decides levels of a bracket.

    Each level is searched in two vertex orders in turn, since neither is better on all data: minimum width, which
    suits spread-out tokens, and colour class by colour class, which suits clustered ones. The first of the two goes
    on where it stopped when the level just above the best set is asked for again; the second starts anew from a
    better colouring.
    """

    def __init__(self, bracket: Bracket, deadline: float, certify: bool) -> None:
        self.bracket, self.deadline = bracket, deadline
        self.most_words = MOST_BYTES // 2 if certify else 0
        self.nodes, self.seconds = 0, 0.0
        self._by_class_first = True
        self._kept: CliqueSearch | None = None
        self._kept_index = -1
        self._effort: dict[float, int] = {}  # nodes that refuted a threshold
        self._in_vain: dict[float, int] = {}  # nodes that did not

    def colour(self) -> None:
        """Bisect for the smallest level that colouring, with the bounds of a single node, refutes."""
        low, high = self.bracket.low, self.bracket.high
        while high - low > 1 and time.perf_counter() < self.deadline:
            middle = (low + high) // 2
            if self.decide(middle, 1, True) is Outcome.NONE:
                high = middle
            else:
                low = max(middle, self.bracket.low)

    def lower(self, max_nodes: int) -> None:
        """A few steps of a bisection for the smallest level that `max_nodes` nodes refute."""
        bracket, floor = self.bracket, self.bracket.value
        for _ in range(PROBES):
            if bracket.closed or time.perf_counter() >= self.deadline:
                return
            index = bracket.index_at((floor + bracket.bound) / 2)
            threshold = float(bracket.levels[index])
            if self.decide(index, max_nodes, False) is not Outcome.NONE:
                floor = max(threshold, bracket.value)

    def finish(self, max_nodes: int, both: bool = True) -> None:
        """Decide the level just above the best set, again when a better set turns up."""
        while not self.bracket.closed and self.decide(self.bracket.low + 1, max_nodes, both) is Outcome.CLIQUE:
            pass

    def decide(self, index: int, max_nodes: int, both: bool) -> Outcome:
        """Search level `index`, in both vertex orders or the better one, with `max_nodes` nodes in each."""
        started = time.perf_counter()
        threshold = float(self.bracket.levels[index])
        outcome = self._decide(index, threshold, max_nodes, both)
        self.seconds += time.perf_counter() - started
        return outcome

    def _decide(self, index: int, threshold: float, max_nodes: int, both: bool) -> Outcome:
        bracket, k = self.bracket, self.bracket.k
        graph = far_graph(bracket.distances, threshold, k)
        sweeps = min(max(max_nodes // NODES_PER_SWEEP, SWEEPS[0]), SWEEPS[1])
        used, order = colours(graph, sweeps, k - 1)
        if used < k:
            bracket.refuted(threshold, self._coloured(threshold, reordered(graph, order)))
            return Outcome.NONE
        for by_class in (self._by_class_first, not self._by_class_first)[: 1 + both]:
            search = self._search(reordered(graph, order)) if by_class else self._resumed(index, graph)
            before = search.nodes
            outcome = search.advance(max_nodes - before, self.deadline)
            self.nodes += search.nodes - before
            if outcome is not Outcome.UNDECIDED:
                self._by_class_first = by_class
                if outcome is Outcome.CLIQUE:
                    bracket.found(search.clique)
                else:
                    self._effort[threshold] = search.nodes
                    bracket.refuted(threshold, self._searched(threshold, search))
                return outcome
            self._in_vain[threshold] = max(search.nodes, self._in_vain.get(threshold, 0))
        return Outcome.UNDECIDED

    def _coloured(self, threshold: float, graph: FarGraph) -> Certificate:
        """Of a graph whose vertices, in their order, take fewer than k colours."""
        classes = np.full(len(self.bracket.distances), -1)
        classes[graph.tokens] = first_fit(graph.far, np.arange(len(graph.tokens)))[1]
        return ColouringCertificate(self.bracket.between(threshold), classes, np.zeros((0, 3), np.int64))

    def _searched(self, threshold: float, search: CliqueSearch) -> Certificate | None:
        """Of a search that has found no clique; None without its log."""
        if search.log is None:
            return None
        groups = np.full(len(self.bracket.distances), -1)
        groups[search.graph.tokens] = np.arange(len(search.graph.tokens))
        writer = TreeWriter()
        order: Int = np.arange(len(search.graph.tokens))
        writer.search(order, search.log)
        return writer.certificate(self.bracket.between(threshold), self.bracket.k, groups)

    def _search(self, graph: FarGraph) -> CliqueSearch:
        return CliqueSearch(graph, self.bracket.k, self.most_words)

    def _resumed(self, index: int, graph: FarGraph) -> CliqueSearch:
        if index != self.bracket.low + 1:
            return self._search(graph)
        if self._kept is None or self._kept_index != index:
            self._kept, self._kept_index = self._search(graph), index
        return self._kept

    def forecast(self) -> float:
        """Nodes that refuting the level just above the best set may take; inf when that is too far to tell.

        The effort grows exponentially towards the optimum: a least-squares line through the logarithms of the lowest
        refutations. It is also at least twice what was spent in vain on that level or above.
        """
        target = float(self.bracket.levels[self.bracket.low + 1])
        in_vain = max((nodes for t, nodes in self._in_vain.items() if t >= target), default=0)
        points = sorted((t, math.log(nodes)) for t, nodes in self._effort.items() if nodes >= LEAST_NODES)[:POINTS]
        if len(points) < 2:
            return math.inf
        t, log_nodes = np.array(points).T
        slope = np.cov(t, log_nodes)[0, 1] / t.var(ddof=1)
        expected = float(log_nodes.mean() + slope * (target - t.mean()))
        if expected > log_nodes.max() + math.log(TRUSTED):
            return math.inf
        return max(math.exp(expected), 2.0 * in_vain)

    @property
    def rate(self) -> float:
        """Nodes per second so far."""
        return self.nodes / self.seconds if self.seconds > 0 else math.inf
