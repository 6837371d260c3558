"""The search behind branch and bound for log det: incumbents, the open nodes, and what is proved so far."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np

from mmdp import ConditionalDPP
from mmdp.bounds.factor_rows import compact_factor, has_volume
from mmdp.checks import Bool, Float, Int
from solvers.answer import Request
from solvers.exact.best_first import OpenNodes, explore
from solvers.exact.log_det.evidence import Evidence
from solvers.exact.log_det.node import Node, State, absorb
from solvers.exact.log_det.relaxation import Relaxation
from solvers.exact.log_det.swap import Kicks, complete
from solvers.exact.log_det.tree_log import Trail, TreeLog
from solvers.local_search.naive import run as local_search

STARTS, STARTED = 20, 200  # kicks before the proof: at least the first number, n k over the second
SEARCHED = 0.3  # share of the time limit that they may take, for a bound must come too
POLISH = 50  # nodes between two swap searches from the relaxed point
REPAIR = 1.0  # seconds for local search where greedy ends in a singular set
PATIENCE = 1000  # kicks without success after which they become rare
RARE = 10  # expanded nodes for one kick from then on; one for one before
SMALL = 250  # free tokens up to which relaxations, O(n^3) a step, are compared at the root


class Search:
    """One run: the incumbent `members` with its `value`, the open nodes, and what is counted.

    `upper` is a bound on the optimum at any time, so that a run may be interrupted anywhere.
    """

    def __init__(self, problem: ConditionalDPP, tolerance: float, seed: int, log: TreeLog | None = None) -> None:
        self.problem, self.tolerance, self.seed = problem, tolerance, seed
        self.n, self.k = problem.n, problem.k
        self.members: Int = np.arange(self.k)
        self.value = -math.inf
        self.open: OpenNodes[Node] = OpenNodes()
        self.expanded = 0
        self.relaxation = Relaxation()
        self.log = log
        self.root_upper: float | None = None
        self.root_x: Float | None = None
        self.complete = False

    @property
    def cutoff(self) -> float:
        return self.value + self.tolerance

    @property
    def upper(self) -> float:
        if self.complete:
            return self.value
        if self.root_upper is None:
            return math.inf
        return max(-self.open.least if len(self.open) else self.root_upper, self.cutoff)

    def stats(self) -> dict[str, Any]:
        return {
            "nodes": self.relaxation.bounded,
            "relaxation": self.relaxation.name,
            "second_order": self.relaxation.strengthened,
            "closed_by_second_order": self.relaxation.closed_by_second_order,
            "root_bound": self.root_upper,
        }

    def run(self, deadline: float) -> bool:
        if self.k in (0, self.n) or self._singular():
            self.value = self.problem.value(self.members)
            self.complete = True
            return True
        self.L = np.require(self.problem.kernel, requirements=["C", "W"])
        now = time.perf_counter()
        self._heuristics(now + SEARCHED * (deadline - now))
        if time.perf_counter() >= deadline:
            return False
        self.F = np.ascontiguousarray(compact_factor(self.problem.factor))
        self.norms = (self.F**2).sum(axis=1)
        x = np.full(self.n, self.k / self.n)
        trail = None if self.log is None else self.log.root
        everything = State(np.arange(0), np.arange(self.n), self.F, self.norms, 0.0, self.k, x, trail=trail)
        self.complete = self._root(everything) and explore(self.open, self._expand, lambda: -self.cutoff, deadline)
        return self.complete

    def _heuristics(self, deadline: float) -> None:
        self.kicks = Kicks(self.L, self.k, self.seed)
        members, regular = self.kicks.greedy()
        self._offer(members)
        if self.value == -math.inf:
            self._offer(np.asarray(local_search(self.problem, Request(REPAIR, self.seed)).indices))
        if regular and time.perf_counter() < deadline:
            self._offer(self.kicks.climb(members))
        for _ in range(max(STARTS, self.n * self.k // STARTED)):
            if time.perf_counter() >= deadline:
                break
            self._kick()

    def _kick(self) -> None:
        if self.value > -math.inf:
            members = self.kicks.kicked(self.members)
            if members is not None and self._offer(members):
                self.kicks.succeeded()

    def _singular(self) -> bool:
        weights = np.diag(self.problem.kernel)
        return int((weights > 0).sum()) < self.k or not has_volume(compact_factor(self.problem.factor), self.k)

    def _root(self, state: State) -> bool:
        """Bound the whole problem, choose the relaxation, and open the root unless that settles it."""
        node = self._close(state)
        self.root_x = state.x
        if node is not None:
            self.root_upper, opened = node
            again = self._unfold(opened)
            if len(again.free) <= SMALL and self.relaxation.choose(again, self.root_upper, self.cutoff):
                again.trail = None if state.trail is None else state.trail.copy()
                node = self._close(again)
                if self.log and again.trail is not None and not self.log.reason:
                    self.log.root = again.trail
        if node is None:
            self.root_upper = self.cutoff
            return True
        self.root_upper, opened = node
        self.open.push(-self.root_upper, opened, opened.size)
        return True

    def _expand(self, node: Node) -> list[tuple[float, Node, int]]:
        self.expanded += 1
        if self.kicks.failures < PATIENCE or self.expanded % RARE == 0:
            self._kick()
        state = self._unfold(node)
        children, trails = [], []
        for choose in (True, False):
            state.trail = Trail()
            trails.append(state.trail)
            closed = self._close(state.child(node.branch, choose))
            if closed is not None:
                upper, opened = closed
                if self.expanded % POLISH == 0:
                    self._polish(opened)
                children.append((-upper, opened, opened.size))
        if self.log and node.trail is not None:
            self.log.split(node.trail, int(node.free[node.branch]), *trails)
        return children

    def _unfold(self, node: Node) -> State:
        chosen, free = node.chosen.astype(np.int64), node.free.astype(np.int64)
        members = np.concatenate((chosen, free))
        into = np.arange(len(members)) < len(chosen)
        norms = self.norms[members]
        rows, base = absorb(self.F[members], norms, into, ~into)
        theta, delta = (None if part is None else part.astype(np.float64) for part in (node.theta, node.delta))
        s, x = self.k - len(chosen), node.x.astype(np.float64)
        return State(chosen, free, rows, norms[~into], base, s, x, theta, delta, node.trail)

    def _close(self, state: State | None) -> tuple[float, Node] | None:
        """(upper bound, node) once bounded and reduced; None when no set below it beats the cutoff."""
        while state is not None and not self._is_single(state):
            spanned = state.vanished()
            if spanned.any():
                state = self._fixed(state, np.zeros_like(spanned), spanned, None)
                continue
            self.relaxation.certify = self.log is not None and not self.log.reason
            verdict = self.relaxation.bound(state, self.cutoff)
            if self.log and self.relaxation.certify and verdict.evidence is None:
                self.log.fail("a bound could not be written down")
            if verdict.fixes:
                state = self._fixed(state, verdict.into, verdict.out, verdict.evidence)
                continue
            if self.log and state.trail is not None:
                self.log.end(state.trail, verdict.evidence)
            return None if verdict.upper <= self.cutoff else (verdict.upper, self._node(state, verdict.branch))
        return None

    def _fixed(self, state: State, into: Bool, out: Bool, evidence: Evidence | None) -> State | None:
        if self.log and state.trail is not None:
            self.log.fix(state.trail, evidence, state.free[into], state.free[out])
        return state.fixed(into, out)

    def _node(self, state: State, branch: int) -> Node:
        theta, delta = (None if part is None else part.astype(np.float32) for part in (state.theta, state.delta))
        chosen, free, x = state.chosen.astype(np.int32), state.free.astype(np.int32), state.x.astype(np.float32)
        return Node(chosen, free, x, theta, delta, branch, state.trail)

    def _is_single(self, state: State) -> bool:
        """Whether the best set below is known at once; it is offered."""
        if state.s == 0:
            self._offer(state.chosen)
        elif state.s == len(state.free):
            self._offer(np.concatenate((state.chosen, state.free)))
        elif state.s == 1:
            best = int(np.argmax((state.rows**2).sum(axis=1)))
            self._offer(np.append(state.chosen, state.free[best]))
        else:
            return min(state.rows.shape) < state.s
        return True

    def _polish(self, node: Node) -> None:
        s = self.k - len(node.chosen)
        start = np.concatenate((node.chosen, node.free[np.argsort(-node.x, kind="stable")[:s]])).astype(np.int64)
        members, regular = complete(self.L, start, self.k, np.zeros(self.n, dtype=np.bool_))
        if regular:
            self._offer(self.kicks.climb(members))

    def _offer(self, members: Int) -> bool:
        value = self.problem.value(members)
        better = value > self.value
        if better:
            self.members, self.value = members, value
        return better
