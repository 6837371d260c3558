"""Exact branch and bound for cardinality-constrained binary quadratic programs: rank-1 energies and max-sum diversity."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np

from mmdp import ImplicitWeight, MaxSumDiversity, Status
from mmdp.cardinality_bqp import CardinalityBQP
from mmdp.certify import TOLERANCE
from mmdp.checks import Bool, Float, Int
from solvers.answer import Answer, Request
from solvers.exact.best_first import OpenNodes, explore
from solvers.exact.rank1.diagonal_shift import climb, lowest_shift, margin_of, shifted
from solvers.exact.rank1.node import Node, Shift, branching_position, fix, tighten
from solvers.exact.rank1.quotas import is_feasible, least_set, project_within
from solvers.exact.rank1.swap import energy_of, greedy_ones, greedy_zeros, multi_start, swap

STARTS = 20  # swap searches before the proof
POLISH = 50  # nodes between two swap searches from the relaxed point
REFRESH = 0.95  # a shift is improved once this share of its coordinates is free
ROOT_STEPS, ROOT_PATIENCE = 60, 6  # Newton steps at the root; how many may pass with little gain
NODE_STEPS, NODE_PATIENCE = 4, 2


def run(problem: ImplicitWeight | MaxSumDiversity, request: Request, tolerance: float = TOLERANCE) -> Answer:
    """min {y^T Q y : y binary, sum y = m, quotas kept}, the form of the problem as a `CardinalityBQP`.

    Best-first search. A node is bounded by the convex relaxation after a diagonal shift delta, which y_i^2 = y_i
    leaves free (`climb`), by linearising it at the best point found, for which no accuracy of the minimisation is
    needed (`minimise_within`). The same linearisation fixes coordinates (`tighten`). delta is driven towards the
    semidefinite optimum at the root, where fixing and improving alternate, and again below whenever enough coordinates
    are fixed. The branching coordinate promises the largest product of rises of the two children (`most_decisive`).
    Incumbents come from swap searches, from greedy sets at first, from the relaxed point below.

    Tokens that must be kept are fixed beforehand; quotas per group (a partition matroid) are part of the relaxation, of
    the reduced costs and of the swaps.

    Parameters
    ----------
    tolerance : the proof is relative: no set has a value above (1 + tolerance) times the one found, in size.

    Returns
    -------
    Answer : OPTIMAL when proved up to ``stats["tolerance"]``, absolute, in the units of the value: tolerance * |value|,
        or twice the rounding margin of the bounds (`margin_of`), whichever is larger. TIME_LIMIT and INTERRUPTED
        (Ctrl-C) carry the best set and bound so far. INFEASIBLE where no set keeps the quotas.

    Raises
    ------
    ValueError : tolerance outside [0, 1), or forbidden pairs, which it cannot honour.

    Notes
    -----
    Exponential in the worst case. Memory O(n^2), plus at most 400 MB of open nodes.

    Examples
    --------
    >>> from mmdp import Constraints, ImplicitWeight
    >>>     >>> from solvers import solve
    >>> problem = ImplicitWeight.from_gram([[1, 1, 0], [1, 1, 0], [0, 0, 1]], k=1)
    >>> solve(problem, "branch_and_bound").objective  # the pair left over must not be the two copies
    -2.0
    >>> two_images = Constraints(groups=(0, 0, 1), max_per_group={0: 1})
    >>> problem = MaxSumDiversity.from_distances([[0, 9, 2], [9, 0, 3], [2, 3, 0]], k=2, constraints=two_images)
    >>> solve(problem, "branch_and_bound").indices.tolist()  # one of each image
    [1, 2]
    """
    if not 0 <= tolerance < 1:
        raise ValueError(f"tolerance must be in [0, 1), got {tolerance}")
    bqp = CardinalityBQP.of(problem)
    if not is_feasible(bqp.m, bqp.labels if len(bqp.low) else bqp.tokens, bqp.low, bqp.high):
        return Answer((), bound=-math.inf, status=Status.INFEASIBLE)
    started = time.perf_counter()
    _compile()
    compiled = time.perf_counter() - started
    search = Search(bqp, tolerance, request.seed)
    limit = math.inf if request.time_limit is None else request.time_limit
    try:
        status = Status.OPTIMAL if search.run(request.started + compiled + limit) else Status.TIME_LIMIT
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    return Answer(bqp.kept(search.y), search.upper, status, search.stats(), compile_seconds=compiled)


class Search:
    """One run: the incumbent y with its energy, the open nodes, and what is counted. Energies leave the constant out."""

    def __init__(self, bqp: CardinalityBQP, tolerance: float, seed: int) -> None:
        self.bqp, self.relative, self.seed = bqp, tolerance, seed
        self.Q = np.require(bqp.Q, requirements=["C", "W"])
        self.n, self.m = len(self.Q), bqp.m
        self.quotas = bqp.labels, bqp.low, bqp.high
        self.floor = bqp.floor - bqp.constant
        self.energy = math.inf
        self.y: Bool = greedy_ones(self.Q, self.m, *self.quotas)
        self.fixed_margin = bqp.error + margin_of(self.Q, np.zeros(0))
        self.margin = 0.0
        self.open: OpenNodes[Node] = OpenNodes()
        self.bounded = self.shifts = self.numbered = 0
        self.root_lower: float | None = None
        self.complete = False

    @property
    def tolerance(self) -> float:
        """Absolute."""
        return max(self.relative * abs(self.energy + self.bqp.constant), 2 * self.margin)

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
            return self.floor
        return max(self.floor, min(self.open.least, self.cutoff))

    @property
    def upper(self) -> float:
        """No set has a larger value."""
        return -(self.lower + self.bqp.constant)

    def stats(self) -> dict[str, Any]:
        """Figures for the Selection."""
        return {
            "nodes": self.bounded,
            "shifts": self.shifts,
            "tolerance": self.tolerance if math.isfinite(self.energy) else None,
            "root_bound": None if self.root_lower is None else -(self.root_lower + self.bqp.constant),
        }

    def run(self, deadline: float) -> bool:
        """Whether the incumbent was proved optimal before the deadline."""
        if self.m in (0, self.n):
            self.energy = max(energy_of(self.Q, self.y), self.floor)
            self.complete = True
            return True
        self._offer(*multi_start(self.Q, self.m, *self.quotas, STARTS, self.seed, deadline))
        if self.energy <= self.floor:
            self.complete = True
            return True
        if time.perf_counter() >= deadline:
            return False
        centre = lowest_shift(shifted(self.Q, self.bqp.shift), np.zeros(self.n))
        shift = self._shift(np.arange(self.n), self.Q, self.bqp.shift + centre)
        self.margin = 2 * shift.margin  # better shifts are larger
        root = self._root(shift)
        self.open.push(self.floor, root, root.size)
        self.root_lower = self.floor
        self.deadline = deadline
        self.complete = explore(self.open, self._expand, lambda: self.cutoff, deadline)
        return self.complete

    def _root(self, shift: Shift) -> Node:
        labels, low, high = self.quotas
        x = np.full(self.n, self.m / self.n)
        if len(low):
            x = project_within(x, self.m, labels, low, high)
        free, ones, linear = np.arange(self.n), np.arange(0), np.zeros(self.n)
        return Node(free, ones, linear, 0.0, self.m, low, high, x, shift, self.floor)

    def _expand(self, node: Node) -> list[tuple[float, Node, int]]:
        improved = self._at_root(node) if node.number == 0 else self._refresh(node)
        if improved is None:
            return []
        node = improved
        position = branching_position(self.Q, node.free, node.x, node.shift.values)
        first = self.numbered + 1
        self.numbered += 2
        children = []
        for number, one in ((first, True), (first + 1, False)):
            child = self._tighten(node.child(self.Q, self.bqp.labels, position, one, number))
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
                block = self.Q[np.ix_(node.free, node.free)]
                delta = node.shift.values[node.free]
            moved, delta, mu = climb(block, delta, mu, node.x)
            if not moved:
                break
            shift = self._shift(node.free, block, delta)
            if shift.margin > self.tolerance / 2:
                break
            self.shifts += 1
            free, lower = len(node.free), node.lower
            tight = self._tighten(replace(node, shift=shift))
            if tight is None:
                return None
            node = tight
            if node.lower < lower + 0.05 * (self.cutoff - lower) and len(node.free) > 0.9 * free:
                patience -= 1
                if not patience:
                    break
        return node

    def _shift(self, free: Int, block: Float, delta: Float) -> Shift:
        values = np.zeros(self.n)
        values[free] = delta
        return Shift(values, len(free), self.fixed_margin + margin_of(shifted(block, delta), delta))

    def _tighten(self, node: Node) -> Node | None:
        """The node bounded and reduced; None when no set below it beats the cutoff."""
        self.bounded += 1
        margin = node.shift.margin
        iterations = int(np.clip(4e8 / max(len(node.free), 1) ** 2, 60, 400))
        lower, free, ones, linear, constant, s, low, high, x, _ = tighten(
            self.Q,
            self.bqp.labels,
            node.free,
            node.linear,
            node.constant,
            node.s,
            node.low,
            node.high,
            node.x,
            node.shift.values,
            self.cutoff + margin,
            1e-2 * self.tolerance,
            iterations,
            False,
        )
        if lower == math.inf:
            return None
        ones = np.concatenate((node.ones, ones))
        if not len(free):
            y = np.zeros(self.n, dtype=np.bool_)
            y[ones] = True
            self._offer(y, energy_of(self.Q, y))
            return None
        if lower >= self.cutoff + margin:
            return None
        lower = max(lower - margin, node.lower)
        return Node(free, ones, linear, constant, s, low, high, x, node.shift, lower, node.number)

    def _polish(self, node: Node) -> None:
        """A swap search from the relaxed point of a node."""
        y = np.zeros(self.n, dtype=np.bool_)
        y[node.ones] = True
        labels, low, _ = self.quotas
        groups = labels[node.free] if len(low) else node.free
        y[node.free[least_set(-node.x, node.s, groups, node.low, node.high)]] = True
        self._offer(*swap(self.Q, y, *self.quotas, self.n))

    def _offer(self, y: Bool, energy: float) -> None:
        if energy < self.energy:
            self.y, self.energy = y, max(energy, self.floor)


@cache
def _compile() -> None:
    """Compile, or load from numba's cache, every kernel of this package."""
    Q, y, none = np.eye(3), np.array([True, False, False]), np.arange(0)
    swap(Q, y, none, none, none, 1)
    greedy_ones(Q, 1, none, none, none), greedy_zeros(Q, 1, none, none, none)
    free, zeros, x = np.arange(3), np.zeros(3), np.full(3, 1 / 3)
    tighten(Q, none, free, zeros, 0.0, 1, none, none, x, zeros, 1.0, 1e-9, 4, False)
    fix(Q, none, free, zeros, 0.0, 1, none, none, x, 0, True)
    branching_position(Q, free, x, zeros)
    project_within(x, 1, none, none, none)
    least_set(x, 1, none, none, none)
    is_feasible(1, none, none, none)
    lowest_shift(Q, zeros)
