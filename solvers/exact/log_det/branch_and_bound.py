"""Exact branch and bound for log det: MAP inference in a DPP, maximum-entropy sampling."""

from __future__ import annotations

import math
import time
from functools import cache
from typing import Any

import numpy as np

from mmdp import ConditionalDPP, Status
from mmdp.bounds.factor_rows import compact_factor, has_volume
from mmdp.certificates import Certificate, OnlyChoiceCertificate
from mmdp.certify import TOLERANCE
from mmdp.checks import Bool, Float, Int
from solvers.answer import Answer, Request
from solvers.exact.best_first import OpenNodes, explore
from solvers.exact.log_det.ddfact import branching_position
from solvers.exact.log_det.evidence import Evidence
from solvers.exact.log_det.node import Node, State, absorb
from solvers.exact.log_det.relaxation import Relaxation
from solvers.exact.log_det.root_point import root_point
from solvers.exact.log_det.second_order import of_ddfact, strengthen
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


def run(problem: ConditionalDPP, request: Request, tolerance: float = TOLERANCE, certify: bool = False) -> Answer:
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
    certify : whether to write the tree down, up to 100 MB, as a `LogDetTree` that `mmdp.check` verifies; also the
        unfinished one of a run that was stopped. Where there is none, ``stats["certificate"]`` says why.

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
    search = Search(problem, 0.9 * tolerance if certify else tolerance, request.seed, TreeLog() if certify else None)
    limit = math.inf if request.time_limit is None else request.time_limit
    try:
        status = Status.OPTIMAL if search.run(request.started + compiled + limit) else Status.TIME_LIMIT
    except KeyboardInterrupt:
        status = Status.INTERRUPTED
    stats = search.stats() | {"tolerance": tolerance}
    certificate, reason = _certificate(problem, search)
    if reason and certify:
        stats["certificate"] = reason
    return Answer(np.sort(search.members), search.upper, status, stats, certificate, compiled)


def _certificate(problem: ConditionalDPP, search: Search) -> tuple[Certificate | None, str]:
    """(the certificate, or why there is none) : the tree if there is one, else what one point of DDFact may prove."""
    if problem.k in (0, problem.n):
        return OnlyChoiceCertificate(), ""
    if search.upper == math.inf:
        return None, "there was no time for a bound"
    if search.complete and search.tolerance > TOLERANCE:
        return None, f"a tolerance above {TOLERANCE} proves less than an optimum"
    if search.log and search.root_upper is not None:
        return (None, search.log.reason) if search.log.reason else (search.log.certificate(), "")
    return (root_point(problem, search.root_x, search.upper), "") if search.expanded == 0 else (None, "")


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


@cache
def _compile() -> None:
    """Compile, or load from numba's cache, every kernel of this package."""
    problem = ConditionalDPP.from_features(np.random.default_rng(0).standard_normal((8, 5)), 3)
    Search(problem, 0.0, 0).run(math.inf)
    rows, x = np.ascontiguousarray(problem.factor), np.full(8, 3 / 8)
    squares = (rows * rows).sum(axis=1)
    branching_position(rows, squares, x, 3)
    strengthen(of_ddfact(rows, squares, 0.0, x, 3, 1.0), 3, x, -100.0, None, patient=True)
