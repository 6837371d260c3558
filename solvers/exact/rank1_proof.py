"""Quadratic objectives, proved: local search, the convex-QP bound, and a solver for what these leave undecided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from mmdp import ImplicitWeight, MaxSumDiversity, Status
from mmdp.bounds import sdp_bound
from mmdp.bounds.rank1 import LARGE
from mmdp.cardinality_bqp import CardinalityBQP
from mmdp.checks import Int
from solvers.answer import Answer, Request
from solvers.exact.residual import EPS, Residual, Searched, enumerate_residual, reduce, seconds_of_bound
from solvers.exact.start import first_set, settled

WORTH_SDP = 30  # free tokens below which the solver is faster than the semidefinite bound


Quadratic = ImplicitWeight | MaxSumDiversity
Search = Callable[[Quadratic, Residual, Request], Searched]


def prove(problem: Quadratic, request: Request, search: Search, relative: float) -> Answer:
    """A set of least energy (minus the value), ascending, with -energy >= bound - tolerance proved.

    Proved means that no set has an energy below that of the answer by more than the tolerance: `relative` of that
    energy, plus the rounding of the energy itself and of its quadratic form, 4 eps times the sum of |Q_ij| over the
    pairs of ones and twice its error (see `stats`).
    """
    answer = settled(problem, request)
    if answer is not None:
        return answer
    bqp = CardinalityBQP.unconstrained(problem)
    state = _State(problem, bqp, first_set(problem, request), relative, bqp.floor)
    finished = interrupted = False
    try:
        while not state.proved and not interrupted:
            residual = _bounded(reduce(problem, state.energy - state.tolerance, request), request)
            state.stats |= {"free": len(residual.free), "rounds": residual.rounds}
            state.lower = max(state.lower, min(residual.target, residual.lower))
            searched = _search(problem, residual, request, search)
            finished, interrupted = searched.finished, searched.interrupted
            improved = state.learn(searched, residual.target)
            if not finished or not improved:  # an improved set makes the tolerances finer: once more
                break
        if finished and not state.proved:
            state.learn(enumerate_residual(problem, residual, request), residual.target)
    except KeyboardInterrupt:
        interrupted = True
    if state.proved:
        status = Status.OPTIMAL
    elif interrupted:
        status = Status.INTERRUPTED
    else:
        status = Status.FEASIBLE if finished else Status.TIME_LIMIT
    stats = {"tolerance": state.tolerance, "relative_tolerance": relative, **state.stats}
    return Answer(state.best, bound=0.0 - min(state.lower, state.energy), status=status, stats=stats)


@dataclass
class _State:
    """The best set, and a lower bound on the energy of every set."""

    problem: Quadratic
    bqp: CardinalityBQP
    best: Int
    relative: float
    lower: float
    stats: dict[str, int] = field(default_factory=dict)

    @property
    def energy(self) -> float:
        return -self.problem.value(self.best)

    @property
    def tolerance(self) -> float:
        ones = self.best if self.bqp.keeps else np.setdiff1d(np.arange(self.problem.n), self.best)
        size = float(np.abs(self.bqp.Q[np.ix_(ones, ones)]).sum())
        return self.relative * abs(self.energy) + 4 * EPS * size + 2 * self.bqp.error

    @property
    def proved(self) -> bool:
        return self.energy - self.lower <= self.tolerance * (1 + 1e-6)

    def learn(self, searched: Searched, target: float) -> bool:
        """Take over a bound on the sets below the target's energy, and a set; whether the set is better."""
        self.lower = max(self.lower, min(target, searched.lower))
        if searched.kept is None or self.problem.value(searched.kept) <= -self.energy:
            return False
        self.best = searched.kept
        return True


def _bounded(residual: Residual, request: Request) -> Residual:
    """The residual with the semidefinite bound of what is left, where it is worth its time."""
    size = len(residual.free)
    worth = WORTH_SDP <= size <= LARGE and 3 * seconds_of_bound(size) < request.left / 2
    if residual.closed or not worth or not 0 < residual.m < size:
        return residual
    bound = residual.constant + sdp_bound(residual.quadratic, size - residual.m).value
    return residual.with_lower(bound)


def _search(problem: Quadratic, residual: Residual, request: Request, search: Search) -> Searched:
    """Nothing to do, one candidate, no time, or the solver."""
    if residual.closed:
        return Searched(None, residual.target, True, False)
    if residual.m in (0, len(residual.free)):
        kept = residual.kept(np.full(len(residual.free), residual.m > 0))
        if problem.constraints.violation(kept) is not None:
            return Searched(None, residual.target, True, False)
        return Searched(kept, -problem.value(kept), True, False)
    if request.left <= residual.seconds_to_build:
        return Searched(None, residual.lower, False, False)
    return search(problem, residual, request)
