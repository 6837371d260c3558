"""Exact branch and bound for the rank-1 energy."""

from __future__ import annotations

import math
import time
from functools import cache
from typing import Any

import numpy as np

from mmdp import ImplicitWeight, Status
from mmdp.certify import TOLERANCE
from mmdp.checks import Bool, Float, Int
from solvers.answer import Answer, Request
from solvers.exact.best_first import OpenNodes, explore
from solvers.exact.rank1.diagonal_shift import climb, lowest_shift, margin_of, shifted
from solvers.exact.rank1.node import Node, Shift, branching_position, fix, tighten
from solvers.exact.rank1.swap import energy_of, greedy_keep, greedy_prune, multi_start, swap

STARTS = 20  # swap searches before the proof
POLISH = 50  # nodes between two swap searches from the relaxed point
REFRESH = 0.95  # a shift is improved once this share of its tokens is free
ROOT_STEPS, ROOT_PATIENCE = 60, 6  # Newton steps at the root; how many may pass with little gain
NODE_STEPS, NODE_PATIENCE = 4, 2


def run(problem: ImplicitWeight, request: Request, tolerance: float = TOLERANCE) -> Answer:
    """Keep k tokens such that the pruned m = n - k have the least energy: min {y^T G y : y binary, sum y = m}.

    Best-first search. A node is bounded by the convex relaxation after a diagonal shift delta, which y_i^2 = y_i
    leaves free (`ShiftAscent`), by linearising it at the best point found, for which no accuracy of the minimisation
    is needed (`minimise`). The same linearisation fixes tokens (`tighten`). delta is driven towards the semidefinite
    optimum at the root, where fixing and improving alternate, and again below whenever enough tokens are fixed. The
    branching token promises the largest product of rises of the two children (`most_decisive`). Incumbents come from
    swap searches, from greedy sets at first, from the relaxed point below.

    Parameters
    ----------
    tolerance : the proof is relative: no set has less than (1 - tolerance) times the energy found.

    Returns
    -------
    Answer : OPTIMAL when proved up to ``stats["tolerance"]``, absolute, in the units of G: tolerance * energy, or
        twice the rounding margin of the bounds (`margin_of`), whichever is larger. TIME_LIMIT and INTERRUPTED (Ctrl-C)
        carry the best set and bound so far.

    Raises
    ------
    ValueError : tolerance outside [0, 1).

    Notes
    -----
    Exponential in the worst case. Memory O(n^2), plus at most 400 MB of open nodes.

    Examples
    --------
    >>> from mmdp import ImplicitWeight
    >>> from solvers import solve
    >>> problem = ImplicitWeight.from_gram([[1, 1, 0], [1, 1, 0], [0, 0, 1]], k=1)
    >>> solve(problem, "branch_and_bound").objective  # the pair left over must not be the two copies
    -2.0
    """
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance must be in [0, 1), got {tolerance}")
    started = time.perf_counter()
    _compile()
    compiled = time.perf_counter() - started
    search = Search(problem.gram, problem.n - problem.k, tolerance, request.seed)
    limit = math.inf if request.time_limit is None else request.time_limit
    try:
        status = Status.OPTIMAL if search.run(request.started + compiled + limit) else Status.TIME_LIMIT
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    return Answer(np.flatnonzero(~search.y), -search.lower, status, search.stats(), compile_seconds=compiled)


