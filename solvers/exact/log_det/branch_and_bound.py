"""Exact branch and bound for log det: MAP inference in a DPP, maximum-entropy sampling."""

from __future__ import annotations

import math
import time
from functools import cache
from typing import Any

import numpy as np

from mmdp import ConditionalDPP, Status
from mmdp.bounds.factor_rows import compact_factor, has_volume
from mmdp.certify import TOLERANCE
from mmdp.checks import Int
from solvers.answer import Answer, Request
from solvers.exact.best_first import OpenNodes, explore
from solvers.exact.branching import fractional_of, most_decisive
from solvers.exact.log_det import linx
from solvers.exact.log_det.ddfact import branching_position
from solvers.exact.log_det.node import Node, State, absorb, margin_of, tighten
from solvers.exact.log_det.second_order import Strengthened, of_ddfact, of_linx, strengthen
from solvers.exact.log_det.swap import Kicks, complete
from solvers.exact.rank1.diagonal_shift import shifted
from solvers.local_search.naive import run as local_search

STARTS, STARTED = 20, 200  # kicks before the proof: at least the first number, n k over the second
POLISH = 50  # nodes between two swap searches from the relaxed point
REPAIR = 1.0  # seconds for local search where greedy ends in a singular set
PATIENCE = 1000  # kicks without success after which they become rare
RARE = 10  # expanded nodes for one kick from then on; one for one before
SMALL = 250  # free tokens up to which relaxations, O(n^3) a step, are compared at the root
LINX_GAP = 0.3  # nats at the root below which it is not worth a try
PREFER_LINX = 1.3  # share of the gap of DDFact that linx must reach to take over
CAPS = (0.3, 0.05, 0.01)  # of squared entries of the second-order form of DDFact, tried at the root
PROBE = 16  # nodes for one that is strengthened beyond reach, to learn
REACH = 0.1  # first guess of the gap, in nats, that the second order of DDFact closes


def run(problem: ConditionalDPP, request: Request, tolerance: float = TOLERANCE) -> Answer:
    """A set of largest log det L_S, |S| = k, ascending, proved by best-first branch and bound.

    A node holds tokens chosen and tokens dropped; log det of a set below it is that of the chosen ones plus log det of
    the Gram matrix of the residual rows of the others (a Schur complement). It is bounded by the factorisation bound
    :cite:p:`li2024best` or by linx with general scaling :cite:p:`anstreicher2020efficient,fampa2022maximum`, whichever
    the root suggests; each is linearised at the best point found, for which no accuracy of the ascent is needed. Both
    lose something at every binary point, and part of that is put back (`second_order`): a quadratic with a diagonal
    shift. The linearisations fix tokens, the rest is branched on the token that promises the largest product of falls
    of both children (`most_decisive`). Incumbents come from greedy MAP, kicks and 1-swaps, which go on all the while.

    Parameters
    ----------
    tolerance : in nats, >= 0: no set is better than the one found by more than that.

    Returns
    -------
    Answer : OPTIMAL when proved, -inf included where every set is singular. TIME_LIMIT and INTERRUPTED (Ctrl-C) carry
        the best set and bound so far. ``stats`` counts nodes bounded, those bounded to second order as well, and those
        closed by it, and names the relaxation.

    Raises
    ------
    ValueError : tolerance negative or not finite.

    Notes
    -----
    Exponential in the worst case: photo tokens with n = 100 take a fraction of a second for k <= 20, seconds to
    minutes for k = 30 to 50; at n = 576 with k = 64 a gap stays. Every bound has a margin for rounding that scales
    with the kernel. Memory O(n^2), plus at most 400 MB of open nodes.

    Examples
    --------
    >>> from solvers import solve
    >>> problem = ConditionalDPP.from_kernel([[2, 0, 1], [0, 1, 0], [1, 0, 2]], k=2)
    >>> selection = solve(problem, "branch_and_bound")
    >>> selection.indices.tolist(), round(selection.objective, 4), selection.gap  # log 3 beats log 2
    ([0, 2], 1.0986, 0.0)
    """
    if not 0 <= tolerance < math.inf:
        raise ValueError(f"tolerance must be a finite number of nats >= 0, got {tolerance}")
    started = time.perf_counter()
    _compile()
    compiled = time.perf_counter() - started
    search = Search(problem, tolerance, request.seed)
    limit = math.inf if request.time_limit is None else request.time_limit
    try:
        status = Status.OPTIMAL if search.run(request.started + compiled + limit) else Status.TIME_LIMIT
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    return Answer(np.sort(search.members), search.upper, status, search.stats(), compile_seconds=compiled)


