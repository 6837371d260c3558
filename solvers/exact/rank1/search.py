"""Best-first search for the 0/1 vector of least energy, bounded by convex relaxations under diagonal shifts."""

from __future__ import annotations

import math
import time
from dataclasses import replace
from typing import Any

import numpy as np

from mmdp.cardinality_bqp import CardinalityBQP
from mmdp.checks import Bool, Float, Int
from solvers.exact.best_first import OpenNodes, explore
from solvers.exact.rank1.diagonal_shift import EPS, climb, lowest_shift, margin_of, shifted
from solvers.exact.rank1.node import Node, Shift, branching_position, tighten
from solvers.exact.rank1.quotas import least_set, project_within
from solvers.exact.rank1.swap import energy_of, greedy_ones, multi_start, swap
from solvers.exact.rank1.tree_log import MOST_BYTES, Rank1Tree, TreeLog

STARTS = 20  # swap searches before the proof
POLISH = 50  # nodes between two swap searches from the relaxed point
REFRESH = 0.95  # a shift is improved once this share of its coordinates is free
ROOT_STEPS, ROOT_PATIENCE = 60, 6  # Newton steps at the root; how many may pass with little gain
NODE_STEPS, NODE_PATIENCE = 2, 1  # more of them shrink the reduced costs, and the trees grow


class Search:
    """One run: the incumbent y with its energy, the open nodes, and what is counted. Energies leave the constant out."""

    def __init__(self, bqp: CardinalityBQP, tolerance: float, seed: int, certify: bool = False) -> None:
        self.bqp, self.relative, self.seed, self.certify = bqp, tolerance, seed, certify
        self.log: TreeLog | None = TreeLog()
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
        self.root_shift: Shift | None = None
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
        return max(self.floor, min(max(self.open.least, self.root_lower), self.cutoff))

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

    def certificate(self, tolerance: float) -> tuple[Rank1Tree | None, str]:
        """The tree so far as a proof of the bound, or None and why not, in words."""
        if self.log is None:
            return None, "a tree is written down with certify=True"
        if self.log.full:
            return None, f"the log of the tree exceeds {MOST_BYTES / 1e6:.0f} MB"
        slack = max(self.tolerance, self.fixed_margin) if self.complete and self.energy > self.floor else 0.0
        if slack > tolerance * abs(self.energy + self.bqp.constant):
            return None, f"the value is too small for a relative accuracy of {tolerance:g}: rounding is {slack:.1g}"
        if not math.isfinite(self.lower):
            return None, "time was up before a bound was proved"
        return self.log.certificate(self.lower - slack), ""

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
        shift = self._shift(np.arange(self.n), self.Q, lowest_shift(self.Q, self.bqp.shift))
        self.root_shift, self.margin = shift, 2 * shift.margin  # better shifts are larger
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
        if not self.certify:
            self.log = None  # the root alone was worth writing down
        position = branching_position(self.Q, node.free, node.x, node.shift.values)
        first = self.numbered + 1
        self.numbered += 2
        if self.log is not None:
            self.log.branch(node.number, int(node.free[position]), first)
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
        if tight is None:
            self.root_lower = self.cutoff
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
        values, record, share = np.zeros(self.n), 0, 1
        if self.log is not None:  # the verifier has its own rounding errors: leave it room
            delta = delta - 2 * len(free) * EPS * np.trace(shifted(block, delta))
            record, share = self.log.shift(free, delta), 2
        values[free] = delta
        margin = share * (self.fixed_margin + margin_of(shifted(block, delta), delta))
        return Shift(values, len(free), margin, record)

    def _tighten(self, node: Node) -> Node | None:
        """The node bounded and reduced; None when no set below it beats the cutoff."""
        self.bounded += 1
        margin = node.shift.margin
        while True:
            iterations = int(np.clip(4e8 / max(len(node.free), 1) ** 2, 60, 400))
            lower, free, ones, linear, constant, s, low, high, x, point = tighten(
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
                self.log is not None,
            )
            if self.log is not None and len(point):
                zeros = np.setdiff1d(node.free, np.concatenate((free, ones)))
                self.log.step(node.number, node.shift.record, point, ones, zeros)
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
            bound = max(lower - margin, node.lower)
            if node.number == 0:
                self.root_lower = bound
            node = Node(free, ones, linear, constant, s, low, high, x, node.shift, bound, node.number)
            if lower > -math.inf:
                return node

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
