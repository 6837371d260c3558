"""What the convex-QP bound leaves undecided of a quadratic problem."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from mmdp import Problem
from mmdp.bounds import qp_bound
from mmdp.bounds.rank1 import LARGE
from mmdp.cardinality_bqp import CardinalityBQP
from mmdp.checks import Bool, Float, Int
from solvers.answer import Request
from solvers.exact.reduced_costs import forced

EPS = float(np.finfo(float).eps)
FEW = 20_000  # sets that may be enumerated


@dataclass(frozen=True, eq=False)
class Residual:
    """min y^T A y + c.y + constant over binary y with sum y = m: the energy, minus the value, of sets not yet excluded.

    Attributes
    ----------
    bqp : the whole problem as a `CardinalityBQP`, must-keep tokens fixed; y is as there.
    free : the coordinates of its y that are undecided.
    ones : the coordinates that are 1; all others outside `free` are 0.
    A, c, constant, m : the problem over the free coordinates. It never exceeds the energy: what rounding the form has
        is taken off the constant.
    target : sets of this energy or more may be excluded.
    lower : a lower bound on the energy of every set that is not.
    rounds : bounds computed.
    """

    bqp: CardinalityBQP
    free: Int
    ones: Int
    A: Float
    c: Float
    constant: float
    m: int
    target: float
    lower: float
    rounds: int = 0

    @property
    def closed(self) -> bool:
        """Whether no set can have less energy than the target."""
        return self.lower >= self.target or not 0 <= self.m <= len(self.free)

    @property
    def seconds_to_build(self) -> float:
        """About how long a model with all products takes to write down, on a slow core."""
        return 3e-5 * len(self.free) ** 2 / 2

    @property
    def quadratic(self) -> Float:
        """A with c on its diagonal, as y_a^2 = y_a."""
        return self.A + np.diag(self.c)

    @property
    def unit(self) -> float:
        """The size of the energies, above 0."""
        return abs(self.target) or float(np.abs(self.A).max(initial=0.0)) or 1.0

    def kept(self, chosen: Bool) -> Int:
        """The tokens kept when y is 1 at exactly the masked free coordinates as well."""
        return self.bqp.kept(np.isin(np.arange(len(self.bqp.Q)), np.concatenate([self.ones, self.free[chosen]])))

    def kept_terms(self, variables: Sequence[Any]) -> list[Any]:
        """For every token, whether it is kept, in terms of the variables y of the free coordinates."""
        terms: list[Any] = [0] * self.bqp.n
        for i in self.kept(np.zeros(len(self.free), dtype=np.bool_)):
            terms[i] = 1
        for i, variable in zip(self.bqp.tokens[self.free], variables, strict=True):
            terms[i] = variable if self.bqp.keeps else 1 - variable
        return terms

    def with_lower(self, bound: float) -> Residual:
        """The same with the better of both lower bounds."""
        return replace(self, lower=max(self.lower, bound))

    def fix(self, ones: Bool, zeros: Bool) -> Residual:
        """The same with the free coordinates of one mask at 1 and those of the other at 0."""
        rest = ~(ones | zeros)
        inside = self.A[np.ix_(ones, ones)]
        return replace(
            self,
            free=self.free[rest],
            ones=np.concatenate([self.ones, self.free[ones]]),
            A=self.A[np.ix_(rest, rest)],
            c=self.c[rest] + 2 * self.A[np.ix_(rest, ones)].sum(axis=1),
            constant=self.constant + float(inside.sum() + self.c[ones].sum()),
            m=self.m - int(ones.sum()),
        )


@dataclass(frozen=True)
class Searched:
    """What a search of a residual problem ends with.

    Attributes
    ----------
    kept : the best set found, or None.
    lower : a lower bound on the energy of the sets that were not excluded.
    finished : the search was complete, up to its tolerances.
    interrupted : Ctrl-C came.
    """

    kept: Int | None
    lower: float
    finished: bool
    interrupted: bool


def reduce(problem: Problem, target: float, request: Request) -> Residual:
    """Fix every coordinate whose other side cannot lead to less energy than the target, again and again.

    The reduced costs of `qp_bound` say which (`forced`). What is left has a new, tighter bound.
    """
    kept = np.isin(np.arange(problem.n), problem.constraints.keep)
    bqp = CardinalityBQP.unconstrained(problem).keeping(kept)
    f = len(bqp.Q)
    constant = bqp.constant - bqp.error
    residual = Residual(bqp, np.arange(f), np.arange(0), bqp.Q, np.zeros(f), constant, bqp.m, target, bqp.floor)
    while not residual.closed and seconds_of_bound(len(residual.free)) < request.left:
        residual, changed = _tightened(residual)
        if not changed:
            break
    return residual


def seconds_of_bound(n: int) -> float:
    """About how long `qp_bound` takes on a slow core: it cannot be stopped half-way."""
    return (2.0 if n <= LARGE else 0.3) * (n / 576) ** 3


def _tightened(residual: Residual) -> tuple[Residual, bool]:
    """(the residual with a better bound and fewer free tokens, whether there are fewer and still some to choose from)."""
    m, size = residual.m, len(residual.free)
    bound = qp_bound(residual.quadratic, size - m)
    bounded = replace(residual.with_lower(residual.constant + bound.value), rounds=residual.rounds + 1)
    if bounded.closed or not 0 < m < size:
        return bounded, False
    ones, zeros = forced(-bound.gradient, m, residual.target - residual.constant - bound.value)
    fixed = bounded.fix(ones, zeros)
    return fixed, bool(ones.any() or zeros.any()) and 0 < fixed.m < len(fixed.free)


def enumerate_residual(problem: Problem, residual: Residual, request: Request) -> Searched:
    """Every set that is left, valued one by one, where there are few: for when a solver's tolerances do not suffice."""
    size, m = len(residual.free), residual.m
    if not 0 <= m <= size or math.comb(size, m) > FEW:
        return Searched(None, residual.lower, False, False)
    best, least = None, math.inf
    for chosen in itertools.combinations(range(size), m):
        if request.left <= 0:
            return Searched(best, residual.lower, False, False)
        kept = residual.kept(np.isin(np.arange(size), chosen))
        if problem.constraints.violation(kept) is None and -problem.value(kept) < least:
            best, least = kept, -problem.value(kept)
    return Searched(best, least, True, False)