class Search:
    """One run: the incumbent `members` with its `value`, the open nodes, and what is counted.

    `upper` is a bound on the optimum at any time, so that a run may be interrupted anywhere.
    """

    def __init__(self, problem: ConditionalDPP, tolerance: float, seed: int) -> None:
        self.problem, self.tolerance, self.seed = problem, tolerance, seed
        self.n, self.k = problem.n, problem.k
        self.members: Int = np.arange(self.k)
        self.value = -math.inf
        self.open: OpenNodes[Node] = OpenNodes()
        self.expanded = self.bounded = self.strengthened = self.closed_by_second_order = 0
        self.relaxation = "ddfact"
        self.reach = REACH
        self.cap = CAPS[1]
        self.root_upper: float | None = None
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
            "nodes": self.bounded,
            "relaxation": self.relaxation,
            "second_order": self.strengthened,
            "closed_by_second_order": self.closed_by_second_order,
            "tolerance": self.tolerance,
            "reach": self.reach,
            "root_bound": self.root_upper,
        }

    def run(self, deadline: float) -> bool:
        if self.k in (0, self.n) or self._singular():
            self.value = self.problem.value(self.members)
            self.complete = True
            return True
        self.L = np.require(self.problem.kernel, requirements=["C", "W"])
        self._heuristics(deadline)
        if time.perf_counter() >= deadline:
            return False
        self.F = np.ascontiguousarray(compact_factor(self.problem.factor))
        self.norms = (self.F**2).sum(axis=1)
        everything = State(np.arange(0), np.arange(self.n), self.F, 0.0, self.k, np.full(self.n, self.k / self.n))
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
        if node is not None and len(node[1].free) <= SMALL and LINX_GAP < node[0] - self.value < math.inf:
            node = self._by_better_relaxation(*node)
        if node is None:
            self.root_upper = self.cutoff
            return True
        self.root_upper, opened = node
        self.open.push(-self.root_upper, opened, opened.size)
        return True

    def _by_better_relaxation(self, upper: float, opened: Node) -> tuple[float, Node] | None:
        self.root_upper = upper
        state = self._unfold(opened)
        found, theta = linx.best_scaling(state.rows @ state.rows.T, state.s, 30)
        if found is not None and found.bound + state.base - self.value < PREFER_LINX * (upper - self.value):
            state.x, state.theta, state.delta = found.x, theta, None
            self.relaxation = "linx"
            return self._close(state)
        squares = (state.rows**2).sum(axis=1)
        goal = self.cutoff - state.base
        margin = margin_of(state.rows, self.norms[state.free], state.s)
        uppers = {}
        for cap in CAPS:
            tangent = of_ddfact(state.rows, squares, margin, state.x, state.s, cap)
            better = strengthen(tangent, state.s, state.x, goal, None, patient=True)
            uppers[cap] = goal if better is None else better.upper
        self.cap = min(CAPS, key=uppers.__getitem__)
        upper = min(upper, state.base + uppers[self.cap])
        return None if upper <= self.cutoff else (upper, opened)

    def _expand(self, node: Node) -> list[tuple[float, Node, int]]:
        self.expanded += 1
        if self.kicks.failures < PATIENCE or self.expanded % RARE == 0:
            self._kick()
        state = self._unfold(node)
        children = []
        for choose in (True, False):
            child = state.child(node.branch, choose)
            closed = None if child is None else self._close(child)
            if closed is not None:
                upper, opened = closed
                if self.bounded % POLISH == 0:
                    self._polish(opened)
                children.append((-upper, opened, opened.size))
        return children

    def _unfold(self, node: Node) -> State:
        chosen, free = node.chosen.astype(np.int64), node.free.astype(np.int64)
        members = np.concatenate((chosen, free))
        into = np.arange(len(members)) < len(chosen)
        rows, base = absorb(self.F[members], into, ~into)
        theta, delta = (None if part is None else part.astype(np.float64) for part in (node.theta, node.delta))
        return State(chosen, free, rows, base, self.k - len(chosen), node.x.astype(np.float64), theta, delta)

    def _close(self, state: State | None) -> tuple[float, Node] | None:
        """(upper bound, node) once bounded and reduced; None when no set below it beats the cutoff."""
        while state is not None and not self._is_single(state):
            self.bounded += 1
            done = self._by_ddfact(state) if self.relaxation == "ddfact" else self._by_linx(state)
            if isinstance(done, State) or done is None:
                state = done
            else:
                return done
        return None

    def _by_ddfact(self, state: State) -> State | tuple[float, Node] | None:
        norms = self.norms[state.free]
        goal = self.cutoff - state.base
        upper, into, stay, rows, x, gained, _ = tighten(state.rows, norms, state.s, state.x, goal, 1e-4, 60)
        if upper <= goal:
            return None
        s = state.s - int(into.sum())
        delta = None if state.delta is None else state.delta[stay]
        chosen = np.concatenate((state.chosen, state.free[into]))
        state = State(chosen, state.free[stay], rows, state.base + gained, s, x, None, delta)
        if self._is_single(state):
            return None
        upper += state.base - gained
        goal = self.cutoff - state.base
        squares = (rows * rows).sum(axis=1)
        gap = upper - self.cutoff
        if gap < self.reach or (gap < 2 * self.reach + 0.5 and self.bounded % PROBE == 0):
            margin = margin_of(rows, self.norms[state.free], s)
            better = strengthen(of_ddfact(rows, squares, margin, x, s, self.cap), s, x, goal, state.delta)
            if better is None:
                return None
            self.strengthened += 1
            if better.upper <= goal:
                self.closed_by_second_order += 1
                self.reach = max(self.reach, 1.3 * gap)
                return None
            self.reach = max(0.97 * self.reach, 0.01)
            state.delta = better.delta
            upper = min(upper, state.base + better.upper)
            reduced = self._reduce(state, better, goal)
            if reduced is not state:
                return reduced
        return upper, self._node(state, branching_position(rows, squares, x, s))

    def _by_linx(self, state: State) -> State | tuple[float, Node] | None:
        C = state.rows @ state.rows.T
        goal = self.cutoff - state.base
        theta = np.zeros(len(C)) if state.theta is None else state.theta
        found = linx.maximise(C, state.s, state.x, theta, goal, 1e-3, 8)
        if found is not None and found.bound > goal:
            theta = theta - found.scaling_gradient
            found = linx.maximise(C, state.s, found.x, theta, goal, 1e-3, 8)
        if found is None or found.bound <= goal:
            return None
        state.x, state.theta = found.x, theta
        gap = found.bound - goal
        g, s = found.gradient, state.s
        ordered = np.sort(g)
        into, out = g - ordered[-s - 1] > gap, ordered[-s] - g > gap
        if into.any() or out.any():
            return state.fixed(into, out)
        upper = found.bound
        self.strengthened += 1
        tangent = of_linx(found)
        better = strengthen(tangent, s, found.x, goal, state.delta)
        if better is None:
            return state.base + upper, self._node(state, int(np.argmin(np.abs(found.x - 0.5))))
        if better.upper <= goal:
            self.closed_by_second_order += 1
            return None
        state.delta = better.delta
        reduced = self._reduce(state, better, goal)
        if reduced is not state:
            return reduced
        fractional = fractional_of(better.y, 1e-5)
        if len(fractional) < 2:
            branch = int(np.argmin(np.abs(found.x - 0.5)))
        else:
            block = np.ix_(fractional, fractional)
            branch = most_decisive(shifted(tangent.B, better.delta)[block], fractional, better.y)
        return state.base + min(upper, better.upper), self._node(state, branch)

    def _reduce(self, state: State, better: Strengthened, goal: float) -> State | None:
        gap = better.upper - goal
        g, s = better.gradient, state.s
        ordered = np.sort(g)
        into, out = ordered[s] - g > gap, g - ordered[s - 1] > gap
        if into.any() or out.any():
            return state.fixed(into, out)
        return state

    def _node(self, state: State, branch: int) -> Node:
        theta, delta = (None if part is None else part.astype(np.float32) for part in (state.theta, state.delta))
        return Node(
            state.chosen.astype(np.int32), state.free.astype(np.int32), state.x.astype(np.float32), theta, delta, branch
        )

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
            return len(state.free) < state.s
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


@cache
def _compile() -> None:
    problem = ConditionalDPP.from_features(np.random.default_rng(0).standard_normal((8, 5)), 3)
    Search(problem, 0.0, 0).run(math.inf)
