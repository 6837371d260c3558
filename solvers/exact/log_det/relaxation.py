"""The bound of a node: DDFact or linx, then what the tangent loses, and what both decide."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from mmdp.checks import Bool, Float
from solvers.exact.branching import fractional_of, most_decisive
from solvers.exact.log_det import linx
from solvers.exact.log_det.ddfact import branching_position, maximise
from solvers.exact.log_det.evidence import Evidence, in_units
from solvers.exact.log_det.leaf_bounds import prove
from solvers.exact.log_det.node import State, margin_of
from solvers.exact.log_det.second_order import Strengthened, Tangent, of_ddfact, of_linx, strengthen
from solvers.exact.rank1.diagonal_shift import shifted
from solvers.exact.reduced_costs import forced

LINX_GAP = 0.3  # nats at the root below which linx is not worth a try
PREFER_LINX = 1.3  # share of the gap of DDFact that linx must reach to take over
CAPS = (0.3, 0.05, 0.01)  # of squared entries of the second-order form of DDFact, tried at the root
PROBE = 16  # nodes for one that is strengthened beyond reach, to learn
REACH = 0.1  # first guess of the gap, in nats, that the second order of DDFact closes
SLACK = 1e-10  # nats by which a written bound must decide more clearly, for rounding that differs when it is verified


class Verdict(NamedTuple):
    """What a bound says of a node.

    Attributes
    ----------
    upper : on log det of the sets below.
    into, out : free tokens that every set above the cutoff holds, and that none holds.
    branch : position of the token to branch on, where nothing is fixed.
    evidence : where the bound was taken; None unless it is to be written down, or where that failed.
    """

    upper: float
    into: Bool
    out: Bool
    branch: int = -1
    evidence: Evidence | None = None

    @property
    def fixes(self) -> bool:
        """Whether it fixes anything."""
        return bool(self.into.any() or self.out.any())


class Relaxation:
    """Bounds nodes, one after another, and learns how far the second order reaches.

    Attributes
    ----------
    certify : whether verdicts rest on what `prove` makes of evidence that can be written down.
    name : the relaxation, ``"ddfact"`` or ``"linx"``.
    cap, reach : of the second order of DDFact: off-diagonal entries above the one are lowered to it, and gaps below the
        other, in nats, are thought to close.
    """

    def __init__(self) -> None:
        self.certify = False
        self.name = "ddfact"
        self.cap = CAPS[1]
        self.reach = REACH
        self.bounded = self.strengthened = self.closed_by_second_order = 0

    def choose(self, state: State, upper: float, cutoff: float) -> bool:
        """Compare the relaxations at a bounded node; True when it should be bounded again, by linx."""
        gap = upper - cutoff
        if not LINX_GAP < gap < math.inf:
            return False
        found, theta = linx.best_scaling(state.rows @ state.rows.T, state.s, 30)
        if found is not None and found.bound + state.base - cutoff < PREFER_LINX * gap:
            state.x, state.theta, state.delta = found.x, theta, None
            self.name = "linx"
            return True
        uppers = {}
        for cap in CAPS:
            better = strengthen(_ddfact(state, cap), state.s, state.x, cutoff - state.base, None, patient=True)
            uppers[cap] = -math.inf if better is None else better.upper
        self.cap = min(CAPS, key=uppers.__getitem__)
        return False

    def bound(self, state: State, cutoff: float) -> Verdict:
        """A bound on the sets below a state with 0 < s < m; its point, scaling and shift stay there as starts."""
        self.bounded += 1
        linear = self._linx(state, cutoff) if self.name == "linx" else None
        return self._ddfact(state, cutoff) if linear is None else linear

    def _ddfact(self, state: State, cutoff: float) -> Verdict:
        goal, s = cutoff - state.base, state.s
        squares = (state.rows * state.rows).sum(axis=1)
        margin = margin_of(state.rows, state.norms, s)
        upper, x, gradient, _ = maximise(state.rows, squares, margin, s, state.x, goal, 1e-4, 60)
        state.x = x
        verdict = self._verdict(state, cutoff, upper, gradient, None, None)
        gap = verdict.upper - cutoff
        if gap <= 0 or verdict.fixes:
            return verdict
        branch = int(branching_position(state.rows, squares, x, s))
        if gap >= self.reach and (gap > 2 * self.reach + 0.5 or self.bounded % PROBE):
            return verdict._replace(branch=branch)
        better = strengthen(_ddfact(state, self.cap), s, x, goal, state.delta)
        if better is not None:
            stronger = self._strengthened(state, cutoff, better, verdict, None)
            closed = stronger.upper <= cutoff
            self.reach = max(self.reach, 1.3 * gap) if closed else max(0.97 * self.reach, 0.01)
            verdict = stronger
        return verdict._replace(branch=branch)

    def _linx(self, state: State, cutoff: float) -> Verdict | None:
        """None where linx has no regular point."""
        goal, s = cutoff - state.base, state.s
        C = state.rows @ state.rows.T
        theta = np.zeros(len(C)) if state.theta is None else state.theta
        found = linx.maximise(C, s, state.x, theta, goal, 1e-3, 8)
        if found is not None and found.bound > goal:
            theta = theta - found.scaling_gradient
            found = linx.maximise(C, s, found.x, theta, goal, 1e-3, 8)
        if found is None:
            return None
        state.x, state.theta = found.x, theta
        verdict = self._verdict(state, cutoff, found.bound, found.gradient, theta, None)
        branch = int(np.argmin(np.abs(found.x - 0.5)))
        if verdict.upper <= cutoff or verdict.fixes:
            return verdict._replace(branch=branch)
        tangent = of_linx(found)
        better = strengthen(tangent, s, found.x, goal, state.delta)
        if better is not None:
            verdict = self._strengthened(state, cutoff, better, verdict, theta)
            branch = _along(tangent, better, branch)
        return verdict._replace(branch=branch)

    def _strengthened(
        self, state: State, cutoff: float, better: Strengthened, first: Verdict, theta: Float | None
    ) -> Verdict:
        self.strengthened += 1
        state.delta = better.delta
        verdict = self._verdict(state, cutoff, better.upper, better.gradient, theta, better)
        if verdict.upper <= cutoff:
            self.closed_by_second_order += 1
        return verdict if verdict.upper < first.upper or verdict.fixes else first

    def _verdict(
        self,
        state: State,
        cutoff: float,
        upper: float,
        gradient: Float,
        theta: Float | None,
        second: Strengthened | None,
    ) -> Verdict:
        """What a bound on the free tokens decides; to be written down, it is taken again from its evidence."""
        goal, slack, evidence = cutoff - state.base, 0.0, None
        nothing = np.zeros(len(state.free), dtype=np.bool_)
        if self.certify:
            evidence = self._evidence(state, cutoff, theta, second)
            proved = prove(state.rows, state.norms, state.s, goal, evidence)
            if proved is None:
                return Verdict(math.inf, nothing, nothing)
            upper, gradient, slack = proved.upper, proved.gradient, SLACK
        if not goal < upper < math.inf:
            return Verdict(state.base + upper, nothing, nothing, evidence=evidence)
        into, out = forced(gradient, state.s, upper - goal + slack)
        return Verdict(state.base + upper, into, out, evidence=evidence)

    def _evidence(self, state: State, cutoff: float, theta: Float | None, second: Strengthened | None) -> Evidence:
        units = in_units(state.x)
        scaling = None if theta is None else theta.astype(np.float32)
        if second is None:
            return Evidence(cutoff, self.cap, units, scaling)
        delta = np.nextafter(second.delta.astype(np.float32), np.float32(-np.inf))  # the form stays convex
        return Evidence(cutoff, self.cap, units, scaling, delta, in_units(second.least), in_units(second.y))


def _ddfact(state: State, cap: float) -> Tangent:
    squares = (state.rows * state.rows).sum(axis=1)
    return of_ddfact(state.rows, squares, margin_of(state.rows, state.norms, state.s), state.x, state.s, cap)


def _along(tangent: Tangent, better: Strengthened, otherwise: int) -> int:
    """The token to branch on by the second-order form."""
    fractional = fractional_of(better.y, 1e-5)
    if len(fractional) < 2:
        return otherwise
    return int(most_decisive(shifted(tangent.B, better.delta)[np.ix_(fractional, fractional)], fractional, better.y))