class Search:
    """One run: the incumbent y with its energy, the open nodes, and what is counted."""

    def __init__(self, G: Float, m: int, tolerance: float, seed: int) -> None:
        self.G = np.require(G, requirements=["C", "W"])
        self.n, self.m, self.relative, self.seed = len(G), m, tolerance, seed
        self.y: Bool = np.arange(self.n) < m
        self.energy = math.inf
        self.fixed_margin = margin_of(self.G, np.zeros(0))
        self.margin = 0.0
        self.open: OpenNodes[Node] = OpenNodes()
        self.bounded = self.shifts = 0
        self.root_lower: float | None = None
        self.complete = False

    @property
    def tolerance(self) -> float:
        """Absolute."""
        return max(self.relative * self.energy, 2 * self.margin)

    @property
    def cutoff(self) -> float:
        """Only sets of less energy matter."""
        return self.energy - self.tolerance

    @property
    def lower(self) -> float:
        """No set has less energy."""
        if self.complete:
            return self.energy
        if self.root_lower is None:
            return 0.0
        return max(0.0, min(self.open.least, self.cutoff))

    def stats(self) -> dict[str, Any]:
        """Figures for the Selection."""
        return {
            "nodes": self.bounded,
            "shifts": self.shifts,
            "tolerance": self.tolerance if math.isfinite(self.energy) else None,
            "root_bound": None if self.root_lower is None else -self.root_lower,
        }

    def run(self, deadline: float) -> bool:
        """Whether the incumbent was proved optimal before the deadline."""
        if self.m in (0, self.n):
            self.energy = max(float(self.G.sum()), 0.0) if self.m else 0.0
            self.complete = True
            return True
        self._offer(*multi_start(self.G, self.m, STARTS, self.seed, deadline))
        if self.energy <= 0:
            self.complete = True
            return True
        if time.perf_counter() >= deadline:
            return False
        shift = self._shift(np.arange(self.n), self.G, lowest_shift(self.G, np.zeros(self.n)))
        self.margin = 2 * shift.margin  # better shifts are larger
        root = Node.root(self.n, self.m, shift)
        self.open.push(0.0, root, root.size)
        self.root_lower = 0.0
        self.deadline = deadline
        self.complete = explore(self.open, self._expand, lambda: self.cutoff, deadline)
        return self.complete

    def _expand(self, node: Node) -> list[tuple[float, Node, int]]:
        improved = self._at_root(node) if node.lower == 0.0 and not len(node.pruned) else self._refresh(node)
        if improved is None:
            return []
        node = improved
        position = branching_position(self.G, node.free, node.x, node.shift.values)
        children = []
        for prune in (True, False):
            child = self._tighten(node.child(self.G, position, prune))
            if child is not None:
                if self.bounded % POLISH == 0:
                    self._polish(child)
                children.append((child.lower, child, child.size))
        return children

    def _at_root(self, node: Node) -> Node | None:
        tight = self._tighten(node)
        tight = tight and self._sharpen(tight, ROOT_STEPS, ROOT_PATIENCE)
        self.root_lower = self.cutoff if tight is None else tight.lower
        return tight

    def _refresh(self, node: Node) -> Node | None:
        if len(node.free) > REFRESH * node.shift.sized:
            return node
        return self._sharpen(node, NODE_STEPS, NODE_PATIENCE)

    def _sharpen(self, node: Node, steps: int, patience: int) -> Node | None:
        """The node under a better shift; None when that closes it."""
        size = self.n + 1
        for _ in range(steps):
            if len(node.free) ** 3 * 3e-9 > self.deadline - time.perf_counter():
                break  # about the seconds of a step
            if len(node.free) < size:
                size, mu = len(node.free), 0.0
                Q = self.G[np.ix_(node.free, node.free)]
                delta = node.shift.values[node.free]
            moved, delta, mu = climb(Q, delta, mu, node.x)
            if not moved:
                break
            shift = self._shift(node.free, Q, delta)
            if shift.margin > self.tolerance / 2:
                break
            self.shifts += 1
            free, lower = len(node.free), node.lower
            tight = self._tighten(
                Node(node.free, node.pruned, node.linear, node.constant, node.s, node.x, shift, lower)
            )
            if tight is None:
                return None
            node = tight
            if node.lower < lower + 0.05 * (self.cutoff - lower) and len(node.free) > 0.9 * free:
                patience -= 1
                if not patience:
                    break
        return node

    def _shift(self, free: Int, Q: Float, delta: Float) -> Shift:
        values = np.zeros(self.n)
        values[free] = delta
        return Shift(values, len(free), self.fixed_margin + margin_of(shifted(Q, delta), delta))

    def _tighten(self, node: Node) -> Node | None:
        """The node bounded and reduced; None when no set below it beats the cutoff."""
        self.bounded += 1
        margin = node.shift.margin
        iterations = int(np.clip(4e8 / max(len(node.free), 1) ** 2, 60, 400))
        lower, free, pruned, linear, constant, s, x = tighten(
            self.G,
            node.free,
            node.linear,
            node.constant,
            node.s,
            node.x,
            node.shift.values,
            self.cutoff + margin,
            1e-2 * self.tolerance,
            iterations,
        )
        pruned = np.concatenate((node.pruned, pruned))
        if not len(free):
            y = np.zeros(self.n, dtype=np.bool_)
            y[pruned] = True
            self._offer(y, energy_of(self.G, y))
            return None
        if lower >= self.cutoff + margin:
            return None
        return Node(free, pruned, linear, constant, s, x, node.shift, max(lower - margin, node.lower))

    def _polish(self, node: Node) -> None:
        """A swap search from the relaxed point of a node."""
        y = np.zeros(self.n, dtype=np.bool_)
        y[node.pruned] = True
        y[node.free[np.argsort(-node.x, kind="stable")[: node.s]]] = True
        self._offer(*swap(self.G, y, self.n))

    def _offer(self, y: Bool, energy: float) -> None:
        if energy < self.energy:
            self.y, self.energy = y, max(energy, 0.0)


@cache
def _compile() -> None:
    """Compile, or load from numba's cache, every kernel of this package."""
    G, y = np.eye(3), np.array([True, False, False])
    swap(G, y, 1)
    greedy_prune(G, 1), greedy_keep(G, 1)
    free, zeros, x = np.arange(3), np.zeros(3), np.full(3, 1 / 3)
    tighten(G, free, zeros, 0.0, 1, x, zeros, 1.0, 1e-9, 4)
    fix(G, free, zeros, 0.0, 1, x, 0, True)
    branching_position(G, free, x, zeros)
